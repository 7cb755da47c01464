/* server_kin.c: kin's and Python's managers in the server benchmark: both are sent the same requests,
 * which store a value in a dict. */
#include <kin.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server.h"

static const char python[] =
    "import sys\n"
    "from multiprocessing.managers import SyncManager\n"
    "a = sys.argv[1]\n"
    "a = b'\\0' + a[6:].encode() if a[0] == 'u' else ('127.0.0.1', int(a.split(':')[2]))\n"
    "SyncManager(address=a, authkey=b'abc').get_server().serve_forever()\n";

static void serve_python(void *address)
{
    execlp("python3", "python3", "-c", python, (char *)address, (char *)NULL);
    _exit(127);
}

static void serve_kin(void *address)
{
    kin_manager_serve(&(kin_manager_options){.address = address, .key = "abc", .key_size = 3});
}

/* The request as it goes over the wire, and the answer's size. */
static int record(int socket, const char *ident, struct server_load *load)
{
    static kin_buffer bytes;
    unsigned char answer[256];
    kin_value request = kin_value_build("(ss(ss){})", ident, "__setitem__", "key", "value");
    bytes.size = 0;
    int rc = kin_buffer_append(&bytes, "\0\0\0", 4);
    if (rc == 0) rc = kin_pickle_dumps(&request, &bytes);
    kin_value_clear(&request);
    if (rc < 0) return rc;
    bytes.data[3] = (unsigned char)(bytes.size - 4);
    if (write(socket, bytes.data, bytes.size) != (ssize_t)bytes.size) return -1;
    ssize_t size = read(socket, answer, sizeof answer);
    load->request = bytes.data;
    load->request_size = bytes.size;
    load->reply_size = (size_t)size;
    return size > 4 && answer[3] == size - 4 ? 0 : -1;
}

static int open_socket(const char *address, kin_connection **connection)
{
    static const char accept[] = "\x80\x03(NX\x11\0\0\0accept_connectionX\x05\0\0\0bench\x85}t.";
    char answer[256];
    int rc =
        kin_client_open(connection, address, &(kin_client_options){.key = "abc", .key_size = 3}, kin_in_s(5));
    if (rc == 0) rc = kin_connection_send(*connection, accept, sizeof accept - 1, kin_in_s(5));
    if (rc == 0) rc = (int)kin_connection_recv(*connection, answer, sizeof answer, kin_in_s(5));
    return rc < 0 ? rc : kin_connection_fileno(*connection);
}

/* Starts a server and makes a dict in it. */
static int begin(const struct server_shape *shape, void (*serve)(void *address), char address[128],
                 pid_t *server, kin_proxy **dict)
{
    kin_manager *manager = NULL;
    close(server_listen(shape->tcp, address));
    if (shape->one_core) bench_pin(bench_cpu(0));
    *server = server_start(serve, address);
    int rc = -1;
    for (kin_deadline end = kin_in_s(5); rc < 0 && kin_clock() < end; usleep(10000))
        rc = kin_manager_connect(&manager, address, "abc", 3, kin_in_s(5));
    return rc < 0 ? rc : kin_manager_create(manager, dict, "dict", kin_value_none(), kin_in_s(5));
}

static double run(const struct bench_case *test, long count, void (*serve)(void *address))
{
    const struct server_shape *shape = test->shape;
    struct server_load load = {0};
    kin_connection *connections[SERVER_CLIENTS];
    kin_proxy *dict = NULL;
    char address[128];
    const char *ident;
    pid_t server;
    int rc = begin(shape, serve, address, &server, &dict);
    if (rc < 0) return bench_fail("begin: %s", kin_strerror(rc));
    kin_value named = kin_proxy_value(dict);
    ident = kin_value_token_id(&named);
    for (int i = 0; i < shape->clients; i++) {
        load.sockets[i] = open_socket(address, &connections[i]);
        if (load.sockets[i] < 0) return bench_fail("a client: %s", kin_strerror(load.sockets[i]));
    }
    if (record(load.sockets[0], ident, &load) < 0) return bench_fail("the first request failed");
    double seconds = server_drive(test, &load, count);
    kill(server, SIGKILL);
    return seconds;
}

double bench_kin_server(const struct bench_case *test, long count)
{
    return run(test, count, serve_kin);
}

double bench_kin_server_unhurried(const struct bench_case *test, long count)
{
    struct server_shape shape = *(const struct server_shape *)test->shape;
    struct bench_case unhurried = *test;
    shape.window = 1;
    unhurried.shape = &shape;
    return run(&unhurried, count, serve_kin);
}

/* One after the other. */
static int call_each(kin_call *calls, size_t count, kin_deadline deadline)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = kin_proxy_call(calls[i].proxy, calls[i].method, calls[i].arguments, &calls[i].result, deadline);
    return rc;
}

static double run_client(const struct bench_case *test, long count,
                         int (*make)(kin_call *calls, size_t count, kin_deadline deadline))
{
    const struct server_shape *shape = test->shape;
    size_t window = (size_t)shape->window;
    kin_call calls[SERVER_CALLS];
    kin_proxy *dict = NULL;
    char address[128];
    pid_t server;
    int rc = begin(shape, serve_kin, address, &server, &dict);
    long rounds = count / shape->window + 1;
    double start = bench_now();
    for (long round = 0; rc == 0 && round < rounds; round++) {
        for (size_t i = 0; i < window; i++)
            calls[i] = (kin_call){dict, "__setitem__", kin_value_build("(ss)", "key", "value"), {0}, 0};
        rc = make(calls, window, KIN_FOREVER);
        for (size_t i = 0; rc == 0 && i < window; i++) rc = calls[i].rc;
    }
    double seconds = bench_now() - start;
    kill(server, SIGKILL);
    if (rc < 0) return bench_fail("a call: %s", kin_strerror(rc));
    return seconds * (double)count / ((double)rounds * shape->window);
}

double bench_kin_call_many(const struct bench_case *test, long count)
{
    return run_client(test, count, kin_proxy_call_many);
}

double bench_kin_call_each(const struct bench_case *test, long count)
{
    return run_client(test, count, call_each);
}

double bench_python_server(const struct bench_case *test, long count)
{
    const struct server_shape *shape = test->shape;
    if (shape->window > 1) return bench_unable("its clients send one request at a time");
    return run(test, count, serve_python);
}
