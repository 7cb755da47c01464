/* test_pool_map.c: a function over an array by all workers: every item exactly once, each outcome
 * in its place, whatever fails, dies or takes too long. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/pools.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/pool.h>

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

/* An item that notes how often it was run, and then does what it is told. */
enum action { PASS, RETURN, EXIT, CRASH, HANG, CRASH_ONCE };

struct item {
    _Atomic int *runs;
    enum action action;
    int number;
};

static int act(const struct item *in, int *out)
{
    int run = ++*in->runs;
    *out = in->number;
    switch (in->action) {
    case PASS: return 0;
    case RETURN: return 1000 + in->number;
    case EXIT: _exit(7);
    case CRASH: return raise(SIGKILL);
    case HANG: test_until(kin_task_cancelled() == 1); return -ECANCELED;
    case CRASH_ONCE: return run == 1 ? raise(SIGKILL) : 0;
    }
    return 0;
}
KIN_MAP(act, struct item, int)

/* It counts how often it is run, so that is seen how often a pure one is. */
static int act_purely(const struct item *in, int *out)
{
    return act(in, out);
}
KIN_MAP_PURE(act_purely, struct item, int)

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

/* `count` items in private memory, whose runs are counted in family memory. */
struct batch {
    size_t count;
    struct item *in;
    int *out;
    _Atomic int *runs;
};

static struct batch make_batch(size_t count)
{
    struct batch batch = {.count = count};
    batch.in = calloc(count, sizeof *batch.in);
    batch.out = calloc(count, sizeof *batch.out);
    batch.runs = kin_alloc(count * sizeof *batch.runs);
    CHECK(batch.runs != NULL);
    for (size_t i = 0; i < count; i++)
        batch.in[i] = (struct item){.runs = &batch.runs[i], .action = PASS, .number = (int)i};
    return batch;
}

static void free_batch(struct batch *batch)
{
    free(batch->in);
    free(batch->out);
    CHECK_OK(kin_free((void *)batch->runs));
}

static int map_batch(kin_pool *pool, struct batch *batch, const kin_map_options *options)
{
    return kin_pool_map_with(pool, KIN_FN(act), batch->in, batch->out, batch->count, KIN_FOREVER, options);
}

/* ---- well ------------------------------------------------------------------------------------------ */

POOL_TEST(any_number_of_items)
{
    struct books books = books_open();
    const size_t counts[] = {0, 1, 2, 3, 7, 8, 100, 127, 128, 129, 1000, 10007, 100000};
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        kin_pool *pool = open_pool(workers);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            size_t count = counts[c];
            test_context("%u workers, %zu items", workers, count);
            int *in = malloc(count * sizeof *in + 1);
            long *out = malloc(count * sizeof *out + 1);
            for (size_t i = 0; i < count; i++) in[i] = (int)(i * 3) - 50;
            memset(out, 0xee, count * sizeof *out);
            CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, count, KIN_FOREVER), 0);
            for (size_t i = 0; i < count; i++) CHECK_EQ(out[i], (long)in[i] * in[i]);
            free(in);
            free(out);
        }
        end_pool(pool);
    }
    test_context(NULL);
    books_check(&books);
}

POOL_TEST(no_item_is_run_twice)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(3);
    const size_t chunks[] = {0, 1, 7, 1000, SIZE_MAX};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        struct batch batch = make_batch(20000);
        test_context("chunks of %zu", chunks[c]);
        size_t failed = 77;
        CHECK_RC(map_batch(pool, &batch, &(kin_map_options){.chunk = chunks[c], .failed = &failed}), 0);
        CHECK_EQ(failed, 0);
        for (size_t i = 0; i < batch.count; i++) {
            CHECK_EQ(batch.runs[i], 1);
            CHECK_EQ(batch.out[i], i);
        }
        free_batch(&batch);
    }
    test_context(NULL);
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(arrays_in_family_memory_are_used_where_they_are)
{
    enum { COUNT = 5000 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    int *in = kin_alloc(COUNT * sizeof *in);
    long *out = kin_alloc(COUNT * sizeof *out), private_out[COUNT];
    for (int i = 0; i < COUNT; i++) in[i] = i;
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, COUNT, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, private_out, COUNT, KIN_FOREVER), 0);
    for (long i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i], i * i);
        CHECK_EQ(private_out[i], i * i);
        CHECK_EQ(in[i], i);
    }
    CHECK_OK(kin_free(in));
    CHECK_OK(kin_free(out));
    end_pool(pool);
    books_check(&books);
}

