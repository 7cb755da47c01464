/* test_coroutine_kinds_system.c: coroutines wait for what the system tells: descriptors, signals, connections,
 * listeners, processes and programs. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coroutine_kinds.h"

/* What the kinds wait for; each opens what it needs. */
static struct {
    kin_event *event;
    kin_process *process;
    kin_subprocess *subprocess;
    kin_listener *listener;
    kin_connection *here;
    kin_connection *there;
    int ends[2];
    char *bytes;
} at;

/* ---- descriptors and signals --------------------------------------------------------------------------- */

static void descriptor_open(void)
{
    CHECK_OK(pipe(at.ends));
}
static int descriptor_wait(kin_deadline deadline)
{
    return wait_for(kin_on_descriptor(at.ends[0]), deadline);
}
static void descriptor_happen(void)
{
    CHECK_EQ(write(at.ends[1], "x", 1), 1);
}
static void descriptor_close(void)
{
    close(at.ends[0]);
    close(at.ends[1]);
}

static void signal_open(void)
{
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK_OK(sigprocmask(SIG_BLOCK, &usr1, NULL));
    at.ends[0] = signalfd(-1, &usr1, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK_OK(at.ends[0]);
}
static void signal_happen(void)
{
    CHECK_OK(kill(getpid(), SIGUSR1));
}
static void signal_close(void)
{
    close(at.ends[0]);
}

/* ---- connections ------------------------------------------------------------------------------------------- */

#define LARGE ((size_t)4 << 20)

static void pipe_open(void)
{
    CHECK_OK(kin_pipe_open(&at.here, &at.there, NULL));
}
static int receive(kin_deadline deadline)
{
    char byte;
    int rc = (int)kin_connection_recv(at.here, &byte, 1, deadline);
    return rc == 1 ? 0 : rc;
}
static int connection_wait(kin_deadline deadline)
{
    return wait_for(kin_on_connection(at.here), deadline);
}
static int connection_poll(kin_deadline deadline)
{
    return waited(kin_connection_poll(at.here, deadline));
}
static void send_byte(void)
{
    CHECK_OK(kin_connection_send(at.there, "x", 1, KIN_FOREVER));
}
static int receive_value(kin_deadline deadline)
{
    kin_value value;
    int rc = kin_connection_recv_value(at.here, &value, NULL, deadline);
    kin_value_clear(&value);
    return rc;
}
static void send_value(void)
{
    const kin_value value = kin_value_int(7);
    CHECK_OK(kin_connection_send_value(at.there, &value, KIN_FOREVER));
}
static void connections_close(void)
{
    CHECK_OK(kin_connection_close(at.here));
    CHECK_OK(kin_connection_close(at.there));
    free(at.bytes);
    at.bytes = NULL;
}

static void stream_open(void)
{
    int ends[2];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    CHECK_OK(kin_connection_open(&at.here, ends[0]));
    CHECK_OK(kin_connection_open(&at.there, ends[1]));
}

static void large_pipe_open(void)
{
    pipe_open();
    CHECK((at.bytes = calloc(2, LARGE)) != NULL);
}
static void large_stream_open(void)
{
    stream_open();
    CHECK((at.bytes = calloc(2, LARGE)) != NULL);
}
static int send_large(kin_deadline deadline)
{
    return kin_connection_send(at.here, at.bytes, LARGE, deadline);
}
static int send_large_value(kin_deadline deadline)
{
    kin_value value = kin_value_bytes(at.bytes, LARGE);
    int rc = kin_connection_send_value(at.here, &value, deadline);
    kin_value_clear(&value);
    return rc;
}
static void receive_large_value(void)
{
    kin_value value;
    int rc = kin_connection_recv_value(at.there, &value, NULL, patience);
    if (patience == KIN_FOREVER) CHECK_RC(rc, 0);
    kin_value_clear(&value);
}
static void receive_large(void)
{
    long got = kin_connection_recv(at.there, at.bytes + LARGE, LARGE, patience);
    if (patience == KIN_FOREVER) CHECK_EQ(got, (long)LARGE);
}

static void listener_open(void)
{
    CHECK_OK(kin_listener_open(&at.listener, "tcp://127.0.0.1:0", NULL));
    at.here = at.there = NULL;
}
static int listener_accept(kin_deadline deadline)
{
    return kin_listener_accept(at.listener, &at.here, deadline);
}
static int listener_wait(kin_deadline deadline)
{
    return wait_for(kin_on_listener(at.listener), deadline);
}
static void listener_connect(void)
{
    CHECK_OK(kin_client_open(&at.there, kin_listener_address(at.listener), NULL, KIN_FOREVER));
}
static void listener_close(void)
{
    connections_close();
    CHECK_OK(kin_listener_close(at.listener));
}

/* ---- processes ----------------------------------------------------------------------------------------- */

static int wait_for_let_go(void *event)
{
    return kin_event_wait(event, KIN_FOREVER);
}
static void process_open(void)
{
    CHECK_OK(kin_event_open(&at.event, NULL));
    CHECK_OK(kin_process_start(&at.process, wait_for_let_go, at.event, NULL));
}
static int process_join(kin_deadline deadline)
{
    return kin_process_join(at.process, deadline);
}
static int process_wait(kin_deadline deadline)
{
    return wait_for(kin_on_process(at.process), deadline);
}
static void process_kill(void)
{
    CHECK_OK(kin_process_kill(at.process));
}
static void process_close(void)
{
    CHECK_OK(kin_process_join(at.process, KIN_FOREVER));
    CHECK_OK(kin_process_close(at.process));
    CHECK_OK(kin_event_close(at.event));
}

static void subprocess_open(void)
{
    CHECK_OK(kin_subprocess_start(&at.subprocess, KIN_COMMAND("cat"),
                                  &(kin_subprocess_options){.stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE}));
}
static int subprocess_read(kin_deadline deadline)
{
    char byte;
    int rc = (int)kin_subprocess_read(at.subprocess, 1, &byte, 1, deadline);
    return rc == 1 ? 0 : rc;
}
static int subprocess_wait(kin_deadline deadline)
{
    return kin_subprocess_wait(at.subprocess, deadline);
}
static void subprocess_write(void)
{
    CHECK_EQ(kin_subprocess_write(at.subprocess, "x", 1, KIN_FOREVER), 1);
}
static void subprocess_end(void)
{
    CHECK_OK(kin_subprocess_kill(at.subprocess));
}
static void subprocess_close(void)
{
    CHECK_OK(kin_subprocess_kill(at.subprocess));
    CHECK_OK(kin_subprocess_wait(at.subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_close(at.subprocess));
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

const struct kind kinds[] = {
    {"descriptor", descriptor_open, descriptor_wait, descriptor_happen, descriptor_close, -ETIMEDOUT},
    {"signal", signal_open, descriptor_wait, signal_happen, signal_close, -ETIMEDOUT},
    {"pipe, recv", pipe_open, receive, send_byte, connections_close, -ETIMEDOUT},
    {"pipe, wait", pipe_open, connection_wait, send_byte, connections_close, -ETIMEDOUT},
    {"pipe, poll", pipe_open, connection_poll, send_byte, connections_close, -ETIMEDOUT},
    {"pipe, send", large_pipe_open, send_large, receive_large, connections_close, -ETIMEDOUT},
    {"pipe, send a value", large_pipe_open, send_large_value, receive_large_value, connections_close,
     -ETIMEDOUT},
    {"pipe, recv a value", pipe_open, receive_value, send_value, connections_close, -ETIMEDOUT},
    {"stream, recv", stream_open, receive, send_byte, connections_close, -ETIMEDOUT},
    {"stream, send", large_stream_open, send_large, receive_large, connections_close, -ETIMEDOUT},
    {"listener, accept", listener_open, listener_accept, listener_connect, listener_close, -ETIMEDOUT},
    {"listener, wait", listener_open, listener_wait, listener_connect, listener_close, -ETIMEDOUT},
    {"process, join", process_open, process_join, process_kill, process_close, -ETIMEDOUT},
    {"process, wait", process_open, process_wait, process_kill, process_close, -ETIMEDOUT},
    {"subprocess, read", subprocess_open, subprocess_read, subprocess_write, subprocess_close, -ETIMEDOUT},
    {"subprocess, wait", subprocess_open, subprocess_wait, subprocess_end, subprocess_close, -ETIMEDOUT},
    {NULL, NULL, NULL, NULL, NULL, 0},
};

/* ---- joining a family: of one that belongs to none ------------------------------------------------------------ */

static int join_nobody(void *unused)
{
    (void)unused;
    has_begun = true;
    return kin_family_join("kin-test-nobody", milliseconds == 0 ? KIN_FOREVER : kin_in_ms(milliseconds));
}

TEST_COLD(waiting_for_a_family_leaves_the_others_running)
{
    for (milliseconds = 0; milliseconds <= 60; milliseconds += 60) {
        kin_coroutine *waiting = NULL;
        int result = 1;
        has_begun = false;
        CHECK_OK(kin_coroutine_start(&waiting, join_nobody, NULL, NULL));
        while (!has_begun) CHECK_OK(kin_loop_turn(KIN_NOW));
        if (milliseconds == 0) {
            CHECK_RC(kin_coroutine_join(waiting, kin_in_ms(1)), -ETIMEDOUT);
            CHECK_OK(kin_coroutine_cancel(waiting));
        }
        CHECK_OK(kin_loop_run(KIN_FOREVER));
        CHECK_OK(kin_coroutine_result(waiting, &result));
        CHECK_RC(result, milliseconds == 0 ? -ECANCELED : -ENOENT);
        CHECK_OK(kin_coroutine_close(waiting));
    }
    CHECK_OK(kin_loop_close());
}
