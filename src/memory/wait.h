/* wait.h: sleeping and being woken, the one way in which anything in kin sleeps.
 *
 * Invariants:
 *  - `waiters` is never smaller than the number of living threads that sleep, or are about
 *    to sleep, on `word`.  It may be larger for a while after a death: that costs system
 *    calls, never a wake-up.
 *  - Whoever is counted in it says so first in its own ledger (member.waiting_on), so that
 *    the count can be recomputed from the ledgers at any time (kin__waiters_recount).
 *  - Every sleep is a slice of a loop over a predicate: a lost wake-up costs one slice.
 */
#ifndef KIN_MEMORY_WAIT_H
#define KIN_MEMORY_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kin/time.h>

/* SHARED, at the head of everything that can be slept on.
 *   word     an owner word (owner.h) or a sequence (event: bumped by whoever wakes; the sleepers
 *            compare it).  Seq_cst on both sides.
 *   kind     constant once the object is open.
 *   dirty    of a latch: see latch.h.  Of all others: bells hang at it, or once did; see bell.h.
 *   waiters  version in the upper half; then, of an event, how many of the sleepers have been woken
 *            and have not come back yet, of an owner word, whether it owes a wake-up (16 bits); then
 *            the count of sleepers (16 bits).
 *            Changed by fetch_add in enter, by CAS elsewhere; the version makes those exact.
 *            Its fetch_add in
 *            enter pairs with the full barrier between a waker's commit and its read of
 *            waiters: either the waker sees the count, or the sleeper sees the commit. */
struct kin__wait_point {
    _Atomic uint32_t word;
    uint16_t kind;
    uint16_t dirty;
    _Atomic uint64_t waiters;
};

/* KIN__POINT_OWNER: an owner word that only threads wait for, as long as its holder runs (latches).
 * KIN__POINT_HELD: one that is held for as long as its holder likes (locks). */
enum { KIN__POINT_OWNER = 0, KIN__POINT_EVENT = 1, KIN__POINT_HELD = 2 };

/* In type-stable memory it may be of that kind already, with somebody late on the way out who still looks. */
static inline void kin__point_init(struct kin__wait_point *point, uint16_t kind)
{
    if (point->kind != kind) point->kind = kind;
}

#define KIN__SLICE_NS (100 * 1000000LL)

static inline uint32_t kin__waiters_count(uint64_t waiters)
{
    return (uint32_t)waiters & 0xffff;
}
static inline uint32_t kin__waiters_woken(uint64_t waiters)
{
    return (uint32_t)waiters >> 16;
}

/* Seq_cst: a waker asks after it has changed the word; pairs with kin__bell_hang, whose caller may look at
 * the word alone afterwards, being counted already. */
static inline bool kin__waiters_have_bells(const struct kin__wait_point *point)
{
    return point->kind != KIN__POINT_OWNER && __atomic_load_n(&point->dirty, __ATOMIC_SEQ_CST) != 0;
}

static inline bool kin__waiters_any(const struct kin__wait_point *point)
{
    return kin__waiters_count(atomic_load(&point->waiters)) != 0;
}

void kin__waiters_enter(struct kin__wait_point *point);
void kin__waiters_leave(struct kin__wait_point *point);
/* Corrects the count from the ledgers of the living.  False, and nothing is changed, if somebody
 * was entering or leaving all the time: ask again later. */
bool kin__waiters_recount(struct kin__wait_point *point);
/* Wakes everybody, whatever they wait for: they look at their predicates again. */
void kin__waiters_wake_all(struct kin__wait_point *point);

/* Sleeps while point->word == expected, at most a slice and at most until `deadline`.
 * 0: woken, look again; 1: the slice is over, look again; -ETIMEDOUT: the deadline has passed.
 * Counted by enter beforehand.  After a whole slice without a wake-up it sweeps for deaths. */
