/* connection.h: the inside of a connection: what its two kinds share.
 *
 * A pipe's end is a socket of packets (packet.c), anything else a stream with frames (framed.c).
 */
#ifndef KIN_IPC_CONNECTION_H
#define KIN_IPC_CONNECTION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/connection.h>
#include <kin/listener.h>

#include "ipc/frame.h"
#include "ipc/handle.h"
#include "memory/private.h"
#include "os/socket.h"
#include "os/suspend.h"

struct kin__breaker;
struct kin__secure;

enum kin__connection_kind { KIN__CONNECTION_PACKETS, KIN__CONNECTION_FRAMED };

/* A packet that this process has received and nobody has taken yet; see packet.c.  In the list of
 * handles too, so that a child drops its copy. */
struct kin__packet {
    struct kin__handle handle; /* descriptor: what came with it */
    struct kin__packet *next;
    uint64_t size;
    uint64_t got; /* bytes of it that are here */
    uint8_t kind; /* as it comes: right before the bytes */
    uint8_t bytes[];
};
_Static_assert(offsetof(struct kin__packet, bytes) == offsetof(struct kin__packet, kind) + 1,
               "a packet is received in one piece");

/* Private memory.
 *   secure      framed: what goes through is encrypted by it; NULL: it is not.
 *   receiving   held by who receives: framed, until it has the whole message or its deadline comes; packets,
 *               until it has one, and only where there is more than one thread or coroutine.
 *   sending     held by who sends on a stream, likewise.
 *   kept        packets: received and not taken, oldest first; under `keeping`.
 *   spare       packets: room for one, to be used again; taken and given by exchange.
 *   frame       framed: the header of the message that comes next; under `receiving`.
 *   partial, got   framed: the beginning of that message, when a deadline came in its middle.
 *   left_over   framed: the end was read, or there is something decrypted: read without the lock by who
 *               waits.
 *   ended       framed: nothing more can be received; likewise.
 *   torn        framed: a message was sent in part; under `sending`. */
struct kin_connection {
    struct kin__handle handle;
    enum kin__connection_kind kind;
    struct kin__secure *secure;
    bool receives;
    bool sends;
    bool local; /* descriptors can be passed */
    struct kin__private_lock receiving;
    struct kin__private_lock sending;
    pthread_mutex_t keeping;
    struct kin__packet *kept;
    struct kin__packet *spare;
    struct kin__frame frame;
    uint8_t *partial;
    uint64_t got;
    bool left_over;
    bool ended;
    bool torn;
};

/* Makes a handle of `descriptor`, and of `secure` if that is not NULL, which are its from then on.  -ENOMEM. */
int kin__connection_make(kin_connection **made, enum kin__connection_kind kind, int descriptor,
                         struct kin__secure *secure);

/* The child that is forked next has the connection though it is encrypted, and goes on with it; this
 * process gives its own up, without a word to the other side, by kin__connection_forget. */
void kin__connection_hand_over(kin_connection *connection);
void kin__connection_forget(kin_connection *connection);

/* As kin_client_open, also with a key of no byte, which a manager of Python's may have.  `breaker`, if that is not
 * NULL, holds the socket from then on, until its user lets it go.  Errors: also KIN_ECLOSED: it is broken. */
int kin__client_open(kin_connection **connection, const char *address, const kin_client_options *options,
                     struct kin__breaker *breaker, kin_deadline deadline);

/* What an option `silence_s` says of a socket, which may be of no network. */
#define KIN__SILENCE_MOST 32767
void kin__watch_silence(int socket, unsigned seconds);

/* Makes a connection of a stream, and of `secure` if that is not NULL, likewise; what that holds already
 * can be received.  Errors as kin_connection_open. */
int kin__connection_take(kin_connection **made, int descriptor, struct kin__secure *secure);

/* The functions of connection.h for either kind, after the checks.  What a receiver wants is a
 * message, or a descriptor if `descriptor` is not NULL. */
int kin__packet_send(kin_connection *connection, const void *message, size_t size, kin_deadline deadline);
int kin__packet_send_descriptor(kin_connection *connection, int descriptor, kin_deadline deadline);
long kin__packet_receive(kin_connection *connection, void *buffer, size_t capacity, int *descriptor,
                         kin_deadline deadline);
void kin__packet_forget(kin_connection *connection);

int kin__framed_send(kin_connection *connection, const void *message, size_t size, kin_deadline deadline);
int kin__framed_send_descriptor(kin_connection *connection, int descriptor, kin_deadline deadline);
long kin__framed_receive(kin_connection *connection, void *buffer, size_t capacity, kin_deadline deadline);
int kin__framed_receive_descriptor(kin_connection *connection, kin_deadline deadline);

/* For whoever makes, and reads, many frames at once.  Sends bytes that are whole frames, as one message.  Receives at
 * least a byte, as they come; no message may have been received in part, and none is by kin__framed_receive before
 * the caller has received the last one whole.  Errors: as above. */
int kin__framed_send_frames(kin_connection *connection, const void *frames, size_t size,
                            kin_deadline deadline);
long kin__framed_receive_bytes(kin_connection *connection, void *buffer, size_t capacity,
                               kin_deadline deadline);

/* May the kernel wait for us?  Not in a coroutine. */
static inline bool kin__may_block(kin_deadline deadline)
{
    return deadline == KIN_FOREVER && kin__suspender == NULL;
}

/* One attempt after another until the deadline: waits after -EAGAIN, starts again after -ECONNRESET
 * of a packet socket (which is said once, before what can still be read).  Bytes, or an error. */
long kin__send_until(int socket, const struct kin__part *parts, size_t count, int descriptor,
                     kin_deadline deadline);
long kin__receive_until(int socket, const struct kin__part *parts, size_t count,
                        struct kin__received *received, kin_deadline deadline);

#endif
