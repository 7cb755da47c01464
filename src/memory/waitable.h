/* waitable.h: what can be waited for together with others (kin/wait.h); each kind says how, in its own
 * file, when the program is loaded. */
#ifndef KIN_MEMORY_WAITABLE_H
#define KIN_MEMORY_WAITABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <kin/wait.h>

struct kin__event;

/* What workers bring about, of whom the caller may be one: while he sleeps, another takes his place, or nobody would
 * bring it about.
 *   working   is the caller a worker at all?
 *   pool      that which is to bring the item about, if the caller is a worker of it; else NULL.
 *   leave     before a sleep: 0, or -EDEADLK when nobody can take his place; come_back after it. */
struct kin__waitable_work {
    bool (*working)(void);
    void *(*pool)(const kin_waitable *item);
    int (*leave)(void *pool);
    void (*come_back)(void *pool);
};

/* How a kind is waited for: either for a descriptor that becomes readable, or for an event.
 *   look        is it ready?  1 or 0, or an error; KIN_ECLOSED when it is closed, which is ready too.
 *               What has a descriptor is asked only for what that does not show.
 *   life        which of the objects that lived at its address one after the other it is (object.h); 0: none, it is
 *               closed.  NULL: it is in private memory.  Another one than at the beginning of the wait is ready,
 *               as what is closed is.
 *   event       what is told when it may have become ready; NULL: see descriptor.
 *   descriptor  NULL: see event.
 *   keeps       it may be ready although its descriptor is not.
 *   work        NULL: the caller's own sleep does not hold it up. */
struct kin__waitable_class {
    int (*look)(const kin_waitable *item);
    uint32_t (*life)(const kin_waitable *item);
    struct kin__event *(*event)(const kin_waitable *item);
    int (*descriptor)(const kin_waitable *item);
    bool keeps;
    const struct kin__waitable_work *work;
};

extern const struct kin__waitable_class *kin__waitable_classes[KIN_WAITABLE_KINDS];

/* kin_wait for the objects that had those lives when the caller saw them last; NULL: that have them now. */
long kin__wait_for(kin_waitable *items, const uint32_t *lives, size_t count, kin_deadline deadline);

#endif
