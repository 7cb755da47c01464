/* peer_nsync.c: nsync's mutex, and a semaphore made of it, which are for threads of one process. */
#include <nsync.h>

#include "lock.h"

static int lock_work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    nsync_mu *mutex = (nsync_mu *)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        nsync_mu_lock(mutex);
        arena->counter++;
        nsync_mu_unlock(mutex);
    }
    return 0;
}

/* nsync offers no semaphore: this is what its users write. */
struct counted {
    nsync_mu mutex;
    int free;
};

static int any_free(const void *context)
{
    return ((const struct counted *)context)->free > 0;
}

static int semaphore_work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    struct counted *counted = (struct counted *)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        nsync_mu_lock(&counted->mutex);
        nsync_mu_wait(&counted->mutex, any_free, counted, NULL);
        counted->free--;
        nsync_mu_unlock(&counted->mutex);
        arena->counter++;
        nsync_mu_lock(&counted->mutex);
        counted->free++;
        nsync_mu_unlock(&counted->mutex);
    }
    return 0;
}

double peer_nsync_lock(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    nsync_mu_init((nsync_mu *)arena->lock);
    arena->threads = true;
    return lock_measure(test, count, arena, lock_work);
}

double peer_nsync_semaphore(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    struct counted *counted = (struct counted *)arena->lock;
    nsync_mu_init(&counted->mutex);
    counted->free = 1;
    arena->threads = true;
    return lock_measure(test, count, arena, semaphore_work);
}
