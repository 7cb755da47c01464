/* L15: one worker, paused while tasks come in: the higher priority is run first, and what is below 0 last. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int say(const int *in, int *out)
{
    printf("priority %d\n", *in);
    fflush(stdout);
    *out = 0;
    return 0;
}
KIN_MAP(say, int, int)

int main(void)
{
    const int priorities[] = {0, -1, 5, 1};
    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    check(kin_pool_pause(pool));
    for (int i = 0; i < 4; i++) {
        kin_result *result = NULL;
        check(kin_pool_submit(pool, &result, KIN_FN(say), &priorities[i], sizeof(int), KIN_FOREVER,
                              &(kin_task_options){.priority = priorities[i]}));
        check(kin_result_close(result));
    }
    check(kin_pool_resume(pool));
    check(kin_pool_close(pool));
    check(kin_pool_join(pool, KIN_FOREVER));
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
