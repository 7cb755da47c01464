/* output.h: what a job has written, kept until it can be printed whole.
 *
 * Short outputs are in memory.  When one grows beyond OUTPUT_MEMORY, or all together beyond
 * OUTPUT_MEMORY_ALL, its bytes go to one unlinked temporary file that all outputs share; the
 * parts of it that have been printed are given back. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#define OUTPUT_MEMORY     ((size_t)1 << 20)
#define OUTPUT_MEMORY_ALL ((size_t)64 << 20)

struct extent {
    int64_t offset;
    size_t size;
};

/* All-zero is empty.  The bytes in the extents come before those in memory. */
struct output {
    char *memory;
    size_t size;
    size_t capacity;
    struct extent *extents;
    size_t extent_count;
    uint64_t spooled;
};

/* Both return 0 or -errno of the temporary file, after which the output is incomplete. */
int output_add(struct output *output, const void *bytes, size_t size);
int output_add_text(struct output *output, const char *text);
/* Reads once from a pipe that has no other reader, without waiting; returns how many bytes that
 * gave, 0 when there are none now. */
long output_add_from(struct output *output, int pipe);

uint64_t output_size(const struct output *output);
/* Copies up to `size` bytes from `offset`; returns how many, 0 at the end, -errno. */
long output_copy(const struct output *output, uint64_t offset, void *out, size_t size);
/* Drops all bytes; the second gives all memory back, too. */
void output_clear(struct output *output);
void output_free(struct output *output);

#endif
