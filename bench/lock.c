/* lock.c: lock, increment, unlock: alone, by 2, 8 and 64 processes, and between threads.
 *
 * The limit is a lock of three states on a futex, which dies with its owner.  Every contender
 * protects the same counter, whose end value is checked. */
#include "lock.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the limit: 0 free, 1 held, 2 held and waited for ---------------------------------------- */

static inline void futex_lock(_Atomic uint32_t *word)
{
    uint32_t seen = 0;
    if (atomic_compare_exchange_strong_explicit(word, &seen, 1, memory_order_acquire, memory_order_relaxed))
        return;
    while (atomic_exchange_explicit(word, 2, memory_order_acquire) != 0)
        syscall(SYS_futex, word, FUTEX_WAIT, 2, NULL, NULL, 0);
}

static inline void futex_unlock(_Atomic uint32_t *word)
{
    if (atomic_exchange_explicit(word, 0, memory_order_release) == 2)
        syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int futex_work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    _Atomic uint32_t *word = (_Atomic uint32_t *)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        futex_lock(word);
        arena->counter++;
        futex_unlock(word);
    }
    return 0;
}

static double futex_run(const struct bench_case *test, long count)
{
    return lock_measure(test, count, bench_shared(sizeof(struct lock_arena)), futex_work);
}

/* ---- peers of libc --------------------------------------------------------------------------- */

static int mutex_work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    pthread_mutex_t *mutex = (pthread_mutex_t *)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        if (pthread_mutex_lock(mutex)) return 1;
        arena->counter++;
        pthread_mutex_unlock(mutex);
    }
    return 0;
}

static double mutex_run(const struct bench_case *test, long count, int robustness)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, lock_sharing(test));
    pthread_mutexattr_setrobust(&attributes, robustness);
    int rc = pthread_mutex_init((pthread_mutex_t *)arena->lock, &attributes);
    if (rc) return bench_fail("pthread_mutex_init: %s", strerror(rc));
    return lock_measure(test, count, arena, mutex_work);
}

static double plain_mutex_run(const struct bench_case *test, long count)
{
    return mutex_run(test, count, PTHREAD_MUTEX_STALLED);
}

static double robust_mutex_run(const struct bench_case *test, long count)
{
    return mutex_run(test, count, PTHREAD_MUTEX_ROBUST);
}

static double python_run(const struct bench_case *test, long count)
{
    return lock_python(test, count, "lock");
}

/* ---- the cases ------------------------------------------------------------------------------- */

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "three-state futex lock", futex_run, NULL},
    {BENCH_PEER, "pthread mutex", plain_mutex_run, NULL},
    {BENCH_PEER, "pthread robust mutex", robust_mutex_run, NULL},
    {BENCH_KIN, "kin_lock", bench_kin_lock, "built without libkin"},
    {BENCH_PEER, "sem_t", lock_semaphore, NULL},
    {BENCH_PEER, "Boost.Interprocess mutex", peer_boost_lock, "libboost-dev"},
    {BENCH_PEER, "nsync, threads", peer_nsync_lock, "libnsync-dev"},
    {BENCH_PEER, "Python multiprocessing Lock", python_run, "python3"},
    {0},
};

static const struct bench_contender for_threads[] = {
    {BENCH_LIMIT, "three-state futex lock", futex_run, NULL},
    {BENCH_PEER, "pthread mutex", plain_mutex_run, NULL},
    {BENCH_PEER, "pthread robust mutex", robust_mutex_run, NULL},
    {BENCH_KIN, "kin_lock", bench_kin_lock, "built without libkin"},
    {BENCH_PEER, "sem_t", lock_semaphore, NULL},
    {BENCH_PEER, "nsync", peer_nsync_lock, "libnsync-dev"},
    {0},
};

static const struct bench_target alone[] = {{"pthread robust mutex", 1.1}, {0}};
static const struct bench_target contended[] = {{"pthread mutex", 1.0}, {0}};
static const struct bench_target between_threads[] = {{"pthread mutex", 0.9}, {0}};

#define LOCK_CASE(label, count, of_threads, whose, wanted) \
    { \
        .name = label, .what = "lock, increment, unlock", .unit = BENCH_PER_SECOND, .contenders = whose, \
        .targets = wanted, .shape = &(struct lock_shape){count, of_threads}, .first_count = 20000 \
    }

static const struct bench_case cases[] = {
    LOCK_CASE("alone", 1, false, contenders, alone),
    LOCK_CASE("2 processes", 2, false, contenders, contended),
    LOCK_CASE("8 processes", 8, false, contenders, contended),
    LOCK_CASE("64 processes", 64, false, contenders, contended),
    LOCK_CASE("one thread of two", 1, true, for_threads, between_threads),
    LOCK_CASE("2 threads", 2, true, for_threads, between_threads),
    LOCK_CASE("8 threads", 8, true, for_threads, between_threads),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "lock", cases, sizeof cases / sizeof *cases);
}
