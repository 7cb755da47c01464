/* supervisor.c: the process that forks a pool's workers, replaces those that die, and decides
 * what their deaths mean for the tasks they were on; of a pool of threads, the thread that starts the
 * others and follows them in the same way.
 *
 * Invariants:
 *  - It runs no code of the user's; as a process it has one thread.
 *  - A death is dealt with before its worker is replaced: first what the dead one had
 *    finished counts, then the record it had claimed is charged, run again or failed.
 *  - It ends when its pool is closed and drained or terminated, and with its parent.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>
#include <kin/listener.h>

#include "base/log.h"
#include "ipc/connection.h"
#include "ipc/queue.h"
#include "memory/reap.h"
#include "os/os.h"
#include "pool/crew.h"
#include "pool/schedule.h"
#include "pool/worker.h"
#include "process/words.h"

#define OOM_UNKNOWN INT64_MIN

/* PRIVATE to the supervisor.
 *   broken   the pool cannot have workers; from then on `why` says why. */
struct supervisor {
    kin_pool *pool;
    const kin_pool_options *options;
    struct kin__hand *hand;
    struct kin__poll *poll;
    int wake;
    kin_listener *listener; /* for workers in other programs; NULL: none are let in */
    bool stderr_full;       /* nothing that workers print is read until there is room for it */
    uint64_t deaths_seen;
    int64_t oom_kills;        /* as last read */
    kin_deadline fork_again;  /* after a failed fork: not before */
    kin_deadline spare_since; /* there have been more workers than needed; KIN_FOREVER: there are not */
    unsigned early_deaths;
    int start_error; /* of the last start that failed */
    bool broken;
    kin_failure last, why;
};

/* Workers that die before they are ready, one after the other, end the pool. */
#define EARLY_DEATHS_MOST 10
#define FORK_PAUSE_NS     (20 * 1000000LL)
#define LOOK_NS           (100 * 1000000LL)
#define LOOK_TIMED_NS     (5 * 1000000LL)
#define SPARE_NS          (50 * 1000000LL)

/* What is polled besides workers and what they print: to be woken, the listener, room in stderr. */
#define POLLED_BESIDES 3

static enum kin__pool_state state_of(kin_pool *pool)
{
    return (enum kin__pool_state)atomic_load(&pool->state);
}

/* ---- starting --------------------------------------------------------------------------------------- */

static int start_worker(struct supervisor *s, unsigned index, kin_connection *connection)
{
    kin_pool *pool = s->pool;
    struct kin__worker *worker = kin__pool_worker(pool, index);
    atomic_store(&worker->state, KIN__WORKER_STARTING);
    atomic_store(&worker->started, 0);
    atomic_store(&worker->tasks, 0);
    atomic_store(&worker->condemned, NULL);
    atomic_store(&worker->intent, 0);
    atomic_store(&worker->blocked, 0);
    worker->host[0] = '\0';
    atomic_store(&worker->deputy, connection != NULL);
    s->hand[index].pool = pool;
    s->hand[index].index = index;
    s->hand[index].oom_kills = s->oom_kills;
    int rc = kin__hand_start(&s->hand[index], connection, s->options);
    if (rc < 0) {
        atomic_store(&worker->state, KIN__WORKER_NONE);
        if (connection == NULL) s->fork_again = kin__os_clock() + FORK_PAUSE_NS;
        return rc;
    }
    if (connection != NULL) atomic_fetch_add(&pool->deputies, 1);
    return 0;
}

static bool is_alive(const struct supervisor *s, unsigned index)
{
    return s->hand[index].there;
}

/* Has a dead worker left something for its successor? */
static bool has_heir(struct supervisor *s, unsigned index)
{
    return atomic_load(&kin__pool_worker(s->pool, index)->current) != NULL;
}

static unsigned living(const struct supervisor *s)
{
    unsigned count = 0;
    for (unsigned i = 0; i < kin__pool_slots(s->pool); i++) count += s->hand[i].there;
    return count;
}

