/* test_manager_closed.c: managers, and their queues and locks, that are closed while proxies of them are open, or others
 * are in calls: each call ends, and says what has become of the manager.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/lock.h>
#include <kin/loop.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/queue.h>
#include <kin/queue_value.h>

#define SOON     kin_in_s(30)
#define SECOND_S INT64_C(1000000000)

/* How often something is closed while others are on their way somewhere. */
#define ROUNDS (test_sanitized() ? 5 : 20)

static const kin_manager_type types[] = {{.name = "door", .shared = "Lock"},
                                         {.name = "words", .shared = "Queue"},
                                         {.name = "answers", .shared = "Queue"}};

static char address[64];
static kin_manager *manager;
static int64_t grace;

static kin_manager_options options(void)
{
    return (kin_manager_options){
        .address = address, .key = "k", .key_size = 1, .types = types, .type_count = 3, .grace_ns = grace};
}

static void serve(void *unused)
{
    kin_manager_options given = options();
    (void)unused;
    CHECK_OK(kin_manager_serve(&given));
}

static pid_t begin(int64_t grace_ns)
{
    grace = grace_ns;
    snprintf(address, sizeof address, "%s", test_abstract_address());
    pid_t server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    return server;
}

/* By a handle that is not that of the case. */
static void end(pid_t server)
{
    kin_manager *other = NULL;
    CHECK_OK(kin_manager_connect(&other, address, "k", 1, SOON));
    CHECK_OK(kin_manager_shutdown(other, SOON));
    CHECK_OK(kin_manager_close(other));
    CHECK_EQ(test_collect(server), 0);
}

static int64_t count_objects(void)
{
    return manager_count_objects(address, SOON);
}

static bool is_said(void)
{
    const char *text;
    char expected[128];
    const kin_value *error = kin_manager_error(manager);
    snprintf(expected, sizeof expected, "the manager at %s was closed", kin_manager_address(manager));
    if (error == NULL || kin_value_parse(kin_value_arguments(error), "(s)", &text) < 0) return false;
    CHECK_STR(text, expected);
    return true;
}

/* ---- used later ------------------------------------------------------------------------------------------ */

static void use_closed(kin_proxy *list, kin_proxy *queue, kin_proxy *lock)
{
    kin_value item = kin_proxy_value(list);
    kin_proxy *late = NULL;
    kin_call calls[2] = {{.proxy = list, .method = "__len__"}, {.proxy = queue, .method = "qsize"}};
    CHECK_RC(kin_proxy_call(list, "__len__", kin_value_none(), NULL, SOON), KIN_ECLOSED);
    CHECK(is_said());
    CHECK_RC(kin_proxy_put(queue, kin_value_ref(&item), SOON), KIN_ECLOSED);
    CHECK_RC(kin_proxy_acquire(lock, SOON), KIN_ECLOSED);
    CHECK_RC(kin_proxy_release(lock), KIN_ECLOSED);
    CHECK_RC(kin_proxy_call_many(calls, 2, SOON), KIN_ECLOSED);
    for (int i = 0; i < 2; i++) CHECK_RC(calls[i].rc, KIN_ECLOSED);
    CHECK_RC(kin_manager_proxy(manager, &late, &item, SOON), KIN_ECLOSED);
    CHECK_RC(kin_manager_create(manager, &late, "list", kin_value_none(), SOON), KIN_ECLOSED);
    CHECK(is_said());
    CHECK_RC(kin_manager_ping(manager, SOON), KIN_ECLOSED);
    CHECK_RC(kin_manager_shutdown(manager, SOON), KIN_ECLOSED);
    CHECK_RC(kin_manager_close(manager), KIN_ECLOSED);
    kin_value_clear(&item);
    CHECK_RC(kin_proxy_get(queue, &item, SOON), KIN_ECLOSED);
    kin_value_clear(&item);
}

