/* test_tls.c: connections over TLS: certificates and keys, whom each side refuses and what it says, peers that
 * are silent, slow or speak something else, waiting, forks and threads. */
#define _GNU_SOURCE
#include "support/certificates.h"
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/log.h>
#include <kin/process.h>
#include <kin/wait.h>

#include "os/network.h"
#include "os/socket.h"
#include "support/honest.h"

#define ANYWHERE "tls://127.0.0.1:0"
#define KEY      .key = "correct horse battery", .key_size = 21

static const kin_listener_options by_certificate = {.certificate = "server.pem", .private_key = "server.key"};
static const kin_client_options by_authority = {.authorities = "authority.pem"};

static kin_listener *listen_with(const kin_listener_options *options)
{
    kin_listener *listener = NULL;
    CHECK_RC(kin_listener_open(&listener, ANYWHERE, options), 0);
    CHECK_EQ(strncmp(kin_listener_address(listener), "tls://127.0.0.1:", 16), 0);
    return listener;
}

/* The last error of TLS of this thread ends with that. */
static void check_text(const char *end)
{
    char text[400] = "";
    int length = kin_tls_text(text, sizeof text);
    CHECK_EQ(length, (int)strlen(text));
    CHECK_EQ(strncmp(text, "tls://", 6), 0);
    if (strlen(text) < strlen(end) || strcmp(text + strlen(text) - strlen(end), end) != 0)
        FAIL("\"%s\" does not end with \"%s\"", text, end);
}

/* ---- a client in a thread of its own ----------------------------------------------------------------- */

struct client {
    pthread_t thread;
    const char *address;
    const kin_client_options *options;
    const char *says; /* how its error ends */
    int rc;
    kin_connection *connection;
};

static void *run_client(void *context)
{
    struct client *client = context;
    client->rc = kin_client_open(&client->connection, client->address, client->options, KIN_FOREVER);
    if (client->says != NULL) check_text(client->says);
    return NULL;
}

static void start_client(struct client *client, kin_listener *listener, const kin_client_options *options)
{
    *client =
        (struct client){.address = kin_listener_address(listener), .options = options, .says = client->says};
    CHECK_EQ(pthread_create(&client->thread, NULL, run_client, client), 0);
}

struct pair {
    kin_connection *here;  /* of the listener */
    kin_connection *there; /* of the client */
};

static struct pair meet(const kin_listener_options *listens, const kin_client_options *connects)
{
    struct client client = {0};
    struct pair pair = {0};
    kin_listener *listener = listen_with(listens);
    start_client(&client, listener, connects);
    CHECK_RC(kin_listener_accept(listener, &pair.here, KIN_FOREVER), 0);
    CHECK_EQ(pthread_join(client.thread, NULL), 0);
    CHECK_RC(client.rc, 0);
    CHECK_OK(kin_listener_close(listener));
    pair.there = client.connection;
    return pair;
}

static struct pair meet_by_key(void)
{
    return meet(&(kin_listener_options){KEY}, &(kin_client_options){KEY});
}

/* The client is refused with `rc`, or refuses; the listener goes on. */
static void quarrel(const kin_listener_options *listens, const kin_client_options *connects, int rc,
                    const char *says)
{
    struct client client = {.says = says};
    kin_connection *here = NULL;
    kin_listener *listener = listen_with(listens);
    start_client(&client, listener, connects);
    do CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(2)), -ETIMEDOUT);
    while (pthread_tryjoin_np(client.thread, NULL) != 0);
    CHECK_RC(client.rc, rc);
    CHECK_OK(kin_listener_close(listener));
}

