/* atfork.c: what is done around every fork of the program, in one order.
 *
 * Each part of kin has a lock that a fork must find at rest.  libc calls the handlers that were
 * registered last first, and parts register when they are first used; taken in the order of their
 * ranks, the locks cannot be waited for in a circle. */
#include <pthread.h>
#include <stdatomic.h>

#include "os/fault.h"

static _Atomic(const struct kin__fork_watch *) watches[KIN__FORK_RANKS];
static int registered = -1;

/* What the fork that is under way in this thread began with: a part may register meanwhile. */
static _Thread_local const struct kin__fork_watch *current[KIN__FORK_RANKS];

static void prepare(void)
{
    for (int rank = 0; rank < KIN__FORK_RANKS; rank++) {
        /* Acquire: pairs with the release in kin__os_watch_forks. */
        current[rank] = atomic_load_explicit(&watches[rank], memory_order_acquire);
        if (current[rank] != NULL && current[rank]->prepare != NULL) current[rank]->prepare();
    }
}

static void parent(void)
{
    for (int rank = KIN__FORK_RANKS - 1; rank >= 0; rank--)
        if (current[rank] != NULL && current[rank]->parent != NULL) current[rank]->parent();
}

KIN__CHILD_CODE static void child(void)
{
    for (int rank = KIN__FORK_RANKS - 1; rank >= 0; rank--)
        if (current[rank] != NULL && current[rank]->child != NULL) current[rank]->child();
}

/* Before every other constructor that may want it. */
__attribute__((constructor(200))) static void register_handlers(void)
{
    registered = -pthread_atfork(prepare, parent, child);
}

int kin__os_watch_forks(enum kin__fork_rank rank, const struct kin__fork_watch *watch)
{
    if (registered < 0) return registered;
    atomic_store_explicit(&watches[rank], watch, memory_order_release);
    return 0;
}
