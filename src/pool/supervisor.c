/* supervisor.c: the process that forks a pool's workers, replaces those that die, and decides
 * what their deaths mean for the tasks they were on.
 *
 * Invariants:
 *  - It has one thread, and runs no code of the user's.
 *  - A death is dealt with before its worker is replaced: first what the dead one had
 *    finished counts, then the record it had claimed is charged, run again or failed.
 *  - It ends when its pool is closed and drained or terminated, and with its parent.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "memory/reap.h"
#include "os/os.h"
#include "pool/pool.h"
#include "pool/worker.h"
#include "process/fork.h"

/* PRIVATE to the supervisor. */
struct child {
    int descriptor; /* pidfd; -1: no worker */
    enum kin_cause killed_for;
    int64_t oom_kills; /* how many there had been when it was started, as far as was known */
};

#define OOM_UNKNOWN INT64_MIN

struct supervisor {
    kin_pool *pool;
    struct child *child;
    struct kin__poll *poll;
    uint64_t deaths_seen;
    int64_t oom_kills;       /* as last read */
    kin_deadline fork_again; /* after a failed fork: not before */
    unsigned early_deaths;
    kin_failure last;
};

/* Workers that die before they are ready, one after the other, end the pool. */
#define EARLY_DEATHS_MOST 10
#define FORK_PAUSE_NS     (20 * 1000000LL)
#define LOOK_NS           (100 * 1000000LL)
#define LOOK_TIMED_NS     (5 * 1000000LL)

static enum kin__pool_state state_of(kin_pool *pool)
{
    return (enum kin__pool_state)atomic_load(&pool->state);
}

/* ---- starting --------------------------------------------------------------------------------------- */

static int start_worker(struct supervisor *s, unsigned index)
{
    kin_pool *pool = s->pool;
    struct kin__worker *worker = kin__pool_worker(pool, index);
    atomic_store(&worker->state, KIN__WORKER_STARTING);
    atomic_store(&worker->started, 0);
    atomic_store(&worker->tasks, 0);
    s->child[index].killed_for = KIN_CAUSE_NONE;
    s->child[index].oom_kills = s->oom_kills;
    int pid = kin__child_fork(&s->child[index].descriptor);
    if (pid == 0) kin__os_exit_now(kin__child_finish(kin__worker_main(pool, index)));
    if (pid < 0) {
        s->child[index].descriptor = -1;
        atomic_store(&worker->state, KIN__WORKER_NONE);
        s->fork_again = kin__os_clock() + FORK_PAUSE_NS;
        return pid;
    }
    worker->since = kin__os_boot_clock();
    atomic_store(&worker->pid, pid);
    return 0;
}

/* Starts whoever is missing; 0 or the error of a fork. */
static int start_missing(struct supervisor *s)
{
    int rc = 0;
    for (unsigned i = 0; i < s->pool->workers && rc == 0; i++)
        if (s->child[i].descriptor < 0) rc = start_worker(s, i);
    /* Only now: while it is read, the workers get ready. */
    if (s->oom_kills == OOM_UNKNOWN) {
        s->oom_kills = kin__os_oom_kills();
        for (unsigned i = 0; i < s->pool->workers; i++) s->child[i].oom_kills = s->oom_kills;
    }
    return rc;
}

/* ---- after a death ------------------------------------------------------------------------------------- */

/* Has the kernel killed for memory since the child was started? */
static bool killed_for_memory(struct supervisor *s, const struct child *child)
{
    s->oom_kills = kin__os_oom_kills();
    return child->oom_kills >= 0 && s->oom_kills > child->oom_kills;
}

static kin_failure failure_of(struct supervisor *s, unsigned index, const kin_exit_status *status)
{
    struct child *child = &s->child[index];
    kin_failure failure = {
        .cause = status->kind == KIN_SIGNALED ? KIN_CAUSE_SIGNALED : KIN_CAUSE_EXITED,
        .code = status->code,
        .signal = status->signal,
        .worker = index,
        .worker_pid = atomic_load(&kin__pool_worker(s->pool, index)->pid),
        .user_ns = status->user_ns,
        .system_ns = status->system_ns,
        .max_rss = status->max_rss,
    };
    if (child->killed_for != KIN_CAUSE_NONE)
        failure.cause = child->killed_for;
    else if (status->kind == KIN_SIGNALED && status->signal == SIGKILL && killed_for_memory(s, child))
        failure.cause = KIN_CAUSE_OUT_OF_MEMORY;
    return failure;
}

static void fail_record(kin_result *record, uint64_t word, kin_failure failure)
{
    failure.task = record->number;
    failure.attempt = KIN__TASK_ATTEMPT(word);
    failure.attempts = record->attempts;
    memcpy(failure.function, record->function, sizeof record->function);
    record->failure = failure;
    kin__record_finish(record, word, KIN__TASK_FAILED);
}

