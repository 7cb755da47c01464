/* managers.h: what tests of managers do again and again.
 *
 *     kin_proxy *list = manager_object(manager, "list", SOON);
 *     CHECK_EQ(proxy_number(list, "__len__", kin_value_none(), SOON), 0);
 *
 * and a client of which the case decides when it asks and when it listens:
 *
 *     client_ask(client, kin_value_none(), "number_of_objects", kin_value_tuple(NULL, 0), SOON);
 *     client_hear(client, &answer, SOON);          // (kind, value), to be cleared */
#ifndef MANAGERS_H
#define MANAGERS_H

#include <kin/connection.h>
#include <kin/container.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/pickle.h>

#include "test.h"

static inline kin_proxy *manager_object(kin_manager *manager, const char *name, kin_deadline deadline)
{
    kin_proxy *proxy = NULL;
    CHECK_OK(kin_manager_create(manager, &proxy, name, kin_value_none(), deadline));
    return proxy;
}

/* Calls a method that returns an int or a bool. */
static inline int64_t proxy_number(kin_proxy *proxy, const char *method, kin_value arguments,
                                   kin_deadline deadline)
{
    kin_value result;
    int64_t got = -1;
    CHECK_OK(kin_proxy_call(proxy, method, arguments, &result, deadline));
    CHECK_OK(kin_value_get_int(&result, &got));
    kin_value_clear(&result);
    return got;
}

static inline void client_ask(kin_connection *client, kin_value ident, const char *method,
                              kin_value arguments, kin_deadline deadline)
{
    kin_buffer bytes = {0};
    kin_value request = kin_value_build("(vsv{})", ident, method, arguments);
    CHECK_OK(kin_pickle_dumps(&request, &bytes));
    CHECK_OK(kin_connection_send(client, bytes.data, bytes.size, deadline));
    kin_value_clear(&request);
    kin_buffer_free(&bytes);
}

static inline void client_hear(kin_connection *client, kin_value *answer, kin_deadline deadline)
{
    char bytes[512];
    long size = kin_connection_recv(client, bytes, sizeof bytes, deadline);
    CHECK_GT(size, 0);
    CHECK_OK(kin_pickle_loads(answer, bytes, (size_t)size, NULL));
}

/* How many objects the server has, by a client of its own that opens with the key "k". */
static inline int64_t manager_count_objects(const char *address, kin_deadline deadline)
{
    kin_connection *client = NULL;
    kin_value answer;
    int64_t count = -1;
    CHECK_OK(kin_client_open(&client, address, &(kin_client_options){.key = "k", .key_size = 1}, deadline));
    client_ask(client, kin_value_none(), "number_of_objects", kin_value_tuple(NULL, 0), deadline);
    client_hear(client, &answer, deadline);
    CHECK_OK(kin_value_get_int(kin_value_at(&answer, 1), &count));
    kin_value_clear(&answer);
    CHECK_OK(kin_connection_close(client));
    return count;
}

#endif
