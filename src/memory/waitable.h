/* waitable.h: what can be waited for together with others (kin/wait.h); each kind says how, in its own
 * file, when the program is loaded. */
#ifndef KIN_MEMORY_WAITABLE_H
#define KIN_MEMORY_WAITABLE_H

#include <stdint.h>

#include <kin/wait.h>

struct kin__event;

/* How a kind is waited for: either for a descriptor that becomes readable, or for an event.
 *   look        is it ready?  1 or 0, or an error; KIN_ECLOSED when it is closed, which is ready too.
 *               What has a descriptor is asked only for what that does not show.
 *   life        which of the objects that lived at its address one after the other it is (object.h); 0: none, it is
 *               closed.  NULL: it is in private memory.  Another one than at the beginning of the wait is ready,
 *               as what is closed is.
 *   event       what is told when it may have become ready; NULL: see descriptor.
 *   descriptor  NULL: see event.
 *   keeps       it may be ready although its descriptor is not. */
struct kin__waitable_class {
    int (*look)(const kin_waitable *item);
    uint32_t (*life)(const kin_waitable *item);
    struct kin__event *(*event)(const kin_waitable *item);
    int (*descriptor)(const kin_waitable *item);
    bool keeps;
};

extern const struct kin__waitable_class *kin__waitable_classes[KIN_WAITABLE_KINDS];

/* kin_wait for the objects that had those lives when the caller saw them last; NULL: that have them now. */
long kin__wait_for(kin_waitable *items, const uint32_t *lives, size_t count, kin_deadline deadline);

#endif
