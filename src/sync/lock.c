/* lock.c: the public lock: a mutex (mutex.h) that its holder cannot take twice. */
#include <kin/lock.h>

#include "sync/mutex.h"

/* SHARED.  See struct kin__mutex. */
struct kin_lock {
    struct kin__mutex mutex;
};

struct kin__mutex *kin__lock_mutex(kin_lock *lock, uint64_t *magic)
{
    *magic = KIN__MAGIC_LOCK;
    return (struct kin__mutex *)lock;
}

int kin_lock_open_with_sized(kin_lock **lock, const kin_lock_options *options, size_t size)
{
    return kin__mutex_open((void **)lock, false, options, size);
}

int kin_lock_open(kin_lock **lock)
{
    return kin_lock_open_with_sized(lock, NULL, 0);
}

int kin_lock_close(kin_lock *lock)
{
    return kin__mutex_close((struct kin__mutex *)lock, KIN__MAGIC_LOCK);
}

int kin_lock_acquire(kin_lock *lock, kin_deadline deadline)
{
    return kin__mutex_acquire((struct kin__mutex *)lock, KIN__MAGIC_LOCK, deadline);
}

int kin_lock_release(kin_lock *lock)
{
    return kin__mutex_release((struct kin__mutex *)lock, KIN__MAGIC_LOCK);
}

int kin_lock_locked(kin_lock *lock)
{
    return kin__mutex_locked((struct kin__mutex *)lock, KIN__MAGIC_LOCK);
}

int kin_lock_owner_sized(kin_lock *lock, kin_owner *owner, size_t size)
{
    return kin__mutex_tell((struct kin__mutex *)lock, KIN__MAGIC_LOCK, kin__mutex_owner, owner, size);
}

int kin_lock_last_death_sized(kin_lock *lock, kin_owner *dead, size_t size)
{
    return kin__mutex_tell((struct kin__mutex *)lock, KIN__MAGIC_LOCK, kin__mutex_last_death, dead, size);
}

int kin_lock_mark_repaired(kin_lock *lock)
{
    return kin__mutex_mark_repaired((struct kin__mutex *)lock, KIN__MAGIC_LOCK);
}
