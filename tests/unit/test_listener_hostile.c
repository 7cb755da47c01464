/* test_listener_hostile.c: what befalls a listener: peers that trickle, that come in crowds, or whose machine
 * vanishes; forks while a thread waits; and others that want the same socket file. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/log.h>
#include <kin/process.h>
#include <kin/wait.h>

#include "ipc/offenders.h"
#include "os/network.h"
#include "support/honest.h"
#include "support/loopback.h"

#define KEY .key = "key", .key_size = 3

static kin_listener *listen_at(const char *address, kin_listener_options options)
{
    kin_listener *listener = NULL;
    CHECK_RC(kin_listener_open(&listener, address, &options), 0);
    return listener;
}

/* A bare stream to a listener at the socket file "socket". */
static int raw_connect(void)
{
    struct kin__address address;
    CHECK_RC(kin__os_address_unix("socket", 6, false, &address), 0);
    int made = kin__os_socket_to(&address);
    CHECK_OK(made);
    CHECK_RC(kin__os_connect(made, &address, KIN_FOREVER), 0);
    return made;
}

static bool is_gone(int peer)
{
    struct pollfd polled = {.fd = peer, .events = POLLIN};
    char bytes[1000];
    while (poll(&polled, 1, 0) == 1)
        if (read(peer, bytes, sizeof bytes) <= 0) return true;
    return false;
}

/* An honest client comes and goes; the listener gives it so long, 0: the default. */
static void serve_one(kin_listener *listener, int64_t handshake_ms)
{
    struct honest_pair pair = honest_meet(listener, &(kin_client_options){KEY}, handshake_ms);
    CHECK_OK(kin_connection_close(pair.here));
    CHECK_OK(kin_connection_close(pair.there));
}

/* ---- slow, and many ------------------------------------------------------------------------------------ */

/* One byte at a time of an answer that would be taken: the time for all of it ends all the same. */
TEST(who_trickles_is_dropped_when_its_time_is_over)
{
    enum { SLOW = 20 };
    int slow[SLOW], gone = 0;
    kin_connection *here = NULL;
    kin_listener *listener = listen_at("unix:socket", (kin_listener_options){KEY, .handshake_ms = 100});
    for (int i = 0; i < SLOW; i++) slow[i] = raw_connect();
    for (int round = 0; gone < SLOW; round++) {
        for (int i = 0; i < SLOW; i++) {
            if (slow[i] < 0) continue;
            if (send(slow[i], &"\0\0\0\370"[round < 3 ? round : 3], 1, MSG_NOSIGNAL) < 0 ||
                is_gone(slow[i])) {
                close(slow[i]);
                slow[i] = -1;
                gone++;
            }
        }
        CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(5)), -ETIMEDOUT);
        if (round == 3) serve_one(listener, 100);
    }
    CHECK_OK(kin_listener_close(listener));
}

static void count_line(enum kin_log_level level, const char *line, void *count)
{
    (void)level;
    (void)line;
    ++*(int *)count;
}

TEST(a_crowd_keeps_nobody_waiting_and_does_not_fill_the_log)
{
    enum { CROWD = 1000 };
    int lines = 0;
    kin_listener *listener = listen_at("unix:socket", (kin_listener_options){KEY});
    kin_log_set(count_line, KIN_LOG_WARNING, &lines);
    double begin = test_seconds();
    for (int i = 0; i < CROWD; i++) {
        int wrong = raw_connect();
        CHECK_EQ(write(wrong, "\0\0\0\5wrong", 9), 9);
        close(wrong);
        if (i % 50 == 0) serve_one(listener, 0);
    }
    serve_one(listener, 0);
    double seconds = test_seconds() - begin;
    kin_log_set(NULL, KIN_LOG_WARNING, NULL);
    /* Ten in a second, and how many more there were. */
    CHECK_GE(lines, 10);
    CHECK_LE(lines, 11 * (1 + (int)seconds) + 11);
    NOTE("%d clients refused in %.2f s, %d lines", CROWD, seconds, lines);
    CHECK_OK(kin_listener_close(listener));
}

