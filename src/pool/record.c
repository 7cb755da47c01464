/* record.c: task records: made, finished, freed.  See record.h for the invariants.
 *
 * The free list is a cache: a record is free if its state says FREE.  Whoever finds that the
 * last holder of the latch died makes the list anew from the states.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "pool/schedule.h"

/* ---- the free list (under the `records` latch) --------------------------------------------------- */

static void push_free(kin_pool *pool, kin_result *record, uint32_t index)
{
    record->next_free = pool->free_record;
    pool->free_record = index + 1;
}

static __attribute__((noinline)) void repair(kin_pool *pool)
{
    _Atomic(void *) *segments = kin__pool_segments(pool);
    uint32_t count = 0;
    while (count < KIN__RECORD_SEGMENTS && atomic_load(&segments[count]) != NULL) count++;
    atomic_store(&pool->segment_count, count);
    pool->free_record = 0;
    for (uint32_t i = count * KIN__SEGMENT_RECORDS; i > 0; i--) {
        kin_result *record = kin__pool_record(pool, i - 1);
        /* Without an owner it was on its way here (kin__record_free). */
        if (atomic_load(&record->owner) == 0) atomic_store(&record->state, KIN__TASK_FREE);
        if (KIN__TASK_STATE(atomic_load(&record->state)) == KIN__TASK_FREE) push_free(pool, record, i - 1);
    }
    kin__latch_clean(&pool->records);
}

static inline __attribute__((always_inline)) int lock(kin_pool *pool)
{
    int rc = kin__latch_acquire(&pool->records, KIN_FOREVER);
    if (rc == 1) repair(pool);
    return rc < 0 ? rc : 0;
}

/* One that is simply the next of its pool. */
static void make_ordinary(kin_result *record)
{
    record->priority = 0;
    atomic_store_explicit(&record->weight, 0, memory_order_relaxed);
    record->affinity = 0;
    record->not_before = 0;
    record->unmet = 0;
    atomic_store_explicit(&record->place, KIN__PLACE_QUEUE, memory_order_relaxed);
}

/* Publishes the segment that the thread has begun to allocate. */
static void add_segment(kin_pool *pool, struct kin__record_segment *segment)
{
    _Atomic(void *) *segments = kin__pool_segments(pool);
    uint32_t number = atomic_load(&pool->segment_count), first = number * KIN__SEGMENT_RECORDS;
    for (uint32_t i = KIN__SEGMENT_RECORDS; i > 0; i--) {
        kin_result *record = &segment->record[i - 1];
        record->pool = pool;
        record->index = first + i - 1;
        record->magic = KIN__MAGIC_CLOSED;
        record->done.point.kind = KIN__POINT_EVENT;
        /* It may have been a task of another pool, and gone with that. */
        record->failure.cause = KIN_CAUSE_NONE;
        record->dependents = NULL;
        atomic_store_explicit(&record->needs, NULL, memory_order_relaxed);
        make_ordinary(record);
        atomic_store(&record->state, KIN__TASK_FREE);
        push_free(pool, record, first + i - 1);
    }
    kin__allocate_publish(&segments[number]);
    /* CRASH: published and not counted: repair counts it. */
    atomic_store(&pool->segment_count, number + 1);
}

/* Takes a free record, or NULL.  Under the latch. */
static kin_result *pop_free(kin_pool *pool)
{
    if (pool->free_record == 0) return NULL;
    kin_result *record = kin__pool_record(pool, pool->free_record - 1);
    /* Acquire: pairs with the release of whoever had it last. */
    (void)atomic_load_explicit(&record->state, memory_order_acquire);
    atomic_store_explicit(&record->owner, kin__self.process_identity, memory_order_release);
    /* CRASH: before this store it is free, after it it is the owner's, which is dead.  Release: who looks without
     * the latch and sees it sees the owner. */
    atomic_store_explicit(&record->state, KIN__TASK_NEW, memory_order_release);
    pool->free_record = record->next_free;
    __atomic_store_n(&record->number, pool->number++, __ATOMIC_RELAXED);
    return record;
}

