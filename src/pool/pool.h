/* pool.h: what the parts of the pool share: the pool and its workers' slots; its records are in record.h.
 *
 * Invariants:
 *  - A worker names a record in its slot before it claims it and until it is done: what a
 *    dead worker was doing is read there, and nothing else is charged for its death.
 *  - Messages in the task queue only say "look at this record": one whose record is not QUEUED
 *    is dropped, so that a task may be in the queue twice and never runs twice at a time.
 *  - Only the supervisor forks workers, collects them and decides what their deaths mean.
 */
#ifndef KIN_POOL_POOL_H
#define KIN_POOL_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kin/pool.h>
#include <kin/queue.h>
#include <kin/thread.h>

#include "base/links.h"
#include "memory/latch.h"
#include "memory/region.h"
#include "os/program.h"
#include "pool/record.h"

#define KIN__MAGIC_POOL 0x6c6f6f70006b0001ull

#define KIN__WORKERS_MOST  1024
#define KIN__WORKER_BLOCK  16 /* slots that are allocated at once */
#define KIN__WORKER_BLOCKS (KIN__WORKERS_MOST / KIN__WORKER_BLOCK)

/* ---- workers ------------------------------------------------------------------------------------- */

enum kin__worker_state { KIN__WORKER_NONE = 0, KIN__WORKER_STARTING = 1, KIN__WORKER_READY = 2 };

/* SHARED.
 *   pid, since, state  by the supervisor (the boot clock after the fork); pid and since also,
 *               and STARTING → READY, by the worker.  Of a thread the pid is its thread id.  since before
 *               pid, which has the order: who sees the pid sees a time that is this worker's.
 *   refused     what its initializer returned; by the worker before it ends for it, read after its end.
 *   current     the record the worker is on: by the worker; by the supervisor while there is
 *               no worker, to give the next one a task to begin with.  Seq_cst: who reserves room
 *               for a heavy task (schedule.c) sees it, or this worker sees `attention`.
 *   started     when the worker began what it is on (monotonic, ns); by the worker.
 *   seen, seen_at  which task the supervisor saw it on last (kin__task_mark), and when it saw that first: so it
 *               costs the task nothing.  By the supervisor, seen_at before seen; for who looks from outside.
 *   tasks       how many it has done; by the worker, zeroed by the supervisor.
 *   condemned   the record for which the supervisor is about to kill it.  Seq_cst, as the record's
 *               state: the supervisor sees that it is over, or the worker begins nothing after it.
 *   intent      under the schedule's latch it was allowed to take a task from the queue; by the worker.
 *   retire      it is to end after what it is on; by the supervisor.
 *   blocked     threads of it that wait on the pool itself; by the worker's process, zeroed by
 *               the supervisor.
 *   finishing, counted   what it is about to make over, and how many it had counted then; by the worker
 *               before that step.  CRASH: over and not counted: the supervisor counts it.
 *   deputy, host  it stands for a worker in another program (deputy.h), on that machine: by the supervisor
 *               before the fork, and by the deputy before READY.  deputy is atomic: who counts looks any time.
 *   done, failed, retried, queue_time, run_time   of all workers that were in this slot; only grow, by the
 *               worker, or for a dead one by the supervisor. */
struct kin__worker {
    _Atomic int pid;
    _Atomic uint32_t state;
    _Atomic int64_t since;
    _Atomic(kin_result *) current;
    _Atomic int64_t started;
    _Atomic uint64_t tasks;
    _Atomic(kin_result *) condemned;
    _Atomic uint32_t intent;
    _Atomic uint32_t retire;
    _Atomic int refused;
    _Atomic uint64_t done;
    _Atomic uint64_t failed;
    _Atomic uint64_t retried;
    _Atomic uint32_t blocked;
    _Atomic(kin_result *) finishing;
    _Atomic uint64_t counted;
    _Atomic uint64_t queue_time[KIN_TIME_BUCKETS];
    _Atomic uint64_t run_time[KIN_TIME_BUCKETS];
    _Atomic uint64_t seen;
    _Atomic int64_t seen_at;
    _Atomic bool deputy;
    char host[64];
} __attribute__((aligned(64)));

/* ---- the pool ------------------------------------------------------------------------------------- */

enum kin__pool_state {
    KIN__POOL_OPENING = 0,
    KIN__POOL_RUNNING = 1,
    KIN__POOL_CLOSED = 2,     /* no more tasks are let in */
    KIN__POOL_TERMINATED = 3, /* workers are being killed */
    KIN__POOL_ENDED = 4,
    KIN__POOL_BROKEN = 5 /* the supervisor died */
};

