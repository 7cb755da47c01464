/* lock_peers.c: the peers that the lock and the semaphore benchmark share. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "lock.h"

int lock_sharing(const struct bench_case *test)
{
    const struct lock_shape *shape = test->shape;
    return shape->threads ? PTHREAD_PROCESS_PRIVATE : PTHREAD_PROCESS_SHARED;
}

static int semaphore_work(int index, void *context)
{
    (void)index;
    struct lock_arena *arena = context;
    sem_t *semaphore = (sem_t *)arena->lock;
    for (long i = 0; i < arena->per_process; i++) {
        while (sem_wait(semaphore))
            if (errno != EINTR) return 1;
        arena->counter++;
        sem_post(semaphore);
    }
    return 0;
}

double lock_semaphore(const struct bench_case *test, long count)
{
    struct lock_arena *arena = bench_shared(sizeof *arena);
    if (sem_init((sem_t *)arena->lock, lock_sharing(test) == PTHREAD_PROCESS_SHARED, 1))
        return bench_fail("sem_init: %s", strerror(errno));
    return lock_measure(test, count, arena, semaphore_work);
}

double lock_python(const struct bench_case *test, long count, const char *what)
{
    const struct lock_shape *shape = test->shape;
    char processes[16], number[24];
    snprintf(processes, sizeof processes, "%d", shape->processes);
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked(
        (const char *const[]){"python3", bench_beside(0, "peer_python.py"), what, processes, number, NULL});
}
