/* test_manager_stopped.c: a manager whose process stands still for a while, as under a debugger or on a host that has too
 * much to do: calls are given up meanwhile, clients leave, leases run; afterwards nobody has lost anything by it.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/container.h>
#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/loop.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/pickle.h>

#define SOON     kin_in_s(20)
#define BRIEFLY  kin_in_ms(20)
#define SECOND_S INT64_C(1000000000)

static const kin_manager_type types[] = {{.name = "door", .shared = "Lock"}};

static char address[64];
static kin_manager *manager;
static pid_t server;
static int64_t grace, lease;

static void serve(void *unused)
{
    (void)unused;
    CHECK_OK(kin_manager_serve(&(kin_manager_options){.address = address,
                                                      .key = "k",
                                                      .key_size = 1,
                                                      .types = types,
                                                      .type_count = 1,
                                                      .grace_ns = grace,
                                                      .lease_ns = lease}));
}

static void begin(int64_t grace_ns, int64_t lease_ns)
{
    grace = grace_ns;
    lease = lease_ns;
    snprintf(address, sizeof address, "unix:@kin-test-stopped-%d", (int)getpid());
    server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
}

static void finish(void)
{
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(test_collect(server), 0);
}

/* It does nothing any more when this returns. */
static void stop_server(void)
{
    siginfo_t info;
    CHECK_OK(kill(server, SIGSTOP));
    CHECK_OK(waitid(P_PID, (id_t)server, &info, WSTOPPED));
}

static void go_on(void)
{
    CHECK_OK(kill(server, SIGCONT));
}

static kin_proxy *make(const char *type)
{
    return manager_object(manager, type, SOON);
}

static int64_t number(kin_proxy *proxy, const char *method)
{
    return proxy_number(proxy, method, kin_value_none(), SOON);
}

/* Without a word it is gone, and there is another one at its address. */
static void replace_server(void)
{
    kin_manager *other = NULL;
    test_kill(server);
    server = test_child(serve, NULL);
    test_until(kin_manager_connect(&other, address, "k", 1, SOON) == 0);
    CHECK_OK(kin_manager_close(other));
}

static kin_connection *open_client(void)
{
    kin_connection *client = NULL;
    CHECK_OK(kin_client_open(&client, address, &(kin_client_options){.key = "k", .key_size = 1}, SOON));
    return client;
}

static int64_t count_objects(void)
{
    return manager_count_objects(address, SOON);
}

/* ---- calls that are given up --------------------------------------------------------------------------- */

static void give_up_calls(void)
{
    kin_proxy *list = make("list"), *lock = make("Lock"), *late = NULL;
    kin_value value = kin_proxy_value(list);
    int64_t objects = count_objects();
    CHECK_OK(kin_proxy_acquire(lock, SOON));

    stop_server();
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_manager_create(manager, &late, "list", kin_value_none(), BRIEFLY), -ETIMEDOUT);
        CHECK_RC(kin_manager_ping(manager, BRIEFLY), -ETIMEDOUT);
    }
    go_on();
    CHECK_EQ(number(list, "__len__"), 0);
    /* The next call of the server hears what was made for nobody. */
    CHECK_OK(kin_proxy_close(make("list")));
    CHECK_EQ(count_objects(), objects);

    stop_server();
    CHECK_RC(kin_manager_proxy(manager, &late, &value, BRIEFLY), -ETIMEDOUT);
    go_on();
    CHECK_OK(kin_manager_proxy(manager, &late, &value, SOON));
    CHECK_OK(kin_proxy_close(late));
    CHECK_OK(kin_proxy_close(list));
    CHECK_EQ(count_objects(), objects - 1);

    CHECK_OK(kin_proxy_release(lock));
    CHECK_OK(kin_proxy_close(lock));
    kin_value_clear(&value);
}

/* Not what the process has proxies of, nor what the thread has acquired. */
TEST(a_call_that_is_given_up_costs_nothing_else)
{
    begin(0, 0);
    give_up_calls();
    finish();
}

TEST(nor_where_clients_come_back)
{
    begin(60 * SECOND_S, 0);
    give_up_calls();
    finish();
}

static int create_for_ever(void *unused)
{
    kin_proxy *late = NULL;
    (void)unused;
    CHECK_RC(kin_manager_create(manager, &late, "list", kin_value_none(), KIN_FOREVER), -ECANCELED);
    return 0;
}

