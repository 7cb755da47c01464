/* L08: tasks of a pool share a queue of a manager: one writes, another reads, all values arrive. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define LETTERS 3

static kin_proxy *queue; /* the workers inherit it */

static int work(const int *writes, int *count)
{
    for (*count = 0; *count < LETTERS; ++*count) {
        kin_value item;
        const char *letter;
        if (*writes) {
            item = kin_value_build("s#", &"ABC"[*count], (size_t)1);
            check(kin_proxy_put(queue, item, kin_in_s(10)));
            continue;
        }
        check(kin_proxy_get(queue, &item, kin_in_s(10)));
        check(kin_value_parse(&item, "s", &letter));
        printf("got %s\n", letter);
        fflush(stdout);
        kin_value_clear(&item);
    }
    return 0;
}
KIN_MAP(work, int, int)

int main(void)
{
    kin_manager *manager = NULL;
    kin_pool *pool = NULL;
    const int writes[2] = {0, 1};
    int count[2] = {0, 0};
    check(kin_manager_start(&manager, NULL));
    check(kin_manager_create(manager, &queue, "Queue", kin_value_none(), kin_in_s(5)));
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    check(kin_pool_map_with(pool, KIN_FN(work), writes, count, 2, kin_in_s(20),
                            &(kin_map_options){.chunk = 1}));
    printf("%d were written, %d read\n", count[1], count[0]);
    check(kin_pool_free(pool));
    check(kin_proxy_close(queue));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
