/* lock.h: the cases of the lock and semaphore benchmarks and the loop that each is measured in. */
#ifndef BENCH_LOCK_H
#define BENCH_LOCK_H

#include "support.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lock_shape {
    int processes;
    bool threads; /* of one process */
};

/* What the lock protects; on a cache line of its own, as is the lock. */
struct lock_arena {
    unsigned char lock[192] __attribute__((aligned(64)));
    volatile long counter __attribute__((aligned(64)));
    long per_process;
    bool threads; /* set by a contender that is for threads only, whatever the case */
};

/* lock_measure runs `work` in the case's number of processes over `arena`, in shared memory,
 * and checks that no increment was lost. */
double lock_measure(const struct bench_case *test, long count, struct lock_arena *arena,
                    int (*work)(int index, void *arena));

/* pthread's attribute for what the case measures: private between threads. */
int lock_sharing(const struct bench_case *test);

/* In lock_peers.c: a sem_t with one permit; the object of Python's that peer_python.py calls `what`. */
double lock_semaphore(const struct bench_case *test, long count);
double lock_python(const struct bench_case *test, long count, const char *what);

/* Locks and semaphores that have files of their own. */
bench_run bench_kin_lock __attribute__((weak));
bench_run peer_boost_lock __attribute__((weak));
bench_run peer_nsync_lock __attribute__((weak));
bench_run bench_kin_semaphore __attribute__((weak));
bench_run bench_kin_semaphore_plain __attribute__((weak));
bench_run peer_nsync_semaphore __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
