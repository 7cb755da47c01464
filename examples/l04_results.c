/* L04: submit returns a result object at once: ready, wait, successful, get.  Values can still be
 * collected after the pool has been joined, and a task that failed says how. */
#include <errno.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define TASKS 4

static int reciprocal(const int *number, double *result)
{
    if (*number == 0) return -EDOM;
    *result = 1.0 / *number;
    return 0;
}
KIN_MAP(reciprocal, int, double)

static void report(int number, kin_result *result)
{
    if (kin_result_successful(result) == 1) {
        double value;
        check(kin_result_get(result, &value, sizeof value, KIN_NOW));
        printf("1 / %d = %.2f\n", number, value);
    } else {
        kin_failure failure;
        check(kin_result_failure(result, &failure));
        printf("1 / %d failed: %s\n", number, kin_strerror(failure.code));
    }
}

int main(void)
{
    kin_pool *pool = NULL;
    kin_result *results[TASKS];
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    for (int i = 0; i < TASKS; i++) {
        check(kin_pool_submit(pool, &results[i], KIN_FN(reciprocal), &i, sizeof i, KIN_FOREVER, NULL));
    }
    check(kin_result_wait(results[0], KIN_FOREVER));
    printf("after the wait, ready: %d\n", kin_result_ready(results[0]));

    check(kin_pool_close(pool));
    check(kin_pool_join(pool, KIN_FOREVER));
    for (int i = 0; i < TASKS; i++) {
        report(i, results[i]);
        check(kin_result_close(results[i]));
    }
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
