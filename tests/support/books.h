/* books.h: what a case found in the family's memory, to tell whether it left all as it was.
 *
 *     struct books books = books_open();
 *     …
 *     books_check(&books);
 *
 * Blocks that were allocated are freed again, no message is held, and nobody slept through a
 * wake-up.  A sleep counts as that when its slice (100 ms) ended and there was something to do.
 * Where several sleep for the same thing that happens on a busy machine: one has been woken and
 * has not run yet when the slice of another ends.  So books_check bears a few; a wake-up that is
 * lost by a rule and not by chance goes beyond.  books_check_wakes is for cases in which one thread
 * sleeps for each thing.  There it takes a waker that is kept from its processor for 20 ms, just when
 * a slice ends: the case is run again then, and one in which it happens each time has lost a wake-up.
 * books_check_blocks does not look: for cases that kill.
 */
#ifndef BOOKS_H
#define BOOKS_H

#include <stddef.h>
#include <stdint.h>

struct books {
    size_t blocks;
    size_t bytes;
    unsigned held;
    uint64_t rescues;
};

struct books books_open(void);
void books_check(const struct books *books);
void books_check_wakes(const struct books *books);
void books_check_blocks(const struct books *books);

/* How many messages (and objects on their way) the calling process holds. */
unsigned books_held(void);

/* How many threads of the family sleep, or are about to, for something that kin will wake them
 * for. */
unsigned books_sleepers(void);

#endif
