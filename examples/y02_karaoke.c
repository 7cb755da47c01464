/* Y02: a semaphore of four: six people enter a karaoke room that holds four.  The fifth and the sixth
 * wait until somebody leaves. */
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define PEOPLE 6
#define PLACES 4

struct room {
    kin_semaphore *places;
    atomic_int inside;
    atomic_int most;
};

struct person {
    struct room *room;
    char name;
};

static int sing(void *argument)
{
    const struct person *person = argument;
    struct room *room = person->room;
    check(kin_semaphore_acquire(room->places, KIN_FOREVER));
    int inside = ++room->inside;
    for (int most = room->most; inside > most && !atomic_compare_exchange_weak(&room->most, &most, inside);)
        ;
    printf("%c enters, %d inside\n", person->name, inside);
    fflush(stdout);
    usleep(50 * 1000);
    printf("%c leaves\n", person->name);
    fflush(stdout);
    room->inside--;
    check(kin_semaphore_release(room->places));
    return 0;
}

int main(void)
{
    struct person people[PEOPLE];
    kin_process *process[PEOPLE];
    struct room *room = kin_alloc(sizeof *room);
    if (room == NULL) return EXIT_FAILURE;
    check(kin_semaphore_open(&room->places, PLACES, &(kin_semaphore_options){.bounded = true}));
    for (int i = 0; i < PEOPLE; i++) {
        people[i] = (struct person){room, (char)('A' + i)};
        check(kin_process_start(&process[i], sing, &people[i], NULL));
    }
    for (int i = 0; i < PEOPLE; i++) {
        check(kin_process_join(process[i], KIN_FOREVER));
        check(kin_process_close(process[i]));
    }
    printf("never more than %d inside; %ld places are free\n", room->most,
           check(kin_semaphore_value(room->places)));
    check(kin_semaphore_close(room->places));
    check(kin_free(room));
    return EXIT_SUCCESS;
}
