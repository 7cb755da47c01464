/* rwlock.c: a read-write lock around eight words: readers alone and together, and with writers.
 *
 * The limit counts readers in one word and sets a bit for a writer, and spins; it dies with whoever
 * holds it. */
#include "rwlock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

/* ---- the limit ------------------------------------------------------------------------------ */

#define WRITES (1 << 30)

static int spin_read(struct rwlock_arena *arena)
{
    _Atomic int *word = (_Atomic int *)arena->lock;
    while ((atomic_fetch_add_explicit(word, 1, memory_order_acquire) & WRITES) != 0) {
        atomic_fetch_sub(word, 1);
        sched_yield();
    }
    return 0;
}

static int spin_end_read(struct rwlock_arena *arena)
{
    atomic_fetch_sub_explicit((_Atomic int *)arena->lock, 1, memory_order_release);
    return 0;
}

static int spin_write(struct rwlock_arena *arena)
{
    int expected = 0;
    while (!atomic_compare_exchange_weak((_Atomic int *)arena->lock, &expected, WRITES)) {
        if (expected != 0) sched_yield();
        expected = 0;
    }
    return 0;
}

static int spin_end_write(struct rwlock_arena *arena)
{
    atomic_fetch_sub_explicit((_Atomic int *)arena->lock, WRITES, memory_order_release);
    return 0;
}

static int spin_work(int index, void *context)
{
    return rwlock_loop(context, index, spin_read, spin_end_read, spin_write, spin_end_write);
}

static double spin_run(const struct bench_case *test, long count)
{
    return rwlock_measure(test, count, bench_shared(sizeof(struct rwlock_arena)), spin_work);
}

/* ---- libc ------------------------------------------------------------------------------------ */

static int libc_read(struct rwlock_arena *arena)
{
    return pthread_rwlock_rdlock((pthread_rwlock_t *)arena->lock);
}

static int libc_write(struct rwlock_arena *arena)
{
    return pthread_rwlock_wrlock((pthread_rwlock_t *)arena->lock);
}

static int libc_end(struct rwlock_arena *arena)
{
    return pthread_rwlock_unlock((pthread_rwlock_t *)arena->lock);
}

static int libc_work(int index, void *context)
{
    return rwlock_loop(context, index, libc_read, libc_end, libc_write, libc_end);
}

static double libc_run(const struct bench_case *test, long count)
{
    struct rwlock_arena *arena = bench_shared(sizeof *arena);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    const struct rwlock_shape *shape = test->shape;
    pthread_rwlockattr_setpshared(&attributes,
                                  shape->threads ? PTHREAD_PROCESS_PRIVATE : PTHREAD_PROCESS_SHARED);
    int rc = pthread_rwlock_init((pthread_rwlock_t *)arena->lock, &attributes);
    if (rc != 0) return bench_fail("pthread_rwlock_init: %s", strerror(rc));
    return rwlock_measure(test, count, arena, libc_work);
}

/* ---- the cases ------------------------------------------------------------------------------- */

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "counter and bit, spinning", spin_run, NULL},
    {BENCH_PEER, "pthread rwlock", libc_run, NULL},
    {BENCH_KIN, "kin_rwlock", bench_kin_rwlock, "built without libkin"},
    {BENCH_PEER, "nsync, threads", peer_nsync_rwlock, "libnsync-dev"},
    {0},
};

static const struct bench_target targets[] = {{"pthread rwlock", 1.0}, {0}};
static const struct bench_target between_threads[] = {{"pthread rwlock", 0.9}, {0}};

#define RWLOCK_CASE(label, count, writes, of_threads, wanted) \
    { \
        .name = label, .what = "turns", .unit = BENCH_PER_SECOND, .contenders = contenders, \
        .targets = wanted, .shape = &(struct rwlock_shape){count, writes, of_threads}, .first_count = 20000, \
    }

static const struct bench_case cases[] = {
    RWLOCK_CASE("1 reader", 1, 0, false, targets),
    RWLOCK_CASE("1 writer", 1, 1, false, targets),
    RWLOCK_CASE("2 readers", 2, 0, false, targets),
    RWLOCK_CASE("8 readers", 8, 0, false, targets),
    RWLOCK_CASE("8 processes, a write in 100", 8, 100, false, targets),
    RWLOCK_CASE("64 processes, a write in 100", 64, 100, false, targets),
    RWLOCK_CASE("1 reading thread", 1, 0, true, between_threads),
    RWLOCK_CASE("1 writing thread", 1, 1, true, between_threads),
    RWLOCK_CASE("8 threads, a write in 100", 8, 100, true, between_threads),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "rwlock", cases, sizeof cases / sizeof *cases);
}
