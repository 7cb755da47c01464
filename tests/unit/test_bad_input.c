/* test_bad_input.c: what one promise for the whole library says about bad input: a clear error at
 * once, nothing lost and nothing leaked.  Each object's own errors are tested in its own file;
 * here are the pool's, and what goes across: objects of one kind given for another, objects
 * long gone, functions that are none, calls from a signal handler, old and new callers. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/lock.h>
#include <kin/log.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/queue.h>
#include <kin/time.h>

#include "memory/region.h"

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int nothing(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument, (void)size, (void)reply;
    return 0;
}
KIN_BYTES(nothing)

static kin_pool *open_pool(void)
{
    kin_pool *pool = NULL;
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}), 0);
    return pool;
}

/* ---- one kind of object for another ----------------------------------------------------------------- */

static void check_no_lock(void *object, int expected)
{
    CHECK_RC(kin_lock_acquire(object, KIN_FOREVER), expected);
    CHECK_RC(kin_lock_release(object), expected);
    CHECK_RC(kin_lock_close(object), expected);
}

static void check_no_queue(void *object, int expected)
{
    char byte = 0;
    void *message = NULL;
    CHECK_RC(kin_queue_put(object, &byte, 1, KIN_FOREVER), expected);
    CHECK_RC(kin_queue_get(object, &byte, 1, KIN_FOREVER), expected);
    CHECK_RC(kin_queue_reserve(object, &message, 1), expected);
    CHECK_RC(kin_queue_take(object, &message, KIN_FOREVER), expected);
    CHECK_RC(kin_queue_qsize(object), expected);
    CHECK_RC(kin_queue_shutdown(object, 0), expected);
    CHECK_RC(kin_queue_close(object), expected);
    CHECK(message == NULL);
}

static void check_no_pool(void *object, int expected)
{
    int number = 3;
    long out = -1;
    kin_result *result = NULL;
    kin_pool_status status;
    int rc = kin_pool_submit(object, &result, KIN_FN(square), &number, sizeof number, KIN_FOREVER, NULL);
    CHECK_RC(rc, expected);
    CHECK(result == NULL);
    rc = (int)kin_pool_apply(object, KIN_FN(square), &number, sizeof number, &out, sizeof out, KIN_FOREVER,
                             NULL);
    CHECK_RC(rc, expected);
    CHECK_RC(kin_pool_map(object, KIN_FN(square), &number, &out, 1, KIN_FOREVER), expected);
    CHECK_RC(kin_pool_stats(object, &status), expected);
    CHECK_RC(kin_pool_workers(object, NULL, 0), expected);
    CHECK_RC(kin_pool_join(object, KIN_FOREVER), expected);
    CHECK_RC(kin_pool_close(object), expected);
    CHECK_RC(kin_pool_terminate(object), expected);
    if (object != NULL) CHECK_RC(kin_pool_free(object), expected);
}

TEST(an_object_of_another_kind)
{
    struct books books = books_open();
    kin_lock *lock = NULL;
    kin_queue *queue = NULL;
    kin_pool *pool = open_pool();
    kin_result *result = NULL;
    void *message = NULL;
    int number = 1;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_queue_reserve(queue, &message, 5000));
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(square), &number, sizeof number, KIN_FOREVER, NULL));
    void *objects[] = {lock, queue, pool, result, message};
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        test_context("object %zu", i);
        if (i != 0) check_no_lock(objects[i], KIN_EFOREIGN);
        if (i != 1) check_no_queue(objects[i], KIN_EFOREIGN);
        if (i != 2) check_no_pool(objects[i], KIN_EFOREIGN);
        if (i != 3) CHECK_RC(kin_result_wait(objects[i], KIN_FOREVER), KIN_EFOREIGN);
        if (i != 4) CHECK_RC(kin_queue_release(objects[i]), -EINVAL);
        CHECK_RC(kin_free(objects[i]), -EINVAL);
    }
    test_context(NULL);
    CHECK_OK(kin_queue_release(message));
    CHECK_RC(kin_result_wait(result, KIN_FOREVER), 0);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_lock_close(lock));
    books_check_blocks(&books);
}

