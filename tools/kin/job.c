/* job.c: records of jobs, used again so that a job costs no allocation. */
#include "job.h"

#include <stdlib.h>
#include <string.h>

static struct job *unused;

struct job *job_new(uint64_t sequence)
{
    struct job *job = unused;
    if (job != NULL) {
        unused = job->next;
    } else {
        job = memory_zeroed(1, sizeof *job);
    }
    job->next = NULL;
    job->sequence = sequence;
    job->slot = 0;
    job->attempt = 1;
    job->alone = false;
    job->values.size = 0;
    job->count = 0;
    job->started = job->ended = 0;
    job_reset(job);
    return job;
}

void job_reset(struct job *job)
{
    output_clear(&job->out);
    output_clear(&job->err);
    job->outcome = OUTCOME_SUCCESS;
    job->exit_value = 0;
    job->signal = 0;
    job->core_dumped = false;
    job->reason.size = 0;
    job->reason_whole = false;
}

void job_free(struct job *job)
{
    if (job->values.capacity > 4096) buffer_free(&job->values);
    job_reset(job);
    job->next = unused;
    unused = job;
}

void jobs_release(void)
{
    while (unused != NULL) {
        struct job *job = unused;
        unused = job->next;
        buffer_free(&job->values);
        buffer_free(&job->reason);
        free(job->starts);
        output_free(&job->out);
        output_free(&job->err);
        free(job);
    }
}

void job_add_value(struct job *job, const char *bytes, size_t size)
{
    if (job->count == job->capacity) {
        job->capacity = job->capacity == 0 ? 2 : job->capacity * 2;
        job->starts = memory_resize(job->starts, job->capacity * sizeof *job->starts);
    }
    job->starts[job->count++] = job->values.size;
    buffer_add(&job->values, bytes, size);
    buffer_add_character(&job->values, '\0');
}

const char *job_value(const struct job *job, size_t index, size_t *size)
{
    if (index >= job->count) {
        *size = 0;
        return "";
    }
    size_t end = index + 1 < job->count ? job->starts[index + 1] : job->values.size;
    *size = end - job->starts[index] - 1;
    return job->values.bytes + job->starts[index];
}

const char *job_input(const struct job *job, size_t *size)
{
    if (job->count <= 1) return job_value(job, 0, size);
    static struct buffer joined;
    joined.size = 0;
    buffer_add(&joined, job->values.bytes, job->values.size);
    for (size_t i = 1; i < job->count; i++) joined.bytes[job->starts[i] - 1] = ' ';
    *size = joined.size - 1;
    return joined.bytes;
}

bool job_failed(const struct job *job)
{
    return job->outcome != OUTCOME_SUCCESS && job->outcome != OUTCOME_STOPPED;
}

void jobs_push(struct job_list *list, struct job *job)
{
    job->next = NULL;
    if (list->last != NULL) {
        list->last->next = job;
    } else {
        list->first = job;
    }
    list->last = job;
    list->count++;
}

void jobs_push_front(struct job_list *list, struct job *job)
{
    job->next = list->first;
    list->first = job;
    if (list->last == NULL) list->last = job;
    list->count++;
}

struct job *jobs_pop(struct job_list *list)
{
    struct job *job = list->first;
    if (job == NULL) return NULL;
    list->first = job->next;
    if (list->first == NULL) list->last = NULL;
    list->count--;
    job->next = NULL;
    return job;
}
