/* condition.pml: waiting on a condition, and for its lock: src/sync/condition.c and mutex.h,
 * docs/design/014 and 002.
 *
 * With COARSE_LOCK the lock is taken and given back in one step, and nobody is seen waiting for it.
 *
 * Producers add one item each and notify one; consumers wait for one each.  Who is told that the lock's
 * owner died counts it, and notifies nobody: what that one changed it may not have told, and those who wait
 * find the count, or the lock still in dead hands, when their slices are over.
 *
 * When nothing can move any more, no living consumer sleeps beside an item, unless an owner died.  After its
 * slices none does.  Nobody ever stays asleep for a
 * lock that is free, no item is lost, and nobody is counted as waiting who does not.
 */
#ifndef PRODUCERS
#define PRODUCERS 1
#endif

#define POINTS  2
#define LOCK    0
#define CHANGED 1

byte owner; /* i + 1; 0: free */
bool owner_died;
byte pending; /* bit i: the word is in i's robust list, or about to come in or go out */
bool marked;  /* FUTEX_WAITERS in the word: somebody sleeps, or is about to */
bool owed;    /* beside the word: a wake-up, since the mark was erased */
byte waking;  /* bit i: i erases the mark, and has not woken anybody yet */
byte telling; /* bit i: i has notified, and will wake when it has given the lock back */

byte deaths;  /* of owners, counted by who is told */
byte sliced;  /* bit i: i's sleep ended only because its slice did */

byte items, added, taken;

#include "wait_point.pml"

/* ---- notifying, by who has the lock --------------------------------------------------------------- */

/* Who has read the sequence and not slept yet finds it changed at once; who sleeps is woken when the lock
 * is free (tell).  (Nobody here notifies twice.) */
inline notify() {
    if
    :: count[CHANGED] > woken[CHANGED] ->
#ifndef BUG_TOLD_LATER_AND_FORGOTTEN
        telling = telling | BIT(me);
#endif
        stepped[CHANGED] = ALL;
        tells = true
    :: else
    fi
}

inline tell() {
    if
    :: atomic { tells -> tells = false };
       look_at_waiters(CHANGED);
       if
       :: seen_count > seen_woken -> futex_wake_one(CHANGED, hit); count_woken(CHANGED)
       :: atomic { else -> forget_look(CHANGED) }
       fi
    :: !tells
    fi;
    telling = telling & ~BIT(me)
}

/* ---- the lock ----------------------------------------------------------------------------------- */

#ifndef COARSE_LOCK
/* At first only a word that nobody died with; later, counted as waiting, any that is free, and with the
 * mark, for others may sleep.  The word is slept on with the mark. */
inline lock_take() {
    do
    :: atomic { owner == 0 && (entered || !owner_died) -> pending = pending | BIT(me) };
       if
       :: atomic {
              owner == 0 ->
              owner = me + 1; told = owner_died; owner_died = false; marked = (marked || entered);
              break }
       :: atomic { owner != 0 -> pending = pending & ~BIT(me) }
       fi
    :: atomic { (owner != 0 || owner_died) && !entered -> entered = true }; waiters_enter(LOCK)
    :: atomic { owner != 0 && entered -> seen = owner };
#ifndef BUG_SLEPT_UNMARKED
       if
       :: atomic { owner == seen -> marked = true };
          futex_wait(LOCK, owner == seen && marked, false)
       :: owner != seen
       fi;
#else
       futex_wait(LOCK, owner == seen, false);
#endif
       seen = 0
    od;
    if
    :: atomic { entered -> entered = false }; waiters_leave(LOCK)
    :: else
    fi;
}
#else
inline lock_take() {
    atomic { owner == 0 -> owner = me + 1; told = owner_died; owner_died = false }
}
#endif

inline lock_acquire() {
    lock_take();
    if
#ifdef BUG_DEATHS_UNCOUNTED
    :: atomic { told -> told = false }
#else
    :: atomic { told -> told = false; deaths++ }
#endif
    :: else
    fi
}

/* Wakes one, and with it pays what was owed, unless more has become owed since. */
inline settle_debt() {
    futex_wake_one(LOCK, hit);
    atomic {
        if
        :: (recounted[LOCK] & BIT(me)) == 0 -> owed = false; recounted[LOCK] = ALL
        :: else -> recounted[LOCK] = recounted[LOCK] | BIT(me)
        fi;
        hit = false }
}

