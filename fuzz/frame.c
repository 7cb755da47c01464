/* frame.c: headers of messages, from any bytes in any pieces: what is read does not depend on the
 * pieces, and what was accepted is written back as the same size.
 *
 * The first byte says how large the pieces are. */
#include <stdlib.h>
#include <string.h>

#include "ipc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads one header in pieces of `piece` bytes: what it took, or an error. */
static long read_header(struct kin__frame *frame, const uint8_t *bytes, size_t size, size_t piece)
{
    size_t used = 0;
    while (used < size && kin__frame_missing(frame) > 0) {
        long taken = kin__frame_feed(frame, bytes + used, piece < size - used ? piece : size - used);
        if (taken < 0) return taken;
        used += (size_t)taken;
    }
    return (long)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    size_t piece = data[0] % KIN__FRAME_HEADER_MOST + 1;
    struct kin__frame in_pieces = {0}, at_once = {0}, again = {0};
    long used = read_header(&in_pieces, data + 1, size - 1, piece);
    if (read_header(&at_once, data + 1, size - 1, size) != used) abort();
    if (used < 0 || kin__frame_missing(&at_once) > 0) return 0;
    if (in_pieces.size != at_once.size || at_once.size > INT64_MAX) abort();
    uint8_t header[KIN__FRAME_HEADER_MOST];
    size_t length = kin__frame_header(header, at_once.size);
    if (kin__frame_feed(&again, header, length) != (long)length || again.size != at_once.size) abort();
    return 0;
}
