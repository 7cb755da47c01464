/* allocator.c: family memory in blocks.  See allocator.h for the structure and its invariants.
 *
 * The life of a block: free → (note ALLOCATE, state) allocated → (note FREE, state) free.
 * Everything that happens to a class happens under its latch; the store of the state is
 * the commit, and kin__note_settle decides by it what a dead thread's note means.
 */
#include "memory/allocator.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>
#include <kin/memory.h>

#include "memory/heap.h"
#include "memory/recent.h"

#define SMALL_MOST ((uint64_t)1 << 17)
/* The free spans of a large class keep this much memory; beyond it is given back.  Each time when a class wants
 * memory again so soon after it gave some back it keeps twice as much from then on: giving back and taking costs
 * far more than copying a message of that size.  A single block above the first is always given back.  When it
 * has given nothing back for long, or memory runs out, it begins anew. */
#define RESERVE        ((uint64_t)16 << 20)
#define DOUBLINGS_MOST 3
#define SOON_MS        100
#define LONG_AGO_MS    10000

/* ---- classes: four sizes to each doubling ------------------------------------------------------ */

/* The class of `units`: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, … */
static unsigned class_of_units(uint64_t units)
{
    if (units <= 4) return (unsigned)units - 1;
    unsigned shift = 61 - (unsigned)__builtin_clzll(units - 1);
    return shift * 4 + (unsigned)((units - 1) >> shift);
}

static uint64_t units_of_class(unsigned index)
{
    if (index < 4) return index + 1;
    unsigned shift = index / 4 - 1;
    return (uint64_t)(index % 4 + 5) << shift;
}

static unsigned class_of_size(uint64_t size)
{
    if (size <= SMALL_MOST) return class_of_units((size + 63) / 64);
    return KIN__CLASSES_SMALL + class_of_units((size + KIN__PAGE_SIZE - 1) >> KIN__PAGE_SHIFT);
}

void kin__allocator_init(struct kin__allocator *allocator)
{
    for (unsigned i = 0; i < KIN__CLASSES_SMALL; i++)
        allocator->classes[i].block_size = units_of_class(i) * 64;
    for (unsigned i = 0; i < KIN__CLASSES_LARGE; i++)
        allocator->classes[KIN__CLASSES_SMALL + i].block_size = units_of_class(i) << KIN__PAGE_SHIFT;
}

uint64_t kin__block_limit(void)
{
    return (uint64_t)kin__family.header->heap_pages << KIN__PAGE_SHIFT;
}

/* ---- spans and blocks ------------------------------------------------------------------------------ */

static uint32_t *block_states(uint32_t page)
{
    return (uint32_t *)kin__span_start(page);
}

static void *small_block(const struct kin__page *span, uint32_t page, uint32_t number, uint64_t size)
{
    return kin__span_start(page) + span->data + number * size;
}

/* Finds the block that starts at `block`; false if none can. */
static bool locate(const void *block, struct kin__place *place)
{
    uint64_t offset = (uint64_t)((const char *)block - kin__family.heap);
    uint64_t page = offset >> KIN__PAGE_SHIFT;
    if (!kin__in_family(block) || (const char *)block < kin__family.heap ||
        page >= atomic_load(&kin__heap()->top))
        return false;
    struct kin__page *span = &kin__family.pages[page];
    if (span->head == 0) return false;
    place->page = span->head - 1;
    place->span = span = &kin__family.pages[place->page];
    place->class = &kin__heap()->classes[span->class_index];
    offset -= (uint64_t)place->page << KIN__PAGE_SHIFT;
    if (kin__class_is_large(span->class_index)) {
        place->state = &span->state;
        return offset == 0;
    }
    if (offset < span->data || (offset - span->data) % place->class->block_size != 0) return false;
    uint64_t number = (offset - span->data) / place->class->block_size;
    place->state = block_states(place->page) + number;
    return number < __atomic_load_n(&span->carved, __ATOMIC_RELAXED);
}

