/* test_remote.c: queues and locks of a manager, used through the calls of local ones by several
 * processes of a family.
 */
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/lock.h>
#include <kin/manager.h>
#include <kin/memory.h>
#include <kin/object.h>
#include <kin/queue.h>
#include <kin/queue_value.h>
#include <kin/rlock.h>
#include <kin/thread.h>
#include <kin/wait.h>

#define SOON kin_in_s(20)

/* A type of the program's own that can be acquired, and says no more. */
static int do_nothing(void *object, const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    (void)object;
    (void)arguments;
    (void)keywords;
    *result = kin_value_bool(true);
    return 0;
}

static const kin_manager_method latch_methods[] = {{"acquire", do_nothing}, {"release", do_nothing}};

static const kin_manager_type types[] = {
    {.name = "jobs", .shared = "TaskQueue"}, {.name = "two", .shared = "Queue"},
    {.name = "door", .shared = "Lock"},      {.name = "gate", .shared = "RLock"},
    {.name = "turn", .shared = "Condition"}, {.name = "latch", .methods = latch_methods, .method_count = 2}};

static kin_manager *manager;

static void start(void)
{
    CHECK_OK(kin_manager_start(
        &manager, &(kin_manager_options){.address = "tcp://127.0.0.1:0", .types = types, .type_count = 6}));
}

static kin_queue *open_queue(const char *name)
{
    kin_queue *queue = NULL;
    kin_queue_options options = {.address = kin_manager_address(manager), .name = name};
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK_OK(kin_queue_open(&queue, &options));
    return queue;
}

static kin_lock *open_lock(const char *name)
{
    kin_lock *lock = NULL;
    kin_lock_options options = {.address = kin_manager_address(manager), .name = name};
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK_OK(kin_lock_open_with(&lock, &options));
    return lock;
}

TEST(bytes_go_through_a_queue_of_a_manager)
{
    char buffer[16];
    start();
    kin_queue *queue = open_queue("jobs");
    CHECK_EQ(kin_queue_empty(queue), 1);
    CHECK_OK(kin_queue_put(queue, "one", 3, SOON));
    CHECK_OK(kin_queue_put(queue, "", 0, SOON));
    CHECK_EQ(kin_queue_qsize(queue), 2);
    CHECK_EQ(kin_queue_full(queue), 0);
    CHECK_EQ(kin_queue_get(queue, buffer, sizeof buffer, SOON), 3);
    CHECK_MEM(buffer, "one", 3);
    CHECK_EQ(kin_queue_get(queue, buffer, sizeof buffer, SOON), 0);
    CHECK_RC(kin_queue_get(queue, buffer, sizeof buffer, KIN_NOW), KIN_EMPTY);
    CHECK_RC(kin_queue_get(queue, buffer, sizeof buffer, kin_in_ms(5)), KIN_EMPTY);
    CHECK_RC(kin_queue_join(queue, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_join(queue, SOON));
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(kin_queue_put(queue, "x", 1, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_get(queue, buffer, sizeof buffer, SOON), KIN_ECLOSED);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

/* What does not fit is not lost, and neither is what is no bytes. */
TEST(what_cannot_be_copied_is_got_next)
{
    char buffer[16];
    kin_value item;
    start();
    kin_queue *queue = open_queue("two");
    CHECK_OK(kin_queue_put(queue, "long enough", 11, SOON));
    CHECK_RC(kin_queue_get(queue, buffer, 4, SOON), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 11u);
    CHECK_EQ(kin_queue_get(queue, buffer, sizeof buffer, SOON), 11);
    item = kin_value_build("(is)", 7, "seven");
    CHECK_OK(kin_queue_put_value(queue, &item, SOON));
    kin_value_clear(&item);
    CHECK_RC(kin_queue_get(queue, buffer, sizeof buffer, SOON), KIN_EKIND);
    CHECK_OK(kin_queue_get_value(queue, &item, SOON));
    CHECK_EQ(kin_value_len(&item), 2);
    kin_value_clear(&item);
    item = kin_value_str("text");
    CHECK_OK(kin_queue_put_value(queue, &item, SOON));
    kin_value_clear(&item);
    CHECK_EQ(kin_queue_get(queue, buffer, sizeof buffer, SOON), 4);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

TEST(messages_in_place)
{
    void *message = NULL;
    start();
    kin_queue *queue = open_queue(NULL);
    CHECK_OK(kin_queue_reserve(queue, &message, 5));
    memcpy(message, "place", 5);
    CHECK_OK(kin_queue_commit(queue, message, SOON));
    CHECK_EQ(kin_queue_take(queue, &message, SOON), 5);
    CHECK_MEM(message, "place", 5);
    CHECK_OK(kin_queue_release(message));
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

TEST(batches_go_message_by_message)
{
    static const kin_message put[] = {{"one", 3}, {"", 0}, {"three", 5}, {"a long one", 10}};
    kin_message got[4];
    char buffer[24];
    start();
    kin_queue *queue = open_queue("jobs");
    CHECK_EQ(kin_queue_put_many(queue, put, 4, SOON), 4);
    CHECK_EQ(kin_queue_put_many(queue, put, 0, SOON), 0);
    CHECK_EQ(kin_queue_qsize(queue), 4);
    /* As many as there is room for; what does not fit stays. */
    CHECK_EQ(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, SOON), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(got[i].size, put[i].size);
        CHECK_MEM(got[i].data, put[i].data, put[i].size);
    }
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, 4, SOON), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 10u);
    CHECK_EQ(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, SOON), 1);
    CHECK_MEM(got[0].data, "a long one", 10);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, kin_in_ms(5)), KIN_EMPTY);
    CHECK_RC(kin_queue_get_many(queue, NULL, 1, buffer, sizeof buffer, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_put_many(queue, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_put_many(queue, &(kin_message){NULL, 1}, 1, KIN_NOW), -EINVAL);
    /* Each is a task. */
    for (int i = 0; i < 4; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(kin_queue_put_many(queue, put, 4, SOON), KIN_ECLOSED);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, SOON), KIN_ECLOSED);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

/* What only a queue of the family can do is refused. */
TEST(what_a_manager_s_queue_cannot_do_is_said)
{
    void *message = NULL;
    start();
    kin_queue *queue = open_queue("two");
    kin_waitable item = kin_on_queue(queue);
    CHECK_RC(kin_queue_put_priority(queue, "x", 1, 5, SOON), -EINVAL);
    CHECK_OK(kin_queue_reserve(queue, &message, 1));
    CHECK_RC(kin_queue_commit_priority(queue, message, 5, SOON), -EINVAL);
    CHECK_OK(kin_queue_release(message));
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), KIN_EFOREIGN);
    CHECK_EQ(kin_queue_empty(queue), 1);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