inline lock_release() {
#ifdef COARSE_LOCK
    owner = 0;
#else
    if
    :: atomic { !marked -> owner = 0 };
#ifndef BUG_SLEEPERS_IN_THE_WORD
       if
       :: atomic { owed -> recounted[LOCK] = recounted[LOCK] & ~BIT(me) }; settle_debt()
       :: !owed
       fi
#endif
    :: marked ->
#ifndef BUG_SLEEPERS_IN_THE_WORD
       waking = waking | BIT(me);
       atomic { owed = true; recounted[LOCK] = ALL & ~BIT(me) };
#endif
       atomic { owner = 0; marked = false };
       settle_debt();
       waking = waking & ~BIT(me)
    fi;
#endif
    pending = pending & ~BIT(me);
    tell()
}

/* ---- waiting -------------------------------------------------------------------------------- */

inline condition_wait() {
#ifndef BUG_WOKEN_AND_SILENT
    touching = touching | BIT(me);
#endif
#ifdef BUG_RELEASED_BEFORE_COUNTED
    lock_release();
    event_prepare(CHANGED);
#else
    event_prepare(CHANGED);
    met = deaths;
    lock_release();
#endif
    do
    :: futex_wait(CHANGED, !HAS_STEPPED(CHANGED), true);
       if
       :: atomic { HAS_STEPPED(CHANGED) -> gave_up = false; break }
       :: atomic { !HAS_STEPPED(CHANGED) && gave_up -> break }
#ifdef BUG_WOKEN_AND_STAYS
       :: else
#else
       :: atomic { (sliced & BIT(me)) != 0 && !owner_died && deaths == met -> sliced = sliced & ~BIT(me) }
       :: else -> break
#endif
       fi
    od;
    waiters_leave(CHANGED);
    lock_acquire();
    touching = touching & ~BIT(me)
}

proctype producer(byte me) {
    byte seen, seen_count, seen_woken;
    bool tells, entered, told, gave_up, hit;
    {
        lock_acquire();
        atomic { items++; added++ };
        notify();
        lock_release();
        done = done | BIT(me)
    } unless { (dead & BIT(me)) != 0 }
}

proctype consumer(byte me) {
    byte seen, seen_count, seen_woken, met;
    bool tells, entered, told, gave_up, hit;
    {
        lock_acquire();
        do
        :: atomic { items > 0 -> items--; taken++; break }
        :: items == 0 && gave_up -> break
        :: items == 0 && !gave_up -> condition_wait()
        od;
        lock_release();
        done = done | BIT(me)
    } unless { (dead & BIT(me)) != 0 }
}

/* ---- after a death -------------------------------------------------------------------------------- */

/* What is held comes before the life word, which was taken first; what is pending, after it. */
inline kernel_settles(d) {
    if
    :: owner == d + 1 ->
        atomic { owner = 0; owner_died = true };
        if
        :: marked -> futex_wake_one(LOCK, hit)
        :: else
        fi;
        life_died = life_died | BIT(d)
    :: else ->
        life_died = life_died | BIT(d);
        if
        :: (pending & BIT(d)) != 0 && owner == 0 && !owner_died && !marked -> futex_wake_one(LOCK, hit)
        :: else
        fi
    fi
}

inline reap_notes(d) {
    if
    :: (waking & BIT(d)) != 0 -> waiters_wake_all(LOCK)
    :: else
    fi;
    if
    :: (touching & BIT(d)) != 0 || (telling & BIT(d)) != 0 -> waiters_wake_all(CHANGED)
    :: else
    fi;
    atomic { waking = waking & ~BIT(d); telling = telling & ~BIT(d); touching = touching & ~BIT(d) }
}
inline reap_process(d) { skip }

#include "deaths.pml"

/* ---- what has to hold --------------------------------------------------------------------------- */

inline check_all(beside_the_dead) {
    i = 0;
    do
    :: i < N ->
        if
        :: ((dead | done) & BIT(i)) == 0 ->
            assert((asleep[CHANGED] & BIT(i)) != 0);
            assert(items == 0 || beside_the_dead)
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

active proctype monitor() {
    byte i;
    timeout -> check_all(owner_died || deaths > 0);
    /* The slices end; and once more, for who looked between the taking of the lock and the count. */
    atomic { sliced = asleep[CHANGED]; asleep[LOCK] = 0; asleep[CHANGED] = 0 };
    timeout;
    atomic { sliced = asleep[CHANGED]; asleep[LOCK] = 0; asleep[CHANGED] = 0 };
    timeout -> check_all(false);
    assert(items == added - taken && reaped == dead);
    assert(count[LOCK] == 0 && count[CHANGED] == SLEEPERS(CHANGED))
}

init {
    byte i;
    atomic {
        do
        :: i < N ->
            if :: i < PRODUCERS -> run producer(i) :: else -> run consumer(i) fi;
            if :: (VICTIMS & BIT(i)) != 0 -> run death(i) :: else fi;
            i++
        :: else -> break
        od }
}
