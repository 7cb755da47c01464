/* test_manager_pipeline.c: many calls of a manager's objects in flight at once: each has its own outcome, in order,
 * whatever goes wrong on the way.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/relay.h"

#define SOON   kin_in_s(20)
#define AT_END kin_in_s(50)
#define MANY   600
#define LARGE  (1 << 20)

static kin_manager *manager;
static kin_call calls[MANY];

static kin_manager *start(const char *address, int64_t grace_ns)
{
    kin_manager *made = NULL;
    CHECK_OK(kin_manager_start(
        &made, &(kin_manager_options){.address = address, .key = "k", .key_size = 1, .grace_ns = grace_ns}));
    return made;
}

static kin_call call(kin_proxy *proxy, const char *method, kin_value arguments)
{
    /* What `result` and `rc` were is of no interest. */
    kin_call made = {.proxy = proxy, .method = method, .arguments = arguments, .rc = 1};
    memset(&made.result, 0xa5, sizeof made.result);
    return made;
}

static int64_t number_of(const kin_value *value)
{
    int64_t number = -1;
    CHECK_OK(kin_value_get_int(value, &number));
    return number;
}

static void clear(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(kin_value_kind(&calls[i].arguments), KIN_VALUE_NONE);
        kin_value_clear(&calls[i].result);
    }
}

/* 0, 1, …: nothing is missing in the list, or is there twice, or out of order. */
static void check_list(kin_proxy *list, int64_t least, int64_t most)
{
    int64_t length = proxy_number(list, "__len__", kin_value_none(), SOON);
    CHECK_GE(length, least);
    CHECK_LE(length, most);
    for (int64_t i = 0; i < length; i++)
        CHECK_EQ(proxy_number(list, "__getitem__", kin_value_build("(l)", (long)i), SOON), i);
}

/* ---- outcomes -------------------------------------------------------------------------------------- */

/* Calls of three objects, among them some that fail in every way, with whatever server. */
static void mix(kin_manager *server)
{
    kin_proxy *list = manager_object(server, "list", SOON), *dict = manager_object(server, "dict", SOON);
    kin_proxy *queue = manager_object(server, "Queue", SOON);
    for (int i = 0; i < MANY; i += 6) {
        calls[i] = call(list, "append", kin_value_build("(i)", i));
        calls[i + 1] = call(dict, "__getitem__", kin_value_build("(i)", i));
        calls[i + 2] = call(dict, "__setitem__", kin_value_build("(ii)", i, i + 1));
        calls[i + 3] = call(queue, "get", kin_value_build("(b)", 0));
        calls[i + 4] = call(dict, "get", kin_value_build("(i)", i));
        calls[i + 5] = call(list, "pop", kin_value_failed(-EDOM));
    }
    CHECK_OK(kin_proxy_call_many(calls, MANY, AT_END));
    for (int i = 0; i < MANY; i += 6) {
        CHECK_RC(calls[i].rc, 0);
        CHECK_RC(calls[i + 1].rc, KIN_EREMOTE);
        CHECK_STR(kin_value_class_name(&calls[i + 1].result), "KeyError");
        CHECK_RC(calls[i + 2].rc, 0);
        CHECK_RC(calls[i + 3].rc, KIN_EMPTY);
        CHECK_STR(kin_value_class_name(&calls[i + 3].result), "Empty");
        CHECK_RC(calls[i + 4].rc, 0);
        CHECK_EQ(number_of(&calls[i + 4].result), i + 1);
        CHECK_RC(calls[i + 5].rc, -EDOM);
        CHECK_EQ(kin_value_kind(&calls[i + 5].result), KIN_VALUE_NONE);
    }
    clear(MANY);
    CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), MANY / 6);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_proxy_close(queue));
}

