/* crew.h: the workers that a supervisor has, each a process or a thread: starting one, hearing that it has
 * ended, ending it, collecting it. */
#ifndef KIN_POOL_CREW_H
#define KIN_POOL_CREW_H

#include <kin/connection.h>
#include <kin/process.h>
#include <kin/thread.h>

#include "pool/pool.h"
#include "process/death.h"
#include "process/group.h"
#include "process/tail.h"

/* PRIVATE to the supervisor, but for what a thread writes.  They are in an array, by their index.
 *   there        it was started, and not collected yet.
 *   descriptor   of its process; -1: it is none.
 *   ended_for    why it was told to end, or, of a deputy, saw by itself that it had to; NONE: neither.
 *   oom_kills    how many there had been when it was started, as far as was known; of a process without a
 *                control group of its own.
 *   group, vigil of a process with limits.
 *   tail         of its stderr; NULL: not kept.
 *   code, ended  by the thread at its end, `ended` last (release). */
struct kin__hand {
    kin_pool *pool;
    unsigned index;
    bool there;
    int descriptor;
    enum kin_cause ended_for;
    kin_deadline dismissed; /* a deputy, since then; 0: it is not */
    int64_t oom_kills;
    struct kin__group group;
    struct kin__vigil vigil;
    struct kin__tail *tail;
    kin_thread *thread;
    int code;
    _Atomic uint32_t ended;
};

/* `connection`: of the worker in another program that it stands for; NULL: none.  Errors: those of a fork or
 * of kin_thread_start, and of limits, with words (process/words.h). */
int kin__hand_start(struct kin__hand *hand, kin_connection *connection, const kin_pool_options *options);
/* Has it said that it ends?  For one that has a descriptor a poll tells. */
static inline bool kin__hand_ended(const struct kin__hand *hand)
{
    return hand->there && atomic_load_explicit(&hand->ended, memory_order_acquire) != 0;
}
/* Ends it: a process at once, a thread after what it is on. */
void kin__hand_end(struct kin__hand *hand, enum kin_cause cause);
/* The same, of a pool that is terminated: a deputy gets a moment to tell the other side, and ends by itself.  To be
 * called again until it has. */
void kin__hand_dismiss(struct kin__hand *hand, enum kin_cause cause);
/* Waits for the end that was heard of, and says what it was. */
void kin__hand_collect(struct kin__hand *hand, kin_exit_status *status);

/* What is polled for what it writes to stderr, or -1. */
int kin__hand_stderr(const struct kin__hand *hand);
/* Passes on what there is; false: nothing more until our own stderr has room. */
bool kin__hand_take_words(struct kin__hand *hand);
/* The last that it wrote, once it has been collected. */
void kin__hand_last_words(struct kin__hand *hand, kin_failure *failure);

#endif
