/* control.c: a pool that runs is paused, slowed down, resized, drained and looked at. */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/queue.h"
#include "os/os.h"
#include "pool/schedule.h"

static int check_running(kin_pool *pool)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    return atomic_load(&pool->state) <= KIN__POOL_RUNNING ? 0 : kin__pool_why_shut(pool);
}

int kin_pool_pause(kin_pool *pool)
{
    int rc = check_running(pool);
    if (rc == 0) kin__schedule_pause(pool, true);
    return rc;
}

int kin_pool_resume(kin_pool *pool)
{
    int rc = check_running(pool);
    if (rc == 0) kin__schedule_pause(pool, false);
    return rc;
}

int kin_pool_limit_rate(kin_pool *pool, int64_t interval_ns)
{
    int rc = check_running(pool);
    if (rc == 0 && interval_ns < 0) rc = -EINVAL;
    if (rc == 0) kin__schedule_rate(pool, interval_ns);
    return rc;
}

int kin_pool_resize(kin_pool *pool, unsigned workers)
{
    int rc = check_running(pool);
    if (rc < 0) return rc;
    if (workers == 0 || workers > KIN__WORKERS_MOST) return -EINVAL;
    /* CRASH: this one store is all; the supervisor looks within a tenth of a second. */
    atomic_store(&pool->workers, workers);
    kin__supervisor_wake(pool);
    kin__schedule_wake(pool, INT32_MAX); /* a task may have another home, a heavy one have room */
    return 0;
}

/* ---- draining --------------------------------------------------------------------------------------- */

struct counts {
    uint64_t done, failed, retried;
    unsigned alive, running, blocked, remote;
};

static struct counts count(kin_pool *pool)
{
    struct counts counts = {.done = atomic_load(&pool->done), .failed = atomic_load(&pool->failed)};
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        counts.done += atomic_load(&worker->done);
        counts.failed += atomic_load(&worker->failed);
        counts.retried += atomic_load(&worker->retried);
        if (atomic_load(&worker->pid) == 0) continue;
        counts.alive++;
        counts.running += atomic_load(&worker->current) != NULL;
        counts.blocked += atomic_load(&worker->blocked) != 0;
        counts.remote += atomic_load(&worker->deputy) && atomic_load(&worker->state) == KIN__WORKER_READY;
    }
    return counts;
}

/* PRIVATE to who drains. */
struct drain {
    kin_pool *pool;
    uint32_t opening;
    kin_deadline look; /* at the records, although the counts say that there are tasks */
};

#define DRAIN_LOOK_NS (50 * 1000000LL)

static bool has_tasks(kin_pool *pool)
{
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        uint64_t word = atomic_load(&kin__pool_record(pool, i)->state);
        if (KIN__TASK_STATE(word) == KIN__TASK_QUEUED || KIN__TASK_STATE(word) == KIN__TASK_CLAIMED)
            return true;
    }
    return false;
}

/* The counts are quick to read, and may be wrong for good after a death: the records decide. */
static bool is_drained(void *context)
{
    struct drain *drain = context;
    kin_pool *pool = drain->pool;
    if (atomic_load(&pool->openings) != drain->opening || atomic_load(&pool->state) >= KIN__POOL_ENDED)
        return true;
    uint64_t submitted = atomic_load(&pool->submitted);
    struct counts counts = count(pool);
    kin_deadline now = kin__os_clock();
    if (counts.done + counts.failed < submitted && now < drain->look) return false;
    drain->look = now + DRAIN_LOOK_NS;
    return !has_tasks(pool);
}

int kin_pool_drain(kin_pool *pool, kin_deadline deadline)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (kin__worker_here(pool) != NULL) return -EDEADLK;
    /* CRASH: counted for ever: then the end of a task looks for sleepers that there are not. */
    atomic_fetch_add(&pool->drainers, 1);
    struct drain drain = {.pool = pool, .opening = atomic_load(&pool->openings)};
    rc = kin__event_await(&pool->changed, is_drained, &drain, deadline);
    atomic_fetch_sub(&pool->drainers, 1);
    return rc == 0 && atomic_load(&pool->state) == KIN__POOL_BROKEN ? KIN_EBROKEN : rc;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

