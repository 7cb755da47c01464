/* test_manager_links.c: connections to a manager that break: whoever comes back in time finds what it held and
 * goes on with what it was doing, whoever does not loses it; and those who hold something and say nothing.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/relay.h"

#define SOON    kin_in_s(20)
#define BRIEFLY kin_in_ms(50)

static const kin_manager_type types[] = {{.name = "door", .shared = "Lock"},
                                         {.name = "gate", .shared = "Lock"},
                                         {.name = "tasks", .shared = "TaskQueue"},
                                         {.name = "results", .shared = "Queue"}};

static kin_manager *start(int64_t grace_ns, int64_t lease_ns)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(&manager, &(kin_manager_options){.address = "tcp://127.0.0.1:0",
                                                                .key = "k",
                                                                .key_size = 1,
                                                                .types = types,
                                                                .type_count = 4,
                                                                .grace_ns = grace_ns,
                                                                .lease_ns = lease_ns}));
    return manager;
}

static kin_manager *connect_at(const char *address)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_connect(&manager, address, "k", 1, SOON));
    return manager;
}

/* `here` has the door. */
static void close_all(kin_manager *here, kin_manager *there, struct relay *relay, kin_proxy *door,
                      kin_proxy *door_here, kin_proxy *list)
{
    CHECK_OK(kin_proxy_release(door_here));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_manager_close(there));
    relay_end(relay);
    CHECK_OK(kin_manager_close(here));
}

/* ---- coming back -------------------------------------------------------------------------------- */

TEST(who_comes_back_finds_its_lock_and_its_objects)
{
    kin_manager *here = start(INT64_C(60000000000), 0);
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *door = manager_object(there, "door", SOON), *door_here = manager_object(here, "door", SOON);
    kin_proxy *list = manager_object(there, "list", SOON);
    CHECK_OK(kin_proxy_acquire(door, SOON));
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(i)", 5), NULL, SOON));
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(relay_cut(&relay), 2);
        CHECK_RC(kin_proxy_acquire(door_here, KIN_NOW), -ETIMEDOUT);
        CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 1);
    }
    CHECK_OK(kin_proxy_release(door));
    CHECK_RC(kin_proxy_acquire(door_here, SOON), 0);
    close_all(here, there, &relay, door, door_here, list);
}

/* The call fails in its own time, is not done later, and costs nothing that the client has. */
TEST(a_call_whose_time_is_over_while_the_link_is_cut)
{
    kin_manager *here = start(INT64_C(3600000000000), 0);
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *door = manager_object(there, "door", SOON), *door_here = manager_object(here, "door", SOON);
    kin_proxy *list = manager_object(there, "list", SOON), *late = NULL;
    siginfo_t info;
    CHECK_OK(kin_proxy_acquire(door, SOON));
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(relay_cut(&relay), 2);
        CHECK_OK(kill(relay.process, SIGSTOP));
        CHECK_OK(waitid(P_PID, (id_t)relay.process, &info, WSTOPPED));
        for (int i = 0; i < 2; i++) {
            CHECK_RC(kin_proxy_call(list, "append", kin_value_build("(i)", 5), NULL, BRIEFLY), -ETIMEDOUT);
            CHECK_RC(kin_manager_create(there, &late, "list", kin_value_none(), BRIEFLY), -ETIMEDOUT);
            CHECK_RC(kin_manager_ping(there, BRIEFLY), -ETIMEDOUT);
        }
        CHECK_OK(kill(relay.process, SIGCONT));
        CHECK_RC(kin_proxy_acquire(door_here, KIN_NOW), -ETIMEDOUT);
        CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
        CHECK_OK(kin_manager_create(there, &late, "list", kin_value_none(), SOON));
        CHECK_OK(kin_proxy_close(late));
    }
    CHECK_OK(kin_proxy_release(door));
    CHECK_OK(kin_proxy_acquire(door_here, SOON));
    close_all(here, there, &relay, door, door_here, list);
}

static volatile int *stage; /* of other processes */

/* Both connections of this process are made, so that they are ones that may be made again. */
static void settle(kin_manager *manager, kin_proxy *proxy)
{
    proxy_number(proxy, "qsize", kin_value_none(), SOON);
    CHECK_OK(kin_manager_ping(manager, SOON));
    __atomic_fetch_add(stage, 1, __ATOMIC_SEQ_CST);
}

