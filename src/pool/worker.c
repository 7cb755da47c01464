/* worker.c: what a worker process does: claim a task, run it, leave the outcome, again.
 *
 * Invariants: see pool.h and record.h.  `current` names the record from before the claim until its outcome
 * stands, so that the supervisor always finds what a dead worker was doing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "ipc/queue.h"
#include "os/os.h"
#include "pool/deputy.h"
#include "pool/schedule.h"
#include "pool/worker.h"

/* ---- replies -------------------------------------------------------------------------------------- */

/* PRIVATE.  Gathers what a task of bytes returns. */
struct kin_reply {
    char *bytes;
    size_t size, capacity;
};

int kin_reply_write(kin_reply *reply, const void *bytes, size_t size)
{
    if (reply == NULL || (bytes == NULL && size > 0)) return -EINVAL;
    if (size > SIZE_MAX / 4 - reply->size) return -EMSGSIZE;
    if (reply->size + size > reply->capacity) {
        size_t capacity = (reply->size + size) * 2;
        char *grown = kin__os_malloc(capacity);
        if (grown == NULL) return -ENOMEM;
        if (reply->size > 0) memcpy(grown, reply->bytes, reply->size);
        kin__os_free(reply->bytes);
        reply->bytes = grown;
        reply->capacity = capacity;
    }
    if (size > 0) memcpy(reply->bytes + reply->size, bytes, size);
    reply->size += size;
    return 0;
}

int kin_reply_printf(kin_reply *reply, const char *format, ...)
{
    if (reply == NULL || format == NULL) return -EINVAL;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0) return -EINVAL;
    if ((size_t)length < sizeof line) return kin_reply_write(reply, line, (size_t)length);
    char *long_line = kin__os_malloc((size_t)length + 1);
    if (long_line == NULL) return -ENOMEM;
    va_start(arguments, format);
    vsnprintf(long_line, (size_t)length + 1, format, arguments);
    va_end(arguments);
    int rc = kin_reply_write(reply, long_line, (size_t)length);
    kin__os_free(long_line);
    return rc;
}

/* ---- tasks ------------------------------------------------------------------------------------------ */

struct claimant {
    kin_pool *pool;
    struct kin__worker *worker;
    unsigned index;
    bool admitted; /* schedule.c has allowed it */
    bool deputy;
    kin_range_function *known; /* of the last plain task: it is there */
};

/* Under the queue's latch: makes the record of this message ours. */
static enum kin__claim claim(const void *message, size_t size, void *context)
{
    struct claimant *claimant = context;
    kin_result *record;
    (void)size;
    memcpy(&record, message, sizeof record);
    uint64_t word = atomic_load(&record->state);
    /* Not before it is claimed: until then the record may be another task's at any time. */
    atomic_store_explicit(&claimant->worker->started, 0, memory_order_relaxed);
    /* CRASH: named and not claimed: the supervisor sees that the word does not name us. */
    atomic_store(&claimant->worker->current, record);
    /* Seq_cst, after that store: pairs with who makes room for a heavy task (schedule.c). */
    bool leave = atomic_load(&claimant->pool->attention) != 0 && !claimant->admitted;
    const bool plain = kin__record_is_plain(record);
    if (!leave && (plain || atomic_load_explicit(&record->place, memory_order_relaxed) == KIN__PLACE_QUEUE)) {
        while (KIN__TASK_STATE(word) == KIN__TASK_QUEUED)
            /* CRASH: claimed and still in the queue: the next consumer drops the message. */
            if (atomic_compare_exchange_strong(&record->state, &word,
                                               kin__claimed_word(word, claimant->index))) {
                /* Only now it is certain to be this task's. */
                if (!kin__record_is_plain(record)) kin__worker_begins(claimant->worker, record);
                return KIN__CLAIM_TAKE;
            }
    }
    atomic_store(&claimant->worker->current, NULL);
    return leave ? KIN__CLAIM_LEAVE : KIN__CLAIM_DROP;
}

