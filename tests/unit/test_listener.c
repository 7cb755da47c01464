/* test_listener.c: listening and connecting: addresses, keys, peers that are silent, slow, wrong or too
 * many, deadlines, socket files, and streams as connections. */
#define _GNU_SOURCE
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/wait.h>

#include "ipc/challenge.h"
#include "os/network.h"
#include "os/socket.h"

static kin_listener *listen_at(const char *address, const char *key)
{
    kin_listener *listener = NULL;
    CHECK_RC(kin_listener_open(&listener, address,
                               &(kin_listener_options){.key = key, .key_size = key ? strlen(key) : 0}),
             0);
    return listener;
}

static int connect_to(kin_connection **connection, const char *address, const char *key,
                      kin_deadline deadline)
{
    return kin_client_open(connection, address,
                           &(kin_client_options){.key = key, .key_size = key ? strlen(key) : 0}, deadline);
}

/* ---- a client in a thread of its own ----------------------------------------------------------------- */

struct client {
    pthread_t thread;
    const char *address;
    const char *key;
    int rc;
    kin_connection *connection;
};

static void *run_client(void *context)
{
    struct client *client = context;
    client->rc = connect_to(&client->connection, client->address, client->key, KIN_FOREVER);
    return NULL;
}

static void start_client(struct client *client, const char *address, const char *key)
{
    *client = (struct client){.address = address, .key = key};
    CHECK_EQ(pthread_create(&client->thread, NULL, run_client, client), 0);
}

static int join_client(struct client *client)
{
    CHECK_EQ(pthread_join(client->thread, NULL), 0);
    return client->rc;
}

static void say(kin_connection *from, kin_connection *to, const char *text)
{
    char got[100] = "";
    CHECK_RC(kin_connection_send(from, text, strlen(text), KIN_FOREVER), 0);
    CHECK_RC(kin_connection_recv(to, got, sizeof got, KIN_FOREVER), (long)strlen(text));
    CHECK_STR(got, text);
}

/* Each side finds the other where that says it is. */
static void check_peers(kin_connection *client, kin_connection *here, const char *address)
{
    char peer[200] = "", own[200];
    struct kin__address bound;
    CHECK_OK(kin__os_address_of(kin_connection_fileno(client), &bound));
    CHECK_OK(kin__os_address_text(&bound, own, sizeof own));
    CHECK_RC(kin_connection_peer(here, peer, sizeof peer), (int)strlen(own));
    CHECK_STR(peer, own);
    CHECK_RC(kin_connection_peer(client, peer, sizeof peer), (int)strlen(address));
    CHECK_STR(peer, address);
    CHECK_RC(kin_connection_peer(client, peer, 4), (int)strlen(address));
    CHECK_EQ(strlen(peer), 3);
    CHECK_RC(kin_connection_peer(client, NULL, 0), (int)strlen(address));
    CHECK_RC(kin_connection_peer(client, NULL, 1), -EINVAL);
    CHECK_RC(kin_connection_peer(NULL, peer, sizeof peer), -EINVAL);
}

static void meet(const char *address, const char *key)
{
    struct client client;
    kin_connection *here = NULL;
    kin_listener *listener = listen_at(address, key);
    test_context("address %s, key %s", kin_listener_address(listener), key ? key : "none");
    start_client(&client, kin_listener_address(listener), key);
    CHECK_RC(kin_listener_accept(listener, &here, KIN_FOREVER), 0);
    CHECK_RC(join_client(&client), 0);
    check_peers(client.connection, here, kin_listener_address(listener));
    say(client.connection, here, "from the client");
    say(here, client.connection, "from the listener");
    CHECK_OK(kin_listener_close(listener));
    say(client.connection, here, "after the listener");
    CHECK_OK(kin_connection_close(client.connection));
    CHECK_RC(kin_connection_recv(here, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_connection_close(here));
    test_context(NULL);
}

static bool has_ipv6(void)
{
    int socket_of_6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_of_6 >= 0) close(socket_of_6);
    return socket_of_6 >= 0 && access("/proc/sys/net/ipv6/conf/lo/disable_ipv6", R_OK) == 0;
}

