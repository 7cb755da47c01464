/* C10, socket: a server and its clients over TCP, with a key.  One client does not know it, and another
 * says nothing at all: neither of them keeps the rest waiting.  The clients might as well be Python:
 *
 *     from multiprocessing.connection import Client
 *     connection = Client(('127.0.0.1', port), authkey=b'correct horse')
 *     connection.send_bytes(b'hello')
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

enum { CLIENTS = 3 };

#define KEY "correct horse"

static char address[100];

static int client(void *name)
{
    kin_connection *server = NULL;
    char text[100];
    kin_client_options options = {.key = KEY, .key_size = strlen(KEY)};
    check(kin_client_open(&server, address, &options, kin_in_s(10)));
    check(kin_connection_send(server, name, strlen(name), kin_in_s(10)));
    long size = check(kin_connection_recv(server, text, sizeof text, kin_in_s(10)));
    printf("%s: the server said %.*s\n", (char *)name, (int)size, text);
    kin_connection_close(server);
    return 0;
}

static int stranger(void *unused)
{
    kin_connection *server = NULL;
    kin_client_options options = {.key = "guess", .key_size = 5};
    (void)unused;
    int rc = kin_client_open(&server, address, &options, kin_in_s(10));
    printf("stranger: %s\n", kin_strerror(rc));
    return 0;
}

static void serve(kin_connection *connection)
{
    char text[100];
    long size = check(kin_connection_recv(connection, text, sizeof text, kin_in_s(10)));
    for (long i = 0; i < size; i++) text[i] = (char)toupper((unsigned char)text[i]);
    check(kin_connection_send(connection, text, (size_t)size, kin_in_s(10)));
    kin_connection_close(connection);
}

int main(void)
{
    char *names[CLIENTS] = {"anna", "bert", "cleo"};
    kin_listener_options options = {.key = KEY, .key_size = strlen(KEY)};
    kin_listener *listener = NULL;
    kin_connection *silent = NULL, *connection = NULL;
    kin_process *processes[CLIENTS + 1];
    check(kin_listener_open(&listener, "tcp://127.0.0.1:0", &options));
    snprintf(address, sizeof address, "%s", kin_listener_address(listener));

    check(kin_client_open(&silent, address, NULL, kin_in_s(10)));
    check(kin_process_start(&processes[CLIENTS], stranger, NULL, NULL));
    for (int i = 0; i < CLIENTS; i++) check(kin_process_start(&processes[i], client, names[i], NULL));
    for (int served = 0; served < CLIENTS; served++) {
        check(kin_listener_accept(listener, &connection, kin_in_s(10)));
        serve(connection);
    }
    /* The stranger may still have to be told. */
    while (kin_process_is_alive(processes[CLIENTS]))
        if (kin_listener_accept(listener, &connection, kin_in_ms(10)) == 0) kin_connection_close(connection);
    for (int i = 0; i <= CLIENTS; i++) {
        check(kin_process_join(processes[i], KIN_FOREVER));
        check(kin_process_close(processes[i]));
    }
    kin_connection_close(silent);
    kin_listener_close(listener);
    return EXIT_SUCCESS;
}
