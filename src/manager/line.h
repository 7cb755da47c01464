/* line.h: the connections of a manager's handle.
 *
 * Each thread of each process, and each coroutine, has a *line*: a connection over which it calls objects,
 * so that what it acquires is its own, as in Python, and a call that waits holds up no other.
 *
 * A process that was forked finds lines that are not its own: it closes its copies, when it comes
 * across them, and makes new ones.
 */
#ifndef KIN_MANAGER_LINE_H
#define KIN_MANAGER_LINE_H

#include <stdatomic.h>

#include "manager/client.h"
#include "memory/turn.h"

struct kin__line {
    struct kin__client client;   /* changed under the turn; its thread may read without it */
    struct kin__turn turn;       /* its thread's for a call; of whoever closes the line, for a moment */
    struct kin__breaker breaker; /* of the client; broken for good when the manager is closed */
    struct kin__breaker alone;   /* the same for what its thread calls over a connection of its own */
    int pid;                     /* whose it is; as `client` */
    _Atomic bool used;
    struct kin__line *next;
};

struct kin_manager;

/* What all lines have that belong to the manager. */
void kin__line_init(struct kin__line *line, struct kin_manager *manager);

/* The caller's line, connected or not.  NULL: no memory. */
struct kin__line *kin__line_find(struct kin_manager *manager);
int kin__line_connect(struct kin_manager *manager, struct kin__line *line, kin_deadline deadline);

/* In a process that was forked, a line is a copy of its parent's: nothing may go over it.  By whoever has its
 * turn. */
void kin__line_own(struct kin__line *line);

/* Closes a connection that is this process's own, or a copy of another's. */
void kin__line_leave(struct kin__line *line, kin_deadline deadline);
/* The same by any thread, without waiting for who has its turn, whose call is broken instead: with the end of its turn,
 * which is by kin__line_turn_end, the line is closed where the manager is. */
void kin__line_close(struct kin__line *line, kin_deadline deadline);
void kin__line_turn_end(const struct kin_manager *manager, struct kin__line *line);

/* A thread or a coroutine ends: what it has acquired is given back by the server. */
void kin__line_end(void *line);

#endif
