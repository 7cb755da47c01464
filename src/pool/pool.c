/* pool.c: ending a pool, and what becomes of it after a death.
 *
 * Invariants:
 *  - The process that opened a pool holds it like a message: when it dies, the pool's memory is
 *    freed, but not before supervisor and workers, which the kernel ends, are gone.
 *  - The state only rises; whoever raises it wakes everybody who waits on the pool.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/queue.h"
#include "memory/reap.h"
#include "os/os.h"
#include "os/suspend.h"
#include "pool/schedule.h"
#include "process/fork.h"

#define CALLERS_NS (1000 * 1000000LL) /* a caller of a map that takes longer to leave it may be stopped */
#define STOPPED_NS (500 * 1000000LL)  /* a supervisor that takes longer to end may be stopped */

bool kin__pool_raise(kin_pool *pool, enum kin__pool_state state)
{
    uint32_t seen = atomic_load(&pool->state);
    while (seen < (uint32_t)state)
        if (atomic_compare_exchange_strong(&pool->state, &seen, (uint32_t)state)) {
            kin__waiters_wake_all(&pool->changed.point);
            kin__waiters_wake_all(&pool->completed.point);
            kin__waiters_wake_all(&pool->room.point);
            return true;
        }
    return false;
}

static bool is_owner(const kin_pool *pool)
{
    return pool->owner == kin__self.process_identity;
}

/* In the place of its descriptor, of a thread 0; with the opening in one word, so that who comes late cannot
 * take the supervisor of the next pool at its place.  COLLECTED: or not there yet; COLLECTING: by one of the
 * owner's threads, and none frees the pool. */
enum { COLLECTED = KIN__SUPERVISOR_NONE, COLLECTING = -2 };

static uint64_t supervision(uint32_t opening, int descriptor)
{
    return (uint64_t)opening << 32 | (uint32_t)descriptor;
}

void kin__supervisor_note(kin_pool *pool, int descriptor)
{
    atomic_store(&pool->supervision, supervision(atomic_load(&pool->openings), descriptor));
}

static int supervisor_descriptor(const kin_pool *pool)
{
    return (int)(uint32_t)atomic_load(&pool->supervision);
}

/* Has there been a supervisor, not collected yet?  In the owner. */
static bool has_supervisor(const kin_pool *pool)
{
    return supervisor_descriptor(pool) >= 0;
}

bool kin__supervisor_await(kin_pool *pool, kin_deadline deadline)
{
    if (pool->threads) return kin_thread_join(pool->supervisor_thread, deadline) == 0;
    struct kin__poll item = {.descriptor = supervisor_descriptor(pool)};
    /* Another thread has just collected it. */
    return item.descriptor < 0 || kin__os_poll(&item, 1, deadline) == 1;
}

/* ---- ending ------------------------------------------------------------------------------------------ */

int kin_pool_close(kin_pool *pool)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    kin__pool_raise(pool, KIN__POOL_CLOSED);
    /* CRASH: the supervisor goes on with it.  In this order, so that idle workers are woken once. */
    rc = kin_queue_shutdown(pool->tasks, 0);
    kin__schedule_pause(pool, false); /* what is in is run */
    return rc;
}

void kin__pool_finish_closing(kin_pool *pool)
{
    if ((atomic_load(&pool->tasks->life) & KIN__LIFE_ENDED) == 0) kin_queue_shutdown(pool->tasks, 0);
    if ((atomic_load(&pool->attention) & KIN__ATTENTION_PAUSED) != 0) kin__schedule_pause(pool, false);
}

int kin_pool_terminate(kin_pool *pool)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    kin__pool_raise(pool, KIN__POOL_TERMINATED);
    kin_queue_shutdown(pool->tasks, 0);
    kin__supervisor_wake(pool);
    kin__supervisor_continue(pool);
    return 0;
}

static bool has_ended(kin_pool *pool)
{
    return atomic_load(&pool->state) >= KIN__POOL_ENDED;
}

/* Is the pool that was here then freed, and another here? */
static bool is_another(kin_pool *pool, uint32_t opening)
{
    return atomic_load(&pool->openings) != opening;
}

