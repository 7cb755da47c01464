/* kin/listener.h: connections between programs, on one machine or on many.
 *
 *     one program                                     another
 *     kin_listener *listener = NULL;                  kin_connection *there = NULL;
 *     kin_listener_open(&listener,                    kin_client_open(&there,
 *         "unix:@weather", &(kin_listener_options){       "unix:@weather", &(kin_client_options){
 *             .key = "secret", .key_size = 6});               .key = "secret", .key_size = 6},
 *     kin_connection *here = NULL;                        kin_in_s(5));
 *     kin_listener_accept(listener, &here, kin_in_s(60));
 *
 * An address is "tcp://HOST:PORT" (a host may be a name or a number, [::1] for one of IPv6; of a name that has
 * several addresses a listener takes the first that it can; * for all IPv4 addresses of this machine, [::] for those of
 * both kinds; port 0 takes a free one), "tls://HOST:PORT", "unix:/PATH", or "unix:@NAME", which is no
 * file.
 *
 * Bytes and authentication are those of Python's multiprocessing.connection, in every version
 * from 3.6 on: either side may be a Python program.  Authentication shows that both sides know
 * the key; it does not hide or sign what follows.  TLS does both (version 1.3, by OpenSSL), in one of two ways:
 * with a certificate of the listener, and perhaps of the client, and then a key as above if there is one; or, without
 * certificates, with the key alone.  Frames are the same inside.  A key for that is random and long, since
 * who has heard the beginning of a connection, and pretends to be a listener, can try out short ones. */
#ifndef KIN_LISTENER_H
#define KIN_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/connection.h>
#include <kin/time.h>

KIN_BEGIN

typedef struct kin_listener kin_listener;

typedef struct kin_listener_options {
    const void *key;      /* copied; NULL: everybody is let in */
    size_t key_size;      /* not 0 with a key */
    unsigned max_pending; /* connections that have not authenticated yet, at most; 0: 64 */
    int64_t handshake_ms; /* how long one may take over it; 0: 10,000 */
    int backlog;          /* connections that wait in the kernel, at most; 0: 128 */
    bool refuse_md5;      /* let no peer in that knows HMAC-MD5 alone (Python 3.11 and before) */
    unsigned silence_s;   /* of a network: see kin_client_options */
    /* Of TLS alone, PEM files: */
    const char *certificate; /* the listener's, and those up to an authority's; NULL: both have the key */
    const char *private_key; /* NULL: it is in the file of the certificate */
    const char *authorities; /* clients show a certificate that one of these has signed; NULL: none */
    unsigned max_failures;   /* to authenticate, of one address in one go; 0: 10; UINT_MAX: any number */
} kin_listener_options;

/* kin_listener_open listens at `address` and stores the listener in `*listener`; `options` may be
 * NULL.  A socket file that a killed program left behind is replaced, if its directory may be read.
 * Waits only for name servers.  Safe for threads.
 * Errors: KIN_EADDRESS, KIN_EHOST, -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -ENOENT (no such
 * directory), -ENAMETOOLONG, -EMFILE, -ENFILE, -ENOMEM, -EINVAL (NULL, absurd options: also files of TLS for
 * another address, and tls:// with neither certificate nor key), KIN_ETLS (a file is not what it should be:
 * kin_tls_text), -ENOENT and -EACCES (a file), KIN_ELIBRARY. */
KIN_API int kin_listener_open_sized(kin_listener **listener, const char *address,
                                    const kin_listener_options *options, size_t size);
static inline int kin_listener_open(kin_listener **listener, const char *address,
                                    const kin_listener_options *options)
{
    return kin_listener_open_sized(listener, address, options, sizeof(kin_listener_options));
}

