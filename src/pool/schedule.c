/* schedule.c: tasks that are not simply the next: of a priority, for one worker, of several slots,
 * to be begun later, or waiting for what they need; and pauses and rates.
 *
 * An ordinary task is a message in the task queue, and costs nothing here: a worker asks this file
 * only while `attention` is not 0.
 *
 * Invariants:
 *  - The lists are caches of the records: QUEUED with place LIST is in one of them.  Whoever finds
 *    that the last holder of the latch died makes them anew.
 *  - A task leaves QUEUED under the latch, and leaves its list with it.
 *  - The tasks that run have together no more slots than the pool has workers, as soon as one of
 *    them is heavy.  Who is blocked on the pool itself does not count.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/queue.h"
#include "os/os.h"
#include "pool/schedule.h"

/* ---- the lists (under the latch) ------------------------------------------------------------------ */

static kin_result *record_of(struct kin__links *link)
{
    return kin__links_entry(link, kin_result, link);
}

static void prepare(struct kin__schedule *schedule)
{
    for (unsigned i = 0; i < KIN__PRIORITIES; i++) kin__links_init(&schedule->ready[i]);
    kin__links_init(&schedule->delayed);
    kin__links_init(&schedule->waiting);
    kin__links_init(&schedule->failing);
    schedule->ready_count = 0;
    schedule->prepared = true;
}

/* Behind those that came before it; after a repair, too. */
static void append(struct kin__links *list, kin_result *record)
{
    struct kin__links *after = list->previous;
    while (after != list && record_of(after)->number > record->number) after = after->previous;
    kin__links_append(after->next, &record->link);
}

static void insert(kin_pool *pool, kin_result *record)
{
    struct kin__schedule *schedule = &pool->schedule;
    if (record->unmet > 0) {
        append(kin__needs_failed(record) ? &schedule->failing : &schedule->waiting, record);
    } else if (record->not_before != 0) {
        append(&schedule->delayed, record);
    } else {
        append(&schedule->ready[record->priority + KIN__PRIORITY_MOST], record);
        schedule->ready_count++;
    }
}

static void take_out(kin_pool *pool, kin_result *record)
{
    bool ready = record->unmet == 0 && record->not_before == 0;
    kin__links_remove(&record->link);
    if (ready) pool->schedule.ready_count--;
    atomic_fetch_sub(&pool->listed, 1);
}

static bool is_listed(kin_result *record)
{
    return KIN__TASK_STATE(atomic_load(&record->state)) == KIN__TASK_QUEUED &&
           atomic_load_explicit(&record->place, memory_order_relaxed) == KIN__PLACE_LIST;
}

static void repair(kin_pool *pool)
{
    uint32_t listed = 0;
    prepare(&pool->schedule);
    kin__needs_repair(pool);
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        kin_result *record = kin__pool_record(pool, i);
        kin__links_init(&record->link);
        if (!is_listed(record)) continue;
        insert(pool, record);
        listed++;
    }
    atomic_store(&pool->listed, listed);
    kin__latch_clean(&pool->schedule.latch);
}

int kin__schedule_lock(kin_pool *pool)
{
    int rc = kin__latch_acquire(&pool->schedule.latch, KIN_FOREVER);
    if (rc < 0) return rc;
    if (rc == 1)
        repair(pool);
    else if (!pool->schedule.prepared)
        prepare(&pool->schedule);
    return 0;
}

/* ---- slots --------------------------------------------------------------------------------------------- */

static unsigned weight_of(kin_pool *pool, const kin_result *record)
{
    unsigned weight = atomic_load_explicit(&record->weight, memory_order_relaxed);
    unsigned most = kin__pool_room(pool);
    if (weight == 0) weight = 1;
    return weight < most ? weight : most;
}

/* The slots that are in use by the other workers; *heavy: some task has several. */
static unsigned slots_in_use(kin_pool *pool, unsigned except, bool *heavy)
{
    unsigned used = 0;
    *heavy = false;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        kin_result *record = atomic_load(&worker->current);
        if (i == except || atomic_load(&worker->blocked) != 0) continue;
        if (record != NULL) {
            unsigned weight = weight_of(pool, record);
            used += weight;
            *heavy = *heavy || weight > 1;
        } else {
            used += atomic_load(&worker->intent) != 0;
        }
    }
    return used;
}

