/* source.c: records out of words or a file.
 *
 * A file is read in large blocks, and never while it has nothing: standard input may be shared
 * with other processes, so it is asked before each read instead of being set not to block. */
#define _GNU_SOURCE
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "input.h"
#include "say.h"

#define BLOCK ((size_t)128 << 10)

struct source {
    char **words;
    size_t word_count;
    size_t word;

    const char *name;
    int descriptor;
    bool owned;     /* to be closed */
    bool may_block; /* not a regular file */
    bool ended;
    char delimiter;
    struct buffer block;
    size_t start;    /* of what has not been given out in `block` */
    size_t searched; /* up to here there is no delimiter */
    uint64_t records;
    uint64_t consumed; /* bytes given out */
    uint64_t file_size;
};

static struct source *complain(struct source *source, int error)
{
    say("cannot open %s: %s", source->name, error_words(error));
    source_close(source);
    return NULL;
}

struct source *source_open(const struct source_option *option, char delimiter)
{
    struct source *source = memory_zeroed(1, sizeof *source);
    source->descriptor = -1;
    source->words = option->words;
    source->word_count = option->count;
    source->delimiter = delimiter;
    if (option->file == NULL) return source;
    if (strcmp(option->file, "-") == 0) {
        source->name = "standard input";
        source->descriptor = STDIN_FILENO;
        if (isatty(STDIN_FILENO)) say("reading inputs from the terminal; Ctrl-D ends them");
    } else {
        source->name = option->file;
        source->descriptor = open(option->file, O_RDONLY | O_CLOEXEC);
        if (source->descriptor < 0) return complain(source, errno);
        source->owned = true;
    }
    struct stat status;
    if (fstat(source->descriptor, &status) < 0) return complain(source, errno);
    if (S_ISDIR(status.st_mode)) return complain(source, EISDIR);
    source->may_block = !S_ISREG(status.st_mode);
    if (S_ISREG(status.st_mode)) {
        off_t offset = lseek(source->descriptor, 0, SEEK_CUR);
        source->file_size =
            (uint64_t)(offset > 0 && offset < status.st_size ? status.st_size - offset : status.st_size);
    }
    return source;
}

void source_close(struct source *source)
{
    if (source == NULL) return;
    if (source->owned) close(source->descriptor);
    buffer_free(&source->block);
    free(source);
}

static int read_block(struct source *source)
{
    struct pollfd item = {.fd = source->descriptor, .events = POLLIN};
    if (source->may_block && poll(&item, 1, 0) == 0) return -EAGAIN;
    if (source->start > 0) {
        source->block.size -= source->start;
        memmove(source->block.bytes, source->block.bytes + source->start, source->block.size);
        source->searched -= source->start;
        source->start = 0;
    }
    char *room = buffer_room(&source->block, BLOCK);
    ssize_t n;
    do {
        n = read(source->descriptor, room, BLOCK);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return -EAGAIN;
    if (n < 0) {
        int rc = -errno;
        say("cannot read %s: %s", source->name, error_words(-rc));
        return rc;
    }
    source->block.size += (size_t)n;
    source->ended = n == 0;
    return 0;
}

static int give(struct source *source, size_t size, size_t with_delimiter, const char **bytes, size_t *out)
{
    *bytes = source->block.bytes + source->start;
    *out = size;
    source->start += with_delimiter;
    source->searched = source->start;
    source->consumed += with_delimiter;
    source->records++;
    if (source->delimiter != '\0' && memchr(*bytes, '\0', size) != NULL) {
        say("%s: record %llu contains a NUL, which no argument can; for records that end with one there "
            "is --null",
            source->name, (unsigned long long)source->records);
        return -EINVAL;
    }
    return 1;
}

int source_next(struct source *source, const char **bytes, size_t *size)
{
    if (source->descriptor < 0) {
        if (source->word == source->word_count) return 0;
        *bytes = source->words[source->word++];
        *size = strlen(*bytes);
        return 1;
    }
    for (;;) {
        size_t unsearched = source->block.size - source->searched;
        const char *end = NULL;
        if (unsearched > 0)
            end = memchr(source->block.bytes + source->searched, source->delimiter, unsearched);
        size_t length = source->block.size - source->start;
        if (end != NULL) {
            length = (size_t)(end - source->block.bytes) - source->start;
            return give(source, length, length + 1, bytes, size);
        }
        source->searched = source->block.size;
        if (source->ended) return length == 0 ? 0 : give(source, length, length, bytes, size);
        if (length > INPUT_RECORD_MOST) {
            say("%s: record %llu is longer than %zu bytes", source->name,
                (unsigned long long)source->records + 1, INPUT_RECORD_MOST);
            return -EMSGSIZE;
        }
        int rc = read_block(source);
        if (rc < 0) return rc;
    }
}

int source_descriptor(const struct source *source)
{
    return source->may_block && !source->ended ? source->descriptor : -1;
}

double source_estimate(const struct source *source)
{
    if (source->descriptor < 0) return (double)source->word_count;
    if (source->ended && source->start == source->block.size) return (double)source->records;
    if (source->file_size == 0 || source->consumed == 0) return 0;
    return (double)source->records * (double)source->file_size / (double)source->consumed;
}
