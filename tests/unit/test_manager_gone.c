/* test_manager_gone.c: clients that end in the middle of a call of another one's, or while an answer is on its way to
 * them: what they held goes on to others, and each gets its own answers; clients that ask for what would break a server; and a server that answers what
 * kin does not read.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/pickle.h>

#define SOON kin_in_s(20)

static char address[64];
static kin_manager *manager;
static pid_t server;

static void serve(void *unused)
{
    /* As much as a request needs, and not so much as a chain of them could. */
    const struct rlimit stack = {256 * 1024, 256 * 1024};
    (void)unused;
    if (!test_sanitized()) setrlimit(RLIMIT_STACK, &stack);
    CHECK_OK(kin_manager_serve(
        &(kin_manager_options){.address = address, .key = "k", .key_size = 1, .max_message = 1 << 20}));
}

static kin_proxy *begin(const char *type, kin_value arguments)
{
    kin_proxy *proxy = NULL;
    snprintf(address, sizeof address, "unix:@kin-test-gone-%d", (int)getpid());
    server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    CHECK_OK(kin_manager_create(manager, &proxy, type, arguments, SOON));
    return proxy;
}

static void finish(kin_proxy *proxy)
{
    CHECK_OK(kin_proxy_close(proxy));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(test_collect(server), 0);
}

/* What it is answered: an int, or None, as -1. */
static int64_t hear(kin_connection *client)
{
    kin_value answer;
    const char *kind;
    const kin_value *value;
    int64_t number = -1;
    client_hear(client, &answer, SOON);
    CHECK_OK(kin_value_parse(&answer, "(sv)", &kind, &value));
    CHECK_STR(kind, "#RETURN");
    if (kin_value_kind(value) != KIN_VALUE_NONE) CHECK_OK(kin_value_get_int(value, &number));
    kin_value_clear(&answer);
    return number;
}

static kin_connection *open_named(const char *name)
{
    kin_connection *client = NULL;
    kin_value answer;
    CHECK_OK(kin_client_open(&client, address, &(kin_client_options){.key = "k", .key_size = 1}, SOON));
    client_ask(client, kin_value_none(), "accept_connection", kin_value_build("(s)", name), SOON);
    client_hear(client, &answer, SOON);
    kin_value_clear(&answer);
    return client;
}

static kin_connection *open_client(void)
{
    return open_named("client");
}

static kin_value ident_of(kin_proxy *proxy)
{
    kin_value value = kin_proxy_value(proxy), ident = kin_value_str(kin_value_token_id(&value));
    kin_value_clear(&value);
    return ident;
}

static int64_t size_of(kin_proxy *queue)
{
    kin_value result;
    int64_t size = -1;
    CHECK_OK(kin_proxy_call(queue, "qsize", kin_value_none(), &result, SOON));
    CHECK_OK(kin_value_get_int(&result, &size));
    return size;
}

/* The server does nothing any more when this returns. */
static void stop(void)
{
    siginfo_t info;
    CHECK_OK(kill(server, SIGSTOP));
    CHECK_OK(waitid(P_PID, (id_t)server, &info, WSTOPPED));
}

static void go_on(void)
{
    CHECK_OK(kill(server, SIGCONT));
}

static void ask(kin_connection *client, kin_proxy *object, const char *method)
{
    client_ask(client, ident_of(object), method, kin_value_tuple(NULL, 0), SOON);
}

/* ---- with an answer on its way ------------------------------------------------------------------------------ */

static kin_connection *holder, *heir; /* of `door`, who has asked for nothing else and waits for it */
static kin_proxy *door;

/* Nobody else asks for anything when the holder ends: its own end has to bring it to the next. */
static void hold_door(const char *name)
{
    CHECK_OK(kin_manager_create(manager, &door, "Lock", kin_value_none(), SOON));
    holder = open_named(name);
    heir = open_client();
    ask(holder, door, "acquire");
    CHECK_EQ(hear(holder), 1);
    ask(heir, door, "acquire");
    CHECK_RC(kin_proxy_acquire(door, KIN_NOW), -ETIMEDOUT);
}

static void pass_door(void)
{
    CHECK_EQ(hear(heir), 1);
    CHECK_OK(kin_connection_close(heir));
    CHECK_OK(kin_proxy_close(door));
}

