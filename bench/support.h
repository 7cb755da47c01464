/* support.h: what the benchmark programs share.
 *
 * A program is a table of cases.  A case is one figure (messages per second, microseconds per
 * round trip) that several contenders are measured for: limits (raw code that does only this
 * and promises nothing), peers (what else there is) and kin.  bench_main measures them in
 * turns (limit, peer, kin, limit, peer, kin, ...), takes medians and prints figures, ratios
 * and whether the targets are met.
 *
 * Invariants: every run happens in a process of its own with a deadline, so that a contender
 * that crashes, hangs or leaves memory behind touches no other; what cannot be measured is
 * reported with its reason and never left out; a timing decides no exit code. */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bench_role { BENCH_LIMIT, BENCH_PEER, BENCH_KIN };

enum bench_unit {
    BENCH_PER_SECOND,   /* operations per second: more is better */
    BENCH_MICROSECONDS, /* per operation: less is better */
    BENCH_SECONDS,      /* for the whole: less is better */
    BENCH_BYTES         /* per operation: less is better; a run returns bytes in place of seconds */
};

struct bench_case;

/* One run: does `count` operations of the case and returns the seconds they took, or a
 * negative number, best that of bench_fail. */
typedef double bench_run(const struct bench_case *test, long count);

struct bench_contender {
    enum bench_role role;
    const char *name; /* NULL ends a list */
    bench_run *run;   /* NULL: this build does not have it */
    const char *from; /* the package that has it, for the message when it is missing */
};

/* What kin wants to reach in a case.  In cases where less is better a ratio is an upper bound. */
struct bench_target {
    const char *against; /* a contender's name; BENCH_EVERY_PEER; NULL: `wanted` is a figure */
    double wanted;       /* 0 ends a list */
};
#define BENCH_EVERY_PEER "every peer"

struct bench_case {
    const char *name;
    const char *what; /* what is counted: "messages" */
    enum bench_unit unit;
    const struct bench_contender *contenders;
    const struct bench_target *targets; /* NULL: none */
    const char *in_turns;               /* NULL, or whose operations kin's runs do too: bench_pair */
    const void *shape;                  /* the program's own description of the case */
    long first_count;                   /* where the search for a fitting count begins; 0: 1000 */
    long fixed_count;                   /* not 0: no search, every run does this many */
    long quick_count;                   /* not 0: instead of fixed_count with --quick */
    long batch;                         /* operations that one counted step stands for; 0: 1 */
};

/* bench_main parses the options (see bench/run --help), measures and reports.  Returns the
 * exit code: 0, 1 when a limit or kin failed (not: was slow), 2 for wrong usage. */
int bench_main(int argc, char **argv, const char *title, const struct bench_case *cases, size_t count);

/* ---- inside a run ---------------------------------------------------------------------------- */

double bench_now(void); /* seconds on the monotonic clock */

/* bench_fail notes why the run failed, the first reason counts, and returns -1; bench_missing
 * notes that the contender is not installed, bench_unable that it cannot do this case by its
 * nature or on this machine. */
double bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
double bench_missing(void);
double bench_unable(const char *reason);

/* For what takes longer or shorter by phases of the machine that are shorter than a run: kin's run does an
 * operation of its own, then one of the contender that the case names as `in_turns`, and so on, and tells
 * what each pair took.  kin is compared with that contender by the median of the pairs' ratios; a run's is
 * that of its first thousands. */
void bench_pair(double own, double other);

/* Zeroed memory that the processes of a run share; ends the run when there is none. */
void *bench_shared(size_t size);

/* Processes, or the threads of one, that begin together.  prepare and finish may be NULL; a callback returns 0 or ends
 * the run as failed. */
struct bench_team {
    int processes;
    bool threads; /* of one process, which has another one that sleeps meanwhile */
    int (*prepare)(int index, void *context); /* in the process, one after the other */
    int (*work)(int index, void *context);    /* what is timed; begins when all are prepared */
    int (*finish)(int index, void *context);  /* after the work of all has ended */
    void *context;
    const int *cpus; /* the process's processor, by index; NULL: wherever */
};

/* bench_together returns the seconds from the common beginning to the end of the last work. */
double bench_together(const struct bench_team *team);

/* In a member's work: it ended at `when`, not at its return. */
void bench_ended_at(double when);

/* The n-th processor this process may use (again from the first when there are fewer). */
int bench_cpu(int n);
int bench_pin(int cpu);

/* bench_command runs a program, found by PATH, with standard input from a file and output to
 * one (NULL: /dev/null) and returns the seconds it took.  bench_asked runs a program that
 * measures by itself and prints the seconds. */
double bench_command(const char *const argv[], const char *input, const char *output);
double bench_asked(const char *const argv[]);

/* The beginning of a command of Open MPI: so many processes on this machine alone, bound to cores or not. */
#define BENCH_MPIRUN(binding, processes) \
    "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", binding, "--mca", "plm", "isolated", \
        "-np", processes

/* The path of a file beside the running program, such as "peer_mpi"; static until the next
 * call with the same slot (0 to 3). */
const char *bench_beside(int slot, const char *name);

/* ---- messages that are touched --------------------------------------------------------------- */

/* bench_fill writes every byte once, the number first; bench_sum reads every byte once: both as
 * fast as memory goes.  `size` is a multiple of 8. */
void bench_fill(void *memory, size_t size, uint64_t number);
uint64_t bench_sum(const void *memory, size_t size);

#ifdef __cplusplus
}
#endif
#endif
