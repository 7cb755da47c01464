/* latch.h: the internal lock: short, call-free critical sections, robust against death.
 *
 * Invariants:
 *  - A thread holds at most one latch, and inside it runs only kin's own code: no call that
 *    could take another latch or a robust mutex.  That is what lets the thread's one
 *    "pending" note of the robust list stand for the latch, so that holding it needs no list.
 *  - Its word is an owner word: see owner.h.
 *  - `dirty` stays set from the death of an owner until a later owner has repaired what the
 *    latch protects and calls kin__latch_clean; whoever dies in between leaves it set.
 *
 * The order "note pending, then take the word" and "free the word, then clear pending" is the
 * one of musl's robust mutexes: the kernel must find the note whenever the word is ours.
 */
#ifndef KIN_MEMORY_LATCH_H
#define KIN_MEMORY_LATCH_H

#include "memory/owner.h"

/* From an owner word to where the kernel's robust list expects the entry (glibc's layout). */
#define KIN__ROBUST_ENTRY 32

struct kin__latch {
    struct kin__wait_point point;
};

/* Even a deadline that has passed waits this long for a holder that is only being slow. */
static inline kin_deadline kin__with_grace(kin_deadline deadline)
{
    if (deadline == KIN_FOREVER) return deadline;
    kin_deadline least = kin__os_clock() + KIN__SLICE_NS;
    return deadline > least ? deadline : least;
}

int kin__latch_acquire_slow(struct kin__latch *latch, kin_deadline deadline);

/* `list` is kin__self.robust: looked up once, for all that an operation does with it. */
static inline void kin__pending_set(struct kin__robust_list *list, void *word)
{
    list->pending = (char *)word + KIN__ROBUST_ENTRY;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void kin__pending_clear(struct kin__robust_list *list)
{
    atomic_signal_fence(memory_order_seq_cst);
    list->pending = NULL;
}

/* Takes the latch.  0: held; 1: held, and the caller must repair what it protects and call
 * kin__latch_clean.  -EDEADLK: called from a signal handler that interrupted a critical
 * section; -ETIMEDOUT: its holder is stopped (a grace of some milliseconds is added to the
 * deadline, so that even a deadline that has passed survives ordinary contention).  Who reaps waits for no more
 * than a moment, whatever its deadline.
 * The calling thread has joined the family. */
static inline int kin__latch_acquire(struct kin__latch *latch, kin_deadline deadline)
{
    struct kin__robust_list *list = kin__self.robust;
    if (__builtin_expect(list->pending != NULL, 0)) return kin__latch_acquire_slow(latch, deadline);
    kin__pending_set(list, &latch->point.word);
    /* Acquire: pairs with the release's exchange.  CRASH: before this the kernel finds a
     * pending note with a word that is not ours and at most wakes somebody. */
    if (__builtin_expect(kin__owner_take(&latch->point, 0, 0), 1)) return latch->point.dirty;
    kin__pending_clear(list);
    return kin__latch_acquire_slow(latch, deadline);
}

static inline void kin__latch_clean(struct kin__latch *latch)
{
    latch->point.dirty = 0;
}

static inline void kin__latch_release(struct kin__latch *latch)
{
    if (!kin__owner_drop(&latch->point)) kin__owner_drop_rest(&latch->point);
    kin__pending_clear(kin__self.robust);
}

#endif
