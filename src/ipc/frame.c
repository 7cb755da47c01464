/* frame.c: see frame.h. */
#include "ipc/frame.h"

#include <stdbool.h>
#include <string.h>

#include <kin/error.h>

#define SHORT_LENGTH 4

static void store(uint8_t *bytes, uint64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(value >> 8 * (count - 1 - i));
}

static uint64_t load(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

size_t kin__frame_header(uint8_t header[KIN__FRAME_HEADER_MOST], uint64_t size)
{
    if (size <= KIN__FRAME_SHORT_MOST) {
        store(header, size, SHORT_LENGTH);
        return SHORT_LENGTH;
    }
    store(header, UINT32_MAX, SHORT_LENGTH);
    store(header + SHORT_LENGTH, size, KIN__FRAME_HEADER_MOST - SHORT_LENGTH);
    return KIN__FRAME_HEADER_MOST;
}

static bool is_long(const struct kin__frame *frame)
{
    return frame->got >= SHORT_LENGTH && load(frame->header, SHORT_LENGTH) == UINT32_MAX;
}

size_t kin__frame_missing(const struct kin__frame *frame)
{
    return (is_long(frame) ? KIN__FRAME_HEADER_MOST : SHORT_LENGTH) - (size_t)frame->got;
}

/* The header is complete: what size does it say? */
static int finish(struct kin__frame *frame)
{
    if (is_long(frame)) {
        frame->size = load(frame->header + SHORT_LENGTH, KIN__FRAME_HEADER_MOST - SHORT_LENGTH);
        return frame->size <= INT64_MAX ? 0 : KIN_EPROTOCOL;
    }
    frame->size = load(frame->header, SHORT_LENGTH);
    return frame->size <= KIN__FRAME_SHORT_MOST ? 0 : KIN_EPROTOCOL;
}

long kin__frame_feed(struct kin__frame *frame, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;
    size_t used = 0, missing;
    if (kin__frame_missing(frame) == 0) return 0;
    while ((missing = kin__frame_missing(frame)) > 0) {
        size_t taken = missing < count - used ? missing : count - used;
        if (taken == 0) return (long)used;
        memcpy(frame->header + frame->got, from + used, taken);
        frame->got = (uint8_t)(frame->got + taken);
        used += taken;
    }
    int rc = finish(frame);
    return rc < 0 ? rc : (long)used;
}
