/* test_coroutine_kinds_loop.c: coroutines wait for what their own loop has, for signals, and for the
 * other side of a handshake. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coroutine_kinds.h"

/* What the kinds wait for; each opens what it needs. */
static struct {
    kin_coroutine *other;
    kin_group *group;
    kin_channel *channel;
    kin_rlock *rlock;
    kin_thread *thread;
    kin_event *held;
    kin_event *event;
    kin_signals *signals;
    kin_subprocess *subprocess;
    kin_listener *listener;
    kin_connection *here;
    kin_connection *there;
    int ends[2];
} at;

/* ---- coroutines and channels ----------------------------------------------------------------------------------- */

static int sleep_on(void *unused)
{
    (void)unused;
    CHECK_RC(kin_coroutine_sleep(KIN_FOREVER), -ECANCELED);
    return 0;
}

static void other_open(void)
{
    CHECK_OK(kin_group_open(&at.group));
    CHECK_OK(kin_coroutine_start(&at.other, sleep_on, NULL, &(kin_coroutine_options){.group = at.group}));
}
static void other_end(void)
{
    CHECK_OK(kin_coroutine_cancel(at.other));
}
/* Nobody may be left when the case ends. */
static int other_join(kin_deadline deadline)
{
    int rc = kin_coroutine_join(at.other, deadline);
    if (rc < 0) other_end();
    return rc;
}
static int group_join(kin_deadline deadline)
{
    int rc = kin_group_join(at.group, deadline);
    if (rc < 0) other_end();
    return rc;
}
static void other_close(void)
{
    CHECK_OK(kin_coroutine_close(at.other));
    CHECK_OK(kin_group_close(at.group));
}

static int number;
static void channel_open(void)
{
    CHECK_OK(kin_channel_open(&at.channel, sizeof number, 1));
}
static int channel_receive(kin_deadline deadline)
{
    return kin_channel_receive(at.channel, &number, deadline);
}
static void channel_fill(void)
{
    CHECK_OK(kin_channel_send(at.channel, &number, KIN_NOW));
}
static void full_channel_open(void)
{
    channel_open();
    channel_fill();
}
static int channel_send(kin_deadline deadline)
{
    return kin_channel_send(at.channel, &number, deadline);
}
static void channel_drain(void)
{
    channel_receive(KIN_NOW);
}
static void channel_close(void)
{
    CHECK_OK(kin_channel_close(at.channel));
}