/* Does the listener pose a challenge to who comes from there?  If so, the answer is wrong. */
static bool is_let_try(const char *source, kin_listener *listener)
{
    static const char wrong[] = "\0\0\0\5wrong";
    char bytes[200];
    kin_connection *here = NULL;
    int peer = loopback_connect(source, kin_listener_address(listener));
    long got = -1;
    while (got < 0) {
        CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
        got = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == ECONNRESET) got = 0;
    }
    if (got > 0) {
        CHECK_EQ(write(peer, wrong, sizeof wrong - 1), sizeof wrong - 1);
        while (!is_gone(peer)) CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
    }
    close(peer);
    return got > 0;
}

TEST(who_fails_too_often_is_turned_away)
{
    kin_listener *listener = listen_at("tcp://127.0.0.1:0", (kin_listener_options){KEY, .max_failures = 20});
    int tries = 0;
    while (is_let_try("127.0.0.2", listener)) CHECK_LE(++tries, 1000);
    CHECK_GE(tries, 20);
    /* Another address is another's, and this machine's programs are not blamed for each other. */
    CHECK(is_let_try("127.0.0.3", listener));
    for (int i = 0; i < 100; i++) CHECK(is_let_try("127.0.0.1", listener));
    serve_one(listener, 0);
    NOTE("turned away after %d tries", tries);
    CHECK_OK(kin_listener_close(listener));

    listener = listen_at("tcp://127.0.0.1:0", (kin_listener_options){KEY, .max_failures = UINT_MAX});
    for (int i = 0; i < 100; i++) CHECK(is_let_try("127.0.0.2", listener));
    CHECK_OK(kin_listener_close(listener));
}

/* One that fills all places is the one that loses them, though others have waited longer. */
TEST(a_crowd_of_one_address_gives_way_first)
{
    enum { CROWD = 8 };
    int crowd[3 * CROWD];
    kin_connection *here = NULL;
    kin_listener *listener =
        listen_at("tcp://127.0.0.1:0", (kin_listener_options){KEY, .max_pending = CROWD});
    int first = loopback_connect("127.0.0.3", kin_listener_address(listener));
    CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
    for (int i = 0; i < 3 * CROWD; i++) {
        crowd[i] = loopback_connect("127.0.0.2", kin_listener_address(listener));
        CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
    }
    while (!is_gone(crowd[2 * CROWD]))
        CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(1)), -ETIMEDOUT);
    CHECK(!is_gone(first));
    CHECK(!is_gone(crowd[3 * CROWD - 1]));
    for (int i = 0; i < 3 * CROWD; i++) close(crowd[i]);
    close(first);
    CHECK_OK(kin_listener_close(listener));
}

TEST(a_debt_is_paid_by_time)
{
    static struct kin__offenders offenders;
    const kin_deadline second = 1000000000, start = 5 * second;
    for (int i = 0; i < 10; i++) {
        CHECK(!kin__offenders_refuse(&offenders, 1, 10, start));
        kin__offenders_note(&offenders, 1, 10, start);
    }
    CHECK(!kin__offenders_refuse(&offenders, 1, 10, start));
    kin__offenders_note(&offenders, 1, 10, start);
    CHECK(kin__offenders_refuse(&offenders, 1, 10, start));
    CHECK(kin__offenders_refuse(&offenders, 1, 10, start + second - 1));
    CHECK(!kin__offenders_refuse(&offenders, 1, 10, start + second));
    /* It does not grow without end, */
    for (int i = 0; i < 10000; i++) kin__offenders_note(&offenders, 1, 10, start);
    CHECK(kin__offenders_refuse(&offenders, 1, 10, start + 59 * second));
    CHECK(!kin__offenders_refuse(&offenders, 1, 10, start + 60 * second));
    /* and of many those who owe least are forgotten. */
    for (uint64_t network = 2; network < 5000; network++) kin__offenders_note(&offenders, network, 10, start);
    CHECK(kin__offenders_refuse(&offenders, 1, 10, start));
    CHECK(!kin__offenders_refuse(&offenders, 0, 10, start));
}

