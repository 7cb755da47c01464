/* test_pipe.c: the contract of a pipe: whole messages of any size, both ways, bounds, deadlines,
 * ends of file. */
#define _GNU_SOURCE
#include "support/crew.h"
#include "support/faults.h"
#include "support/pipes.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/error.h>
#include <kin/memory.h>
#include <kin/process.h>

/* ---- messages ------------------------------------------------------------------------------------- */

static const size_t sizes[] = {0, 1, 7, 100, 4096, 65535, 65536, 65537, 250000, 1 << 20, (9 << 20) + 3};
#define SIZES  (sizeof sizes / sizeof *sizes)
#define ROUNDS (test_sanitized() ? 2 : 3)

static int send_all_sizes(void *end)
{
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < SIZES; i++) send_message(end, sizes[i]);
    return 0;
}

TEST(messages_of_any_size_come_out_as_they_went_in)
{
    for (int simplex = 0; simplex < 2; simplex++) {
        struct ends ends = open_pipe(simplex);
        kin_process *child = NULL;
        CHECK_OK(kin_process_start(&child, send_all_sizes, ends.second, NULL));
        CHECK_OK(kin_connection_close(ends.second));
        for (int round = 0; round < ROUNDS; round++) {
            for (size_t i = 0; i < SIZES; i++) {
                test_context("size %zu, round %d", sizes[i], round);
                receive_message(ends.first, sizes[i], round == 0 ? sizes[i] : sizes[SIZES - 1]);
            }
        }
        test_context(NULL);
        CHECK_RC(kin_connection_recv(ends.first, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
        CHECK_RC(kin_connection_recv(ends.first, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
        CHECK_OK(kin_process_join(child, KIN_FOREVER));
        CHECK_OK(kin_process_close(child));
        CHECK_OK(kin_connection_close(ends.first));
    }
}

static int echo(void *end)
{
    static unsigned char bytes[1 << 20];
    long size;
    while ((size = kin_connection_recv(end, bytes, sizeof bytes, KIN_FOREVER)) >= 0)
        CHECK_RC(kin_connection_send(end, bytes, (size_t)size, KIN_FOREVER), 0);
    return size != KIN_ECLOSED;
}

TEST(both_ways)
{
    struct ends ends = open_pipe(false);
    kin_process *child = NULL;
    int code = -1;
    CHECK_OK(kin_process_start(&child, echo, ends.second, NULL));
    CHECK_OK(kin_connection_close(ends.second));
    for (size_t size = 0; size < 1 << 20; size = size * 2 + 1) {
        send_message(ends.first, size);
        receive_message(ends.first, size, size);
    }
    CHECK_OK(kin_connection_close(ends.first));
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(child, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(child));
}

TEST(a_message_that_is_too_long_stays_whole)
{
    struct ends ends = open_pipe(false);
    pid_t child = fork();
    if (child == 0) {
        send_message(ends.second, 100);
        send_message(ends.second, 300000);
        send_message(ends.second, 5);
        _exit(0);
    }
    char small[4];
    for (int attempt = 0; attempt < 3; attempt++) {
        CHECK_RC(kin_connection_recv(ends.first, small, sizeof small, KIN_FOREVER), KIN_ETOOSMALL);
        CHECK_EQ(kin_needed_size(), 100);
        CHECK_RC(kin_connection_poll(ends.first, KIN_NOW), 1);
    }
    receive_message(ends.first, 100, 200);
    CHECK_RC(kin_connection_recv(ends.first, small, sizeof small, KIN_FOREVER), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 300000);
    CHECK_RC(kin_connection_recv(ends.first, small, 0, KIN_FOREVER), KIN_ETOOSMALL);
    receive_message(ends.first, 300000, 300000);
    receive_message(ends.first, 5, 5);
    CHECK_EQ(test_collect(child), 0);
    close_pipe(&ends);
}

/* ---- deadlines, ends ------------------------------------------------------------------------------- */

struct receiver {
    kin_connection *end;
    size_t capacity;
    pthread_t thread;
    _Atomic pid_t id;
    long rc;
};

static void *receive_one(void *context)
{
    struct receiver *receiver = context;
    char bytes[100];
    receiver->id = gettid();
    receiver->rc = kin_connection_recv(receiver->end, bytes, receiver->capacity, KIN_FOREVER);
    return NULL;
}

TEST(what_one_thread_leaves_over_another_that_waits_receives)
{
    for (int round = 0; round < 50; round++) {
        struct ends ends = open_pipe(false);
        struct receiver small = {.end = ends.second, .capacity = 1};
        struct receiver large = {.end = ends.second, .capacity = 100};
        struct receiver *receivers[2] = {&small, &large};
        for (int i = 0; i < 2; i++) {
            struct receiver *one = receivers[i];
            CHECK_EQ(pthread_create(&one->thread, NULL, receive_one, one), 0);
            while (one->id == 0 || !test_is_asleep(one->id)) sched_yield();
        }
        /* Whichever is woken by it: the first has no room for it, and returns with an error. */
        send_message(ends.first, 10);
        CHECK_EQ(pthread_join(large.thread, NULL), 0);
        CHECK_RC(large.rc, 10);
        send_message(ends.first, 1);
        CHECK_EQ(pthread_join(small.thread, NULL), 0);
        CHECK(small.rc == 1 || small.rc == KIN_ETOOSMALL);
        close_pipe(&ends);
    }
}

TEST(deadlines_are_kept)
{
    struct ends ends = open_pipe(false);
    static char big[1 << 20];
    char byte;
    CHECK_RC(kin_connection_recv(ends.first, &byte, 1, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_connection_recv(ends.first, &byte, 1, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_connection_poll(ends.first, kin_in_ms(5)), 0);
    CHECK_RC(kin_connection_recv_descriptor(ends.first, kin_in_ms(5)), -ETIMEDOUT);
    int sent = 0, rc;
    while ((rc = kin_connection_send(ends.first, &sent, sizeof sent, KIN_NOW)) == 0) sent++;
    CHECK_RC(rc, -ETIMEDOUT);
    CHECK_GT(sent, 10);
    CHECK_RC(kin_connection_send(ends.first, big, sizeof big, kin_in_ms(5)), -ETIMEDOUT);
    for (int i = 0; i < sent; i++) {
        int got = -1;
        CHECK_RC(kin_connection_recv(ends.second, &got, sizeof got, KIN_NOW), sizeof got);
        CHECK_EQ(got, i);
    }
    CHECK_RC(kin_connection_recv(ends.second, &byte, 1, KIN_NOW), -ETIMEDOUT);
    close_pipe(&ends);
}

TEST(a_large_message_that_was_given_up_is_passed_over)
{
    struct ends ends = open_pipe(false);
    static char big[1 << 20];
    char byte = 0;
    CHECK_RC(kin_connection_send(ends.first, big, sizeof big, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_connection_recv(ends.second, big, sizeof big, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_connection_send(ends.first, big, sizeof big, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_connection_send(ends.first, "x", 1, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_recv(ends.second, &byte, 1, KIN_NOW), KIN_ETOOSMALL);
    CHECK_RC(kin_connection_recv(ends.second, big, sizeof big, KIN_NOW), 1);
    CHECK_EQ(big[0], 'x');
    close_pipe(&ends);
}

/* Sends a large message bit by bit, so that a receiver's deadline comes in its middle. */
TEST(a_deadline_in_a_large_message_loses_nothing)
{
    struct ends ends = open_pipe(false);
    size_t size = 3 << 20;
    pid_t child = fork();
    if (child == 0) {
        send_message(ends.second, size);
        _exit(0);
    }
    unsigned char *got = malloc(size), *expected = make_message(size);
    long rc;
    unsigned timeouts = 0;
    CHECK_RC(kin_connection_poll(ends.first, KIN_FOREVER), 1);
    while ((rc = kin_connection_recv(ends.first, got, size, KIN_NOW)) == -ETIMEDOUT) {
        /* What came before is kept in the handle, not in the buffer. */
        memset(got, 0, size);
        timeouts++;
    }
    CHECK_RC(rc, (long)size);
    CHECK_MEM(got, expected, size);
    NOTE("%u deadlines", timeouts);
    CHECK_EQ(test_collect(child), 0);
    free(got);
    free(expected);
    close_pipe(&ends);
}

TEST(what_was_sent_before_the_end_is_received)
{
    struct ends ends = open_pipe(false);
    send_message(ends.first, 10);
    send_message(ends.second, 11);
    send_message(ends.second, 12);
    CHECK_OK(kin_connection_close(ends.second));
    CHECK_RC(kin_connection_send(ends.first, "x", 1, KIN_NOW), -EPIPE);
    receive_message(ends.first, 11, 11);
    receive_message(ends.first, 12, 12);
    CHECK_RC(kin_connection_poll(ends.first, KIN_FOREVER), 1);
    CHECK_RC(kin_connection_recv(ends.first, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
    static char big[1 << 20];
    CHECK_RC(kin_connection_send(ends.first, big, sizeof big, KIN_FOREVER), -EPIPE);
    CHECK_OK(kin_connection_close(ends.first));
}

TEST(a_simplex_pipe_has_one_direction)
{
    struct ends ends = open_pipe(true);
    CHECK_RC(kin_connection_send(ends.first, "x", 1, KIN_NOW), -EBADF);
    CHECK_RC(kin_connection_recv(ends.second, NULL, 0, KIN_NOW), -EBADF);
    CHECK_RC(kin_connection_poll(ends.second, KIN_NOW), -EBADF);
    CHECK_RC(kin_connection_send_descriptor(ends.first, 0, KIN_NOW), -EBADF);
    CHECK_RC(kin_connection_recv_descriptor(ends.second, KIN_NOW), -EBADF);
    send_message(ends.second, 3);
    receive_message(ends.first, 3, 3);
    close_pipe(&ends);
}

TEST(fileno_can_be_polled)
{
    struct ends ends = open_pipe(false);
    struct pollfd polled = {.fd = kin_connection_fileno(ends.second), .events = POLLIN};
    CHECK_EQ(poll(&polled, 1, 0), 0);
    send_message(ends.first, 0);
    CHECK_EQ(poll(&polled, 1, 0), 1);
    receive_message(ends.second, 0, 0);
    CHECK_EQ(poll(&polled, 1, 0), 0);
    close_pipe(&ends);
}

/* ---- many senders and receivers --------------------------------------------------------------------- */

#define PER_SENDER 300
#define SENDERS    4

struct traffic {
    kin_connection *in;
    kin_connection *out;
    _Atomic unsigned long received;
    _Atomic unsigned long sum;
};

static size_t traffic_size(unsigned number)
{
    return number % 50 == 0 ? 100000 + number * 131 : number % 7 * 300 + sizeof(unsigned);
}

/* Even members send, odd ones receive; a message is filled with its number. */
static void exchange(void *context, unsigned index)
{
    struct traffic *traffic = context;
    unsigned *message = malloc(200000);
    if (index % 2 == 0) {
        for (unsigned i = 1; i <= PER_SENDER; i++) {
            size_t count = traffic_size(i) / sizeof *message;
            for (size_t j = 0; j < count; j++) message[j] = i;
            CHECK_RC(kin_connection_send(traffic->out, message, count * sizeof *message, KIN_FOREVER), 0);
        }
    } else {
        while (atomic_load(&traffic->received) < PER_SENDER * SENDERS) {
            long size = kin_connection_recv(traffic->in, message, 200000, kin_in_ms(20));
            if (size == -ETIMEDOUT) continue;
            CHECK_GT(size, 0);
            CHECK_EQ((size_t)size, traffic_size(message[0]) / sizeof *message * sizeof *message);
            for (size_t j = 1; j < (size_t)size / sizeof *message; j++) CHECK_EQ(message[j], message[0]);
            atomic_fetch_add(&traffic->sum, message[0]);
            atomic_fetch_add(&traffic->received, 1);
        }
    }
    free(message);
}

static void messages_never_mix(enum crew_kind kind)
{
    struct ends ends = open_pipe(false);
    struct traffic *traffic = kin_alloc(sizeof *traffic);
    *traffic = (struct traffic){.in = ends.first, .out = ends.second};
    crew_run(kind, 2 * SENDERS, exchange, traffic);
    CHECK_EQ(atomic_load(&traffic->received), PER_SENDER * SENDERS);
    CHECK_EQ(atomic_load(&traffic->sum), (unsigned long)SENDERS * PER_SENDER * (PER_SENDER + 1) / 2);
    CHECK_OK(kin_free(traffic));
    close_pipe(&ends);
}
CREW_TEST(messages_never_mix)

/* ---- bad input, faults ------------------------------------------------------------------------------- */

TEST(bad_input_is_refused)
{
    struct ends ends = open_pipe(false);
    kin_connection *connection = NULL;
    CHECK_RC(kin_pipe_open(NULL, &connection, NULL), -EINVAL);
    CHECK_RC(kin_pipe_open(&connection, NULL, NULL), -EINVAL);
    CHECK_RC(kin_connection_send(NULL, "", 0, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_send(ends.first, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_send(ends.first, "", SIZE_MAX, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_recv(NULL, NULL, 0, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_recv(ends.first, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_poll(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_fileno(NULL), -EINVAL);
    CHECK_RC(kin_connection_send_descriptor(NULL, 0, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_recv_descriptor(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_connection_open(NULL, 0), -EINVAL);
    CHECK_RC(kin_connection_open(&connection, -1), -EBADF);
    int pipe_ends[2];
    CHECK_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    CHECK_RC(kin_connection_open(&connection, pipe_ends[0]), -ENOTSOCK);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_RC(kin_connection_open(&connection, datagrams), -EPROTOTYPE);
    close(datagrams);
    CHECK_RC(kin_connection_close(NULL), 0);
    close_pipe(&ends);
}

static int make(void *context)
{
    struct ends *ends = context;
    return kin_pipe_open(&ends->first, &ends->second, NULL);
}

static int unmake(void *context)
{
    struct ends *ends = context;
    kin_connection_close(ends->first);
    return kin_connection_close(ends->second);
}

TEST(opening_fails_cleanly)
{
    struct ends ends;
    struct faults_report report = faults(&(struct faults){.make = make, .unmake = unmake, .context = &ends});
    CHECK_GT(report.failures, 0);
}

static int pass_large(void *context)
{
    struct ends *ends = context;
    static char big[100000];
    int rc = kin_connection_send(ends->first, big, sizeof big, KIN_FOREVER);
    if (rc == 0) rc = kin_connection_recv(ends->second, big, 10, KIN_NOW) == KIN_ETOOSMALL ? 0 : -ENOMEM;
    if (rc == 0) rc = (int)kin_connection_recv(ends->second, big, sizeof big, KIN_NOW);
    return rc < 0 ? rc : 0;
}

static int drain(void *context)
{
    struct ends *ends = context;
    static char big[100000];
    while (kin_connection_recv(ends->second, big, sizeof big, KIN_NOW) >= 0) continue;
    return 0;
}

static int pass_and_drain(void *context)
{
    int rc = pass_large(context);
    if (rc < 0) drain(context);
    return rc;
}

TEST(large_messages_fail_cleanly)
{
    if (test_sanitized()) SKIP("a sanitizer's allocator makes mappings of its own");
    struct ends ends = open_pipe(false);
    struct faults_report report =
        faults(&(struct faults){.make = pass_and_drain, .unmake = drain, .context = &ends});
    CHECK_GT(report.failures, 0);
    close_pipe(&ends);
}