static void descriptor_open(void)
{
    CHECK_OK(pipe(at.ends));
}
static int descriptor_wait(kin_deadline deadline)
{
    return waited(kin_wait_descriptor(at.ends[0], KIN_READABLE, deadline));
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

/* What a generator waits for, its caller does. */
static int wait_and_yield(kin_generator *self, void *deadline)
{
    int rc = descriptor_wait(*(kin_deadline *)deadline);
    return rc == 0 ? kin_generator_yield(self, deadline, NULL) : rc;
}
static int generator_next(kin_deadline deadline)
{
    kin_generator *generator = NULL;
    int result = 0;
    CHECK_OK(kin_generator_open(&generator, wait_and_yield, &deadline, NULL));
    if (kin_generator_next(generator, NULL) == 0) CHECK_OK(kin_generator_result(generator, &result));
    CHECK_OK(kin_generator_close(generator));
    return result;
}

/* ---- a lock of another thread's ---------------------------------------------------------------------------------- */

static int hold_rlock(void *unused)
{
    (void)unused;
    CHECK_OK(kin_rlock_acquire(at.rlock, KIN_FOREVER));
    CHECK_OK(kin_event_set(at.held));
    CHECK_OK(kin_event_wait(at.event, KIN_FOREVER));
    return kin_rlock_release(at.rlock);
}
static void rlock_open(void)
{
    CHECK_OK(kin_rlock_open(&at.rlock, NULL));
    CHECK_OK(kin_event_open(&at.held, NULL));
    CHECK_OK(kin_event_open(&at.event, NULL));
    CHECK_OK(kin_thread_start(&at.thread, hold_rlock, NULL, NULL));
    CHECK_OK(kin_event_wait(at.held, KIN_FOREVER));
}
static int rlock_acquire(kin_deadline deadline)
{
    int rc = kin_rlock_acquire(at.rlock, deadline);
    return rc == 0 ? kin_rlock_release(at.rlock) : rc;
}
static void event_set(void)
{
    CHECK_OK(kin_event_set(at.event));
}
static void rlock_close(void)
{
    CHECK_OK(kin_thread_join(at.thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(at.thread));
    CHECK_OK(kin_rlock_close(at.rlock));
    CHECK_OK(kin_event_close(at.held));
    CHECK_OK(kin_event_close(at.event));
}

/* ---- signals, subprocesses, handshakes ---------------------------------------------------------------------------- */

static void signals_open(void)
{
    CHECK_OK(kin_signals_open(&at.signals, (int[]){SIGUSR1}, 1));
}
static int signals_get(kin_deadline deadline)
{
    kin_signal got;
    return kin_signals_get(at.signals, &got, deadline);
}
static void signals_send(void)
{
    CHECK_OK(kill(getpid(), SIGUSR1));
}
static void signals_close(void)
{
    CHECK_OK(kin_signals_close(at.signals));
}

static char large[1 << 20];
static void subprocess_open(void)
{
    kin_subprocess_options options = {.stdin_from = KIN_PIPE};
    CHECK_OK(kin_subprocess_start(&at.subprocess, KIN_COMMAND("sleep", "1000"), &options));
}
/* Until nobody reads any more. */
static int subprocess_write(kin_deadline deadline)
{
    long rc;
    do rc = kin_subprocess_write(at.subprocess, large, sizeof large, deadline);
    while (rc > 0);
    return rc == -EPIPE ? 0 : (int)rc;
}
static void subprocess_kill(void)
{
    CHECK_OK(kin_subprocess_kill(at.subprocess));
}
static void subprocess_close(void)
{
    subprocess_kill();
    CHECK_OK(kin_subprocess_wait(at.subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_close(at.subprocess));
}

static void listener_open(void)
{
    kin_listener_options options = {.key = "key", .key_size = 3};
    CHECK_OK(kin_listener_open(&at.listener, "tcp://127.0.0.1:0", &options));
    at.here = at.there = NULL;
}
static int client_shake_hands(kin_deadline deadline)
{
    kin_client_options options = {.key = "key", .key_size = 3};
    return kin_client_open(&at.here, kin_listener_address(at.listener), &options, deadline);
}
static void listener_shake_hands(void)
{
    int rc = kin_listener_accept(at.listener, &at.there, patience);
    if (patience == KIN_FOREVER) CHECK_OK(rc);
}
static void listener_close(void)
{
    CHECK_OK(kin_connection_close(at.here));
    CHECK_OK(kin_connection_close(at.there));
    CHECK_OK(kin_listener_close(at.listener));
}

/* A listener in whose queue there is no room. */
enum { ROOM = 16 };
static kin_connection *crowd[ROOM];
static void full_listener_open(void)
{
    char address[64];
    snprintf(address, sizeof address, "unix:@kin-test-kinds-%d", (int)getpid());
    CHECK_OK(kin_listener_open(&at.listener, address, &(kin_listener_options){.backlog = 1}));
    at.here = at.there = NULL;
    int rc = 0;
    for (int i = 0; i < ROOM && rc == 0; i++)
        rc = kin_client_open(&crowd[i], kin_listener_address(at.listener), NULL, KIN_NOW);
    CHECK_RC(rc, -ETIMEDOUT);
}
static int client_connect(kin_deadline deadline)
{
    return kin_client_open(&at.here, kin_listener_address(at.listener), NULL, deadline);
}
static void listener_make_room(void)
{
    CHECK_OK(kin_listener_accept(at.listener, &at.there, patience));
}
static void full_listener_close(void)
{
    for (int i = 0; i < ROOM; i++) {
        CHECK_OK(kin_connection_close(crowd[i]));
        crowd[i] = NULL;
    }
    listener_close();
}

static void pipe_open(void)
{
    CHECK_OK(kin_pipe_open(&at.here, &at.there, NULL));
}
static int receive_descriptor(kin_deadline deadline)
{
    int rc = kin_connection_recv_descriptor(at.here, deadline);
    return rc >= 0 ? close(rc) : rc;
}
static void send_descriptor(void)
{
    CHECK_OK(kin_connection_send_descriptor(at.there, STDERR_FILENO, KIN_FOREVER));
}
/* As many as there is room for, and then one more. */
static void full_pipe_open(void)
{
    pipe_open();
    int rc;
    do rc = kin_connection_send_descriptor(at.there, STDERR_FILENO, KIN_NOW);
    while (rc == 0);
    CHECK_RC(rc, -ETIMEDOUT);
}
static int send_one_more(kin_deadline deadline)
{
    return kin_connection_send_descriptor(at.there, STDERR_FILENO, deadline);
}
static void receive_all(void)
{
    while (receive_descriptor(KIN_NOW) == 0) continue;
}
static void pipe_close(void)
{
    CHECK_OK(kin_connection_close(at.here));
    CHECK_OK(kin_connection_close(at.there));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

const struct kind kinds[] = {
    {"coroutine, join", other_open, other_join, other_end, other_close, -ETIMEDOUT},
    {"group, join", other_open, group_join, other_end, other_close, -ETIMEDOUT},
    {"channel, receive", channel_open, channel_receive, channel_fill, channel_close, KIN_EMPTY},
    {"channel, send", full_channel_open, channel_send, channel_drain, channel_close, KIN_FULL},
    {"descriptor", descriptor_open, descriptor_wait, descriptor_happen, descriptor_close, -ETIMEDOUT},
    {"generator", descriptor_open, generator_next, descriptor_happen, descriptor_close, -ETIMEDOUT},
    {"rlock", rlock_open, rlock_acquire, event_set, rlock_close, -ETIMEDOUT},
    {"signals", signals_open, signals_get, signals_send, signals_close, -ETIMEDOUT},
    {"subprocess, write", subprocess_open, subprocess_write, subprocess_kill, subprocess_close, -ETIMEDOUT},
    {"client, handshake", listener_open, client_shake_hands, listener_shake_hands, listener_close,
     -ETIMEDOUT},
    {"client, full queue", full_listener_open, client_connect, listener_make_room, full_listener_close,
     -ETIMEDOUT},
    {"pipe, send descriptor", full_pipe_open, send_one_more, receive_all, pipe_close, -ETIMEDOUT},
    {"pipe, descriptor", pipe_open, receive_descriptor, send_descriptor, pipe_close, -ETIMEDOUT},
    {NULL, NULL, NULL, NULL, NULL, 0},
};