/* Requests and answers of a MiB, with small ones between; more than all buffers on the way hold. */
static void mix_large(kin_manager *server)
{
    static char bytes[LARGE];
    const int count = test_sanitized() ? 12 : 40, repeats = test_sanitized() ? 24 : 100;
    size_t size = 0;
    kin_proxy *list = manager_object(server, "list", SOON);
    for (int i = 0; i < LARGE; i++) bytes[i] = (char)(i * 7 + i / 251);
    for (int i = 0; i < count; i += 4) {
        bytes[0] = (char)i;
        calls[i] = call(list, "append", kin_value_build("(v)", kin_value_bytes(bytes, LARGE)));
        calls[i + 1] = call(list, "__getitem__", kin_value_build("(i)", -1));
        calls[i + 2] = call(list, "__len__", kin_value_none());
        calls[i + 3] = call(list, "pop", kin_value_none());
    }
    CHECK_OK(kin_proxy_call_many(calls, (size_t)count, AT_END));
    for (int i = 0; i < count; i += 4) {
        bytes[0] = (char)i;
        for (int k = 0; k < 4; k++) CHECK_RC(calls[i + k].rc, 0);
        CHECK_EQ(number_of(&calls[i + 2].result), 1);
        for (int k = 1; k < 4; k += 2) {
            const void *got = kin_value_get_bytes(&calls[i + k].result, &size);
            CHECK_EQ(size, LARGE);
            CHECK_MEM(got, bytes, LARGE);
        }
    }
    clear((size_t)count);
    /* Small requests with large answers: the server cannot get rid of them while it is asked. */
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_value_bytes(bytes, LARGE / 4)), NULL,
                            SOON));
    for (int i = 0; i < repeats; i++) calls[i] = call(list, "__getitem__", kin_value_build("(i)", 0));
    CHECK_OK(kin_proxy_call_many(calls, (size_t)repeats, AT_END));
    for (int i = 0; i < repeats; i++) {
        CHECK_RC(calls[i].rc, 0);
        CHECK(kin_value_get_bytes(&calls[i].result, &size) != NULL);
        CHECK_EQ(size, LARGE / 4);
    }
    clear((size_t)repeats);
    CHECK_OK(kin_proxy_close(list));
}

/* About as large as what may be on its way, and as half of that. */
static void mix_middling(kin_manager *server)
{
    static char bytes[40000];
    kin_proxy *list = manager_object(server, "list", SOON);
    int count = 0;
    for (; count < 240; count++) {
        size_t size = (size_t)(count % 3 * 16384 + count);
        calls[count] = call(list, "append", kin_value_build("(v)", kin_value_bytes(bytes, size)));
    }
    CHECK_OK(kin_proxy_call_many(calls, (size_t)count, AT_END));
    for (int i = 0; i < count; i++) CHECK_RC(calls[i].rc, 0);
    clear((size_t)count);
    CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), count);
    CHECK_OK(kin_proxy_close(list));
}

static void mix_all(const char *address)
{
    kin_manager *server = start(address, 0);
    mix(server);
    mix_large(server);
    mix_middling(server);
    CHECK_OK(kin_manager_close(server));
}

TEST(each_call_has_its_own_outcome)
{
    mix_all(NULL);
}

TEST(each_call_has_its_own_outcome_over_tcp)
{
    mix_all("tcp://127.0.0.1:0");
}

TEST(each_call_has_its_own_outcome_over_tls)
{
    mix_all("tls://127.0.0.1:0");
}

TEST(each_call_has_its_own_outcome_where_clients_come_back)
{
    kin_manager *server = start(NULL, INT64_C(60000000000));
    mix(server);
    mix_large(server);
    CHECK_OK(kin_manager_close(server));
}

static const char python[] =
    "import sys, multiprocessing.managers as m\n"
    "m.SyncManager(address='\\0' + sys.argv[1], authkey=b'k').get_server().serve_forever()\n";

static void serve_python(void *name)
{
    execl("/usr/bin/python3", "python3", "-c", python, (char *)name, (char *)NULL);
    _exit(127);
}

TEST(each_call_has_its_own_outcome_with_pythons_manager)
{
    const char *address = test_abstract_address();
    if (access("/usr/bin/python3", X_OK) != 0) SKIP("there is no python3");
    pid_t server = test_child(serve_python, (void *)(uintptr_t)(address + strlen("unix:@")));
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    mix(manager);
    mix_large(manager);
    mix_middling(manager);
    CHECK_OK(kin_manager_close(manager));
    CHECK_OK(kill(server, SIGKILL));
    test_collect(server);
}

static void *mix_in_thread(void *unused)
{
    kin_proxy *list = manager_object(manager, "list", SOON);
    kin_call own[200];
    (void)unused;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 200; i++)
            own[i] = i % 2 == 0 ? call(list, "append", kin_value_build("(i)", round * 100 + i / 2))
                                : call(list, "__getitem__", kin_value_build("(i)", -1));
        CHECK_OK(kin_proxy_call_many(own, 200, SOON));
        for (int i = 0; i < 200; i++) {
            CHECK_RC(own[i].rc, 0);
            if (i % 2 != 0) CHECK_EQ(number_of(&own[i].result), round * 100 + i / 2);
            kin_value_clear(&own[i].result);
        }
    }
    CHECK_OK(kin_proxy_close(list));
    return NULL;
}

static void mix_in_child(void *unused)
{
    mix_in_thread(unused);
}

TEST(threads_and_children_do_not_mix_their_answers)
{
    pthread_t threads[2];
    manager = start(NULL, 0);
    for (int i = 0; i < 2; i++) CHECK_OK(pthread_create(&threads[i], NULL, mix_in_thread, NULL));
    mix_in_thread(NULL);
    for (int i = 0; i < 2; i++) CHECK_OK(pthread_join(threads[i], NULL));
    pid_t child = test_child(mix_in_child, NULL);
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_manager_close(manager));
}

