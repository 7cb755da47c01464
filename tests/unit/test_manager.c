/* test_manager.c: a manager and its clients in C: queues, locks, events, barriers, and what happens
 * when one of either side dies.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/process.h>

#define SOON kin_in_s(20)

static kin_manager *manager;

static kin_proxy *make(const char *type, kin_value arguments)
{
    kin_proxy *proxy = NULL;
    if (manager == NULL) CHECK_OK(kin_manager_start(&manager, NULL));
    CHECK_OK(kin_manager_create(manager, &proxy, type, arguments, SOON));
    return proxy;
}

static void finish(kin_proxy *proxy)
{
    CHECK_OK(kin_proxy_close(proxy));
    CHECK_OK(kin_manager_close(manager));
    manager = NULL;
}

static int64_t number(kin_proxy *proxy, const char *method, kin_value arguments)
{
    return proxy_number(proxy, method, arguments, SOON);
}

static int64_t get_number(kin_proxy *queue)
{
    kin_value item;
    int64_t got;
    CHECK_OK(kin_proxy_get(queue, &item, SOON));
    CHECK_OK(kin_value_get_int(&item, &got));
    kin_value_clear(&item);
    return got;
}

/* The last call failed with this exception of the manager's. */
static void check_raised(const char *repr)
{
    char text[256];
    const kin_value *error = kin_manager_error(manager);
    CHECK(error != NULL);
    kin_value_repr(error, text, sizeof text);
    CHECK_STR(text, repr);
}

/* ---- queues ------------------------------------------------------------------------------------- */

TEST(a_queue_hands_values_out_in_order)
{
    kin_proxy *queue = make("Queue", kin_value_build("(i)", 3));
    char text[64];
    kin_value item;
    CHECK_OK(kin_proxy_put(queue, kin_value_int(1), SOON));
    CHECK_OK(kin_proxy_put(queue, kin_value_str("two"), KIN_NOW));
    CHECK_OK(kin_proxy_put(queue, kin_value_build("([i]{s:d})", 3, "x", 0.5), KIN_FOREVER));
    CHECK_EQ(number(queue, "qsize", kin_value_none()), 3);
    CHECK_EQ(number(queue, "full", kin_value_none()), 1);
    CHECK_RC(kin_proxy_put(queue, kin_value_int(4), KIN_NOW), KIN_FULL);
    CHECK_RC(kin_proxy_put(queue, kin_value_int(4), kin_in_ms(20)), KIN_FULL);
    CHECK_EQ(get_number(queue), 1);
    CHECK_OK(kin_proxy_get(queue, &item, SOON));
    CHECK_STR(kin_value_get_str(&item, NULL), "two");
    kin_value_clear(&item);
    CHECK_OK(kin_proxy_get(queue, &item, SOON));
    kin_value_repr(&item, text, sizeof text);
    CHECK_STR(text, "([3], {'x': 0.5})");
    kin_value_clear(&item);
    CHECK_RC(kin_proxy_get(queue, &item, KIN_NOW), KIN_EMPTY);
    CHECK_RC(kin_proxy_get(queue, &item, kin_in_ms(20)), KIN_EMPTY);
    finish(queue);
}

TEST(a_queue_that_is_shut_down_is_drained)
{
    kin_proxy *queue = make("Queue", kin_value_none());
    kin_value item;
    CHECK_OK(kin_proxy_put(queue, kin_value_int(1), SOON));
    CHECK_OK(kin_proxy_call(queue, "shutdown", kin_value_none(), NULL, SOON));
    CHECK_RC(kin_proxy_put(queue, kin_value_int(2), SOON), KIN_ECLOSED);
    CHECK_EQ(get_number(queue), 1);
    CHECK_RC(kin_proxy_get(queue, &item, SOON), KIN_ECLOSED);
    finish(queue);
}