/* kin_listener_accept waits until `deadline` for a client that has authenticated and stores its
 * connection in `*connection`, which the caller closes.  Meanwhile it talks with all that have not
 * yet: one that is silent, slow or wrong keeps nobody else waiting, and is dropped when its time
 * is over, or when they are too many: the oldest, or the oldest of those of one address if more than half are of
 * it.  A line in the log says so, ten in a second.  One for which no descriptor is left is turned away: it finds
 * its connection closed.  So is one from an address (of IPv6: a network of 64 bits) that has failed to
 * authenticate `max_failures` times, and once more each second: for up to a minute, or as long as it goes on.
 * Addresses 127.0.0.1 and ::1, and Unix sockets, are excepted: honest programs of this machine have the same.
 * Safe for threads; not for signal handlers.
 * Errors: -ETIMEDOUT, -EMFILE, -ENFILE, -ENOMEM, KIN_ELIBRARY (a
 * key, and no OpenSSL), KIN_ENOTGIVEN, -EINVAL (NULL). */
KIN_API int kin_listener_accept(kin_listener *listener, kin_connection **connection, kin_deadline deadline);

/* kin_listener_address returns the address that it listens at, with the port that was taken.  The
 * text lives as long as the listener.  NULL for NULL.  Does not block. */
KIN_API const char *kin_listener_address(const kin_listener *listener);

/* kin_listener_fileno returns a descriptor, the listener's, that is readable when kin_listener_accept has
 * something to do; with KIN_NOW it does that, and returns a connection or -ETIMEDOUT.  Does not block.  Safe for threads,
 * also while others accept.
 * Errors: -EINVAL (NULL), KIN_ENOTGIVEN. */
KIN_API int kin_listener_fileno(const kin_listener *listener);

/* kin_listener_close stops listening, removes the socket file and frees the listener, which no other
 * thread uses any more.  Connections that were accepted live on.  NULL is allowed.  Does not block.
 * Errors: none. */
KIN_API int kin_listener_close(kin_listener *listener);

typedef struct kin_client_options {
    const void *key; /* NULL: no authentication */
    size_t key_size; /* not 0 with a key */
    bool refuse_md5; /* connect to no listener that knows HMAC-MD5 alone */
    /* Of a network: the connection ends with KIN_ESILENT when the other machine has not answered for so many
     * seconds, up to 32,767, or when the other program takes nothing for so long while there is something for it.
     * 0: 60 while nothing is sent, and as long as this system tries to send something, some 15 minutes; a
     * program that takes nothing is waited for. */
    unsigned silence_s;
    /* Of TLS alone, PEM files: */
    const char *certificate; /* to be shown to a listener that demands one; NULL: none */
    const char *private_key; /* NULL: it is in the file of the certificate */
    const char *authorities; /* whose certificates are believed */
    bool system_authorities; /* and those this system believes: alone if there is nothing else, nor a key */
    const char *server_name; /* whom the listener's certificate has to name; NULL: the host of the address */
} kin_client_options;

/* kin_client_open connects to the listener at `address`, authenticates both ways if there is a key,
 * and stores the connection in `*connection`; `options` may be NULL.  All of it is done by
 * `deadline`, except that name servers may take longer.  Safe for threads.
 * Errors: KIN_EADDRESS, KIN_EHOST, -ECONNREFUSED (nobody listens), -ENOENT (no socket file),
 * KIN_EAUTHENTICATION (another key), -ETIMEDOUT (also when the listener has no key), KIN_EPROTOCOL,
 * KIN_ECLOSED (the listener went away, or dropped us), -EOPNOTSUPP (this system forbids the digest; or
 * refuse_md5 is set, and the other side is Python 3.11 or before),
 * KIN_ELIBRARY, -EMFILE, -ENFILE, -ENOMEM, others of the network, -EINVAL (NULL, absurd options),
 * KIN_ECERTIFICATE and KIN_ETLS (kin_tls_text tells why).  That a listener has refused the client's
 * certificate is perhaps told only by the first kin_connection_recv: TLS 1.3 lets a client talk before the
 * listener has looked at it. */
KIN_API int kin_client_open_sized(kin_connection **connection, const char *address,
                                  const kin_client_options *options, size_t size, kin_deadline deadline);
static inline int kin_client_open(kin_connection **connection, const char *address,
                                  const kin_client_options *options, kin_deadline deadline)
{
    return kin_client_open_sized(connection, address, options, sizeof(kin_client_options), deadline);
}

KIN_END
#endif
