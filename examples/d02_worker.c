/* D02: a worker of a distributed job: it knows the names of the queues, an address and a key, and
 * nothing else.  Its master is d01_master, or that of the Python tutorial.
 *
 *     d02_worker [ADDRESS]          tcp://127.0.0.1:5000 unless given
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kin.h>

#include "check.h"

static void work(kin_proxy *tasks, kin_proxy *results)
{
    kin_value task;
    int64_t number;
    char text[64];
    int rc;
    while ((rc = kin_proxy_get(tasks, &task, kin_in_s(1))) == 0) {
        check(kin_value_get_int(&task, &number));
        kin_value_clear(&task);
        printf("run task %" PRId64 " * %" PRId64 "\n", number, number);
        snprintf(text, sizeof text, "%" PRId64 " * %" PRId64 " = %" PRId64, number, number, number * number);
        check(kin_proxy_put(results, kin_value_str(text), kin_in_s(5)));
    }
    if (rc != KIN_EMPTY) check(rc);
    printf("the task queue is empty\n");
}

int main(int count, char **words)
{
    const char *address = count > 1 ? words[1] : "tcp://127.0.0.1:5000";
    kin_manager *manager = NULL;
    kin_proxy *tasks = NULL, *results = NULL;
    check(kin_manager_connect(&manager, address, "abc", 3, kin_in_s(5)));
    check(kin_manager_create(manager, &tasks, "get_task_queue", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &results, "get_result_queue", kin_value_none(), kin_in_s(5)));
    work(tasks, results);
    check(kin_proxy_close(tasks));
    check(kin_proxy_close(results));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
