/* pool.h: what the parts of the pool share: the pool, its workers' slots, task records.
 *
 * Invariants:
 *  - A task's record has one state word; every step of a task is one CAS or store of it.
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

#define KIN__MAGIC_POOL   0x6c6f6f70006b0001ull
#define KIN__MAGIC_RESULT 0x6c75736572006b01ull

#define KIN__WORKERS_MOST    1024
#define KIN__WORKER_BLOCK    16 /* slots that are allocated at once */
#define KIN__WORKER_BLOCKS   (KIN__WORKERS_MOST / KIN__WORKER_BLOCK)
#define KIN__SEGMENT_RECORDS 128
#define KIN__RECORD_SEGMENTS 8192
#define KIN__ARGUMENT_INLINE 128
#define KIN__REPLY_INLINE    128

/* ---- tasks ------------------------------------------------------------------------------------- */

enum kin__task_state {
    KIN__TASK_FREE = 0,
    KIN__TASK_NEW = 1, /* being filled in by `owner` */
    KIN__TASK_QUEUED = 2,
    KIN__TASK_CLAIMED = 3, /* by the worker in the word */
    KIN__TASK_DONE = 4,
    KIN__TASK_FAILED = 5
};

/* A record's state word: state in the low 8 bits, then flags, the attempt (16 … 31) and the
 * worker (32 … 47).  A flag that is set stays; all are set by CAS.
 *   DROPPED   nobody wants the outcome: the worker that finishes the task frees the record, the
 *             supervisor if somebody else does, or if it is over already.
 *   CLOSING   it is over and being freed, by its owner, or, when it was dropped, by that worker;
 *             set once, and by nobody else.  CRASH: the supervisor goes on for either.
 *   CANCELLED whatever comes of it, it ends as FAILED; the supervisor kills the worker it is on.
 *   NEEDED    other tasks need it: who finishes it settles them, and the supervisor frees it.
 *   WATCHED   somebody waits for it together with others: its end is told to the pool, too. */
#define KIN__TASK_DROPPED   ((uint64_t)0x100)
#define KIN__TASK_CLOSING   ((uint64_t)0x200)
#define KIN__TASK_CANCELLED ((uint64_t)0x400)
#define KIN__TASK_NEEDED    ((uint64_t)0x800)
#define KIN__TASK_WATCHED   ((uint64_t)0x1000)
/*   POISON    set aside by the supervisor, and nobody's; who takes it takes the flag away. */
#define KIN__TASK_POISON        ((uint64_t)0x2000)
#define KIN__TASK_FLAGS         ((uint64_t)0xff00)
#define KIN__TASK_STATE(word)   ((enum kin__task_state)((word)&0xff))
#define KIN__TASK_ATTEMPT(word) ((unsigned)((word) >> 16) & 0xffff)
#define KIN__TASK_WORKER(word)  ((unsigned)((word) >> 32) & 0xffff)

/* Where a record that is QUEUED is found: by a message in the task queue, or in the lists of
 * schedule.c, and then a message about it is a stale one. */
enum kin__place {
    KIN__PLACE_QUEUE = 0,
    KIN__PLACE_LIST = 1,
    KIN__PLACE_JOB = 2 /* in neither: a map that nobody waits in; see map.c */
};

struct kin__map;
struct kin__edge;

/* SHARED.  A task, and at the same time the result that its submitter holds.
 *   magic, pool, index   constant once the record exists (magic changes with open and close).
 *   state      NEW → QUEUED by the submitter; QUEUED → CLAIMED by a worker, under the task
 *              queue's latch; CLAIMED → DONE or FAILED by that worker or, after its death, by
 *              the supervisor, or back to QUEUED or CLAIMED by the supervisor; QUEUED → FAILED
 *              by the supervisor of a terminated pool; DONE, FAILED → FREE by who closes it.
 *              Release on every change, acquire on every look.
 *   function … timeout_ns, argument   by the submitter before QUEUED.
 *   reply, failure   by the worker or the supervisor before DONE or FAILED.
 *   owner      identity of the submitting process.
 *   place … not_before   by the submitter before QUEUED, or by who has it CLAIMED.
 *   link       under the schedule's latch.
 *   needs      what it needs, a block; by the submitter before QUEUED.
 *   unmet, dependents   under the schedule's latch; see needs.c.
 *   crash_item, crashes    the item (from 1; 0: none) on which workers died, and how many; by the supervisor.
 *   errors     how often its function returned an error; by the worker.
 *   map, job, span, progress   of a part of a map; see map.c.  Who does not own the record reads
 *              map, job and progress by the functions below: it may be another task's by then.
 *   next_free  under the pool's `records` latch. */