struct crew {
    unsigned alive;   /* that are to stay */
    unsigned blocked; /* of them, on the pool itself */
};

static struct crew crew_of(struct supervisor *s)
{
    struct crew crew = {0};
    for (unsigned i = 0; i < kin__pool_slots(s->pool); i++) {
        struct kin__worker *worker = kin__pool_worker(s->pool, i);
        if (!is_alive(s, i) || atomic_load(&worker->deputy) || atomic_load(&worker->retire) != 0) continue;
        crew.alive++;
        crew.blocked += atomic_load(&worker->blocked) != 0;
    }
    return crew;
}

/* A slot without a worker from that one on, a new one if need be; not for deputies those that a task waits in. */
static int free_slot(struct supervisor *s, unsigned first, bool deputy, unsigned *index)
{
    unsigned slots = kin__pool_slots(s->pool);
    for (unsigned i = first; i < slots; i++) {
        *index = i;
        if (!is_alive(s, i) && !(deputy && has_heir(s, i))) return 0;
    }
    *index = slots;
    return slots < KIN__WORKERS_MOST ? kin__pool_add_slot(s->pool) : -EAGAIN;
}

/* True while a closed pool has tasks that need a worker to begin with them. */
static bool work_waits(struct supervisor *s)
{
    if (!kin_queue_empty(s->pool->tasks) || atomic_load(&s->pool->listed) != 0) return true;
    for (unsigned i = 0; i < kin__pool_slots(s->pool); i++)
        if (!is_alive(s, i) && has_heir(s, i)) return true;
    return false;
}

/* Who closed the pool when nothing had been handed in needs no workers that are not there yet. */
static bool wants_workers(struct supervisor *s)
{
    enum kin__pool_state state = state_of(s->pool);
    return state <= KIN__POOL_RUNNING || (state == KIN__POOL_CLOSED && work_waits(s));
}

/* Starts a worker in each empty slot that tasks may have as their home, whoever lives in others. */
static int fill_homes(struct supervisor *s, unsigned most)
{
    int rc = 0;
    unsigned alive = crew_of(s).alive;
    for (unsigned i = 0; i < kin__pool_size(s->pool) && alive < most && rc == 0 && wants_workers(s); i++) {
        if (i < kin__pool_slots(s->pool) && is_alive(s, i)) continue;
        while (rc == 0 && i >= kin__pool_slots(s->pool)) rc = kin__pool_add_slot(s->pool);
        if (rc == 0) rc = start_worker(s, i, NULL);
        alive++;
    }
    return rc;
}

/* Starts whoever is missing; 0 or the error of a fork. */
static int start_missing(struct supervisor *s)
{
    int rc = 0;
    unsigned index, most = kin__own_limit(s->pool);
    for (unsigned i = 0; i < kin__pool_slots(s->pool) && rc == 0; i++)
        if (!is_alive(s, i) && has_heir(s, i)) rc = start_worker(s, i, NULL);
    if (rc == 0) rc = fill_homes(s, most);
    struct crew crew = crew_of(s);
    unsigned wanted = kin__pool_size(s->pool) + crew.blocked;
    if (wanted > most) wanted = most;
    /* The limit is lower than it was, for a smaller pool: somebody has to run what they wait for. */
    if (crew.blocked > 0 && wanted <= crew.blocked) wanted = crew.blocked + 1;
    for (unsigned alive = crew.alive; alive < wanted && rc == 0 && wants_workers(s); alive++) {
        rc = free_slot(s, 0, false, &index);
        if (rc == 0) rc = start_worker(s, index, NULL);
    }
    /* Only now: while it is read, the workers get ready. */
    if (s->oom_kills == OOM_UNKNOWN && !s->pool->threads && living(s) > 0) {
        s->oom_kills = kin__os_oom_kills();
        for (unsigned i = 0; i < kin__pool_slots(s->pool); i++) s->hand[i].oom_kills = s->oom_kills;
    }
    return rc;
}

