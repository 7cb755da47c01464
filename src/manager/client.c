/* client.c: see client.h. */
#include "manager/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/object.h>
#include <kin/pickle.h>

#include "ipc/connection.h"
#include "manager/wire.h"
#include "os/network.h"
#include "os/os.h"
#include "os/suspend.h"

/* Between two attempts to connect again. */
#define PAUSE_NS      INT64_C(5000000)
#define PAUSE_MOST_NS INT64_C(200000000)

/* The number of one that is waited for no more. */
#define NO_REQUEST UINT64_MAX

static void drop_connection(struct kin__client *client)
{
    kin_connection *connection = client->connection;
    kin__breaker_let_go(client->breaker);
    client->connection = NULL;
    kin_connection_close(connection);
}

/* After that the server cannot tell it from another one. */
void kin__client_close(struct kin__client *client)
{
    drop_connection(client);
    kin_buffer_free(&client->request);
    kin_buffer_free(&client->bytes);
    kin_value_clear(&client->error);
    *client = (struct kin__client){.breaker = client->breaker,
                                   .gifts = client->gifts,
                                   .resumed = client->resumed,
                                   .patient = client->patient};
}

struct kin__client kin__client_take(struct kin__client *client)
{
    struct kin__client taken = *client;
    kin__breaker_let_go(client->breaker);
    taken.breaker = NULL;
    taken.error = kin_value_none();
    client->connection = NULL;
    client->request = client->bytes = (kin_buffer){0};
    client->grace_ns = 0;
    client->owed = client->forsaken = false;
    return taken;
}

static int open_connection(struct kin__client *client, kin_deadline deadline)
{
    return kin__client_gone(
        kin__client_open(&client->connection, client->address, client->options, client->breaker, deadline));
}

int kin__client_connect(struct kin__client *client, const char *address, const kin_client_options *options,
                        kin_deadline deadline)
{
    kin__client_close(client);
    client->address = address;
    client->options = options;
    return open_connection(client, deadline);
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
        const char *ident = kin_value_token_id(result);
        if (ident != NULL && client->gifts != NULL && !client->kin) kin__gift_note(client->gifts, ident);
        return kin_value_error_code(result);
    }
    bool raised = strcmp(kind, KIN__ANSWER_ERROR) == 0;
    kin_value_clear(&client->error);
    client->error = raised ? kin_value_ref(value) : remote_error(value);
    return raised ? code_of(&client->error) : KIN_EREMOTE;
}

void kin__arguments_clear(struct kin__arguments *arguments)
{
    kin_value_clear(&arguments->positional);
    kin_value_clear(&arguments->keywords);
}

struct kin__arguments kin__arguments_of(kin_value given)
{
    bool keywords = kin_value_kind(&given) == KIN_VALUE_DICT;
    return (struct kin__arguments){.positional = keywords ? kin_value_none() : given,
                                   .keywords = keywords ? given : kin_value_none()};
}

kin_value kin__request(const char *ident, const char *method, struct kin__arguments arguments)
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
    if (client->connection == NULL) return -ECONNRESET;
    int rc = kin_buffer_reserve(bytes, KIN__CLIENT_KEPT);
    while (rc == 0) {
        long size = kin_connection_recv(client->connection, bytes->data, bytes->capacity, deadline);
        if (size >= 0) {
            bytes->size = (size_t)size;
            return 0;
        }
        if (size != KIN_ETOOSMALL) return kin__client_gone(size);
        rc = kin_buffer_reserve(bytes, kin_needed_size());
    }
    return rc;
}

/* Sends a request, and takes its answer into `bytes`. */
static int exchange(struct kin__client *client, const kin_buffer *request, kin_deadline deadline)
{
    int rc = kin_connection_send(client->connection, request->data, request->size, deadline);
    client->sent = rc == 0;
    return rc == 0 ? receive(client, deadline) : rc;
}

int kin__client_read(struct kin__client *client, const void *message, size_t size, kin_value *result)
{
    kin_value answer = kin_value_none();
    kin_pickle_fault fault = {0};
    int rc = kin_pickle_loads(&answer, message, size,
                              &(kin_pickle_options){.keep_unknown = true, .fault = &fault});
    if (rc == 0)
        rc = take_answer(client, &answer, result);
    else if (rc == KIN_EREFUSED || rc == KIN_EPICKLE) {
        kin_value_clear(&client->error);
        client->error = kin_value_errorf("_pickle.UnpicklingError", "%s", fault.text);
    }
    kin_value_clear(&answer);
    return rc;
}