TEST(the_next_owner_is_told_when_the_last_one_ends_with_an_answer_on_its_way)
{
    kin_proxy *queue = begin("Queue", kin_value_none());
    hold_door("client");
    stop();
    ask(holder, door, "locked");
    CHECK_OK(kin_connection_close(holder));
    go_on();
    pass_door();
    finish(queue);
}

TEST(the_next_owner_is_told_when_the_last_one_leaves)
{
    kin_proxy *queue = begin("Queue", kin_value_none());
    hold_door("kin/1");
    client_ask(holder, kin_value_none(), "leave", kin_value_tuple(NULL, 0), SOON);
    CHECK_EQ(hear(holder), -1);
    pass_door();
    CHECK_OK(kin_connection_close(holder));
    finish(queue);
}

TEST(each_gets_its_own_answer_when_one_ends_that_asked_for_much)
{
    kin_proxy *queue = begin("Queue", kin_value_none());
    kin_connection *other = open_client();
    hold_door("client");
    ask(other, queue, "get");
    CHECK_EQ(size_of(queue), 0);
    stop();
    for (int i = 0; i < 20; i++) ask(holder, queue, "qsize");
    client_ask(holder, ident_of(queue), "put", kin_value_build("(i)", 7), SOON);
    CHECK_OK(kin_connection_close(holder));
    go_on();
    CHECK_EQ(hear(other), 7);
    pass_door();
    CHECK_EQ(size_of(queue), 0);
    CHECK_OK(kin_connection_close(other));
    finish(queue);
}

/* The holder and `other` wait, and one call answers both of them after the holder has ended. */
static void end_among_others(const char *type, kin_value arguments, const char *waits, const char *answers,
                             int64_t heard[2])
{
    kin_proxy *object = begin(type, arguments);
    kin_connection *other = open_client(), *caller = open_client();
    hold_door("client");
    ask(holder, object, waits);
    CHECK_EQ(kin_manager_ping(manager, SOON), 0);
    ask(other, object, waits);
    CHECK_EQ(kin_manager_ping(manager, SOON), 0);
    stop();
    ask(caller, object, answers);
    CHECK_OK(kin_connection_close(holder));
    go_on();
    heard[0] = hear(other);
    heard[1] = hear(caller);
    pass_door();
    CHECK_LE(kin_connection_poll(other, KIN_NOW), 0);
    CHECK_LE(kin_connection_poll(caller, KIN_NOW), 0);
    CHECK_OK(kin_connection_close(other));
    CHECK_OK(kin_connection_close(caller));
    finish(object);
}

TEST(an_event_is_set_for_all_when_one_of_them_ends)
{
    int64_t heard[2];
    end_among_others("Event", kin_value_none(), "wait", "set", heard);
    CHECK_EQ(heard[0], 1);
    CHECK_EQ(heard[1], -1);
}

TEST(a_barrier_lets_all_pass_when_one_of_them_ends)
{
    int64_t heard[2];
    end_among_others("Barrier", kin_value_build("(i)", 3), "wait", "wait", heard);
    CHECK_EQ(heard[0], 1);
    CHECK_EQ(heard[1], 2);
}

/* ---- before a call of another's ------------------------------------------------------------------------------ */

#define CLIENTS 4

/* The first has something in its hands and waits for more, as the others do.  Then it ends and somebody makes
 * room, in such a way that the server sees the second before the first. */
static void end_the_first(kin_connection *clients[CLIENTS], kin_connection *other, kin_proxy *object,
                          const char *method, kin_value arguments)
{
    stop();
    client_ask(other, ident_of(object), method, arguments, SOON);
    CHECK_OK(kin_connection_close(clients[0]));
    go_on();
    CHECK_EQ(hear(other), -1);
}

TEST(an_item_that_came_back_meanwhile_is_not_handed_out_twice)
{
    kin_proxy *queue = begin("TaskQueue", kin_value_none());
    kin_connection *clients[CLIENTS], *other = open_client();
    for (int i = 0; i < CLIENTS; i++) clients[i] = open_client();
    CHECK_OK(kin_proxy_put(queue, kin_value_int(1), SOON));
    ask(clients[0], queue, "get");
    CHECK_EQ(hear(clients[0]), 1);
    for (int i = 0; i < CLIENTS; i++) {
        ask(clients[i], queue, "get");
        /* It waits when a later call of another's is answered. */
        CHECK_EQ(size_of(queue), 0);
    }
    end_the_first(clients, other, queue, "put", kin_value_build("(i)", 2));
    CHECK_EQ(hear(clients[1]) + hear(clients[2]), 3);
    CHECK_EQ(size_of(queue), 0);
    CHECK_OK(kin_proxy_put(queue, kin_value_int(5), SOON));
    CHECK_EQ(hear(clients[3]), 5);
    for (int i = 1; i < CLIENTS; i++) CHECK_OK(kin_connection_close(clients[i]));
    CHECK_OK(kin_connection_close(other));
    finish(queue);
}

