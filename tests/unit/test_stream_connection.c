/* test_stream_connection.c: connections over a stream: frames as Python's, in whatever pieces they come,
 * messages of any size, deadlines in their middle, hostile sizes, ends, and descriptors. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/wait.h>

/* A connection, and the bare other end. */
static kin_connection *open_stream(int *other)
{
    int ends[2];
    kin_connection *connection = NULL;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_EQ(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
    CHECK_RC(kin_connection_open(&connection, ends[0]), 0);
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    *other = ends[1];
    return connection;
}

static void put(int other, const void *bytes, size_t size)
{
    CHECK_EQ(write(other, bytes, size), (ssize_t)size);
}

TEST(what_is_sent_are_python_s_bytes)
{
    int other;
    unsigned char got[100];
    kin_connection *connection = open_stream(&other);
    CHECK_RC(kin_connection_send(connection, "hello", 5, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_send(connection, NULL, 0, KIN_FOREVER), 0);
    CHECK_EQ(read(other, got, sizeof got), 13);
    CHECK_MEM(got, "\0\0\0\5hello\0\0\0\0", 13);
    close(other);
    CHECK_OK(kin_connection_close(connection));
}

TEST(what_comes_may_come_in_any_pieces)
{
    static const char stream[] = "\0\0\0\5hello\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\3abc\0\0\0\1x";
    const long sizes[] = {5, 0, 3, 1};
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        int other;
        char got[10];
        size_t fed = 0, message = 0, left;
        kin_connection *connection = open_stream(&other);
        test_context("pieces of %zu", piece);
        while ((left = sizeof stream - 1 - fed) > 0) {
            size_t count = piece < left ? piece : left;
            put(other, stream + fed, count);
            fed += count;
            long rc;
            while ((rc = kin_connection_recv(connection, got, sizeof got, KIN_NOW)) >= 0) {
                CHECK_LT(message, 4);
                CHECK_EQ(rc, sizes[message]);
                message++;
            }
            CHECK_RC(rc, -ETIMEDOUT);
        }
        CHECK_EQ(message, 4);
        CHECK_EQ(got[0], 'x');
        close(other);
        CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), KIN_ECLOSED);
        CHECK_OK(kin_connection_close(connection));
    }
}

TEST(a_message_that_is_too_long_stays_whole)
{
    int other;
    char got[10] = "";
    kin_connection *connection = open_stream(&other);
    put(other, "\0\0\0\5hel", 7);
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_connection_recv(connection, got, 4, KIN_FOREVER), KIN_ETOOSMALL);
        CHECK_EQ(kin_needed_size(), 5);
        CHECK_RC(kin_connection_poll(connection, KIN_NOW), 1);
    }
    CHECK_RC(kin_connection_recv(connection, got, 5, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_connection_recv(connection, got, 4, KIN_NOW), KIN_ETOOSMALL);
    memset(got, 0, sizeof got);
    put(other, "lo", 2);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), 5);
    CHECK_STR(got, "hello");
    /* A size that nobody has memory for is only said. */
    put(other, "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), INT64_MAX);
    close(other);
    CHECK_OK(kin_connection_close(connection));
}

/* Else who waits for many connections would be kept busy by a peer that sends one byte and no more. */
TEST(the_beginning_of_a_message_is_waited_with_once)
{
    int other;
    char got[10] = "";
    kin_connection *connection = open_stream(&other);
    kin_waitable item = kin_on_connection(connection);
    for (size_t sent = 0; sent < 8; sent++) {
        put(other, &"\0\0\0\5hell"[sent], 1);
        CHECK_RC(kin_connection_poll(connection, KIN_NOW), 1);
        CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), -ETIMEDOUT);
        CHECK_RC(kin_connection_poll(connection, KIN_NOW), 0);
        CHECK_EQ(kin_wait(&item, 1, KIN_NOW), 0);
    }
    put(other, "o", 1);
    CHECK_EQ(kin_wait(&item, 1, KIN_NOW), 1);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), 5);
    CHECK_STR(got, "hello");
    /* What is no message at all is not waited for. */
    put(other, "\xff\xff\xff\xfe", 4);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), KIN_EPROTOCOL);
    CHECK_EQ(kin_wait(&item, 1, KIN_NOW), 1);
    close(other);
    CHECK_OK(kin_connection_close(connection));
}

TEST(a_message_cut_off_is_told_once)
{
    const size_t cut[] = {1, 3, 4, 6, 8};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        int other;
        char got[10];
        kin_connection *connection = open_stream(&other);
        test_context("cut after %zu bytes", cut[i]);
        put(other, "\0\0\0\5hello", cut[i]);
        if (i % 2 == 0) CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_NOW), -ETIMEDOUT);
        close(other);
        CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_FOREVER), KIN_ETRUNCATED);
        CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_FOREVER), KIN_ECLOSED);
        CHECK_RC(kin_connection_poll(connection, KIN_NOW), 1);
        CHECK_RC(kin_connection_send(connection, "x", 1, KIN_NOW), -EPIPE);
        CHECK_OK(kin_connection_close(connection));
    }
}

TEST(what_is_no_size_ends_the_stream)
{
    int other;
    char got[10];
    kin_connection *connection = open_stream(&other);
    put(other, "\xff\xff\xff\xfe\0\0\0\1x", 9);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_FOREVER), KIN_EPROTOCOL);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_FOREVER), KIN_ECLOSED);
    close(other);
    CHECK_OK(kin_connection_close(connection));
}

