/* rwlock.h: how a read-write lock lies in family memory; see rwlock.c. */
#ifndef KIN_SYNC_RWLOCK_H
#define KIN_SYNC_RWLOCK_H

#include <kin/rwlock.h>

#include "memory/object.h"
#include "sync/mutex.h"

#define KIN__MAGIC_RWLOCK 0x6c77726e696b0101ull
#define KIN__MAGIC_GATE   0x6c77726e696b0102ull
#define KIN__MAGIC_TURN   0x6c77726e696b0103ull

#define KIN__READERS_FIRST   16
#define KIN__READER_SEGMENT  64
#define KIN__READER_SEGMENTS 32

/* SHARED.  One who reads.
 *   hold    see struct kin__robust.
 *   depth   how often its holder reads beyond the first time.  By the holder. */
struct kin__reader {
    struct kin__robust hold;
    uint32_t depth;
} __attribute__((aligned(64)));

/* SHARED.
 *   head      see object.h.
 *   fair      constant; atomic, as who is late may see the next lock's.
 *   gate      the writer's.
 *   untold    0 → 1 by who holds the gate, after a death; → 0 by who is told.
 *   waiting   readers that wait for the gate to be free.  One that finds it held marks it before it sleeps
 *             (kin__owner_mark), so that who gives back a gate without a mark need not look here.
 *   turn      fair locks: whoever has to wait, reader or writer, waits for this first.
 *   used      a bit for each of the first entries that somebody has ever taken: set before that, by fetch_or, and
 *             never cleared while it is open.  Seq_cst, as the entries and the gate: a reader whose bit a writer
 *             did not see sees that writer's gate.
 *   growing   of who publishes a segment.
 *   capacity  entries there are: READERS_FIRST, and READER_SEGMENT for each segment.  Written under
 *             `growing`.
 *   segment   NULL → a segment, under `growing`; freed when the lock is. */
struct kin_rwlock {
    struct kin__object head;
    _Atomic bool fair;
    _Atomic uint32_t untold;
    _Atomic uint32_t capacity;
    _Atomic uint32_t used;
    struct kin__mutex gate __attribute__((aligned(64)));
    struct kin__event waiting;
    struct kin__latch growing;
    struct kin__mutex turn __attribute__((aligned(64)));
    _Atomic(void *) segment[KIN__READER_SEGMENTS];
    struct kin__reader first[KIN__READERS_FIRST];
};

static inline bool kin__rwlock_is_fair(const kin_rwlock *lock)
{
    return atomic_load_explicit(&lock->fair, memory_order_relaxed);
}

#endif
