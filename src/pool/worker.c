/* worker.c: what a worker process does: claim a task, run it, leave the outcome, again.
 *
 * Invariants: see pool.h.  `current` names the record from before the claim until its outcome
 * stands, so that the supervisor always finds what a dead worker was doing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/queue.h"
#include "os/os.h"
#include "pool/pool.h"
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
    uint64_t word; /* out: the state word of the claimed record */
};

static uint64_t claimed_word(uint64_t word, unsigned worker)
{
    uint64_t attempt = (uint64_t)KIN__TASK_ATTEMPT(word) + 1;
    return (word & KIN__TASK_DROPPED) | (uint64_t)worker << 32 | attempt << 16 | KIN__TASK_CLAIMED;
}

/* Under the queue's latch: makes the record of this message ours. */
static bool claim(const void *message, size_t size, void *context)
{
    struct claimant *claimant = context;
    kin_result *record;
    (void)size;
    memcpy(&record, message, sizeof record);
    uint64_t word = atomic_load(&record->state);
    /* CRASH: named and not claimed: the supervisor sees that the word does not name us. */
    atomic_store(&claimant->worker->current, record);
    atomic_store_explicit(&claimant->worker->started, record->timeout_ns != 0 ? kin__os_clock() : 0,
                          memory_order_relaxed);
    while (KIN__TASK_STATE(word) == KIN__TASK_QUEUED) {
        claimant->word = claimed_word(word, claimant->index);
        /* CRASH: claimed and still in the queue: the next consumer drops the message. */
        if (atomic_compare_exchange_strong(&record->state, &word, claimant->word)) return true;
    }
    atomic_store(&claimant->worker->current, NULL);
    return false;
}

static void finish(kin_result *record, uint64_t word, int rc)
{
    if (rc != 0) kin__record_fail(record, word, KIN_CAUSE_RETURNED, rc, 0);
    kin__record_finish(record, word, rc == 0 ? KIN__TASK_DONE : KIN__TASK_FAILED);
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

static int run_item(kin_result *record)
{
    size_t progress = 0;
    void *out = record->reply_inline;
    int rc = 0;
    if (record->out_size > sizeof record->reply_inline) {
        out = kin__allocate(record->out_size, &rc);
        if (out == NULL) return rc;
        kin__allocate_publish(&record->reply_block);
    }
    record->reply_size = record->out_size;
    return record->range(kin__record_argument(record), out, 1, &progress);
}

static void run(kin_result *record, uint64_t word, struct kin__worker *worker, kin_reply *reply)
{
    if (!kin__function_known(record)) {
        kin__record_fail(record, word, KIN_CAUSE_FUNCTION, 0, 0);
        if (record->map != NULL) kin__map_refuse(record);
        kin__record_finish(record, word, record->map != NULL ? KIN__TASK_DONE : KIN__TASK_FAILED);
    } else if (record->map != NULL) {
        kin__map_run(record, worker);
        kin__record_finish(record, word, KIN__TASK_DONE);
    } else {
        finish(record, word, record->bytes != NULL ? run_bytes(record, reply) : run_item(record));
    }
    atomic_store_explicit(&worker->tasks, atomic_load_explicit(&worker->tasks, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store(&worker->current, NULL);
}

/* The supervisor may have left a task of our predecessor for us to begin with; it is claimed. */
static void run_inherited(struct kin__worker *worker, kin_reply *reply)
{
    kin_result *record = atomic_load(&worker->current);
    if (record == NULL) return;
    if (record->timeout_ns != 0) atomic_store(&worker->started, kin__os_clock());
    run(record, atomic_load(&record->state), worker, reply);
}

int kin__worker_main(kin_pool *pool, unsigned index)
{
    struct kin__worker *worker = kin__pool_worker(pool, index);
    struct claimant claimant = {.pool = pool, .worker = worker, .index = index};
    kin_reply reply = {0};
    kin_result *record;
    kin__os_interrupt_ignore();
    if (kin__enter() < 0) return KIN__WORKER_NO_FAMILY;
    /* The supervisor writes them too, but may not have come to it yet, or die before. */
    worker->since = kin__os_boot_clock();
    atomic_store(&worker->pid, kin__os_pid());
    if (pool->initializer != NULL) {
        int rc = pool->initializer(pool->context);
        if (rc != 0) {
            pool->open_failure.cause = KIN_CAUSE_RETURNED;
            pool->open_failure.code = rc;
            return KIN__WORKER_INITIALIZER;
        }
    }
    atomic_store(&worker->state, KIN__WORKER_READY);
    if (kin__pool_all_ready(pool)) kin__event_notify(&pool->changed, INT32_MAX);
    run_inherited(worker, &reply);
    /* Nothing says yet that a task comes soon, and the others who start want the processor. */
    kin__watch_expect(false);
    bool first = true;
    for (;;) {
        if (pool->tasks_per_worker != 0 && atomic_load(&worker->tasks) >= pool->tasks_per_worker)
            return KIN__WORKER_RECYCLE;
        long rc = kin__queue_get_claim(pool->tasks, &record, sizeof record, KIN_FOREVER, claim, &claimant);
        if (rc < 0) return rc == KIN_ECLOSED ? 0 : KIN__WORKER_NO_QUEUE;
        if (first) kin__watch_expect(true);
        first = false;
        run(record, claimant.word, worker, &reply);
    }
}
