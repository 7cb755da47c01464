/* L10: tasks that need the results of others: cutting, baking and serving a cake. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

/* What a step costs, and what it needs costs with it. */
static int step(const int *cost, int *total)
{
    const void *need;
    *total = *cost;
    for (size_t i = 0; kin_task_need(i, &need) >= 0; i++) *total += *(const int *)need;
    return *cost == 0 ? 7 : 0;
}
KIN_MAP(step, int, int)

static kin_result *hand_in(kin_pool *pool, int cost, kin_result *const *needs, size_t count)
{
    kin_result *result = NULL;
    kin_task_options options = {.needs = needs, .needs_count = count};
    check(kin_pool_submit(pool, &result, KIN_FN(step), &cost, sizeof cost, KIN_FOREVER, &options));
    return result;
}

int main(void)
{
    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));

    kin_result *ingredients[] = {hand_in(pool, 2, NULL, 0), hand_in(pool, 3, NULL, 0)};
    kin_result *cake = hand_in(pool, 10, ingredients, 2);
    kin_result *served = hand_in(pool, 1, &cake, 1);
    int total = 0;
    check((int)kin_result_get(served, &total, sizeof total, KIN_FOREVER));
    printf("the cake costs %d\n", total);

    kin_result *spoilt = hand_in(pool, 0, NULL, 0);
    kin_result *cream = hand_in(pool, 4, &spoilt, 1);
    check(kin_result_wait(cream, KIN_FOREVER));
    kin_failure chain[2];
    long length = kin_result_failure_chain(cream, chain, 2);
    for (long i = 0; i < length; i++) {
        char text[200];
        chain[i].worker_pid = 0; /* another one each time */
        kin_failure_text(&chain[i], text, sizeof text);
        printf("%s\n", text);
    }
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
