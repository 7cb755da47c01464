/* event.c: the public event: a flag, and those who wait for it.
 *
 * Invariants:
 *  - `state` alone decides: its lowest bit is the flag, the rest counts how often it was set.  Who
 *    waits has noted that count, so that a set is not missed when a clear follows at once.
 *  - Setting needs nothing that a signal handler could have interrupted: one CAS and, if somebody
 *    sleeps, a wake-up.  Nobody who wakes waits for those who sleep.
 */
#include <kin/event.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "memory/object.h"
#include "memory/reap.h"
#include "memory/wait.h"
#include "memory/waitable.h"

#define MAGIC_EVENT 0x746e65766500006bull

#define STATE_SET  1u
#define STATE_STEP 2u

/* SHARED.
 *   head     see object.h.
 *   state    changed by CAS by who sets and clears.  Seq_cst: it pairs with the count of sleepers
 *            in kin__waiters_enter.
 *   changed  "it was set, or closed". */
struct kin_event {
    struct kin__object head;
    _Atomic uint32_t state;
    struct kin__event changed;
};

/* Without joining the family: so that a signal handler can be the thread's first call. */
static int check(const kin_event *event)
{
    if (event == NULL) return -EINVAL;
    if (!kin__family_known()) return KIN_EFOREIGN;
    return kin__check(event, offsetof(struct kin_event, head.magic), MAGIC_EVENT);
}

int kin_event_open_sized(kin_event **event, const kin_event_options *options, size_t size)
{
    kin_event_options given = {0};
    if (event == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin_event *made = kin__object_make(KIN__OBJECT_EVENT, sizeof *made, &rc);
    if (made == NULL) return rc;
    void *outer = kin__touch(made);
    kin__event_init(&made->changed);
    atomic_store(&made->state, given.set ? STATE_SET : 0);
    kin__object_prepare(&made->head);
    *event = made;
    kin__object_open(&made->head, MAGIC_EVENT);
    kin__untouch(outer);
    return 0;
}

int kin_event_close(kin_event *event)
{
    if (event == NULL) return 0;
    int rc = kin__enter();
    if (rc == 0) rc = check(event);
    if (rc < 0) return rc;
    void *outer = kin__touch(event);
    rc = kin__object_close_begin(&event->head);
    if (rc == 0) {
        kin__waiters_wake_all(&event->changed.point);
        rc = kin__object_close_end(&event->head);
    }
    kin__untouch(outer);
    return rc;
}

static void set(kin_event *event)
{
    uint32_t seen = atomic_load(&event->state);
    while ((seen & STATE_SET) == 0 &&
           !atomic_compare_exchange_weak(&event->state, &seen, (seen | STATE_SET) + STATE_STEP))
        ;
    /* CRASH: set, and nobody woken: the reaper wakes them (announce), or the next who sets it, or
     * they look by themselves when their slice ends.  That is why it is told also when it is set. */
    kin__event_notify(&event->changed, INT32_MAX);
}

int kin_event_set(kin_event *event)
{
    int rc = check(event);
    if (rc < 0) return rc;
    if (kin__self.member == NULL) {
        set(event);
    } else {
        void *outer = kin__touch(event);
        set(event);
        kin__untouch(outer);
    }
    return 0;
}

int kin_event_clear(kin_event *event)
{
    int rc = check(event);
    if (rc == 0) atomic_fetch_and(&event->state, ~STATE_SET);
    return rc;
}

int kin_event_is_set(const kin_event *event)
{
    int rc = check(event);
    return rc < 0 ? rc : (int)(atomic_load(&event->state) & STATE_SET);
}

/* ---- waiting -------------------------------------------------------------------------------- */

struct wait {
    kin_event *event;
    uint32_t opened;
    uint32_t sets; /* how often it had been set when the wait began */
};

static bool is_closed(const struct wait *wait)
{
    return check(wait->event) < 0 || atomic_load(&wait->event->head.opened) != wait->opened;
}

static bool was_set(const struct wait *wait)
{
    uint32_t state = atomic_load(&wait->event->state);
    return (state & STATE_SET) != 0 || state / STATE_STEP != wait->sets;
}

static bool is_over(void *context)
{
    const struct wait *wait = context;
    return was_set(wait) || is_closed(wait);
}

int kin_event_wait(kin_event *event, kin_deadline deadline)
{
    int rc = kin__enter();
    if (rc == 0) rc = check(event);
    if (rc < 0) return rc;
    struct wait wait = {.event = event, .opened = atomic_load(&event->head.opened)};
    uint32_t state = atomic_load(&event->state);
    if ((state & STATE_SET) != 0) return 0;
    wait.sets = state / STATE_STEP;
    rc = kin__event_await(&event->changed, is_over, &wait, deadline);
    return rc == 0 && is_closed(&wait) ? KIN_ECLOSED : rc;
}

/* ---- after a death -------------------------------------------------------------------------- */

static void announce(void *object, struct kin__member *dead)
{
    kin_event *event = object;
    bool closing = kin__object_closing(&event->head, dead);
    kin__waiters_wake_all(&event->changed.point);
    if (closing) kin__object_close_end(&event->head);
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_EVENT] = (struct kin__reap_hooks){.announce = announce};
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    int rc = kin__enter();
    return rc < 0 ? rc : kin_event_is_set(item->object);
}

static uint32_t life_of(const kin_waitable *item)
{
    kin_event *event = (kin_event *)(uintptr_t)item->object;
    return check(event) < 0 ? 0 : atomic_load(&event->head.opened);
}

static struct kin__event *event_of(const kin_waitable *item)
{
    return &((kin_event *)(uintptr_t)item->object)->changed;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class events = {.look = look, .life = life_of, .event = event_of};
    kin__waitable_classes[KIN_WAITABLE_EVENT] = &events;
}

KIN__LAYOUT_PART(event, struct kin_event);