TEST(nor_does_a_coroutine_that_is_cancelled)
{
    kin_coroutine *coroutine = NULL;
    begin(0, 0);
    kin_proxy *list = make("list");
    stop_server();
    CHECK_OK(kin_coroutine_start(&coroutine, create_for_ever, NULL, NULL));
    CHECK_OK(kin_coroutine_sleep(BRIEFLY));
    CHECK_OK(kin_coroutine_cancel(coroutine));
    CHECK_OK(kin_coroutine_join(coroutine, SOON));
    CHECK_OK(kin_coroutine_close(coroutine));
    go_on();
    CHECK_EQ(number(list, "__len__"), 0);
    CHECK_OK(kin_proxy_close(make("list")));
    CHECK_EQ(count_objects(), 1);
    CHECK_OK(kin_proxy_close(list));
    finish();
    CHECK_OK(kin_loop_close());
}

static bool connected, may_ask;

/* Asks over a connection that is there, so that what is cancelled is on its way. */
static int get_for_ever(void *queue)
{
    kin_value item;
    CHECK_EQ(number(queue, "qsize"), 1);
    connected = true;
    while (!may_ask) CHECK_OK(kin_coroutine_yield());
    CHECK_RC(kin_proxy_get(queue, &item, KIN_FOREVER), -ECANCELED);
    CHECK_EQ(kin_value_kind(&item), KIN_VALUE_NONE);
    return 0;
}

static void cancel_get(int64_t grace_ns)
{
    kin_coroutine *coroutine = NULL;
    begin(grace_ns, 0);
    kin_proxy *queue = make("Queue");
    CHECK_OK(kin_proxy_put(queue, kin_value_int(7), SOON));
    connected = may_ask = false;
    CHECK_OK(kin_coroutine_start(&coroutine, get_for_ever, queue, NULL));
    while (!connected) CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    stop_server();
    may_ask = true;
    CHECK_OK(kin_coroutine_sleep(BRIEFLY));
    CHECK_EQ(kin_coroutine_is_alive(coroutine), 1);
    CHECK_OK(kin_coroutine_cancel(coroutine));
    CHECK_OK(kin_coroutine_join(coroutine, SOON));
    CHECK_OK(kin_coroutine_close(coroutine));
    go_on();
    /* The server has seen the end of that connection by then. */
    count_objects();
    CHECK_EQ(number(queue, "qsize"), 1);
    CHECK_EQ(proxy_number(queue, "get", kin_value_build("(b)", 0), SOON), 7);
    CHECK_OK(kin_proxy_close(queue));
    finish();
    CHECK_OK(kin_loop_close());
}

TEST(a_call_of_an_object_that_is_cancelled_on_its_way_takes_nothing)
{
    cancel_get(0);
}

TEST(nor_does_it_where_clients_come_back)
{
    cancel_get(60 * SECOND_S);
}

/* What was closed meanwhile is gone when the server listens again. */
TEST(what_is_closed_meanwhile_is_gone)
{
    begin(0, 0);
    kin_proxy *list = make("list"), *closed[] = {make("list"), make("list")};
    stop_server();
    /* The second is not even said. */
    for (int i = 0; i < 2; i++) CHECK_OK(kin_proxy_close(closed[i]));
    go_on();
    CHECK_OK(kin_proxy_close(make("list")));
    CHECK_EQ(count_objects(), 1);
    CHECK_EQ(number(list, "__len__"), 0);
    CHECK_OK(kin_proxy_close(list));
    finish();
}

/* What its thread, or its process, had is gone too, and the next call says so, once. */
static void lose_what_is_owed(int64_t grace_ns)
{
    begin(grace_ns, 0);
    kin_proxy *door = make("door"), *late = NULL;
    CHECK_OK(kin_proxy_acquire(door, SOON));
    stop_server();
    CHECK_RC(kin_manager_ping(manager, BRIEFLY), -ETIMEDOUT);
    CHECK_RC(kin_manager_create(manager, &late, "list", kin_value_none(), BRIEFLY), -ETIMEDOUT);
    replace_server();
    CHECK_RC(kin_manager_create(manager, &late, "list", kin_value_none(), SOON), -ECONNRESET);
    CHECK_OK(kin_proxy_close(make("list")));
    CHECK_RC(kin_manager_ping(manager, SOON), -ECONNRESET);
    CHECK_OK(kin_manager_ping(manager, SOON));
    kin_proxy_close(door);
    finish();
}

