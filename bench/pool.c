/* pool.c: tasks per second of a pool of 2 workers.
 *
 * Map: a million integers are squared, handed out one by one or in chunks.  Window: tasks are
 * submitted one at a time and their results fetched in order, with 1000 outstanding.  Stream:
 * the same with results of 64 bytes in any order.  Large: with inputs and results of 1 MiB, and 8 outstanding.
 * The last cases open and close a pool: with nothing in between, where the workers need not even be there, and
 * with one task on each. */
#include "pool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* The packages of the system are for its own Python, which need not be the one in PATH. */
#define SYSTEM_PYTHON   "/usr/bin/python3"
#define SYSTEM_PACKAGES "/usr/lib/python3/dist-packages/"

/* `words`: what is asked of peer_python.py, up to 4, before the count. */
static double python(const char *const words[], long count)
{
    char number[24];
    snprintf(number, sizeof number, "%ld", count);
    const char *argv[8] = {"python3", bench_beside(0, "peer_python.py")};
    int length = 2;
    for (; *words; words++) argv[length++] = *words;
    argv[length] = number;
    return bench_asked(argv);
}
#define PYTHON(count, ...) python((const char *const[]){__VA_ARGS__, NULL}, count)

static double joblib(const char *what, long count)
{
    char number[24];
    if (access(SYSTEM_PACKAGES "joblib", F_OK)) return bench_missing();
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){SYSTEM_PYTHON, bench_beside(0, "peer_python.py"), "joblib", what,
                                             number, NULL});
}

static double mpi4py(const char *what, long count)
{
    char number[24];
    if (access(SYSTEM_PACKAGES "mpi4py", F_OK)) return bench_missing();
    snprintf(number, sizeof number, "%ld", count);
    const char *const argv[] = {BENCH_MPIRUN("none", "3"),
                                SYSTEM_PYTHON,
                                "-m",
                                "mpi4py.futures",
                                bench_beside(0, "peer_python.py"),
                                "executor",
                                "mpi",
                                what,
                                number,
                                NULL};
    return bench_asked(argv);
}

/* Those of Python would take a minute for all items: they get a part of them, and the seconds are scaled. */
enum { ONE_BY_ONE_PART = 50, SLOW_ONE_BY_ONE_PART = 250, SLOW_CHUNKS_PART = 5 };

static bool in_chunks(const struct bench_case *test)
{
    return ((const struct pool_shape *)test->shape)->chunks;
}

static double python_map_run(const struct bench_case *test, long count)
{
    if (in_chunks(test)) return PYTHON(count * POOL_ITEMS, "pool", "map");
    return PYTHON(count * (POOL_ITEMS / ONE_BY_ONE_PART), "pool", "map1") * ONE_BY_ONE_PART;
}

static double python_unordered_run(const struct bench_case *test, long count)
{
    if (in_chunks(test)) return PYTHON(count * POOL_ITEMS, "pool", "unordered");
    return PYTHON(count * (POOL_ITEMS / ONE_BY_ONE_PART), "pool", "unordered1") * ONE_BY_ONE_PART;
}

static double python_executor_map_run(const struct bench_case *test, long count)
{
    if (in_chunks(test)) return PYTHON(count * POOL_ITEMS, "executor", "processes", "map");
    long part = SLOW_ONE_BY_ONE_PART;
    return PYTHON(count * (POOL_ITEMS / part), "executor", "processes", "map1") * (double)part;
}

static double joblib_run(const struct bench_case *test, long count)
{
    long part = in_chunks(test) ? SLOW_CHUNKS_PART : SLOW_ONE_BY_ONE_PART;
    return joblib(in_chunks(test) ? "map" : "map1", count * (POOL_ITEMS / part)) * (double)part;
}