#define KIN__PRIORITY_MOST 8 /* from -8 to 7 */
#define KIN__PRIORITIES    (2 * KIN__PRIORITY_MOST)

/* Why a worker has to ask schedule.c before it begins anything: bits of `attention`. */
enum {
    KIN__ATTENTION_LISTED = 1, /* tasks in lists can be begun, now or at some time */
    KIN__ATTENTION_HEAVY = 2,  /* a task of more than one slot runs, or is the next to be begun */
    KIN__ATTENTION_PAUSED = 4,
    KIN__ATTENTION_RATE = 8,
    KIN__ATTENTION_RETIRE = 16
};

/* SHARED.  Tasks that are not simply the next; see schedule.c.
 *   all        under `latch`; the lists and counts are caches of the records' states, made anew after
 *              a death inside.
 *   any_failing   whether `failing` has any, for who has not got the latch. */
struct kin__schedule {
    struct kin__latch latch;
    bool prepared; /* the lists have been made */
    bool sealed;   /* nothing comes in any more */
    bool paused;
    bool held; /* a heavy task waits for room */
    uint32_t ready_count;
    struct kin__links ready[KIN__PRIORITIES]; /* by priority, the highest last */
    struct kin__links delayed;
    struct kin__links waiting; /* for what they need */
    struct kin__links failing; /* something that they need has failed */
    _Atomic bool any_failing;
    int64_t interval_ns; /* between the beginnings of tasks; 0: as fast as they can */
    int64_t next_start;
};

/* SHARED.  What is in the first paragraph is constant from the opening on.
 *   state        only ever upwards, by CAS.
 *   workers      how many there are to be; by kin_pool_resize.
 *   slots        so many slots of workers exist; only grows, by the opener and the supervisor.
 *   closer       who frees the pool.
 *   supervision  which opening it is (32 … 63) and, in the owner, the descriptor of the supervisor (0 … 31), or
 *                that it is being collected; see pool.c.  By the opener, and by the thread that collects it,
 *                which takes it by CAS.
 *   changed      event: state, a worker became ready, or (while there are `drainers`) a task is over.
 *   completed    event: a task with WATCHED is over.
 *   room         event: a task left the lists.
 *   listens      workers of other programs are to be let in; constant.
 *   deputies     how many there are; by the supervisor.
 *   address      where; by the supervisor before `listening`, which says so: release, acquire.
 *   attention    bits; changed under the schedule's latch; seq_cst, see struct kin__worker.
 *   listed       how many tasks are in the lists; likewise.
 *   untidy       the supervisor is to look at all records: something was dropped, or somebody died.
 *   supervisor   the supervisor's member slot, and its process's identity, set by it; BROKEN when that
 *                member died touching the pool, at the latest when that process ended.
 *   supervisor_pid   of a thread, its thread id.
 *   openings     counts the pools that have been here: who waits for the end of one does not wait for
 *                that of the next.
 *   poisoned     counted by the supervisor, from the records.
 *   records …    latch of the free list, a cache of the records' states, made anew after a death
 *                inside.
 *   segment_count  under that latch; only grows, and is read without it by the supervisor.
 *   segment      each is freed with the pool. */
struct kin_pool {
    uint64_t magic;
    unsigned retries;
    unsigned retries_error;
    unsigned tasks_per_worker;
    uint64_t memory_per_worker;
    unsigned poisoned_most;
    int64_t backoff_ns;
    int64_t silence_ns;
    bool stderr_tail;
    uint32_t listed_most;
    bool awaited; /* by the opener, until its workers are ready; else the supervisor says that it runs */
    bool threads; /* its workers are threads of the owner, and so is the supervisor */
    int (*initializer)(void *context);
    void *context;
    char name[64];
    kin_queue *tasks;
    uint32_t tasks_life;          /* which of the queues at that place it is */
    _Atomic(void *) tasks_closed; /* the same queue, while it is being freed; see free_tasks in pool.c */
    uint64_t owner;
    struct kin__image
        image; /* the workers': where they have functions; by a supervisor that was begun anew */
    int owner_pid;
    uint32_t held;                    /* the owner's entry for it */
    int64_t opened;                   /* monotonic */
    _Atomic int64_t supervisor_since; /* boot clock after its start; before supervisor_pid */
    kin_thread *supervisor_thread;    /* in the owner; before supervision, and read by who has taken that */
    _Atomic uint64_t supervision;
    int wake_descriptor; /* an eventfd, in the owner; supervisor and workers have it too */
    _Atomic(void *) worker_blocks[KIN__WORKER_BLOCKS];
    _Atomic(void *) segments_block;