/* For who waits for the end: who terminated the pool may have looked after the supervisor just before it was stopped.
 * After each slice. */
static void keep_ending(kin_pool *pool)
{
    if (atomic_load(&pool->state) == KIN__POOL_TERMINATED) kin__supervisor_continue(pool);
}

/* Others than the opener: the end is told to them. */
static int wait_for_end(kin_pool *pool, uint32_t opening, kin_deadline deadline)
{
    while (!has_ended(pool) && !is_another(pool, opening)) {
        uint32_t seen = kin__event_prepare(&pool->changed);
        int rc = has_ended(pool) ? 0 : kin__event_sleep(&pool->changed, seen, deadline);
        kin__event_done(&pool->changed);
        if (rc < 0 && !has_ended(pool)) return rc;
        if (is_another(pool, opening)) continue;
        kin__pool_note_lost(pool);
        keep_ending(pool);
    }
    bool broken = atomic_load(&pool->state) == KIN__POOL_BROKEN && !is_another(pool, opening);
    return broken ? KIN_EBROKEN : 0;
}

/* Its end is this thread's to collect, which then says COLLECTED; false: it is another's. */
static bool take_supervisor(kin_pool *pool, uint32_t opening, int descriptor)
{
    uint64_t there = supervision(opening, descriptor);
    return atomic_compare_exchange_strong(&pool->supervision, &there, supervision(opening, COLLECTING));
}

/* *rc: has it ended the pool, or died before? */
static bool take_process(kin_pool *pool, uint32_t opening, int descriptor, int *rc)
{
    if (!take_supervisor(pool, opening, descriptor)) return false;
    *rc = atomic_load(&pool->state) == KIN__POOL_ENDED ? 0 : KIN_EBROKEN;
    kin_exit_status status;
    bool in_order = kin__os_process_collect(descriptor, &status) == 0 && status.kind == KIN_EXITED;
    kin__os_close(descriptor);
    kin__shield(1);
    kin__callbacks_finish(pool);
    /* Another process of the family may have found that it was killed, and be breaking the pool down: not while it
     * is freed. */
    if (!in_order) kin__reap_of(atomic_load(&pool->supervisor_pid));
    kin__shield(-1);
    kin__supervisor_note(pool, COLLECTED);
    return true;
}

static int join_process(kin_pool *pool, uint32_t opening, kin_deadline deadline)
{
    int descriptor, rc;
    do {
        descriptor = supervisor_descriptor(pool);
        /* Also when another thread has just collected it. */
        if (descriptor < 0 || is_another(pool, opening)) return wait_for_end(pool, opening, deadline);
        /* With the supervisor all is over; to be told that it will end at once would be to wake twice. */
        struct kin__poll item = {.descriptor = descriptor};
        /* Another may have closed the descriptor, and its number be a stranger's. */
        kin_deadline slice = kin__os_clock() + KIN__SLICE_NS;
        rc = kin__os_poll(&item, 1, slice < deadline ? slice : deadline);
        if (rc == -ECANCELED || (rc != 1 && kin__os_clock() >= deadline))
            return rc == -ECANCELED ? rc : -ETIMEDOUT;
        if (rc != 1) keep_ending(pool);
    } while (rc != 1 || !take_process(pool, opening, descriptor, &rc));
    return rc;
}

/* The supervisor has ended, or is about to. */
static void collect_thread(kin_pool *pool, uint32_t opening)
{
    if (!take_supervisor(pool, opening, 0)) return;
    /* The pool may be freed after it, so a coroutine that is cancelled waits for them all the same. */
    kin__shield(1);
    kin_thread_join(pool->supervisor_thread, KIN_FOREVER);
    /* One that found no memory has not said so. */
    kin__pool_raise(pool, KIN__POOL_ENDED);
    kin__callbacks_finish(pool);
    kin__shield(-1);
    kin_thread_close(pool->supervisor_thread);
    kin__supervisor_note(pool, COLLECTED);
}

static int join_thread(kin_pool *pool, uint32_t opening, kin_deadline deadline)
{
    int rc = wait_for_end(pool, opening, deadline);
    if (rc == 0 || rc == KIN_EBROKEN) collect_thread(pool, opening);
    return rc;
}

