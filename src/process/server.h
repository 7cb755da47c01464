/* server.h: a start server: a process that is this program begun anew, has one thread and little memory,
 * and forks the children of its client, each as the client asks.
 *
 * Between the two are two sockets of packets.  Over `control` go requests, one at a time, and the
 * answer to each: from the child itself, once it can begin, or from the server when it could not make
 * one.  So when that socket is at its end, nobody is left who could still begin, and the request may be
 * made to another server.  Over `ends` the server tells how each child has ended, whom the client
 * cannot collect; one whose server is gone is asked about elsewhere (children.c).
 *
 * The children hold their client's lifeline, not the server's: the server's end is not theirs.
 */
#ifndef KIN_PROCESS_SERVER_H
#define KIN_PROCESS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "process/order.h"
#include "process/placement.h"

/* What comes first among the descriptors of a request; then those of `streams`, then that of a control
 * group, if the order has one, then the given. */
enum { KIN__REQUEST_LIFELINE, KIN__REQUEST_DIRECTORY, KIN__REQUEST_STREAMS };

/* A request, in one packet: the order follows it, or, beyond this size of both, is in a file whose
 * descriptor comes first of all. */
#define KIN__REQUEST_MOST 8192
struct kin__request {
    uint64_t sequence; /* of the child */
    bool streams[3];   /* which standard streams come with it; the others are /dev/null */
    bool filed;        /* the order is in a file */
} __attribute__((aligned(64)));
struct kin__answer {
    uint64_t sequence;
    int pid;             /* with it comes a descriptor for the process */
    int error;           /* negative: it could not begin… */
    enum kin__step step; /* …and where that was */
    unsigned item;
};
struct kin__end_report {
    uint64_t sequence;
    kin_exit_status status;
};

/* ---- server.c: the client ------------------------------------------------------------------- */

/* Starts the child by this process's server, which is begun if there is none: sets its pid and
 * descriptor.  After a failure the placement's setting tells where it was. */
int kin__server_start(kin_process *child, const struct kin__order *order,
                      const struct kin__order_parts *parts, struct kin__placement *placement);
/* Ends the server; its children go on. */
void kin__server_end(void);
/* The server's pid; 0: there is none. */
int kin__server_pid(void);

/* Under kin__child_lock: takes one report of an end, if there is one. */
bool kin__server_report(struct kin__end_report *report);
/* Under it: where the reports of that generation of servers come; -1: it is gone. */
int kin__server_reports(uint64_t generation);

/* Sets what a server does first; KIN_ESTARTED when there is one. */
int kin__server_preload(void (*function)(void));

/* ---- begin.c --------------------------------------------------------------------------------- */

/* Begins this program anew, to carry out the order, with copies of the `count` descriptors in
 * order->given; `sockets` are a server's two (NULL: none), and `placement` is what is set before it
 * (NULL: nothing; after a failure its setting tells where it was).  Returns the pid. */
int kin__program_begin(struct kin__order *order, const struct kin__order_parts *parts, const int *sockets,
                       struct kin__placement *placement, int *descriptor);
/* Has main begun with kin_main? */
bool kin__program_has_main(void);

/* ---- serve.c: the server ---------------------------------------------------------------------- */

/* Serves until the client closes its end; returns the code to exit with.  Unmaps `order`. */
int kin__serve(struct kin__order *order);

#endif
