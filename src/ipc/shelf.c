/* shelf.c: messages in slots, handed out by rank.  See shelf.h for the invariants. */
#include "ipc/shelf.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "memory/region.h"

/* 2^64 divided by the golden ratio: what differs a little is spread. */
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)

static _Atomic(void *) *segments_of(struct kin__shelf *shelf)
{
    return atomic_load_explicit(&shelf->directory, memory_order_relaxed);
}

static struct kin__shelf_segment *segment_of(struct kin__shelf *shelf, uint32_t number)
{
    return atomic_load_explicit(&segments_of(shelf)[number / KIN__SHELF_SLOTS], memory_order_relaxed);
}

static struct kin__shelf_slot *slot_at(struct kin__shelf *shelf, uint32_t number)
{
    return &segment_of(shelf, number)->slots[number % KIN__SHELF_SLOTS];
}

static struct kin__rank *place_at(struct kin__shelf *shelf, uint32_t place)
{
    return &segment_of(shelf, place)->heap[place % KIN__SHELF_SLOTS];
}

/* Of a shelf that keeps. */
static struct kin__shelf_lists *lists_of(struct kin__shelf *shelf)
{
    return (struct kin__shelf_lists *)&segments_of(shelf)[shelf->segments];
}

static size_t lists_size(void)
{
    return sizeof(struct kin__shelf_lists) +
           kin__family.header->process_limit * sizeof(struct kin__shelf_list);
}

static enum kin__shelf_state state_of(struct kin__shelf_slot *slot)
{
    return (enum kin__shelf_state)atomic_load_explicit(&slot->state, memory_order_relaxed);
}

/* ---- opening and closing --------------------------------------------------------------------- */

int kin__shelf_open(struct kin__shelf *shelf, uint64_t max_items, uint64_t max_bytes)
{
    /* All that is taken may come back, and whoever counts must not wrap. */
    if (shelf->keeps && max_items > KIN__KEPT_ITEMS_MOST) max_items = KIN__KEPT_ITEMS_MOST;
    /* A message counts 8 bytes at least. */
    uint64_t slots = max_items < max_bytes / 8 + 1 ? max_items : max_bytes / 8 + 1;
    if (shelf->keeps) slots += KIN__SHELF_TAKEN_MOST;
    uint64_t segments = (slots + KIN__SHELF_SLOTS - 1) / KIN__SHELF_SLOTS;
    int rc = 0;
    _Atomic(void *) *directory =
        kin__allocate(segments * sizeof *directory + (shelf->keeps ? lists_size() : 0), &rc);
    if (directory == NULL) return rc;
    for (uint64_t i = 0; i < segments; i++) atomic_store_explicit(&directory[i], NULL, memory_order_relaxed);
    if (shelf->keeps) memset(&directory[segments], 0, lists_size());
    shelf->segments = (uint32_t)segments;
    shelf->segment_count = shelf->heaped = shelf->free = shelf->moving = 0;
    memset(shelf->tails, 0, sizeof shelf->tails);
    shelf->count = 0;
    shelf->closing = false;
    atomic_store(&shelf->taken, 0);
    atomic_store(&shelf->has_slot, 1);
    kin__ends_init(&shelf->ends, max_items, max_bytes);
    kin__allocate_publish(&shelf->directory);
    return 0;
}

void kin__shelf_close(struct kin__shelf *shelf)
{
    _Atomic(void *) *directory = segments_of(shelf);
    int rc = directory != NULL ? kin__latch_acquire(&shelf->ends.head.latch, KIN_FOREVER) : -1;
    if (rc < 0) return;
    if (rc == 1) kin__shelf_repair(shelf);
    shelf->closing = true;
    kin__latch_release(&shelf->ends.head.latch);
    for (uint32_t i = 0; i < shelf->segments; i++) {
        void *segment = atomic_load(&directory[i]);
        if (segment != NULL) kin__free(segment, &directory[i]);
    }
    kin__free(directory, &shelf->directory);
}

/* ---- the heap -------------------------------------------------------------------------------- */

static bool precedes(const struct kin__rank *a, const struct kin__rank *b)
{
    return a->priority < b->priority || (a->priority == b->priority && a->number < b->number);
}

