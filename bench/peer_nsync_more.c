/* peer_nsync_more.c: nsync's condition and its mutex for readers, for threads of one process. */
#include <nsync.h>
#include <pthread.h>

#include "condition.h"
#include "rwlock.h"

struct crew {
    int (*work)(int index, void *arena);
    void *arena;
    pthread_barrier_t begin;
};

struct member {
    struct crew *crew;
    int index;
    int rc;
};

static void *run(void *context)
{
    struct member *member = context;
    pthread_barrier_wait(&member->crew->begin);
    member->rc = member->crew->work(member->index, member->crew->arena);
    return NULL;
}

static double measure(int count, int (*work)(int index, void *arena), void *arena)
{
    struct crew crew = {.work = work, .arena = arena};
    struct member members[CROWD_MOST];
    pthread_t threads[CROWD_MOST];
    pthread_barrier_init(&crew.begin, NULL, (unsigned)count + 1);
    for (int i = 0; i < count; i++) {
        members[i] = (struct member){&crew, i, 0};
        if (pthread_create(&threads[i], NULL, run, &members[i])) return bench_fail("pthread_create failed");
    }
    double begin = bench_now();
    pthread_barrier_wait(&crew.begin);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    double seconds = bench_now() - begin;
    for (int i = 0; i < count; i++)
        if (members[i].rc != 0) return bench_fail("a thread failed");
    return seconds;
}

/* ---- the condition ---------------------------------------------------------------------------- */

static int take(struct condition_arena *arena)
{
    nsync_mu_lock((nsync_mu *)arena->lock);
    return 0;
}

static int give_back(struct condition_arena *arena)
{
    nsync_mu_unlock((nsync_mu *)arena->lock);
    return 0;
}

static int await(struct condition_arena *arena)
{
    nsync_cv_wait((nsync_cv *)arena->condition, (nsync_mu *)arena->lock);
    return 0;
}

static int notify(struct condition_arena *arena)
{
    if (arena->processes == 2)
        nsync_cv_signal((nsync_cv *)arena->condition);
    else
        nsync_cv_broadcast((nsync_cv *)arena->condition);
    return 0;
}

static int condition_work(int index, void *context)
{
    return condition_loop(context, index, take, give_back, await, notify);
}

double peer_nsync_condition(const struct bench_case *test, long count)
{
    const struct condition_shape *shape = test->shape;
    struct condition_arena *arena = bench_shared(sizeof *arena);
    nsync_mu_init((nsync_mu *)arena->lock);
    nsync_cv_init((nsync_cv *)arena->condition);
    arena->processes = shape->processes;
    arena->rounds = count;
    return measure(shape->processes, condition_work, arena);
}

/* ---- the mutex for readers -------------------------------------------------------------------- */

static int begin_read(struct rwlock_arena *arena)
{
    nsync_mu_rlock((nsync_mu *)arena->lock);
    return 0;
}

static int end_read(struct rwlock_arena *arena)
{
    nsync_mu_runlock((nsync_mu *)arena->lock);
    return 0;
}

static int begin_write(struct rwlock_arena *arena)
{
    nsync_mu_lock((nsync_mu *)arena->lock);
    return 0;
}

static int end_write(struct rwlock_arena *arena)
{
    nsync_mu_unlock((nsync_mu *)arena->lock);
    return 0;
}

static int rwlock_work(int index, void *context)
{
    return rwlock_loop(context, index, begin_read, end_read, begin_write, end_write);
}

double peer_nsync_rwlock(const struct bench_case *test, long count)
{
    const struct rwlock_shape *shape = test->shape;
    struct rwlock_arena *arena = bench_shared(sizeof *arena);
    nsync_mu_init((nsync_mu *)arena->lock);
    rwlock_prepare(test, count, arena);
    return measure(shape->processes, rwlock_work, arena);
}