uint64_t kin__block_size(const void *block)
{
    struct kin__place place;
    if (!locate(block, &place) || place.span->class_index >= KIN__CLASSES_SMALL + KIN__CLASSES_LARGE ||
        !kin__block_is_allocated(place.state))
        return 0;
    return place.class->block_size;
}

int kin__object_kind_of(const void *object)
{
    struct kin__place place;
    int first = KIN__CLASSES_SMALL + KIN__CLASSES_LARGE;
    if (!locate(object, &place) || place.span->class_index < first || !kin__block_is_allocated(place.state))
        return -1;
    return place.span->class_index - first;
}

void *kin__object_around(const void *inside)
{
    uint64_t page = (uint64_t)((const char *)inside - kin__family.heap) >> KIN__PAGE_SHIFT;
    if (!kin__in_family(inside) || (const char *)inside < kin__family.heap ||
        page >= atomic_load(&kin__heap()->top) || kin__family.pages[page].head == 0)
        return NULL;
    page = kin__family.pages[page].head - 1;
    const struct kin__page *span = &kin__family.pages[page];
    const char *first = kin__span_start((uint32_t)page) + span->data;
    if (kin__class_is_large(span->class_index) || (const char *)inside < first) return NULL;
    uint64_t size = kin__heap()->classes[span->class_index].block_size;
    return small_block(span, (uint32_t)page, (uint32_t)((uint64_t)((const char *)inside - first) / size),
                       size);
}

void kin__objects_each(enum kin__object_kind kind, void (*look)(void *object, void *context), void *context)
{
    struct kin__class *class =
        &kin__heap()->classes[KIN__CLASSES_SMALL + KIN__CLASSES_LARGE + (unsigned)kind];
    uint32_t next = __atomic_load_n(&class->spans, __ATOMIC_ACQUIRE);
    for (; next != 0; next = kin__family.pages[next - 1].next_span) {
        struct kin__page *span = &kin__family.pages[next - 1];
        const uint32_t *states = block_states(next - 1);
        uint32_t carved = __atomic_load_n(&span->carved, __ATOMIC_ACQUIRE);
        for (uint32_t number = 0; number < carved; number++)
            if (kin__block_is_allocated(&states[number]))
                look(small_block(span, next - 1, number, class->block_size), context);
    }
}

/* ---- free lists (under the class's latch) ------------------------------------------------------------ */

/* Where a free small block holds the next one.  Objects keep what they were: their link has
 * room of its own at the end. */
static uint64_t *link_of(const struct kin__class *class, unsigned class_index, void *block)
{
    bool object = class_index >= KIN__CLASSES_SMALL + KIN__CLASSES_LARGE;
    return (uint64_t *)((char *)block + (object ? class->block_size - sizeof(uint64_t) : 0));
}

void kin__block_push_free(struct kin__place *place, void *block)
{
    if (kin__class_is_large(place->span->class_index)) {
        place->span->next_free = (uint32_t)place->class->free;
        place->class->free = place->page + 1;
    } else {
        *link_of(place->class, place->span->class_index, block) = place->class->free;
        place->class->free = (uint64_t)(uintptr_t)block;
    }
}

/* A block that was allocated is one of the free. */
static void count_free(struct kin__place *place, void *block)
{
    bool backed = kin__span_is_backed(place->span);
    if (!backed || !kin__recent_push(place->class, block)) kin__block_push_free(place, block);
    place->class->allocated--;
    if (kin__class_is_large(place->span->class_index) && backed)
        kin__class_reserve_add(place->class, place->class->block_size);
}

