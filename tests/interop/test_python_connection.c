/* test_python_connection.c: Python's multiprocessing.connection as the other side: its Client with our
 * listener, its Listener with our client, over TCP and Unix sockets, with and without a key, with
 * large messages, and a descriptor that is passed. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/connection_value.h>
#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>

#include "os/network.h"

#define LARGE (9 << 20)

/* The address as Python writes it: a tuple, or a string. */
#define PREAMBLE \
    "import sys, os, socket\n" \
    "from multiprocessing.connection import Client, Listener, Connection\n" \
    "from multiprocessing.connection import answer_challenge, deliver_challenge\n" \
    "from multiprocessing import AuthenticationError, reduction\n" \
    "def python(address):\n" \
    "    if address.startswith('tcp://'):\n" \
    "        host, port = address[6:].rsplit(':', 1)\n" \
    "        return host.strip('[]'), int(port)\n" \
    "    return address[5:].replace('@', '\\0', 1)\n" \
    "def six(address): return address.startswith('tcp://[')\n" \
    "def connect(address, key):\n" \
    "    if not six(address): return Client(python(address), authkey=key)\n" \
    "    made = socket.create_connection(python(address))\n" \
    "    connection = Connection(made.detach())\n" \
    "    if key is not None: answer_challenge(connection, key); deliver_challenge(connection, key)\n" \
    "    return connection\n" \
    "address, key = sys.argv[1], sys.argv[2].encode() if len(sys.argv) > 2 else None\n"

#define PYTHONS_MOST 16

/* The machine's interpreter, and those that pyenv has installed. */
static const char *pythons[PYTHONS_MOST];
static int python_count;

static void find_pythons(void)
{
    python_count = (int)program_pythons(pythons, PYTHONS_MOST);
    if (python_count == 0) SKIP("there is no /usr/bin/python3");
}

/* Every kind of address, with and without a key, for the first; TCP with a key for the others. */
static const struct {
    const char *address;
    const char *key;
} ways[] = {
    {"tcp://127.0.0.1:0", "correct horse"},
    {"tcp://127.0.0.1:0", NULL},
    {"unix:socket", "correct horse"},
    {"unix:socket", NULL},
    {"unix:@", "correct horse"},
    {"unix:@", NULL},
    /* Python's Client knows no IPv6, but what it is made of does. */
    {"tcp://[::1]:0", "correct horse"},
    {"tcp://[::1]:0", NULL},
};
#define WAYS 8

/* Where there is no IPv6 these ways are left out. */
static bool can_be_gone(int way)
{
    struct kin__address address;
    if (strncmp(ways[way].address, "tcp://[", 7) != 0) return true;
    int probe = kin__os_address_lookup("::1", "0", true, &address, 1, KIN_FOREVER) == 1
                    ? kin__os_listen(&address, 1)
                    : -1;
    if (probe >= 0) close(probe);
    return probe >= 0;
}

static pid_t start_python(const char *python, const char *script, const char *address, const char *key,
                          int output)
{
    pid_t child = fork();
    if (child != 0) return child;
    if (output >= 0) dup2(output, 1);
    execl(python, "python3", "-c", script, address, key, NULL);
    _exit(99);
}

/* What both sides do then: we send, it echoes; sizes up to megabytes. */
#define ECHO \
    "while True:\n" \
    "    try: message = connection.recv_bytes()\n" \
    "    except EOFError: break\n" \
    "    connection.send_bytes(message)\n"

static void check_echo(kin_connection *connection)
{
    static unsigned char message[LARGE], back[LARGE];
    const size_t sizes[] = {0, 1, 16384, 16385, 100000, LARGE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizes[i]; j++) message[j] = (unsigned char)(j * 11 + (j >> 10) + i);
        CHECK_RC(kin_connection_send(connection, message, sizes[i], KIN_FOREVER), 0);
        CHECK_RC(kin_connection_recv(connection, back, sizeof back, KIN_FOREVER), (long)sizes[i]);
        CHECK_MEM(back, message, sizes[i]);
    }
}

