/* stream.c: records in segments.  See stream.h for the invariants. */
#include "ipc/stream.h"

#include <errno.h>
#include <string.h>

#include "memory/region.h"

#define ITEM          ((uint64_t)1 << KIN__POSITION_BITS)
#define UNIT_SHIFT    3
#define SEGMENT_UNITS (KIN__SEGMENT_SIZE >> UNIT_SHIFT)
#define STRETCH_MASK  ((uint32_t)(KIN__POSITION_MASK >> (KIN__SEGMENT_SHIFT - UNIT_SHIFT)))

/* A record's header: kind in the lowest two bits, size above. */
static uint64_t header_of(enum kin__record_kind kind, uint64_t size)
{
    return size << 2 | (uint64_t)kind;
}

static uint64_t units_of(const struct kin__record *record)
{
    return record->kind == KIN__RECORD_INLINE ? 1 + ((record->size + 7) >> UNIT_SHIFT) : 2;
}

uint64_t kin__record_charge(const struct kin__record *record)
{
    uint64_t charge = units_of(record) << UNIT_SHIFT;
    return record->kind == KIN__RECORD_MESSAGE ? charge + record->size : charge;
}

static uint64_t items_of(uint64_t word)
{
    return word >> KIN__POSITION_BITS;
}

static uint32_t stretch_of(uint64_t word)
{
    return (uint32_t)((word & KIN__POSITION_MASK) >> (KIN__SEGMENT_SHIFT - UNIT_SHIFT));
}

static uint64_t advance(uint64_t word, uint64_t units)
{
    return (word & ~KIN__POSITION_MASK) | ((word + units) & KIN__POSITION_MASK);
}

static struct kin__directory *directory_of(struct kin__stream *stream)
{
    return atomic_load_explicit(&stream->directory, memory_order_relaxed);
}

static uint64_t *record_at(struct kin__stream *stream, uint64_t word)
{
    struct kin__directory *directory = directory_of(stream);
    uint32_t number = directory->map[stretch_of(word) & (stream->segments - 1)];
    char *segment = atomic_load_explicit(&directory->segment[number], memory_order_relaxed);
    return (uint64_t *)segment + (word & (SEGMENT_UNITS - 1));
}

/* The other end's word and the bytes that belong to it. */
static uint64_t read_end(struct kin__end *end, uint64_t *bytes)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&end->position, memory_order_acquire);
        *bytes = atomic_load_explicit(&end->bytes[items_of(word) & 1], memory_order_acquire);
        /* Unchanged: then the cell was not written meanwhile (stream.h). */
        if (atomic_load_explicit(&end->position, memory_order_relaxed) == word) return word;
    }
}

static uint64_t own_bytes(struct kin__end *end, uint64_t word)
{
    return atomic_load_explicit(&end->bytes[items_of(word) & 1], memory_order_relaxed);
}

/* Stores the commit word of an end that moved by one message of `charge` bytes. */
static void commit(struct kin__end *end, uint64_t before, uint64_t after, uint64_t charge)
{
    uint64_t bytes = own_bytes(end, before) + charge;
    after += ITEM;
    /* Release: pairs with the acquire in read_end. */
    atomic_store_explicit(&end->bytes[items_of(after) & 1], bytes, memory_order_release);
    /* CRASH: before this store nothing has happened, after it everything has.  Release: pairs
     * with the acquire loads of the other end. */
    atomic_store_explicit(&end->position, after, memory_order_release);
}

/* ---- opening and closing --------------------------------------------------------------------- */

int kin__stream_open(struct kin__stream *stream, uint64_t max_items, uint64_t max_bytes)
{
    uint64_t stretch = max_bytes;
    if (max_items < stretch / (KIN__INLINE_MOST + 8)) stretch = max_items * (KIN__INLINE_MOST + 8);
    uint64_t segments = 4;
    /* Padding at the ends of segments takes up to a sixteenth. */
    while (segments * KIN__SEGMENT_SIZE < stretch + stretch / 15 + 3 * KIN__SEGMENT_SIZE) segments *= 2;
    int rc = 0;
    struct kin__directory *directory = kin__allocate(sizeof *directory + segments * 16, &rc);
    if (directory == NULL) return rc;
    memset(directory, 0, sizeof *directory + segments * 16);
    directory->map = (uint32_t *)&directory->segment[segments];
    directory->free = directory->map + segments;
    stream->max_items = max_items;
    stream->max_bytes = max_bytes;
    stream->segments = (uint32_t)segments;
    stream->segment_count = stream->free_count = stream->installed = stream->recycled = 0;
    struct kin__end *ends[] = {&stream->tail, &stream->head};
    for (int i = 0; i < 2; i++) {
        atomic_store(&ends[i]->position, 0);
        atomic_store(&ends[i]->bytes[0], 0);
        atomic_store(&ends[i]->bytes[1], 0);
        ends[i]->other_position = ends[i]->other_bytes = 0;
    }
    kin__allocate_publish(&stream->directory);
    return 0;
}

