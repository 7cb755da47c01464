/* callback.c: functions that are called when a result is there.
 *
 * They are called by the process that named them, and only where the user says: inside kin_pool_poll,
 * or on the thread of a pool that was opened with callback_thread.
 *
 * Invariants:
 *  - A callback is taken out of the list before it is called: it is called once.
 *  - The list is the process's own: a child made by fork begins with an empty one.
 */
#include <errno.h>
#include <pthread.h>

#include <kin/error.h>
#include <kin/thread.h>

#include "os/os.h"
#include "pool/pool.h"

/* PRIVATE. */
struct callback {
    struct callback *next;
    kin_result *result;
    kin_pool *pool;
    uint64_t number; /* of the task: a closed result may be another's by now */
    kin_done_function *done, *failed;
    void *context;
};

static struct {
    pthread_mutex_t lock;
    struct callback *first, **last;
    struct caller *callers;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &list.first};

static void lock(void)
{
    pthread_mutex_lock(&list.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&list.lock);
}

static void forget_in_child(void)
{
    list.first = NULL;
    list.last = &list.first;
    list.callers = NULL;
    unlock();
}

__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {lock, unlock, forget_in_child};
    kin__os_watch_forks(KIN__FORK_CALLBACKS, &watch);
}

static bool is_due(const struct callback *callback)
{
    const kin_result *result = callback->result;
    uint64_t word = atomic_load_explicit(&result->state, memory_order_acquire);
    return kin__task_over(word) || KIN__TASK_STATE(word) == KIN__TASK_FREE ||
           kin__record_number(result) != callback->number ||
           atomic_load(&callback->pool->state) == KIN__POOL_BROKEN;
}

/* Takes those of the pool out that are due, in the order in which they were named; *any: others are
 * left. */
static struct callback *take_due(kin_pool *pool, bool *any)
{
    struct callback *due = NULL, **last = &due;
    *any = false;
    lock();
    for (struct callback **place = &list.first; *place != NULL;) {
        struct callback *callback = *place;
        if (callback->pool != pool || !is_due(callback)) {
            *any = *any || callback->pool == pool;
            place = &callback->next;
            continue;
        }
        *place = callback->next;
        callback->next = NULL;
        *last = callback;
        last = &callback->next;
    }
    list.last = &list.first;
    while (*list.last != NULL) list.last = &(*list.last)->next;
    unlock();
    return due;
}

static long run(struct callback *due)
{
    long count = 0;
    while (due != NULL) {
        struct callback *callback = due;
        due = callback->next;
        /* Closed meanwhile: nobody wants to know. */
        bool open = kin__record_number(callback->result) == callback->number &&
                    kin_result_ready(callback->result) != KIN_ECLOSED;
        kin_done_function *call =
            open && kin_result_successful(callback->result) == 1 ? callback->done : callback->failed;
        if (open && call != NULL) {
            call(callback->result, callback->context);
            count++;
        }
        kin__os_free(callback);
    }
    return count;
}

struct look {
    kin_pool *pool;
    bool until_named; /* wait for callbacks that are not there yet, too */
};

static bool has_due(void *context)
{
    const struct look *look = context;
    bool due = false, any = false;
    lock();
    for (struct callback *callback = list.first; callback != NULL && !due; callback = callback->next) {
        if (callback->pool != look->pool) continue;
        any = true;
        due = is_due(callback);
    }
    unlock();
    if (look->until_named) return due || (!any && atomic_load(&look->pool->state) >= KIN__POOL_ENDED);
    return due || !any;
}

/* A task of the pool itself has another worker in its place meanwhile. */
static int await_due(struct look *look, kin_deadline deadline)
{
    if (has_due(look)) return 0;
    if (deadline <= 0) return -ETIMEDOUT;
    int rc = kin__own_wait_begin(look->pool);
    if (rc < 0) return rc;
    rc = kin__event_await(&look->pool->completed, has_due, look, deadline);
    kin__own_wait_end(look->pool);
    return rc;
}

static long poll_pool(struct look look, kin_deadline deadline)
{
    for (;;) {
        bool any;
        long count = run(take_due(look.pool, &any));
        if (count > 0 || (!any && !look.until_named)) return count;
        if (look.until_named && has_due(&look) && !any) return 0;
        int rc = await_due(&look, deadline);
        if (rc < 0) return rc == -ETIMEDOUT ? 0 : rc;
    }
}

long kin_pool_poll(kin_pool *pool, kin_deadline deadline)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    return poll_pool((struct look){.pool = pool}, deadline);
}

/* ---- the pool's own thread ------------------------------------------------------------------------- */

/* PRIVATE.  Of each pool that this process has opened with callback_thread. */
struct caller {
    struct caller *next;
    kin_pool *pool;
    kin_thread *thread;
};

static int call_back(void *pool)
{
    while (atomic_load(&((kin_pool *)pool)->state) < KIN__POOL_ENDED)
        if (kin__enter() < 0 || poll_pool((struct look){.pool = pool, .until_named = true}, KIN_FOREVER) < 0)
            return 1;
    while (poll_pool((struct look){.pool = pool}, KIN_FOREVER) > 0)
        ;
    return 0;
}

int kin__callbacks_start(kin_pool *pool)
{
    struct caller *caller = kin__os_calloc(1, sizeof *caller);
    if (caller == NULL) return -ENOMEM;
    caller->pool = pool;
    int rc = kin_thread_start(&caller->thread, call_back, pool,
                              &(kin_thread_options){.name = "pool", .daemon = true});
    if (rc < 0) {
        kin__os_free(caller);
        return rc;
    }
    lock();
    caller->next = list.callers;
    list.callers = caller;
    unlock();
    return 0;
}

void kin__callbacks_finish(kin_pool *pool)
{
    struct caller *found = NULL;
    lock();
    for (struct caller **place = &list.callers; *place != NULL && found == NULL;) {
        if ((*place)->pool == pool) {
            found = *place;
            *place = found->next;
        } else {
            place = &(*place)->next;
        }
    }
    unlock();
    if (found == NULL) return;
    kin__waiters_wake_all(&pool->completed.point);
    kin_thread_join(found->thread, KIN_FOREVER);
    kin_thread_close(found->thread);
    kin__os_free(found);
}

void kin__callbacks_forget(kin_pool *pool)
{
    lock();
    for (struct callback **place = &list.first; *place != NULL;) {
        struct callback *callback = *place;
        if (callback->pool != pool) {
            place = &callback->next;
            continue;
        }
        *place = callback->next;
        kin__os_free(callback);
    }
    list.last = &list.first;
    while (*list.last != NULL) list.last = &(*list.last)->next;
    unlock();
}

/* ---- naming one -------------------------------------------------------------------------------------- */

int kin_result_add_done_callback(kin_result *result, kin_done_function *done, kin_done_function *failed,
                                 void *context)
{
    int rc = kin_result_ready(result);
    if (rc < 0 && rc != KIN_EBROKEN) return rc;
    if (done == NULL && failed == NULL) return -EINVAL;
    struct callback *callback = kin__os_malloc(sizeof *callback);
    if (callback == NULL) return -ENOMEM;
    *callback = (struct callback){.result = result,
                                  .pool = result->pool,
                                  .number = result->number,
                                  .done = done,
                                  .failed = failed,
                                  .context = context};
    kin_pool *pool = result->pool;
    kin__result_watch(result);
    lock();
    *list.last = callback;
    list.last = &callback->next;
    unlock();
    /* From here on it may have been called, and the result closed by it.  If the task was over before the
     * callback was in the list, nobody tells but us. */
    kin__event_notify(&pool->completed, INT32_MAX);
    return 0;
}
