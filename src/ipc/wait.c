/* wait.c: waiting for many things at once.
 *
 * Whatever has a descriptor is in a set of descriptors (epoll).  Whatever is in family memory has a
 * bell (memory/bell.h) that rings a socket in that set.
 *
 * Invariants:
 *  - An item with a bell is looked at after its bell was armed: so what happens later rings.
 *  - Who is armed and was not ready need not be looked at until its bell has rung; the others are in
 *    turn at every wait.
 *  - Nobody relies on bells alone: whoever waits looks at everything once in a while, and with
 *    kin_waiter_fileno a timer makes him do so.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/handle.h"
#include "memory/bell.h"
#include "memory/reap.h"
#include "memory/region.h"
#include "memory/waitable.h"
#include "os/epoll.h"
#include "os/os.h"

#define TOKEN_BELL  ((uint64_t)0)
#define TOKEN_TIMER ((uint64_t)1)
#define TOKEN_ITEMS ((uint64_t)2)
#define TOKENS      64

/* How often somebody who waits for our descriptor is made to look, whatever the bells say. */
#define TIMER_NS 1000000000LL

const struct kin__waitable_class *kin__waitable_classes[KIN_WAITABLE_KINDS];

/* Private memory.
 *   what   kind KIN_WAITABLE_NONE: a place to be used again.
 *   bell   NULL: it has a descriptor.
 *   life   which object it was when it was added; see struct kin__waitable_class.
 *   armed  its bell is, and it was not ready then.
 *   next_free  places to be used again, by index. */
struct item {
    kin_waitable what;
    struct kin__bell *bell;
    uint32_t life;
    int descriptor;
    bool armed;
    bool keeps; /* see struct kin__waitable_class */
    size_t next_free;
};

/* Private memory.
 *   set, bell, timer   descriptors; `set` has the two others and those of the items.
 *   first              where the next wait begins, so that all have their turn.
 *   bells, keeping     how many items have a bell, or may be ready although their descriptor is not.
 *   full               those alone were as many as the last wait might return: the set is looked at first. */
struct kin_waiter {
    struct kin__handle set;
    struct kin__handle bell;
    struct kin__handle timer;
    uint64_t number;
    struct item *items;
    size_t count;
    size_t capacity;
    size_t free;
    size_t first;
    size_t bells;
    size_t keeping;
    bool full;
};

#define NO_ITEM SIZE_MAX

/* ---- items ------------------------------------------------------------------------------------------ */

static const struct kin__waitable_class *class_of(const kin_waitable *item)
{
    return item->kind > KIN_WAITABLE_NONE && item->kind < KIN_WAITABLE_KINDS
               ? kin__waitable_classes[item->kind]
               : NULL;
}

/* Asked before the first look: what is closed afterwards, and opened anew, is another one. */
static uint32_t life_of(const kin_waitable *item)
{
    const struct kin__waitable_class *class = class_of(item);
    return class != NULL && class->life != NULL ? class->life(item) : 0;
}

/* 1: ready, 0: not, or its descriptor tells, or an error of who asks. */
static int look(const kin_waitable *item, uint32_t life)
{
    const struct kin__waitable_class *class = class_of(item);
    if (class == NULL) return item->kind == KIN_WAITABLE_NONE ? 0 : -EINVAL;
    int rc = class->look(item);
    if (rc == 0 && life_of(item) != life) return 1;
    return rc == KIN_ECLOSED ? 1 : rc;
}

static int descriptor_of(const kin_waitable *item)
{
    const struct kin__waitable_class *class = class_of(item);
    return class != NULL && class->descriptor != NULL ? class->descriptor(item) : -1;
}

static int look_at_descriptor(const kin_waitable *item)
{
    return item->descriptor < 0 ? -EBADF : 0;
}
static int own_descriptor(const kin_waitable *item)
{
    return item->descriptor;
}
static const struct kin__waitable_class descriptors = {.look = look_at_descriptor,
                                                       .descriptor = own_descriptor};

__attribute__((constructor)) static void register_class(void)
{
    kin__waitable_classes[KIN_WAITABLE_DESCRIPTOR] = &descriptors;
}

static bool is_same(const kin_waitable *a, const kin_waitable *b)
{
    return a->kind == b->kind && a->object == b->object &&
           (a->kind != KIN_WAITABLE_DESCRIPTOR || a->descriptor == b->descriptor);
}