TEST(an_answer_that_is_owed_by_a_dead_server_is_missed_once)
{
    lose_what_is_owed(0);
}

TEST(it_is_where_clients_come_back_too)
{
    lose_what_is_owed(60 * SECOND_S);
}

static int create_large(void)
{
    static char large[4 << 20];
    kin_proxy *late = NULL;
    kin_value items = kin_value_build("([v])", kin_value_bytes(large, sizeof large));
    return kin_manager_create(manager, &late, "list", items, BRIEFLY);
}

/* The rest of a request that was sent in part cannot follow later. */
TEST(a_request_that_is_cut_off_says_what_it_costs)
{
    begin(0, 0);
    kin_proxy *list = make("list");
    stop_server();
    CHECK_RC(create_large(), -EPIPE);
    go_on();
    CHECK_OK(kin_proxy_close(make("list")));
    test_until(count_objects() == 0);
    kin_proxy_close(list);
    finish();
}

TEST(it_costs_nothing_where_clients_come_back)
{
    begin(60 * SECOND_S, 0);
    kin_proxy *list = make("list");
    stop_server();
    CHECK_RC(create_large(), -ETIMEDOUT);
    go_on();
    CHECK_OK(kin_proxy_close(make("list")));
    CHECK_EQ(number(list, "__len__"), 0);
    CHECK_EQ(count_objects(), 1);
    CHECK_OK(kin_proxy_close(list));
    finish();
}

/* ---- clients that leave ---------------------------------------------------------------------------------- */

/* What it has asked for is read only after it has left. */
TEST(an_item_is_not_taken_for_a_client_that_left_meanwhile)
{
    kin_value answer;
    begin(0, 0);
    kin_proxy *queue = make("Queue");
    kin_value named = kin_proxy_value(queue);
    kin_connection *client = open_client();
    client_ask(client, kin_value_none(), "accept_connection", kin_value_build("(s)", "client"), SOON);
    client_hear(client, &answer, SOON);
    kin_value_clear(&answer);
    CHECK_OK(kin_proxy_put(queue, kin_value_int(1), SOON));
    stop_server();
    client_ask(client, kin_value_str(kin_value_token_id(&named)), "put", kin_value_build("(i)", 2), SOON);
    client_ask(client, kin_value_str(kin_value_token_id(&named)), "get", kin_value_tuple(NULL, 0), SOON);
    CHECK_OK(kin_connection_close(client));
    go_on();
    test_until(number(queue, "qsize") == 2);
    /* The server has seen the end of the client by then. */
    count_objects();
    CHECK_EQ(number(queue, "qsize"), 2);
    kin_value_clear(&named);
    CHECK_OK(kin_proxy_close(queue));
    finish();
}

/* ---- leases ----------------------------------------------------------------------------------------------- */

static volatile int *stage; /* of other processes */

static kin_proxy *acquire_door(void)
{
    kin_proxy *door = make("door");
    CHECK_OK(kin_proxy_acquire(door, SOON));
    *stage = 1;
    return door;
}

/* SHARED by the case and its clients, in microseconds.
 *   since    by the case: when the server was stopped; 0 from just before it goes on
 *   stood    by the case, before that: how long it has been stopped in all
 *   starved  by the one who pings: it has been silent for as long as its lease */
static struct standing {
    _Atomic int64_t since, stood;
    atomic_bool starved;
} * standing;

/* A clock that stands still with the server. */
static int64_t server_us(void)
{
    int64_t since, now;
    do {
        since = standing->since;
        now = (since > 0 ? since : (int64_t)(test_seconds() * 1e6)) - standing->stood;
    } while (since != standing->since);
    return now;
}

static void hold_and_ping(void *unused)
{
    (void)unused;
    int64_t spoken = server_us();
    kin_proxy *door = acquire_door();
    for (bool last = false; !last;) {
        last = *stage != 1;
        int64_t begun = server_us();
        int rc = last ? kin_proxy_release(door) : kin_manager_ping(manager, SOON);
        /* In this time the server has heard it twice. */
        if (server_us() - spoken >= lease / 1000) standing->starved = true;
        spoken = begun;
        if (!standing->starved) CHECK_OK(rc);
    }
    int rc = kin_proxy_close(door);
    if (!standing->starved) CHECK_OK(rc);
}

