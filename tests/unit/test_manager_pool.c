/* test_manager_pool.c: tasks that clients of a manager have run by name: results, failures, deaths of
 * workers and of clients, the end of a pool.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/start.h>

#define SOON kin_in_s(20)

static int twice(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    int64_t given;
    /* However they are given: apply, map, starmap. */
    int rc = kin_value_parse(arguments, "(L)", &given);
    if (kin_value_kind(keywords) != KIN_VALUE_DICT) rc = -EINVAL;
    if (rc == 0) *result = kin_value_int(2 * given);
    return rc;
}

static int die(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    (void)arguments;
    (void)keywords;
    (void)result;
    raise(SIGKILL);
    return 0;
}

/* Goes on when somebody writes into the pipe of the test. */
static int gate[2];

static int wait_at_gate(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    char byte;
    (void)arguments;
    (void)keywords;
    *result = kin_value_bool(read(gate[0], &byte, 1) == 1);
    return 0;
}

/* Of 2 it leaves what is no value. */
static int sometimes_nothing(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    int64_t given = 0;
    (void)keywords;
    int rc = kin_value_get_int(kin_value_at(arguments, 0), &given);
    *result = given == 2 ? kin_value_str("\xff") : kin_value_int(given);
    return rc;
}

static const kin_manager_task tasks[] = {
    {"twice", twice}, {"die", die}, {"wait", wait_at_gate}, {"sometimes", sometimes_nothing}};

static kin_manager *start(void)
{
    kin_manager *manager = NULL;
    CHECK_OK(pipe(gate));
    CHECK_OK(
        kin_manager_start(&manager, &(kin_manager_options){.tasks = tasks, .task_count = 4, .workers = 2}));
    return manager;
}

static kin_proxy *make_pool(kin_manager *manager)
{
    kin_proxy *pool = NULL;
    CHECK_OK(kin_manager_create(manager, &pool, "Pool", kin_value_none(), SOON));
    return pool;
}

static void finish(kin_manager *manager, kin_proxy *pool)
{
    CHECK_OK(kin_proxy_close(pool));
    CHECK_OK(kin_manager_close(manager));
    close(gate[0]);
    close(gate[1]);
}

static void check_repr(kin_value *value, const char *repr)
{
    char text[256];
    kin_value_repr(value, text, sizeof text);
    CHECK_STR(text, repr);
    kin_value_clear(value);
}

/* Begins a task and returns the proxy of its result. */
static kin_proxy *begin(kin_manager *manager, kin_proxy *pool, const char *name)
{
    kin_value value;
    kin_proxy *result = NULL;
    CHECK_OK(kin_proxy_call(pool, "apply_async", kin_value_build("(s)", name), &value, SOON));
    CHECK_OK(kin_manager_proxy(manager, &result, &value, SOON));
    kin_value_clear(&value);
    return result;
}

static const char *raised(kin_manager *manager)
{
    static char text[512];
    const kin_value *error = kin_manager_error(manager);
    CHECK(error != NULL);
    kin_value_repr(error, text, sizeof text);
    return text;
}

TEST(results_come_in_order_and_failures_by_name)
{
    kin_manager *manager = start();
    kin_proxy *pool = make_pool(manager);
    kin_value value;
    CHECK_OK(
        kin_proxy_call(pool, "map", kin_value_build("(s[iiiii])", "twice", 1, 2, 3, 4, 5), &value, SOON));
    check_repr(&value, "[2, 4, 6, 8, 10]");
    CHECK_RC(kin_proxy_call(pool, "map", kin_value_build("(s[is])", "twice", 1, "x"), &value, SOON),
             KIN_EREMOTE);
    CHECK(strstr(raised(manager), "TypeError") != NULL);
    CHECK_RC(kin_proxy_call(pool, "apply", kin_value_build("(s)", "unknown"), &value, SOON), KIN_EREMOTE);
    CHECK_STR(raised(manager), "NameError(\"this manager has no task 'unknown'\")");
    CHECK_RC(kin_proxy_call(pool, "apply", kin_value_build("(i)", 5), &value, SOON), KIN_EREMOTE);
    finish(manager, pool);
}