static void heap_push(struct kin__shelf *shelf, struct kin__rank rank)
{
    uint32_t place = shelf->heaped++;
    while (place > 0) {
        const struct kin__rank *parent = place_at(shelf, (place - 1) / 2);
        if (!precedes(&rank, parent)) break;
        *place_at(shelf, place) = *parent;
        place = (place - 1) / 2;
    }
    *place_at(shelf, place) = rank;
}

/* Puts another in the place of the first one, which comes before all others. */
static void heap_replace(struct kin__shelf *shelf, struct kin__rank rank)
{
    uint32_t place = 0, child;
    while ((child = 2 * place + 1) < shelf->heaped) {
        const struct kin__rank *least = place_at(shelf, child);
        if (child + 1 < shelf->heaped) {
            const struct kin__rank *other = place_at(shelf, child + 1);
            if (precedes(other, least)) {
                least = other;
                child++;
            }
        }
        if (!precedes(least, &rank)) break;
        *place_at(shelf, place) = *least;
        place = child;
    }
    *place_at(shelf, place) = rank;
}

/* Takes the first one away. */
static void heap_pop(struct kin__shelf *shelf)
{
    uint32_t last = --shelf->heaped;
    if (last > 0) heap_replace(shelf, *place_at(shelf, last));
}

/* ---- the runs -------------------------------------------------------------------------------- */

static struct kin__shelf_tail *tail_of(struct kin__shelf *shelf, int64_t priority)
{
    uint64_t hash = (uint64_t)priority * SPREAD;
    _Static_assert(KIN__SHELF_TAILS == 1 << 4, "as many as four bits tell apart");
    return &shelf->tails[hash >> 60];
}

static struct kin__rank rank_of(struct kin__shelf *shelf, uint32_t number)
{
    const struct kin__shelf_slot *slot = slot_at(shelf, number);
    return (struct kin__rank){slot->priority, slot->number, number};
}

/* Puts a slot before the run that comes first, behind one that ends with its priority, or else into a run of
 * its own. */
static void run_add(struct kin__shelf *shelf, uint32_t number)
{
    struct kin__shelf_slot *slot = slot_at(shelf, number);
    struct kin__rank rank = rank_of(shelf, number);
    slot->next = 0;
    if (shelf->heaped > 0 && precedes(&rank, place_at(shelf, 0))) {
        slot->next = place_at(shelf, 0)->slot + 1;
        *place_at(shelf, 0) = rank;
        return;
    }
    struct kin__shelf_tail *tail = tail_of(shelf, rank.priority);
    struct kin__shelf_slot *last =
        tail->slot != 0 && tail->priority == rank.priority ? slot_at(shelf, tail->slot - 1) : NULL;
    if (last != NULL && last->number < rank.number)
        last->next = number + 1;
    else
        heap_push(shelf, rank);
    *tail = (struct kin__shelf_tail){rank.priority, number + 1};
}

/* Takes the slot out that comes first of all. */
static void run_remove(struct kin__shelf *shelf)
{
    struct kin__rank first = *place_at(shelf, 0);
    uint32_t next = slot_at(shelf, first.slot)->next;
    if (next != 0) {
        heap_replace(shelf, rank_of(shelf, next - 1));
        return;
    }
    struct kin__shelf_tail *tail = tail_of(shelf, first.priority);
    if (tail->slot == first.slot + 1) tail->slot = 0;
    heap_pop(shelf);
}

/* ---- the lists -------------------------------------------------------------------------------- */

static void note_slots(struct kin__shelf *shelf)
{
    bool has = shelf->free != 0 || shelf->segment_count < shelf->segments;
    if (atomic_load_explicit(&shelf->has_slot, memory_order_relaxed) != has)
        atomic_store(&shelf->has_slot, has);
}

static void free_add(struct kin__shelf *shelf, uint32_t number)
{
    slot_at(shelf, number)->next = shelf->free;
    shelf->free = number + 1;
}

/* The thread's id alone: together with that of its process the identities of main threads would not spread. */
static struct kin__shelf_list *list_of_thread(struct kin__shelf *shelf, uint64_t thread)
{
    uint64_t hash = (uint32_t)thread * SPREAD;
    return &lists_of(shelf)->of_thread[hash >> (64 - KIN__SHELF_THREADS_BITS)];
}

