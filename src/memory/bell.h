/* bell.h: bells: how whoever wakes the sleepers of a wait point reaches a process that does not
 * sleep on it, but in poll or epoll, for many things at once.
 *
 * A bell hangs at a wait point and belongs to a process, which has a socket that it rings.  While it
 * is armed it counts among the point's sleepers: so who wakes nobody pays nothing for bells.
 *
 * Invariants:
 *  - A bell is counted before it can be rung, and no more when it has been.  The point's count is
 *    never smaller than its living sleepers and armed bells; after a death it may be larger for a while.
 *  - A bell is found from its point alone, by a hash; what else is in the table does not matter.
 *  - Events and locks have bells (their points say in `dirty`, which is of no other use there, how many windows of
 *    the table they have used), latches have none.
 */
#ifndef KIN_MEMORY_BELL_H
#define KIN_MEMORY_BELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct kin__wait_point;

#define KIN__BELLS 8192

/* SHARED, in the table.
 *   state   kind in the lowest 3 bits, a count of changes in 16, then the owner's identity
 *           (struct kin__process_slot, generation).  FREE → CLAIMED by CAS by the owner; CLAIMED →
 *           ARMING → ARMED, and RINGING → ARMED by the owner; ARMED → RINGING → CLAIMED by who rings, all
 *           by CAS; → FREE by the owner or, after its death, by the reaper.
 *   point   where it hangs; written by the owner between CLAIMED and ARMED, read by all.
 *   number  of the socket that it rings; likewise. */
struct kin__bell {
    _Atomic uint64_t state;
    _Atomic(struct kin__wait_point *) point;
    _Atomic uint64_t number;
    uint64_t unused;
};

/* Hangs a bell at the point, not armed: -ENOSPC (too many), -ENOMEM.  The thread has joined. */
int kin__bell_hang(struct kin__bell **bell, struct kin__wait_point *point, uint64_t number);
void kin__bell_take_down(struct kin__bell *bell);
/* From here on it rings when somebody wakes.  The caller looks at what it waits for afterwards. */
void kin__bell_arm(struct kin__bell *bell);
bool kin__bell_is_armed(struct kin__bell *bell);

/* For wait.c, on a point with bells: rings all that are armed; how many count as sleepers. */
void kin__bells_ring(struct kin__wait_point *point);
uint32_t kin__bells_counted(struct kin__wait_point *point);

/* For the reaper: takes down those of a dead process. */
void kin__bells_reap(uint64_t identity);
/* For the reaper: rings those at words that nobody owns, because their owners died, or freed them and died
 * before they woke anybody. */
void kin__bells_ring_free(void);

/* The name of a bell's socket, as text of at most KIN__BELL_NAME bytes. */
#define KIN__BELL_NAME 64
void kin__bell_name(char name[KIN__BELL_NAME], uint64_t number);

#endif
