/* test_pool_service.c: kin_worker_serve against a pool that is none: a listener of the test's says what a pool says, or
 * does not. */
#include "support/test.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/pool.h>
#include <kin/worker.h>

#include "pool/talk.h"

#define KEY         "open sesame"
#define SILENCE_NS  (20 * 1000000000LL)
#define PATIENCE_NS (300 * 1000000LL)
/* The pauses between grow from 50 ms: it takes longer than the patience until so many have come. */
#define REFUSALS 5

static int twice(const int *in, int *out)
{
    *out = 2 * *in;
    return 0;
}
KIN_MAP(twice, int, int)
KIN_TASK(twice)

static kin_listener *listen_here(void)
{
    kin_listener *listener = NULL;
    CHECK_OK(kin_listener_open(&listener, "tcp://127.0.0.1:0",
                               &(kin_listener_options){.key = KEY, .key_size = sizeof KEY - 1}));
    return listener;
}

static void serve(void *argument)
{
    kin_client_options client = {.key = KEY, .key_size = sizeof KEY - 1};
    int rc = kin_worker_serve(
        argument, &(kin_worker_options){.client = &client, .workers = 2, .patience_ns = PATIENCE_NS});
    _exit(rc == 0 ? 0 : 79);
}

static void refuse(kin_listener *listener)
{
    kin_connection *connection = NULL;
    CHECK_OK(kin_listener_accept(listener, &connection, kin_in_s(20)));
    CHECK_OK(kin_connection_close(connection));
}

static void welcome(kin_listener *listener, struct kin__talk *talk)
{
    struct kin__talk_message message;
    kin_connection *connection = NULL;
    CHECK_OK(kin_listener_accept(listener, &connection, kin_in_s(20)));
    kin__talk_begin(talk, connection, SILENCE_NS);
    CHECK_OK(kin__talk_receive(talk, &message));
    CHECK_EQ(message.kind, KIN__TALK_HELLO);
    message = (struct kin__talk_message){
        .kind = KIN__TALK_WELCOME, .number = KIN__TALK_VERSION, .count = SILENCE_NS / 1000000};
    CHECK_OK(kin__talk_send(talk, &message));
    kin__talk_greeted(talk, SILENCE_NS);
}

/* Has the worker compute something. */
static void give_task(struct kin__talk *talk)
{
    int in = 21, out = 0;
    struct kin__talk_message answer, task = {.kind = KIN__TALK_TASK,
                                             .form = KIN__TALK_RANGE,
                                             .count = 1,
                                             .in_size = sizeof in,
                                             .out_size = sizeof out,
                                             .name = "twice",
                                             .name_size = 5,
                                             .data = &in,
                                             .size = sizeof in};
    CHECK_OK(kin__talk_send(talk, &task));
    do CHECK_OK(kin__talk_receive(talk, &answer));
    while (answer.kind == KIN__TALK_BEGUN || answer.kind == KIN__TALK_ALIVE);
    CHECK_EQ(answer.kind, KIN__TALK_REPLY);
    CHECK_EQ(answer.size, sizeof out);
    memcpy(&out, answer.data, sizeof out);
    CHECK_EQ(out, 42);
}

static void hang_up(struct kin__talk *talk)
{
    CHECK_OK(kin_connection_close(talk->connection));
    kin__talk_end(talk);
}

/* A pool may have no place for all that a program offers, or be slow: those that it has welcomed go on. */
TEST(who_is_not_welcome_does_not_end_who_is)
{
    struct kin__talk talk = {0};
    kin_listener *listener = listen_here();
    pid_t worker = test_child(serve, (void *)(uintptr_t)kin_listener_address(listener));
    welcome(listener, &talk);
    for (int i = 0; i < REFUSALS; i++) refuse(listener);
    give_task(&talk);
    CHECK_OK(kin__talk_send(&talk, &(struct kin__talk_message){.kind = KIN__TALK_BYE}));
    CHECK_EQ(test_collect(worker), 0);
    hang_up(&talk);
    CHECK_OK(kin_listener_close(listener));
}

TEST(patience_ends_when_none_is_welcome_any_more)
{
    struct kin__talk talk = {0};
    kin_listener *listener = listen_here();
    pid_t worker = test_child(serve, (void *)(uintptr_t)kin_listener_address(listener));
    welcome(listener, &talk);
    for (int i = 0; i < REFUSALS; i++) refuse(listener);
    hang_up(&talk);
    refuse(listener);
    CHECK_OK(kin_listener_close(listener));
    CHECK_EQ(WEXITSTATUS(test_collect(worker)), 79);
}
