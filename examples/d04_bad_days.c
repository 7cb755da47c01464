/* D04: what happens to a distributed job on bad days: a wrong key, a worker that is killed in the
 * middle of a task, a master that is gone.  Errors are clear, and no task is lost. */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <kin.h>

#include "check.h"

#define TASKS 4

/* From a TaskQueue a task goes back to the front when the worker that took it is gone. */
static const kin_manager_type queues[] = {
    {.name = "tasks", .shared = "TaskQueue"},
    {.name = "results", .shared = "Queue"},
};

struct place {
    const char *address;
    bool dies;
};

static int work(void *of_place)
{
    struct place *place = of_place;
    kin_manager *manager = NULL;
    kin_proxy *tasks = NULL, *results = NULL;
    kin_value task;
    int64_t number;
    check(kin_manager_connect(&manager, place->address, "abc", 3, kin_in_s(5)));
    check(kin_manager_create(manager, &tasks, "tasks", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &results, "results", kin_value_none(), kin_in_s(5)));
    while (kin_proxy_get(tasks, &task, kin_in_s(0.1)) == 0) {
        check(kin_value_get_int(&task, &number));
        if (place->dies) {
            printf("a worker has taken task %" PRId64 " and is killed\n", number);
            fflush(stdout);
            raise(SIGKILL);
        }
        check(kin_proxy_put(results, kin_value_int(number * number), kin_in_s(5)));
        check(kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, kin_in_s(5)));
    }
    check(kin_proxy_close(tasks));
    check(kin_proxy_close(results));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}

static void run_worker(const char *address, bool dies)
{
    kin_process *worker = NULL;
    struct place place = {.address = address, .dies = dies};
    check(kin_process_start(&worker, work, &place, NULL));
    check(kin_process_join(worker, KIN_FOREVER));
    check(kin_process_close(worker));
}

int main(void)
{
    kin_manager *manager = NULL, *other = NULL;
    kin_proxy *tasks = NULL, *results = NULL;
    kin_value result;
    int64_t sum = 0, square;
    check(kin_manager_start(
        &manager,
        &(kin_manager_options){
            .address = "tcp://127.0.0.1:0", .key = "abc", .key_size = 3, .types = queues, .type_count = 2}));
    const char *address = kin_manager_address(manager);
    printf("with a wrong key: %s\n",
           kin_strerror(kin_manager_connect(&other, address, "abd", 3, kin_in_s(5))));

    check(kin_manager_create(manager, &tasks, "tasks", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &results, "results", kin_value_none(), kin_in_s(5)));
    for (int i = 1; i <= TASKS; i++) check(kin_proxy_put(tasks, kin_value_int(i), kin_in_s(5)));
    run_worker(address, true);
    run_worker(address, false);
    check(kin_proxy_call(tasks, "join", kin_value_none(), NULL, kin_in_s(5)));
    for (int i = 0; i < TASKS; i++) {
        check(kin_proxy_get(results, &result, kin_in_s(5)));
        check(kin_value_get_int(&result, &square));
        sum += square;
    }
    printf("%d tasks are done, the sum of their squares is %" PRId64 "\n", TASKS, sum);

    check(kin_manager_shutdown(manager, kin_in_s(5)));
    int rc = kin_proxy_get(tasks, &result, kin_in_s(1));
    printf("without a master: %s\n", rc < 0 ? "an error at once" : "nothing is said");
    check(kin_proxy_close(tasks));
    check(kin_proxy_close(results));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