int kin__sleep(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline);
/* The same, for what must not let a coroutine of this thread in between: internal locks. */
int kin__sleep_thread(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline);
/* Sleeps on a word of this process's own, whose sleepers are woken by kin__wake_private (private.h):
 * 0 or -ETIMEDOUT; in a coroutine also -ECANCELED. */
int kin__sleep_private(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline);

/* A thread that runs coroutines waits for many points at once.  Its further ledger entries are in
 * blocks that its member slot names: kin__ledger_extend adds one, and stores its entries' addresses;
 * returns how many, -ENOMEM, -EAGAIN (there can be no more).  kin__ledger_close gives all back. */
#define KIN__LEDGER_ENTRIES 500
int kin__ledger_extend(_Atomic(struct kin__wait_point *) *entries[KIN__LEDGER_ENTRIES]);
struct kin__member;
void kin__ledger_close(struct kin__member *member);
/* For the reaper: corrects the counts of what a dead member's entries name, and wakes the others who
 * wait there; false when that has to be tried again. */
bool kin__waits_settle(_Atomic(struct kin__wait_point *) *entries, int limit);
/* For the reaper: corrects the counts that a dead member's ledgers name, and frees them; false when
 * that has to be tried again. */
bool kin__ledger_settle(struct kin__member *member);
void kin__waiters_enter_at(_Atomic(struct kin__wait_point *) *entry, struct kin__wait_point *point);
void kin__waiters_leave_at(_Atomic(struct kin__wait_point *) *entry, struct kin__wait_point *point);
/* After one who was counted there has gone without looking again: its thread is dead, or its coroutine has
 * vanished with the thread. */
void kin__waiter_vanished(struct kin__wait_point *point);

/* ---- events: "something has changed, look again" ---------------------------------------- */

struct kin__event {
    struct kin__wait_point point;
};

static inline void kin__event_init(struct kin__event *event)
{
    kin__point_init(&event->point, KIN__POINT_EVENT);
}

/* To wait: seen = kin__event_prepare(e); if the predicate is still false, kin__event_sleep(e,
 * seen, deadline); in any case kin__event_done(e).  Then look at the predicate again, and before another sleep
 * prepare again: who was counted as woken does not stay so when he sleeps. */
static inline uint32_t kin__event_prepare(struct kin__event *event)
{
    kin__waiters_enter(&event->point);
    return atomic_load(&event->point.word);
}
/* Nobody goes to sleep while somebody counts as woken, for it may be himself (kin__event_tell).  Whoever leaves
 * takes one off. */
static inline int kin__event_sleep(struct kin__event *event, uint32_t seen, kin_deadline deadline)
{
    if (kin__waiters_woken(atomic_load(&event->point.waiters)) != 0) return 0;
    return kin__sleep(&event->point, seen, deadline);
}
static inline void kin__event_done(struct kin__event *event)
{
    kin__waiters_leave(&event->point);
}

/* kin__event_step makes who has read the sequence and not slept yet find it changed; then kin__event_wake
 * wakes so many of those who sleep. */
static inline void kin__event_step(struct kin__event *event)
{
    atomic_fetch_add(&event->point.word, 1);
}
void kin__event_wake(struct kin__event *event, int count);
/* Both, for so many of those who have not been told yet. */
void kin__event_tell(struct kin__event *event, int count);

/* Is there somebody to be woken, who is not on its way back already? */
static inline bool kin__waiters_want(uint64_t waiters)
{
    return kin__waiters_count(waiters) > kin__waiters_woken(waiters);
}

/* kin__event_notify wakes one of those who wait, or all.  The caller has made the predicate true
 * before, with a full barrier (an atomic exchange or a seq_cst store) in between.  Nobody is
 * woken when all who wait are on their way back: they look at the predicate again. */
static inline void kin__event_notify(struct kin__event *event, int count)
{
    if (__builtin_expect(kin__waiters_want(atomic_load(&event->point.waiters)), 0))
        kin__event_tell(event, count);
}

