/* Y11: a read-write lock: several processes look up a route at the same time while one replaces it
 * stop by stop; nobody ever sees half of the old route and half of the new one.  A second writer
 * is killed in the middle: the next one is told, and repairs. */
#include <signal.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define STOPS   8
#define READERS 3
#define ROUTES  1000

struct line {
    kin_rwlock *lock;
    kin_event *done;
    int stop[STOPS]; /* all of one number whenever nobody writes */
};

static bool is_whole(const struct line *line)
{
    for (int i = 1; i < STOPS; i++)
        if (line->stop[i] != line->stop[0]) return false;
    return true;
}

static void set_route(struct line *line, int number, int stops)
{
    for (int i = 0; i < stops; i++) line->stop[i] = number;
}

/* Exits with 0 if the route was whole each time. */
static int look_up(void *argument)
{
    struct line *line = argument;
    while (kin_event_is_set(line->done) == 0) {
        check(kin_rwlock_acquire_read(line->lock, KIN_FOREVER));
        KIN_RWLOCK_GUARD(line->lock);
        if (!is_whole(line)) return 1;
    }
    return 0;
}

static int die_writing(void *argument)
{
    struct line *line = argument;
    check(kin_rwlock_acquire_write(line->lock, KIN_FOREVER));
    set_route(line, -1, STOPS / 2);
    return raise(SIGKILL);
}

static int ended(kin_process *process)
{
    int code;
    check(kin_process_join(process, KIN_FOREVER));
    check(kin_process_exit_code(process, &code));
    check(kin_process_close(process));
    return code;
}

int main(void)
{
    kin_process *reader[READERS], *writer;
    struct line *line = kin_alloc(sizeof *line);
    if (line == NULL) return EXIT_FAILURE;
    check(kin_rwlock_open(&line->lock, NULL));
    check(kin_event_open(&line->done, NULL));

    for (int i = 0; i < READERS; i++) check(kin_process_start(&reader[i], look_up, line, NULL));
    for (int number = 1; number <= ROUTES; number++) {
        check(kin_rwlock_acquire_write(line->lock, KIN_FOREVER));
        set_route(line, number, STOPS);
        check(kin_rwlock_release(line->lock));
    }
    check(kin_event_set(line->done));
    int halves = 0;
    for (int i = 0; i < READERS; i++) halves += ended(reader[i]);
    printf("%d routes written, readers that saw half of one: %d\n", line->stop[0], halves);

    check(kin_process_start(&writer, die_writing, line, NULL));
    printf("a writer ended with %d\n", ended(writer));
    if (check(kin_rwlock_acquire_write(line->lock, KIN_FOREVER)) == KIN_OWNER_DIED) {
        kin_owner dead;
        kin_rwlock_last_death(line->lock, &dead);
        printf("told of the death of %s, the route is %s\n", dead.pid > 0 ? "a writer" : "nobody",
               is_whole(line) ? "whole" : "in halves");
        set_route(line, ROUTES, STOPS);
    }
    check(kin_rwlock_release(line->lock));
    printf("repaired: %s\n", is_whole(line) ? "yes" : "no");
    check(kin_event_close(line->done));
    check(kin_rwlock_close(line->lock));
    kin_free(line);
    return EXIT_SUCCESS;
}