static struct kin__shelf_list *list_of_process(struct kin__shelf *shelf, uint32_t process)
{
    return &lists_of(shelf)->of_process[process];
}

static void taken_add(struct kin__shelf *shelf, uint32_t number)
{
    struct kin__shelf_slot *slot = slot_at(shelf, number);
    struct kin__shelf_list *process = list_of_process(shelf, slot->taker);
    struct kin__shelf_list *thread = list_of_thread(shelf, slot->thread);
    slot->next = slot->of_thread = 0;
    slot->previous = process->last;
    if (process->last != 0)
        slot_at(shelf, process->last - 1)->next = number + 1;
    else
        process->first = number + 1;
    if (thread->last != 0)
        slot_at(shelf, thread->last - 1)->of_thread = number + 1;
    else
        thread->first = number + 1;
    process->last = thread->last = number + 1;
    atomic_fetch_add(&shelf->taken, 1);
}

/* Who is done with one takes the first of its thread, and who puts back or drops all takes them in their order:
 * only those of other threads with the same hash are before it. */
static void thread_remove(struct kin__shelf *shelf, uint32_t number)
{
    const struct kin__shelf_slot *slot = slot_at(shelf, number);
    struct kin__shelf_list *thread = list_of_thread(shelf, slot->thread);
    uint32_t before = 0;
    for (uint32_t entry = thread->first; entry != number + 1; entry = slot_at(shelf, entry - 1)->of_thread)
        before = entry;
    if (before != 0)
        slot_at(shelf, before - 1)->of_thread = slot->of_thread;
    else
        thread->first = slot->of_thread;
    if (thread->last == number + 1) thread->last = before;
}

static void taken_remove(struct kin__shelf *shelf, uint32_t number)
{
    struct kin__shelf_slot *slot = slot_at(shelf, number);
    struct kin__shelf_list *process = list_of_process(shelf, slot->taker);
    thread_remove(shelf, number);
    if (slot->previous != 0)
        slot_at(shelf, slot->previous - 1)->next = slot->next;
    else
        process->first = slot->next;
    if (slot->next != 0)
        slot_at(shelf, slot->next - 1)->previous = slot->previous;
    else
        process->last = slot->previous;
    atomic_fetch_sub(&shelf->taken, 1);
}

/* ---- the latch, and what a death leaves --------------------------------------------------------- */

/* The lists of those taken, in the order of takings, with the heap's help. */
static void list_taken(struct kin__shelf *shelf)
{
    atomic_store(&shelf->taken, 0);
    if (!shelf->keeps) return;
    memset(lists_of(shelf), 0, lists_size());
    for (uint32_t number = 0; number < shelf->segment_count * KIN__SHELF_SLOTS; number++) {
        struct kin__shelf_slot *slot = slot_at(shelf, number);
        if (state_of(slot) == KIN__SHELF_TAKEN)
            heap_push(shelf, (struct kin__rank){0, slot->taken_at, number});
    }
    while (shelf->heaped > 0) {
        taken_add(shelf, place_at(shelf, 0)->slot);
        heap_pop(shelf);
    }
}

static void settle_moving(struct kin__shelf *shelf)
{
    if (shelf->moving == 0) return;
    struct kin__shelf_slot *slot = slot_at(shelf, shelf->moving - 1);
    if (atomic_load(&shelf->moving_end->position) != shelf->moving_from) {
        slot->deliveries = shelf->moving_deliveries;
        atomic_store(&slot->state, shelf->moving_to);
    }
    shelf->moving = 0;
}

/* Settles the move that a death interrupted, and makes the caches anew from the states. */
void kin__shelf_repair(struct kin__shelf *shelf)
{
    kin__end_recover(&shelf->ends.head);
    kin__end_recover(&shelf->ends.tail);
    if (segments_of(shelf) != NULL && !shelf->closing) {
        uint32_t count = 0;
        while (count < shelf->segments && atomic_load(&segments_of(shelf)[count]) != NULL) count++;
        settle_moving(shelf);
        shelf->segment_count = count;
        shelf->heaped = shelf->free = 0;
        memset(shelf->tails, 0, sizeof shelf->tails);
        list_taken(shelf);
        for (uint32_t number = 0; number < count * KIN__SHELF_SLOTS; number++) {
            enum kin__shelf_state state = state_of(slot_at(shelf, number));
            if (state == KIN__SHELF_QUEUED) run_add(shelf, number);
            if (state == KIN__SHELF_FREE) free_add(shelf, number);
        }
        note_slots(shelf);
    }
    kin__latch_clean(&shelf->ends.head.latch);
}

