/* result.c: what a submitter holds: waiting for a task, and its outcome or failure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "memory/waitable.h"
#include "os/os.h"
#include "pool/pool.h"
#include "process/words.h"

static inline __attribute__((always_inline)) int check(const kin_result *result)
{
    int rc = kin__enter();
    if (rc == 0) rc = kin__check(result, offsetof(struct kin_result, magic), KIN__MAGIC_RESULT);
    if (rc == 0 && (atomic_load_explicit(&result->state, memory_order_relaxed) & KIN__TASK_DROPPED) != 0)
        rc = KIN_ECLOSED;
    return rc;
}

static bool over(const kin_result *result)
{
    /* Acquire: pairs with the release in kin__record_finish. */
    return kin__task_over(atomic_load_explicit(&result->state, memory_order_acquire));
}

static bool is_gone(const kin_result *result, uint64_t life)
{
    /* Acquire: pairs with the release of who hands in the next task, after its number. */
    uint64_t word = atomic_load_explicit(&result->state, memory_order_acquire);
    return (word & KIN__TASK_DROPPED) != 0 || KIN__TASK_STATE(word) <= KIN__TASK_NEW ||
           kin__record_life(result) != life;
}

int kin__result_look(const kin_result *result, uint64_t life)
{
    bool ended = over(result);
    /* In this order: what was over is still it, or it is gone. */
    if (is_gone(result, life)) return KIN_ECLOSED;
    if (ended) return 1;
    return atomic_load(&result->pool->state) == KIN__POOL_BROKEN ? KIN_EBROKEN : 0;
}

/* One sleep, at most a slice: as kin__result_look after it, or the error that ended it. */
static int sleep_on(kin_result *result, uint64_t life, kin_deadline deadline)
{
    uint32_t seen = kin__event_prepare(&result->done);
    int rc = kin__result_look(result, life), slept = 0;
    if (rc == 0) {
        slept = kin__event_sleep(&result->done, seen, deadline);
        rc = kin__result_look(result, life);
    }
    if (slept == 1 && rc == 1 && atomic_load(&result->pool->state) != KIN__POOL_BROKEN)
        kin__rescued(&result->done.point, seen);
    kin__event_done(&result->done);
    return slept < 0 && rc == 0 ? slept : rc;
}

int kin__result_await(kin_result *result, uint64_t life, kin_deadline deadline)
{
    kin_pool *pool = result->pool; /* afterwards the record may be another pool's */
    int rc = 0;
    struct kin__watch watch = kin__watch_begin();
    do {
        if (over(result)) rc = kin__result_look(result, life);
    } while (rc == 0 && kin__watch_more(&watch));
    kin__watch_end(&watch, rc != 0);
    if (rc == 0) {
        rc = kin__own_wait_begin(pool);
        if (rc < 0) return rc;
        do rc = sleep_on(result, life, deadline);
        while (rc == 0);
        kin__own_wait_end(pool);
    }
    return rc < 0 ? rc : 0;
}

int kin_result_wait(kin_result *result, kin_deadline deadline)
{
    int rc = check(result);
    return rc < 0 || over(result) ? rc : kin__result_await(result, kin__record_life(result), deadline);
}

/* The state of a result that is over. */
static int outcome(kin_result *result, uint64_t *word)
{
    int rc = check(result);
    if (rc < 0) return rc;
    *word = atomic_load_explicit(&result->state, memory_order_acquire);
    if (!kin__task_over(*word))
        return atomic_load(&result->pool->state) == KIN__POOL_BROKEN ? KIN_EBROKEN : KIN_ENOTREADY;
    return 0;
}

/* What a result says that is over, with that word. */
static long reply_of(kin_result *result, uint64_t word, const void **out)
{
    if (KIN__TASK_STATE(word) == KIN__TASK_FAILED) return KIN_EFAILED;
    *out = kin__is_async(result) ? kin__map_reply(result) : kin__record_reply(result);
    return (long)result->reply_size;
}

long kin_result_view(kin_result *result, const void **out)
{
    uint64_t word;
    if (out == NULL) return -EINVAL;
    int rc = outcome(result, &word);
    return rc < 0 ? rc : reply_of(result, word, out);
}

static inline long copy_reply(kin_result *result, uint64_t word, void *out, size_t capacity)
{
    const void *reply = NULL;
    long size = reply_of(result, word, &reply);
    if (size < 0) return size;
    if ((size_t)size > capacity) {
        kin__needed_size_set((size_t)size);
        return KIN_ETOOSMALL;
    }
    if (size > 0) memcpy(out, reply, (size_t)size);
    return size;
}

static __attribute__((noinline)) long get_later(kin_result *result, void *out, size_t capacity,
                                                kin_deadline deadline)
{
    uint64_t word;
    int rc = kin__result_await(result, kin__record_life(result), deadline);
    if (rc == 0) rc = outcome(result, &word);
    return rc < 0 ? rc : copy_reply(result, word, out, capacity);
}

