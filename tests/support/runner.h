/* runner.h: the parts of kin-test.
 *
 * One process, the runner, chooses cases and reports; for each case it forks a supervisor
 * (runner_case.c) that runs it and writes the verdict into the case's entry, which lies in
 * memory that both share.
 */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum verdict { VERDICT_NONE, VERDICT_PASSED, VERDICT_FAILED, VERDICT_SKIPPED };

struct run {
    /* Written by the runner before the supervisor is forked. */
    const char *program;
    char name[200];        /* "program/case" */
    const char *case_name; /* the part of `name` behind the slash */
    double deadline;
    bool alone;
    pid_t supervisor;
    int output; /* a memory file: what the case wrote */
    /* Written by the supervisor. */
    enum verdict verdict;
    double seconds;
    char reason[600];
};

struct plan {
    struct run *runs;
    size_t count;
    size_t room;
};

struct runner_options {
    const char *filter; /* NULL: all */
    const char *json;   /* NULL: none */
    unsigned jobs;
    unsigned repeat;
    bool verbose;
};

/* runner_case.c: what the supervisor does; `directory` is the case's own, to be made and
 * removed; `lifeline` hangs up when the runner is gone. */
void supervise(struct run *run, const char *directory, int lifeline);

/* runner_proc.c: processes below the supervisor. */
#define DESCENDANTS_MOST 256
struct descendant {
    pid_t pid;
    char name[64];
    char state;
};
size_t find_descendants(pid_t ancestor, struct descendant *found, size_t most);
/* Waits until no child is left, at most until `end`; returns whether none is. */
bool await_descendants(double end);
/* Kills what is below the calling process until nothing is. */
void kill_descendants(void);
/* Writes the stacks of all processes below the calling one to `output`. */
void dump_descendants(int output);
double runner_seconds(void);

/* runner_report.c */
void report_start(const struct plan *plan);
void report_run(const struct plan *plan, size_t index, bool verbose);
/* Prints the last line and writes the JSON file; returns the exit code. */
int report_end(const struct plan *plan, const char *json);
/* The text a case wrote, its last megabyte at most; the caller frees it. */
char *run_output(const struct run *run);
/* The next line of `text` from `*from` on that begins with `mark`, without the mark; NULL
 * when there is none.  The line is copied into `line`. */
const char *marked_line(const char **from, const char *mark, char *line, size_t size);

#endif
