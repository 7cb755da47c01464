/* test_pipe_ends.c: descriptors that are passed over a pipe, and who has which of its ends. */
#define _GNU_SOURCE
#include "support/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/error.h>
#include <kin/process.h>

/* ---- descriptors ----------------------------------------------------------------------------------- */

TEST(descriptors_are_passed)
{
    struct ends ends = open_pipe(false);
    int file = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char byte;
    send_message(ends.first, 1);
    CHECK_RC(kin_connection_send_descriptor(ends.first, file, KIN_FOREVER), 0);
    send_message(ends.first, 2);
    CHECK_RC(kin_connection_recv_descriptor(ends.second, KIN_NOW), -ENOMSG);
    receive_message(ends.second, 1, 1);
    CHECK_RC(kin_connection_recv(ends.second, &byte, 1, KIN_NOW), -ENOMSG);
    int passed = kin_connection_recv_descriptor(ends.second, KIN_NOW);
    CHECK_OK(passed);
    CHECK_NE(passed, file);
    CHECK_EQ(fcntl(passed, F_GETFD), FD_CLOEXEC);
    receive_message(ends.second, 2, 2);
    CHECK_RC(kin_connection_send_descriptor(ends.first, -1, KIN_NOW), -EBADF);
    CHECK_RC(kin_connection_send_descriptor(ends.first, 1000000, KIN_NOW), -EBADF);
    close(passed);
    close(file);
    /* One that nobody takes goes with the pipe. */
    CHECK_RC(kin_connection_send_descriptor(ends.first, 0, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_send_descriptor(ends.first, 0, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_recv(ends.second, &byte, 1, KIN_NOW), -ENOMSG);
    close_pipe(&ends);
}

TEST(descriptors_that_there_is_no_room_for_are_told)
{
    struct ends ends = open_pipe(false);
    struct rlimit limit, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_RC(kin_connection_send_descriptor(ends.first, 0, KIN_FOREVER), 0);
    send_message(ends.first, 3);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = kin_connection_recv_descriptor(ends.second, KIN_NOW);
    static char big[1 << 20];
    int large = kin_connection_send(ends.first, big, sizeof big, KIN_NOW);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_RC(rc, -EMFILE);
    CHECK_RC(large, -EMFILE);
    receive_message(ends.second, 3, 3);
    close_pipe(&ends);
}

/* ---- who has which end ----------------------------------------------------------------------------- */

static int expect_not_given(void *argument)
{
    struct ends *ends = argument;
    char byte;
    CHECK_RC(kin_connection_send(ends->second, "x", 1, KIN_NOW), KIN_ENOTGIVEN);
    CHECK_RC(kin_connection_recv(ends->second, &byte, 1, KIN_NOW), KIN_ENOTGIVEN);
    CHECK_RC(kin_connection_poll(ends->second, KIN_NOW), KIN_ENOTGIVEN);
    CHECK_RC(kin_connection_fileno(ends->second), KIN_ENOTGIVEN);
    CHECK_RC(kin_connection_send(ends->first, "given", 5, KIN_FOREVER), 0);
    CHECK_OK(kin_connection_close(ends->second));
    /* It stays until its parent has seen that this process holds no end open. */
    CHECK_RC(kin_connection_recv(ends->first, &byte, 1, KIN_FOREVER), 1);
    return 0;
}

TEST(a_child_has_the_ends_that_it_was_given)
{
    struct ends kept = open_pipe(false), given = open_pipe(false);
    struct ends both = {given.second, kept.second};
    kin_process *child = NULL;
    int code = -1;
    char text[8];
    CHECK_OK(
        kin_process_start(&child, expect_not_given, &both,
                          &(kin_process_options){.connections = (kin_connection *[]){given.second, NULL}}));
    CHECK_RC(kin_connection_recv(given.first, text, sizeof text, KIN_FOREVER), 5);
    /* The child lives, and has no copy of this end: */
    CHECK_OK(kin_connection_close(kept.second));
    CHECK_RC(kin_connection_recv(kept.first, text, sizeof text, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_connection_send(given.first, "x", 1, KIN_FOREVER), 0);
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(child, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(child));
    CHECK_OK(kin_connection_close(kept.first));
    close_pipe(&given);
}

/* What the child has open and nobody gave it. */
static int count_sockets(void *unused)
{
    int count = 0;
    (void)unused;
    for (int descriptor = 3; descriptor < 200; descriptor++) {
        struct stat status;
        count += fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode);
    }
    return count;
}

static atomic_bool enough;

static void *use_pipes(void *unused)
{
    while (!enough) {
        struct ends ends = open_pipe(false);
        close_pipe(&ends);
    }
    return unused;
}

static void *use_one_pipe(void *unused)
{
    struct ends ends = open_pipe(false);
    while (!enough) {
        static char message[100000], got[100000];
        CHECK_RC(kin_connection_send(ends.first, message, sizeof message, KIN_FOREVER), 0);
        CHECK_RC(kin_connection_recv(ends.second, got, sizeof got, KIN_FOREVER), sizeof got);
    }
    close_pipe(&ends);
    return unused;
}

TEST(a_child_has_no_end_that_other_threads_are_opening_and_closing)
{
    pthread_t threads[2];
    CHECK_EQ(pthread_create(&threads[0], NULL, use_pipes, NULL), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, use_one_pipe, NULL), 0);
    for (int i = 0; i < 100; i++) {
        kin_process *child = NULL;
        int code = -1;
        CHECK_OK(kin_process_start(&child, count_sockets, NULL, NULL));
        CHECK_OK(kin_process_join(child, KIN_FOREVER));
        CHECK_OK(kin_process_exit_code(child, &code));
        CHECK_EQ(code, 0);
        CHECK_OK(kin_process_close(child));
    }
    enough = true;
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

TEST(an_end_can_be_passed_to_a_process_that_runs)
{
    struct ends way = open_pipe(false), passed = open_pipe(false);
    pid_t child = fork();
    if (child == 0) {
        kin_connection *got = NULL;
        CHECK_OK(kin_connection_close(passed.first));
        CHECK_OK(kin_connection_close(passed.second));
        int descriptor = kin_connection_recv_descriptor(way.second, KIN_FOREVER);
        CHECK_OK(descriptor);
        CHECK_RC(kin_connection_open(&got, descriptor), 0);
        send_message(got, 10);
        send_message(got, 1 << 20);
        receive_message(got, 5, 5);
        CHECK_OK(kin_connection_close(got));
        _exit(0);
    }
    CHECK_RC(kin_connection_send_descriptor(way.first, kin_connection_fileno(passed.second), KIN_FOREVER), 0);
    CHECK_OK(kin_connection_close(passed.second));
    receive_message(passed.first, 10, 10);
    receive_message(passed.first, 1 << 20, 1 << 20);
    send_message(passed.first, 5);
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(kin_connection_recv(passed.first, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_connection_close(passed.first));
    close_pipe(&way);
}

TEST(exec_takes_no_end_along)
{
    struct ends ends = open_pipe(false);
    CHECK_EQ(fcntl(kin_connection_fileno(ends.first), F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(kin_connection_fileno(ends.second), F_GETFD), FD_CLOEXEC);
    close_pipe(&ends);
}

TEST(what_a_parent_kept_is_not_its_child_s)
{
    struct ends ends = open_pipe(false);
    char byte;
    send_message(ends.first, 100);
    CHECK_RC(kin_connection_recv(ends.second, &byte, 1, KIN_NOW), KIN_ETOOSMALL);
    pid_t child = fork();
    if (child == 0) {
        CHECK_RC(kin_connection_recv(ends.second, &byte, 1, KIN_NOW), -ETIMEDOUT);
        _exit(0);
    }
    CHECK_EQ(test_collect(child), 0);
    receive_message(ends.second, 100, 100);
    close_pipe(&ends);
}
