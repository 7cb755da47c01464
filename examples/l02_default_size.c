/* L02: a pool has as many workers as there are processors that the program may use; try it with
 * `taskset -c 0 l02_default_size`. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

int main(void)
{
    kin_pool *pool = NULL;
    kin_pool_status status;
    check(kin_pool_open(&pool, NULL));
    check(kin_pool_stats(pool, &status));
    printf("usable processors: %d\n", kin_cpu_count());
    printf("workers: %u\n", status.workers);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
