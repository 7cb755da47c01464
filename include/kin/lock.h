/* kin/lock.h: a lock between processes and threads that survives the death of its owner.
 *
 *     kin_lock *lock = NULL;
 *     int rc = kin_lock_open(&lock);
 *     …
 *     rc = kin_lock_acquire(lock, kin_in_ms(250));
 *     if (rc == KIN_OWNER_DIED) repair(data);      // we hold it; its last owner died
 *     if (rc >= 0) { data->n++; kin_lock_release(lock); }
 */
#ifndef KIN_LOCK_H
#define KIN_LOCK_H

#include <kin/time.h>

KIN_BEGIN

/* A lock lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_lock kin_lock;

/* kin_lock_open makes a lock that nobody holds and stores it in `*lock`.  Whoever opened it,
 * any one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), -ENOMEM, and those of kin_family_open. */
KIN_API int kin_lock_open(kin_lock **lock);

/* kin_lock_close destroys a lock.  NULL is allowed.  Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: -EBUSY (held, or waited for), KIN_ECLOSED,
 * KIN_EFOREIGN. */
KIN_API int kin_lock_close(kin_lock *lock);

/* kin_lock_acquire takes the lock for the calling thread, waiting until `deadline` while
 * another has it.  Returns 0, or KIN_OWNER_DIED: the caller holds the lock as well, and the
 * thread that held it before died (or exec'ed) with it; this is told once.
 * Safe for threads.  A child made by fork does not hold what its parent holds.  Not for
 * signal handlers, except with KIN_NOW.
 * Errors: -ETIMEDOUT, -EDEADLK (this thread holds it already), KIN_EHELD (it holds 1000
 * locks), KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL), KIN_ESLOTS. */
KIN_API int kin_lock_acquire(kin_lock *lock, kin_deadline deadline);

/* kin_lock_release gives the lock back and lets one who waits have it.  Does not wait.
 * Errors, after which nothing has changed: -EPERM (the calling thread does not hold it),
 * KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API int kin_lock_release(kin_lock *lock);

KIN_END
#endif
