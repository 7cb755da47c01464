/* frame.h: how messages are told apart in a stream of bytes: as Python's multiprocessing does.
 *
 * Before each message stands its size: four bytes, big-endian, or for 2 GiB and more four bytes
 * ff and then eight, big-endian.  Nothing here reads or writes a descriptor.
 */
#ifndef KIN_IPC_FRAME_H
#define KIN_IPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define KIN__FRAME_HEADER_MOST 12
#define KIN__FRAME_SHORT_MOST  ((uint64_t)INT32_MAX)

/* kin__frame_header writes the header of a message of `size` bytes (at most INT64_MAX) and
 * returns its length: 4 or 12. */
size_t kin__frame_header(uint8_t header[KIN__FRAME_HEADER_MOST], uint64_t size);

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
