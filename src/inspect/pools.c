/* pools.c: the pools of a family that is looked at, and what each of their workers does. */
#include <errno.h>
#include <string.h>

#include "inspect/seen.h"
#include "os/os.h"
#include "pool/pool.h"

/* ---- workers -------------------------------------------------------------------------------------- */

/* What it is on, by the record; nothing of it is said if the worker has gone on meanwhile. */
static void see_task(const struct kin__view *view, kin_inspected_worker *worker, uint64_t place,
                     const struct kin__worker *copy, uint64_t pool)
{
    kin_result record;
    uint64_t current = (uintptr_t)copy->current;
    uint64_t word;
    worker->running = current != 0;
    worker->running_ns = -1;
    if (current == 0 || !kin__view_read(view, current, &record, sizeof record)) return;
    word = record.state;
    if (record.magic != KIN__MAGIC_RESULT || (uintptr_t)record.pool != pool ||
        KIN__TASK_STATE(word) != KIN__TASK_CLAIMED || KIN__TASK_WORKER(word) != (unsigned)worker->number ||
        !kin__view_same(view, place + offsetof(struct kin__worker, current), current))
        return;
    memcpy(worker->function, record.function, sizeof worker->function);
    worker->function[sizeof worker->function - 1] = '\0';
    worker->task = record.number;
    worker->attempt = KIN__TASK_ATTEMPT(word);
    if (record.map != NULL || record.items > 1) worker->item = record.progress[0];
    /* A worker asks the clock only for what has a timeout, of a map for each item. */
    int64_t now = kin__os_clock(), since = copy->started;
    if (since == 0 && copy->seen == kin__task_mark(record.number, word)) since = copy->seen_at;
    if (since > 0 && since <= now) worker->running_ns = now - since;
}

static int see_worker(const struct kin__view *view, struct kin__seen *seen, kin_inspected_pool *pool,
                      unsigned number, uint64_t place, const struct kin__worker *copy)
{
    int rc = 0;
    for (int i = 0; i < KIN_TIME_BUCKETS; i++) {
        pool->times.queued[i] += copy->queue_time[i];
        pool->times.ran[i] += copy->run_time[i];
    }
    pool->status.done += copy->done;
    pool->status.failed += copy->failed;
    pool->status.retried += copy->retried;
    if (copy->pid <= 0) return 0;
    kin_inspected_worker *worker = kin__seen_add(seen, KIN__SEEN_WORKERS, &rc);
    if (worker == NULL) return rc;
    worker->pool = pool->pool;
    worker->number = (int)number;
    worker->pid = pool->threads ? pool->owner : copy->pid;
    worker->thread = copy->pid;
    worker->starting = copy->state != KIN__WORKER_READY;
    worker->blocked = copy->blocked != 0;
    worker->done = copy->done;
    worker->failed = copy->failed;
    worker->retried = copy->retried;
    bool deputy = kin__view_flag(&copy->deputy);
    if (deputy) {
        memcpy(worker->host, copy->host, sizeof worker->host);
        worker->host[sizeof worker->host - 1] = '\0';
    }
    see_task(view, worker, place, copy, (uintptr_t)pool->pool);
    pool->status.alive++;
    pool->status.running += worker->running;
    pool->status.blocked += worker->blocked;
    pool->status.remote += deputy && !worker->starting;
    return 0;
}

static int see_workers(const struct kin__view *view, struct kin__seen *seen, kin_inspected_pool *pool,
                       const struct kin_pool *copy)
{
    unsigned slots = copy->slots;
    void *whole;
    struct kin__worker *block = kin__view_room(KIN__WORKER_BLOCK * sizeof *block, &whole);
    int rc = block == NULL ? -ENOMEM : 0;
    if (slots > KIN__WORKERS_MOST) slots = KIN__WORKERS_MOST;
    for (unsigned i = 0; i < slots && rc == 0; i++) {
        uint64_t place = (uintptr_t)copy->worker_blocks[i / KIN__WORKER_BLOCK];
        unsigned in_block = i % KIN__WORKER_BLOCK;
        if (in_block == 0 && !kin__view_read(view, place, block, KIN__WORKER_BLOCK * sizeof *block)) break;
        rc = see_worker(view, seen, pool, i, place + in_block * sizeof *block, &block[in_block]);
    }
    kin__os_free(whole);
    return rc;
}

/* ---- pools ----------------------------------------------------------------------------------------- */

static enum kin_inspected_state state_of(const struct kin_pool *pool)
{
    static const enum kin_inspected_state states[] = {
        [KIN__POOL_OPENING] = KIN_POOL_OPENING, [KIN__POOL_RUNNING] = KIN_POOL_RUNNING,
        [KIN__POOL_CLOSED] = KIN_POOL_CLOSED,   [KIN__POOL_TERMINATED] = KIN_POOL_TERMINATED,
        [KIN__POOL_ENDED] = KIN_POOL_ENDED,     [KIN__POOL_BROKEN] = KIN_POOL_BROKEN,
    };
    uint32_t state = pool->state;
    return state < sizeof states / sizeof *states ? states[state] : KIN_POOL_BROKEN;
}

static int see_pool(struct kin__view *view, uint64_t address, void *memory, void *context)
{
    const struct kin_pool *copy = memory;
    struct kin__seen *seen = context;
    int rc = 0;
    if (copy->magic != KIN__MAGIC_POOL) return 0;
    kin_inspected_pool *pool = kin__seen_add(seen, KIN__SEEN_POOLS, &rc);
    if (pool == NULL) return rc;
    pool->pool = (const void *)(uintptr_t)address;
    memcpy(pool->name, copy->name, sizeof pool->name);
    pool->name[sizeof pool->name - 1] = '\0';
    pool->owner = copy->owner_pid;
    pool->threads = kin__view_flag(&copy->threads);
    pool->tasks = copy->tasks;
    pool->state = state_of(copy);
    pool->times.one_of = KIN__TIMED_ONE_OF;
    pool->status = (kin_pool_status){
        .workers = copy->workers,
        .supervisor_pid = pool->threads ? 0 : copy->supervisor_pid,
        .submitted = copy->submitted,
        .done = copy->done,
        .failed = copy->failed,
        .deaths = copy->deaths,
        .queued = kin__seen_queued(view, (uintptr_t)copy->tasks) + copy->listed,
        .paused = (copy->attention & KIN__ATTENTION_PAUSED) != 0,
        .poisoned = copy->poisoned,
    };
    for (int i = 0; i < KIN_CAUSES; i++) pool->status.deaths_by[i] = copy->deaths_by[i];
    return see_workers(view, seen, pool, copy);
}

static int compare_tasks(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t)((const kin_inspected_pool *)left)->tasks;
    uintptr_t b = (uintptr_t)((const kin_inspected_pool *)right)->tasks;
    return (a > b) - (a < b);
}

int kin__see_pools(struct kin__view *view, struct kin__seen *seen)
{
    int rc = kin__view_objects(view, KIN__OBJECT_POOL, sizeof(struct kin_pool), see_pool, seen);
    kin__seen_sort(seen, KIN__SEEN_POOLS, compare_tasks);
    return rc;
}

const void *kin__seen_pool_of(const struct kin__seen *seen, uint64_t tasks)
{
    const kin_inspected_pool wanted = {.tasks = (const void *)(uintptr_t)tasks};
    const kin_inspected_pool *found = kin__seen_find(seen, KIN__SEEN_POOLS, &wanted, compare_tasks);
    return found != NULL ? found->pool : NULL;
}
