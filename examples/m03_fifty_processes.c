/* M03: a manager's list and dict: fifty processes each add one to list[0] and take one from
 * dict["count"], under the manager's lock: none of the changes is lost. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kin.h>

#include "check.h"

#define PROCESSES 50

struct shared {
    kin_proxy *lock;
    kin_proxy *list;
    kin_proxy *dict;
};

static int64_t number(kin_proxy *container, kin_value key)
{
    kin_value value;
    int64_t got;
    check(kin_proxy_call(container, "__getitem__", key, &value, kin_in_s(30)));
    check(kin_value_get_int(&value, &got));
    return got;
}

static int change(void *of_shared)
{
    struct shared *shared = of_shared;
    check(kin_proxy_acquire(shared->lock, kin_in_s(30)));
    int64_t up = number(shared->list, kin_value_build("(i)", 0)) + 1;
    int64_t down = number(shared->dict, kin_value_build("(s)", "count")) - 1;
    check(kin_proxy_call(shared->list, "__setitem__", kin_value_build("(ik)", 0, up), NULL, kin_in_s(30)));
    check(kin_proxy_call(shared->dict, "__setitem__", kin_value_build("(sk)", "count", down), NULL,
                         kin_in_s(30)));
    check(kin_proxy_release(shared->lock));
    return EXIT_SUCCESS;
}

int main(void)
{
    kin_manager *manager = NULL;
    kin_process *processes[PROCESSES];
    struct shared shared = {0};
    check(kin_manager_start(&manager, NULL));
    check(kin_manager_create(manager, &shared.lock, "Lock", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &shared.list, "list", kin_value_build("([i])", 0), kin_in_s(5)));
    check(kin_manager_create(manager, &shared.dict, "dict", kin_value_build("{s:i}", "count", 100),
                             kin_in_s(5)));
    for (int i = 0; i < PROCESSES; i++) check(kin_process_start(&processes[i], change, &shared, NULL));
    for (int i = 0; i < PROCESSES; i++) {
        check(kin_process_join(processes[i], KIN_FOREVER));
        check(kin_process_close(processes[i]));
    }
    printf("data[0] is %" PRId64 "\n", number(shared.list, kin_value_build("(i)", 0)));
    printf("data[\"count\"] is %" PRId64 "\n", number(shared.dict, kin_value_build("(s)", "count")));
    check(kin_proxy_close(shared.lock));
    check(kin_proxy_close(shared.list));
    check(kin_proxy_close(shared.dict));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
