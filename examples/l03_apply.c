/* L03: apply runs one task in a worker and returns with its result, so results come in order. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int square(const int *number, int *result)
{
    usleep(20000 / *number); /* the earlier the task, the longer it takes */
    *result = *number * *number;
    return 0;
}
KIN_MAP(square, int, int)

int main(void)
{
    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 4}));
    for (int number = 1; number <= 5; number++) {
        int result;
        check(kin_pool_apply(pool, KIN_FN(square), &number, sizeof number, &result, sizeof result,
                             KIN_FOREVER, NULL));
        printf("%d * %d = %d\n", number, number, result);
    }
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
