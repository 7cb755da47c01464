/* mutex.c: what mutex.h leaves for the slow paths: waiting, taking over from the dead, telling
 * who holds it. */
#include "sync/mutex.h"

#include <string.h>

#include "memory/deaths.h"
#include "memory/reap.h"
#include "memory/remote.h"
#include "os/os.h"
#include "sync/deadlock.h"

/* What every public function on one begins with. */
static int enter(const struct kin__mutex *mutex, uint64_t magic)
{
    int rc = kin__enter();
    return rc < 0 ? rc : kin__mutex_check(mutex, magic);
}

/* ---- opening and closing ---------------------------------------------------------------------- */

bool kin__point_in_use(struct kin__wait_point *point)
{
    if (!kin__waiters_any(point)) return false;
    if (kin__reap_needed()) kin__reap();
    /* The count may be too high for a moment after somebody has gone: the ledgers are not. */
    if (kin__waiters_any(point)) kin__waiters_recount(point);
    return kin__waiters_any(point);
}

void kin__mutex_init(struct kin__mutex *mutex, struct kin__mutex_plan plan, uint64_t magic)
{
    kin__point_init(&mutex->robust.point, KIN__POINT_HELD);
    atomic_store(&mutex->robust.point.word, 0);
    atomic_store(&mutex->owner, 0);
    atomic_store(&mutex->special, 0);
    atomic_store(&mutex->dead, 0);
    atomic_store(&mutex->deaths, 0);
    mutex->recursive = plan.recursive;
    mutex->strict = plan.strict;
    __atomic_store_n(&mutex->robust.magic, magic, __ATOMIC_RELEASE);
}