static void close_before_the_proxies(void)
{
    kin_proxy *list = manager_object(manager, "list", SOON), *queue = manager_object(manager, "words", SOON),
              *lock = manager_object(manager, "door", SOON);
    CHECK_OK(kin_proxy_acquire(lock, SOON));
    CHECK_OK(kin_manager_close(manager));
    use_closed(list, queue, lock);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_proxy_close(queue));
    use_closed(lock, lock, lock);
    CHECK_OK(kin_proxy_close(lock));
}

TEST(a_proxy_outlives_a_manager_that_was_started)
{
    address[0] = '\0';
    for (int i = 0; i < 2; i++) {
        grace = i * 60 * SECOND_S;
        kin_manager_options given = options();
        given.address = i == 0 ? NULL : "tcp://127.0.0.1:0";
        CHECK_OK(kin_manager_start(&manager, &given));
        close_before_the_proxies();
    }
}

/* What the client held is given back with the closing. */
TEST(a_proxy_outlives_a_handle)
{
    for (int i = 0; i < 2; i++) {
        pid_t server = begin(i * 60 * SECOND_S);
        /* What everybody shares stays. */
        CHECK_OK(kin_proxy_close(manager_object(manager, "words", SOON)));
        CHECK_OK(kin_proxy_close(manager_object(manager, "door", SOON)));
        int64_t objects = count_objects();
        close_before_the_proxies();
        test_until(count_objects() == objects);
        CHECK_OK(kin_manager_connect(&manager, address, "k", 1, SOON));
        kin_proxy *lock = manager_object(manager, "door", SOON);
        CHECK_OK(kin_proxy_acquire(lock, SOON));
        CHECK_OK(kin_manager_close(manager));
        CHECK_OK(kin_proxy_close(lock));
        end(server);
    }
}

static const char python[] =
    "import sys, multiprocessing.managers as m\n"
    "m.SyncManager(address='\\0' + sys.argv[1], authkey=b'k').get_server().serve_forever()\n";

static void serve_python(void *unused)
{
    (void)unused;
    execl("/usr/bin/python3", "python3", "-c", python, address + strlen("unix:@"), (char *)NULL);
    _exit(127);
}

