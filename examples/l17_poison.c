/* L17: an input that kills every worker that gets it: after one repetition it is set aside, with how it
 * happened and what it was, and the others are done. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int parse(const int *in, int *out)
{
    if (*in == 13) kill(getpid(), SIGKILL); /* as a defect would */
    *out = *in;
    return 0;
}
KIN_MAP(parse, int, int)

int main(void)
{
    enum { INPUTS = 20 };
    kin_pool *pool = NULL;
    kin_result *results[INPUTS], *poisoned = NULL;
    const void *input = NULL;
    kin_failure failure;
    int done = 0;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .retries = 1, .keep_poisoned = 10}));
    for (int i = 0; i < INPUTS; i++)
        check(kin_pool_submit(pool, &results[i], KIN_FN(parse), &i, sizeof i, KIN_FOREVER, NULL));
    check((int)kin_results_wait(results, INPUTS, KIN_ALL_COMPLETED, KIN_FOREVER));
    for (int i = 0; i < INPUTS; i++) done += kin_result_successful(results[i]) == 1;
    printf("done: %d of %d\n", done, INPUTS);

    while (kin_pool_take_poisoned(pool, &poisoned) == 1) {
        check((int)kin_result_argument(poisoned, &input));
        check(kin_result_failure(poisoned, &failure));
        printf("set aside: %d, after attempt %u: signal %d\n", *(const int *)input, failure.attempt,
               failure.signal);
        check(kin_result_close(poisoned));
    }
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