TEST(addresses_of_the_family_where_nothing_is)
{
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    char *base = usage.base;
    /* Nothing stands behind most of these: to look there must not take memory, nor the program. */
    void *nowhere[] = {base, base + 64, base + usage.region_size / 2, base + usage.region_size - 4096,
                       base + usage.region_size - 16};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        test_context("address %zu", i);
        check_no_lock(nowhere[i], KIN_EFOREIGN);
        check_no_queue(nowhere[i], KIN_EFOREIGN);
        check_no_pool(nowhere[i], KIN_EFOREIGN);
        CHECK_RC(kin_result_wait(nowhere[i], KIN_FOREVER), KIN_EFOREIGN);
        CHECK_RC(kin_queue_release(nowhere[i]), -EINVAL);
        CHECK_RC(kin_free(nowhere[i]), -EINVAL);
    }
}

TEST_COLD(objects_before_there_is_a_family)
{
    long long private[64] = {0};
    check_no_lock(private, KIN_EFOREIGN);
    check_no_queue(private, KIN_EFOREIGN);
    check_no_pool(private, KIN_EFOREIGN);
    CHECK_RC(kin_free(private), KIN_EFOREIGN);
}

/* ---- pools -------------------------------------------------------------------------------------------- */

static int data_and_no_code;

TEST(a_pool_with_absurd_options)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    CHECK_RC(kin_pool_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.workers = 1025}), -EINVAL);
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.workers = UINT32_MAX}), -EINVAL);
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.name = name}), -EINVAL);
    union {
        void *address;
        int (*function)(void *);
    } wrong[] = {{&data_and_no_code}, {name}, {(void *)1}, {(void *)-1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.initializer = wrong[i].function}), KIN_ENOTCODE);
    CHECK(pool == NULL);
    name[63] = '\0';
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.workers = 1, .name = name}), 0);
    CHECK_OK(kin_pool_free(pool));
    books_check_blocks(&books);
}

static int fail_to_begin(void *context)
{
    return *(int *)context;
}

static int die_at_once(void *context)
{
    (void)context;
    return raise(SIGKILL);
}

TEST(a_pool_with_half_a_key)
{
    kin_pool *pool = NULL;
    const kin_listener_options half = {.key = "a long secret"};
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.address = "unix:@kin-test-half", .listener = &half}),
             -EINVAL);
    CHECK_STR(kin_process_error(), "listener: key is given, and key_size is 0");
}

TEST(a_pool_whose_workers_cannot_begin)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    int code = -7;
    kin_failure failure;
    kin_pool_options failing = {.initializer = fail_to_begin, .context = &code, .failure = &failure},
                     dying = {.workers = 3, .initializer = die_at_once, .failure = &failure};
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_pool_open(&pool, &failing), KIN_EINITIALIZER);
        CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
        CHECK_EQ(failure.code, -7);
        CHECK_STR(failure.function, "initializer");
        CHECK_RC(kin_pool_open(&pool, &dying), KIN_EINITIALIZER);
        CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
        CHECK_EQ(failure.signal, SIGKILL);
        CHECK_STR(failure.function, "initializer");
        CHECK_GT(failure.worker_pid, 0);
        books_check_blocks(&books);
    }
    CHECK(pool == NULL);
}

static kin_function with_address(const kin_function *function, void *address)
{
    kin_function changed = *function;
    if (function->range != NULL)
        memcpy(&changed.range, &address, sizeof address);
    else
        memcpy(&changed.bytes, &address, sizeof address);
    return changed;
}

