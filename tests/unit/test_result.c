/* test_result.c: what the holder of a result is told: the outcome, exactly how a task failed, and
 * every error. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/pools.h"
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/pool.h>

/* ---- tasks ---------------------------------------------------------------------------------------- */

enum order { SUCCEED, RETURN_POSITIVE, RETURN_ERROR, EXIT, KILL_ITSELF, ABORT, CALL_NULL, WASTE_MEMORY };

static void waste_memory(void)
{
    enum { SIZE = 100 << 20 };
    volatile char *memory = malloc(SIZE);
    for (int i = 0; i < SIZE; i += 4096) memory[i] = 1;
    kill(getpid(), SIGKILL);
}

static int obey(const enum order *order, int *out)
{
    *out = 77;
    switch (*order) {
    case SUCCEED: return 0;
    case RETURN_POSITIVE: return 12345;
    case RETURN_ERROR: return -ENOSPC;
    case EXIT: _exit(9);
    case KILL_ITSELF: return raise(SIGKILL);
    case ABORT: signal(SIGABRT, SIG_DFL); return raise(SIGABRT);
    case CALL_NULL: signal(SIGSEGV, SIG_DFL); return raise(SIGSEGV);
    case WASTE_MEMORY: waste_memory();
    }
    return 0;
}
KIN_MAP(obey, enum order, int)

struct gate {
    _Atomic int open;
    _Atomic int inside;
};
typedef struct gate *gate_address;

static int wait_at_gate(const gate_address *gate, int *out)
{
    (*gate)->inside++;
    test_until((*gate)->open != 0);
    *out = 5;
    return 0;
}
KIN_MAP(wait_at_gate, gate_address, int)

static int write_much(const void *argument, size_t size, kin_reply *reply)
{
    int lines;
    CHECK_EQ(size, sizeof lines);
    memcpy(&lines, argument, sizeof lines);
    for (int i = 0; i < lines; i++) {
        int rc = kin_reply_printf(reply, "line %d of %s\n", i, "a long text");
        if (rc == 0) rc = kin_reply_write(reply, "--\n", 3);
        if (rc < 0) return rc;
    }
    return 0;
}
KIN_BYTES(write_much)

static int write_wrongly(const void *argument, size_t size, kin_reply *reply)
{
    char wide[2000];
    (void)argument, (void)size;
    memset(wide, 'w', sizeof wide);
    wide[sizeof wide - 1] = '\0';
    CHECK_RC(kin_reply_write(NULL, "x", 1), -EINVAL);
    CHECK_RC(kin_reply_write(reply, NULL, 1), -EINVAL);
    CHECK_RC(kin_reply_write(reply, NULL, 0), 0);
    CHECK_RC(kin_reply_write(reply, wide, SIZE_MAX), -EMSGSIZE);
    CHECK_RC(kin_reply_write(reply, wide, SIZE_MAX / 8), -ENOMEM);
    CHECK_RC(kin_reply_printf(NULL, "x"), -EINVAL);
    CHECK_RC(kin_reply_printf(reply, "%s", ""), 0);
    CHECK_RC(kin_reply_printf(reply, "%s", wide), 0);
    return 0;
}
KIN_BYTES(write_wrongly)

static kin_pool *open_pool(unsigned workers)
{
    kin_pool *pool = NULL;
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = workers}), 0);
    return pool;
}

static void end_pool(kin_pool *pool)
{
    CHECK_RC(kin_pool_close(pool), 0);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_free(pool), 0);
}

static kin_result *submit(kin_pool *pool, const kin_function *function, const void *argument, size_t size)
{
    kin_result *result = NULL;
    CHECK_RC(kin_pool_submit(pool, &result, function, argument, size, KIN_FOREVER, NULL), 0);
    return result;
}

/* ---- outcomes -------------------------------------------------------------------------------------- */

