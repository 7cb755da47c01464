/* semaphore_kin.c: kin's rows of the semaphore benchmark. */
#include <kin.h>

#include "lock.h"

static int work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    kin_semaphore *semaphore = *(kin_semaphore **)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        if (kin_semaphore_acquire(semaphore, KIN_FOREVER) < 0) return 1;
        arena->counter++;
        kin_semaphore_release(semaphore);
    }
    return 0;
}

static double run(const struct bench_case *test, long count, bool plain)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    int rc = kin_semaphore_open((kin_semaphore **)arena->lock, 1, &(kin_semaphore_options){.plain = plain});
    if (rc < 0) return bench_fail("kin_semaphore_open: %s", kin_strerror(rc));
    return lock_measure(test, count, arena, work);
}

double bench_kin_semaphore(const struct bench_case *test, long count)
{
    return run(test, count, false);
}

double bench_kin_semaphore_plain(const struct bench_case *test, long count)
{
    return run(test, count, true);
}
