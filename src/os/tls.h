/* tls.h: TLS 1.3 by OpenSSL, as a machine without input and output: what comes from the other side is fed
 * in, what is to go to it is drained.  Whoever has a socket blocks, polls or is called back by a loop as
 * he likes (ipc/secure.h does it with deadlines on a descriptor).
 *
 *     struct kin__tls_context *context;               once, for all connections of a server or client
 *     struct kin__tls *tls;
 *     kin__tls_context_make(&context, &(struct kin__tls_options){.accepts = true, .certificate = …}, why);
 *     kin__tls_make(&tls, context, NULL);
 *     for (;;) {
 *         int rc = kin__tls_handshake(tls);            0: more has to come
 *         while ((size = kin__tls_drain(tls, buffer, sizeof buffer)) > 0) send buffer;   also when it failed
 *         if (rc != 0) break;                          1: done; negative: failed, kin__tls_why(tls)
 *         receive bytes; kin__tls_feed(tls, bytes, size);
 *     }
 *
 * Afterwards, when bytes have come: feed them, and read until -EAGAIN; the last bytes of the handshake may
 * have brought some already.  To send: write, then drain.  At the end: kin__tls_end, then drain.  Whatever
 * fails for TLS leaves its reason in kin__tls_why, and the connection is to be closed.
 *
 * Both sides prove who they are: the accepting side by its certificate, the connecting one by its own if
 * the accepting side has `authorities`; or both by a key that they share.  There is no resumption, no early
 * data, no older version.  OpenSSL is loaded with the first context (openssl.h); it never asks at the
 * terminal for a password: an encrypted key is refused.
 *
 * A context is read only, and safe for threads.  One thread at a time uses a connection, in the process
 * that made it: a copy in a forked child must not be used, only freed.
 */
#ifndef KIN_OS_TLS_H
#define KIN_OS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kin__tls_context;
struct kin__tls;

#define KIN__TLS_WHY 256 /* bytes in a reason, as text */

/* With a certificate (accepting side), or with authorities or a certificate (connecting side), certificates
 * are used; without, the key is, and a connecting side that has no key either trusts the authorities of the
 * system.  What is used of a key is derived from it. */
struct kin__tls_options {
    bool accepts;
    const char *certificate; /* PEM file: our certificate, then those between it and an authority's */
    const char *private_key; /* PEM file; NULL: it is in the other one */
    const char *authorities; /* PEM file: whose certificates we believe */
    bool system_authorities; /* and those of this system */
    const void *key;
    size_t key_size;
    uint64_t update_after; /* bytes sent, after which their key is changed; 0: what suits the ciphers */
};

/* kin__tls_context_make reads the files.  Errors, with a reason in `why`: KIN_ETLS (a file is not what it
 * should be), -EINVAL (neither certificate nor key), -ENOENT, -EACCES (a file), KIN_ELIBRARY, -ENOMEM. */
int kin__tls_context_make(struct kin__tls_context **context, const struct kin__tls_options *options,
                          char why[KIN__TLS_WHY]);
void kin__tls_context_free(struct kin__tls_context *context);
/* Do both sides prove by the key who they are, so that no other proof is needed? */
bool kin__tls_by_key(const struct kin__tls_context *context);

/* `name` is what the other side's certificate has to be for, a name or an IP address; only for a connecting
 * side with certificates.  The context may be freed before the connection.  -ENOMEM. */
int kin__tls_make(struct kin__tls **tls, const struct kin__tls_context *context, const char *name);
void kin__tls_free(struct kin__tls *tls);

/* Takes bytes that came from the other side, all of them.  -ENOMEM. */
int kin__tls_feed(struct kin__tls *tls, const void *bytes, size_t size);
/* Stores bytes that are to go to the other side; returns how many, 0: there are none. */
size_t kin__tls_drain(struct kin__tls *tls, void *buffer, size_t capacity);

/* 1: done; 0: more has to come.  Errors: KIN_ECERTIFICATE (one of the certificates was refused),
 * KIN_EAUTHENTICATION (another key), KIN_ETLS, -ENOMEM. */
int kin__tls_handshake(struct kin__tls *tls);
/* Takes bytes to be sent; returns how many, perhaps not all.  KIN_ETLS, -ENOMEM. */
long kin__tls_write(struct kin__tls *tls, const void *bytes, size_t size);
/* Stores what the other side has sent; returns how many bytes, 0 when it has said that no more comes.
 * -EAGAIN: more has to be fed.  Errors: KIN_ETLS, KIN_ECERTIFICATE (only now it was found that the accepting
 * side refused ours). */
long kin__tls_read(struct kin__tls *tls, void *buffer, size_t capacity);
/* Would kin__tls_read return anything but -EAGAIN? */
bool kin__tls_readable(struct kin__tls *tls);
/* Says that no more comes. */
void kin__tls_end(struct kin__tls *tls);

/* Why the last call has failed, such as "certificate verify failed: self-signed certificate". */
const char *kin__tls_why(const struct kin__tls *tls);

#endif
