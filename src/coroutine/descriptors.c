/* descriptors.c: coroutines that wait for descriptors.
 *
 * Invariants:
 *  - Whoever waits has armed its descriptor after it entered itself: the kernel reports it once, and
 *    whoever is left after a report arms it again.  What the set holds is the kernel's truth alone; a
 *    number that was closed, and is another's by now, is found out by arming it.
 *  - A coroutine that was woken takes its own entries out.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <kin/loop.h>

#include "coroutine/descriptors.h"
#include "coroutine/loop.h"
#include "coroutine/words.h"
#include "os/epoll.h"
#include "os/os.h"

#define READY_MOST 256
#define ON_STACK   32

/* One descriptor that a coroutine waits for, on its stack; `who` NULL: the thread itself. */
struct kin__descriptor_waiter {
    struct kin__descriptor_waiter *next;
    struct kin__descriptor_waiter *previous;
    kin_coroutine *who;
    int descriptor;
    unsigned events;
    unsigned happened;
};

static int make_room(struct kin__loop *loop, int descriptor)
{
    if ((size_t)descriptor < loop->descriptor_count) return 0;
    size_t count = loop->descriptor_count != 0 ? loop->descriptor_count : 64;
    while (count <= (size_t)descriptor) count *= 2;
    struct kin__descriptor *more = kin__os_calloc(count, sizeof *more);
    if (more == NULL) return -ENOMEM;
    if (loop->descriptor_count > 0) memcpy(more, loop->descriptors, loop->descriptor_count * sizeof *more);
    kin__os_free(loop->descriptors);
    loop->descriptors = more;
    loop->descriptor_count = count;
    return 0;
}

static int arm(struct kin__loop *loop, int descriptor)
{
    struct kin__descriptor *entry = &loop->descriptors[descriptor];
    unsigned events = 0;
    for (struct kin__descriptor_waiter *waiter = entry->first; waiter != NULL; waiter = waiter->next)
        if (waiter->happened == 0) events |= waiter->events;
    if (events == 0) return 0;
    return kin__os_epoll_arm(loop->epoll, descriptor, events, &entry->armed);
}

static void remove_waiter(struct kin__loop *loop, struct kin__descriptor_waiter *waiter)
{
    struct kin__descriptor *entry = &loop->descriptors[waiter->descriptor];
    *(waiter->previous != NULL ? &waiter->previous->next : &entry->first) = waiter->next;
    if (waiter->next != NULL) waiter->next->previous = waiter->previous;
    loop->descriptors_waited--;
}

/* 1 when it is ready by its nature. */
static int add_waiter(struct kin__loop *loop, struct kin__descriptor_waiter *waiter)
{
    int rc = make_room(loop, waiter->descriptor);
    if (rc < 0) return rc;
    struct kin__descriptor *entry = &loop->descriptors[waiter->descriptor];
    waiter->previous = NULL;
    waiter->next = entry->first;
    if (entry->first != NULL) entry->first->previous = waiter;
    entry->first = waiter;
    loop->descriptors_waited++;
    rc = arm(loop, waiter->descriptor);
    if (rc == 1) waiter->happened = waiter->events;
    if (rc < 0) remove_waiter(loop, waiter);
    return rc;
}

/* ---- the loop's side ----------------------------------------------------------------------------------- */

static void report(struct kin__loop *loop, const struct kin__ready *ready)
{
    if ((size_t)ready->descriptor >= loop->descriptor_count) return;
    struct kin__descriptor *entry = &loop->descriptors[ready->descriptor];
    if (entry->armed.generation != ready->generation) return;
    bool left = false;
    for (struct kin__descriptor_waiter *waiter = entry->first; waiter != NULL; waiter = waiter->next) {
        waiter->happened |= ready->events & waiter->events;
        if (waiter->happened == 0)
            left = true;
        else if (waiter->who != NULL)
            kin__ready(waiter->who);
    }
    if (left) arm(loop, ready->descriptor);
}