static void prepare(kin_result *record)
{
    atomic_store_explicit(&record->argument_block, NULL, memory_order_relaxed);
    atomic_store_explicit(&record->reply_block, NULL, memory_order_relaxed);
    record->reply_size = 0;
    __atomic_store_n(&record->map, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&record->job, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&record->timeout_ns, 0, __ATOMIC_RELAXED);
    record->errors = 0;
    record->crash_item = 0;
    record->progress[0] = 0;
    record->items = 1;
    record->came = 0;
    atomic_store_explicit(&record->plain, 0, memory_order_relaxed);
    atomic_store_explicit(&record->killed, 0, memory_order_relaxed);
    __atomic_store_n(&record->magic, KIN__MAGIC_RESULT, __ATOMIC_RELEASE);
}

/* Takes one of a new segment, or one that has become free meanwhile. */
static __attribute__((noinline)) int take_new(kin_pool *pool, kin_result **record)
{
    int rc = 0;
    if (atomic_load(&pool->segment_count) == KIN__RECORD_SEGMENTS) return -ENOMEM;
    struct kin__record_segment *segment = kin__allocate_object(KIN__OBJECT_RECORDS, sizeof *segment, &rc);
    if (segment == NULL) return rc;
    rc = lock(pool);
    if (rc == 0) {
        *record = pop_free(pool);
        if (*record == NULL && atomic_load(&pool->segment_count) < KIN__RECORD_SEGMENTS) {
            add_segment(pool, segment);
            segment = NULL;
            *record = pop_free(pool);
        }
        kin__latch_release(&pool->records);
        if (*record == NULL) rc = -ENOMEM;
    }
    if (segment != NULL) kin__allocate_cancel();
    return rc;
}

int kin__record_make(kin_pool *pool, kin_result **record)
{
    int rc = lock(pool);
    if (rc < 0) return rc;
    *record = pop_free(pool);
    kin__latch_release(&pool->records);
    if (__builtin_expect(*record == NULL, 0)) rc = take_new(pool, record);
    if (rc == 0) prepare(*record);
    return rc;
}

/* ---- the end of a record ------------------------------------------------------------------------------ */

static void free_block(_Atomic(void *) *block)
{
    void *memory = atomic_load_explicit(block, memory_order_relaxed);
    if (memory != NULL) kin__free(memory, block);
}

/* What most records never had. */
static void forget_schedule(kin_result *record)
{
    kin__needs_release(record);
    free_block(&record->needs);
    make_ordinary(record);
}

static inline void free_record(kin_result *record)
{
    kin_pool *pool = record->pool;
    __atomic_store_n(&record->magic, KIN__MAGIC_CLOSED, __ATOMIC_RELEASE);
    if (atomic_load_explicit(&record->place, memory_order_relaxed) != KIN__PLACE_QUEUE)
        forget_schedule(record);
    /* CRASH: a job whose map may be gone is no job any more, only a record to be freed. */
    __atomic_store_n(&record->map, NULL, __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_seq_cst);
    free_block(&record->argument_block);
    free_block(&record->reply_block);
    if (lock(pool) < 0) return;
    __atomic_store_n(&record->job, NULL, __ATOMIC_RELAXED);
    /* The repair of the latch may have come first, for one who died here with it. */
    if (KIN__TASK_STATE(atomic_load(&record->state)) != KIN__TASK_FREE) {
        atomic_store_explicit(&record->owner, 0, memory_order_release);
        /* CRASH: without an owner it counts as free. */
        atomic_store_explicit(&record->state, KIN__TASK_FREE, memory_order_release);
        push_free(pool, record, record->index);
    }
    kin__latch_release(&pool->records);
}

void kin__record_free(kin_result *record)
{
    free_record(record);
}

void kin__record_tell(kin_result *record, kin_result *job)
{
    kin__event_notify(job != NULL ? &job->done : &record->done, INT32_MAX);
}

