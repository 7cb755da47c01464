/* mutex.h: the robust lock that lock, rlock, rwlock and condition are made of.
 *
 * Invariants:
 *  - Neither a death of the owner nor one between release and wake-up leaves a sleeper behind: see
 *    owner.h.
 *  - A held mutex is in its owner's robust list: any number up to KIN__HOLDS_MOST at once, which
 *    is below what the kernel walks at a death (2048).
 *  - The kernel sets OWNER_DIED in the word; whoever takes the word next clears it and is the
 *    one who is told.
 *  - All but the word is written by the owner alone, who is the owner by the word.
 */
#ifndef KIN_SYNC_MUTEX_H
#define KIN_SYNC_MUTEX_H

#include <errno.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/rlock.h>

#include "memory/latch.h"
#include "memory/region.h"

#define KIN__MAGIC_LOCK  0x6b636f6c6e696b01ull
#define KIN__MAGIC_RLOCK 0x6b636f6c726b6e01ull

#define KIN__HOLDS_MOST 1000

/* What `special` says besides the depth, which is in its lower half. */
#define KIN__MUTEX_UNREPAIRED ((uint64_t)1 << 32)
#define KIN__MUTEX_UNUSABLE   ((uint64_t)1 << 33)
#define KIN__MUTEX_TELLS      ((uint64_t)1 << 34)

/* SHARED.
 *   robust      see struct kin__robust.
 *   owner       pid and thread id of the holder, or of the last one: for who finds it dead.  Written
 *               by the holder, relaxed, if it is another than the one before: a store for each
 *               acquisition would be felt.
 *   special     how often the holder has it beyond the first time; what became of the data after
 *               a death, if `strict`; and whether somebody is to be woken when it is given back
 *               (kin__mutex_tell_later).  0 for nearly every lock at nearly every time.  Written by the
 *               holder; the word's CAS pass it on.
 *   recursive, strict   constant once open.
 *   deaths      how many of its owners have been found dead: written by the one who is told, seq_cst; read
 *               by those who wait on a condition, to whom the dead one may have had something to tell.
 *   dead        identity and end of the last holder that died: written by the one who is told,
 *   dead_end    read by who asks; `dead` is zero while dead_end changes.
 *   self, closer   of a lock or an rlock, as in struct kin__object (memory/object.h): from its opening to
 *               the end of its closing the first names it; the second is who opens or closes it. */
struct kin__mutex {
    struct kin__robust robust;
    _Atomic uint64_t owner;
    _Atomic uint64_t special;
    uint8_t recursive;
    uint8_t strict;
    _Atomic uint16_t deaths;
    _Atomic uint32_t dead_end;
    _Atomic uint64_t dead;
    _Atomic(void *) self;
    _Atomic(struct kin__member *) closer;
};

/* Options of a mutex. */
struct kin__mutex_plan {
    bool recursive;
    bool strict;
};

/* Fills in a mutex that nobody else can reach yet; its magic word is set last. */
void kin__mutex_init(struct kin__mutex *mutex, struct kin__mutex_plan plan, uint64_t magic);
/* Turns away whoever comes from now on: 0, or -EBUSY, and then nothing has changed. */
int kin__mutex_shut(struct kin__mutex *mutex, uint64_t magic);

/* Does somebody living wait there?  Cleans up after the dead first if that decides. */
bool kin__point_in_use(struct kin__wait_point *point);

/* After a death, by who has just taken the word: notes who died and how. */
void kin__mutex_adopt(struct kin__mutex *mutex);

/* ---- what lock and rlock offer ---------------------------------------------------------------
 *
 * Each begins with the checks that every public function begins with.  What is no object of this
 * family may be the handle of a manager's lock: they, acquire and release too, pass it on. */

/* Makes and opens one as `options`, which may be NULL, say, here or in a manager, and stores it in `*handle`:
 * 0, or an error. */
