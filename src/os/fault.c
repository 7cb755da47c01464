/* fault.c: counting calls and making one fail.  See fault.h.
 *
 * A test means one process: a child of kin__os_fork begins unarmed.  Other threads may make calls while it is
 * switched over, which count for either fault.
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
    __atomic_store_n(&fault.kind, kind, __ATOMIC_RELAXED);
    __atomic_store_n(&fault.n, n, __ATOMIC_RELAXED);
    __atomic_store_n(&fault.error, error, __ATOMIC_RELAXED);
    __atomic_store_n(&fault.sticky, sticky, __ATOMIC_RELAXED);
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
    enum kin__fault meant = __atomic_load_n(&fault.kind, __ATOMIC_RELAXED);
    if (meant != KIN__FAULT_KINDS && meant != kind) return 0;
    unsigned call = __atomic_add_fetch(&fault.calls, 1, __ATOMIC_RELAXED);
    unsigned n = __atomic_load_n(&fault.n, __ATOMIC_RELAXED);
    bool fails = call == n || (__atomic_load_n(&fault.sticky, __ATOMIC_RELAXED) && call > n);
    return fails ? -__atomic_load_n(&fault.error, __ATOMIC_RELAXED) : 0;
}