/* A pointer to the queue is all that another process needs. */
static void answer(void *of_pointer)
{
    kin_queue **queues = of_pointer;
    int number;
    while (kin_queue_get(queues[0], &number, sizeof number, SOON) == sizeof number) {
        number *= 2;
        CHECK_OK(kin_queue_put(queues[1], &number, sizeof number, SOON));
        CHECK_OK(kin_queue_task_done(queues[0]));
    }
}

TEST(other_processes_use_the_pointer)
{
    start();
    kin_queue **queues = kin_alloc(2 * sizeof *queues);
    CHECK(queues != NULL);
    /* Before there are any: these know of the queues by the pointers alone. */
    queues[0] = open_queue("jobs");
    queues[1] = open_queue("two");
    pid_t children[3];
    for (int i = 0; i < 3; i++) children[i] = test_child(answer, queues);
    long sum = 0;
    for (int i = 0; i < 100; i++) CHECK_OK(kin_queue_put(queues[0], &i, sizeof i, SOON));
    CHECK_OK(kin_queue_join(queues[0], SOON));
    CHECK_OK(kin_queue_shutdown(queues[0], 0));
    for (int i = 0; i < 100; i++) {
        int got;
        CHECK_EQ(kin_queue_get(queues[1], &got, sizeof got, SOON), (long)sizeof got);
        sum += got;
    }
    CHECK_EQ(sum, 9900);
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(children[i]), 0);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_close(queues[i]));
    kin_free(queues);
    CHECK_OK(kin_manager_close(manager));
}

static void die_with_lock(void *lock)
{
    CHECK_OK(kin_lock_acquire(lock, SOON));
    _exit(0);
}

static int try_lock(void *lock)
{
    return kin_lock_acquire(lock, KIN_NOW) == -ETIMEDOUT ? 0 : 1;
}