struct client {
    kin_manager *manager;
    kin_proxy *queue;
};

static void get_one(void *of_client)
{
    struct client *client = of_client;
    kin_value item;
    int64_t got = 0;
    settle(client->manager, client->queue);
    CHECK_OK(kin_proxy_get(client->queue, &item, SOON));
    CHECK_OK(kin_value_get_int(&item, &got));
    CHECK_EQ(got, 7);
}

/* It waits on, although the link has been cut meanwhile. */
TEST(a_get_goes_on_over_another_connection)
{
    kin_manager *here = start(INT64_C(60000000000), 0);
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *results = manager_object(there, "results", SOON),
              *results_here = manager_object(here, "results", SOON);
    stage = test_shared(sizeof *stage);
    pid_t child = test_child(get_one, &(struct client){there, results});
    test_until(*stage == 1);
    CHECK_GE(relay_cut(&relay), 3);
    CHECK_OK(kin_proxy_put(results_here, kin_value_int(7), SOON));
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_proxy_close(results));
    CHECK_OK(kin_proxy_close(results_here));
    CHECK_OK(kin_manager_close(there));
    relay_end(&relay);
    CHECK_OK(kin_manager_close(here));
}

TEST(who_does_not_come_back_in_time_loses_what_it_held)
{
    kin_manager *here = start(INT64_C(100000000), 0);
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *door = manager_object(there, "door", SOON), *door_here = manager_object(here, "door", SOON);
    kin_proxy *tasks = manager_object(there, "tasks", SOON),
              *tasks_here = manager_object(here, "tasks", SOON);
    kin_value task;
    CHECK_OK(kin_proxy_put(tasks, kin_value_int(1), SOON));
    CHECK_OK(kin_proxy_get(tasks, &task, SOON));
    CHECK_OK(kin_proxy_acquire(door, SOON));
    relay_end(&relay);
    CHECK_RC(kin_proxy_acquire(door_here, SOON), KIN_OWNER_DIED);
    CHECK_OK(kin_proxy_get(tasks_here, &task, SOON));
    int rc = kin_proxy_release(door);
    CHECK(rc == -ECONNREFUSED || rc == -ECONNRESET);
    kin_proxy_close(door);
    kin_proxy_close(tasks);
    kin_manager_close(there);
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_proxy_close(tasks_here));
    CHECK_OK(kin_manager_close(here));
}

/* Whoever leaves in order is not waited for. */
TEST(who_leaves_gives_back_at_once)
{
    kin_manager *here = start(INT64_C(3600000000000), 0), *other = connect_at(kin_manager_address(here));
    kin_proxy *door = manager_object(other, "door", SOON), *door_here = manager_object(here, "door", SOON);
    CHECK_OK(kin_proxy_acquire(door, SOON));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_manager_close(other));
    CHECK_RC(kin_proxy_acquire(door_here, SOON), KIN_OWNER_DIED);
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_manager_close(here));
}

/* … not even where its connection had broken, and whether or not it knew. */
TEST(who_leaves_over_a_broken_link_gives_back_at_once)
{
    kin_manager *here = start(INT64_C(3600000000000), 0);
    kin_proxy *door_here = manager_object(here, "door", SOON);
    for (int round = 0; round < 2; round++) {
        struct relay relay = relay_start(kin_manager_address(here), 0);
        kin_manager *there = connect_at(relay.address);
        kin_proxy *door = manager_object(there, "door", SOON);
        test_context("round %d", round);
        CHECK_OK(kin_proxy_acquire(door, SOON));
        relay_admit(&relay, 0);
        CHECK_EQ(relay_cut(&relay), 2);
        if (round == 1) {
            CHECK_RC(kin_proxy_call(door, "locked", kin_value_none(), NULL, BRIEFLY), -ETIMEDOUT);
            CHECK_RC(kin_proxy_call(door, "locked", kin_value_none(), NULL, KIN_NOW), -ETIMEDOUT);
        }
        CHECK_RC(kin_proxy_acquire(door_here, KIN_NOW), -ETIMEDOUT);
        relay_admit(&relay, -1);
        kin_proxy_close(door);
        kin_deadline began = kin_clock();
        CHECK_OK(kin_manager_close(there));
        /* It was given up, for the machine was too busy for two connections in a second. */
        if (kin_clock() - began >= INT64_C(1000000000) && test_again()) {
            relay_end(&relay);
            break;
        }
        CHECK_RC(kin_proxy_acquire(door_here, SOON), KIN_OWNER_DIED);
        CHECK_OK(kin_proxy_release(door_here));
        relay_end(&relay);
    }
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_manager_close(here));
}