/* Lets those go that are more than are wanted: idle ones first, the last slots first. */
static void retire_spare(struct supervisor *s)
{
    struct crew crew = crew_of(s);
    unsigned wanted = kin__pool_size(s->pool) + crew.blocked;
    if (crew.alive <= wanted) {
        s->spare_since = KIN_FOREVER;
        return;
    }
    kin_deadline now = kin__os_clock();
    if (s->spare_since == KIN_FOREVER) s->spare_since = now;
    if (now - s->spare_since < SPARE_NS) return;
    unsigned spare = crew.alive - wanted;
    for (unsigned i = kin__pool_slots(s->pool); i-- > 0 && spare > 0;) {
        struct kin__worker *worker = kin__pool_worker(s->pool, i);
        if (!is_alive(s, i) || atomic_load(&worker->deputy) || atomic_load(&worker->retire) != 0 ||
            atomic_load(&worker->blocked) != 0)
            continue;
        atomic_store(&worker->retire, 1);
        spare--;
    }
    s->spare_since = KIN_FOREVER;
    kin__schedule_refresh(s->pool);
}

/* ---- after a death ------------------------------------------------------------------------------------- */

/* Has the kernel killed it for memory, or, where its group is not its own, anybody since it was started? */
static bool killed_for_memory(struct supervisor *s, const struct kin__hand *hand,
                              const kin_exit_status *status)
{
    if (status->kind != KIN_SIGNALED || status->signal != SIGKILL) return false;
    if (status->death == KIN_DEATH_MEMORY) return true;
    s->oom_kills = kin__os_oom_kills();
    return hand->oom_kills >= 0 && s->oom_kills > hand->oom_kills;
}

static kin_failure failure_of(struct supervisor *s, unsigned index, const kin_exit_status *status)
{
    struct kin__hand *hand = &s->hand[index];
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
    memcpy(failure.host, kin__pool_worker(s->pool, index)->host, sizeof failure.host);
    if (hand->ended_for != KIN_CAUSE_NONE)
        failure.cause = hand->ended_for;
    else if (killed_for_memory(s, hand, status))
        failure.cause = KIN_CAUSE_OUT_OF_MEMORY;
    return failure;
}

static bool on_purpose(const kin_exit_status *status, bool idle)
{
    return idle && status->kind == KIN_EXITED && (status->code == 0 || status->code == KIN__WORKER_RECYCLE);
}

static void bury(struct supervisor *s, unsigned index)
{
    kin_pool *pool = s->pool;
    struct kin__worker *worker = kin__pool_worker(pool, index);
    kin_exit_status status;
    int worker_pid = atomic_load(&worker->pid);
    kin__hand_collect(&s->hand[index], &status);
    if (atomic_load(&worker->deputy)) atomic_fetch_sub(&pool->deputies, 1);
    bool was_ready = atomic_load(&worker->state) == KIN__WORKER_READY;
    bool idle = atomic_load(&worker->current) == NULL;
    atomic_store(&worker->state, KIN__WORKER_NONE);
    /* Who closes the pool reaps at its end. */
    if (!on_purpose(&status, idle) || state_of(pool) != KIN__POOL_CLOSED) kin__reap_of(worker_pid);
    kin_failure failure = failure_of(s, index, &status);
    kin__hand_last_words(&s->hand[index], &failure);
    atomic_store(&worker->pid, 0); /* from here on it may be another's */
    /* Counted before anybody is told. */
    if (!on_purpose(&status, idle) && failure.cause != KIN_CAUSE_TERMINATED) {
        atomic_fetch_add(&pool->deaths, 1);
        atomic_fetch_add(&pool->deaths_by[failure.cause], 1);
    }
    /* Of a kill between what it was allowed and what it took from the queue. */
    atomic_store(&worker->intent, 0);
    atomic_store(&worker->blocked, 0);
    /* Ended for what it was to begin with: that is over, and says nothing of the workers. */
    bool condemned = failure.cause == KIN_CAUSE_CANCELLED || failure.cause == KIN_CAUSE_TIMEOUT;
    if (!kin__worker_charge(pool, index, was_ready || condemned, &failure))
        atomic_store(&worker->current, NULL);
    bool retired = atomic_exchange(&worker->retire, 0) != 0;
    kin__pool_counted(pool);
    /* Others may wait for the room it took, or to be told that it need not go any more. */
    if (retired || atomic_load(&pool->attention) != 0) kin__schedule_refresh(pool);
    /* How long a deputy lives is its peer's doing, and says nothing of what the pool's own workers can do. */
    if (atomic_load(&worker->deputy)) return;
    s->last = failure;
    s->early_deaths = was_ready ? 0 : s->early_deaths + !condemned;
    /* One that cannot begin is not started again and again without a pause. */
    if (!was_ready)
        s->fork_again = kin__os_clock() + (FORK_PAUSE_NS << (s->early_deaths < 6 ? s->early_deaths : 6));
}