/* Python's server drops no reference by itself. */
TEST(a_proxy_of_pythons_manager_is_given_up_later)
{
    if (access("/usr/bin/python3", X_OK) != 0) SKIP("there is no python3");
    snprintf(address, sizeof address, "%s", test_abstract_address());
    pid_t server = test_child(serve_python, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    int64_t objects = count_objects();
    kin_proxy *list = manager_object(manager, "list", SOON), *lock = manager_object(manager, "Lock", SOON);
    CHECK_EQ(count_objects(), objects + 2);
    CHECK_OK(kin_manager_close(manager));
    use_closed(list, list, lock);
    kin_deadline began = kin_clock();
    CHECK_OK(kin_proxy_close(lock));
    CHECK_OK(kin_proxy_close(list));
    /* Each has a second to say so to the server. */
    bool late = kin_clock() - began >= SECOND_S / 2;
    if (count_objects() != objects && !(late && test_again())) CHECK_EQ(count_objects(), objects);
    CHECK_OK(kill(server, SIGKILL));
    test_collect(server);
}

/* ---- while others are in calls ------------------------------------------------------------------------------ */

static _Atomic int on_their_way;

/* In a call, or not yet: the words queue is empty for ever. */
static void *wait_for_words(void *words)
{
    kin_value item;
    atomic_fetch_add(&on_their_way, 1);
    CHECK_RC(kin_proxy_get(words, &item, KIN_FOREVER), KIN_ECLOSED);
    CHECK(is_said());
    return NULL;
}

static void *make_lists(void *unused)
{
    kin_proxy *list = NULL;
    int rc;
    (void)unused;
    atomic_fetch_add(&on_their_way, 1);
    while ((rc = kin_manager_create(manager, &list, "list", kin_value_none(), KIN_FOREVER)) == 0)
        CHECK_OK(kin_proxy_close(list));
    CHECK_RC(rc, KIN_ECLOSED);
    CHECK(is_said());
    return NULL;
}

static void *call_many(void *words)
{
    int rc;
    atomic_fetch_add(&on_their_way, 1);
    do {
        kin_call calls[3] = {{.proxy = words, .method = "qsize"},
                             {.proxy = words, .method = "qsize"},
                             {.proxy = words, .method = "empty"}};
        rc = kin_proxy_call_many(calls, 3, KIN_FOREVER);
        for (int i = 0; i < 3; i++) {
            /* The last is what a server answers that ends. */
            CHECK(calls[i].rc == 0 || calls[i].rc == rc || calls[i].rc == -ECONNRESET);
            kin_value_clear(&calls[i].result);
        }
    } while (rc == 0);
    CHECK_RC(rc, KIN_ECLOSED);
    return NULL;
}

/* What was raised can be read, whether the manager is closed or not by then. */
static void *call_wrongly(void *words)
{
    int rc;
    atomic_fetch_add(&on_their_way, 1);
    while ((rc = kin_proxy_call(words, "qsize", kin_value_build("(i)", 1), NULL, KIN_FOREVER)) == KIN_EREMOTE)
        CHECK_STR(kin_value_class_name(kin_manager_error(manager)), "TypeError");
    CHECK_RC(rc, KIN_ECLOSED);
    CHECK(is_said());
    return NULL;
}

/* Ends while it is closed. */
static void *call_once(void *words)
{
    kin_value result;
    atomic_fetch_add(&on_their_way, 1);
    int rc = kin_proxy_call(words, "qsize", kin_value_none(), &result, KIN_FOREVER);
    CHECK(rc == 0 || rc == KIN_ECLOSED);
    kin_value_clear(&result);
    return NULL;
}

typedef void *work(void *words);
static work *const works[] = {wait_for_words, make_lists, call_many, call_once, wait_for_words, call_wrongly};
enum { WORKS = sizeof works / sizeof works[0] };

/* `held`: its calls count as users too, whoever else is gone. */
static void close_under_threads(void)
{
    pthread_t thread[WORKS];
    kin_proxy *words = manager_object(manager, "words", SOON), *held = manager_object(manager, "list", SOON);
    atomic_store(&on_their_way, 0);
    for (int i = 0; i < WORKS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, works[i], words), 0);
    test_until(atomic_load(&on_their_way) == WORKS);
    CHECK_OK(kin_manager_close(manager));
    for (int i = 0; i < WORKS; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_RC(kin_proxy_call(words, "qsize", kin_value_none(), NULL, SOON), KIN_ECLOSED);
    CHECK_OK(kin_proxy_close(words));
    CHECK_OK(kin_proxy_close(held));
}

TEST(calls_of_other_threads_end)
{
    pid_t server = begin(0);
    for (int round = 0; round < ROUNDS; round++) {
        if (round > 0) CHECK_OK(kin_manager_connect(&manager, address, "k", 1, SOON));
        close_under_threads();
    }
    end(server);
}

TEST(calls_of_other_threads_end_where_clients_come_back)
{
    pid_t server = begin(600 * SECOND_S);
    for (int round = 0; round < ROUNDS; round++) {
        if (round > 0) CHECK_OK(kin_manager_connect(&manager, address, "k", 1, SOON));
        close_under_threads();
    }
    end(server);
}

TEST(calls_of_other_threads_end_with_the_server)
{
    address[0] = '\0';
    grace = 0;
    for (int round = 0; round < ROUNDS; round++) {
        kin_manager_options given = options();
        given.address = round % 2 == 0 ? "tcp://127.0.0.1:0" : NULL;
        CHECK_OK(kin_manager_start(&manager, &given));
        close_under_threads();
    }
}

static kin_proxy *door, *answers;

static void *hold_and_wait(void *words)
{
    CHECK_OK(kin_proxy_acquire(door, SOON));
    /* The item may be there, and the manager closed for it, before this hears so. */
    int rc = kin_proxy_put(answers, kin_value_int(1), SOON);
    CHECK(rc == 0 || rc == KIN_ECLOSED);
    return wait_for_words(words);
}

/* Whoever waits has a connection that is broken for it, and what it held is free long before its time is over. */
TEST(what_a_waiting_thread_held_is_given_back_at_once)
{
    pid_t server = begin(600 * SECOND_S);
    pthread_t thread;
    kin_value item;
    kin_manager *other = NULL;
    kin_proxy *words = manager_object(manager, "words", SOON);
    door = manager_object(manager, "door", SOON);
    answers = manager_object(manager, "answers", SOON);
    CHECK_EQ(pthread_create(&thread, NULL, hold_and_wait, words), 0);
    CHECK_OK(kin_proxy_get(answers, &item, SOON));
    kin_deadline began = kin_clock();
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    /* It has a second to say that it leaves. */
    bool late = kin_clock() - began >= SECOND_S / 2;
    CHECK_OK(kin_proxy_close(words));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(answers));
    CHECK_OK(kin_manager_connect(&other, address, "k", 1, SOON));
    door = manager_object(other, "door", SOON);
    int rc = kin_proxy_acquire(door, late ? kin_in_s(2) : SOON);
    if (rc < 0 && !(late && test_again())) CHECK_OK(rc);
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_manager_close(other));
    end(server);
}

