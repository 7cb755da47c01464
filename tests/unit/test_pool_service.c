/* test_pool_service.c: kin_worker_serve against a pool that is none: a listener of the test's says what a pool says, or
 * does not. */
#include "support/crew.h"
#include "support/test.h"

#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/event.h>
#include <kin/listener.h>
#include <kin/loop.h>
#include <kin/pool.h>
#include <kin/worker.h>

#include "pool/talk.h"

#define KEY        "open sesame"
#define SILENCE_NS (20 * 1000000000LL)

static int twice(const int *in, int *out)
{
    *out = 2 * *in;
    return 0;
}
KIN_MAP(twice, int, int)
KIN_TASK(twice)

/* What a child of the case serves, over how many connections, how long it tries, and what stops it. */
struct service {
    const char *address;
    unsigned workers;
    int64_t patience_ns;
    kin_event *stop;
};

static void serve(void *of_service)
{
    const struct service *service = of_service;
    kin_client_options client = {.key = KEY, .key_size = sizeof KEY - 1};
    int rc = kin_worker_serve(service->address, &(kin_worker_options){.client = &client,
                                                                      .workers = service->workers,
                                                                      .patience_ns = service->patience_ns,
                                                                      .stop = service->stop});
    _exit(rc == 0 ? 0 : 79);
}

static kin_listener *listen_here(void)
{
    kin_listener *listener = NULL;
    CHECK_OK(kin_listener_open(&listener, "tcp://127.0.0.1:0",
                               &(kin_listener_options){.key = KEY, .key_size = sizeof KEY - 1}));
    return listener;
}

static bool refuse(kin_listener *listener)
{
    kin_connection *connection = NULL;
    return kin_listener_accept(listener, &connection, kin_in_s(5)) == 0 &&
           kin_connection_close(connection) == 0;
}

static bool welcome(kin_listener *listener, struct kin__talk *talk)
{
    struct kin__talk_message message;
    kin_connection *connection = NULL;
    if (kin_listener_accept(listener, &connection, kin_in_s(20)) < 0) return false;
    kin__talk_begin(talk, connection, SILENCE_NS);
    if (kin__talk_receive(talk, &message) < 0) return false;
    CHECK_EQ(message.kind, KIN__TALK_HELLO);
    message = (struct kin__talk_message){
        .kind = KIN__TALK_WELCOME, .number = KIN__TALK_VERSION, .count = SILENCE_NS / 1000000};
    kin__talk_greeted(talk, SILENCE_NS);
    return kin__talk_send(talk, &message) == 0;
}

/* Has the worker compute something. */
static bool gets_it_done(struct kin__talk *talk)
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
    int rc = kin__talk_send(talk, &task);
    do
        if (rc == 0) rc = kin__talk_receive(talk, &answer);
    while (rc == 0 && (answer.kind == KIN__TALK_BEGUN || answer.kind == KIN__TALK_ALIVE));
    if (rc < 0) return false;
    CHECK_EQ(answer.kind, KIN__TALK_REPLY);
    CHECK_EQ(answer.size, sizeof out);
    memcpy(&out, answer.data, sizeof out);
    CHECK_EQ(out, 42);
    return true;
}

/* Of two connections one is welcome, and the other refused for longer than the patience: is the one served?  And
 * without one, what serves ends. */
static bool goes_on(int64_t patience_ns)
{
    struct kin__talk talk = {0};
    kin_listener *listener = listen_here();
    struct service service = {kin_listener_address(listener), 2, patience_ns, NULL};
    kin_deadline until = kin_in_ns(2 * patience_ns);
    pid_t worker = test_child(serve, &service);
    bool served = welcome(listener, &talk);
    while (served && kin_clock() < until) served = refuse(listener);
    served = served && gets_it_done(&talk);
    CHECK_OK(kin_connection_close(talk.connection));
    kin__talk_end(&talk);
    CHECK_OK(kin_listener_close(listener));
    CHECK_EQ(WEXITSTATUS(test_collect(worker)), 79);
    return served;
}

/* A pool may have no place for all that a program offers, or be slow.  It has to be fast enough to welcome one: where
 * the machine is not, with more patience. */
