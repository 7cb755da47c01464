/* input.h: the inputs of the jobs, read as they are needed.
 *
 * The first source is never held in memory as a whole.  Of several sources all but the first
 * are, because each of its records meets each of theirs. */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "options.h"

/* A record longer than this is refused: without a limit, input without delimiters would be
 * read until memory ends. */
#define INPUT_RECORD_MOST ((size_t)1 << 20)

struct input;

/* Opens all sources.  Returns NULL after an error, which has been told. */
struct input *input_open(const struct options *options);
void input_close(struct input *input);

/* Adds to the job the values that are still missing.  Returns 1 when it has all, 0 when there
 * are no more inputs, -EAGAIN when they are not there yet (call it again with the same job),
 * and another negative number after an error, which has been told. */
int input_fill(struct input *input, struct job *job);

/* The descriptor to wait for after -EAGAIN, or -1. */
int input_descriptor(const struct input *input);

/* About how many jobs there will be, from what has been read so far; 0 when that is unknown. */
double input_estimate(const struct input *input);

#endif
