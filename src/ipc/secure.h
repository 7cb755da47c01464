/* secure.h: TLS (os/tls.h) on a connected socket: handshake, sending and receiving with deadlines.
 *
 * The calls of connections stand on it, and the handshakes of a listener, which go on with KIN_NOW.
 */
#ifndef KIN_IPC_SECURE_H
#define KIN_IPC_SECURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

#include "os/socket.h"
#include "os/tls.h"

/* Room for what goes through a socket at once: two records of the largest size. */
#define KIN__SECURE_ROOM ((size_t)2 * (16384 + 256))

/* Private memory; its connection belongs to one process.
 *   lock   held for each call of `tls`, and never while something waits.
 *   in     used by the thread that receives, of which there is one at a time.
 *   out    by the one that sends, likewise.
 *   where  the address, for texts. */
struct kin__secure {
    struct kin__tls *tls;
    pthread_mutex_t lock;
    uint8_t in[KIN__SECURE_ROOM];
    uint8_t out[KIN__SECURE_ROOM];
    char where[];
};

/* kin__secure_make makes one side of a connection; see kin__tls_make for `name`.  -ENOMEM. */
int kin__secure_make(struct kin__secure **secure, const struct kin__tls_context *context, const char *name,
                     const char *where);
/* In a forked child too, which says nothing to the other side. */
void kin__secure_free(struct kin__secure *secure);

/* Whatever fails for TLS in the following leaves a text for kin_tls_text. */

/* Goes on with the handshake until it is done.  -ETIMEDOUT: it can be gone on with; the others as
 * kin__tls_handshake, KIN_ECLOSED, and those of the socket. */
int kin__secure_handshake(struct kin__secure *secure, int socket, kin_deadline deadline);
/* Sends a beginning of the parts; returns how many bytes of them.  After an error, also -ETIMEDOUT,
 * nothing more can be sent. */
long kin__secure_send(struct kin__secure *secure, int socket, const struct kin__part *parts, size_t count,
                      kin_deadline deadline);
/* Receives at least a byte, and returns how many, 0 at the end.  KIN_ETRUNCATED: the other side went away
 * without saying that it does; KIN_ETLS, KIN_ECERTIFICATE, and those of the socket. */
long kin__secure_receive(struct kin__secure *secure, int socket, void *buffer, size_t capacity,
                         kin_deadline deadline);
/* Is there something to be received which the socket does not show? */
bool kin__secure_readable(struct kin__secure *secure);
/* Tells the other side that no more comes, if that can be done at once. */
void kin__secure_end(struct kin__secure *secure, int socket);

/* Of options that are refused, for kin_tls_text. */
#define KIN__TLS_UNUSED         "what only TLS uses is given, and the address is not tls://"
#define KIN__TLS_NO_CERTIFICATE "a private key is given, and no certificate"

/* What kin_tls_text tells the calling thread from now on. */
void kin__tls_text_set(const char *where, const char *why);
/* It tells nothing: a call begins that may fail for something else. */
void kin__tls_text_clear(void);

#endif
