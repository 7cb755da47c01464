/* loop.h: a thread's loop: who can run, who waits for what, and how one gives way to the next.
 *
 * Invariants:
 *  - All of it belongs to one thread; nothing here is shared, and nothing needs a lock.
 *  - A coroutine is running (loop->current), ready (in the queue, once) or parked.  A parked one is
 *    named by whatever can wake it: the heap of deadlines, a list of waiters, a descriptor's entry.
 *    Waking is: into the queue.  Who was woken takes itself out of whatever still names it.
 *  - The loop's own context (the thread's stack) runs when no coroutine can, and now and then.
 */
#ifndef KIN_COROUTINE_LOOP_H
#define KIN_COROUTINE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/coroutine.h>
#include <kin/loop.h>

#include "coroutine/context.h"
#include "coroutine/stack.h"
#include "os/epoll.h"
#include "thread/local.h"

/* ---- lists of those who wait ------------------------------------------------------------------------- */

/* One that waits, on its own stack; `who` is NULL for the thread outside of coroutines. */
struct kin__waiter {
    struct kin__waiter *next;
    struct kin__waiter *previous;
    struct kin__waiters *list; /* NULL: in none */
    kin_coroutine *who;
    bool woken;
};
struct kin__waiters {
    struct kin__waiter *first;
    struct kin__waiter *last;
};

struct kin__links {
    kin_coroutine *next;
    kin_coroutine *previous;
};

struct kin_coroutine {
    struct kin__context context;
    struct kin__loop *loop; /* NULL: it has ended, and its stack is given back */
    kin_coroutine *next_ready;
    kin_deadline deadline;
    uint32_t heap_index; /* plus one; 0: not in the heap */
    bool ready;
    bool parked;
    bool begun;
    bool ended;
    bool cancelled;
    bool timed_out;
    bool detached;
    uint8_t shielded; /* it waits for the end of something, cancelled or not */
    int result;
    kin_coroutine_function *target;
    void *argument;
    struct kin__locals *locals;
    struct kin__stack stack;
    struct kin__waiters joiners;
    struct kin__links alive;
    kin_group *group;
    struct kin__links in_group;
    char name[32];
};

/* Who waits for a descriptor, by its number. */
struct kin__descriptor {
    struct kin__descriptor_waiter *first;
    struct kin__armed armed;
};

struct kin__loop {
    uint64_t number; /* no other loop of the process has had it */
    struct kin__context context;
    struct kin__locals *locals;
    kin_coroutine *current;
    struct kin__context *left; /* the context that the running one was switched to from */
    kin_coroutine *first_ready;
    kin_coroutine *last_ready;
    unsigned budget; /* how many may still run before the loop looks at the world */
    kin_coroutine *alive;
    size_t alive_count;
    unsigned started;
    kin_coroutine *gone; /* ended, on a stack to be given back */

    kin_coroutine **heap; /* of those with deadlines; the first is the earliest */
    size_t heap_count;
    size_t heap_size;

    int epoll;
    int timer;              /* -1: nobody has asked for the loop's descriptor */
    kin_deadline timer_set; /* KIN_FOREVER: it is not armed */
    struct kin__armed timer_armed;
    struct kin__descriptor *descriptors;
    size_t descriptor_count;
    size_t descriptors_waited;

    struct kin__foreign *foreign; /* libuv's loop, once it is used; see offload.c */
    struct kin__words *words;     /* see words.c */
    bool orphan;                  /* inherited by fork */
};

/* The calling thread's loop; NULL before its first use. */
extern _Thread_local struct kin__loop *kin__loop __attribute__((tls_model("initial-exec")));

/* Makes sure that there is one.  -ENOMEM, -EMFILE, -ENFILE. */
int kin__loop_open(struct kin__loop **loop);

/* Is what was made in the loop of this number the calling thread's? */
static inline bool kin__is_own(uint64_t number)
{
    return kin__loop != NULL && kin__loop->number == number;
}

static inline kin_coroutine *kin__running(void)
{
    return kin__loop != NULL ? kin__loop->current : NULL;
}

/* ---- giving way --------------------------------------------------------------------------------------- */

/* Puts a coroutine that can run into the queue, unless it is there. */
void kin__ready(kin_coroutine *coroutine);

/* The running coroutine waits until it is woken (0), or its deadline has come, or it is cancelled.
 * Whoever wakes it, it may be for nothing: the caller looks at what it waits for. */
int kin__park(struct kin__loop *loop, kin_deadline deadline);
/* Behind all that can run. */
int kin__give_way(struct kin__loop *loop);
/* The running coroutine has ended.  Does not return; not declared so, because the address sanitizer
 * would then look for the thread's own stack here. */
void kin__leave(struct kin__loop *loop);

/* ---- waiting in a list ---------------------------------------------------------------------------------- */

void kin__waiters_add(struct kin__waiters *list, struct kin__waiter *waiter);
void kin__waiter_remove(struct kin__waiter *waiter);
/* Takes the first out and wakes it; NULL when the list is empty. */
struct kin__waiter *kin__waiters_wake_first(struct kin__waiters *list);
void kin__waiters_wake_them(struct kin__waiters *list);

/* Waits in the list until woken by one of the above: 0; -ETIMEDOUT, -ECANCELED.  Outside of
 * coroutines it runs them meanwhile: also -EDEADLK, when nothing can happen any more. */
int kin__wait_in(struct kin__loop *loop, struct kin__waiters *list, kin_deadline deadline);
/* The same with a waiter of the caller's own, all zero, that a waker can tell from others. */
int kin__wait_as(struct kin__loop *loop, struct kin__waiters *list, struct kin__waiter *waiter,
                 kin_deadline deadline);

/* ---- the parts of a turn ---------------------------------------------------------------------------------- */

/* The heap of deadlines. */
int kin__heap_add(struct kin__loop *loop, kin_coroutine *coroutine);
void kin__heap_remove(struct kin__loop *loop, kin_coroutine *coroutine);
void kin__heap_expire(struct kin__loop *loop);

/* descriptors.c: wakes those whose descriptors are ready, waiting for one until `deadline`. */
int kin__descriptors_poll(struct kin__loop *loop, kin_deadline deadline);

/* offload.c: libuv's part of a turn, when its descriptor is ready or its time has come. */
void kin__foreign_run(struct kin__loop *loop);
void kin__foreign_close(struct kin__loop *loop);
int kin__foreign_descriptor(const struct kin__loop *loop);
size_t kin__foreign_pending(const struct kin__loop *loop);
/* The suspender's, for the running coroutine. */
struct kin__chore;
int kin__chore_run(struct kin__chore *chore, kin_deadline deadline);

/* One turn: runs who can, waits until `deadline`, wakes.  Does not wait when *over is true by then, or,
 * with `over` NULL, when nobody is alive.  -EDEADLK when nobody can be woken, ever. */
int kin__turn(struct kin__loop *loop, kin_deadline deadline, const bool *over);

#endif