/* Reads the answer that was received. */
static int read_answer(struct kin__client *client, kin_value *result)
{
    int rc = kin__client_read(client, client->bytes.data, client->bytes.size, result);
    kin__client_trim(&client->bytes);
    return rc;
}

/* ---- who we are ------------------------------------------------------------------------------------- */

/* A number that all clients of this process have in common, and with great likelihood those of no other. */
static int process_number(uint64_t *number)
{
    static _Atomic uint64_t first; /* of the process that asked first, whose children inherit it */
    uint64_t known = atomic_load_explicit(&first, memory_order_relaxed), made = 0;
    if (known == 0) {
        int rc = kin__os_random(&made, sizeof made);
        if (rc < 0) return rc;
        made |= 1;
        if (atomic_compare_exchange_strong_explicit(&first, &known, made, memory_order_relaxed,
                                                    memory_order_relaxed))
            known = made;
    }
    *number = known + (uint64_t)kin__os_pid() * 0x9e3779b97f4a7c15U;
    return 0;
}

/* The first half says which process this is, so that what one of its connections was lent another one can take
 * over. */
static int invent_name(struct kin__client *client)
{
    uint64_t number[2];
    int rc = process_number(&number[0]);
    if (rc == 0) rc = kin__os_random(&number[1], sizeof number[1]);
    if (rc < 0) return rc;
    snprintf(client->name, sizeof client->name, "%016" PRIx64 "%016" PRIx64, number[0], number[1]);
    return 0;
}

/* Tells the server which client this is, and what it waits for. */
static int tell(struct kin__client *client, uint64_t number, kin_deadline deadline)
{
    char text[KIN__CLIENT_NAME_SIZE + 40];
    const char *word = NULL;
    kin_buffer bytes = {0};
    kin_value result = kin_value_none();
    snprintf(text, sizeof text, KIN__WIRE_CLIENT " %s %" PRIu64, client->name, number);
    struct kin__arguments arguments = {.positional = kin_value_build("(s)", text)};
    kin_value message = kin__request(NULL, "accept_connection", arguments);
    int rc = kin_value_error_code(&message);
    if (rc == 0) rc = kin_pickle_dumps(&message, &bytes);
    kin_value_clear(&message);
    if (rc == 0) rc = exchange(client, &bytes, deadline);
    kin_buffer_free(&bytes);
    if (rc == 0) rc = read_answer(client, &result);
    if (rc < 0) return rc;
    /* A server of Python's answers None. */
    client->grace_ns = 0;
    if (kin_value_kind(&result) == KIN_VALUE_TUPLE) {
        const kin_value *grace = kin_value_at(&result, 1), *answered = kin_value_at(&result, 2);
        word = kin_value_get_str(kin_value_at(&result, 0), NULL);
        if (kin_value_get_int(grace, &client->grace_ns) < 0 ||
            kin_value_get_int(answered, &client->answered) < 0)
            word = NULL;
    } else {
        word = kin_value_get_str(&result, NULL);
    }
    client->kin = word != NULL && strcmp(word, KIN__WIRE_CLIENT) == 0;
    kin_value_clear(&result);
    return 0;
}

int kin__client_accept(struct kin__client *client, kin_deadline deadline)
{
    int rc = invent_name(client);
    if (rc == 0) rc = tell(client, 0, deadline);
    if (rc < 0) kin__client_close(client);
    return rc;
}

static int say_leave(struct kin__client *client, kin_deadline deadline)
{
    kin_buffer bytes = {0};
    kin_value message = kin__request(NULL, "leave", (struct kin__arguments){0});
    int rc = kin_value_error_code(&message);
    if (rc == 0) rc = kin_pickle_dumps(&message, &bytes);
    if (rc == 0) rc = kin_connection_send(client->connection, bytes.data, bytes.size, deadline);
    kin_value_clear(&message);
    kin_buffer_free(&bytes);
    return rc;
}

