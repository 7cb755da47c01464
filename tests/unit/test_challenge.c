/* test_challenge.c: the handshake by a shared key: against ourselves, against known answers of
 * Python's two generations, and against peers that have another key or talk nonsense. */
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/challenge.h"
#include "os/openssl.h"
#include "os/os.h"

static struct kin__challenge side(enum kin__challenge_role role, const char *key)
{
    struct kin__challenge challenge = {.role = role, .key = key, .key_size = strlen(key)};
    CHECK_OK(kin__os_random(challenge.nonce, sizeof challenge.nonce));
    return challenge;
}

/* Both sides talk until one of them is done or refuses, and each has heard the other's last word. */
static void talk(struct kin__challenge *accepts, struct kin__challenge *connects, int results[2])
{
    struct kin__challenge *sides[2] = {accepts, connects};
    struct kin__challenge_message from[2];
    CHECK_RC(kin__challenge_begin(accepts, &from[0]), 0);
    CHECK_RC(kin__challenge_begin(connects, &from[1]), 0);
    CHECK_EQ(from[1].size, 0);
    results[0] = results[1] = 0;
    for (int speaks = 0; from[speaks].size > 0 && results[!speaks] == 0; speaks = !speaks) {
        results[!speaks] =
            kin__challenge_step(sides[!speaks], from[speaks].bytes, from[speaks].size, &from[!speaks]);
    }
}

TEST(who_knows_the_key_is_welcome)
{
    static const char longer_than_a_block[300] = {[0 ... 298] = 'k'};
    const char *keys[] = {"abc", "", longer_than_a_block};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int results[2];
        struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, keys[i]);
        struct kin__challenge connects = side(KIN__CHALLENGE_CONNECTS, keys[i]);
        talk(&accepts, &connects, results);
        CHECK_RC(results[0], 1);
        CHECK_RC(results[1], 1);
    }
}

TEST(who_has_another_key_is_refused)
{
    const char *keys[][2] = {{"abc", "abd"}, {"", "x"}, {"abc", "ab"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int results[2];
        struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, keys[i][0]);
        struct kin__challenge connects = side(KIN__CHALLENGE_CONNECTS, keys[i][1]);
        talk(&accepts, &connects, results);
        CHECK_RC(results[0], KIN_EAUTHENTICATION);
        CHECK_RC(results[1], KIN_EAUTHENTICATION);
        CHECK_EQ(accepts.state, KIN__CHALLENGE_REFUSED);
    }
}

/* ---- known answers ------------------------------------------------------------------------------- */

static size_t from_hex(uint8_t *bytes, const char *hex)
{
    size_t count = strlen(hex) / 2;
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtol(pair, NULL, 16);
    }
    return count;
}

/* M is the name and the bytes 00, 01, …; the key is "abc". */
static const struct {
    enum kin__digest digest;
    const char *name;
    size_t random;
    const char *mac;
} answers[] = {
    {KIN__MD5, "", 20, "1b373176a84c1b044d9ba09795b53791"},
    {KIN__MD5, "{sha256}", 40, "3e4faf2fc53f133cd76571e5d3fb9fd5"},
    {KIN__SHA256, "{sha256}", 40, "ee2b4cd766c1e0f5eb564525d250361f729d00e3948c83c5651d1cefdb97de31"},
    {KIN__MD5, "{md5}", 40, "c5047a5f171cec34de1e8da7aec77bb0"},
    {KIN__SHA384, "{sha384}", 40,
     "9a6ef44b692adc149d40bc516a86ecfc4bd416ece9b0c8bd60362b29d71b9fa83bf5dd7017307cf980a425c121eeb1b0"},
    {KIN__SHA3_256, "{sha3_256}", 40, "d5ffda7a80587866dc219dd0e4db33a23bfe70fdffffa6bf5b97729c1f25074c"},
    {KIN__SHA3_384, "{sha3_384}", 40,
     "33c86b92c29774f9c94d4b4afb9f1a55608ad0562e322708d07e1ea6f2f978c2876d09d933c07a66a1b25883bef7ec55"},
};
#define ANSWERS (sizeof answers / sizeof *answers)

