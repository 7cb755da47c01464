/* L06: workers are reused: many short tasks run in few processes. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define TASKS 200

static int who(const int *number, int *pid)
{
    (void)number;
    *pid = getpid();
    return 0;
}
KIN_MAP(who, int, int)

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int main(void)
{
    kin_pool *pool = NULL;
    kin_result *results[TASKS];
    int pids[TASKS];
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 3}));
    for (int i = 0; i < TASKS; i++) {
        check(kin_pool_submit(pool, &results[i], KIN_FN(who), &i, sizeof i, KIN_FOREVER, NULL));
    }
    for (int i = 0; i < TASKS; i++) {
        check(kin_result_get(results[i], &pids[i], sizeof pids[i], KIN_FOREVER));
    }
    check(kin_pool_free(pool)); /* with its results */

    qsort(pids, TASKS, sizeof pids[0], compare);
    printf("the parent is %d\n", getpid());
    for (int i = 0, first = 0; i < TASKS; i++) {
        if (i < TASKS - 1 && pids[i] == pids[i + 1]) continue;
        printf("worker %d has run %d tasks\n", pids[i], i + 1 - first);
        first = i + 1;
    }
    return EXIT_SUCCESS;
}
