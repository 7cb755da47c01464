/* recent.h: the blocks of a class that were freed last, so that they go out again in a good order.
 *
 * Where a block was freed it was used last: there its lines are in the processor's own cache.  Who allocates on
 * the same processor gets the youngest one; elsewhere the oldest, whose lines have left that cache by then, for it
 * costs more to take a line out of another processor's own cache than out of the one that they share.
 *
 * Invariants:
 *  - It is a cache, under its class's latch: a block that is in it is free, and not in the class's list.
 *  - It holds no more than KIN__RECENT_BYTES, so that what goes round does not become more than it need be.
 */
#ifndef KIN_MEMORY_RECENT_H
#define KIN_MEMORY_RECENT_H

#include "memory/heap.h"

static inline struct kin__recent *kin__recent_of(const struct kin__class *class)
{
    long number = class - kin__heap()->classes - KIN__RECENT_FIRST;
    return number >= 0 && number < KIN__RECENT_CLASSES ? &kin__heap()->recent[number] : NULL;
}

/* A hint: on machines with more processors than that, two of them may have the same one. */
static inline uint8_t kin__recent_here(void)
{
    return (uint8_t)kin__os_cpu_here();
}

static inline unsigned kin__recent_place(const struct kin__class *class, unsigned number)
{
    return (class->recent_first + number) % KIN__RECENT_BLOCKS;
}

/* False: there is no room for it. */
static inline bool kin__recent_push(struct kin__class *class, void *block)
{
    struct kin__recent *recent = kin__recent_of(class);
    unsigned count = class->recent_count;
    if (recent == NULL || count == KIN__RECENT_BLOCKS || (count + 1) * class->block_size > KIN__RECENT_BYTES)
        return false;
    unsigned place = kin__recent_place(class, count);
    recent->block[place] = block;
    recent->processor[place] = class->recent_processor = kin__recent_here();
    class->recent_count = (uint8_t)(count + 1);
    return true;
}

/* The block that goes out next, and out of here by kin__recent_pop; NULL: there is none. */
static inline void *kin__recent_next(const struct kin__class *class, bool *youngest)
{
    if (class->recent_count == 0) return NULL;
    *youngest = class->recent_processor == kin__recent_here();
    unsigned number = *youngest ? class->recent_count - 1u : 0;
    return kin__recent_of(class)->block[kin__recent_place(class, number)];
}

static inline void kin__recent_pop(struct kin__class *class, bool youngest)
{
    class->recent_count--;
    if (!youngest)
        class->recent_first = (uint8_t)kin__recent_place(class, 1);
    else if (class->recent_count > 0)
        class->recent_processor =
            kin__recent_of(class)->processor[kin__recent_place(class, class->recent_count - 1u)];
}

#endif