void kin__stream_close(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    if (directory == NULL) return;
    for (uint32_t i = 0; i < stream->segments; i++) {
        void *segment = atomic_load(&directory->segment[i]);
        if (segment != NULL) kin__free(segment, &directory->segment[i]);
    }
    kin__free(directory, &stream->directory);
}

/* ---- the tail ------------------------------------------------------------------------------------- */

/* Makes the caches anew: a segment is free if no stretch between head and tail has it. */
static void repair_tail(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    if (directory == NULL) {
        kin__latch_clean(&stream->tail.latch);
        return;
    }
    uint32_t count = 0;
    while (count < stream->segments && atomic_load(&directory->segment[count]) != NULL) count++;
    stream->segment_count = count;
    stream->tail.other_position = read_end(&stream->head, &stream->tail.other_bytes);
    stream->recycled = stretch_of(stream->tail.other_position);
    /* `installed` may not lag behind the stretch the head is in. */
    if (((stream->installed - stream->recycled) & STRETCH_MASK) > stream->segments)
        stream->installed = stream->recycled;
    stream->free_count = 0;
    for (uint32_t number = 0; number < count; number++) {
        bool used = false;
        for (uint32_t s = stream->recycled; s != stream->installed && !used; s = (s + 1) & STRETCH_MASK)
            used = directory->map[s & (stream->segments - 1)] == number;
        if (!used) directory->free[stream->free_count++] = number;
    }
    kin__latch_clean(&stream->tail.latch);
}

int kin__stream_lock_tail(struct kin__stream *stream, kin_deadline deadline)
{
    int rc = kin__latch_acquire(&stream->tail.latch, deadline);
    if (__builtin_expect(rc == 1, 0)) repair_tail(stream);
    return rc;
}

/* Takes back the segments that the head has left. */
static void recycle(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    uint32_t head = stretch_of(stream->tail.other_position);
    while (stream->recycled != head && stream->recycled != stream->installed) {
        directory->free[stream->free_count++] = directory->map[stream->recycled & (stream->segments - 1)];
        stream->recycled = (stream->recycled + 1) & STRETCH_MASK;
    }
}

/* Gives the stretch that begins at `word` a segment; false if there is none. */
static bool carry(struct kin__stream *stream, uint64_t word)
{
    struct kin__directory *directory = directory_of(stream);
    if (stretch_of(word) != stream->installed) return true;
    recycle(stream);
    if (stream->free_count == 0) {
        stream->tail.other_position = read_end(&stream->head, &stream->tail.other_bytes);
        recycle(stream);
    }
    if (stream->free_count == 0) return false;
    directory->map[stream->installed & (stream->segments - 1)] = directory->free[stream->free_count - 1];
    /* CRASH: taken and still in the free list, or the other way round: repair_tail. */
    stream->free_count--;
    stream->installed = (stream->installed + 1) & STRETCH_MASK;
    return true;
}

bool kin__stream_install(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    if (stream->free_count != 0 || stream->segment_count == stream->segments) return false;
    uint32_t number = stream->segment_count;
    kin__allocate_publish(&directory->segment[number]);
    stream->segment_count = number + 1;
    directory->free[stream->free_count++] = number;
    return true;
}

static bool fits(const struct kin__stream *stream, uint64_t items, uint64_t bytes, uint64_t charge,
                 bool *by_bytes)
{
    *by_bytes = items < stream->max_items;
    return *by_bytes && (bytes + charge <= stream->max_bytes || items == 0);
}

static bool room_at_tail(struct kin__stream *stream, uint64_t word, uint64_t charge)
{
    struct kin__end *tail = &stream->tail;
    bool by_bytes;
    uint64_t bytes = own_bytes(tail, word);
    for (int fresh = 0; fresh < 2; fresh++) {
        uint64_t items = (items_of(word) - items_of(tail->other_position)) & (KIN__ITEMS_MOST + 1);
        if (fits(stream, items, bytes - tail->other_bytes, charge, &by_bytes)) return true;
        if (fresh == 0) tail->other_position = read_end(&stream->head, &tail->other_bytes);
    }
    return false;
}

static void write_record(struct kin__stream *stream, uint64_t word, const struct kin__record *record,
                         void *queue)
{
    uint64_t *at = record_at(stream, word);
    at[0] = header_of(record->kind, record->size);
    if (record->kind == KIN__RECORD_INLINE) {
        if (record->size > 0) memcpy(at + 1, record->bytes, record->size);
        return;
    }
    at[1] = (uint64_t)(uintptr_t)record->message;
    record->message->queue = queue;
    record->message->position = word & KIN__POSITION_MASK;
}

