/* stream.h: standard output and standard error, written without ever waiting for the reader.
 *
 * Bytes are gathered in a block.  The descriptor is asked whether it takes some before each
 * write, because it is shared with other processes and must not be set not to block. */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define STREAM_BLOCK ((size_t)64 << 10)

struct stream {
    struct watch watch;
    int descriptor;
    size_t step; /* most bytes of one write that cannot block */
    bool terminal;
    int error; /* of the first write that failed; then bytes are dropped */
    size_t start;
    size_t end;
    char block[STREAM_BLOCK];
};

void stream_open(struct stream *stream, int descriptor);
/* Where bytes can be put, and how many; stream_put says how many have been. */
char *stream_room(struct stream *stream, size_t *room);
void stream_put(struct stream *stream, size_t size);
/* Writes as much as can be without waiting; true when nothing is left. */
bool stream_flush(struct stream *stream);
/* Writes all, waiting. */
void stream_finish(struct stream *stream);

#endif
