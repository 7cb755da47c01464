/* shelf.h: the inside of a queue that hands messages out by rank (last in first out, by priority), or
 * that hands out again what a dead process had taken: each message in a slot of its own.
 *
 * Invariants:
 *  - A slot's state is the truth; the runs, the heap, the free list, the lists of those taken and
 *    the counts are caches, made anew by whoever finds that the last holder of the latch died.
 *  - Those queued are in runs, lists in which each comes before the next; the heap has the first of
 *    each run.  Messages of equal priority mostly make one run, which costs no more than a list.
 *  - The ends (ends.h) count what was put and what was taken; a message that comes back is put
 *    again.  Their commit words are the commits: the slot that one of them is about stands in the
 *    note `moving` until its state says so too.
 *  - Everything happens under the head's latch, producers' work too.
 */
#ifndef KIN_IPC_SHELF_H
#define KIN_IPC_SHELF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/ends.h"
#include "ipc/record.h"

#define KIN__SHELF_SEGMENT     ((uint64_t)1 << 16)
#define KIN__SHELF_SLOTS       ((uint64_t)256)
#define KIN__SHELF_TAILS       16
#define KIN__SHELF_INLINE_MOST sizeof(((struct kin__shelf_slot *)0)->bytes)
/* So many more messages than may be in the queue can be taken and not done. */
#define KIN__SHELF_TAKEN_MOST 32768
/* max_items of a shelf that keeps, at most: with all its slots it is not beyond KIN__ITEMS_MOST. */
#define KIN__KEPT_ITEMS_MOST (KIN__ITEMS_MOST - KIN__SHELF_TAKEN_MOST - KIN__SHELF_SLOTS)

enum kin__shelf_state { KIN__SHELF_FREE = 0, KIN__SHELF_QUEUED = 1, KIN__SHELF_TAKEN = 2 };

/* Who comes first: the smaller priority, then the smaller number. */
struct kin__rank {
    int64_t priority;
    uint64_t number;
    uint32_t slot;
};

/* SHARED.  Written and read under the head's latch.
 *   state       the truth; see kin__shelf_state.
 *   deliveries  how often it was taken by a process that ended with it.
 *   header      kind and size, as in a stream; valid unless it is free, as the rest.
 *   priority, number   its rank; number counts what was put (of a queue that is last in first out,
 *               downwards), and stays when it comes back.
 *   thread, taken_at, taker   of one that is taken: identity of the thread, a number that tells the order of
 *               takings, and where its process is in the table: nobody else is there before the reaper has put
 *               back what it took.
 *   next        the next slot, plus one, in the list that it is in, which depends on its state: those
 *               free, those its process has taken, or its run: a cache.
 *   previous, of_thread   of one that is taken, likewise: the one before it in that list, and the next in the
 *               list that its thread's are in.
 *   message, bytes   the block, or the message itself. */
struct kin__shelf_slot {
    _Atomic uint32_t state;
    uint32_t deliveries;
    uint64_t header;
    int64_t priority;
    uint64_t number;
    uint64_t thread;
    uint64_t taken_at;
    uint32_t taker;
    uint32_t next;
    uint32_t previous;
    uint32_t of_thread;
    union {
        struct kin__message *message;
        unsigned char bytes[168];
    };
};

/* SHARED.  The heap's places lie beside each other: a look at all that are between its top and its bottom
 * touches few cache lines. */
struct kin__shelf_segment {
    struct kin__rank heap[KIN__SHELF_SLOTS];
    struct kin__shelf_slot slots[KIN__SHELF_SLOTS];
};
_Static_assert(sizeof(struct kin__shelf_segment) <= KIN__SHELF_SEGMENT, "it is a block of that size");

/* SHARED.  The last slot, plus one, of a run whose last message has that priority; 0: none. */
struct kin__shelf_tail {
    int64_t priority;
    uint32_t slot;
};

/* SHARED.  First and last slot, plus one, of a list; 0: none. */
struct kin__shelf_list {
    uint32_t first;
    uint32_t last;
};

/* SHARED, behind the directory of a shelf that keeps: what is taken, in the order of takings, twice: by thread, as
 * a hash of its id says, and by process.  Caches. */
