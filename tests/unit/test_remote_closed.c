/* test_remote_closed.c: queues and locks of a manager that are closed while other threads are in calls of them, or on their
 * way there: each call ends, and the next one of its thread is one like others.
 */
#include "support/managers.h"
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/queue.h>

#include "manager/manager.h"

#define SOON     kin_in_s(30)
#define SECOND_S INT64_C(1000000000)

/* How often something is closed while others are on their way somewhere. */
#define ROUNDS (test_sanitized() ? 5 : 20)

static const kin_manager_type types[] = {{.name = "door", .shared = "Lock"},
                                         {.name = "words", .shared = "Queue"},
                                         {.name = "answers", .shared = "Queue"}};

static kin_manager *manager;
static _Atomic int on_their_way;

static void begin(int64_t grace_s)
{
    CHECK_OK(kin_manager_start(&manager, &(kin_manager_options){.address = "tcp://127.0.0.1:0",
                                                                .key = "k",
                                                                .key_size = 1,
                                                                .types = types,
                                                                .type_count = 3,
                                                                .grace_ns = grace_s * SECOND_S}));
}

static kin_queue *open_queue(const char *name)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(
        &queue, &(kin_queue_options){
                    .address = kin_manager_address(manager), .key = "k", .key_size = 1, .name = name}));
    return queue;
}

/* NULL: one that nobody else has. */
static kin_lock *open_lock(const char *name)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open_with(
        &lock, &(kin_lock_options){
                   .address = kin_manager_address(manager), .key = "k", .key_size = 1, .name = name}));
    return lock;
}

/* However late it says that its call is of that object: a line that is connected is told by nobody. */
TEST(a_call_of_an_object_that_was_closed_before_ends)
{
    kin_value item;
    for (int grace_s = 0; grace_s <= 600; grace_s += 600) {
        begin(grace_s);
        kin_proxy *words = manager_object(manager, "words", SOON),
                  *list = manager_object(manager, "list", SOON);
        CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
        kin__proxy_end(words);
        CHECK_RC(kin_proxy_get(words, &item, SOON), KIN_ECLOSED);
        CHECK(kin_manager_error(manager) == NULL);
        CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
        CHECK_OK(kin_proxy_close(words));
        CHECK_OK(kin_proxy_close(list));
        CHECK_OK(kin_manager_close(manager));
    }
}

static kin_queue *other_queue;
static kin_lock *free_lock;

static void *get_bytes(void *queue)
{
    char byte;
    atomic_fetch_add(&on_their_way, 1);
    CHECK_RC(kin_queue_get(queue, &byte, 1, KIN_FOREVER), KIN_ECLOSED);
    /* The thread's next call is one like others. */
    CHECK_OK(kin_queue_put(other_queue, "y", 1, SOON));
    return NULL;
}

/* By a thread that is connected already. */
static void *get_more(void *queue)
{
    CHECK_OK(kin_queue_put(other_queue, "y", 1, SOON));
    return get_bytes(queue);
}

static void *join_it(void *queue)
{
    atomic_fetch_add(&on_their_way, 1);
    CHECK_RC(kin_queue_join(queue, KIN_FOREVER), KIN_ECLOSED);
    return NULL;
}

static void *acquire_it(void *lock)
{
    atomic_fetch_add(&on_their_way, 1);
    CHECK_RC(kin_lock_acquire(lock, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_lock_acquire(free_lock, SOON));
    CHECK_OK(kin_lock_release(free_lock));
    return NULL;
}

TEST(calls_of_a_queue_end_when_it_is_closed)
{
    pthread_t thread[3];
    for (int grace_s = 0; grace_s <= 600; grace_s += 600) {
        begin(grace_s);
        other_queue = open_queue("answers");
        for (int round = 0; round < ROUNDS / 2; round++) {
            kin_queue *queue = open_queue("JoinableQueue"), *empty = open_queue("words");
            atomic_store(&on_their_way, 0);
            CHECK_OK(kin_queue_put(queue, "x", 1, SOON));
            CHECK_EQ(pthread_create(&thread[0], NULL, get_bytes, empty), 0);
            CHECK_EQ(pthread_create(&thread[1], NULL, join_it, queue), 0);
            CHECK_EQ(pthread_create(&thread[2], NULL, get_more, empty), 0);
            test_until(atomic_load(&on_their_way) == 3);
            CHECK_OK(kin_queue_close(queue));
            CHECK_OK(kin_queue_close(empty));
            for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
        }
        CHECK_EQ(kin_queue_qsize(other_queue), ROUNDS / 2 * 3);
        CHECK_OK(kin_queue_close(other_queue));
        CHECK_OK(kin_manager_close(manager));
    }
}

TEST(calls_of_a_lock_end_when_it_is_closed)
{
    pthread_t thread;
    begin(0);
    kin_lock *held = open_lock("door");
    free_lock = open_lock(NULL);
    CHECK_OK(kin_lock_acquire(held, SOON));
    for (int round = 0; round < ROUNDS; round++) {
        kin_lock *lock = open_lock("door");
        atomic_store(&on_their_way, 0);
        CHECK_EQ(pthread_create(&thread, NULL, acquire_it, lock), 0);
        test_until(atomic_load(&on_their_way) == 1);
        CHECK_OK(kin_lock_close(lock));
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    CHECK_OK(kin_lock_release(held));
    CHECK_OK(kin_lock_close(held));
    CHECK_OK(kin_lock_close(free_lock));
    CHECK_OK(kin_manager_close(manager));
}