TEST(task_done_is_counted)
{
    kin_proxy *queue = make("JoinableQueue", kin_value_none());
    for (int i = 0; i < 2; i++) CHECK_OK(kin_proxy_put(queue, kin_value_int(i), SOON));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(get_number(queue), i);
        CHECK_OK(kin_proxy_call(queue, "task_done", kin_value_none(), NULL, SOON));
    }
    CHECK_OK(kin_proxy_call(queue, "join", kin_value_none(), NULL, SOON));
    CHECK_RC(kin_proxy_call(queue, "task_done", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    check_raised("ValueError('task_done() called too many times')");
    finish(queue);
}

static void echo(void *queues)
{
    kin_proxy **pair = queues;
    for (int64_t i; (i = get_number(pair[0])) >= 0;) CHECK_OK(kin_proxy_put(pair[1], kin_value_int(i), SOON));
}

TEST(processes_wait_for_each_others_items)
{
    kin_proxy *pair[2] = {make("Queue", kin_value_build("(i)", 1)), make("Queue", kin_value_build("(i)", 1))};
    pid_t child = test_child(echo, pair);
    for (int i = 0; i < 200; i++) {
        CHECK_OK(kin_proxy_put(pair[0], kin_value_int(i), SOON));
        CHECK_EQ(get_number(pair[1]), i);
    }
    CHECK_OK(kin_proxy_put(pair[0], kin_value_int(-1), SOON));
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_proxy_close(pair[1]));
    finish(pair[0]);
}

/* ---- clients that die ------------------------------------------------------------------------------- */

static _Atomic int *stage;

static void wait_in_get(void *queue)
{
    kin_value item;
    CHECK_OK(kin_proxy_call(queue, "qsize", kin_value_none(), NULL, SOON));
    *stage = 1;
    kin_proxy_get(queue, &item, KIN_FOREVER);
}

TEST(an_item_is_not_taken_for_a_client_that_is_gone)
{
    kin_proxy *queue = make("Queue", kin_value_none());
    stage = test_shared(sizeof *stage);
    pid_t child = test_child(wait_in_get, queue);
    test_until(*stage == 1);
    test_kill(child);
    CHECK_OK(kin_proxy_put(queue, kin_value_int(7), SOON));
    CHECK_EQ(get_number(queue), 7);
    finish(queue);
}

static void take_two(void *queue)
{
    CHECK_EQ(get_number(queue), 0);
    CHECK_OK(kin_proxy_call(queue, "task_done", kin_value_none(), NULL, SOON));
    CHECK_EQ(get_number(queue), 1);
    *stage = 1;
    pause();
}

TEST(a_task_that_a_dead_worker_took_goes_back_to_the_front)
{
    kin_proxy *tasks = make("TaskQueue", kin_value_none());
    stage = test_shared(sizeof *stage);
    for (int i = 0; i < 3; i++) CHECK_OK(kin_proxy_put(tasks, kin_value_int(i), SOON));
    pid_t child = test_child(take_two, tasks);
    test_until(*stage == 1);
    CHECK_EQ(number(tasks, "qsize", kin_value_none()), 1);
    test_kill(child);
    test_until(number(tasks, "qsize", kin_value_none()) == 2);
    for (int i = 1; i < 3; i++) {
        CHECK_EQ(get_number(tasks), i);
        CHECK_OK(kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON));
    }
    CHECK_OK(kin_proxy_call(tasks, "join", kin_value_none(), NULL, SOON));
    finish(tasks);
}

