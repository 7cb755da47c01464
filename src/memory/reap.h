/* reap.h: cleaning up after the dead.
 *
 * Invariants: reaping is idempotent, and a reaper that dies half-way is followed by another
 * that repeats what it did.  One process reaps at a time; nobody ever waits for a reaper.  A reaper waits for
 * nobody either: it does not get a latch whose holder is stopped (kin__self.reap_missed), then frees nothing more of
 * what it is settling, and that is settled at a later look.  A process's slot is kept until all objects of the family
 * have been asked about it.
 */
#ifndef KIN_MEMORY_REAP_H
#define KIN_MEMORY_REAP_H

#include <stdint.h>

#include "memory/allocator.h"
#include "memory/table.h"

/* What the layers above have to do with a death, by kind of object; they register it when the
 * program is loaded.
 *   announce  tells the other users of `object` (what the thread `dead` was touching) to look
 *             again; completes what it may have left half-done.
 *   left      tells those who wait in `object` that a thread which waited somewhere in it is dead: those
 *             who wait at the same point as it did are told anyhow.  Of a point in memory that an object has
 *             added (a segment of readers) nobody is told: they find out when their slice ends.
 *   held      settles an object that the dead process `identity` held: frees it unless it is
 *             another's by now.  Returns false to be asked again later.
 *   forget    for each object of the kind: gives back what the process in slot `dead`, which has
 *             ended, held in it.  The object may be on its way to or from being open. */
struct kin__reap_hooks {
    void (*announce)(void *object, struct kin__member *dead);
    void (*left)(void *object);
    bool (*held)(void *object, _Atomic(void *) *entry, uint64_t identity);
    void (*forget)(void *object, struct kin__process_slot *dead);
};
/* The last one is of blocks that are no objects. */
extern struct kin__reap_hooks kin__reap_hooks[KIN__OBJECT_KINDS + 1];

/* Looks for dead members and processes and cleans up after them; returns how many it found.
 * The calling thread has not necessarily joined. */
int kin__reap(void);

/* Reaps until nothing is left of the threads of a process that has ended: another reaper may be at work,
 * and have passed them by.  Gives up after a second, for one that is stopped. */
void kin__reap_of(int pid);

/* Are there deaths that nobody has dealt with?  Reads memory only: of a process without members
 * that is not known, and it is time to look when a slice has passed since the last look. */
bool kin__reap_needed(void);

#endif
