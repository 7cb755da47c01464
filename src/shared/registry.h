/* registry.h: how the names that kin_publish keeps lie in family memory; see registry.c. */
#ifndef KIN_SHARED_REGISTRY_H
#define KIN_SHARED_REGISTRY_H

#include <stdatomic.h>

#include <kin/publish.h>

#define KIN__NAMES_IN_BLOCK 64

/* SHARED.  Everything under the registry's latch.
 *   text    written while object is NULL.
 *   object  what is published; NULL: the place is free. */
struct kin__name {
    void *object;
    char text[KIN_NAME_SIZE];
};

/* SHARED.
 *   next    NULL, or the next block; also named by the note of the thread that adds that. */
struct kin__names {
    _Atomic(void *) next;
    struct kin__name names[KIN__NAMES_IN_BLOCK];
};

#endif
