/* buffer.c: bytes that grow, and memory or the end. */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

static void *or_the_end(void *memory)
{
    if (memory == NULL) {
        say("out of memory");
        exit(EXIT_OTHER);
    }
    return memory;
}

void *memory_resize(void *memory, size_t size)
{
    return or_the_end(realloc(memory, size));
}

void *memory_zeroed(size_t count, size_t size)
{
    return or_the_end(calloc(count, size));
}

char *buffer_room(struct buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->size < size) {
        size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;
        while (capacity - buffer->size < size) capacity *= 2;
        buffer->bytes = memory_resize(buffer->bytes, capacity);
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->size;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0) return;
    memcpy(buffer_room(buffer, size), bytes, size);
    buffer->size += size;
}

void buffer_add_character(struct buffer *buffer, char character)
{
    *buffer_room(buffer, 1) = character;
    buffer->size++;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) return;
    char *place = buffer_room(buffer, (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(place, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}
