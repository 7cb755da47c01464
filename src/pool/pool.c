/* pool.c: opening a pool, ending it, and what can be read about it.
 *
 * Invariants:
 *  - The process that opened a pool holds it like a message: when it dies, the pool's memory is
 *    freed, but not before supervisor and workers, which the kernel ends, are gone.
 *  - The state only rises; whoever raises it wakes everybody who waits on the pool.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/handle.h"
#include "ipc/queue.h"
#include "memory/reap.h"
#include "os/os.h"
#include "os/suspend.h"
#include "pool/schedule.h"
#include "process/fork.h"
#include "process/order.h"
#include "process/words.h"

#define QUEUED_DEFAULT 4096
#define NO_LIFE        UINT32_MAX /* a queue's has its two lowest bits clear */
#define SILENCE_NS     (15 * 1000000000LL)
#define STOPPED_NS     (500 * 1000000LL) /* a supervisor that takes longer to end may be stopped */

bool kin__pool_raise(kin_pool *pool, enum kin__pool_state state)
{
    uint32_t seen = atomic_load(&pool->state);
    while (seen < (uint32_t)state)
        if (atomic_compare_exchange_strong(&pool->state, &seen, (uint32_t)state)) {
            kin__waiters_wake_all(&pool->changed.point);
            kin__waiters_wake_all(&pool->completed.point);
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
enum { COLLECTED = -1, COLLECTING = -2 };

static uint64_t supervision(uint32_t opening, int descriptor)
{
    return (uint64_t)opening << 32 | (uint32_t)descriptor;
}

static void set_supervision(kin_pool *pool, int descriptor)
{
    atomic_store(&pool->supervision, supervision(atomic_load(&pool->openings), descriptor));
}

static int supervisor_descriptor(const kin_pool *pool)
{
    return (int)(uint32_t)atomic_load(&pool->supervision);
}

/* ---- opening -------------------------------------------------------------------------------------- */

static void fill(kin_pool *pool, const kin_pool_options *options)
{
    bool chosen = options->workers != 0 || options->address != NULL;
    atomic_store(&pool->workers, chosen ? options->workers : (unsigned)kin__os_cpu_count());
    atomic_store(&pool->slots, 0);
    memset(pool->worker_blocks, 0, sizeof pool->worker_blocks);
    pool->threads = options->kind == KIN_POOL_THREADS;
    pool->retries = options->retries;
    pool->retries_error = options->retries_error;
    pool->backoff_ns = options->backoff_ns;
    pool->tasks_per_worker = options->tasks_per_worker;
    pool->poisoned_most = options->keep_poisoned;
    atomic_store(&pool->poisoned, 0);
    for (int i = 0; i < KIN_CAUSES; i++) atomic_store(&pool->deaths_by[i], 0);
    pool->memory_per_worker = options->memory_per_worker;
    pool->silence_ns = options->silence_ns != 0 ? options->silence_ns : SILENCE_NS;
    pool->stderr_tail = options->stderr_tail;
    pool->listens = options->address != NULL;
    pool->address[0] = '\0';
    atomic_store(&pool->listening, 0);
    atomic_store(&pool->deputies, 0);
    size_t listed = options->max_queued != 0 ? options->max_queued : QUEUED_DEFAULT;
    pool->listed_most = listed < UINT32_MAX ? (uint32_t)listed : UINT32_MAX;
    pool->initializer = options->initializer;
    pool->context = options->context;
    snprintf(pool->name, sizeof pool->name, "%s", options->name != NULL ? options->name : "pool");
    pool->tasks = NULL;
    pool->tasks_life = NO_LIFE;
    atomic_fetch_add(&pool->openings, 1);
    pool->owner = kin__self.process_identity;
    pool->image = *kin__os_image();
    pool->owner_pid = kin__os_pid();
    /* Atomic, for who still has a result of the pool that was here before (kin__record_life). */
    __atomic_store_n(&pool->opened, kin__os_clock(), __ATOMIC_RELAXED);
    pool->wake_descriptor = -1;
    set_supervision(pool, COLLECTED);
    atomic_store(&pool->state, KIN__POOL_OPENING);
    atomic_store(&pool->timed, 0);
    atomic_store(&pool->closer, NULL);
    kin__event_init(&pool->changed);
    kin__event_init(&pool->completed);
    kin__event_init(&pool->room);
    atomic_store(&pool->attention, options->interval_ns > 0 ? KIN__ATTENTION_RATE : 0);
    atomic_store(&pool->drainers, 0);
    atomic_store(&pool->untidy, 0);
    atomic_store(&pool->listed, 0);
    memset(&pool->schedule, 0, sizeof pool->schedule);
    pool->schedule.interval_ns = options->interval_ns;
    atomic_store(&pool->supervisor, NULL);
    atomic_store(&pool->supervisor_identity, 0);
    atomic_store(&pool->supervisor_pid, 0);
    memset(&pool->open_failure, 0, sizeof pool->open_failure);
    pool->open_words[0] = '\0';
    pool->free_record = 0;
    atomic_store(&pool->segment_count, 0);
    pool->number = 0;
    atomic_store(&pool->submitted, 0);
    atomic_store(&pool->done, 0);
    atomic_store(&pool->failed, 0);
    atomic_store(&pool->deaths, 0);
}

static int allocate_zeroed(_Atomic(void *) *destination, size_t size)
{
    int rc = 0;
    void *memory = kin__allocate(size, &rc);
    if (memory == NULL) return rc;
    memset(memory, 0, size);
    kin__allocate_publish(destination);
    return 0;
}

int kin__pool_add_slot(kin_pool *pool)
{
    unsigned slots = kin__pool_slots(pool);
    _Atomic(void *) *block = &pool->worker_blocks[slots / KIN__WORKER_BLOCK];
    int rc = 0;
    if (atomic_load(block) == NULL)
        rc = allocate_zeroed(block, KIN__WORKER_BLOCK * sizeof(struct kin__worker));
    if (rc == 0) atomic_store_explicit(&pool->slots, slots + 1, memory_order_release);
    return rc;
}

static int equip(kin_pool *pool, const kin_pool_options *options)
{
    size_t queued = options->max_queued != 0 ? options->max_queued : QUEUED_DEFAULT;
    int rc = 0;
    for (unsigned i = 0; i < kin__pool_size(pool) && rc == 0; i++) rc = kin__pool_add_slot(pool);
    if (rc == 0) rc = allocate_zeroed(&pool->segments_block, KIN__RECORD_SEGMENTS * sizeof(void *));
    if (rc == 0) rc = kin_queue_open(&pool->tasks, &(kin_queue_options){.max_items = queued});
    if (rc == 0) pool->tasks_life = kin__queue_life(pool->tasks);
    if (rc == 0) {
        rc = kin__os_event_make();
        pool->wake_descriptor = rc;
        rc = rc < 0 ? rc : 0;
    }
    return rc;
}

static int start_by_fork(kin_pool *pool, const kin_pool_options *options, int *descriptor)
{
    int pid = kin__child_fork(descriptor);
    if (pid == 0) {
        kin__handles_keep(NULL, NULL);
        kin__processes_disown();
        kin__os_exit_now(kin__child_finish(kin__supervisor_main(pool, options, pool->wake_descriptor)));
    }
    return pid < 0 ? kin__start_fail(pid, "cannot start the supervisor of %s", pool->name) : pid;
}

static int supervise(void *pool)
{
    return kin__supervisor_main(pool, &(kin_pool_options){0}, kin_process_descriptor(0));
}

static int start_anew(kin_pool *pool, enum kin_start_method method, int *descriptor)
{
    const kin_process_options options = {
        .name = pool->name, .method = method, .descriptors = &pool->wake_descriptor, .descriptor_count = 1};
    return kin__process_begin(supervise, pool, &options, descriptor);
}

static int run_supervisor(void *argument)
{
    kin_pool *pool = argument;
    atomic_store_explicit(&pool->supervisor_since, kin__os_boot_clock(), memory_order_relaxed);
    atomic_store(&pool->supervisor_pid, kin__os_thread_id());
    return kin__supervisor_main(pool, NULL, pool->wake_descriptor);
}

static int start_thread(kin_pool *pool)
{
    int rc = kin_thread_start(&pool->supervisor_thread, run_supervisor, pool,
                              &(kin_thread_options){.name = pool->name, .daemon = true});
    if (rc == 0) set_supervision(pool, 0);
    return rc;
}

static int start(kin_pool *pool, const kin_pool_options *options)
{
    if (pool->threads) return start_thread(pool);
    int descriptor = -1;
    int pid = options->method == KIN_FORK ? start_by_fork(pool, options, &descriptor)
                                          : start_anew(pool, options->method, &descriptor);
    if (pid < 0) return pid;
    set_supervision(pool, descriptor);
    atomic_store_explicit(&pool->supervisor_since, kin__os_boot_clock(), memory_order_relaxed);
    atomic_store(&pool->supervisor_pid, pid);
    return 0;
}

/* Has there been a supervisor, not collected yet?  In the owner. */
static bool has_supervisor(const kin_pool *pool)
{
    return supervisor_descriptor(pool) >= 0;
}

/* Waits until the supervisor has ended; false: it has not by then.  Of threads only while nobody else can
 * collect it. */
static bool await_supervisor(kin_pool *pool, kin_deadline deadline)
{
    if (pool->threads) return kin_thread_join(pool->supervisor_thread, deadline) == 0;
    struct kin__poll item = {.descriptor = supervisor_descriptor(pool)};
    /* Another thread has just collected it. */
    return item.descriptor < 0 || kin__os_poll(&item, 1, deadline) == 1;
}

bool kin__pool_all_ready(kin_pool *pool)
{
    if (pool->listens && atomic_load(&pool->listening) == 0) return false;
    unsigned size = kin__pool_size(pool);
    /* While it grows there may be no slots for them yet. */
    if (size > kin__pool_slots(pool)) return false;
    for (unsigned i = 0; i < size; i++)
        if (atomic_load(&kin__pool_worker(pool, i)->state) != KIN__WORKER_READY) return false;
    return true;
}

/* What the opener waits for: the last worker is ready, or the supervisor has given up. */
static bool opening_is_over(kin_pool *pool)
{
    if (kin__pool_all_ready(pool)) kin__pool_raise(pool, KIN__POOL_RUNNING);
    return atomic_load(&pool->state) != KIN__POOL_OPENING;
}

static int wait_for_workers(kin_pool *pool)
{
    for (;;) {
        uint32_t seen = kin__event_prepare(&pool->changed);
        bool ended = await_supervisor(pool, KIN_NOW);
        if (!opening_is_over(pool) && !ended) kin__event_sleep(&pool->changed, seen, KIN_FOREVER);
        kin__event_done(&pool->changed);
        uint32_t state = opening_is_over(pool) ? atomic_load(&pool->state) : KIN__POOL_OPENING;
        if (state == KIN__POOL_RUNNING) return 0;
        if (state == KIN__POOL_OPENING && !ended) continue;
        if (state == KIN__POOL_ENDED)
            return pool->open_failure.cause == KIN_CAUSE_NONE && pool->open_failure.code < 0
                       ? pool->open_failure.code
                       : KIN_EINITIALIZER;
        return KIN_EBROKEN;
    }
}

static int wait_until_open(kin_pool *pool)
{
    kin__shield(1);
    int rc = wait_for_workers(pool);
    kin__shield(-1);
    return rc;
}

static void release(kin_pool *pool);

int kin_pool_open_sized(kin_pool **pool, const kin_pool_options *options, size_t size)
{
    kin_pool_options given = {0};
    uint32_t held = 0;
    kin__start_say_nothing();
    if (pool == NULL) return kin__start_say(-EINVAL, "there is no place for the pool");
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__pool_options_check(&given);
    if (rc == 0) rc = kin__enter();
    if (rc == 0) rc = kin__pool_options_method(&given);
    if (rc < 0) return rc;
    kin_pool *made = kin__allocate_object(KIN__OBJECT_POOL, sizeof *made, &rc);
    if (made == NULL) return rc;
    rc = kin__held_claim(&held);
    if (rc < 0) {
        kin__allocate_cancel();
        return rc;
    }
    fill(made, &given);
    made->held = held;
    kin__allocate_publish(&kin__self.process->held[held]);
    rc = equip(made, &given);
    if (rc == 0) rc = start(made, &given);
    if (rc == 0) rc = wait_until_open(made);
    if (rc == 0 && given.callback_thread) rc = kin__callbacks_start(made);
    if (rc < 0) {
        if (given.failure != NULL) *given.failure = made->open_failure;
        if (made->open_words[0] != '\0') kin__start_say(rc, "%s", made->open_words);
        release(made);
        return rc;
    }
    __atomic_store_n(&made->magic, KIN__MAGIC_POOL, __ATOMIC_RELEASE);
    *pool = made;
    return 0;
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

int kin_pool_terminate(kin_pool *pool)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    kin__pool_raise(pool, KIN__POOL_TERMINATED);
    kin_queue_shutdown(pool->tasks, 0);
    kin__waiters_wake_all(&pool->room.point);
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
        if (!is_another(pool, opening)) keep_ending(pool);
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
    kin__shield(1);
    kin__callbacks_finish(pool);
    kin__shield(-1);
    set_supervision(pool, COLLECTED);
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
    kin_exit_status status;
    kin__os_process_collect(descriptor, &status);
    kin__os_close(descriptor);
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
    set_supervision(pool, COLLECTED);
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

/* Frees what a pool has; idempotent.  Nobody runs tasks of it any more. */
static void free_parts(kin_pool *pool)
{
    __atomic_store_n(&pool->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    /* Not the next queue at this place.  CRASH: closed and still named, it is passed by again. */
    bool ours = pool->tasks != NULL &&
                (pool->tasks_life == NO_LIFE || kin__queue_life(pool->tasks) == pool->tasks_life);
    if (ours) kin_queue_close(pool->tasks);
    pool->tasks = NULL;
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
        while (!await_supervisor(pool, kin_in_ns(STOPPED_NS))) kin__supervisor_continue(pool);
        kin__pool_raise(pool, KIN__POOL_ENDED);
    }
    join(pool, KIN_FOREVER);
}

/* Ends and frees a pool, by the process that opened it. */
static void release(kin_pool *pool)
{
    kin__shield(1);
    end_supervisor(pool);
    /* Another thread that has just joined it may still be at that. */
    while (supervisor_descriptor(pool) == COLLECTING) kin__os_pause_until(kin__os_clock() + 1000000);
    if (!pool->threads) wait_for_orphans(pool);
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
    release(pool);
    return 0;
}

/* ---- after a death --------------------------------------------------------------------------------------- */

/* Wakes everybody who waits for a result of a pool that broke. */
static void wake_results(kin_pool *pool)
{
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++)
        kin__waiters_wake_all(&kin__pool_record(pool, i)->done.point);
    kin__waiters_wake_all(&pool->completed.point);
    kin__waiters_wake_all(&pool->room.point);
}

static void break_down(kin_pool *pool)
{
    if (has_ended(pool)) return;
    kin__pool_raise(pool, KIN__POOL_BROKEN);
    if (pool->tasks != NULL) kin_queue_shutdown(pool->tasks, 0);
    wake_results(pool);
}

static void announce(void *object, struct kin__member *dead)
{
    kin_pool *pool = object;
    if (atomic_load(&pool->supervisor) == dead) break_down(pool);
}

/* What a supervisor touches is a queue now and then, and not its pool. */
static void forget(void *object, struct kin__process_slot *dead)
{
    kin_pool *pool = object;
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
