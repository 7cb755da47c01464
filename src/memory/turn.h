/* turn.h: taking turns among the threads and coroutines of a process, for work on private memory.
 *
 * A holder in another process is none: it was copied by a fork.  What is protected is whole after each
 * single store, so that a child finds it so wherever its parent's other threads were.
 */
#ifndef KIN_MEMORY_TURN_H
#define KIN_MEMORY_TURN_H

#include <errno.h>
#include <stdatomic.h>

#include <kin/time.h>

#include "memory/private.h"
#include "memory/wait.h"
#include "os/os.h"
#include "os/suspend.h"

#define KIN__TURN_SLEPT 0x80000000u /* somebody may sleep on the word */

struct kin__turn {
    _Atomic uint32_t word; /* the process in which somebody has it; 0: nobody */
};

/* 0; -ETIMEDOUT; in a coroutine also -ECANCELED. */
static inline int kin__turn_take(struct kin__turn *turn, kin_deadline deadline)
{
    uint32_t self = (uint32_t)kin__os_pid(), slept = 0, seen = 0;
    for (;;) {
        if ((seen & ~KIN__TURN_SLEPT) != self) {
            /* Who has slept does not know whether others do. */
            if (atomic_compare_exchange_strong(&turn->word, &seen, self | slept)) return 0;
            continue;
        }
        if (deadline <= 0) return -ETIMEDOUT;
        if ((seen & KIN__TURN_SLEPT) == 0 &&
            !atomic_compare_exchange_strong(&turn->word, &seen, seen | KIN__TURN_SLEPT))
            continue;
        slept = KIN__TURN_SLEPT;
        int rc = kin__sleep_private(&turn->word, self | KIN__TURN_SLEPT, deadline);
        if (rc < 0) return rc;
        seen = atomic_load(&turn->word);
    }
}

/* One that others have for short: even one who is cancelled waits for it. */
static inline void kin__turn_wait(struct kin__turn *turn)
{
    kin__shield(1);
    kin__turn_take(turn, KIN_FOREVER);
    kin__shield(-1);
}

static inline void kin__turn_end(struct kin__turn *turn)
{
    if ((atomic_exchange(&turn->word, 0) & KIN__TURN_SLEPT) != 0) kin__wake_private(&turn->word, 1);
}

#endif
