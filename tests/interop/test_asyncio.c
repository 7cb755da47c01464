/* test_asyncio.c: what can be waited for, of each kind, in event loops that know nothing of kin: epoll's, and
 * Python's asyncio, which has inherited the descriptors. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin.h>

enum { KINDS = 11, SIGNALS = 9 };

static const char *const names[KINDS] = {"descriptor", "connection", "listener", "process",
                                         "queue",      "result",     "event",    "semaphore",
                                         "condition",  "signals",    "stream"};

/* One thing of each kind, and what makes it ready. */
struct things {
    int ends[2], pair[2];
    kin_connection *here, *there, *stream;
    kin_listener *listener;
    kin_connection *client;
    kin_process *process;
    kin_event *ends_process;
    kin_queue *queue, *for_worker;
    kin_pool *pool;
    kin_result *result;
    kin_event *event;
    kin_semaphore *semaphore;
    kin_condition *condition;
    kin_signals *signals;
    kin_waiter *waiters[KINDS];
};

static int wait_for_event(void *event)
{
    return kin_event_wait(event, KIN_FOREVER) < 0;
}

static int wait_for_queue(const void *argument, size_t size, kin_reply *reply)
{
    kin_queue *queue;
    char byte;
    (void)size;
    (void)reply;
    memcpy(&queue, argument, sizeof queue);
    return kin_queue_get(queue, &byte, 1, KIN_FOREVER) < 0;
}
KIN_BYTES(wait_for_queue)

static void open_things(struct things *things)
{
    int numbers[] = {SIGUSR1};
    CHECK_EQ(pipe2(things->ends, O_CLOEXEC), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, things->pair), 0);
    CHECK_OK(kin_pipe_open(&things->here, &things->there, NULL));
    CHECK_OK(kin_connection_open(&things->stream, things->pair[0]));
    CHECK_OK(kin_listener_open(&things->listener, "unix:socket", NULL));
    CHECK_OK(kin_event_open(&things->ends_process, NULL));
    CHECK_OK(kin_process_start(&things->process, wait_for_event, things->ends_process, NULL));
    CHECK_OK(kin_queue_open(&things->queue, NULL));
    CHECK_OK(kin_queue_open(&things->for_worker, NULL));
    CHECK_OK(kin_pool_open(&things->pool, &(kin_pool_options){.workers = 1}));
    CHECK_OK(kin_pool_submit(things->pool, &things->result, KIN_FN(wait_for_queue), &things->for_worker,
                             sizeof things->for_worker, KIN_FOREVER, NULL));
    CHECK_OK(kin_event_open(&things->event, NULL));
    CHECK_OK(kin_semaphore_open(&things->semaphore, 0, NULL));
    CHECK_OK(kin_condition_open(&things->condition, NULL));
    CHECK_OK(kin_signals_open(&things->signals, numbers, 1));
    kin_waitable items[KINDS] = {kin_on_descriptor(things->ends[0]),  kin_on_connection(things->here),
                                 kin_on_listener(things->listener),   kin_on_process(things->process),
                                 kin_on_queue(things->queue),         kin_on_result(things->result),
                                 kin_on_event(things->event),         kin_on_semaphore(things->semaphore),
                                 kin_on_condition(things->condition), kin_on_signals(things->signals),
                                 kin_on_connection(things->stream)};
    for (int i = 0; i < KINDS; i++) {
        test_context("a waiter for a %s", names[i]);
        CHECK_OK(kin_waiter_open(&things->waiters[i]));
        CHECK_OK(kin_waiter_add(things->waiters[i], &items[i]));
        CHECK_OK(kin_waiter_fileno(things->waiters[i]));
    }
    test_context(NULL);
}

static void make_ready(struct things *things, int kind)
{
    switch (kind) {
    case 0: CHECK_EQ(write(things->ends[1], "x", 1), 1); return;
    case 1: CHECK_OK(kin_connection_send(things->there, "x", 1, KIN_FOREVER)); return;
    case 2: CHECK_OK(kin_client_open(&things->client, "unix:socket", NULL, KIN_FOREVER)); return;
    case 3: CHECK_OK(kin_event_set(things->ends_process)); return;
    case 4: CHECK_OK(kin_queue_put(things->queue, "x", 1, KIN_FOREVER)); return;
    case 5: CHECK_OK(kin_queue_put(things->for_worker, "x", 1, KIN_FOREVER)); return;
    case 6: CHECK_OK(kin_event_set(things->event)); return;
    case 7: CHECK_OK(kin_semaphore_release(things->semaphore)); return;
    case 8:
        CHECK_OK(kin_condition_acquire(things->condition, KIN_FOREVER));
        CHECK_OK(kin_condition_notify(things->condition, 1));
        CHECK_OK(kin_condition_release(things->condition));
        return;
    case SIGNALS: CHECK_OK(kin_signal_send(getpid(), SIGUSR1, NULL)); return;
    default: CHECK_EQ(write(things->pair[1], "\0\0\0\1x", 5), 5); return;
    }
}