struct kin_result {
    /* In the first lines, for each line is a miss for who comes next: all that an ordinary task needs of it. */
    uint64_t magic;
    kin_pool *pool;
    _Atomic uint64_t state;
    struct kin__event done;
    _Atomic uint64_t owner;
    kin_range_function *range;
    uint32_t index;
    uint32_t unmet;

    kin_bytes_function *bytes;
    kin_zip_function *zip; /* of a map */
    uint32_t in_size, out_size;
    _Atomic(void *) argument_block; /* NULL: argument_inline */
    _Atomic(void *) reply_block;    /* NULL: reply_inline */
    struct kin__map *map;           /* the map this is a part of, or the job of; good until it is over */
    kin_result *job;                /* of that map: who waits for its end waits for this record's event */
    uint32_t items;                 /* of a task of several: progress[0] is the index of the one it is on */
    _Atomic uint32_t place;

    uint64_t argument_size, reply_size;
    int64_t timeout_ns;
    int64_t came; /* when it was handed in, of a task that is timed; else 0 */
    uint64_t crash_item;
    uint32_t attempts; /* how many it may have */
    uint32_t next_free;
    uint16_t retries;        /* after a death */
    uint16_t retries_error;  /* after an error */
    _Atomic uint16_t weight; /* 0: 1 */
    int16_t priority;
    _Atomic uint32_t killed; /* its worker is to be killed: by the caller, whose time is up */
    uint32_t errors;

    uint64_t number;
    volatile size_t progress[2];
    char function[40];

    _Atomic uint64_t span;
    int64_t ran_ns;     /* of a timed task: how long it ran; by the worker */
    uint64_t affinity;  /* 0: none */
    int64_t not_before; /* 0: at once */
    int64_t backoff_ns; /* of one that may be run again */
    uint32_t crashes;   /* of one with a crash_item */
    struct kin__links link;
    _Atomic(void *) needs;
    struct kin__edge *dependents;
    kin_failure failure;

    unsigned char argument_inline[KIN__ARGUMENT_INLINE] __attribute__((aligned(64)));
    unsigned char reply_inline[KIN__REPLY_INLINE] __attribute__((aligned(64)));
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct kin_result, number) == 192, "three lines, and what names the task");

/* SHARED.  Records in type-stable memory, so that a stale result handle finds a closed one. */
struct kin__record_segment {
    kin_result record[KIN__SEGMENT_RECORDS];
};

/* ---- workers ------------------------------------------------------------------------------------- */

enum kin__worker_state { KIN__WORKER_NONE = 0, KIN__WORKER_STARTING = 1, KIN__WORKER_READY = 2 };

/* SHARED.
 *   pid, since, state  by the supervisor (the boot clock after the fork); pid and since also,
 *               and STARTING → READY, by the worker.  Of a thread the pid is its thread id.
 *   current     the record the worker is on: by the worker; by the supervisor while there is
 *               no worker, to give the next one a task to begin with.  Seq_cst: who reserves room
 *               for a heavy task (schedule.c) sees it, or this worker sees `attention`.
 *   started     when the worker began what it is on (monotonic, ns); by the worker.
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
    int64_t since;
    _Atomic(kin_result *) current;
    _Atomic int64_t started;
    _Atomic uint64_t tasks;
    _Atomic(kin_result *) condemned;
    _Atomic uint32_t intent;
    _Atomic uint32_t retire;
    _Atomic uint64_t done;
    _Atomic uint64_t failed;
    _Atomic uint64_t retried;
    _Atomic uint32_t blocked;
    _Atomic(kin_result *) finishing;
    _Atomic uint64_t counted;
    _Atomic uint64_t queue_time[KIN_TIME_BUCKETS];
    _Atomic uint64_t run_time[KIN_TIME_BUCKETS];
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
 *   collecting   a thread of the owner collects the supervisor, or has done so.
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
    bool threads; /* its workers are threads of the owner, and so is the supervisor */
    int (*initializer)(void *context);
    void *context;
    char name[64];
    kin_queue *tasks;
    uint32_t tasks_life; /* which of the queues at that place it is */
    uint64_t owner;
    struct kin__image
        image; /* the workers': where they have functions; by a supervisor that was begun anew */
    int owner_pid;
    uint32_t held;                     /* the owner's entry for it */
    int64_t opened;                    /* monotonic */
    int64_t supervisor_since;          /* boot clock after its start */
    _Atomic int supervisor_descriptor; /* in the owner; -1 once it is collected, or a thread */
    kin_thread *supervisor_thread;     /* in the owner; NULL: it is none, or was collected */
    int wake_descriptor;               /* an eventfd, in the owner; supervisor and workers have it too */
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
    _Atomic uint32_t collecting;
    _Atomic(struct kin__member *) closer;
    struct kin__event changed;
    struct kin__event completed;
    struct kin__event room;
    _Atomic(struct kin__member *) supervisor;
    _Atomic uint64_t supervisor_identity;
    _Atomic uint32_t openings;
    _Atomic int supervisor_pid;
    kin_failure open_failure;
    char open_words[160]; /* why a worker could not be started, by the supervisor */
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
    _Atomic uint32_t poisoned;              /* set aside, and not taken yet */
};

