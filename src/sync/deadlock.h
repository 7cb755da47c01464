/* deadlock.h: finding that a wait would close a cycle; off unless KIN_DEBUG names it. */
#ifndef KIN_SYNC_DEADLOCK_H
#define KIN_SYNC_DEADLOCK_H

#include <stdbool.h>

#include "memory/wait.h"

bool kin__deadlock_watched_slow(void);
extern _Atomic int kin__deadlock_switch; /* 0: not looked at yet, 1: off, 2: on */

/* Does this process look for cycles? */
static inline bool kin__deadlock_watched(void)
{
    int is = atomic_load_explicit(&kin__deadlock_switch, memory_order_relaxed);
    return __builtin_expect(is != 1, 0) && (is == 2 || kin__deadlock_watched_slow());
}

/* The calling thread is counted as waiting at `point`, which somebody holds: 0, or -EDEADLK when
 * that somebody waits, maybe over others, for the calling thread. */
int kin__deadlock_check(struct kin__wait_point *point);

/* While `bears`, the calling thread is not told: it has to wait whatever happens. */
void kin__deadlock_bear(bool bears);

#endif