POOL_TEST(an_outcome_can_be_read_again_and_again)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    int lines = 3;
    char text[200] = "";
    kin_result *result = submit(pool, KIN_FN(write_much), &lines, sizeof lines);
    CHECK_RC(kin_result_wait(result, KIN_FOREVER), 0);
    CHECK_RC(kin_result_ready(result), 1);
    CHECK_RC(kin_result_successful(result), 1);
    const char *expected =
        "line 0 of a long text\n--\nline 1 of a long text\n--\nline 2 of a long text\n--\n";
    const void *view = NULL;
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_result_get(result, text, sizeof text, KIN_NOW), (long)strlen(expected));
        CHECK_STR(text, expected);
        CHECK_RC(kin_result_view(result, &view), (long)strlen(expected));
        CHECK_MEM(view, expected, strlen(expected));
    }
    kin_failure failure;
    CHECK_RC(kin_result_failure(result, &failure), -EINVAL);
    CHECK_RC(kin_result_close(result), 0);
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(an_outcome_larger_than_the_buffer_stays)
{
    kin_pool *pool = open_pool(1);
    int lines = 1000;
    static char text[40000];
    kin_result *result = submit(pool, KIN_FN(write_much), &lines, sizeof lines);
    CHECK_RC(kin_result_get(result, text, 10, KIN_FOREVER), KIN_ETOOSMALL);
    size_t needed = kin_needed_size();
    CHECK_GT(needed, 20000);
    CHECK_EQ(text[0], 0);
    CHECK_RC(kin_result_get(result, NULL, 0, KIN_FOREVER), KIN_ETOOSMALL);
    CHECK_RC(kin_result_get(result, text, needed - 1, KIN_FOREVER), KIN_ETOOSMALL);
    CHECK_RC(kin_result_get(result, text, needed, KIN_FOREVER), (long)needed);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
}

POOL_TEST(replies_check_what_they_are_given)
{
    if (test_sanitized()) SKIP("a sanitizer ends the program when malloc is asked for too much");
    kin_pool *pool = open_pool(1);
    char text[3000];
    kin_failure failure = {0};
    long rc = kin_pool_apply(pool, KIN_FN(write_wrongly), NULL, 0, text, sizeof text, KIN_FOREVER, &failure);
    CHECK_RC(rc, 1999);
    CHECK_EQ(text[1998], 'w');
    end_pool(pool);
}

POOL_TEST(a_task_that_is_not_done, .alone = true)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *result = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    const void *view = NULL;
    kin_failure failure;
    int out = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_RC(kin_result_ready(result), 0);
        CHECK_RC(kin_result_successful(result), KIN_ENOTREADY);
        CHECK_RC(kin_result_view(result, &view), KIN_ENOTREADY);
        CHECK_RC(kin_result_failure(result, &failure), KIN_ENOTREADY);
        CHECK_RC(kin_result_wait(result, KIN_NOW), -ETIMEDOUT);
        CHECK_RC(kin_result_wait(result, INT64_MIN), -ETIMEDOUT);
        CHECK_RC(kin_result_get(result, &out, sizeof out, kin_in_ms(-3)), -ETIMEDOUT);
        test_until(gate->inside == 1); /* once more while it runs */
    }
    CHECK_WAITS(0.15, CHECK_RC(kin_result_wait(result, kin_in_ms(150)), -ETIMEDOUT))
    gate->open = 1;
    CHECK_RC(kin_result_get(result, &out, sizeof out, KIN_FOREVER), sizeof out);
    CHECK_EQ(out, 5);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
    CHECK_OK(kin_free(gate));
    books_check(&books);
}

static void wait_for_result(void *context, unsigned index)
{
    int out = 0;
    (void)index;
    CHECK_RC(kin_result_get(context, &out, sizeof out, KIN_FOREVER), sizeof out);
    CHECK_EQ(out, 5);
}

static void many_may_wait_for_one_result(enum crew_kind kind)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *result = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 1);
    struct crew crew;
    crew_start(&crew, kind, 8, wait_for_result, result);
    test_until(books_sleepers() == 8);
    gate->open = 1;
    crew_join(&crew);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
    CHECK_OK(kin_free(gate));
    books_check(&books);
}
CREW_TEST(many_may_wait_for_one_result)

