/* allocator.h: family memory in blocks.
 *
 * The heap is cut into pages of 64 KiB; a run of pages is a span, and every span belongs for
 * good to one class: blocks of one size (small classes: many blocks to a span; large: the
 * span is the block), or objects of one kind.
 *
 * Invariants:
 *  - A block's state is the truth; free lists and counts are caches of it, made anew by
 *    whoever finds that the class's last latch holder died.
 *  - While a block is neither free nor known to its owner, the thread that moves it has a
 *    note in its member slot; the reaper, or who repairs the class, finishes the move.  The state
 *    also tells the times apart that a block was allocated: a note is about one of them.
 *  - Handed-out memory is backed.  Address space is not given back to other classes, memory
 *    is: free large spans beyond a reserve are unbacked.
 */
#ifndef KIN_MEMORY_ALLOCATOR_H
#define KIN_MEMORY_ALLOCATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/latch.h"

#define KIN__PAGE_SHIFT 16
#define KIN__PAGE_SIZE  ((uint64_t)1 << KIN__PAGE_SHIFT)

enum kin__object_kind {
    KIN__OBJECT_LOCK,
    KIN__OBJECT_QUEUE,
    KIN__OBJECT_POOL,
    KIN__OBJECT_RECORDS,
    KIN__OBJECT_EVENT,
    KIN__OBJECT_CONDITION,
    KIN__OBJECT_RWLOCK,
    KIN__OBJECT_READERS,
    KIN__OBJECT_ARRAY,
    KIN__OBJECT_SEMAPHORE,
    KIN__OBJECT_PERMITS,
    KIN__OBJECT_BARRIER,
    KIN__OBJECT_PARTIES,
    KIN__OBJECT_LEDGER,
    KIN__OBJECT_REMOTE,
    KIN__OBJECT_KINDS
};

enum {
    KIN__CLASSES_SMALL = 40,
    KIN__CLASSES_LARGE = 176,
    KIN__CLASSES = KIN__CLASSES_SMALL + KIN__CLASSES_LARGE + KIN__OBJECT_KINDS
};

/* SHARED, one for each page of the heap, in an array of its own.
 *   head       index of the first page of the span, plus one; 0: never used.
 *   (the rest is of the first page of a span; written under the class's latch)
 *   class_index, pages, block_size, block_count, data: constant once the span is linked.
 *   next_span  all spans of the class, newest first; constant once linked.
 *   carved     small: blocks at and above were never handed out.
 *   next_free  large spans: the free list.
 *   state      large spans: the block's state; small ones have a word each at the span's start.
 *   backed     large spans: whether there is memory behind it; see kin__span_set_backed. */
struct kin__page {
    uint32_t head;
    uint16_t class_index;
    uint16_t backed;
    uint32_t pages;
    uint32_t next_span;
    uint32_t next_free;
    union {
        uint32_t carved;
        uint32_t state;
    };
    uint32_t block_count;
    uint32_t data; /* offset of the first block from the start of the span */
};
_Static_assert(sizeof(struct kin__page) == 32, "two to a cache line");

/* SHARED, one for each class.  All but the latch is written under it.
 *   free       small: address of a free block, which holds the next; large: page index + 1.
 *   spans      newest span (page index + 1).
 *   current    the span that blocks are carved from (page index + 1); a cache.
 *   allocated  blocks handed out; a cache.
 *   reserve    large: bytes of free spans that are still backed; a cache.
 *   doublings, given_back   large: how often the most of that has been doubled, and when memory was last given
 *              back, in milliseconds; hints, also written without it.
 *   recent_first, recent_count   which of its kin__recent are in use: a cache.
 *   recent_processor   where the youngest of them was freed, so that the others' line need not be looked at. */
struct kin__class {
    struct kin__latch latch;
    uint64_t free;
    uint32_t spans;
    uint32_t current;
    uint64_t allocated;
    uint64_t reserve;
    uint64_t block_size;
    uint32_t given_back;
    uint8_t doublings;
    uint8_t recent_first;
    uint8_t recent_count;
    uint8_t recent_processor;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct kin__class) == 64, "one cache line");

/* Those of 5 KiB to 1 MiB remember what was freed last: see recent.h. */
#define KIN__RECENT_FIRST   20
#define KIN__RECENT_CLASSES 32
#define KIN__RECENT_BLOCKS  128u
#define KIN__RECENT_BYTES   ((uint64_t)4 << 20)

/* SHARED, one for each of those classes: a ring, under the class's latch. */
struct kin__recent {
    void *block[KIN__RECENT_BLOCKS];
    uint8_t processor[KIN__RECENT_BLOCKS]; /* where it was freed */
} __attribute__((aligned(64)));

/* SHARED.
 *   grow      held while pages are taken for a class; in its owner's robust list, because the
 *             class's latch is taken inside.
 *   top       pages at and above are unused; written under `grow`.
 *   taking    the span that is on its way from top to its class (page index + 1); under `grow`.
 *   described page descriptors below have memory behind them; under `grow`. */
struct kin__allocator {
    struct kin__robust grow;
    _Atomic uint32_t top;
    uint32_t taking;
    _Atomic uint32_t described;
    struct kin__class classes[KIN__CLASSES];
    struct kin__recent recent[KIN__RECENT_CLASSES];
};

void kin__allocator_init(struct kin__allocator *allocator);

/* Begins an allocation: the block is the calling thread's, and the reaper's if the thread
 * dies, until one of the next three.  A thread has one such block at a time.  *error says why
 * NULL is returned: -ENOMEM, -EDEADLK; with a deadline -ETIMEDOUT (and a grace, as with a latch: somebody is stopped
 * who takes memory). */
void *kin__allocate_until(size_t size, kin_deadline deadline, int *error);
static inline void *kin__allocate(size_t size, int *error)
{
    return kin__allocate_until(size, KIN_FOREVER, error);
}
void *kin__allocate_object(enum kin__object_kind kind, size_t size, int *error);
/* The block is known from *destination on, which must be type-stable family memory. */
void kin__allocate_publish(_Atomic(void *) *destination);
/* As kin__allocate_publish, where others may do the same: the block is freed if *destination is not
 * NULL any more. */
void kin__allocate_offer(_Atomic(void *) *destination);
/* The block is the caller's: a death from here on leaves it allocated. */
void kin__allocate_finish(void);
void kin__allocate_cancel(void);

/* Frees a block.  `destination`, if not NULL, names it until then and is NULL afterwards,
 * wherever the thread may die.  -EINVAL: not the start of an allocated block. */
int kin__free(void *block, _Atomic(void *) *destination);

/* The size of the allocated block that starts at `block`, 0 if none does or if it is an object;
 * and the kind of the allocated object that starts there, -1 if none does. */
uint64_t kin__block_size(const void *block);
int kin__object_kind_of(const void *object);
/* Where the object starts that `inside` lies in, if it lies in one; NULL if it does not lie in the heap. */
void *kin__object_around(const void *inside);
/* Shows every allocated object of a kind.  Takes no latch: one that is allocated or freed meanwhile
 * is shown or not, and one that is shown may be on its way; its own words tell. */
void kin__objects_each(enum kin__object_kind kind, void (*look)(void *object, void *context), void *context);
/* The largest block there can be. */
uint64_t kin__block_limit(void);

/* For the reaper: finishes what a dead member's note says. */
void kin__note_settle(struct kin__member *member);

/* For kin_memory_stats. */
void kin__allocator_usage(uint64_t *allocated, uint64_t *blocks, uint64_t *backed);

#endif
