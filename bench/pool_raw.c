/* pool_raw.c: the limits of the pool benchmark: forked workers that share an atomic counter, or
 * raw rings of tasks and results.
 *
 * Member 0 of the team gives out the work; the others are the workers and end when told to. */
#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"
#include "raw_ring.h"

/* Touches the arrays, so that no page is touched for the first time while the clock runs. */
static void touch(const int *in, long *out)
{
    volatile long sink = 0;
    for (long i = 0; i < POOL_ITEMS; i++) {
        sink = sink + in[i];
        out[i] = -1;
    }
}

/* ---- one atomic counter ---------------------------------------------------------------------- */

struct counter_pool {
    _Atomic long next __attribute__((aligned(RAW_LINE)));
    _Atomic uint32_t busy __attribute__((aligned(RAW_LINE)));
    _Atomic uint32_t round __attribute__((aligned(RAW_LINE))); /* a new one: there is work */
    long rounds, chunk;
    int *in;
    long *out;
};

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    for (unsigned spin = 0; atomic_load_explicit(word, memory_order_acquire) == value; spin++) {
        if (spin < RAW_SPINS)
            raw_pause();
        else
            syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
    }
}

static void counter_master(struct counter_pool *pool)
{
    for (long i = 0; i < pool->rounds; i++) {
        atomic_store(&pool->next, 0);
        atomic_store(&pool->busy, POOL_WORKERS);
        atomic_fetch_add(&pool->round, 1);
        syscall(SYS_futex, &pool->round, FUTEX_WAKE, POOL_WORKERS, NULL, NULL, 0);
        for (uint32_t busy; (busy = atomic_load(&pool->busy)) != 0;) wait_while(&pool->busy, busy);
    }
}

