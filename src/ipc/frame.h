/* frame.h: how messages are told apart in a stream of bytes: as Python's multiprocessing does.
 *
 * Before each message stands its size: four bytes, big-endian, or for 2 GiB and more four bytes
 * ff and then eight, big-endian.  Nothing here reads or writes a descriptor.
 */
#ifndef KIN_IPC_FRAME_H
#define KIN_IPC_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <kin/error.h>

#define KIN__FRAME_HEADER_MOST 12
#define KIN__FRAME_SHORT_MOST  ((uint64_t)INT32_MAX)

/* kin__frame_header writes the header of a message of `size` bytes (at most INT64_MAX) and
 * returns its length: 4 or 12. */
size_t kin__frame_header(uint8_t header[KIN__FRAME_HEADER_MOST], uint64_t size);

/* kin__frame_look reads the header at the start of `count` bytes that lie there: its length, with the
 * size of the message in `*size`, or 0 when it is not whole.  Errors: as kin__frame_feed. */
static inline long kin__frame_look(const uint8_t *bytes, size_t count, uint64_t *size)
{
    uint64_t number;
    uint32_t first;
    if (count < sizeof first) return 0;
    memcpy(&first, bytes, sizeof first);
    *size = __builtin_bswap32(first);
    if (*size <= KIN__FRAME_SHORT_MOST) return sizeof first;
    if (*size != UINT32_MAX) return KIN_EPROTOCOL;
    if (count < KIN__FRAME_HEADER_MOST) return 0;
    memcpy(&number, bytes + sizeof first, sizeof number);
    *size = __builtin_bswap64(number);
    return *size <= INT64_MAX ? KIN__FRAME_HEADER_MOST : KIN_EPROTOCOL;
}

/* A header as it comes in, in pieces of whatever size.  All zero to begin with. */
struct kin__frame {
    uint8_t header[KIN__FRAME_HEADER_MOST];
    uint8_t got;
    uint64_t size; /* of the message, once the header is complete */
};

/* How many bytes of the header are missing, as far as one can tell: first 4, then perhaps 8 more,
 * and 0 when it is complete. */
size_t kin__frame_missing(const struct kin__frame *frame);

/* kin__frame_feed takes what it needs of `count` bytes, at most all, and returns how many it took.
 * Errors: KIN_EPROTOCOL (a size that no peer sends; the stream is of no further use). */
long kin__frame_feed(struct kin__frame *frame, const void *bytes, size_t count);

#endif
