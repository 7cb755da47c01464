/* pool_kin.c: kin's rows of the pool benchmark. */
#include <kin.h>
#include <string.h>

#include "pool.h"

static int square(const int *in, long *out)
{
    *out = pool_square(*in);
    return 0;
}
KIN_MAP(square, int, long)

static int square_again(const int *in, long *out)
{
    return square(in, out);
}
KIN_MAP_PURE(square_again, int, long)

static int record(const int *in, struct pool_record *out)
{
    pool_fill_record(out, *in);
    return 0;
}
KIN_MAP(record, int, struct pool_record)

static double failed(const char *call, long rc)
{
    return bench_fail("%s: %s", call, kin_strerror((int)rc));
}

static int end(kin_pool *pool)
{
    int rc = kin_pool_close(pool);
    if (rc == 0) rc = kin_pool_join(pool, KIN_FOREVER);
    if (rc == 0) rc = kin_pool_free(pool);
    return rc;
}

static enum kin_pool_kind kind;

static kin_pool *open_pool(void)
{
    kin_pool *pool = NULL;
    int rc = kin_pool_open(&pool, &(kin_pool_options){.kind = kind, .workers = POOL_WORKERS});
    if (rc < 0) failed("kin_pool_open", rc);
    return rc < 0 ? NULL : pool;
}

/* ---- map ------------------------------------------------------------------------------------- */

static double map(const struct bench_case *test, const kin_function *function, long count)
{
    const struct pool_shape *shape = test->shape;
    kin_pool *pool = open_pool();
    int *in = kin_alloc(POOL_ITEMS * sizeof *in);
    long *out = kin_alloc(POOL_ITEMS * sizeof *out);
    if (!pool || !in || !out) return bench_fail("no pool or no memory");
    pool_numbers(in);
    memset(out, 0, POOL_ITEMS * sizeof *out);
    kin_map_options options = {.chunk = shape->chunks ? 0 : 1};
    /* Once before, so that no page is touched by a worker for the first time while the clock runs. */
    double begin = 0;
    for (long i = -1; i < count; i++) {
        if (i == 0) begin = bench_now();
        int rc = kin_pool_map_with(pool, function, in, out, POOL_ITEMS, KIN_FOREVER, &options);
        if (rc < 0) return failed("kin_pool_map", rc);
    }
    double seconds = bench_now() - begin;
    int rc = end(pool);
    if (rc < 0) return failed("ending the pool", rc);
    return pool_check(out) ? -1 : seconds;
}

double bench_kin_map(const struct bench_case *test, long count)
{
    return map(test, KIN_FN(square), count);
}

double bench_kin_map_pure(const struct bench_case *test, long count)
{
    return map(test, KIN_FN(square_again), count);
}

/* ---- submit and get: results in order, 1000 outstanding -------------------------------------- */

static int submit(kin_pool *pool, kin_result **result, const kin_function *function, long index)
{
    int number = pool_window_number(index);
    int rc = kin_pool_submit(pool, result, function, &number, sizeof number, KIN_FOREVER, NULL);
    if (rc < 0) failed("kin_pool_submit", rc);
    return rc;
}

double bench_kin_submit(const struct bench_case *test, long count)
{
    (void)test;
    static kin_result *window[POOL_WINDOW];
    kin_pool *pool = open_pool();
    if (!pool) return -1;
    long sum = 0;
    long sent = 0;
    double begin = bench_now();
    for (long got = 0; got < count; got++) {
        for (; sent < count && sent - got < POOL_WINDOW; sent++)
            if (submit(pool, &window[sent % POOL_WINDOW], KIN_FN(square), sent) < 0) return -1;
        long value;
        kin_result *result = window[got % POOL_WINDOW];
        long rc = kin_result_get(result, &value, sizeof value, KIN_FOREVER);
        if (rc < 0) return failed("kin_result_get", rc);
        kin_result_close(result);
        sum += value;
    }
    double seconds = bench_now() - begin;
    int rc = end(pool);
    if (rc < 0) return failed("ending the pool", rc);
    return sum == pool_window_sum(count) ? seconds : bench_fail("the sum of the results is wrong");
}

/* ---- stream: whatever is ready, 1000 outstanding --------------------------------------------- */

/* Takes the results that are ready out of the window; returns how many stay, or negative. */
static long take_ready(kin_result **window, long outstanding, long *sum)
{
    long kept = 0;
    for (long i = 0; i < outstanding; i++) {
        int ready = kin_result_ready(window[i]);
        if (ready == 0) {
            window[kept++] = window[i];
            continue;
        }
        const void *out = NULL;
        long rc = ready < 0 ? ready : kin_result_view(window[i], &out);
        if (rc < 0) return (long)failed("kin_result_view", rc);
        *sum += ((const struct pool_record *)out)->square;
        kin_result_close(window[i]);
    }
    return kept;
}

