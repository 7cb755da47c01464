/* deaths.h: how processes of the family ended, for those who find something that a dead one held.
 *
 * Invariants:
 *  - As long as nobody has collected a dead process the system tells how it ended; who collects one for the
 *    family notes that here.  In between there may be a moment in which neither knows: who looks waits for it.
 *  - An entry is one word, written by one store: of the processes whose pids share a place the last stays.
 */
#ifndef KIN_MEMORY_DEATHS_H
#define KIN_MEMORY_DEATHS_H

#include <stdint.h>

#include <kin/process.h>

/* How something ended, in one word. */
static inline uint32_t kin__end_word(const kin_exit_status *status)
{
    return (uint32_t)status->kind << 16 | (uint32_t)(status->code & 0xff) << 8 |
           (uint32_t)(status->signal & 0xff);
}
static inline enum kin_exit_kind kin__end_kind(uint32_t word)
{
    return (enum kin_exit_kind)(word >> 16);
}
static inline int kin__end_code(uint32_t word)
{
    return (int)(word >> 8 & 0xff);
}
static inline int kin__end_signal(uint32_t word)
{
    return (int)(word & 0xff);
}

/* Notes how a process ended, by who has just collected it; nothing happens outside a family. */
void kin__death_note(int pid, const kin_exit_status *status);
/* A new process has that pid. */
void kin__death_forget(int pid);
/* Finds out how a process ended: KIN_UNKNOWN if nobody knows, KIN_RUNNING if it has not.  Waits some milliseconds
 * at most for who is collecting it. */
void kin__death_look(int pid, kin_exit_status *status);

#endif