TEST(who_is_not_welcome_does_not_end_who_is)
{
    int64_t patience_ns = 300 * 1000000LL;
    for (; !goes_on(patience_ns); patience_ns *= 4) CHECK_LT(patience_ns, 10 * 1000000000LL);
}

/* ---- patience ------------------------------------------------------------------------------------------- */

/* Is one that the pool hangs up on soon there again, however often? */
static bool comes_again(int64_t patience_ns)
{
    struct kin__talk talk = {0};
    kin_listener *listener = listen_here();
    struct service service = {kin_listener_address(listener), 1, patience_ns, NULL};
    pid_t worker = test_child(serve, &service);
    bool there = true;
    for (int i = 0; i < 12 && there; i++) {
        there = welcome(listener, &talk);
        CHECK_OK(kin_connection_close(talk.connection));
        talk.connection = NULL;
    }
    kin__talk_end(&talk);
    CHECK_OK(kin_listener_close(listener));
    CHECK_EQ(WEXITSTATUS(test_collect(worker)), 79);
    return there;
}

/* As a pool does whose tasks are cancelled one after the other. */
TEST(who_was_welcome_is_as_patient_as_before)
{
    /* Less than the longest pause between attempts: with that it would be lost. */
    int64_t patience_ns = 900 * 1000000LL;
    for (int tries = 0; !comes_again(patience_ns); tries++) CHECK_LT(tries, 10);
}

/* ---- the end while it connects ---------------------------------------------------------------------------- */

/* The listener accepts it, or not even that, and says nothing. */
static void stop_in_an_attempt(bool accept)
{
    kin_connection *connection = NULL;
    kin_event *stop = NULL;
    kin_listener *listener = listen_here();
    CHECK_OK(kin_event_open(&stop, NULL));
    struct service service = {kin_listener_address(listener), 2, 600 * 1000000000LL, stop};
    pid_t worker = test_child(serve, &service);
    struct pollfd came = {.fd = kin_listener_fileno(listener), .events = POLLIN};
    CHECK_EQ(poll(&came, 1, -1), 1);
    if (accept) CHECK_OK(kin_listener_accept(listener, &connection, kin_in_s(60)));
    CHECK_OK(kin_event_set(stop));
    CHECK_EQ(test_collect(worker), 0);
    CHECK_OK(kin_connection_close(connection));
    CHECK_OK(kin_listener_close(listener));
    CHECK_OK(kin_event_close(stop));
}

TEST(who_is_told_to_stop_does_not_wait_for_an_answer)
{
    stop_in_an_attempt(false);
}

TEST(who_is_told_to_stop_does_not_wait_for_a_welcome)
{
    stop_in_an_attempt(true);
}

static int serve_here(void *of_service)
{
    const struct service *service = of_service;
    kin_client_options client = {.key = KEY, .key_size = sizeof KEY - 1};
    return kin_worker_serve(
        service->address,
        &(kin_worker_options){.client = &client, .workers = 2, .patience_ns = service->patience_ns});
}

/* Its threads use what it has: it waits for them all the same. */
TEST(a_coroutine_that_serves_may_be_cancelled)
{
    if (!crew_sees_processes()) SKIP("ThreadSanitizer does not know that a child has no other fibers");
    struct kin__talk talk = {0};
    kin_coroutine *coroutine = NULL;
    kin_listener *listener = listen_here();
    struct service service = {kin_listener_address(listener), 2, 600 * 1000000000LL, NULL};
    CHECK_OK(kin_coroutine_start(&coroutine, serve_here, &service, NULL));
    while (kin_coroutine_join(coroutine, kin_in_ms(10)) == -ETIMEDOUT && !talk.connection)
        welcome(listener, &talk);
    CHECK_OK(kin_coroutine_cancel(coroutine));
    int result = 0;
    CHECK_OK(kin_coroutine_join(coroutine, KIN_FOREVER));
    CHECK_OK(kin_coroutine_result(coroutine, &result));
    CHECK_EQ(result, -ECANCELED);
    CHECK_OK(kin_coroutine_close(coroutine));
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_connection_close(talk.connection));
    kin__talk_end(&talk);
    CHECK_OK(kin_listener_close(listener));
}
