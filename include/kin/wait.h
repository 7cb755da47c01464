/* kin/wait.h: waiting for many things at once: queues, results, events, semaphores, conditions, processes,
 * connections, listeners, signals and descriptors, in any mixture.
 *
 *     kin_waitable items[] = {kin_on_queue(queue), kin_on_process(child), kin_on_descriptor(0)};
 *     long ready = kin_wait(items, 3, kin_in_s(5));
 *     if (ready > 0 && items[0].ready) …
 *
 * What is ready stays ready until somebody takes it; another may be faster, so take with KIN_NOW.
 * For a loop over many things, a kin_waiter is told of them once; it has a descriptor for which
 * epoll, libuv, GLib or asyncio can wait in turn. */
#ifndef KIN_WAIT_H
#define KIN_WAIT_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/condition.h>
#include <kin/connection.h>
#include <kin/event.h>
#include <kin/listener.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/queue.h>
#include <kin/semaphore.h>
#include <kin/signals.h>
#include <kin/time.h>

KIN_BEGIN

enum kin_waitable_kind {
    KIN_WAITABLE_NONE, /* never ready */
    KIN_WAITABLE_DESCRIPTOR,
    KIN_WAITABLE_CONNECTION,
    KIN_WAITABLE_LISTENER,
    KIN_WAITABLE_PROCESS,
    KIN_WAITABLE_QUEUE,
    KIN_WAITABLE_RESULT,
    KIN_WAITABLE_EVENT,
    KIN_WAITABLE_SEMAPHORE,
    KIN_WAITABLE_CONDITION,
    KIN_WAITABLE_SIGNALS,
    KIN_WAITABLE_KINDS
};

typedef struct kin_waitable {
    enum kin_waitable_kind kind;
    int descriptor;     /* of a KIN_WAITABLE_DESCRIPTOR; of a KIN_WAITABLE_CONDITION, when it was made */
    const void *object; /* of the others */
    void *data;         /* the caller's */
    bool ready;         /* out: by kin_wait */
} kin_waitable;

/* kin_on_queue and the like name one thing to wait for.  Ready is: a queue that has a message or is
 * ended; a result that is there; an event that is set; a semaphore of which a permit is free; a receiver that
 * has a signal; a process that has ended; a connection that has something to be received, or is at its end;
 * a listener that has something to do (kin_listener_fileno); a descriptor that can be read, or is at its
 * end.  Do not block. */
static inline kin_waitable kin_waitable_of(enum kin_waitable_kind kind, int descriptor, const void *object)
{
    kin_waitable item;
    item.kind = kind;
    item.descriptor = descriptor;
    item.object = object;
    item.data = NULL;
    item.ready = false;
    return item;
}
static inline kin_waitable kin_on_descriptor(int descriptor)
{
    return kin_waitable_of(KIN_WAITABLE_DESCRIPTOR, descriptor, NULL);
}
static inline kin_waitable kin_on_connection(const kin_connection *connection)
{
    return kin_waitable_of(KIN_WAITABLE_CONNECTION, -1, connection);
}
static inline kin_waitable kin_on_listener(const kin_listener *listener)
{
    return kin_waitable_of(KIN_WAITABLE_LISTENER, -1, listener);
}
static inline kin_waitable kin_on_process(const kin_process *process)
{
    return kin_waitable_of(KIN_WAITABLE_PROCESS, -1, process);
}
static inline kin_waitable kin_on_queue(const kin_queue *queue)
{
    return kin_waitable_of(KIN_WAITABLE_QUEUE, -1, queue);
}
static inline kin_waitable kin_on_result(const kin_result *result)
{
    return kin_waitable_of(KIN_WAITABLE_RESULT, -1, result);
}
static inline kin_waitable kin_on_event(const kin_event *event)
{
    return kin_waitable_of(KIN_WAITABLE_EVENT, -1, event);
}

