/* meet.h: processes that wait for each other, again and again: the barrier and event benchmarks. */
#ifndef BENCH_MEET_H
#define BENCH_MEET_H

#include "support.h"

struct meet_shape {
    int processes;
    bool threads; /* of one process */
};

/* In shared memory; `place` is what they meet at. */
struct meet_arena {
    unsigned char place[512] __attribute__((aligned(64)));
    _Atomic long passed __attribute__((aligned(64))); /* by all processes together */
    long rounds;
    int processes;
};

/* meet_measure runs `work` in the case's number of processes, each of which passes `rounds` times and
 * adds that to `passed`; checks the sum.  `prepare`, or NULL, is what each does before. */
double meet_measure(const struct bench_case *test, long count, struct meet_arena *arena,
                    int (*prepare)(int index, void *arena), int (*work)(int index, void *arena));

bench_run bench_kin_barrier __attribute__((weak));
bench_run bench_kin_event __attribute__((weak));

#endif
