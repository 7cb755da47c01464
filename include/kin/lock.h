/* kin/lock.h: a lock between processes and threads that survives the death of its owner.
 *
 *     kin_lock *lock = NULL;
 *     int rc = kin_lock_open(&lock);
 *     …
 *     rc = kin_lock_acquire(lock, kin_in_ms(250));
 *     if (rc < 0) return rc;
 *     KIN_LOCK_GUARD(lock);                        // released on every way out of the block
 *     if (rc == KIN_OWNER_DIED) repair(data);      // we hold it; its last owner died
 *     data->n++;
 */
#ifndef KIN_LOCK_H
#define KIN_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/process.h>
#include <kin/time.h>

KIN_BEGIN

/* A lock lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_lock kin_lock;

typedef struct kin_lock_options {
    /* A death has to be answered: whoever acquires the lock with KIN_OWNER_DIED calls
     * kin_lock_mark_repaired before it releases it.  If it does not, the lock is unusable, and
     * acquiring it fails with KIN_EUNREPAIRED for all that follow. */
    bool strict;
    /* A lock of a manager (kin/manager.h) instead: where that listens. */
    const char *address;
    const void *key; /* what the manager wants its clients to know */
    size_t key_size;
    const char *name; /* what the manager calls the lock; NULL: "Lock", a new one */
} kin_lock_options;

/* kin_lock_open makes a lock that nobody holds and stores it in `*lock`.  Whoever opened it,
 * any one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), -ENOMEM, and those of kin_family_open. */
KIN_API int kin_lock_open(kin_lock **lock);

/* kin_lock_open_with is kin_lock_open with options, which may be NULL.  With an address it is a lock of a
 * manager, an RLock, Semaphore or Condition as well, or whatever can be acquired and released; and used by the same
 * calls, but kin_lock_owner, kin_lock_last_death and kin_lock_mark_repaired, which fail with -EOPNOTSUPP, as
 * kin_lock_locked does where the manager's object cannot say it (those of Python's managers).  Closing it leaves the
 * manager's lock as it is, and ends the calls of it that other threads of the process are in, which lose their
 * connections to that manager for it.  Errors, besides those: of kin_manager_connect,
 * KIN_EREMOTE (the manager has no such type or name: kin_manager_error(NULL) tells), KIN_EKIND (it has no acquire),
 * -EINVAL (a key or name without an address, a key without its size); and in every call those of kin_proxy_call. */
KIN_API int kin_lock_open_with_sized(kin_lock **lock, const kin_lock_options *options, size_t size);
static inline int kin_lock_open_with(kin_lock **lock, const kin_lock_options *options)
{
    return kin_lock_open_with_sized(lock, options, sizeof(kin_lock_options));
}

/* kin_lock_close destroys a lock.  NULL is allowed.  Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: -EBUSY (held, or waited for), -EPERM (the lock of an
 * array, which is closed with it), KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_lock_close(kin_lock *lock);

/* kin_lock_acquire takes the lock for the calling thread, waiting until `deadline` while
 * another has it.  Returns 0, or KIN_OWNER_DIED: the caller holds the lock as well, and the
 * thread that held it before died (or exec'ed) with it; this is told once.
 * Safe for threads.  A child made by fork does not hold what its parent holds.  Not for
 * signal handlers, except with KIN_NOW.
 * Errors: -ETIMEDOUT, -EDEADLK (this thread holds it already, or see kin_deadlock_text), KIN_EHELD
 * (it holds 1000 locks), KIN_EUNREPAIRED (strict locks), KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL),
 * KIN_ESLOTS. */
KIN_API int kin_lock_acquire(kin_lock *lock, kin_deadline deadline);

/* kin_lock_release gives the lock back and lets one who waits have it.  Does not wait.
 * Errors, after which nothing has changed: -EPERM (the calling thread does not hold it),
 * KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API int kin_lock_release(kin_lock *lock);

/* kin_lock_locked returns 1 while somebody holds the lock and 0 otherwise.  Does not block.
 * Errors: KIN_ECLOSED, KIN_EFOREIGN, -EINVAL (NULL). */
KIN_API int kin_lock_locked(kin_lock *lock);

/* A thread that holds a lock, or that died with it. */
typedef struct kin_owner {
    int pid;                /* 0: not known */
    int thread;             /* the thread's id as the system has it; of a first thread the pid */
    char name[16];          /* of a living thread, as the system shows it; may be empty */
    enum kin_exit_kind end; /* how its process ended: KIN_RUNNING: it lives, and of one that died
                               with a lock only the thread ended, or exec'ed; KIN_UNKNOWN: another
                               than kin had collected it when the death was noticed */
    int code;               /* of KIN_EXITED */
    int signal;             /* of KIN_SIGNALED */
} kin_owner;

/* kin_lock_owner fills `*owner` with who holds the lock at the moment of reading and returns 1,
 * or 0 when nobody does.  Reads two files below /proc; does not wait for others.
 * Errors: those of kin_lock_locked. */
KIN_API int kin_lock_owner_sized(kin_lock *lock, kin_owner *owner, size_t size);
static inline int kin_lock_owner(kin_lock *lock, kin_owner *owner)
{
    return kin_lock_owner_sized(lock, owner, sizeof(kin_owner));
}

/* kin_lock_last_death fills `*dead` with the last owner that died with the lock and returns 1,
 * or 0 when none has.  A death is noted when the next owner is told of it.  Does not block.
 * Errors: those of kin_lock_locked. */
KIN_API int kin_lock_last_death_sized(kin_lock *lock, kin_owner *dead, size_t size);
static inline int kin_lock_last_death(kin_lock *lock, kin_owner *dead)
{
    return kin_lock_last_death_sized(lock, dead, sizeof(kin_owner));
}

/* kin_lock_mark_repaired says that what the lock protects is whole again after a death.  Of use
 * for strict locks; for others, and without a death, it does nothing.  Does not block.
 * Errors: -EPERM (the calling thread does not hold it), and those of kin_lock_locked. */
KIN_API int kin_lock_mark_repaired(kin_lock *lock);

/* kin_deadlock_text writes what the calling thread's last -EDEADLK for a cycle was about, such as
 * "thread 12 of process 12 (cook) waits for the lock at 0x…, held by thread 14 of process 14 (…),
 * which waits …", and returns the length it would have, like snprintf; 0 when there was none.
 * With KIN_DEBUG=deadlock in the environment of a process, a wait of its threads for a lock, an
 * rlock or to write in an rwlock fails with -EDEADLK at once when it closes a cycle of threads
 * of the family that wait for each other in that way.  Does not block.  Errors: -EINVAL (NULL). */
KIN_API int kin_deadlock_text(char *text, size_t size);

KIN_END

/* KIN_LOCK_GUARD(lock) releases a lock that the calling thread holds at the end of the block,
 * whichever way it is left: return, break, goto, in C++ an exception.  With KIN_AT_END any
 * function that takes the address of the variable is called there. */
#define KIN_AT_END(function)        __attribute__((cleanup(function), unused))
#define KIN_GUARD_PASTE(name, line) name##line
#define KIN_GUARD_NAME(name, line)  KIN_GUARD_PASTE(name, line)
#define KIN_LOCK_GUARD(lock) \
    KIN_AT_END(kin__lock_guard_end) kin_lock *KIN_GUARD_NAME(kin_lock_guard_, __LINE__) = (lock)

static inline void kin__lock_guard_end(kin_lock **lock)
{
    kin_lock_release(*lock);
}

#endif