static void say_done(void *tasks)
{
    CHECK_RC(kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    check_raised("ValueError('task_done() of a task that this client does not have')");
}

/* It would be lost if the other one ended now. */
TEST(nobody_says_of_anothers_task_that_it_is_done)
{
    kin_proxy *tasks = make("TaskQueue", kin_value_none());
    CHECK_OK(kin_proxy_put(tasks, kin_value_int(0), SOON));
    say_done(tasks);
    CHECK_EQ(get_number(tasks), 0);
    CHECK_EQ(test_collect(test_child(say_done, tasks)), 0);
    CHECK_OK(kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_call(tasks, "join", kin_value_none(), NULL, SOON));
    finish(tasks);
}

static void die_with_lock(void *lock)
{
    CHECK_OK(kin_proxy_acquire(lock, SOON));
    *stage = 1;
    pause();
}

TEST(a_lock_of_a_dead_client_is_released_and_the_next_owner_is_told)
{
    static const char *const types[] = {"Lock", "RLock", "Semaphore", "BoundedSemaphore"};
    for (int i = 0; i < 4; i++) {
        kin_proxy *lock = make(types[i], kin_value_none());
        test_context("%s", types[i]);
        stage = test_shared(sizeof *stage);
        pid_t child = test_child(die_with_lock, lock);
        test_until(*stage == 1);
        CHECK_RC(kin_proxy_acquire(lock, KIN_NOW), -ETIMEDOUT);
        test_kill(child);
        CHECK_RC(kin_proxy_acquire(lock, SOON), KIN_OWNER_DIED);
        CHECK_OK(kin_proxy_release(lock));
        CHECK_RC(kin_proxy_acquire(lock, SOON), 0);
        CHECK_OK(kin_proxy_release(lock));
        CHECK_OK(kin_proxy_close(lock));
    }
    finish(NULL);
}

static void create_and_stay(void *queue)
{
    kin_proxy *event = make("Event", kin_value_none());
    CHECK_OK(kin_proxy_put(queue, kin_proxy_value(event), SOON));
    *stage = 1;
    pause();
}

TEST(an_object_lives_while_a_queue_holds_its_proxy)
{
    kin_proxy *queue = make("Queue", kin_value_none()), *event = NULL;
    kin_value item;
    stage = test_shared(sizeof *stage);
    pid_t child = test_child(create_and_stay, queue);
    test_until(*stage == 1);
    test_kill(child);
    /* The queue has the only reference: its value names a living object. */
    CHECK_OK(kin_proxy_get(queue, &item, SOON));
    CHECK_OK(kin_manager_proxy(manager, &event, &item, SOON));
    CHECK_EQ(number(event, "is_set", kin_value_none()), 0);
    CHECK_OK(kin_proxy_close(event));
    kin_value_clear(&item);
    finish(queue);
}

/* A bare token counts like a proxy, when it comes and when it goes: otherwise whoever puts some into a list
 * and clears it would take away references of others. */
TEST(a_token_in_a_list_takes_nobodys_reference)
{
    kin_proxy *list = make("list", kin_value_none()), *other = make("list", kin_value_none());
    kin_proxy *kept = make("list", kin_value_none());
    kin_value proxy = kin_proxy_value(other);
    kin_value address = kin_value_ref(kin_value_token_address(&proxy));
    kin_value token = kin_value_token("list", address, kin_value_token_id(&proxy));
    kin_value_clear(&proxy);
    for (int i = 0; i < 8; i++)
        CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_proxy_value(kept)), NULL, SOON));
    for (int i = 0; i < 8; i++) {
        CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_value_ref(&token)), NULL, SOON));
        CHECK_OK(kin_proxy_call(list, "pop", kin_value_none(), NULL, SOON));
    }
    kin_value_clear(&token);
    CHECK_EQ(number(other, "__len__", kin_value_none()), 0);
    CHECK_OK(kin_proxy_close(kept));
    CHECK_OK(kin_proxy_close(other));
    finish(list);
}

/* ---- locks and the like --------------------------------------------------------------------------------- */

