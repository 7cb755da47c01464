/* kin/connection.h: connections: messages between two ends, over which descriptors can be passed.
 *
 *     static int say(void *end) { return kin_connection_send(end, "hello", 5, KIN_FOREVER); }
 *     …
 *     kin_connection *here = NULL, *there = NULL;
 *     kin_pipe_open(&here, &there, NULL);
 *     kin_process_start(&child, say, there, NULL);
 *     kin_connection_close(there);
 *     long size = kin_connection_recv(here, buffer, sizeof buffer, kin_in_s(8));
 *
 * There are two kinds.  The ends of a pipe, for processes of one program, and connections over a
 * stream (kin/listener.h), which carry each message as Python's multiprocessing does.  The calls
 * are the same.
 *
 * A connection over TLS (tls://) belongs to the process that opened it: in a child, given or not, its calls fail
 * with KIN_EPRIVATE, because two processes cannot go on with the same keys.
 *
 * A handle is private memory of its process.  A child that kin_process_start makes gets the
 * connections that it is given, as its argument or in the options, and no others: so an end of file
 * comes when the last process that really uses the other end is gone.
 */
#ifndef KIN_CONNECTION_H
#define KIN_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/time.h>

KIN_BEGIN

typedef struct kin_connection kin_connection;

typedef struct kin_pipe_options {
    bool simplex; /* the first end only receives, the second only sends; else both do both */
} kin_pipe_options;

/* kin_pipe_open makes a pipe and stores its ends in `*first` and `*second`, each of which is closed
 * by kin_connection_close; `options` may be NULL.
 *
 * A message is sent whole or not at all, by any number of processes and threads on one end, and is
 * received by one of those on the other.  Up to some hundred kilobytes wait in the kernel; a larger
 * message, of any size, is passed on while it is received.  Does not block.  Safe for threads.
 * Errors: -EINVAL (NULL), -EMFILE, -ENFILE, -ENOMEM. */
KIN_API int kin_pipe_open_sized(kin_connection **first, kin_connection **second,
                                const kin_pipe_options *options, size_t size);
static inline int kin_pipe_open(kin_connection **first, kin_connection **second,
                                const kin_pipe_options *options)
{
    return kin_pipe_open_sized(first, second, options, sizeof(kin_pipe_options));
}

/* kin_connection_open makes a connection of a descriptor that the caller has: a connected stream
 * socket, with Python's framing, or an end of a pipe that came by kin_connection_recv_descriptor; what
 * kin_connection_fileno returns is for waiting, and none.  The descriptor
 * belongs to the connection from then on, and becomes close-on-exec.  Does not block.  Safe for threads.
 * Errors, after which the descriptor is still the caller's: -EINVAL (NULL), -EBADF, -ENOTSOCK,
 * -EPROTOTYPE (neither a stream nor a Unix socket of packets), -ENOMEM. */
KIN_API int kin_connection_open(kin_connection **connection, int descriptor);

/* kin_connection_close closes this process's end and frees the handle, which no other thread uses
 * any more.  Messages that were sent stay readable at the other end.  NULL is allowed.  Does not
 * block.  Errors: none. */
KIN_API int kin_connection_close(kin_connection *connection);

/* kin_connection_send sends `size` bytes as one message, waiting until `deadline` while the other
 * end does not receive.  Size 0 is a message too.  When it returns 0 the message is on its way,
 * whatever becomes of the sender.  Safe for threads, and on a pipe's end for processes; not for
 * signal handlers.
 * Errors, after which no message was sent: -ETIMEDOUT, -EPIPE (nobody receives at the other end
 * any more), KIN_ESILENT, -EBADF (this end only receives), -EMFILE, -ENFILE, -ENOMEM (for a large message),
 * -EINVAL (NULL), KIN_ENOTGIVEN.  On a stream a message that was begun cannot be taken back: then
 * -ETIMEDOUT ends the sending side of the connection, and the other end finds a message cut off. */
KIN_API int kin_connection_send(kin_connection *connection, const void *message, size_t size,
                                kin_deadline deadline);