TEST(a_worker_that_dies_fails_its_task_and_no_other)
{
    kin_manager *manager = start();
    kin_proxy *pool = make_pool(manager);
    kin_value value;
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_proxy_call(pool, "apply", kin_value_build("(s)", "die"), &value, SOON), KIN_EREMOTE);
        CHECK(strstr(raised(manager), "killed by SIGKILL") != NULL);
        CHECK_OK(kin_proxy_call(pool, "apply", kin_value_build("(s(i))", "twice", i), &value, SOON));
        int64_t got = -1;
        CHECK_OK(kin_value_get_int(&value, &got));
        CHECK_EQ(got, 2 * i);
    }
    finish(manager, pool);
}

TEST(a_pool_has_so_many_tasks_in_work)
{
    kin_manager *manager = start();
    kin_proxy *pool = NULL, *first, *second;
    kin_value value;
    CHECK_OK(kin_manager_create(manager, &pool, "Pool", kin_value_build("(i)", 1), SOON));
    first = begin(manager, pool, "wait");
    second = begin(manager, pool, "wait");
    CHECK_RC(kin_proxy_call(first, "get", kin_value_build("(d)", 0.05), &value, SOON), KIN_EREMOTE);
    CHECK_STR(raised(manager), "TimeoutError()");
    /* The second one would take it if it ran. */
    CHECK_EQ(write(gate[1], "x", 1), 1);
    CHECK_OK(kin_proxy_call(first, "get", kin_value_none(), &value, SOON));
    check_repr(&value, "True");
    CHECK_EQ(write(gate[1], "x", 1), 1);
    CHECK_OK(kin_proxy_call(second, "get", kin_value_none(), &value, SOON));
    check_repr(&value, "True");
    CHECK_OK(kin_proxy_close(first));
    CHECK_OK(kin_proxy_close(second));
    finish(manager, pool);
}

/* Four chunks for each of so many would be none at all. */
TEST(a_pool_of_absurdly_many_processes_maps)
{
    kin_manager *manager = start();
    kin_proxy *pool = NULL;
    kin_value value;
    CHECK_OK(kin_manager_create(manager, &pool, "Pool", kin_value_build("(K)", (uint64_t)1 << 62), SOON));
    CHECK_OK(kin_proxy_call(pool, "map", kin_value_build("(s[ii])", "twice", 1, 2), &value, SOON));
    check_repr(&value, "[2, 4]");
    finish(manager, pool);
}

static void leave_while_waiting(void *of_manager)
{
    kin_proxy *pool = make_pool(of_manager);
    kin_value value;
    kin_proxy_call(pool, "apply", kin_value_build("(s)", "wait"), &value, kin_in_ms(1));
    _exit(0);
}

TEST(terminate_fails_what_is_not_done)
{
    kin_manager *manager = start();
    kin_proxy *pool = make_pool(manager);
    kin_value value;
    CHECK_EQ(test_collect(test_child(leave_while_waiting, manager)), 0);
    kin_proxy *results[4];
    for (int i = 0; i < 4; i++) results[i] = begin(manager, pool, "wait");
    CHECK_OK(kin_proxy_call(pool, "terminate", kin_value_none(), NULL, SOON));
    for (int i = 0; i < 4; i++) {
        CHECK_RC(kin_proxy_call(results[i], "get", kin_value_none(), &value, SOON), KIN_EREMOTE);
        CHECK_STR(raised(manager), "ProcessError('the pool was terminated')");
        CHECK_OK(kin_proxy_close(results[i]));
    }
    CHECK_OK(kin_proxy_call(pool, "join", kin_value_none(), NULL, SOON));
    CHECK_RC(kin_proxy_call(pool, "apply", kin_value_build("(s)", "twice"), &value, SOON), KIN_EREMOTE);
    CHECK_STR(raised(manager), "ValueError('Pool not running')");
    finish(manager, pool);
}