TEST(locks_are_used_as_in_python)
{
    kin_proxy *lock = make("Lock", kin_value_none()), *rlock = make("RLock", kin_value_none());
    CHECK_OK(kin_proxy_acquire(lock, SOON));
    CHECK_RC(kin_proxy_acquire(lock, kin_in_ms(10)), -ETIMEDOUT);
    CHECK_OK(kin_proxy_release(lock));
    CHECK_RC(kin_proxy_release(lock), KIN_EREMOTE);
    check_raised("RuntimeError('release unlocked lock')");
    for (int i = 0; i < 3; i++) CHECK_OK(kin_proxy_acquire(rlock, KIN_NOW));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_proxy_release(rlock));
    CHECK_RC(kin_proxy_release(rlock), KIN_EREMOTE);
    check_raised("RuntimeError('cannot release un-acquired lock')");
    CHECK_OK(kin_proxy_close(rlock));
    finish(lock);
}

TEST(semaphores_count)
{
    kin_proxy *plain = make("Semaphore", kin_value_build("(i)", 2));
    kin_proxy *bounded = make("BoundedSemaphore", kin_value_build("(i)", 1));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_proxy_acquire(plain, KIN_NOW));
    CHECK_RC(kin_proxy_acquire(plain, KIN_NOW), -ETIMEDOUT);
    for (int i = 0; i < 3; i++) CHECK_OK(kin_proxy_release(plain));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_proxy_acquire(plain, KIN_NOW));
    CHECK_RC(kin_proxy_release(bounded), KIN_EREMOTE);
    check_raised("ValueError('Semaphore released too many times')");
    CHECK_OK(kin_proxy_close(bounded));
    finish(plain);
}

static void count_to(void *objects_)
{
    kin_proxy **pair = objects_;
    for (int i = 0; i < 50; i++) {
        CHECK_OK(kin_proxy_acquire(pair[0], SOON));
        int64_t value = get_number(pair[1]);
        CHECK_OK(kin_proxy_put(pair[1], kin_value_int(value + 1), SOON));
        CHECK_OK(kin_proxy_release(pair[0]));
    }
}

TEST(a_lock_keeps_processes_apart)
{
    kin_proxy *pair[2] = {make("Lock", kin_value_none()), make("Queue", kin_value_none())};
    pid_t children[4];
    CHECK_OK(kin_proxy_put(pair[1], kin_value_int(0), SOON));
    for (int i = 0; i < 4; i++) children[i] = test_child(count_to, pair);
    for (int i = 0; i < 4; i++) CHECK_EQ(test_collect(children[i]), 0);
    CHECK_EQ(get_number(pair[1]), 200);
    CHECK_OK(kin_proxy_close(pair[1]));
    finish(pair[0]);
}

static void wait_for_event(void *event)
{
    CHECK_EQ(number(event, "wait", kin_value_build("(N)")), 1);
}

TEST(an_event_wakes_all_who_wait)
{
    kin_proxy *event = make("Event", kin_value_none());
    pid_t children[3];
    CHECK_EQ(number(event, "wait", kin_value_build("(d)", 0.01)), 0);
    for (int i = 0; i < 3; i++) children[i] = test_child(wait_for_event, event);
    CHECK_OK(kin_proxy_call(event, "set", kin_value_none(), NULL, SOON));
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(children[i]), 0);
    CHECK_EQ(number(event, "is_set", kin_value_none()), 1);
    CHECK_OK(kin_proxy_call(event, "clear", kin_value_none(), NULL, SOON));
    CHECK_EQ(number(event, "is_set", kin_value_none()), 0);
    finish(event);
}

/* A condition, and how many stand in it, in a queue. */
static void wait_for_notice(void *condition)
{
    CHECK_OK(kin_proxy_acquire(condition, SOON));
    atomic_fetch_add(stage, 1);
    CHECK_EQ(number(condition, "wait", kin_value_build("(d)", 20.0)), 1);
    atomic_fetch_add(stage, 100);
    CHECK_OK(kin_proxy_release(condition));
}