TEST(what_cannot_be_called_is_refused_as_a_whole)
{
    kin_manager *other = start(NULL, 0);
    manager = start(NULL, 0);
    kin_proxy *list = manager_object(manager, "list", SOON), *there = manager_object(other, "list", SOON);
    CHECK_OK(kin_proxy_call_many(NULL, 0, SOON));
    CHECK_RC(kin_proxy_call_many(NULL, 1, SOON), -EINVAL);
    for (int fault = 0; fault < 3; fault++) {
        calls[0] = call(list, "append", kin_value_build("(i)", 1));
        calls[1] = call(fault == 0   ? there
                        : fault == 1 ? NULL
                                     : list,
                        fault == 2 ? NULL : "append", kin_value_build("(i)", 1));
        CHECK_RC(kin_proxy_call_many(calls, 2, SOON), -EINVAL);
        for (int i = 0; i < 2; i++) CHECK_RC(calls[i].rc, -EINVAL);
        clear(2);
    }
    check_list(list, 0, 0);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(there));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_close(manager));
}

/* ---- calls that wait, and ends in the middle ---------------------------------------------------------- */

#define BEFORE 10
#define BEHIND 300

static char address[128];
static kin_proxy *list, *queue;
static void (*act)(void);

/* Ten calls, one that waits, and those behind it. */
static void lay_out(void)
{
    for (int i = 0; i < BEFORE + 1 + BEHIND; i++)
        calls[i] = i == BEFORE ? call(queue, "get", kin_value_none())
                               : call(list, "append", kin_value_build("(i)", i < BEFORE ? i : i - 1));
}

/* From another connection: those before the one that waits are done. */
static void *when_it_waits(void *unused)
{
    (void)unused;
    test_until(proxy_number(list, "__len__", kin_value_none(), SOON) == BEFORE);
    act();
    return NULL;
}

/* Returns what it comes to while another thread acts when the call in the middle waits. */
static int run_while(void (*what)(void), kin_deadline deadline)
{
    pthread_t thread;
    act = what;
    lay_out();
    CHECK_OK(pthread_create(&thread, NULL, when_it_waits, NULL));
    int rc = kin_proxy_call_many(calls, BEFORE + 1 + BEHIND, deadline);
    CHECK_OK(pthread_join(thread, NULL));
    return rc;
}

static void check_outcomes(int rc)
{
    for (int i = 0; i < BEFORE; i++) CHECK_RC(calls[i].rc, 0);
    for (int i = BEFORE; i < BEFORE + 1 + BEHIND; i++) CHECK_RC(calls[i].rc, rc);
    clear(BEFORE + 1 + BEHIND);
}

static void open_objects(void)
{
    list = manager_object(manager, "list", SOON);
    queue = manager_object(manager, "Queue", SOON);
}

