/* kin/barrier.h: a barrier: so many threads, of whatever processes, wait for each other.
 *
 *     kin_barrier *barrier = NULL;
 *     int rc = kin_barrier_open(&barrier, 3, NULL);
 *     …in each of the three, again and again…
 *     rc = kin_barrier_wait(barrier, kin_in_s(5));    // 0, 1 or 2; all three go on
 *     if (rc == KIN_EBARRIER) …one of them was killed: kin_barrier_cause tells which, and how
 *
 * One that does not come any more keeps nobody for ever: if it was killed after it had once taken part, that
 * breaks the barrier, and so does a deadline that passes.  A broken barrier lets nobody through until it is reset.
 */
#ifndef KIN_BARRIER_H
#define KIN_BARRIER_H

#include <stddef.h>

#include <kin/process.h>
#include <kin/time.h>

KIN_BEGIN

/* A barrier lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_barrier kin_barrier;

/* What one of the parties does when all are there, before any goes on; negative if it failed. */
typedef int kin_barrier_action(void *argument);

typedef struct kin_barrier_options {
    kin_barrier_action *action; /* run by the last that arrives; NULL: none */
    void *argument;
} kin_barrier_options;

/* kin_barrier_open makes a barrier for `parties` threads and stores it in `*barrier`; `options` may
 * be NULL.  With an action, those who wait have to be forks of one program.  Whoever opened it, any
 * one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL, no parties, or more than 4,000), KIN_ENOTCODE (action), -ENOMEM, and those
 * of kin_family_open. */
KIN_API int kin_barrier_open_sized(kin_barrier **barrier, unsigned parties,
                                   const kin_barrier_options *options, size_t size);
static inline int kin_barrier_open(kin_barrier **barrier, unsigned parties,
                                   const kin_barrier_options *options)
{
    return kin_barrier_open_sized(barrier, parties, options, sizeof(kin_barrier_options));
}

/* kin_barrier_close destroys a barrier; who waits at it gets KIN_ECLOSED.  NULL is allowed.  Blocks
 * and is safe like kin_alloc.
 * Errors, after which nothing has changed: KIN_ECLOSED (closed before), KIN_EFOREIGN. */
KIN_API int kin_barrier_close(kin_barrier *barrier);

/* kin_barrier_wait waits until all parties are there, and returns which this was, from 0 for the first
 * that arrived: each gets another number.  At `deadline` it breaks the barrier: the others cannot
 * count on this party.  Safe for threads; not for signal handlers.
 * Errors: -ETIMEDOUT (at the deadline), KIN_EBARRIER (broken, or reset while it waited), KIN_ECLOSED
 * (also when it is closed meanwhile), -EINVAL (NULL), KIN_EFOREIGN, KIN_ESLOTS; and for the one that
 * runs the action, what that returns. */
KIN_API int kin_barrier_wait(kin_barrier *barrier, kin_deadline deadline);

/* kin_barrier_abort breaks the barrier: who waits, and who comes, gets KIN_EBARRIER, until it is
 * reset.  Does not wait.
 * Errors: -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN, KIN_ESLOTS. */
KIN_API int kin_barrier_abort(kin_barrier *barrier);

/* kin_barrier_reset makes the barrier whole and empty: who waits gets KIN_EBARRIER, who comes later
 * begins a new round.  Does not wait.
 * Errors: those of kin_barrier_abort. */
KIN_API int kin_barrier_reset(kin_barrier *barrier);

/* kin_barrier_parties returns how many it takes, kin_barrier_waiting how many are there, and
 * kin_barrier_broken 1 or 0.  Do not block.
 * Errors: those of kin_barrier_abort. */
KIN_API int kin_barrier_parties(kin_barrier *barrier);
KIN_API int kin_barrier_waiting(kin_barrier *barrier);
KIN_API int kin_barrier_broken(kin_barrier *barrier);

enum kin_barrier_break {
    KIN_BARRIER_WHOLE = 0,    /* it is not broken */
    KIN_BARRIER_ABORTED = 1,  /* by kin_barrier_abort */
    KIN_BARRIER_DEADLINE = 2, /* the deadline of a party passed */
    KIN_BARRIER_ACTION = 3,   /* the action failed */
    KIN_BARRIER_DEATH = 4     /* a party ended while it waited, or was killed after it had taken part in
                                 the round before */
};

typedef struct kin_barrier_reason {
    enum kin_barrier_break kind;
    int pid;                /* of the process that broke it; 0: not known */
    enum kin_exit_kind end; /* of a death: how the process ended; KIN_RUNNING: only the thread did, or it
                               exec'ed; KIN_UNKNOWN: it had been collected when it was noticed */
    int code;               /* of KIN_EXITED */
    int signal;             /* of KIN_SIGNALED */
} kin_barrier_reason;

/* kin_barrier_cause fills `*reason` with why the barrier is broken.  Does not block.
 * Errors: those of kin_barrier_abort; -EINVAL also for a NULL reason. */
KIN_API int kin_barrier_cause_sized(kin_barrier *barrier, kin_barrier_reason *reason, size_t size);
static inline int kin_barrier_cause(kin_barrier *barrier, kin_barrier_reason *reason)
{
    return kin_barrier_cause_sized(barrier, reason, sizeof(kin_barrier_reason));
}

KIN_END
#endif
