/* kin/rwlock.h: a lock for many who read or one who writes, between processes and threads.
 *
 *     kin_rwlock *lock = NULL;
 *     int rc = kin_rwlock_open(&lock, NULL);
 *     …who reads…                                       …who writes…
 *     rc = kin_rwlock_acquire_read(lock, KIN_FOREVER);  rc = kin_rwlock_acquire_write(lock, KIN_FOREVER);
 *     if (rc >= 0) {                                    if (rc == KIN_OWNER_DIED) repair(data);
 *         look(data);                                   if (rc >= 0) {
 *         kin_rwlock_release(lock);                         change(data);
 *     }                                                     kin_rwlock_release(lock);
 *                                                       }
 */
#ifndef KIN_RWLOCK_H
#define KIN_RWLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/lock.h>
#include <kin/time.h>

KIN_BEGIN

/* It lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_rwlock kin_rwlock;

typedef struct kin_rwlock_options {
    /* Whoever has to wait, reader or writer, comes in the order in which it began to.  Without it
     * writers go first: a reader waits as long as a writer does. */
    bool fair;
} kin_rwlock_options;

/* kin_rwlock_open makes a lock that nobody holds and stores it in `*lock`; `options` may be NULL.
 * Whoever opened it, any one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), -ENOMEM, and those of kin_family_open. */
KIN_API int kin_rwlock_open_sized(kin_rwlock **lock, const kin_rwlock_options *options, size_t size);
static inline int kin_rwlock_open(kin_rwlock **lock, const kin_rwlock_options *options)
{
    return kin_rwlock_open_sized(lock, options, sizeof(kin_rwlock_options));
}

/* kin_rwlock_close destroys a lock.  NULL is allowed.  Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: -EBUSY (held, or waited for), KIN_ECLOSED,
 * KIN_EFOREIGN. */
KIN_API int kin_rwlock_close(kin_rwlock *lock);

/* kin_rwlock_acquire_read lets the calling thread read, beside others that do, and waits until
 * `deadline` while another writes.  A thread that reads may do so once more, also while a writer
 * waits; each acquire wants a release.  Returns 0, or KIN_OWNER_DIED: it reads, and the last
 * writer died (or exec'ed) with the lock, which is told once, to whoever comes next.  Nobody is
 * told of a reader that died; it just does not read any more.
 * Safe for threads.  A child made by fork does not hold what its parent holds.  Not for signal
 * handlers.
 * Errors: -ETIMEDOUT, -EDEADLK (this thread writes), KIN_EHELD (it holds 1000 locks, or more than
 * 2000 threads read), -ENOMEM, KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL), KIN_ESLOTS. */
KIN_API int kin_rwlock_acquire_read(kin_rwlock *lock, kin_deadline deadline);

/* kin_rwlock_acquire_write lets the calling thread write, alone, and waits until `deadline` while
 * others read or write.  Returns 0, or KIN_OWNER_DIED as kin_rwlock_acquire_read does: it holds
 * the lock, and what the lock protects may be half-changed.  Safe like that.
 * Errors: -ETIMEDOUT, -EDEADLK (this thread reads or writes already), KIN_EHELD (it holds 1000
 * locks), KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL), KIN_ESLOTS. */
KIN_API int kin_rwlock_acquire_write(kin_rwlock *lock, kin_deadline deadline);

/* kin_rwlock_release gives back what the calling thread holds, for writing or for reading, and
 * lets those who wait go on.  Does not wait.
 * Errors, after which nothing has changed: -EPERM (the calling thread does not hold it),
 * KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API int kin_rwlock_release(kin_rwlock *lock);

/* kin_rwlock_readers returns how many read at the moment; a thread that reads twice may count
 * twice.  Does not block.  Errors: KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API long kin_rwlock_readers(kin_rwlock *lock);

/* kin_rwlock_owner and kin_rwlock_last_death are for the writers what kin_lock_owner and
 * kin_lock_last_death are for a lock, with the same errors. */
KIN_API int kin_rwlock_owner_sized(kin_rwlock *lock, kin_owner *owner, size_t size);
static inline int kin_rwlock_owner(kin_rwlock *lock, kin_owner *owner)
{
    return kin_rwlock_owner_sized(lock, owner, sizeof(kin_owner));
}
KIN_API int kin_rwlock_last_death_sized(kin_rwlock *lock, kin_owner *dead, size_t size);
static inline int kin_rwlock_last_death(kin_rwlock *lock, kin_owner *dead)
{
    return kin_rwlock_last_death_sized(lock, dead, sizeof(kin_owner));
}

KIN_END

/* KIN_RWLOCK_GUARD(lock) releases what the calling thread holds at the end of the block, whichever
 * way it is left; see KIN_LOCK_GUARD. */
#define KIN_RWLOCK_GUARD(lock) \
    KIN_AT_END(kin__rwlock_guard_end) kin_rwlock *KIN_GUARD_NAME(kin_rwlock_guard_, __LINE__) = (lock)

static inline void kin__rwlock_guard_end(kin_rwlock **lock)
{
    kin_rwlock_release(*lock);
}

#endif
