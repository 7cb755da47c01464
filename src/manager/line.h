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

/* Whoever leaves over a new connection, for the one it had is broken, tries for so long. */
#define KIN__LEAVE_MS 1000

struct kin__line {
    struct kin__client client; /* changed under the turn; its thread may read without it */
    struct kin__turn turn;     /* its thread's for a call; where the process ends, for a moment that one's */
    int pid;                   /* whose it is; as `client` */
    _Atomic bool used;
    struct kin__line *next;
};

struct kin_manager;

/* The caller's line, connected or not.  NULL: no memory. */
struct kin__line *kin__line_find(struct kin_manager *manager);
int kin__line_connect(struct kin_manager *manager, struct kin__line *line, kin_deadline deadline);

/* In a process that was forked, a line is a copy of its parent's: nothing may go over it.  By whoever has its
 * turn. */
void kin__line_own(struct kin__line *line);

/* Tells the server that a client of this process's own ends, and closes it. */
void kin__line_leave_as(struct kin__client *client, kin_deadline deadline);
/* Closes a connection that is this process's own, or a copy of another's. */
void kin__line_leave(struct kin__line *line, kin_deadline deadline);

/* A thread or a coroutine ends: what it has acquired is given back by the server. */
void kin__line_end(void *line);

#endif