static size_t challenge_of(uint8_t *message, const char *before, size_t index)
{
    size_t size = (size_t)sprintf((char *)message, "%s%s", before, answers[index].name);
    for (size_t i = 0; i < answers[index].random; i++) message[size++] = (uint8_t)i;
    return size;
}

TEST(macs_are_those_of_python)
{
    for (size_t i = 0; i < ANSWERS; i++) {
        uint8_t message[100], mac[KIN__HMAC_MOST], expected[KIN__HMAC_MOST];
        size_t size = challenge_of(message, "", i), length = from_hex(expected, answers[i].mac);
        test_context("%s of %s", answers[i].mac, answers[i].name);
        CHECK_RC(kin__os_hmac(answers[i].digest, "abc", 3, message, size, mac), (int)length);
        CHECK_MEM(mac, expected, length);
    }
}

TEST(challenges_of_both_generations_are_answered)
{
    for (size_t i = 0; i < ANSWERS; i++) {
        uint8_t message[100], expected[100];
        struct kin__challenge_message reply;
        struct kin__challenge connects = side(KIN__CHALLENGE_CONNECTS, "abc");
        if (i == 1) continue; /* what an older peer answers, not what we do */
        test_context("challenge %s", answers[i].name);
        size_t length = (size_t)sprintf((char *)expected, "%s", answers[i].name);
        length += from_hex(expected + length, answers[i].mac);
        CHECK_RC(kin__challenge_begin(&connects, &reply), 0);
        CHECK_RC(kin__challenge_step(&connects, message, challenge_of(message, "#CHALLENGE#", i), &reply), 0);
        CHECK_EQ(reply.size, length);
        CHECK_MEM(reply.bytes, expected, length);
    }
}

/* What our challenge of the bytes 00, 01, … is answered with. */
static int answer(const char *name, const char *mac, bool refuse_md5, struct kin__challenge_message *reply)
{
    uint8_t message[100];
    struct kin__challenge accepts = {
        .role = KIN__CHALLENGE_ACCEPTS, .key = "abc", .key_size = 3, .refuse_md5 = refuse_md5};
    for (size_t i = 0; i < sizeof accepts.nonce; i++) accepts.nonce[i] = (uint8_t)i;
    CHECK_RC(kin__challenge_begin(&accepts, reply), 0);
    CHECK_EQ(reply->size, 59);
    size_t size = (size_t)sprintf((char *)message, "%s", name);
    size += from_hex(message + size, mac);
    return kin__challenge_step(&accepts, message, size, reply);
}

#define SAYS(reply, text) ((reply).size == strlen(text) && memcmp((reply).bytes, text, strlen(text)) == 0)

TEST(answers_of_both_generations_are_accepted)
{
    struct kin__challenge_message reply;
    CHECK_RC(answer("", answers[1].mac, false, &reply), 0);
    CHECK(SAYS(reply, "#WELCOME#"));
    CHECK_RC(answer("{sha256}", answers[2].mac, false, &reply), 0);
    CHECK(SAYS(reply, "#WELCOME#"));
    CHECK_RC(answer("{sha256}", answers[2].mac, true, &reply), 0);
    CHECK(SAYS(reply, "#WELCOME#"));
}

TEST(wrong_answers_are_refused)
{
    struct kin__challenge_message reply;
    const char *wrong[][2] = {
        {"", ""},
        {"{sha256}", ""},
        {"{sha1}", "0000000000000000000000000000000000000000"},
        {"", answers[2].mac},
        {"{md5}", answers[2].mac},
        {"{sha256}", "ee2b4cd766c1e0f5eb564525d250361f729d00e3948c83c5651d1cefdb97de"},
        {"{sha256}", "ee2b4cd766c1e0f5eb564525d250361f729d00e3948c83c5651d1cefdb97de3100"},
        {"{sha256}", "ee2b4cd766c1e0f5eb564525d250361f729d00e3948c83c5651d1cefdb97de30"},
        {"", "1b373176a84c1b044d9ba09795b53791"},
        {"#WELCOME#", ""},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("answer %s %s", wrong[i][0], wrong[i][1]);
        CHECK_RC(answer(wrong[i][0], wrong[i][1], false, &reply), KIN_EAUTHENTICATION);
        CHECK(SAYS(reply, "#FAILURE#"));
    }
}

