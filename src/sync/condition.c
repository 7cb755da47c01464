/* condition.c: the public condition: a sequence that notifiers move on, and sleepers on it.
 *
 * Invariants:
 *  - A waiter is counted as a sleeper, and knows the sequence, before it gives the lock back; a
 *    notifier has the lock.  So a notification either finds it counted or comes before it.
 *  - A notification is one step of the sequence, and a wake-up when the lock is free.  Nobody keeps
 *    it for anybody: a sleeper that is killed after it was woken, and before it has the lock, is
 *    reaped, and its reaper wakes all the others, which look at their predicates.  So they do when a
 *    notifier is killed between the step and the wake-up.
 *  - A waiter that finds the lock in the hands of the dead, or that it was found there since, goes on as if it
 *    were notified: what the dead one changed it may not have told.
 */
#include <kin/condition.h>

#include <errno.h>
#include <string.h>

#include "memory/object.h"
#include "memory/reap.h"
#include "memory/waitable.h"
#include "os/suspend.h"
#include "sync/deadlock.h"
#include "sync/mutex.h"

#define MAGIC_CONDITION 0x646e6f636e696b01ull
#define MAGIC_OWN       0x646e6f636e696b02ull

/* SHARED.
 *   head       see object.h.
 *   mutex, lock_magic   the lock and how to tell that it is open: constant.
 *   changed    the sequence, moved by notifiers and by the reaper; and the count of sleepers.
 *   watched    somebody has asked for `notified`: set by who holds the lock (kin_on_condition), and never
 *              taken back; read by notifiers, who hold it too.
 *   notified   how often it was notified since: changed by who holds the lock, with seq_cst, which pairs with
 *              the count of sleepers in kin__bell_arm; read by who waits for it together with others.
 *   own        the lock, if it was given none. */
struct kin_condition {
    struct kin__object head;
    uint64_t lock_magic;
    struct kin__mutex *mutex;
    struct kin__event changed;
    _Atomic uint32_t watched;
    _Atomic uint32_t notified;
    struct kin__mutex own __attribute__((aligned(64)));
};

static int enter(const kin_condition *condition)
{
    int rc = kin__enter();
    if (rc == 0) rc = kin__check(condition, offsetof(struct kin_condition, head.magic), MAGIC_CONDITION);
    return __builtin_expect(rc == 0, 1) ? kin__mutex_check(condition->mutex, condition->lock_magic) : rc;
}

/* ---- opening and closing ---------------------------------------------------------------------- */

/* Finds the lock that the options name, NULL for none. */
static int find_lock(const kin_condition_options *options, struct kin__mutex **mutex, uint64_t *magic)
{
    *mutex = NULL;
    if (options->lock != NULL && options->rlock != NULL) return -EINVAL;
    if (options->lock != NULL) *mutex = kin__lock_mutex(options->lock, magic);
    if (options->rlock != NULL) *mutex = kin__rlock_mutex(options->rlock, magic);
    return *mutex != NULL ? kin__mutex_check(*mutex, *magic) : 0;
}

