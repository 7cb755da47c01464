/* semaphore.c: the public semaphore: waiting for permits, owned (permits.h) or plain.
 *
 * Invariants:
 *  - An owned semaphore has no other state than its permits; a plain one is a count, and what is
 *    acquired of it is used up.  Both change by one CAS.
 *  - Whoever frees a permit looks at the sleepers after it.  If it dies before that, or one that was
 *    woken dies on its way to a permit, those who wait look again when the reaper has seen the end of
 *    its process (forget): so the fast paths need not say where they are.
 */
#include <kin/semaphore.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "memory/object.h"
#include "memory/reap.h"
#include "memory/wait.h"
#include "memory/waitable.h"
#include "sync/semaphore.h"

static inline bool is_plain(const kin_semaphore *semaphore)
{
    return atomic_load_explicit(&semaphore->plain, memory_order_relaxed);
}

static int enter(const kin_semaphore *semaphore)
{
    int rc = kin__enter();
    return rc == 0 ? kin__check(semaphore, offsetof(struct kin_semaphore, head.magic), KIN__MAGIC_SEMAPHORE)
                   : rc;
}

/* As enter, on the fast paths. */
static inline __attribute__((always_inline)) bool may_go_on(const kin_semaphore *semaphore)
{
    return __builtin_expect(kin__self.member != NULL, 1) &&
           kin__is_open(semaphore, offsetof(struct kin_semaphore, head.magic), KIN__MAGIC_SEMAPHORE);
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* What there is to do between the beginning and the end of a closing; it may be repeated. */
static void take_down(kin_semaphore *semaphore)
{
    kin__waiters_wake_all(&semaphore->released.point);
    if (!is_plain(semaphore)) kin__permits_close(&semaphore->permits);
    kin__object_close_end(&semaphore->head);
}

static int fill(kin_semaphore *semaphore, uint32_t permits, const kin_semaphore_options *options)
{
    kin__event_init(&semaphore->released);
    atomic_store(&semaphore->plain, options->plain);
    semaphore->bounded = options->bounded;
    semaphore->limit = options->bounded ? permits : options->plain ? INT32_MAX : KIN__PERMITS_MOST;
    kin__permits_clear(&semaphore->permits);
    if (options->plain) atomic_store(&semaphore->count, permits);
    /* CRASH: from here until it is open it counts as being closed by us: the reaper takes it down. */
    kin__object_prepare(&semaphore->head);
    return options->plain ? 0 : kin__permits_open(&semaphore->permits, permits);
}

int kin_semaphore_open_sized(kin_semaphore **semaphore, uint32_t permits,
                             const kin_semaphore_options *options, size_t size)
{
    kin_semaphore_options given = {0};
    if (semaphore == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (permits > (given.plain ? (uint32_t)INT32_MAX : KIN__PERMITS_MOST)) return -EINVAL;
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin_semaphore *made = kin__object_make(KIN__OBJECT_SEMAPHORE, sizeof *made, &rc);
    if (made == NULL) return rc;
    void *outer = kin__touch(made);
    rc = fill(made, permits, &given);
    if (rc == 0) {
        *semaphore = made;
        kin__object_open(&made->head, KIN__MAGIC_SEMAPHORE);
    } else {
        take_down(made);
    }
    kin__untouch(outer);
    return rc;
}

int kin_semaphore_close(kin_semaphore *semaphore)
{
    if (semaphore == NULL) return 0;
    int rc = enter(semaphore);
    if (rc < 0) return rc;
    void *outer = kin__touch(semaphore);
    rc = kin__object_close_begin(&semaphore->head);
    if (rc == 0) take_down(semaphore);
    kin__untouch(outer);
    return rc;
}

/* ---- acquiring ------------------------------------------------------------------------------------ */

static bool take_plain(kin_semaphore *semaphore)
{
    uint32_t seen = atomic_load_explicit(&semaphore->count, memory_order_relaxed);
    while (seen > 0)
        if (atomic_compare_exchange_weak(&semaphore->count, &seen, seen - 1)) return true;
    return false;
}

static inline bool take_first(kin_semaphore *semaphore)
{
    return __builtin_expect(!is_plain(semaphore), 1) &&
           kin__cells_change(&semaphore->permits.word[0], KIN__CELL_FREE, kin__permits_self());
}

static bool take(kin_semaphore *semaphore)
{
    return is_plain(semaphore) ? take_plain(semaphore)
                               : kin__permits_take_any(&semaphore->permits, kin__permits_self());
}

struct wait {
    kin_semaphore *semaphore;
    uint32_t opened;
};

static bool is_closed(const struct wait *wait)
{
    return enter(wait->semaphore) < 0 || atomic_load(&wait->semaphore->head.opened) != wait->opened;
}

static bool may_take(void *context)
{
    const struct wait *wait = context;
    kin_semaphore *semaphore = wait->semaphore;
    if (is_closed(wait)) return true;
    return is_plain(semaphore) ? atomic_load(&semaphore->count) > 0
                               : kin__permits_any_free(&semaphore->permits);
}

static __attribute__((noinline)) int acquire_slow(kin_semaphore *semaphore, kin_deadline deadline)
{
    int rc = enter(semaphore);
    if (rc < 0) return rc;
    if (take(semaphore)) return 0;
    if (deadline <= 0) return -ETIMEDOUT;
    struct wait wait = {semaphore, atomic_load(&semaphore->head.opened)};
    do {
        rc = kin__event_await(&semaphore->released, may_take, &wait, deadline);
        if (rc == 0 && is_closed(&wait)) rc = KIN_ECLOSED;
    } while (rc == 0 && !take(semaphore));
    return rc;
}

int kin_semaphore_acquire(kin_semaphore *semaphore, kin_deadline deadline)
{
    return may_go_on(semaphore) && take_first(semaphore) ? 0 : acquire_slow(semaphore, deadline);
}

/* ---- releasing ------------------------------------------------------------------------------------ */

static int release_plain(kin_semaphore *semaphore, uint32_t count)
{
    uint32_t seen = atomic_load_explicit(&semaphore->count, memory_order_relaxed);
    do {
        if (seen + count > semaphore->limit || seen + count < seen)
            return semaphore->bounded ? KIN_ERELEASED : -EOVERFLOW;
    } while (!atomic_compare_exchange_weak(&semaphore->count, &seen, seen + count));
    kin__event_notify(&semaphore->released, count < INT32_MAX ? (int)count : INT32_MAX);
    return 0;
}

static __attribute__((noinline)) int release_slow(kin_semaphore *semaphore)
{
    int rc = enter(semaphore);
    if (rc < 0) return rc;
    if (is_plain(semaphore)) return release_plain(semaphore, 1);
    if (!kin__permits_free_any(&semaphore->permits, kin__permits_self())) {
        if (semaphore->bounded) return KIN_ERELEASED;
        rc = kin__permits_add(&semaphore->permits);
        if (rc < 0) return rc;
    }
    kin__event_notify(&semaphore->released, 1);
    return 0;
}

int kin_semaphore_release(kin_semaphore *semaphore)
{
    if (!may_go_on(semaphore) || is_plain(semaphore) ||
        !kin__cells_change(&semaphore->permits.word[0], kin__permits_self(), KIN__CELL_FREE))
        return release_slow(semaphore);
    /* CRASH: free, and nobody told: the reaper wakes them all (forget). */
    kin__event_notify(&semaphore->released, 1);
    return 0;
}

/* Would so many be too many? */
static int check_count(kin_semaphore *semaphore, uint32_t count)
{
    uint32_t free, held;
    if (is_plain(semaphore)) return 0;
    kin__permits_count(&semaphore->permits, &free, &held);
    if (count <= held) return 0;
    if (semaphore->bounded) return KIN_ERELEASED;
    return free + held + (count - held) > KIN__PERMITS_MOST ? -EOVERFLOW : 0;
}

int kin_semaphore_release_many(kin_semaphore *semaphore, uint32_t count)
{
    int rc = enter(semaphore);
    if (rc < 0) return rc;
    if (count > INT32_MAX) return -EOVERFLOW;
    rc = check_count(semaphore, count);
    if (rc == 0 && is_plain(semaphore)) {
        if (count > 0) rc = release_plain(semaphore, count);
    } else {
        for (uint32_t i = 0; rc == 0 && i < count; i++) rc = kin_semaphore_release(semaphore);
    }
    return rc;
}

long kin_semaphore_value(kin_semaphore *semaphore)
{
    uint32_t free, held;
    int rc = enter(semaphore);
    if (rc < 0) return rc;
    if (is_plain(semaphore)) return (long)atomic_load(&semaphore->count);
    kin__permits_count(&semaphore->permits, &free, &held);
    return (long)free;
}

/* ---- after a death -------------------------------------------------------------------------------- */

static void announce(void *object, struct kin__member *dead)
{
    kin_semaphore *semaphore = object;
    if (kin__object_closing(&semaphore->head, dead)) take_down(semaphore);
}

/* The permits of a dead process come back.  CRASH: each by itself; the next reaper goes on, and wakes
 * those who wait whether it finds one or not. */
static void forget(void *object, struct kin__process_slot *dead)
{
    kin_semaphore *semaphore = object;
    if (__atomic_load_n(&semaphore->head.magic, __ATOMIC_ACQUIRE) != KIN__MAGIC_SEMAPHORE) return;
    if (!is_plain(semaphore))
        kin__permits_reclaim(&semaphore->permits,
                             KIN__CELL_HOLDER + (uint32_t)(dead - kin__family.processes));
    if (kin__waiters_any(&semaphore->released.point)) kin__waiters_wake_all(&semaphore->released.point);
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_SEMAPHORE] = (struct kin__reap_hooks){.announce = announce, .forget = forget};
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    kin_semaphore *semaphore = (kin_semaphore *)(uintptr_t)item->object;
    int rc = enter(semaphore);
    if (rc < 0) return rc;
    return is_plain(semaphore) ? atomic_load(&semaphore->count) > 0
                               : kin__permits_any_free(&semaphore->permits);
}

static uint32_t life_of(const kin_waitable *item)
{
    kin_semaphore *semaphore = (kin_semaphore *)(uintptr_t)item->object;
    return enter(semaphore) < 0 ? 0 : atomic_load(&semaphore->head.opened);
}

static struct kin__event *event_of(const kin_waitable *item)
{
    return &((kin_semaphore *)(uintptr_t)item->object)->released;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class semaphores = {.look = look, .life = life_of, .event = event_of};
    kin__waitable_classes[KIN_WAITABLE_SEMAPHORE] = &semaphores;
}

KIN__LAYOUT_PART(semaphore, struct kin_semaphore);
