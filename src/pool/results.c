/* results.c: waiting for several results at once.
 *
 * Who waits for several of one pool sets WATCHED in each, and sleeps on the pool's `completed`, of
 * which the end of such a task tells; for several of different pools there is kin_wait.
 */
#include <errno.h>

#include <kin/error.h>
#include <kin/wait.h>

#include "os/os.h"
#include "pool/pool.h"

struct waiting {
    kin_result *const *results;
    size_t count;
    bool failed;  /* one that failed is waited for, or that all are over */
    size_t first; /* those before it were over, well, when it was looked last */
};

static bool is_over(const kin_result *result)
{
    return kin__task_over(atomic_load_explicit(&result->state, memory_order_acquire));
}

static bool has_failed(const kin_result *result)
{
    return KIN__TASK_STATE(atomic_load_explicit(&result->state, memory_order_acquire)) == KIN__TASK_FAILED;
}

static bool is_broken(const kin_result *result)
{
    return atomic_load(&result->pool->state) == KIN__POOL_BROKEN;
}

/* By another thread, while it is waited for: it may be freed by now. */
static bool is_closed(const kin_result *result)
{
    uint64_t word = atomic_load_explicit(&result->state, memory_order_acquire);
    return (word & KIN__TASK_DROPPED) != 0 || KIN__TASK_STATE(word) == KIN__TASK_FREE;
}

/* Why one that is not over will not be waited for; 0: it is. */
static int refusal(const kin_result *result)
{
    return is_closed(result) ? KIN_ECLOSED : is_broken(result) ? KIN_EBROKEN : 0;
}

static bool is_ready(void *context)
{
    struct waiting *waiting = context;
    bool all = true;
    for (size_t i = waiting->first; i < waiting->count; i++) {
        const kin_result *result = waiting->results[i];
        if (result == NULL) continue;
        bool over = is_over(result);
        if (over ? !waiting->failed || has_failed(result) : refusal(result) < 0) return true;
        all = all && over;
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
    kin_waitable *items = kin__os_calloc(waiting->count, sizeof *items);
    if (items == NULL) return -ENOMEM;
    long rc = 1;
    while (rc > 0 && !is_ready(waiting)) {
        size_t open = 0;
        for (size_t i = 0; i < waiting->count; i++)
            if (waiting->results[i] != NULL && !is_over(waiting->results[i]))
                items[open++] = kin_on_result(waiting->results[i]);
        rc = kin_wait(items, open, deadline);
        if (rc == 0) rc = -ETIMEDOUT;
    }
    kin__os_free(items);
    return rc < 0 ? (int)rc : 0;
}

static int wait_for(struct waiting *waiting, kin_deadline deadline)
{
    kin_pool *pool;
    int rc = check(waiting->results, waiting->count, &pool);
    if (rc < 0 || is_ready(waiting)) return rc;
    return pool != NULL ? wait_in_one(pool, waiting, deadline) : wait_in_several(waiting, deadline);
}

static int wait_for_all(kin_result *const *results, size_t count, kin_deadline deadline)
{
    kin_pool *pool;
    int rc = check(results, count, &pool);
    for (size_t i = 0; i < count && rc == 0; i++)
        if (results[i] != NULL) rc = kin_result_wait(results[i], deadline);
    return rc;
}

long kin_results_wait(kin_result *const *results, size_t count, enum kin_results_mode mode,
                      kin_deadline deadline)
{
    struct waiting waiting = {.results = results, .count = count, .failed = mode == KIN_FIRST_FAILED};
    if (mode < KIN_FIRST_COMPLETED || mode > KIN_ALL_COMPLETED) return -EINVAL;
    int rc =
        mode == KIN_ALL_COMPLETED ? wait_for_all(results, count, deadline) : wait_for(&waiting, deadline);
    long over = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (results[i] == NULL) continue;
        if (is_over(results[i]))
            over++;
        else
            rc = refusal(results[i]);
    }
    return rc < 0 ? rc : over;
}

long kin_results_next(kin_result *const *results, size_t count, kin_deadline deadline)
{
    struct waiting waiting = {.results = results, .count = count};
    int rc = wait_for(&waiting, deadline);
    if (rc < 0) return rc;
    rc = KIN_EMPTY;
    for (size_t i = 0; i < count; i++) {
        if (results[i] == NULL) continue;
        if (is_over(results[i])) return (long)i;
        int why = refusal(results[i]);
        if (why < 0) rc = why;
    }
    return rc;
}