static int join(kin_pool *pool, kin_deadline deadline)
{
    uint32_t opening = atomic_load(&pool->openings);
    if (!is_owner(pool)) return wait_for_end(pool, opening, deadline);
    int rc = pool->threads ? join_thread(pool, opening, deadline) : join_process(pool, opening, deadline);
    if (rc == 0 || rc == KIN_EBROKEN) kin__reap();
    return rc;
}

int kin_pool_join(kin_pool *pool, kin_deadline deadline)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (atomic_load(&pool->state) < KIN__POOL_CLOSED) return KIN_ESTATE;
    return kin__worker_here(pool) != NULL ? -EDEADLK : join(pool, deadline);
}

/* The task queue, if it is there and not the next one at its place. */
static kin_queue *own_tasks(kin_pool *pool)
{
    kin_queue *tasks = kin__pool_tasks(pool);
    bool ours = tasks != NULL && __atomic_load_n(&tasks->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_QUEUE &&
                (pool->tasks_life == KIN__QUEUE_NONE || kin__queue_life(tasks) == pool->tasks_life);
    return ours ? tasks : NULL;
}

/* CRASH: from the first store on it is named as one that is being freed until it is free, also when a reaper does
 * not get a latch. */
static void free_tasks(kin_pool *pool)
{
    kin_queue *tasks = own_tasks(pool);
    if (tasks != NULL) atomic_store(&pool->tasks_closed, tasks);
    __atomic_store_n(&pool->tasks, NULL, __ATOMIC_RELAXED); /* read by who comes late */
    tasks = atomic_load(&pool->tasks_closed);
    if (tasks != NULL) kin__queue_destroy(tasks, &pool->tasks_closed);
}

/* Frees what a pool has; idempotent, and repeated by a reaper that did not get a latch.  Nobody runs tasks of it any
 * more. */
static void free_parts(kin_pool *pool)
{
    __atomic_store_n(&pool->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    free_tasks(pool);
    /* Before they are freed, one by one: it may be broken down in between. */
    atomic_store(&pool->segment_count, 0);
    kin__records_close(pool);
    atomic_store(&pool->slots, 0);
    for (unsigned i = 0; i < KIN__WORKER_BLOCKS; i++) {
        void *workers = atomic_load(&pool->worker_blocks[i]);
        if (workers != NULL) kin__free(workers, &pool->worker_blocks[i]);
    }
}

static bool gone(int pid, int64_t since)
{
    return pid == 0 || kin__os_process_gone(pid, since) == 1;
}

/* The kernel ends the workers of a supervisor that died; until it has, they may write into what
 * is to be freed. */
static void wait_for_orphans(kin_pool *pool)
{
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        int pid;
        while (!gone(pid = atomic_load(&worker->pid), atomic_load(&worker->since))) {
            struct kin__poll item = {.descriptor = kin__os_process_open(pid)};
            if (item.descriptor < 0) {
                kin__os_pause_until(kin__os_clock() + 1000000);
                continue;
            }
            /* In slices: the pid may be another's by now, which gone() finds out. */
            kin__os_poll(&item, 1, kin__os_clock() + KIN__SLICE_NS);
            kin__os_close(item.descriptor);
        }
    }
}

static void end_supervisor(kin_pool *pool)
{
    if (!has_supervisor(pool)) return;
    kin__pool_raise(pool, KIN__POOL_TERMINATED);
    kin__supervisor_wake(pool);
    if (pool->threads) {
        collect_thread(pool, atomic_load(&pool->openings));
    } else {
        while (!kin__supervisor_await(pool, kin_in_ns(STOPPED_NS))) kin__supervisor_continue(pool);
        kin__pool_raise(pool, KIN__POOL_ENDED);
    }
    join(pool, KIN_FOREVER);
}

/* Who was in a map and is awake has touched the pool while he looks at his records for the last time, and nobody
 * begins that any more (take_outcome in map_call.c).  Not for ever: he may be stopped. */
static void wait_for_callers(kin_pool *pool)
{
    kin_deadline until = kin_in_ns(CALLERS_NS);
    __atomic_store_n(&pool->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        while (member != kin__self.member && atomic_load(&member->touching) == pool &&
               !kin__member_died(member) && kin__os_clock() < until)
            kin__os_pause_until(kin__os_clock() + 100000);
    }
}

void kin__pool_release(kin_pool *pool)
{
    kin__shield(1);
    end_supervisor(pool);
    /* Another thread that has just joined it may still be at that. */
    while (supervisor_descriptor(pool) == COLLECTING) kin__os_pause_until(kin__os_clock() + 1000000);
    if (!pool->threads) wait_for_orphans(pool);
    wait_for_callers(pool);
    kin__shield(-1);
    if (pool->wake_descriptor >= 0) kin__os_close(pool->wake_descriptor);
    kin__callbacks_forget(pool);
    free_parts(pool);
    kin__free(pool, &kin__self.process->held[pool->held]);
}

int kin_pool_free(kin_pool *pool)
{
    struct kin__member *nobody = NULL;
    if (pool == NULL) return 0;
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (!is_owner(pool)) return -EPERM;
    if (kin__worker_here(pool) != NULL) return -EDEADLK;
    if (!atomic_compare_exchange_strong(&pool->closer, &nobody, kin__self.member)) return KIN_ECLOSED;
    kin__pool_release(pool);
    return 0;
}

/* ---- after a death --------------------------------------------------------------------------------------- */

/* Wakes everybody who waits for a result of a pool that broke. */
static void wake_results(kin_pool *pool)
{
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++)
        kin__waiters_wake_all(&kin__pool_record(pool, i)->done.point);
    kin__waiters_wake_all(&pool->completed.point);
}