TEST(python_s_client_with_our_listener)
{
    const char *script = PREAMBLE "connection = connect(address, key)\n" ECHO;
    find_pythons();
    for (int i = 0; i < WAYS + python_count - 1; i++) {
        kin_listener *listener = NULL;
        kin_connection *connection = NULL;
        int way = i < WAYS ? i : 0;
        const char *key = ways[way].key, *address = ways[way].address;
        const char *python = pythons[i < WAYS ? 0 : i - WAYS + 1];
        if (!can_be_gone(way)) continue;
        if (strcmp(address, "unix:@") == 0) address = test_abstract_address();
        test_context("%s, %s, %s key", python, address, key != NULL ? "with" : "without");
        CHECK_OK(kin_listener_open(
            &listener, address,
            &(kin_listener_options){.key = key, .key_size = key != NULL ? strlen(key) : 0}));
        pid_t child = start_python(python, script, kin_listener_address(listener), key, -1);
        CHECK_RC(kin_listener_accept(listener, &connection, KIN_FOREVER), 0);
        check_echo(connection);
        CHECK_OK(kin_connection_close(connection));
        CHECK_EQ(test_collect(child), 0);
        CHECK_OK(kin_listener_close(listener));
    }
}

/* Connection.send and recv, and ours of values. */
TEST(values_to_and_from_python)
{
    const char *script = PREAMBLE "connection = connect(address, key)\n"
                                  "try:\n"
                                  "    while True: connection.send([connection.recv(), None])\n"
                                  "except EOFError: pass\n";
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    static char large[1000000];
    kin_value values[] = {kin_value_build("{s:[idb], s:(N)}", "x", 1, 0.5, 1, "y"),
                          kin_value_bytes(large, sizeof large)};
    find_pythons();
    CHECK_OK(kin_listener_open(&listener, "unix:socket", &(kin_listener_options){.key = "k", .key_size = 1}));
    pid_t child = start_python(pythons[0], script, kin_listener_address(listener), "k", -1);
    CHECK_RC(kin_listener_accept(listener, &connection, KIN_FOREVER), 0);
    for (int i = 0; i < 2; i++) {
        kin_value back;
        CHECK_RC(kin_connection_send_value(connection, &values[i], KIN_FOREVER), 0);
        CHECK_RC(kin_connection_recv_value(connection, &back, NULL, KIN_FOREVER), 0);
        CHECK_EQ(kin_value_len(&back), 2);
        CHECK_EQ(kin_value_equal(kin_value_at(&back, 0), &values[i]), 1);
        kin_value_clear(&back);
        kin_value_clear(&values[i]);
    }
    CHECK_OK(kin_connection_close(connection));
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_listener_close(listener));
}

/* Python says on a pipe when, and where, it listens. */
static pid_t start_listener(const char *python, const char *script, const char *address, const char *key,
                            char *bound, size_t size)
{
    int ready[2];
    CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = start_python(python, script, address, key, ready[1]);
    close(ready[1]);
    ssize_t got = 0, count;
    while ((count = read(ready[0], bound + got, size - 1 - (size_t)got)) > 0) got += count;
    close(ready[0]);
    CHECK_GT(got, 1);
    bound[got - 1] = '\0';
    return child;
}

#define LISTEN \
    "listener = Listener(python(address), 'AF_INET6' if six(address) else None, authkey=key)\n" \
    "where = listener.address\n" \
    "if isinstance(where, tuple):\n" \
    "    address = 'tcp://%s:%d' % ('[%s]' % where[0] if six(address) else where[0], where[1])\n" \
    "print(address)\n" \
    "sys.stdout.flush(); os.close(1)\n"