TEST(meet_at_every_kind_of_address)
{
    const char *keys[] = {NULL, "correct horse"};
    for (int i = 0; i < 2; i++) {
        meet("tcp://127.0.0.1:0", keys[i]);
        meet("tcp://localhost:0", keys[i]);
        meet("unix:socket", keys[i]);
        meet(test_abstract_address(), keys[i]);
    }
}

TEST(meet_over_ipv6)
{
    struct kin__address address;
    int probe = has_ipv6() && kin__os_address_lookup("::1", "0", true, &address, 1, KIN_FOREVER) == 1
                    ? kin__os_listen(&address, 1)
                    : -1;
    if (probe < 0) SKIP("there is no IPv6 here");
    close(probe);
    meet("tcp://[::1]:0", "key");
}

TEST(addresses_that_are_none_are_refused)
{
    const char *none[] = {"",          "tcp",           "tcp://",           "tcp://localhost", "tcp://:1",
                          "tcp://a:b", "tcp://a:70000", "tcp://::1:5",      "unix:",           "unix:@",
                          "/path",     "tcp://a:1x",    "udp://127.0.0.1:5"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        kin_listener *listener = NULL;
        kin_connection *connection = NULL;
        test_context("address \"%s\"", none[i]);
        CHECK_RC(kin_listener_open(&listener, none[i], NULL), KIN_EADDRESS);
        CHECK_RC(kin_client_open(&connection, none[i], NULL, KIN_NOW), KIN_EADDRESS);
    }
}

/* A size that was forgotten is not the key of no byte, which everybody knows. */
TEST(a_key_without_its_size_is_refused)
{
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    const char *address = test_abstract_address();
    CHECK_RC(kin_listener_open(&listener, address, &(kin_listener_options){.key = "a long secret"}), -EINVAL);
    CHECK_RC(kin_listener_open(&listener, address, &(kin_listener_options){.key_size = 4}), -EINVAL);
    CHECK_RC(kin_client_open(&connection, address, &(kin_client_options){.key = "a long secret"}, KIN_NOW),
             -EINVAL);
    CHECK_RC(kin_client_open(&connection, address, &(kin_client_options){.key_size = 4}, KIN_NOW), -EINVAL);
}

