/* stream.h: the inside of a queue that is first in first out: a stream of records in segments,
 * written at one end under one latch and read at the other under another.
 *
 * Invariants:
 *  - The ends (ends.h) say what is in the stream; positions are in units of 8 bytes.  What lies
 *    beyond the tail is garbage that the next producer overwrites.
 *  - A segment between head and tail is named by `map`; the others are free.  Only producers
 *    move segments, under the tail's latch; the free list is a cache of that.
 */
#ifndef KIN_IPC_STREAM_H
#define KIN_IPC_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/ends.h"
#include "ipc/record.h"

/* Messages up to a sixteenth of a segment lie in the stream itself. */
#define KIN__SEGMENT_SHIFT 16
#define KIN__SEGMENT_SIZE  ((uint64_t)1 << KIN__SEGMENT_SHIFT)
#define KIN__INLINE_MOST   (KIN__SEGMENT_SIZE / 16)

/* SHARED.  In a block of its own, for `segments` a power of two.  Written under the tail's
 * latch; a consumer reads map and segment of what lies between head and tail.
 *   segment    the segments there are, by number; each is freed when the queue is.
 *   map        number of the segment that carries each stretch of the stream.
 *   free       numbers of free segments, a stack: a cache. */
struct kin__directory {
    uint32_t *map;
    uint32_t *free;
    _Atomic(void *) segment[];
};

/* SHARED.  What surrounds it is in queue.c.
 *   closing   directory and segments are being freed: nobody looks into them, not even to repair.
 *   installed, recycled   stretches of the stream (position >> segment size) below have a
 *                         segment, or have given it up; under the tail's latch. */
struct kin__stream {
    struct kin__ends ends;
    _Atomic(void *) directory;
    uint32_t segments;
    uint32_t segment_count;
    uint32_t free_count;
    uint32_t installed;
    uint32_t recycled;
    bool closing;
};

int kin__stream_open(struct kin__stream *stream, uint64_t max_items, uint64_t max_bytes);
/* Frees segments and directory; nobody is inside. */
void kin__stream_close(struct kin__stream *stream);

/* Under the tail's latch, after the death of who had it: makes the caches anew; a segment is free if no
 * stretch between head and tail has it.  At the head there are only the copies of the commit word. */
void kin__stream_repair_tail(struct kin__stream *stream);

/* Under the tail's latch: writes a record and commits it.  KIN__NO_SEGMENT: call again after
 * kin__stream_install. */
enum kin__append kin__stream_append(struct kin__stream *stream, const struct kin__record *record,
                                    void *queue);
/* The same for one of several: writes it where the cursor is, which passes it; the caller commits. */
enum kin__append kin__stream_write(struct kin__stream *stream, struct kin__cursor *cursor,
                                   const struct kin__record *record, void *queue);
/* Under the tail's latch: publishes the block that the thread has begun to allocate; false if
 * it is not needed any more. */
bool kin__stream_install(struct kin__stream *stream);

/* Under the head's latch: the record at `word`, which is the head's word or that of a cursor that has passed
 * some; false if there is none. */
bool kin__stream_peek(struct kin__stream *stream, uint64_t word, struct kin__record *record);
/* Under the head's latch: where the next record will probably be, for a prefetch; or
 * NULL. */
const void *kin__stream_place(struct kin__stream *stream);
/* Under the head's latch, of the record just peeked: commits that it is gone; or only passes it. */
void kin__stream_consume(struct kin__stream *stream, const struct kin__record *record);
void kin__stream_pass(struct kin__cursor *cursor, const struct kin__record *record);

/* Under the head's latch: does the stream still name this message where it was put? */
bool kin__stream_names(struct kin__stream *stream, const struct kin__message *message);

#endif