/* The function has returned an error: may it be run again? */
static bool again(kin_result *record, uint64_t word)
{
    unsigned errors = ++record->errors;
    if (errors > record->retries_error || (word & KIN__TASK_CANCELLED) != 0) return false;
    record->not_before = kin__retry_time(record, errors);
    if (!kin__schedule_again(record, word)) return false;
    struct kin__worker *here = kin__worker_here(record->pool);
    if (here != NULL) atomic_fetch_add_explicit(&here->retried, 1, memory_order_relaxed);
    return true;
}

/* It is to be charged like one that has killed its worker: run again, or failed. */
static void charge(kin_result *record, uint64_t word, kin_failure *failure, bool poison)
{
    if (failure->cause != KIN_CAUSE_FUNCTION && kin__record_crashed(record, word) &&
        kin__schedule_again(record, word))
        return;
    kin__record_complete(record, word, failure);
    if (poison) kin__poison_keep(record, failure);
    kin__record_fail_with(record, word, *failure);
}

/* Whoever is not ended for it in time, for example because it is a thread, is late all the same. */
static bool is_late(const kin_result *record, const struct kin__worker *worker)
{
    int64_t timeout = kin__record_timeout(record);
    return timeout != 0 &&
           kin__os_clock() - atomic_load_explicit(&worker->started, memory_order_relaxed) > timeout;
}

static void finish_late(kin_result *record, uint64_t word, const struct kin__worker *worker)
{
    kin_failure failure = {.cause = KIN_CAUSE_TIMEOUT,
                           .worker = KIN__TASK_WORKER(word),
                           .worker_pid = atomic_load(&worker->pid)};
    charge(record, word, &failure, true);
}

/* A thread cannot be ended: what its task makes comes too late, as that of a process that is killed in it. */
static bool is_too_late(const kin_pool *pool)
{
    return pool->threads && atomic_load(&pool->state) >= KIN__POOL_TERMINATED;
}

static void finish(kin_result *record, uint64_t word, int rc)
{
    uint32_t state = atomic_load(&record->pool->state);
    /* The supervisor is dead, and this process is about to be: who waits is told that, not what a task made of it. */
    if (rc != 0 && state == KIN__POOL_BROKEN) return;
    /* A task that was told to end (kin_task_cancelled) has not failed by itself. */
    bool ended = state >= KIN__POOL_TERMINATED && (rc != 0 || record->pool->threads);
    if (rc != 0 && !ended && record->retries_error != 0 && again(record, word)) return;
    bool failed = rc != 0 || ended;
    if (failed) kin__record_fail(record, word, ended ? KIN_CAUSE_TERMINATED : KIN_CAUSE_RETURNED, rc, 0);
    kin__record_finish(record, word, failed ? KIN__TASK_FAILED : KIN__TASK_DONE);
}

static int run_bytes(kin_result *record, kin_reply *reply)
{
    reply->size = 0;
    int rc = record->bytes(kin__record_argument(record), record->argument_size, reply);
    if (rc == 0)
        rc = kin__record_store(&record->reply_block, record->reply_inline, sizeof record->reply_inline,
                               reply->bytes, reply->size);
    record->reply_size = reply->size;
    return rc;
}

/* Room for the outcomes, which an earlier worker may have made already. */
static void *room_for(kin_result *record, size_t size, int *rc)
{
    if (size <= sizeof record->reply_inline) return record->reply_inline;
    void *out = atomic_load_explicit(&record->reply_block, memory_order_relaxed);
    if (out != NULL) return out;
    out = kin__allocate(size, rc);
    if (out != NULL) kin__allocate_publish(&record->reply_block);
    return out;
}

