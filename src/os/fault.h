/* fault.h: the switch by which a test makes the n-th call of a kind fail.
 *
 * Every call of os.h that can fail for want of something passes through kin__os_fault; those
 * that cannot (clocks, ids, futexes, signals, closing) do not, for no caller could meet their
 * failure in life.  Switched off, it costs one branch that is always predicted. */
#ifndef KIN_OS_FAULT_H
#define KIN_OS_FAULT_H

#include "os/os.h"

extern bool kin__os_fault_armed;
int kin__os_fault_count(enum kin__fault kind);

/* 0, or the -error with which the call that asks has to fail. */
static inline int kin__os_fault(enum kin__fault kind)
{
    if (__builtin_expect(__atomic_load_n(&kin__os_fault_armed, __ATOMIC_RELAXED), 0))
        return kin__os_fault_count(kind);
    return 0;
}

#endif
