/* queue.h: what the layers above know of a queue's inside. */
#ifndef KIN_IPC_QUEUE_H
#define KIN_IPC_QUEUE_H

#include <stdbool.h>

#include <kin/queue.h>

#include "ipc/shelf.h"
#include "ipc/stream.h"
#include "memory/region.h"

#define KIN__MAGIC_QUEUE         0x6575657571006b01ull
#define KIN__MAGIC_QUEUE_OPENING 0x6575657571006b02ull

enum kin__ended { KIN__OPEN = 0, KIN__ENDED_IN_ORDER = 1, KIN__ENDED_AT_ONCE = 2 };
enum kin__tasks { KIN__TASKS_NONE = 0, KIN__TASKS_COUNTED, KIN__TASKS_KEPT };

/* SHARED.
 *   magic      OPENING → QUEUE by who opens it, → CLOSED by who closes it.
 *   closer     NULL → the thread that closes it, by CAS.
 *   life       how it has ended (kin__ended), which only grows, and above that a count of the queues that
 *              were here: who waits on one of them does not take the next for it.  Seq_cst; written
 *              under the tail's latch; a producer looks under that latch, a consumer under the head's.
 *   by_bytes   somebody has waited for room in bytes: then a wake-up goes to all, because the
 *              first may be too small a room for the one and large enough for another.
 *   draining   the message that is being freed by who closes the queue; under the head's latch,
 *              and cleared with the block (kin__free).
 *   by_rank    the messages are on the shelf and not in the stream; constant once it is open, as
 *   by_priority   are all that come from the options.  Those that somebody may still read who waited on the
 *              queue before are atomic: he looks at `life` before he relies on them.
 *   items, space   events: "there is a message", "there is room".
 *   tasks      whether it is joinable; counted: by process in `taken`; kept: on the shelf, until they
 *              are done, and handed out again `redeliver` times at most.
 *   taken, finished   of a joinable queue; see joinable.c.
 *   ends       those of the stream or the shelf, whichever it is. */
struct kin_queue {
    uint64_t magic;
    _Atomic uint32_t life;
    _Atomic uint32_t by_bytes;
    _Atomic(struct kin__member *) closer;
    _Atomic(void *) draining;
    _Atomic bool by_rank;
    bool by_priority;
    _Atomic uint8_t tasks;
    uint32_t redeliver;
    struct kin__event items __attribute__((aligned(64)));
    struct kin__event space;
    _Atomic(void *) taken;
    struct kin__event finished;
    union {
        struct kin__ends ends;
        struct kin__stream stream;
        struct kin__shelf shelf;
    };
};
_Static_assert(offsetof(struct kin__stream, directory) == offsetof(struct kin__shelf, directory),
               "there is a directory as long as the queue holds memory, whichever it is");

static inline int kin__queue_enter(const kin_queue *queue)
{
    int rc = kin__enter();
    return __builtin_expect(rc == 0, 1)
               ? kin__check(queue, offsetof(struct kin_queue, magic), KIN__MAGIC_QUEUE)
               : rc;
}

/* ---- its life ---------------------------------------------------------------------------------- */

/* Which of the queues that were here this one is, and how it has ended. */
#define KIN__LIFE_ENDED ((uint32_t)3)

/* What stands in `life` while the queue that is here now has not ended. */
static inline uint32_t kin__queue_life(kin_queue *queue)
{
    return atomic_load_explicit(&queue->life, memory_order_relaxed) & ~KIN__LIFE_ENDED;
}

/* How the queue of that life has ended: at once, if there is another by now. */
static inline enum kin__ended kin__queue_ended(kin_queue *queue, uint32_t life)
{
    uint32_t ended = atomic_load(&queue->life) - life;
    return ended < KIN__ENDED_AT_ONCE ? (enum kin__ended)ended : KIN__ENDED_AT_ONCE;
}

/* ---- the ends --------------------------------------------------------------------------------- */

/* After a death under a latch, by who has it now: of what sort the queue is, is read under it. */
void kin__queue_repair_head(kin_queue *queue);
void kin__queue_repair_tail(kin_queue *queue);

static inline int kin__queue_lock_head(kin_queue *queue, kin_deadline deadline)
{
    int rc = kin__latch_acquire(&queue->ends.head.latch, deadline);
    if (__builtin_expect(rc == 1, 0)) kin__queue_repair_head(queue);
    return rc;
}
/* A shelf has one latch for both.  `*latch` is the one that was taken: the queue may be another by now. */
static inline int kin__queue_lock_tail(kin_queue *queue, kin_deadline deadline, struct kin__latch **latch)
{
    if (__builtin_expect(queue->by_rank, 0)) {
        *latch = &queue->ends.head.latch;
        return kin__queue_lock_head(queue, deadline);
    }
    *latch = &queue->ends.tail.latch;
    int rc = kin__latch_acquire(&queue->ends.tail.latch, deadline);
    if (__builtin_expect(rc == 1, 0)) kin__queue_repair_tail(queue);
    return rc;
}

/* Under the head's latch: does the queue still name this message where it was put? */
static inline bool kin__queue_names(kin_queue *queue, const struct kin__message *message)
{
    return queue->by_rank ? kin__shelf_names(&queue->shelf, message)
                          : kin__stream_names(&queue->stream, message);
}

/* Under the head's latch: the message that comes first, false if there is none; and commits that it is
 * gone. */
