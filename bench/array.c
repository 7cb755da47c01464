/* array.c: a number that processes count up, under a lock and by atomic addition, and the sum of a
 * large array: by kin, by plain C and by Python. */
#include "array.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct array_arena *make_arena(void)
{
    struct array_arena *arena = bench_shared(sizeof *arena);
    arena->cell = bench_shared(64);
    return arena;
}

/* ---- plain C ------------------------------------------------------------------------------------ */

static int mutex_work(int index, void *context)
{
    (void)index;
    struct array_arena *arena = context;
    pthread_mutex_t *mutex = (pthread_mutex_t *)arena->lock;
    volatile long *cell = arena->cell;
    for (long i = 0; i < arena->per_process; i++) {
        if (pthread_mutex_lock(mutex)) return 1;
        (*cell)++;
        pthread_mutex_unlock(mutex);
    }
    return 0;
}

static double mutex_run(const struct bench_case *test, long count)
{
    struct array_arena *arena = make_arena();
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    int rc = pthread_mutex_init((pthread_mutex_t *)arena->lock, &attributes);
    if (rc) return bench_fail("pthread_mutex_init: %s", strerror(rc));
    return array_measure(test, count, arena, mutex_work);
}

static int atomic_work(int index, void *context)
{
    (void)index;
    struct array_arena *arena = context;
    _Atomic long *cell = (_Atomic long *)arena->cell;
    for (long i = 0; i < arena->per_process; i++) atomic_fetch_add(cell, 1);
    return 0;
}

static double atomic_run(const struct bench_case *test, long count)
{
    return array_measure(test, count, make_arena(), atomic_work);
}

/* By the plain loop, or, for what memory can do, by one that is as fast as reading goes. */
static double plain_sum_run(const struct bench_case *test, long count, bool fast)
{
    const struct array_shape *shape = test->shape;
    size_t size = (size_t)shape->items * sizeof(long);
    long *items = malloc(size), sum = 0;
    if (!items) return bench_fail("no memory");
    array_number(items, shape->items);
    double begin = bench_now();
    for (long i = 0; i < count; i++)
        sum += fast ? (long)bench_sum(items, size) : array_sum(items, shape->items);
    double seconds = bench_now() - begin;
    if (sum != count * (shape->items * (shape->items - 1) / 2)) return bench_fail("the sum is wrong");
    free(items);
    return seconds;
}

static double bandwidth_run(const struct bench_case *test, long count)
{
    return plain_sum_run(test, count, true);
}

static double sum_run(const struct bench_case *test, long count)
{
    return plain_sum_run(test, count, false);
}

static double python_run(const struct bench_case *test, long count)
{
    const struct array_shape *shape = test->shape;
    char processes[16], number[24], items[24];
    snprintf(processes, sizeof processes, "%d", shape->processes);
    snprintf(number, sizeof number, "%ld", count);
    snprintf(items, sizeof items, "%ld", shape->items);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), "array", processes,
                                             items, number, NULL});
}

/* ---- the cases ---------------------------------------------------------------------------------- */

static const struct bench_contender locked[] = {
    {BENCH_PEER, "C, pthread mutex", mutex_run, NULL},
    {BENCH_KIN, "kin_cell under its lock", bench_kin_array_locked, "built without libkin"},
    {BENCH_PEER, "Python Value under its lock", python_run, "python3"},
    {0},
};

static const struct bench_contender added[] = {
    {BENCH_LIMIT, "C, atomic add", atomic_run, NULL},
    {BENCH_KIN, "kin_cell_data, atomic add", bench_kin_array_pointer, "built without libkin"},
    {BENCH_KIN, "kin_cell_add", bench_kin_array_added, "built without libkin"},
    {0},
};

static const struct bench_contender summed[] = {
    {BENCH_LIMIT, "memory, read as fast as it goes", bandwidth_run, NULL},
    {BENCH_LIMIT, "C, an array of malloc's", sum_run, NULL},
    {BENCH_KIN, "kin_array_data", bench_kin_array_summed, "built without libkin"},
    {BENCH_KIN, "kin_array_data, huge pages", bench_kin_array_huge, "built without libkin"},
    {BENCH_PEER, "Python Array", python_run, "python3"},
    {0},
};

static const struct bench_target than_mutex[] = {{"C, pthread mutex", 1.0}, {0}};
static const struct bench_target nearly_mutex[] = {{"C, pthread mutex", 0.9}, {0}};
static const struct bench_target than_atomic[] = {{"C, atomic add", 0.95}, {0}};
static const struct bench_target than_plain[] = {{"C, an array of malloc's", 0.95}, {0}};

#define CELL_CASE(label, whose, wanted, count) \
    { \
        .name = label, .what = "increments", .unit = BENCH_PER_SECOND, .contenders = whose, \
        .targets = wanted, .shape = &(struct array_shape){count, 0}, .first_count = 20000 \
    }
#define SUM_CASE(label, count) \
    { \
        .name = label, .what = "items summed", .unit = BENCH_PER_SECOND, .contenders = summed, \
        .targets = than_plain, .shape = &(struct array_shape){1, count}, .first_count = 1, .batch = count \
    }

static const struct bench_case cases[] = {
    CELL_CASE("under a lock, alone", locked, nearly_mutex, 1),
    CELL_CASE("under a lock, 2 processes", locked, than_mutex, 2),
    CELL_CASE("under a lock, 8 processes", locked, than_mutex, 8),
    CELL_CASE("under a lock, 64 processes", locked, than_mutex, 64),
    CELL_CASE("atomic, alone", added, than_atomic, 1),
    CELL_CASE("atomic, 2 processes", added, than_atomic, 2),
    CELL_CASE("atomic, 8 processes", added, than_atomic, 8),
    SUM_CASE("sum of 10,000", 10000),
    SUM_CASE("sum of 8,000,000", 8000000),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "array", cases, sizeof cases / sizeof *cases);
}
