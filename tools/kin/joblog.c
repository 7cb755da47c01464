/* joblog.c: one line for each job, written when it has ended. */
#define _GNU_SOURCE
#include "joblog.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <kin/time.h>

#include "say.h"

static FILE *file;
static const char *name;
static double wall_offset; /* wall clock minus monotonic clock */
static int fault;          /* of the first write that failed: errno does not keep it until the end */

static void note_fault(void)
{
    if (fault == 0 && ferror(file)) fault = errno;
}

bool joblog_open(const char *path)
{
    file = fopen(path, "we");
    if (file == NULL) {
        say("cannot open %s: %s", path, error_words(errno));
        return false;
    }
    name = path;
    setvbuf(file, NULL, _IOLBF, 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    wall_offset = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)kin_clock() / 1e9;
    fputs("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n", file);
    note_fault();
    return true;
}

bool joblog_is_open(void)
{
    return file != NULL;
}

void joblog_add(const struct job *job, const char *command)
{
    int exit_value = job->outcome == OUTCOME_TIMEOUT ? -1 : job->exit_value;
    fprintf(file, "%llu\t:\t%.3f\t%10.3f\t0\t%llu\t%d\t%d\t", (unsigned long long)job->sequence,
            (double)job->started / 1e9 + wall_offset, (double)(job->ended - job->started) / 1e9,
            (unsigned long long)output_size(&job->out), exit_value, job->signal);
    /* A line is a job: line breaks in the command are written as \n. */
    for (; *command != '\0'; command++) {
        if (*command == '\n') {
            fputs("\\n", file);
        } else {
            fputc(*command, file);
        }
    }
    fputc('\n', file);
    note_fault();
}

bool joblog_close(void)
{
    if (file == NULL) return true;
    if (fclose(file) != 0 && fault == 0) fault = errno;
    file = NULL;
    if (fault != 0) say("cannot write %s: %s", name, error_words(fault));
    return fault == 0;
}
