/* lock.c: the public lock: robust, between processes and threads.
 *
 * Invariants:
 *  - The owner word always carries FUTEX_WAITERS and sleepers are counted in a word of their
 *    own (see latch.h), so that neither a death of the owner nor one between release and
 *    wake-up leaves a sleeper behind.
 *  - A held lock is in its owner's robust list: any number up to LOCKS_MOST at once, which is
 *    below what the kernel walks at a death (2048).
 *  - The kernel sets OWNER_DIED in the word; whoever takes the word next clears it and is the
 *    one who is told.
 */
#include <kin/lock.h>

#include <errno.h>

#include <kin/error.h>

#include "memory/latch.h"
#include "memory/region.h"

#define MAGIC_LOCK 0x6b636f6c6e696b01ull
#define LOCKS_MOST 1000

/* SHARED.  See struct kin__robust for who writes what. */
struct kin_lock {
    struct kin__robust robust;
};

static int check(const kin_lock *lock)
{
    return kin__check(lock, offsetof(struct kin__robust, magic), MAGIC_LOCK);
}

int kin_lock_open(kin_lock **lock)
{
    if (lock == NULL) return -EINVAL;
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin_lock *made = kin__allocate_object(KIN__OBJECT_LOCK, sizeof *made, &rc);
    if (made == NULL) return rc;
    made->robust.point.kind = KIN__POINT_OWNER;
    atomic_store(&made->robust.point.word, 0);
    __atomic_store_n(&made->robust.magic, MAGIC_LOCK, __ATOMIC_RELEASE);
    *lock = made;
    kin__allocate_finish();
    return 0;
}

int kin_lock_close(kin_lock *lock)
{
    if (lock == NULL) return 0;
    int rc = kin__enter();
    if (rc == 0) rc = check(lock);
    if (rc < 0) return rc;
    /* Whoever comes from now on is turned away by the magic; who came before is counted. */
    __atomic_store_n(&lock->robust.magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    if ((atomic_load(&lock->robust.point.word) & KIN__WORD_OWNER) != 0 ||
        kin__waiters_any(&lock->robust.point)) {
        __atomic_store_n(&lock->robust.magic, MAGIC_LOCK, __ATOMIC_SEQ_CST);
        return -EBUSY;
    }
    return kin__free(lock, NULL);
}

/* One attempt; the caller knows that the word was `seen`, free or left by the dead. */
static bool take(kin_lock *lock, uint32_t seen)
{
    struct kin__robust *robust = &lock->robust;
    kin__pending_set(&robust->point.word);
    /* CRASH: from the exchange to the end of the insertion the kernel finds the word by the
     * pending note, after it by the list. */
    bool taken = atomic_compare_exchange_strong(&robust->point.word, &seen, kin__self.owner_word);
    if (taken) {
        kin__robust_insert(robust);
        kin__self.locks_held++;
    }
    kin__pending_clear();
    return taken;
}

static bool watch(kin_lock *lock, uint32_t *died)
{
    unsigned budget = kin__spin_limit / 10, steps = KIN__RELAX_MOST;
    for (unsigned spent = 0; spent < budget; spent += kin__relax(&steps)) {
        uint32_t seen = atomic_load_explicit(&lock->robust.point.word, memory_order_relaxed);
        *died = seen & KIN__WORD_DIED;
        if ((seen & KIN__WORD_OWNER) == 0 && take(lock, seen)) return true;
    }
    return false;
}

static int acquire_slow(kin_lock *lock, kin_deadline deadline)
{
    struct kin__wait_point *point = &lock->robust.point;
    uint32_t died = 0;
    if (kin__self.robust->pending != NULL) return -EDEADLK;
    if (kin__self.locks_held >= LOCKS_MOST) return KIN_EHELD;
    if ((atomic_load(&point->word) & KIN__WORD_OWNER) == (kin__self.owner_word & KIN__WORD_OWNER))
        return -EDEADLK;
    if (watch(lock, &died)) return died != 0 ? KIN_OWNER_DIED : 0;
    int rc = 0;
    kin__waiters_enter(point);
    for (;;) {
        uint32_t seen = atomic_load(&point->word);
        died = seen & KIN__WORD_DIED;
        if ((seen & KIN__WORD_OWNER) == 0) {
            if (take(lock, seen)) break;
            continue;
        }
        rc = kin__sleep(point, seen, deadline);
        if (rc == 1 && (atomic_load(&point->word) & KIN__WORD_OWNER) == 0) kin__rescued(point, seen);
        if (rc >= 0) rc = check(lock);
        if (rc < 0) break;
    }
    kin__waiters_leave(point);
    return rc < 0 ? rc : died != 0 ? KIN_OWNER_DIED : 0;
}

int kin_lock_acquire(kin_lock *lock, kin_deadline deadline)
{
    int rc = kin__enter();
    if (rc == 0) rc = check(lock);
    if (__builtin_expect(rc < 0, 0)) return rc;
    if (__builtin_expect(atomic_load_explicit(&lock->robust.point.word, memory_order_relaxed) == 0 &&
                             kin__self.robust->pending == NULL && kin__self.locks_held < LOCKS_MOST,
                         1) &&
        take(lock, 0))
        return 0;
    return acquire_slow(lock, deadline);
}

int kin_lock_release(kin_lock *lock)
{
    int rc = kin__enter();
    if (rc == 0) rc = check(lock);
    if (__builtin_expect(rc < 0, 0)) return rc;
    struct kin__robust *robust = &lock->robust;
    uint32_t word = atomic_load_explicit(&robust->point.word, memory_order_relaxed);
    if (__builtin_expect((word & KIN__WORD_OWNER) != (kin__self.owner_word & KIN__WORD_OWNER), 0))
        return -EPERM;
    kin__pending_set(&robust->point.word);
    kin__robust_remove(robust);
    kin__self.locks_held--;
    /* Seq_cst: releases what was done under the lock, and pairs with the count in
     * kin__waiters_enter.  CRASH: before it the kernel finds the word by the pending note; after
     * it `waiters` still counts whoever sleeps. */
    atomic_exchange(&robust->point.word, 0);
    if (kin__waiters_any(&robust->point)) kin__wake_one(&robust->point);
    kin__pending_clear();
    return 0;
}