int kin_condition_open_sized(kin_condition **condition, const kin_condition_options *options, size_t size)
{
    kin_condition_options given = {0};
    struct kin__mutex *mutex = NULL;
    uint64_t magic = MAGIC_OWN;
    if (condition == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__enter();
    if (rc == 0) rc = find_lock(&given, &mutex, &magic);
    if (rc < 0) return rc;
    kin_condition *made = kin__object_make(KIN__OBJECT_CONDITION, sizeof *made, &rc);
    if (made == NULL) return rc;
    void *outer = kin__touch(made);
    kin__event_init(&made->changed);
    atomic_store(&made->watched, 0);
    atomic_store(&made->notified, 0);
    kin__mutex_init(&made->own, (struct kin__mutex_plan){.recursive = true}, MAGIC_OWN);
    made->mutex = mutex != NULL ? mutex : &made->own;
    made->lock_magic = magic;
    kin__object_prepare(&made->head);
    *condition = made;
    kin__object_open(&made->head, MAGIC_CONDITION);
    kin__untouch(outer);
    return 0;
}

/* Closes it if nobody uses it; it counts as closed. */
static int close_unused(kin_condition *condition)
{
    if (!kin__point_in_use(&condition->changed.point) && kin__mutex_shut(&condition->own, MAGIC_OWN) == 0)
        return kin__object_close_end(&condition->head);
    kin__object_open(&condition->head, MAGIC_CONDITION);
    return -EBUSY;
}

int kin_condition_close(kin_condition *condition)
{
    if (condition == NULL) return 0;
    int rc = kin__enter();
    if (rc == 0) rc = kin__check(condition, offsetof(struct kin_condition, head.magic), MAGIC_CONDITION);
    if (rc < 0) return rc;
    void *outer = kin__touch(condition);
    rc = kin__object_close_begin(&condition->head);
    if (rc == 0) rc = close_unused(condition);
    kin__untouch(outer);
    return rc;
}

/* ---- the lock ------------------------------------------------------------------------------------ */

int kin_condition_acquire(kin_condition *condition, kin_deadline deadline)
{
    int rc = enter(condition);
    return rc < 0 ? rc : kin__mutex_acquire(condition->mutex, condition->lock_magic, deadline);
}

int kin_condition_release(kin_condition *condition)
{
    int rc = enter(condition);
    return rc < 0 ? rc : kin__mutex_release(condition->mutex, condition->lock_magic);
}

static int enter_with_lock(kin_condition *condition)
{
    int rc = enter(condition);
    if (rc == 0 && kin__self.robust->pending != NULL) rc = -EDEADLK;
    return rc == 0 && !kin__mutex_held_by_me(condition->mutex) ? -EPERM : rc;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

struct wait {
    kin_condition *condition;
    uint32_t seen; /* of the sequence */
};

static bool is_in_dead_hands(const kin_condition *condition)
{
    return (atomic_load(&condition->mutex->robust.point.word) & KIN__WORD_DIED) != 0;
}

/* Has an owner died with the lock since there were so many?  It may have changed something and not told. */
static bool has_lost_owner(kin_condition *condition, uint16_t deaths)
{
    /* Who takes the lock from the dead one takes the mark away and counts then: who looks in between sees
     * neither, and one or the other when it looks again. */
    return is_in_dead_hands(condition) || atomic_load(&condition->mutex->deaths) != deaths;
}

static bool was_notified(void *context)
{
    const struct wait *wait = context;
    return atomic_load(&wait->condition->changed.point.word) != wait->seen;
}

/* Sleeps until the sequence has moved on from `seen`: 0, or -ETIMEDOUT.  `deaths`: see has_lost_owner. */
static int sleep_on(kin_condition *condition, uint32_t seen, uint16_t deaths, kin_deadline deadline)
{
    struct wait wait = {condition, seen};
    if (deadline > 0 && kin__watch_for(was_notified, &wait)) return 0;
    for (;;) {
        int rc = kin__sleep(&condition->changed.point, seen, deadline);
        if (atomic_load(&condition->changed.point.word) != seen) return 0;
        /* Woken for a notification from before we came: its notifier has counted us as being on our way
         * back, so that others do not wake us, until we have left. */
        if (rc <= 0) return rc;
        if (has_lost_owner(condition, deaths)) return 0;
        if (kin__mutex_check(condition->mutex, condition->lock_magic) < 0) return 0;
    }
}

/* By who holds the lock. */
static int wait_once(kin_condition *condition, kin_deadline deadline)
{
    struct kin__mutex *mutex = condition->mutex;
    uint64_t magic = condition->lock_magic;
    uint64_t depth = kin__mutex_depth(mutex);
    /* CRASH: woken, and on its way to the lock: the notification was for us, and another one that waits
     * may have to have it.  The reaper wakes all (announce). */
    void *outer = kin__touch(condition);
    uint32_t seen = kin__event_prepare(&condition->changed);
    uint16_t deaths = atomic_load(&mutex->deaths);
    /* CRASH: with the lock, the next owner is told; without it, a sleeper is uncounted. */
    kin__mutex_free(mutex);
    int rc = sleep_on(condition, seen, deaths, deadline);
    kin__event_done(&condition->changed);
    int acquired = kin__mutex_check(mutex, magic);
    if (acquired == 0) {
        kin__deadlock_bear(true);
        kin__shield(1);
        acquired = kin__mutex_acquire(mutex, magic, KIN_FOREVER);
        kin__shield(-1);
        kin__deadlock_bear(false);
    }
    kin__untouch(outer);
    if (acquired >= 0) kin__mutex_set_special(mutex, kin__mutex_special(mutex) | depth);
    return acquired != 0 ? acquired : rc;
}

int kin_condition_wait(kin_condition *condition, kin_deadline deadline)
{
    int rc = enter_with_lock(condition);
    return rc < 0 ? rc : wait_once(condition, deadline);
}

int kin_condition_wait_for(kin_condition *condition, kin_condition_predicate *predicate, void *argument,
                           kin_deadline deadline)
{
    int rc = enter_with_lock(condition);
    if (rc < 0) return rc;
    if (predicate == NULL) return -EINVAL;
    while (!predicate(argument)) {
        if (rc == -ETIMEDOUT) return rc;
        rc = wait_once(condition, deadline);
        if (rc != 0 && rc != -ETIMEDOUT) return rc;
    }
    return 0;
}

/* ---- notifying --------------------------------------------------------------------------------------- */

int kin_condition_notify(kin_condition *condition, unsigned count)
{
    int rc = enter_with_lock(condition);
    if (rc < 0 || count == 0) return rc;
    if (atomic_load_explicit(&condition->watched, memory_order_relaxed) != 0)
        atomic_fetch_add(&condition->notified, 1);
    if (kin__waiters_want(atomic_load(&condition->changed.point.waiters)))
        kin__mutex_tell_later(condition->mutex, &condition->changed, count);
    return 0;
}

int kin_condition_notify_all(kin_condition *condition)
{
    return kin_condition_notify(condition, UINT32_MAX);
}

static void announce(void *object, struct kin__member *dead)
{
    kin_condition *condition = object;
    bool closing = kin__object_closing(&condition->head, dead);
    kin__waiters_wake_all(&condition->changed.point);
    if (closing) close_unused(condition);
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_CONDITION].announce = announce;
}

/* ---- waiting for it together with others ----------------------------------------------------- */

/* Another number after each notification, and after each owner that was found dead. */
static uint32_t told(kin_condition *condition)
{
    return atomic_load(&condition->notified) + atomic_load(&condition->mutex->deaths);
}

kin_waitable kin_on_condition(const kin_condition *condition)
{
    kin_condition *named = (kin_condition *)(uintptr_t)condition;
    kin_waitable item = kin_waitable_of(KIN_WAITABLE_CONDITION, 0, condition);
    if (enter(condition) < 0) return item;
    if (atomic_load(&named->watched) == 0) atomic_store(&named->watched, 1);
    item.descriptor = (int)told(named);
    return item;
}

static int look(const kin_waitable *item)
{
    kin_condition *condition = (kin_condition *)(uintptr_t)item->object;
    int rc = enter(condition);
    if (rc < 0) return rc;
    return told(condition) != (uint32_t)item->descriptor || is_in_dead_hands(condition);
}

static uint32_t life_of(const kin_waitable *item)
{
    kin_condition *condition = (kin_condition *)(uintptr_t)item->object;
    return enter(condition) < 0 ? 0 : atomic_load(&condition->head.opened);
}

static struct kin__event *event_of(const kin_waitable *item)
{
    return &((kin_condition *)(uintptr_t)item->object)->changed;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class conditions = {.look = look, .life = life_of, .event = event_of};
    kin__waitable_classes[KIN_WAITABLE_CONDITION] = &conditions;
}

KIN__LAYOUT_PART(condition, struct kin_condition);