/* ---- the end of the pool ---------------------------------------------------------------------------------- */

static void end_workers(struct supervisor *s, enum kin_cause cause)
{
    for (unsigned i = 0; i < kin__pool_slots(s->pool); i++)
        if (s->hand[i].there) kin__hand_dismiss(&s->hand[i], cause);
    /* So that threads look whether they are to end. */
    if (s->pool->threads) kin__schedule_refresh(s->pool);
}

/* Fails whatever no worker has begun, or all that is not over: nobody will run it. */
static void fail_rest(kin_pool *pool, kin_failure failure, bool begun)
{
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        kin_result *record = kin__pool_record(pool, i);
        uint64_t word = atomic_load(&record->state);
        bool claimed = KIN__TASK_STATE(word) == KIN__TASK_CLAIMED && begun;
        if (KIN__TASK_STATE(word) != KIN__TASK_QUEUED && !claimed) continue;
        if (kin__record_map(record) == NULL) {
            if (claimed || kin__record_withdraw(record, &word)) kin__record_fail_with(record, word, failure);
        } else if (kin__record_job(record) != record) {
            kin__record_finish(record, word, KIN__TASK_DONE);
        }
    }
}

/* What those tasks fail with that are not over when the pool ends. */
static kin_failure last_failure(const struct supervisor *s)
{
    if (s->broken && s->why.cause != KIN_CAUSE_NONE) return s->why;
    return (kin_failure){.cause = KIN_CAUSE_TERMINATED};
}

static void end_pool(struct supervisor *s)
{
    kin_pool *pool = s->pool;
    kin_queue_shutdown(pool->tasks, 0);
    kin__schedule_seal(pool);
    fail_rest(pool, last_failure(s), true);
    kin__pool_raise(pool, KIN__POOL_ENDED);
}

/* Ends whoever is there; true when the pool has ended with them. */
static bool end_all(struct supervisor *s)
{
    end_workers(s, KIN_CAUSE_TERMINATED);
    fail_rest(s->pool, last_failure(s), false);
    /* They may write into what is freed after the end. */
    if (living(s) > 0) return false;
    end_pool(s);
    return true;
}

/* Did the worker end because its initializer returned an error? */
static bool has_refused(const kin_failure *failure)
{
    return failure->cause == KIN_CAUSE_EXITED && failure->code == KIN__WORKER_INITIALIZER;
}

