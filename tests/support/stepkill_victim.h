/* stepkill_victim.h: one process under ptrace: start it, bring it somewhere, kill it. */
#ifndef STEPKILL_VICTIM_H
#define STEPKILL_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "stepkill.h"

enum victim_stop {
    VICTIM_STOPPED,  /* where it was to go */
    VICTIM_FINISHED, /* stopped at the end of the operation */
    VICTIM_ASLEEP    /* not stopped: it sleeps in a system call */
};

struct victim {
    const struct stepkill *plan;
    pid_t pid;
    int signal; /* one that was sent to the victim and is passed on when it goes on */
    long stops; /* how often it has stopped since the operation began */
};

/* Skips the case where tracing is impossible. */
void victim_require(void);

/* Forks a victim and returns with it stopped just before the operation. */
void victim_start(struct victim *victim, const struct stepkill *plan);
/* Kills it and waits until it is gone. */
void victim_kill(struct victim *victim);

/* Ends the timer that interrupts system calls of the tracer while it waits for its victim:
 * to be called before anything else of the test runs. */
void victim_quiet(void);

/* Each of these is called with the victim stopped. */
enum victim_stop victim_step(struct victim *victim);
/* What it costs to arrive at a breakpoint once, in single steps; 0: there are none. */
unsigned victim_breakpoint_cost(const struct stepkill *plan);
/* Runs until the victim arrives at `address`, from another one, for the `hits`-th time. */
enum victim_stop victim_run_to(struct victim *victim, uint64_t address, unsigned hits);
/* Runs to the next entry into or exit from a system call. */
enum victim_stop victim_syscall(struct victim *victim);
uint64_t victim_address(const struct victim *victim);

#endif
