/* deaths.c: how processes of the family ended.  See deaths.h for the invariants. */
#include "memory/deaths.h"

#include <string.h>

#include "memory/region.h"
#include "os/os.h"

#define LOOKS      20
#define BETWEEN_NS 100000

static _Atomic uint64_t *place_of(int pid)
{
    return &kin__family.header->ends[(uint32_t)pid % KIN__ENDS];
}

void kin__death_note(int pid, const kin_exit_status *status)
{
    if (!kin__family_known() || pid <= 0 || status->kind == KIN_UNKNOWN) return;
    /* Relaxed: the word is all there is. */
    atomic_store_explicit(place_of(pid), (uint64_t)pid << 32 | kin__end_word(status), memory_order_relaxed);
}

void kin__death_forget(int pid)
{
    if (!kin__family_known()) return;
    uint64_t seen = atomic_load_explicit(place_of(pid), memory_order_relaxed);
    if (seen >> 32 == (uint64_t)pid) atomic_compare_exchange_strong(place_of(pid), &seen, 0);
}

void kin__death_look(int pid, kin_exit_status *status)
{
    for (int i = 0; i < LOOKS; i++) {
        if (i > 0) kin__os_sleep_until(kin__os_clock() + BETWEEN_NS);
        kin__os_process_end(pid, status);
        if (status->kind != KIN_UNKNOWN) return;
        uint64_t seen = atomic_load_explicit(place_of(pid), memory_order_relaxed);
        if (seen >> 32 != (uint64_t)pid) continue;
        memset(status, 0, sizeof *status);
        status->kind = kin__end_kind((uint32_t)seen);
        status->code = kin__end_code((uint32_t)seen);
        status->signal = kin__end_signal((uint32_t)seen);
        return;
    }
}
