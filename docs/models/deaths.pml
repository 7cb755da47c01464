/* deaths.pml: being killed and being reaped, as in src/memory/reap.c.  A model that includes it, after
 * wait_point.pml, has defined
 *
 *     KILLS         how many processes may be killed
 *     REAPER_KILLS  how often the reaper
 *
 * and reap_notes(d), reap_process(d), what the reaper does for the dead besides, and
 * kernel_settles(d), what the kernel does to the robust list of one.
 */

inline waiters_wake_all(p) {
    atomic { woken[p] = 0; recounted[p] = ALL };
    stepped[p] = ALL;
    asleep[p] = 0
}

/* Counts the living who name the point, and again if somebody comes or goes meanwhile. */
inline waiters_recount(p) {
    do
    :: atomic { recounted[p] = recounted[p] & ~BIT(REAPER); sleepers = 0; i = 0; settled = true };
       do
       :: atomic {
              i < N && settled ->
              if
              :: entry[i] == p + 1 && (life_died & BIT(i)) == 0 ->
                  sleepers++;
#ifndef BUG_RECOUNTED_WHILE_COMING
                  settled = ((unsettled & BIT(i)) == 0)
#endif
              :: else
              fi;
              i++ }
       :: atomic { i == N || !settled -> break }
       od;
       if
       :: atomic {
              settled && (recounted[p] & BIT(REAPER)) == 0 ->
              count[p] = sleepers;
              woken[p] = 0;
              recounted[p] = ALL;
              sleepers = 0; i = 0; settled = false;
              break }
       :: else
       fi
    od
}

inline reap_member(d) {
    if
    :: entry[d] != 0 ->
#ifndef BUG_DEAD_STAY_COUNTED
        waiters_recount(entry[d] - 1);
#endif
        waiters_wake_all(entry[d] - 1)
    :: else
    fi;
    reap_notes(d);
    atomic { entry[d] = 0; unsettled = unsettled & ~BIT(d) };
    life_died = life_died & ~BIT(d)
}

/* Whoever learns of the death.  It may be killed too: the next one does the same again. */
byte reaper_kills;
bool reaper_killed;

#define IS_DUE(d) (((life_died | (gone & ~reaped)) & BIT(d)) != 0)

active proctype reaper() {
    byte d, i, sleepers;
    bool settled;
    do
    :: {
        do
        :: atomic {
               (life_died | (gone & ~reaped)) != 0 -> d = 0;
               do :: !IS_DUE(d) -> d++ :: else -> break od };
           if
           :: (life_died & BIT(d)) != 0 -> reap_member(d)
           :: else -> reap_process(d); reaped = reaped | BIT(d)
           fi;
           d = 0
        od
       } unless {
        atomic {
            reaper_killed -> reaper_killed = false;
            d = 0; i = 0; sleepers = 0; settled = false } }
    od
}

#define SLEEPS_NO_MORE(p, d) \
    asleep[p] = asleep[p] & ~BIT(d); recounted[p] = recounted[p] | BIT(d); stepped[p] = stepped[p] | BIT(d)

byte kills;

/* The end of a process: killed at any moment; then what the kernel does. */
proctype death(byte d) {
    bool hit;
    atomic {
        kills < KILLS && (done & BIT(d)) == 0 ->
        dead = dead | BIT(d);
        kills++;
        SLEEPS_NO_MORE(0, d);
        SLEEPS_NO_MORE(POINTS - 1, d) };
    kernel_settles(d);
    gone = gone | BIT(d)
}

active proctype death_of_reaper() {
    do
    :: atomic { reaper_kills < REAPER_KILLS && life_died != 0 -> reaper_killed = true; reaper_kills++ }
    od
}

/* At no time are there more sleepers than counted: a waker would not know of them. */
#define SLEEPER(p, i)  ((asleep[p] >> (i)) & 1)
#define SLEEPERS(p) \
    (SLEEPER(p, 0) + SLEEPER(p, 1) + SLEEPER(p, 2) + SLEEPER(p, 3) + SLEEPER(p, 4) + SLEEPER(p, 5))

active proctype accountant() {
    atomic { count[0] < SLEEPERS(0) || count[POINTS - 1] < SLEEPERS(POINTS - 1) -> assert(false) }
}
