/* semaphore.c: acquire, increment, release of the one permit of a semaphore: alone, by 2, 8 and 64
 * processes, and between threads.
 *
 * The limit is a count on a futex that does not know who took what.  With one permit every contender
 * protects the same counter, whose end value is checked. */
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lock.h"

/* ---- the limit: a count, and how many sleep --------------------------------------------------- */

struct counted {
    _Atomic uint32_t free;
    _Atomic uint32_t sleepers;
};

static inline void counted_acquire(struct counted *counted)
{
    for (;;) {
        uint32_t seen = atomic_load_explicit(&counted->free, memory_order_relaxed);
        while (seen > 0)
            if (atomic_compare_exchange_weak(&counted->free, &seen, seen - 1)) return;
        atomic_fetch_add(&counted->sleepers, 1);
        syscall(SYS_futex, &counted->free, FUTEX_WAIT, 0, NULL, NULL, 0);
        atomic_fetch_sub(&counted->sleepers, 1);
    }
}

static inline void counted_release(struct counted *counted)
{
    atomic_fetch_add(&counted->free, 1);
    if (atomic_load(&counted->sleepers) > 0) syscall(SYS_futex, &counted->free, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int counted_work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    struct counted *counted = (struct counted *)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        counted_acquire(counted);
        arena->counter++;
        counted_release(counted);
    }
    return 0;
}

static double counted_run(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    atomic_store(&((struct counted *)arena->lock)->free, 1);
    return lock_measure(test, count, arena, counted_work);
}

/* ---- peers ------------------------------------------------------------------------------------- */

static double python_run(const struct bench_case *test, long count)
{
    return lock_python(test, count, "semaphore");
}

/* ---- the cases --------------------------------------------------------------------------------- */

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "futex count, owned by nobody", counted_run, NULL},
    {BENCH_KIN, "kin_semaphore", bench_kin_semaphore, "built without libkin"},
    {BENCH_KIN, "kin_semaphore, plain", bench_kin_semaphore_plain, "built without libkin"},
    {BENCH_PEER, "sem_t", lock_semaphore, NULL},
    {BENCH_PEER, "nsync mutex and condition, threads", peer_nsync_semaphore, "libnsync-dev"},
    {BENCH_PEER, "Python multiprocessing Semaphore", python_run, "python3"},
    {0},
};

static const struct bench_contender for_threads[] = {
    {BENCH_LIMIT, "futex count, owned by nobody", counted_run, NULL},
    {BENCH_KIN, "kin_semaphore", bench_kin_semaphore, "built without libkin"},
    {BENCH_KIN, "kin_semaphore, plain", bench_kin_semaphore_plain, "built without libkin"},
    {BENCH_PEER, "sem_t", lock_semaphore, NULL},
    {BENCH_PEER, "nsync mutex and condition", peer_nsync_semaphore, "libnsync-dev"},
    {0},
};

static const struct bench_target alone[] = {{"sem_t", 0.8}, {0}};
static const struct bench_target contended[] = {{"sem_t", 1.0}, {0}};
static const struct bench_target between_threads[] = {{"sem_t", 0.9}, {0}};

#define SEMAPHORE_CASE(label, count, of_threads, whose, wanted) \
    { \
        .name = label, .what = "acquire, increment, release", .unit = BENCH_PER_SECOND, .contenders = whose, \
        .targets = wanted, .shape = &(struct lock_shape){count, of_threads}, .first_count = 20000 \
    }

static const struct bench_case cases[] = {
    SEMAPHORE_CASE("alone", 1, false, contenders, alone),
    SEMAPHORE_CASE("2 processes", 2, false, contenders, contended),
    SEMAPHORE_CASE("8 processes", 8, false, contenders, contended),
    SEMAPHORE_CASE("64 processes", 64, false, contenders, contended),
    SEMAPHORE_CASE("one thread of two", 1, true, for_threads, between_threads),
    SEMAPHORE_CASE("2 threads", 2, true, for_threads, between_threads),
    SEMAPHORE_CASE("8 threads", 8, true, for_threads, between_threads),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "semaphore", cases, sizeof cases / sizeof *cases);
}