/* The other side of those: connects so often, and talks by some of the connections, one after the other. */
static void be_many(int many, int step)
{
    char byte;
    kin_connection **there = calloc((size_t)many, sizeof *there);
    for (int i = 0; i < many; i++) CHECK_RC(kin_client_open(&there[i], "unix:socket", NULL, KIN_FOREVER), 0);
    for (int i = 0; i < many; i += step) {
        CHECK_RC(kin_connection_send(there[i], "x", 1, KIN_FOREVER), 0);
        CHECK_RC(kin_connection_recv(there[i], &byte, 1, KIN_FOREVER), 1);
    }
    _exit(0);
}

/* Of ten thousand connections that are idle and a hundred that are not, each of these is told by itself. */
TEST(thousands_of_idle_connections)
{
    enum { MANY = 10100, FEW = 200 };
    static kin_connection *here[MANY];
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int many = test_sanitized()              ? FEW
               : limit.rlim_max > MANY + 100 ? MANY
                                             : (int)limit.rlim_max - 100,
        status;
    int step = many / 100;
    kin_waiter *waiter = NULL;
    kin_waitable ready;
    char byte;
    kin_listener *listener = listen_at("unix:socket", (kin_listener_options){0});
    CHECK_OK(kin_waiter_open(&waiter));
    double begin = test_seconds();
    pid_t pid = fork();
    if (pid == 0) be_many(many, step);
    for (int i = 0; i < many; i++) {
        CHECK_RC(kin_listener_accept(listener, &here[i], KIN_FOREVER), 0);
        kin_waitable item = kin_on_connection(here[i]);
        item.data = &here[i];
        CHECK_RC(kin_waiter_add(waiter, &item), 0);
    }
    double accepted = test_seconds();
    for (int i = 0; i < many; i += step) {
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER), 1);
        CHECK_EQ(ready.data, &here[i]);
        CHECK_RC(kin_connection_recv(here[i], &byte, 1, KIN_NOW), 1);
        CHECK_RC(kin_connection_send(here[i], "y", 1, KIN_NOW), 0);
    }
    NOTE("%d connections in %.2f s, a turn with one of them in %.0f us", many, accepted - begin,
         (test_seconds() - accepted) * 1e6 * step / many);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_OK(kin_waiter_close(waiter));
    for (int i = 0; i < many; i++) CHECK_OK(kin_connection_close(here[i]));
    CHECK_OK(kin_listener_close(listener));
}

/* ---- half-open: the other machine vanishes ------------------------------------------------------------- */

static void set_loopback(bool up)
{
    struct ifreq request = {.ifr_name = "lo"};
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_OK(any);
    CHECK_EQ(ioctl(any, SIOCGIFFLAGS, &request), 0);
    request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    CHECK_EQ(ioctl(any, SIOCSIFFLAGS, &request), 0);
    close(any);
}

/* A network of our own, which can be cut. */
static void enter_network(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
        SKIP("no network namespace can be made: %s", strerror(errno));
    set_loopback(true);
}

/* What becomes of a connection to a machine that vanished: nothing is known of it until a second has passed since it
 * was last heard of. */
