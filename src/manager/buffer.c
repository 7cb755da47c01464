/* buffer.c: see buffer.h. */
#include "manager/buffer.h"

#include <string.h>

int kin__buffer_reserve(struct kin__buffer *buffer, size_t size)
{
    kin_buffer *bytes = &buffer->bytes;
    /* Half as much again at least, so that what grows in small steps is copied a few times only. */
    size_t room = size > bytes->size / 2 ? size : bytes->size / 2;
    if (bytes->capacity - bytes->size >= size) return 0;
    if (buffer->from >= kin__buffer_size(buffer) && buffer->from > 0) {
        memcpy(bytes->data, kin__buffer_start(buffer), kin__buffer_size(buffer));
        bytes->size -= buffer->from;
        buffer->from = 0;
    }
    return kin_buffer_reserve(bytes, room);
}

int kin__buffer_append(struct kin__buffer *buffer, const void *bytes, size_t size)
{
    int rc = kin__buffer_reserve(buffer, size);
    return rc < 0 ? rc : kin_buffer_append(&buffer->bytes, bytes, size);
}

void kin__buffer_consume(struct kin__buffer *buffer, size_t size, size_t keep)
{
    buffer->from += size;
    if (buffer->from < buffer->bytes.size) return;
    buffer->from = buffer->bytes.size = 0;
    if (buffer->bytes.capacity > keep) kin__buffer_free(buffer);
}

void kin__buffer_free(struct kin__buffer *buffer)
{
    kin_buffer_free(&buffer->bytes);
    buffer->from = 0;
}
