/* barrier.c: processes that meet at a barrier, 2 and 8 of them.
 *
 * The limit is a count and a round on a futex, at which everybody waits for ever when one dies. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meet.h"

/* ---- the limit -------------------------------------------------------------------------------- */

struct counted {
    _Atomic uint32_t arrived;
    _Atomic uint32_t round;
};

static int counted_work(int index, void *context)
{
    (void)index;
    struct meet_arena *arena = context;
    struct counted *counted = (struct counted *)arena->place;
    for (long i = 0; i < arena->rounds; i++) {
        uint32_t round = atomic_load(&counted->round);
        if (atomic_fetch_add(&counted->arrived, 1) + 1 == (uint32_t)arena->processes) {
            atomic_store(&counted->arrived, 0);
            atomic_fetch_add(&counted->round, 1);
            syscall(SYS_futex, &counted->round, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
            continue;
        }
        while (atomic_load(&counted->round) == round)
            syscall(SYS_futex, &counted->round, FUTEX_WAIT, round, NULL, NULL, 0);
    }
    arena->passed += arena->rounds;
    return 0;
}

static double counted_run(const struct bench_case *test, long count)
{
    return meet_measure(test, count, bench_shared(sizeof(struct meet_arena)), NULL, counted_work);
}

/* ---- peers ------------------------------------------------------------------------------------ */

static int pthread_work(int index, void *context)
{
    (void)index;
    struct meet_arena *arena = context;
    for (long i = 0; i < arena->rounds; i++) {
        int rc = pthread_barrier_wait((pthread_barrier_t *)arena->place);
        if (rc != 0 && rc != PTHREAD_BARRIER_SERIAL_THREAD) return 1;
    }
    arena->passed += arena->rounds;
    return 0;
}

static double pthread_run(const struct bench_case *test, long count)
{
    const struct meet_shape *shape = test->shape;
    struct meet_arena *arena = bench_shared(sizeof *arena);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes,
                                   shape->threads ? PTHREAD_PROCESS_PRIVATE : PTHREAD_PROCESS_SHARED);
    int rc = pthread_barrier_init((pthread_barrier_t *)arena->place, &attributes, (unsigned)shape->processes);
    if (rc) return bench_fail("pthread_barrier_init: %s", strerror(rc));
    return meet_measure(test, count, arena, NULL, pthread_work);
}

static double python_run(const struct bench_case *test, long count)
{
    const struct meet_shape *shape = test->shape;
    char processes[16], number[24];
    snprintf(processes, sizeof processes, "%d", shape->processes);
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), "barrier",
                                             processes, number, NULL});
}

/* ---- the cases -------------------------------------------------------------------------------- */

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "count and round on a futex", counted_run, NULL},
    {BENCH_KIN, "kin_barrier", bench_kin_barrier, "built without libkin"},
    {BENCH_PEER, "pthread barrier", pthread_run, NULL},
    {BENCH_PEER, "Python multiprocessing Barrier", python_run, "python3"},
    {0},
};

/* Python's is left out between threads: it has another one for them. */
static const struct bench_contender for_threads[] = {
    {BENCH_LIMIT, "count and round on a futex", counted_run, NULL},
    {BENCH_KIN, "kin_barrier", bench_kin_barrier, "built without libkin"},
    {BENCH_PEER, "pthread barrier", pthread_run, NULL},
    {0},
};

static const struct bench_target targets[] = {{"pthread barrier", 1.0}, {0}};
static const struct bench_target between_threads[] = {{"pthread barrier", 0.9}, {0}};

#define BARRIER_CASE(label, count, of_threads, whose, wanted) \
    { \
        .name = label, .what = "rounds", .unit = BENCH_PER_SECOND, .contenders = whose, .targets = wanted, \
        .shape = &(struct meet_shape){count, of_threads}, .first_count = 500 \
    }

static const struct bench_case cases[] = {
    BARRIER_CASE("2 processes", 2, false, contenders, targets),
    BARRIER_CASE("8 processes", 8, false, contenders, targets),
    BARRIER_CASE("64 processes", 64, false, contenders, targets),
    BARRIER_CASE("2 threads", 2, true, for_threads, between_threads),
    BARRIER_CASE("8 threads", 8, true, for_threads, between_threads),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "barrier", cases, sizeof cases / sizeof *cases);
}