static void close_objects(void)
{
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

static void put(void)
{
    CHECK_OK(kin_proxy_put(queue, kin_value_int(7), SOON));
}

TEST(a_call_that_waits_holds_up_those_behind_it)
{
    manager = start(NULL, 0);
    open_objects();
    CHECK_OK(run_while(put, SOON));
    CHECK_EQ(number_of(&calls[BEFORE].result), 7);
    check_outcomes(0);
    check_list(list, BEFORE + BEHIND, BEFORE + BEHIND);
    close_objects();
}

static void nothing(void)
{
}

TEST(a_deadline_in_the_middle_leaves_what_was_done)
{
    manager = start(NULL, 0);
    open_objects();
    CHECK_RC(run_while(nothing, kin_in_ms((int64_t)(1000 * test_time_scale()))), -ETIMEDOUT);
    check_outcomes(-ETIMEDOUT);
    check_list(list, BEFORE, BEFORE);
    /* Nobody gets what was put in too late. */
    put();
    CHECK_EQ(proxy_number(queue, "qsize", kin_value_none(), SOON), 1);
    close_objects();
}

/* The manager refuses it at its beginning and hangs up, while the rest is still being sent. */
TEST(a_request_that_is_refused_in_its_middle_costs_its_connection)
{
    static char much[8 << 20];
    CHECK_OK(kin_manager_start(&manager,
                               &(kin_manager_options){.key = "k", .key_size = 1, .max_message = 1 << 20}));
    for (int behind = 0; behind < 2; behind++) {
        kin_proxy *there = manager_object(manager, "list", SOON);
        calls[0] = call(there, "append", kin_value_build("(y#)", much, sizeof much));
        calls[1] = call(there, "__len__", kin_value_none());
        int rc = kin_proxy_call_many(calls, 1 + (size_t)behind, SOON);
        CHECK_LT(calls[0].rc, 0);
        if (behind) CHECK_LT(rc, 0);
        clear(1 + behind);
        /* The next call has a connection that works; the object may have gone with the one before. */
        kin_proxy *next = manager_object(manager, "list", SOON);
        CHECK_EQ(proxy_number(next, "__len__", kin_value_none(), SOON), 0);
        CHECK_OK(kin_proxy_close(next));
        kin_proxy_close(there);
    }
    CHECK_OK(kin_manager_close(manager));
}

TEST(after_the_deadline_nothing_is_asked_for_or_lost)
{
    manager = start(NULL, 0);
    open_objects();
    kin_proxy *lock = manager_object(manager, "Lock", SOON);
    CHECK_OK(kin_proxy_acquire(lock, SOON));
    lay_out();
    CHECK_RC(kin_proxy_call_many(calls, BEFORE, KIN_NOW), -ETIMEDOUT);
    for (int i = 0; i < BEFORE; i++) CHECK_RC(calls[i].rc, -ETIMEDOUT);
    clear(BEFORE);
    for (int i = BEFORE; i < BEFORE + 1 + BEHIND; i++) kin_value_clear(&calls[i].arguments);
    check_list(list, 0, 0);
    CHECK_OK(kin_proxy_release(lock));
    CHECK_OK(kin_proxy_close(lock));
    close_objects();
}

static pid_t server;

static void serve(void *unused)
{
    (void)unused;
    CHECK_OK(kin_manager_serve(&(kin_manager_options){.address = address, .key = "k", .key_size = 1}));
}

static void kill_server(void)
{
    CHECK_OK(kill(server, SIGKILL));
}

TEST(a_server_that_is_killed_leaves_what_it_had_answered)
{
    snprintf(address, sizeof address, "%s", test_abstract_address());
    server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    open_objects();
    int rc = run_while(kill_server, SOON);
    CHECK_RC(rc, -ECONNRESET);
    check_outcomes(rc);
    CHECK_EQ(test_collect(server), SIGKILL);
    /* Now there is none to connect to. */
    lay_out();
    CHECK_RC(kin_proxy_call_many(calls, BEFORE + 1 + BEHIND, SOON), -ECONNREFUSED);
    for (int i = 0; i < BEFORE + 1 + BEHIND; i++) CHECK_RC(calls[i].rc, -ECONNREFUSED);
    clear(BEFORE + 1 + BEHIND);
    close_objects();
}

/* ---- links that break --------------------------------------------------------------------------------- */

static struct relay relay;
static kin_proxy *seen; /* the list, past the relay */

static kin_manager *begin_relayed(int64_t grace_ns)
{
    kin_manager *here = start("tcp://127.0.0.1:0", grace_ns);
    kin_value named;
    relay = relay_start(kin_manager_address(here), 0);
    CHECK_OK(kin_manager_connect(&manager, relay.address, "k", 1, SOON));
    open_objects();
    named = kin_proxy_value(list);
    CHECK_OK(kin_manager_proxy(here, &seen, &named, SOON));
    kin_value_clear(&named);
    return here;
}

static void finish_relayed(kin_manager *here)
{
    close_objects();
    CHECK_OK(kin_proxy_close(seen));
    relay_end(&relay);
    CHECK_OK(kin_manager_close(here));
}

static void cut_link(void)
{
    CHECK_GT(relay_cut(&relay), 0);
}

TEST(a_link_that_breaks_loses_the_calls_on_their_way)
{
    kin_manager *here = begin_relayed(0);
    int answered = 0;
    CHECK_RC(run_while(cut_link, SOON), -ECONNRESET);
    while (calls[answered].rc == 0) answered++;
    /* Some answers may have been on their way. */
    CHECK_LE(answered, BEFORE);
    for (int i = answered; i < BEFORE + 1 + BEHIND; i++) CHECK_RC(calls[i].rc, -ECONNRESET);
    clear(BEFORE + 1 + BEHIND);
    check_list(seen, BEFORE, BEFORE);
    /* The references have gone with the link. */
    kin_proxy_close(list);
    kin_proxy_close(queue);
    list = queue = NULL;
    finish_relayed(here);
}

static void cut_link_and_put(void)
{
    cut_link();
    put();
}

TEST(where_clients_come_back_a_call_that_waits_goes_on)
{
    kin_manager *here = begin_relayed(INT64_C(60000000000));
    CHECK_OK(run_while(cut_link_and_put, SOON));
    CHECK_EQ(number_of(&calls[BEFORE].result), 7);
    check_outcomes(0);
    check_list(seen, BEFORE + BEHIND, BEFORE + BEHIND);
    finish_relayed(here);
}