int kin__mutex_shut(struct kin__mutex *mutex, uint64_t magic)
{
    /* Whoever comes from now on is turned away by the magic; who came before is counted. */
    __atomic_store_n(&mutex->robust.magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    if ((atomic_load(&mutex->robust.point.word) & KIN__WORD_OWNER) == 0 &&
        !kin__point_in_use(&mutex->robust.point))
        return 0;
    __atomic_store_n(&mutex->robust.magic, magic, __ATOMIC_SEQ_CST);
    return -EBUSY;
}

/* Of a lock or an rlock. */
static uint64_t magic_of(bool recursive)
{
    return recursive ? KIN__MAGIC_RLOCK : KIN__MAGIC_LOCK;
}

static int make(void **handle, struct kin__mutex_plan plan)
{
    int rc = 0;
    struct kin__mutex *made = kin__allocate_object(KIN__OBJECT_LOCK, sizeof *made, &rc);
    if (made == NULL) return rc;
    void *outer = kin__touch(made);
    atomic_store(&made->closer, kin__self.member);
    kin__mutex_init(made, plan, KIN__MAGIC_CLOSED);
    /* CRASH: from here until it is open it counts as being closed by us: the reaper frees it. */
    kin__allocate_publish(&made->self);
    *handle = made;
    __atomic_store_n(&made->robust.magic, magic_of(plan.recursive), __ATOMIC_RELEASE);
    atomic_store(&made->closer, NULL);
    kin__untouch(outer);
    return 0;
}

int kin__mutex_open(void **handle, bool recursive, const kin_lock_options *options, size_t size)
{
    kin_lock_options given = {0};
    if (handle == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__enter();
    if (rc < 0) return rc;
    const struct kin__place place = {.address = given.address,
                                     .key = given.key,
                                     .key_size = given.key_size,
                                     .name = given.name != NULL ? given.name
                                             : recursive        ? "RLock"
                                                                : "Lock",
                                     .method = "acquire"};
    if (given.address != NULL) return kin__remote_open(handle, &place);
    if (given.key != NULL || given.key_size != 0 || given.name != NULL) return -EINVAL;
    return make(handle, (struct kin__mutex_plan){.recursive = recursive, .strict = given.strict});
}

/* By who is its closer: frees it, if nobody uses it. */
static int close_unused(struct kin__mutex *mutex, uint64_t magic)
{
    int rc = kin__mutex_shut(mutex, magic);
    if (rc == 0) return kin__free(mutex, &mutex->self);
    atomic_store(&mutex->closer, NULL);
    return rc;
}

int kin__mutex_close(struct kin__mutex *mutex, uint64_t magic)
{
    if (mutex == NULL) return 0;
    int rc = enter(mutex, magic);
    if (rc < 0 && kin__is_remote(mutex)) return kin__remote_close(mutex);
    /* One inside another object is closed with that. */
    if (rc == 0 && kin__object_kind_of(mutex) != KIN__OBJECT_LOCK) rc = -EPERM;
    if (rc < 0) return rc;
    void *outer = kin__touch(mutex);
    struct kin__member *nobody = NULL;
    /* CRASH: from here until it is free the reaper goes on (announce). */
    if (atomic_compare_exchange_strong(&mutex->closer, &nobody, kin__self.member))
        rc = close_unused(mutex, magic);
    else
        rc = KIN_ECLOSED;
    kin__untouch(outer);
    return rc;
}

/* A thread has died while it opened or closed one. */
static void announce(void *object, struct kin__member *dead)
{
    struct kin__mutex *mutex = object;
    if (atomic_load(&mutex->self) == object && atomic_load(&mutex->closer) == dead)
        close_unused(mutex, magic_of(mutex->recursive));
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_LOCK].announce = announce;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static bool watch(struct kin__mutex *mutex, uint32_t *died)
{
    unsigned budget = kin__spin_limit / 10, steps = KIN__RELAX_MOST;
    for (unsigned spent = 0; spent < budget; spent += kin__relax(&steps, KIN__RELAX_MOST)) {
        uint32_t seen = atomic_load_explicit(&mutex->robust.point.word, memory_order_relaxed);
        *died = seen & KIN__WORD_DIED;
        if ((seen & KIN__WORD_OWNER) == 0 && kin__mutex_take(mutex, seen, 0)) return true;
    }
    return false;
}

/* Sleeps until it has the word. */
static int wait_for_it(struct kin__mutex *mutex, uint64_t magic, kin_deadline deadline, uint32_t *died)
{
    struct kin__wait_point *point = &mutex->robust.point;
    int rc = 0;
    kin__waiters_enter(point);
    for (;;) {
        uint32_t seen = atomic_load(&point->word);
        *died = seen & KIN__WORD_DIED;
        if ((seen & KIN__WORD_OWNER) == 0) {
            if (kin__mutex_take(mutex, seen, KIN__WORD_WAITERS)) break;
            continue;
        }
        if (!kin__owner_mark(point, &seen)) continue;
        if (kin__deadlock_watched() && (rc = kin__deadlock_check(point)) < 0) break;
        rc = kin__sleep(point, seen, deadline);
        if (rc == 1 && (atomic_load(&point->word) & KIN__WORD_OWNER) == 0) kin__rescued(point, seen);
        if (rc < 0) break;
        rc = kin__mutex_check(mutex, magic);
        if (rc < 0) {
            /* It may have been woken for all who wait. */
            kin__os_futex_wake(&point->word, 1);
            break;
        }
    }
    kin__waiters_leave(point);
    return rc;
}

/* Once more by who has it. */
static int deepen(struct kin__mutex *mutex)
{
    if (!mutex->recursive) return -EDEADLK;
    if (kin__mutex_depth(mutex) == UINT32_MAX) return KIN_EHELD;
    kin__mutex_set_special(mutex, kin__mutex_special(mutex) + 1);
    return 0;
}

int kin__mutex_acquire_slow(struct kin__mutex *mutex, uint64_t magic, kin_deadline deadline)
{
    uint32_t died = 0;
    int rc = enter(mutex, magic);
    if (rc < 0) return kin__is_remote(mutex) ? kin__remote_acquire(mutex, deadline) : rc;
    if (kin__self.robust->pending != NULL) return -EDEADLK;
    if (kin__mutex_held_by_me(mutex)) return deepen(mutex);
    if (!kin__holds_room(1)) return KIN_EHELD;
    rc = watch(mutex, &died) ? 0 : wait_for_it(mutex, magic, deadline, &died);
    return rc < 0 ? rc : kin__mutex_admit(mutex, died);
}

int kin__mutex_admit(struct kin__mutex *mutex, uint32_t died)
{
    if (kin__mutex_special(mutex) == KIN__MUTEX_UNUSABLE) {
        kin__mutex_free(mutex);
        return KIN_EUNREPAIRED;
    }
    return died != 0 ? KIN_OWNER_DIED : 0;
}

/* ---- giving back ---------------------------------------------------------------------------------- */

int kin__mutex_release_slow(struct kin__mutex *mutex, uint64_t magic)
{
    int rc = enter(mutex, magic);
    if (rc < 0) return kin__is_remote(mutex) ? kin__remote_release(mutex) : rc;
    if (!kin__mutex_held_by_me(mutex)) return -EPERM;
    if (kin__self.robust->pending != NULL) return -EDEADLK;
    uint64_t special = kin__mutex_special(mutex);
    if ((uint32_t)special == 0) return kin__mutex_free(mutex);
    kin__mutex_set_special(mutex, special - 1);
    return 0;
}

static void tell_now(void)
{
    struct kin__event *event = kin__self.telling;
    uint32_t count = kin__self.telling_count;
    kin__self.telling = NULL;
    kin__event_wake(event, count < INT32_MAX ? (int)count : INT32_MAX);
    atomic_store_explicit(&kin__self.member->telling, NULL, memory_order_release);
}

void kin__mutex_tell_later(struct kin__mutex *mutex, struct kin__event *event, uint32_t count)
{
    struct kin__self *self = &kin__self;
    if (self->telling != NULL && (self->telling != event || self->telling_with != mutex)) tell_now();
    if (self->telling == NULL) self->telling_count = 0;
    self->telling = event;
    self->telling_with = mutex;
    self->telling_count = count < UINT32_MAX - self->telling_count ? self->telling_count + count : UINT32_MAX;
    /* CRASH: from here until they are woken the reaper does it. */
    atomic_store(&self->member->telling, &event->point);
    kin__event_step(event);
    kin__mutex_set_special(mutex, kin__mutex_special(mutex) | KIN__MUTEX_TELLS);
}

int kin__mutex_free_special(struct kin__mutex *mutex)
{
    uint64_t special = kin__mutex_special(mutex);
    bool tells = (special & KIN__MUTEX_TELLS) != 0 && kin__self.telling_with == mutex;
    bool unusable = (special & (KIN__MUTEX_UNREPAIRED | KIN__MUTEX_UNUSABLE)) != 0;
    kin__mutex_set_special(mutex, unusable ? KIN__MUTEX_UNUSABLE : 0);
    kin__hold_free(&mutex->robust);
    if (tells && kin__self.telling != NULL) tell_now();
    return 0;
}

int kin__hold_wake(struct kin__robust *robust)
{
    kin__owner_drop_rest(&robust->point);
    kin__pending_clear(kin__self.robust);
    return 0;
}

/* ---- the dead -------------------------------------------------------------------------------------- */

void kin__mutex_adopt(struct kin__mutex *mutex)
{
    uint64_t dead = atomic_load_explicit(&mutex->owner, memory_order_relaxed);
    kin_exit_status status = {.kind = KIN_UNKNOWN};
    /* One that lives is not the dead one, which did not come as far as to leave its name. */
    if (kin__member_pid(kin__member_of_thread((uint32_t)dead)) == kin__identity_pid(dead)) dead = 0;
    if (dead != 0) kin__death_look(kin__identity_pid(dead), &status);
    atomic_store(&mutex->dead, 0);
    atomic_store(&mutex->dead_end, kin__end_word(&status));
    atomic_store(&mutex->dead, dead != 0 ? dead : UINT64_MAX);
    /* CRASH: before it we are the next owner that died. */
    atomic_fetch_add(&mutex->deaths, 1);
    /* Whom the dead one was to wake its reaper wakes. */
    uint64_t special = kin__mutex_special(mutex) & (KIN__MUTEX_UNREPAIRED | KIN__MUTEX_UNUSABLE);
    kin__mutex_set_special(mutex, mutex->strict && special == 0 ? KIN__MUTEX_UNREPAIRED : special);
}

int kin__mutex_mark_repaired(struct kin__mutex *mutex, uint64_t magic)
{
    int rc = enter(mutex, magic);
    if (rc < 0) return kin__is_remote(mutex) ? -EOPNOTSUPP : rc;
    if (!kin__mutex_held_by_me(mutex)) return -EPERM;
    kin__mutex_set_special(mutex, kin__mutex_special(mutex) & (KIN__MUTEX_TELLS | UINT32_MAX));
    return 0;
}

/* ---- who ----------------------------------------------------------------------------------------------- */

int kin__mutex_owner(struct kin__mutex *mutex, kin_owner *owner)
{
    memset(owner, 0, sizeof *owner);
    uint32_t word = atomic_load(&mutex->robust.point.word);
    if ((word & KIN__WORD_OWNER) == 0) return 0;
    owner->thread = (int)(word & KIN__WORD_OWNER);
    owner->pid = kin__member_pid(kin__member_of_thread(word & KIN__WORD_OWNER));
    owner->end = KIN_RUNNING;
    kin__os_thread_label(owner->pid, owner->thread, owner->name, sizeof owner->name);
    return 1;
}

int kin__mutex_last_death(struct kin__mutex *mutex, kin_owner *dead)
{
    uint64_t who;
    uint32_t end;
    memset(dead, 0, sizeof *dead);
    do {
        who = atomic_load(&mutex->dead);
        end = atomic_load(&mutex->dead_end);
    } while (atomic_load(&mutex->dead) != who);
    if (who == 0) return 0;
    if (who != UINT64_MAX) {
        dead->pid = kin__identity_pid(who);
        dead->thread = (int)(uint32_t)who;
    }
    dead->end = kin__end_kind(end);
    dead->code = kin__end_code(end);
    dead->signal = kin__end_signal(end);
    return 1;
}

int kin__mutex_locked(struct kin__mutex *mutex, uint64_t magic)
{
    int rc = enter(mutex, magic);
    if (rc < 0) return kin__is_remote(mutex) ? kin__remote_locked(mutex) : rc;
    return (atomic_load(&mutex->robust.point.word) & KIN__WORD_OWNER) != 0;
}

long kin__mutex_times(struct kin__mutex *mutex, uint64_t magic)
{
    int rc = enter(mutex, magic);
    if (rc < 0) return kin__is_remote(mutex) ? -EOPNOTSUPP : rc;
    return kin__mutex_held_by_me(mutex) ? (long)kin__mutex_depth(mutex) + 1 : 0;
}

int kin__mutex_tell(struct kin__mutex *mutex, uint64_t magic, kin__mutex_teller *teller, kin_owner *who,
                    size_t size)
{
    kin_owner found;
    int rc = enter(mutex, magic);
    if (rc < 0) return kin__is_remote(mutex) ? -EOPNOTSUPP : rc;
    if (who == NULL) return -EINVAL;
    rc = teller(mutex, &found);
    memset(who, 0, size);
    memcpy(who, &found, size < sizeof found ? size : sizeof found);
    return rc;
}

KIN__LAYOUT_PART(mutex, struct kin__mutex);