TEST(md5_can_be_refused)
{
    struct kin__challenge_message reply;
    uint8_t message[100];
    CHECK_RC(answer("", answers[1].mac, true, &reply), KIN_EAUTHENTICATION);
    CHECK(SAYS(reply, "#FAILURE#"));
    struct kin__challenge connects = side(KIN__CHALLENGE_CONNECTS, "abc");
    connects.refuse_md5 = true;
    CHECK_RC(kin__challenge_begin(&connects, &reply), 0);
    CHECK_RC(kin__challenge_step(&connects, message, challenge_of(message, "#CHALLENGE#", 0), &reply),
             -EOPNOTSUPP);
    CHECK_EQ(reply.size, 0);
}

/* ---- nonsense -------------------------------------------------------------------------------------- */

TEST(what_is_no_challenge_is_refused_without_a_word)
{
    const char *nonsense[] = {"",
                              "#CHALLENGE#",
                              "#CHALLENGE",
                              "#WELCOME#",
                              "#FAILURE#",
                              "GET / HTTP/1.1\r\n",
                              "#CHALLENGE#too short",
                              "#CHALLENGE#{sha256}short",
                              "#CHALLENGE#{sha1}0123456789012345678901234567890123456789",
                              "#CHALLENGE#0123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        struct kin__challenge_message reply;
        struct kin__challenge connects = side(KIN__CHALLENGE_CONNECTS, "abc");
        test_context("message \"%s\"", nonsense[i]);
        CHECK_RC(kin__challenge_begin(&connects, &reply), 0);
        CHECK_RC(kin__challenge_step(&connects, nonsense[i], strlen(nonsense[i]), &reply), KIN_EPROTOCOL);
        CHECK_EQ(reply.size, 0);
        /* Having refused, it listens to nothing any more. */
        CHECK_RC(kin__challenge_step(&connects, nonsense[i], strlen(nonsense[i]), &reply), KIN_EPROTOCOL);
        CHECK_EQ(reply.size, 0);
    }
}

TEST(long_messages_are_refused)
{
    static const uint8_t message[KIN__CHALLENGE_MOST + 1];
    struct kin__challenge_message reply;
    struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, "abc");
    CHECK_RC(kin__challenge_begin(&accepts, &reply), 0);
    CHECK_RC(kin__challenge_step(&accepts, message, sizeof message, &reply), -EMSGSIZE);
}

TEST(no_message_comes_twice)
{
    struct kin__challenge_message first, second;
    struct kin__challenge a = side(KIN__CHALLENGE_ACCEPTS, "abc"), b = side(KIN__CHALLENGE_ACCEPTS, "abc");
    CHECK_RC(kin__challenge_begin(&a, &first), 0);
    CHECK_RC(kin__challenge_begin(&b, &second), 0);
    CHECK_EQ(first.size, second.size);
    CHECK_NE(memcmp(first.bytes, second.bytes, first.size), 0);
}

/* ---- attacks by who has heard others, and has no key --------------------------------------------------- */

/* Begins, and hears a message. */
static int hear(struct kin__challenge *side, const struct kin__challenge_message *message,
                struct kin__challenge_message *reply)
{
    struct kin__challenge_message first;
    CHECK_RC(kin__challenge_begin(side, &first), 0);
    return kin__challenge_step(side, message->bytes, message->size, reply);
}

TEST(an_answer_is_good_for_one_connection)
{
    struct kin__challenge_message posed, answer, reply;
    struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, "abc"),
                          connects = side(KIN__CHALLENGE_CONNECTS, "abc"),
                          again = side(KIN__CHALLENGE_ACCEPTS, "abc");
    CHECK_RC(kin__challenge_begin(&accepts, &posed), 0);
    CHECK_RC(hear(&connects, &posed, &answer), 0);
    CHECK_RC(kin__challenge_step(&accepts, answer.bytes, answer.size, &reply), 0);
    CHECK_RC(hear(&again, &answer, &reply), KIN_EAUTHENTICATION);
    CHECK(SAYS(reply, "#FAILURE#"));
}

