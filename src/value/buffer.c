/* buffer.c: bytes that grow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kin/pickle.h>

#include "os/os.h"

int kin_buffer_reserve(kin_buffer *buffer, size_t more)
{
    if (buffer == NULL) return -EINVAL;
    if (more <= buffer->capacity - buffer->size) return 0;
    if (more > SIZE_MAX / 4 - buffer->size) return -ENOMEM;
    /* Half as much again, so that appending costs a constant time a byte. */
    size_t capacity = buffer->size + more, grown = buffer->capacity + buffer->capacity / 2;
    if (capacity < grown) capacity = grown;
    if (capacity < 64) capacity = 64;
    unsigned char *data = kin__os_realloc(buffer->data, capacity);
    if (data == NULL) return -ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int kin_buffer_append(kin_buffer *buffer, const void *bytes, size_t size)
{
    if (bytes == NULL && size > 0) return -EINVAL;
    int rc = kin_buffer_reserve(buffer, size);
    if (rc < 0 || size == 0) return rc;
    memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    return 0;
}

void kin_buffer_free(kin_buffer *buffer)
{
    if (buffer == NULL) return;
    free(buffer->data);
    *buffer = (kin_buffer){0};
}