/* Repeated by a reaper until the queue has ended: somebody who is stopped may have a latch of it. */
static void break_down(kin_pool *pool)
{
    if (atomic_load(&pool->state) == KIN__POOL_ENDED) return;
    bool first = kin__pool_raise(pool, KIN__POOL_BROKEN);
    kin_queue *tasks = own_tasks(pool);
    bool open = tasks != NULL && (atomic_load(&tasks->life) & KIN__LIFE_ENDED) == 0;
    if (open) kin_queue_shutdown(tasks, 0);
    if (first || open) wake_results(pool);
}

void kin__pool_note_lost(kin_pool *pool)
{
    if (pool->threads || has_ended(pool) || atomic_load(&pool->supervisor_identity) != 0) return;
    int pid = atomic_load(&pool->supervisor_pid);
    /* 0: not started yet. */
    if (pid != 0 && gone(pid, atomic_load(&pool->supervisor_since))) break_down(pool);
}

static void announce(void *object, struct kin__member *dead)
{
    kin_pool *pool = object;
    /* Before the other: once it is another's it is not that of a pool that has ended. */
    if (atomic_load(&pool->state) == KIN__POOL_ENDED) return;
    if (atomic_load(&pool->supervisor) == dead) break_down(pool);
}

/* What a supervisor touches is a queue now and then, and not its pool. */
static void forget(void *object, struct kin__process_slot *dead)
{
    kin_pool *pool = object;
    if (atomic_load(&pool->state) == KIN__POOL_ENDED) return; /* as in announce */
    if (atomic_load(&pool->supervisor_identity) == atomic_load(&dead->generation)) break_down(pool);
}

/* The process that opened the pool died; the kernel is ending supervisor and workers. */
static bool settle(void *object, _Atomic(void *) *entry, uint64_t identity)
{
    kin_pool *pool = object;
    (void)identity;
    if (!gone(atomic_load(&pool->supervisor_pid), atomic_load(&pool->supervisor_since))) return false;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        if (!gone(atomic_load(&worker->pid), atomic_load(&worker->since))) return false;
    }
    free_parts(pool);
    kin__free(pool, entry);
    return true;
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_POOL] =
        (struct kin__reap_hooks){.announce = announce, .held = settle, .forget = forget};
}

KIN__LAYOUT_PART(pool, struct kin_pool);
KIN__LAYOUT_PART(worker, struct kin__worker);
