/* stream.c: records in segments.  See stream.h for the invariants. */
#include "ipc/stream.h"

#include <errno.h>
#include <string.h>

#include "memory/region.h"

#define UNIT_SHIFT    3
#define SEGMENT_UNITS (KIN__SEGMENT_SIZE >> UNIT_SHIFT)
#define STRETCH_MASK  ((uint32_t)(KIN__POSITION_MASK >> (KIN__SEGMENT_SHIFT - UNIT_SHIFT)))

static uint32_t stretch_of(uint64_t word)
{
    return (uint32_t)((word & KIN__POSITION_MASK) >> (KIN__SEGMENT_SHIFT - UNIT_SHIFT));
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

/* ---- the lines of the next record ------------------------------------------------------------ */

/* A line that the other processor has takes as long as copying several.  A latch is given back only when all that
 * was written before is there, so who holds it would wait for each line of its record.  Messages are mostly
 * like the one before: the lines of the next record are asked for while this one is being copied. */
#define LINE       64
#define AHEAD_MOST ((uint64_t)1024)

/* A plain prefetch fetches it to be read, and to write it takes another way. */
static inline void fetch_to_write(const char *line)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*line));
#else
    __builtin_prefetch(line, 1);
#endif
}

/* How far behind a record at `word` of that size the lines of one like it reach, in bytes from its beginning; not
 * past the end of the segment. */
static inline uint64_t next_ends(uint64_t word, uint64_t size)
{
    uint64_t left = (SEGMENT_UNITS - (word & (SEGMENT_UNITS - 1))) << UNIT_SHIFT;
    uint64_t end = sizeof(uint64_t) + size + LINE +
                   (size < LINE         ? LINE
                    : size < AHEAD_MOST ? size
                                        : AHEAD_MOST);
    return end < left ? end : left;
}

static inline void expect_to_write(uint64_t word, const uint64_t *at, uint64_t size)
{
    uint64_t end = next_ends(word, size);
    for (uint64_t line = sizeof(uint64_t) + size + LINE; line < end; line += LINE)
        fetch_to_write((const char *)at + line);
}

/* Only what is there, or its lines would be taken from who is about to write them; and only where the processor
 * does not do it by itself soon enough. */
static inline void expect_to_read(uint64_t word, const uint64_t *at, uint64_t size, uint64_t tail)
{
    if (size < 2 * LINE) return;
    uint64_t known = ((tail - word) & KIN__POSITION_MASK) << UNIT_SHIFT;
    uint64_t end = next_ends(word, size);
    if (end > known) end = known;
    for (uint64_t line = sizeof(uint64_t) + size + LINE; line < end; line += LINE)
        __builtin_prefetch((const char *)at + line);
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
    stream->segments = (uint32_t)segments;
    stream->segment_count = stream->free_count = stream->installed = stream->recycled = 0;
    stream->closing = false;
    kin__ends_init(&stream->ends, max_items, max_bytes);
    kin__allocate_publish(&stream->directory);
    return 0;
}

void kin__stream_close(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    int rc = directory != NULL ? kin__latch_acquire(&stream->ends.tail.latch, KIN_FOREVER) : -1;
    if (rc < 0) return;
    if (rc == 1) kin__stream_repair_tail(stream);
    stream->closing = true;
    kin__latch_release(&stream->ends.tail.latch);
    for (uint32_t i = 0; i < stream->segments; i++) {
        void *segment = atomic_load(&directory->segment[i]);
        if (segment != NULL) kin__free(segment, &directory->segment[i]);
    }
    kin__free(directory, &stream->directory);
}

/* ---- the tail ------------------------------------------------------------------------------------- */

static void look_at_head(struct kin__stream *stream)
{
    struct kin__end *tail = &stream->ends.tail;
    tail->other_position = kin__end_read(&stream->ends.head, &tail->other_bytes);
}

/* Of the first `count` segments those are free that carry no stretch: the list serves for the marks first, which
 * are read ahead of where it is written. */
static void find_free(struct kin__stream *stream, uint32_t count)
{
    struct kin__directory *directory = directory_of(stream);
    for (uint32_t number = 0; number < count; number++) directory->free[number] = false;
    for (uint32_t s = stream->recycled; s != stream->installed; s = (s + 1) & STRETCH_MASK)
        directory->free[directory->map[s & (stream->segments - 1)]] = true;
    stream->free_count = 0;
    for (uint32_t number = 0; number < count; number++)
        if (!directory->free[number]) directory->free[stream->free_count++] = number;
}

void kin__stream_repair_tail(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    kin__end_recover(&stream->ends.tail);
    if (directory == NULL || stream->closing) {
        kin__latch_clean(&stream->ends.tail.latch);
        return;
    }
    uint32_t count = 0;
    while (count < stream->segments && atomic_load(&directory->segment[count]) != NULL) count++;
    stream->segment_count = count;
    look_at_head(stream);
    stream->recycled = stretch_of(stream->ends.tail.other_position);
    /* `installed` may not lag behind the stretch the head is in. */
    if (((stream->installed - stream->recycled) & STRETCH_MASK) > stream->segments)
        stream->installed = stream->recycled;
    find_free(stream, count);
    kin__latch_clean(&stream->ends.tail.latch);
}

/* Takes back the segments that the head has left. */
static void recycle(struct kin__stream *stream)
{
    struct kin__directory *directory = directory_of(stream);
    uint32_t head = stretch_of(stream->ends.tail.other_position);
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
        look_at_head(stream);
        recycle(stream);
    }
    if (stream->free_count == 0) return false;
    directory->map[stream->installed & (stream->segments - 1)] = directory->free[stream->free_count - 1];
    /* Not before: what is installed has its entry in the map. */
    atomic_signal_fence(memory_order_seq_cst);
    /* CRASH: taken and still in the free list, or the other way round: the repair. */
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