static struct item *find(kin_waiter *waiter, const kin_waitable *what)
{
    for (size_t i = 0; i < waiter->count; i++)
        if (is_same(&waiter->items[i].what, what)) return &waiter->items[i];
    return NULL;
}

/* ---- opening and closing ----------------------------------------------------------------------------- */

/* A descriptor that was made between kin__handles_enter and here, or the error. */
static int add_socket(kin_waiter *waiter, struct kin__handle *handle, int descriptor, uint64_t token)
{
    int rc = descriptor;
    if (rc >= 0) rc = kin__os_epoll_add(waiter->set.descriptor, descriptor, KIN__READABLE, token);
    if (rc >= 0)
        kin__handle_add(handle, descriptor, true);
    else if (descriptor >= 0)
        kin__os_close(descriptor);
    kin__handles_leave();
    return rc < 0 ? rc : 0;
}

/* What only those need who wait for something in family memory. */
static int make_bell(kin_waiter *waiter)
{
    char name[KIN__BELL_NAME];
    if (waiter->bell.descriptor >= 0) return 0;
    int rc = kin__enter();
    if (rc < 0) return rc;
    waiter->number = atomic_fetch_add(&kin__family.header->generation, 1);
    kin__bell_name(name, waiter->number);
    kin__handles_enter();
    return add_socket(waiter, &waiter->bell, kin__os_bell_make(name), TOKEN_BELL);
}

int kin_waiter_open(kin_waiter **waiter)
{
    if (waiter == NULL) return -EINVAL;
    kin_waiter *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    kin__handles_enter();
    int set = kin__os_epoll_make();
    if (set >= 0) kin__handle_add(&made->set, set, true);
    kin__handles_leave();
    if (set < 0) {
        kin__os_free(made);
        return set;
    }
    made->bell.descriptor = made->timer.descriptor = -1;
    made->free = NO_ITEM;
    *waiter = made;
    return 0;
}

static void take_out(kin_waiter *waiter, struct item *item)
{
    if (item->bell != NULL) {
        kin__bell_take_down(item->bell);
        waiter->bells--;
    } else {
        kin__os_epoll_remove(waiter->set.descriptor, item->descriptor);
        waiter->keeping -= item->keeps;
    }
    *item = (struct item){.descriptor = -1, .next_free = waiter->free};
    waiter->free = (size_t)(item - waiter->items);
}

int kin_waiter_close(kin_waiter *waiter)
{
    if (waiter == NULL) return 0;
    /* A child has inherited names of bells that are its parent's. */
    for (size_t i = 0; i < waiter->count && !waiter->set.withheld; i++)
        if (waiter->items[i].what.kind != KIN_WAITABLE_NONE) take_out(waiter, &waiter->items[i]);
    if (waiter->bell.descriptor >= 0 || waiter->bell.withheld) kin__handle_close(&waiter->bell);
    if (waiter->timer.descriptor >= 0 || waiter->timer.withheld) kin__handle_close(&waiter->timer);
    kin__handle_close(&waiter->set);
    kin__os_free(waiter->items);
    kin__os_free(waiter);
    return 0;
}

/* ---- adding and removing ------------------------------------------------------------------------------ */

static int make_place(kin_waiter *waiter, size_t *index)
{
    if (waiter->free != NO_ITEM) {
        *index = waiter->free;
        waiter->free = waiter->items[*index].next_free;
        return 0;
    }
    if (waiter->count == waiter->capacity) {
        size_t capacity = waiter->capacity > 0 ? waiter->capacity * 2 : 16;
        struct item *items = kin__os_malloc(capacity * sizeof *items);
        if (items == NULL) return -ENOMEM;
        if (waiter->count > 0) memcpy(items, waiter->items, waiter->count * sizeof *items);
        kin__os_free(waiter->items);
        waiter->items = items;
        waiter->capacity = capacity;
    }
    *index = waiter->count++;
    return 0;
}

static void give_place(kin_waiter *waiter, size_t index)
{
    waiter->items[index] = (struct item){.descriptor = -1, .next_free = waiter->free};
    waiter->free = index;
}

