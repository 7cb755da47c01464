/* L25: tasks of one key run on one worker, in order: so what a worker has read for a customer is there for the
 * next task of the same. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct order {
    int customer, number;
};

struct outcome {
    int worker, before; /* how many of this customer it has had before */
};

static int book(const struct order *order, struct outcome *outcome)
{
    static int had[4]; /* the worker's own */
    *outcome = (struct outcome){getpid(), had[order->customer]};
    had[order->customer]++;
    return 0;
}
KIN_MAP(book, struct order, struct outcome)

int main(void)
{
    enum { CUSTOMERS = 4, ORDERS = 40 };
    kin_pool *pool = NULL;
    kin_result *results[ORDERS];
    int worker[CUSTOMERS] = {0}, same = 0, in_order = 0;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 3}));
    for (int i = 0; i < ORDERS; i++) {
        const struct order order = {i % CUSTOMERS, i / CUSTOMERS};
        const kin_task_options options = {.affinity = 1000 + (uint64_t)order.customer};
        check(kin_pool_submit(pool, &results[i], KIN_FN(book), &order, sizeof order, KIN_FOREVER, &options));
    }
    for (int i = 0; i < ORDERS; i++) {
        struct outcome outcome;
        check(kin_result_get(results[i], &outcome, sizeof outcome, KIN_FOREVER));
        if (i < CUSTOMERS) worker[i] = outcome.worker;
        same += outcome.worker == worker[i % CUSTOMERS];
        in_order += outcome.before == i / CUSTOMERS;
    }
    printf("on their customer's worker: %d of %d, in order: %d\n", same, ORDERS, in_order);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
