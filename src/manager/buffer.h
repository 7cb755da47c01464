/* buffer.h: bytes that come or go in pieces: appended at one end, consumed at the other. */
#ifndef KIN_MANAGER_BUFFER_H
#define KIN_MANAGER_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include <kin/pickle.h>

/* What is not consumed lies from `from` to the end of `bytes`.  All zero is an empty one. */
struct kin__buffer {
    kin_buffer bytes;
    size_t from;
};

static inline size_t kin__buffer_size(const struct kin__buffer *buffer)
{
    return buffer->bytes.size - buffer->from;
}

static inline uint8_t *kin__buffer_start(const struct kin__buffer *buffer)
{
    /* NULL takes not even an offset of zero. */
    return buffer->from > 0 ? buffer->bytes.data + buffer->from : buffer->bytes.data;
}

/* Makes room for `size` more bytes after the end; moves what is there.  Errors: -ENOMEM. */
int kin__buffer_reserve(struct kin__buffer *buffer, size_t size);
/* Errors: -ENOMEM, after which nothing has changed. */
int kin__buffer_append(struct kin__buffer *buffer, const void *bytes, size_t size);
/* Takes `size` bytes from the start.  An empty buffer of more than `keep` bytes gives its memory back. */
void kin__buffer_consume(struct kin__buffer *buffer, size_t size, size_t keep);
void kin__buffer_free(struct kin__buffer *buffer);

#endif
