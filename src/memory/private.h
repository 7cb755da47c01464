/* private.h: words that only this process knows: how their sleepers are woken, in whichever way they wait, and a
 * lock made of one.
 *
 * Invariants:
 *  - Who changes such a word wakes by kin__wake_private afterwards.  A thread sleeps on the word
 *    (kin__sleep_private in wait.h); a loop of coroutines has a watch on it before it sleeps elsewhere, and
 *    looks at the word after it has entered the watch.
 *  - A lock may be held while its holder waits, be it a thread or a coroutine.  No death needs a note
 *    here: with its process the word is gone.
 */
#ifndef KIN_MEMORY_PRIVATE_H
#define KIN_MEMORY_PRIVATE_H

#include <stdatomic.h>
#include <stdint.h>

#include <kin/time.h>

/* Wakes up to `count` threads that sleep on the word, and all loops that watch it.  The word itself is not
 * touched: it may be gone. */
void kin__wake_private(const _Atomic uint32_t *word, int count);

/* One word that one loop waits for; in the loop's own memory. */
struct kin__private_watch {
    struct kin__private_watch *next;
    struct kin__private_watch *previous;
    const _Atomic uint32_t *word;
    int event; /* a descriptor that is set (kin__os_event_set) by who wakes */
};

void kin__private_watch(struct kin__private_watch *watch);
void kin__private_unwatch(struct kin__private_watch *watch);

/* SHARED by the threads of the process.  0: free; 1: held; 2: held, and somebody may sleep. */
struct kin__private_lock {
    _Atomic uint32_t word;
};

/* 0; -ETIMEDOUT; in a coroutine also -ECANCELED. */
int kin__private_lock(struct kin__private_lock *lock, kin_deadline deadline);
void kin__private_unlock(struct kin__private_lock *lock);
/* In a forked child: whoever had it was a thread of the parent's. */
static inline void kin__private_lock_renew(struct kin__private_lock *lock)
{
    atomic_store(&lock->word, 0);
}

#endif
