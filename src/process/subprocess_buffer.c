/* subprocess_buffer.c: collecting an output in a buffer that grows, up to a limit.
 *
 * Invariants: data[end] is there, for a NUL; with KIN_EXCESS_FAIL at most one byte more than the
 * limit is collected, which shows that the limit was passed and is not lost to who reads on.
 */
#include "process/subprocess.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "os/os.h"
#include "os/spawn.h"

/* A command that writes so much gets a larger pipe: fewer and longer reads. */
#define MUCH_OUTPUT ((uint64_t)256 << 10)
#define LARGE_PIPE  ((size_t)1 << 20)

#define FIRST_CAPACITY ((size_t)4 << 10)
#define READ_LEAST     ((size_t)2 << 10)
#define READ_MUCH      ((size_t)64 << 10)

bool kin__stream_is_collected(const struct kin__stream *stream)
{
    return stream->handle.descriptor >= 0 && !stream->ended && !stream->taken;
}

void kin__stream_end(struct kin__stream *stream)
{
    stream->ended = true;
    if (stream->handle.descriptor < 0 || stream->pollers > 0) return;
    kin__handle_close(&stream->handle);
}

/* ---- room ---------------------------------------------------------------------------------------- */

static int grow(struct kin__stream *stream)
{
    size_t capacity = stream->capacity == 0 ? FIRST_CAPACITY : stream->capacity * 2;
    if (capacity < stream->capacity) return -ENOMEM;
    char *data = kin__os_realloc(stream->data, capacity);
    if (data == NULL) return -ENOMEM;
    stream->data = data;
    stream->capacity = capacity;
    return 0;
}

static bool has_room(const struct kin__stream *stream)
{
    size_t wanted = stream->total >= MUCH_OUTPUT ? READ_MUCH : READ_LEAST;
    return stream->capacity > stream->end + wanted;
}

/* Makes room behind what is there, by moving it when that gains more than it costs. */
static int make_room(struct kin__stream *stream)
{
    int rc = 0;
    size_t size = stream->end - stream->start;
    kin__stream_mend(stream);
    if (size == 0) stream->start = stream->end = 0;
    if (!has_room(stream) && stream->start > 0 && stream->start >= size) {
        memmove(stream->data, stream->data + stream->start, size);
        stream->start = 0;
        stream->end = size;
    }
    while (rc == 0 && !has_room(stream)) rc = grow(stream);
    return rc;
}

/* ---- what came --------------------------------------------------------------------------------------- */

/* "\r\n" and "\r" become "\n"; the state between two reads is one bit. */
static size_t set_newlines(struct kin__stream *stream, char *from, size_t size)
{
    char *to = from;
    if (!stream->after_return && memchr(from, '\r', size) == NULL) return size;
    for (size_t i = 0; i < size; i++) {
        char byte = from[i];
        if (byte != '\n' || !stream->after_return) *to++ = byte == '\r' ? '\n' : byte;
        stream->after_return = byte == '\r';
    }
    return (size_t)(to - from);
}

static void drop_excess(struct kin__stream *stream)
{
    size_t size = stream->end - stream->start;
    if (size <= stream->limit || stream->excess == KIN_EXCESS_FAIL) return;
    size_t excess = size - stream->limit;
    stream->dropped += excess;
    if (stream->excess == KIN_EXCESS_DROP)
        stream->end -= excess;
    else
        stream->start += excess;
}

static bool is_too_much(const struct kin__stream *stream)
{
    return stream->excess == KIN_EXCESS_FAIL && stream->end - stream->start > stream->limit;
}

static void widen(struct kin__stream *stream, size_t came)
{
    bool first = stream->total < MUCH_OUTPUT && stream->total + came >= MUCH_OUTPUT;
    stream->total += came;
    if (first && kin__os_pipe_size(stream->handle.descriptor) < LARGE_PIPE)
        kin__os_pipe_grow(stream->handle.descriptor, LARGE_PIPE); /* where it is allowed */
}

int kin__stream_fill(struct kin__stream *stream)
{
    if (is_too_much(stream)) return -EFBIG;
    int rc = make_room(stream);
    if (rc < 0) return rc;
    size_t size = stream->end - stream->start, room = stream->capacity - stream->end - 1;
    /* No more than is kept, as long as that is something: who reads on wants all of it. */
    size_t left = stream->limit - size, beyond = stream->excess == KIN_EXCESS_FAIL;
    if (room > left && left + beyond > 0) room = left + beyond;
    ssize_t count = kin__os_read(stream->handle.descriptor, stream->data + stream->end, room);
    if (count == -EAGAIN) return 0;
    if (count <= 0) {
        /* Whatever else a pipe may say, nothing comes from it any more. */
        kin__stream_end(stream);
        return 0;
    }
    widen(stream, (size_t)count);
    if (stream->text) count = (ssize_t)set_newlines(stream, stream->data + stream->end, (size_t)count);
    stream->end += (size_t)count;
    drop_excess(stream);
    return is_too_much(stream) ? -EFBIG : 1;
}

int kin__stream_drain(struct kin__stream *stream)
{
    if (!kin__stream_is_collected(stream)) return 0;
    uint64_t most = stream->total + kin__os_pipe_size(stream->handle.descriptor);
    int rc = 1;
    while (rc == 1 && stream->total < most) rc = kin__stream_fill(stream);
    return rc < 0 ? rc : 0;
}

const char *kin__stream_kept(struct kin__stream *stream, size_t *size)
{
    kin__stream_mend(stream);
    *size = stream->end - stream->start;
    if (*size > stream->limit) *size = stream->limit;
    if (stream->data == NULL) return stream->piped ? "" : NULL;
    char *kept = stream->data + stream->start;
    kin__stream_mark(stream, kept + *size);
    return kept;
}

void kin__stream_mark(struct kin__stream *stream, char *place)
{
    stream->mark = place;
    stream->marked = *place;
    *place = '\0';
}

void kin__stream_mend(struct kin__stream *stream)
{
    if (stream->mark != NULL) *stream->mark = stream->marked;
    stream->mark = NULL;
}