static void close_things(struct things *things)
{
    for (int i = 0; i < KINDS; i++) CHECK_OK(kin_waiter_close(things->waiters[i]));
    CHECK_OK(kin_signals_close(things->signals));
    CHECK_OK(kin_condition_close(things->condition));
    CHECK_OK(kin_semaphore_close(things->semaphore));
    CHECK_OK(kin_event_close(things->event));
    CHECK_OK(kin_result_close(things->result));
    CHECK_OK(kin_pool_close(things->pool));
    CHECK_OK(kin_pool_free(things->pool));
    CHECK_OK(kin_queue_close(things->for_worker));
    CHECK_OK(kin_queue_close(things->queue));
    CHECK_OK(kin_process_join(things->process, KIN_FOREVER));
    CHECK_OK(kin_process_close(things->process));
    CHECK_OK(kin_event_close(things->ends_process));
    CHECK_OK(kin_connection_close(things->client));
    CHECK_OK(kin_listener_close(things->listener));
    CHECK_OK(kin_connection_close(things->stream));
    CHECK_OK(kin_connection_close(things->here));
    CHECK_OK(kin_connection_close(things->there));
    close(things->pair[1]);
    close(things->ends[0]);
    close(things->ends[1]);
}

TEST(epoll_waits_for_each_kind)
{
    struct things things = {0};
    kin_waitable ready;
    open_things(&things);
    for (int i = 0; i < KINDS; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        int set = epoll_create1(EPOLL_CLOEXEC), descriptor = kin_waiter_fileno(things.waiters[i]);
        test_context("a %s", names[i]);
        CHECK_OK(set);
        CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event), 0);
        CHECK_EQ(kin_waiter_wait(things.waiters[i], &ready, 1, KIN_NOW), 0);
        make_ready(&things, i);
        do CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
        while (kin_waiter_wait(things.waiters[i], &ready, 1, KIN_NOW) == 0);
        CHECK(ready.ready);
        close(set);
    }
    test_context(NULL);
    close_things(&things);
}

/* ---- asyncio ------------------------------------------------------------------------------------------- */

struct python {
    pid_t pid;
    FILE *in, *out;
};

/* Python inherits what is not close-on-exec, under the same numbers. */
static struct python start_python(void)
{
    int in[2], out[2];
    CHECK_EQ(pipe2(in, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/usr/bin/python3", "python3", test_source("tests/interop/asyncio_wait.py"), NULL);
        _exit(99);
    }
    close(in[0]);
    close(out[1]);
    return (struct python){child, fdopen(in[1], "w"), fdopen(out[0], "r")};
}

TEST(asyncio_waits_for_each_kind)
{
    struct things things = {0};
    kin_waitable ready;
    int descriptors[KINDS];
    if (access("/usr/bin/python3", X_OK) != 0) SKIP("there is no /usr/bin/python3");
    open_things(&things);
    for (int i = 0; i < KINDS; i++) CHECK_OK(descriptors[i] = kin_waiter_fileno(things.waiters[i]));
    /* In a forked child the waiters' own are closed. */
    int copies[KINDS];
    for (int i = 0; i < KINDS; i++) CHECK_OK(copies[i] = dup(descriptors[i]));
    struct python python = start_python();
    for (int i = 0; i < KINDS; i++) {
        char line[20];
        int descriptor = -1;
        /* The kernel tells whoever waits of his own signals, not of those of who opened the descriptor. */
        if (i == SIGNALS) continue;
        test_context("a %s", names[i]);
        make_ready(&things, i);
        /* It may be told once too often: then Python waits again. */
        do {
            fprintf(python.in, "%d\n", copies[i]);
            fflush(python.in);
            CHECK(fgets(line, sizeof line, python.out) != NULL);
            CHECK_EQ(sscanf(line, "%d", &descriptor), 1);
            CHECK_EQ(descriptor, copies[i]);
        } while (kin_waiter_wait(things.waiters[i], &ready, 1, KIN_NOW) == 0);
        CHECK(ready.ready);
    }
    test_context(NULL);
    fclose(python.in);
    CHECK_EQ(test_collect(python.pid), 0);
    fclose(python.out);
    for (int i = 0; i < KINDS; i++) close(copies[i]);
    close_things(&things);
}
