/* L20: no more than one task in twenty milliseconds, however many workers there are: for a server that would
 * be angry otherwise. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int ask(const int *in, int *out)
{
    *out = *in;
    return 0;
}
KIN_MAP(ask, int, int)

int main(void)
{
    enum { QUESTIONS = 6 };
    kin_pool *pool = NULL;
    kin_result *results[QUESTIONS];
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 4, .interval_ns = 20 * 1000000}));
    kin_deadline begin = kin_clock();
    for (int i = 0; i < QUESTIONS; i++)
        check(kin_pool_submit(pool, &results[i], KIN_FN(ask), &i, sizeof i, KIN_FOREVER, NULL));
    check((int)kin_results_wait(results, QUESTIONS, KIN_ALL_COMPLETED, KIN_FOREVER));
    printf("%d questions took a tenth of a second at least: %s\n", QUESTIONS,
           kin_clock() - begin >= (QUESTIONS - 1) * 20 * 1000000LL ? "yes" : "no");
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
