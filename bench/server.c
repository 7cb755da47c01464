/* server.c: requests per second to a server that stores a value: one or several clients, Unix socket and
 * TCP, one request in flight or many.
 *
 * All contenders are driven by the same loop over plain sockets with requests made beforehand, so that
 * the server is measured and not a client library; the last cases measure that.  The limit is a server that sends
 * back what it gets (epoll, one thread). */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- sockets ------------------------------------------------------------------------------------ */

pid_t server_start(void (*serve)(void *argument), void *argument)
{
    pid_t child = fork();
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve(argument);
    _exit(0);
}

static socklen_t unix_address(struct sockaddr_un *name, const char *text)
{
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    size_t size = strlen(text) - strlen("unix:");
    memcpy(name->sun_path, text + strlen("unix:"), size);
    if (name->sun_path[0] == '@') name->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

int server_listen(bool tcp, char address[128])
{
    int listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un name;
    socklen_t length = sizeof in;
    if (tcp) {
        if (bind(listener, (struct sockaddr *)&in, sizeof in) ||
            getsockname(listener, (struct sockaddr *)&in, &length))
            return -1;
        snprintf(address, 128, "tcp://127.0.0.1:%d", ntohs(in.sin_port));
    } else {
        snprintf(address, 128, "unix:@kin-bench-%d", getpid());
        length = unix_address(&name, address);
        if (bind(listener, (struct sockaddr *)&name, length)) return -1;
    }
    return listen(listener, 64) ? -1 : listener;
}

int server_connect(const char *address)
{
    bool tcp = strncmp(address, "tcp:", 4) == 0;
    int made = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;
    struct sockaddr_un name;
    if (!tcp) return connect(made, (struct sockaddr *)&name, unix_address(&name, address)) ? -1 : made;
    sscanf(address, "tcp://127.0.0.1:%d", &port);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return connect(made, (struct sockaddr *)&in, sizeof in) ? -1 : made;
}

/* ---- driving -------------------------------------------------------------------------------------- */

static bool send_all(int to, const char *bytes, size_t size)
{
    for (ssize_t sent; size > 0; bytes += sent, size -= (size_t)sent) {
        sent = send(to, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
    }
    return true;
}

static bool receive_all(int from, size_t size)
{
    static char answers[1 << 16];
    for (ssize_t got; size > 0; size -= (size_t)got) {
        got = recv(from, answers, size < sizeof answers ? size : sizeof answers, 0);
        if (got <= 0) return false;
    }
    return true;
}

double server_drive(const struct bench_case *test, const struct server_load *load, long count)
{
    const struct server_shape *shape = test->shape;
    size_t size = load->request_size * (size_t)shape->window;
    char *requests = malloc(size);
    for (int i = 0; i < shape->window; i++)
        memcpy(requests + (size_t)i * load->request_size, load->request, load->request_size);
    if (shape->one_core) bench_pin(bench_cpu(0));
    long rounds = count / (shape->window * shape->clients) + 1;
    double start = bench_now();
    bool well = true;
    for (int i = 0; i < shape->clients; i++) well &= send_all(load->sockets[i], requests, size);
    for (long round = 1; well && round <= rounds; round++) {
        for (int i = 0; well && i < shape->clients; i++) {
            well = receive_all(load->sockets[i], load->reply_size * (size_t)shape->window);
            if (well && round < rounds) well = send_all(load->sockets[i], requests, size);
        }
    }
    double seconds = bench_now() - start;
    free(requests);
    if (!well) return bench_fail("the server went away");
    return seconds * (double)count / ((double)rounds * shape->window * shape->clients);
}

static bool connect_all(const struct bench_case *test, struct server_load *load, const char *address)
{
    const struct server_shape *shape = test->shape;
    for (int i = 0; i < shape->clients; i++) {
        load->sockets[i] = server_connect(address);
        if (load->sockets[i] < 0) return false;
    }
    return true;
}

/* ---- the limit -------------------------------------------------------------------------------------- */

static void echo(void *of_listener)
{
    int listener = *(int *)of_listener, set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[SERVER_CLIENTS], event = {.events = EPOLLIN, .data.fd = listener};
    static char bytes[1 << 16];
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(set, events, SERVER_CLIENTS, -1);
        for (int i = 0; i < ready; i++) {
            int from = events[i].data.fd;
            if (from == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
                epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t got = recv(from, bytes, sizeof bytes, 0);
            if (got <= 0 || !send_all(from, bytes, (size_t)got)) epoll_ctl(set, EPOLL_CTL_DEL, from, NULL);
        }
    }
}

static double echo_run(const struct bench_case *test, long count)
{
    const struct server_shape *shape = test->shape;
    char address[128], request[64] = "";
    int listener = server_listen(shape->tcp, address);
    struct server_load load = {
        .request = request, .request_size = sizeof request, .reply_size = sizeof request};
    if (listener < 0) return bench_fail("listen: %s", strerror(errno));
    if (shape->one_core) bench_pin(bench_cpu(0));
    pid_t server = server_start(echo, &listener);
    if (!connect_all(test, &load, address)) return bench_fail("connect: %s", strerror(errno));
    double seconds = server_drive(test, &load, count);
    kill(server, SIGKILL);
    return seconds;
}

/* ---- Redis ---------------------------------------------------------------------------------------- */

static bool is_installed(const char *program)
{
    char directories[4096], path[4200], *rest;
    const char *value = getenv("PATH");
    snprintf(directories, sizeof directories, "%s", value != NULL ? value : "");
    for (char *at = strtok_r(directories, ":", &rest); at != NULL; at = strtok_r(NULL, ":", &rest)) {
        snprintf(path, sizeof path, "%s/%s", at, program);
        if (access(path, X_OK) == 0) return true;
    }
    return false;
}

static void redis(void *of_port)
{
    char port[8], path[128];
    snprintf(port, sizeof port, "%d", *(int *)of_port);
    snprintf(path, sizeof path, "/tmp/kin-bench-redis-%d.sock", getppid());
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket", path,
           "--save", "", "--appendonly", "no", (char *)NULL);
    _exit(127);
}

static double redis_run(const struct bench_case *test, long count)
{
    static const char request[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
    const struct server_shape *shape = test->shape;
    struct server_load load = {.request = request, .request_size = sizeof request - 1, .reply_size = 5};
    char address[128];
    if (!is_installed("redis-server")) return bench_missing();
    /* A port that was free a moment ago. */
    int port = 0, probe = server_listen(true, address);
    sscanf(address, "tcp://127.0.0.1:%d", &port);
    close(probe);
    if (shape->one_core) bench_pin(bench_cpu(0));
    pid_t server = server_start(redis, &port);
    if (!shape->tcp) snprintf(address, sizeof address, "unix:/tmp/kin-bench-redis-%d.sock", getpid());
    for (double end = bench_now() + 5; !connect_all(test, &load, address);) {
        if (bench_now() > end) return bench_fail("redis-server does not answer");
        usleep(10000);
    }
    double seconds = server_drive(test, &load, count);
    kill(server, SIGKILL);
    if (!shape->tcp) unlink(address + strlen("unix:"));
    return seconds;
}

/* ---- the cases --------------------------------------------------------------------------------------- */

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "epoll echo", echo_run, NULL},
    {BENCH_KIN, "kin_manager", bench_kin_server, "built without libkin"},
    {BENCH_PEER, "Redis", redis_run, "redis-server"},
    {BENCH_PEER, "Python SyncManager", bench_python_server, "python3"},
    {0},
};

