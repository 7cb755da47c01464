/* semaphore.h: how a semaphore lies in family memory; see semaphore.c. */
#ifndef KIN_SYNC_SEMAPHORE_H
#define KIN_SYNC_SEMAPHORE_H

#include <kin/semaphore.h>

#include "memory/object.h"
#include "memory/wait.h"
#include "sync/permits.h"

#define KIN__MAGIC_SEMAPHORE 0x726f6870616d6573ull

/* SHARED.
 *   head      see object.h.
 *   plain, bounded, limit   constant while it is open; plain is also read by who comes late to a
 *             closed one.
 *   released  "there may be a permit, or it was closed".
 *   permits   of an owned semaphore; see permits.h.  They begin on the head's cache line, so that a
 *             semaphore of up to four permits is one line.
 *   count     of a plain one, in the place of the first cells; changed by CAS, seq_cst where it grows. */
struct kin_semaphore {
    struct kin__object head;
    uint32_t limit;
    _Atomic(bool) plain;
    bool bounded;
    struct kin__event released;
    union {
        struct kin__permits permits;
        _Atomic uint32_t count;
    };
};
_Static_assert(offsetof(struct kin_semaphore, permits) == 56, "the first word is on the first line");

#endif
