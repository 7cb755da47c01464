/* peer_nsync_more.c: nsync's condition and its mutex for readers, for threads of one process. */
#include <nsync.h>

#include "condition.h"
#include "rwlock.h"

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
    struct condition_arena *arena = bench_shared(sizeof *arena);
    nsync_mu_init((nsync_mu *)arena->lock);
    nsync_cv_init((nsync_cv *)arena->condition);
    arena->threads = true;
    return condition_measure(test, count, arena, NULL, condition_work);
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
    struct rwlock_arena *arena = bench_shared(sizeof *arena);
    nsync_mu_init((nsync_mu *)arena->lock);
    arena->threads = true;
    return rwlock_measure(test, count, arena, rwlock_work);
}