/* Makes the free list, the counts and the carving position anew from the states. */
static void rebuild(struct kin__class *class, unsigned class_index)
{
    class->free = 0;
    class->recent_count = 0;
    class->allocated = 0;
    __atomic_store_n(&class->reserve, 0, __ATOMIC_RELAXED);
    class->current = class->spans;
    for (uint32_t next = class->spans; next != 0; next = kin__family.pages[next - 1].next_span) {
        struct kin__place place = {.class = class, .span = &kin__family.pages[next - 1], .page = next - 1};
        if (kin__class_is_large(class_index)) {
            if (kin__block_is_allocated(&place.span->state)) {
                class->allocated++;
                continue;
            }
            kin__block_push_free(&place, NULL);
            kin__class_reserve_add(class, kin__span_is_backed(place.span) ? class->block_size : 0);
            continue;
        }
        const uint32_t *states = block_states(place.page);
        for (uint32_t number = 0; number < place.span->carved; number++) {
            if (kin__block_is_allocated(&states[number]))
                class->allocated++;
            else
                kin__block_push_free(&place, small_block(place.span, place.page, number, class->block_size));
        }
    }
}

/* ---- notes ------------------------------------------------------------------------------------------------ */

static struct kin__note *own_note(void)
{
    return &kin__self.member->note[kin__self.level];
}

static void note_write(enum kin__note_kind kind, void *block, uint32_t state, _Atomic(void *) *destination)
{
    struct kin__note *note = own_note();
    note->state = state;
    note->block = block;
    note->destination = destination;
    /* Release: who reads the kind sees what it is about. */
    atomic_store_explicit(&note->kind, kind, memory_order_release);
}

static void note_clear(struct kin__note *note)
{
    atomic_store_explicit(&note->kind, KIN__NOTE_NONE, memory_order_release);
}

/* Under the latch of its class: the block is free, and its destination does not name it any more. */
static void mark_free(struct kin__place *place, _Atomic(void *) *destination)
{
    /* CRASH: with the first store alone it is allocated and nobody's, and its note says so. */
    if (destination != NULL) atomic_store(destination, NULL);
    __atomic_store_n(place->state, *place->state & ~KIN__BLOCK_ALLOCATED, __ATOMIC_RELEASE);
}

/* Decides, under the latch of the block's class, what a dead thread's note means; returns whether the block
 * has become free.  If another has freed it in the meantime, the note means nothing any more: neither is
 * the block the one of then, nor need there be anything where it was known. */
static bool settle(struct kin__note *note, struct kin__place *place)
{
    bool becomes_free = false;
    if (*place->state == note->state) {
        bool arrived = note->destination != NULL && atomic_load(note->destination) == note->block;
        becomes_free = atomic_load(&note->kind) == KIN__NOTE_FREE || !arrived;
        if (becomes_free) mark_free(place, arrived ? note->destination : NULL);
    }
    note_clear(note);
    return becomes_free;
}

/* Repairs a class whose latch holder died: settles the notes that name its blocks, of threads
 * that are dead, and makes the caches anew.  A note of somebody who died inside the latch is
 * settled here, before anybody can take the block it names. */
static void repair(struct kin__class *class, unsigned class_index)
{
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        if (!kin__member_died(member)) continue;
        for (int level = 0; level < KIN__LEVELS; level++) {
            struct kin__place place;
            struct kin__note *note = &member->note[level];
            if (atomic_load(&note->kind) != KIN__NOTE_NONE && locate(note->block, &place) &&
                place.class == class)
                settle(note, &place);
        }
    }
    rebuild(class, class_index);
    kin__latch_clean(&class->latch);
}

int kin__class_lock_until(struct kin__class *class, kin_deadline deadline)
{
    int rc = kin__latch_acquire(&class->latch, deadline);
    if (rc == 1) repair(class, (unsigned)(class - kin__heap()->classes));
    return rc < 0 ? rc : 0;
}

void kin__class_unlock(struct kin__class *class)
{
    kin__latch_release(&class->latch);
}

