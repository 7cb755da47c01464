/* stream.h: the inside of a queue: a stream of records in segments, written at one end under
 * one latch and read at the other under another.
 *
 * Invariants:
 *  - Each end has one commit word: where it is in the stream and how many messages have
 *    passed.  An operation is invisible until the store of that word; what lies beyond the
 *    tail is garbage that the next producer overwrites.  head ≤ tail.
 *  - A segment between head and tail is named by `map`; the others are free.  Only producers
 *    move segments, under the tail's latch; the free list is a cache of that.
 *  - Bytes in the queue are counted beside the commit word, in two cells used in turn: the one
 *    that belongs to a commit word is never written while that word stands.
 */
#ifndef KIN_IPC_STREAM_H
#define KIN_IPC_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"
#include "memory/latch.h"

/* A commit word: position in units of 8 bytes in the lower 40 bits, messages above.  Both wrap;
 * only differences count. */
#define KIN__POSITION_BITS 40
#define KIN__POSITION_MASK (((uint64_t)1 << KIN__POSITION_BITS) - 1)
#define KIN__ITEMS_MOST    (((uint64_t)1 << (64 - KIN__POSITION_BITS)) - 2)

/* Messages up to a sixteenth of a segment lie in the stream itself. */
#define KIN__SEGMENT_SHIFT 16
#define KIN__SEGMENT_SIZE  ((uint64_t)1 << KIN__SEGMENT_SHIFT)
#define KIN__INLINE_MOST   (KIN__SEGMENT_SIZE / 16)

enum kin__record_kind { KIN__RECORD_INLINE = 1, KIN__RECORD_MESSAGE = 2, KIN__RECORD_PAD = 3 };

/* SHARED.  One end of the stream.
 *   latch      of those who work at this end.
 *   position   the commit word: a release store under the latch; acquire loads by everybody.
 *   bytes      running total of bytes that passed, by the parity of the messages counted in
 *              position; stored before it, under the latch.
 *   other_position, other_bytes   what was last seen of the other end: under the latch. */
struct kin__end {
    struct kin__latch latch;
    _Atomic uint64_t position;
    _Atomic uint64_t bytes[2];
    uint64_t other_position;
    uint64_t other_bytes;
} __attribute__((aligned(64)));

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
 *   installed, recycled   stretches of the stream (position >> segment size) below have a
 *                         segment, or have given it up; under the tail's latch. */
struct kin__stream {
    struct kin__end tail;
    struct kin__end head;
    _Atomic(void *) directory __attribute__((aligned(64)));
    uint64_t max_items;
    uint64_t max_bytes;
    uint32_t segments;
    uint32_t segment_count;
    uint32_t free_count;
    uint32_t installed;
    uint32_t recycled;
};

struct kin__record {
    enum kin__record_kind kind;
    const void *bytes; /* inline: what is copied */
    size_t size;
    struct kin__message *message;
};

/* How many bytes a message counts in the queue. */
uint64_t kin__record_charge(const struct kin__record *record);

int kin__stream_open(struct kin__stream *stream, uint64_t max_items, uint64_t max_bytes);
/* Frees segments and directory; nobody is inside. */
void kin__stream_close(struct kin__stream *stream);

/* Taking and repairing an end. */
int kin__stream_lock_tail(struct kin__stream *stream, kin_deadline deadline);
int kin__stream_lock_head(struct kin__stream *stream, kin_deadline deadline);

enum kin__append { KIN__APPENDED, KIN__NO_ROOM, KIN__NO_SEGMENT };
/* Under the tail's latch: appends and commits.  KIN__NO_SEGMENT: call again after
 * kin__stream_install. */
enum kin__append kin__stream_append(struct kin__stream *stream, const struct kin__record *record,
                                    void *queue);
/* Under the tail's latch: publishes the block that the thread has begun to allocate; false if
 * it is not needed any more. */
bool kin__stream_install(struct kin__stream *stream);

/* Under the head's latch: the oldest record, false if there is none. */
bool kin__stream_peek(struct kin__stream *stream, struct kin__record *record);
/* Under the head's latch: commits that the record just peeked is gone. */
void kin__stream_consume(struct kin__stream *stream, const struct kin__record *record);

/* Under the head's latch: does the stream still name this message where it was put? */
bool kin__stream_names(struct kin__stream *stream, const struct kin__message *message);

/* Without a latch, for those who watch or sleep. */
bool kin__stream_has_room(struct kin__stream *stream, uint64_t charge, bool *by_bytes);
uint64_t kin__stream_items(struct kin__stream *stream);

#endif
