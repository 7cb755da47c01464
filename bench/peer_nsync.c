/* peer_nsync.c: nsync's mutex, which is for threads of one process. */
#include <nsync.h>
#include <pthread.h>

#include "lock.h"

enum { MOST_THREADS = 16 };

struct crew {
    struct lock_arena *arena;
    pthread_barrier_t begin;
};

static void *work(void *context)
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

double peer_nsync_lock(const struct bench_case *test, long count)
{
    const struct lock_shape *shape = test->shape;
    struct lock_arena *arena = bench_shared(sizeof *arena);
    struct crew crew = {.arena = arena};
    pthread_t threads[MOST_THREADS];
    nsync_mu_init((nsync_mu *)arena->lock);
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
