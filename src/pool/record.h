/* record.h: task records: what a task is, and at the same time its result; see record.c.
 *
 * Invariants:
 *  - A task's record has one state word; every step of a task is one CAS or store of it.
 *  - Records are type-stable: a stale handle finds a closed record, or another task's.
 */
#ifndef KIN_POOL_RECORD_H
#define KIN_POOL_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kin/pool.h>

#include "base/links.h"
#include "memory/region.h"

#define KIN__MAGIC_RESULT 0x6c75736572006b01ull

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
 * worker (32 … 47).  A flag that is set stays until the record is free, but for POISON, which who takes the
 * task takes away.  They are set and taken away by CAS, fetch_or or fetch_and, and outlast every step of the
 * state; POISON is set by the store that makes a copy FAILED, which nobody else knows yet.
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
/*   POISON    set aside with its input, and not taken; see poison.c. */
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

/* No process has this identity. */
#define KIN__OWNER_POOL UINT64_MAX

struct kin__map;
struct kin__edge;
struct kin__worker;

/* SHARED.  A task, and at the same time the result that its submitter holds.
 *   magic, pool, index   constant once the record exists (magic changes with open and close).
 *   state      NEW → QUEUED by the submitter; QUEUED → CLAIMED by a worker, under the task
 *              queue's latch; CLAIMED → DONE or FAILED by that worker or, after its death, by
 *              the supervisor, or back to QUEUED or CLAIMED by the supervisor; QUEUED → CLAIMED →
 *              FAILED by the supervisor of a terminated pool; DONE, FAILED → FREE by who closes it.
 *              Release on every change, acquire on every look.
 *   function … timeout_ns, argument   by the submitter before QUEUED.
 *   reply, failure   by the worker or the supervisor before DONE or FAILED.
 *   owner      identity of the process whose record it is: that of the submitter.  Of one that is set aside
 *              KIN__OWNER_POOL; who takes it makes it his own by CAS, and then takes POISON away.
 *   place … not_before   by the submitter before QUEUED, or by who has it CLAIMED.
 *   plain      likewise; 1: it is one item, in the room for it here, as is its outcome, whose size is there from the
 *              beginning; nothing is asked for but that it is run, and it waits in the task queue.  Then a worker
 *              looks at the first line of the record, the item and the outcome, and at nothing else.
 *   link       under the schedule's latch.
 *   needs      what it needs, a block; by the submitter before QUEUED.
 *   unmet, dependents   under the schedule's latch; see needs.c.  Without it only whether there are any is
 *              looked at, by kin__record_is_needed.
 *   crash_item, crashes    the item (from 1; 0: none) on which workers died, and how many; by the supervisor.
 *   errors     how often its function returned an error; by the worker.
 *   map, job, span, progress, noted   of a part of a map; see map.c.  noted also of a task of several items: by the
 *              submitter before QUEUED, the deputy that has it CLAIMED, or the supervisor after its death.
 *   number     under the pool's `records` latch, when it is made.
 *   Who does not own the record reads map, job, number, timeout_ns and progress by the functions below:
 *   it may be another task's by then.
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
    _Atomic uint32_t plain;

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
    uint64_t noted; /* of a part of a map: the first unit, from 1, of what is run noting each item; 0: none.
                     * Of a task of several: 1: a deputy sends them one at a time */
    struct kin__links link;
    uint32_t unmet;
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

/* ---- words, and what anybody may read --------------------------------------------------------------- */

/* An attempt of a task among those of its pool; of one that is claimed it is not 0. */
static inline uint64_t kin__task_mark(uint64_t number, uint64_t word)
{
    return number << 16 | KIN__TASK_ATTEMPT(word);
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

/* Do others depend on it?  True for certain only under the schedule's latch. */
static inline bool kin__record_is_needed(const kin_result *record)
{
    return __atomic_load_n(&record->dependents, __ATOMIC_RELAXED) != NULL;
}
static inline bool kin__record_is_plain(const kin_result *record)
{
    return atomic_load_explicit(&record->plain, memory_order_relaxed) != 0;
}
static inline struct kin__map *kin__record_map(const kin_result *record)
{
    return __atomic_load_n(&record->map, __ATOMIC_RELAXED);
}
static inline kin_result *kin__record_job(const kin_result *record)
{
    return __atomic_load_n(&record->job, __ATOMIC_RELAXED);
}
static inline int64_t kin__record_timeout(const kin_result *record)
{
    return __atomic_load_n(&record->timeout_ns, __ATOMIC_RELAXED);
}
static inline uint64_t kin__record_number(const kin_result *record)
{
    return __atomic_load_n(&record->number, __ATOMIC_RELAXED);
}
static inline size_t kin__record_progress(const kin_result *record, unsigned parity)
{
    return __atomic_load_n(&record->progress[parity], __ATOMIC_RELAXED);
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
/* The same for a plain one that `worker`, who calls, has CLAIMED and done.  False: it has flags by now. */
bool kin__record_done(kin_result *record, uint64_t expected, struct kin__worker *worker);
/* QUEUED → CLAIMED for the supervisor, which makes it over next and is the only one to write how; false: it was
 * not QUEUED any more.  *word: what it is then. */
bool kin__record_withdraw(kin_result *record, uint64_t *word);
/* Fills in the failure of a record from its state word. */
void kin__record_fail(kin_result *record, uint64_t word, enum kin_cause cause, int code, int signal);
/* Fills in what the record says in a failure that tells of a death; and makes it the record's end. */
void kin__record_complete(const kin_result *record, uint64_t word, kin_failure *failure);
void kin__record_fail_with(kin_result *record, uint64_t word, kin_failure failure);
/* A deputy lost a CLAIMED record: can one of several items have been the cause?  Then nobody is charged, and whoever
 * goes on with it sends one at a time. */
bool kin__record_doubt(kin_result *record, uint64_t word);
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

/* ---- poison.c -------------------------------------------------------------------------------------------- */

/* For who charges a task that has killed its workers: keeps its input, as far as the pool has room for such. */
void kin__poison_keep(kin_result *record, const kin_failure *failure);
/* How many are set aside and not taken. */
unsigned kin__poison_count(kin_pool *pool);

#endif
