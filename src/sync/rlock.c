/* rlock.c: the public reentrant lock: a mutex (mutex.h) that its holder can take again. */
#include <kin/rlock.h>

#include "sync/mutex.h"

/* SHARED.  See struct kin__mutex.  Of one class of memory with the lock, whose word it shares. */
struct kin_rlock {
    struct kin__mutex mutex;
};

struct kin__mutex *kin__rlock_mutex(kin_rlock *rlock, uint64_t *magic)
{
    *magic = KIN__MAGIC_RLOCK;
    return (struct kin__mutex *)rlock;
}

int kin_rlock_open_sized(kin_rlock **rlock, const kin_lock_options *options, size_t size)
{
    return kin__mutex_open((void **)rlock, true, options, size);
}

int kin_rlock_close(kin_rlock *rlock)
{
    return kin__mutex_close((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK);
}

int kin_rlock_acquire(kin_rlock *rlock, kin_deadline deadline)
{
    return kin__mutex_acquire((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK, deadline);
}

int kin_rlock_release(kin_rlock *rlock)
{
    return kin__mutex_release((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK);
}

int kin_rlock_locked(kin_rlock *rlock)
{
    return kin__mutex_locked((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK);
}

long kin_rlock_depth(kin_rlock *rlock)
{
    return kin__mutex_times((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK);
}

int kin_rlock_owner_sized(kin_rlock *rlock, kin_owner *owner, size_t size)
{
    return kin__mutex_tell((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK, kin__mutex_owner, owner, size);
}

int kin_rlock_last_death_sized(kin_rlock *rlock, kin_owner *dead, size_t size)
{
    return kin__mutex_tell((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK, kin__mutex_last_death, dead, size);
}

int kin_rlock_mark_repaired(kin_rlock *rlock)
{
    return kin__mutex_mark_repaired((struct kin__mutex *)rlock, KIN__MAGIC_RLOCK);
}
