/* fault.c: counting calls and making one fail.  See fault.h.
 *
 * A test means one process: a child of kin__os_fork begins unarmed.
 */
#include "os/fault.h"

bool kin__os_fault_armed;

static struct {
    enum kin__fault kind;
    unsigned n;
    int error;
    bool sticky;
    unsigned calls;
} fault;

void kin__os_fault_set(enum kin__fault kind, unsigned n, int error, bool sticky)
{
    __atomic_store_n(&kin__os_fault_armed, false, __ATOMIC_RELAXED);
    if (n == 0) return;
    fault.kind = kind;
    fault.n = n;
    fault.error = error;
    fault.sticky = sticky;
    __atomic_store_n(&fault.calls, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&kin__os_fault_armed, true, __ATOMIC_RELEASE);
}

unsigned kin__os_fault_calls(void)
{
    return __atomic_load_n(&fault.calls, __ATOMIC_RELAXED);
}

int kin__os_fault_count(enum kin__fault kind)
{
    /* Acquire: pairs with the release that armed it. */
    if (!__atomic_load_n(&kin__os_fault_armed, __ATOMIC_ACQUIRE)) return 0;
    if (fault.kind != KIN__FAULT_KINDS && fault.kind != kind) return 0;
    unsigned call = __atomic_add_fetch(&fault.calls, 1, __ATOMIC_RELAXED);
    return call == fault.n || (fault.sticky && call > fault.n) ? -fault.error : 0;
}
