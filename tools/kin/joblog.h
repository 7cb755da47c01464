/* joblog.h: the table of all jobs that --joblog writes, in the columns of GNU Parallel. */
#ifndef JOBLOG_H
#define JOBLOG_H

#include <stdbool.h>

#include "job.h"

/* Returns false after an error, which has been told. */
bool joblog_open(const char *path);
bool joblog_is_open(void);
void joblog_add(const struct job *job, const char *command);
/* Returns false when not everything could be written, which has been told. */
bool joblog_close(void);

#endif
