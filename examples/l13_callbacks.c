/* L13: callbacks are called where the program says: in kin_pool_poll. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int half(const int *in, int *out)
{
    *out = *in / 2;
    return *in % 2;
}
KIN_MAP(half, int, int)

struct sums {
    int halves, odd;
};

static void done(kin_result *result, void *context)
{
    int out = 0;
    check((int)kin_result_get(result, &out, sizeof out, KIN_NOW));
    ((struct sums *)context)->halves += out;
    check(kin_result_close(result));
}

static void failed(kin_result *result, void *context)
{
    ((struct sums *)context)->odd++;
    check(kin_result_close(result));
}

int main(void)
{
    kin_pool *pool = NULL;
    struct sums sums = {0, 0};
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    for (int i = 1; i <= 10; i++) {
        kin_result *result = NULL;
        check(kin_pool_submit(pool, &result, KIN_FN(half), &i, sizeof i, KIN_FOREVER, NULL));
        check(kin_result_add_done_callback(result, done, failed, &sums));
    }
    check(kin_pool_drain(pool, KIN_FOREVER));
    printf("drained, and nothing called: %d %d\n", sums.halves, sums.odd);
    while (kin_pool_poll(pool, KIN_FOREVER) > 0)
        ;
    printf("polled: %d %d\n", sums.halves, sums.odd);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
