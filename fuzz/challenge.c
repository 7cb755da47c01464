/* challenge.c: the handshake, in either role, with a peer that sends anything.  It ends, stays
 * ended, says nothing that is too long, and nobody is let in who has not sent an answer that
 * depends on the key.
 *
 * The first byte is the role and an option; then come messages, each after a byte for its size. */
#include <stdlib.h>
#include <string.h>

#include "ipc/challenge.h"
#include "os/openssl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is a right answer to our challenge in this message?  In the corpus there are some, since what is random
 * in it is zero. */
static int knows_the_key(const uint8_t *nonce, const uint8_t *message, size_t size)
{
    static const char *const names[KIN__DIGESTS] = {"{md5}", "{sha256}", "{sha384}", "{sha3_256}",
                                                    "{sha3_384}"};
    uint8_t posed[8 + KIN__CHALLENGE_NONCE] = "{sha256}", mac[KIN__HMAC_MOST];
    memcpy(posed + 8, nonce, KIN__CHALLENGE_NONCE);
    for (int digest = 0; digest < KIN__DIGESTS; digest++) {
        int length = kin__os_hmac((enum kin__digest)digest, "key", 3, posed, sizeof posed, mac);
        size_t prefix = size == 16 ? 0 : strlen(names[digest]);
        if (length > 0 && size == prefix + (size_t)length &&
            memcmp(message + prefix, mac, (size_t)length) == 0)
            return 1;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct kin__challenge challenge = {
        .role = data[0] & 1 ? KIN__CHALLENGE_CONNECTS : KIN__CHALLENGE_ACCEPTS,
        .key = "key",
        .key_size = 3,
        .refuse_md5 = (data[0] & 2) != 0,
    };
    struct kin__challenge_message reply;
    int rc = kin__challenge_begin(&challenge, &reply), steps = 0, proved = 0;
    for (size_t at = 1; rc == 0 && at < size; steps++) {
        size_t length = data[at++];
        if (length > size - at) length = size - at;
        proved |= knows_the_key(challenge.nonce, data + at, length);
        rc = kin__challenge_step(&challenge, data + at, length, &reply);
        at += length;
        if (reply.size > KIN__CHALLENGE_MOST || steps > 3) abort();
    }
    if (rc == 1 && !proved) abort();
    if (rc < 0 && kin__challenge_step(&challenge, "#WELCOME#", 9, &reply) >= 0) abort();
    return 0;
}