TEST(a_lock_of_a_manager)
{
    kin_thread *thread = NULL;
    int result = 1;
    start();
    kin_lock *lock = open_lock("door"), *same = open_lock("door");
    CHECK_EQ(kin_lock_locked(lock), 0);
    CHECK_OK(kin_lock_acquire(lock, SOON));
    CHECK_EQ(kin_lock_locked(same), 1);
    CHECK_OK(kin_thread_start(&thread, try_lock, same, NULL));
    CHECK_OK(kin_thread_join(thread, SOON));
    CHECK_OK(kin_thread_result(thread, &result));
    CHECK_EQ(result, 0);
    CHECK_OK(kin_thread_close(thread));
    CHECK_OK(kin_lock_release(same));
    CHECK_RC(kin_lock_release(lock), -EPERM);
    CHECK_EQ(test_collect(test_child(die_with_lock, lock)), 0);
    CHECK_RC(kin_lock_acquire(lock, SOON), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(lock));
    CHECK_RC(kin_lock_mark_repaired(lock), -EOPNOTSUPP);
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_lock_close(same));
    CHECK_OK(kin_manager_close(manager));
}

static int try_rlock(void *rlock)
{
    return kin_rlock_acquire(rlock, KIN_NOW) == -ETIMEDOUT ? 0 : 1;
}

/* Whatever can be acquired is a lock, as a Condition of Python's is. */
TEST(a_condition_of_a_manager_is_a_lock)
{
    start();
    kin_lock *lock = open_lock("turn"), *latch = open_lock("latch");
    CHECK_EQ(kin_lock_locked(lock), 0);
    CHECK_OK(kin_lock_acquire(lock, SOON));
    CHECK_EQ(kin_lock_locked(lock), 1);
    CHECK_OK(kin_lock_release(lock));
    CHECK_RC(kin_lock_release(lock), -EPERM);
    CHECK_OK(kin_lock_acquire(latch, SOON));
    CHECK_RC(kin_lock_locked(latch), -EOPNOTSUPP);
    CHECK_OK(kin_lock_release(latch));
    CHECK_OK(kin_lock_close(latch));
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_manager_close(manager));
}

TEST(an_rlock_of_a_manager)
{
    kin_thread *thread = NULL;
    kin_rlock *rlock = NULL;
    int result = 1;
    start();
    kin_lock_options options = {.address = kin_manager_address(manager), .name = "gate"};
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK_OK(kin_rlock_open(&rlock, &options));
    CHECK_OK(kin_rlock_acquire(rlock, SOON));
    CHECK_OK(kin_rlock_acquire(rlock, SOON));
    CHECK_OK(kin_rlock_release(rlock));
    CHECK_OK(kin_thread_start(&thread, try_rlock, rlock, NULL));
    CHECK_OK(kin_thread_join(thread, SOON));
    CHECK_OK(kin_thread_result(thread, &result));
    CHECK_EQ(result, 0);
    CHECK_OK(kin_thread_close(thread));
    CHECK_OK(kin_rlock_release(rlock));
    CHECK_RC(kin_rlock_release(rlock), -EPERM);
    CHECK_EQ(kin_rlock_depth(rlock), -EOPNOTSUPP);
    CHECK_RC(kin_rlock_mark_repaired(rlock), -EOPNOTSUPP);
    CHECK_OK(kin_rlock_close(rlock));
    CHECK_OK(kin_manager_close(manager));
}

/* Nobody finds only with the first put that it is a lock. */
TEST(what_has_another_type_is_not_opened)
{
    kin_queue *queue = NULL;
    kin_lock *lock = NULL;
    kin_queue_options for_queue = {.name = "door"};
    kin_lock_options for_lock = {.name = "jobs"};
    start();
    for_queue.address = for_lock.address = kin_manager_address(manager);
    for_queue.key = for_lock.key = kin_manager_key(manager, &for_queue.key_size);
    for_lock.key_size = for_queue.key_size;
    CHECK_RC(kin_queue_open(&queue, &for_queue), KIN_EKIND);
    CHECK_RC(kin_lock_open_with(&lock, &for_lock), KIN_EKIND);
    for_queue.name = "list";
    CHECK_RC(kin_queue_open(&queue, &for_queue), KIN_EKIND);
    for_queue.name = "dict";
    CHECK_RC(kin_queue_open(&queue, &for_queue), KIN_EKIND);
    for_lock.name = "gate";
    CHECK_OK(kin_lock_open_with(&lock, &for_lock));
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_manager_close(manager));
}

