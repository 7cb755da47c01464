/* D03: the same worker with queues of this program's family, and with queues of a manager, which could be
 * anywhere: how they are opened is all that differs.
 */
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define JOBS 6

struct queues {
    kin_queue *jobs;
    kin_queue *results;
};

static int work(void *of_queues)
{
    struct queues *queues = of_queues;
    int number;
    while (kin_queue_get(queues->jobs, &number, sizeof number, kin_in_s(5)) >= 0) {
        number *= number;
        check(kin_queue_put(queues->results, &number, sizeof number, kin_in_s(5)));
        check(kin_queue_task_done(queues->jobs));
    }
    return 0;
}

static void open_here(struct queues *queues)
{
    check(kin_queue_open(&queues->jobs, &(kin_queue_options){.joinable = 1}));
    check(kin_queue_open(&queues->results, NULL));
}

static void open_there(struct queues *queues, kin_manager *manager)
{
    kin_queue_options options = {.address = kin_manager_address(manager)};
    options.key = kin_manager_key(manager, &options.key_size);
    options.name = "jobs";
    check(kin_queue_open(&queues->jobs, &options));
    options.name = "results";
    check(kin_queue_open(&queues->results, &options));
}

/* Knows nothing of where the queues are. */
static int sum_of_squares(struct queues *queues)
{
    kin_process *workers[2];
    int sum = 0, number;
    for (int i = 0; i < 2; i++) check(kin_process_start(&workers[i], work, queues, NULL));
    for (int i = 1; i <= JOBS; i++) check(kin_queue_put(queues->jobs, &i, sizeof i, kin_in_s(5)));
    check(kin_queue_join(queues->jobs, kin_in_s(20)));
    check(kin_queue_shutdown(queues->jobs, 0));
    for (int i = 0; i < JOBS; i++) {
        check(kin_queue_get(queues->results, &number, sizeof number, kin_in_s(5)));
        sum += number;
    }
    for (int i = 0; i < 2; i++) {
        check(kin_process_join(workers[i], kin_in_s(20)));
        check(kin_process_close(workers[i]));
    }
    check(kin_queue_close(queues->jobs));
    check(kin_queue_close(queues->results));
    return sum;
}

int main(void)
{
    static const kin_manager_type types[] = {{.name = "jobs", .shared = "TaskQueue"},
                                             {.name = "results", .shared = "Queue"}};
    struct queues queues;
    kin_manager *manager = NULL;
    open_here(&queues);
    printf("here: the sum of the squares of 1 to %d is %d\n", JOBS, sum_of_squares(&queues));
    fflush(stdout);
    check(kin_manager_start(
        &manager, &(kin_manager_options){.address = "tls://127.0.0.1:0", .types = types, .type_count = 2}));
    open_there(&queues, manager);
    printf("there: the sum of the squares of 1 to %d is %d\n", JOBS, sum_of_squares(&queues));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
