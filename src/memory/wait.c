/* wait.c: sleeping and being woken.  See wait.h for the invariants. */
#include "memory/wait.h"

#include <errno.h>
#include <stddef.h>

#include "memory/bell.h"
#include "memory/owner.h"
#include "memory/reap.h"
#include "memory/region.h"
#include "os/os.h"
#include "os/suspend.h"

/* Watching begins with so much, ends below so little, and is tried again every so many sleeps. */
#define SPIN_START   500
#define SPIN_LEAST   60
#define YIELDS_START 8
#define YIELDS_LEAST 2
#define YIELDS_MOST  64
#define WATCH_PROBE  64
/* When a yield took so long, it is tried again so many sleeps later. */
#define YIELD_LONG_NS    (1000000LL)
#define WATCH_PROBE_BUSY 4096

/* The word after `seen`, with another count and number of woken sleepers. */
static uint64_t changed(uint64_t seen, uint32_t count, uint32_t woken)
{
    return ((seen >> 32) + 1) << 32 | woken << 16 | count;
}

/* A ledger's entry while its thread enters or leaves: it is not known whether the count has it. */
#define UNSETTLED ((uintptr_t)1)

static struct kin__wait_point *unsettled(struct kin__wait_point *point)
{
    return (struct kin__wait_point *)((uintptr_t)point | UNSETTLED);
}

static struct kin__wait_point *point_at(_Atomic(struct kin__wait_point *) *entry)
{
    return (struct kin__wait_point *)((uintptr_t)atomic_load(entry) & ~UNSETTLED);
}

struct kin__wait_point *kin__waiting_on(struct kin__member *member, int depth)
{
    return point_at(&member->waiting_on[depth]);
}

void kin__waiters_enter_at(_Atomic(struct kin__wait_point *) *entry, struct kin__wait_point *point)
{
    /* CRASH: named, and counted or not: the reaper takes the count anew. */
    atomic_store_explicit(entry, unsettled(point), memory_order_release);
    /* Seq_cst: pairs with the loads in kin__waiters_recount, which finds the entry or fails to
     * change the count. */
    atomic_fetch_add(&point->waiters, ((uint64_t)1 << 32) + 1);
    atomic_store_explicit(entry, point, memory_order_release);
}

void kin__waiters_enter(struct kin__wait_point *point)
{
    struct kin__member *member = kin__self.member;
    int depth = 0;
    while (depth < KIN__WAITS - 1 &&
           atomic_load_explicit(&member->waiting_on[depth], memory_order_relaxed) != NULL)
        depth++;
    kin__waiters_enter_at(&member->waiting_on[depth], point);
}

void kin__waiters_leave_at(_Atomic(struct kin__wait_point *) *entry, struct kin__wait_point *point)
{
    atomic_store_explicit(entry, unsettled(point), memory_order_release);
    uint64_t seen = atomic_load(&point->waiters), left;
    uint32_t back = point->kind == KIN__POINT_EVENT;
    do {
        uint32_t woken = kin__waiters_woken(seen);
        left = changed(seen, kin__waiters_count(seen) - 1, woken > 0 ? woken - back : 0);
    } while (!atomic_compare_exchange_weak(&point->waiters, &seen, left));
    atomic_store_explicit(entry, NULL, memory_order_release);
}

void kin__waiters_leave(struct kin__wait_point *point)
{
    struct kin__member *member = kin__self.member;
    int depth = KIN__WAITS - 1;
    while (depth > 0 && atomic_load_explicit(&member->waiting_on[depth], memory_order_relaxed) != point)
        depth--;
    kin__waiters_leave_at(&member->waiting_on[depth], point);
}

/* ---- the ledger of a thread that runs coroutines -------------------------------------------------- */

/* SHARED.  Entries like those of member.waiting_on, written by that member and read by others. */
struct kin__ledger {
    _Atomic(struct kin__wait_point *) entries[KIN__LEDGER_ENTRIES];
};

