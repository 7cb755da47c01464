/* inspecting.h: what the tests of kin_inspect look with. */
#ifndef INSPECTING_H
#define INSPECTING_H

#include "support/test.h"

#include <kin/error.h>
#include <kin/inspect.h>

/* The family that a process belongs to, which has to be there. */
static inline kin_inspection *look_at(int pid)
{
    kin_inspection *seen = NULL;
    kin_inspected_family family;
    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.pid = pid}));
    CHECK_OK(kin_inspection_family(seen, 0, &family));
    CHECK_RC(kin_inspection_family(seen, 1, &family), KIN_EINDEX);
    return seen;
}

static inline kin_inspected_lock find_lock(const kin_inspection *seen, const void *lock)
{
    kin_inspected_lock found;
    for (size_t i = 0; kin_inspection_lock(seen, 0, i, &found) == 0; i++)
        if (found.lock == lock) return found;
    FAIL("the lock was not seen");
}

#endif
