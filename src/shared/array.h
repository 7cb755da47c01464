/* array.h: an array from the inside, between array.c and item.c. */
#ifndef KIN_SHARED_ARRAY_H
#define KIN_SHARED_ARRAY_H

#include <stdatomic.h>

#include <kin/array.h>

#include "memory/region.h"
#include "shared/number.h"
#include "sync/mutex.h"

#define KIN__MAGIC_ARRAY 0x79617272616b6b01ull

/* SHARED.
 *   magic     OPENING → ARRAY by who opens it, → CLOSED by who closes it.
 *   code … opener   constant while it is open; `opener` is the process that is opening it.
 *   data      the items, a block of their own; atomic because the allocator's notes name it.
 *   closer    NULL → the thread that closes it, by CAS; → NULL when that turns out to be busy.
 *   own       the lock inside: a kin_lock is a mutex and nothing else.  Initialised where `lock`
 *             points to it.
 * The items are their users'. */
struct kin_array {
    uint64_t magic;
    char code;
    struct kin__number_type type;
    uint64_t item_size;
    uint64_t length;
    kin_lock *lock;
    uint64_t opener;
    _Atomic(void *) data;
    _Atomic(struct kin__member *) closer;
    struct kin__mutex own __attribute__((aligned(64)));
};

static inline int kin__array_enter(const kin_array *array)
{
    int rc = kin__enter();
    return __builtin_expect(rc == 0, 1)
               ? kin__check(array, offsetof(struct kin_array, magic), KIN__MAGIC_ARRAY)
               : rc;
}

#endif
