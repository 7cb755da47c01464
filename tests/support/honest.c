/* honest.c: see honest.h. */
#include "honest.h"

#include <pthread.h>

#include "test.h"

#define DEFAULT_MS 10000

struct client {
    pthread_t thread;
    const char *address;
    const kin_client_options *options;
    double least; /* seconds that it has at least */
    kin_connection *connection;
};

/* The listener takes a client for let in, or drops it, when the client has done its part already: it says which. */
static bool is_let_in(struct client *client)
{
    char byte;
    if (kin_client_open(&client->connection, client->address, client->options, KIN_FOREVER) < 0) return false;
    if (kin_connection_recv(client->connection, &byte, 1, KIN_FOREVER) == 1) return true;
    CHECK_OK(kin_connection_close(client->connection));
    return false;
}

static void *run_client(void *context)
{
    struct client *client = context;
    for (;;) {
        double begun = test_seconds();
        if (is_let_in(client)) return NULL;
        CHECK_GE(test_seconds() - begun, client->least);
    }
}

struct honest_pair honest_meet(kin_listener *listener, const kin_client_options *options,
                               int64_t handshake_ms)
{
    struct honest_pair pair = {NULL, NULL};
    struct client client = {.address = kin_listener_address(listener),
                            .options = options,
                            .least = (double)(handshake_ms > 0 ? handshake_ms : DEFAULT_MS) / 1e3};
    CHECK_EQ(pthread_create(&client.thread, NULL, run_client, &client), 0);
    CHECK_RC(kin_listener_accept(listener, &pair.here, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_send(pair.here, "", 1, KIN_FOREVER), 0);
    CHECK_EQ(pthread_join(client.thread, NULL), 0);
    pair.there = client.connection;
    return pair;
}
