/* handle.h: the descriptors that this process has open for connections, so that a child of kin can
 * be left with those that it was given.
 *
 * Invariants: every descriptor of a connection, a listener, a command's pipe or a message on its way is in the
 * list for as long as it is open; from the call that makes it until it is listed, and from when it is taken out
 * until it is closed, no fork of the program begins (kin__handles_enter).  The list is at rest around every fork.
 */
#ifndef KIN_IPC_HANDLE_H
#define KIN_IPC_HANDLE_H

#include <stdbool.h>

/* The first member of whatever is in the list: its address is that of the whole.
 *   descriptor   -1: none (any more).
 *   passing      it belongs to one call or one message of this process: no child keeps it.
 *   withheld     this process is a child that was not given it, and has closed it.
 *   connection   it is one.
 *   renew        NULL, or what a forked child does with the whole of which it is a part: the other threads
 *                of its parent are not there to let go of a lock. */
struct kin__handle {
    struct kin__handle *next;
    struct kin__handle *previous;
    int descriptor;
    bool passing;
    bool withheld;
    bool connection;
    void (*renew)(struct kin__handle *handle);
};

/* From here to kin__handles_leave no fork begins; who comes while one is under way waits for its end.  In between
 * descriptors are made and listed, and nothing is waited for.  Not nested; not around kin__handle_close. */
void kin__handles_enter(void);
void kin__handles_leave(void);

void kin__handle_add(struct kin__handle *handle, int descriptor, bool passing);
/* The same of a handle that is filled in already: another thread may fork as soon as it is listed. */
void kin__handle_list(struct kin__handle *handle);
/* Takes it out of the list, closing its descriptor if there is one. */
void kin__handle_close(struct kin__handle *handle);

/* Takes it out of the list and gives its descriptor to the caller. */
int kin__handle_release(struct kin__handle *handle);
/* Lists `to` with what `from` has, which stays in the list without: a fork finds it in one of them. */
void kin__handle_move(struct kin__handle *to, struct kin__handle *from);

/* Is that the address of a connection of this process? */
bool kin__handle_is_connection(const void *address);

/* In a child that was just forked and has one thread: closes what it was not given, which is all but
 * `argument`, if that is a handle, and the `given`, which end with NULL (NULL: none). */
void kin__handles_keep(const void *argument, const void *const *given);

#endif