bool kin__worker_charge(kin_pool *pool, unsigned index, kin_failure *failure)
{
    struct kin__worker *worker = kin__pool_worker(pool, index);
    kin_result *record = atomic_load(&worker->current);
    if (record == NULL) return false;
    uint64_t word = atomic_load(&record->state);
    if (kin__task_over(word)) {
        const uint64_t freeing = KIN__TASK_DROPPED | KIN__TASK_CLOSING;
        if ((word & freeing) == freeing && KIN__TASK_WORKER(word) == index) {
            kin__record_free(record);
            return false;
        }
        /* Its outcome stands; whom it should have told is told now. */
        kin_result *job = record->job;
        kin__waiters_wake_all(job != NULL ? &job->done.point : &record->done.point);
        return false;
    }
    if (KIN__TASK_STATE(word) != KIN__TASK_CLAIMED || KIN__TASK_WORKER(word) != index) return false;
    bool ending = state_of(pool) >= KIN__POOL_TERMINATED;
    if (record->map != NULL) {
        bool go_on = kin__map_charge(record, failure) && !ending;
        if (!go_on) kin__record_finish(record, word, KIN__TASK_DONE);
        return go_on;
    }
    if (!ending && KIN__TASK_ATTEMPT(word) < record->attempts) {
        uint64_t again = word + ((uint64_t)1 << 16);
        if (atomic_compare_exchange_strong(&record->state, &word, again)) return true;
        /* Only "nobody wants it" can have come between. */
        return atomic_compare_exchange_strong(&record->state, &word, word + ((uint64_t)1 << 16));
    }
    if (ending && failure->cause == KIN_CAUSE_SIGNALED) failure->cause = KIN_CAUSE_TERMINATED;
    fail_record(record, word, *failure);
    return false;
}

static bool on_purpose(const kin_exit_status *status, bool idle)
{
    return idle && status->kind == KIN_EXITED && (status->code == 0 || status->code == KIN__WORKER_RECYCLE);
}

static void bury(struct supervisor *s, unsigned index)
{
    kin_pool *pool = s->pool;
    struct kin__worker *worker = kin__pool_worker(pool, index);
    kin_exit_status status = {.kind = KIN_UNKNOWN};
    kin__os_process_collect(s->child[index].descriptor, &status);
    kin__os_close(s->child[index].descriptor);
    s->child[index].descriptor = -1;
    bool was_ready = atomic_load(&worker->state) == KIN__WORKER_READY;
    bool idle = atomic_load(&worker->current) == NULL;
    atomic_store(&worker->state, KIN__WORKER_NONE);
    /* Who closes the pool reaps at its end. */
    if (!on_purpose(&status, idle) || state_of(pool) != KIN__POOL_CLOSED) kin__reap();
    kin_failure failure = failure_of(s, index, &status);
    atomic_store(&worker->pid, 0); /* from here on it may be another's */
    /* Counted before anybody is told. */
    if (!on_purpose(&status, idle) && failure.cause != KIN_CAUSE_TERMINATED)
        atomic_fetch_add(&pool->deaths, 1);
    if (!kin__worker_charge(pool, index, &failure)) atomic_store(&worker->current, NULL);
    s->last = failure;
    s->early_deaths = was_ready ? 0 : s->early_deaths + 1;
}

/* ---- the end of the pool ---------------------------------------------------------------------------------- */

static void kill_workers(struct supervisor *s, enum kin_cause cause)
{
    for (unsigned i = 0; i < s->pool->workers; i++) {
        if (s->child[i].descriptor < 0) continue;
        s->child[i].killed_for = cause;
        kin__os_process_signal(s->child[i].descriptor, SIGKILL);
    }
}

/* Fails whatever is not over: nobody will run it. */
static void fail_rest(kin_pool *pool, kin_failure failure)
{
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        kin_result *record = kin__pool_record(pool, i);
        uint64_t word = atomic_load(&record->state);
        if (KIN__TASK_STATE(word) != KIN__TASK_QUEUED && KIN__TASK_STATE(word) != KIN__TASK_CLAIMED) continue;
        if (record->map == NULL)
            fail_record(record, word, failure);
        else
            kin__record_finish(record, word, KIN__TASK_DONE);
    }
}

static void end_pool(struct supervisor *s, enum kin_cause cause)
{
    kin_pool *pool = s->pool;
    kin_failure failure = s->last;
    if (cause != KIN_CAUSE_NONE || failure.cause == KIN_CAUSE_NONE)
        failure = (kin_failure){.cause = cause != KIN_CAUSE_NONE ? cause : KIN_CAUSE_TERMINATED};
    kin_queue_end(pool->tasks);
    fail_rest(pool, failure);
    kin__pool_raise(pool, KIN__POOL_ENDED);
}