/* Moves a slot's message past an end, and by that into another state.  The caller keeps the caches. */
static void move(struct kin__shelf *shelf, struct kin__end *end, uint32_t number, enum kin__shelf_state to,
                 uint32_t deliveries)
{
    struct kin__shelf_slot *slot = slot_at(shelf, number);
    struct kin__record record = kin__shelf_record(slot);
    struct kin__cursor cursor = kin__cursor_at(end);
    shelf->moving_to = to;
    shelf->moving_deliveries = deliveries;
    shelf->moving_from = cursor.word;
    shelf->moving_end = end;
    atomic_signal_fence(memory_order_seq_cst);
    /* CRASH: from here the next holder of the latch looks at the end: where it was, the slot keeps its
     * state; elsewhere, the slot gets the new one. */
    shelf->moving = number + 1;
    atomic_signal_fence(memory_order_seq_cst);
    kin__cursor_pass(&cursor, kin__advance(cursor.word, 1), kin__record_charge(&record));
    kin__end_store(end, cursor.word, cursor.bytes);
    slot->deliveries = deliveries;
    /* Relaxed: read under the latch alone. */
    atomic_store_explicit(&slot->state, to, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    shelf->moving = 0;
    atomic_signal_fence(memory_order_seq_cst);
}

/* ---- putting ------------------------------------------------------------------------------------- */

bool kin__shelf_install(struct kin__shelf *shelf)
{
    uint32_t segment = shelf->segment_count;
    if (shelf->free != 0 || segment == shelf->segments) return false;
    kin__allocate_publish(&segments_of(shelf)[segment]);
    shelf->segment_count = segment + 1;
    for (uint32_t i = KIN__SHELF_SLOTS; i > 0; i--)
        free_add(shelf, segment * (uint32_t)KIN__SHELF_SLOTS + i - 1);
    return true;
}

static void fill(struct kin__shelf_slot *slot, const struct kin__record *record, uint32_t number, void *queue)
{
    slot->header = kin__record_header(record->kind, record->size);
    if (record->kind == KIN__RECORD_INLINE) {
        if (record->size > 0) memcpy(slot->bytes, record->bytes, record->size);
        return;
    }
    slot->message = record->message;
    record->message->queue = queue;
    record->message->position = number;
}

/* Under the latch neither end moves. */
static bool has_room(struct kin__shelf *shelf, uint64_t charge)
{
    struct kin__cursor head = kin__cursor_at(&shelf->ends.head), tail = kin__cursor_at(&shelf->ends.tail);
    bool by_bytes;
    return kin__ends_admit(&shelf->ends, kin__items_between(head.word, tail.word), tail.bytes - head.bytes,
                           charge, &by_bytes);
}

enum kin__append kin__shelf_put(struct kin__shelf *shelf, const struct kin__record *record, void *queue)
{
    if (!has_room(shelf, kin__record_charge(record))) return KIN__NO_ROOM;
    if (shelf->free == 0) return shelf->segment_count == shelf->segments ? KIN__NO_ROOM : KIN__NO_SEGMENT;
    uint32_t number = shelf->free - 1;
    struct kin__shelf_slot *slot = slot_at(shelf, number);
    shelf->free = slot->next;
    note_slots(shelf);
    fill(slot, record, number, queue);
    slot->priority = record->priority;
    slot->number = shelf->last_first ? UINT64_MAX - shelf->count : shelf->count;
    shelf->count++;
    move(shelf, &shelf->ends.tail, number, KIN__SHELF_QUEUED, 0);
    run_add(shelf, number);
    return KIN__APPENDED;
}

/* ---- taking ---------------------------------------------------------------------------------------- */

struct kin__shelf_slot *kin__shelf_first(struct kin__shelf *shelf)
{
    return shelf->heaped > 0 ? slot_at(shelf, place_at(shelf, 0)->slot) : NULL;
}

void kin__shelf_take(struct kin__shelf *shelf, bool keep)
{
    uint32_t number = place_at(shelf, 0)->slot;
    struct kin__shelf_slot *slot = slot_at(shelf, number);
    if (keep) {
        slot->taker = kin__self.process_index;
        slot->thread = kin__self.identity;
        slot->taken_at = shelf->count++;
    }
    move(shelf, &shelf->ends.head, number, keep ? KIN__SHELF_TAKEN : KIN__SHELF_FREE, slot->deliveries);
    run_remove(shelf);
    if (keep)
        taken_add(shelf, number);
    else
        free_add(shelf, number);
    note_slots(shelf);
}

/* ---- what was taken --------------------------------------------------------------------------------- */

/* If not, there may be no lists any more: who is late comes to a shelf that is closed. */
static bool any_is_taken(struct kin__shelf *shelf)
{
    return atomic_load_explicit(&shelf->taken, memory_order_relaxed) != 0;
}

/* Has the thread that took it not got it yet? */
static bool is_being_copied(const struct kin__shelf_slot *slot)
{
    return kin__header_kind(slot->header) == KIN__RECORD_MESSAGE &&
           kin__message_is_being_copied(slot->message);
}

int kin__shelf_own(struct kin__shelf *shelf, struct kin__shelf_slot **own)
{
    if (!any_is_taken(shelf)) return KIN_ENOTASK;
    struct kin__shelf_slot *slot;
    uint32_t process = kin__self.process_index;
    uint32_t entry = list_of_thread(shelf, kin__self.identity)->first;
    for (; entry != 0; entry = slot->of_thread) {
        slot = slot_at(shelf, entry - 1);
        if (slot->thread != kin__self.identity || slot->taker != process) continue;
        if (is_being_copied(slot)) return -EDEADLK;
        *own = slot;
        return 0;
    }
    /* No more than other threads are copying. */
    for (entry = list_of_process(shelf, process)->first; entry != 0; entry = slot->next) {
        slot = slot_at(shelf, entry - 1);
        if (is_being_copied(slot)) continue;
        *own = slot;
        return 0;
    }
    return KIN_ENOTASK;
}

bool kin__shelf_has_taken(struct kin__shelf *shelf)
{
    return any_is_taken(shelf) && list_of_process(shelf, kin__self.process_index)->first != 0;
}

void kin__shelf_done(struct kin__shelf *shelf, struct kin__shelf_slot *slot)
{
    uint32_t before = slot->previous;
    uint32_t number =
        (before != 0 ? slot_at(shelf, before - 1)->next : list_of_process(shelf, slot->taker)->first) - 1;
    /* CRASH: before it the message is handed out again, after it it is done; the lists are caches. */
    atomic_store(&slot->state, KIN__SHELF_FREE);
    taken_remove(shelf, number);
    free_add(shelf, number);
    note_slots(shelf);
}

struct kin__shelf_slot *kin__shelf_any_taken(struct kin__shelf *shelf)
{
    if (!any_is_taken(shelf)) return NULL;
    uint32_t process = 0;
    while (list_of_process(shelf, process)->first == 0) process++;
    return slot_at(shelf, list_of_process(shelf, process)->first - 1);
}

void kin__shelf_put_back(struct kin__shelf *shelf, uint32_t taker)
{
    if (!any_is_taken(shelf)) return;
    const struct kin__shelf_list *list = list_of_process(shelf, taker);
    while (list->first != 0) {
        uint32_t number = list->first - 1;
        move(shelf, &shelf->ends.tail, number, KIN__SHELF_QUEUED, slot_at(shelf, number)->deliveries + 1);
        taken_remove(shelf, number);
        run_add(shelf, number);
    }
}

bool kin__shelf_names(struct kin__shelf *shelf, const struct kin__message *message)
{
    if (segments_of(shelf) == NULL || shelf->closing ||
        message->position >= shelf->segment_count * KIN__SHELF_SLOTS)
        return false;
    struct kin__shelf_slot *slot = slot_at(shelf, (uint32_t)message->position);
    return state_of(slot) != KIN__SHELF_FREE && kin__header_kind(slot->header) == KIN__RECORD_MESSAGE &&
           slot->message == message;
}

KIN__LAYOUT_PART(shelf_segment, struct kin__shelf_segment);
KIN__LAYOUT_PART(shelf_lists, struct kin__shelf_lists);
