/* test_loop.c: the event loop: descriptors, blocking calls moved to threads, a foreign loop around it. */
#define _GNU_SOURCE
#include "support/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/loop.h>
#include <kin/process.h>
#include <kin/thread.h>

/* Ends a case: nobody is left, and the loop's descriptors are closed. */
static void run_to_end(void)
{
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

/* ---- descriptors ------------------------------------------------------------------------------------- */

static int ends[2];
static char heard[64];

static int hear(void *unused)
{
    (void)unused;
    CHECK_EQ(kin_wait_descriptor(ends[0], KIN_READABLE, KIN_FOREVER), KIN_READABLE);
    CHECK_EQ(read(ends[0], heard, sizeof heard), 6);
    /* Nothing more is there. */
    CHECK_RC(kin_wait_descriptor(ends[0], KIN_READABLE, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_wait_descriptor(ends[0], KIN_READABLE, kin_in_ms(1)), -ETIMEDOUT);
    return 0;
}

static int say(void *unused)
{
    (void)unused;
    CHECK_EQ(kin_wait_descriptor(ends[1], KIN_WRITABLE, KIN_FOREVER), KIN_WRITABLE);
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    CHECK_EQ(write(ends[1], "hello", 6), 6);
    return 0;
}

TEST_COLD(a_coroutine_waits_for_a_descriptor)
{
    CHECK_OK(pipe(ends));
    CHECK_OK(kin_coroutine_start(NULL, hear, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, say, NULL, NULL));
    run_to_end();
    CHECK_STR(heard, "hello");
    close(ends[0]);
    close(ends[1]);
}

static int wait_both(void *unused)
{
    (void)unused;
    return kin_wait_descriptor(ends[0], KIN_READABLE | KIN_WRITABLE, KIN_FOREVER);
}

static int hang_up(void *unused)
{
    (void)unused;
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    return close(ends[1]);
}

static int hear_end(void *unused)
{
    (void)unused;
    char byte;
    CHECK((kin_wait_descriptor(ends[0], KIN_READABLE, KIN_FOREVER) & KIN_READABLE) != 0);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    return 0;
}

TEST(a_hang_up_wakes)
{
    CHECK_OK(pipe(ends));
    CHECK_OK(kin_coroutine_start(NULL, hear_end, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, hang_up, NULL, NULL));
    run_to_end();
    close(ends[0]);
}

TEST(several_wait_for_one_descriptor)
{
    int result;
    kin_coroutine *both = NULL, *reader = NULL;
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    CHECK_OK(kin_coroutine_start(&reader, hear_end, NULL, NULL));
    CHECK_OK(kin_coroutine_start(&both, wait_both, NULL, NULL));
    CHECK_OK(kin_coroutine_join(both, KIN_FOREVER));
    CHECK_OK(kin_coroutine_result(both, &result));
    CHECK_EQ(result, KIN_WRITABLE);
    CHECK_EQ(kin_coroutine_is_alive(reader), 1);
    CHECK_OK(close(ends[1]));
    run_to_end();
    CHECK_OK(kin_coroutine_close(both));
    CHECK_OK(kin_coroutine_close(reader));
    close(ends[0]);
}

/* The number is closed, and another descriptor's by the next time. */
static int reuse_number(void *unused)
{
    (void)unused;
    int first = -1;
    for (int i = 0; i < 20; i++) {
        CHECK_OK(pipe(ends));
        if (first < 0) first = ends[0];
        CHECK_EQ(ends[0], first);
        CHECK_RC(kin_wait_descriptor(ends[0], KIN_READABLE, kin_in_ms(1)), -ETIMEDOUT);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        CHECK_EQ(kin_wait_descriptor(ends[0], KIN_READABLE, KIN_FOREVER), KIN_READABLE);
        close(ends[0]);
        close(ends[1]);
    }
    return 0;
}

TEST(a_number_that_is_used_again_is_another_descriptor)
{
    CHECK_OK(kin_coroutine_start(NULL, reuse_number, NULL, NULL));
    run_to_end();
}

static int wait_for_old_and_new(void *unused)
{
    (void)unused;
    int old[2];
    CHECK_OK(pipe(old));
    CHECK_RC(kin_wait_descriptor(old[0], KIN_READABLE, kin_in_ms(1)), -ETIMEDOUT);
    /* Still armed, the first pipe lives on under another number. */
    int kept = dup(old[0]);
    CHECK_OK(kept);
    close(old[0]);
    CHECK_OK(pipe(ends));
    CHECK_EQ(ends[0], old[0]);
    CHECK_EQ(write(old[1], "x", 1), 1);
    CHECK_RC(kin_wait_descriptor(ends[0], KIN_READABLE, kin_in_ms(2)), -ETIMEDOUT);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(kin_wait_descriptor(ends[0], KIN_READABLE, KIN_FOREVER), KIN_READABLE);
    for (int i = 0; i < 2; i++) close(ends[i]);
    close(old[1]);
    return close(kept);
}

TEST(what_lives_on_under_another_number_is_not_taken_for_the_new_one)
{
    CHECK_OK(kin_coroutine_start(NULL, wait_for_old_and_new, NULL, NULL));
    run_to_end();
}

static int wait_for_room(void *unused)
{
    (void)unused;
    return kin_wait_descriptor(ends[0], KIN_WRITABLE, KIN_FOREVER);
}

TEST(a_peer_that_sends_no_more_does_not_wake_who_waits_for_room)
{
    static char bytes[4096];
    int result;
    kin_coroutine *sender = NULL;
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    while (send(ends[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
    CHECK_OK(shutdown(ends[1], SHUT_WR));
    CHECK_OK(kin_coroutine_start(&sender, wait_for_room, NULL, NULL));
    kin_deadline least = kin_in_ms(20);
    CHECK_EQ(kin_loop_turn(least), 1);
    CHECK_GE(kin_clock(), least);
    while (recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
    CHECK_OK(kin_coroutine_join(sender, KIN_FOREVER));
    CHECK_OK(kin_coroutine_result(sender, &result));
    CHECK_EQ(result, KIN_WRITABLE);
    CHECK_OK(kin_coroutine_close(sender));
    run_to_end();
    close(ends[0]);
    close(ends[1]);
}

static int wait_badly(void *unused)
{
    (void)unused;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK_OK(file);
    CHECK_RC(kin_wait_descriptor(-1, KIN_READABLE, KIN_NOW), -EINVAL);
    CHECK_RC(kin_wait_descriptor(file, 0, KIN_NOW), -EINVAL);
    CHECK_RC(kin_wait_descriptor(file, 8, KIN_NOW), -EINVAL);
    CHECK_RC(kin_wait_descriptor(9999, KIN_READABLE, KIN_FOREVER), -EBADF);
    /* A file is always ready. */
    CHECK_EQ(kin_wait_descriptor(file, KIN_READABLE, KIN_FOREVER), KIN_READABLE);
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    close(file);
    return 0;
}

TEST(bad_descriptors_are_refused)
{
    CHECK_OK(kin_coroutine_start(NULL, wait_badly, NULL, NULL));
    run_to_end();
    wait_badly(NULL);
    CHECK_OK(kin_loop_close());
}

TEST(the_thread_itself_waits_and_runs_the_others)
{
    CHECK_OK(pipe(ends));
    CHECK_RC(kin_wait_descriptor(ends[0], KIN_READABLE, kin_in_ms(1)), -ETIMEDOUT);
    CHECK_OK(kin_coroutine_start(NULL, say, NULL, NULL));
    CHECK_EQ(kin_wait_descriptor(ends[0], KIN_READABLE, KIN_FOREVER), KIN_READABLE);
    run_to_end();
    close(ends[0]);
    close(ends[1]);
}

/* ---- many connections ------------------------------------------------------------------------------------ */

static int answer(void *argument)
{
    int connection = (int)(intptr_t)argument;
    char byte;
    while (kin_wait_descriptor(connection, KIN_READABLE, KIN_FOREVER) > 0 && read(connection, &byte, 1) == 1)
        CHECK_EQ(write(connection, &byte, 1), 1);
    close(connection);
    return 0;
}

static int ask(void *argument)
{
    int connection = (int)(intptr_t)argument;
    for (char byte = 0; byte < 5; byte++) {
        char back = -1;
        CHECK_EQ(write(connection, &byte, 1), 1);
        CHECK((kin_wait_descriptor(connection, KIN_READABLE, KIN_FOREVER) & KIN_READABLE) != 0);
        CHECK_EQ(read(connection, &back, 1), 1);
        CHECK_EQ(back, byte);
    }
    close(connection);
    return 0;
}

static long allowed_descriptors(void)
{
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    return (long)limit.rlim_cur;
}

TEST(thousands_of_connections_in_one_thread)
{
    long most = test_sanitized() ? 1000 : 10000, room = (allowed_descriptors() - 100) / 2;
    long connections = room < most ? room : most;
    for (long i = 0; i < connections; i++) {
        int pair[2];
        CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        CHECK_OK(kin_coroutine_start(NULL, answer, (void *)(intptr_t)pair[0], NULL));
        CHECK_OK(kin_coroutine_start(NULL, ask, (void *)(intptr_t)pair[1], NULL));
    }
    run_to_end();
    NOTE("%ld connections", connections);
}

/* A server of the network in one thread: all are connected before the first of them asks. */
struct crowd {
    struct sockaddr_in address;
    int listener;
    long wanted;
    long connected;
    long served;
    kin_coroutine *accepts;
};

static struct crowd crowd;

static int serve_one(void *argument)
{
    int connection = (int)(intptr_t)argument;
    char byte;
    CHECK_OK(kin_coroutine_join(crowd.accepts, KIN_FOREVER));
    while (kin_wait_descriptor(connection, KIN_READABLE, KIN_FOREVER) > 0 &&
           read(connection, &byte, 1) == 1) {
        CHECK_EQ(write(connection, &byte, 1), 1);
        crowd.served++;
    }
    return close(connection);
}

static int accept_all(void *unused)
{
    (void)unused;
    for (long i = 0; i < crowd.wanted; i++) {
        CHECK_OK(kin_wait_descriptor(crowd.listener, KIN_READABLE, KIN_FOREVER));
        int connection = accept4(crowd.listener, NULL, NULL, SOCK_CLOEXEC);
        CHECK_OK(connection);
        CHECK_OK(kin_coroutine_start(NULL, serve_one, (void *)(intptr_t)connection, NULL));
    }
    return 0;
}

static int connect_and_ask(void *unused)
{
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_OK(connection);
    CHECK_OK(connect(connection, (struct sockaddr *)&crowd.address, sizeof crowd.address));
    crowd.connected++;
    while (crowd.connected < crowd.wanted) CHECK_OK(kin_coroutine_yield());
    (void)unused;
    return ask((void *)(intptr_t)connection);
}

static int be_the_crowd(void *unused)
{
    close(crowd.listener);
    for (long i = 0; i < crowd.wanted; i++)
        CHECK_OK(kin_coroutine_start(NULL, connect_and_ask, unused, NULL));
    return kin_loop_run(KIN_FOREVER);
}

TEST(ten_thousand_network_connections_in_one_thread)
{
    socklen_t size = sizeof crowd.address;
    kin_process *clients = NULL;
    int code = -1;
    long most = test_sanitized() ? 1000 : 10000, room = allowed_descriptors() - 100;
    crowd.wanted = room < most ? room : most;
    crowd.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_OK(crowd.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_OK(bind(crowd.listener, (struct sockaddr *)&crowd.address, size));
    CHECK_OK(listen(crowd.listener, 4096));
    CHECK_OK(getsockname(crowd.listener, (struct sockaddr *)&crowd.address, &size));
    CHECK_OK(kin_process_start(&clients, be_the_crowd, NULL, NULL));
    CHECK_OK(kin_coroutine_start(&crowd.accepts, accept_all, NULL, NULL));
    run_to_end();
    CHECK_EQ(crowd.served, crowd.wanted * 5);
    NOTE("%ld connections", crowd.wanted);
    CHECK_OK(kin_process_join(clients, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(clients, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(clients));
    CHECK_OK(kin_coroutine_close(crowd.accepts));
    close(crowd.listener);
}

/* ---- what blocks ------------------------------------------------------------------------------------------- */

static int gate[2];

static int block(void *argument)
{
    char byte;
    CHECK_EQ(read(gate[0], &byte, 1), 1);
    return *(int *)argument;
}

static int offload_block(void *argument)
{
    CHECK_EQ(kin_offload(block, argument), *(int *)argument);
    CHECK_RC(kin_offload(NULL, NULL), -EINVAL);
    return 0;
}

static int open_gate(void *unused)
{
    (void)unused;
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(2)));
    CHECK_EQ(write(gate[1], "xxx", 3), 3);
    return 0;
}

TEST(blocking_calls_do_not_block_the_others)
{
    int codes[3] = {5, -6, 0};
    kin_coroutine *blocked[3];
    CHECK_OK(pipe(gate));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_coroutine_start(&blocked[i], offload_block, &codes[i], NULL));
    CHECK_OK(kin_coroutine_start(NULL, open_gate, NULL, NULL));
    CHECK_RC(kin_loop_run(kin_in_ms(1)), -ETIMEDOUT);
    /* The function is at work on the coroutine's stack: its end is waited for. */
    CHECK_OK(kin_coroutine_cancel(blocked[0]));
    run_to_end();
    for (int i = 0; i < 3; i++) CHECK_OK(kin_coroutine_close(blocked[i]));
    CHECK_EQ(write(gate[1], "x", 1), 1);
    CHECK_EQ(kin_offload(block, &codes[0]), 5);
    close(gate[0]);
    close(gate[1]);
    uv_library_shutdown(); /* ends the threads of its pool */
}

static int return_at_once(void *argument)
{
    return *(int *)argument;
}

static int offload_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) CHECK_EQ(kin_offload(return_at_once, &i), i);
    return 0;
}

TEST(short_calls_are_not_missed)
{
    for (int i = 0; i < 4; i++) CHECK_OK(kin_coroutine_start(NULL, offload_often, NULL, NULL));
    run_to_end();
    uv_library_shutdown();
}

static atomic_bool is_leaving;

static int offload_on_large_stack(void *argument)
{
    kin_coroutine_options large = {.stack_size = (size_t)2 << 20};
    CHECK_OK(kin_coroutine_start(NULL, offload_block, argument, &large));
    CHECK_RC(kin_loop_run(kin_in_ms(2)), -ETIMEDOUT);
    is_leaving = true;
    return 7;
}

/* The function is at work on the stack of a coroutine that vanishes with its thread: that waits for it. */
TEST(a_thread_ends_after_what_it_has_moved_away)
{
    static int code = 5;
    kin_thread *thread = NULL;
    CHECK_OK(pipe(gate));
    CHECK_OK(kin_thread_start(&thread, offload_on_large_stack, &code, NULL));
    test_until(is_leaving);
    CHECK_RC(kin_thread_join(thread, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_EQ(write(gate[1], "x", 1), 1);
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(thread));
    close(gate[0]);
    close(gate[1]);
    uv_library_shutdown();
}

/* ---- a foreign loop around ours ---------------------------------------------------------------------------- */

TEST(a_foreign_loop_runs_ours)
{
    CHECK_OK(pipe(ends));
    struct pollfd ours = {.fd = kin_loop_descriptor(), .events = POLLIN};
    CHECK_OK(ours.fd);
    CHECK_EQ(poll(&ours, 1, 0), 0);
    CHECK_OK(kin_coroutine_start(NULL, hear, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, say, NULL, NULL));
    int alive, turns = 0;
    double begun = test_seconds();
    while ((alive = kin_loop_turn(KIN_NOW)) > 0) {
        CHECK_EQ(poll(&ours, 1, -1), 1);
        turns++;
    }
    CHECK_OK(alive);
    CHECK_STR(heard, "hello");
    CHECK_LE(turns, test_looks_most(test_seconds() - begun));
    CHECK_OK(kin_loop_close());
    close(ends[0]);
    close(ends[1]);
}

static int yield_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) CHECK_OK(kin_coroutine_yield());
    return 0;
}

/* More of them than run in one turn, and a descriptor, so that each turn asks the kernel. */
TEST(a_foreign_loop_hears_of_those_that_can_run)
{
    CHECK_OK(pipe(ends));
    struct pollfd ours = {.fd = kin_loop_descriptor(), .events = POLLIN};
    CHECK_OK(ours.fd);
    for (int i = 0; i < 300; i++) CHECK_OK(kin_coroutine_start(NULL, yield_often, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, hear_end, NULL, NULL));
    while (kin_loop_turn(KIN_NOW) > 1) CHECK_EQ(poll(&ours, 1, 10000), 1);
    CHECK_EQ(poll(&ours, 1, 0), 0);
    close(ends[1]);
    CHECK_EQ(poll(&ours, 1, 10000), 1);
    CHECK_EQ(kin_loop_turn(KIN_NOW), 0);
    CHECK_OK(kin_loop_close());
    close(ends[0]);
}
