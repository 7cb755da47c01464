/* rwlock_kin.c: kin's rows of the read-write lock benchmark. */
#include <kin.h>

#include "rwlock.h"

static inline kin_rwlock *lock_of(struct rwlock_arena *arena)
{
    return *(kin_rwlock **)arena->lock;
}

static int begin_read(struct rwlock_arena *arena)
{
    return kin_rwlock_acquire_read(lock_of(arena), KIN_FOREVER);
}

static int begin_write(struct rwlock_arena *arena)
{
    return kin_rwlock_acquire_write(lock_of(arena), KIN_FOREVER);
}

static int end(struct rwlock_arena *arena)
{
    return kin_rwlock_release(lock_of(arena));
}

static int work(int index, void *context)
{
    return rwlock_loop(context, index, begin_read, end, begin_write, end);
}

double bench_kin_rwlock(const struct bench_case *test, long count)
{
    struct rwlock_arena *arena = bench_shared(sizeof *arena);
    int rc = kin_rwlock_open((kin_rwlock **)arena->lock, NULL);
    if (rc < 0) return bench_fail("kin_rwlock_open: %s", kin_strerror(rc));
    return rwlock_measure(test, count, arena, work);
}