int kin__ledger_extend(_Atomic(struct kin__wait_point *) *entries[KIN__LEDGER_ENTRIES])
{
    struct kin__member *member = kin__self.member;
    int rc = 0, index = 0;
    while (index < KIN__LEDGERS && atomic_load(&member->ledgers[index]) != NULL) index++;
    if (index == KIN__LEDGERS) return -EAGAIN;
    struct kin__ledger *ledger = kin__allocate_object(KIN__OBJECT_LEDGER, sizeof *ledger, &rc);
    if (ledger == NULL) return rc;
    for (int i = 0; i < KIN__LEDGER_ENTRIES; i++) {
        atomic_store_explicit(&ledger->entries[i], NULL, memory_order_relaxed);
        entries[i] = &ledger->entries[i];
    }
    kin__allocate_publish(&member->ledgers[index]);
    return KIN__LEDGER_ENTRIES;
}

static void tell_others(struct kin__wait_point *point)
{
    void *object = kin__object_around(point);
    int kind = object != NULL ? kin__object_kind_of(object) : -1;
    if (kind >= 0 && kin__reap_hooks[kind].left != NULL) kin__reap_hooks[kind].left(object);
}

void kin__waiter_vanished(struct kin__wait_point *point)
{
    /* It may have been woken for an event that others wait for as well; and others may wait for it. */
    kin__waiters_wake_all(point);
    tell_others(point);
}

void kin__ledger_close(struct kin__member *member)
{
    for (int index = 0; index < KIN__LEDGERS; index++) {
        struct kin__ledger *ledger = atomic_load(&member->ledgers[index]);
        if (ledger == NULL) continue;
        for (int i = 0; i < KIN__LEDGER_ENTRIES; i++) {
            struct kin__wait_point *point = point_at(&ledger->entries[i]);
            if (point == NULL) continue;
            kin__waiters_leave_at(&ledger->entries[i], point);
            kin__waiter_vanished(point);
        }
        /* CRASH: named by the slot until it is free. */
        kin__free(ledger, &member->ledgers[index]);
    }
}

bool kin__waits_settle(_Atomic(struct kin__wait_point *) *entries, int limit)
{
    bool counted = true;
    for (int i = 0; i < limit; i++) {
        struct kin__wait_point *point = point_at(&entries[i]);
        if (point == NULL) continue;
        counted = kin__waiters_recount(point) && counted;
        kin__waiter_vanished(point);
    }
    return counted;
}

bool kin__ledger_settle(struct kin__member *member)
{
    bool counted = true;
    for (int index = 0; index < KIN__LEDGERS; index++) {
        struct kin__ledger *ledger = atomic_load(&member->ledgers[index]);
        if (ledger != NULL) counted = kin__waits_settle(ledger->entries, KIN__LEDGER_ENTRIES) && counted;
    }
    if (!counted) return false;
    for (int index = 0; index < KIN__LEDGERS; index++) {
        void *ledger = atomic_load(&member->ledgers[index]);
        if (ledger != NULL) kin__free(ledger, &member->ledgers[index]);
    }
    return true;
}

/* Adds the entries that name the point; false if one of them is entering or leaving. */
static bool count_entries(_Atomic(struct kin__wait_point *) *entries, int limit,
                          struct kin__wait_point *point, uint32_t *count)
{
    for (int i = 0; i < limit; i++) {
        struct kin__wait_point *entry = atomic_load(&entries[i]);
        if (entry == unsettled(point)) return false;
        *count += entry == point;
    }
    return true;
}

static bool count_in_ledgers(struct kin__member *member, struct kin__wait_point *point, uint32_t *count)
{
    for (int index = 0; index < KIN__LEDGERS; index++) {
        /* Type-stable: one that its member is just giving back names nobody. */
        struct kin__ledger *ledger = atomic_load(&member->ledgers[index]);
        if (ledger != NULL && !count_entries(ledger->entries, KIN__LEDGER_ENTRIES, point, count))
            return false;
    }
    return true;
}

/* False if somebody is entering or leaving. */
static bool count_sleepers(struct kin__wait_point *point, uint32_t *count)
{
    uint32_t high = atomic_load(&kin__family.header->member_high);
    *count = 0;
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        uint32_t own = 0;
        bool settled = count_entries(member->waiting_on, KIN__WAITS, point, &own) &&
                       count_in_ledgers(member, point, &own);
        if ((own == 0 && settled) || kin__member_died(member)) continue;
        if (!settled) return false;
        *count += own;
    }
    if (kin__waiters_have_bells(point)) *count += kin__bells_counted(point);
    return true;
}

