/* challenge.c: see challenge.h.
 *
 * Invariants:
 *  - What is compared with a secret is compared in a time that depends on its length alone.
 *  - A side that has refused stays refused, and says nothing more.
 *  - What a connecting side challenges with no connecting side that has the key answers.
 */
#include "ipc/challenge.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/openssl.h"

#define CHALLENGE "#CHALLENGE#"
#define WELCOME   "#WELCOME#"
#define FAILURE   "#FAILURE#"

/* What a peer of the first generation sends, as challenge and as answer. */
#define LEGACY_NONCE 20
#define MD5_SIZE     16

/* A challenge names its digest, "{sha256}", and the digest covers the name too. */
#define OURS "{sha256}"

/* The nonce of a connecting side ends with so many bytes of a digest of what is before them. */
#define MARK_SIZE 16
#define MARK_TEXT "kin: a connecting side challenges"

static const char *const prefixes[KIN__DIGESTS] = {"{md5}", "{sha256}", "{sha384}", "{sha3_256}",
                                                   "{sha3_384}"};

static bool begins_with(const uint8_t *bytes, size_t size, const char *text)
{
    size_t length = strlen(text);
    return size >= length && memcmp(bytes, text, length) == 0;
}

static bool is_text(const uint8_t *bytes, size_t size, const char *text)
{
    return size == strlen(text) && begins_with(bytes, size, text);
}

static bool same_secret(const uint8_t *a, const uint8_t *b, size_t size)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < size; i++) difference |= (uint8_t)(a[i] ^ b[i]);
    return difference == 0;
}

static void append(struct kin__challenge_message *message, const void *bytes, size_t size)
{
    memcpy(message->bytes + message->size, bytes, size);
    message->size += size;
}

static void say(struct kin__challenge_message *message, const char *text)
{
    append(message, text, strlen(text));
}

/* The digest that a challenge or an answer names, or KIN__DIGESTS. */
static enum kin__digest named_digest(const uint8_t *bytes, size_t size)
{
    enum kin__digest digest = KIN__MD5;
    while (digest < KIN__DIGESTS && !begins_with(bytes, size, prefixes[digest])) digest++;
    return digest;
}

static int refuse(struct kin__challenge *challenge, int rc)
{
    challenge->state = KIN__CHALLENGE_REFUSED;
    return rc;
}

/* ---- our challenge, and its answer ------------------------------------------------------------- */

/* Python's proof does not say which side gives it.  So somebody without the key, to whom two connect, could
 * have the challenge of the one answered by the other.  For who has the key, that of a connecting side of kin
 * is marked; for anybody else it is as random as others. */
static int mark_of(const struct kin__challenge *challenge, const uint8_t *nonce, uint8_t mark[KIN__HMAC_MOST])
{
    enum { FRESH = KIN__CHALLENGE_NONCE - MARK_SIZE };
    uint8_t marked[sizeof MARK_TEXT - 1 + FRESH];
    memcpy(marked, MARK_TEXT, sizeof MARK_TEXT - 1);
    memcpy(marked + sizeof MARK_TEXT - 1, nonce, FRESH);
    return kin__os_hmac(KIN__SHA256, challenge->key, challenge->key_size, marked, sizeof marked, mark);
}

static int pose(struct kin__challenge *challenge, struct kin__challenge_message *reply)
{
    if (challenge->role == KIN__CHALLENGE_CONNECTS) {
        uint8_t mark[KIN__HMAC_MOST];
        int length = mark_of(challenge, challenge->nonce, mark);
        if (length < 0) return length;
        memcpy(challenge->nonce + sizeof challenge->nonce - MARK_SIZE, mark, MARK_SIZE);
    }
    say(reply, CHALLENGE OURS);
    append(reply, challenge->nonce, sizeof challenge->nonce);
    challenge->state = KIN__CHALLENGE_WANTS_ANSWER;
    return 0;
}

/* 1: the challenge is one that a connecting side has made, 0: it is not, or an error. */
static int is_marked(const struct kin__challenge *challenge, const uint8_t *message, size_t size)
{
    uint8_t mark[KIN__HMAC_MOST];
    if (size != sizeof OURS - 1 + KIN__CHALLENGE_NONCE || !begins_with(message, size, OURS)) return 0;
    const uint8_t *nonce = message + sizeof OURS - 1;
    int length = mark_of(challenge, nonce, mark);
    return length < 0 ? length : same_secret(nonce + KIN__CHALLENGE_NONCE - MARK_SIZE, mark, MARK_SIZE);
}