static kin_manager *left; /* by a process that ends */
static kin_proxy *held;   /* by it; nobody closes it */

static void use_it_once_more(void)
{
    kin_proxy *gate = NULL;
    if (left == NULL) return;
    if (kin_manager_create(left, &gate, "gate", kin_value_none(), SOON) < 0 ||
        kin_proxy_acquire(gate, SOON) < 0 || kin_proxy_release(gate) < 0 || kin_proxy_close(gate) < 0 ||
        kin_manager_close(left) < 0)
        _exit(1);
}

static void hold_and_end(void *of_server)
{
    left = connect_at(of_server);
    held = manager_object(left, "door", SOON);
    CHECK_OK(kin_proxy_acquire(held, SOON));
    exit(0);
}

/* A process that ends in order need not close anything for that. */
TEST(a_process_that_ends_gives_back_at_once)
{
    /* In a child it runs after what tells the end, for which the first connection of its parent registers. */
    CHECK_OK(atexit(use_it_once_more));
    kin_manager *here = start(INT64_C(3600000000000), 0);
    kin_proxy *door = manager_object(here, "door", SOON);
    CHECK_EQ(test_collect(test_child(hold_and_end, (void *)(uintptr_t)kin_manager_address(here))), 0);
    CHECK_RC(kin_proxy_acquire(door, SOON), KIN_OWNER_DIED);
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_manager_close(here));
}

#define CALLERS 3

static int callers_end;
static pthread_t callers[CALLERS];

/* What comes of the calls is no matter, for the process ends. */
static void *call_on(void *started)
{
    kin_proxy *gate = NULL;
    CHECK_OK(kin_manager_create(left, &gate, "gate", kin_value_none(), SOON));
    for (int i = 0; !__atomic_load_n(&callers_end, __ATOMIC_SEQ_CST); i++) {
        kin_proxy *list = NULL;
        if (i == 1) __atomic_fetch_add((int *)started, 1, __ATOMIC_SEQ_CST);
        kin_proxy_call(gate, "release", kin_value_none(), NULL, SOON);
        const kin_value *error = kin_manager_error(left);
        if (error != NULL) kin_value_class_name(error);
        kin_manager_ping(left, SOON);
        if (kin_manager_create(left, &list, "list", kin_value_none(), SOON) == 0) kin_proxy_close(list);
    }
    kin_proxy_close(gate);
    return NULL;
}

static void end_callers(void)
{
    if (left == NULL) return;
    __atomic_store_n(&callers_end, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    if (kin_manager_close(left) < 0) _exit(1);
}

static void end_among_callers(void *of_server)
{
    int started = 0;
    left = connect_at(of_server);
    held = manager_object(left, "door", SOON);
    CHECK_OK(kin_proxy_acquire(held, SOON));
    for (int i = 0; i < CALLERS; i++) CHECK_EQ(pthread_create(&callers[i], NULL, call_on, &started), 0);
    test_until(__atomic_load_n(&started, __ATOMIC_SEQ_CST) == CALLERS);
    exit(0);
}

/* … nor need its other threads have come to an end: they go on as other clients. */
TEST(a_process_ends_while_its_threads_call)
{
    /* As above. */
    CHECK_OK(atexit(end_callers));
    kin_manager *here = start(INT64_C(3600000000000), 0);
    kin_proxy *door = manager_object(here, "door", SOON);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(test_collect(test_child(end_among_callers, (void *)(uintptr_t)kin_manager_address(here))),
                 0);
        CHECK_RC(kin_proxy_acquire(door, SOON), KIN_OWNER_DIED);
        CHECK_OK(kin_proxy_release(door));
    }
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_manager_close(here));
}

/* The server waits for something in the name of a client that has given up and left. */
TEST(who_gives_a_call_up_gives_back_at_once)
{
    kin_manager *here = start(INT64_C(3600000000000), 0), *other = connect_at(kin_manager_address(here));
    kin_proxy *door = manager_object(other, "door", SOON), *door_here = manager_object(here, "door", SOON);
    kin_proxy *event = manager_object(other, "Event", SOON);
    CHECK_OK(kin_proxy_acquire(door, SOON));
    CHECK_RC(kin_proxy_call(event, "wait", kin_value_none(), NULL, BRIEFLY), -ETIMEDOUT);
    CHECK_RC(kin_proxy_acquire(door_here, SOON), KIN_OWNER_DIED);
    CHECK_OK(kin_proxy_close(event));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_close(here));
}

