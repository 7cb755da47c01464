/* sink.c: the order of outputs, and their way out.
 *
 * Invariants: a job is in `printing`, or waits in `held` for those before it; in order, the
 * next one to go into `printing` is number `next`, and no job is started whose number is WINDOW
 * or more above it: each has a place of its own in `held`. */
#define _GNU_SOURCE
#include "sink.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "describe.h"
#include "say.h"
#include "stream.h"

/* In order, so many jobs may have been started and not be printed; half as many may wait for the reader. */
#define WINDOW 16384

struct sink {
    const struct options *options;
    const struct pattern *pattern;
    struct pattern *tag;
    struct stream out;
    struct stream err;

    struct job_list printing;
    bool on_err;     /* the first of them has reached its standard error */
    uint64_t offset; /* so much of that output is in the stream */

    struct job **held; /* by number, modulo WINDOW; NULL: out of order is fine */
    uint64_t next;
    size_t held_count;
};

struct sink *sink_open(const struct options *options, const struct pattern *pattern)
{
    struct sink *sink = memory_zeroed(1, sizeof *sink);
    sink->options = options;
    sink->pattern = pattern;
    stream_open(&sink->out, STDOUT_FILENO);
    stream_open(&sink->err, STDERR_FILENO);
    sink->next = 1;
    if (options->keep_order || options->dry_run) sink->held = memory_zeroed(WINDOW, sizeof(struct job *));
    if (options->tag_pattern != NULL) {
        char *word = (char *)options->tag_pattern;
        sink->tag = pattern_parse(&word, 1, PATTERN_TEXT, options->replace, false);
    }
    return sink;
}

void sink_close(struct sink *sink)
{
    if (sink == NULL) return;
    loop_remove(&sink->out.watch);
    loop_remove(&sink->err.watch);
    pattern_free(sink->tag);
    free(sink->held);
    free(sink);
}

static int tag_outputs(struct sink *sink, struct job *job)
{
    size_t size;
    const char *tag = job_input(job, &size);
    struct command command = {0};
    if (sink->tag != NULL) {
        pattern_expand(sink->tag, job, &command);
        tag = command.words[1];
        size = strlen(tag);
    }
    int rc = describe_tagged(&job->out, tag, size);
    if (rc == 0) rc = describe_tagged(&job->err, tag, size);
    command_free(&command);
    return rc;
}

static void enqueue(struct sink *sink, struct job *job)
{
    if (sink->held == NULL) {
        jobs_push(&sink->printing, job);
        return;
    }
    sink->held[job->sequence % WINDOW] = job;
    sink->held_count++;
    while ((job = sink->held[sink->next % WINDOW]) != NULL) {
        sink->held[sink->next++ % WINDOW] = NULL;
        sink->held_count--;
        jobs_push(&sink->printing, job);
    }
}

void sink_take(struct sink *sink, struct job *job)
{
    if (job->outcome == OUTCOME_STOPPED) {
        output_clear(&job->out);
        output_clear(&job->err);
    }
    int rc = 0;
    if (sink->options->json) {
        rc = describe_json(job, sink->options, sink->pattern);
    } else if (sink->options->tag) {
        rc = tag_outputs(sink, job);
    }
    if (rc < 0)
        say("the output of job %llu is incomplete: %s", (unsigned long long)job->sequence, error_words(-rc));
    if (job->outcome != OUTCOME_SUCCESS) describe_failure(job, sink->options);
    enqueue(sink, job);
}

void sink_print(struct sink *sink, struct job *job, const char *line)
{
    output_add_text(&job->out, line);
    output_add(&job->out, "\n", 1);
    enqueue(sink, job);
}

bool sink_has_room(const struct sink *sink, uint64_t number)
{
    bool in_window = sink->held == NULL || number - sink->next < WINDOW;
    return in_window && sink->printing.count < WINDOW / 2;
}

/* Moves an output into its stream; true when all of it is there. */
static bool move(struct sink *sink, struct stream *stream, const struct output *output)
{
    uint64_t size = output_size(output);
    while (sink->offset < size) {
        size_t room;
        char *place = stream_room(stream, &room);
        if (room == 0) {
            if (!stream_flush(stream)) return false;
            continue;
        }
        long n = output_copy(output, sink->offset, place, room);
        if (n <= 0) {
            say("cannot read the temporary file: %s", error_words(n < 0 ? (int)-n : 0));
            break;
        }
        stream_put(stream, (size_t)n);
        sink->offset += (uint64_t)n;
    }
    sink->offset = 0;
    return true;
}

/* Moves the first job's outputs into the streams; true when all of them are there. */
static bool print_first(struct sink *sink, struct job *job)
{
    if (!sink->on_err) {
        if (!move(sink, &sink->out, &job->out)) return false;
        sink->on_err = true;
    }
    if (output_size(&job->err) > 0) {
        /* On a terminal, a job's two outputs are seen one after the other. */
        if (sink->offset == 0 && !stream_flush(&sink->out)) return false;
        if (!move(sink, &sink->err, &job->err)) return false;
    }
    sink->on_err = false;
    return true;
}

bool sink_pump(struct sink *sink)
{
    while (sink->printing.count > 0 && print_first(sink, sink->printing.first))
        job_free(jobs_pop(&sink->printing));
    bool out_done = stream_flush(&sink->out);
    return stream_flush(&sink->err) && out_done && sink->printing.count == 0;
}

void sink_finish(struct sink *sink)
{
    for (size_t i = 0; sink->held != NULL && i < WINDOW && sink->held_count > 0; i++) {
        struct job *job = sink->held[(sink->next + i) % WINDOW];
        if (job == NULL) continue;
        sink->held[(sink->next + i) % WINDOW] = NULL;
        sink->held_count--;
        jobs_push(&sink->printing, job);
    }
    while (!sink_pump(sink)) {
        stream_finish(&sink->out);
        stream_finish(&sink->err);
    }
}

int sink_error(const struct sink *sink)
{
    return sink->out.error;
}
