/* test_tls_machine.c: TLS without a socket: in pieces of any size, with keys that change, with bytes that
 * were changed on their way. */
#include "support/test.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/tls.h"

#define KEY .key = "correct horse battery", .key_size = 21

/* What one side has to say goes to the other in pieces. */
static bool carry(struct kin__tls *from, struct kin__tls *to, size_t piece)
{
    char bytes[5000];
    bool any = false;
    size_t size;
    while ((size = kin__tls_drain(from, bytes, piece)) > 0) {
        CHECK_OK(kin__tls_feed(to, bytes, size));
        any = true;
    }
    return any;
}

TEST(the_machine_works_in_pieces_and_changes_keys)
{
    const struct kin__tls_options options[2] = {{.accepts = true, KEY, .update_after = 20000},
                                                {KEY, .update_after = 20000}};
    struct kin__tls_context *contexts[2];
    struct kin__tls *sides[2];
    char why[KIN__TLS_WHY], sent[4000], got[4000], first;
    int done[2] = {0};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin__tls_context_make(&contexts[i], &options[i], why));
        CHECK_OK(kin__tls_make(&sides[i], contexts[i], NULL));
        kin__tls_context_free(contexts[i]);
    }
    while (done[0] == 0 || done[1] == 0)
        for (int i = 0; i < 2; i++) {
            if (done[i] == 0) CHECK_OK(done[i] = kin__tls_handshake(sides[i]));
            carry(sides[i], sides[!i], 1);
        }
    for (unsigned round = 0; round < 40; round++) {
        int from = round & 1;
        memset(sent, (int)round, sizeof sent);
        CHECK_RC(kin__tls_write(sides[from], sent, sizeof sent), (long)sizeof sent);
        CHECK(!kin__tls_readable(sides[!from]));
        CHECK_RC(kin__tls_read(sides[!from], got, sizeof got), -EAGAIN);
        CHECK(carry(sides[from], sides[!from], 1 + round * 100));
        CHECK(kin__tls_readable(sides[!from]));
        CHECK_RC(kin__tls_read(sides[!from], got, sizeof got), (long)sizeof got);
        CHECK_MEM(got, sent, sizeof sent);
    }
    kin__tls_end(sides[0]);
    carry(sides[0], sides[1], 100);
    CHECK(kin__tls_readable(sides[1]));
    CHECK_RC(kin__tls_read(sides[1], &first, 1), 0);
    /* A byte of a record that is not what it was. */
    CHECK_RC(kin__tls_write(sides[1], "abc", 3), 3);
    size_t size = kin__tls_drain(sides[1], got, sizeof got);
    got[size - 1] ^= 1;
    CHECK_OK(kin__tls_feed(sides[0], got, size));
    CHECK_RC(kin__tls_read(sides[0], &first, 1), KIN_ETLS);
    CHECK_STR(kin__tls_why(sides[0]), "decryption failed or bad record mac");
    CHECK_RC(kin__tls_read(sides[0], &first, 1), KIN_ETLS);
    CHECK_RC(kin__tls_write(sides[0], "abc", 3), KIN_ETLS);
    for (int i = 0; i < 2; i++) kin__tls_free(sides[i]);
}
