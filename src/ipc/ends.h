/* ends.h: the two ends of a queue: how many messages and bytes have passed each.
 *
 * Invariants:
 *  - Each end has one commit word: where it is and how many messages have passed.  An operation is
 *    invisible until the store of that word.  head ≤ tail.
 *  - Bytes in the queue are counted beside the commit word, in two cells used in turn: the one
 *    that belongs to a commit word is never written while that word stands.  So one commit moves an
 *    end by an odd number of messages.
 */
#ifndef KIN_IPC_ENDS_H
#define KIN_IPC_ENDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/latch.h"

/* A commit word: position in the lower 40 bits, messages above.  Both wrap; only differences
 * count. */
#define KIN__POSITION_BITS 40
#define KIN__POSITION_MASK (((uint64_t)1 << KIN__POSITION_BITS) - 1)
#define KIN__ITEM          ((uint64_t)1 << KIN__POSITION_BITS)
#define KIN__ITEMS_MOST    (((uint64_t)1 << (64 - KIN__POSITION_BITS)) - 2)

/* Some processors fetch the lines of memory in pairs: so far apart are the two that are not to be fetched
 * together.  Not an alignment: objects have that of a line. */
#define KIN__END_LINE 128

/* SHARED.  One end.  Who works at the other one looks at the second line alone, and whoever works here only
 * writes there: its line is at the other end, and to read it before it is written would be to fetch it twice.
 *   latch      of those who work at this end (on a shelf, the head's is the latch of both).
 *   own_position, own_bytes   copies of position and the cell that belongs to it: under the latch.  Atomic, so
 *              that a compiler does not read both at once, which has to wait for what was just stored.
 *   other_position, other_bytes   what was last seen of the other end: under the latch.
 *   position   the commit word: a release store under the latch; acquire loads by everybody.
 *   bytes      running total of bytes that passed, by the parity of the messages counted in
 *              position; stored before it, under the latch.
 *   halves     how often that count has come to half of its range or to the end of it: odd when its
 *              highest bit is set.  Stored before position, under the latch, and read after it (kin__end_total):
 *              so it lies behind it for who copies the whole. */
struct kin__end {
    struct kin__latch latch;
    _Atomic uint64_t own_position;
    _Atomic uint64_t own_bytes;
    uint64_t other_position;
    uint64_t other_bytes;
    char apart[KIN__END_LINE - 48];
    _Atomic uint64_t position;
    _Atomic uint64_t bytes[2];
    _Atomic uint32_t halves;
    char after[KIN__END_LINE - 28];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct kin__end, position) == KIN__END_LINE, "in the second");
_Static_assert(offsetof(struct kin__end, halves) > offsetof(struct kin__end, position), "copied later");
_Static_assert(sizeof(struct kin__end) == 2 * KIN__END_LINE, "two of them");

/* SHARED.  The limits are constant once the queue is open; atomic, because somebody may still look at them who
 * waited on the queue that was here before. */
struct kin__ends {
    struct kin__end tail;
    struct kin__end head;
    _Atomic uint64_t max_items;
    _Atomic uint64_t max_bytes;
};

/* Where a thread that holds an end's latch is, between the commits: word and bytes of the end as they
 * will be, and as they will be but for the last message. */
struct kin__cursor {
    uint64_t word, bytes;
    uint64_t last_word, last_bytes;
};

static inline uint64_t kin__items_of(uint64_t word)
{
    return word >> KIN__POSITION_BITS;
}

static inline uint64_t kin__items_between(uint64_t head, uint64_t tail)
{
    return (kin__items_of(tail) - kin__items_of(head)) & (KIN__ITEMS_MOST + 1);
}

static inline uint64_t kin__advance(uint64_t word, uint64_t distance)
{
    return (word & ~KIN__POSITION_MASK) | ((word + distance) & KIN__POSITION_MASK);
}

/* The end's word and the bytes that belong to it, for who cannot rely on the copies. */
static inline uint64_t kin__end_read(struct kin__end *end, uint64_t *bytes)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&end->position, memory_order_acquire);
        *bytes = atomic_load_explicit(&end->bytes[kin__items_of(word) & 1], memory_order_acquire);
        /* Unchanged: then the cell was not written meanwhile (see above). */
        if (atomic_load_explicit(&end->position, memory_order_relaxed) == word) return word;
    }
}