void kin__client_leave(struct kin__client *client, kin_deadline deadline)
{
    if (client->grace_ns <= 0) return;
    kin__breaker_let_go(client->breaker);
    client->breaker = NULL;
    bool stands = client->connection != NULL && !kin__os_hung_up(client->connection->handle.descriptor);
    bool waits = deadline > KIN_NOW;
    /* An answer that nobody has read resets the connection when it is closed, and with it what was said last. */
    if (stands && !(client->owed && waits) && say_leave(client, KIN_NOW) == 0) return;
    if (!waits) return;
    /* The server keeps for us what we have, and hears from whoever comes back that it does not. */
    drop_connection(client);
    int rc = open_connection(client, deadline);
    if (rc == 0) rc = tell(client, NO_REQUEST, deadline);
    if (rc == 0 && client->grace_ns > 0) rc = say_leave(client, deadline);
    if (rc == 0) receive(client, deadline);
}

void kin__client_end(struct kin__client *client, kin_deadline deadline)
{
    kin__shield(1);
    kin__client_leave(client, deadline);
    kin__shield(-1);
    kin__client_close(client);
}

/* ---- coming back -------------------------------------------------------------------------------------- */

/* Is that an error of a connection that another one may not have? */
static bool may_pass(const struct kin__client *client, int rc)
{
    static const int codes[] = {-ECONNRESET,  -EPIPE,    -ETIMEDOUT, -EHOSTUNREACH,
                                -ENETUNREACH, -ENETDOWN, KIN_ESILENT};
    if (kin__breaker_is_broken(client->breaker)) return false;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (rc == codes[i]) return true;
    }
    /* Nobody listens: on this machine the server has ended; elsewhere perhaps what is in between has. */
    return rc == -ECONNREFUSED && strncmp(client->address, "unix:", strlen("unix:")) != 0;
}

/* Why it could not be connected again.  -ETIMEDOUT says that the call's time is over, and what we have is ours still;
 * where it is an attempt's, which ran into the end of the time of grace, the server has given that away. */
static int why_not(int rc, kin_deadline deadline)
{
    return rc == -ETIMEDOUT && kin_clock() < deadline ? -ECONNRESET : rc;
}

/* Connects again, until the server knows us, the time of grace is over or the call's is: -ETIMEDOUT. */
static int connect_again(struct kin__client *client, kin_deadline deadline)
{
    kin_deadline grace = kin__later(kin_clock(), client->grace_ns), end = deadline < grace ? deadline : grace;
    int64_t pause = PAUSE_NS;
    for (;;) {
        drop_connection(client);
        int rc = open_connection(client, end);
        if (rc == 0) rc = tell(client, client->number, end);
        if (rc == 0) break;
        drop_connection(client);
        if (!may_pass(client, rc)) return rc;
        kin_deadline next = kin__later(kin_clock(), pause);
        if (next >= grace) return why_not(rc, deadline);
        if (kin__os_poll(NULL, 0, next < end ? next : end) == -ECANCELED) return -ECANCELED;
        if (kin_clock() >= end) return end == deadline ? -ETIMEDOUT : why_not(rc, deadline);
        pause = pause < PAUSE_MOST_NS ? 2 * pause : pause;
    }
    client->resumed = true;
    return client->grace_ns > 0 && client->answered >= 0 ? 0 : -ECONNRESET;
}

/* The request that is in work goes on over another connection: its answer comes again, or it is sent again, for the
 * server has not done it.  1: it has not, and need not, for its caller has given it up. */
static int go_on(struct kin__client *client, kin_deadline deadline)
{
    uint64_t answered = (uint64_t)client->answered;
    client->sent = answered >= client->number;
    /* More than the first is done where there were several, which have all been given up. */
    if (client->sent ? answered > client->number && !client->forsaken : answered + 1 != client->number)
        return KIN_EPROTOCOL;
    if (!client->forsaken)
        return client->sent ? receive(client, deadline) : exchange(client, &client->request, deadline);
    if (!client->sent) {
        client->number--;
        return 1;
    }
    /* It may have taken something that nobody knows of: the server gets all back, and our caller is told. */
    kin__client_leave(client, KIN_NOW);
    client->grace_ns = 0;
    return -ECONNRESET;
}

/* A call is over before its answer is there.  Where the connection stays, its answer is owed, for the next one
 * would be taken for this one; what was not sent was not asked for.  What was sent in part ends the connection,
 * and all that it had unless the client may come back: the next call does. */