/* The thread's connection comes back, and that of the process's references does not: calls return in their own time,
 * most of them at once, and the references are there when it does. */
TEST(a_call_does_not_wait_for_the_references)
{
    kin_manager *here = start(INT64_C(3600000000000), 0);
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *list = manager_object(there, "list", SOON), *other = NULL;
    CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
    relay_admit(&relay, 1);
    CHECK_EQ(relay_cut(&relay), 2);
    kin_deadline began = kin_clock(), each = (kin_deadline)(10e9 * test_time_scale());
    for (int i = 0; i < 4; i++)
        CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), kin_clock() + each), 0);
    /* They do not all look for the references until their time is over. */
    bool slow = kin_clock() - began >= 4 * each;
    if (slow && !test_again()) CHECK(!slow);
    relay_admit(&relay, -1);
    CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
    CHECK_OK(kin_manager_create(there, &other, "list", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_close(other));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(there));
    relay_end(&relay);
    CHECK_OK(kin_manager_close(here));
}

/* ---- a bad link ------------------------------------------------------------------------------------- */

#define TASKS   120
#define WORKERS 3

static char relay_address[64];

static void work(void *unused)
{
    (void)unused;
    kin_manager *manager = connect_at(relay_address);
    kin_proxy *tasks = manager_object(manager, "tasks", SOON),
              *results = manager_object(manager, "results", SOON);
    kin_value task;
    int rc;
    settle(manager, tasks);
    while ((rc = kin_proxy_get(tasks, &task, SOON)) == 0) {
        CHECK_OK(kin_proxy_put(results, task, SOON));
        CHECK_OK(kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON));
    }
    CHECK_RC(rc, KIN_ECLOSED);
    CHECK_OK(kin_proxy_close(tasks));
    CHECK_OK(kin_proxy_close(results));
    CHECK_OK(kin_manager_close(manager));
}

/* Each task is done once, however often the link is cut between any two bytes. */
TEST(no_task_is_lost_or_done_twice_over_a_slow_link_that_breaks, .deadline = 120)
{
    kin_manager *here = start(INT64_C(60000000000), 0);
    struct relay relay = relay_start(kin_manager_address(here), 2);
    kin_proxy *tasks = manager_object(here, "tasks", SOON), *results = manager_object(here, "results", SOON);
    pid_t workers[WORKERS];
    unsigned seed = 1;
    long cuts = 0;
    strcpy(relay_address, relay.address);
    stage = test_shared(sizeof *stage);
    for (int i = 0; i < WORKERS; i++) workers[i] = test_child(work, NULL);
    test_until(*stage == WORKERS);
    /* If all was done before this process ran again, few were there to be cut. */
    while (cuts <= 10) {
        bool done[TASKS] = {false};
        for (int i = 0; i < TASKS; i++) CHECK_OK(kin_proxy_put(tasks, kin_value_int(i), SOON));
        for (int i = 0; i < TASKS; i++) {
            kin_value result;
            int64_t which;
            CHECK_OK(kin_proxy_get(results, &result, SOON));
            CHECK_OK(kin_value_get_int(&result, &which));
            CHECK(!done[which]);
            done[which] = true;
            if (rand_r(&seed) % 4 == 0) cuts += relay_cut(&relay);
        }
    }
    CHECK_OK(kin_proxy_call(tasks, "join", kin_value_none(), NULL, SOON));
    CHECK_EQ(proxy_number(results, "qsize", kin_value_none(), SOON), 0);
    CHECK_OK(kin_proxy_call(tasks, "shutdown", kin_value_none(), NULL, SOON));
    for (int i = 0; i < WORKERS; i++) CHECK_EQ(test_collect(workers[i]), 0);
    NOTE("%ld connections were cut", cuts);
    relay_end(&relay);
    CHECK_OK(kin_proxy_close(tasks));
    CHECK_OK(kin_proxy_close(results));
    CHECK_OK(kin_manager_close(here));
}

/* ---- leases --------------------------------------------------------------------------------------------- */