TEST(what_a_listener_says_sent_back_is_refused)
{
    struct kin__challenge_message posed, reply;
    for (size_t skipped = 0; skipped <= strlen("#CHALLENGE#{sha256}"); skipped++) {
        struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, "abc");
        CHECK_RC(kin__challenge_begin(&accepts, &posed), 0);
        CHECK_RC(kin__challenge_step(&accepts, posed.bytes + skipped, posed.size - skipped, &reply),
                 KIN_EAUTHENTICATION);
        CHECK(SAYS(reply, "#FAILURE#"));
    }
    /* It proves nothing, and asks nothing, before the other side has proved itself. */
    struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, "abc"),
                          other = side(KIN__CHALLENGE_ACCEPTS, "abc");
    CHECK_RC(kin__challenge_begin(&accepts, &posed), 0);
    CHECK_RC(hear(&other, &posed, &reply), KIN_EAUTHENTICATION);
    CHECK(SAYS(reply, "#FAILURE#"));
}

/* Two connect to somebody who has no key, and has the one answer what the other asks. */
TEST(a_challenge_of_one_who_connects_is_not_answered_by_another)
{
    static const struct kin__challenge_message welcome = {9, "#WELCOME#"};
    struct kin__challenge_message posed, answer, reply;
    struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, "abc"),
                          one = side(KIN__CHALLENGE_CONNECTS, "abc"),
                          other = side(KIN__CHALLENGE_CONNECTS, "abc"),
                          stranger = side(KIN__CHALLENGE_CONNECTS, "another key");
    CHECK_RC(kin__challenge_begin(&accepts, &posed), 0);
    CHECK_RC(hear(&one, &posed, &answer), 0);
    CHECK_RC(kin__challenge_step(&one, welcome.bytes, welcome.size, &posed), 0);
    CHECK_RC(hear(&other, &posed, &answer), KIN_EAUTHENTICATION);
    CHECK_EQ(answer.size, 0);
    /* For who has not the key it is a challenge as others are; and one with another digest, whose answer is of no
     * use, too. */
    CHECK_RC(hear(&stranger, &posed, &answer), 0);
    CHECK_RC(kin__challenge_step(&one, answer.bytes, answer.size, &reply), KIN_EAUTHENTICATION);
    memcpy(posed.bytes + strlen("#CHALLENGE#"), "{sha384}", 8);
    other = side(KIN__CHALLENGE_CONNECTS, "abc");
    CHECK_RC(hear(&other, &posed, &answer), 0);
}

TEST(messages_in_another_order_are_refused)
{
    static const struct kin__challenge_message others[] = {{9, "#WELCOME#"}, {9, "#FAILURE#"}, {0, ""}};
    for (int i = 0; i < 3; i++) {
        struct kin__challenge_message reply, first;
        struct kin__challenge accepts = side(KIN__CHALLENGE_ACCEPTS, "abc"),
                              connects = side(KIN__CHALLENGE_CONNECTS, "abc");
        CHECK_RC(hear(&accepts, &others[i], &reply), KIN_EAUTHENTICATION);
        CHECK_RC(hear(&connects, &others[i], &reply), KIN_EPROTOCOL);
        /* A second challenge instead of the welcome; the second would be an oracle. */
        accepts = side(KIN__CHALLENGE_ACCEPTS, "abc");
        connects = side(KIN__CHALLENGE_CONNECTS, "abc");
        CHECK_RC(kin__challenge_begin(&accepts, &first), 0);
        CHECK_RC(hear(&connects, &first, &reply), 0);
        CHECK_RC(kin__challenge_step(&connects, first.bytes, first.size, &reply), KIN_EPROTOCOL);
        CHECK_EQ(reply.size, 0);
    }
}
