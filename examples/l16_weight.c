/* L16: four workers. Tasks of weight 2 take the room of two, so that two of them run at a time; an exclusive one
 * runs alone. */
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <kin.h>

#include "check.h"

/* In family memory. */
struct counts {
    _Atomic int running, most, beside_exclusive;
};

struct order {
    struct counts *counts;
    int exclusive;
};

static int work(const struct order *in, int *out)
{
    struct counts *counts = in->counts;
    int running = ++counts->running;
    if (running > counts->most) counts->most = running;
    if (in->exclusive) counts->beside_exclusive += running - 1;
    nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    counts->running--;
    *out = 0;
    return 0;
}
KIN_MAP(work, struct order, int)

int main(void)
{
    enum { TASKS = 20 };
    kin_pool *pool = NULL;
    kin_result *results[TASKS];
    struct counts *counts = kin_alloc(sizeof *counts);
    if (counts == NULL) return EXIT_FAILURE;
    *counts = (struct counts){0};
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 4}));
    for (int i = 0; i < TASKS; i++) {
        struct order order = {counts, i == TASKS / 2};
        check(kin_pool_submit(pool, &results[i], KIN_FN(work), &order, sizeof order, KIN_FOREVER,
                              &(kin_task_options){.weight = 2, .exclusive = order.exclusive != 0}));
    }
    check((int)kin_results_wait(results, TASKS, KIN_ALL_COMPLETED, KIN_FOREVER));
    printf("at most %d at a time\n", counts->most);
    printf("beside the exclusive one: %d\n", counts->beside_exclusive);
    check(kin_pool_free(pool));
    check(kin_free(counts));
    return EXIT_SUCCESS;
}
