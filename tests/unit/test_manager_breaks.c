/* test_manager_breaks.c: many calls in flight over a link that breaks, where clients come back: each is done once and
 * has its own outcome.  And servers that answer what nobody has asked, or cannot keep answers.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/relay.h"

#define SOON   kin_in_s(20)
#define AT_END kin_in_s(50)
#define MANY   600
#define LARGE  30000

static kin_manager *here, *manager; /* which serves; its client, past the relay */
static struct relay relay;
static kin_call calls[MANY];
static kin_proxy *list, *queue, *lock;
static kin_proxy *seen; /* the list, without the relay */

static void open_all(void)
{
    CHECK_OK(kin_manager_start(&here, &(kin_manager_options){.address = "tcp://127.0.0.1:0",
                                                             .key = "k",
                                                             .key_size = 1,
                                                             .grace_ns = INT64_C(60000000000)}));
    relay = relay_start(kin_manager_address(here), 0);
    CHECK_OK(kin_manager_connect(&manager, relay.address, "k", 1, SOON));
    list = manager_object(manager, "list", SOON);
    queue = manager_object(manager, "Queue", SOON);
    lock = manager_object(manager, "Lock", SOON);
    kin_value named = kin_proxy_value(list);
    CHECK_OK(kin_manager_proxy(here, &seen, &named, SOON));
    kin_value_clear(&named);
    /* A client that the server does not know yet cannot come back. */
    CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
}

static void close_all(void)
{
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(queue));
    CHECK_OK(kin_proxy_close(lock));
    CHECK_OK(kin_manager_close(manager));
    CHECK_OK(kin_proxy_close(seen));
    relay_end(&relay);
    CHECK_OK(kin_manager_close(here));
}

static int64_t number_of(const kin_value *value)
{
    int64_t number = -1;
    CHECK_OK(kin_value_get_int(value, &number));
    return number;
}

static int64_t length(void)
{
    return proxy_number(seen, "__len__", kin_value_none(), SOON);
}

/* 0, 1, … and no more. */
static void check_list(int64_t count)
{
    CHECK_EQ(length(), count);
    for (int64_t i = 0; i < count; i++)
        CHECK_EQ(proxy_number(seen, "__getitem__", kin_value_build("(l)", (long)i), SOON), i);
}

/* ---- each is done once ------------------------------------------------------------------------------- */

static _Atomic bool over;

/* Cuts the link once some of the calls are done. */
static void *cut(void *least)
{
    while (length() < (int)(intptr_t)least && !over) continue;
    relay_cut(&relay);
    return NULL;
}

/* Numbers go into the list and, as large items now and then, through the queue.  Returns whether the link broke
 * before all were answered: then there are new connections. */
static bool round_with_cut(int from, int cut_at, bool large)
{
    static char bytes[LARGE];
    pthread_t thread;
    for (int i = 0; i < MANY; i += 3) {
        int number = from + i / 3;
        kin_value item =
            large ? kin_value_bytes(bytes, (size_t)(LARGE - number % 100)) : kin_value_int(number);
        calls[i] = (kin_call){.proxy = list, .method = "append", .arguments = kin_value_build("(i)", number)};
        calls[i + 1] = (kin_call){.proxy = queue, .method = "put", .arguments = kin_value_build("(v)", item)};
        calls[i + 2] = (kin_call){.proxy = queue, .method = "get", .arguments = kin_value_build("(b)", 0)};
    }
    over = false;
    CHECK_OK(pthread_create(&thread, NULL, cut, (void *)(intptr_t)(from + cut_at)));
    long opened = relay_opened(&relay);
    CHECK_OK(kin_proxy_call_many(calls, MANY, AT_END));
    bool broke = relay_opened(&relay) > opened;
    over = true;
    CHECK_OK(pthread_join(thread, NULL));
    for (int i = 0; i < MANY; i++) {
        int number = from + i / 3;
        size_t size = 0;
        CHECK_RC(calls[i].rc, 0);
        if (i % 3 == 2 && !large) CHECK_EQ(number_of(&calls[i].result), number);
        if (i % 3 == 2 && large) kin_value_get_bytes(&calls[i].result, &size);
        if (i % 3 == 2 && large) CHECK_EQ(size, LARGE - number % 100);
        kin_value_clear(&calls[i].result);
    }
    return broke;
}

static void break_often(int wanted, bool large)
{
    int rounds = 0, breaks = 0;
    open_all();
    /* Where the processors are busy the cut comes late now and then. */
    for (; breaks < wanted && rounds < 3 * wanted; rounds++)
        breaks += round_with_cut(rounds * MANY / 3, rounds * 37 % (MANY / 6), large);
    if (breaks == 0 && !test_again()) CHECK_GT(breaks, 0);
    check_list((int64_t)rounds * MANY / 3);
    CHECK_EQ(proxy_number(queue, "qsize", kin_value_none(), SOON), 0);
    close_all();
}

