/* L18: a pool grows while it runs, and shrinks again; what was handed in is drained, and the pool stays open. */
#include <stdio.h>
#include <time.h>

#include <kin.h>

#include "check.h"

static int rest(const int *in, int *out)
{
    nanosleep(&(struct timespec){.tv_nsec = *in * 1000000l}, NULL);
    *out = 0;
    return 0;
}
KIN_MAP(rest, int, int)

static void wait_until_alive(kin_pool *pool, unsigned workers)
{
    kin_pool_status status;
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        check(kin_pool_stats(pool, &status));
    } while (status.alive != workers);
    printf("%u workers\n", status.alive);
}

int main(void)
{
    kin_pool *pool = NULL;
    kin_pool_status status;
    int ms = 2;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    for (int i = 0; i < 100; i++) {
        kin_result *result = NULL;
        check(kin_pool_submit(pool, &result, KIN_FN(rest), &ms, sizeof ms, KIN_FOREVER, NULL));
        check(kin_result_close(result));
    }
    check(kin_pool_resize(pool, 4));
    wait_until_alive(pool, 4);
    check(kin_pool_drain(pool, KIN_FOREVER));
    check(kin_pool_resize(pool, 2));
    wait_until_alive(pool, 2);
    check(kin_pool_stats(pool, &status));
    printf("done: %llu, deaths: %llu\n", (unsigned long long)status.done, (unsigned long long)status.deaths);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
