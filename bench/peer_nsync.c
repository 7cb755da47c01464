/* peer_nsync.c: nsync's mutex, and a semaphore made of it, which are for threads of one process. */
#include <nsync.h>
#include <pthread.h>

#include "lock.h"

enum { MOST_THREADS = 16 };

struct crew {
    struct lock_arena *arena;
    pthread_barrier_t begin;
};

static void *lock_work(void *context)
{
    struct crew *crew = context;
    struct lock_arena *arena = crew->arena;
    nsync_mu *mutex = (nsync_mu *)arena->lock;
    pthread_barrier_wait(&crew->begin);
    for (long i = 0; i < arena->per_process; i++) {
        nsync_mu_lock(mutex);
        arena->counter++;
        nsync_mu_unlock(mutex);
    }
    return NULL;
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

static void *semaphore_work(void *context)
{
    struct crew *crew = context;
    struct lock_arena *arena = crew->arena;
    struct counted *counted = (struct counted *)arena->lock;
    pthread_barrier_wait(&crew->begin);
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
    return NULL;
}

static double measure(const struct bench_case *test, long count, struct lock_arena *arena,
                      void *(*work)(void *crew))
{
    const struct lock_shape *shape = test->shape;
    struct crew crew = {.arena = arena};
    pthread_t threads[MOST_THREADS];
    arena->per_process = (count + shape->processes - 1) / shape->processes;
    pthread_barrier_init(&crew.begin, NULL, (unsigned)shape->processes + 1);
    for (int i = 0; i < shape->processes; i++)
        if (pthread_create(&threads[i], NULL, work, &crew)) return bench_fail("pthread_create failed");
    double begin = bench_now();
    pthread_barrier_wait(&crew.begin);
    for (int i = 0; i < shape->processes; i++) pthread_join(threads[i], NULL);
    double seconds = bench_now() - begin;
    if (arena->counter != arena->per_process * shape->processes) return bench_fail("increments were lost");
    return seconds;
}

double peer_nsync_lock(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    nsync_mu_init((nsync_mu *)arena->lock);
    return measure(test, count, arena, lock_work);
}

double peer_nsync_semaphore(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    struct counted *counted = (struct counted *)arena->lock;
    nsync_mu_init(&counted->mutex);
    counted->free = 1;
    return measure(test, count, arena, semaphore_work);
}