/* The client that waits for join is answered when the last task is done. */
static void join_pool(void *of_value)
{
    void **both = of_value;
    kin_proxy *pool = both[1];
    CHECK_OK(kin_proxy_call(pool, "join", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_close(pool));
}

TEST(join_waits_for_the_last_task)
{
    kin_manager *manager = start();
    kin_proxy *pool = make_pool(manager);
    kin_proxy *result = begin(manager, pool, "wait");
    kin_value value;
    void *both[2] = {manager, pool};
    CHECK_RC(kin_proxy_call(pool, "join", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    CHECK_OK(kin_proxy_call(pool, "close", kin_value_none(), NULL, SOON));
    pid_t joiner = test_child(join_pool, both);
    CHECK_EQ(write(gate[1], "x", 1), 1);
    CHECK_EQ(test_collect(joiner), 0);
    CHECK_OK(kin_proxy_call(result, "ready", kin_value_none(), &value, SOON));
    check_repr(&value, "True");
    CHECK_OK(kin_proxy_close(result));
    finish(manager, pool);
}

/* An outcome that cannot be told is its item's failure, and no item is left out. */
TEST(what_is_no_value_is_a_failure)
{
    kin_manager *manager = start();
    kin_proxy *pool = make_pool(manager);
    kin_value value;
    CHECK_OK(kin_proxy_call(pool, "apply", kin_value_build("(s(i))", "sometimes", 1), &value, SOON));
    check_repr(&value, "1");
    CHECK_RC(kin_proxy_call(pool, "apply", kin_value_build("(s(i))", "sometimes", 2), &value, SOON),
             KIN_EREMOTE);
    CHECK(strstr(raised(manager), "OSError(") != NULL);
    kin_value arguments = kin_value_build("(s[iiii]i)", "sometimes", 1, 2, 3, 4, 4);
    CHECK_RC(kin_proxy_call(pool, "map", arguments, &value, SOON), KIN_EREMOTE);
    CHECK(strstr(raised(manager), "OSError(") != NULL);
    CHECK_OK(
        kin_proxy_call(pool, "map", kin_value_build("(s[iii]i)", "sometimes", 1, 3, 4, 3), &value, SOON));
    check_repr(&value, "[1, 3, 4]");
    finish(manager, pool);
}

static bool nothing_in(int descriptor)
{
    int bytes = -1;
    CHECK_OK(ioctl(descriptor, FIONREAD, &bytes));
    return bytes == 0;
}

static bool is_ready(kin_proxy *result)
{
    return proxy_number(result, "ready", kin_value_none(), SOON) == 1;
}

/* Of one who has asked for more than there is room for, others wait for a turn, not for all of it. */
TEST(a_client_that_asks_for_much_leaves_turns_to_others)
{
    enum { MANY = 5000, TURNS = MANY / 2 };
    kin_manager *manager = start();
    kin_proxy *greedy = NULL, *modest = make_pool(manager), *all = NULL;
    kin_value value, items = kin_value_list(NULL, 0);
    CHECK_OK(kin_manager_create(manager, &greedy, "Pool", kin_value_build("(i)", 100000), SOON));
    for (int i = 0; i < MANY; i++) CHECK_OK(kin_value_list_append(&items, kin_value_tuple(NULL, 0)));
    CHECK_OK(
        kin_proxy_call(greedy, "starmap_async", kin_value_build("(svi)", "wait", items, 1), &value, SOON));
    CHECK_OK(kin_manager_proxy(manager, &all, &value, SOON));
    kin_value_clear(&value);
    kin_proxy *result = NULL;
    CHECK_OK(kin_proxy_call(modest, "apply_async", kin_value_build("(s(i))", "twice", 21), &value, SOON));
    CHECK_OK(kin_manager_proxy(manager, &result, &value, SOON));
    kin_value_clear(&value);
    /* None of the other's ends but by this. */
    int let_go = 0;
    while (!is_ready(result)) {
        CHECK_LT(let_go, TURNS);
        CHECK_EQ(write(gate[1], "x", 1), 1);
        let_go++;
        test_until(is_ready(result) || nothing_in(gate[0]));
    }
    CHECK_OK(kin_proxy_call(result, "get", kin_value_none(), &value, SOON));
    check_repr(&value, "42");
    CHECK_EQ(proxy_number(all, "ready", kin_value_none(), SOON), 0);
    CHECK_OK(kin_proxy_call(greedy, "terminate", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_call(modest, "apply", kin_value_build("(s(i))", "twice", 4), &value, SOON));
    check_repr(&value, "8");
    CHECK_OK(kin_proxy_close(all));
    CHECK_OK(kin_proxy_close(result));
    CHECK_OK(kin_proxy_close(greedy));
    finish(manager, modest);
}

/* What terminate ends makes room: a task that would never end is not run on. */
TEST(a_terminated_task_leaves_its_worker)
{
    kin_manager *manager = start();
    kin_value value;
    for (int i = 0; i < 3; i++) {
        kin_proxy *pool = make_pool(manager), *first = begin(manager, pool, "wait");
        kin_proxy *second = begin(manager, pool, "wait"), *third = begin(manager, pool, "wait");
        CHECK_OK(kin_proxy_call(pool, "terminate", kin_value_none(), NULL, SOON));
        CHECK_OK(kin_proxy_close(first));
        CHECK_OK(kin_proxy_close(second));
        CHECK_OK(kin_proxy_close(third));
        CHECK_OK(kin_proxy_close(pool));
    }
    kin_proxy *pool = make_pool(manager);
    CHECK_OK(kin_proxy_call(pool, "apply", kin_value_build("(s(i))", "twice", 3), &value, SOON));
    check_repr(&value, "6");
    finish(manager, pool);
}

/* ---- start methods -------------------------------------------------------------------------------------- */

/* The server and its workers have what was made here, whatever is the program's way of starting processes. */
static void start_and_apply(void)
{
    kin_manager *manager = start();
    kin_proxy *pool = make_pool(manager);
    kin_value value;
    CHECK_OK(kin_proxy_call(pool, "apply", kin_value_build("(s(i))", "twice", 21), &value, SOON));
    check_repr(&value, "42");
    finish(manager, pool);
}

static void serve(void *address)
{
    CHECK_OK(kin_manager_serve(&(kin_manager_options){.address = address,
                                                      .key = "sesame",
                                                      .key_size = 6,
                                                      .tasks = tasks,
                                                      .task_count = 4,
                                                      .workers = 1,
                                                      .end_by_signal = true}));
}

/* The same of a server that is a process of the user's own. */
static void serve_and_apply(void)
{
    char address[64];
    snprintf(address, sizeof address, "%s", test_abstract_address());
    kin_manager *manager = NULL;
    kin_value value;
    pid_t server = test_child(serve, address);
    test_until(kin_manager_connect(&manager, address, "sesame", 6, SOON) == 0);
    kin_proxy *pool = make_pool(manager);
    CHECK_OK(kin_proxy_call(pool, "apply", kin_value_build("(s(i))", "twice", 21), &value, SOON));
    check_repr(&value, "42");
    CHECK_OK(kin_proxy_close(pool));
    CHECK_OK(kin_manager_close(manager));
    test_terminate(server);
    CHECK_EQ(test_collect(server), 0);
}

TEST_COLD(tasks_are_run_when_the_start_method_is_spawn)
{
    CHECK_OK(kin_set_start_method(KIN_SPAWN));
    start_and_apply();
    serve_and_apply();
}

TEST_COLD(tasks_are_run_when_the_start_method_is_forkserver)
{
    CHECK_OK(kin_set_start_method(KIN_FORKSERVER));
    start_and_apply();
    serve_and_apply();
}
