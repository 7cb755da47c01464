/* job.h: one job: its input, its attempts, what it wrote and how it ended. */
#ifndef JOB_H
#define JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "output.h"

enum outcome {
    OUTCOME_SUCCESS,
    OUTCOME_EXITED,   /* exit_value is not 0 */
    OUTCOME_SIGNALED, /* by `signal` */
    OUTCOME_TIMEOUT,
    OUTCOME_NOT_STARTED, /* `reason` tells why */
    OUTCOME_FAILED,      /* in another way; `reason` tells how */
    OUTCOME_STOPPED      /* ended because the run was: no failure of its own */
};

struct job {
    uint64_t sequence; /* from 1 */
    unsigned slot;     /* from 1, while it runs */
    unsigned attempt;  /* from 1 */
    bool alone;        /* not to be run together with others */

    /* The values of its input, each ended by a NUL. */
    struct buffer values;
    size_t *starts;
    size_t count;
    size_t capacity;

    struct output out;
    struct output err;
    enum outcome outcome;
    int exit_value;
    int signal;
    bool core_dumped;
    struct buffer reason;
    bool reason_whole; /* it says the attempt, too */
    int64_t started;   /* monotonic, ns */
    int64_t ended;

    struct job *next; /* in the list that it is in */
};

/* A record for a job without values; job_free keeps it for the next one. */
struct job *job_new(uint64_t sequence);
void job_free(struct job *job);
void jobs_release(void);

void job_add_value(struct job *job, const char *bytes, size_t size);
const char *job_value(const struct job *job, size_t index, size_t *size);
/* All values with spaces between; valid until the next call. */
const char *job_input(const struct job *job, size_t *size);
/* Makes it ready for another attempt. */
void job_reset(struct job *job);
/* Whether it failed. */
bool job_failed(const struct job *job);

/* A first-in, first-out list. */
struct job_list {
    struct job *first;
    struct job *last;
    size_t count;
};
void jobs_push(struct job_list *list, struct job *job);
void jobs_push_front(struct job_list *list, struct job *job);
struct job *jobs_pop(struct job_list *list);

#endif