void kin__note_settle(struct kin__member *member)
{
    for (int level = 0; level < KIN__LEVELS; level++) {
        struct kin__note *note = &member->note[level];
        struct kin__place place;
        if (atomic_load(&note->kind) == KIN__NOTE_NONE) continue;
        if (!locate(note->block, &place)) {
            note_clear(note);
            continue;
        }
        if (kin__class_lock(place.class) < 0) return;
        /* The lock may have settled it already. */
        if (atomic_load(&note->kind) != KIN__NOTE_NONE && settle(note, &place))
            count_free(&place, note->block);
        kin__class_unlock(place.class);
    }
}

/* ---- allocating ---------------------------------------------------------------------------------------------- */

/* Another time than all before. */
static void mark_allocated(uint32_t *state, void *block)
{
    uint32_t next = (*state + 2) | KIN__BLOCK_ALLOCATED;
    note_write(KIN__NOTE_ALLOCATE, block, next, NULL);
    __atomic_store_n(state, next, __ATOMIC_RELEASE);
}

/* Takes a block out of a class that has one.  Under its latch.  CRASH: from the mark on, the caches are made anew
 * by who has the latch next. */
static void *take_block(struct kin__class *class, unsigned class_index)
{
    bool youngest;
    void *block = kin__recent_next(class, &youngest);
    if (block != NULL) {
        struct kin__place place;
        locate(block, &place);
        mark_allocated(place.state, block);
        kin__recent_pop(class, youngest);
        if (kin__class_is_large(class_index)) kin__class_reserve_add(class, -class->block_size);
    } else if (kin__class_is_large(class_index)) {
        uint32_t page = (uint32_t) class->free - 1;
        struct kin__page *span = &kin__family.pages[page];
        block = kin__span_start(page);
        mark_allocated(&span->state, block);
        class->free = span->next_free;
        kin__class_reserve_add(class, -(kin__span_is_backed(span) ? class->block_size : 0));
    } else if (class->free != 0) {
        struct kin__place place;
        block = (void *)(uintptr_t) class->free;
        locate(block, &place);
        mark_allocated(place.state, block);
        class->free = *link_of(class, class_index, block);
    } else {
        uint32_t page = class->current - 1;
        struct kin__page *span = &kin__family.pages[page];
        uint32_t number = span->carved;
        block = small_block(span, page, number, class->block_size);
        __atomic_store_n(&span->carved, number + 1, __ATOMIC_RELEASE);
        /* CRASH: carved and still free: the rebuilt free list has it. */
        mark_allocated(&block_states(page)[number], block);
    }
    class->allocated++;
    return block;
}

static uint32_t now_ms(void)
{
    return (uint32_t)(kin__os_clock() / 1000000) | 1;
}

static void note_given_back(struct kin__class *class)
{
    uint32_t now = now_ms(), before = __atomic_exchange_n(&class->given_back, now, __ATOMIC_RELAXED);
    if (before != 0 && now - before > LONG_AGO_MS) __atomic_store_n(&class->doublings, 0, __ATOMIC_RELAXED);
}

static void note_wanted(struct kin__class *class)
{
    uint32_t doublings = __atomic_load_n(&class->doublings, __ATOMIC_RELAXED);
    uint32_t given_back = __atomic_load_n(&class->given_back, __ATOMIC_RELAXED);
    if (given_back == 0 || doublings == DOUBLINGS_MOST || class->block_size > RESERVE ||
        now_ms() - given_back > SOON_MS)
        return;
    /* Two at once count as one. */
    __atomic_store_n(&class->doublings, doublings + 1, __ATOMIC_RELAXED);
}

/* Under the latch: what was freed last goes to the other free blocks. */
static void forget_recent(struct kin__class *class)
{
    for (; class->recent_count > 0; kin__recent_pop(class, false)) {
        struct kin__place place;
        void *block = kin__recent_of(class)->block[class->recent_first];
        if (locate(block, &place)) kin__block_push_free(&place, block);
    }
}

