/* manager.c: requests of a client, any bytes: a manager's dispatch, with an object of each type that they
 * can name.  Each is answered, parked or ends its session; what the objects hold stays whole.
 *
 * The input is messages, each after two bytes for its size.  The objects are called 1, 2, … in the order
 * of the list below. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/object.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/session.h"
#include "manager/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kin__server *server;

static void open_server(void)
{
    if (kin__server_open(&server, &(kin_manager_options){.key = "k", .key_size = 1, .max_objects = 100}) <
            0 ||
        uv_loop_init(&server->loop) != 0)
        abort();
    /* Nobody is accepted: the listener has no handle in the loop. */
    server->accepting = true;
}

static kin_value arguments_of(const char *type)
{
    if (strcmp(type, "Barrier") == 0) return kin_value_build("(i)", 2);
    if (strcmp(type, "Value") == 0) return kin_value_build("(si)", "i", 5);
    if (strcmp(type, "Array") == 0) return kin_value_build("(s[iii])", "i", 1, 2, 3);
    if (strcmp(type, "list") == 0) return kin_value_build("([is[i]])", 1, "two", 3);
    if (strcmp(type, "dict") == 0) return kin_value_build("({s:i,s:i})", "a", 1, "b", 2);
    if (strcmp(type, "set") == 0) return kin_value_build("([iii])", 1, 2, 3);
    return kin_value_tuple(NULL, 0);
}

static void make_objects(void)
{
    static const char *const types[] = {"Queue",     "JoinableQueue", "TaskQueue", "Lock",      "RLock",
                                        "Semaphore", "Condition",     "Event",     "list",      "dict",
                                        "set",       "Value",         "Array",     "Namespace", "Barrier"};
    for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
        char ident[2] = {"0123456789abcdef"[i + 1], '\0'};
        kin_value arguments = arguments_of(types[i]), keywords = kin_value_dict();
        if (kin__managed_make_named(server, kin__types_find(server, types[i]), ident) < 0) abort();
        struct kin__call call = {.server = server,
                                 .arguments = &arguments,
                                 .keywords = &keywords,
                                 .object = kin__managed_find(server, ident)};
        if (kin__invoke_make(&call) == KIN__RAISE) abort();
        kin_value_clear(&arguments);
        kin_value_clear(&keywords);
    }
}

static struct kin__session *open_session(int *other)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0) abort();
    *other = ends[1];
    if (kin__session_open(server, ends[0], 0) < 0) abort();
    return kin__links_entry(server->strangers.previous, struct kin__session, link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int other;
    if (server == NULL) open_server();
    make_objects();
    struct kin__session *session = open_session(&other);
    session->stage = KIN__CALLS;
    session->kin = size > 0 && (data[0] & 0x80) != 0;
    for (size_t at = 0; at + 2 <= size && session->stage == KIN__CALLS && session->wait.object == NULL;) {
        size_t length = (size_t)(data[at] & 0x7f) << 8 | data[at + 1];
        at += 2;
        if (length > size - at) length = size - at;
        kin__dispatch(session, data + at, length);
        at += length;
    }
    kin__sessions_settle(server);
    kin__session_end(session);
    close(other);
    server->stopping = false;
    uv_run(&server->loop, UV_RUN_NOWAIT);
    kin__registry_drop(server);
    return 0;
}