struct wide {
    unsigned char bytes[3000];
};

static int turn(const struct wide *in, struct wide *out)
{
    for (size_t i = 0; i < sizeof in->bytes; i++) out->bytes[i] = in->bytes[sizeof in->bytes - 1 - i];
    return 0;
}
KIN_MAP(turn, struct wide, struct wide)

POOL_TEST(items_may_be_large)
{
    enum { COUNT = 300 };
    kin_pool *pool = open_pool(2);
    static struct wide in[COUNT], out[COUNT];
    for (int i = 0; i < COUNT; i++)
        for (size_t n = 0; n < sizeof in->bytes; n++) in[i].bytes[n] = (unsigned char)(n * 7 + (size_t)i);
    CHECK_RC(kin_pool_map(pool, KIN_FN(turn), in, out, COUNT, KIN_FOREVER), 0);
    for (int i = 0; i < COUNT; i++)
        for (size_t n = 0; n < sizeof in->bytes; n++) CHECK_EQ(out[i].bytes[n], in[i].bytes[2999 - n]);
    end_pool(pool);
}

static int map_within(const int *in, long *out)
{
    kin_pool *inner = NULL;
    int numbers[10];
    long squares[10];
    for (int i = 0; i < 10; i++) numbers[i] = *in + i;
    int rc = kin_pool_open(&inner, &(kin_pool_options){.kind = pool_kind, .workers = 2});
    if (rc == 0) rc = kin_pool_map(inner, KIN_FN(square), numbers, squares, 10, KIN_FOREVER);
    *out = 0;
    for (int i = 0; rc == 0 && i < 10; i++) *out += squares[i];
    kin_pool_free(inner);
    return rc;
}
KIN_MAP(map_within, int, long)

POOL_TEST(a_task_may_have_a_pool_of_its_own)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    int in[] = {0, 100, 5};
    long out[3];
    CHECK_RC(kin_pool_map(pool, KIN_FN(map_within), in, out, 3, KIN_FOREVER), 0);
    CHECK_EQ(out[0], 285);
    CHECK_EQ(out[2], 25 + 36 + 49 + 64 + 81 + 100 + 121 + 144 + 169 + 196);
    end_pool(pool);
    books_check(&books);
}

/* ---- failures ------------------------------------------------------------------------------------------ */

