/* gifts.h: references that a client has without having asked for them.
 *
 * A server of Python's counts one for whoever it tells of an object that a method made, and that client has to give it
 * up.  (One of kin's lends the object instead, manager/reference.h.)  Each is noted with the client's handle of the
 * manager until a proxy takes it over, or it is given back.
 */
#ifndef KIN_MANAGER_GIFTS_H
#define KIN_MANAGER_GIFTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/links.h"
#include "memory/turn.h"

/* So many are kept for who makes a proxy; as many as a server of kin's lends. */
#define KIN__GIFTS_MOST 4096

struct kin__gift;

/* All zero is none.  Of the process that has `pid`: one that was forked has none of its parent's. */
struct kin__gifts {
    struct kin__turn turn; /* for the rest */
    int pid;
    struct kin__links list; /* what came first is first; while `pid` is 0 nothing */
    /* Read without the turn too: */
    _Atomic size_t count;
    _Atomic kin_deadline not_before; /* then calls give back again, after a failure */
};

/* Notes one; without memory it stays with the server, and so do the oldest of twice KIN__GIFTS_MOST. */
void kin__gift_note(struct kin__gifts *gifts, const char *ident);
/* Takes one over, if there is any of that object. */
bool kin__gift_take(struct kin__gifts *gifts, const char *ident);
/* Forgets them all. */
void kin__gifts_free(struct kin__gifts *gifts);

struct kin_manager;
/* Gives back what came first, until no more than `most` are left, `deadline` passes, or a second.  After a failure calls
 * with a `most` do nothing for a while.  Returns whether no more are left. */
bool kin__gifts_give_back(struct kin_manager *manager, size_t most, kin_deadline deadline);

#endif