int kin_pool_stats_sized(kin_pool *pool, kin_pool_status *status, size_t size)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (status == NULL) return -EINVAL;
    kin__pool_await_start(pool, true, KIN_NOW); /* or as many as there are */
    struct counts counts = count(pool);
    kin_pool_status now = {
        .workers = kin__pool_size(pool),
        .alive = counts.alive,
        .supervisor_pid = pool->threads ? 0 : atomic_load(&pool->supervisor_pid),
        .submitted = atomic_load(&pool->submitted),
        .done = counts.done,
        .failed = counts.failed,
        .deaths = atomic_load(&pool->deaths),
        .queued = (size_t)kin_queue_qsize(pool->tasks) + atomic_load(&pool->listed),
        .running = counts.running,
        .blocked = counts.blocked,
        .remote = counts.remote,
        .retried = counts.retried,
        .paused = (atomic_load(&pool->attention) & KIN__ATTENTION_PAUSED) != 0,
        .poisoned = kin__poison_count(pool),
    };
    for (int i = 0; i < KIN_CAUSES; i++) now.deaths_by[i] = atomic_load(&pool->deaths_by[i]);
    memcpy(status, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

int kin_pool_times_sized(kin_pool *pool, kin_times *times, size_t size)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (times == NULL) return -EINVAL;
    kin_times now = {.one_of = KIN__TIMED_ONE_OF};
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        for (int b = 0; b < KIN_TIME_BUCKETS; b++) {
            now.queued[b] += atomic_load_explicit(&worker->queue_time[b], memory_order_relaxed);
            now.ran[b] += atomic_load_explicit(&worker->run_time[b], memory_order_relaxed);
        }
    }
    memcpy(times, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

kin_progress kin__progress(uint64_t count, uint64_t done, uint64_t failed, int64_t elapsed_ns)
{
    kin_progress progress = {
        .count = count, .done = done, .failed = failed, .elapsed_ns = elapsed_ns, .left_ns = -1};
    if (elapsed_ns > 0) progress.rate = (double)done * 1e9 / (double)elapsed_ns;
    uint64_t left = count > done ? count - done : 0;
    if (left == 0) progress.left_ns = 0;
    if (left > 0 && done > 0) progress.left_ns = (int64_t)((double)elapsed_ns / (double)done * (double)left);
    return progress;
}

int kin_pool_progress_sized(kin_pool *pool, kin_progress *progress, size_t size)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (progress == NULL) return -EINVAL;
    struct counts counts = count(pool);
    uint64_t over = counts.done + counts.failed, submitted = atomic_load(&pool->submitted);
    kin_progress now = kin__progress(submitted > over ? submitted : over, over, counts.failed,
                                     kin__os_clock() - pool->opened);
    now.running = counts.running;
    memcpy(progress, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

void kin__pool_note_tasks(kin_pool *pool)
{
    int64_t now = kin__os_clock();
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        kin_result *record = atomic_load(&worker->current);
        if (record == NULL) continue;
        uint64_t mark = kin__task_mark(kin__record_number(record), atomic_load(&record->state));
        if (atomic_load_explicit(&worker->seen, memory_order_relaxed) == mark) continue;
        atomic_store_explicit(&worker->seen_at, now, memory_order_relaxed);
        atomic_store_explicit(&worker->seen, mark, memory_order_release);
    }
}

const char *kin_pool_address(kin_pool *pool)
{
    return kin__pool_check(pool) == 0 && pool->listens ? pool->address : NULL;
}

long kin_pool_workers(kin_pool *pool, int *pids, size_t limit)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (pids == NULL && limit > 0) return -EINVAL;
    kin__pool_await_start(pool, true, KIN_NOW); /* or as many as there are */
    long count = 0;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        int pid = atomic_load(&kin__pool_worker(pool, i)->pid);
        if (pid == 0) continue;
        if ((size_t)count < limit) pids[count] = pid;
        count++;
    }
    return count;
}
