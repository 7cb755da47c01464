/* socket.h: what kin asks of sockets, a contract for each call; see os.h for what holds for all.
 *
 * Sending never raises SIGPIPE.  Nothing here waits unless its contract says so: where a call
 * would have to, it fails with -EAGAIN.
 */
#ifndef KIN_OS_SOCKET_H
#define KIN_OS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

#include "os/epoll.h"

/* A piece of what is sent or received: struct iovec under a name that needs no system header. */
struct kin__part {
    void *bytes;
    size_t size;
};

enum kin__socket_kind { KIN__SOCKET_PACKETS, KIN__SOCKET_STREAM };

/* Makes two connected sockets: packets keep their bounds, a stream does not. */
int kin__os_socket_pair(enum kin__socket_kind kind, int ends[2]);
/* Which of the two is it, and is it within this machine, as packets are?  -EPROTOTYPE (neither), -EBADF, -ENOTSOCK. */
int kin__os_socket_describe(int socket, enum kin__socket_kind *kind, bool *local);
/* Nothing more is sent on it: the other end reads what is there and then the end. */
int kin__os_socket_end_sending(int socket);
/* Nothing goes over it any more in either direction, and whoever waits for it, here or there, finds its end. */
void kin__os_socket_end(int socket);

/* Sends the parts as one packet, or as much of them as a stream takes now, with a copy of
 * `descriptor` if that is not negative; returns how many bytes.  With `wait` it waits as long as it
 * takes.  -EPIPE: nobody reads there any more. */
long kin__os_send(int socket, const struct kin__part *parts, size_t count, int descriptor, bool wait);

/* What came besides the bytes. */
struct kin__received {
    int descriptor; /* -1: none; the caller's to close */
    bool lost;      /* one came, and there was no room for it in the table of descriptors */
};
/* Receives one packet, or what a stream has; returns how many bytes, 0 at the end.  What a packet
 * has beyond the parts is lost.  `received` may be NULL: then descriptors are.  With `wait` it waits as
 * long as it takes.  -ECONNRESET: the other end is gone, with something that it had not read. */
long kin__os_receive(int socket, const struct kin__part *parts, size_t count, struct kin__received *received,
                     bool wait);

/* Waits until `wanted` (KIN__READABLE or KIN__WRITABLE) holds, or the other end is gone.  0, or -ETIMEDOUT at
 * the deadline; -EBADF: not open; in a coroutine, which lets others run meanwhile, also -ECANCELED. */
int kin__os_wait_ready(int descriptor, int wanted, kin_deadline deadline);

#endif
