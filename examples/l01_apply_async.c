/* L01: a pool of four workers and five tasks that take a while: at most four run at once, the fifth
 * starts when one of them ends; close and join wait for all. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct errand {
    int number;
    int milliseconds;
};

static int run_errand(const struct errand *errand, double *seconds)
{
    kin_deadline start = kin_clock();
    printf("task %d starts in process %d\n", errand->number, getpid());
    usleep(errand->milliseconds * 1000);
    *seconds = (kin_clock() - start) / 1e9;
    printf("task %d took %.2f s\n", errand->number, *seconds);
    return 0;
}
KIN_MAP(run_errand, struct errand, double)

int main(void)
{
    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 4}));
    srand(getpid());
    for (int i = 0; i < 5; i++) {
        struct errand errand = {.number = i, .milliseconds = 50 + rand() % 150};
        kin_result *result = NULL;
        check(kin_pool_submit(pool, &result, KIN_FN(run_errand), &errand, sizeof errand, KIN_FOREVER, NULL));
        check(kin_result_close(result)); /* the outcome is not wanted; the task goes on */
    }
    printf("all are submitted\n");
    check(kin_pool_close(pool));
    check(kin_pool_join(pool, KIN_FOREVER));
    printf("all are done\n");
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