static void check_silence(kin_connection *ours, bool sends, double heard)
{
    char byte;
    int sent = sends ? kin_connection_send(ours, "hello", 5, KIN_FOREVER) : 0;
    int rc = sent == 0 ? kin_connection_recv(ours, &byte, 1, kin_in_ms(1)) : sent;
    if (rc == -ETIMEDOUT) {
        CHECK_RC(kin_connection_poll(ours, KIN_FOREVER), 1);
        rc = kin_connection_recv(ours, &byte, 1, KIN_FOREVER);
    }
    CHECK_RC(rc, KIN_ESILENT);
    CHECK_GE(test_seconds() - heard, 0.9); /* the kernel counts in ticks */
    CHECK_RC(kin_connection_recv(ours, &byte, 1, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_connection_send(ours, "x", 1, KIN_FOREVER), -EPIPE);
}

/* Whether something was sent to it or not, and in either role. */
TEST(a_machine_that_vanishes_is_noticed)
{
    enter_network();
    for (int way = 0; way < 4; way++) {
        kin_connection *here = NULL, *there = NULL;
        test_context("way %d", way);
        kin_listener *listener = listen_at("tcp://127.0.0.1:0", (kin_listener_options){.silence_s = 1});
        double heard = test_seconds();
        CHECK_RC(kin_client_open(&there, kin_listener_address(listener),
                                 &(kin_client_options){.silence_s = 1}, KIN_FOREVER),
                 0);
        CHECK_RC(kin_listener_accept(listener, &here, KIN_FOREVER), 0);
        set_loopback(false);
        check_silence(way % 2 == 0 ? here : there, way >= 2, heard);
        set_loopback(true);
        CHECK_OK(kin_connection_close(here));
        CHECK_OK(kin_connection_close(there));
        CHECK_OK(kin_listener_close(listener));
    }
}

TEST(a_client_whose_machine_vanishes_keeps_nobody_waiting)
{
    struct kin__address address;
    kin_connection *here = NULL, *there = NULL;
    enter_network();
    kin_listener *listener = listen_at("tcp://127.0.0.1:0", (kin_listener_options){KEY, .handshake_ms = 200});
    const char *port = strrchr(kin_listener_address(listener), ':') + 1;
    CHECK_RC(kin__os_address_lookup("127.0.0.1", port, false, &address, 1, KIN_FOREVER), 1);
    int half = kin__os_socket_to(&address);
    CHECK_OK(half);
    CHECK_RC(kin__os_connect(half, &address, KIN_FOREVER), 0);
    CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(10)), -ETIMEDOUT);
    set_loopback(false);
    CHECK_RC(kin_listener_accept(listener, &here, kin_in_ms(10)), -ETIMEDOUT);
    int rc =
        kin_client_open(&there, kin_listener_address(listener), &(kin_client_options){KEY}, kin_in_ms(50));
    CHECK(rc == -ETIMEDOUT || rc == -ENETUNREACH);
    set_loopback(true);
    serve_one(listener, 200);
    close(half);
    CHECK_OK(kin_listener_close(listener));
}

TEST(absurd_silences_are_refused)
{
    kin_listener *listener = NULL;
    kin_connection *connection = NULL;
    CHECK_RC(kin_listener_open(&listener, "tcp://127.0.0.1:0", &(kin_listener_options){.silence_s = 32768}),
             -EINVAL);
    CHECK_RC(
        kin_client_open(&connection, "tcp://127.0.0.1:1", &(kin_client_options){.silence_s = 32768}, KIN_NOW),
        -EINVAL);
}

/* ---- forks while a thread waits -------------------------------------------------------------------------- */

struct waiting {
    pthread_t thread;
    _Atomic pid_t id;
    kin_listener *listener;
    kin_connection *connection;
};

static bool is_asleep(pid_t thread)
{
    char path[60], text[400] = "", *end;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    CHECK_GT(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    end = strrchr(text, ')');
    return end != NULL && end[2] == 'S';
}

/* Until it waits for what is to come, with whatever it holds meanwhile. */
static void start_waiting(struct waiting *waiting, void *(*run)(void *))
{
    CHECK_EQ(pthread_create(&waiting->thread, NULL, run, waiting), 0);
    test_until(atomic_load(&waiting->id) != 0 && is_asleep(atomic_load(&waiting->id)));
}

static void *accept_one(void *context)
{
    struct waiting *waiting = context;
    atomic_store(&waiting->id, gettid());
    CHECK_RC(kin_listener_accept(waiting->listener, &waiting->connection, KIN_FOREVER), 0);
    return NULL;
}

static int accept_in_child(void *listener)
{
    kin_connection *here = NULL;
    int rc = kin_listener_accept(listener, &here, KIN_FOREVER);
    kin_connection_close(here);
    return rc;
}

TEST(a_child_accepts_although_a_thread_did_when_it_was_forked)
{
    kin_process *child = NULL;
    kin_connection *there[2] = {NULL};
    int code = -1;
    struct waiting waiting = {.listener = listen_at("unix:socket", (kin_listener_options){0})};
    start_waiting(&waiting, accept_one);
    CHECK_OK(kin_process_start(&child, accept_in_child, waiting.listener, NULL));
    for (int i = 0; i < 2; i++) CHECK_RC(kin_client_open(&there[i], "unix:socket", NULL, KIN_FOREVER), 0);
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(child, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(child));
    CHECK_EQ(pthread_join(waiting.thread, NULL), 0);
    CHECK_OK(kin_connection_close(waiting.connection));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_close(there[i]));
    CHECK_OK(kin_listener_close(waiting.listener));
}