/* What it is worth to send requests without waiting for each answer. */
static const struct bench_contender hurried[] = {
    {BENCH_LIMIT, "epoll echo", echo_run, NULL},
    {BENCH_KIN, "kin_manager", bench_kin_server, "built without libkin"},
    {BENCH_KIN, "kin_manager, 1 in flight", bench_kin_server_unhurried, "built without libkin"},
    {BENCH_PEER, "Redis", redis_run, "redis-server"},
    {0},
};

/* The same with a client that makes requests and reads answers. */
static const struct bench_contender clients[] = {
    {BENCH_LIMIT, "epoll echo", echo_run, NULL},
    {BENCH_KIN, "kin_proxy_call_many", bench_kin_call_many, "built without libkin"},
    {BENCH_KIN, "kin_proxy_call", bench_kin_call_each, "built without libkin"},
    {0},
};

static const struct bench_target in_flight[] = {{"epoll echo", 0.9}, {"Redis", 1.0}, {0}};
static const struct bench_target pipelined[] = {{"Redis", 1.0}, {"kin_manager, 1 in flight", 5.0}, {0}};
static const struct bench_target called[] = {{"kin_proxy_call", 5.0}, {0}};

#define SERVER_CASE(label, on_tcp, client_count, flight, wanted) \
    CASE(label, on_tcp, client_count, flight, (flight) == 1 ? contenders : hurried, wanted, \
         (client_count) == 1)
#define CASE(label, on_tcp, client_count, flight, compared, wanted, together) \
    { \
        .name = label, .what = "requests that store a value", .unit = BENCH_PER_SECOND, \
        .contenders = compared, .targets = wanted, .first_count = 5000, .shape = &(struct server_shape) \
        { \
            on_tcp, client_count, flight, together \
        } \
    }

static const struct bench_case cases[] = {
    SERVER_CASE("Unix socket, 1 client, one core", false, 1, 1, in_flight),
    SERVER_CASE("TCP, 1 client, one core", true, 1, 1, in_flight),
    SERVER_CASE("Unix socket, 8 clients", false, 8, 1, in_flight),
    SERVER_CASE("TCP, 8 clients", true, 8, 1, in_flight),
    SERVER_CASE("Unix socket, 64 clients", false, 64, 1, in_flight),
    SERVER_CASE("TCP, 64 clients", true, 64, 1, in_flight),
    SERVER_CASE("Unix socket, 64 clients, 64 in flight", false, 64, 64, pipelined),
    SERVER_CASE("TCP, 64 clients, 64 in flight", true, 64, 64, pipelined),
    CASE("Unix socket, calls of a client pipelined", false, 1, SERVER_CALLS, clients, called, false),
    CASE("TCP, calls of a client pipelined", true, 1, SERVER_CALLS, clients, called, false),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "server", cases, sizeof cases / sizeof *cases);
}