/* Before the step that makes a record over. */
static void note_finishing(struct kin__worker *here, kin_result *record)
{
    uint64_t counted = atomic_load_explicit(&here->done, memory_order_relaxed) +
                       atomic_load_explicit(&here->failed, memory_order_relaxed);
    atomic_store_explicit(&here->finishing, NULL, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&here->counted, counted, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&here->finishing, record, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Only its worker writes it. */
static inline void count_one(_Atomic uint64_t *count)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

void kin__record_count(kin_pool *pool, struct kin__worker *worker, enum kin__task_state state)
{
    if (worker == NULL) {
        atomic_fetch_add(state == KIN__TASK_DONE ? &pool->done : &pool->failed, 1);
        kin__pool_counted(pool);
    } else {
        count_one(state == KIN__TASK_DONE ? &worker->done : &worker->failed);
    }
}

void kin__record_gone(kin_result *record, uint64_t word)
{
    free_record(record);
    if ((word & KIN__TASK_WATCHED) != 0) kin__event_notify(&record->pool->completed, INT32_MAX);
}

void kin__record_after(kin_result *record, kin_result *job, bool async, uint64_t over)
{
    kin_pool *pool = record->pool;
    if ((over & KIN__TASK_CLOSING) != 0) {
        kin__record_gone(record, over);
        return;
    }
    kin__record_tell(record, job);
    if (__builtin_expect((over & KIN__TASK_FLAGS) == 0 && !async, 1)) return;
    if ((over & KIN__TASK_WATCHED) != 0) kin__event_notify(&pool->completed, INT32_MAX);
    if ((over & KIN__TASK_NEEDED) != 0) kin__needs_settle(record);
    if ((over & KIN__TASK_DROPPED) != 0) atomic_store(&pool->untidy, 1); /* the supervisor frees it */
    if (async) kin__map_settle(job);
}

/* The worker that this is, if it is on that record, whose word is `word`: not another thread of its process. */
static struct kin__worker *worker_on(const kin_result *record, uint64_t word)
{
    struct kin__worker *here = kin__worker_here(record->pool);
    if (KIN__TASK_STATE(word) != KIN__TASK_CLAIMED) return NULL;
    bool on = here != NULL && atomic_load_explicit(&here->current, memory_order_relaxed) == record;
    return on ? here : NULL;
}

static bool in_lists(const kin_result *record, uint64_t word)
{
    return KIN__TASK_STATE(word) == KIN__TASK_QUEUED &&
           atomic_load_explicit(&record->place, memory_order_relaxed) == KIN__PLACE_LIST;
}

bool kin__record_finish(kin_result *record, uint64_t expected, enum kin__task_state state)
{
    kin_pool *pool = record->pool;
    kin_result *job = kin__record_job(record);
    /* Before it is over: what comes after is the job's no more. */
    bool async = job != NULL && job != record && kin__is_async(job);
    struct kin__worker *here = worker_on(record, expected);
    uint64_t over, last;
    if (here != NULL) note_finishing(here, record);
    for (uint64_t seen = expected;;) {
        last = seen;
        /* CRASH: of a worker that frees it the supervisor sees, by `current`, that it began to; of anybody
         * else it would not, not even of its owner: another may have closed it before. */
        over = kin__over_word(seen, state, job == NULL && here != NULL);
        /* Release: pairs with the acquire of who reads the outcome.  CRASH: after it the
         * outcome counts; who waits is woken by the supervisor (or by the end of its slice). */
        bool done = in_lists(record, seen) ? kin__schedule_finish(record, &seen, over)
                                           : atomic_compare_exchange_strong(&record->state, &seen, over);
        if (done) break;
        if (((seen ^ expected) & ~KIN__TASK_FLAGS) != 0) return false;
    }
    /* A part of a map that was never handed in is none of the tasks that were. */
    if (KIN__TASK_STATE(last) != KIN__TASK_NEW) kin__record_count(pool, here, KIN__TASK_STATE(over));
    kin__record_after(record, job, async, over);
    return true;
}

bool kin__record_done(kin_result *record, uint64_t expected, struct kin__worker *worker)
{
    note_finishing(worker, record);
    /* Release, and CRASH, as in kin__record_finish. */
    uint64_t over = (expected & ~(uint64_t)0xff) | KIN__TASK_DONE;
    if (!atomic_compare_exchange_strong(&record->state, &expected, over)) return false;
    count_one(&worker->done);
    kin__event_notify(&record->done, INT32_MAX);
    return true;
}

bool kin__record_withdraw(kin_result *record, uint64_t *word)
{
    while (KIN__TASK_STATE(*word) == KIN__TASK_QUEUED) {
        uint64_t ours = (*word & ~(uint64_t)0xff) | KIN__TASK_CLAIMED;
        /* CRASH: claimed by no worker: the pool is broken, and who waits is told so. */
        if (in_lists(record, *word) ? kin__schedule_finish(record, word, ours)
                                    : atomic_compare_exchange_strong(&record->state, word, ours)) {
            *word = ours;
            return true;
        }
    }
    return false;
}

void kin__record_fail(kin_result *record, uint64_t word, enum kin_cause cause, int code, int signal)
{
    unsigned worker = KIN__TASK_WORKER(word);
    record->failure = (kin_failure){
        .cause = cause,
        .code = code,
        .signal = signal,
        .task = record->number,
        .worker = worker,
        .worker_pid =
            KIN__TASK_ATTEMPT(word) != 0 ? atomic_load(&kin__pool_worker(record->pool, worker)->pid) : 0,
        .attempt = KIN__TASK_ATTEMPT(word),
        .attempts = record->attempts,
    };
    memcpy(record->failure.function, record->function, sizeof record->function);
    if (record->failure.worker_pid != 0)
        memcpy(record->failure.host, kin__pool_worker(record->pool, worker)->host,
               sizeof record->failure.host);
}

void kin__record_complete(const kin_result *record, uint64_t word, kin_failure *failure)
{
    failure->task = record->number;
    failure->attempt = KIN__TASK_ATTEMPT(word);
    failure->attempts = record->attempts;
    memcpy(failure->function, record->function, sizeof record->function);
}

void kin__record_fail_with(kin_result *record, uint64_t word, kin_failure failure)
{
    kin__record_complete(record, word, &failure);
    record->failure = failure;
    kin__record_finish(record, word, KIN__TASK_FAILED);
}

bool kin__record_doubt(kin_result *record, uint64_t word)
{
    bool ended = (word & KIN__TASK_CANCELLED) != 0 || atomic_load(&record->killed) != 0;
    if (ended || record->items == 1 || record->noted != 0 || record->progress[0] + 1 >= record->items)
        return false;
    record->noted = 1;
    record->not_before = 0;
    return true;
}

bool kin__record_crashed(kin_result *record, uint64_t word)
{
    /* Of several items the one it was on is charged. */
    uint64_t item = record->items > 1 ? record->progress[0] + 1 : 1;
    record->crashes = record->crash_item == item ? record->crashes + 1 : 1;
    record->crash_item = item;
    if (record->crashes > record->retries || (word & KIN__TASK_CANCELLED) != 0) return false;
    record->not_before = kin__retry_time(record, record->crashes);
    return true;
}

int kin__record_store(_Atomic(void *) *block, void *room, size_t room_size, const void *bytes, size_t size)
{
    int rc = 0;
    if (size <= room_size) {
        if (size > 0) memcpy(room, bytes, size);
        return 0;
    }
    if (size > kin__block_limit()) return -EMSGSIZE;
    void *memory = kin__allocate(size, &rc);
    if (memory == NULL) return rc;
    memcpy(memory, bytes, size);
    kin__allocate_publish(block);
    return 0;
}

/* ---- after the death of a submitter -------------------------------------------------------------------- */

static bool process_lives(uint64_t identity)
{
    uint32_t high = atomic_load(&kin__family.header->process_high);
    for (uint32_t i = 0; i < high; i++)
        if (atomic_load(&kin__family.processes[i].generation) == identity) return true;
    return false;
}

/* The task goes on, its outcome is nobody's.  Its submitter may have died before the message was
 * in the queue: then it is put now; a second message does no harm. */
static bool drop(kin_pool *pool, kin_result *record, uint64_t word)
{
    if (KIN__TASK_STATE(word) == KIN__TASK_QUEUED && !in_lists(record, word) &&
        kin_queue_put(pool->tasks, &record, sizeof record, KIN_NOW) == KIN_FULL)
        return false;
    while (!kin__task_over(word))
        if (atomic_compare_exchange_strong(&record->state, &word, word | KIN__TASK_DROPPED)) return true;
    kin__record_free(record);
    return true;
}

/* The process that submitted it is dead.  False to be called again. */
static bool drop_orphan(kin_pool *pool, kin_result *record)
{
    uint64_t word = atomic_load(&record->state);
    if (KIN__TASK_STATE(word) == KIN__TASK_FREE || (word & KIN__TASK_DROPPED) != 0) return true;
    if ((word & KIN__TASK_POISON) != 0) {
        atomic_store(&record->owner, KIN__OWNER_POOL); /* it had not quite taken it */
        return true;
    }
    if (kin__record_map(record) != NULL) return kin__map_orphan(record);
    if ((word & KIN__TASK_NEEDED) != 0) {
        atomic_fetch_or(&record->state, KIN__TASK_DROPPED);
        return false;
    }
    if (KIN__TASK_STATE(word) == KIN__TASK_NEW || kin__task_over(word)) {
        kin__record_gone(record, word);
        return true;
    }
    return drop(pool, record, word);
}

/* The map that nobody waited in is wanted by nobody any more. */
static bool drop_job(kin_result *record)
{
    uint64_t word = atomic_load(&record->state);
    if (kin__record_map(record) == NULL || !kin__is_async(record) || (word & KIN__TASK_DROPPED) == 0)
        return true;
    return KIN__TASK_STATE(word) == KIN__TASK_FREE || kin__map_tidy(record);
}

/* Is over, wanted by nobody any more, and not being freed: it was needed by others, a process closed it that
 * was not its owner, or who made it over was not the worker that was on it. */
static bool is_garbage(const kin_result *record)
{
    const uint64_t fate = KIN__TASK_DROPPED | KIN__TASK_CLOSING;
    uint64_t word = atomic_load(&record->state);
    return kin__task_over(word) && (word & fate) == KIN__TASK_DROPPED && !kin__record_is_needed(record) &&
           kin__record_map(record) == NULL;
}

static bool free_garbage(kin_pool *pool, kin_result *record)
{
    if (!is_garbage(record)) return false;
    /* Nobody can come to need it: it is closed.  Who needed it is known under the latch. */
    if ((atomic_load(&record->state) & KIN__TASK_NEEDED) != 0) {
        if (kin__schedule_lock(pool) < 0) return false;
        bool garbage = is_garbage(record);
        kin__schedule_unlock(pool);
        if (!garbage) return false;
    }
    kin__record_free(record);
    return true;
}

bool kin__records_tidy(kin_pool *pool, bool deaths)
{
    bool all = true, freed = true;
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        kin_result *record = kin__pool_record(pool, i);
        uint64_t word = atomic_load(&record->state);
        /* Again, for one who died before it had. */
        if (deaths && kin__task_over(word) && (word & KIN__TASK_NEEDED) != 0) kin__needs_settle(record);
        all = drop_job(record) && all;
        /* The owner first: while it is one that is dead, nobody else frees the record. */
        uint64_t owner = atomic_load(&record->owner);
        if (owner == 0 || owner == KIN__OWNER_POOL || process_lives(owner)) continue;
        all = drop_orphan(pool, record) && all;
    }
    while (freed) {
        freed = false;
        /* What needs others came after them, for the most part. */
        for (uint32_t i = kin__pool_record_count(pool); i > 0; i--)
            freed = free_garbage(pool, kin__pool_record(pool, i - 1)) || freed;
    }
    return all;
}

void kin__records_close(kin_pool *pool)
{
    _Atomic(void *) *segments = kin__pool_segments(pool);
    if (segments == NULL) return;
    for (uint32_t i = 0; i < KIN__RECORD_SEGMENTS; i++) {
        struct kin__record_segment *segment = atomic_load(&segments[i]);
        if (segment == NULL) continue;
        for (uint32_t n = 0; n < KIN__SEGMENT_RECORDS; n++) {
            kin_result *record = &segment->record[n];
            if (KIN__TASK_STATE(atomic_load(&record->state)) != KIN__TASK_FREE) {
                __atomic_store_n(&record->magic, KIN__MAGIC_CLOSED, __ATOMIC_RELEASE);
                free_block(&record->argument_block);
                free_block(&record->reply_block);
                free_block(&record->needs);
            }
        }
        kin__free(segment, &segments[i]);
    }
    kin__free(segments, &pool->segments_block);
}

KIN__LAYOUT_PART(records, struct kin__record_segment);
