/* record.h: a message as the inside of a queue knows it, and what it counts there. */
#ifndef KIN_IPC_RECORD_H
#define KIN_IPC_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"

enum kin__record_kind { KIN__RECORD_INLINE = 1, KIN__RECORD_MESSAGE = 2, KIN__RECORD_PAD = 3 };

struct kin__record {
    enum kin__record_kind kind;
    const void *bytes; /* inline: what is copied */
    size_t size;
    struct kin__message *message;
    int64_t priority; /* of a queue by priority */
    uint64_t word;    /* where it begins, of one that was found in a stream */
};

/* A record's header: kind in the lowest two bits, size above. */
static inline uint64_t kin__record_header(enum kin__record_kind kind, uint64_t size)
{
    return size << 2 | (uint64_t)kind;
}
static inline enum kin__record_kind kin__header_kind(uint64_t header)
{
    return (enum kin__record_kind)(header & 3);
}

/* The words of 8 bytes that it takes in a stream. */
static inline uint64_t kin__record_units(const struct kin__record *record)
{
    return record->kind == KIN__RECORD_INLINE ? 1 + ((record->size + 7) >> 3) : 2;
}

/* How many bytes it counts in the queue. */
static inline uint64_t kin__record_charge(const struct kin__record *record)
{
    uint64_t charge = kin__record_units(record) << 3;
    return record->kind == KIN__RECORD_MESSAGE ? charge + record->size : charge;
}

/* What became of an attempt to put one. */
enum kin__append { KIN__APPENDED, KIN__NO_ROOM, KIN__NO_SEGMENT };

#endif