static bool has_room(struct kin__stream *stream, const struct kin__cursor *cursor, uint64_t charge)
{
    struct kin__end *tail = &stream->ends.tail;
    bool by_bytes;
    for (int fresh = 0; fresh < 2; fresh++) {
        uint64_t items = kin__items_between(tail->other_position, cursor->word);
        uint64_t bytes = cursor->bytes - tail->other_bytes;
        if (kin__ends_admit(&stream->ends, items, bytes, charge, &by_bytes)) return true;
        if (fresh == 0) look_at_head(stream);
    }
    return false;
}

static void write_record(struct kin__stream *stream, uint64_t word, const struct kin__record *record,
                         void *queue)
{
    uint64_t *at = record_at(stream, word);
    at[0] = kin__record_header(record->kind, record->size);
    if (record->kind == KIN__RECORD_INLINE) {
        if (record->size > 0) memcpy(at + 1, record->bytes, record->size);
        expect_to_write(word, at, record->size);
        return;
    }
    at[1] = (uint64_t)(uintptr_t)record->message;
    record->message->queue = queue;
    record->message->position = word & KIN__POSITION_MASK;
}

static inline enum kin__append write_at(struct kin__stream *stream, struct kin__cursor *cursor,
                                        const struct kin__record *record, void *queue)
{
    uint64_t word = cursor->word;
    uint64_t units = kin__record_units(record);
    uint64_t charge = kin__record_charge(record);
    if (!has_room(stream, cursor, charge)) return KIN__NO_ROOM;
    uint64_t left = SEGMENT_UNITS - (word & (SEGMENT_UNITS - 1));
    if (left < units) word = kin__advance(word, left);
    if ((word & (SEGMENT_UNITS - 1)) == 0 && !carry(stream, word)) return KIN__NO_SEGMENT;
    if (word != cursor->word) *record_at(stream, cursor->word) = kin__record_header(KIN__RECORD_PAD, 0);
    write_record(stream, word, record, queue);
    kin__cursor_pass(cursor, kin__advance(word, units), charge);
    return KIN__APPENDED;
}

enum kin__append kin__stream_write(struct kin__stream *stream, struct kin__cursor *cursor,
                                   const struct kin__record *record, void *queue)
{
    return write_at(stream, cursor, record, queue);
}

enum kin__append kin__stream_append(struct kin__stream *stream, const struct kin__record *record, void *queue)
{
    struct kin__cursor cursor = kin__cursor_at(&stream->ends.tail);
    enum kin__append appended = write_at(stream, &cursor, record, queue);
    if (appended == KIN__APPENDED) kin__end_store(&stream->ends.tail, cursor.word, cursor.bytes);
    return appended;
}

/* ---- the head ------------------------------------------------------------------------------------- */

bool kin__stream_peek(struct kin__stream *stream, uint64_t word, struct kin__record *record)
{
    struct kin__end *head = &stream->ends.head;
    if (((word ^ head->other_position) & KIN__POSITION_MASK) == 0) {
        /* Acquire: pairs with the release in kin__end_store. */
        head->other_position = atomic_load_explicit(&stream->ends.tail.position, memory_order_acquire);
        if (((word ^ head->other_position) & KIN__POSITION_MASK) == 0) return false;
    }
    uint64_t *at = record_at(stream, word);
    if (__builtin_expect(kin__header_kind(at[0]) == KIN__RECORD_PAD, 0)) {
        word = kin__advance(word, SEGMENT_UNITS - (word & (SEGMENT_UNITS - 1)));
        at = record_at(stream, word);
    }
    record->word = word;
    record->kind = kin__header_kind(at[0]);
    record->size = at[0] >> 2;
    record->bytes = at + 1;
    record->message = record->kind == KIN__RECORD_MESSAGE ? (struct kin__message *)(uintptr_t)at[1] : NULL;
    if (record->kind == KIN__RECORD_INLINE) expect_to_read(word, at, record->size, head->other_position);
    return true;
}

const void *kin__stream_place(struct kin__stream *stream)
{
    uint64_t word = kin__end_word(&stream->ends.head);
    /* Only a stretch that something has been put into has its segment for certain. */
    return (word & (SEGMENT_UNITS - 1)) != 0 ? record_at(stream, word) : NULL;
}

static inline void pass(struct kin__cursor *cursor, const struct kin__record *record)
{
    uint64_t word = kin__advance(record->word, kin__record_units(record));
    kin__cursor_pass(cursor, word, kin__record_charge(record));
}

void kin__stream_pass(struct kin__cursor *cursor, const struct kin__record *record)
{
    pass(cursor, record);
}

void kin__stream_consume(struct kin__stream *stream, const struct kin__record *record)
{
    struct kin__cursor cursor = kin__cursor_at(&stream->ends.head);
    pass(&cursor, record);
    kin__end_store(&stream->ends.head, cursor.word, cursor.bytes);
}

bool kin__stream_names(struct kin__stream *stream, const struct kin__message *message)
{
    uint64_t head = atomic_load(&stream->ends.head.position) & KIN__POSITION_MASK;
    uint64_t tail = atomic_load(&stream->ends.tail.position) & KIN__POSITION_MASK;
    if (directory_of(stream) == NULL ||
        ((message->position - head) & KIN__POSITION_MASK) >= ((tail - head) & KIN__POSITION_MASK))
        return false;
    uint64_t *at = record_at(stream, message->position);
    return kin__header_kind(at[0]) == KIN__RECORD_MESSAGE && at[1] == (uint64_t)(uintptr_t)message;
}