/* Corrects `attention`; under the latch. */
static void correct(kin_pool *pool)
{
    struct kin__schedule *schedule = &pool->schedule;
    uint32_t attention = 0;
    bool heavy = false, retire = false;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++)
        retire = retire || atomic_load(&kin__pool_worker(pool, i)->retire) != 0;
    if (schedule->ready_count > 0 || !kin__links_empty(&schedule->delayed))
        attention |= KIN__ATTENTION_LISTED;
    if ((atomic_load(&pool->attention) & KIN__ATTENTION_HEAVY) != 0 && !schedule->held)
        slots_in_use(pool, UINT32_MAX, &heavy);
    if (heavy || schedule->held) attention |= KIN__ATTENTION_HEAVY;
    if (schedule->paused) attention |= KIN__ATTENTION_PAUSED;
    if (schedule->interval_ns > 0) attention |= KIN__ATTENTION_RATE;
    if (retire) attention |= KIN__ATTENTION_RETIRE;
    bool failing = !kin__links_empty(&schedule->failing);
    if (atomic_load_explicit(&schedule->any_failing, memory_order_relaxed) != failing)
        atomic_store(&schedule->any_failing, failing);
    if (atomic_load_explicit(&pool->attention, memory_order_relaxed) != attention)
        atomic_store(&pool->attention, attention);
}

void kin__schedule_wake(kin_pool *pool, int count)
{
    kin_queue *tasks = kin__pool_tasks(pool);
    if (tasks != NULL) kin__queue_wake(tasks, count);
}

void kin__schedule_unlock(kin_pool *pool)
{
    correct(pool);
    bool drained = atomic_load(&pool->listed) == 0 && atomic_load(&pool->state) >= KIN__POOL_CLOSED;
    kin__latch_release(&pool->schedule.latch);
    /* A closed pool's workers stay for what is in the lists. */
    if (drained) kin__schedule_wake(pool, INT32_MAX);
}

/* ---- coming in ------------------------------------------------------------------------------------------- */

static void wake_for(kin_pool *pool, const kin_result *record)
{
    kin__schedule_wake(pool, record->affinity != 0 ? INT32_MAX : 1);
}

/* Who comes in: into the pool of that opening, or the next one at its place gets a record that is not its.  The rest of
 * what was in takes no room that others could have, and comes into a closed pool, too. */
struct entrance {
    kin_pool *pool;
    uint32_t opening;
    bool rest;
};

static bool is_shut(const struct entrance *entrance)
{
    return atomic_load(&entrance->pool->openings) != entrance->opening ||
           atomic_load(&entrance->pool->state) >
               (uint32_t)(entrance->rest ? KIN__POOL_CLOSED : KIN__POOL_RUNNING);
}

/* 0: it is in; KIN_FULL. */
static int try_add(const struct entrance *entrance, kin_result *record)
{
    kin_pool *pool = entrance->pool;
    /* Also before the latch: one that was freed has no queue any more to wake. */
    if (is_shut(entrance)) return KIN_ECLOSED;
    int rc = kin__schedule_lock(pool);
    if (rc < 0) return rc;
    if (pool->schedule.sealed || is_shut(entrance)) {
        rc = KIN_ECLOSED;
    } else if (!entrance->rest && atomic_load(&pool->listed) >= pool->listed_most) {
        rc = KIN_FULL;
    } else {
        kin__needs_link(record);
        /* CRASH: after this store it is in the lists, by their repair. */
        atomic_store(&record->state, KIN__TASK_QUEUED);
        insert(pool, record);
        atomic_fetch_add(&pool->listed, 1);
    }
    kin__schedule_unlock(pool);
    return rc;
}

static bool has_room(void *context)
{
    const struct entrance *entrance = context;
    return is_shut(entrance) || atomic_load(&entrance->pool->listed) < entrance->pool->listed_most;
}

int kin__schedule_add(kin_pool *pool, kin_result *record, bool rest, kin_deadline deadline)
{
    struct entrance entrance = {pool, atomic_load(&pool->openings), rest};
    int rc;
    atomic_store_explicit(&record->place, KIN__PLACE_LIST, memory_order_relaxed);
    while ((rc = try_add(&entrance, record)) == KIN_FULL) {
        rc = kin__own_wait_begin(pool);
        if (rc < 0) return rc;
        rc = kin__event_await(&pool->room, has_room, &entrance, deadline);
        kin__own_wait_end(pool);
        if (rc < 0) return rc;
    }
    if (rc < 0) return rc;
    atomic_fetch_add_explicit(&pool->submitted, 1, memory_order_relaxed);
    wake_for(pool, record);
    /* The last worker of a closed pool may be gone. */
    if (rest) kin__supervisor_wake(pool);
    kin__needs_fail(pool);
    return 0;
}

#define BACKOFF_DOUBLINGS 16

int64_t kin__retry_time(const kin_result *record, unsigned failures)
{
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    if (doublings > BACKOFF_DOUBLINGS) doublings = BACKOFF_DOUBLINGS;
    int64_t pause;
    if (record->backoff_ns == 0) return 0;
    bool endless = __builtin_mul_overflow(record->backoff_ns, (int64_t)1 << doublings, &pause);
    return endless ? KIN_FOREVER : kin_in_ns(pause);
}

