/* epoll.h: waiting for many descriptors, each once.  The conventions are os.h's. */
#ifndef KIN_OS_EPOLL_H
#define KIN_OS_EPOLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

enum { KIN__READABLE = 1, KIN__WRITABLE = 2 };

/* What is remembered of a number that was armed.  A descriptor that was closed, but lives on as a duplicate or
 * in a child, stays in the set under its old number and is still reported: by the generation it is told from
 * the one that has the number now. */
struct kin__armed {
    uint32_t generation;
    bool known; /* it was put into the set, and may still be there */
};

struct kin__ready {
    int descriptor;
    uint32_t generation;
    unsigned events; /* of KIN__READABLE, KIN__WRITABLE; both after an error or a hang-up */
};

/* Makes a set of descriptors, empty; it is a descriptor itself, readable when one of them is ready. */
int kin__os_epoll_make(void);
/* Has `descriptor` reported once when one of `events` is there; that may be at once.  *armed is the number's,
 * all zero before its first use.  1: it is always ready (a file); -EBADF, -ENOMEM, -ENOSPC. */
int kin__os_epoll_arm(int epoll, int descriptor, unsigned events, struct kin__armed *armed);
/* Waits until `deadline` for something to be ready and stores it; returns how many, 0 at the deadline
 * or after a signal. */
int kin__os_epoll_wait(int epoll, struct kin__ready *ready, size_t limit, kin_deadline deadline);

/* The other use of such a set: what is added stays in it, and is reported with its token for as long
 * as it is ready.  -EEXIST; -EPERM: a file. */
int kin__os_epoll_add(int epoll, int descriptor, unsigned events, uint64_t token);
int kin__os_epoll_remove(int epoll, int descriptor);
/* Waits until `deadline` for something to be ready and stores its tokens; returns how many, 0 at the
 * deadline or after a signal. */
int kin__os_epoll_tokens(int epoll, uint64_t *tokens, size_t limit, kin_deadline deadline);

/* A descriptor that is readable from the moment it is set to on; KIN_FOREVER: never. */
int kin__os_alarm_make(void);
int kin__os_alarm_set(int alarm, kin_deadline when);

#endif
