/* stream.c: writing what the reader is ready to take. */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"

static void writable(struct watch *watch)
{
    /* The loop has been woken; who runs it flushes. */
    loop_remove(watch);
}

void stream_open(struct stream *stream, int descriptor)
{
    *stream =
        (struct stream){.watch = {.ready = writable, .descriptor = descriptor}, .descriptor = descriptor};
    struct stat status;
    bool known = fstat(descriptor, &status) == 0;
    /* A pipe that is ready takes PIPE_BUF bytes for certain; a file takes everything. */
    stream->step = known && S_ISREG(status.st_mode) ? STREAM_BLOCK : PIPE_BUF;
    stream->terminal = isatty(descriptor) == 1;
}

char *stream_room(struct stream *stream, size_t *room)
{
    if (stream->start > 0 && stream->start == stream->end) stream->start = stream->end = 0;
    *room = STREAM_BLOCK - stream->end;
    return stream->block + stream->end;
}

void stream_put(struct stream *stream, size_t size)
{
    stream->end += size;
    if (stream->error != 0) stream->start = stream->end;
}

static bool is_ready(struct stream *stream, int timeout)
{
    if (stream->step == STREAM_BLOCK) return true;
    struct pollfd item = {.fd = stream->descriptor, .events = POLLOUT};
    return poll(&item, 1, timeout) != 0;
}

static bool write_step(struct stream *stream)
{
    size_t size = stream->end - stream->start;
    if (size > stream->step) size = stream->step;
    if (stream->terminal) progress_hide();
    ssize_t n = write(stream->descriptor, stream->block + stream->start, size);
    if (n >= 0) {
        stream->start += (size_t)n;
        return true;
    }
    if (errno == EINTR) return true;
    if (errno == EAGAIN) return false;
    stream->error = errno;
    stream->start = stream->end;
    return true;
}

bool stream_flush(struct stream *stream)
{
    while (stream->start < stream->end) {
        if (is_ready(stream, 0) && write_step(stream)) continue;
        loop_add_writable(&stream->watch);
        return false;
    }
    loop_remove(&stream->watch);
    return true;
}

void stream_finish(struct stream *stream)
{
    while (!stream_flush(stream)) is_ready(stream, -1);
}