TEST(each_call_is_done_once, .deadline = 120)
{
    break_often(test_sanitized() ? 4 : 12, false);
}

/* Of which the server does not keep many. */
TEST(each_call_with_a_large_answer_is_done_once, .deadline = 120)
{
    break_often(test_sanitized() ? 2 : 6, true);
}

/* ---- a deadline in a break --------------------------------------------------------------------------- */

#define BEFORE 10
#define BEHIND 50

static kin_proxy *gate, *seen_gate; /* two have to come; the same without the relay */
static kin_deadline cut_at;

static int64_t count_waiting(void)
{
    return proxy_number(seen_gate, "__getattribute__", kin_value_build("(s)", "n_waiting"), SOON);
}

/* Once the server has the first of the calls, which it cannot answer. */
static void *break_for_good(void *unused)
{
    (void)unused;
    while (count_waiting() == 0 && !over) continue;
    relay_admit(&relay, 0);
    CHECK_GT(relay_cut(&relay), 0);
    cut_at = kin_clock();
    return NULL;
}

static void append_some(kin_call *to, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = (kin_call){.proxy = list, .method = "append", .arguments = kin_value_build("(i)", i)};
}

static void open_gate(void)
{
    CHECK_OK(kin_manager_create(manager, &gate, "Barrier", kin_value_build("(i)", 2), SOON));
    kin_value named = kin_proxy_value(gate);
    CHECK_OK(kin_manager_proxy(here, &seen_gate, &named, SOON));
    kin_value_clear(&named);
}

/* Calls of which the first waits in the server, with a break in the middle.  False: it came too late. */
static bool break_in_time(int64_t milliseconds)
{
    pthread_t thread;
    kin_deadline began = kin_clock(), deadline = kin_in_ms(milliseconds);
    calls[0] = (kin_call){.proxy = gate, .method = "wait"};
    calls[1] = (kin_call){.proxy = queue, .method = "get"};
    append_some(&calls[2], BEHIND);
    over = false;
    CHECK_OK(pthread_create(&thread, NULL, break_for_good, NULL));
    CHECK_RC(kin_proxy_call_many(calls, 2 + BEHIND, deadline), -ETIMEDOUT);
    over = true;
    for (int i = 0; i < 2 + BEHIND; i++) {
        CHECK_RC(calls[i].rc, -ETIMEDOUT);
        kin_value_clear(&calls[i].result);
    }
    CHECK_OK(pthread_join(thread, NULL));
    relay_admit(&relay, -1);
    return cut_at < began + (deadline - began) / 2;
}

/* The calls are given up; but the client is the same when the link is back, and what it held it holds. */
static bool give_up_in_a_break(int64_t milliseconds)
{
    open_all();
    open_gate();
    CHECK_OK(kin_proxy_acquire(lock, SOON));
    append_some(calls, BEFORE);
    CHECK_OK(kin_proxy_call_many(calls, BEFORE, SOON));
    bool in_time = break_in_time(milliseconds);
    if (in_time) {
        CHECK_OK(kin_proxy_release(lock));
        check_list(BEFORE);
        /* What waited was not done, and waits no more. */
        CHECK_OK(kin_proxy_put(queue, kin_value_int(7), SOON));
        CHECK_EQ(proxy_number(queue, "get", kin_value_build("(b)", 0), SOON), 7);
        CHECK_EQ(count_waiting(), 0);
    }
    CHECK_OK(kin_proxy_close(gate));
    CHECK_OK(kin_proxy_close(seen_gate));
    close_all();
    return in_time;
}

TEST(a_deadline_in_a_break_does_not_cost_what_is_held)
{
    int64_t milliseconds = (int64_t)(500 * test_time_scale());
    while (!give_up_in_a_break(milliseconds)) milliseconds *= 2;
}

/* ---- servers that answer otherwise --------------------------------------------------------------------- */

static char address[128];
static bool old; /* it lets clients come back, but keeps one answer, and does not know of more */