enum kin__append kin__stream_append(struct kin__stream *stream, const struct kin__record *record, void *queue)
{
    uint64_t word = atomic_load_explicit(&stream->tail.position, memory_order_relaxed);
    uint64_t after = word;
    uint64_t units = units_of(record);
    uint64_t charge = kin__record_charge(record);
    if (!room_at_tail(stream, word, charge)) return KIN__NO_ROOM;
    uint64_t left = SEGMENT_UNITS - (word & (SEGMENT_UNITS - 1));
    if (left < units) after = advance(word, left);
    if ((after & (SEGMENT_UNITS - 1)) == 0 && !carry(stream, after)) return KIN__NO_SEGMENT;
    if (after != word) *record_at(stream, word) = header_of(KIN__RECORD_PAD, 0);
    write_record(stream, after, record, queue);
    commit(&stream->tail, word, advance(after, units), charge);
    return KIN__APPENDED;
}

/* ---- the head ------------------------------------------------------------------------------------- */

int kin__stream_lock_head(struct kin__stream *stream, kin_deadline deadline)
{
    int rc = kin__latch_acquire(&stream->head.latch, deadline);
    if (__builtin_expect(rc == 1, 0)) {
        /* Nothing to undo: what was seen of the tail is at worst old. */
        kin__latch_clean(&stream->head.latch);
    }
    return rc;
}

/* Where the oldest record is, past padding. */
static uint64_t skip_padding(struct kin__stream *stream, uint64_t word)
{
    if ((*record_at(stream, word) & 3) != KIN__RECORD_PAD) return word;
    return advance(word, SEGMENT_UNITS - (word & (SEGMENT_UNITS - 1)));
}

bool kin__stream_peek(struct kin__stream *stream, struct kin__record *record)
{
    struct kin__end *head = &stream->head;
    uint64_t word = atomic_load_explicit(&head->position, memory_order_relaxed);
    if (((word ^ head->other_position) & KIN__POSITION_MASK) == 0) {
        /* Acquire: pairs with the release in commit. */
        head->other_position = atomic_load_explicit(&stream->tail.position, memory_order_acquire);
        if (((word ^ head->other_position) & KIN__POSITION_MASK) == 0) return false;
    }
    uint64_t *at = record_at(stream, skip_padding(stream, word));
    record->kind = (enum kin__record_kind)(at[0] & 3);
    record->size = at[0] >> 2;
    record->bytes = at + 1;
    record->message = record->kind == KIN__RECORD_MESSAGE ? (struct kin__message *)(uintptr_t)at[1] : NULL;
    return true;
}

void kin__stream_consume(struct kin__stream *stream, const struct kin__record *record)
{
    uint64_t word = atomic_load_explicit(&stream->head.position, memory_order_relaxed);
    uint64_t after = advance(skip_padding(stream, word), units_of(record));
    commit(&stream->head, word, after, kin__record_charge(record));
}

bool kin__stream_names(struct kin__stream *stream, const struct kin__message *message)
{
    uint64_t head = atomic_load(&stream->head.position) & KIN__POSITION_MASK;
    uint64_t tail = atomic_load(&stream->tail.position) & KIN__POSITION_MASK;
    if (directory_of(stream) == NULL ||
        ((message->position - head) & KIN__POSITION_MASK) >= ((tail - head) & KIN__POSITION_MASK))
        return false;
    uint64_t *at = record_at(stream, message->position);
    return (at[0] & 3) == KIN__RECORD_MESSAGE && at[1] == (uint64_t)(uintptr_t)message;
}

/* ---- without a latch ---------------------------------------------------------------------------------- */

bool kin__stream_has_room(struct kin__stream *stream, uint64_t charge, bool *by_bytes)
{
    uint64_t tail_bytes, head_bytes;
    uint64_t head = read_end(&stream->head, &head_bytes);
    uint64_t tail = read_end(&stream->tail, &tail_bytes);
    uint64_t items = (items_of(tail) - items_of(head)) & (KIN__ITEMS_MOST + 1);
    return fits(stream, items, tail_bytes - head_bytes, charge, by_bytes);
}

uint64_t kin__stream_items(struct kin__stream *stream)
{
    for (;;) {
        uint64_t head = atomic_load(&stream->head.position);
        uint64_t tail = atomic_load(&stream->tail.position);
        /* Exact: both at the moment of the second load. */
        if (atomic_load(&stream->head.position) == head)
            return (items_of(tail) - items_of(head)) & (KIN__ITEMS_MOST + 1);
    }
}
