/* breaker.h: ends what another thread or coroutine of this process does over a socket.
 *
 * Whoever is to be broken has a breaker, and shows it the descriptor that it uses; who wants it to stop sets one
 * of the words that the breaker names, and breaks it.  Then whatever waits for that socket finds its end.
 *
 * Invariants:
 *  - A descriptor that is held is open: it is let go before it is closed.
 *  - One that a fork has copied is the parent's to break.
 *  - Who sets a word and then breaks, and who holds a descriptor and then looks at the word, do not miss each other;
 *    nor does who holds one already, tells the breaker the word, and looks at it then.
 */
#ifndef KIN_IPC_BREAKER_H
#define KIN_IPC_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "memory/turn.h"

/* All zero is one that nothing breaks.
 *   door         for the rest; held for moments.
 *   descriptor   that is held.
 *   pid          by which process; 0: none is.
 *   broken       until it is mended.
 *   whole, part  NULL, or words that say that it is.  The user's, who changes `part` under the door, and alone
 *                reads either without it. */
struct kin__breaker {
    struct kin__turn door;
    int descriptor;
    int pid;
    _Atomic bool broken;
    const _Atomic bool *whole;
    const _Atomic bool *part;
};

/* For its user.  A breaker may be NULL. */
bool kin__breaker_is_broken(const struct kin__breaker *breaker);
/* KIN_ECLOSED: it is broken, and holds nothing. */
int kin__breaker_hold(struct kin__breaker *breaker, int descriptor);
void kin__breaker_let_go(struct kin__breaker *breaker);
/* From now on, until NULL is given, that word counts too. */
void kin__breaker_use(struct kin__breaker *breaker, const _Atomic bool *part);
void kin__breaker_mend(struct kin__breaker *breaker);

/* For who breaks it: if `part` is not NULL, only while it is used for that. */
void kin__breaker_break(struct kin__breaker *breaker, const _Atomic bool *part);

#endif