static int give_up(struct kin__client *client, int rc)
{
    bool broken = client->connection == NULL || (rc != -ETIMEDOUT && rc != -ECANCELED);
    if (!broken && client->patient && client->connection->torn && client->grace_ns <= 0) {
        broken = true;
        rc = -EPIPE;
    }
    if (kin__breaker_is_broken(client->breaker)) {
        kin__client_end(client, kin_in_ms(KIN__LEAVE_MS));
    } else if (broken || !client->patient) {
        kin__client_leave(client, KIN_NOW);
        kin__client_close(client);
    } else if (client->sent) {
        client->owed = true;
    } else {
        client->number--;
    }
    return rc;
}

/* The call is over (`rc`: why) while its connection is broken, or was and the server's time has begun anew: the
 * client keeps its name, and the next call comes back with it.  What only the owner's calls do is done all the
 * same. */
static int put_off(struct kin__client *client, int rc)
{
    drop_connection(client);
    client->forsaken = client->forsaken || !client->patient;
    client->owed = true;
    return rc;
}

bool kin__client_comes_back(const struct kin__client *client, int rc, kin_deadline deadline, bool *broke)
{
    if (rc >= 0 || client->grace_ns <= 0 || !may_pass(client, rc)) return false;
    bool in_time = kin_clock() < deadline;
    *broke = *broke || rc != -ETIMEDOUT || in_time;
    return in_time;
}

int kin__client_come_back(struct kin__client *client, kin_deadline deadline)
{
    /* One who is patient has more to lose than this call. */
    if (client->patient) kin__shield(1);
    int rc = connect_again(client, deadline);
    if (client->patient) kin__shield(-1);
    return rc;
}

int kin__client_fail(struct kin__client *client, int rc, bool broke, kin_deadline deadline)
{
    if (broke && rc == -ECANCELED) return put_off(client, rc);
    if (broke && may_pass(client, rc) && kin_clock() >= deadline) return put_off(client, -ETIMEDOUT);
    return give_up(client, rc);
}

/* Goes on with the request in work, which came to `rc`, until its answer is there; 1: see go_on. */
static int persist(struct kin__client *client, int rc, kin_deadline deadline)
{
    bool broke = false;
    while (kin__client_comes_back(client, rc, deadline, &broke)) {
        rc = kin__client_come_back(client, deadline);
        if (rc < 0) break;
        rc = go_on(client, deadline);
    }
    if (rc < 0) return kin__client_fail(client, rc, broke, deadline);
    client->forsaken = false;
    return rc;
}

/* The answer is there: what does it say? */
static int finish(struct kin__client *client, kin_value *result)
{
    kin__client_trim(&client->request);
    return read_answer(client, result);
}

int kin__client_call(struct kin__client *client, const char *ident, const char *method,
                     struct kin__arguments arguments, kin_value *result, kin_deadline deadline)
{
    kin_value message = kin__request(ident, method, arguments);
    *result = kin_value_none();
    kin_value_clear(&client->error);
    int rc = kin_value_error_code(&message);
    client->request.size = 0;
    if (rc == 0) rc = kin_pickle_dumps(&message, &client->request);
    kin_value_clear(&message);
    if (rc < 0) return rc;
    client->number++;
    rc = persist(client, exchange(client, &client->request, deadline), deadline);
    return rc < 0 ? rc : finish(client, result);
}

int kin__client_decref(struct kin__client *client, const char *ident, kin_deadline deadline)
{
    kin_value ignored;
    struct kin__arguments arguments = {.positional = kin_value_build("(s)", ident)};
    int rc = kin__client_call(client, NULL, "decref", arguments, &ignored, deadline);
    kin_value_clear(&ignored);
    return rc;
}

int kin__client_settle(struct kin__client *client, kin_value *result, kin_deadline deadline)
{
    *result = kin_value_none();
    kin_value_clear(&client->error);
    client->owed = false;
    int rc = persist(client, receive(client, deadline), deadline);
    return rc != 0 ? rc : finish(client, result);
}

int kin__client_request(const struct kin__client *client, kin_value *request, const char **method,
                        const kin_value **arguments)
{
    const kin_value *ident, *keywords;
    int rc = kin_pickle_loads(request, client->request.data, client->request.size,
                              &(kin_pickle_options){.keep_unknown = true});
    return rc < 0 ? rc : kin_value_parse(request, "(vsvv)", &ident, method, arguments, &keywords);
}