POOL_TEST(a_result_that_nobody_wants)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct gate *gate = kin_alloc(sizeof *gate);
    /* Running, waiting, done: whenever it is closed, the task goes on and its record is freed. */
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    kin_result *waiting = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 1);
    CHECK_RC(kin_result_close(running), 0);
    CHECK_RC(kin_result_close(running), KIN_ECLOSED);
    CHECK_RC(kin_result_close(waiting), 0);
    gate->open = 1;
    kin_result *done = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    CHECK_RC(kin_result_wait(done, KIN_FOREVER), 0);
    CHECK_EQ(gate->inside, 3);
    CHECK_RC(kin_result_close(done), 0);
    end_pool(pool);
    CHECK_OK(kin_free(gate));
    books_check(&books);
}

POOL_TEST(a_closed_result_says_so)
{
    kin_pool *pool = open_pool(1);
    enum order order = SUCCEED;
    const void *view = NULL;
    kin_failure failure;
    int out;
    kin_result *result = submit(pool, KIN_FN(obey), &order, sizeof order);
    CHECK_RC(kin_result_wait(result, KIN_FOREVER), 0);
    for (int freed = 0; freed < 2; freed++) {
        if (freed)
            end_pool(pool);
        else
            CHECK_RC(kin_result_close(result), 0);
        CHECK_RC(kin_result_wait(result, KIN_FOREVER), KIN_ECLOSED);
        CHECK_RC(kin_result_get(result, &out, sizeof out, KIN_FOREVER), KIN_ECLOSED);
        CHECK_RC(kin_result_view(result, &view), KIN_ECLOSED);
        CHECK_RC(kin_result_ready(result), KIN_ECLOSED);
        CHECK_RC(kin_result_successful(result), KIN_ECLOSED);
        CHECK_RC(kin_result_failure(result, &failure), KIN_ECLOSED);
        CHECK_RC(kin_result_close(result), KIN_ECLOSED);
    }
}

TEST(a_task_that_was_never_begun_had_no_attempt)
{
    kin_failure failure = {.cause = KIN_CAUSE_CANCELLED, .task = 3, .attempts = 4, .function = "obey"};
    char text[100];
    CHECK_GT(kin_failure_text(&failure, text, sizeof text), 0);
    CHECK_STR(text, "task 3 (obey): cancelled");
    failure.attempt = 1;
    CHECK_GT(kin_failure_text(&failure, text, sizeof text), 0);
    CHECK_STR(text, "task 3 (obey): cancelled, attempt 1 of 4");
}

/* Of a task that is cancelled when it has begun, or before; *result, closed, is the record that it had. */
static kin_failure cancel_one(kin_pool *pool, bool begun, kin_result **result)
{
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_failure failure = {0};
    if (!begun) CHECK_OK(kin_pool_pause(pool));
    *result = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    if (begun) test_until(gate->inside == 1);
    CHECK_OK(kin_result_cancel(*result));
    CHECK_OK(kin_result_wait(*result, kin_in_s(30)));
    CHECK_OK(kin_result_failure(*result, &failure));
    CHECK_EQ(failure.cause, KIN_CAUSE_CANCELLED);
    CHECK_EQ(failure.attempt, begun);
    CHECK_OK(kin_result_close(*result));
    CHECK_OK(kin_pool_resume(pool));
    CHECK_OK(kin_free(gate));
    return failure;
}

/* A record keeps what was told of the task that it was about before; that may have been another pool's, of
 * the same number. */
TEST(a_failure_is_that_of_its_own_task)
{
    kin_result *first, *second, *other;
    kin_pool *pool = open_pool(1);
    kin_failure failure = cancel_one(pool, true, &first);
    CHECK_EQ(cancel_one(pool, false, &second).task, failure.task + 1);
    CHECK_EQ(second, first);
    end_pool(pool);
    pool = open_pool(1);
    CHECK_EQ(cancel_one(pool, false, &other).task, failure.task);
    CHECK_EQ(other, first);
    end_pool(pool);
}

enum { CLOSERS_ROUNDS = 3000 };

struct closers {
    kin_result *_Atomic result;
    _Atomic int arrived, answered, closed;
};

static void *close_results(void *argument)
{
    struct closers *closers = argument;
    for (int round = 1; round <= CLOSERS_ROUNDS; round++) {
        atomic_fetch_add(&closers->arrived, 1);
        test_until(atomic_load(&closers->arrived) >= 3 * round);
        int rc = kin_result_close(atomic_load(&closers->result));
        CHECK(rc == 0 || rc == KIN_ECLOSED);
        if (rc == 0) atomic_fetch_add(&closers->closed, 1);
        atomic_fetch_add(&closers->answered, 1);
    }
    return NULL;
}