static inline kin_waitable kin_on_semaphore(const kin_semaphore *semaphore)
{
    return kin_waitable_of(KIN_WAITABLE_SEMAPHORE, -1, semaphore);
}
static inline kin_waitable kin_on_signals(const kin_signals *signals)
{
    return kin_waitable_of(KIN_WAITABLE_SIGNALS, -1, signals);
}

/* kin_on_condition names a condition as it is now: ready is one that was notified after this call, before the wait
 * or in it, or whose lock was left by somebody who died.  Call it with the lock held, when what you wait for is not
 * so; then release the lock and wait, holding none:
 *
 *     while (!there_is_work(box)) {
 *         items[0] = kin_on_condition(changed);
 *         kin_condition_release(changed);
 *         kin_wait(items, 2, KIN_FOREVER);
 *         kin_condition_acquire(changed, KIN_FOREVER);
 *     }
 *
 * It stays ready: to wait again, make the item anew (for a waiter: remove it and add the new one).  Without the
 * lock a notification may be missed.  Does not block.  Whatever is wrong with the condition kin_wait says. */
KIN_API kin_waitable kin_on_condition(const kin_condition *condition);

/* kin_wait waits until one of `count` items is ready, or until `deadline`; it sets `ready` in each of them
 * and returns how many are, 0 at the deadline.  Safe for threads; not for signal handlers.
 * Errors: -EINVAL (NULL), KIN_EFOREIGN, KIN_ENOTCHILD, KIN_ENOTGIVEN (an item is not of this family or
 * process), -EBADF (a descriptor is not open), -ENOSPC (8,000 are being waited for in the family, or 1,000 wait
 * for one thing), -EDEADLK (a task would have to wait for one of its own pool, and too many do: kin_pool_submit),
 * -EMFILE, -ENFILE, -ENOMEM, those of kin_family_open. */
KIN_API long kin_wait(kin_waitable *items, size_t count, kin_deadline deadline);

/* A set of things to wait for, in private memory.  One thread at a time uses it. */
typedef struct kin_waiter kin_waiter;

/* kin_waiter_open makes an empty waiter and stores it in `*waiter`.  Does not block.
 * Errors: -EINVAL (NULL), -EMFILE, -ENFILE, -ENOMEM, those of kin_family_open. */
KIN_API int kin_waiter_open(kin_waiter **waiter);

/* kin_waiter_add adds a copy of `*item`, whose `data` tells the caller which one it is.
 * kin_waiter_remove takes out the one with the same kind, descriptor and object; it comes before the
 * closing of what it names.  Do not block.
 * Errors: those of kin_wait; -EEXIST (it is there already), -EPERM (a file, which is always ready);
 * remove: -ENOENT (it is not there), KIN_ENOTGIVEN (the waiter is another process's). */
KIN_API int kin_waiter_add(kin_waiter *waiter, const kin_waitable *item);
KIN_API int kin_waiter_remove(kin_waiter *waiter, const kin_waitable *item);

/* kin_waiter_wait waits until one of its items is ready, or until `deadline`; it stores at most `limit` of
 * those that are in `ready` and returns how many, 0 at the deadline.  All have their turn.  What it
 * costs grows with how many are ready, and hardly with how many there are.
 * Errors: -EINVAL (NULL, limit 0), KIN_ENOTGIVEN (another process's), -EDEADLK (as kin_wait), -ENOMEM. */
KIN_API long kin_waiter_wait(kin_waiter *waiter, kin_waitable *ready, size_t limit, kin_deadline deadline);

/* kin_waiter_fileno returns a descriptor, the waiter's, that is readable when one of the items may be
 * ready: then call kin_waiter_wait with KIN_NOW.  A task that sleeps on it for a result of its own pool has nobody in
 * its place.  Does not block.
 * Errors: -EINVAL (NULL), KIN_ENOTGIVEN, -EMFILE, -ENFILE. */
KIN_API int kin_waiter_fileno(kin_waiter *waiter);

/* kin_waiter_close frees the waiter; the items are not touched.  NULL is allowed.  Does not block.
 * Errors: none. */
KIN_API int kin_waiter_close(kin_waiter *waiter);

KIN_END
#endif