static inline bool kin__queue_peek(kin_queue *queue, struct kin__record *record)
{
    if (__builtin_expect(queue->by_rank, 0)) {
        const struct kin__shelf_slot *slot = kin__shelf_first(&queue->shelf);
        if (slot != NULL) *record = kin__shelf_record(slot);
        return slot != NULL;
    }
    return kin__stream_peek(&queue->stream, kin__end_word(&queue->ends.head), record);
}
/* Under the head's latch, when there is none: where it will probably be. */
static inline const void *kin__queue_place(kin_queue *queue)
{
    return queue->by_rank ? NULL : kin__stream_place(&queue->stream);
}
static inline void kin__queue_consume(kin_queue *queue, const struct kin__record *record)
{
    if (__builtin_expect(queue->by_rank, 0)) {
        kin__shelf_take(&queue->shelf, false);
        return;
    }
    kin__stream_consume(&queue->stream, record);
}

/* ---- joinable.c: tasks taken and not done ----------------------------------------------------- */

static inline bool kin__queue_is_joinable(kin_queue *queue)
{
    return queue->tasks != KIN__TASKS_NONE;
}

/* Before the stream or the shelf is opened. */
int kin__queue_make_joinable(kin_queue *queue);
void kin__queue_note_tasks(kin_queue *queue, uint32_t count);
/* Under the head's latch: the messages that are about to be taken are tasks of this process. */
static inline void kin__queue_take_tasks(kin_queue *queue, uint32_t count)
{
    if (__builtin_expect(queue->tasks == KIN__TASKS_COUNTED, 0)) kin__queue_note_tasks(queue, count);
}
/* Under the head's latch: is nothing unfinished?  And to those who wait for that. */
bool kin__queue_all_done(kin_queue *queue);
static inline void kin__queue_tell_finished(kin_queue *queue)
{
    kin__event_notify(&queue->finished, INT32_MAX);
}
/* Under the head's latch: may what a process has taken and kept come back to this one? */
bool kin__queue_may_come_back(kin_queue *queue);
/* Without the latch: has the queue of that life ended for this process, which waits for nobody's tasks because it has
 * some itself? */
bool kin__queue_is_over(kin_queue *queue, uint32_t life);
/* Closes and frees a queue that nobody uses any more, whose only name is *destination: NULL afterwards, wherever the
 * thread may die.  A reaper that does not get a latch leaves it named, and calls again at its next look. */
void kin__queue_destroy(kin_queue *queue, _Atomic(void *) *destination);
/* When the queue is closed. */
void kin__queue_forget_tasks(kin_queue *queue);
/* Of a process that has ended (struct kin__reap_hooks). */
void kin__queue_settle_tasks(void *object, struct kin__process_slot *dead);

/* About so many bytes of a batch are copied while an end's latch is held. */
#define KIN__RUN_BYTES KIN__SEGMENT_SIZE

/* ---- telling each other ---------------------------------------------------------------------- */

/* After a commit and the release of the latch, which is the full barrier in between. */
static inline void kin__queue_tell_items(kin_queue *queue, size_t count)
{
    kin__event_notify(&queue->items, count < INT32_MAX ? (int)count : INT32_MAX);
}
static inline void kin__queue_tell_space(kin_queue *queue, size_t count)
{
    bool all = count > INT32_MAX || atomic_load_explicit(&queue->by_bytes, memory_order_relaxed) != 0;
    kin__event_notify(&queue->space, all ? INT32_MAX : (int)count);
}

/* Without a latch: has the queue of that life a message, or is there none to come?  What others have taken
 * may come back to who has taken nothing. */
static inline bool kin__queue_may_get(kin_queue *queue, uint32_t life, bool has_taken)
{
    uint64_t head = atomic_load_explicit(&queue->ends.head.position, memory_order_relaxed);
    uint64_t tail = atomic_load(&queue->ends.tail.position);
    if (((head ^ tail) & KIN__POSITION_MASK) != 0) return true;
    enum kin__ended ended = kin__queue_ended(queue, life);
    if (__builtin_expect(queue->tasks == KIN__TASKS_KEPT && ended == KIN__ENDED_IN_ORDER && !has_taken, 0))
        return atomic_load(&queue->shelf.taken) == 0;
    return ended != KIN__OPEN;
}

/* ---- queue_get.c -------------------------------------------------------------------------------- */

/* A claim is asked under the queue's latch about the message that is about to be taken, before it is:
 * it notes whose the message becomes (TAKE), or says that it is to be dropped, or left where it is:
 * then the call returns -EINTR.  It may be asked again about the same message, by another thread, if
 * the first one dies.
 *   interrupt   while it is not 0, nothing is waited for: -EINTR.  Who sets it calls kin__queue_wake.
 *   pause_ns    not 0: who was woken and finds that somebody else was faster sleeps for so long, and is not
 *               woken meanwhile: another one takes what comes. */
enum kin__claim { KIN__CLAIM_TAKE, KIN__CLAIM_DROP, KIN__CLAIM_LEAVE };
struct kin__queue_claim {
    enum kin__claim (*claim)(const void *message, size_t size, void *context);
    void *context;
    const _Atomic uint32_t *interrupt;
    int64_t pause_ns;
};

/* As kin_queue_get, with a claim on the way. */
long kin__queue_get_claim(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline,
                          const struct kin__queue_claim *claim);

/* Wakes `count` of those who wait for a message: they look at their interrupts. */
static inline void kin__queue_wake(kin_queue *queue, int count)
{
    kin__event_notify(&queue->items, count);
}

#endif
