/* Y12: a barrier: three walkers wait for each other at each stage.  At the third one of them is missing,
 * because it was killed; the others do not wait for ever, and learn which it was. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define WALKERS 3
#define STAGES  3

static kin_barrier *barrier;
static atomic_int *stage; /* in family memory, as the barrier is */

static int all_are_there(void *unused)
{
    (void)unused;
    printf("all are at stage %d\n", ++*stage);
    return fflush(stdout);
}

static int walk(void *argument)
{
    int walker = *(int *)argument, rc = 0;
    for (int i = 1; i <= STAGES && rc >= 0; i++) {
        if (i == STAGES && walker == 2) raise(SIGKILL);
        if (i < STAGES) printf("walker %d is at stage %d\n", walker, i);
        fflush(stdout);
        rc = kin_barrier_wait(barrier, kin_in_s(10));
    }
    if (rc < 0 && walker == 1) printf("walker 1: %s\n", kin_strerror(rc));
    return 0;
}

int main(void)
{
    int number[WALKERS];
    kin_process *walker[WALKERS];
    stage = kin_alloc(sizeof *stage);
    if (stage == NULL) return EXIT_FAILURE;
    check(kin_barrier_open(&barrier, WALKERS, &(kin_barrier_options){.action = all_are_there}));
    for (int i = 0; i < WALKERS; i++) {
        number[i] = i + 1;
        check(kin_process_start(&walker[i], walk, &number[i], NULL));
    }
    /* Those who wait find out about the dead one themselves. */
    check(kin_process_join(walker[0], KIN_FOREVER));
    kin_barrier_reason reason;
    check(kin_barrier_cause(barrier, &reason));
    for (int i = 0; i < WALKERS; i++) {
        if (reason.kind == KIN_BARRIER_DEATH && reason.pid == kin_process_pid(walker[i]))
            printf("walker %d was killed by signal %d\n", number[i], reason.signal);
        check(kin_process_join(walker[i], KIN_FOREVER));
        check(kin_process_close(walker[i]));
    }
    check(kin_barrier_close(barrier));
    check(kin_free(stage));
    return EXIT_SUCCESS;
}