bool kin__schedule_again(kin_result *record, uint64_t word)
{
    kin_pool *pool = record->pool;
    if (kin__schedule_lock(pool) < 0) return false;
    atomic_store_explicit(&record->plain, 0, memory_order_relaxed);
    atomic_store_explicit(&record->place, KIN__PLACE_LIST, memory_order_relaxed);
    bool again = false;
    for (uint64_t seen = word;
         !again && !pool->schedule.sealed && (seen & ~KIN__TASK_FLAGS) == (word & ~KIN__TASK_FLAGS);)
        again = atomic_compare_exchange_strong(&record->state, &seen,
                                               (seen & ~(uint64_t)0xff) | KIN__TASK_QUEUED);
    if (again) {
        insert(pool, record);
        atomic_fetch_add(&pool->listed, 1);
    }
    kin__schedule_unlock(pool);
    if (again) kin__schedule_wake(pool, INT32_MAX);
    return again;
}

bool kin__schedule_take(kin_result *record, uint64_t *word, uint64_t over)
{
    bool taken = atomic_compare_exchange_strong(&record->state, word, over);
    if (taken) take_out(record->pool, record);
    return taken;
}

bool kin__schedule_finish(kin_result *record, uint64_t *word, uint64_t over)
{
    kin_pool *pool = record->pool;
    if (kin__schedule_lock(pool) < 0) return false;
    bool finished = kin__schedule_take(record, word, over);
    kin__schedule_unlock(pool);
    if (finished) kin__event_notify(&pool->room, 1);
    return finished;
}

/* ---- going out -------------------------------------------------------------------------------------------- */

void kin__schedule_move(kin_result *record)
{
    kin__links_remove(&record->link);
    insert(record->pool, record);
}

/* Those whose time has come are ready; *until: when the next one's comes. */
static void wake_delayed(kin_pool *pool, int64_t now, kin_deadline *until)
{
    struct kin__links *list = &pool->schedule.delayed, *next;
    for (struct kin__links *link = list->next; link != list; link = next) {
        kin_result *record = record_of(link);
        next = link->next;
        if (record->not_before > now) {
            if (record->not_before < *until) *until = record->not_before;
            continue;
        }
        kin__links_remove(link);
        record->not_before = 0;
        insert(pool, record);
    }
}

static bool is_for(kin_pool *pool, const kin_result *record, unsigned worker)
{
    if (record->affinity == 0) return true;
    unsigned homes = pool->listens ? kin__pool_slots(pool) : kin__pool_size(pool);
    unsigned home = homes > 0 ? (unsigned)(record->affinity % homes) : worker;
    if (home == worker || home >= kin__pool_slots(pool)) return home == worker;
    /* Nobody may ever come to a slot where a deputy was. */
    if (pool->listens && atomic_load(&kin__pool_worker(pool, home)->pid) == 0) return true;
    return atomic_load(&kin__pool_worker(pool, home)->blocked) != 0;
}

/* QUEUED → CLAIMED by this worker, out of its list. */
static bool claim(kin_pool *pool, unsigned index, kin_result *record)
{
    struct kin__worker *worker = kin__pool_worker(pool, index);
    uint64_t word = atomic_load(&record->state);
    /* CRASH: as in worker.c; claimed and still in its list: repair. */
    atomic_store_explicit(&worker->started, 0, memory_order_relaxed);
    atomic_store(&worker->current, record);
    while (KIN__TASK_STATE(word) == KIN__TASK_QUEUED)
        if (atomic_compare_exchange_strong(&record->state, &word, kin__claimed_word(word, index))) {
            take_out(pool, record);
            kin__worker_begins(worker, record);
            return true;
        }
    atomic_store(&worker->current, NULL);
    return false;
}

/* The first of the list that the worker may begin; KIN__PICK_QUEUE: there is none. */
static enum kin__pick pick_from(kin_pool *pool, unsigned level, unsigned index, kin_result **picked)
{
    struct kin__links *list = &pool->schedule.ready[level];
    bool heavy;
    for (struct kin__links *link = list->next; link != list; link = link->next) {
        kin_result *record = record_of(link);
        if (!is_for(pool, record, index)) continue;
        unsigned weight = weight_of(pool, record);
        if (weight > 1 && !pool->schedule.held) {
            /* Seq_cst, before the slots are counted: pairs with the claim in worker.c. */
            pool->schedule.held = true;
            atomic_fetch_or(&pool->attention, KIN__ATTENTION_HEAVY);
        }
        unsigned used = slots_in_use(pool, index, &heavy);
        if ((heavy || weight > 1) && used + weight > kin__pool_room(pool)) return KIN__PICK_WAIT;
        if (weight > 1) pool->schedule.held = false;
        if (!claim(pool, index, record)) return KIN__PICK_WAIT;
        *picked = record;
        return KIN__PICK_TASK;
    }
    return KIN__PICK_QUEUE;
}

