/* client.c: connecting to a listener, and proving to each other that both know the key. */
#include <kin/listener.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/address.h"
#include "ipc/challenge.h"
#include "ipc/connection.h"
#include "os/os.h"

/* The addresses are tried in turn; the error is that of the last. */
static int connect_to(const char *text, kin_deadline deadline)
{
    struct kin__address addresses[KIN__ADDRESSES_MOST];
    int count = kin__address_parse(text, false, addresses), rc = count;
    for (int i = 0; i < count; i++) {
        rc = kin__os_connect(&addresses[i], deadline);
        if (rc >= 0) break;
    }
    return rc;
}

static int authenticate(kin_connection *connection, const kin_client_options *options, kin_deadline deadline)
{
    struct kin__challenge challenge = {.role = KIN__CHALLENGE_CONNECTS,
                                       .key = options->key,
                                       .key_size = options->key_size,
                                       .refuse_md5 = options->refuse_md5};
    struct kin__challenge_message reply;
    uint8_t message[KIN__CHALLENGE_MOST];
    int rc = kin__os_random(challenge.nonce, sizeof challenge.nonce);
    if (rc == 0) rc = kin__challenge_begin(&challenge, &reply);
    while (rc == 0) {
        long size = kin__framed_receive(connection, message, sizeof message, deadline);
        if (size < 0) return size == KIN_ETOOSMALL ? KIN_EPROTOCOL : (int)size;
        rc = kin__challenge_step(&challenge, message, (size_t)size, &reply);
        if (reply.size == 0) continue;
        int sent = kin__framed_send(connection, reply.bytes, reply.size, deadline);
        if (sent < 0 && rc >= 0) return sent;
    }
    return rc < 0 ? rc : 0;
}

int kin_client_open_sized(kin_connection **connection, const char *address, const kin_client_options *options,
                          size_t size, kin_deadline deadline)
{
    kin_client_options given = {0};
    kin_connection *made = NULL;
    if (connection == NULL || address == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (given.key == NULL && given.key_size > 0) return -EINVAL;
    int descriptor = connect_to(address, deadline);
    if (descriptor < 0) return descriptor;
    int rc = kin_connection_open(&made, descriptor);
    if (rc < 0) {
        kin__os_close(descriptor);
        return rc;
    }
    if (given.key != NULL) rc = authenticate(made, &given, deadline);
    if (rc < 0) {
        kin_connection_close(made);
        return rc;
    }
    *connection = made;
    return 0;
}