POOL_TEST(a_failure_ends_the_map)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(1000);
    batch.in[500].action = RETURN;
    kin_failure failure[3];
    size_t failed = 0;
    int rc = map_batch(pool, &batch,
                       &(kin_map_options){.failures = failure, .max_failures = 3, .failed = &failed});
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_GE(failed, 1);
    CHECK_EQ(failure[0].cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure[0].code, 1500);
    CHECK_EQ(failure[0].task, 500);
    CHECK_STR(failure[0].function, "act");
    size_t not_run = 0;
    for (size_t i = 0; i < batch.count; i++) {
        CHECK_LE(batch.runs[i], 1);
        not_run += batch.runs[i] == 0;
        if (batch.runs[i] == 0) CHECK_EQ(batch.out[i], 0);
    }
    CHECK_EQ(failed, not_run + 1);
    free_batch(&batch);
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(what_was_not_run_is_counted)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    /* In the middle of what a worker takes at once, too. */
    const size_t failing[] = {0, 1, 60, 125, 500, 998, 999}, chunks[] = {0, 1, 10, 1000};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        for (size_t f = 0; f < sizeof failing / sizeof *failing; f++) {
            struct batch batch = make_batch(1000);
            size_t failed = 0, run = 0;
            test_context("item %zu, chunks of %zu", failing[f], chunks[c]);
            batch.in[failing[f]].action = RETURN;
            kin_map_options options = {.chunk = chunks[c], .failed = &failed};
            CHECK_RC(map_batch(pool, &batch, &options), KIN_EFAILED);
            for (size_t i = 0; i < batch.count; i++) run += batch.runs[i] != 0;
            CHECK_EQ(run, failing[f] + 1);
            CHECK_EQ(failed, batch.count - failing[f]);
            free_batch(&batch);
        }
    }
    test_context(NULL);
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(keep_going_runs_all_the_others)
{
    enum { COUNT = 2000, EVERY = 37 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(COUNT);
    size_t expected = 0, failed = 0;
    for (size_t i = 3; i < COUNT; i += EVERY, expected++) batch.in[i].action = RETURN;
    static kin_failure failure[COUNT];
    int rc =
        map_batch(pool, &batch,
                  &(kin_map_options){
                      .keep_going = true, .failures = failure, .max_failures = COUNT, .failed = &failed});
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failed, expected);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ(batch.runs[i], 1);
        if (i % EVERY != 3) CHECK_EQ(batch.out[i], i);
    }
    bool seen[COUNT] = {false};
    for (size_t i = 0; i < failed; i++) {
        CHECK_EQ(failure[i].code, 1000 + (int)failure[i].task);
        CHECK_EQ(failure[i].task % EVERY, 3);
        CHECK(!seen[failure[i].task]);
        seen[failure[i].task] = true;
    }
    free_batch(&batch);
    end_pool(pool);
    books_check(&books);
}

TEST(a_crash_costs_its_item_alone)
{
    enum { COUNT = 1000 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(COUNT);
    kin_failure failure[10] = {0};
    size_t failed = 0;
    const size_t crashing[] = {0, 1, 499, 999}, exiting = 700;
    for (int i = 0; i < 4; i++) batch.in[crashing[i]].action = CRASH;
    batch.in[exiting].action = EXIT;
    int rc = map_batch(
        pool, &batch,
        &(kin_map_options){.keep_going = true, .failures = failure, .max_failures = 10, .failed = &failed});
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failed, 5);
    for (size_t i = 0; i < COUNT; i++) {
        test_context("item %zu", i);
        CHECK_EQ(batch.runs[i], 1);
        if (batch.in[i].action == PASS) CHECK_EQ(batch.out[i], i);
    }
    test_context(NULL);
    for (int i = 0; i < 5; i++) {
        bool exited = failure[i].task == exiting;
        CHECK_EQ(failure[i].cause, exited ? KIN_CAUSE_EXITED : KIN_CAUSE_SIGNALED);
        CHECK_EQ(exited ? failure[i].code : failure[i].signal, exited ? 7 : SIGKILL);
        CHECK_GT(failure[i].worker_pid, 0);
        CHECK_EQ(failure[i].attempt, 1);
    }
    free_batch(&batch);
    end_pool(pool);
    books_check_blocks(&books);
}

TEST(a_crashed_item_is_run_again)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(300);
    for (size_t i = 0; i < batch.count; i += 60) batch.in[i].action = CRASH_ONCE;
    CHECK_RC(map_batch(pool, &batch, &(kin_map_options){.retries = 1}), 0);
    for (size_t i = 0; i < batch.count; i++) {
        test_context("item %zu", i);
        CHECK_EQ(batch.runs[i], i % 60 == 0 ? 2 : 1);
        CHECK_EQ(batch.out[i], i);
    }
    test_context(NULL);
    free_batch(&batch);
    end_pool(pool);
    books_check_blocks(&books);
}

static int map_purely(kin_pool *pool, const struct batch *batch, const kin_map_options *options)
{
    return kin_pool_map_with(pool, KIN_FN(act_purely), batch->in, batch->out, batch->count, KIN_FOREVER,
                             options);
}