static void call_much(void *unused)
{
    (void)unused;
    kin_proxy *list = make("list");
    while (*stage < 2) number(list, "__len__");
    CHECK_OK(kin_proxy_close(list));
}

static void stop_for(double seconds)
{
    stop_server();
    double since = test_seconds();
    standing->since = (int64_t)(since * 1e6);
    test_until(test_seconds() > since + seconds);
    standing->stood += (int64_t)(test_seconds() * 1e6) - standing->since;
    standing->since = 0;
    go_on();
}

static void begin_leases(int64_t lease_ns)
{
    stage = test_shared(sizeof *stage);
    standing = test_shared(sizeof *standing);
    begin(0, lease_ns);
}

/* Tells whether the one who holds the door has spoken all the time, or would have. */
static bool ping_while_the_server_stands_still(void)
{
    begin_leases(SECOND_S);
    pid_t holder = test_child(hold_and_ping, NULL), other = test_child(call_much, NULL);
    test_until(*stage == 1);
    for (int round = 0; round < 2; round++) {
        stop_for(2);
        CHECK_OK(kin_manager_ping(manager, SOON));
    }
    *stage = 2;
    CHECK_EQ(test_collect(holder), 0);
    CHECK_EQ(test_collect(other), 0);
    finish();
    return !standing->starved;
}

TEST(a_lease_does_not_run_while_the_server_stands_still)
{
    while (!ping_while_the_server_stands_still())
        ;
}

static void hold_in_silence(void *unused)
{
    (void)unused;
    acquire_door();
    raise(SIGSTOP);
}

/* … and one who would not have spoken loses what it holds all the same. */
TEST(a_lease_ends_after_the_server_has_stood_still)
{
    begin_leases(SECOND_S / 5);
    kin_proxy *door = make("door");
    pid_t holder = test_child(hold_in_silence, NULL);
    test_until(*stage == 1);
    stop_for(0.5);
    CHECK_RC(kin_proxy_acquire(door, SOON), KIN_OWNER_DIED);
    /* Whoever hears late that it is his is one who holds it and says nothing. */
    int rc = kin_proxy_release(door);
    if (rc < 0 && !test_again()) CHECK_OK(rc);
    test_kill(holder);
    CHECK_OK(kin_proxy_close(door));
    finish();
}

static void wait_s(double seconds)
{
    double until = test_seconds() + seconds;
    test_until(test_seconds() > until);
}

/* Whoever is slow to read its answer is not silent, nor when it has it at last.  Tells whether its lease can not
 * have run out since. */
static bool receive_slowly(void)
{
    static char large[8 << 20];
    kin_value answer;
    begin(0, SECOND_S);
    kin_proxy *door = make("door"), *list = make("list");
    kin_value lock = kin_proxy_value(door), items = kin_proxy_value(list);
    kin_connection *client = open_client();
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_value_bytes(large, sizeof large / 2)),
                            NULL, SOON));
    client_ask(client, kin_value_none(), "accept_connection", kin_value_build("(s)", "slow"), SOON);
    client_hear(client, &answer, SOON);
    kin_value_clear(&answer);
    client_ask(client, kin_value_str(kin_value_token_id(&lock)), "acquire", kin_value_tuple(NULL, 0), SOON);
    client_hear(client, &answer, SOON);
    kin_value_clear(&answer);
    client_ask(client, kin_value_str(kin_value_token_id(&items)), "copy", kin_value_tuple(NULL, 0), SOON);
    wait_s(2);
    double since = test_seconds();
    CHECK_GT(kin_connection_recv(client, large, sizeof large, SOON), (long)sizeof large / 2);
    /* The server looks at its leases meanwhile. */
    wait_s(0.5);
    int rc = kin_proxy_acquire(door, KIN_NOW);
    bool in_time = test_seconds() < since + 1;
    if (in_time) CHECK_RC(rc, -ETIMEDOUT);
    CHECK_OK(kin_connection_close(client));
    if (rc == -ETIMEDOUT) CHECK_OK(kin_proxy_acquire(door, SOON));
    CHECK_OK(kin_proxy_release(door));
    kin_value_clear(&lock);
    kin_value_clear(&items);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(door));
    finish();
    return in_time;
}

TEST(a_lease_does_not_run_while_an_answer_is_received)
{
    while (!receive_slowly())
        ;
}