static void part(struct pair *pair)
{
    CHECK_OK(kin_connection_close(pair->there));
    CHECK_RC(kin_connection_recv(pair->here, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_connection_close(pair->here));
}

struct message {
    kin_connection *to;
    const char *bytes;
    size_t size;
};

static void *run_sender(void *context)
{
    struct message *message = context;
    CHECK_RC(kin_connection_send(message->to, message->bytes, message->size, KIN_FOREVER), 0);
    return NULL;
}

static void pass(kin_connection *from, kin_connection *to, size_t size)
{
    char *sent = malloc(size + 1), *got = malloc(size + 1);
    struct message message = {from, sent, size};
    pthread_t sender;
    for (size_t i = 0; i < size; i++) sent[i] = (char)(i * 2654435761u >> 13);
    CHECK_EQ(pthread_create(&sender, NULL, run_sender, &message), 0);
    CHECK_RC(kin_connection_recv(to, got, size, KIN_FOREVER), (long)size);
    CHECK_MEM(got, sent, size);
    CHECK_EQ(pthread_join(sender, NULL), 0);
    free(sent);
    free(got);
}

static void talk(struct pair *pair)
{
    static const size_t sizes[] = {5, 0, 1, 16379, 16380, 16381, 32768, 100000, 3000001};
    char peer[100] = "";
    CHECK_GE(kin_connection_peer(pair->here, peer, sizeof peer), 17);
    CHECK_EQ(strncmp(peer, "tls://127.0.0.1:", 16), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_context("%zu bytes", sizes[i]);
        pass(pair->here, pair->there, sizes[i]);
        pass(pair->there, pair->here, sizes[i]);
    }
    test_context(NULL);
}

/* ---- who is let in ------------------------------------------------------------------------------------ */

TEST(certificates_and_keys_let_in)
{
    certificates_make();
    struct pair pairs[] = {
        meet(&by_certificate, &by_authority),
        meet_by_key(),
        /* A key besides certificates is proved as everywhere, inside. */
        meet(&(kin_listener_options){.certificate = "server.pem", .private_key = "server.key", KEY},
             &(kin_client_options){.authorities = "authority.pem", KEY}),
        meet(&(kin_listener_options){.certificate = "server.pem",
                                     .private_key = "server.key",
                                     .authorities = "authority.pem"},
             &(kin_client_options){
                 .authorities = "authority.pem", .certificate = "client.pem", .private_key = "client.key"}),
        meet(&by_certificate, &(kin_client_options){.authorities = "authority.pem",
                                                    .system_authorities = true,
                                                    .server_name = "localhost"}),
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        talk(&pairs[i]);
        part(&pairs[i]);
    }
    certificates_remove();
}

TEST(certificates_that_prove_nothing_are_refused)
{
    const kin_listener_options alone = {.certificate = "alone.pem", .private_key = "alone.key"};
    certificates_make();
    quarrel(&alone, &by_authority, KIN_ECERTIFICATE, "certificate verify failed: self-signed certificate");
    quarrel(&by_certificate,
            &(kin_client_options){.authorities = "authority.pem", .server_name = "example.org"},
            KIN_ECERTIFICATE, "certificate verify failed: hostname mismatch");
    quarrel(&by_certificate,
            &(kin_client_options){.authorities = "authority.pem", .server_name = "127.0.0.2"},
            KIN_ECERTIFICATE, "certificate verify failed: IP address mismatch");
    quarrel(&by_certificate, NULL, KIN_ECERTIFICATE,
            "certificate verify failed: unable to get local issuer certificate");
    /* The key, and no certificate, on either side. */
    quarrel(&by_certificate, &(kin_client_options){KEY}, KIN_EAUTHENTICATION,
            "the other side shows a certificate and does not know the key");
    quarrel(&(kin_listener_options){KEY}, &by_authority, KIN_ETLS, "alert handshake failure");
    certificates_remove();
}

TEST(a_client_without_its_certificate_is_told)
{
    struct client client = {0};
    kin_connection *here = NULL;
    certificates_make();
    kin_listener *listener = listen_with(&(kin_listener_options){
        .certificate = "server.pem", .private_key = "server.key", .authorities = "authority.pem"});
    const kin_client_options wrong[] = {
        {.authorities = "authority.pem"},
        {.authorities = "authority.pem", .certificate = "alone.pem", .private_key = "alone.key"}};
    const char *says[] = {"alert certificate required", "alert unknown ca"};
    for (int i = 0; i < 2; i++) {
        start_client(&client, listener, &wrong[i]);
        do CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(2)), -ETIMEDOUT);
        while (pthread_tryjoin_np(client.thread, NULL) != 0);
        CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(2)), -ETIMEDOUT);
        if (client.rc == 0) {
            CHECK_RC(kin_connection_recv(client.connection, NULL, 0, KIN_FOREVER), KIN_ECERTIFICATE);
            check_text(says[i]);
            CHECK_RC(kin_connection_recv(client.connection, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
            CHECK_OK(kin_connection_close(client.connection));
        } else {
            CHECK_RC(client.rc, KIN_ECERTIFICATE);
        }
    }
    CHECK_OK(kin_listener_close(listener));
    certificates_remove();
}