int kin__descriptors_poll(struct kin__loop *loop, kin_deadline deadline)
{
    struct kin__ready ready[READY_MOST];
    int count = kin__os_epoll_wait(loop->epoll, ready, READY_MOST, deadline);
    int foreign = kin__foreign_descriptor(loop);
    for (int i = 0; i < count; i++) {
        if (ready[i].descriptor == foreign)
            kin__foreign_run(loop);
        else if (ready[i].descriptor == loop->timer)
            loop->timer_set = KIN_FOREVER;
        else if (!kin__words_rung(loop, ready[i].descriptor))
            report(loop, &ready[i]);
    }
    return count < 0 ? count : 0;
}

/* ---- the waiting side ------------------------------------------------------------------------------------ */

static bool any_happened(const struct kin__descriptor_waiter *waiters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (waiters[i].happened != 0) return true;
    return false;
}

static int wait_for(struct kin__loop *loop, struct kin__descriptor_waiter *waiters, size_t count,
                    kin_deadline deadline)
{
    while (!any_happened(waiters, count)) {
        int rc = kin__park(loop, deadline);
        if (rc < 0) return rc == -ETIMEDOUT && any_happened(waiters, count) ? 0 : rc;
    }
    return 0;
}

static int await(struct kin__loop *loop, struct kin__descriptor_waiter *waiters, size_t count,
                 kin_deadline deadline)
{
    size_t added = 0;
    int rc = 0;
    for (; added < count && rc >= 0; added++) {
        waiters[added].who = loop->current;
        rc = waiters[added].descriptor < 0 ? 0 : add_waiter(loop, &waiters[added]);
        if (rc < 0) break;
    }
    /* What has passed is looked at once: the kernel has been asked and has not answered yet. */
    if (rc >= 0 && deadline <= 0 && !any_happened(waiters, count)) kin__descriptors_poll(loop, KIN_NOW);
    if (rc >= 0) rc = wait_for(loop, waiters, count, deadline);
    for (size_t i = 0; i < added; i++)
        if (waiters[i].descriptor >= 0) remove_waiter(loop, &waiters[i]);
    return rc;
}

int kin__descriptors_wait(struct kin__loop *loop, struct kin__poll *items, size_t count,
                          kin_deadline deadline)
{
    struct kin__descriptor_waiter few[ON_STACK] = {{0}}, *waiters = few;
    if (count > ON_STACK && (waiters = kin__os_calloc(count, sizeof *waiters)) == NULL) return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        waiters[i].descriptor = items[i].descriptor;
        waiters[i].events = items[i].write ? KIN__WRITABLE : KIN__READABLE;
    }
    int rc = await(loop, waiters, count, deadline);
    int ready = 0;
    for (size_t i = 0; i < count; i++) ready += items[i].ready = rc == 0 && waiters[i].happened != 0;
    if (waiters != few) kin__os_free(waiters);
    return rc == 0 ? ready : rc == -ETIMEDOUT ? 0 : rc;
}

/* Outside of coroutines: polls, running them meanwhile where there are some. */
static int wait_outside(struct kin__descriptor_waiter *waiter, kin_deadline deadline)
{
    struct kin__loop *loop = NULL;
    int rc = kin__loop_open(&loop);
    if (rc < 0) return rc;
    rc = add_waiter(loop, waiter);
    if (rc < 0) return rc;
    static const bool never = false;
    do rc = kin__turn(loop, waiter->happened != 0 ? KIN_NOW : deadline, &never);
    while (rc == 0 && waiter->happened == 0 && (deadline == KIN_FOREVER || kin__os_clock() < deadline));
    remove_waiter(loop, waiter);
    return rc == 0 && waiter->happened == 0 ? -ETIMEDOUT : rc;
}

int kin_wait_descriptor(int descriptor, int events, kin_deadline deadline)
{
    if (events == 0 || (events & ~(KIN_READABLE | KIN_WRITABLE)) != 0 || descriptor < 0) return -EINVAL;
    struct kin__descriptor_waiter waiter = {.descriptor = descriptor, .events = (unsigned)events};
    int rc =
        kin__running() != NULL ? await(kin__loop, &waiter, 1, deadline) : wait_outside(&waiter, deadline);
    return rc < 0 ? rc : (int)waiter.happened;
}
