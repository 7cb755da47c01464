/* permits.h: the permits of a semaphore, each with the name of who holds it.
 *
 * Invariants:
 *  - A permit is free, or held by one process, or does not exist.  Which of them stands in one cell,
 *    and changes by one CAS: at no instant is a permit taken and not known whose it is.
 *  - There is no other book: the value of the semaphore is the number of free cells, counted when
 *    somebody asks, and what a dead process held is what carries its name.
 *  - Every change of a word of cells gives it another version, so that two looks at all words that
 *    find the same have seen the state of one moment.
 */
#ifndef KIN_SYNC_PERMITS_H
#define KIN_SYNC_PERMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/table.h"

/* What a cell holds; KIN__CELL_HOLDER + n: the process in slot n. */
enum { KIN__CELL_NONE = 0, KIN__CELL_FREE = 1, KIN__CELL_HOLDER = 2 };

/* Four cells to a word, and the version above. */
#define KIN__CELL_BITS     13
#define KIN__CELL_MASK     ((1u << KIN__CELL_BITS) - 1)
#define KIN__CELLS         4
#define KIN__CELLS_ONES    0x8004002001ull /* 1 in each cell */
#define KIN__CELLS_ALL     (((uint64_t)1 << KIN__CELLS * KIN__CELL_BITS) - 1)
#define KIN__CELLS_VERSION ((uint64_t)1 << KIN__CELLS * KIN__CELL_BITS)
_Static_assert(KIN__CELL_HOLDER + KIN__PROCESSES_MOST <= KIN__CELL_MASK, "every process has a name");

#define KIN__PERMIT_WORDS  24  /* in the semaphore itself */
#define KIN__PERMIT_CHUNK  504 /* in a chunk */
#define KIN__PERMIT_CHUNKS 50
#define KIN__PERMITS_MOST  100000
_Static_assert(KIN__PERMITS_MOST % KIN__CELLS == 0 &&
                   KIN__PERMITS_MOST / KIN__CELLS <=
                       KIN__PERMIT_WORDS + KIN__PERMIT_CHUNKS * KIN__PERMIT_CHUNK,
               "there are cells for all, and none beyond");

/* SHARED.  Type-stable, like the semaphore. */
struct kin__permit_chunk {
    _Atomic uint64_t word[KIN__PERMIT_CHUNK];
};

/* SHARED.
 *   word   changed by CAS by everybody: acquire and release, and seq_cst where a permit becomes free
 *          (it pairs with the count of sleepers in kin__waiters_enter).
 *   used   words at and above have no permits, and may have no memory; raised by CAS before the first
 *          cell there is filled.
 *   chunk  NULL → the chunk, by CAS; freed when the semaphore is closed. */
struct kin__permits {
    _Atomic uint64_t word[KIN__PERMIT_WORDS];
    _Atomic uint32_t used;
    _Atomic(void *) chunk[KIN__PERMIT_CHUNKS];
};

/* Makes `count` free permits: 0, -ENOMEM.  The memory behind `permits` may have been others'; after
 * kin__permits_clear it can be closed at any time. */
void kin__permits_clear(struct kin__permits *permits);
int kin__permits_open(struct kin__permits *permits, uint32_t count);
void kin__permits_close(struct kin__permits *permits);

/* The name of the calling process, which has joined the family. */
static inline uint32_t kin__permits_self(void);

/* Takes a free permit, in any word: false when at one moment there was none. */
bool kin__permits_take_any(struct kin__permits *permits, uint32_t holder);
/* Frees one that `holder` holds, or else one that any process holds: false if none is held. */
bool kin__permits_free_any(struct kin__permits *permits, uint32_t holder);
/* Makes one more: 0, -ENOMEM, -EOVERFLOW. */
int kin__permits_add(struct kin__permits *permits);
/* Frees all that `holder` holds: how many. */
uint32_t kin__permits_reclaim(struct kin__permits *permits, uint32_t holder);

/* How many are free, and how many held, at one moment. */
void kin__permits_count(struct kin__permits *permits, uint32_t *free, uint32_t *held);
/* Was one free when it was looked at? */
bool kin__permits_any_free(struct kin__permits *permits);

/* ---- the first word, which is the whole of a semaphore of up to four permits ------------------- */

static inline uint32_t kin__permits_self(void)
{
    return KIN__CELL_HOLDER + kin__self.process_index;
}

/* The lowest cell that holds `what`, as a shift; -1 if none does.  The cells are asked one after the
 * other, because a branch that is predicted costs less than a shift that has to be calculated. */
static inline int kin__cells_find(uint64_t word, uint32_t what)
{
    if ((word & KIN__CELL_MASK) == what) return 0;
    if ((word >> KIN__CELL_BITS & KIN__CELL_MASK) == what) return KIN__CELL_BITS;
    if ((word >> 2 * KIN__CELL_BITS & KIN__CELL_MASK) == what) return 2 * KIN__CELL_BITS;
    if ((word >> 3 * KIN__CELL_BITS & KIN__CELL_MASK) == what) return 3 * KIN__CELL_BITS;
    return -1;
}

/* One cell of the word that is `from` becomes `to`: false when none is `from`. */
static inline bool kin__cells_change(_Atomic uint64_t *word, uint32_t from, uint32_t to)
{
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
    uint64_t change = (uint64_t)to - from;
    for (;;) {
        int shift = kin__cells_find(seen, from);
        if (__builtin_expect(shift < 0, 0)) return false;
        /* Seq_cst: acquires what the last holder released, releases what we did, and is the full
         * barrier between a permit that becomes free and the look at who sleeps. */
        uint64_t changed = seen + (change << shift) + KIN__CELLS_VERSION;
        if (__builtin_expect(atomic_compare_exchange_strong(word, &seen, changed), 1)) return true;
    }
}

#endif
