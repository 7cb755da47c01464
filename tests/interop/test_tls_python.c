/* test_tls_python.c: the other side of TLS is not ours: Python's ssl, and the program openssl, which may also speak what
 * is too old for us. */
#include "program.h"
#include "support/certificates.h"
#include "support/test.h"

#include <errno.h>
#include <poll.h>

#include <kin/error.h>
#include <kin/listener.h>

/* Messages as multiprocessing.connection frames them, over a socket of Python's ssl. */
#define PREAMBLE \
    "import socket, ssl, struct, sys\n" \
    "def send(s, message):\n" \
    "    s.sendall(struct.pack('!i', len(message)) + message)\n" \
    "def take(s, size):\n" \
    "    got = b''\n" \
    "    while len(got) < size:\n" \
    "        more = s.recv(min(size - len(got), 1 << 20))\n" \
    "        if not more: raise EOFError\n" \
    "        got += more\n" \
    "    return got\n" \
    "def recv(s):\n" \
    "    return take(s, struct.unpack('!i', take(s, 4))[0])\n"

/* Sends back what it gets, until that is empty; then ends in order. */
#define ECHO \
    "while True:\n" \
    "    message = recv(s)\n" \
    "    send(s, message)\n" \
    "    if not message: break\n" \
    "assert s.version() == 'TLSv1.3'\n" \
    "s.unwrap()\n"

#define CLIENT \
    PREAMBLE "context = ssl.create_default_context(cafile='authority.pem')\n" \
             "context.load_cert_chain('client.pem', 'client.key')\n" \
             "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n" \
             "s = context.wrap_socket(s, server_hostname='localhost')\n" ECHO

#define SERVER \
    PREAMBLE "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n" \
             "context.load_cert_chain('server.pem', 'server.key')\n" \
             "listener = socket.create_server(('127.0.0.1', 0))\n" \
             "print(listener.getsockname()[1], flush=True)\n" \
             "s = context.wrap_socket(listener.accept()[0], server_side=True)\n" ECHO

static void check_echo(kin_connection *connection)
{
    static const size_t sizes[] = {1, 5, 16384, 70000, 5000000, 0};
    char *sent = malloc(5000000), *got = malloc(5000000);
    for (size_t i = 0; i < 5000000; i++) sent[i] = (char)(i * 2654435761u >> 11);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_RC(kin_connection_send(connection, sent, sizes[i], KIN_FOREVER), 0);
        CHECK_RC(kin_connection_recv(connection, got, sizes[i], KIN_FOREVER), (long)sizes[i]);
        CHECK_MEM(got, sent, sizes[i]);
    }
    CHECK_RC(kin_connection_recv(connection, got, 1, KIN_FOREVER), KIN_ECLOSED);
    free(sent);
    free(got);
}

TEST(python_connects_to_our_listener)
{
    const char *pythons[1];
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    if (program_pythons(pythons, 1) == 0) SKIP("there is no Python");
    certificates_make();
    CHECK_OK(kin_listener_open(&listener, "tls://127.0.0.1:0",
                               &(kin_listener_options){.certificate = "server.pem",
                                                       .private_key = "server.key",
                                                       .authorities = "authority.pem"}));
    const char *port = strrchr(kin_listener_address(listener), ':') + 1;
    struct program python = program_run(pythons[0], "-c", CLIENT, port);
    CHECK_RC(kin_listener_accept(listener, &connection, KIN_FOREVER), 0);
    check_echo(connection);
    CHECK_OK(kin_connection_close(connection));
    program_end(&python);
    CHECK_OK(kin_listener_close(listener));
    certificates_remove();
}

TEST(we_connect_to_a_server_in_python)
{
    const char *pythons[1], *port;
    char address[1100];
    kin_connection *connection = NULL;
    if (program_pythons(pythons, 1) == 0) SKIP("there is no Python");
    certificates_make();
    struct program python = program_run(pythons[0], "-c", SERVER);
    CHECK((port = program_line(&python)) != NULL);
    snprintf(address, sizeof address, "tls://localhost:%s", port);
    CHECK_RC(kin_client_open(&connection, address, &(kin_client_options){.authorities = "authority.pem"},
                             KIN_FOREVER),
             0);
    check_echo(connection);
    CHECK_OK(kin_connection_close(connection));
    program_end(&python);
    certificates_remove();
}

/* One that speaks 1.2 at most is told so, and the listener goes on. */
TEST(what_is_older_is_refused)
{
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    char command[200];
    certificates_make();
    CHECK_OK(
        kin_listener_open(&listener, "tls://127.0.0.1:0",
                          &(kin_listener_options){.certificate = "server.pem", .private_key = "server.key"}));
    snprintf(command, sizeof command, "openssl s_client -tls1_2 -connect %s </dev/null 2>&1",
             kin_listener_address(listener) + strlen("tls://"));
    struct program client = program_run("/bin/sh", "-c", command);
    const char *line;
    bool told = false;
    /* Until it has read the answer and ended. */
    struct pollfd polled = {.fd = fileno(client.out), .events = 0};
    do CHECK_RC(kin_listener_accept(listener, &connection, kin_in_ms(2)), -ETIMEDOUT);
    while (poll(&polled, 1, 0) == 0);
    while ((line = program_line(&client)) != NULL)
        told = told || strstr(line, "alert protocol version") != NULL;
    CHECK(told);
    CHECK_NE(program_reap(&client), 0);
    CHECK_OK(kin_listener_close(listener));
    certificates_remove();
}