static enum kin__pick pick_ordinary(kin_pool *pool, unsigned index)
{
    bool heavy;
    unsigned used = slots_in_use(pool, index, &heavy);
    if (heavy && used + 1 > kin__pool_room(pool)) return KIN__PICK_WAIT;
    atomic_store(&kin__pool_worker(pool, index)->intent, 1);
    return KIN__PICK_QUEUE;
}

static enum kin__pick pick(kin_pool *pool, unsigned index, kin_result **picked)
{
    /* Whether a heavy one still waits is found out again. */
    pool->schedule.held = false;
    for (unsigned level = KIN__PRIORITIES; level-- > 0;) {
        enum kin__pick found = pick_from(pool, level, index, picked);
        if (found != KIN__PICK_QUEUE) return found;
        if (level == KIN__PRIORITY_MOST && kin__ends_items(&pool->tasks->stream.ends) > 0) break;
    }
    return pick_ordinary(pool, index);
}

static void count_start(struct kin__schedule *schedule, int64_t now)
{
    if (schedule->interval_ns == 0) return;
    int64_t from = schedule->next_start > now ? schedule->next_start : now;
    schedule->next_start = kin__later(from, schedule->interval_ns);
}

enum kin__pick kin__schedule_pick(kin_pool *pool, unsigned worker, kin_result **record, kin_deadline *until,
                                  kin_deadline *next)
{
    struct kin__schedule *schedule = &pool->schedule;
    enum kin__pick found = KIN__PICK_WAIT;
    int64_t now = kin__os_clock();
    *until = KIN_FOREVER;
    if (kin__schedule_lock(pool) < 0) return found;
    wake_delayed(pool, now, until);
    if (schedule->paused) {
        found = KIN__PICK_WAIT;
    } else if (schedule->interval_ns > 0 && schedule->next_start > now) {
        *until = schedule->next_start;
    } else {
        found = pick(pool, worker, record);
        /* Also for one that is yet to be taken from the queue, or two would begin at once. */
        if (found != KIN__PICK_WAIT) count_start(schedule, now);
        *next = schedule->next_start;
    }
    kin__schedule_unlock(pool);
    if (found == KIN__PICK_TASK) kin__event_notify(&pool->room, 1);
    return found;
}

void kin__schedule_took(kin_pool *pool, unsigned worker, bool task, kin_deadline next)
{
    atomic_store(&kin__pool_worker(pool, worker)->intent, 0);
    if ((atomic_load(&pool->attention) & KIN__ATTENTION_RATE) == 0 || kin__schedule_lock(pool) < 0) return;
    struct kin__schedule *schedule = &pool->schedule;
    int64_t after = kin_in_ns(schedule->interval_ns);
    if (!task && schedule->next_start == next)
        schedule->next_start -= schedule->interval_ns; /* nothing was there to begin */
    else if (task && schedule->next_start < after)
        schedule->next_start = after; /* it begins later than when it was allowed to */
    kin__schedule_unlock(pool);
}

/* ---- for all tasks ------------------------------------------------------------------------------------------ */

void kin__schedule_refresh(kin_pool *pool)
{
    if (kin__schedule_lock(pool) < 0) return;
    kin__schedule_unlock(pool);
    kin__schedule_wake(pool, INT32_MAX);
}

void kin__schedule_pause(kin_pool *pool, bool pause)
{
    if (kin__schedule_lock(pool) < 0) return;
    bool before = pool->schedule.paused;
    pool->schedule.paused = pause && atomic_load(&pool->state) < KIN__POOL_CLOSED;
    bool changed = pool->schedule.paused != before;
    kin__schedule_unlock(pool);
    if (changed) kin__schedule_wake(pool, INT32_MAX);
}

void kin__schedule_rate(kin_pool *pool, int64_t interval_ns)
{
    if (kin__schedule_lock(pool) < 0) return;
    pool->schedule.interval_ns = interval_ns;
    pool->schedule.next_start = 0;
    kin__schedule_unlock(pool);
    kin__schedule_wake(pool, INT32_MAX);
}

void kin__schedule_seal(kin_pool *pool)
{
    if (kin__schedule_lock(pool) < 0) return;
    pool->schedule.sealed = true;
    kin__schedule_unlock(pool);
    kin__waiters_wake_all(&pool->room.point);
}

KIN__LAYOUT_PART(needs, struct kin__needs);