double bench_kin_stream(const struct bench_case *test, long count)
{
    (void)test;
    static kin_result *window[POOL_WINDOW];
    kin_pool *pool = open_pool();
    if (!pool) return -1;
    long sum = 0;
    long sent = 0;
    long outstanding = 0;
    double begin = bench_now();
    while (sent < count || outstanding > 0) {
        for (; sent < count && outstanding < POOL_WINDOW; sent++)
            if (submit(pool, &window[outstanding++], KIN_FN(record), sent) < 0) return -1;
        /* Half of the window ahead, so that what is looked at is ready for the most part. */
        int rc = kin_result_wait(window[outstanding / 2], KIN_FOREVER);
        if (rc < 0) return failed("kin_result_wait", rc);
        outstanding = take_ready(window, outstanding, &sum);
        if (outstanding < 0) return -1;
    }
    double seconds = bench_now() - begin;
    int rc = end(pool);
    if (rc < 0) return failed("ending the pool", rc);
    return sum == pool_window_sum(count) ? seconds : bench_fail("the sum of the results is wrong");
}

/* ---- large inputs and results ---------------------------------------------------------------- */

static int echo(const void *argument, size_t size, kin_reply *reply)
{
    return kin_reply_write(reply, argument, size);
}
KIN_BYTES(echo)

static int take_large(kin_result *result, long number)
{
    const void *view = NULL;
    long first = 0;
    int rc = kin_result_wait(result, KIN_FOREVER);
    long size = rc == 0 ? kin_result_view(result, &view) : rc;
    if (size == POOL_LARGE) memcpy(&first, view, sizeof first);
    kin_result_close(result);
    if (size < 0) failed("kin_result_view", size);
    return size == POOL_LARGE && first == number ? 0 : -1;
}

double bench_kin_large(const struct bench_case *test, long count)
{
    (void)test;
    static unsigned char input[POOL_LARGE];
    kin_result *window[POOL_LARGE_WINDOW];
    kin_pool *pool = open_pool();
    if (!pool) return -1;
    double begin = bench_now();
    for (long number = 0; number < count + POOL_LARGE_WINDOW; number++) {
        kin_result **place = &window[number % POOL_LARGE_WINDOW];
        if (number >= POOL_LARGE_WINDOW && take_large(*place, number - POOL_LARGE_WINDOW) < 0)
            return bench_fail("the result of task %ld is wrong", number - POOL_LARGE_WINDOW);
        if (number >= count) continue;
        memcpy(input, &number, sizeof number);
        int rc = kin_pool_submit(pool, place, KIN_FN(echo), input, sizeof input, KIN_FOREVER, NULL);
        if (rc < 0) return failed("kin_pool_submit", rc);
    }
    double seconds = bench_now() - begin;
    int rc = end(pool);
    return rc < 0 ? failed("ending the pool", rc) : seconds;
}

/* ---- open and close -------------------------------------------------------------------------- */

double bench_kin_open(const struct bench_case *test, long count)
{
    (void)test;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        kin_pool *pool = open_pool();
        int rc = pool ? end(pool) : -1;
        if (rc < 0) return failed("ending the pool", rc);
    }
    return bench_now() - begin;
}

/* Each worker is the home of one task. */
static int one_on_each(kin_pool *pool)
{
    kin_result *result[POOL_WORKERS];
    long rc = 0, value = 0;
    for (int i = 0; i < POOL_WORKERS && rc >= 0; i++)
        rc = kin_pool_submit(pool, &result[i], KIN_FN(square), &i, sizeof i, KIN_FOREVER,
                             &(kin_task_options){.affinity = POOL_WORKERS + (uint64_t)i});
    for (int i = 0; i < POOL_WORKERS && rc >= 0; i++) {
        rc = kin_result_get(result[i], &value, sizeof value, KIN_FOREVER);
        if (rc >= 0) kin_result_close(result[i]);
    }
    return rc < 0 ? (int)rc : 0;
}

double bench_kin_open_used(const struct bench_case *test, long count)
{
    (void)test;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        kin_pool *pool = open_pool();
        int rc = pool ? one_on_each(pool) : -1;
        if (rc == 0) rc = end(pool);
        if (rc < 0) return failed("a pool with one task on each worker", rc);
    }
    return bench_now() - begin;
}

/* ---- the same, with threads ------------------------------------------------------------------ */

static double with_threads(bench_run *run, const struct bench_case *test, long count)
{
    kind = KIN_POOL_THREADS;
    double seconds = run(test, count);
    kind = KIN_POOL_PROCESSES;
    return seconds;
}

double bench_kin_map_threads(const struct bench_case *test, long count)
{
    return with_threads(bench_kin_map, test, count);
}

double bench_kin_submit_threads(const struct bench_case *test, long count)
{
    return with_threads(bench_kin_submit, test, count);
}

double bench_kin_stream_threads(const struct bench_case *test, long count)
{
    return with_threads(bench_kin_stream, test, count);
}

double bench_kin_large_threads(const struct bench_case *test, long count)
{
    return with_threads(bench_kin_large, test, count);
}

double bench_kin_open_threads(const struct bench_case *test, long count)
{
    return with_threads(bench_kin_open, test, count);
}

double bench_kin_open_used_threads(const struct bench_case *test, long count)
{
    return with_threads(bench_kin_open_used, test, count);
}
