/* wait_point.pml: sleeping and being woken, as in src/memory/wait.c.  A model that includes it has
 * defined
 *
 *     N       how many processes there are, at most 6: 0 to N - 1
 *     POINTS  how many wait points, 1 or 2
 *     LATE    how many sleeps may end by themselves, at their deadlines
 *
 * One step is one atomic access of shared memory, or what one system call does to it.  Who is killed
 * makes no step more: the body of each process ends with `unless { dead & BIT(me) }`.
 *
 * Versions are not counted up.  Whoever will ask "has it changed since I looked?" has a bit that a
 * change sets and a look clears: the same answers, from fewer states.  Outside of a question it is set.
 */
#define BIT(i) (1 << (i))
#define ALL    255
#define REAPER 7

/* The two words of each wait point: `waiters` in its halves, and the sequence. */
byte count[POINTS];
byte woken[POINTS];
byte recounted[POINTS]; /* bit i: `waiters` has changed since i looked */
byte stepped[POINTS];   /* bit i: the sequence has changed since i looked */

/* The kernel's: who sleeps on the word. */
byte asleep[POINTS];

/* The members' slots. */
byte entry[N]; /* waiting_on: the point's number + 1; 0: none */
byte unsettled;
byte touching;

/* How far each has come, a bit for each process. */
byte done;      /* to the end of its program */
byte dead;      /* killed */
byte life_died; /* and the kernel has marked its life word */
byte gone;      /* and its process has ended */
byte reaped;    /* and its process is forgotten */

byte late;

/* ---- by who waits ----------------------------------------------------------------------------- */

inline waiters_enter(p) {
#ifdef BUG_COUNTED_BEFORE_NAMED
    atomic { count[p]++; recounted[p] = ALL };
    entry[me] = p + 1;
#else
    atomic { entry[me] = p + 1; unsettled = unsettled | BIT(me) };
    atomic { count[p]++; recounted[p] = ALL };
    unsettled = unsettled & ~BIT(me);
#endif
}

inline waiters_leave(p) {
    unsettled = unsettled | BIT(me);
    atomic {
        count[p]--; woken[p] = (woken[p] > 0 -> woken[p] - 1 : 0); recounted[p] = ALL;
        stepped[p] = stepped[p] | BIT(me) };
    atomic { entry[me] = 0; unsettled = unsettled & ~BIT(me) }
}

/* kin__event_sleep: not while somebody counts as woken. */
#ifdef BUG_SLEPT_AS_WOKEN
#define MAY_SLEEP(p) true
#else
#define MAY_SLEEP(p) (woken[p] == 0)
#endif

inline event_prepare(p) {
    waiters_enter(p);
    stepped[p] = stepped[p] & ~BIT(me)
}
#define HAS_STEPPED(p) ((stepped[p] & BIT(me)) != 0)

/* The futex's own look at the word, and the sleep. */
inline futex_wait(p, unchanged, has_deadline) {
    atomic { if :: unchanged -> asleep[p] = asleep[p] | BIT(me) :: else fi };
    if
    :: (asleep[p] & BIT(me)) == 0
    :: atomic {
           has_deadline && late < LATE && (asleep[p] & BIT(me)) != 0 ->
           asleep[p] = asleep[p] & ~BIT(me);
           late++;
           gave_up = true }
    fi
}

/* ---- by who wakes ----------------------------------------------------------------------------- */

inline wake_number(p, i) {
    asleep[p] = asleep[p] & ~BIT(i)
}

inline futex_wake_one(p, hit) {
    atomic {
        hit = (asleep[p] != 0);
        if
        :: (asleep[p] & BIT(0)) != 0 -> wake_number(p, 0)
        :: (asleep[p] & BIT(1)) != 0 -> wake_number(p, 1)
        :: (asleep[p] & BIT(2)) != 0 -> wake_number(p, 2)
        :: (asleep[p] & BIT(3)) != 0 -> wake_number(p, 3)
        :: (asleep[p] & BIT(4)) != 0 -> wake_number(p, 4)
        :: (asleep[p] & BIT(5)) != 0 -> wake_number(p, 5)
        :: else
        fi }
}

inline look_at_waiters(p) {
    atomic { seen_count = count[p]; seen_woken = woken[p]; recounted[p] = recounted[p] & ~BIT(me) }
}

inline forget_look(p) {
    recounted[p] = recounted[p] | BIT(me);
    hit = false; seen_count = 0; seen_woken = 0
}

/* After the wake-up: the woken one is counted, unless somebody came or went since the look. */
inline count_woken(p) {
    atomic {
        if
        :: hit && (recounted[p] & BIT(me)) == 0 -> woken[p] = seen_woken + 1; recounted[p] = ALL
        :: else
        fi;
        forget_look(p) }
}

/* kin__event_notify, for one and for all.  The one is counted as woken before anything tells him so. */
inline event_notify_one(p) {
    if
#ifdef BUG_COUNTED_AFTER_THE_STEP
    :: count[p] > woken[p] -> stepped[p] = ALL; count_as_woken(p); futex_wake_one(p, hit)
#else
    :: count[p] > woken[p] -> count_as_woken(p); stepped[p] = ALL; futex_wake_one(p, hit)
#endif
    :: else
    fi;
    hit = false
}

inline count_as_woken(p) {
    atomic {
        if
        :: count[p] > woken[p] -> woken[p]++; recounted[p] = ALL
        :: else
        fi }
}

inline event_notify_all(p) {
    if
    :: count[p] > woken[p] -> stepped[p] = ALL; asleep[p] = 0
    :: else
    fi
}
