/* turn.h: taking turns among the threads of a process, for short work on private memory.
 *
 * A holder in another process is none: it was copied by a fork.  What is protected is whole after each
 * single store, so that a child finds it so wherever its parent's other threads were.
 */
#ifndef KIN_MANAGER_TURN_H
#define KIN_MANAGER_TURN_H

#include <errno.h>
#include <stdatomic.h>

#include <kin/time.h>

#include "os/os.h"

struct kin__turn {
    _Atomic int owner; /* the process in which a thread has it; 0: none */
};

/* 0, or -ETIMEDOUT. */
static inline int kin__turn_take(struct kin__turn *turn, kin_deadline deadline)
{
    int self = kin__os_pid();
    for (;;) {
        int owner = atomic_load_explicit(&turn->owner, memory_order_relaxed);
        /* Acquire: pairs with the release of who had it before. */
        if (owner != self && atomic_compare_exchange_strong_explicit(
                                 &turn->owner, &owner, self, memory_order_acquire, memory_order_relaxed))
            return 0;
        if (kin_clock() >= deadline) return -ETIMEDOUT;
        kin__os_yield();
    }
}

static inline void kin__turn_end(struct kin__turn *turn)
{
    atomic_store_explicit(&turn->owner, 0, memory_order_release);
}

#endif