    _Atomic uint32_t state __attribute__((aligned(64)));
    _Atomic uint32_t timed; /* some task has a timeout: the supervisor looks more often */
    _Atomic uint32_t workers;
    _Atomic uint32_t slots;
    _Atomic uint32_t attention;
    _Atomic uint32_t drainers;
    _Atomic uint32_t untidy;
    _Atomic uint32_t listed;
    _Atomic(struct kin__member *) closer;
    struct kin__event changed;
    struct kin__event completed;
    struct kin__event room;
    _Atomic(struct kin__member *) supervisor;
    _Atomic uint64_t supervisor_identity;
    _Atomic uint32_t openings;
    _Atomic int supervisor_pid;
    kin_failure open_failure; /* by the supervisor, before the state says that the pool has ended */
    char open_words[160];     /* why it cannot listen or start a worker, by the supervisor */
    bool listens;
    _Atomic uint32_t listening;
    _Atomic uint32_t deputies;
    char address[128];

    struct kin__latch records __attribute__((aligned(64)));
    uint32_t free_record; /* index + 1 */
    _Atomic uint32_t segment_count;
    uint64_t number; /* of the next record */

    struct kin__schedule schedule __attribute__((aligned(64)));

    _Atomic uint64_t submitted __attribute__((aligned(64)));
    _Atomic uint64_t done; /* not by workers, whose counts are in their slots */
    _Atomic uint64_t failed;
    _Atomic uint64_t deaths;
    _Atomic uint64_t deaths_by[KIN_CAUSES]; /* by the supervisor */
    _Atomic uint32_t poisoned;              /* set aside, and not taken yet: for who looks from outside */
};

/* One task of so many is timed: clocks cost as much as a trivial task. */
#define KIN__TIMED_ONE_OF 64

/* What every public function begins with. */
static inline int kin__pool_check(kin_pool *pool)
{
    int rc = kin__enter();
    return rc < 0 ? rc : kin__check(pool, offsetof(struct kin_pool, magic), KIN__MAGIC_POOL);
}

static inline struct kin__worker *kin__pool_worker(kin_pool *pool, unsigned index)
{
    void *block = atomic_load_explicit(&pool->worker_blocks[index / KIN__WORKER_BLOCK], memory_order_acquire);
    return (struct kin__worker *)block + index % KIN__WORKER_BLOCK;
}

/* NULL: the pool was freed under who comes late. */
static inline kin_queue *kin__pool_tasks(kin_pool *pool)
{
    return __atomic_load_n(&pool->tasks, __ATOMIC_RELAXED);
}

/* How many slots of workers there are; most of those above `workers` are empty. */
static inline unsigned kin__pool_slots(kin_pool *pool)
{
    return atomic_load_explicit(&pool->slots, memory_order_acquire);
}

static inline unsigned kin__pool_size(kin_pool *pool)
{
    return atomic_load_explicit(&pool->workers, memory_order_relaxed);
}

/* How many workers there are to share the work, those elsewhere included; at least 1. */
static inline unsigned kin__pool_room(kin_pool *pool)
{
    unsigned room = kin__pool_size(pool) + atomic_load_explicit(&pool->deputies, memory_order_relaxed);
    return room > 0 ? room : 1;
}

static inline _Atomic(void *) *kin__pool_segments(kin_pool *pool)
{
    return (_Atomic(void *) *)atomic_load_explicit(&pool->segments_block, memory_order_relaxed);
}

/* How many records there are, free ones among them; it only grows. */
static inline uint32_t kin__pool_record_count(kin_pool *pool)
{
    return atomic_load(&pool->segment_count) * KIN__SEGMENT_RECORDS;
}

static inline kin_result *kin__pool_record(kin_pool *pool, uint32_t index)
{
    struct kin__record_segment *segment =
        atomic_load(&kin__pool_segments(pool)[index / KIN__SEGMENT_RECORDS]);
    return &segment->record[index % KIN__SEGMENT_RECORDS];
}

/* Which task the record is about: it may have become another's, also of another pool, whose numbers begin
 * anew.  Who sees that one as handed in, by an acquire of its state, sees another life. */
static inline uint64_t kin__record_life(const kin_result *record)
{
    return kin__record_number(record) + (uint64_t)__atomic_load_n(&record->pool->opened, __ATOMIC_RELAXED);
}

