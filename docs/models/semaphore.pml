/* semaphore.pml: waiting for the permits of a semaphore that may die with their holders: src/sync/
 * semaphore.c and permits.c, docs/design/010.
 *
 * Each process acquires and releases once.  When nothing can move any more, with no slice of a
 * sleep having ended, every process has come to its end or was killed, all permits are free, and
 * nobody is counted as waiting.
 */
#ifndef PERMITS
#define PERMITS 1
#endif

#define POINTS   1
#define RELEASED 0

byte cell[PERMITS]; /* 0: free; i + 1: held by i */

#include "wait_point.pml"

/* ---- acquiring and releasing ------------------------------------------------------------------- */

/* Beyond the first word a look is no look at one moment: the cells are looked at one by one. */
inline take() {
    do
#ifdef BUG_TAKEN_BEFORE_NAMED
    :: atomic { cell[c] == 0 -> cell[c] = ALL }; cell[c] = me + 1; got = true; break
#else
    :: atomic { cell[c] == 0 -> cell[c] = me + 1; got = true; break }
#endif
    :: atomic { cell[c] != 0 -> c++; if :: c == PERMITS -> c = 0; break :: else fi }
    od
}

inline look_for_a_free_one() {
    do
    :: atomic { cell[c] == 0 -> ready = true; c = 0; break }
    :: atomic { cell[c] != 0 -> c++; if :: c == PERMITS -> c = 0; break :: else fi }
    od
}

/* kin__event_await, without the watching before it. */
inline await() {
#ifdef BUG_LOOKED_BEFORE_COUNTED
    look_for_a_free_one();
    event_prepare(RELEASED);
#else
    event_prepare(RELEASED);
    look_for_a_free_one();
#endif
    if
    :: MAY_SLEEP(RELEASED) -> futex_wait(RELEASED, !ready && !HAS_STEPPED(RELEASED), true)
    :: !MAY_SLEEP(RELEASED)
    fi;
    ready = false;
    look_for_a_free_one();
    waiters_leave(RELEASED)
}

proctype process(byte me) {
    byte c, seen_count, seen_woken;
    bool got, ready, gave_up, hit;
    {
        take();
        do
        :: !got && !gave_up -> await(); atomic { gave_up = (gave_up && !ready); ready = false }; take()
        :: atomic { got -> assert(cell[c] == me + 1); cell[c] = 0; c = 0 };
           event_notify_one(RELEASED);
           break
        :: !got && gave_up -> break
        od;
        done = done | BIT(me)
    } unless { (dead & BIT(me)) != 0 }
}

/* ---- after a death ---------------------------------------------------------------------------- */

inline reap_notes(d) { skip }

inline reap_process(d) {
    i = 0;
    do
    :: i < PERMITS -> atomic { if :: cell[i] == d + 1 -> cell[i] = 0 :: else fi; i++ }
    :: else -> i = 0; break
    od;
#ifndef BUG_HEIRS_NOT_WOKEN
    if
    :: count[RELEASED] > 0 -> waiters_wake_all(RELEASED)
    :: else
    fi
#endif
}

inline kernel_settles(d) { life_died = life_died | BIT(d) }

#include "deaths.pml"

/* ---- what has to hold --------------------------------------------------------------------------- */

active proctype monitor() {
    byte i;
    timeout ->
    do
    :: i < N -> assert(((dead | done) & BIT(i)) != 0); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < PERMITS -> assert(cell[i] == 0); i++
    :: else -> break
    od;
    assert(count[RELEASED] == 0 && reaped == dead)
}

init {
    byte i;
    atomic {
        do
        :: i < N ->
            run process(i);
            if :: i < KILLS -> run death(i) :: else fi; /* they are all alike */
            i++
        :: else -> break
        od }
}
