/* rwlock.h: the cases of the read-write lock benchmark and the loop every lock is measured in. */
#ifndef BENCH_RWLOCK_H
#define BENCH_RWLOCK_H

#include "support.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WORDS = 8 };

struct rwlock_shape {
    int processes;
    int share; /* one of so many turns writes; 0: none does */
    bool threads;
};

/* What the lock protects: words that are equal whenever nobody writes. */
struct rwlock_arena {
    unsigned char lock[256] __attribute__((aligned(64)));
    volatile long word[WORDS] __attribute__((aligned(64)));
    long per_process;
    int share;
    bool threads; /* set by a contender that is for threads only, whatever the case */
};

typedef int rwlock_step(struct rwlock_arena *arena);

static inline __attribute__((always_inline)) int rwlock_loop(struct rwlock_arena *arena, int index,
                                                             rwlock_step *read, rwlock_step *end_read,
                                                             rwlock_step *write, rwlock_step *end_write)
{
    for (long i = 0; i < arena->per_process; i++) {
        if (arena->share != 0 && (i + index) % arena->share == 0) {
            if (write(arena)) return 1;
            for (int n = 0; n < WORDS; n++) arena->word[n]++;
            if (end_write(arena)) return 1;
        } else {
            if (read(arena)) return 1;
            long difference = 0;
            for (int n = 1; n < WORDS; n++) difference |= arena->word[n] ^ arena->word[0];
            if (end_read(arena) || difference != 0) return 1;
        }
    }
    return 0;
}

/* rwlock_measure runs `work` in the case's processes. */
double rwlock_measure(const struct bench_case *test, long count, struct rwlock_arena *arena,
                      int (*work)(int index, void *arena));

bench_run bench_kin_rwlock __attribute__((weak));
bench_run peer_nsync_rwlock __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