/* A result that two threads close at the same time is closed once: its record is not handed out
 * twice afterwards. */
POOL_TEST(one_of_two_that_close_wins)
{
    kin_pool *pool = NULL;
    struct closers closers = {.result = NULL};
    pthread_t thread[2];
    enum order order = SUCCEED;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1}));
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&thread[i], NULL, close_results, &closers), 0);
    for (int round = 1; round <= CLOSERS_ROUNDS; round++) {
        kin_result *result = NULL;
        CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(obey), &order, sizeof order, KIN_FOREVER, NULL));
        /* Every other one is over by then. */
        if (round % 2 == 0) CHECK_OK(kin_result_wait(result, KIN_FOREVER));
        test_until(atomic_load(&closers.arrived) == 3 * round - 1);
        atomic_store(&closers.result, result);
        atomic_fetch_add(&closers.arrived, 1);
        test_until(atomic_load(&closers.answered) == 2 * round);
        CHECK_EQ(atomic_load(&closers.closed), round);
    }
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(pool));
}

POOL_TEST(what_is_no_result_is_refused)
{
    long long private[100] = {0};
    void *block = kin_alloc(4096);
    kin_pool *pool = open_pool(1);
    enum order order = SUCCEED;
    kin_result *result = submit(pool, KIN_FN(obey), &order, sizeof order);
    const void *view = NULL;
    kin_failure failure;
    int out;
    void *wrong[] = {NULL, private, block, pool, (char *)result + 64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int expected = wrong[i] == NULL ? -EINVAL : KIN_EFOREIGN;
        test_context("pointer %zu", i);
        CHECK_RC(kin_result_wait(wrong[i], KIN_FOREVER), expected);
        CHECK_RC(kin_result_get(wrong[i], &out, sizeof out, KIN_FOREVER), expected);
        CHECK_RC(kin_result_view(wrong[i], &view), expected);
        CHECK_RC(kin_result_ready(wrong[i]), expected);
        CHECK_RC(kin_result_successful(wrong[i]), expected);
        CHECK_RC(kin_result_failure(wrong[i], &failure), expected);
        CHECK_RC(kin_result_close(wrong[i]), wrong[i] == NULL ? 0 : expected);
    }
    test_context(NULL);
    CHECK_RC(kin_result_get(result, NULL, 1, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_result_view(result, NULL), -EINVAL);
    CHECK_RC(kin_result_failure(result, NULL), -EINVAL);
    CHECK_RC(kin_result_get(result, &out, sizeof out, KIN_FOREVER), sizeof out);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
    CHECK_OK(kin_free(block));
}

/* ---- failures ---------------------------------------------------------------------------------------- */

static kin_failure failure_of(kin_pool *pool, enum order order)
{
    kin_failure failure;
    const void *view = NULL;
    int out = -1;
    memset(&failure, 0xcc, sizeof failure);
    kin_result *result = submit(pool, KIN_FN(obey), &order, sizeof order);
    CHECK_RC(kin_result_get(result, &out, sizeof out, KIN_FOREVER), KIN_EFAILED);
    CHECK_EQ(out, -1);
    CHECK_RC(kin_result_view(result, &view), KIN_EFAILED);
    CHECK_RC(kin_result_ready(result), 1);
    CHECK_RC(kin_result_successful(result), 0);
    CHECK_RC(kin_result_failure(result, &failure), 0);
    CHECK_OK(kin_result_close(result));
    CHECK_STR(failure.function, "obey");
    CHECK_EQ(failure.attempt, 1);
    CHECK_EQ(failure.attempts, 1);
    CHECK_EQ(failure.worker, 0);
    CHECK_GT(failure.worker_pid, 0);
    CHECK_NE(failure.worker_pid, getpid());
    return failure;
}

static void check_text(const kin_failure *failure, const char *end)
{
    char text[300], expected[300];
    snprintf(expected, sizeof expected, "task %llu (obey) on worker 0 (pid %d): %s",
             (unsigned long long)failure->task, failure->worker_pid, end);
    int length = kin_failure_text(failure, text, sizeof text);
    CHECK_EQ(strncmp(text, expected, strlen(expected)), 0);
    CHECK_EQ(length, strlen(text));
}

POOL_TEST(a_failure_tells_what_happened)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    const struct {
        enum order order;
        enum kin_cause cause;
        int code, signal;
        const char *text;
    } cases[] = {
        {RETURN_POSITIVE, KIN_CAUSE_RETURNED, 12345, 0, "returned 12345"},
        {RETURN_ERROR, KIN_CAUSE_RETURNED, -ENOSPC, 0, "returned ENOSPC: No space left on device"},
        {EXIT, KIN_CAUSE_EXITED, 9, 0, "the worker exited with code 9"},
        {KILL_ITSELF, KIN_CAUSE_SIGNALED, 0, SIGKILL, "killed by SIGKILL"},
        {ABORT, KIN_CAUSE_SIGNALED, 0, SIGABRT, "killed by SIGABRT"},
        {CALL_NULL, KIN_CAUSE_SIGNALED, 0, SIGSEGV, "killed by SIGSEGV"},
    };
    size_t count = pool_kind == KIN_POOL_PROCESSES ? sizeof cases / sizeof *cases : 2;
    for (size_t i = 0; i < count; i++) {
        kin_failure failure = failure_of(pool, cases[i].order);
        test_context("case %zu", i);
        CHECK_EQ(failure.cause, cases[i].cause);
        CHECK_EQ(failure.code, cases[i].code);
        CHECK_EQ(failure.signal, cases[i].signal);
        CHECK_EQ(failure.task, i);
        check_text(&failure, cases[i].text);
    }
    test_context(NULL);
    end_pool(pool);
    books_check_blocks(&books);
}