TEST(errors_are_exact)
{
    char path[300] = "unix:";
    kin_listener *listener = NULL, *second = NULL;
    kin_connection *connection = NULL;
    memset(path + 5, 'x', 200);
    CHECK_RC(kin_listener_open(&listener, path, NULL), -ENAMETOOLONG);
    CHECK_RC(kin_listener_open(&listener, "unix:no/such/directory", NULL), -ENOENT);
    CHECK_RC(kin_client_open(&connection, "unix:nobody", NULL, KIN_FOREVER), -ENOENT);
    CHECK_RC(kin_client_open(&connection, test_abstract_address(), NULL, KIN_FOREVER), -ECONNREFUSED);
    CHECK_RC(kin_client_open(&connection, "tcp://*:5", NULL, KIN_FOREVER), KIN_EADDRESS);
    CHECK_RC(kin_listener_open(NULL, "unix:@x", NULL), -EINVAL);
    CHECK_RC(kin_listener_open(&listener, NULL, NULL), -EINVAL);
    CHECK_RC(kin_listener_open(&listener, "unix:@x", &(kin_listener_options){.key_size = 3}), -EINVAL);
    CHECK_RC(kin_listener_open(&listener, "unix:@x", &(kin_listener_options){.handshake_ms = -1}), -EINVAL);
    CHECK_RC(kin_listener_open(&listener, "unix:@x", &(kin_listener_options){.backlog = -1}), -EINVAL);
    CHECK_RC(kin_client_open(NULL, "unix:@x", NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_client_open(&connection, NULL, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_client_open(&connection, "unix:@x", &(kin_client_options){.key_size = 3}, KIN_NOW), -EINVAL);
    CHECK_RC(kin_listener_accept(NULL, &connection, KIN_NOW), -EINVAL);
    CHECK_RC(kin_listener_fileno(NULL), -EINVAL);
    CHECK(kin_listener_address(NULL) == NULL);
    CHECK_RC(kin_listener_close(NULL), 0);
    listener = listen_at("tcp://127.0.0.1:0", NULL);
    CHECK_RC(kin_listener_open(&second, kin_listener_address(listener), NULL), -EADDRINUSE);
    CHECK_RC(kin_listener_accept(listener, &connection, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_listener_accept(listener, &connection, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_listener_accept(listener, NULL, KIN_NOW), -EINVAL);
    CHECK_OK(kin_listener_close(listener));
}

/* ---- peers that do not authenticate ------------------------------------------------------------------- */

static int raw_connect(kin_listener *listener)
{
    struct kin__address address;
    CHECK_RC(kin__os_address_of(kin_listener_fileno(listener), &address), -ENOTSOCK);
    const char *text = kin_listener_address(listener);
    CHECK_RC(kin__os_address_unix(text + 6, strlen(text + 6), true, &address), 0);
    int made = kin__os_socket_to(&address);
    CHECK_OK(made);
    CHECK_RC(kin__os_connect(made, &address, KIN_FOREVER), 0);
    return made;
}

TEST(another_key_is_refused)
{
    struct client client;
    kin_connection *here = NULL;
    kin_listener *listener = listen_at(test_abstract_address(), "correct horse");
    const char *wrong[] = {"wrong", "correct horse "};
    for (int i = 0; i < 2; i++) {
        start_client(&client, kin_listener_address(listener), wrong[i]);
        do CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(2)), -ETIMEDOUT);
        while (pthread_tryjoin_np(client.thread, NULL) != 0);
        CHECK_RC(client.rc, KIN_EAUTHENTICATION);
    }
    CHECK_OK(kin_listener_close(listener));
}

TEST(silent_and_wrong_peers_keep_nobody_waiting)
{
    enum { SILENT = 20 };
    int silent[SILENT];
    struct client client;
    kin_connection *here = NULL;
    kin_listener *listener = listen_at(test_abstract_address(), "key");
    for (int i = 0; i < SILENT; i++) {
        const char *words[] = {"",         "\0\0\0\4",    "\xff\xff\xff\xfe",
                               "\0\0\1\1", "\0\0\0\3abc", "GET / HTTP/1.1\r\n\r\n"};
        const size_t lengths[] = {0, 4, 4, 4, 7, 18};
        silent[i] = raw_connect(listener);
        CHECK_EQ(write(silent[i], words[i % 6], lengths[i % 6]), (ssize_t)lengths[i % 6]);
    }
    start_client(&client, kin_listener_address(listener), "key");
    CHECK_RC(kin_listener_accept(listener, &here, KIN_FOREVER), 0);
    CHECK_RC(join_client(&client), 0);
    say(client.connection, here, "hello");
    for (int i = 0; i < SILENT; i++) close(silent[i]);
    kin_connection_close(here);
    kin_connection_close(client.connection);
    CHECK_OK(kin_listener_close(listener));
}

static bool is_gone(int peer)
{
    struct pollfd polled = {.fd = peer, .events = POLLIN};
    char bytes[1000];
    while (poll(&polled, 1, 0) == 1)
        if (read(peer, bytes, sizeof bytes) <= 0) return true;
    return false;
}

TEST(the_oldest_give_way_when_there_are_too_many)
{
    enum { MANY = 40, MOST = 8 };
    int silent[MANY], gone = 0;
    kin_connection *here = NULL;
    kin_listener *listener = NULL;
    CHECK_OK(kin_listener_open(&listener, test_abstract_address(),
                               &(kin_listener_options){.key = "k", .key_size = 1, .max_pending = MOST}));
    for (int i = 0; i < MANY; i++) silent[i] = raw_connect(listener);
    struct pollfd polled = {.fd = kin_listener_fileno(listener), .events = POLLIN};
    while (poll(&polled, 1, 0) == 1) CHECK_RC(kin_listener_accept(listener, &here, KIN_NOW), -ETIMEDOUT);
    for (int i = 0; i < MANY; i++) {
        bool is = is_gone(silent[i]);
        gone += is;
        CHECK_EQ(is, i < MANY - MOST);
        close(silent[i]);
    }
    CHECK_EQ(gone, MANY - MOST);
    CHECK_OK(kin_listener_close(listener));
}

TEST(clients_are_turned_away_when_no_descriptor_is_left)
{
    enum { WAITING = 3 };
    int waiting[WAITING];
    struct rlimit before, none;
    struct client client;
    kin_connection *here = NULL;
    kin_listener *listener = listen_at(test_abstract_address(), NULL);
    for (int i = 0; i < WAITING; i++) waiting[i] = raw_connect(listener);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    /* The last one took the lowest number that was free. */
    none = before;
    none.rlim_cur = (rlim_t)waiting[WAITING - 1] + 1;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_RC(kin_listener_accept(listener, &here, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(2)), -ETIMEDOUT);
    for (int i = 0; i < WAITING; i++) CHECK(is_gone(waiting[i]));
    /* Nothing is left that would keep an event loop awake. */
    struct pollfd polled = {.fd = kin_listener_fileno(listener), .events = POLLIN};
    CHECK_EQ(poll(&polled, 1, 0), 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < WAITING; i++) close(waiting[i]);
    start_client(&client, kin_listener_address(listener), NULL);
    CHECK_RC(kin_listener_accept(listener, &here, KIN_FOREVER), 0);
    CHECK_RC(join_client(&client), 0);
    say(client.connection, here, "hello");
    kin_connection_close(here);
    kin_connection_close(client.connection);
    CHECK_OK(kin_listener_close(listener));
}

TEST(who_takes_too_long_is_dropped)
{
    kin_connection *here = NULL;
    kin_listener *listener = NULL;
    CHECK_OK(kin_listener_open(&listener, test_abstract_address(),
                               &(kin_listener_options){.key = "k", .key_size = 1, .handshake_ms = 10}));
    int silent = raw_connect(listener);
    while (!is_gone(silent)) CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
    close(silent);
    CHECK_OK(kin_listener_close(listener));
}

/* The descriptor tells when it is time, though nobody comes and nobody says anything. */
TEST(who_takes_too_long_is_dropped_by_who_waits_for_the_descriptor)
{
    kin_connection *here = NULL;
    kin_listener *listener = NULL;
    CHECK_OK(kin_listener_open(&listener, test_abstract_address(),
                               &(kin_listener_options){.key = "k", .key_size = 1, .handshake_ms = 10}));
    struct pollfd polled = {.fd = kin_listener_fileno(listener), .events = POLLIN};
    for (int i = 0; i < 2; i++) {
        int silent = raw_connect(listener);
        while (!is_gone(silent)) {
            CHECK_EQ(poll(&polled, 1, 20000), 1);
            CHECK_RC(kin_listener_accept(listener, &here, KIN_NOW), -ETIMEDOUT);
        }
        close(silent);
    }
    CHECK_EQ(poll(&polled, 1, 0), 0);
    CHECK_OK(kin_listener_close(listener));
}

TEST(a_client_s_deadline_is_kept)
{
    kin_connection *connection = NULL;
    /* It is in the backlog, and nobody answers. */
    kin_listener *listener = listen_at(test_abstract_address(), "key");
    CHECK_RC(connect_to(&connection, kin_listener_address(listener), "key", kin_in_ms(10)), -ETIMEDOUT);
    CHECK_RC(connect_to(&connection, kin_listener_address(listener), "key", KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_listener_close(listener));
    /* The listener knows no key, and will say nothing. */
    listener = listen_at("tcp://127.0.0.1:0", NULL);
    CHECK_RC(connect_to(&connection, kin_listener_address(listener), "key", kin_in_ms(10)), -ETIMEDOUT);
    CHECK_OK(kin_listener_close(listener));
}

TEST(fileno_tells_when_there_is_something_to_do)
{
    struct client client;
    kin_connection *here = NULL;
    int rc;
    kin_listener *listener = listen_at(test_abstract_address(), "key");
    struct pollfd polled = {.fd = kin_listener_fileno(listener), .events = POLLIN};
    CHECK_EQ(poll(&polled, 1, 0), 0);
    start_client(&client, kin_listener_address(listener), "key");
    do CHECK_EQ(poll(&polled, 1, -1), 1);
    while ((rc = kin_listener_accept(listener, &here, KIN_NOW)) == -ETIMEDOUT);
    CHECK_RC(rc, 0);
    CHECK_RC(join_client(&client), 0);
    CHECK_EQ(poll(&polled, 1, 0), 0);
    CHECK_OK(kin_connection_close(here));
    CHECK_OK(kin_connection_close(client.connection));
    CHECK_OK(kin_listener_close(listener));
}

/* A client in this thread, which goes on with its handshake as far as it can. */
struct shaking {
    kin_connection *connection;
    struct kin__challenge challenge;
    int done; /* 1: authenticated */
};

static void shake(struct shaking *one)
{
    struct kin__challenge_message reply;
    uint8_t message[KIN__CHALLENGE_MOST];
    while (one->done == 0) {
        long size = kin_connection_recv(one->connection, message, sizeof message, KIN_NOW);
        if (size == -ETIMEDOUT) return;
        CHECK_OK(size);
        one->done = kin__challenge_step(&one->challenge, message, (size_t)size, &reply);
        CHECK_OK(one->done);
        if (reply.size > 0)
            CHECK_RC(kin_connection_send(one->connection, reply.bytes, reply.size, KIN_FOREVER), 0);
    }
}

/* Their messages come at the same moments, so that one call meets those of all. */
TEST(fileno_tells_of_each_that_has_authenticated)
{
    enum { CLIENTS = 3 };
    struct shaking clients[CLIENTS];
    kin_connection *here;
    kin_listener *listener = listen_at(test_abstract_address(), "key");
    kin_waitable item = kin_on_listener(listener);
    int accepted = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct kin__challenge_message none;
        clients[i] = (struct shaking){
            .challenge = {.role = KIN__CHALLENGE_CONNECTS, .key = "key", .key_size = 3, .nonce = {1}}};
        CHECK_RC(kin_connection_open(&clients[i].connection, raw_connect(listener)), 0);
        CHECK_RC(kin__challenge_begin(&clients[i].challenge, &none), 0);
    }
    while (accepted < CLIENTS) {
        for (int i = 0; i < CLIENTS; i++) shake(&clients[i]);
        CHECK_RC(kin_wait(&item, 1, KIN_NOW), 1);
        int rc = kin_listener_accept(listener, &here, KIN_NOW);
        if (rc == -ETIMEDOUT) continue;
        CHECK_RC(rc, 0);
        CHECK_OK(kin_connection_close(here));
        accepted++;
    }
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    for (int i = 0; i < CLIENTS; i++) CHECK_OK(kin_connection_close(clients[i].connection));
    CHECK_OK(kin_listener_close(listener));
}

/* ---- socket files, forks ------------------------------------------------------------------------------- */

TEST(a_socket_file_goes_with_its_listener)
{
    kin_listener *listener = listen_at("unix:socket", NULL), *second = NULL;
    CHECK_EQ(access("socket", F_OK), 0);
    CHECK_RC(kin_listener_open(&second, "unix:socket", NULL), -EADDRINUSE);
    CHECK_OK(kin_listener_close(listener));
    CHECK_EQ(access("socket", F_OK), -1);
    /* One that was killed leaves its file: the next replaces it. */
    pid_t child = fork();
    if (child == 0) {
        listen_at("unix:socket", NULL);
        raise(SIGKILL);
    }
    test_collect(child);
    CHECK_EQ(access("socket", F_OK), 0);
    listener = listen_at("unix:socket", NULL);
    /* A file that is another's by now stays. */
    CHECK_EQ(unlink("socket"), 0);
    second = listen_at("unix:socket", NULL);
    CHECK_OK(kin_listener_close(listener));
    CHECK_EQ(access("socket", F_OK), 0);
    CHECK_OK(kin_listener_close(second));
    CHECK_EQ(access("socket", F_OK), -1);
}

TEST(a_file_that_is_no_socket_stays)
{
    kin_listener *listener = NULL;
    CHECK_EQ(close(open("precious", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    CHECK_EQ(symlink("precious", "link"), 0);
    CHECK_EQ(mkfifo("fifo", 0600), 0);
    static const char *const paths[] = {"precious", "link", "fifo"};
    for (int i = 0; i < 3; i++) {
        char address[40];
        struct stat status;
        snprintf(address, sizeof address, "unix:%s", paths[i]);
        CHECK_RC(kin_listener_open(&listener, address, NULL), -EADDRINUSE);
        CHECK_EQ(lstat(paths[i], &status), 0);
        CHECK(!S_ISSOCK(status.st_mode));
        CHECK_EQ(unlink(paths[i]), 0);
        if (i == 0) CHECK_EQ(close(open("precious", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    }
    unlink("precious");
}

/* ---- faults ---------------------------------------------------------------------------------------------- */

static int open_listener(void *context)
{
    return kin_listener_open(context, "unix:socket", &(kin_listener_options){.key = "k", .key_size = 1});
}

static int close_listener(void *context)
{
    return kin_listener_close(*(kin_listener **)context);
}

TEST(opening_fails_cleanly)
{
    kin_listener *listener;
    struct faults_report report =
        faults(&(struct faults){.make = open_listener, .unmake = close_listener, .context = &listener});
    CHECK_GT(report.failures, 0);
}

struct meeting {
    kin_listener *listener;
    kin_connection *here, *there;
};

static int meet_without_key(void *context)
{
    struct meeting *meeting = context;
    int rc = kin_client_open(&meeting->there, "unix:socket", NULL, KIN_FOREVER);
    if (rc < 0) return rc;
    rc = kin_listener_accept(meeting->listener, &meeting->here, KIN_NOW);
    if (rc < 0) {
        kin_connection *late = NULL;
        kin_connection_close(meeting->there);
        /* What is in the backlog is taken out. */
        kin__os_fault_set(KIN__FAULT_KINDS, 0, 0, false);
        if (kin_listener_accept(meeting->listener, &late, KIN_NOW) == 0) kin_connection_close(late);
    }
    return rc;
}

static int part(void *context)
{
    struct meeting *meeting = context;
    kin_connection_close(meeting->here);
    return kin_connection_close(meeting->there);
}

static bool accepts_timeout(void *context, enum kin__fault kind, int code)
{
    (void)context;
    (void)kind;
    return code == -ETIMEDOUT;
}

TEST(meeting_fails_cleanly)
{
    struct meeting meeting = {.listener = listen_at("unix:socket", NULL)};
    struct faults_report report = faults(&(struct faults){
        .make = meet_without_key, .unmake = part, .accepts = accepts_timeout, .context = &meeting});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_listener_close(meeting.listener));
}
