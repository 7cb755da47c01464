/* run.h: the run: inputs into the engine, ended jobs into the sink, until all is done. */
#ifndef RUN_H
#define RUN_H

#include "engine.h"
#include "input.h"
#include "options.h"
#include "sink.h"

struct run {
    const struct options *options;
    const struct pattern *pattern;
    struct engine *engine; /* NULL: --dry-run */
    struct input *input;
    struct sink *sink;
    long retries; /* of a job that failed */

    uint64_t sequence; /* jobs made */
    uint64_t done;
    uint64_t failed;
    struct job *filling;   /* whose input is not complete */
    struct job_list again; /* to be run again, or not started for want of room */
    bool input_ended;
    bool blocked;  /* the engine said -EAGAIN; a job must end first */
    bool stopping; /* no new jobs */
    bool broken;   /* an error that is no job's failure */
    int signal;    /* that ended the run, or 0 */
    int halt_code; /* exit code by --halt; -1: none */
};

/* Runs everything; returns the exit code. */
int run_all(struct run *run);

/* Gives the engine as many jobs as it takes.  Returns false when it stopped only to let events be
 * seen. */
bool run_feed(struct run *run);

/* For engines.  The attempt has ended; the job is counted and printed, or run again. */
void run_job_ended(struct run *run, struct job *job);
/* For engines.  The job is to be run, uncharged, when there is room. */
void run_job_again(struct run *run, struct job *job);
/* For engines.  Ends the run after an error, which has been told. */
void run_break(struct run *run);

#endif