/* The pool cannot have workers: their initializer fails, or they die before they are ready. */
static bool hopeless(struct supervisor *s)
{
    bool opening = state_of(s->pool) == KIN__POOL_OPENING;
    return s->early_deaths >= (opening ? 1 : EARLY_DEATHS_MOST) || (opening && has_refused(&s->last));
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

/* What the worker is on is to be ended with it. */
static enum kin_cause sentence(struct kin__worker *worker, kin_result *record, unsigned index,
                               int64_t started)
{
    uint64_t word = atomic_load(&record->state);
    if (KIN__TASK_STATE(word) != KIN__TASK_CLAIMED || KIN__TASK_WORKER(word) != index) return KIN_CAUSE_NONE;
    if ((word & KIN__TASK_CANCELLED) != 0) return KIN_CAUSE_CANCELLED;
    if (atomic_load(&record->killed) != 0) return KIN_CAUSE_TIMEOUT;
    int64_t timeout = kin__record_timeout(record);
    bool late = timeout != 0 && started != 0 && kin__os_clock() - started > timeout;
    return late && atomic_load(&worker->started) == started ? KIN_CAUSE_TIMEOUT : KIN_CAUSE_NONE;
}

/* Kills the worker if it is still on what it is condemned for.  It looks at `condemned` after it has
 * finished something and before it begins the next: so it cannot be killed on another task. */
static void condemn(struct supervisor *s, unsigned index, kin_result *record, int64_t started)
{
    struct kin__worker *worker = kin__pool_worker(s->pool, index);
    atomic_store(&worker->condemned, record);
    enum kin_cause cause = sentence(worker, record, index, started);
    if (cause == KIN_CAUSE_NONE || atomic_load(&worker->current) != record) {
        atomic_store(&worker->condemned, NULL);
        return;
    }
    kin__hand_end(&s->hand[index], cause);
}

static void enforce(struct supervisor *s)
{
    if (s->pool->threads) return; /* the task is told when it asks */
    for (unsigned i = 0; i < kin__pool_slots(s->pool); i++) {
        struct kin__worker *worker = kin__pool_worker(s->pool, i);
        kin_result *record = atomic_load(&worker->current);
        if (record == NULL || !is_alive(s, i) || atomic_load(&worker->condemned) != NULL) continue;
        int64_t started = atomic_load(&worker->started);
        if (sentence(worker, record, i, started) != KIN_CAUSE_NONE) condemn(s, i, record, started);
    }
}

/* Is a closed pool to end, whatever those do who have connected and not said yet what they are? */
static bool has_finished(struct supervisor *s)
{
    if (state_of(s->pool) != KIN__POOL_CLOSED || work_waits(s)) return false;
    for (unsigned i = 0; i < kin__pool_slots(s->pool); i++) {
        struct kin__worker *worker = kin__pool_worker(s->pool, i);
        bool stranger = atomic_load(&worker->deputy) && atomic_load(&worker->state) != KIN__WORKER_READY;
        if (is_alive(s, i) && !stranger) return false;
    }
    return true;
}

static int64_t look_time(struct supervisor *s)
{
    if (s->spare_since != KIN_FOREVER) return SPARE_NS;
    if (atomic_load(&s->pool->timed) != 0 && !s->pool->threads) return LOOK_TIMED_NS;
    if (living(s) == 0 && has_finished(s)) return 0; /* no end of a worker tells that it is over */
    bool missing = living(s) < kin__pool_size(s->pool);
    return missing && state_of(s->pool) <= KIN__POOL_RUNNING ? FORK_PAUSE_NS : LOOK_NS;
}

/* Not while the pool ends and needs nobody: each that comes is one more to wait for, and so the end would never come
 * with peers that come again and again. */
static bool lets_in(struct supervisor *s)
{
    return s->listener != NULL && !s->broken && wants_workers(s);
}

/* Starts a deputy for each worker in another program that has shown that it knows the key. */
static void let_in(struct supervisor *s)
{
    kin_connection *connection = NULL;
    while (lets_in(s) && kin_listener_accept(s->listener, &connection, KIN_NOW) == 0) {
        unsigned index;
        int rc = atomic_load(&s->pool->deputies) < kin__deputies_limit(s->pool) ? 0 : -EAGAIN;
        /* Those of the pool's own size are for its own workers. */
        if (rc == 0) rc = free_slot(s, kin__pool_size(s->pool), true, &index);
        kin__connection_hand_over(connection);
        if (rc == 0) rc = start_worker(s, index, connection);
        if (rc < 0)
            kin__log(KIN_LOG_WARNING, "no deputy for a worker of pool %s: %s", s->pool->name,
                     kin_strerror(rc));
        kin__connection_forget(connection);
    }
}

static void wait_for_news(struct supervisor *s)
{
    unsigned count = kin__pool_slots(s->pool);
    for (unsigned i = 0; i < count; i++)
        s->poll[i] = (struct kin__poll){.descriptor = s->hand[i].there ? s->hand[i].descriptor : -1};
    s->poll[count] = (struct kin__poll){.descriptor = s->wake};
    s->poll[count + 1] = (struct kin__poll){.descriptor = lets_in(s) ? kin_listener_fileno(s->listener) : -1};
    s->poll[count + 2] = (struct kin__poll){.descriptor = s->stderr_full ? 2 : -1, .write = true};
    unsigned tails = s->pool->stderr_tail ? count : 0;
    for (unsigned i = 0; i < tails; i++)
        s->poll[count + POLLED_BESIDES + i] =
            (struct kin__poll){.descriptor = s->stderr_full ? -1 : kin__hand_stderr(&s->hand[i])};
    int rc = kin__os_poll(s->poll, count + POLLED_BESIDES + tails, kin__os_clock() + look_time(s));
    /* Or it was closed. */
    if (rc < 0 || s->poll[count + 2].ready) s->stderr_full = false;
    for (unsigned i = 0; i < tails; i++)
        if (s->poll[count + POLLED_BESIDES + i].ready && !kin__hand_take_words(&s->hand[i]))
            s->stderr_full = true;
    if (s->poll[count].ready) kin__os_event_clear(s->wake);
    if (s->poll[count + 1].ready) let_in(s);
    for (unsigned i = 0; i < count; i++)
        if (is_alive(s, i) && (s->poll[i].ready || kin__hand_ended(&s->hand[i]))) bury(s, i);
}

static void tidy(struct supervisor *s)
{
    kin_pool *pool = s->pool;
    uint64_t deaths = atomic_load(&kin__family.header->deaths);
    bool untidy = atomic_exchange(&pool->untidy, 0) != 0;
    if (deaths != s->deaths_seen || untidy) {
        bool all = kin__records_tidy(pool, deaths != s->deaths_seen);
        if (all) s->deaths_seen = deaths;
        if (untidy && !all) atomic_store(&pool->untidy, 1);
        atomic_store(&pool->poisoned, kin__poison_count(pool));
    }
    if (atomic_load(&pool->listed) != 0) kin__needs_fail(pool);
}

/* Workers that cannot be started, for another reason than want of something, end the pool in the end, when
 * none is left; the first failure is told at once. */
static void note_start(struct supervisor *s, int rc)
{
    if (rc == 0) return;
    if (s->start_error == 0)
        kin__log(KIN_LOG_ERROR, "pool %s cannot start a worker: %s", s->pool->name, kin_strerror(rc));
    s->start_error = rc;
    if (rc == -EAGAIN || rc == -ENOMEM || living(s) > 0 || ++s->early_deaths < EARLY_DEATHS_MOST) return;
    s->broken = true;
    s->why = (kin_failure){.cause = KIN_CAUSE_EXITED, .code = rc};
}

/* A worker died before it was ready. */
static void tell_opener(struct supervisor *s)
{
    kin_failure *told = &s->pool->open_failure;
    if (state_of(s->pool) != KIN__POOL_OPENING) return;
    *told = s->last;
    snprintf(told->function, sizeof told->function, "initializer");
    if (!has_refused(told)) return;
    told->cause = KIN_CAUSE_RETURNED;
    told->code = atomic_load(&kin__pool_worker(s->pool, told->worker)->refused);
}

/* One round; false when the pool has ended. */
static bool supervise(struct supervisor *s)
{
    kin_pool *pool = s->pool;
    wait_for_news(s);
    tidy(s);
    if (!s->broken && hopeless(s)) {
        s->broken = true;
        s->why = s->last;
        tell_opener(s);
    }
    if (state_of(pool) == KIN__POOL_TERMINATED || s->broken) return !end_all(s);
    enforce(s);
    kin__pool_note_tasks(pool);
    retire_spare(s);
    if (state_of(pool) == KIN__POOL_CLOSED) kin__pool_finish_closing(pool);
    if (has_finished(s)) {
        end_workers(s, KIN_CAUSE_TERMINATED);
        if (living(s) > 0) return true;
        end_pool(s);
        return false;
    }
    if (wants_workers(s) && kin__os_clock() >= s->fork_again) note_start(s, start_missing(s));
    return true;
}

static int listen(struct supervisor *s)
{
    if (!s->pool->listens) return 0;
    int rc = kin_listener_open(&s->listener, s->options->address, s->options->listener);
    if (rc < 0) return kin__start_fail(rc, "cannot listen at %s", s->options->address);
    snprintf(s->pool->address, sizeof s->pool->address, "%s", kin_listener_address(s->listener));
    atomic_store(&s->pool->listening, 1);
    return 0;
}

static int begin(struct supervisor *s)
{
    kin_pool *pool = s->pool;
    int rc = kin__pool_find_functions(pool);
    if (rc == 0) rc = listen(s);
    if (rc == 0) rc = start_missing(s);
    if (rc == 0 && !pool->awaited) kin__pool_raise(pool, KIN__POOL_RUNNING);
    if (rc == 0 && kin__pool_all_ready(pool)) kin__event_notify(&pool->changed, INT32_MAX);
    if (rc == 0) return 0;
    pool->open_failure.cause = KIN_CAUSE_NONE;
    pool->open_failure.code = rc;
    snprintf(pool->open_words, sizeof pool->open_words, "%s", kin_process_error());
    s->why = (kin_failure){.cause = KIN_CAUSE_EXITED, .code = rc}; /* of tasks that came meanwhile */
    s->broken = true;
    return rc;
}

static void work(struct supervisor *s)
{
    /* From here on our death breaks the pool, and is told (announce and forget in pool.c). */
    void *outer = kin__touch(s->pool);
    atomic_store(&s->pool->supervisor_identity, kin__self.process_identity);
    atomic_store(&s->pool->supervisor, kin__self.member);
    kin__event_notify(&s->pool->changed, INT32_MAX); /* who submits already waits for that */
    if (!s->pool->threads) kin__supervisor_wake_by(s->pool, s->wake);
    bool over = begin(s) < 0 && end_all(s);
    while (!over) over = !supervise(s);
    kin_listener_close(s->listener);
    kin__untouch(outer);
}

int kin__supervisor_main(kin_pool *pool, const kin_pool_options *options, int wake)
{
    struct supervisor s = {
        .pool = pool, .options = options, .wake = wake, .oom_kills = OOM_UNKNOWN, .spare_since = KIN_FOREVER};
    if (!pool->threads) {
        kin__os_interrupt_ignore();
        kin__os_standard_input_empty();
    }
    size_t hands = KIN__WORKERS_MOST * sizeof *s.hand;
    size_t polls = (2 * KIN__WORKERS_MOST + POLLED_BESIDES) * sizeof *s.poll;
    s.hand = kin__os_zeroed(hands);
    s.poll = kin__os_zeroed(polls);
    bool ready = s.hand != NULL && s.poll != NULL && kin__enter() == 0;
    if (ready) work(&s);
    if (s.hand != NULL) kin__os_memory_unmap(s.hand, hands);
    if (s.poll != NULL) kin__os_memory_unmap(s.poll, polls);
    return ready ? 0 : 1;
}
