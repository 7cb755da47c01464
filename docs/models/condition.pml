/* condition.pml: waiting on a condition, and for its lock: src/sync/condition.c and mutex.h,
 * docs/design/014 and 002.
 *
 * With COARSE_LOCK the lock is taken and given back in one step, and nobody is seen waiting for it.
 *
 * Producers add one item each and notify one; consumers wait for one each.  Who is told that the lock's
 * owner died notifies all, because what that one changed it may not have told.
 *
 * When nothing can move any more, no living consumer sleeps beside an item, unless the lock is in dead
 * hands: that it finds when its slice is over.  After that none does.  Nobody ever stays asleep for a
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
bool any_bit; /* BUG_SLEEPERS_IN_THE_WORD: FUTEX_WAITERS, instead of the count */

byte items, added, taken;

#include "wait_point.pml"

/* ---- notifying, by who has the lock --------------------------------------------------------------- */

inline notify_one() {
    touching = touching | BIT(me);
    event_notify_one(CHANGED);
    touching = touching & ~BIT(me)
}

inline notify_all() {
    touching = touching | BIT(me);
    event_notify_all(CHANGED);
    touching = touching & ~BIT(me)
}

/* ---- the lock ----------------------------------------------------------------------------------- */

/* Who has slept looks at the word again. */
inline come_back() {
    atomic {
        woken[LOCK] = (woken[LOCK] > 0 -> woken[LOCK] - 1 : 0);
        recounted[LOCK] = ALL;
        seen = 0 }
}

#ifndef COARSE_LOCK
/* At first only a word that nobody died with; later, counted as waiting, any that is free. */
inline lock_take() {
    do
    :: atomic { owner == 0 && (entered || !owner_died) -> pending = pending | BIT(me) };
       if
       :: atomic {
              owner == 0 ->
              owner = me + 1; told = owner_died; owner_died = false;
#ifdef BUG_SLEEPERS_IN_THE_WORD
              any_bit = slept;
#endif
              break }
       :: atomic { owner != 0 -> pending = pending & ~BIT(me) }
       fi
    :: atomic { (owner != 0 || owner_died) && !entered -> entered = true }; waiters_enter(LOCK)
    :: atomic { owner != 0 && entered -> seen = owner };
#ifdef BUG_SLEEPERS_IN_THE_WORD
       atomic { if :: owner == seen -> any_bit = true; slept = true :: else fi };
#endif
       futex_wait(LOCK, owner == seen, false);
       come_back()
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

/* Who is told that the owner died tells all. */
inline lock_acquire() {
    lock_take();
    if
    :: atomic { told -> told = false };
#ifndef BUG_NOT_TOLD
       notify_all()
#endif
    :: else
    fi
}

inline lock_release() {
#if defined(COARSE_LOCK)
    owner = 0;
#elif defined(BUG_SLEEPERS_IN_THE_WORD)
    atomic { owner = 0; hit = any_bit; any_bit = false; slept = false };
    if
    :: hit -> futex_wake_one(LOCK, hit); hit = false
    :: else
    fi;
#else
    owner = 0;
    if
    :: count[LOCK] > 0 ->
        look_at_waiters(LOCK);
        if
        :: seen_count > 0 && seen_woken == 0 -> futex_wake_one(LOCK, hit); count_woken(LOCK)
        :: atomic { else -> forget_look(LOCK) }
        fi
    :: else
    fi;
#endif
    pending = pending & ~BIT(me)
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
    lock_release();
#endif
    do
    :: futex_wait(CHANGED, !HAS_STEPPED(CHANGED), true);
       if
       :: atomic { HAS_STEPPED(CHANGED) -> gave_up = false; break }
       :: atomic { !HAS_STEPPED(CHANGED) && gave_up -> break }
#ifndef BUG_DEAD_HANDS_IGNORED
       :: atomic { !HAS_STEPPED(CHANGED) && owner_died -> break }
#endif
       :: else
       fi
    od;
    waiters_leave(CHANGED);
    lock_acquire();
    touching = touching & ~BIT(me)
}

proctype producer(byte me) {
    byte seen, seen_count, seen_woken;
    bool entered, told, gave_up, hit, slept;
    {
        lock_acquire();
        atomic { items++; added++ };
        notify_one();
        lock_release();
        done = done | BIT(me)
    } unless { (dead & BIT(me)) != 0 }
}

proctype consumer(byte me) {
    byte seen, seen_count, seen_woken;
    bool entered, told, gave_up, hit, slept;
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
        futex_wake_one(LOCK, hit);
        life_died = life_died | BIT(d)
    :: else ->
        life_died = life_died | BIT(d);
        if
        :: (pending & BIT(d)) != 0 && owner == 0 && !owner_died -> futex_wake_one(LOCK, hit)
        :: else
        fi
    fi
}

inline reap_touched() { waiters_wake_all(CHANGED) }
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
    timeout -> check_all(owner_died);
    /* The slices end. */
    atomic { asleep[LOCK] = 0; asleep[CHANGED] = 0 };
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