/* Several items: from where an earlier worker was, if there was one. */
static int run_several(kin_result *record, const char *in, char *out)
{
    int64_t begin = kin__os_clock();
    size_t item = record->progress[0];
    int rc = 0;
    if (item == 0) {
        rc = record->range(in, out, record->items, &record->progress[0]);
        item = rc == 0 ? record->items : record->progress[0];
    }
    for (; item < record->items && rc == 0; item += rc == 0) {
        size_t only = 0;
        record->progress[0] = item;
        rc = record->range(in + item * record->in_size, out + item * record->out_size, 1, &only);
    }
    record->ran_ns = kin__os_clock() - begin;
    return rc;
}

static int run_items(kin_result *record)
{
    size_t progress = 0;
    int rc = 0;
    record->reply_size = (size_t)record->items * record->out_size;
    void *out = room_for(record, record->reply_size, &rc);
    if (out == NULL) return rc;
    const void *in = kin__record_argument(record);
    return record->items == 1 ? record->range(in, out, 1, &progress) : run_several(record, in, out);
}

/* Bucket i counts what took less than 2^i ns, and not less than half of that; the last one, the rest. */
static void note_time(_Atomic uint64_t *buckets, int64_t time)
{
    unsigned bucket = time > 0 ? 64 - (unsigned)__builtin_clzll((uint64_t)time) : 0;
    if (bucket >= KIN_TIME_BUCKETS) bucket = KIN_TIME_BUCKETS - 1;
    atomic_store_explicit(&buckets[bucket], atomic_load_explicit(&buckets[bucket], memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static int64_t note_beginning(const kin_result *record, struct kin__worker *worker)
{
    int64_t now = kin__os_clock();
    if (KIN__TASK_ATTEMPT(atomic_load_explicit(&record->state, memory_order_relaxed)) == 1)
        note_time(worker->queue_time, now - record->came);
    return now;
}

/* ---- tasks that run elsewhere ------------------------------------------------------------------------- */

/* Another worker is to run it, or to go on with it. */
static void give_back(kin_result *record, uint64_t word)
{
    record->not_before = 0;
    if (!kin__schedule_again(record, word)) {
        /* The pool has ended meanwhile. */
        kin__record_fail(record, word, KIN_CAUSE_TERMINATED, 0, 0);
        kin__record_finish(record, word, record->map != NULL ? KIN__TASK_DONE : KIN__TASK_FAILED);
    }
}

/* Items of a task, from where an earlier worker was; one at a time if that was lost with several. */
static enum kin__deputy_outcome run_items_there(kin_result *record, int *code, kin_failure *failure)
{
    enum kin__deputy_outcome outcome;
    record->reply_size = (size_t)record->items * record->out_size;
    char *out = room_for(record, record->reply_size, code);
    if (out == NULL) return KIN__DEPUTY_DONE;
    record->ran_ns = 0;
    do {
        size_t done = record->items > 1 ? record->progress[0] : 0;
        struct kin__deputy_items items = {
            .function = record->function,
            .inputs = 1,
            .in = {(const char *)kin__record_argument(record) + done * record->in_size},
            .in_size = {record->in_size},
            .out = out + done * record->out_size,
            .out_size = record->out_size,
            .count = record->noted != 0 ? 1 : record->items - done,
        };
        outcome = kin__deputy_items(&items, failure);
        record->ran_ns += items.ran_ns;
        record->progress[0] = done + items.done;
        *code = items.code;
    } while (outcome == KIN__DEPUTY_DONE && *code == 0 && record->progress[0] < record->items);
    return outcome;
}

static void run_there(kin_result *record, uint64_t word)
{
    kin_failure failure = {0};
    int code = 0;
    enum kin__deputy_outcome outcome = record->bytes != NULL ? kin__deputy_task(record, &code, &failure)
                                                             : run_items_there(record, &code, &failure);
    if (outcome == KIN__DEPUTY_DONE) {
        finish(record, word, code);
    } else if (outcome == KIN__DEPUTY_UNSENT ||
               (outcome == KIN__DEPUTY_LOST && kin__record_doubt(record, word))) {
        give_back(record, word);
    } else {
        charge(record, word, &failure, outcome == KIN__DEPUTY_DIED && failure.cause != KIN_CAUSE_FUNCTION);
    }
}

/* ---- running -------------------------------------------------------------------------------------------- */

static void run_map(kin_result *record, uint64_t word, struct kin__worker *worker)
{
    if (kin__map_run(record, worker))
        kin__record_finish(record, word, KIN__TASK_DONE);
    else
        give_back(record, word);
}

/* A plain one: nothing of the record is looked at but what it says of that. */
static void run_plain(kin_result *record, uint64_t word, struct kin__worker *worker)
{
    size_t progress = 0;
    int rc = record->range(record->argument_inline, record->reply_inline, 1, &progress);
    if (rc != 0 || is_too_late(record->pool) || !kin__record_done(record, word, worker))
        finish(record, word, rc);
}

/* True if it has left more room than that of one task. */
static __attribute__((noinline)) bool run_any(kin_result *record, uint64_t word, struct kin__worker *worker,
                                              kin_reply *reply)
{
    bool heavy = atomic_load_explicit(&record->weight, memory_order_relaxed) > 1;
    int64_t begun = record->came != 0 && record->map == NULL ? note_beginning(record, worker) : 0;
    if ((word & KIN__TASK_CANCELLED) != 0) {
        kin__record_finish(record, word, KIN__TASK_FAILED);
    } else if (kin__deputy_here() && record->map == NULL) {
        run_there(record, word);
    } else if (!kin__function_known(record)) {
        kin__record_fail(record, word, KIN_CAUSE_FUNCTION, 0, 0);
        if (record->map != NULL) kin__map_refuse(record);
        kin__record_finish(record, word, record->map != NULL ? KIN__TASK_DONE : KIN__TASK_FAILED);
    } else if (record->map != NULL) {
        run_map(record, word, worker);
    } else {
        int rc = record->bytes != NULL ? run_bytes(record, reply) : run_items(record);
        if (is_late(record, worker))
            finish_late(record, word, worker);
        else
            finish(record, word, rc);
    }
    if (begun != 0) note_time(worker->run_time, kin__os_clock() - begun);
    return heavy;
}

/* Plain, to be run here, and by a function that is there. */
static inline bool is_usual(struct claimant *claimant, const kin_result *record, uint64_t word)
{
    if (!kin__record_is_plain(record) || (word & KIN__TASK_FLAGS) != 0 || claimant->deputy) return false;
    if (__builtin_expect(record->range == claimant->known, 1)) return true;
    if (!kin__function_known(record)) return false;
    claimant->known = record->range;
    return true;
}

static void run(struct claimant *claimant, kin_result *record, kin_reply *reply)
{
    uint64_t word = atomic_load_explicit(&record->state, memory_order_relaxed);
    kin_pool *pool = claimant->pool;
    struct kin__worker *worker = claimant->worker;
    bool heavy = false;
    if (__builtin_expect(is_usual(claimant, record, word), 1))
        run_plain(record, word, worker);
    else
        heavy = run_any(record, word, worker, reply);
    atomic_store_explicit(&worker->tasks, atomic_load_explicit(&worker->tasks, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    /* An exchange: a full barrier after what was counted. */
    atomic_exchange(&worker->current, NULL);
    kin__pool_counted(pool);
    if (__builtin_expect(heavy, 0)) kin__schedule_refresh(pool);
}

long kin_task_need(size_t index, const void **out)
{
    kin_pool *pool = kin__own_pool();
    if (out == NULL || pool == NULL) return -EINVAL;
    kin_result *record = atomic_load(&kin__worker_here(pool)->current);
    struct kin__needs *needs = record != NULL ? kin__needs_of(record) : NULL;
    if (needs == NULL || index >= needs->count) return KIN_EINDEX;
    *out = kin__record_reply(needs->edge[index].need);
    return (long)needs->edge[index].need->reply_size;
}

int kin_task_cancelled(void)
{
    kin_pool *pool = kin__own_pool();
    if (pool == NULL) return 0;
    const struct kin__worker *worker = kin__worker_here(pool);
    kin_result *record = atomic_load(&worker->current);
    if (record == NULL) return 0;
    if ((atomic_load(&record->state) & KIN__TASK_CANCELLED) != 0 || atomic_load(&record->killed) != 0 ||
        atomic_load(&pool->state) >= KIN__POOL_TERMINATED)
        return 1;
    if (kin__record_map(record) != NULL && kin__map_is_cancelled(record)) return 1;
    return is_late(record, worker);
}

/* The supervisor may have left a task of our predecessor for us to begin with; it is claimed. */
static void run_inherited(struct claimant *claimant, kin_reply *reply)
{
    kin_result *record = atomic_load(&claimant->worker->current);
    if (record == NULL) return;
    if (record->timeout_ns != 0) atomic_store(&claimant->worker->started, kin__os_clock());
    run(claimant, record, reply);
}

/* A worker that is woken when another one keeps up with the tasks alone, as it may with short ones, costs who hands
 * them in more than it does: it looks again by itself after this time. */
#define PAUSE_NS (100 * 1000LL)

/* ---- what comes next ------------------------------------------------------------------------------- */

/* One round by schedule.c: takes a task, or sleeps.  1: *record is claimed; 0: look again; or
 * an error of kin_queue_get. */
static long take_scheduled(struct claimant *claimant, struct kin__queue_claim *by, kin_result **record)
{
    kin_pool *pool = claimant->pool;
    kin_deadline until, next = 0;
    long rc = KIN_EMPTY;
    uint32_t seen = kin__event_prepare(&pool->tasks->items);
    enum kin__pick pick = kin__schedule_pick(pool, claimant->index, record, &until, &next);
    if (pick == KIN__PICK_QUEUE) {
        const struct kin__queue_claim now = {.claim = by->claim, .context = by->context};
        claimant->admitted = true;
        rc = kin__queue_get_claim(pool->tasks, record, sizeof *record, KIN_NOW, &now);
        claimant->admitted = false;
        kin__schedule_took(pool, claimant->index, rc >= 0, next);
        if (rc == KIN_ECLOSED && atomic_load(&pool->listed) != 0) rc = KIN_EMPTY;
    }
    if (claimant->deputy && until > kin__os_clock() + KIN__SLICE_NS) until = kin__os_clock() + KIN__SLICE_NS;
    if (pick != KIN__PICK_TASK && rc == KIN_EMPTY && atomic_load(&claimant->worker->retire) == 0)
        kin__event_sleep(&pool->tasks->items, seen, until);
    kin__event_done(&pool->tasks->items);
    if (pick == KIN__PICK_TASK || rc >= 0) return 1;
    return rc == KIN_EMPTY ? 0 : rc;
}

/* 1: *record is claimed; 0: look again; or an error of kin_queue_get. */
static long take(struct claimant *claimant, struct kin__queue_claim *by, kin_result **record)
{
    if (atomic_load_explicit(by->interrupt, memory_order_relaxed) != 0)
        return take_scheduled(claimant, by, record);
    /* A deputy looks after its connection meanwhile. */
    kin_deadline until = claimant->deputy ? kin__os_clock() + KIN__SLICE_NS : KIN_FOREVER;
    long rc = kin__queue_get_claim(claimant->pool->tasks, record, sizeof *record, until, by);
    if (rc >= 0) return 1;
    if (rc == KIN_EMPTY) return 0;
    if (rc == KIN_ECLOSED && atomic_load(&claimant->pool->listed) != 0)
        return take_scheduled(claimant, by, record);
    return rc == -EINTR ? 0 : rc;
}

/* Is this worker to begin nothing any more? */
static bool must_end(kin_pool *pool, struct kin__worker *worker)
{
    /* Seq_cst, after the end of the last task: pairs with condemn in supervisor.c. */
    if (atomic_load(&worker->condemned) != NULL) return true;
    if (atomic_load_explicit(&worker->retire, memory_order_relaxed) != 0) return true;
    if (atomic_load_explicit(&pool->state, memory_order_relaxed) >= KIN__POOL_TERMINATED) return true;
    if (pool->tasks_per_worker != 0 && atomic_load(&worker->tasks) >= pool->tasks_per_worker) return true;
    /* After a task: one that is too large from the beginning would never run any. */
    if (pool->memory_per_worker == 0 || atomic_load(&worker->tasks) == 0) return false;
    return kin__os_memory_resident() > pool->memory_per_worker;
}

static int initialize(kin_pool *pool, unsigned index, kin_connection *connection)
{
    if (connection != NULL) {
        int greeted = kin__deputy_greet(pool, index, connection);
        if (greeted == 0) return 0;
        kin__log(KIN_LOG_WARNING, "what connected to pool %s is no worker: %s", pool->name,
                 kin_strerror(greeted));
        return KIN__WORKER_RECYCLE;
    }
    int rc = pool->initializer != NULL ? pool->initializer(pool->context) : 0;
    if (rc == 0) return 0;
    /* Relaxed: the end of the worker is told after it. */
    atomic_store_explicit(&kin__pool_worker(pool, index)->refused, rc, memory_order_relaxed);
    return KIN__WORKER_INITIALIZER;
}

/* Until there is nothing more to be done: the code to end with. */
static int work(struct claimant *claimant, kin_reply *reply)
{
    kin_pool *pool = claimant->pool;
    struct kin__worker *worker = claimant->worker;
    struct kin__queue_claim by = {
        .claim = claim, .context = claimant, .interrupt = &pool->attention, .pause_ns = PAUSE_NS};
    kin_result *record;
    run_inherited(claimant, reply);
    /* Nothing says yet that a task comes soon, and the others who start want the processor. */
    kin__watch_expect(false);
    bool first = true;
    while (!must_end(pool, worker)) {
        if (claimant->deputy && !kin__deputy_alive()) break;
        long taken = take(claimant, &by, &record);
        if (taken == KIN_ECLOSED && claimant->deputy) kin__deputy_farewell();
        if (taken < 0) return taken == KIN_ECLOSED ? 0 : KIN__WORKER_NO_QUEUE;
        if (taken == 0) continue;
        if (first) kin__watch_expect(true);
        first = false;
        run(claimant, record, reply);
    }
    if (claimant->deputy && atomic_load(&pool->state) == KIN__POOL_TERMINATED) kin__deputy_farewell();
    return KIN__WORKER_RECYCLE;
}

static void free_reply(void *reply)
{
    kin__os_free(((kin_reply *)reply)->bytes);
}

int kin__worker_main(kin_pool *pool, unsigned index, kin_connection *connection)
{
    struct kin__worker *worker = kin__pool_worker(pool, index);
    struct claimant claimant = {.pool = pool, .worker = worker, .index = index, .deputy = connection != NULL};
    kin_reply reply = {0};
    if (!pool->threads) kin__os_interrupt_ignore();
    if (kin__enter() < 0) return KIN__WORKER_NO_FAMILY;
    kin__own_set(pool, index);
    /* The supervisor writes them too, but may not have come to it yet, or die before. */
    atomic_store_explicit(&worker->since, kin__os_boot_clock(), memory_order_relaxed);
    atomic_store(&worker->pid, pool->threads ? kin__os_thread_id() : kin__os_pid());
    int rc = initialize(pool, index, connection);
    if (rc != 0) return rc;
    atomic_store(&worker->state, KIN__WORKER_READY);
    if (atomic_load(&pool->state) == KIN__POOL_OPENING && kin__pool_all_ready(pool))
        kin__event_notify(&pool->changed, INT32_MAX);
    pthread_cleanup_push(free_reply, &reply);
    rc = work(&claimant, &reply);
    pthread_cleanup_pop(1);
    return rc;
}