static void *create_one(void *unused)
{
    kin_proxy *list = NULL;
    (void)unused;
    atomic_fetch_add(&on_their_way, 1);
    CHECK_RC(kin_manager_create(manager, &list, "list", kin_value_none(), KIN_FOREVER), KIN_ECLOSED);
    return NULL;
}

static void *ping_it(void *unused)
{
    (void)unused;
    atomic_fetch_add(&on_their_way, 1);
    CHECK_RC(kin_manager_ping(manager, KIN_FOREVER), KIN_ECLOSED);
    return NULL;
}

/* A server that stands still takes connections and answers nothing, not even who connects. */
static void close_under_a_server_that_stands_still(int64_t grace_ns)
{
    siginfo_t info;
    pthread_t thread[3];
    work *const waits[] = {create_one, ping_it, create_one};
    pid_t server = begin(grace_ns);
    kin_proxy *list = manager_object(manager, "list", SOON);
    CHECK_OK(kill(server, SIGSTOP));
    CHECK_OK(waitid(P_PID, (id_t)server, &info, WSTOPPED));
    atomic_store(&on_their_way, 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_create(&thread[i], NULL, waits[i], NULL), 0);
    test_until(atomic_load(&on_their_way) == 3);
    CHECK_OK(kin_manager_close(manager));
    CHECK_OK(kin_proxy_close(list));
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_OK(kill(server, SIGCONT));
    end(server);
}

TEST(calls_end_that_nobody_answers)
{
    close_under_a_server_that_stands_still(0);
    close_under_a_server_that_stands_still(600 * SECOND_S);
}

static int wait_in_coroutine(void *words)
{
    return wait_for_words(words) != NULL;
}

TEST(a_coroutine_closes_it_under_others)
{
    kin_coroutine *coroutine[3];
    for (int grace_s = 0; grace_s <= 600; grace_s += 600) {
        pid_t server = begin(grace_s * SECOND_S);
        kin_proxy *words = manager_object(manager, "words", SOON);
        for (int i = 0; i < 3; i++)
            CHECK_OK(kin_coroutine_start(&coroutine[i], wait_in_coroutine, words, NULL));
        CHECK_OK(kin_coroutine_sleep(kin_in_ms(5)));
        CHECK_OK(kin_manager_close(manager));
        for (int i = 0; i < 3; i++) {
            CHECK_OK(kin_coroutine_join(coroutine[i], SOON));
            CHECK_OK(kin_coroutine_close(coroutine[i]));
        }
        CHECK_OK(kin_proxy_close(words));
        end(server);
    }
    CHECK_OK(kin_loop_close());
}

/* ---- and other processes -------------------------------------------------------------------------------------- */