long kin_result_get(kin_result *result, void *out, size_t capacity, kin_deadline deadline)
{
    if (out == NULL && capacity > 0) return -EINVAL;
    int rc = check(result);
    if (rc < 0) return rc;
    uint64_t word = atomic_load_explicit(&result->state, memory_order_acquire);
    if (__builtin_expect(!kin__task_over(word), 0)) return get_later(result, out, capacity, deadline);
    return copy_reply(result, word, out, capacity);
}

int kin_result_ready(kin_result *result)
{
    uint64_t word;
    int rc = outcome(result, &word);
    return rc == 0 ? 1 : rc == KIN_ENOTREADY ? 0 : rc;
}

int kin_result_successful(kin_result *result)
{
    uint64_t word;
    int rc = outcome(result, &word);
    return rc < 0 ? rc : KIN__TASK_STATE(word) == KIN__TASK_DONE;
}

/* Who waits for it in another thread learns that it is closed.  It may be another task's by now: then one
 * wakes for nothing. */
static void tell_closed(kin_result *result, uint64_t word)
{
    kin__record_tell(result, NULL);
    if ((word & KIN__TASK_WATCHED) != 0) kin__event_notify(&result->pool->completed, INT32_MAX);
}

static bool is_ours(const kin_result *result)
{
    return atomic_load_explicit(&result->owner, memory_order_relaxed) == kin__self.process_identity;
}

static __attribute__((noinline)) int close_any(kin_result *result, uint64_t word)
{
    for (;;) {
        bool closed = (word & (KIN__TASK_DROPPED | KIN__TASK_CLOSING)) != 0;
        if (closed || KIN__TASK_STATE(word) == KIN__TASK_FREE) return KIN_ECLOSED;
        /* CRASH: of one that frees it, and is not its owner, nobody would know that it began to. */
        bool ours = is_ours(result);
        bool async = kin__is_async(result); /* before the exchange: afterwards it may be another's */
        bool over = kin__task_over(word), kept = (word & KIN__TASK_NEEDED) != 0 || async;
        uint64_t flag = over && ours && !kept ? KIN__TASK_CLOSING : KIN__TASK_DROPPED;
        if (!atomic_compare_exchange_strong(&result->state, &word, word | flag)) continue;
        if (flag == KIN__TASK_CLOSING) {
            kin__record_gone(result, word);
            return 0;
        }
        if (over || kept)
            atomic_store(&result->pool->untidy, 1); /* the supervisor frees it, or ends the map */
        if (!over && async) kin__supervisor_wake(result->pool);
        tell_closed(result, word);
        return 0;
    }
}

int kin_result_close(kin_result *result)
{
    if (result == NULL) return 0;
    int rc = check(result);
    if (rc < 0) return rc;
    uint64_t word = atomic_load(&result->state);
    /* As in close_any, of one that is over and has nothing else to be minded. */
    bool simple = kin__task_over(word) && (word & KIN__TASK_FLAGS) == 0 && is_ours(result);
    if (__builtin_expect(!simple || kin__is_async(result), 0) ||
        !atomic_compare_exchange_strong(&result->state, &word, word | KIN__TASK_CLOSING))
        return close_any(result, word);
    kin__record_gone(result, word);
    return 0;
}

int kin_result_cancel(kin_result *result)
{
    int rc = check(result);
    if (rc < 0) return rc;
    kin_pool *pool = result->pool;
    uint64_t word = atomic_load(&result->state);
    do {
        if (kin__task_over(word)) return (word & KIN__TASK_CANCELLED) != 0 ? 0 : KIN_EOVER;
        if (atomic_load(&pool->state) == KIN__POOL_BROKEN) return KIN_EBROKEN;
    } while (!atomic_compare_exchange_strong(&result->state, &word, word | KIN__TASK_CANCELLED));
    word |= KIN__TASK_CANCELLED;
    if (kin__is_async(result)) {
        kin__map_cancel(result);
        kin__supervisor_wake(pool);
        return 0;
    }
    /* CRASH: with the flag, and not over: the worker that claims it, or the supervisor, ends it. */
    if (KIN__TASK_STATE(word) == KIN__TASK_QUEUED && kin__record_finish(result, word, KIN__TASK_FAILED))
        return 0;
    kin__supervisor_wake(pool);
    return 0;
}

/* ---- failures --------------------------------------------------------------------------------------- */

/* The failure of a task that was cancelled before it died of it. */
static kin_failure cancelled(const kin_result *result, uint64_t word)
{
    kin_failure failure = {.cause = KIN_CAUSE_CANCELLED, .worker = KIN__TASK_WORKER(word)};
    kin__record_complete(result, word, &failure);
    return failure;
}

