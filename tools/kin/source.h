/* source.h: one source of records: words of the command line, or a file. */
#ifndef SOURCE_H
#define SOURCE_H

#include <stddef.h>

#include "options.h"

struct source;

/* Returns NULL after an error, which has been told. */
struct source *source_open(const struct source_option *option, char delimiter);
void source_close(struct source *source);

/* The next record, without its delimiter, valid until the next call.  Returns 1, 0 at the end,
 * -EAGAIN when the source has nothing now, another negative number after an error, which has
 * been told. */
int source_next(struct source *source, const char **bytes, size_t *size);

/* The descriptor that may have nothing now, or -1. */
int source_descriptor(const struct source *source);
/* About how many records it has in all; 0 when that is unknown. */
double source_estimate(const struct source *source);

#endif
