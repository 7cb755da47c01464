/* results.c: waiting for several results at once.
 *
 * Who waits for several of one pool sets WATCHED in each, and sleeps on the pool's `completed`, of
 * which the end of such a task tells; for several of different pools there is kin_wait.
 */
#include <errno.h>

#include <kin/error.h>

#include "memory/waitable.h"
#include "os/os.h"
#include "pool/pool.h"

#define FEW 32

/* PRIVATE.
 *   life     of each record when the call began: another thread may close one meanwhile. */
struct waiting {
    kin_result *const *results;
    size_t count;
    bool failed;  /* one that failed is waited for, or that all are over */
    size_t first; /* those before it were over, well, when it was looked last */
    uint64_t *life;
    uint64_t few[FEW];
};

static bool has_failed(const kin_result *result)
{
    return KIN__TASK_STATE(atomic_load_explicit(&result->state, memory_order_acquire)) == KIN__TASK_FAILED;
}

static int look(const struct waiting *waiting, size_t i)
{
    return kin__result_look(waiting->results[i], waiting->life[i]);
}

static bool is_ready(void *context)
{
    struct waiting *waiting = context;
    bool all = true;
    for (size_t i = waiting->first; i < waiting->count; i++) {
        if (waiting->results[i] == NULL) continue;
        int seen = look(waiting, i);
        if (seen < 0 || (seen == 1 && (!waiting->failed || has_failed(waiting->results[i])))) return true;
        all = all && seen == 1;
        if (all) waiting->first = i + 1;
    }
    return all;
}

/* 0, or why one of them cannot be waited for; *pool: theirs, NULL when they are of several. */
static int check(kin_result *const *results, size_t count, kin_pool **pool)
{
    bool several = false;
    int rc = kin__enter();
    *pool = NULL;
    if (rc < 0) return rc;
    if (results == NULL && count > 0) return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        kin_result *result = results[i];
        if (result == NULL) continue;
        rc = kin__check(result, offsetof(struct kin_result, magic), KIN__MAGIC_RESULT);
        if (rc < 0) return rc;
        if ((atomic_load_explicit(&result->state, memory_order_relaxed) & KIN__TASK_DROPPED) != 0)
            return KIN_ECLOSED;
        several = several || (*pool != NULL && *pool != result->pool);
        *pool = result->pool;
    }
    if (several) *pool = NULL;
    return 0;
}

void kin__result_watch(kin_result *result)
{
    /* Seq_cst, before the look whether it is over: who finishes it sees the flag, or it is over. */
    if ((atomic_load(&result->state) & KIN__TASK_WATCHED) == 0)
        atomic_fetch_or(&result->state, KIN__TASK_WATCHED);
}

static int wait_in_one(kin_pool *pool, struct waiting *waiting, kin_deadline deadline)
{
    for (size_t i = 0; i < waiting->count; i++)
        if (waiting->results[i] != NULL) kin__result_watch(waiting->results[i]);
    int rc = kin__own_wait_begin(pool);
    if (rc < 0) return rc;
    rc = kin__event_await(&pool->completed, is_ready, waiting, deadline);
    kin__own_wait_end(pool);
    return rc;
}

/* Of different pools: one round of kin_wait for each that gets over. */
static int wait_in_several(struct waiting *waiting, kin_deadline deadline)
{
    kin_waitable *items = kin__os_calloc(waiting->count, sizeof *items + sizeof(uint32_t));
    if (items == NULL) return -ENOMEM;
    uint32_t *lives = (uint32_t *)(items + waiting->count);
    long rc = 1;
    while (rc > 0 && !is_ready(waiting)) {
        size_t open = 0;
        for (size_t i = 0; i < waiting->count; i++) {
            if (waiting->results[i] == NULL || look(waiting, i) != 0) continue;
            items[open] = kin_on_result(waiting->results[i]);
            lives[open++] = (uint32_t)waiting->life[i];
        }
        if (open == 0) continue; /* the last has just got over, or was closed */
        rc = kin__wait_for(items, lives, open, deadline);
        if (rc == 0) rc = -ETIMEDOUT;
    }
    kin__os_free(items);
    return rc < 0 ? (int)rc : 0;
}

static int begin(struct waiting *waiting)
{
    waiting->life =
        waiting->count <= FEW ? waiting->few : kin__os_calloc(waiting->count, sizeof *waiting->life);
    if (waiting->life == NULL) return -ENOMEM;
    for (size_t i = 0; i < waiting->count; i++)
        if (waiting->results[i] != NULL) waiting->life[i] = kin__record_life(waiting->results[i]);
    return 0;
}

static void end(struct waiting *waiting)
{
    if (waiting->life != waiting->few) kin__os_free(waiting->life);
}

static int wait_for_any(struct waiting *waiting, kin_pool *pool, kin_deadline deadline)
{
    if (is_ready(waiting)) return 0;
    return pool != NULL ? wait_in_one(pool, waiting, deadline) : wait_in_several(waiting, deadline);
}

/* One after the other; each as long as it is what it was. */
static int wait_for_all(struct waiting *waiting, kin_deadline deadline)
{
    int rc = 0;
    for (size_t i = 0; i < waiting->count && rc >= 0; i++) {
        rc = waiting->results[i] != NULL ? look(waiting, i) : 1;
        if (rc == 0) rc = kin__result_await(waiting->results[i], waiting->life[i], deadline);
    }
    return rc < 0 ? rc : 0;
}

long kin_results_wait(kin_result *const *results, size_t count, enum kin_results_mode mode,
                      kin_deadline deadline)
{
    struct waiting waiting = {.results = results, .count = count, .failed = mode == KIN_FIRST_FAILED};
    kin_pool *pool;
    if (mode < KIN_FIRST_COMPLETED || mode > KIN_ALL_COMPLETED) return -EINVAL;
    int rc = check(results, count, &pool);
    if (rc == 0) rc = begin(&waiting);
    if (rc < 0) return rc;
    rc =
        mode == KIN_ALL_COMPLETED ? wait_for_all(&waiting, deadline) : wait_for_any(&waiting, pool, deadline);
    long over = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (results[i] == NULL) continue;
        int seen = look(&waiting, i);
        if (seen < 0) rc = seen;
        over += seen == 1;
    }
    end(&waiting);
    return rc < 0 ? rc : over;
}

long kin_results_next(kin_result *const *results, size_t count, kin_deadline deadline)
{
    struct waiting waiting = {.results = results, .count = count};
    kin_pool *pool;
    int rc = check(results, count, &pool);
    if (rc == 0) rc = begin(&waiting);
    if (rc < 0) return rc;
    rc = wait_for_any(&waiting, pool, deadline);
    long found = rc < 0 ? rc : KIN_EMPTY;
    for (size_t i = 0; rc == 0 && i < count && found < 0; i++) {
        int seen = results[i] != NULL ? look(&waiting, i) : 0;
        if (seen != 0) found = seen == 1 ? (long)i : seen; /* an error only if none is over */
    }
    end(&waiting);
    return found;
}
