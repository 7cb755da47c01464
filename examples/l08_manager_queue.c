/* L08, L09 and M05: a writer and a reader share a queue of a manager; the writes are made under a lock
 * of the manager's, so that those of two writers do not mix. */
#include <stdio.h>
#include <stdlib.h>

#include <kin.h>

#include "check.h"

#define WRITERS 2
#define LETTERS 3

struct shared {
    kin_proxy *queue;
    kin_proxy *lock;
    int number; /* of the writer */
};

static int write_letters(void *of_shared)
{
    struct shared *shared = of_shared;
    check(kin_proxy_acquire(shared->lock, kin_in_s(10)));
    for (int i = 0; i < LETTERS; i++) {
        kin_value letter = kin_value_build("(is#)", shared->number, &"ABC"[i], (size_t)1);
        check(kin_proxy_put(shared->queue, letter, kin_in_s(10)));
    }
    check(kin_proxy_release(shared->lock));
    return EXIT_SUCCESS;
}

static int read_letters(void *of_shared)
{
    struct shared *shared = of_shared;
    int number, last = 0, mixed = 0;
    for (int i = 0; i < WRITERS * LETTERS; i++) {
        kin_value item;
        const char *letter;
        check(kin_proxy_get(shared->queue, &item, kin_in_s(10)));
        check(kin_value_parse(&item, "(is)", &number, &letter));
        if (i % LETTERS != 0 && number != last) mixed++;
        last = number;
        printf("got %s\n", letter);
        kin_value_clear(&item);
    }
    printf("%d letters of different writers are mixed\n", mixed);
    return EXIT_SUCCESS;
}

int main(void)
{
    kin_manager *manager = NULL;
    kin_process *processes[WRITERS + 1];
    struct shared shared = {0};
    check(kin_manager_start(&manager, NULL));
    check(kin_manager_create(manager, &shared.queue, "Queue", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &shared.lock, "Lock", kin_value_none(), kin_in_s(5)));
    for (int i = 0; i < WRITERS; i++) {
        shared.number = i + 1;
        check(kin_process_start(&processes[i], write_letters, &shared, NULL));
    }
    check(kin_process_start(&processes[WRITERS], read_letters, &shared, NULL));
    for (int i = 0; i <= WRITERS; i++) {
        check(kin_process_join(processes[i], KIN_FOREVER));
        check(kin_process_close(processes[i]));
    }
    check(kin_proxy_close(shared.queue));
    check(kin_proxy_close(shared.lock));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