static double mpi4py_map_run(const struct bench_case *test, long count)
{
    if (in_chunks(test)) return mpi4py("map", count * POOL_ITEMS);
    long part = SLOW_ONE_BY_ONE_PART;
    return mpi4py("map1", count * (POOL_ITEMS / part)) * (double)part;
}

static double python_window_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "pool", "window");
}

static double python_executor_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "executor", "processes", "window");
}

static double python_threads_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "pool", "threads");
}

static double python_thread_executor_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "executor", "threads", "window");
}

static double mpi4py_window_run(const struct bench_case *test, long count)
{
    (void)test;
    return mpi4py("window", count);
}

static double python_large_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "pool", "large");
}

static double python_executor_large_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "executor", "processes", "large");
}

static double mpi4py_large_run(const struct bench_case *test, long count)
{
    (void)test;
    return mpi4py("large", count);
}

static double python_stream_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "pool", "stream");
}

static double python_open_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "pool", "open");
}

static double python_open_used_run(const struct bench_case *test, long count)
{
    (void)test;
    return PYTHON(count, "pool", "used");
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
    {BENCH_KIN, "kin_pool_map, KIN_MAP_PURE", bench_kin_map_pure, ABSENT},
    {BENCH_KIN, "kin_pool_map, threads", bench_kin_map_threads, ABSENT},
    {BENCH_PEER, "oneTBB parallel_for, threads", peer_tbb_map, "libtbb-dev"},
    {BENCH_PEER, "Python Pool.map", python_map_run, "python3"},
    {BENCH_PEER, "Python Pool.imap_unordered", python_unordered_run, "python3"},
    {BENCH_PEER, "Python ProcessPoolExecutor.map", python_executor_map_run, "python3"},
    {BENCH_PEER, "joblib Parallel", joblib_run, "python3-joblib"},
    {BENCH_PEER, "mpi4py MPIPoolExecutor.map", mpi4py_map_run, "python3-mpi4py openmpi-bin"},
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
    {BENCH_PEER, "mpi4py MPIPoolExecutor.submit", mpi4py_window_run, "python3-mpi4py openmpi-bin"},
    {0},
};

static const struct bench_contender large[] = {
    {BENCH_LIMIT, "forked workers, copies by shared memory", pool_ring_large, NULL},
    {BENCH_KIN, "kin_pool_submit, kin_result_view", bench_kin_large, ABSENT},
    {BENCH_KIN, "kin_pool_submit, kin_result_view, threads", bench_kin_large_threads, ABSENT},
    {BENCH_PEER, "Python Pool.apply_async", python_large_run, "python3"},
    {BENCH_PEER, "Python ProcessPoolExecutor.submit", python_executor_large_run, "python3"},
    {BENCH_PEER, "mpi4py MPIPoolExecutor.submit", mpi4py_large_run, "python3-mpi4py openmpi-bin"},
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

static const struct bench_contender open_used[] = {
    {BENCH_LIMIT, "one fork and wait", pool_fork, NULL},
    {BENCH_KIN, "kin_pool_open, 2 tasks, close, join, free", bench_kin_open_used, ABSENT},
    {BENCH_KIN, "kin_pool_open, 2 tasks, close, join, free, threads", bench_kin_open_used_threads, ABSENT},
    {BENCH_PEER, "Python Pool(2), 2 tasks, close, join", python_open_used_run, "python3"},
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
    {.name = "submit and get, 1 MiB there and back, 8 outstanding",
     .what = "tasks",
     .unit = BENCH_PER_SECOND,
     .contenders = large,
     .first_count = 16},
    {.name = "open and close a pool of 2",
     .what = "pools",
     .unit = BENCH_MICROSECONDS,
     .contenders = open,
     .targets = open_target,
     .first_count = 3},
    {.name = "open a pool of 2, one task on each worker, close",
     .what = "pools",
     .unit = BENCH_MICROSECONDS,
     .contenders = open_used,
     .first_count = 3},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "pool", cases, sizeof cases / sizeof *cases);
}