int kin__mutex_open(void **handle, bool recursive, const kin_lock_options *options, size_t size);
int kin__mutex_close(struct kin__mutex *mutex, uint64_t magic);
int kin__mutex_locked(struct kin__mutex *mutex, uint64_t magic);
/* How often the caller has it. */
long kin__mutex_times(struct kin__mutex *mutex, uint64_t magic);
/* Fills as much of the caller's kin_owner as it has, by one of kin__mutex_owner, who holds it (1; 0:
 * nobody), and kin__mutex_last_death, who died with it last; -EINVAL for NULL. */
typedef int kin__mutex_teller(struct kin__mutex *mutex, kin_owner *who);
kin__mutex_teller kin__mutex_owner, kin__mutex_last_death;
int kin__mutex_tell(struct kin__mutex *mutex, uint64_t magic, kin__mutex_teller *teller, kin_owner *who,
                    size_t size);
/* By the holder: 0, or -EPERM. */
int kin__mutex_mark_repaired(struct kin__mutex *mutex, uint64_t magic);

/* What kin__mutex_acquire and kin__mutex_release leave. */
int kin__mutex_acquire_slow(struct kin__mutex *mutex, uint64_t magic, kin_deadline deadline);
int kin__mutex_release_slow(struct kin__mutex *mutex, uint64_t magic);

/* The inside of the public ones, for a condition on them. */
struct kin__mutex *kin__lock_mutex(kin_lock *lock, uint64_t *magic);
struct kin__mutex *kin__rlock_mutex(kin_rlock *rlock, uint64_t *magic);

/* ---- words that are held --------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int kin__mutex_check(const void *object, uint64_t magic)
{
    return kin__check(object, offsetof(struct kin__robust, magic), magic);
}

static inline bool kin__mutex_held_by_me(const struct kin__mutex *mutex)
{
    return kin__word_is_mine(atomic_load_explicit(&mutex->robust.point.word, memory_order_relaxed));
}

/* Has the thread, which has joined, nothing in its robust list since then? */
static inline bool kin__holds_none(const struct kin__robust_list *list)
{
    return list->next == (const void *)&kin__self.member->life.next;
}

/* May it hold `count` words more?  The first is not counted, which saves nearly every pair of
 * operations two stores.  Robust mutexes of libc's in the list may make the count wrong, by one until
 * the list is empty again. */
static inline bool kin__holds_room(uint32_t count)
{
    return kin__self.holds_more < KIN__HOLDS_MOST - count;
}

/* kin__owner_take, and puts the word into the list. */
static inline __attribute__((always_inline)) bool kin__hold_take(struct kin__robust *robust, uint32_t seen,
                                                                 uint32_t mark)
{
    struct kin__robust_list *list = kin__self.robust;
    bool first = kin__holds_none(list);
    kin__pending_set(list, &robust->point.word);
    /* CRASH: from the exchange to the end of the insertion the kernel finds the word by the
     * pending note, after it by the list. */
    bool taken = kin__owner_take(&robust->point, seen, mark);
    if (__builtin_expect(taken, 1)) {
        kin__robust_insert(list, robust);
        if (!first)
            kin__self.holds_more++;
        else if (__builtin_expect(kin__self.holds_more != 0, 0))
            kin__self.holds_more = 0;
    }
    kin__pending_clear(list);
    return taken;
}

/* The end of kin__hold_drop when somebody sleeps; returns 0. */
int kin__hold_wake(struct kin__robust *robust);

/* Gives a held robust word back: true, and that was all; false: kin__hold_wake does the rest. */
static inline __attribute__((always_inline)) bool kin__hold_drop(struct kin__robust *robust)
{
    struct kin__robust_list *list = kin__self.robust;
    kin__pending_set(list, &robust->point.word);
    kin__robust_remove(robust);
    if (!kin__holds_none(list) && kin__self.holds_more > 0) kin__self.holds_more--;
    /* CRASH: as long as the word is ours the kernel finds it by the pending note. */
    if (!kin__owner_drop(&robust->point)) return false;
    kin__pending_clear(list);
    return true;
}

/* Gives it back and wakes one who waits.  Returns 0, so that it can be a function's last step: what is
 * called last needs no frame. */
