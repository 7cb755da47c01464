/* describe.c: sentences, JSON and tags. */
#define _GNU_SOURCE
#include "describe.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <kin/time.h>

#include "json.h"
#include "say.h"

const char *describe_cause(const struct job *job, const struct options *options)
{
    static char text[256];
    switch (job->outcome) {
    case OUTCOME_SUCCESS: return "success";
    case OUTCOME_EXITED: snprintf(text, sizeof text, "exit status %d", job->exit_value); break;
    case OUTCOME_SIGNALED:
        snprintf(text, sizeof text, "killed by %s%s", signal_name(job->signal),
                 job->core_dumped ? ", core dumped" : "");
        break;
    case OUTCOME_TIMEOUT:
        snprintf(text, sizeof text, "timed out after %g s", (double)options->timeout / 1e9);
        break;
    case OUTCOME_STOPPED: return "ended early";
    default: snprintf(text, sizeof text, "%.*s", (int)job->reason.size, job->reason.bytes); break;
    }
    return text;
}

static void format_failure(const struct job *job, const struct options *options, char *line, size_t room)
{
    size_t size;
    const char *input = job_input(job, &size);
    int used = snprintf(line, room, "%s: job %llu (%s) %s: %s", say_name(), (unsigned long long)job->sequence,
                        printable(input, size), job_failed(job) ? "failed" : "stopped",
                        describe_cause(job, options));
    /* A reason that a pool gave names the attempt itself. */
    if (job->attempt > 1 && job_failed(job) && !job->reason_whole)
        used += snprintf(line + used, room - (size_t)used, ", attempt %u", job->attempt);
    snprintf(line + used, room - (size_t)used, "\n");
}

void describe_failure(struct job *job, const struct options *options)
{
    char line[1024];
    format_failure(job, options, line, sizeof line);
    /* The message must not hang on a last line that has no end. */
    uint64_t size = output_size(&job->err);
    char last = '\n';
    if (size > 0) output_copy(&job->err, size - 1, &last, 1);
    if (last != '\n') output_add(&job->err, "\n", 1);
    output_add_text(&job->err, line);
}

static int add_inputs(struct output *out, const struct job *job)
{
    int rc = json_open(out, "input", '[');
    for (size_t i = 0; i < job->count && rc == 0; i++) {
        size_t size;
        const char *value = job_value(job, i, &size);
        rc = json_bytes(out, NULL, value, size);
    }
    return rc < 0 ? rc : json_close(out, ']');
}

static int add_command(struct output *out, const struct job *job, const struct pattern *pattern)
{
    struct command command = {0};
    pattern_expand(pattern, job, &command);
    const char *name = pattern_name(pattern);
    int rc = json_open(out, "command", '[');
    if (name != NULL && rc == 0) rc = json_bytes(out, NULL, name, strlen(name));
    for (size_t i = 1; i <= command.count && rc == 0; i++)
        rc = json_bytes(out, NULL, command.words[i], strlen(command.words[i]));
    command_free(&command);
    return rc < 0 ? rc : json_close(out, ']');
}

static int add_outcome(struct output *out, const struct job *job, const struct options *options)
{
    bool has_exit = job->outcome == OUTCOME_SUCCESS || job->outcome == OUTCOME_EXITED ||
                    job->outcome == OUTCOME_NOT_STARTED || job->exit_value != 0;
    int rc = has_exit ? json_number(out, "exit", job->exit_value) : json_null(out, "exit");
    if (rc < 0) return rc;
    if (job->signal != 0) {
        const char *name = signal_name(job->signal);
        rc = json_bytes(out, "signal", name, strlen(name));
    } else {
        rc = json_null(out, "signal");
    }
    if (rc < 0) return rc;
    if (job->outcome == OUTCOME_SUCCESS) return json_null(out, "failure");
    const char *cause = describe_cause(job, options);
    return json_bytes(out, "failure", cause, strlen(cause));
}

static double wall_clock(int64_t monotonic)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)(kin_clock() - monotonic) / 1e9;
}

int describe_json(struct job *job, const struct options *options, const struct pattern *pattern)
{
    struct output line = {0};
    int rc = json_open(&line, NULL, '{');
    if (rc == 0) rc = json_number(&line, "seq", (long long)job->sequence);
    if (rc == 0) rc = add_inputs(&line, job);
    if (rc == 0) rc = add_command(&line, job, pattern);
    if (rc == 0) rc = add_outcome(&line, job, options);
    if (rc == 0) rc = json_number(&line, "attempts", (long long)job->attempt);
    if (rc == 0) rc = json_number(&line, "slot", (long long)job->slot);
    if (rc == 0) rc = json_seconds(&line, "started", wall_clock(job->started));
    if (rc == 0) rc = json_seconds(&line, "seconds", (double)(job->ended - job->started) / 1e9);
    if (rc == 0) rc = json_output(&line, "stdout", &job->out);
    if (rc == 0) rc = json_output(&line, "stderr", &job->err);
    if (rc == 0) rc = json_close(&line, '}');
    if (rc == 0) rc = output_add(&line, "\n", 1);
    output_free(&job->out);
    output_free(&job->err);
    job->out = line;
    return rc;
}

int describe_tagged(struct output *output, const char *tag, size_t size)
{
    static char block[32768];
    struct output tagged = {0};
    bool at_start = true;
    int rc = 0;
    uint64_t offset = 0;
    long n;
    while (rc == 0 && (n = output_copy(output, offset, block, sizeof block)) > 0) {
        offset += (uint64_t)n;
        for (const char *at = block; at < block + n && rc == 0;) {
            const char *end = memchr(at, '\n', (size_t)(block + n - at));
            const char *next = end == NULL ? block + n : end + 1;
            if (at_start) rc = output_add(&tagged, tag, size);
            if (at_start && rc == 0) rc = output_add(&tagged, "\t", 1);
            if (rc == 0) rc = output_add(&tagged, at, (size_t)(next - at));
            at_start = end != NULL;
            at = next;
        }
    }
    output_free(output);
    *output = tagged;
    return rc;
}
