/* client.c: connecting to a listener, and proving to each other that both know the key. */
#include <kin/listener.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/address.h"
#include "ipc/breaker.h"
#include "ipc/challenge.h"
#include "ipc/connection.h"
#include "ipc/secure.h"
#include "os/os.h"

/* One who connects looks so often whether it is to stop. */
#define LOOK_MS 100

/* The end of an equal part of the time that is left. */
static kin_deadline share_of(kin_deadline deadline, int parts)
{
    kin_deadline now = kin__os_clock();
    return deadline == KIN_FOREVER || deadline <= now ? deadline : now + (deadline - now) / parts;
}

/* The breaker holds the socket once it is connected. */
static int connect_breakable(int socket, const struct kin__address *address, struct kin__breaker *breaker,
                             kin_deadline deadline)
{
    int rc;
    do {
        kin_deadline look = kin_in_ms(LOOK_MS);
        rc = kin__os_connect(socket, address, deadline < look ? deadline : look);
    } while (rc == -ETIMEDOUT && kin__os_clock() < deadline && !kin__breaker_is_broken(breaker));
    if (rc == 0) rc = kin__breaker_hold(breaker, socket);
    return rc < 0 && kin__breaker_is_broken(breaker) ? KIN_ECLOSED : rc;
}

/* The addresses are tried in turn, so that one that says nothing leaves time for the others; the error is that
 * of the last. */
static int connect_to(struct kin__handle *socket, const char *text, bool *tls, struct kin__breaker *breaker,
                      kin_deadline deadline)
{
    struct kin__address addresses[KIN__ADDRESSES_MOST];
    int count = kin__address_parse(text, false, addresses, tls, deadline), rc = count;
    for (int i = 0; i < count; i++) {
        kin__handles_enter();
        rc = kin__os_socket_to(&addresses[i]);
        if (rc >= 0) kin__handle_add(socket, rc, true);
        kin__handles_leave();
        if (rc < 0) continue;
        kin_deadline end = share_of(deadline, count - i);
        rc = breaker == NULL ? kin__os_connect(socket->descriptor, &addresses[i], end)
                             : connect_breakable(socket->descriptor, &addresses[i], breaker, end);
        if (rc == 0) break;
        kin__handle_close(socket);
        if (rc == KIN_ECLOSED) break;
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

static int make_secure(struct kin__secure **secure, const char *address, const kin_client_options *options)
{
    const struct kin__tls_options given = {.certificate = options->certificate,
                                           .private_key = options->private_key,
                                           .authorities = options->authorities,
                                           .system_authorities = options->system_authorities,
                                           .key = options->key,
                                           .key_size = options->key_size};
    struct kin__tls_context *context = NULL;
    char why[KIN__TLS_WHY], host[KIN__HOST_SIZE];
    int rc = kin__tls_context_make(&context, &given, why);
    if (rc < 0) kin__tls_text_set(address, why);
    if (rc == 0) rc = kin__address_host(address, host);
    if (rc == 0)
        rc = kin__secure_make(secure, context, options->server_name != NULL ? options->server_name : host,
                              address);
    if (rc == 0 && kin__tls_by_key(context)) rc = 1;
    kin__tls_context_free(context);
    return rc;
}

/* TLS on a connected socket: 1 if both sides have proved by it that they know the key, else 0. */
static int secure_with(struct kin__secure **secure, int descriptor, const char *address,
                       const kin_client_options *options, kin_deadline deadline)
{
    int by_key = make_secure(secure, address, options);
    int rc = by_key < 0 ? by_key : kin__secure_handshake(*secure, descriptor, deadline);
    return rc < 0 ? rc : by_key;
}

static bool is_absurd(const kin_client_options *options)
{
    return (options->key == NULL && options->key_size > 0) || options->silence_s > KIN__SILENCE_MOST;
}

/* What is wrong with options of TLS, as a sentence, or NULL.  Who gives what only TLS uses must not find that
 * nothing is encrypted. */
static const char *tls_fault(const char *address, const kin_client_options *options)
{
    bool wants_tls = options->certificate != NULL || options->private_key != NULL ||
                     options->authorities != NULL || options->system_authorities ||
                     options->server_name != NULL;
    if (strncmp(address, "tls:", 4) != 0) return wants_tls ? KIN__TLS_UNUSED : NULL;
    return options->private_key != NULL && options->certificate == NULL ? KIN__TLS_NO_CERTIFICATE : NULL;
}

/* What was listed as `socket` becomes the connection's. */
static int take(kin_connection **made, struct kin__handle *socket, struct kin__secure *secure)
{
    kin__handles_enter();
    int rc = kin__connection_take(made, socket->descriptor, secure);
    if (rc == 0) kin__handle_release(socket);
    kin__handles_leave();
    return rc;
}

/* Connects with `socket`, which is in no list afterwards. */
static int open_with(kin_connection **made, struct kin__handle *socket, const char *address,
                     const kin_client_options *options, struct kin__breaker *breaker, kin_deadline deadline)
{
    struct kin__secure *secure = NULL;
    bool tls = false;
    int proved = connect_to(socket, address, &tls, breaker, deadline);
    if (proved < 0) return proved;
    kin__watch_silence(socket->descriptor, options->silence_s);
    if (tls) proved = secure_with(&secure, socket->descriptor, address, options, deadline);
    int rc = proved < 0 ? proved : take(made, socket, secure);
    if (rc < 0) {
        kin__breaker_let_go(breaker);
        kin__handle_close(socket);
        kin__secure_free(secure);
        return rc;
    }
    if (options->key != NULL && proved == 0) rc = authenticate(*made, options, deadline);
    if (rc < 0) {
        kin__breaker_let_go(breaker);
        kin_connection_close(*made);
    }
    return rc;
}

int kin__client_open(kin_connection **connection, const char *address, const kin_client_options *options,
                     struct kin__breaker *breaker, kin_deadline deadline)
{
    kin_connection *made = NULL;
    kin__tls_text_clear();
    if (connection == NULL || address == NULL || is_absurd(options)) return -EINVAL;
    const char *fault = tls_fault(address, options);
    if (fault != NULL) {
        kin__tls_text_set(address, fault);
        return -EINVAL;
    }
    /* Not on the stack: a child forked by another thread meanwhile has it in its list. */
    struct kin__handle *socket = kin__os_calloc(1, sizeof *socket);
    if (socket == NULL) return -ENOMEM;
    int rc = open_with(&made, socket, address, options, breaker, deadline);
    kin__os_free(socket);
    if (rc == 0) *connection = made;
    return rc;
}

int kin_client_open_sized(kin_connection **connection, const char *address, const kin_client_options *options,
                          size_t size, kin_deadline deadline)
{
    kin_client_options given = {0};
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (kin__key_fault(given.key, given.key_size) != NULL) {
        kin__tls_text_clear();
        return -EINVAL;
    }
    return kin__client_open(connection, address, &given, NULL, deadline);
}
