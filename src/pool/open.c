/* open.c: opening a pool: what it is made of, and starting its supervisor.
 *
 * Invariants: a pool that is on its way is held like one that is open (pool.c), so that it is freed when who
 * opens it dies; it counts as a pool (`magic`) once it is.  Before a supervisor has taken over
 * (`supervisor_identity`) nobody would hear of its death, so until then no task is let in.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/handle.h"
#include "ipc/queue.h"
#include "os/os.h"
#include "os/suspend.h"
#include "pool/pool.h"
#include "process/fork.h"
#include "process/order.h"
#include "process/words.h"

#define QUEUED_DEFAULT 4096
#define SILENCE_NS     (15 * 1000000000LL)
#define LATE_NS        (2 * 1000000000LL) /* a supervisor that takes longer to take over may be stopped */

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
    /* All else that workers begin with does not fail, or fails when they are forked. */
    pool->awaited = pool->threads || options->initializer != NULL || options->address != NULL ||
                    options->limits != NULL || options->pin_workers || options->method != KIN_FORK;
    snprintf(pool->name, sizeof pool->name, "%s", options->name != NULL ? options->name : "pool");
    pool->tasks = NULL;
    pool->tasks_life = KIN__QUEUE_NONE;
    atomic_store(&pool->tasks_closed, NULL);
    atomic_fetch_add(&pool->openings, 1);
    pool->owner = kin__self.process_identity;
    pool->image = *kin__os_image();
    pool->owner_pid = kin__os_pid();
    /* Atomic, for who still has a result of the pool that was here before (kin__record_life). */
    __atomic_store_n(&pool->opened, kin__os_clock(), __ATOMIC_RELAXED);
    pool->wake_descriptor = -1;
    kin__supervisor_note(pool, KIN__SUPERVISOR_NONE);
    /* Before the state, by which a reaper that finds the supervisor of the pool that was here knows that it is over
     * (announce and forget in pool.c, which read in the opposite order; all seq_cst). */
    atomic_store(&pool->supervisor, NULL);
    atomic_store(&pool->supervisor_identity, 0);
    atomic_store(&pool->supervisor_pid, 0);
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

int kin__pool_find_functions(kin_pool *pool)
{
    const struct kin__image *here = kin__os_image();
    if (here->layout == pool->image.layout) return 0;
    if (pool->initializer != NULL) {
        const void *moved = kin__os_translate((const void *)pool->initializer, &pool->image);
        if (moved == NULL) return KIN_EFUNCTION;
        pool->initializer = (int (*)(void *))(uintptr_t)moved;
    }
    pool->image = *here;
    return 0;
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
    if (rc == 0) kin__supervisor_note(pool, 0);
    return rc;
}

static int start(kin_pool *pool, const kin_pool_options *options)
{
    if (pool->threads) return start_thread(pool);
    int descriptor = -1;
    int pid = options->method == KIN_FORK ? start_by_fork(pool, options, &descriptor)
                                          : start_anew(pool, options->method, &descriptor);
    if (pid < 0) return pid;
    kin__supervisor_note(pool, descriptor);
    atomic_store_explicit(&pool->supervisor_since, kin__os_boot_clock(), memory_order_relaxed);
    atomic_store(&pool->supervisor_pid, pid);
    return 0;
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

/* What kept the first workers from being started; 0: nothing. */
static int start_error(const kin_pool *pool)
{
    return pool->open_failure.cause == KIN_CAUSE_NONE ? pool->open_failure.code : 0;
}

static int wait_for_workers(kin_pool *pool)
{
    for (;;) {
        uint32_t seen = kin__event_prepare(&pool->changed);
        bool ended = kin__supervisor_await(pool, KIN_NOW);
        if (!opening_is_over(pool) && !ended) kin__event_sleep(&pool->changed, seen, KIN_FOREVER);
        kin__event_done(&pool->changed);
        uint32_t state = opening_is_over(pool) ? atomic_load(&pool->state) : KIN__POOL_OPENING;
        if (state == KIN__POOL_RUNNING) return 0;
        if (state == KIN__POOL_OPENING && !ended) continue;
        if (state != KIN__POOL_ENDED) return KIN_EBROKEN;
        return start_error(pool) < 0 ? start_error(pool) : KIN_EINITIALIZER;
    }
}

static int wait_until_open(kin_pool *pool)
{
    kin__shield(1);
    int rc = wait_for_workers(pool);
    kin__shield(-1);
    return rc;
}

/* ---- behind the opening ---------------------------------------------------------------------------------- */

static bool is_starting(kin_pool *pool, bool all)
{
    return atomic_load(&pool->state) == KIN__POOL_OPENING &&
           (all || atomic_load(&pool->supervisor_identity) == 0);
}

int kin__pool_await_start(kin_pool *pool, bool all, kin_deadline deadline)
{
    if (!is_starting(pool, all)) return 0;
    kin_deadline least = kin_in_ns(LATE_NS);
    if (deadline < least) deadline = least;
    int rc = 0;
    uint32_t opening = atomic_load(&pool->openings);
    kin__shield(1);
    while (rc >= 0 && is_starting(pool, all)) {
        uint32_t seen = kin__event_prepare(&pool->changed);
        if (is_starting(pool, all)) rc = kin__event_sleep(&pool->changed, seen, deadline);
        kin__event_done(&pool->changed);
        /* Freed, and the next one here is just being opened. */
        if (atomic_load(&pool->openings) != opening)
            rc = KIN_ECLOSED;
        else
            kin__pool_note_lost(pool);
    }
    kin__shield(-1);
    return rc < 0 && is_starting(pool, all) ? rc : 0;
}

int kin__pool_accepts(kin_pool *pool, kin_deadline deadline)
{
    if (__builtin_expect(atomic_load(&pool->state) == KIN__POOL_RUNNING, 1)) return 0;
    int rc = kin__pool_await_start(pool, false, deadline);
    if (rc < 0) return rc;
    return atomic_load(&pool->state) <= KIN__POOL_RUNNING ? 0 : kin__pool_why_shut(pool);
}

int kin__pool_why_shut(const kin_pool *pool)
{
    if (atomic_load(&pool->state) == KIN__POOL_BROKEN) return KIN_EBROKEN;
    if (start_error(pool) == 0) return KIN_ECLOSED;
    if (pool->open_words[0] != '\0') kin__start_say(start_error(pool), "%s", pool->open_words);
    return start_error(pool);
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

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
    if (rc == 0 && made->awaited) rc = wait_until_open(made);
    if (rc == 0 && given.callback_thread) rc = kin__callbacks_start(made);
    if (rc < 0) {
        if (given.failure != NULL) *given.failure = made->open_failure;
        if (made->open_words[0] != '\0') kin__start_say(rc, "%s", made->open_words);
        kin__pool_release(made);
        return rc;
    }
    __atomic_store_n(&made->magic, KIN__MAGIC_POOL, __ATOMIC_RELEASE);
    *pool = made;
    return 0;
}