/* Waits until ready(context) holds: 0, or -ETIMEDOUT at the deadline.  It is asked again after every
 * kin__event_notify; who is woken for something that only one can have may find it gone, and calls
 * again.  The calling thread has joined the family. */
typedef bool kin__event_ready(void *context);
int kin__event_await(struct kin__event *event, kin__event_ready *ready, void *context, kin_deadline deadline);
/* Its two parts: kin__watch_for watches for a while, and says whether it holds; kin__event_sleep_for
 * sleeps until it does. */
bool kin__watch_for(kin__event_ready *ready, void *context);
int kin__event_sleep_for(struct kin__event *event, kin__event_ready *ready, void *context,
                         kin_deadline deadline);
/* One sleep of the second: what came of it, or -ETIMEDOUT. */
enum { KIN__HOLDS = 0, KIN__SLEPT_ON = 1, KIN__WOKEN_IN_VAIN = 2 };
int kin__event_sleep_once(struct kin__event *event, kin__event_ready *ready, void *context,
                          kin_deadline deadline);

/* A sleep ended well only because its slice did: if nobody has woken anybody on this point, and
 * nobody does in the next moment, a wake-up was missing, and is counted.  `seen` is what the
 * sleeper slept on; it is still counted as waiting. */
void kin__rescued(struct kin__wait_point *point, uint32_t seen);

/* A thread that keeps up with a stream takes every message's cache line from its producer as soon
 * as it is written.  It is faster to fall behind a little: kin__linger waits for a moment when that
 * has paid, or is to be tried, and returns how long (0: not at all); kin__linger_learn is told how
 * much could be done after it. */
unsigned kin__linger(void);
void kin__linger_learn(unsigned lag, uint64_t available);

static inline void kin__relax_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Between two looks at a word that another processor writes: longer each time, up to `most`, because
 * every look takes the word's cache line away from its writer.  Begin with *steps = 1.  Returns how many
 * steps it took.  KIN__RELAX_MOST: where the writers are many, who work meanwhile.  KIN__WATCH_MOST: where
 * the answer of one is waited for; a step more is a step later. */
#define KIN__RELAX_MOST 32
#define KIN__WATCH_MOST 2
static inline unsigned kin__relax(unsigned *steps, unsigned most)
{
    unsigned count = *steps;
    for (unsigned i = 0; i < count; i++) kin__relax_once();
    *steps = count < most ? count * 2 : count;
    return count;
}

/* Watching before a sleep: a while in steps of kin__relax, for what another processor is about to
 * do; then some times after giving the processor away, for what a thread on this one would do if it
 * were let.  (A kernel that keeps two who wake each other in turn on one processor, as it may where
 * the others are asleep, spreads them only when it sees both runnable.)  Each thread adapts: what
 * ends in success is done for longer the next time, what was in vain for shorter.
 *
 *     struct kin__watch watch = kin__watch_begin();
 *     do if (…) { kin__watch_end(&watch, true); return; }
 *     while (kin__watch_more(&watch));
 *     kin__watch_end(&watch, false);
 */
struct kin__watch {
    unsigned steps;
    unsigned spins; /* left */
    unsigned yields;
    bool has_yielded;
};

/* The most steps, 0 where the machine has one processor. */
extern unsigned kin__spin_limit;
#define KIN__SPIN_LIMIT 2000
/* Forgets what was learnt, and expects watching to pay, or not to. */
void kin__watch_expect(bool success);
struct kin__watch kin__watch_begin(void);
void kin__watch_yield(struct kin__watch *watch);
void kin__watch_end(const struct kin__watch *watch, bool success);

static inline bool kin__watch_more(struct kin__watch *watch)
{
    if (watch->spins > 0) {
        unsigned spent = kin__relax(&watch->steps, KIN__WATCH_MOST);
        watch->spins -= spent < watch->spins ? spent : watch->spins;
        return true;
    }
    if (watch->yields == 0) return false;
    kin__watch_yield(watch);
    return true;
}

#endif
