/* kin/rlock.h: a lock that the thread which holds it may take again.
 *
 *     kin_rlock *rlock = NULL;
 *     int rc = kin_rlock_open(&rlock, NULL);
 *     …
 *     rc = kin_rlock_acquire(rlock, KIN_FOREVER);
 *     if (rc < 0) return rc;
 *     KIN_RLOCK_GUARD(rlock);
 *     change_more(data);                           // which takes the lock itself
 */
#ifndef KIN_RLOCK_H
#define KIN_RLOCK_H

#include <kin/lock.h>

KIN_BEGIN

/* It lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_rlock kin_rlock;

/* kin_rlock_open makes a lock that nobody holds and stores it in `*rlock`; `options` may be
 * NULL.  Whoever opened it, any one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), -ENOMEM, and those of kin_family_open. */
KIN_API int kin_rlock_open_sized(kin_rlock **rlock, const kin_lock_options *options, size_t size);
static inline int kin_rlock_open(kin_rlock **rlock, const kin_lock_options *options)
{
    return kin_rlock_open_sized(rlock, options, sizeof(kin_lock_options));
}

/* kin_rlock_close destroys it.  NULL is allowed.  Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: -EBUSY (held, or waited for), KIN_ECLOSED,
 * KIN_EFOREIGN. */
KIN_API int kin_rlock_close(kin_rlock *rlock);

/* kin_rlock_acquire takes the lock for the calling thread, once more if it has it already, and
 * waits until `deadline` while another thread has it.  Each acquire wants a release.  Returns 0,
 * or KIN_OWNER_DIED: the caller holds it once, and the thread that held it before died with it,
 * however often it held it.  Safe like kin_lock_acquire.
 * Errors: -ETIMEDOUT, KIN_EHELD (it holds 1000 locks, or this one 4,294,967,296 times), -EDEADLK
 * (in a signal handler that interrupted kin), KIN_EUNREPAIRED (strict locks), KIN_ECLOSED, KIN_EFOREIGN,
 * -EINVAL (NULL), KIN_ESLOTS. */
KIN_API int kin_rlock_acquire(kin_rlock *rlock, kin_deadline deadline);

/* kin_rlock_release undoes one acquire; with the last one it lets somebody else have the lock.
 * Does not wait.
 * Errors, after which nothing has changed: -EPERM (the calling thread does not hold it),
 * KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API int kin_rlock_release(kin_rlock *rlock);

/* kin_rlock_depth returns how often the calling thread holds the lock, 0 if it does not;
 * kin_rlock_locked returns 1 while any thread holds it and 0 otherwise.  Do not block.
 * Errors: KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API long kin_rlock_depth(kin_rlock *rlock);
KIN_API int kin_rlock_locked(kin_rlock *rlock);

/* kin_rlock_owner, kin_rlock_last_death and kin_rlock_mark_repaired are for an rlock what
 * kin_lock_owner, kin_lock_last_death and kin_lock_mark_repaired are for a lock, with the same
 * errors. */
KIN_API int kin_rlock_owner_sized(kin_rlock *rlock, kin_owner *owner, size_t size);
static inline int kin_rlock_owner(kin_rlock *rlock, kin_owner *owner)
{
    return kin_rlock_owner_sized(rlock, owner, sizeof(kin_owner));
}
KIN_API int kin_rlock_last_death_sized(kin_rlock *rlock, kin_owner *dead, size_t size);
static inline int kin_rlock_last_death(kin_rlock *rlock, kin_owner *dead)
{
    return kin_rlock_last_death_sized(rlock, dead, sizeof(kin_owner));
}
KIN_API int kin_rlock_mark_repaired(kin_rlock *rlock);

KIN_END

/* KIN_RLOCK_GUARD(rlock) undoes one acquire at the end of the block; see KIN_LOCK_GUARD. */
#define KIN_RLOCK_GUARD(rlock) \
    KIN_AT_END(kin__rlock_guard_end) kin_rlock *KIN_GUARD_NAME(kin_rlock_guard_, __LINE__) = (rlock)

static inline void kin__rlock_guard_end(kin_rlock **rlock)
{
    kin_rlock_release(*rlock);
}

#endif
