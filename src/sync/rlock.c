/* rlock.c: the public reentrant lock: a mutex (mutex.h) that its holder can take again. */
#include <kin/rlock.h>

#include <errno.h>
#include <string.h>

#include "sync/mutex.h"

#define MAGIC_RLOCK 0x6b636f6c726b6e01ull

/* SHARED.  See struct kin__mutex.  Of one class of memory with the lock, whose word it shares. */
struct kin_rlock {
    struct kin__mutex mutex;
};

struct kin__mutex *kin__rlock_mutex(kin_rlock *rlock, uint64_t *magic)
{
    *magic = MAGIC_RLOCK;
    return &rlock->mutex;
}

int kin_rlock_open_sized(kin_rlock **rlock, const kin_lock_options *options, size_t size)
{
    kin_lock_options given = {0};
    if (rlock == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin_rlock *made = kin__allocate_object(KIN__OBJECT_LOCK, sizeof *made, &rc);
    if (made == NULL) return rc;
    struct kin__mutex_plan plan = {.recursive = true, .strict = given.strict};
    kin__mutex_init(&made->mutex, plan, MAGIC_RLOCK);
    *rlock = made;
    kin__allocate_finish();
    return 0;
}

int kin_rlock_close(kin_rlock *rlock)
{
    if (rlock == NULL) return 0;
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    if (rc == 0) rc = kin__mutex_shut(&rlock->mutex, MAGIC_RLOCK);
    return rc < 0 ? rc : kin__free(rlock, NULL);
}

int kin_rlock_acquire(kin_rlock *rlock, kin_deadline deadline)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    return __builtin_expect(rc < 0, 0) ? rc : kin__mutex_acquire(&rlock->mutex, MAGIC_RLOCK, deadline);
}

int kin_rlock_release(kin_rlock *rlock)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    return __builtin_expect(rc < 0, 0) ? rc : kin__mutex_release(&rlock->mutex);
}

int kin_rlock_locked(kin_rlock *rlock)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    return rc < 0 ? rc : (atomic_load(&rlock->mutex.robust.point.word) & KIN__WORD_OWNER) != 0;
}

long kin_rlock_depth(kin_rlock *rlock)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    if (rc < 0) return rc;
    return kin__mutex_held_by_me(&rlock->mutex) ? (long)kin__mutex_depth(&rlock->mutex) + 1 : 0;
}

int kin_rlock_owner_sized(kin_rlock *rlock, kin_owner *owner, size_t size)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    return rc < 0 ? rc : kin__mutex_tell(&rlock->mutex, kin__mutex_owner, owner, size);
}

int kin_rlock_last_death_sized(kin_rlock *rlock, kin_owner *dead, size_t size)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    return rc < 0 ? rc : kin__mutex_tell(&rlock->mutex, kin__mutex_last_death, dead, size);
}

int kin_rlock_mark_repaired(kin_rlock *rlock)
{
    int rc = kin__mutex_enter(rlock, MAGIC_RLOCK);
    return rc < 0 ? rc : kin__mutex_mark_repaired(&rlock->mutex);
}