static void counter_worker(struct counter_pool *pool)
{
    for (uint32_t round = 0; round < (uint32_t)pool->rounds; round++) {
        wait_while(&pool->round, round);
        for (;;) {
            long begin = atomic_fetch_add_explicit(&pool->next, pool->chunk, memory_order_relaxed);
            if (begin >= POOL_ITEMS) break;
            long end = begin + pool->chunk < POOL_ITEMS ? begin + pool->chunk : POOL_ITEMS;
            for (long i = begin; i < end; i++) pool->out[i] = pool_square(pool->in[i]);
        }
        if (atomic_fetch_sub(&pool->busy, 1) == 1)
            syscall(SYS_futex, &pool->busy, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

static int counter_prepare(int index, void *context)
{
    struct counter_pool *pool = context;
    (void)index;
    touch(pool->in, pool->out);
    return 0;
}

static int counter_work(int index, void *pool)
{
    if (index == 0)
        counter_master(pool);
    else
        counter_worker(pool);
    return 0;
}

double pool_counter(const struct bench_case *test, long count)
{
    const struct pool_shape *shape = test->shape;
    struct counter_pool *pool = bench_shared(sizeof *pool);
    pool->rounds = count;
    pool->chunk = shape->chunks ? POOL_CHUNK : 1;
    pool->in = bench_shared(POOL_ITEMS * sizeof *pool->in);
    pool->out = bench_shared(POOL_ITEMS * sizeof *pool->out);
    pool_numbers(pool->in);
    struct bench_team team = {
        .processes = 1 + POOL_WORKERS, .prepare = counter_prepare, .work = counter_work, .context = pool};
    double seconds = bench_together(&team);
    return seconds > 0 && pool_check(pool->out) ? -1 : seconds;
}

/* ---- rings of tasks and results -------------------------------------------------------------- */

enum { RING_SLOTS = 1024 };

struct task {
    long begin; /* negative: no more */
    long end;
};

struct outcome {
    long index;
    struct pool_record record;
};

struct ring_pool {
    struct raw_mpmc *tasks, *outcomes;
    long count, chunk;
    size_t result_size;
    int *in;
    long *out;
    long sum;
};

static void ring_stop(struct ring_pool *pool)
{
    struct task none = {-1, -1};
    for (int i = 0; i < POOL_WORKERS; i++) raw_mpmc_put(pool->tasks, &none, sizeof none);
}

/* Map: the outcome of a task is its number, the squares are in the shared array. */
static void map_master(struct ring_pool *pool)
{
    long done;
    for (long round = 0; round < pool->count; round++) {
        long sent = 0;
        long finished = 0;
        while (finished < POOL_ITEMS) {
            while (sent < POOL_ITEMS && sent - finished < RING_SLOTS / 2 * pool->chunk) {
                struct task task = {sent, sent + pool->chunk < POOL_ITEMS ? sent + pool->chunk : POOL_ITEMS};
                raw_mpmc_put(pool->tasks, &task, sizeof task);
                sent = task.end;
            }
            raw_mpmc_get(pool->outcomes, &done, sizeof done);
            finished += done;
            while (raw_mpmc_try_get(pool->outcomes, &done, sizeof done)) finished += done;
        }
    }
    ring_stop(pool);
}

static void map_worker(struct ring_pool *pool)
{
    for (;;) {
        struct task task;
        raw_mpmc_get(pool->tasks, &task, sizeof task);
        if (task.begin < 0) return;
        for (long i = task.begin; i < task.end; i++) pool->out[i] = pool_square(pool->in[i]);
        long done = task.end - task.begin;
        raw_mpmc_put(pool->outcomes, &done, sizeof done);
    }
}

static int map_prepare(int index, void *context)
{
    struct ring_pool *pool = context;
    (void)index;
    touch(pool->in, pool->out);
    return 0;
}

static int map_work(int index, void *pool)
{
    if (index == 0)
        map_master(pool);
    else
        map_worker(pool);
    return 0;
}

double pool_ring(const struct bench_case *test, long count)
{
    const struct pool_shape *shape = test->shape;
    struct ring_pool *pool = bench_shared(sizeof *pool);
    pool->tasks = raw_mpmc_new(RING_SLOTS, sizeof(struct task));
    pool->outcomes = raw_mpmc_new(RING_SLOTS, sizeof(long));
    pool->count = count;
    pool->chunk = shape->chunks ? POOL_CHUNK : 1;
    pool->in = bench_shared(POOL_ITEMS * sizeof *pool->in);
    pool->out = bench_shared(POOL_ITEMS * sizeof *pool->out);
    pool_numbers(pool->in);
    struct bench_team team = {
        .processes = 1 + POOL_WORKERS, .prepare = map_prepare, .work = map_work, .context = pool};
    double seconds = bench_together(&team);
    return seconds > 0 && pool_check(pool->out) ? -1 : seconds;
}

/* Window and stream: a task carries its number, an outcome the square or the record. */
static void window_master(struct ring_pool *pool)
{
    struct outcome outcome;
    long sum = 0;
    long sent = 0;
    for (long got = 0; got < pool->count; got++) {
        for (; sent < pool->count && sent - got < POOL_WINDOW; sent++) {
            struct task task = {sent, pool_window_number(sent)};
            raw_mpmc_put(pool->tasks, &task, sizeof task);
        }
        raw_mpmc_get(pool->outcomes, &outcome, pool->result_size);
        sum += outcome.record.square;
    }
    pool->sum = sum;
    ring_stop(pool);
}

static void window_worker(struct ring_pool *pool)
{
    bool records = pool->result_size == sizeof(struct outcome);
    for (;;) {
        struct task task;
        raw_mpmc_get(pool->tasks, &task, sizeof task);
        if (task.begin < 0) return;
        struct outcome outcome = {.index = task.begin};
        if (records)
            pool_fill_record(&outcome.record, (int)task.end);
        else
            outcome.record.square = pool_square((int)task.end);
        raw_mpmc_put(pool->outcomes, &outcome, pool->result_size);
    }
}

static int window_work(int index, void *pool)
{
    if (index == 0)
        window_master(pool);
    else
        window_worker(pool);
    return 0;
}

static double window(long count, size_t result_size)
{
    struct ring_pool *pool = bench_shared(sizeof *pool);
    pool->tasks = raw_mpmc_new(RING_SLOTS, sizeof(struct task));
    pool->outcomes = raw_mpmc_new(RING_SLOTS, result_size);
    pool->count = count;
    pool->result_size = result_size;
    struct bench_team team = {.processes = 1 + POOL_WORKERS, .work = window_work, .context = pool};
    double seconds = bench_together(&team);
    if (seconds > 0 && pool->sum != pool_window_sum(count))
        return bench_fail("the sum of the results is wrong");
    return seconds;
}

double pool_ring_window(const struct bench_case *test, long count)
{
    (void)test;
    return window(count, offsetof(struct outcome, record) + sizeof(long));
}

double pool_ring_stream(const struct bench_case *test, long count)
{
    (void)test;
    return window(count, sizeof(struct outcome));
}

/* Large: the master copies each input into a buffer that it shares with the workers, and each result out of
 * one. */
struct large_pool {
    struct raw_mpmc *tasks, *outcomes; /* numbers; negative: no more */
    long count;
    unsigned char *in, *out;
    bool wrong;
};

static unsigned char *buffer_of(unsigned char *buffers, long number)
{
    return buffers + (size_t)(number % POOL_LARGE_WINDOW) * POOL_LARGE;
}

static void large_master(struct large_pool *pool)
{
    static unsigned char input[POOL_LARGE], result[POOL_LARGE];
    bool there[POOL_LARGE_WINDOW] = {false};
    long number, none = -1;
    for (long sent = 0, got = 0; got < pool->count; got++) {
        for (; sent < pool->count && sent - got < POOL_LARGE_WINDOW; sent++) {
            memcpy(input, &sent, sizeof sent);
            memcpy(buffer_of(pool->in, sent), input, POOL_LARGE);
            raw_mpmc_put(pool->tasks, &sent, sizeof sent);
        }
        while (!there[got % POOL_LARGE_WINDOW]) {
            raw_mpmc_get(pool->outcomes, &number, sizeof number);
            there[number % POOL_LARGE_WINDOW] = true;
        }
        there[got % POOL_LARGE_WINDOW] = false;
        memcpy(result, buffer_of(pool->out, got), POOL_LARGE);
        memcpy(&number, result, sizeof number);
        pool->wrong = pool->wrong || number != got;
    }
    for (int i = 0; i < POOL_WORKERS; i++) raw_mpmc_put(pool->tasks, &none, sizeof none);
}

static int large_work(int index, void *context)
{
    struct large_pool *pool = context;
    long number = 0;
    if (index == 0) large_master(pool);
    while (index > 0 && number >= 0) {
        raw_mpmc_get(pool->tasks, &number, sizeof number);
        if (number < 0) break;
        memcpy(buffer_of(pool->out, number), buffer_of(pool->in, number), POOL_LARGE);
        raw_mpmc_put(pool->outcomes, &number, sizeof number);
    }
    return 0;
}

double pool_ring_large(const struct bench_case *test, long count)
{
    (void)test;
    struct large_pool *pool = bench_shared(sizeof *pool);
    pool->tasks = raw_mpmc_new(RING_SLOTS, sizeof(long));
    pool->outcomes = raw_mpmc_new(RING_SLOTS, sizeof(long));
    pool->count = count;
    pool->in = bench_shared((size_t)POOL_LARGE_WINDOW * POOL_LARGE);
    pool->out = bench_shared((size_t)POOL_LARGE_WINDOW * POOL_LARGE);
    struct bench_team team = {.processes = 1 + POOL_WORKERS, .work = large_work, .context = pool};
    double seconds = bench_together(&team);
    return pool->wrong ? bench_fail("a result is wrong") : seconds;
}

/* ---- the measure for opening a pool ---------------------------------------------------------- */

double pool_fork(const struct bench_case *test, long count)
{
    (void)test;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            return bench_fail("fork or waitpid: %s", strerror(errno));
    }
    return bench_now() - begin;
}