TEST(another_key_is_refused)
{
    certificates_make();
    quarrel(&(kin_listener_options){KEY}, &(kin_client_options){.key = "wrong", .key_size = 5},
            KIN_EAUTHENTICATION, "the other side has another key");
    quarrel(&(kin_listener_options){.certificate = "server.pem", .private_key = "server.key", KEY},
            &(kin_client_options){.authorities = "authority.pem", .key = "wrong", .key_size = 5},
            KIN_EAUTHENTICATION, NULL);
    certificates_remove();
}

/* ---- options ------------------------------------------------------------------------------------------- */

static void check_words(const char *expected)
{
    char text[400];
    CHECK_RC(kin_tls_text(text, sizeof text), (int)strlen(expected));
    CHECK_STR(text, expected);
}

TEST(options_that_would_mislead_are_refused)
{
    static const kin_listener_options listens[] = {
        {.certificate = "server.pem"}, {.authorities = "authority.pem", KEY}, {.private_key = "server.key"}};
    static const kin_client_options connects[] = {{.certificate = "client.pem"},
                                                  {.authorities = "authority.pem"},
                                                  {.system_authorities = true},
                                                  {.server_name = "localhost"},
                                                  {.private_key = "client.key", KEY}};
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    for (size_t i = 0; i < sizeof listens / sizeof *listens; i++)
        CHECK_RC(kin_listener_open(&listener, "tcp://127.0.0.1:0", &listens[i]), -EINVAL);
    CHECK_RC(kin_listener_open(&listener, "tcp://127.0.0.1:0", &listens[0]), -EINVAL);
    check_words("tcp://127.0.0.1:0: what only TLS uses is given, and the address is not tls://");
    CHECK_RC(kin_listener_open(&listener, ANYWHERE, &listens[2]), -EINVAL);
    check_text("127.0.0.1:0: a private key is given, and no certificate");
    for (size_t i = 0; i < sizeof connects / sizeof *connects; i++)
        CHECK_RC(kin_client_open(&connection, "tcp://127.0.0.1:1", &connects[i], KIN_NOW), -EINVAL);
    CHECK_RC(kin_client_open(&connection, "tcp://127.0.0.1:1", &connects[0], KIN_NOW), -EINVAL);
    check_words("tcp://127.0.0.1:1: what only TLS uses is given, and the address is not tls://");
    CHECK_RC(kin_listener_open(&listener, ANYWHERE, NULL), -EINVAL);
    check_text("127.0.0.1:0: neither a certificate nor a key is given");
    CHECK_RC(kin_listener_open(&listener, ANYWHERE, &(kin_listener_options){.key = ""}), -EINVAL);
    check_words("");
    CHECK_RC(kin_client_open(&connection, "tls://127.0.0.1:1", &connects[4], KIN_NOW), -EINVAL);
    check_text("127.0.0.1:1: a private key is given, and no certificate");
    CHECK_RC(kin_client_open(&connection, "tls://127.0.0.1:1", &(kin_client_options){.key = ""}, KIN_NOW),
             -EINVAL);
    check_words("");
    CHECK_RC(kin_tls_text(NULL, 1), -EINVAL);
}

static void refuse_files(const char *certificate, const char *private_key, const char *authorities, int rc,
                         const char *says)
{
    kin_listener *listener = NULL;
    CHECK_RC(kin_listener_open(&listener, ANYWHERE,
                               &(kin_listener_options){.certificate = certificate,
                                                       .private_key = private_key,
                                                       .authorities = authorities}),
             rc);
    check_text(says);
}

