/* condition.h: the cases of the condition benchmark and the loops every condition is measured in.
 *
 * Two play ping-pong: each waits until the number is its own, increments it, and notifies.  In a
 * crowd all but one wait for the next round, which one of them opens when all have arrived. */
#ifndef BENCH_CONDITION_H
#define BENCH_CONDITION_H

#include "support.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CROWD_MOST = 64 };

struct condition_shape {
    int processes; /* 2: ping-pong; more: a crowd */
    bool threads;  /* of one process */
};

/* What the lock protects, and room for lock and condition. */
struct condition_arena {
    unsigned char lock[192] __attribute__((aligned(64)));
    unsigned char condition[192] __attribute__((aligned(64)));
    volatile long number __attribute__((aligned(64)));
    volatile int arrived;
    int processes;
    long rounds;
    bool threads; /* set by a contender that is for threads only, whatever the case */
};

/* Both loops, over four functions of a contender's; each returns 0, or ends the run. */
typedef int condition_step(struct condition_arena *arena);

static inline __attribute__((always_inline)) int condition_loop(struct condition_arena *arena, int index,
                                                                condition_step *lock, condition_step *unlock,
                                                                condition_step *wait, condition_step *notify)
{
    for (long round = 0; round < arena->rounds; round++) {
        if (lock(arena)) return 1;
        if (arena->processes == 2) {
            while (arena->number % 2 != index)
                if (wait(arena)) return 1;
            arena->number++;
            if (notify(arena)) return 1;
        } else if (++arena->arrived == arena->processes) {
            arena->arrived = 0;
            arena->number++;
            if (notify(arena)) return 1;
        } else {
            while (arena->number == round)
                if (wait(arena)) return 1;
        }
        if (unlock(arena)) return 1;
    }
    return 0;
}

/* condition_measure runs `work` in the case's number of processes and checks the end value.  `prepare`, or
 * NULL, is what each does before. */
double condition_measure(const struct bench_case *test, long count, struct condition_arena *arena,
                         int (*prepare)(int index, void *arena), int (*work)(int index, void *arena));

bench_run bench_kin_condition __attribute__((weak));
bench_run peer_nsync_condition __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