TEST(a_function_that_is_none)
{
    struct books books = books_open();
    kin_pool *pool = open_pool();
    kin_result *result = NULL;
    int number = 1, on_the_stack = 2;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *block = kin_alloc(100);
    void *wrong[] = {&data_and_no_code, &on_the_stack, page, block, (void *)1, (void *)-1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kin_function range = with_address(KIN_FN(square), wrong[i]),
                     bytes = with_address(KIN_FN(nothing), wrong[i]);
        test_context("address %zu", i);
        CHECK_RC(kin_pool_submit(pool, &result, &range, &number, sizeof number, KIN_FOREVER, NULL),
                 KIN_ENOTCODE);
        CHECK_RC(kin_pool_submit(pool, &result, &bytes, NULL, 0, KIN_FOREVER, NULL), KIN_ENOTCODE);
        CHECK_RC(kin_pool_apply(pool, &bytes, NULL, 0, NULL, 0, KIN_FOREVER, NULL), KIN_ENOTCODE);
    }
    test_context(NULL);
    CHECK(result == NULL);
    munmap(page, 4096);
    CHECK_OK(kin_free(block));
    CHECK_OK(kin_pool_close(pool));
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

TEST(tasks_with_bad_arguments)
{
    struct books books = books_open();
    kin_pool *pool = open_pool();
    kin_result *result = NULL;
    int number = 1, pid;
    long out;
    kin_function neither = {.name = "neither"}, both = *KIN_FN(square);
    both.bytes = nothing;
    const struct {
        const kin_function *function;
        const void *argument;
        size_t size;
        int rc;
        const char *words;
    } cases[] = {{NULL, &number, 4, -EINVAL, "function is NULL"},
                 {&neither, &number, 4, -EINVAL, "neither is no function of one input"},
                 {&both, &number, 4, -EINVAL, "square is no function of one input"},
                 {KIN_FN(square), NULL, 4, -EINVAL, "argument is NULL, and its size is 4"},
                 {KIN_FN(square), &number, 3, -EINVAL, "the argument of square has 4 bytes, not 3"},
                 {KIN_FN(square), &number, 5, -EINVAL, "the argument of square has 4 bytes, not 5"},
                 {KIN_FN(square), &number, 0, -EINVAL, "the argument of square has 4 bytes, not 0"},
                 {KIN_FN(nothing), NULL, 1, -EINVAL, "argument is NULL, and its size is 1"},
                 {KIN_FN(nothing), &number, SIZE_MAX, -EMSGSIZE, NULL},
                 {KIN_FN(nothing), &number, SIZE_MAX / 2, -EMSGSIZE, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_context("case %zu", i);
        CHECK_RC(kin_pool_submit(pool, &result, cases[i].function, cases[i].argument, cases[i].size,
                                 KIN_FOREVER, NULL),
                 cases[i].rc);
        if (cases[i].words != NULL) CHECK_STR(kin_process_error(), cases[i].words);
        CHECK_RC(kin_pool_apply(pool, cases[i].function, cases[i].argument, cases[i].size, &out, sizeof out,
                                KIN_FOREVER, NULL),
                 cases[i].rc);
    }
    test_context(NULL);
    CHECK_RC(kin_pool_submit(pool, NULL, KIN_FN(square), &number, 4, KIN_FOREVER, NULL), -EINVAL);
    CHECK_STR(kin_process_error(), "result is NULL");
    CHECK_RC(kin_pool_submit(NULL, &result, KIN_FN(square), &number, 4, KIN_FOREVER, NULL), -EINVAL);
    CHECK_STR(kin_process_error(), "pool is NULL");
    CHECK_RC(kin_pool_submit(pool, &result, KIN_FN(square), &number, 4, KIN_FOREVER,
                             &(kin_task_options){.timeout_ns = -1}),
             -EINVAL);
    CHECK_RC(kin_pool_apply(pool, KIN_FN(square), &number, 4, NULL, 8, KIN_FOREVER, NULL), -EINVAL);
    CHECK_RC(kin_pool_apply(pool, KIN_FN(square), &number, 4, &out, 7, KIN_FOREVER, NULL), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 8);
    CHECK_RC(kin_pool_stats(pool, NULL), -EINVAL);
    CHECK_RC(kin_pool_workers(pool, NULL, 1), -EINVAL);
    test_until(kin_pool_workers(pool, &pid, 1) == 1);
    CHECK(result == NULL);
    CHECK_OK(kin_pool_close(pool));
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

TEST(a_pool_long_gone)
{
    kin_pool *pool = open_pool();
    CHECK_RC(kin_pool_free(pool), 0);
    check_no_pool(pool, KIN_ECLOSED);
    check_no_pool(NULL, -EINVAL);
    CHECK_RC(kin_pool_free(NULL), 0);
}

/* ---- signal handlers --------------------------------------------------------------------------------------- */

static struct {
    kin_queue *queue;
    kin_lock *lock;
    volatile int calls, refused;
} handled;

static void count_outcome(long rc)
{
    handled.calls++;
    if (rc == -EDEADLK) handled.refused++;
    if (rc < 0 && rc != -EDEADLK && rc != KIN_EMPTY && rc != KIN_FULL && rc != -ENOMEM) FAIL("rc is %ld", rc);
}

static void use_kin(int signal)
{
    int number = 1, before = errno;
    (void)signal;
    count_outcome(kin_queue_put(handled.queue, &number, sizeof number, KIN_NOW));
    count_outcome(kin_queue_get(handled.queue, &number, sizeof number, KIN_NOW));
    int rc = kin_lock_acquire(handled.lock, KIN_NOW);
    if (rc == 0) CHECK_RC(kin_lock_release(handled.lock), 0);
    if (rc != -ETIMEDOUT) count_outcome(rc);
    errno = before;
}

/* A handler that interrupts kin gets an error, and what it interrupted goes on as if nothing had been. */
TEST(kin_used_in_a_signal_handler, .alone = true)
{
    struct books books = books_open();
    struct itimerspec often = {{0, 100000}, {0, 100000}};
    timer_t timer;
    signal(SIGALRM, use_kin);
    CHECK_OK(kin_queue_open(&handled.queue, &(kin_queue_options){.max_items = 100}));
    CHECK_OK(kin_lock_open(&handled.lock));
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &often, NULL), 0);
    double end = test_seconds() + 1;
    while (test_seconds() < end) {
        int number = 2;
        CHECK_RC(kin_queue_put(handled.queue, &number, sizeof number, KIN_FOREVER), 0);
        CHECK_RC(kin_queue_get(handled.queue, &number, sizeof number, KIN_FOREVER), sizeof number);
        CHECK_RC(kin_lock_acquire(handled.lock, KIN_FOREVER), 0);
        CHECK_RC(kin_lock_release(handled.lock), 0);
        CHECK_RC(kin_free(kin_alloc(100)), 0);
    }
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_GT(handled.calls, 100);
    NOTE("%d calls in the handler, %d of them refused", handled.calls, handled.refused);
    CHECK_OK(kin_queue_close(handled.queue));
    CHECK_OK(kin_lock_close(handled.lock));
    books_check(&books);
}

/* ---- texts and times ------------------------------------------------------------------------------------------ */

TEST(every_code_has_a_name_and_a_text)
{
    for (int code = -3000; code <= 10; code++) {
        CHECK(kin_strerror(code) != NULL);
        CHECK_GT(strlen(kin_strerror(code)), 0);
        CHECK_GT(strlen(kin_error_name(code)), 0);
    }
    CHECK_STR(kin_strerror(KIN_ECLOSED), "closed");
    CHECK_STR(kin_error_name(KIN_ECLOSED), "KIN_ECLOSED");
    CHECK_STR(kin_error_name(-EINVAL), "EINVAL");
    CHECK_STR(kin_error_name(-100000), "unknown");
    CHECK_STR(kin_error_name(INT32_MIN), "unknown");
    CHECK(kin_strerror(INT32_MIN) != NULL);
    CHECK_STR(kin_strerror(-ENOENT), "No such file or directory");
}

TEST(deadlines_do_not_overflow)
{
    kin_deadline now = kin_clock();
    CHECK_GT(now, 0);
    CHECK_EQ(kin_in_ns(INT64_MAX), KIN_FOREVER);
    CHECK_EQ(kin_in_ms(INT64_MAX), KIN_FOREVER);
    CHECK_EQ(kin_in_ms(INT64_MAX / 1000000), KIN_FOREVER);
    CHECK_EQ(kin_in_s(1e30), KIN_FOREVER);
    CHECK_EQ(kin_in_s(__builtin_inf()), KIN_FOREVER);
    CHECK_LE(kin_in_ns(INT64_MIN), now);
    CHECK_LE(kin_in_ms(INT64_MIN), now);
    CHECK_LE(kin_in_s(-1e30), now);
    CHECK_LE(kin_in_s(-__builtin_inf()), now);
    CHECK_LE(kin_in_s(-1), now);
    CHECK_GE(kin_in_ms(1000), now + 1000000000);
    CHECK_GE(kin_in_s(1), now + 1000000000);
    kin_deadline second = kin_in_s(1);
    CHECK_LE(second, kin_clock() + 1000000000);
    (void)kin_in_s(__builtin_nan("")); /* any deadline will do, and no trap */
}

static void count_line(enum kin_log_level level, const char *line, void *context)
{
    CHECK_GE(level, KIN_LOG_INFO);
    CHECK_GT(strlen(line), 0);
    CHECK(strchr(line, '\n') == NULL);
    ++*(int *)context;
}

static void open_lock_and_die(void *argument)
{
    CHECK_OK(kin_lock_acquire(argument, KIN_NOW));
    raise(SIGKILL);
}

TEST(the_log_says_nothing_without_a_hook)
{
    int lines = 0;
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    kin_log_set(count_line, KIN_LOG_INFO, &lines);
    test_collect(test_child(open_lock_and_die, lock));
    CHECK_GT(kin_sweep(), 0);
    CHECK_GT(lines, 0);
    kin_log_set(NULL, KIN_LOG_DEBUG, NULL);
    lines = 0;
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(lock));
    test_collect(test_child(open_lock_and_die, lock));
    CHECK_GT(kin_sweep(), 0);
    CHECK_EQ(lines, 0);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(lock));
    CHECK_OK(kin_lock_close(lock));
}