/* Makes the item ring, or puts its descriptor into the set. */
static int attach(kin_waiter *waiter, struct item *item, size_t index)
{
    const struct kin__waitable_class *class = class_of(&item->what);
    if (class->event != NULL) {
        int rc = make_bell(waiter);
        if (rc == 0) rc = kin__bell_hang(&item->bell, &class->event(&item->what)->point, waiter->number);
        if (rc == 0) waiter->bells++;
        return rc;
    }
    item->descriptor = class->descriptor(&item->what);
    if (item->descriptor < 0) return item->descriptor;
    int rc = kin__os_epoll_add(waiter->set.descriptor, item->descriptor, KIN__READABLE, TOKEN_ITEMS + index);
    item->keeps = rc == 0 && class->keeps;
    waiter->keeping += item->keeps;
    return rc;
}

/* Somebody may wait for our descriptor: it becomes readable. */
static void ring_ourselves(kin_waiter *waiter)
{
    char name[KIN__BELL_NAME];
    if (waiter->timer.descriptor < 0 || waiter->bell.descriptor < 0) return;
    kin__bell_name(name, waiter->number);
    kin__os_bell_ring(name);
}

/* An item that has been looked at. */
static int add(kin_waiter *waiter, const kin_waitable *what, uint32_t life)
{
    size_t index;
    int rc = make_place(waiter, &index);
    if (rc < 0) return rc;
    struct item *item = &waiter->items[index];
    *item = (struct item){.what = *what, .life = life, .descriptor = -1};
    rc = attach(waiter, item, index);
    if (rc < 0) give_place(waiter, index);
    return rc;
}

int kin_waiter_add(kin_waiter *waiter, const kin_waitable *what)
{
    if (waiter == NULL || what == NULL || what->kind == KIN_WAITABLE_NONE) return -EINVAL;
    if (waiter->set.withheld) return KIN_ENOTGIVEN;
    uint32_t life = life_of(what);
    int rc = look(what, life);
    if (rc < 0) return rc;
    /* The set finds descriptors that are there twice. */
    if (class_of(what)->event != NULL && find(waiter, what) != NULL) return -EEXIST;
    rc = add(waiter, what, life);
    if (rc == 0) ring_ourselves(waiter);
    return rc;
}

int kin_waiter_remove(kin_waiter *waiter, const kin_waitable *what)
{
    if (waiter == NULL || what == NULL || what->kind == KIN_WAITABLE_NONE) return -EINVAL;
    if (waiter->set.withheld) return KIN_ENOTGIVEN;
    struct item *item = find(waiter, what);
    if (item == NULL) return -ENOENT;
    take_out(waiter, item);
    return 0;
}

/* ---- waiting -------------------------------------------------------------------------------------------- */

struct harvest {
    kin_waitable *ready;
    size_t limit;
    size_t count;
};

static void reap_item(struct harvest *harvest, const struct item *item)
{
    harvest->ready[harvest->count] = item->what;
    harvest->ready[harvest->count++].ready = true;
}

static bool is_reaped(const struct harvest *harvest, const struct item *item)
{
    for (size_t i = 0; i < harvest->count; i++)
        if (is_same(&harvest->ready[i], &item->what)) return true;
    return false;
}

/* Looks at an item with a bell, having armed that. */
static bool check(struct item *item)
{
    kin__bell_arm(item->bell);
    bool ready = look(&item->what, item->life) != 0;
    item->armed = !ready;
    return ready;
}

/* Has the bell of an item rung, or was it ready when it was looked at last? */
static bool is_due(const struct item *item)
{
    return !item->armed || !kin__bell_is_armed(item->bell);
}

/* Goes through the items once, beginning where the last wait has stopped; all of them, or those that are due. */
static void go_round(kin_waiter *waiter, struct harvest *harvest, bool all)
{
    size_t i = waiter->first, left = waiter->count;
    for (; left > 0 && harvest->count < harvest->limit; left--) {
        if (i >= waiter->count) i = 0;
        struct item *item = &waiter->items[i++];
        bool ready = item->bell != NULL
                         ? (all || is_due(item)) && check(item)
                         : item->keeps && look(&item->what, item->life) != 0 && !is_reaped(harvest, item);
        if (ready) reap_item(harvest, item);
    }
    waiter->first = left > 0 ? i : waiter->first;
}