POOL_TEST(pure_items_are_run_like_others)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(5000);
    kin_failure failure[2] = {0};
    size_t failed = 0;
    batch.in[1234].action = RETURN;
    int rc = map_purely(
        pool, &batch,
        &(kin_map_options){.keep_going = true, .failures = failure, .max_failures = 2, .failed = &failed});
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failed, 1);
    CHECK_EQ(failure[0].task, 1234);
    CHECK_EQ(failure[0].code, 1000 + 1234);
    for (size_t i = 0; i < batch.count; i++) {
        test_context("item %zu", i);
        CHECK_EQ(batch.runs[i], 1);
        CHECK_EQ(batch.out[i], i);
    }
    test_context(NULL);
    free_batch(&batch);
    end_pool(pool);
    books_check(&books);
}

TEST(a_crash_among_pure_items_costs_its_item_alone)
{
    enum { COUNT = 3000 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(COUNT);
    kin_failure failure[10] = {0};
    size_t failed = 0;
    const size_t crashing[] = {0, 1, 1499, 2100, 2101, 2999};
    for (int i = 0; i < 6; i++) batch.in[crashing[i]].action = CRASH;
    int rc = map_purely(
        pool, &batch,
        &(kin_map_options){.keep_going = true, .failures = failure, .max_failures = 10, .failed = &failed});
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failed, 6);
    for (size_t i = 0; i < COUNT; i++) {
        test_context("item %zu", i);
        CHECK_GE(batch.runs[i], 1);
        CHECK_LE(batch.runs[i], 2);
        if (batch.in[i].action == PASS) CHECK_EQ(batch.out[i], i);
    }
    test_context(NULL);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(batch.in[failure[i].task].action, CRASH);
        CHECK_EQ(failure[i].cause, KIN_CAUSE_SIGNALED);
        CHECK_EQ(failure[i].attempt, 1);
        for (int other = 0; other < i; other++) CHECK_NE(failure[other].task, failure[i].task);
    }
    free_batch(&batch);
    end_pool(pool);
    books_check_blocks(&books);
}

POOL_TEST(an_item_has_its_own_deadline, .alone = true)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(100);
    kin_failure failure = {0};
    size_t failed = 0;
    batch.in[42].action = HANG;
    int rc = map_batch(pool, &batch,
                       &(kin_map_options){.keep_going = true,
                                          .timeout_ns = 1000000000,
                                          .failures = &failure,
                                          .max_failures = 1,
                                          .failed = &failed});
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failed, 1);
    CHECK_EQ(failure.cause, KIN_CAUSE_TIMEOUT);
    CHECK_EQ(failure.task, 42);
    for (size_t i = 0; i < batch.count; i++) CHECK_EQ(batch.runs[i], 1);
    free_batch(&batch);
    end_pool(pool);
    books_check_blocks(&books);
}

/* How many of 100 items, whose last one hangs, are finished after so long. */
static size_t finished_within(kin_pool *pool, int64_t wait_ms)
{
    struct batch batch = make_batch(100);
    size_t finished = 0;
    batch.in[99].action = HANG;
    kin_deadline deadline = kin_in_ms(wait_ms);
    CHECK_RC(kin_pool_map(pool, KIN_FN(act), batch.in, batch.out, batch.count, deadline), -ETIMEDOUT);
    CHECK_GE(kin_clock(), deadline);
    for (size_t i = 0; i < 99; i++) {
        finished += batch.runs[i] != 0 && batch.out[i] == (int)i;
        if (batch.out[i] != (int)i || batch.runs[i] == 0) CHECK_EQ(batch.out[i], 0);
    }
    free_batch(&batch);
    return finished;
}

POOL_TEST(what_was_finished_before_the_deadline_is_there, .alone = true)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    /* Whatever the machine does, some time is enough for all that do not hang. */
    for (int64_t ms = 200; finished_within(pool, ms) < 99;) ms *= 2;
    /* The pool is as good as before. */
    int in = 9;
    long out = 0;
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), &in, &out, 1, KIN_FOREVER), 0);
    CHECK_EQ(out, 81);
    end_pool(pool);
    books_check_blocks(&books);
}

