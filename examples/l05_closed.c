/* L05: a closed pool takes no more tasks, and a pool that is open cannot be joined: both are
 * refused with an error that says so. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int twice(const int *number, int *result)
{
    *result = 2 * *number;
    return 0;
}
KIN_MAP(twice, int, int)

int main(void)
{
    kin_pool *pool = NULL;
    kin_result *result = NULL;
    int number = 21;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));

    int rc = kin_pool_join(pool, KIN_FOREVER);
    printf("join before close: %s (%s)\n", kin_error_name(rc), kin_strerror(rc));

    check(kin_pool_close(pool));
    rc = kin_pool_submit(pool, &result, KIN_FN(twice), &number, sizeof number, KIN_FOREVER, NULL);
    printf("submit after close: %s (%s)\n", kin_error_name(rc), kin_strerror(rc));

    check(kin_pool_join(pool, KIN_FOREVER));
    printf("join after close: done\n");
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