/* Waits for the descriptors; returns whether a bell has rung, or an error.  The kernel hands each in its turn, and
 * takes what it has handed out for seen: so it is not asked for more than there is room for. */
static int wait_for_set(kin_waiter *waiter, struct harvest *harvest, kin_deadline deadline)
{
    uint64_t tokens[TOKENS];
    size_t room = harvest->limit - harvest->count;
    bool rung = false;
    int count = kin__os_epoll_tokens(waiter->set.descriptor, tokens, room < TOKENS ? room : TOKENS, deadline);
    for (int i = 0; i < count; i++) {
        if (tokens[i] == TOKEN_BELL) {
            kin__os_bell_silence(waiter->bell.descriptor);
            rung = true;
        } else if (tokens[i] == TOKEN_TIMER) {
            kin__os_alarm_set(waiter->timer.descriptor, kin__os_clock() + TIMER_NS);
            rung = true;
        } else {
            struct item *item = &waiter->items[tokens[i] - TOKEN_ITEMS];
            if (!is_reaped(harvest, item)) reap_item(harvest, item);
        }
    }
    return count < 0 ? count : rung;
}

/* The pools that the caller is away from while he sleeps, as a worker of theirs: he may be one as a thread, and one
 * as a process. */
struct leave {
    const struct kin__waitable_work *work;
    void *pools[2];
    unsigned count;
    bool taken;
};

static int leave_one(struct leave *leave, const kin_waitable *item)
{
    void *pool = leave->work->pool(item);
    if (pool == NULL || (leave->count > 0 && leave->pools[0] == pool) || leave->count == 2) return 0;
    int rc = leave->work->leave(pool);
    if (rc == 0) leave->pools[leave->count++] = pool;
    return rc;
}

/* Before the first sleep: 0, or why the caller must not sleep. */
static int take_leave(const kin_waiter *waiter, struct leave *leave)
{
    int rc = 0;
    if (leave->taken) return 0;
    leave->taken = true;
    for (size_t i = 0; i < waiter->count && rc == 0; i++) {
        const struct kin__waitable_class *class = class_of(&waiter->items[i].what);
        if (class == NULL || class->work == NULL) continue;
        leave->work = class->work;
        if (!leave->work->working()) break;
        rc = leave_one(leave, &waiter->items[i].what);
    }
    return rc;
}

static void come_back(struct leave *leave)
{
    while (leave->count > 0) leave->work->come_back(leave->pools[--leave->count]);
}

/* Waits until something is in the harvest: 0, also at the deadline. */
static int gather(kin_waiter *waiter, struct harvest *harvest, struct leave *leave, kin_deadline deadline)
{
    bool all = false, set_first = waiter->full;
    if (set_first) {
        int rc = wait_for_set(waiter, harvest, KIN_NOW);
        if (rc < 0) return rc;
    }
    for (;;) {
        if (waiter->bells + waiter->keeping > 0) go_round(waiter, harvest, all);
        waiter->full = !set_first && harvest->count == harvest->limit;
        if (harvest->count == harvest->limit) return 0;
        kin_deadline now = kin__os_clock(), slice = now + KIN__SLICE_NS;
        bool last = deadline <= now || harvest->count > 0;
        if (waiter->bells == 0 || slice > deadline) slice = deadline;
        int left = last || waiter->bells == 0 ? 0 : take_leave(waiter, leave);
        int rung = left < 0 ? left : wait_for_set(waiter, harvest, last ? KIN_NOW : slice);
        if (rung < 0) return rung;
        if (harvest->count > 0 || (last && rung == 0)) return 0;
        /* Nothing for a whole slice: whoever should have rung may be dead. */
        all = rung == 0;
        if (all && kin__family_known() && kin__reap_needed()) kin__reap();
    }
}

long kin_waiter_wait(kin_waiter *waiter, kin_waitable *ready, size_t limit, kin_deadline deadline)
{
    struct harvest harvest = {ready, limit, 0};
    struct leave leave = {0};
    if (waiter == NULL || ready == NULL || limit == 0) return -EINVAL;
    if (waiter->set.withheld) return KIN_ENOTGIVEN;
    int rc = gather(waiter, &harvest, &leave, deadline);
    come_back(&leave);
    if (rc < 0) return rc;
    if (harvest.count > 0 && waiter->bells > 0) ring_ourselves(waiter);
    return (long)harvest.count;
}

