/* M05: a pool of a manager's runs functions by their names, for any client, a Python program too; a set and a
 * snapshot keep what was done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define FILE_NAME "done.snapshot"

static int square(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    int64_t number;
    (void)keywords;
    int rc = kin_value_get_int(kin_value_at(arguments, 0), &number);
    if (rc == 0) *result = kin_value_int(number * number);
    return rc;
}

static const kin_manager_task tasks[] = {{"square", square}};
static const kin_manager_type types[] = {{.name = "done", .shared = "set"}};

static kin_manager *start(void)
{
    kin_manager *manager = NULL;
    check(kin_manager_start(&manager, &(kin_manager_options){.types = types,
                                                             .type_count = 1,
                                                             .tasks = tasks,
                                                             .task_count = 1,
                                                             .workers = 2,
                                                             .snapshot = FILE_NAME}));
    return manager;
}

int main(void)
{
    char text[128];
    kin_proxy *pool = NULL, *done = NULL;
    kin_value result;
    kin_manager *manager = start();
    check(kin_manager_create(manager, &pool, "Pool", kin_value_none(), kin_in_s(5)));
    check(kin_manager_create(manager, &done, "done", kin_value_none(), kin_in_s(5)));
    check(kin_proxy_call(pool, "map", kin_value_build("(s[iiii])", "square", 1, 2, 3, 4), &result,
                         kin_in_s(20)));
    kin_value_repr(&result, text, sizeof text);
    printf("the squares are %s\n", text);
    check(kin_proxy_call(done, "update", kin_value_build("(v)", result), NULL, kin_in_s(5)));
    check(kin_proxy_close(done));
    check(kin_proxy_close(pool));
    check(kin_manager_close(manager));

    /* Another manager goes on with what the file holds. */
    manager = start();
    check(kin_manager_create(manager, &done, "done", kin_value_none(), kin_in_s(5)));
    check(kin_proxy_call(done, "__len__", kin_value_none(), &result, kin_in_s(5)));
    kin_value_repr(&result, text, sizeof text);
    printf("%s are known after a restart\n", text);
    check(kin_proxy_close(done));
    check(kin_manager_close(manager));
    unlink(FILE_NAME);
    return EXIT_SUCCESS;
}