static inline __attribute__((always_inline)) int kin__hold_free(struct kin__robust *robust)
{
    return kin__hold_drop(robust) ? 0 : kin__hold_wake(robust);
}

/* By the holder. */
static inline uint64_t kin__mutex_special(const struct kin__mutex *mutex)
{
    return atomic_load_explicit(&mutex->special, memory_order_relaxed);
}
static inline void kin__mutex_set_special(struct kin__mutex *mutex, uint64_t special)
{
    atomic_store_explicit(&mutex->special, special, memory_order_relaxed);
}
static inline uint32_t kin__mutex_depth(const struct kin__mutex *mutex)
{
    return (uint32_t)kin__mutex_special(mutex);
}

static inline bool kin__mutex_take(struct kin__mutex *mutex, uint32_t seen, uint32_t mark)
{
    if (!kin__hold_take(&mutex->robust, seen, mark)) return false;
    if (__builtin_expect((seen & KIN__WORD_DIED) != 0, 0)) kin__mutex_adopt(mutex);
    /* CRASH: dead before it: the next one finds that `owner` is alive, and does not know who died. */
    if (atomic_load_explicit(&mutex->owner, memory_order_relaxed) != kin__self.identity)
        atomic_store_explicit(&mutex->owner, kin__self.identity, memory_order_relaxed);
    return true;
}

/* Gives it back however often the caller holds it. */
int kin__mutex_free_special(struct kin__mutex *mutex);
static inline int kin__mutex_free(struct kin__mutex *mutex)
{
    if (__builtin_expect(kin__mutex_special(mutex) != 0, 0)) return kin__mutex_free_special(mutex);
    return kin__hold_free(&mutex->robust);
}

/* By the holder: wakes `count` of those who wait for the event, as soon as the mutex is free, which all of
 * them want.  Their predicate has changed. */
void kin__mutex_tell_later(struct kin__mutex *mutex, struct kin__event *event, uint32_t count);

/* The end of an acquisition that took the word after a death, or of a mutex that has had one: who finds
 * it unusable gives it back. */
int kin__mutex_admit(struct kin__mutex *mutex, uint32_t died);

/* ---- the fast paths ---------------------------------------------------------------------------
 *
 * What a free lock, or one held once, needs and nothing else.  They do not read the word: just after
 * an exchange that costs as much as half of another one.  Whether it is free the CAS finds out, and
 * whether it is ours the list, whose newest entry is most often what is released next. */

static inline __attribute__((always_inline)) bool kin__hold_is_newest(const struct kin__robust_list *list,
                                                                      const struct kin__robust *robust)
{
    return list->next == (const void *)&robust->next;
}

/* 0, KIN_OWNER_DIED, or an error of kin_lock_acquire: whatever the address, and whoever calls. */
static inline __attribute__((always_inline)) int kin__mutex_acquire(struct kin__mutex *mutex, uint64_t magic,
                                                                    kin_deadline deadline)
{
    if (__builtin_expect(kin__self.member != NULL && kin__holds_room(1), 1) &&
        kin__is_open(mutex, offsetof(struct kin__robust, magic), magic) &&
        __builtin_expect(kin__self.robust->pending == NULL, 1) && kin__mutex_take(mutex, 0, 0))
        return __builtin_expect(kin__mutex_special(mutex) == 0, 1) ? 0 : kin__mutex_admit(mutex, 0);
    return kin__mutex_acquire_slow(mutex, magic, deadline);
}

static inline __attribute__((always_inline)) int kin__mutex_release(struct kin__mutex *mutex, uint64_t magic)
{
    struct kin__robust_list *list = kin__self.robust;
    if (__builtin_expect(list != NULL, 1) &&
        kin__is_open(mutex, offsetof(struct kin__robust, magic), magic) &&
        __builtin_expect(kin__hold_is_newest(list, &mutex->robust) && list->pending == NULL &&
                             kin__mutex_special(mutex) == 0,
                         1))
        return kin__hold_free(&mutex->robust);
    return kin__mutex_release_slow(mutex, magic);
}

#endif
