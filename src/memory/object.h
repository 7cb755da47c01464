/* object.h: the head that objects of one block share: opening, closing, and what a death leaves.
 *
 * Invariants:
 *  - From the preparation to the end of the closing `self` names the block, so that whoever finishes
 *    a closing that a death interrupted frees it exactly once.
 *  - `opened` tells the objects that lived in one block after each other apart: who waited on the
 *    one does not take the next for it.
 */
#ifndef KIN_MEMORY_OBJECT_H
#define KIN_MEMORY_OBJECT_H

#include "memory/region.h"

/* SHARED, at the beginning of an object.
 *   magic   → its kind's by who opens it, → CLOSED by who closes it.
 *   self    NULL → the object, by who opens it; back to NULL by kin__free.
 *   closer  the thread that opens it → NULL → the thread that closes it, by CAS.
 *   opened  counts the openings; written by who opens it, before `self`. */
struct kin__object {
    uint64_t magic;
    _Atomic(void *) self;
    _Atomic(struct kin__member *) closer;
    _Atomic uint32_t opened;
};

/* Opening: make; kin__touch; fill in what closing relies on; prepare; the rest, which may allocate;
 * store the address for the program; open; kin__untouch.  *error says why NULL is returned.
 * CRASH: before prepare the reaper frees the block by the allocator's note.  From there until it is
 * open it counts as being closed by the thread that opens it. */
static inline void *kin__object_make(enum kin__object_kind kind, size_t size, int *error)
{
    struct kin__object *object = kin__allocate_object(kind, size, error);
    if (object == NULL) return NULL;
    atomic_store(&object->closer, kin__self.member);
    atomic_fetch_add(&object->opened, 1);
    return object;
}
static inline void kin__object_prepare(struct kin__object *object)
{
    __atomic_store_n(&object->magic, KIN__MAGIC_CLOSED, __ATOMIC_RELEASE);
    kin__allocate_publish(&object->self);
}
static inline void kin__object_open(struct kin__object *object, uint64_t magic)
{
    __atomic_store_n(&object->magic, magic, __ATOMIC_RELEASE);
    atomic_store(&object->closer, NULL);
}

/* Closing: kin__touch; begin; wake those who wait; end; kin__untouch.  Begin returns 0, or
 * KIN_ECLOSED when another thread closes it.
 * CRASH: after begin the reaper goes on where the closer died (kin__object_announce). */
static inline int kin__object_close_begin(struct kin__object *object)
{
    struct kin__member *nobody = NULL;
    if (!atomic_compare_exchange_strong(&object->closer, &nobody, kin__self.member)) return KIN_ECLOSED;
    __atomic_store_n(&object->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    return 0;
}
static inline int kin__object_close_end(struct kin__object *object)
{
    return kin__free(object, &object->self);
}

/* For the reaper: was the dead thread closing the object, and has not come to the end?  Then the
 * object counts as closed, and the caller wakes those who wait and calls kin__object_close_end. */
static inline bool kin__object_closing(struct kin__object *object, const struct kin__member *dead)
{
    if (atomic_load(&object->self) != object || atomic_load(&object->closer) != dead) return false;
    __atomic_store_n(&object->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    return true;
}

#endif
