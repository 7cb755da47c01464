/* group.c: structured concurrency: leaving a group ends what was started in it.
 *
 * Invariant: a group has as many members as coroutines name it, and is freed only without any. */
#include "coroutine/group.h"

#include <errno.h>

#include "os/os.h"

struct kin_group {
    uint64_t loop; /* its number */
    kin_coroutine *members;
    struct kin__waiters joiners; /* wait for the last member's end */
    unsigned joining;            /* those that wait, and those that were woken and have not looked yet */
    int failure;                 /* the first negative result */
    bool cancelled;
};

int kin_group_open(kin_group **group)
{
    struct kin__loop *loop = NULL;
    if (group == NULL) return -EINVAL;
    int rc = kin__loop_open(&loop);
    if (rc < 0) return rc;
    kin_group *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->loop = loop->number;
    *group = made;
    return 0;
}

int kin__group_may_enter(const kin_group *group, const struct kin__loop *loop)
{
    return group->loop != loop->number ? -EPERM : group->cancelled ? -ECANCELED : 0;
}

void kin__group_enter(kin_group *group, kin_coroutine *coroutine)
{
    coroutine->in_group.next = group->members;
    if (group->members != NULL) group->members->in_group.previous = coroutine;
    group->members = coroutine;
}

static void cancel_members(kin_group *group)
{
    group->cancelled = true;
    for (kin_coroutine *member = group->members; member != NULL; member = member->in_group.next)
        kin_coroutine_cancel(member);
}

void kin__group_left(kin_group *group, kin_coroutine *coroutine)
{
    struct kin__links *links = &coroutine->in_group;
    *(links->previous != NULL ? &links->previous->in_group.next : &group->members) = links->next;
    if (links->next != NULL) links->next->in_group.previous = links->previous;
    coroutine->group = NULL;
    /* What those return that were cancelled for it is no news. */
    if (coroutine->result < 0 && group->failure == 0 && !group->cancelled) {
        group->failure = coroutine->result;
        cancel_members(group);
    }
    if (group->members == NULL) kin__waiters_wake_them(&group->joiners);
}

static int check(const kin_group *group)
{
    if (group == NULL) return -EINVAL;
    if (!kin__is_own(group->loop)) return -EPERM;
    const kin_coroutine *self = kin__loop->current;
    return self != NULL && self->group == group ? -EDEADLK : 0;
}

int kin_group_join(kin_group *group, kin_deadline deadline)
{
    int rc = check(group);
    if (rc < 0) return rc;
    group->joining++;
    while (rc == 0 && group->members != NULL) rc = kin__wait_in(kin__loop, &group->joiners, deadline);
    if (rc == 0) rc = group->failure;
    group->joining--;
    return rc;
}

int kin_group_cancel(kin_group *group)
{
    if (group == NULL) return -EINVAL;
    if (!kin__is_own(group->loop)) return -EPERM;
    cancel_members(group);
    return 0;
}

int kin_group_close(kin_group *group)
{
    if (group == NULL) return 0;
    /* Of a loop that was closed it may be left over. */
    if (group->members == NULL && group->joining == 0) {
        kin__os_free(group);
        return 0;
    }
    int rc = check(group);
    if (rc < 0) return rc;
    kin_coroutine *self = kin__running();
    cancel_members(group);
    if (self != NULL) self->shielded++;
    while (group->members != NULL && rc == 0) rc = kin__wait_in(kin__loop, &group->joiners, KIN_FOREVER);
    while (group->joining > 0 && rc == 0) rc = kin_coroutine_yield();
    if (self != NULL) self->shielded--;
    if (rc == 0) kin__os_free(group);
    return rc;
}