/* Takes the memory from all that is free in the large classes: false if there was none. */
static bool trim(void)
{
    bool trimmed = false;
    for (unsigned i = KIN__CLASSES_SMALL; i < KIN__CLASSES_SMALL + KIN__CLASSES_LARGE; i++) {
        struct kin__class *class = &kin__heap()->classes[i];
        /* Somebody may be stopped who holds one. */
        if (__atomic_load_n(&class->reserve, __ATOMIC_RELAXED) == 0 ||
            kin__class_lock_until(class, KIN_NOW) < 0)
            continue;
        forget_recent(class);
        for (uint64_t next = class->free; next != 0; next = kin__family.pages[next - 1].next_free) {
            struct kin__page *span = &kin__family.pages[next - 1];
            if (!kin__span_is_backed(span)) continue;
            /* CRASH: marked and not yet unbacked costs a needless backing later. */
            kin__span_set_backed(span, false);
            kin__os_memory_unback(kin__span_start((uint32_t)next - 1), class->block_size);
            trimmed = true;
        }
        __atomic_store_n(&class->reserve, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&class->doublings, 0, __ATOMIC_RELAXED);
        kin__class_unlock(class);
    }
    return trimmed;
}

/* A free large span may have lost its memory; it is the caller's already. */
static int back_large(void *block, struct kin__class *class)
{
    struct kin__place place;
    if (!locate(block, &place) || kin__span_is_backed(place.span)) return 0;
    note_wanted(class);
    uint64_t offset = (uintptr_t)block - kin__family.base;
    int rc = kin__region_back(offset, class->block_size);
    if (rc == -ENOMEM && trim()) rc = kin__region_back(offset, class->block_size);
    if (rc == 0)
        kin__span_set_backed(place.span, true);
    else
        kin__os_memory_unback(block, class->block_size);
    return rc;
}

static void *allocate_from(unsigned class_index, uint64_t object_size, kin_deadline deadline, int *error)
{
    struct kin__class *class = &kin__heap()->classes[class_index];
    /* A signal handler that interrupted an allocation would take its note over. */
    *error = -EDEADLK;
    if (atomic_load_explicit(&own_note()->kind, memory_order_relaxed) != KIN__NOTE_NONE) return NULL;
    for (;;) {
        *error = kin__class_lock_until(class, deadline);
        if (*error < 0) return NULL;
        if (class->block_size == 0) class->block_size = object_size;
        if (!kin__class_empty(class)) break;
        kin__class_unlock(class);
        *error = kin__class_grow(class, class_index, deadline);
        if (*error < 0) return NULL;
    }
    void *block = take_block(class, class_index);
    kin__class_unlock(class);
    if (kin__class_is_large(class_index)) {
        *error = back_large(block, class);
        if (*error < 0) {
            kin__allocate_cancel();
            return NULL;
        }
    }
    return block;
}

void *kin__allocate_until(size_t size, kin_deadline deadline, int *error)
{
    if (size > kin__block_limit()) {
        *error = -ENOMEM;
        return NULL;
    }
    return allocate_from(class_of_size(size == 0 ? 1 : size), 0, deadline, error);
}

void *kin__allocate_object(enum kin__object_kind kind, size_t size, int *error)
{
    unsigned class_index = KIN__CLASSES_SMALL + KIN__CLASSES_LARGE + (unsigned)kind;
    uint64_t block_size = (size + sizeof(uint64_t) + 63) & ~(uint64_t)63;
    return allocate_from(class_index, block_size, KIN_FOREVER, error);
}

void kin__allocate_publish(_Atomic(void *) *destination)
{
    struct kin__note *note = own_note();
    note->destination = destination;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store(destination, note->block);
    note_clear(note);
}