POOL_TEST(a_deadline_that_has_passed)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    const kin_deadline past[] = {KIN_NOW, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        int in[100] = {1};
        long out[100];
        int rc = kin_pool_map(pool, KIN_FN(square), in, out, 100, past[i]);
        if (rc != 0) CHECK_RC(rc, -ETIMEDOUT);
    }
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(terminating_a_pool_ends_its_maps)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(100);
    for (size_t i = 0; i < batch.count; i++) batch.in[i].action = HANG;
    pid_t self = getpid(), child = fork();
    if (child == 0) {
        /* Another process ends it once the items hang. */
        test_until(batch.runs[0] + batch.runs[50] == 2);
        CHECK_RC(kin_pool_terminate(pool), 0);
        _exit(getppid() == self ? 0 : 1);
    }
    int rc = map_batch(pool, &batch, NULL);
    CHECK(rc < 0);
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_free(pool), 0);
    free_batch(&batch);
    books_check_blocks(&books);
}

TEST(a_killed_supervisor_ends_its_maps)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct batch batch = make_batch(10);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    for (size_t i = 0; i < batch.count; i++) batch.in[i].action = HANG;
    pid_t child = fork();
    if (child == 0) {
        test_until(batch.runs[0] != 0);
        kill(status.supervisor_pid, SIGKILL);
        _exit(0);
    }
    CHECK_RC(map_batch(pool, &batch, NULL), KIN_EBROKEN);
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(kin_pool_free(pool), 0);
    free_batch(&batch);
    books_check_blocks(&books);
}

/* ---- what is refused ------------------------------------------------------------------------------------- */

static int no_map(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument, (void)size, (void)reply;
    return 0;
}
KIN_BYTES(no_map)

POOL_TEST(bad_maps_are_refused)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    int in[2] = {1, 2};
    long out[2] = {-1, -1};
    static int data;
    kin_function not_code = *KIN_FN(square);
    not_code.range = (kin_range_function *)(void *)&data;
    CHECK_RC(kin_pool_map(NULL, KIN_FN(square), in, out, 2, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_pool_map((kin_pool *)in, KIN_FN(square), in, out, 2, KIN_FOREVER), KIN_EFOREIGN);
    CHECK_RC(kin_pool_map(pool, NULL, in, out, 2, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_pool_map(pool, KIN_FN(no_map), in, out, 2, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), NULL, out, 2, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, NULL, 2, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), NULL, NULL, 0, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_map(pool, &not_code, in, out, 2, KIN_FOREVER), KIN_ENOTCODE);
    not_code.range = KIN_FN(square)->range;
    not_code.pure = (kin_range_function *)(void *)&data;
    CHECK_RC(kin_pool_map(pool, &not_code, in, out, 2, KIN_FOREVER), KIN_ENOTCODE);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, SIZE_MAX, KIN_FOREVER), -EMSGSIZE);
    kin_map_options options = {.max_failures = SIZE_MAX};
    CHECK_RC(kin_pool_map_with(pool, KIN_FN(square), in, out, SIZE_MAX / 64, KIN_FOREVER, &options),
             -EMSGSIZE);
    if (pool_kind == KIN_POOL_PROCESSES) /* threads do not copy them */
        CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, SIZE_MAX / 64, KIN_FOREVER), -ENOMEM);
    const kin_map_options refused[] = {{.timeout_ns = -1}, {.progress_ns = -1}, {.retries = -2}};
    for (int i = 0; i < 3; i++)
        CHECK_RC(kin_pool_map_with(pool, KIN_FN(square), in, out, 2, KIN_FOREVER, &refused[i]), -EINVAL);
    CHECK_EQ(out[0], -1);
    /* No more than both can fail. */
    CHECK_RC(kin_pool_map_with(pool, KIN_FN(square), in, out, 2, KIN_FOREVER, &options), 0);
    CHECK_OK(kin_pool_close(pool));
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, 2, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, 2, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_pool_free(pool), 0);
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, 2, KIN_FOREVER), KIN_ECLOSED);
    books_check(&books);
}