/* What the processes of a case tell each other.  The server may have waited for a client, at most, from before the
 * client's last call to after this one.  If that is longer than the lease, this machine was too busy: whatever became
 * of the lease is right, and the case is run again, with a longer one. */
static struct leases {
    double lease;         /* seconds */
    double released;      /* when the child gave the lock back, or a little before */
    volatile bool spoilt; /* somebody was silent for too long */
} * leases;

#define FIRST_LEASE 0.2

static void begin_leases(double lease)
{
    stage = test_shared(sizeof *stage);
    leases = test_shared(sizeof *leases);
    leases->lease = lease;
}

/* Was a client heard in time, whose last call began at `*heard` and whose next, begun at `now`, is over? */
static bool speaks(double *heard, double now)
{
    if (test_seconds() - *heard >= leases->lease) leases->spoilt = true;
    *heard = now;
    return !leases->spoilt;
}

static void hold(void *of_manager)
{
    kin_proxy *door = manager_object(of_manager, "door", SOON);
    CHECK_OK(kin_proxy_acquire(door, SOON));
    *stage = 1;
    raise(SIGSTOP);
}

static void hold_for_leases(void *of_manager)
{
    kin_proxy *door = manager_object(of_manager, "door", SOON);
    double heard = test_seconds(), now;
    CHECK_OK(kin_proxy_acquire(door, SOON));
    *stage = 1;
    double until = test_seconds() + leases->lease * 3;
    while ((now = test_seconds()) < until) {
        int rc = kin_manager_ping(of_manager, SOON);
        if (!speaks(&heard, now)) break;
        CHECK_OK(rc);
    }
    leases->released = test_seconds();
    int rc = kin_proxy_release(door);
    if (speaks(&heard, now)) CHECK_OK(rc);
}

/* Tells whether it has shown anything. */
static bool wait_for_long(double lease)
{
    begin_leases(lease);
    kin_manager *manager = start(0, (int64_t)(lease * 1e9));
    kin_proxy *door = manager_object(manager, "door", SOON);
    pid_t child = test_child(hold_for_leases, manager);
    test_until(*stage == 1);
    CHECK_OK(kin_proxy_acquire(door, SOON));
    /* The server has looked at its leases several times before this call. */
    double until = test_seconds() + lease / 2;
    test_until(test_seconds() > until);
    int rc = kin_proxy_release(door);
    double over = test_seconds();
    CHECK_EQ(test_collect(child), 0);
    bool in_time = !leases->spoilt && over - leases->released < lease;
    if (in_time) CHECK_OK(rc);
    kin_proxy_close(door);
    CHECK_OK(kin_manager_close(manager));
    return in_time;
}

/* While it waited for several leases it was the server that was silent: what it gets at last is its own. */
TEST(who_waits_for_long_keeps_what_it_gets)
{
    for (double lease = FIRST_LEASE; !wait_for_long(lease); lease *= 2) continue;
}

static bool be_silent(double lease)
{
    begin_leases(lease);
    kin_manager *manager = start(0, (int64_t)(lease * 1e9));
    kin_proxy *door = manager_object(manager, "door", SOON), *gate = manager_object(manager, "gate", SOON);
    double heard = test_seconds(), now;
    CHECK_OK(kin_proxy_acquire(gate, SOON));
    pid_t child = test_child(hold, manager);
    test_until(*stage == 1);
    /* This client speaks, and keeps what it has. */
    int rc, pinged;
    do {
        now = test_seconds();
        rc = kin_proxy_acquire(door, KIN_NOW);
        pinged = rc == -ETIMEDOUT ? kin_manager_ping(manager, SOON) : 0;
    } while (speaks(&heard, now) && rc == -ETIMEDOUT && pinged == 0);
    if (!leases->spoilt) CHECK_OK(pinged);
    if (!leases->spoilt) CHECK_RC(rc, KIN_OWNER_DIED);
    rc = kin_proxy_release(gate);
    if (speaks(&heard, now)) CHECK_OK(rc);
    test_kill(child);
    kin_proxy_close(door);
    kin_proxy_close(gate);
    CHECK_OK(kin_manager_close(manager));
    return !leases->spoilt;
}

TEST(who_holds_something_and_is_silent_loses_it)
{
    for (double lease = FIRST_LEASE; !be_silent(lease); lease *= 2) continue;
}
