/* heap.h: what allocator.c and grow.c share: classes, spans and blocks from the inside. */
#ifndef KIN_MEMORY_HEAP_H
#define KIN_MEMORY_HEAP_H

#include "memory/region.h"

/* In a block's state; above it stands how often the block has been allocated. */
#define KIN__BLOCK_ALLOCATED ((uint32_t)1)

static inline bool kin__block_is_allocated(const uint32_t *state)
{
    return (__atomic_load_n(state, __ATOMIC_ACQUIRE) & KIN__BLOCK_ALLOCATED) != 0;
}

/* Where a block is in the books. */
struct kin__place {
    struct kin__class *class;
    struct kin__page *span;
    uint32_t page;
    uint32_t *state;
};

static inline struct kin__allocator *kin__heap(void)
{
    return &kin__family.header->allocator;
}

static inline bool kin__class_is_large(unsigned class_index)
{
    return class_index >= KIN__CLASSES_SMALL && class_index < KIN__CLASSES_SMALL + KIN__CLASSES_LARGE;
}

static inline char *kin__span_start(uint32_t page)
{
    return kin__family.heap + ((uint64_t)page << KIN__PAGE_SHIFT);
}

/* Written by who has the block in hand, which need not be who has the latch; relaxed: who adds up looks at
 * the others' spans too, and may be late. */
static inline bool kin__span_is_backed(const struct kin__page *span)
{
    return __atomic_load_n(&span->backed, __ATOMIC_RELAXED) != 0;
}

static inline void kin__span_set_backed(struct kin__page *span, bool backed)
{
    __atomic_store_n(&span->backed, (uint16_t)backed, __ATOMIC_RELAXED);
}

/* Written under the class's latch, looked at without it to decide what to do with a block. */
static inline void kin__class_reserve_add(struct kin__class *class, uint64_t bytes)
{
    __atomic_store_n(&class->reserve, class->reserve + bytes, __ATOMIC_RELAXED);
}

/* Under the class's latch: is there nothing to hand out? */
static inline bool kin__class_empty(struct kin__class *class)
{
    if (class->free != 0 || class->recent_count != 0) return false;
    if (class->current == 0) return true;
    struct kin__page *span = &kin__family.pages[class->current - 1];
    return kin__class_is_large(span->class_index) || span->carved >= span->block_count;
}

/* Takes the class's latch; repairs the class first if its last holder died. */
int kin__class_lock_until(struct kin__class *class, kin_deadline deadline);
static inline int kin__class_lock(struct kin__class *class)
{
    return kin__class_lock_until(class, KIN_FOREVER);
}
void kin__class_unlock(struct kin__class *class);
/* Under the latch: a block becomes the first of the class's free list. */
void kin__block_push_free(struct kin__place *place, void *block);

/* Makes sure that the class has something to hand out: 0, -ENOMEM, -EDEADLK, -ETIMEDOUT. */
int kin__class_grow(struct kin__class *class, unsigned class_index, kin_deadline deadline);

#endif