#define KIN__SHELF_THREADS_BITS 10
struct kin__shelf_lists {
    struct kin__shelf_list of_thread[1 << KIN__SHELF_THREADS_BITS];
    struct kin__shelf_list of_process[];
};

/* SHARED.
 *   directory   the segments that there are, `segments` at most; each is freed when the queue is.
 *   closing     the segments are being freed: nobody looks into them, not even to repair.
 *   keeps       what is taken stays in its slot until it is done; constant once it is open.
 *   count       of numbers given to messages and takings.  Grows; a death leaves gaps.
 *   heaped, free, segment_count   caches: entries of the heap, the first free slot plus one, segments in the
 *               directory.
 *   tails       where runs end, found by a hash of the priority: a cache; not every run is there.
 *   taken       how many are taken: a cache, read without the latch.
 *   has_slot    is there a free slot, or room for a segment?  Likewise.
 *   moving      slot plus one of the message that is being put, taken or put back: its state becomes
 *               `moving_to` and its deliveries `moving_deliveries` once `moving_end` is not at
 *               `moving_from` any more. */
struct kin__shelf {
    struct kin__ends ends;
    _Atomic(void *) directory;
    uint32_t segments;
    bool last_first;
    bool keeps;
    bool closing;
    uint64_t count;
    uint32_t segment_count;
    uint32_t heaped;
    uint32_t free;
    struct kin__shelf_tail tails[KIN__SHELF_TAILS];
    _Atomic uint32_t taken;
    _Atomic uint32_t has_slot;
    uint32_t moving;
    uint32_t moving_to;
    uint32_t moving_deliveries;
    uint64_t moving_from;
    struct kin__end *moving_end;
};

int kin__shelf_open(struct kin__shelf *shelf, uint64_t max_items, uint64_t max_bytes);
/* Frees segments and directory; nobody is inside. */
void kin__shelf_close(struct kin__shelf *shelf);

/* Under the head's latch, which is its only one: repairs what a dead holder left. */
void kin__shelf_repair(struct kin__shelf *shelf);

/* The rest is under the latch.  Puts a message; KIN__NO_SEGMENT: call again after kin__shelf_install. */
enum kin__append kin__shelf_put(struct kin__shelf *shelf, const struct kin__record *record, void *queue);
/* Publishes the block of KIN__SHELF_SEGMENT zeroed bytes that the thread has begun to allocate; false
 * if it is not needed any more. */
bool kin__shelf_install(struct kin__shelf *shelf);

/* The slot of the message that comes first, NULL if there is none; and what lies in a slot. */
struct kin__shelf_slot *kin__shelf_first(struct kin__shelf *shelf);
static inline struct kin__record kin__shelf_record(const struct kin__shelf_slot *slot)
{
    struct kin__record record = {.kind = kin__header_kind(slot->header), .size = slot->header >> 2};
    if (record.kind == KIN__RECORD_MESSAGE)
        record.message = slot->message;
    else
        record.bytes = slot->bytes;
    return record;
}
/* Commits that the first message is gone, or that it is taken and kept until it is done. */
void kin__shelf_take(struct kin__shelf *shelf, bool keep);

/* The message that this thread, or else its process, has taken the longest ago and not done.  KIN_ENOTASK: there
 * is none that somebody has got by now; -EDEADLK: this thread is just copying it, and a signal handler asks. */
int kin__shelf_own(struct kin__shelf *shelf, struct kin__shelf_slot **slot);
/* That it is done. */
void kin__shelf_done(struct kin__shelf *shelf, struct kin__shelf_slot *slot);
/* Has this process taken something that is not done? */
bool kin__shelf_has_taken(struct kin__shelf *shelf);
/* Any that is taken. */
struct kin__shelf_slot *kin__shelf_any_taken(struct kin__shelf *shelf);
/* Puts back what the process in that place has taken and not done. */
void kin__shelf_put_back(struct kin__shelf *shelf, uint32_t taker);

/* Does it still name this message where it was put? */
bool kin__shelf_names(struct kin__shelf *shelf, const struct kin__message *message);

#endif
