/* buffer.h: bytes that grow.
 *
 * The tool cannot go on without memory: memory_resize and everything that uses it end the
 * program with a message when there is none. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

struct buffer {
    char *bytes;
    size_t size;
    size_t capacity;
};

void *memory_resize(void *memory, size_t size);
void *memory_zeroed(size_t count, size_t size);

/* Makes room for `size` more bytes behind the present ones and returns where they go. */
char *buffer_room(struct buffer *buffer, size_t size);
void buffer_add(struct buffer *buffer, const void *bytes, size_t size);
void buffer_add_character(struct buffer *buffer, char character);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_free(struct buffer *buffer);

#endif
