/* challenge.h: how two sides of a connection prove to each other that they know the same key, as
 * Python's multiprocessing does it: HMAC over a challenge, both ways, in either of its two
 * generations (3.11 and before; 3.12 and after).
 *
 * A machine without input and output: messages in, messages out.  Each message travels as a frame
 * (frame.h).  The accepting side challenges first.
 *
 *     struct kin__challenge challenge = {.role = …, .key = …, .key_size = …};
 *     struct kin__challenge_message reply;
 *     kin__os_random(challenge.nonce, sizeof challenge.nonce);
 *     int rc = kin__challenge_begin(&challenge, &reply);
 *     for (;;) {
 *         if (reply.size > 0) send a frame of reply.bytes;
 *         if (rc != 0) break;                       1: authenticated; negative: refused
 *         receive a frame of at most KIN__CHALLENGE_MOST bytes;
 *         rc = kin__challenge_step(&challenge, frame, size, &reply);
 *     }
 *
 * The proof says that the other side knew the key when the connection began, and played the other
 * role.  It neither encrypts nor binds what follows: somebody between the two can relay the
 * handshake and then talk.  TLS does both.
 */
#ifndef KIN_IPC_CHALLENGE_H
#define KIN_IPC_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIN__CHALLENGE_NONCE 40
#define KIN__CHALLENGE_MOST  256 /* bytes in a message of the handshake */

enum kin__challenge_role { KIN__CHALLENGE_ACCEPTS, KIN__CHALLENGE_CONNECTS };

enum kin__challenge_state {
    KIN__CHALLENGE_BEGINS = 0,
    KIN__CHALLENGE_WANTS_ANSWER,    /* we have challenged */
    KIN__CHALLENGE_WANTS_CHALLENGE, /* of the other side */
    KIN__CHALLENGE_WANTS_WELCOME,   /* we have answered */
    KIN__CHALLENGE_DONE,
    KIN__CHALLENGE_REFUSED
};

struct kin__challenge_key {
    const void *key;
    size_t size;
};

/* What is wrong with a key of somebody's options, as a sentence, or NULL: a size that was left out must not be
 * the key of no byte, which everybody knows. */
static inline const char *kin__key_fault(const void *key, size_t size)
{
    if (key != NULL && size == 0) return "key is given, and key_size is 0";
    return key == NULL && size > 0 ? "key_size is given, and key is NULL" : NULL;
}

/* The first part is the caller's to fill in; the rest is all zero to begin with. */
struct kin__challenge {
    enum kin__challenge_role role;
    const void *key; /* not copied; may be NULL if key_size is 0 */
    size_t key_size;
    bool refuse_md5;                       /* no peer of Python 3.11 or before */
    uint8_t nonce[KIN__CHALLENGE_NONCE];   /* random, for this connection alone */
    const struct kin__challenge_key *keys; /* the accepting side: any of these, in place of `key`; or NULL */
    size_t key_count;
    size_t found; /* out: which of them the other side knows */

    enum kin__challenge_state state;
};

struct kin__challenge_message {
    size_t size; /* 0: there is nothing to be sent */
    uint8_t bytes[KIN__CHALLENGE_MOST];
};

/* kin__challenge_begin returns 0, and in `*reply` what is to be sent first, if anything. */
int kin__challenge_begin(struct kin__challenge *challenge, struct kin__challenge_message *reply);

/* kin__challenge_step takes one message of the other side and stores in `*reply` what is to be
 * sent, if anything, also when it refuses.  It returns 0 while more is to come, and 1 when both
 * sides have proved that they know the key.
 * Errors, after which the connection is to be closed, once the reply is sent: KIN_EAUTHENTICATION
 * (another key, said by either side), KIN_EPROTOCOL (no message of the handshake), -EOPNOTSUPP
 * (this system forbids the digest the other side asks for), -EMSGSIZE, KIN_ELIBRARY, -ENOMEM. */
int kin__challenge_step(struct kin__challenge *challenge, const void *message, size_t size,
                        struct kin__challenge_message *reply);

#endif
