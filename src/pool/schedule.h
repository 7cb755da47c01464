/* schedule.h: tasks that are not simply the next, and what tasks need: see schedule.c and needs.c. */
#ifndef KIN_POOL_SCHEDULE_H
#define KIN_POOL_SCHEDULE_H

#include "os/os.h"
#include "pool/pool.h"

/* ---- schedule.c --------------------------------------------------------------------------------- */

/* NEW → QUEUED in the lists.  Waits for room until `deadline`: -ETIMEDOUT; KIN_ECLOSED, -EDEADLK.  `rest`: of a task
 * that was in: does not wait, and comes into a closed pool until that has ended. */
int kin__schedule_add(kin_pool *pool, kin_result *record, bool rest, kin_deadline deadline);
/* When a task that failed for that many times is to be begun again; 0: at once. */
int64_t kin__retry_time(const kin_result *record, unsigned failures);
/* CLAIMED → QUEUED in the lists, to be begun again at not_before; false when it is not `word` any more.
 * Never waits. */
bool kin__schedule_again(kin_result *record, uint64_t word);
/* QUEUED → `over`, taken out of the lists; false, with *word as it is, if it was not *word. */
bool kin__schedule_finish(kin_result *record, uint64_t *word, uint64_t over);

/* What a worker may do. */
enum kin__pick {
    KIN__PICK_TASK,  /* run *record, which it has claimed */
    KIN__PICK_QUEUE, /* take a task from the queue; until it has, its intent stands */
    KIN__PICK_WAIT,  /* sleep, at most until *until */
};
enum kin__pick kin__schedule_pick(kin_pool *pool, unsigned worker, kin_result **record, kin_deadline *until,
                                  kin_deadline *next);
/* The worker has claimed the record.  Its time begins: the supervisor asks from when on only what is claimed. */
static inline void kin__worker_begins(struct kin__worker *worker, const kin_result *record)
{
    if (__builtin_expect(record->timeout_ns != 0, 0))
        atomic_store_explicit(&worker->started, kin__os_clock(), memory_order_relaxed);
}
/* The worker has, or has not, taken a task from the queue; `next` is what kin__schedule_pick has told. */
void kin__schedule_took(kin_pool *pool, unsigned worker, bool task, kin_deadline next);
void kin__schedule_pause(kin_pool *pool, bool pause);
void kin__schedule_rate(kin_pool *pool, int64_t interval_ns);
/* Lets nothing in any more. */
void kin__schedule_seal(kin_pool *pool);
/* Corrects `attention`, and wakes all workers to look. */
void kin__schedule_refresh(kin_pool *pool);
/* Wakes so many idle workers. */
void kin__schedule_wake(kin_pool *pool, int count);

/* ---- between schedule.c and needs.c ------------------------------------------------------------------ */

int kin__schedule_lock(kin_pool *pool);
void kin__schedule_unlock(kin_pool *pool);
/* Under the latch: puts a waiting record where it belongs now. */
void kin__schedule_move(kin_result *record);
/* Under the latch: QUEUED → `over`, out of its list; false if it was not *word. */
bool kin__schedule_take(kin_result *record, uint64_t *word, uint64_t over);

/* ---- needs.c: what tasks need ---------------------------------------------------------------------------- */

/* SHARED.  One need of one task, in the block that the task's `needs` names.
 *   need, dependent   constant.
 *   next, met         under the schedule's latch. */
struct kin__edge {
    kin_result *need;
    kin_result *dependent;
    struct kin__edge *next;
    bool met;
};
struct kin__needs {
    uint32_t count; /* 0 once the edges are given back; under the latch */
    struct kin__edge edge[];
};

/* Notes in a NEW record what it needs. */
int kin__needs_note(kin_result *record, kin_result *const *needs, size_t count);
/* Under the latch, of a record that is about to be QUEUED: finds what it has to wait for. */
void kin__needs_link(kin_result *record);
/* Under the latch: makes all lists of dependents anew. */
void kin__needs_repair(kin_pool *pool);
/* Has something that it needs failed? */
bool kin__needs_failed(const kin_result *record);
/* A record with NEEDED is over: who needs it is ready, or fails. */
void kin__needs_settle(kin_result *record);
/* Fails those of whose needs one has failed, and so on. */
void kin__needs_fail(kin_pool *pool);
/* Before a record is freed: gives back what it needed. */
void kin__needs_release(kin_result *record);

static inline struct kin__needs *kin__needs_of(const kin_result *record)
{
    return (struct kin__needs *)atomic_load_explicit(&record->needs, memory_order_relaxed);
}

#endif