/* Is the record still the one that had that life?  One that was freed with its pool meanwhile is nobody's, or
 * another's: who has seen that one handed in, sees it here. */
static inline bool kin__record_is_still(const kin_result *record, uint64_t life)
{
    bool there = __atomic_load_n(&record->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_RESULT;
    return there && kin__record_life(record) == life;
}

/* Who drains the pool looks again.  Seq_cst, and after the count with a full barrier in between: pairs with
 * the look of who drains. */
static inline void kin__pool_counted(kin_pool *pool)
{
    if (atomic_load(&pool->drainers) != 0) kin__event_notify(&pool->changed, INT32_MAX);
}

/* ---- own.c: workers that wait on their own pool ----------------------------------------------------- */

/* Is this process, or this thread, a worker of the pool?  Its slot, or NULL. */
struct kin__worker *kin__worker_here(const kin_pool *pool);
/* Around every sleep on something that only workers of the pool bring about: while a worker is
 * there, another takes its place.  begin: 0, or -EDEADLK when there can be no more. */
int kin__own_wait_begin(kin_pool *pool);
void kin__own_wait_end(kin_pool *pool);
/* The same for who waits for results together with other things (kin/wait.h). */
extern const struct kin__waitable_work kin__own_work;
/* How many workers there may be at most, those included that wait. */
unsigned kin__own_limit(kin_pool *pool);
/* How many deputies there may be: peers may come in any number, and slots are kept for the pool's own workers. */
unsigned kin__deputies_limit(kin_pool *pool);

/* ---- open.c, pool.c ---------------------------------------------------------------------------------------- */

#define KIN__SUPERVISOR_NONE -1
#define KIN__QUEUE_NONE      UINT32_MAX /* the life of none: a queue's has its two lowest bits clear */

/* In the owner: which supervisor there is, by its descriptor, 0 for a thread, or NONE. */
void kin__supervisor_note(kin_pool *pool, int descriptor);
/* In the owner: waits until the supervisor has ended; false: it has not by then.  Of threads only while nobody
 * else can collect it. */
bool kin__supervisor_await(kin_pool *pool, kin_deadline deadline);
/* For the supervisor: who closed the pool may have died after the first step of that, or the second. */
void kin__pool_finish_closing(kin_pool *pool);
/* In the owner: ends and frees the pool. */
void kin__pool_release(kin_pool *pool);
/* In a supervisor that was begun anew functions are elsewhere. */
int kin__pool_find_functions(kin_pool *pool);
bool kin__pool_all_ready(kin_pool *pool);
/* Of a pool whose opener did not wait: waits until its supervisor has taken over, or until `all` its workers have
 * been started, or it has ended.  This takes no time, and so the deadline is not a sooner one than that by which it
 * is clear that the supervisor is stopped.  0, or -ETIMEDOUT. */
int kin__pool_await_start(kin_pool *pool, bool all, kin_deadline deadline);
/* 0, or why the pool takes no tasks. */
int kin__pool_accepts(kin_pool *pool, kin_deadline deadline);
/* Of one that takes no more, or whose queue was found closed: the error that tells it. */
int kin__pool_why_shut(const kin_pool *pool);
/* For who has waited for a supervisor: breaks the pool if it died before it took over. */
void kin__pool_note_lost(kin_pool *pool);
/* One more slot for a worker, for the opener and the supervisor. */
int kin__pool_add_slot(kin_pool *pool);
/* Raises the pool's state to `state` if it is below; true if this call did it. */
bool kin__pool_raise(kin_pool *pool, enum kin__pool_state state);

/* ---- worker.c, supervisor.c, charge.c -------------------------------------------------------------------------- */

/* `connection`: of the worker in another program that this one stands for; NULL: none. */
int kin__worker_main(kin_pool *pool, unsigned index, struct kin_connection *connection);
/* `wake` is this process's descriptor for that; a supervisor that was begun anew finds its functions. */
int kin__supervisor_main(kin_pool *pool, const kin_pool_options *options, int wake);
/* Decides about the record a dead worker was on, or, before it was ready, was to begin with: true when its
 * successor is to begin with it, as `current` says.  `its_doing`: it was ready, or was ended for that record. */
bool kin__worker_charge(kin_pool *pool, unsigned index, bool its_doing, kin_failure *failure);

/* ---- wake.c --------------------------------------------------------------------------------------------- */

void kin__supervisor_wake(kin_pool *pool);
/* In the supervisor: by what its workers wake it. */
void kin__supervisor_wake_by(kin_pool *pool, int wake);
/* For who has told the pool to end: lets a supervisor go on that was stopped, but by a debugger. */
void kin__supervisor_continue(kin_pool *pool);

/* ---- options.c ------------------------------------------------------------------------------------------ */

/* Checks what of a pool is asked for; and, within a family, chooses and checks its start method.  0, or an
 * error, with words for it. */
int kin__pool_options_check(const kin_pool_options *options);
int kin__pool_options_method(kin_pool_options *options);

/* ---- control.c ------------------------------------------------------------------------------------------ */

/* For the supervisor: notes since when workers are on what they are on, to a tenth of a second. */
void kin__pool_note_tasks(kin_pool *pool);

/* ---- submit.c ------------------------------------------------------------------------------------------ */

/* Puts a NEW record, which has that life, into the task queue. */
int kin__pool_queue(kin_pool *pool, kin_result *record, uint64_t life, kin_deadline deadline);
/* As kin_pool_submit, of one task that runs its function over `items` items, one after the other.  `options`
 * NULL: none. */
int kin__submit_items(kin_pool *pool, kin_result **result, const kin_function *function, const void *argument,
                      size_t argument_size, size_t items, kin_deadline deadline,
                      const kin_task_options *options);
/* The same for the rest of such a task, in its place: as kin__schedule_add says. */
int kin__submit_rest(kin_pool *pool, kin_result **result, const kin_function *function, const void *argument,
                     size_t argument_size, size_t items, const kin_task_options *options);
int kin__function_fill(kin_result *record, const kin_function *function);
/* Where the workers have its pure form, once the record has been filled; *pure is NULL: it has none. */
int kin__function_pure(const kin_result *record, const kin_function *function, kin_range_function **pure);
bool kin__function_known(const kin_result *record);

/* ---- result.c ----------------------------------------------------------------------------------------- */

/* 1: the task that had that life is over; 0: it is waited for; or why it will not be: KIN_ECLOSED when the
 * record is another's by now, or nobody's, as a thread that waits may see when another closes it. */
int kin__result_look(const kin_result *result, uint64_t life);
/* kin_result_wait for the task of that life. */
int kin__result_await(kin_result *result, uint64_t life, kin_deadline deadline);
/* kin_result_failure of one that is FAILED, as `word` says; also when its submitter has closed it, of one that stays
 * because others need it. */
void kin__result_failure(const kin_result *result, uint64_t word, kin_failure *failure);

/* ---- results.c, callback.c ----------------------------------------------------------------------------- */

/* From here on its end is told on the pool's `completed`. */
void kin__result_watch(kin_result *result);
/* Starts the thread that calls callbacks; waits until it has called all, of a pool that has ended;
 * drops those that are left. */
int kin__callbacks_start(kin_pool *pool);
void kin__callbacks_finish(kin_pool *pool);
void kin__callbacks_forget(kin_pool *pool);

/* ---- map.c ----------------------------------------------------------------------------------------------- */

/* Runs a part of a map in a worker.  False: a deputy has lost its worker; another is to go on. */
bool kin__map_run(kin_result *part, struct kin__worker *worker);
/* A worker died on a part, or a deputy lost its: charges the item it was on, or, where nobody knows which that was,
 * nobody, and has them noted one by one; false when no other worker is to go on. */
bool kin__map_charge(kin_result *part, bool deputy, kin_failure *failure);
/* Is the rest of the map not wanted any more?  Asked by who runs the part. */
bool kin__map_is_cancelled(const kin_result *part);
/* The worker has no such function: nothing of the map can be run. */
void kin__map_refuse(kin_result *part);
/* For the supervisor: a record of a map whose caller died; false to be called again. */
bool kin__map_orphan(kin_result *record);

/* Of the job of kin_pool_map_async: makes it over when all its parts are; ends it; what it returns. */
static inline bool kin__is_async(const kin_result *record)
{
    return atomic_load_explicit(&record->place, memory_order_relaxed) == KIN__PLACE_JOB;
}
void kin__map_settle(kin_result *job);
void kin__map_cancel(kin_result *job);
const void *kin__map_reply(const kin_result *job);
kin_failure kin__map_failure(const kin_result *job, uint64_t word);
/* For the supervisor: frees one that nobody wants; false to be called again. */
bool kin__map_tidy(kin_result *job);
int kin__map_progress(kin_result *job, uint64_t *count, uint64_t *done);

/* How far `count` tasks are, of which `done` are, after that many nanoseconds. */
kin_progress kin__progress(uint64_t count, uint64_t done, uint64_t failed, int64_t elapsed_ns);

#endif