TEST(our_client_with_python_s_listener)
{
    const char *script = PREAMBLE LISTEN "connection = listener.accept()\n" ECHO "listener.close()\n";
    find_pythons();
    for (int i = 0; i < WAYS + python_count - 1; i++) {
        char bound[200];
        kin_connection *connection = NULL;
        int way = i < WAYS ? i : 0;
        const char *key = ways[way].key, *address = ways[way].address;
        const char *python = pythons[i < WAYS ? 0 : i - WAYS + 1];
        if (!can_be_gone(way)) continue;
        if (strcmp(address, "unix:@") == 0) address = test_abstract_address();
        test_context("%s, %s, %s key", python, address, key != NULL ? "with" : "without");
        pid_t child = start_listener(python, script, address, key, bound, sizeof bound);
        CHECK_RC(kin_client_open(&connection, bound,
                                 &(kin_client_options){.key = key, .key_size = key ? strlen(key) : 0},
                                 KIN_FOREVER),
                 0);
        check_echo(connection);
        CHECK_OK(kin_connection_close(connection));
        CHECK_EQ(test_collect(child), 0);
    }
}

TEST(another_key_is_refused_by_either)
{
    const char *client = PREAMBLE "try: Client(python(address), authkey=b'wrong')\n"
                                  "except AuthenticationError: sys.exit(7)\n";
    const char *server = PREAMBLE LISTEN "try: listener.accept()\n"
                                         "except AuthenticationError: listener.close(); sys.exit(7)\n";
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    char bound[200];
    int status;
    find_pythons();
    CHECK_OK(kin_listener_open(&listener, test_abstract_address(),
                               &(kin_listener_options){.key = "right", .key_size = 5}));
    pid_t python = start_python(pythons[0], client, kin_listener_address(listener), NULL, -1);
    do CHECK_RC(kin_listener_accept(listener, &connection, kin_in_ms(10)), -ETIMEDOUT);
    while (waitpid(python, &status, WNOHANG) == 0);
    CHECK_EQ(WEXITSTATUS(status), 7);
    CHECK_OK(kin_listener_close(listener));

    python = start_listener(pythons[0], server, "tcp://127.0.0.1:0", "right", bound, sizeof bound);
    CHECK_RC(kin_client_open(&connection, bound, &(kin_client_options){.key = "wrong", .key_size = 5},
                             KIN_FOREVER),
             KIN_EAUTHENTICATION);
    status = test_collect(python);
    CHECK_EQ(WEXITSTATUS(status), 7);
}

TEST(descriptors_are_passed_both_ways)
{
    const char *script = PREAMBLE "connection = Client(python(address))\n"
                                  "descriptor = reduction.recv_handle(connection)\n"
                                  "os.write(descriptor, b'from python')\n"
                                  "reduction.send_handle(connection, descriptor, os.getppid())\n"
                                  "connection.recv_bytes()\n";
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    int ends[2];
    char text[20] = "";
    find_pythons();
    CHECK_OK(kin_listener_open(&listener, test_abstract_address(), NULL));
    pid_t python = start_python(pythons[0], script, kin_listener_address(listener), NULL, -1);
    CHECK_RC(kin_listener_accept(listener, &connection, KIN_FOREVER), 0);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_RC(kin_connection_send_descriptor(connection, ends[1], KIN_FOREVER), 0);
    CHECK_EQ(read(ends[0], text, sizeof text), 11);
    CHECK_STR(text, "from python");
    int back = kin_connection_recv_descriptor(connection, KIN_FOREVER);
    CHECK_OK(back);
    CHECK_EQ(write(back, "x", 1), 1);
    CHECK_EQ(read(ends[0], text, sizeof text), 1);
    CHECK_RC(kin_connection_send(connection, "", 0, KIN_FOREVER), 0);
    CHECK_EQ(test_collect(python), 0);
    close(back);
    close(ends[0]);
    close(ends[1]);
    CHECK_OK(kin_connection_close(connection));
    CHECK_OK(kin_listener_close(listener));
}