void kin__allocate_offer(_Atomic(void *) *destination)
{
    struct kin__note *note = own_note();
    void *nobody = NULL;
    note->destination = destination;
    atomic_signal_fence(memory_order_seq_cst);
    /* CRASH: from the exchange on the block has arrived; before it, and when it fails, it has not. */
    if (atomic_compare_exchange_strong(destination, &nobody, note->block))
        note_clear(note);
    else
        kin__allocate_cancel();
}

void kin__allocate_finish(void)
{
    note_clear(own_note());
}

/* ---- freeing
 * ---------------------------------------------------------------------------------------------------- */

static bool give_memory_back(struct kin__place *place)
{
    struct kin__class *class = place->class;
    return kin__class_is_large(place->span->class_index) && kin__span_is_backed(place->span) &&
           __atomic_load_n(&class->reserve, __ATOMIC_RELAXED) + class->block_size >
               RESERVE << __atomic_load_n(&class->doublings, __ATOMIC_RELAXED);
}

/* CRASH: marked and not yet unbacked costs a needless backing later. */
static void give_back(struct kin__place *place, void *block)
{
    if (!give_memory_back(place)) return;
    kin__span_set_backed(place->span, false);
    kin__os_memory_unback(block, place->class->block_size);
    note_given_back(place->class);
}

/* Frees the block that the thread's note names.  Its memory is given back while it still is ours, so that nobody
 * waits for that with the latch; but a reaper, who may not get the latch, leaves what it does not free as it is. */
static int free_noted(void *block, _Atomic(void *) *destination, struct kin__place *place)
{
    bool reaps = kin__self.level == KIN__LEVEL_REAP;
    if (!reaps) give_back(place, block);
    int rc = kin__class_lock(place->class);
    if (rc < 0) {
        note_clear(own_note());
        return rc;
    }
    if (*place->state != own_note()->state) {
        note_clear(own_note());
        kin__class_unlock(place->class);
        return -EINVAL;
    }
    if (reaps) give_back(place, block);
    mark_free(place, destination);
    count_free(place, block);
    note_clear(own_note());
    kin__class_unlock(place->class);
    return 0;
}

int kin__free(void *block, _Atomic(void *) *destination)
{
    struct kin__place place;
    if (!locate(block, &place)) return -EINVAL;
    uint32_t state = __atomic_load_n(place.state, __ATOMIC_RELAXED);
    if ((state & KIN__BLOCK_ALLOCATED) == 0) return -EINVAL;
    /* A reaper that repeats what it began must find all that this block leads to. */
    if (__builtin_expect(kin__self.reap_missed, 0)) return -ETIMEDOUT;
    if (atomic_load_explicit(&own_note()->kind, memory_order_relaxed) != KIN__NOTE_NONE) return -EDEADLK;
    note_write(KIN__NOTE_FREE, block, state, destination);
    return free_noted(block, destination, &place);
}

void kin__allocate_cancel(void)
{
    struct kin__place place;
    void *block = own_note()->block;
    /* The note turns into one to free: at no moment is there none. */
    atomic_store_explicit(&own_note()->kind, KIN__NOTE_FREE, memory_order_release);
    if (locate(block, &place)) free_noted(block, NULL, &place);
}

void kin__allocator_usage(uint64_t *allocated, uint64_t *blocks, uint64_t *backed)
{
    *allocated = *blocks = *backed = 0;
    for (unsigned i = 0; i < KIN__CLASSES; i++) {
        struct kin__class *class = &kin__heap()->classes[i];
        if (__atomic_load_n(&class->spans, __ATOMIC_RELAXED) == 0 || kin__class_lock(class) < 0) continue;
        *blocks += class->allocated;
        *allocated += class->allocated * class->block_size;
        for (uint32_t next = class->spans; next != 0; next = kin__family.pages[next - 1].next_span) {
            struct kin__page *span = &kin__family.pages[next - 1];
            *backed += kin__span_is_backed(span) ? (uint64_t)span->pages << KIN__PAGE_SHIFT : 0;
        }
        kin__class_unlock(class);
    }
}
