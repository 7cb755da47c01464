/* lock_kin.c: kin's rows of the lock benchmark. */
#include <kin.h>

#include "lock.h"

static int work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    kin_lock *lock = *(kin_lock **)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        if (kin_lock_acquire(lock, KIN_FOREVER) < 0) return 1;
        arena->counter++;
        kin_lock_release(lock);
    }
    return 0;
}

double bench_kin_lock(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    int rc = kin_lock_open((kin_lock **)arena->lock);
    if (rc < 0) return bench_fail("kin_lock_open: %s", kin_strerror(rc));
    return lock_measure(test, count, arena, work);
}
