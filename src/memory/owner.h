/* owner.h: words that say which thread owns something: a latch, a lock, a place among readers.
 *
 * Invariants:
 *  - The word is the owner's thread id, 0 when it is free.  When the owner dies the kernel puts OWNER_DIED
 *    in the place of its id, and wakes one who sleeps if it finds the mark WAITERS.
 *  - Who is about to sleep marks the word first, and sleeps on the marked word: an owner that finds no
 *    mark has nobody to wake, and goes on without a system call.
 *  - Giving a marked word back erases the mark.  It stood for all who sleep.  The one that is woken takes
 *    the word with the mark, or marks it again before it sleeps again; if it dies on its way its reaper
 *    wakes all the others.
 *  - Between erasing the mark and the wake-up the point owes one, and the owner's slot names it
 *    (member.waking): if the owner dies there, the next one who gives the word back pays, or the reaper.
 *    (glibc's robust mutex loses a wake-up there: the kernel wakes nobody when a third one has taken the
 *    word meanwhile.)
 */
#ifndef KIN_MEMORY_OWNER_H
#define KIN_MEMORY_OWNER_H

#include "memory/table.h"
#include "memory/wait.h"

#define KIN__WORD_OWNER   0x3fffffffu /* the thread id, 0: free */
#define KIN__WORD_DIED    0x40000000u
#define KIN__WORD_WAITERS 0x80000000u

static inline bool kin__word_is_mine(uint32_t word)
{
    return (word & KIN__WORD_OWNER) == kin__self.owner_word;
}

/* Takes a word that was `seen`, free or left by the dead.  `mark`: KIN__WORD_WAITERS by who is counted as
 * waiting there, for others may be; or 0.  What it has noted as pending before the kernel finds. */
static inline __attribute__((always_inline)) bool kin__owner_take(struct kin__wait_point *point,
                                                                  uint32_t seen, uint32_t mark)
{
    uint32_t mine = kin__self.owner_word | (seen & KIN__WORD_WAITERS) | mark;
    return atomic_compare_exchange_strong(&point->word, &seen, mine);
}

/* Before a sleep on a word that somebody owns: true, and *seen is what to sleep on; false: it has changed,
 * look again. */
static inline bool kin__owner_mark(struct kin__wait_point *point, uint32_t *seen)
{
    uint32_t marked = *seen | KIN__WORD_WAITERS;
    if (*seen != marked && !atomic_compare_exchange_strong(&point->word, seen, marked)) return false;
    *seen = marked;
    return true;
}

/* Gives the word back: true, and that was all; false: the rest is to be done.
 * Seq_cst: releases what was done by its owner; and it is the full barrier between every commit made
 * meanwhile and the look at other sleepers after it (kin__event_notify). */
static inline __attribute__((always_inline)) bool kin__owner_drop(struct kin__wait_point *point)
{
    uint32_t mine = kin__self.owner_word;
    if (__builtin_expect(!atomic_compare_exchange_strong(&point->word, &mine, 0), 0)) return false;
    /* What was owed when we took the word is visible since then. */
    uint64_t waiters = atomic_load_explicit(&point->waiters, memory_order_relaxed);
    return __builtin_expect(kin__waiters_woken(waiters) == 0, 1);
}

/* The rest: gives a marked word back, and wakes one who sleeps; or pays what was owed. */
void kin__owner_drop_rest(struct kin__wait_point *point);

#endif
