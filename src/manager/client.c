/* client.c: see client.h. */
#include "manager/client.h"

#include <errno.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/object.h>
#include <kin/pickle.h>

#include "manager/wire.h"

/* What a connection keeps for the next message, and reads into at first. */
#define KEPT ((size_t)16 * 1024)

/* A manager whose system does not answer for so long is gone. */
#define SILENCE_S 60

void kin__client_close(struct kin__client *client)
{
    kin_connection_close(client->connection);
    client->connection = NULL;
    client->kin = false;
    kin_buffer_free(&client->bytes);
    kin_value_clear(&client->error);
}

int kin__client_connect(struct kin__client *client, const char *address, const void *key, size_t key_size,
                        kin_deadline deadline)
{
    kin_client_options options = {.key = key, .key_size = key_size, .silence_s = SILENCE_S};
    kin__client_close(client);
    int rc = kin_client_open(&client->connection, address, &options, deadline);
    /* Whoever lets us connect and says nothing more has no use for us. */
    return rc == KIN_ECLOSED ? -ECONNRESET : rc;
}

int kin__client_accept(struct kin__client *client, kin_deadline deadline)
{
    struct kin__arguments arguments = {.positional = kin_value_build("(s)", KIN__WIRE_CLIENT)};
    kin_value answer;
    int rc = kin__client_call(client, NULL, "accept_connection", arguments, &answer, deadline);
    if (rc < 0) return rc;
    const char *text = kin_value_get_str(&answer, NULL);
    client->kin = text != NULL && strcmp(text, KIN__WIRE_CLIENT) == 0;
    kin_value_clear(&answer);
    return 0;
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static int code_of(const kin_value *exception)
{
    const char *name = kin_value_class_name(exception), *module = kin_value_class_module(exception);
    /* It is shutting down. */
    if (name != NULL && strcmp(name, "EOFError") == 0) return -ECONNRESET;
    if (name == NULL || module == NULL || (strcmp(module, "queue") != 0 && strcmp(module, "_queue") != 0))
        return KIN_EREMOTE;
    if (strcmp(name, "Empty") == 0) return KIN_EMPTY;
    if (strcmp(name, "Full") == 0) return KIN_FULL;
    return strcmp(name, "ShutDown") == 0 ? KIN_ECLOSED : KIN_EREMOTE;
}

/* What the server says went wrong, besides exceptions of methods, is a text. */
static kin_value remote_error(const kin_value *text)
{
    return kin_value_error("multiprocessing.managers.RemoteError",
                           kin_value_build("(v)", kin_value_ref(text)));
}

static kin_value proxy_of(const kin_value *pair)
{
    const kin_value *exposed = kin_value_at(pair, 0), *token = kin_value_at(pair, 1);
    if (exposed == NULL || token == NULL) return kin_value_failed(KIN_EPROTOCOL);
    return kin_value_proxy("multiprocessing.managers.AutoProxy", kin_value_ref(token),
                           kin_value_ref(exposed));
}

static int take_answer(struct kin__client *client, const kin_value *answer, kin_value *result)
{
    const char *kind = kin_value_get_str(kin_value_at(answer, 0), NULL);
    const kin_value *value = kin_value_at(answer, 1);
    if (kind == NULL || value == NULL) return KIN_EPROTOCOL;
    if (strcmp(kind, KIN__ANSWER_RETURN) == 0) {
        *result = kin_value_ref(value);
        return 0;
    }
    if (strcmp(kind, KIN__ANSWER_PROXY) == 0) {
        *result = proxy_of(value);
        return kin_value_error_code(result);
    }
    bool raised = strcmp(kind, KIN__ANSWER_ERROR) == 0;
    client->error = raised ? kin_value_ref(value) : remote_error(value);
    return raised ? code_of(&client->error) : KIN_EREMOTE;
}

void kin__arguments_clear(struct kin__arguments *arguments)
{
    kin_value_clear(&arguments->positional);
    kin_value_clear(&arguments->keywords);
}

/* (ident, method, arguments, keywords); uses the arguments up. */
static kin_value request(const char *ident, const char *method, struct kin__arguments arguments)
{
    kin_value positional = arguments.positional, keywords = arguments.keywords;
    if (kin_value_kind(&positional) == KIN_VALUE_NONE) positional = kin_value_tuple(NULL, 0);
    if (kin_value_kind(&keywords) == KIN_VALUE_NONE) keywords = kin_value_dict();
    return kin_value_build("(ssvv)", ident, method, positional, keywords);
}

/* Receives a message into `bytes`. */
static int receive(struct kin__client *client, kin_deadline deadline)
{
    kin_buffer *bytes = &client->bytes;
    int rc = kin_buffer_reserve(bytes, KEPT);
    while (rc == 0) {
        long size = kin_connection_recv(client->connection, bytes->data, bytes->capacity, deadline);
        if (size >= 0) {
            bytes->size = (size_t)size;
            return 0;
        }
        if (size != KIN_ETOOSMALL) return (int)size;
        rc = kin_buffer_reserve(bytes, kin_needed_size());
    }
    return rc;
}

/* Sends what is in `bytes`, and takes the answer.  Whatever fails before that is whole ends the
 * connection, for the next answer would be taken for this one. */
static int exchange(struct kin__client *client, kin_value *answer, kin_deadline deadline)
{
    int rc = kin_connection_send(client->connection, client->bytes.data, client->bytes.size, deadline);
    client->bytes.size = 0;
    if (rc == 0) rc = receive(client, deadline);
    if (rc < 0) {
        kin__client_close(client);
        return rc == KIN_ECLOSED || rc == KIN_ETRUNCATED ? -ECONNRESET : rc;
    }
    rc = kin_pickle_loads(answer, client->bytes.data, client->bytes.size,
                          &(kin_pickle_options){.keep_unknown = true});
    client->bytes.size = 0;
    if (client->bytes.capacity > 4 * KEPT) kin_buffer_free(&client->bytes);
    return rc;
}

int kin__client_call(struct kin__client *client, const char *ident, const char *method,
                     struct kin__arguments arguments, kin_value *result, kin_deadline deadline)
{
    kin_value message = request(ident, method, arguments), answer = kin_value_none();
    *result = kin_value_none();
    kin_value_clear(&client->error);
    int rc = kin_value_error_code(&message);
    if (rc == 0) rc = kin_pickle_dumps(&message, &client->bytes);
    kin_value_clear(&message);
    if (rc < 0) return rc;
    rc = exchange(client, &answer, deadline);
    if (rc == 0) rc = take_answer(client, &answer, result);
    kin_value_clear(&answer);
    return rc;
}