TEST(files_that_are_wrong_are_named)
{
    certificates_make();
    refuse_files("none.pem", NULL, NULL, -ENOENT, ": none.pem: No such file or directory");
    refuse_files("server.pem", NULL, NULL, KIN_ETLS, ": server.pem: private key: there is none in the file");
    refuse_files("server.pem", "client.key", NULL, KIN_ETLS,
                 ": client.key: private key: key values mismatch");
    refuse_files("server.pem", "server.key", "none.pem", -ENOENT, ": none.pem: No such file or directory");
    /* Nobody is asked for the password. */
    refuse_files("server.pem", "locked.key", NULL, KIN_ETLS, ": locked.key: private key: needs a password");
    certificates_remove();
}

/* ---- peers that do not do as they should ---------------------------------------------------------------- */

static int raw_connect(kin_listener *listener)
{
    struct kin__address address;
    const char *port = strrchr(kin_listener_address(listener), ':') + 1;
    CHECK_EQ(kin__os_address_lookup("127.0.0.1", port, false, &address, 1, KIN_FOREVER), 1);
    int made = kin__os_socket_to(&address);
    CHECK_OK(made);
    CHECK_RC(kin__os_connect(made, &address, KIN_FOREVER), 0);
    return made;
}

TEST(silent_and_wrong_peers_keep_nobody_waiting)
{
    enum { PEERS = 12 };
    static const char *const words[] = {"", "\x16\x03", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x40\x00"};
    static const size_t lengths[] = {0, 2, 18, 5};
    int peers[PEERS];
    kin_connection *here = NULL;
    kin_listener *listener = listen_with(&(kin_listener_options){KEY, .handshake_ms = 200});
    for (int i = 0; i < PEERS; i++) {
        peers[i] = raw_connect(listener);
        CHECK_EQ(write(peers[i], words[i % 4], lengths[i % 4]), (ssize_t)lengths[i % 4]);
    }
    struct honest_pair met = honest_meet(listener, &(kin_client_options){KEY}, 200);
    struct pair pair = {met.here, met.there};
    talk(&pair);
    part(&pair);
    /* They are dropped when their time is over, or at once if they have said something wrong. */
    for (int i = 0; i < PEERS; i++) {
        struct pollfd polled = {.fd = peers[i], .events = POLLIN};
        char bytes[100];
        do CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
        while (poll(&polled, 1, 0) == 0 || read(peers[i], bytes, sizeof bytes) > 0);
        close(peers[i]);
    }
    CHECK_OK(kin_listener_close(listener));
}

TEST(who_does_not_speak_tls_is_told_apart)
{
    kin_connection *connection = NULL;
    struct kin__address address;
    char bytes[2000], text[300];
    CHECK_EQ(kin__os_address_lookup("127.0.0.1", "0", true, &address, 1, KIN_FOREVER), 1);
    int plain = kin__os_listen(&address, 5);
    CHECK_OK(kin__os_address_of(plain, &address));
    CHECK_OK(kin__os_address_text(&address, text, sizeof text));
    memcpy(text, "tls", 3);
    /* It says nothing. */
    CHECK_RC(kin_client_open(&connection, text, &(kin_client_options){KEY}, kin_in_ms(10)), -ETIMEDOUT);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++) {
            CHECK_OK(kin__os_wait_ready(plain, KIN__READABLE, KIN_FOREVER));
            int peer = kin__os_accept(plain, NULL);
            if (i > 0) CHECK_GT(read(peer, bytes, sizeof bytes), 0);
            if (i == 1) CHECK_EQ(write(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
            close(peer);
        }
        _exit(0);
    }
    CHECK_RC(kin_client_open(&connection, text, &(kin_client_options){KEY}, KIN_FOREVER), KIN_ETLS);
    check_text("wrong version number");
    CHECK_RC(kin_client_open(&connection, text, &(kin_client_options){KEY}, KIN_FOREVER), KIN_ECLOSED);
    CHECK_EQ(test_collect(child), 0);
    close(plain);
}

TEST(an_end_is_told_from_a_cut)
{
    char byte;
    kin_connection *here = NULL, *there = NULL;
    kin_listener *listener = listen_with(&(kin_listener_options){KEY});
    pid_t child = fork();
    if (child == 0) {
        CHECK_RC(
            kin_client_open(&there, kin_listener_address(listener), &(kin_client_options){KEY}, KIN_FOREVER),
            0);
        CHECK_RC(kin_connection_send(there, "a", 1, KIN_FOREVER), 0);
        raise(SIGKILL);
    }
    CHECK_RC(kin_listener_accept(listener, &here, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_recv(here, &byte, 1, KIN_FOREVER), 1);
    CHECK_RC(kin_connection_recv(here, &byte, 1, KIN_FOREVER), KIN_ETRUNCATED);
    check_text("or somebody has cut the connection");
    CHECK_RC(kin_connection_recv(here, &byte, 1, KIN_FOREVER), KIN_ECLOSED);
    test_collect(child);
    CHECK_OK(kin_connection_close(here));
    CHECK_OK(kin_listener_close(listener));
}

TEST(a_message_that_was_begun_ends_the_sending_side)
{
    const size_t size = 64 << 20;
    char *message = calloc(1, size), byte;
    struct pair pair = meet_by_key();
    CHECK_RC(kin_connection_send(pair.here, message, size, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_RC(kin_connection_send(pair.here, "a", 1, KIN_FOREVER), -EPIPE);
    pass(pair.there, pair.here, 5);
    CHECK_RC(kin_connection_recv(pair.there, &byte, 1, KIN_FOREVER), KIN_ETOOSMALL);
    CHECK_RC(kin_connection_recv(pair.there, message, size, KIN_FOREVER), KIN_ETRUNCATED);
    CHECK_OK(kin_connection_close(pair.there));
    CHECK_OK(kin_connection_close(pair.here));
    free(message);
}

/* ---- like other connections ------------------------------------------------------------------------------ */

TEST(what_is_decrypted_already_is_waited_for)
{
    char text[10];
    struct pair pair = meet_by_key();
    kin_waiter *waiter = NULL;
    kin_waitable item = kin_on_connection(pair.here), ready;
    CHECK_OK(kin_waiter_open(&waiter));
    CHECK_OK(kin_waiter_add(waiter, &item));
    CHECK_RC(kin_connection_poll(pair.here, KIN_NOW), 0);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    for (int i = 0; i < 3; i++) CHECK_RC(kin_connection_send(pair.there, "hello", 5, KIN_FOREVER), 0);
    /* Until everything lies in the kernel, so that the first recv gets it all. */
    for (int left = 3; left > 0; left--) {
        CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
        CHECK_RC(kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER), 1);
        CHECK_RC(kin_connection_poll(pair.here, KIN_FOREVER), 1);
        if (left == 3) CHECK_RC(kin_connection_recv(pair.here, text, 4, KIN_FOREVER), KIN_ETOOSMALL);
        CHECK_RC(kin_connection_recv(pair.here, text, sizeof text, KIN_FOREVER), 5);
    }
    struct pollfd polled = {.fd = kin_connection_fileno(pair.here), .events = POLLIN};
    CHECK_EQ(poll(&polled, 1, 0), 0);
    CHECK_RC(kin_connection_poll(pair.here, KIN_NOW), 0);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_RC(kin_connection_recv(pair.here, text, sizeof text, kin_in_ms(2)), -ETIMEDOUT);
    CHECK_RC(kin_connection_send_descriptor(pair.here, 0, KIN_NOW), -EOPNOTSUPP);
    CHECK_RC(kin_connection_recv_descriptor(pair.here, KIN_NOW), -EOPNOTSUPP);
    CHECK_OK(kin_waiter_close(waiter));
    part(&pair);
}

static void use_parents(kin_connection *connection)
{
    char byte;
    kin_waitable item = kin_on_connection(connection);
    CHECK_RC(kin_connection_send(connection, "a", 1, KIN_NOW), KIN_EPRIVATE);
    CHECK_RC(kin_connection_recv(connection, &byte, 1, KIN_NOW), KIN_EPRIVATE);
    CHECK_RC(kin_connection_poll(connection, KIN_NOW), KIN_EPRIVATE);
    CHECK_RC(kin_connection_fileno(connection), KIN_EPRIVATE);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), KIN_EPRIVATE);
    CHECK_OK(kin_connection_close(connection));
}

static int run_child(void *connection)
{
    use_parents(connection);
    return 0;
}

TEST(it_belongs_to_one_process)
{
    int code = -1;
    kin_process *process = NULL;
    struct pair pair = meet_by_key();
    pid_t child = fork();
    if (child == 0) {
        use_parents(pair.here);
        _exit(0);
    }
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_process_start(&process, run_child, pair.here, NULL));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(process));
    talk(&pair);
    part(&pair);
}

