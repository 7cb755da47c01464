/* kin/semaphore.h: a semaphore: so many permits, and no more, between processes and threads.
 *
 *     kin_semaphore *connections = NULL;
 *     int rc = kin_semaphore_open(&connections, 4, NULL);     // four at the same time
 *     …
 *     rc = kin_semaphore_acquire(connections, kin_in_s(5));
 *     if (rc == 0) { …use one…; kin_semaphore_release(connections); }
 *
 * A permit belongs to the process that acquired it.  If that process ends without having released it,
 * however it ends, the permit comes back by itself.
 */
#ifndef KIN_SEMAPHORE_H
#define KIN_SEMAPHORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

KIN_BEGIN

/* A semaphore lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_semaphore kin_semaphore;

typedef struct kin_semaphore_options {
    bool bounded; /* to release what nobody has acquired is an error; otherwise it adds a permit */
    bool plain;   /* permits belong to nobody: for signals from those who release to those who acquire.
                     What a process acquired before it died is used up. */
} kin_semaphore_options;

/* kin_semaphore_open makes a semaphore with `permits` free permits and stores it in `*semaphore`;
 * `options` may be NULL.  Whoever opened it, any one process closes it.  Blocks and is safe like
 * kin_alloc.
 * Errors: -EINVAL (NULL, or more permits than 100,000, or 2,147,483,647 for a plain one), -ENOMEM,
 * and those of kin_family_open. */
KIN_API int kin_semaphore_open_sized(kin_semaphore **semaphore, uint32_t permits,
                                     const kin_semaphore_options *options, size_t size);
static inline int kin_semaphore_open(kin_semaphore **semaphore, uint32_t permits,
                                     const kin_semaphore_options *options)
{
    return kin_semaphore_open_sized(semaphore, permits, options, sizeof(kin_semaphore_options));
}

/* kin_semaphore_close destroys a semaphore; who waits for it gets KIN_ECLOSED.  NULL is allowed.
 * Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: KIN_ECLOSED (closed before), KIN_EFOREIGN. */
KIN_API int kin_semaphore_close(kin_semaphore *semaphore);

/* kin_semaphore_acquire takes a permit, waiting until `deadline` while there is none.  It is not
 * fair: a thread that is running may take a permit before one that is being woken.
 * Safe for threads.  A child made by fork does not hold what its parent holds.  Not for signal
 * handlers.
 * Errors, after which nothing was taken: -ETIMEDOUT, -EINVAL (NULL), KIN_ECLOSED (also when it is
 * closed meanwhile), KIN_EFOREIGN, KIN_ESLOTS. */
KIN_API int kin_semaphore_acquire(kin_semaphore *semaphore, kin_deadline deadline);

/* kin_semaphore_release gives a permit back and lets one who waits have it: one that this process
 * holds, whichever of its threads acquired it; or else one that another process holds, which then
 * holds one less; or else, when nobody holds any, it adds one, unless the semaphore is bounded.
 * Does not wait for others.  Safe for threads; not for signal handlers.
 * Errors, after which nothing has changed: KIN_ERELEASED (bounded: nobody holds one), -EOVERFLOW
 * (there would be more than kin_semaphore_open allows), -ENOMEM (there is none for more permits),
 * -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN, KIN_ESLOTS. */
KIN_API int kin_semaphore_release(kin_semaphore *semaphore);

/* kin_semaphore_release_many releases `count` permits, as so many calls of kin_semaphore_release do.
 * Errors: those of kin_semaphore_release; KIN_ERELEASED is found out beforehand, so that nothing has
 * changed after it, unless others release at the same time. */
KIN_API int kin_semaphore_release_many(kin_semaphore *semaphore, uint32_t count);

/* kin_semaphore_value returns how many permits are free, exact at the moment of reading.  Does not
 * wait.
 * Errors: -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN, and those of kin_family_open. */
KIN_API long kin_semaphore_value(kin_semaphore *semaphore);

KIN_END
#endif
