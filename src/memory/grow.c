/* grow.c: taking pages of the heap for a class that has nothing left to hand out.
 *
 * Invariants:
 *  - One thread of the family takes pages at a time: it has `grow`, a full robust lock, because
 *    the class's latch is taken inside.
 *  - A span that has left top and not reached its class is found by `taking`.
 */
#include "memory/heap.h"

#include <errno.h>
#include <string.h>

/* Small blocks are carved from spans of this many pages. */
#define SPAN_PAGES        1
#define SPAN_PAGES_MEDIUM 8

/* The lock for taking pages: a full robust lock, because a latch is taken inside.  Like a latch it adds a grace to
 * the deadline: its holder may be filling pages. */
static int grow_lock(kin_deadline deadline)
{
    struct kin__robust *lock = &kin__heap()->grow;
    bool waiting = false;
    int rc = 0;
    deadline = kin__with_grace(deadline);
    while (rc >= 0) {
        uint32_t seen = atomic_load(&lock->point.word);
        if (kin__word_is_mine(seen)) return -EDEADLK; /* a signal handler that interrupted us in here */
        if ((seen & KIN__WORD_OWNER) == 0) {
            kin__pending_set(kin__self.robust, &lock->point.word);
            if (kin__owner_take(&lock->point, seen, waiting ? KIN__WORD_WAITERS : 0)) {
                kin__robust_insert(kin__self.robust, lock);
                kin__pending_clear(kin__self.robust);
                break;
            }
            kin__pending_clear(kin__self.robust);
            continue;
        }
        if (!waiting) {
            kin__waiters_enter(&lock->point);
            waiting = true;
        }
        if (!kin__owner_mark(&lock->point, &seen)) continue;
        rc = kin__sleep_thread(&lock->point, seen, deadline);
    }
    if (waiting) kin__waiters_leave(&lock->point);
    return rc < 0 ? rc : 0;
}

static void grow_unlock(void)
{
    struct kin__robust *lock = &kin__heap()->grow;
    kin__pending_set(kin__self.robust, &lock->point.word);
    kin__robust_remove(lock);
    if (!kin__owner_drop(&lock->point)) kin__owner_drop_rest(&lock->point);
    kin__pending_clear(kin__self.robust);
}

/* Undoes a dead grower's half-done step: a span that left top but did not reach its class.
 * Under `grow`. */
static int settle_taking(kin_deadline deadline)
{
    uint32_t taking = kin__heap()->taking;
    if (taking == 0) return 0;
    uint32_t page = taking - 1;
    struct kin__class *class = &kin__heap()->classes[kin__family.pages[page].class_index];
    int rc = kin__class_lock_until(class, deadline);
    if (rc < 0) return rc;
    if (atomic_load(&kin__heap()->top) > page && class->spans != taking)
        atomic_store(&kin__heap()->top, page);
    kin__heap()->taking = 0;
    kin__class_unlock(class);
    return 0;
}

static int describe(uint32_t pages)
{
    uint32_t described = atomic_load(&kin__heap()->described);
    if (pages <= described) return 0;
    uint32_t step = 4096 / (uint32_t)sizeof(struct kin__page);
    uint32_t target = (pages + step * 8 - 1) / (step * 8) * (step * 8);
    struct kin__header *header = kin__family.header;
    if (target > header->heap_pages) target = header->heap_pages;
    int rc = kin__region_back(header->pages_offset + (uint64_t)described * sizeof(struct kin__page),
                              (uint64_t)(target - described) * sizeof(struct kin__page) + 4096);
    if (rc == 0) atomic_store(&kin__heap()->described, target);
    return rc;
}

static uint64_t states_size(uint64_t count)
{
    return (count * sizeof(uint32_t) + 63) & ~(uint64_t)63;
}

static void fill_span(uint32_t page, unsigned class_index, uint32_t pages)
{
    struct kin__class *class = &kin__heap()->classes[class_index];
    struct kin__page *span = &kin__family.pages[page];
    memset(span, 0, sizeof *span);
    span->class_index = (uint16_t)class_index;
    span->pages = pages;
    kin__span_set_backed(span, true);
    span->block_count = 1;
    if (!kin__class_is_large(class_index)) {
        uint64_t bytes = (uint64_t)pages << KIN__PAGE_SHIFT;
        uint64_t count = bytes / class->block_size;
        /* A state for each block stands before the first, which begins on a cache line. */
        while (states_size(count) + count * class->block_size > bytes) count--;
        span->block_count = (uint32_t)count;
        span->data = (uint32_t)states_size(count);
        memset(kin__span_start(page), 0, span->data);
    }
    for (uint32_t i = 0; i < pages; i++) kin__family.pages[page + i].head = page + 1;
}

static uint32_t span_pages(unsigned class_index, uint64_t block_size)
{
    if (kin__class_is_large(class_index)) return (uint32_t)(block_size >> KIN__PAGE_SHIFT);
    return block_size <= 4096 ? SPAN_PAGES : SPAN_PAGES_MEDIUM * (block_size > 65536 ? 2 : 1);
}

/* Gives the class a new span from top.  Under `grow`; called without the class's latch. */
static int take_span(struct kin__class *class, unsigned class_index, kin_deadline deadline)
{
    uint32_t page = atomic_load(&kin__heap()->top);
    uint32_t pages = span_pages(class_index, class->block_size);
    uint64_t offset = kin__family.header->heap_offset + ((uint64_t)page << KIN__PAGE_SHIFT);
    if (pages > kin__family.header->heap_pages - page) return -ENOMEM;
    int rc = kin__region_back(offset, (uint64_t)pages << KIN__PAGE_SHIFT);
    if (rc == 0) rc = describe(page + pages);
    if (rc < 0) {
        /* Nobody else is beyond top. */
        kin__os_memory_unback(kin__span_start(page), (uint64_t)pages << KIN__PAGE_SHIFT);
        return rc;
    }
    kin__os_memory_populate(kin__span_start(page), (uint64_t)pages << KIN__PAGE_SHIFT);
    fill_span(page, class_index, pages);
    rc = kin__class_lock_until(class, deadline);
    if (rc < 0) return rc;
    /* CRASH: after `taking`, the next grower looks whether the span arrived (settle_taking). */
    kin__heap()->taking = page + 1;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store(&kin__heap()->top, page + pages);
    kin__family.pages[page].next_span = class->spans;
    atomic_signal_fence(memory_order_seq_cst);
    /* Release: pairs with kin__objects_each. */
    __atomic_store_n(&class->spans, page + 1, __ATOMIC_RELEASE);
    atomic_signal_fence(memory_order_seq_cst);
    kin__heap()->taking = 0;
    if (kin__class_is_large(class_index)) {
        struct kin__place place = {.class = class, .span = &kin__family.pages[page], .page = page};
        kin__block_push_free(&place, NULL);
        kin__class_reserve_add(class, class->block_size);
    } else {
        class->current = page + 1;
    }
    kin__class_unlock(class);
    return 0;
}

int kin__class_grow(struct kin__class *class, unsigned class_index, kin_deadline deadline)
{
    int rc = grow_lock(deadline);
    if (rc < 0) return rc;
    rc = settle_taking(deadline);
    if (rc == 0) rc = kin__class_lock_until(class, deadline);
    if (rc == 0) {
        bool empty = kin__class_empty(class);
        kin__class_unlock(class);
        if (empty) rc = take_span(class, class_index, deadline);
    }
    grow_unlock();
    return rc;
}