enum { SENDERS = 3, EACH = 300 };

struct side {
    kin_connection *connection;
    pthread_mutex_t lock;
    unsigned seen[SENDERS];
    unsigned left;
};

struct sender {
    pthread_t thread;
    kin_connection *connection;
    unsigned index;
};

static void *send_many(void *context)
{
    struct sender *sender = context;
    unsigned message[2000];
    for (unsigned i = 0; i < EACH; i++) {
        size_t count = 2 + (i * 37 + sender->index) % 1998;
        message[0] = sender->index;
        for (size_t at = 1; at < count; at++) message[at] = i;
        CHECK_RC(kin_connection_send(sender->connection, message, count * sizeof *message, KIN_FOREVER), 0);
    }
    return NULL;
}

static void *receive_many(void *context)
{
    struct side *side = context;
    unsigned message[2000];
    while (__atomic_fetch_sub(&side->left, 1, __ATOMIC_RELAXED) - 1 < SENDERS * EACH) {
        long size = kin_connection_recv(side->connection, message, sizeof message, KIN_FOREVER);
        CHECK_GE(size, (long)(2 * sizeof *message));
        CHECK_LT(message[0], SENDERS);
        for (size_t at = 2; at < (size_t)size / sizeof *message; at++) CHECK_EQ(message[at], message[1]);
        pthread_mutex_lock(&side->lock);
        side->seen[message[0]]++;
        pthread_mutex_unlock(&side->lock);
    }
    return NULL;
}