/* Whoever forgets the address must not get a queue that nobody else has, nor a key that everybody knows. */
TEST(half_of_what_names_an_object_is_refused)
{
    kin_queue *queue = NULL;
    kin_lock *lock = NULL;
    kin_rlock *rlock = NULL;
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.name = "jobs"}), -EINVAL);
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.key = "x"}), -EINVAL);
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.key_size = 1}), -EINVAL);
    CHECK_RC(kin_lock_open_with(&lock, &(kin_lock_options){.name = "door"}), -EINVAL);
    CHECK_RC(kin_rlock_open(&rlock, &(kin_lock_options){.key = "x", .key_size = 1}), -EINVAL);
    start();
    const char *address = kin_manager_address(manager);
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.address = address, .key = "x"}), -EINVAL);
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.address = address, .key_size = 1}), -EINVAL);
    CHECK_RC(kin_lock_open_with(&lock, &(kin_lock_options){.address = address, .key = "x"}), -EINVAL);
    CHECK_OK(kin_manager_close(manager));
}

static void check_raised(const char *expected)
{
    char text[256];
    CHECK(kin_manager_error(NULL) != NULL);
    CHECK_OK(kin_value_repr(kin_manager_error(NULL), text, sizeof text));
    if (strstr(text, expected) == NULL) FAIL("raised %s", text);
}

/* Each thread has its own, until its next call. */
static void *has_raised_nothing(void *queue)
{
    CHECK(kin_manager_error(NULL) == NULL);
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    check_raised("ValueError");
    return NULL;
}

TEST(what_a_call_raised_is_its_threads_to_read)
{
    pthread_t other;
    start();
    kin_lock *lock = open_lock("latch");
    kin_queue *queue = open_queue("jobs");
    CHECK_OK(kin_lock_acquire(lock, SOON));
    CHECK(kin_manager_error(NULL) == NULL);
    CHECK_RC(kin_lock_locked(lock), -EOPNOTSUPP);
    check_raised("RemoteError");
    CHECK_OK(pthread_create(&other, NULL, has_raised_nothing, queue));
    CHECK_OK(pthread_join(other, NULL));
    check_raised("RemoteError");
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK(kin_manager_error(NULL) == NULL);
    CHECK_RC(kin_queue_get(queue, NULL, 0, KIN_NOW), KIN_EMPTY);
    check_raised("Empty");
    CHECK_RC(kin_queue_get(queue, NULL, 1, KIN_NOW), -EINVAL);
    CHECK(kin_manager_error(NULL) == NULL);
    /* What made it get no more did not fail. */
    kin_message messages[2];
    char bytes[16];
    CHECK_OK(kin_queue_put(queue, "x", 1, SOON));
    CHECK_EQ(kin_queue_get_many(queue, messages, 2, bytes, sizeof bytes, SOON), 1);
    CHECK(kin_manager_error(NULL) == NULL);
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

TEST(what_cannot_be_opened_is_said)
{
    kin_queue *queue = NULL;
    kin_queue_options options = {.name = "jobs", .key = "x", .key_size = 1};
    start();
    options.address = kin_manager_address(manager);
    CHECK_RC(kin_queue_open(&queue, &options), KIN_EAUTHENTICATION);
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK(kin_manager_error(NULL) == NULL);
    options.name = "unknown";
    CHECK_RC(kin_queue_open(&queue, &options), KIN_EREMOTE);
    check_raised("KeyError: 'unknown'");
    kin_lock *lock = NULL;
    CHECK_RC(kin_lock_open_with(&lock, &(kin_lock_options){.address = options.address,
                                                           .key = options.key,
                                                           .key_size = options.key_size,
                                                           .name = "dor"}),
             KIN_EREMOTE);
    check_raised("KeyError: 'dor'");
    options.address = "nonsense";
    CHECK_RC(kin_queue_open(&queue, &options), KIN_EADDRESS);
    CHECK(kin_manager_error(NULL) == NULL);
    CHECK_OK(kin_manager_close(manager));
    options.address = "unix:@kin-test-nobody-listens-here";
    options.key = "x";
    options.key_size = 1;
    CHECK_RC(kin_queue_open(&queue, &options), -ECONNREFUSED);
}