void kin__result_failure(const kin_result *result, uint64_t word, kin_failure *failure)
{
    *failure = kin__is_async(result) ? kin__map_failure(result, word) : result->failure;
    /* Of one that was cancelled before it was begun, the failure is an earlier task's. */
    bool ours = failure->cause == KIN_CAUSE_CANCELLED && failure->task == result->number;
    if ((word & KIN__TASK_CANCELLED) != 0 && !ours) *failure = cancelled(result, word);
}

int kin_result_failure_sized(kin_result *result, kin_failure *failure, size_t size)
{
    uint64_t word = 0;
    if (failure == NULL) return -EINVAL;
    int rc = outcome(result, &word);
    if (rc < 0 && rc != KIN_EBROKEN) return rc;
    kin_failure told = {.cause = KIN_CAUSE_SUPERVISOR};
    kin__record_complete(result, word, &told);
    if (rc == 0) {
        if (KIN__TASK_STATE(word) != KIN__TASK_FAILED) return -EINVAL;
        kin__result_failure(result, word, &told);
    }
    memcpy(failure, &told, size < sizeof told ? size : sizeof told);
    return 0;
}

static int cause_text(const kin_failure *failure, char *text, size_t size)
{
    switch (failure->cause) {
    case KIN_CAUSE_RETURNED:
        return failure->code < 0 ? snprintf(text, size, "returned %s: %s", kin_error_name(failure->code),
                                            kin_strerror(failure->code))
                                 : snprintf(text, size, "returned %d", failure->code);
    case KIN_CAUSE_EXITED: return snprintf(text, size, "the worker exited with code %d", failure->code);
    case KIN_CAUSE_SIGNALED:
        return snprintf(text, size, "killed by %s", kin__os_signal_name(failure->signal));
    case KIN_CAUSE_TIMEOUT: return snprintf(text, size, "it took longer than its timeout");
    case KIN_CAUSE_TERMINATED: return snprintf(text, size, "the pool was terminated");
    case KIN_CAUSE_OUT_OF_MEMORY: return snprintf(text, size, "killed by the kernel: out of memory");
    case KIN_CAUSE_FUNCTION:
        return snprintf(text, size, "%s",
                        failure->host[0] != '\0' ? "no such function there (KIN_TASK)"
                                                 : "its library was loaded after the pool was opened");
    case KIN_CAUSE_LOST:
        return snprintf(text, size, "the connection to the worker ended: %s", kin_strerror(failure->code));
    case KIN_CAUSE_CANCELLED: return snprintf(text, size, "cancelled");
    case KIN_CAUSE_NEED: return snprintf(text, size, "a task that it needs has failed");
    case KIN_CAUSE_SUPERVISOR: return snprintf(text, size, "the pool's supervisor died");
    default: return snprintf(text, size, "no failure");
    }
}

int kin_failure_text(const kin_failure *failure, char *text, size_t size)
{
    if (failure == NULL || (text == NULL && size > 0)) return -EINVAL;
    char cause[160], worker[128] = "", usage[64] = "", attempt[64] = "";
    size_t length = strnlen(failure->stderr_tail, sizeof failure->stderr_tail);
    const char *line = kin__last_line(failure->stderr_tail, &length);
    cause_text(failure, cause, sizeof cause);
    if (failure->host[0] != '\0')
        snprintf(worker, sizeof worker, " on worker %u (at %s)", failure->worker, failure->host);
    else if (failure->worker_pid != 0)
        snprintf(worker, sizeof worker, " on worker %u (pid %d)", failure->worker, failure->worker_pid);
    if (failure->attempt > 1 || (failure->attempt > 0 && failure->attempts > 1))
        snprintf(attempt, sizeof attempt, ", attempt %u of %u", failure->attempt, failure->attempts);
    if (failure->max_rss > 0)
        snprintf(usage, sizeof usage, ", %lld MB", (long long)((failure->max_rss + 500000) / 1000000));
    return snprintf(text, size, "task %llu (%s)%s: %s%s%s%s%.*s", (unsigned long long)failure->task,
                    failure->function[0] != '\0' ? failure->function : "?", worker, cause, attempt, usage,
                    length > 0 ? ": " : "", (int)length, line);
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    const kin_result *result = item->object;
    int rc = check(result);
    return rc < 0 ? rc : over(result) || atomic_load(&result->pool->state) == KIN__POOL_BROKEN;
}

static uint32_t life_of(const kin_waitable *item)
{
    const kin_result *result = item->object;
    return check(result) < 0 ? 0 : (uint32_t)kin__record_life(result);
}

static struct kin__event *event_of(const kin_waitable *item)
{
    return &((kin_result *)(uintptr_t)item->object)->done;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class results = {
        .look = look, .life = life_of, .event = event_of, .work = &kin__own_work};
    kin__waitable_classes[KIN_WAITABLE_RESULT] = &results;
}