/* Under the end's latch: its commit word, without a look at the other line. */
static inline uint64_t kin__end_word(const struct kin__end *end)
{
    return atomic_load_explicit(&end->own_position, memory_order_relaxed);
}

static inline struct kin__cursor kin__cursor_at(const struct kin__end *end)
{
    uint64_t word = kin__end_word(end);
    uint64_t bytes = atomic_load_explicit(&end->own_bytes, memory_order_relaxed);
    return (struct kin__cursor){word, bytes, word, bytes};
}

/* Passes one message that ends at `position` and counts `charge` bytes. */
static inline void kin__cursor_pass(struct kin__cursor *cursor, uint64_t position, uint64_t charge)
{
    cursor->last_word = cursor->word;
    cursor->last_bytes = cursor->bytes;
    cursor->word = position + KIN__ITEM;
    cursor->bytes += charge;
}

/* All messages that have passed an end with that word and those halves, if they were read in this order: the
 * halves may be one ahead of the word. */
static inline uint64_t kin__end_total(uint64_t word, uint32_t halves)
{
    halves -= (halves ^ (uint32_t)(word >> 63)) & 1;
    return (uint64_t)(halves >> 1) << (64 - KIN__POSITION_BITS) | kin__items_of(word);
}

static inline void kin__end_store(struct kin__end *end, uint64_t word, uint64_t bytes)
{
    if (__builtin_expect(((kin__end_word(end) ^ word) >> 63) != 0, 0)) {
        uint32_t halves = atomic_load_explicit(&end->halves, memory_order_relaxed);
        /* CRASH: after it and before the commit, whoever passes the same message finds it done. */
        halves += (halves ^ (uint32_t)(word >> 63)) & 1;
        atomic_store_explicit(&end->halves, halves, memory_order_relaxed);
    }
    /* Release: pairs with the acquire in kin__end_read. */
    atomic_store_explicit(&end->bytes[kin__items_of(word) & 1], bytes, memory_order_release);
    /* CRASH: before this store nothing has happened, after it everything has: kin__end_recover.  Release:
     * pairs with the acquire loads of the other end. */
    atomic_store_explicit(&end->position, word, memory_order_release);
    atomic_store_explicit(&end->own_position, word, memory_order_relaxed);
    atomic_store_explicit(&end->own_bytes, bytes, memory_order_relaxed);
}

/* Under the end's latch, after the death of who had it: the copies may be those of before the commit. */
static inline void kin__end_recover(struct kin__end *end)
{
    uint64_t bytes;
    end->own_position = kin__end_read(end, &bytes);
    end->own_bytes = bytes;
}

/* Commits what the cursor has passed.  CRASH: of an even number, all but the last may have passed. */
static inline void kin__cursor_commit(struct kin__end *end, const struct kin__cursor *cursor)
{
    uint64_t passed = kin__items_between(kin__end_word(end), cursor->word);
    if (passed == 0) return;
    if ((passed & 1) == 0) kin__end_store(end, cursor->last_word, cursor->last_bytes);
    kin__end_store(end, cursor->word, cursor->bytes);
}

void kin__ends_init(struct kin__ends *ends, uint64_t max_items, uint64_t max_bytes);

/* Is there room for a message of `charge` bytes beside so many?  *by_bytes: if not, for want of
 * bytes. */
static inline bool kin__ends_admit(const struct kin__ends *ends, uint64_t items, uint64_t bytes,
                                   uint64_t charge, bool *by_bytes)
{
    *by_bytes = items < atomic_load_explicit(&ends->max_items, memory_order_relaxed);
    return *by_bytes &&
           (bytes + charge <= atomic_load_explicit(&ends->max_bytes, memory_order_relaxed) || items == 0);
}

/* Without a latch, for those who watch or sleep. */
bool kin__ends_have_room(struct kin__ends *ends, uint64_t charge, bool *by_bytes);
uint64_t kin__ends_items(struct kin__ends *ends);

#endif