/* The pool cannot have workers: their initializer fails, or they die before they are ready. */
static bool hopeless(struct supervisor *s)
{
    bool opening = state_of(s->pool) == KIN__POOL_OPENING;
    bool initializer = s->last.cause == KIN_CAUSE_EXITED && s->last.code == KIN__WORKER_INITIALIZER;
    return s->early_deaths >= (opening ? 1 : EARLY_DEATHS_MOST) || (opening && initializer);
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

static unsigned living(const struct supervisor *s)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s->pool->workers; i++) count += s->child[i].descriptor >= 0;
    return count;
}

static void enforce_timeouts(struct supervisor *s)
{
    kin_deadline now = kin__os_clock();
    for (unsigned i = 0; i < s->pool->workers; i++) {
        struct kin__worker *worker = kin__pool_worker(s->pool, i);
        kin_result *record = atomic_load(&worker->current);
        if (record == NULL || s->child[i].descriptor < 0) continue;
        uint64_t word = atomic_load(&record->state);
        if (KIN__TASK_STATE(word) != KIN__TASK_CLAIMED || KIN__TASK_WORKER(word) != i) continue;
        int64_t started = atomic_load(&worker->started);
        bool late = record->timeout_ns != 0 && started != 0 && now - started > record->timeout_ns;
        if (late || atomic_load(&record->killed) != 0) {
            s->child[i].killed_for = KIN_CAUSE_TIMEOUT;
            kin__os_process_signal(s->child[i].descriptor, SIGKILL);
        }
    }
}

static void wait_for_news(struct supervisor *s)
{
    unsigned count = s->pool->workers;
    for (unsigned i = 0; i < count; i++) s->poll[i].descriptor = s->child[i].descriptor;
    s->poll[count].descriptor = s->pool->wake_descriptor;
    int64_t look = atomic_load(&s->pool->timed) != 0 ? LOOK_TIMED_NS : LOOK_NS;
    if (living(s) < count && state_of(s->pool) <= KIN__POOL_RUNNING) look = FORK_PAUSE_NS;
    kin__os_poll(s->poll, count + 1, kin__os_clock() + look);
    if (s->poll[count].ready) kin__os_event_clear(s->pool->wake_descriptor);
    for (unsigned i = 0; i < count; i++)
        if (s->poll[i].ready && s->child[i].descriptor >= 0) bury(s, i);
}

/* True while a closed pool has tasks that need a worker. */
static bool work_left(struct supervisor *s)
{
    if (!kin_queue_empty(s->pool->tasks)) return true;
    for (unsigned i = 0; i < s->pool->workers; i++)
        if (atomic_load(&kin__pool_worker(s->pool, i)->current) != NULL) return true;
    return false;
}

/* One round; false when the pool has ended. */
static bool supervise(struct supervisor *s)
{
    kin_pool *pool = s->pool;
    wait_for_news(s);
    uint64_t deaths = atomic_load(&kin__family.header->deaths);
    if (deaths != s->deaths_seen && kin__records_drop_orphans(pool)) s->deaths_seen = deaths;
    if (state_of(pool) == KIN__POOL_TERMINATED || hopeless(s)) {
        bool broken = state_of(pool) != KIN__POOL_TERMINATED;
        kill_workers(s, KIN_CAUSE_TERMINATED);
        if (living(s) > 0 && !broken) return true;
        end_pool(s, broken ? KIN_CAUSE_NONE : KIN_CAUSE_TERMINATED);
        return false;
    }
    enforce_timeouts(s);
    if (state_of(pool) == KIN__POOL_CLOSED && !work_left(s)) {
        if (living(s) == 0) {
            end_pool(s, KIN_CAUSE_TERMINATED);
            return false;
        }
        return true;
    }
    if (kin__os_clock() >= s->fork_again) start_missing(s);
    return true;
}

int kin__supervisor_main(kin_pool *pool)
{
    struct supervisor s = {.pool = pool, .oom_kills = OOM_UNKNOWN};
    kin__os_interrupt_ignore();
    kin__os_standard_input_empty();
    if (kin__enter() < 0) return 1;
    s.child = kin__os_calloc(pool->workers, sizeof *s.child);
    s.poll = kin__os_calloc(pool->workers + 1, sizeof *s.poll);
    if (s.child == NULL || s.poll == NULL) return 1;
    for (unsigned i = 0; i < pool->workers; i++) s.child[i].descriptor = -1;
    /* From here on our death breaks the pool, and is told (announce in pool.c). */
    kin__touch(pool);
    atomic_store(&pool->supervisor, kin__self.member);
    int rc = start_missing(&s);
    if (rc < 0) {
        pool->open_failure.cause = KIN_CAUSE_NONE;
        pool->open_failure.code = rc;
        kill_workers(&s, KIN_CAUSE_TERMINATED);
        end_pool(&s, KIN_CAUSE_TERMINATED);
        return 1;
    }
    while (supervise(&s))
        ;
    kin__os_free(s.child);
    kin__os_free(s.poll);
    return 0;
}
