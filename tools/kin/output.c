/* output.c: outputs in memory, and in one temporary file when they grow.
 *
 * Invariants: the file has no name; bytes of it that belong to no output are a hole, or past
 * its end; when nothing is in it, it is empty. */
#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buffer.h"

static struct {
    bool open;
    int descriptor;
    int64_t end;
    uint64_t live; /* bytes in it that belong to an output */
} spool;

static size_t memory_all;

static int spool_open(void)
{
    if (spool.open) return 0;
    const char *directory = getenv("TMPDIR");
    if (directory == NULL || directory[0] == '\0') directory = "/tmp";
    int descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        char path[4096];
        snprintf(path, sizeof path, "%s/kin-map-XXXXXX", directory);
        descriptor = mkostemp(path, O_CLOEXEC);
        if (descriptor < 0) return -errno;
        unlink(path);
    }
    spool.descriptor = descriptor;
    spool.open = true;
    return 0;
}

static int spool_write(const char *bytes, size_t size)
{
    for (size_t written = 0; written < size;) {
        ssize_t n = pwrite(spool.descriptor, bytes + written, size - written, spool.end + (off_t)written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        written += (size_t)n;
    }
    spool.end += (int64_t)size;
    spool.live += size;
    return 0;
}

static void spool_release(const struct extent *extent)
{
    spool.live -= extent->size;
    if (spool.live == 0) {
        if (ftruncate(spool.descriptor, 0) == 0) spool.end = 0;
        return;
    }
    /* Where the file system cannot do this, the file is only given back as a whole. */
    (void)fallocate(spool.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, extent->offset,
                    (off_t)extent->size);
}

static void set_capacity(struct output *output, size_t capacity)
{
    memory_all += capacity - output->capacity;
    if (capacity == 0) {
        free(output->memory);
        output->memory = NULL;
    } else {
        output->memory = memory_resize(output->memory, capacity);
    }
    output->capacity = capacity;
}

static int move_to_spool(struct output *output)
{
    if (output->size == 0) return 0;
    int rc = spool_open();
    int64_t offset = spool.end;
    if (rc == 0) rc = spool_write(output->memory, output->size);
    if (rc < 0) return rc;
    struct extent *last = output->extent_count > 0 ? &output->extents[output->extent_count - 1] : NULL;
    if (last != NULL && last->offset + (int64_t)last->size == offset) {
        last->size += output->size;
    } else {
        output->extents =
            memory_resize(output->extents, (output->extent_count + 1) * sizeof *output->extents);
        output->extents[output->extent_count++] = (struct extent){offset, output->size};
    }
    output->spooled += output->size;
    output->size = 0;
    return 0;
}

/* Makes room for `size` more bytes in memory. */
static int make_room(struct output *output, size_t size)
{
    if (output->capacity - output->size >= size) return 0;
    size_t capacity = output->capacity < 256 ? 256 : output->capacity;
    while (capacity - output->size < size) capacity *= 2;
    if (capacity > OUTPUT_MEMORY || memory_all + capacity - output->capacity > OUTPUT_MEMORY_ALL) {
        int rc = move_to_spool(output);
        if (rc < 0) return rc;
        if (output->capacity >= size) return 0;
        capacity = size;
    }
    set_capacity(output, capacity);
    return 0;
}

int output_add(struct output *output, const void *bytes, size_t size)
{
    while (size > 0) {
        size_t part = size < OUTPUT_MEMORY ? size : OUTPUT_MEMORY;
        int rc = make_room(output, part);
        if (rc < 0) return rc;
        memcpy(output->memory + output->size, bytes, part);
        output->size += part;
        bytes = (const char *)bytes + part;
        size -= part;
    }
    return 0;
}

int output_add_text(struct output *output, const char *text)
{
    return output_add(output, text, strlen(text));
}

long output_add_from(struct output *output, int pipe)
{
    static char bytes[65536];
    int waiting = 0;
    if (ioctl(pipe, FIONREAD, &waiting) < 0) return -errno;
    if (waiting == 0) return 0;
    ssize_t n;
    do {
        n = read(pipe, bytes, sizeof bytes);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    int rc = output_add(output, bytes, (size_t)n);
    return rc < 0 ? rc : n;
}

uint64_t output_size(const struct output *output)
{
    return output->spooled + output->size;
}

long output_copy(const struct output *output, uint64_t offset, void *out, size_t size)
{
    for (size_t i = 0; i < output->extent_count; i++) {
        const struct extent *extent = &output->extents[i];
        if (offset >= extent->size) {
            offset -= extent->size;
            continue;
        }
        if (size > extent->size - offset) size = (size_t)(extent->size - offset);
        ssize_t n;
        do {
            n = pread(spool.descriptor, out, size, extent->offset + (off_t)offset);
        } while (n < 0 && errno == EINTR);
        if (n == 0) return -EIO;
        return n < 0 ? -errno : n;
    }
    if (offset >= output->size) return 0;
    if (size > output->size - offset) size = (size_t)(output->size - offset);
    memcpy(out, output->memory + offset, size);
    return (long)size;
}

void output_clear(struct output *output)
{
    for (size_t i = 0; i < output->extent_count; i++) spool_release(&output->extents[i]);
    free(output->extents);
    output->extents = NULL;
    output->extent_count = 0;
    output->spooled = 0;
    output->size = 0;
    /* A record that is used again may keep a little. */
    if (output->capacity > 1024) set_capacity(output, 0);
}

void output_free(struct output *output)
{
    output_clear(output);
    set_capacity(output, 0);
}
