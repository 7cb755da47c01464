/* describe.h: how a job has ended, for people and for programs. */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "job.h"
#include "options.h"
#include "pattern.h"

/* "exit status 2", "killed by SIGSEGV", "timed out after 5 s"; valid until the next call. */
const char *describe_cause(const struct job *job, const struct options *options);
/* Adds a line such as "kin map: job 3 (b.txt) failed: exit status 2" to what the job wrote on
 * standard error. */
void describe_failure(struct job *job, const struct options *options);
/* Makes one line of JSON out of the job, and that its output. */
int describe_json(struct job *job, const struct options *options, const struct pattern *pattern);
/* Puts `tag` and a tab before each line. */
int describe_tagged(struct output *output, const char *tag, size_t size);

#endif