static void *receive_one(void *context)
{
    struct waiting *waiting = context;
    char byte;
    atomic_store(&waiting->id, gettid());
    CHECK_RC(kin_connection_recv(waiting->connection, &byte, 1, KIN_FOREVER), 1);
    return NULL;
}

TEST(a_child_receives_although_a_thread_did_when_it_was_forked)
{
    kin_connection *there = NULL;
    struct waiting waiting = {.listener = NULL};
    int ends[2], go[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    CHECK_EQ(pipe2(go, O_CLOEXEC), 0);
    CHECK_OK(kin_connection_open(&waiting.connection, ends[0]));
    CHECK_OK(kin_connection_open(&there, ends[1]));
    start_waiting(&waiting, receive_one);
    pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        CHECK_EQ(read(go[0], &byte, 1), 1);
        CHECK_RC(kin_connection_recv(waiting.connection, &byte, 1, KIN_FOREVER), 1);
        _exit(byte != 'b');
    }
    CHECK_RC(kin_connection_send(there, "a", 1, KIN_FOREVER), 0);
    CHECK_EQ(pthread_join(waiting.thread, NULL), 0);
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_RC(kin_connection_send(there, "b", 1, KIN_FOREVER), 0);
    CHECK_EQ(test_collect(child), 0);
    close(go[0]);
    close(go[1]);
    CHECK_OK(kin_connection_close(there));
    CHECK_OK(kin_connection_close(waiting.connection));
}

/* ---- who wants the same socket file ---------------------------------------------------------------------- */

struct race {
    _Atomic int ready, begun, won, lost, over;
};

static void run_race(void *context)
{
    struct race *race = context;
    kin_listener *listener = NULL;
    atomic_fetch_add(&race->ready, 1);
    while (atomic_load(&race->begun) == 0) continue;
    int rc = kin_listener_open(&listener, "unix:socket", NULL);
    if (rc < 0) CHECK_RC(rc, -EADDRINUSE);
    atomic_fetch_add(rc == 0 ? &race->won : &race->lost, 1);
    while (atomic_load(&race->over) == 0) sched_yield();
    CHECK_OK(kin_listener_close(listener));
}

/* A listener was killed, and several want to take its place at once. */
TEST(one_of_many_takes_the_place_of_a_dead_one)
{
    enum { RACERS = 4 };
    struct race *race = test_shared(sizeof *race);
    for (int round = 0; round < (test_sanitized() ? 10 : 60); round++) {
        pid_t children[RACERS];
        *race = (struct race){0};
        pid_t dead = fork();
        if (dead == 0) {
            listen_at("unix:socket", (kin_listener_options){0});
            raise(SIGKILL);
        }
        test_collect(dead);
        for (int i = 0; i < RACERS; i++) children[i] = test_child(run_race, race);
        test_until(atomic_load(&race->ready) == RACERS);
        atomic_store(&race->begun, 1);
        test_until(atomic_load(&race->won) + atomic_load(&race->lost) == RACERS);
        CHECK_EQ(atomic_load(&race->won), 1);
        close(raw_connect());
        atomic_store(&race->over, 1);
        for (int i = 0; i < RACERS; i++) CHECK_EQ(test_collect(children[i]), 0);
        CHECK_EQ(access("socket", F_OK), -1);
    }
}

/* Somebody holds the directory's lock for ever: a new file can be made, and none is replaced. */
TEST(a_locked_directory_holds_nobody_up)
{
    kin_listener *listener = NULL;
    int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(directory);
    CHECK_EQ(flock(directory, LOCK_EX), 0);
    pid_t dead = fork();
    if (dead == 0) {
        listen_at("unix:socket", (kin_listener_options){0});
        raise(SIGKILL);
    }
    test_collect(dead);
    CHECK_RC(kin_listener_open(&listener, "unix:socket", NULL), -EADDRINUSE);
    close(directory);
    listener = listen_at("unix:socket", (kin_listener_options){0});
    CHECK_OK(kin_listener_close(listener));
}