/* kin_connection_recv receives the next message, copies it to `buffer` and returns its size in
 * bytes, waiting until `deadline` while there is none.  Safe like kin_connection_send.
 * Errors, after which the message can still be received: -ETIMEDOUT, KIN_ETOOSMALL (larger than
 * `capacity` bytes; kin_needed_size tells its size; on a pipe it is kept for this handle),
 * -ENOMSG (a descriptor comes next: kin_connection_recv_descriptor), -ENOMEM (but where the deadline comes in the
 * middle of a message and there is no memory to keep its beginning: that message is lost, and so is a stream).
 * What a deadline cut off is for the thread that receives next; it wakes none that already waits.
 * Others: KIN_ECLOSED (the other end is closed and everything was received), KIN_ETRUNCATED (the
 * sender ended in the middle of this message; on a pipe the next one can be received), -EMFILE
 * (a large message or a descriptor was lost, because this process has no descriptor left),
 * KIN_EPROTOCOL (what came is no message of kin's or Python's), KIN_ESILENT (the other machine does not answer: kin/listener.h), -ECONNRESET and others
 * of the network, -EBADF (this end only sends), -EINVAL
 * (NULL), KIN_ENOTGIVEN. */
KIN_API long kin_connection_recv(kin_connection *connection, void *buffer, size_t capacity,
                                 kin_deadline deadline);

/* kin_connection_poll waits until there is something to be received, or the end, and returns 1,
 * or 0 at `deadline`.  On a stream that may be the beginning of a message; once kin_connection_recv has had that,
 * the rest is waited for.  Safe like
 * kin_connection_send.
 * Errors: -EBADF (this end only sends), -EINVAL (NULL), KIN_ENOTGIVEN. */
KIN_API int kin_connection_poll(kin_connection *connection, kin_deadline deadline);

/* kin_connection_send_descriptor passes a copy of `descriptor` to the other end, which takes it by
 * kin_connection_recv_descriptor; the caller's stays open.  It comes in its turn among the messages.
 * That function returns the new descriptor (close-on-exec, the caller's to close), waiting until
 * `deadline`.  Over Unix sockets and pipes only; over a stream it is what Python's
 * multiprocessing.reduction.send_handle and recv_handle do, and both sides have to agree when one
 * comes.  Safe like kin_connection_send.
 * Errors: -EBADF (descriptor is not open), -EOPNOTSUPP (a network connection), -ENOMSG (recv: a
 * message comes next), -ETOOMANYREFS (too many are on their way), and those of kin_connection_send and
 * kin_connection_recv. */
KIN_API int kin_connection_send_descriptor(kin_connection *connection, int descriptor, kin_deadline deadline);
KIN_API int kin_connection_recv_descriptor(kin_connection *connection, kin_deadline deadline);

/* kin_connection_fileno returns the descriptor of the connection, which stays the connection's: for
 * poll and epoll, which find it readable when there is something to be received (except what
 * KIN_ETOOSMALL or -ENOMSG has left over: that is there at once).  Does not block; safe everywhere.
 * Errors: -EINVAL (NULL), KIN_ENOTGIVEN. */
KIN_API int kin_connection_fileno(const kin_connection *connection);

/* kin_connection_peer writes the address of the other side as kin_listener_address has it, such as
 * "tcp://10.0.0.7:51234", and returns the length it would have, like snprintf.  A client's port is a free one;
 * a client of a Unix socket has no address, nor has an end of a pipe: "unix:".  Does not block.  Safe for threads.
 * Errors: -ENOTCONN (the network connection was broken off), -EINVAL (NULL), KIN_EHOST (the socket that was given
 * to kin_connection_open is of a network without such addresses), KIN_ENOTGIVEN, KIN_EPRIVATE. */
KIN_API int kin_connection_peer(const kin_connection *connection, char *text, size_t size);

/* kin_tls_text writes why TLS made the calling thread's last call fail with KIN_ETLS, KIN_ECERTIFICATE,
 * KIN_EAUTHENTICATION or KIN_ETRUNCATED, or what is wrong with options of TLS (-EINVAL), such as "tls://db:5000:
 * certificate verify failed: self-signed certificate", and returns the length it would have, like snprintf; 0 when
 * TLS made none fail (as when a key is proved inside it, and is another).  Does not block.
 * Errors: -EINVAL (NULL). */
KIN_API int kin_tls_text(char *text, size_t size);

KIN_END
#endif
