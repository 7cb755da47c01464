/* process.h: the case of the process benchmark. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include "support.h"

struct process_shape {
    long megabytes; /* that the parent has touched */
};

/* Touches the parent's memory; 0, or -1 after a note. */
int process_touch(const struct bench_case *test);

/* Notes that a child did not exit with 0; returns -1. */
double process_ended_badly(int status);

/* Runs a program so often by posix_spawn and waitpid; the seconds, or -1 after a note. */
double process_spawn(char *const argv[], long count);

/* Python by itself: peer_python.py GROUP WHAT MEGABYTES COUNT. */
double process_python(const struct bench_case *test, long count, const char *group, const char *what);

/* The word with which the benchmark's own program ends at once. */
#define PROCESS_NOTHING "--nothing"
#define PROCESS_SELF    ((char *[]){"/proc/self/exe", PROCESS_NOTHING, NULL})

bench_run bench_kin_process __attribute__((weak));
bench_run bench_kin_forkserver __attribute__((weak));
bench_run bench_kin_spawn __attribute__((weak));
/* What kin wants first in main. */
void bench_kin_main(int *argc, char ***argv) __attribute__((weak));
bench_run peer_libuv_process __attribute__((weak));

#endif
