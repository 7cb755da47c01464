/* tail.c: see tail.h.  The end that is read does not block. */
#include "process/tail.h"

#include <errno.h>
#include <string.h>

#include "os/os.h"
#include "os/spawn.h"

#define STDERR 2

/* What a pipe takes as a whole, and what is there when poll says that it can be written to. */
#define PIECE ((size_t)4096)

int kin__tail_open(struct kin__tail *tail, size_t size, int *theirs)
{
    int ends[2];
    *tail = (struct kin__tail){.size = size, .bytes = kin__os_malloc(size)};
    kin__handles_enter();
    int rc = tail->bytes == NULL ? -ENOMEM : kin__os_pipe_make(ends, 0);
    if (rc == 0) kin__handle_add(&tail->handle, ends[0], true);
    kin__handles_leave();
    if (rc < 0) {
        kin__os_free(tail->bytes);
        return rc;
    }
    kin__os_set_blocking(ends[0], false); /* of what has just been made, it cannot fail */
    *theirs = ends[1];
    return 0;
}

static void keep(struct kin__tail *tail, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t at = tail->total % tail->size, piece = tail->size - at;
        if (piece > size - done) piece = size - done;
        memcpy(tail->bytes + at, bytes + done, piece);
        tail->total += piece;
        done += piece;
    }
}

/* One that is closed has room for everything. */
static bool stderr_has_room(void)
{
    return kin__os_await(STDERR, true, KIN_NOW) != 0;
}

/* Reads once; how many bytes, or -EAGAIN, or -EPIPE at the end. */
static long take(struct kin__tail *tail, bool forward)
{
    char bytes[PIECE];
    long count = (long)kin__os_read(tail->handle.descriptor, bytes, sizeof bytes);
    if (count == -EAGAIN) return count;
    if (count <= 0) return -EPIPE;
    keep(tail, bytes, (size_t)count);
    if (forward) kin__os_write(STDERR, bytes, (size_t)count);
    return count;
}

int kin__tail_take(struct kin__tail *tail)
{
    if (!stderr_has_room()) return -EAGAIN;
    long count = take(tail, true);
    return count > 0 ? 1 : count == -EAGAIN ? 0 : (int)count;
}

void kin__tail_drain(struct kin__tail *tail)
{
    size_t most = kin__os_pipe_size(tail->handle.descriptor);
    long count;
    /* Others may still be writing, so not more than what can have been there. */
    for (size_t came = 0; came < most && (count = take(tail, stderr_has_room())) > 0;) came += (size_t)count;
}

size_t kin__tail_copy(const struct kin__tail *tail, char *to, size_t room)
{
    size_t kept = tail->total < tail->size ? (size_t)tail->total : tail->size;
    if (kept > room) kept = room;
    for (size_t i = 0; i < kept; i++) to[i] = tail->bytes[(tail->total - kept + i) % tail->size];
    return kept;
}

void kin__tail_close(struct kin__tail *tail)
{
    if (tail->handle.descriptor >= 0) kin__handle_close(&tail->handle);
    kin__os_free(tail->bytes);
    tail->bytes = NULL;
}
