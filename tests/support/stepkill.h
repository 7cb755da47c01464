/* stepkill.h: kills a process at every instruction of an operation, and checks each time what
 * the survivors find.
 *
 *     static void put(void *context) { kin_queue_put(context, "victim", 7, KIN_FOREVER); }
 *     static void survive(void *context, long step, bool finished)
 *     {
 *         CHECK_OK(kin_queue_put(context, "other", 6, kin_in_s(60)));
 *         …CHECK what is in the queue…
 *     }
 *     TEST(put_killed_anywhere, .deadline = 300)
 *     {
 *         …
 *         struct stepkill_report report = stepkill(&(struct stepkill){
 *             .operation = put, .survive = survive, .context = queue});
 *         CHECK_GT(report.points, 100);
 *     }
 *
 * Each kill is a round: setup, fork of the victim, prepare and operation in the victim, which
 * is stopped at the point, at_step, SIGKILL, survive, teardown.  The first two rounds, from which
 * the path is learnt, go to the end of the operation.  The case's process, the
 * victim and what they fork share one processor meanwhile.  Whatever the victim leaves behind
 * becomes a child of the case's process and has to end within two seconds of teardown.
 *
 * The case is skipped where a process cannot be traced, and under sanitizers.
 */
#ifndef STEPKILL_H
#define STEPKILL_H

#include <stdbool.h>
#include <sys/types.h>

enum stepkill_mode {
    STEPKILL_STEPS = 0,     /* at every instruction, or every `stride`-th */
    STEPKILL_ADDRESSES = 1, /* the first and the last time that each address is executed */
    STEPKILL_SYSCALLS = 2   /* before and after every system call: for long operations */
};

struct stepkill {
    enum stepkill_mode mode;
    void (*setup)(void *context);     /* in the case's process, before each round */
    void (*prepare)(void *context);   /* in the victim, before its steps are counted */
    void (*operation)(void *context); /* in the victim */
    /* In the case's process, while the victim is stopped (or asleep, see below) at the point:
     * to start somebody who waits for what it holds. */
    void (*at_step)(void *context, long step, pid_t victim);
    /* In the case's process, after the kill: checks.  `finished`: the operation was over. */
    void (*survive)(void *context, long step, bool finished);
    void (*teardown)(void *context);
    void *context;

    /* With `reached`, points are counted from the first instruction after which it returns
     * true, for instance when the victim holds a lock; on_reached is called there once in each
     * round, while the victim is stopped. */
    bool (*reached)(void *context);
    void (*on_reached)(void *context, pid_t victim);

    /* A victim that sleeps in a system call for asleep_ms (0: 20; 5000 in STEPKILL_SYSCALLS) is
     * told by `wake`, which has to make it go on; without it the sleep is the last point. */
    void (*wake)(void *context);
    unsigned asleep_ms;

    unsigned stride; /* 0: 1 */
    long from, to;   /* points from `from` up to and without `to`; 0: to the end */

    /* Victims are brought to their points by breakpoints.  Where the processor has no registers
     * for them (or KIN_STEPKILL_SOFTWARE is set) they are put into the code, and children that the operation forks would run into
     * them: `forks` says so.  `stepped`: no breakpoints at all. */
    bool forks;
    bool stepped;
};

struct stepkill_report {
    long points;             /* how many victims were killed */
    long steps;              /* how many instructions (system calls: stops) the operation takes */
    long addresses;          /* distinct addresses of the program that its trace has */
    long distinct_addresses; /* distinct addresses of the program at which a victim was killed */
    long stops;              /* how often victims were stopped on the way to their points */
    long diverged;           /* victims that were not where the trace says */
    bool asleep;             /* the operation ends in a sleep */
    double seconds;
    double worst_survivor_ms;
};

/* Does all of that; adds a note with the figures to the case's report. */
struct stepkill_report stepkill(const struct stepkill *plan);

/* Kills one victim after `step` instructions, counted as above, without survive and teardown:
 * for a setup whose round begins with somebody who died half-way.  Returns whether the
 * operation was over before. */
bool stepkill_once(const struct stepkill *plan, long step);

#endif
