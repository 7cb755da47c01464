/* L23: one task of several takes too long: its worker alone is ended, the task fails with the cause, and the
 * others, and the pool, are as before. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int render(const int *page, int *pages)
{
    while (*page == 2) pause(); /* as a defect would */
    *pages = *page;
    return 0;
}
KIN_MAP(render, int, int)

int main(void)
{
    enum { PAGES = 4 };
    kin_pool *pool = NULL;
    kin_result *results[PAGES];
    kin_failure failure;
    kin_pool_status status;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    for (int i = 0; i < PAGES; i++) {
        /* Time enough for the others on a busy machine. */
        const kin_task_options options = {.timeout_ns = i == 2 ? 50 * 1000000LL : 0};
        check(kin_pool_submit(pool, &results[i], KIN_FN(render), &i, sizeof i, KIN_FOREVER, &options));
    }
    for (int i = 0; i < PAGES; i++) {
        check(kin_result_wait(results[i], KIN_FOREVER));
        if (kin_result_successful(results[i])) {
            printf("page %d is there\n", i);
            continue;
        }
        check(kin_result_failure(results[i], &failure));
        printf("page %d: %s\n", i, failure.cause == KIN_CAUSE_TIMEOUT ? "took too long" : "another cause");
    }
    check(kin_pool_stats(pool, &status));
    printf("workers ended: %d\n", (int)status.deaths);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
