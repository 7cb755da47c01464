/* input.c: from sources to records, from records to the inputs of jobs. */
#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"
#include "source.h"

struct column {
    struct source *source;
    bool linked;
    char **held; /* its records, unless it is the first */
    size_t count;
    size_t capacity;
    size_t position;
};

struct input {
    struct column *columns;
    size_t column_count;
    size_t group;  /* records of one job, of a single source */
    uint64_t jobs; /* made so far */
    bool held;     /* all columns but the first have been read */
    bool row;      /* the first column's record is in `row_value` */
    struct buffer row_value;
    bool skip_blank;
    bool failed;
};

struct input *input_open(const struct options *options)
{
    struct input *input = memory_zeroed(1, sizeof *input);
    input->columns = memory_zeroed(options->source_count, sizeof *input->columns);
    input->group = options->max_arguments > 0 ? options->max_arguments : 1;
    input->skip_blank = options->skip_blank;
    for (size_t i = 0; i < options->source_count; i++) {
        struct column *column = &input->columns[input->column_count++];
        column->linked = i > 0 && options->sources[i].linked;
        column->source = source_open(&options->sources[i], options->delimiter);
        if (column->source == NULL) {
            input_close(input);
            return NULL;
        }
    }
    return input;
}

void input_close(struct input *input)
{
    if (input == NULL) return;
    for (size_t i = 0; i < input->column_count; i++) {
        struct column *column = &input->columns[i];
        for (size_t k = 0; k < column->count; k++) free(column->held[k]);
        free(column->held);
        source_close(column->source);
    }
    free(input->columns);
    buffer_free(&input->row_value);
    free(input);
}

static bool is_blank(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != ' ' && bytes[i] != '\t') return false;
    return true;
}

static int next_record(struct input *input, struct column *column, const char **bytes, size_t *size)
{
    int rc;
    do {
        rc = source_next(column->source, bytes, size);
    } while (rc == 1 && input->skip_blank && is_blank(*bytes, *size));
    return rc;
}

/* Reads the columns that are held.  A column without records leaves nothing to combine. */
static int hold(struct input *input)
{
    for (size_t i = 1; i < input->column_count; i++) {
        struct column *column = &input->columns[i];
        const char *bytes;
        size_t size;
        int rc;
        while ((rc = next_record(input, column, &bytes, &size)) == 1) {
            if (column->count == column->capacity) {
                column->capacity = column->capacity == 0 ? 16 : column->capacity * 2;
                column->held = memory_resize(column->held, column->capacity * sizeof *column->held);
            }
            char *copy = memory_resize(NULL, size + 1);
            memcpy(copy, bytes, size);
            copy[size] = '\0';
            column->held[column->count++] = copy;
        }
        if (rc < 0) return rc;
    }
    input->held = true;
    return 1;
}

/* Goes to the next combination of the held columns, the last one fastest; false when all have
 * been.  A linked column goes in step with the one before it. */
static bool advance(struct input *input)
{
    for (size_t i = input->column_count - 1; i > 0;) {
        size_t lead = i;
        while (lead > 0 && input->columns[lead].linked) lead--;
        for (size_t k = (lead > 0 ? lead : 1); k <= i; k++) {
            struct column *column = &input->columns[k];
            column->position = (column->position + 1) % column->count;
        }
        if (lead == 0) return false;
        if (input->columns[lead].position != 0) return true;
        for (size_t k = lead; k <= i; k++) input->columns[k].position = 0;
        i = lead - 1;
    }
    return false;
}

static int fill_combination(struct input *input, struct job *job)
{
    if (!input->held) {
        int rc = hold(input);
        if (rc < 0) return rc;
    }
    for (size_t i = 1; i < input->column_count; i++)
        if (input->columns[i].count == 0) return 0;
    if (!input->row) {
        const char *bytes;
        size_t size;
        int rc = next_record(input, &input->columns[0], &bytes, &size);
        if (rc <= 0) return rc;
        input->row_value.size = 0;
        buffer_add(&input->row_value, bytes, size);
        input->row = true;
    }
    job_add_value(job, input->row_value.bytes, input->row_value.size);
    for (size_t i = 1; i < input->column_count; i++) {
        const char *value = input->columns[i].held[input->columns[i].position];
        job_add_value(job, value, strlen(value));
    }
    input->row = advance(input);
    return 1;
}

static int fill_group(struct input *input, struct job *job)
{
    while (job->count < input->group) {
        const char *bytes;
        size_t size;
        int rc = next_record(input, &input->columns[0], &bytes, &size);
        if (rc == 0 && job->count > 0) break;
        if (rc <= 0) return rc;
        job_add_value(job, bytes, size);
    }
    return 1;
}

int input_fill(struct input *input, struct job *job)
{
    if (input->failed) return 0;
    int rc = input->column_count > 1 ? fill_combination(input, job) : fill_group(input, job);
    if (rc == 1) input->jobs++;
    if (rc < 0 && rc != -EAGAIN) input->failed = true;
    return rc;
}

int input_descriptor(const struct input *input)
{
    if (input->column_count > 1 && !input->held) {
        for (size_t i = 1; i < input->column_count; i++)
            if (source_descriptor(input->columns[i].source) >= 0)
                return source_descriptor(input->columns[i].source);
    }
    return source_descriptor(input->columns[0].source);
}

double input_estimate(const struct input *input)
{
    if (input->column_count > 1 && !input->held) return 0;
    double estimate = source_estimate(input->columns[0].source) / (double)input->group;
    for (size_t i = 1; i < input->column_count; i++)
        if (!input->columns[i].linked) estimate *= (double)input->columns[i].count;
    return estimate < (double)input->jobs ? (double)input->jobs : estimate;
}
