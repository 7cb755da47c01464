/* D01: the master of a distributed job: a manager offers a queue of tasks and a queue of results to
 * whoever knows its address and key.  Workers are d02_worker, on this machine or others, or those of
 * the Python tutorial.
 *
 *     d01_master [ADDRESS]          tcp://127.0.0.1:5000 unless given; port 0 is any free one
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <kin.h>

#include "check.h"

#define TASKS 10

/* Everybody who asks for one of these gets the same queue. */
static const kin_manager_type queues[] = {
    {.name = "get_task_queue", .shared = "Queue"},
    {.name = "get_result_queue", .shared = "Queue"},
};

static void put_tasks(kin_proxy *tasks)
{
    srand((unsigned)time(NULL));
    for (int i = 0; i < TASKS; i++) {
        int number = rand() % 10000;
        printf("put task %d\n", number);
        check(kin_proxy_put(tasks, kin_value_int(number), kin_in_s(5)));
    }
}

static void get_results(kin_proxy *results)
{
    for (int i = 0; i < TASKS; i++) {
        kin_value result;
        int rc = kin_proxy_get(results, &result, kin_in_s(5));
        if (rc == KIN_EMPTY) {
            printf("the result queue is empty\n");
            continue;
        }
        check(rc);
        printf("result: %s\n", kin_value_get_str(&result, NULL));
        kin_value_clear(&result);
    }
}

int main(int count, char **words)
{
    kin_manager *manager = NULL;
    kin_proxy *tasks = NULL, *results = NULL;
    check(kin_manager_start(&manager, &(kin_manager_options){
                                          .address = count > 1 ? words[1] : "tcp://127.0.0.1:5000",
                                          .key = "abc",
                                          .key_size = 3,
                                          .types = queues,
                                          .type_count = 2,
                                      }));
    printf("the manager is at %s\n", kin_manager_address(manager));
    fflush(stdout);
    check(kin_manager_create(manager, &tasks, "get_task_queue", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &results, "get_result_queue", kin_value_none(), kin_in_s(5)));
    put_tasks(tasks);
    get_results(results);
    check(kin_proxy_close(tasks));
    check(kin_proxy_close(results));
    check(kin_manager_shutdown(manager, kin_in_s(5)));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