TEST(the_usage_of_a_dead_worker_is_told)
{
    kin_pool *pool = open_pool(1);
    kin_failure failure = failure_of(pool, WASTE_MEMORY);
    char text[300];
    CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
    CHECK_GT(failure.max_rss, 100 << 20);
    CHECK_GT(failure.user_ns + failure.system_ns, 0);
    CHECK_LT(failure.user_ns + failure.system_ns, 60 * 1000000000LL);
    kin_failure_text(&failure, text, sizeof text);
    CHECK(strstr(text, " MB") != NULL);
    end_pool(pool);
}

POOL_TEST(apply_tells_the_failure)
{
    kin_pool *pool = open_pool(1);
    kin_failure failure = {0};
    enum order order = RETURN_POSITIVE;
    int out = 0;
    long rc =
        kin_pool_apply(pool, KIN_FN(obey), &order, sizeof order, &out, sizeof out, KIN_FOREVER, &failure);
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.code, 12345);
    rc = kin_pool_apply(pool, KIN_FN(obey), &order, sizeof order, &out, sizeof out, KIN_FOREVER, NULL);
    CHECK_RC(rc, KIN_EFAILED);
    end_pool(pool);
}

POOL_TEST(the_text_of_a_failure_is_cut_like_snprintf_cuts)
{
    kin_failure failure = {
        .cause = KIN_CAUSE_TIMEOUT, .task = 17, .function = "resize", .attempt = 2, .attempts = 2};
    char text[200], cut[10];
    int length = kin_failure_text(&failure, text, sizeof text);
    CHECK_STR(text, "task 17 (resize): it took longer than its timeout, attempt 2 of 2");
    CHECK_EQ(length, strlen(text));
    CHECK_EQ(kin_failure_text(&failure, cut, sizeof cut), length);
    CHECK_STR(cut, "task 17 (");
    CHECK_EQ(kin_failure_text(&failure, NULL, 0), length);
    CHECK_RC(kin_failure_text(NULL, text, sizeof text), -EINVAL);
    CHECK_RC(kin_failure_text(&failure, NULL, 1), -EINVAL);
    for (int cause = -1; cause < 20; cause++) {
        failure.cause = (enum kin_cause)cause;
        CHECK_GT(kin_failure_text(&failure, text, sizeof text), 10);
    }
}
