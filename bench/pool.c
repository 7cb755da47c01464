/* pool.c: tasks per second of a pool of 2 workers.
 *
 * Map: a million integers are squared, handed out one by one or in chunks.  Window: tasks are
 * submitted one at a time and their results fetched in order, with 1000 outstanding.  Stream:
 * the same with results of 64 bytes in any order.  The last case opens and closes a pool. */
#include "pool.h"

#include <stdio.h>
#include <string.h>

void pool_numbers(int *in)
{
    for (int i = 0; i < POOL_ITEMS; i++) in[i] = i;
}

int pool_check(const long *out)
{
    for (int i = 0; i < POOL_ITEMS; i++) {
        if (out[i] != pool_square(i)) {
            bench_fail("the square of %d came out as %ld", i, out[i]);
            return -1;
        }
    }
    return 0;
}

long pool_window_sum(long count)
{
    long sum = 0;
    for (long i = 0; i < count; i++) sum += pool_square(pool_window_number(i));
    return sum;
}

static double python(const char *kind, long count)
{
    char number[24];
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked(
        (const char *const[]){"python3", bench_beside(0, "peer_python.py"), "pool", kind, number, NULL});
}

/* One by one, Python would take a minute: it gets a fiftieth of the items, and the seconds are
 * scaled. */
static double python_map_run(const struct bench_case *test, long count)
{
    const struct pool_shape *shape = test->shape;
    double seconds = python(shape->chunks ? "map" : "map1", count * POOL_ITEMS / (shape->chunks ? 1 : 50));
    return shape->chunks ? seconds : seconds * 50;
}

static double python_unordered_run(const struct bench_case *test, long count)
{
    const struct pool_shape *shape = test->shape;
    double seconds =
        python(shape->chunks ? "unordered" : "unordered1", count * POOL_ITEMS / (shape->chunks ? 1 : 50));
    return shape->chunks ? seconds : seconds * 50;
}

static double python_window_run(const struct bench_case *test, long count)
{
    (void)test;
    return python("window", count);
}

static double python_executor_run(const struct bench_case *test, long count)
{
    (void)test;
    return python("executor", count);
}

static double python_threads_run(const struct bench_case *test, long count)
{
    (void)test;
    return python("threads", count);
}

static double python_thread_executor_run(const struct bench_case *test, long count)
{
    (void)test;
    return python("thread-executor", count);
}

static double python_stream_run(const struct bench_case *test, long count)
{
    (void)test;
    return python("stream", count);
}

static double python_open_run(const struct bench_case *test, long count)
{
    (void)test;
    return python("open", count);
}

/* ---- the cases ------------------------------------------------------------------------------- */

#define COUNTER "forked workers, one atomic counter"
#define RING    "forked workers, raw MPMC ring"
#define ABSENT  "built without libkin"

static const struct bench_contender map[] = {
    {BENCH_LIMIT, COUNTER, pool_counter, NULL},
    {BENCH_LIMIT, RING, pool_ring, NULL},
    {BENCH_PEER, "OpenMP dynamic, threads", peer_openmp_map, "gcc with libgomp"},
    {BENCH_KIN, "kin_pool_map", bench_kin_map, ABSENT},
    {BENCH_KIN, "kin_pool_map, threads", bench_kin_map_threads, ABSENT},
    {BENCH_PEER, "oneTBB parallel_for, threads", peer_tbb_map, "libtbb-dev"},
    {BENCH_PEER, "Python Pool.map", python_map_run, "python3"},
    {BENCH_PEER, "Python Pool.imap_unordered", python_unordered_run, "python3"},
    {0},
};

static const struct bench_contender window[] = {
    {BENCH_LIMIT, RING, pool_ring_window, NULL},
    {BENCH_KIN, "kin_pool_submit, kin_result_get", bench_kin_submit, ABSENT},
    {BENCH_KIN, "kin_pool_submit, kin_result_get, threads", bench_kin_submit_threads, ABSENT},
    {BENCH_PEER, "Python Pool.apply_async", python_window_run, "python3"},
    {BENCH_PEER, "Python ProcessPoolExecutor.submit", python_executor_run, "python3"},
    {BENCH_PEER, "Python ThreadPool.apply_async", python_threads_run, "python3"},
    {BENCH_PEER, "Python ThreadPoolExecutor.submit", python_thread_executor_run, "python3"},
    {0},
};

static const struct bench_contender stream[] = {
    {BENCH_LIMIT, RING, pool_ring_stream, NULL},
    {BENCH_KIN, "kin_pool_submit, ready results", bench_kin_stream, ABSENT},
    {BENCH_KIN, "kin_pool_submit, ready results, threads", bench_kin_stream_threads, ABSENT},
    {BENCH_PEER, "Python Pool.imap_unordered", python_stream_run, "python3"},
    {0},
};

static const struct bench_contender open[] = {
    {BENCH_LIMIT, "one fork and wait", pool_fork, NULL},
    {BENCH_KIN, "kin_pool_open, close, join, free", bench_kin_open, ABSENT},
    {BENCH_KIN, "kin_pool_open, close, join, free, threads", bench_kin_open_threads, ABSENT},
    {BENCH_PEER, "Python Pool(2), close, join", python_open_run, "python3"},
    {0},
};

static const struct bench_target map_one[] = {{COUNTER, 0.5}, {0}};
static const struct bench_target map_chunks[] = {{COUNTER, 0.8}, {0}};
static const struct bench_target window_target[] = {{RING, 0.2}, {0}};
static const struct bench_target stream_target[] = {{NULL, 1e6}, {0}};
static const struct bench_target open_target[] = {{"one fork and wait", 3.0}, {0}};

static const struct bench_case cases[] = {
    {.name = "map, one by one",
     .what = "tasks",
     .unit = BENCH_PER_SECOND,
     .contenders = map,
     .targets = map_one,
     .shape = &(struct pool_shape){false},
     .first_count = 1,
     .batch = POOL_ITEMS},
    {.name = "map, in chunks",
     .what = "tasks",
     .unit = BENCH_PER_SECOND,
     .contenders = map,
     .targets = map_chunks,
     .shape = &(struct pool_shape){true},
     .first_count = 1,
     .batch = POOL_ITEMS},
    {.name = "submit and get, 1000 outstanding",
     .what = "tasks",
     .unit = BENCH_PER_SECOND,
     .contenders = window,
     .targets = window_target},
    {.name = "stream, 64-byte results in any order",
     .what = "tasks",
     .unit = BENCH_PER_SECOND,
     .contenders = stream,
     .targets = stream_target},
    {.name = "open and close a pool of 2",
     .what = "pools",
     .unit = BENCH_MICROSECONDS,
     .contenders = open,
     .targets = open_target,
     .first_count = 3},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "pool", cases, sizeof cases / sizeof *cases);
}