/* One task of so many is timed: clocks cost as much as a trivial task. */
#define KIN__TIMED_ONE_OF 64

static inline struct kin__worker *kin__pool_worker(kin_pool *pool, unsigned index)
{
    void *block = atomic_load_explicit(&pool->worker_blocks[index / KIN__WORKER_BLOCK], memory_order_acquire);
    return (struct kin__worker *)block + index % KIN__WORKER_BLOCK;
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

static inline bool kin__task_over(uint64_t word)
{
    return KIN__TASK_STATE(word) >= KIN__TASK_DONE;
}

/* The word of a record that a worker claims, or claims again: its next attempt.  The number stays at its
 * most; what ends a task is counted in the record. */
static inline uint64_t kin__claimed_word(uint64_t word, unsigned worker)
{
    uint64_t attempt = KIN__TASK_ATTEMPT(word);
    if (attempt < UINT16_MAX) attempt++;
    return (word & KIN__TASK_FLAGS) | (uint64_t)worker << 32 | attempt << 16 | KIN__TASK_CLAIMED;
}

/* The word of a record that gets over, from what its word was.  `frees`: who makes it over is the worker that
 * is on it, and frees it when nobody wants it. */
static inline uint64_t kin__over_word(uint64_t word, enum kin__task_state state, bool frees)
{
    if (__builtin_expect((word & KIN__TASK_FLAGS) == 0, 1)) return (word & ~(uint64_t)0xff) | state;
    const uint64_t fate = word & (KIN__TASK_DROPPED | KIN__TASK_NEEDED);
    uint64_t closing = fate == KIN__TASK_DROPPED && frees ? KIN__TASK_CLOSING : 0;
    if ((word & KIN__TASK_CANCELLED) != 0) state = KIN__TASK_FAILED;
    return (word & ~(uint64_t)0xff) | state | closing;
}

static inline struct kin__map *kin__record_map(const kin_result *record)
{
    return __atomic_load_n(&record->map, __ATOMIC_RELAXED);
}
static inline kin_result *kin__record_job(const kin_result *record)
{
    return __atomic_load_n(&record->job, __ATOMIC_RELAXED);
}
static inline size_t kin__record_progress(const kin_result *record, unsigned parity)
{
    return __atomic_load_n(&record->progress[parity], __ATOMIC_RELAXED);
}

/* Who drains the pool looks again.  Seq_cst, and after the count with a full barrier in between: pairs with
 * the look of who drains. */
static inline void kin__pool_counted(kin_pool *pool)
{
    if (atomic_load(&pool->drainers) != 0) kin__event_notify(&pool->changed, INT32_MAX);
}

/* ---- record.c: records ------------------------------------------------------------------------------ */

/* A record in state NEW that belongs to the calling process. */
int kin__record_make(kin_pool *pool, kin_result **record);
/* Frees a record that is NEW or over, with its blocks. */
void kin__record_free(kin_result *record);
/* The same of one that is over, whose word was `word`: that it is gone is an end, too, for who waits for it
 * together with others. */
void kin__record_gone(kin_result *record, uint64_t word);
/* Tells who waits for a record that is over, or for the map it is a part of. */
void kin__record_tell(kin_result *record, kin_result *job);
/* Counts a task that is over: as one of `worker`'s, by that or, when it is dead, by the supervisor, after
 * which comes kin__pool_counted; or, with NULL, as nobody's. */
void kin__record_count(kin_pool *pool, struct kin__worker *worker, enum kin__task_state state);
/* After a record has got the word `over`, and was counted: the rest of kin__record_finish. */
void kin__record_after(kin_result *record, kin_result *job, bool async, uint64_t over);
/* CLAIMED (or QUEUED) → DONE or FAILED, if the word is still `expected` but for its flags; wakes who
 * waits, frees what nobody wants.  False: it was not. */
bool kin__record_finish(kin_result *record, uint64_t expected, enum kin__task_state state);
/* Fills in the failure of a record from its state word. */
void kin__record_fail(kin_result *record, uint64_t word, enum kin_cause cause, int code, int signal);
/* Fills in what the record says in a failure that tells of a death; and makes it the record's end. */
void kin__record_complete(const kin_result *record, uint64_t word, kin_failure *failure);
void kin__record_fail_with(kin_result *record, uint64_t word, kin_failure failure);
/* Charges a CLAIMED record for the death of the process that ran it: may it be run again, at not_before? */
bool kin__record_crashed(kin_result *record, uint64_t word);
/* Stores `size` bytes in the inline room or in a block of family memory. */
int kin__record_store(_Atomic(void *) *block, void *room, size_t room_size, const void *bytes, size_t size);
/* For the supervisor: results whose process died are nobody's any more, and what nobody wants and
 * others needed is freed; after deaths what the dead may have left unsettled is settled.  False to be
 * called again. */
bool kin__records_tidy(kin_pool *pool, bool deaths);
/* Frees all segments; nobody uses the pool. */
void kin__records_close(kin_pool *pool);
static inline void *kin__record_argument(kin_result *record)
{
    void *block = atomic_load_explicit(&record->argument_block, memory_order_relaxed);
    return block != NULL ? block : record->argument_inline;
}
static inline void *kin__record_reply(kin_result *record)
{
    void *block = atomic_load_explicit(&record->reply_block, memory_order_relaxed);
    return block != NULL ? block : record->reply_inline;
}

/* ---- own.c: workers that wait on their own pool ----------------------------------------------------- */

/* Is this process, or this thread, a worker of the pool?  Its slot, or NULL. */
struct kin__worker *kin__worker_here(const kin_pool *pool);
/* Around every sleep on something that only workers of the pool bring about: while a worker is
 * there, another takes its place.  begin: 0, or -EDEADLK when there can be no more. */
int kin__own_wait_begin(kin_pool *pool);
void kin__own_wait_end(kin_pool *pool);
/* How many workers there may be at most, those included that wait. */
unsigned kin__own_limit(kin_pool *pool);

/* ---- poison.c -------------------------------------------------------------------------------------------- */

/* For the supervisor: keeps the input of a task that has killed its workers, as far as the pool has
 * room for such. */
void kin__poison_keep(kin_result *record, const kin_failure *failure);

/* ---- worker.c, supervisor.c, charge.c -------------------------------------------------------------------------- */

/* `connection`: of the worker in another program that this one stands for; NULL: none. */
int kin__worker_main(kin_pool *pool, unsigned index, struct kin_connection *connection);
/* `wake` is this process's descriptor for that; a supervisor that was begun anew finds its functions. */
int kin__supervisor_main(kin_pool *pool, const kin_pool_options *options, int wake);
void kin__supervisor_wake(kin_pool *pool);
/* In the supervisor: by what its workers wake it. */
void kin__supervisor_wake_by(kin_pool *pool, int wake);
/* Decides about the record a dead worker was on: true when its successor is to begin with it,
 * as `current` says. */
bool kin__worker_charge(kin_pool *pool, unsigned index, kin_failure *failure);

/* ---- options.c ------------------------------------------------------------------------------------------ */

/* Checks what of a pool is asked for; and, within a family, chooses and checks its start method.  0, or an
 * error, with words for it. */
int kin__pool_options_check(const kin_pool_options *options);
int kin__pool_options_method(kin_pool_options *options);

/* ---- submit.c ------------------------------------------------------------------------------------------ */

int kin__pool_check(kin_pool *pool);
/* 0, or why the pool takes no tasks. */
int kin__pool_accepts(kin_pool *pool);
/* Puts a NEW record into the task queue. */
int kin__pool_queue(kin_pool *pool, kin_result *record, kin_deadline deadline);
/* As kin_pool_submit, of one task that runs its function over `items` items, one after the other.  `options`
 * NULL: none. */
int kin__submit_items(kin_pool *pool, kin_result **result, const kin_function *function, const void *argument,
                      size_t argument_size, size_t items, kin_deadline deadline,
                      const kin_task_options *options);
int kin__function_fill(kin_result *record, const kin_function *function);
bool kin__function_known(const kin_result *record);
bool kin__pool_all_ready(kin_pool *pool);
/* One more slot for a worker, for the opener and the supervisor. */
int kin__pool_add_slot(kin_pool *pool);
/* Raises the pool's state to `state` if it is below; true if this call did it. */
bool kin__pool_raise(kin_pool *pool, enum kin__pool_state state);

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
/* A worker died on a part: charges the item it was on; false when no other worker is to go on. */
bool kin__map_charge(kin_result *part, kin_failure *failure);
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