TEST(a_message_that_cannot_be_finished_ends_the_sending_side)
{
    int other;
    static char big[4 << 20], got[4 << 20];
    kin_connection *connection = open_stream(&other), *there = NULL;
    CHECK_RC(kin_connection_open(&there, other), 0);
    CHECK_RC(kin_connection_send(connection, big, sizeof big, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_connection_send(connection, "x", 1, KIN_FOREVER), -EPIPE);
    CHECK_RC(kin_connection_recv(there, got, sizeof got, KIN_FOREVER), KIN_ETRUNCATED);
    CHECK_RC(kin_connection_recv(there, got, sizeof got, KIN_FOREVER), KIN_ECLOSED);
    /* The other direction is as it was. */
    CHECK_RC(kin_connection_send(there, "y", 1, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_recv(connection, got, sizeof got, KIN_FOREVER), 1);
    CHECK_OK(kin_connection_close(there));
    CHECK_OK(kin_connection_close(connection));
}

TEST(a_full_stream_loses_nothing)
{
    int other, sent = 0, rc;
    kin_connection *connection = open_stream(&other), *there = NULL;
    CHECK_RC(kin_connection_open(&there, other), 0);
    /* What does not fit at all is not begun; what fits in part would be. */
    while ((rc = kin_connection_send(connection, &sent, sizeof sent, KIN_NOW)) == 0) sent++;
    CHECK_RC(rc, -ETIMEDOUT);
    for (int i = 0; i < sent; i++) {
        int got = -1;
        CHECK_RC(kin_connection_recv(there, &got, sizeof got, KIN_NOW), sizeof got);
        CHECK_EQ(got, i);
    }
    CHECK_OK(kin_connection_close(there));
    CHECK_OK(kin_connection_close(connection));
}

TEST(a_full_network_connection_loses_nothing)
{
    struct numbered {
        int number;
        char rest[1000];
    } message = {0};
    kin_listener *listener = NULL;
    kin_connection *here = NULL, *there = NULL;
    int rc;
    CHECK_OK(kin_listener_open(&listener, "tcp://127.0.0.1:0", NULL));
    CHECK_OK(kin_client_open(&there, kin_listener_address(listener), NULL, KIN_FOREVER));
    CHECK_OK(kin_listener_accept(listener, &here, KIN_FOREVER));
    for (int round = 0; round < 3; round++) {
        int sent = 0;
        for (; (rc = kin_connection_send(there, &message, sizeof message, KIN_NOW)) == 0; sent++)
            message.number++;
        CHECK_RC(rc, -ETIMEDOUT);
        CHECK_GT(sent, 10);
        for (int i = message.number - sent; i < message.number; i++) {
            struct numbered got;
            CHECK_RC(kin_connection_recv(here, &got, sizeof got, KIN_FOREVER), sizeof got);
            CHECK_EQ(got.number, i);
        }
    }
    CHECK_OK(kin_connection_close(here));
    CHECK_OK(kin_connection_close(there));
    CHECK_OK(kin_listener_close(listener));
}

TEST(messages_of_any_size)
{
    int other;
    size_t most = (size_t)20 << 20;
    char *bytes = malloc(most), *got = malloc(most);
    for (size_t i = 0; i < most; i++) bytes[i] = (char)(i * 7 + (i >> 9));
    kin_connection *connection = open_stream(&other), *there = NULL;
    CHECK_RC(kin_connection_open(&there, other), 0);
    pid_t child = fork();
    if (child == 0) {
        for (size_t size = 0; size <= most; size = size * 3 + 1)
            CHECK_RC(kin_connection_send(connection, bytes, size, KIN_FOREVER), 0);
        _exit(0);
    }
    for (size_t size = 0; size <= most; size = size * 3 + 1) {
        long rc;
        while ((rc = kin_connection_recv(there, got, most, kin_in_ms(1))) == -ETIMEDOUT)
            memset(got, 0, most / 8);
        CHECK_RC(rc, (long)size);
        CHECK_MEM(got, bytes, size);
    }
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_connection_close(there));
    CHECK_OK(kin_connection_close(connection));
    free(bytes);
    free(got);
}

TEST(descriptors_are_passed)
{
    int other;
    char byte;
    kin_connection *connection = open_stream(&other), *there = NULL;
    CHECK_RC(kin_connection_open(&there, other), 0);
    CHECK_RC(kin_connection_send(connection, "x", 1, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_send_descriptor(connection, 0, KIN_FOREVER), 0);
    /* A message comes first, and is not harmed. */
    CHECK_RC(kin_connection_recv_descriptor(there, KIN_NOW), -ENOMSG);
    CHECK_RC(kin_connection_recv(there, &byte, 1, KIN_NOW), 1);
    int passed = kin_connection_recv_descriptor(there, KIN_NOW);
    CHECK_OK(passed);
    CHECK_EQ(fcntl(passed, F_GETFD), FD_CLOEXEC);
    close(passed);
    CHECK_RC(kin_connection_recv_descriptor(there, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_connection_close(connection));
    CHECK_RC(kin_connection_recv_descriptor(there, KIN_NOW), KIN_ECLOSED);
    CHECK_OK(kin_connection_close(there));
}

/* Whoever sends two with one byte must not make this process hold on to the second: the case would leave it. */
TEST(a_second_descriptor_is_not_let_in)
{
    int other;
    kin_connection *connection = open_stream(&other);
    for (int i = 0; i < 3; i++) {
        int passed[2] = {0, 0};
        char byte = 1;
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {0};
        struct iovec piece = {&byte, 1};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = CMSG_SPACE(sizeof passed)};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof passed)};
        memcpy(CMSG_DATA(header), passed, sizeof passed);
        CHECK_EQ(sendmsg(other, &message, 0), 1);
        int got = kin_connection_recv_descriptor(connection, KIN_NOW);
        CHECK_OK(got);
        close(got);
    }
    CHECK_OK(kin_connection_close(connection));
    close(other);
}