int kin_waiter_fileno(kin_waiter *waiter)
{
    if (waiter == NULL) return -EINVAL;
    if (waiter->set.withheld) return KIN_ENOTGIVEN;
    if (waiter->timer.descriptor < 0) {
        kin__handles_enter();
        int rc = add_socket(waiter, &waiter->timer, kin__os_alarm_make(), TOKEN_TIMER);
        if (rc < 0) return rc;
        kin__os_alarm_set(waiter->timer.descriptor, kin__os_clock() + TIMER_NS);
        ring_ourselves(waiter);
    }
    return waiter->set.descriptor;
}

/* ---- once ------------------------------------------------------------------------------------------------- */

#define FEW 16

/* One call of kin_wait: for each item which object it was at the beginning, and room for a poll. */
struct once {
    kin_waitable *items;
    size_t count;
    uint32_t *lives;
    struct kin__poll *polled;
};

/* Looks at all items, and waits for none but descriptors; returns how many are ready. */
static long look_at_all(const struct once *once, kin_deadline deadline)
{
    kin_waitable *items = once->items;
    struct kin__poll *polled = once->polled;
    size_t count = once->count;
    long ready = 0;
    for (size_t i = 0; i < count; i++) {
        int rc = look(&items[i], once->lives[i]);
        if (rc < 0) return rc;
        items[i].ready = rc > 0;
        ready += rc > 0;
        polled[i] = (struct kin__poll){.descriptor = rc > 0 ? -1 : descriptor_of(&items[i])};
    }
    int rc;
    do rc = kin__os_poll(polled, count, ready > 0 ? KIN_NOW : deadline);
    while (rc == -EINTR);
    if (rc < 0) return rc;
    for (size_t i = 0; i < count; i++) {
        ready += polled[i].ready;
        items[i].ready = items[i].ready || polled[i].ready;
    }
    return ready;
}

static bool has_bells(const kin_waitable *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kin__waitable_class *class = class_of(&items[i]);
        if (class != NULL && class->event != NULL) return true;
    }
    return false;
}

/* What is there twice has two bells: to look for it would take longer, with many items. */
static int add_all(kin_waiter *waiter, const struct once *once)
{
    for (size_t i = 0; i < once->count; i++) {
        if (once->items[i].kind == KIN_WAITABLE_NONE) continue;
        int rc = add(waiter, &once->items[i], once->lives[i]);
        if (rc < 0 && rc != -EEXIST) return rc;
    }
    return 0;
}

static long wait_with_bells(const struct once *once, kin_deadline deadline)
{
    kin_waiter *waiter = NULL;
    kin_waitable any;
    long rc = kin_waiter_open(&waiter);
    if (rc == 0) rc = add_all(waiter, once);
    while (rc == 0) {
        rc = kin_waiter_wait(waiter, &any, 1, deadline);
        if (rc <= 0) break;
        /* What was ready a moment ago may have been taken by another. */
        rc = look_at_all(once, KIN_NOW);
    }
    kin_waiter_close(waiter);
    return rc;
}

long kin__wait_for(kin_waitable *items, const uint32_t *lives, size_t count, kin_deadline deadline)
{
    struct kin__poll polled[FEW];
    uint32_t few[FEW];
    struct once once = {items, count, few, polled};
    if (items == NULL && count > 0) return -EINVAL;
    if (count > FEW) {
        once.polled = kin__os_calloc(count, sizeof *polled + sizeof *few);
        if (once.polled == NULL) return -ENOMEM;
        once.lives = (uint32_t *)(once.polled + count);
    }
    for (size_t i = 0; i < count; i++) once.lives[i] = lives != NULL ? lives[i] : life_of(&items[i]);
    bool bells = has_bells(items, count);
    long rc = look_at_all(&once, bells ? KIN_NOW : deadline);
    if (rc == 0 && bells && deadline > 0) rc = wait_with_bells(&once, deadline);
    if (count > FEW) kin__os_free(once.polled);
    return rc;
}

long kin_wait(kin_waitable *items, size_t count, kin_deadline deadline)
{
    return kin__wait_for(items, NULL, count, deadline);
}