bool kin__waiters_recount(struct kin__wait_point *point)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        uint64_t seen = atomic_load(&point->waiters);
        uint32_t sleepers = 0;
        /* Whoever enters or leaves after the load makes a new version.  Who was woken is not in the
         * ledgers: nobody is taken for woken, which costs wake-ups. */
        uint32_t woken = point->kind == KIN__POINT_EVENT ? 0 : kin__waiters_woken(seen);
        if (count_sleepers(point, &sleepers) &&
            atomic_compare_exchange_strong(&point->waiters, &seen, changed(seen, sleepers, woken)))
            return true;
        kin__relax_once();
    }
    return false;
}

void kin__waiters_wake_all(struct kin__wait_point *point)
{
    if (point->kind == KIN__POINT_EVENT) {
        /* Who was woken and died passes for being on its way. */
        uint64_t seen = atomic_load(&point->waiters);
        while (
            !atomic_compare_exchange_weak(&point->waiters, &seen, changed(seen, kin__waiters_count(seen), 0)))
            ;
        atomic_fetch_add(&point->word, 1);
    }
    kin__os_futex_wake(&point->word, INT32_MAX);
    if (kin__waiters_have_bells(point)) {
        kin__bells_ring(point);
        /* Who died while he rang one has left it in the count. */
        kin__waiters_recount(point);
    }
}

/* Not where other coroutines would find the thread in the middle of something. */
static bool may_suspend(void)
{
    return kin__self.level == KIN__LEVEL_WORK && kin__self.robust->pending == NULL &&
           atomic_load_explicit(&kin__self.member->note[KIN__LEVEL_WORK].kind, memory_order_relaxed) ==
               KIN__NOTE_NONE;
}

int kin__sleep(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline)
{
    if (__builtin_expect(kin__suspender != NULL, 0) && may_suspend())
        return kin__suspender->sleep(point, expected, deadline);
    return kin__sleep_thread(point, expected, deadline);
}