TEST(a_permit_that_came_back_meanwhile_is_not_given_twice)
{
    kin_proxy *semaphore = begin("Semaphore", kin_value_build("(i)", 2));
    kin_connection *clients[CLIENTS], *other = open_client();
    for (int i = 0; i < CLIENTS; i++) clients[i] = open_client();
    ask(other, semaphore, "acquire");
    CHECK_EQ(hear(other), 1);
    ask(clients[0], semaphore, "acquire");
    CHECK_EQ(hear(clients[0]), 1);
    for (int i = 0; i < CLIENTS; i++) {
        ask(clients[i], semaphore, "acquire");
        CHECK_RC(kin_proxy_acquire(semaphore, KIN_NOW), -ETIMEDOUT);
    }
    end_the_first(clients, other, semaphore, "release", kin_value_tuple(NULL, 0));
    CHECK_EQ(hear(clients[1]), 1);
    CHECK_EQ(hear(clients[2]), 1);
    CHECK_RC(kin_proxy_acquire(semaphore, KIN_NOW), -ETIMEDOUT);
    CHECK_LE(kin_connection_poll(clients[3], KIN_NOW), 0);
    CHECK_OK(kin_proxy_release(semaphore));
    CHECK_EQ(hear(clients[3]), 1);
    for (int i = 1; i < CLIENTS; i++) CHECK_OK(kin_connection_close(clients[i]));
    CHECK_OK(kin_connection_close(other));
    finish(semaphore);
}

/* ---- what would break a server ------------------------------------------------------------------- */

#define CHAIN 3000

/* Each list has the only reference to the next one. */
TEST(a_long_chain_of_objects_is_dropped)
{
    kin_proxy *first = begin("list", kin_value_none()), *last = NULL;
    kin_value count;
    int64_t objects = 0;
    CHECK_OK(kin_manager_create(manager, &last, "list", kin_value_none(), SOON));
    for (int i = 0; i < CHAIN; i++) {
        kin_proxy *next = NULL;
        CHECK_OK(kin_manager_create(manager, &next, "list", kin_value_build("([v])", kin_proxy_value(last)),
                                    SOON));
        CHECK_OK(kin_proxy_close(last));
        last = next;
    }
    CHECK_OK(kin_proxy_close(last));
    CHECK_OK(kin_proxy_call(first, "__len__", kin_value_none(), &count, SOON));
    CHECK_OK(kin_value_get_int(&count, &objects));
    CHECK_EQ(objects, 0);
    finish(first);
}

/* A million times a text of 200 bytes; longer ones are sent once. */
TEST(an_answer_is_no_larger_than_it_may_be)
{
    static char text[200];
    kin_proxy *list = begin("list", kin_value_none());
    kin_value result;
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_value_bytes(text, sizeof text)), NULL,
                            SOON));
    CHECK_RC(kin_proxy_call(list, "__mul__", kin_value_build("(i)", 1 << 20), &result, SOON), KIN_EREMOTE);
    CHECK_OK(kin_proxy_call(list, "__mul__", kin_value_build("(i)", 32), &result, SOON));
    CHECK_EQ(kin_value_len(&result), 32);
    kin_value_clear(&result);
    finish(list);
}

TEST(names_that_are_none_are_refused)
{
    kin_proxy *names = begin("Namespace", kin_value_none());
    kin_value text;
    CHECK_RC(kin_proxy_call(names, "__setattr__", kin_value_build("(ii)", 1, 2), NULL, SOON), KIN_EREMOTE);
    CHECK_RC(kin_proxy_call(names, "__setattr__", kin_value_build("([i]i)", 1, 2), NULL, SOON), KIN_EREMOTE);
    CHECK_OK(kin_proxy_call(names, "__str__", kin_value_none(), &text, SOON));
    CHECK_STR(kin_value_get_str(&text, NULL), "Namespace()");
    kin_value_clear(&text);
    finish(names);
}