TEST(a_condition_wakes_those_who_wait_and_misses_none_that_is_gone)
{
    kin_proxy *condition = make("Condition", kin_value_none());
    pid_t children[3];
    stage = test_shared(sizeof *stage);
    CHECK_RC(kin_proxy_call(condition, "notify", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    check_raised("RuntimeError('cannot notify on un-acquired lock')");
    CHECK_OK(kin_proxy_acquire(condition, SOON));
    CHECK_EQ(number(condition, "wait", kin_value_build("(d)", 0.01)), 0);
    CHECK_OK(kin_proxy_release(condition));
    for (int i = 0; i < 3; i++) children[i] = test_child(wait_for_notice, condition);
    test_until(*stage == 3);
    /* Whoever has the lock now has seen each of them give it up. */
    CHECK_OK(kin_proxy_acquire(condition, SOON));
    test_kill(children[0]);
    CHECK_OK(kin_proxy_call(condition, "notify_all", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_release(condition));
    for (int i = 1; i < 3; i++) CHECK_EQ(test_collect(children[i]), 0);
    CHECK_EQ(*stage, 203);
    finish(condition);
}

static void pass_barrier(void *barrier)
{
    int64_t index = number(barrier, "wait", kin_value_none());
    CHECK_EQ(atomic_fetch_or(stage, 1 << index) & 1 << index, 0);
}

static void break_barrier(void *barrier)
{
    *stage = 1;
    CHECK_RC(kin_proxy_call(barrier, "wait", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    check_raised("BrokenBarrierError()");
}

TEST(a_barrier_lets_all_pass_and_breaks_when_one_is_gone)
{
    kin_proxy *barrier = make("Barrier", kin_value_build("(i)", 3));
    pid_t children[2];
    stage = test_shared(sizeof *stage);
    for (int i = 0; i < 2; i++) children[i] = test_child(pass_barrier, barrier);
    pass_barrier(barrier);
    for (int i = 0; i < 2; i++) CHECK_EQ(test_collect(children[i]), 0);
    CHECK_EQ(*stage, 7);

    for (int i = 0; i < 2; i++) children[i] = test_child(break_barrier, barrier);
    test_until(number(barrier, "__getattribute__", kin_value_build("(s)", "n_waiting")) == 2);
    test_kill(children[0]);
    CHECK_EQ(test_collect(children[1]), 0);
    CHECK_EQ(number(barrier, "__getattribute__", kin_value_build("(s)", "broken")), 1);
    CHECK_OK(kin_proxy_call(barrier, "reset", kin_value_none(), NULL, SOON));
    CHECK_EQ(number(barrier, "__getattribute__", kin_value_build("(s)", "broken")), 0);
    finish(barrier);
}

/* ---- bad input, bad days ---------------------------------------------------------------------------------- */

TEST(what_cannot_be_done_is_said)
{
    kin_manager *other = NULL;
    kin_proxy *queue = make("Queue", kin_value_none()), *none = NULL;
    char address[128];
    size_t size;
    snprintf(address, sizeof address, "%s", kin_manager_address(manager));
    CHECK_RC(kin_manager_connect(&other, address, "wrong", 5, SOON), KIN_EAUTHENTICATION);
    CHECK_RC(kin_manager_connect(&other, "unix:@kin-nobody-is-here", "key", 3, SOON), -ECONNREFUSED);
    CHECK_RC(kin_manager_connect(&other, "5000", "key", 3, SOON), KIN_EADDRESS);
    CHECK_RC(kin_manager_connect(NULL, address, "key", 3, SOON), -EINVAL);
    CHECK_RC(kin_manager_start(&other, &(kin_manager_options){.address = address}), -EADDRINUSE);
    CHECK_RC(kin_manager_start(&other, &(kin_manager_options){.address = "tcp://127.0.0.1"}), KIN_EADDRESS);
    CHECK_RC(kin_manager_serve(NULL), -EINVAL);
    CHECK_RC(kin_manager_create(manager, &none, "Nonsense", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK_RC(kin_manager_create(NULL, &none, "Queue", kin_value_none(), SOON), -EINVAL);
    CHECK_RC(kin_manager_proxy(manager, &none, &(kin_value){0}, SOON), KIN_EKIND);
    CHECK_RC(kin_proxy_call(NULL, "get", kin_value_none(), NULL, SOON), -EINVAL);
    CHECK_RC(kin_proxy_call(queue, "nonsense", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    CHECK_RC(kin_proxy_call(queue, "put", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    check_raised("TypeError(\"Queue.put() missing 1 required positional argument: 'item'\")");
    CHECK_RC(kin_proxy_call(queue, "get", kin_value_build("(bis)", 1, 1, "x"), NULL, SOON), KIN_EREMOTE);
    CHECK_RC(kin_proxy_put(queue, kin_value_failed(-ENOMEM), SOON), -ENOMEM);
    CHECK_OK(kin_manager_connect(&other, address, kin_manager_key(manager, &size), 32, SOON));
    CHECK_EQ(size, 32);
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_close(NULL));
    CHECK_OK(kin_proxy_close(NULL));
    finish(queue);
}

static void check_options_refused(const kin_manager_options *options, const char *words)
{
    kin_manager *none = NULL;
    CHECK_RC(kin_manager_start(&none, options), -EINVAL);
    CHECK_STR(kin_process_error(), words);
    CHECK_RC(kin_manager_serve(options), -EINVAL);
    CHECK_STR(kin_process_error(), words);
}

/* A size that was forgotten is not the key of no byte, which everybody knows. */
TEST(options_that_are_wrong_are_said)
{
    static const kin_manager_credential half[] = {{.key = "a", .key_size = 1}, {.key = "a long secret"}};
    kin_manager *none = NULL;
    check_options_refused(&(kin_manager_options){.key = "a long secret"}, "key is given, and key_size is 0");
    check_options_refused(&(kin_manager_options){.key_size = 8}, "key_size is given, and key is NULL");
    check_options_refused(
        &(kin_manager_options){.key = "k", .key_size = 1, .credentials = half, .credential_count = 2},
        "credentials[1]: key is given, and key_size is 0");
    check_options_refused(&(kin_manager_options){.key = "k", .key_size = 1, .lease_ns = -1},
                          "lease_ns is negative");
    check_options_refused(&(kin_manager_options){.key = "k", .key_size = 1, .grace_ns = -1},
                          "grace_ns is negative");
    check_options_refused(&(kin_manager_options){.key = "k", .key_size = 1, .snapshot_ns = -1},
                          "snapshot_ns is negative");
    check_options_refused(&(kin_manager_options){.address = "tls://127.0.0.1:0",
                                                 .key = "k",
                                                 .key_size = 1,
                                                 .credentials = half,
                                                 .credential_count = 1},
                          "credentials need a certificate at tls://127.0.0.1:0");
    CHECK_RC(kin_manager_connect(&none, "unix:@kin-nobody-is-here", "key", 0, SOON), -EINVAL);
    CHECK_RC(kin_manager_connect(&none, "unix:@kin-nobody-is-here", NULL, 3, SOON), -EINVAL);
}

/* In the words that Python has for it. */
TEST(what_a_list_cannot_do_is_said)
{
    kin_proxy *list = make("list", kin_value_build("([iii])", 3, 1, 2));
    kin_value none = kin_value_none(), nought = kin_value_slice(none, none, kin_value_int(0)),
              odd = kin_value_slice(kin_value_str("a"), none, none),
              whole = kin_value_slice(none, none, none);
    CHECK_RC(kin_proxy_call(list, "__getitem__", kin_value_build("(v)", nought), NULL, SOON), KIN_EREMOTE);
    check_raised("ValueError('slice step cannot be zero')");
    CHECK_RC(kin_proxy_call(list, "__delitem__", kin_value_build("(v)", odd), NULL, SOON), KIN_EREMOTE);
    check_raised("TypeError('slice indices must be integers or None or have an __index__ method')");
    CHECK_RC(kin_proxy_call(list, "__setitem__", kin_value_build("(vi)", whole, 5), NULL, SOON), KIN_EREMOTE);
    check_raised("TypeError('can only assign an iterable')");
    CHECK_RC(kin_proxy_call(list, "sort", kin_value_build("(vs)", none, "x"), NULL, SOON), KIN_EREMOTE);
    check_raised("TypeError('sort() takes no positional arguments')");
    CHECK_RC(kin_proxy_call(list, "sort", kin_value_build("{ss}", "reverse", "x"), NULL, SOON), KIN_EREMOTE);
    check_raised("TypeError(\"'str' object cannot be interpreted as an integer\")");
    CHECK_OK(kin_proxy_call(list, "sort", kin_value_build("{si}", "reverse", 1), NULL, SOON));
    CHECK_RC(kin_proxy_call(list, "__mul__", kin_value_build("(s)", "x"), NULL, SOON), KIN_EREMOTE);
    check_raised("TypeError(\"'str' object cannot be interpreted as an integer\")");
    CHECK_EQ(number(list, "__getitem__", kin_value_build("(i)", 0)), 3);
    finish(list);
}

TEST(a_manager_that_has_ended_is_an_error)
{
    kin_proxy *queue = make("Queue", kin_value_none());
    kin_value item;
    CHECK_OK(kin_proxy_put(queue, kin_value_int(1), SOON));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    int rc = kin_proxy_get(queue, &item, SOON);
    CHECK(rc == -ECONNRESET || rc == -EPIPE || rc == -ECONNREFUSED);
    CHECK_RC(kin_proxy_get(queue, &item, SOON), -ECONNREFUSED);
    finish(queue);
}

/* ---- types of one's own -------------------------------------------------------------------------------------- */

struct counter {
    int64_t count;
};

static int counter_make(void **object, const kin_value *arguments, const kin_value *keywords,
                        kin_value *exception)
{
    struct counter *counter = calloc(1, sizeof *counter);
    CHECK_EQ(kin_value_kind(keywords), KIN_VALUE_DICT);
    if (counter == NULL) return -ENOMEM;
    if (kin_value_parse(arguments, "(l)", &counter->count) < 0) {
        free(counter);
        *exception = kin_value_errorf("TypeError", "a counter begins at a number");
        return -EINVAL;
    }
    *object = counter;
    return 0;
}

static int counter_add(void *object, const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    struct counter *counter = object;
    long more;
    (void)keywords;
    if (kin_value_parse(arguments, "(l)", &more) < 0) return -EINVAL;
    counter->count += more;
    *result = kin_value_int(counter->count);
    return 0;
}

static const kin_manager_method counter_methods[] = {{"add", counter_add}};
static const kin_manager_type own_types[] = {
    {.name = "Counter", .make = counter_make, .drop = free, .methods = counter_methods, .method_count = 1},
    {.name = "the_queue", .shared = "Queue"},
};

TEST(types_of_ones_own)
{
    kin_proxy *counter = NULL, *first = NULL, *second = NULL;
    CHECK_OK(kin_manager_start(&manager, &(kin_manager_options){.types = own_types, .type_count = 2}));
    CHECK_OK(kin_manager_create(manager, &counter, "Counter", kin_value_build("(i)", 40), SOON));
    CHECK_EQ(number(counter, "add", kin_value_build("(i)", 2)), 42);
    CHECK_RC(kin_proxy_call(counter, "add", kin_value_build("(s)", "x"), NULL, SOON), KIN_EREMOTE);
    check_raised("OSError(22, 'Invalid argument')");
    CHECK_RC(kin_manager_create(manager, &first, "Counter", kin_value_build("(s)", "x"), SOON), KIN_EREMOTE);
    CHECK_OK(kin_manager_create(manager, &first, "the_queue", kin_value_none(), SOON));
    CHECK_OK(kin_manager_create(manager, &second, "the_queue", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_put(first, kin_value_int(5), SOON));
    CHECK_OK(kin_proxy_close(first));
    CHECK_EQ(get_number(second), 5);
    CHECK_OK(kin_proxy_close(second));
    finish(counter);
}