int kin__sleep_private(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline)
{
    if (__builtin_expect(kin__suspender != NULL, 0))
        return kin__suspender->sleep_private(word, expected, deadline);
    if (deadline <= kin__os_clock()) return -ETIMEDOUT;
    return kin__os_futex_wait(word, expected, deadline) == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

int kin__sleep_thread(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline)
{
    kin_deadline now = kin__os_clock();
    if (deadline <= now) return -ETIMEDOUT;
    kin_deadline slice = now + KIN__SLICE_NS;
    bool last = deadline <= slice;
    int rc;
    /* A signal is no reason to look again: what its handler has done changes the word. */
    do rc = kin__os_futex_wait(&point->word, expected, last ? deadline : slice);
    while (rc == -EINTR);
    if (rc != -ETIMEDOUT) return 0;
    if (kin__reap_needed()) kin__reap();
    return last ? -ETIMEDOUT : 1;
}

/* Wakes one of those who slept on the free word; then nobody needs to do it again who finds the debt of
 * then.  Who sleeps later has marked the word again. */
static void settle_debt(struct kin__wait_point *point, uint64_t owed)
{
    if (kin__waiters_have_bells(point)) {
        kin__bells_ring(point);
        owed = atomic_load(&point->waiters);
    }
    kin__os_futex_wake(&point->word, 1);
    atomic_compare_exchange_strong(&point->waiters, &owed, changed(owed, kin__waiters_count(owed), 0));
}

static void drop_marked(struct kin__wait_point *point)
{
    struct kin__member *member = kin__self.member;
    uint64_t seen = atomic_load(&point->waiters), owed;
    atomic_store_explicit(&member->waking, point, memory_order_relaxed);
    do owed = changed(seen, kin__waiters_count(seen), 1);
    while (!atomic_compare_exchange_weak(&point->waiters, &seen, owed));
    /* CRASH: before the exchange the word is ours, and its mark makes the kernel wake somebody.  After it
     * the next one does who gives the word back, or the reaper. */
    atomic_exchange(&point->word, 0);
    settle_debt(point, owed);
    atomic_store_explicit(&member->waking, NULL, memory_order_release);
}

void kin__owner_drop_rest(struct kin__wait_point *point)
{
    if (kin__word_is_mine(atomic_load(&point->word)))
        drop_marked(point);
    else
        settle_debt(point, atomic_load(&point->waiters));
}

/* How long a waker may be kept from waking after it has made the predicate true. */
#define WAKER_LATE_NS (20 * 1000000LL)

void kin__rescued(struct kin__wait_point *point, uint32_t seen)
{
    uint32_t now = atomic_load(&point->word);
    /* A coroutine's thread is not kept waiting to find out. */
    if (kin__suspender != NULL) return;
    /* An owner word does not tell whether somebody else was woken for it. */
    bool another = point->kind != KIN__POINT_EVENT && kin__waiters_count(atomic_load(&point->waiters)) > 1;
    if (another || (point->kind == KIN__POINT_EVENT && now != seen)) return;
    /* Who was to wake us may just be dying: its members are dead, and its process has not ended. */
    if (atomic_load(&kin__family.header->unpeopled) > 0) return;
    if (kin__os_futex_wait(&point->word, now, kin__os_clock() + WAKER_LATE_NS) != -ETIMEDOUT) return;
    atomic_fetch_add(&kin__family.header->rescues, 1);
}

void kin__watch_expect(bool success)
{
    kin__self.spin = success ? KIN__SPIN_LIMIT / 2 : 0;
    kin__self.yields = success ? YIELDS_START : 0;
    kin__self.spin_probe = kin__self.yield_probe = WATCH_PROBE;
}

/* What has paid, or now and then a try. */
struct kin__watch kin__watch_begin(void)
{
    /* Another coroutine of this thread may be the one that is waited for. */
    if (kin__suspender != NULL) return (struct kin__watch){.steps = 1};
    struct kin__watch watch = {.steps = 1, .spins = kin__self.spin, .yields = kin__self.yields};
    if (watch.spins == 0 && --kin__self.spin_probe == 0) {
        kin__self.spin_probe = WATCH_PROBE;
        watch.spins = kin__spin_limit / 4;
    }
    if (watch.yields == 0 && --kin__self.yield_probe == 0) {
        kin__self.yield_probe = WATCH_PROBE;
        watch.yields = YIELDS_LEAST;
    }
    if (watch.spins > kin__spin_limit) watch.spins = kin__spin_limit;
    return watch;
}

/* A processor that does not come back soon is wanted by others who compute.  Then it is better to
 * sleep: who is woken goes before them. */
void kin__watch_yield(struct kin__watch *watch)
{
    kin_deadline before = kin__os_clock();
    watch->has_yielded = true;
    watch->yields--;
    kin__os_yield();
    if (kin__os_clock() - before < YIELD_LONG_NS) return;
    watch->yields = 0;
    kin__self.yields = 0;
    kin__self.yield_probe = WATCH_PROBE_BUSY;
}

void kin__watch_end(const struct kin__watch *watch, bool success)
{
    unsigned spin = kin__self.spin, yields = kin__self.yields;
    if (success && !watch->has_yielded) {
        kin__self.spin = spin < SPIN_START ? SPIN_START : spin < kin__spin_limit ? spin * 2 : spin;
        return;
    }
    kin__self.spin = spin / 2 < SPIN_LEAST ? 0 : spin / 2;
    if (watch->has_yielded && yields == 0 && kin__self.yield_probe > WATCH_PROBE) return;
    if (success)
        kin__self.yields = yields < YIELDS_START ? YIELDS_START : yields < YIELDS_MOST ? yields * 2 : yields;
    else
        kin__self.yields = yields / 2 < YIELDS_LEAST ? 0 : yields / 2;
}

bool kin__watch_for(kin__event_ready *ready, void *context)
{
    struct kin__watch watch = kin__watch_begin();
    do {
        if (ready(context)) {
            kin__watch_end(&watch, true);
            return true;
        }
    } while (kin__watch_more(&watch));
    kin__watch_end(&watch, false);
    return false;
}

int kin__event_sleep_once(struct kin__event *event, kin__event_ready *ready, void *context,
                          kin_deadline deadline)
{
    uint32_t seen = kin__event_prepare(event);
    int rc = ready(context) ? 0 : kin__event_sleep(event, seen, deadline);
    bool holds = ready(context);
    if (rc == 1 && holds) kin__rescued(&event->point, seen);
    kin__event_done(event);
    return holds ? KIN__HOLDS : rc < 0 ? rc : rc == 1 ? KIN__SLEPT_ON : KIN__WOKEN_IN_VAIN;
}

int kin__event_sleep_for(struct kin__event *event, kin__event_ready *ready, void *context,
                         kin_deadline deadline)
{
    int rc;
    do rc = kin__event_sleep_once(event, ready, context, deadline);
    while (rc > 0);
    return rc;
}

int kin__event_await(struct kin__event *event, kin__event_ready *ready, void *context, kin_deadline deadline)
{
    if (ready(context)) return 0;
    if (deadline <= 0) return -ETIMEDOUT;
    return kin__watch_for(ready, context) ? 0 : kin__event_sleep_for(event, ready, context, deadline);
}

#define LINGER_TRY        64
#define LINGER_MOST       512
#define LINGER_PROBE      32
#define LINGER_PROBE_MOST 2048

unsigned kin__linger(void)
{
    unsigned lag = kin__self.linger;
    if (lag == 0 && ++kin__self.linger_skipped > kin__self.linger_probe) {
        kin__self.linger_skipped = 0;
        lag = LINGER_TRY;
    }
    for (unsigned i = 0; i < lag; i++) kin__relax_once();
    return lag;
}

void kin__linger_learn(unsigned lag, uint64_t available)
{
    /* A message for every few steps: a stream, of which nobody waits for the single message. */
    bool pays = available >= lag / 8;
    unsigned less = lag / 2 < LINGER_TRY ? 0 : lag / 2;
    unsigned probe = kin__self.linger_probe;
    /* Where it never pays, as between two that answer each other, the tries are not to be felt. */
    if (pays || probe < LINGER_PROBE)
        kin__self.linger_probe = LINGER_PROBE;
    else if (kin__self.linger == 0 && probe < LINGER_PROBE_MOST)
        kin__self.linger_probe = probe * 2;
    kin__self.linger = !pays ? less : lag < LINGER_MOST ? lag * 2 : lag;
}

static void wake_one(struct kin__wait_point *point)
{
    uint64_t seen = atomic_load(&point->waiters);
    if (!kin__waiters_want(seen)) return;
    if (kin__waiters_have_bells(point)) {
        kin__bells_ring(point);
        seen = atomic_load(&point->waiters);
        if (kin__waiters_count(seen) == 0) return;
    }
    if (kin__os_futex_wake(&point->word, 1) != 1) return;
    /* Only if nobody came or went since: then the one that was woken is still counted.  CRASH:
     * before it a sleeper is woken twice at worst. */
    atomic_compare_exchange_strong(&point->waiters, &seen,
                                   changed(seen, kin__waiters_count(seen), kin__waiters_woken(seen) + 1));
}

void kin__event_wake(struct kin__event *event, int count)
{
    if (count == 1 || kin__waiters_count(atomic_load(&event->point.waiters)) == 1) {
        wake_one(&event->point);
        return;
    }
    kin__os_futex_wake(&event->point.word, count);
    if (kin__waiters_have_bells(&event->point)) kin__bells_ring(&event->point);
}

/* Counts as woken as many as are to be, of those who are not yet.  False: bells hang at the point; who is told by
 * one is not taken off when he leaves, so nobody is counted who does not sleep for certain. */
static bool count_as_woken(struct kin__wait_point *point, int count)
{
    uint64_t seen = atomic_load(&point->waiters);
    uint32_t all, woken, more;
    do {
        /* Asked after the count was read: a bell that hangs later changes it when it is armed. */
        if (kin__waiters_have_bells(point)) return false;
        all = kin__waiters_count(seen);
        woken = kin__waiters_woken(seen);
        more = all <= woken ? 0 : all - woken < (uint32_t)count ? all - woken : (uint32_t)count;
    } while (!atomic_compare_exchange_weak(&point->waiters, &seen, changed(seen, all, woken + more)));
    return true;
}

void kin__event_tell(struct kin__event *event, int count)
{
    /* First the count, then the step: who has read the sequence and does not sleep yet finds either himself
     * counted as woken or the sequence changed.  So it does not matter whether those who are counted slept, and
     * nobody makes system calls for who is only on his way.  CRASH: counted and not woken: whoever has
     * something to tell is known to the reaper, which wakes all. */
    bool counted = count_as_woken(&event->point, count);
    kin__event_step(event);
    if (!counted) {
        kin__event_wake(event, count);
        return;
    }
    kin__os_futex_wake(&event->point.word, count);
    if (kin__waiters_have_bells(&event->point)) kin__bells_ring(&event->point);
}

KIN__LAYOUT_PART(ledger, struct kin__ledger);
