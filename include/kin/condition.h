/* kin/condition.h: waiting, with a lock, until something about the data it protects is true.
 *
 *     kin_condition *changed = NULL;
 *     int rc = kin_condition_open(&changed, NULL);            // with a lock of its own
 *     …who waits…                                            …who changes…
 *     kin_condition_acquire(changed, KIN_FOREVER);            kin_condition_acquire(changed, KIN_FOREVER);
 *     rc = kin_condition_wait_for(changed, not_empty, box,    box->count++;
 *                                 kin_in_s(5));               kin_condition_notify(changed, 1);
 *     if (rc >= 0) box->count--;                              kin_condition_release(changed);
 *     kin_condition_release(changed);
 */
#ifndef KIN_CONDITION_H
#define KIN_CONDITION_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/lock.h>
#include <kin/rlock.h>
#include <kin/time.h>

KIN_BEGIN

/* It lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_condition kin_condition;

typedef struct kin_condition_options {
    /* The lock of the data, which may have several conditions and has to stay open as long as they.
     * One of the two; neither: the condition makes a lock of its own, which can be taken again by
     * who has it. */
    kin_lock *lock;
    kin_rlock *rlock;
} kin_condition_options;

/* kin_condition_open makes a condition and stores it in `*condition`; `options` may be NULL.
 * Whoever opened it, any one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL, or two locks), KIN_ECLOSED and KIN_EFOREIGN (of the lock), -ENOMEM, and
 * those of kin_family_open. */
KIN_API int kin_condition_open_sized(kin_condition **condition, const kin_condition_options *options,
                                     size_t size);
static inline int kin_condition_open(kin_condition **condition, const kin_condition_options *options)
{
    return kin_condition_open_sized(condition, options, sizeof(kin_condition_options));
}

/* kin_condition_close destroys a condition, and its lock if that is its own.  NULL is allowed.
 * Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: -EBUSY (waited for, or its own lock is held),
 * KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_condition_close(kin_condition *condition);

/* kin_condition_acquire and kin_condition_release take and give back the condition's lock, as
 * kin_lock_acquire or kin_rlock_acquire do and with their errors. */
KIN_API int kin_condition_acquire(kin_condition *condition, kin_deadline deadline);
KIN_API int kin_condition_release(kin_condition *condition);

/* kin_condition_wait gives the lock back, however often the calling thread has it, sleeps until
 * it is notified or `deadline` has passed, and takes the lock again in any case, as often as it
 * was held, which may take longer than `deadline`.  Returns 0, or KIN_OWNER_DIED: an owner of the
 * lock died meanwhile (see kin_lock_acquire).  It may return without a notification, after a
 * death above all: look at what you wait for again, or use kin_condition_wait_for.
 * Safe for threads.  Not for signal handlers.
 * Errors: -ETIMEDOUT (the lock is held all the same), -EPERM (the calling thread does not hold
 * the lock).  And, the lock not being held any more: KIN_EUNREPAIRED (a strict lock became
 * unusable), KIN_ECLOSED (the lock was closed), KIN_EFOREIGN, KIN_EHELD.  -EINVAL (NULL). */
KIN_API int kin_condition_wait(kin_condition *condition, kin_deadline deadline);

/* What kin_condition_wait_for waits for; called with the lock held. */
typedef bool kin_condition_predicate(void *argument);

/* kin_condition_wait_for waits as often as it takes until `predicate(argument)` is true, and
 * returns 0: it is true, and the lock is held.  It looks before the first wait and after the
 * deadline too.  When an owner of the lock has died it returns KIN_OWNER_DIED without
 * looking any more, so that the data can be repaired first.  Safe like kin_condition_wait.
 * Errors: those of kin_condition_wait. */
KIN_API int kin_condition_wait_for(kin_condition *condition, kin_condition_predicate *predicate,
                                   void *argument, kin_deadline deadline);

/* kin_condition_notify wakes at least `count` of those who wait at that moment, or all if they
 * are fewer; kin_condition_notify_all wakes all.  They go on when the caller has released the
 * lock.  Nobody is waited for: a sleeper that was killed is not missed, and what it was woken for
 * goes to the others.  Do not wait.
 * Errors: -EPERM (the calling thread does not hold the lock), -EINVAL (NULL), KIN_ECLOSED,
 * KIN_EFOREIGN. */
KIN_API int kin_condition_notify(kin_condition *condition, unsigned count);
KIN_API int kin_condition_notify_all(kin_condition *condition);

KIN_END
#endif
