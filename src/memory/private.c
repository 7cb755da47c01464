/* private.c: see private.h. */
#include "memory/private.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "memory/wait.h"
#include "os/os.h"

/* Under the lock, but for `count`: who wakes and finds none there needs no lock. */
static struct {
    pthread_mutex_t lock;
    struct kin__private_watch *first;
    _Atomic uint32_t count;
} watches = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock_for_fork(void)
{
    pthread_mutex_lock(&watches.lock);
}

static void unlock_in_parent(void)
{
    pthread_mutex_unlock(&watches.lock);
}

/* The loops are the parent's. */
static void forget_in_child(void)
{
    watches.first = NULL;
    atomic_store(&watches.count, 0);
    pthread_mutex_unlock(&watches.lock);
}

/* From the start of the program: a fork that is on its way does not see what is set up meanwhile. */
__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {lock_for_fork, unlock_in_parent, forget_in_child};
    kin__os_watch_forks(KIN__FORK_PRIVATE, &watch);
}

void kin__private_watch(struct kin__private_watch *watch)
{
    pthread_mutex_lock(&watches.lock);
    watch->previous = NULL;
    watch->next = watches.first;
    if (watch->next != NULL) watch->next->previous = watch;
    watches.first = watch;
    /* Seq_cst: the caller looks at the word afterwards; pairs with the load in kin__wake_private. */
    atomic_fetch_add(&watches.count, 1);
    pthread_mutex_unlock(&watches.lock);
}

void kin__private_unwatch(struct kin__private_watch *watch)
{
    pthread_mutex_lock(&watches.lock);
    *(watch->previous != NULL ? &watch->previous->next : &watches.first) = watch->next;
    if (watch->next != NULL) watch->next->previous = watch->previous;
    atomic_fetch_sub(&watches.count, 1);
    pthread_mutex_unlock(&watches.lock);
}

void kin__wake_private(const _Atomic uint32_t *word, int count)
{
    kin__os_futex_wake(word, count);
    /* Seq_cst, after the caller's seq_cst change of the word: either we see the watch, or its loop the change. */
    if (atomic_load(&watches.count) == 0) return;
    pthread_mutex_lock(&watches.lock);
    for (struct kin__private_watch *watch = watches.first; watch != NULL; watch = watch->next)
        if (watch->word == word) kin__os_event_set(watch->event);
    pthread_mutex_unlock(&watches.lock);
}

/* ---- the lock ---------------------------------------------------------------------------------------- */

enum { FREE = 0, HELD = 1, WAITED_FOR = 2 };

int kin__private_lock(struct kin__private_lock *lock, kin_deadline deadline)
{
    uint32_t seen = FREE;
    if (atomic_compare_exchange_strong(&lock->word, &seen, HELD)) return 0;
    if (deadline <= 0) return -ETIMEDOUT;
    /* Who has slept does not know whether others do, and leaves it so. */
    while (atomic_exchange(&lock->word, WAITED_FOR) != FREE) {
        int rc = kin__sleep_private(&lock->word, WAITED_FOR, deadline);
        if (rc < 0) return rc;
    }
    return 0;
}

void kin__private_unlock(struct kin__private_lock *lock)
{
    if (atomic_exchange(&lock->word, FREE) == WAITED_FOR) kin__wake_private(&lock->word, 1);
}
