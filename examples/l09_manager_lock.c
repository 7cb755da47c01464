/* L09 and M05: tasks of a pool write to a manager's queue under a lock of the manager's, so that what
 * one writes is not mixed with what another writes. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define WRITERS 3
#define LETTERS 4

static kin_proxy *queue, *lock; /* the workers inherit them */

static int write_letters(const int *number, char *unused)
{
    (void)unused;
    check(kin_proxy_acquire(lock, kin_in_s(10)));
    for (int i = 0; i < LETTERS; i++)
        check(kin_proxy_put(queue, kin_value_build("i", *number), kin_in_s(10)));
    check(kin_proxy_release(lock));
    return 0;
}
KIN_MAP(write_letters, int, char)

int main(void)
{
    kin_manager *manager = NULL;
    kin_pool *pool = NULL;
    const int number[WRITERS] = {1, 2, 3};
    char unused[WRITERS];
    int last = 0, mixed = 0;
    check(kin_manager_start(&manager, NULL));
    check(kin_manager_create(manager, &queue, "Queue", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &lock, "Lock", kin_value_none(), kin_in_s(5)));
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = WRITERS}));
    check(kin_pool_map_with(pool, KIN_FN(write_letters), number, unused, WRITERS, kin_in_s(20),
                            &(kin_map_options){.chunk = 1}));
    for (int i = 0; i < WRITERS * LETTERS; i++) {
        kin_value item;
        int writer;
        check(kin_proxy_get(queue, &item, kin_in_s(10)));
        check(kin_value_parse(&item, "i", &writer));
        if (i % LETTERS != 0 && writer != last) mixed++;
        last = writer;
        kin_value_clear(&item);
    }
    printf("%d values, %d mixed with another writer's\n", WRITERS * LETTERS, mixed);
    check(kin_pool_free(pool));
    check(kin_proxy_close(queue));
    check(kin_proxy_close(lock));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
