/* settle.h: a forked child that sets what its options want before anything of its own runs, and a
 * parent that learns whether it could.
 *
 * The report comes through a page that both have, so no descriptor is made that another child could
 * inherit meanwhile.  CRASH: a child that is killed before it reports is seen by its descriptor; one
 * whose parent is killed ends with it.
 */
#ifndef KIN_PROCESS_SETTLE_H
#define KIN_PROCESS_SETTLE_H

#include "process/placement.h"

struct kin__report;

struct kin__settler {
    bool needed; /* there is something to be set, and by the child itself, after a fork */
    struct kin__placement placement;
    struct kin__report *report;
};

/* Sets it in the calling process, with one thread, and lets go of the control group's descriptor.
 * Returns 0, or a negative code, and `setting` tells where. */
int kin__settle(struct kin__setting *setting, const char *const *environment);

/* Before the start, which is a fork or not.  0 or a negative code, with words; either way
 * kin__settler_free follows, in the parent. */
int kin__settler_make(struct kin__settler *settler, const struct kin__wish *wish, bool fork);
/* In the child: sets it, and ends it when that cannot be done. */
void kin__settler_apply(struct kin__settler *settler);
/* In the parent: waits until the child has done so, and collects one that could not; with words. */
int kin__settler_await(struct kin__settler *settler, int descriptor, const struct kin__group *group,
                       const char *name);
void kin__settler_free(struct kin__settler *settler);

#endif
