/* array.h: the cases of the array benchmark, for its own rows and kin's. */
#ifndef BENCH_ARRAY_H
#define BENCH_ARRAY_H

#include "support.h"

struct array_shape {
    int processes;
    long items; /* of the array that is summed */
};

/* What the processes of a run work on. */
struct array_arena {
    unsigned char lock[64] __attribute__((aligned(64)));
    long *cell;   /* in shared memory, on a cache line of its own */
    void *object; /* what the contender calls its own */
    long per_process;
};

/* array_measure runs `work` in the case's number of processes and checks that *arena->cell has
 * been counted up by all of them; where the case sums an array, `work` returns by the first
 * process's cell what the sum was. */
double array_measure(const struct bench_case *test, long count, struct array_arena *arena,
                     int (*work)(int index, void *arena));

/* One sum of 0, 1, 2 …, as a plain loop in a file of its own for all contenders: the same code. */
long array_sum(const long *items, long count);
void array_number(long *items, long count);

bench_run bench_kin_array_locked __attribute__((weak));
bench_run bench_kin_array_added __attribute__((weak));
bench_run bench_kin_array_pointer __attribute__((weak));
bench_run bench_kin_array_summed __attribute__((weak));
bench_run bench_kin_array_huge __attribute__((weak));

#endif