/* Both in one piece, so that who reads one has the other. */
static void answer_kind(kin_connection *client, const char *kind, kin_value value, int times)
{
    unsigned char bytes[2 * 256];
    size_t size = 0;
    kin_buffer pickle = {0};
    kin_value message = kin_value_build("(sv)", kind, value);
    CHECK_OK(kin_pickle_dumps(&message, &pickle));
    for (int i = 0; i < times; i++) {
        memcpy(bytes + size, (unsigned char[]){0, 0, 0, (unsigned char)pickle.size}, 4);
        memcpy(bytes + size + 4, pickle.data, pickle.size);
        size += 4 + pickle.size;
    }
    ssize_t sent = send(kin_connection_fileno(client), bytes, size, MSG_NOSIGNAL);
    /* Whoever leaves does not wait for the answer. */
    if (sent < 0) CHECK(errno == EPIPE || errno == ECONNRESET);
    if (sent >= 0) CHECK_EQ(sent, (long)size);
    kin_value_clear(&message);
    kin_buffer_free(&pickle);
}

static void answer(kin_connection *client, kin_value value, int times)
{
    answer_kind(client, "#RETURN", value, times);
}

static void answer_who_it_is(kin_connection *client)
{
    answer(client, old ? kin_value_build("(sLi)", "kin/1", INT64_C(60000000000), 0) : kin_value_str("kin/1"),
           1);
}

/* It says which request of its connection this is; says it twice, or, where it is old, has to be asked for one at a
 * time. */
static void answer_number(kin_connection *client, int number)
{
    struct pollfd next = {.fd = kin_connection_fileno(client), .events = POLLIN};
    if (old) CHECK_EQ(poll(&next, 1, 0), 0);
    answer(client, kin_value_int(number), old ? 1 : 2);
}

static void *serve_client(void *connection)
{
    kin_connection *client = connection;
    char bytes[1024];
    int number = 0;
    for (long size; (size = kin_connection_recv(client, bytes, sizeof bytes, KIN_FOREVER)) > 0;) {
        kin_value request;
        const char *method;
        const kin_value *ident, *arguments, *keywords;
        CHECK_OK(kin_pickle_loads(&request, bytes, (size_t)size, NULL));
        CHECK_OK(kin_value_parse(&request, "(vsvv)", &ident, &method, &arguments, &keywords));
        if (strcmp(method, "accept_connection") == 0)
            answer_who_it_is(client);
        else if (strcmp(method, "keep_answers") == 0)
            answer_kind(client, "#TRACEBACK", kin_value_str("there is no such method"), 1);
        else if (strcmp(method, "create") == 0)
            answer(client, kin_value_build("(s(s))", "1", "append"), 1);
        else if (kin_value_kind(ident) == KIN_VALUE_NONE)
            answer(client, kin_value_none(), 1);
        else
            answer_number(client, ++number);
        kin_value_clear(&request);
    }
    kin_connection_close(client);
    return NULL;
}

static void serve_wrongly(void *unused)
{
    kin_listener *listener = NULL;
    kin_connection *client = NULL;
    (void)unused;
    CHECK_OK(kin_listener_open(&listener, address, &(kin_listener_options){.key = "k", .key_size = 1}));
    for (;;) {
        pthread_t thread;
        CHECK_OK(kin_listener_accept(listener, &client, KIN_FOREVER));
        CHECK_OK(pthread_create(&thread, NULL, serve_client, client));
        CHECK_OK(pthread_detach(thread));
    }
}

static kin_proxy *begin_wrongly(pid_t *server)
{
    snprintf(address, sizeof address, "%s", test_abstract_address());
    *server = test_child(serve_wrongly, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    return manager_object(manager, "list", SOON);
}

static void end_wrongly(kin_proxy *object, pid_t server)
{
    kin_proxy_close(object);
    CHECK_OK(kin_manager_close(manager));
    CHECK_OK(kill(server, SIGKILL));
    CHECK_EQ(test_collect(server), SIGKILL);
}

/* They are not taken for the answers to what is asked next. */
TEST(surplus_answers_end_their_connection)
{
    pid_t server;
    kin_proxy *object = begin_wrongly(&server);
    for (int i = 0; i < 5; i++) {
        calls[0] = (kin_call){.proxy = object, .method = "append", .arguments = kin_value_build("(i)", i)};
        CHECK_OK(kin_proxy_call_many(calls, 1, SOON));
        CHECK_EQ(number_of(&calls[0].result), 1);
    }
    end_wrongly(object, server);
}

TEST(a_server_that_keeps_one_answer_is_asked_for_one_at_a_time)
{
    pid_t server;
    old = true;
    kin_proxy *object = begin_wrongly(&server);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 50; i++)
            calls[i] =
                (kin_call){.proxy = object, .method = "append", .arguments = kin_value_build("(i)", i)};
        CHECK_OK(kin_proxy_call_many(calls, 50, SOON));
        for (int i = 0; i < 50; i++) {
            CHECK_RC(calls[i].rc, 0);
            CHECK_EQ(number_of(&calls[i].result), 50 * round + i + 1);
        }
        CHECK(kin_manager_error(manager) == NULL);
    }
    end_wrongly(object, server);
}