/* 1 when the answer to our challenge is right, 0 when it is not, or an error. */
static int is_right(const struct kin__challenge *challenge, const uint8_t *answer, size_t size)
{
    uint8_t posed[sizeof OURS - 1 + KIN__CHALLENGE_NONCE], expected[KIN__HMAC_MOST];
    /* A peer of the first generation answers with a bare MD5, which is told by its length. */
    bool bare = size == MD5_SIZE;
    enum kin__digest digest = bare ? KIN__MD5 : named_digest(answer, size);
    if (digest == KIN__DIGESTS || (digest == KIN__MD5 && challenge->refuse_md5)) return 0;
    if (!bare) {
        answer += strlen(prefixes[digest]);
        size -= strlen(prefixes[digest]);
    }
    memcpy(posed, OURS, sizeof OURS - 1);
    memcpy(posed + sizeof OURS - 1, challenge->nonce, sizeof challenge->nonce);
    int length = kin__os_hmac(digest, challenge->key, challenge->key_size, posed, sizeof posed, expected);
    if (length < 0) return length;
    return size == (size_t)length && same_secret(answer, expected, size);
}

/* The same for any of the keys that the accepting side has; the one that fits is that of the connection. */
static int is_right_for_any(struct kin__challenge *challenge, const uint8_t *answer, size_t size)
{
    if (challenge->keys == NULL) return is_right(challenge, answer, size);
    int right = 0;
    for (size_t i = 0; right == 0 && i < challenge->key_count; i++) {
        challenge->key = challenge->keys[i].key;
        challenge->key_size = challenge->keys[i].size;
        challenge->found = i;
        right = is_right(challenge, answer, size);
    }
    return right;
}

static int take_answer(struct kin__challenge *challenge, const uint8_t *answer, size_t size,
                       struct kin__challenge_message *reply)
{
    int right = is_right_for_any(challenge, answer, size);
    if (right <= 0) {
        say(reply, FAILURE);
        return refuse(challenge, right < 0 ? right : KIN_EAUTHENTICATION);
    }
    say(reply, WELCOME);
    bool first = challenge->role == KIN__CHALLENGE_ACCEPTS;
    challenge->state = first ? KIN__CHALLENGE_WANTS_CHALLENGE : KIN__CHALLENGE_DONE;
    return first ? 0 : 1;
}

/* ---- the other side's challenge, and our answer ------------------------------------------------- */

static int take_challenge(struct kin__challenge *challenge, const uint8_t *message, size_t size,
                          struct kin__challenge_message *reply)
{
    uint8_t mac[KIN__HMAC_MOST];
    if (!begins_with(message, size, CHALLENGE)) return refuse(challenge, KIN_EPROTOCOL);
    message += strlen(CHALLENGE);
    size -= strlen(CHALLENGE);
    bool bare = size == LEGACY_NONCE;
    enum kin__digest digest = bare ? KIN__MD5 : named_digest(message, size);
    /* What it challenges with must not be so short that an answer to it could be collected. */
    if (digest == KIN__DIGESTS || size < LEGACY_NONCE) return refuse(challenge, KIN_EPROTOCOL);
    if (digest == KIN__MD5 && challenge->refuse_md5) return refuse(challenge, -EOPNOTSUPP);
    int marked = challenge->role == KIN__CHALLENGE_CONNECTS ? is_marked(challenge, message, size) : 0;
    if (marked != 0) return refuse(challenge, marked < 0 ? marked : KIN_EAUTHENTICATION);
    int length = kin__os_hmac(digest, challenge->key, challenge->key_size, message, size, mac);
    if (length < 0) return refuse(challenge, length);
    if (!bare) say(reply, prefixes[digest]);
    append(reply, mac, (size_t)length);
    challenge->state = KIN__CHALLENGE_WANTS_WELCOME;
    return 0;
}

static int take_welcome(struct kin__challenge *challenge, const uint8_t *message, size_t size,
                        struct kin__challenge_message *reply)
{
    if (is_text(message, size, FAILURE)) return refuse(challenge, KIN_EAUTHENTICATION);
    if (!is_text(message, size, WELCOME)) return refuse(challenge, KIN_EPROTOCOL);
    if (challenge->role == KIN__CHALLENGE_CONNECTS) {
        int rc = pose(challenge, reply);
        return rc < 0 ? refuse(challenge, rc) : 0;
    }
    challenge->state = KIN__CHALLENGE_DONE;
    return 1;
}

/* ---- the steps ------------------------------------------------------------------------------------ */

int kin__challenge_begin(struct kin__challenge *challenge, struct kin__challenge_message *reply)
{
    reply->size = 0;
    if (challenge->role == KIN__CHALLENGE_ACCEPTS) return pose(challenge, reply);
    challenge->state = KIN__CHALLENGE_WANTS_CHALLENGE;
    return 0;
}

int kin__challenge_step(struct kin__challenge *challenge, const void *message, size_t size,
                        struct kin__challenge_message *reply)
{
    reply->size = 0;
    if (size > KIN__CHALLENGE_MOST) return refuse(challenge, -EMSGSIZE);
    switch (challenge->state) {
    case KIN__CHALLENGE_WANTS_ANSWER: return take_answer(challenge, message, size, reply);
    case KIN__CHALLENGE_WANTS_CHALLENGE: return take_challenge(challenge, message, size, reply);
    case KIN__CHALLENGE_WANTS_WELCOME: return take_welcome(challenge, message, size, reply);
    default: return refuse(challenge, KIN_EPROTOCOL);
    }
}