/* ---- the one who has started a server ----------------------------------------------------------------- */

#define SOCKET "gone.sock"

static void start_and_wait(void *unused)
{
    (void)unused;
    CHECK_OK(kin_manager_start(&manager,
                               &(kin_manager_options){.address = "unix:" SOCKET, .key = "k", .key_size = 1}));
    CHECK_EQ(access(SOCKET, F_OK), 0);
    for (;;) pause();
}

/* Whichever signal ends the one who has started it, also while a client is connected. */
TEST(a_socket_file_does_not_outlive_who_has_started_the_server)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGKILL, SIGABRT};
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer puts the handler of a signal off while threads sleep in the kernel");
#endif
    for (int i = 0; i < 4; i++) {
        pid_t starter = test_child(start_and_wait, NULL);
        test_until(kin_manager_connect(&manager, "unix:" SOCKET, "k", 1, SOON) == 0);
        CHECK_OK(kill(starter, signals[i]));
        CHECK_NE(test_collect(starter), 0);
        test_until(access(SOCKET, F_OK) != 0);
        CHECK_LT(kin_manager_ping(manager, SOON), 0);
        CHECK_OK(kin_manager_close(manager));
    }
}

/* ---- answers that cannot be read ------------------------------------------------------------------ */

/* By the protocol of Python's, one connection after the other: 0 after the answer that nobody can read, with which a
 * connection ends, and until the next one has. */
static bool answer_once(kin_connection *connection, bool *unreadable)
{
    static const char refused[] = "(S'#RETURN'\nPan object elsewhere\nt.";
    char bytes[512];
    const char *method = NULL;
    const kin_value *ident, *arguments, *keywords;
    kin_value request;
    kin_buffer answer = {0};
    long size = kin_connection_recv(connection, bytes, sizeof bytes, SOON);
    if (size < 0) return false;
    CHECK_OK(kin_pickle_loads(&request, bytes, (size_t)size, NULL));
    CHECK_OK(kin_value_parse(&request, "(vsvv)", &ident, &method, &arguments, &keywords));
    *unreadable = strcmp(method, "strange") == 0;
    kin_value value = strcmp(method, "create") == 0 ? kin_value_build("(s(s[s]))", "#RETURN", "id", "strange")
                                                    : kin_value_build("(sv)", "#RETURN", kin_value_none());
    if (*unreadable)
        CHECK_OK(kin_buffer_append(&answer, refused, sizeof refused - 1));
    else
        CHECK_OK(kin_pickle_dumps(&value, &answer));
    CHECK_OK(kin_connection_send(connection, answer.data, answer.size, SOON));
    kin_value_clear(&value);
    kin_value_clear(&request);
    kin_buffer_free(&answer);
    return !*unreadable;
}

static void answer_strangely(void *of_listener)
{
    kin_connection *connection = NULL;
    bool unreadable = false;
    while (!unreadable) {
        CHECK_OK(kin_listener_accept(of_listener, &connection, SOON));
        while (answer_once(connection, &unreadable)) continue;
        CHECK_OK(kin_connection_close(connection));
    }
}

TEST(an_answer_that_cannot_be_read_says_what_it_holds)
{
    kin_listener *listener = NULL;
    kin_proxy *proxy = NULL;
    char text[200];
    CHECK_OK(kin_listener_open(&listener, test_abstract_address(),
                               &(kin_listener_options){.key = "k", .key_size = 1}));
    server = test_child(answer_strangely, listener);
    CHECK_OK(kin_manager_connect(&manager, kin_listener_address(listener), "k", 1, SOON));
    CHECK_OK(kin_manager_create(manager, &proxy, "Any", kin_value_none(), SOON));
    CHECK_RC(kin_proxy_call(proxy, "strange", kin_value_none(), NULL, SOON), KIN_EREFUSED);
    CHECK(kin_manager_error(manager) != NULL);
    CHECK_LT(kin_value_repr(kin_manager_error(manager), text, sizeof text), (int)sizeof text);
    CHECK_STR(text, "UnpicklingError('byte 12: opcode 0x50, which kin does not read')");
    CHECK_EQ(test_collect(server), 0);
    CHECK_OK(kin_listener_close(listener));
    CHECK_OK(kin_proxy_close(proxy));
    CHECK_OK(kin_manager_close(manager));
}