struct copy {
    kin_proxy *list;
    int from[2]; /* the child's answers, and what it waits for */
    int to[2];
};

static void use_a_copy(void *argument)
{
    struct copy *copy = argument;
    char byte = 0;
    CHECK_OK(proxy_number(copy->list, "__len__", kin_value_none(), SOON));
    CHECK_EQ(write(copy->from[1], "", 1), 1);
    CHECK_EQ(read(copy->to[0], &byte, 1), 1);
    CHECK_EQ(proxy_number(copy->list, "__len__", kin_value_none(), SOON), 0);
    CHECK_OK(kin_manager_close(manager));
    CHECK_RC(kin_proxy_call(copy->list, "__len__", kin_value_none(), NULL, SOON), KIN_ECLOSED);
    CHECK_OK(kin_proxy_close(copy->list));
}

/* Each process closes its own. */
TEST(a_child_goes_on_with_its_copy)
{
    struct copy copy;
    char byte = 0;
    for (int child_first = 0; child_first < 2; child_first++) {
        pid_t server = begin(child_first * 60 * SECOND_S);
        copy.list = manager_object(manager, "list", SOON);
        CHECK_OK(pipe(copy.from));
        CHECK_OK(pipe(copy.to));
        pid_t child = test_child(use_a_copy, &copy);
        CHECK_EQ(read(copy.from[0], &byte, 1), 1);
        if (child_first) {
            CHECK_EQ(write(copy.to[1], "", 1), 1);
            CHECK_EQ(test_collect(child), 0);
            CHECK_EQ(proxy_number(copy.list, "__len__", kin_value_none(), SOON), 0);
        }
        CHECK_OK(kin_manager_close(manager));
        CHECK_RC(kin_proxy_call(copy.list, "__len__", kin_value_none(), NULL, SOON), KIN_ECLOSED);
        if (!child_first) {
            CHECK_EQ(write(copy.to[1], "", 1), 1);
            CHECK_EQ(test_collect(child), 0);
        }
        CHECK_OK(kin_proxy_close(copy.list));
        for (int i = 0; i < 2; i++) CHECK_OK(close(copy.from[i]) + close(copy.to[i]));
        end(server);
    }
}

/* ---- queues and locks that were opened with an address --------------------------------------------------------- */

static kin_queue *open_queue(const char *name)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(
        &queue, &(kin_queue_options){.address = address, .key = "k", .key_size = 1, .name = name}));
    return queue;
}

static kin_lock *open_lock(void)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open_with(
        &lock, &(kin_lock_options){.address = address, .key = "k", .key_size = 1, .name = "door"}));
    return lock;
}

TEST(a_queue_or_lock_that_was_closed_says_so)
{
    char byte;
    kin_value value = kin_value_none();
    pid_t server = begin(0);
    kin_queue *queue = open_queue("words");
    kin_lock *lock = open_lock();
    CHECK_OK(kin_manager_close(manager));
    /* These have connections of their own. */
    CHECK_OK(kin_queue_put(queue, "x", 1, SOON));
    CHECK_OK(kin_lock_acquire(lock, SOON));
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_lock_close(lock));
    CHECK_RC(kin_queue_put(queue, "x", 1, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_put_value(queue, &value, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_get(queue, &byte, 1, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_get_value(queue, &value, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_qsize(queue), KIN_ECLOSED);
    CHECK_RC(kin_queue_task_done(queue), KIN_ECLOSED);
    CHECK_RC(kin_queue_join(queue, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_shutdown(queue, 0), KIN_ECLOSED);
    CHECK_RC(kin_queue_close(queue), KIN_ECLOSED);
    CHECK_RC(kin_lock_acquire(lock, SOON), KIN_ECLOSED);
    CHECK_RC(kin_lock_release(lock), KIN_ECLOSED);
    CHECK_RC(kin_lock_locked(lock), KIN_ECLOSED);
    CHECK_RC(kin_lock_close(lock), KIN_ECLOSED);
    end(server);
}