TEST(threads_on_both_sides_never_mix_messages)
{
    struct pair pair = meet_by_key();
    kin_connection *ends[2] = {pair.here, pair.there};
    struct side sides[2];
    struct sender senders[2][SENDERS];
    pthread_t receivers[2][2];
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.connection = ends[i], .left = SENDERS * EACH};
        pthread_mutex_init(&sides[i].lock, NULL);
        for (unsigned s = 0; s < SENDERS; s++) {
            senders[i][s] = (struct sender){.connection = ends[i], .index = s};
            CHECK_EQ(pthread_create(&senders[i][s].thread, NULL, send_many, &senders[i][s]), 0);
        }
        for (int r = 0; r < 2; r++)
            CHECK_EQ(pthread_create(&receivers[i][r], NULL, receive_many, &sides[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        for (unsigned s = 0; s < SENDERS; s++) CHECK_EQ(pthread_join(senders[i][s].thread, NULL), 0);
        for (int r = 0; r < 2; r++) CHECK_EQ(pthread_join(receivers[i][r], NULL), 0);
        for (unsigned s = 0; s < SENDERS; s++) CHECK_EQ(sides[i].seen[s], EACH);
    }
    part(&pair);
}

/* ---- faults ------------------------------------------------------------------------------------------------- */

static int open_listener(void *context)
{
    return kin_listener_open(context, ANYWHERE, &(kin_listener_options){KEY});
}

static int close_listener(void *context)
{
    return kin_listener_close(*(kin_listener **)context);
}

TEST(a_listener_that_cannot_be_opened_leaves_nothing)
{
    kin_listener *listener = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = open_listener, .unmake = close_listener, .context = &listener});
    CHECK_GT(report.failures, 0);
}
