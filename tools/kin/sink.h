/* sink.h: where jobs that have ended go: their outputs are printed, each whole.
 *
 * Outputs come as the jobs end, or in the order of the inputs.  When whoever reads them is
 * slow, or one job holds up the order, the sink fills, and no new job is started. */
#ifndef SINK_H
#define SINK_H

#include <stdbool.h>

#include "job.h"
#include "options.h"
#include "pattern.h"

struct sink;

struct sink *sink_open(const struct options *options, const struct pattern *pattern);
void sink_close(struct sink *sink);

/* Takes a job that has ended for good. */
void sink_take(struct sink *sink, struct job *job);
/* A line for standard output that belongs to no job's end; --dry-run prints this way. */
void sink_print(struct sink *sink, struct job *job, const char *line);
/* Whether the job of that number may be started. */
bool sink_has_room(const struct sink *sink, uint64_t number);
/* Prints as much as can be without waiting; true when nothing is left. */
bool sink_pump(struct sink *sink);
/* Prints all that is complete, waiting, out of order where jobs before it are missing. */
void sink_finish(struct sink *sink);
/* The errno with which standard output has failed, or 0. */
int sink_error(const struct sink *sink);

#endif
