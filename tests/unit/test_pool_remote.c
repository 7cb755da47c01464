/* test_pool_remote.c: a pool whose workers are in other programs: here other processes, which use nothing
 * of the pool's but its address and its key.  tests/cli/test_worker.c has programs of their own. */
#define _GNU_SOURCE
#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/event.h>
#include <kin/listener.h>
#include <kin/pool.h>
#include <kin/worker.h>

#include "os/processes.h"
#include "pool/pool.h"

#define KEY "open sesame"

/* What a test and the functions of its tasks share besides: anonymous memory, not the family's. */
static struct notes {
    _Atomic int tries, running, hold, calls;
    _Atomic pid_t pid;
} * notes;

/* ---- the functions of tasks -------------------------------------------------------------------- */

static int square(const int *in, long *out)
{
    if (*in == 666) abort();
    if (*in == 667) return 67;
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)
KIN_TASK(square)

/* Each call is a message there and one back. */
static int twice(const void *in, void *out, size_t count, volatile size_t *item)
{
    atomic_fetch_add(&notes->calls, 1);
    for (*item = 0; *item < count; ++*item) ((long *)out)[*item] = ((const int *)in)[*item] * 2L;
    return 0;
}
static const kin_function twice__kin = {
    .name = "twice", .range = twice, .in_size = sizeof(int), .out_size = sizeof(long)};
KIN_TASK(twice)

static int reverse(const void *argument, size_t size, kin_reply *reply)
{
    const char *bytes = argument;
    for (size_t i = size; i-- > 0;) {
        int rc = kin_reply_write(reply, &bytes[i], 1);
        if (rc < 0) return rc;
    }
    return 0;
}
KIN_BYTES(reverse)
KIN_TASK(reverse)

/* Says that it runs, and runs until it is let go, the first time. */
static int linger(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument;
    (void)size;
    atomic_store(&notes->pid, getpid());
    int turn = atomic_fetch_add(&notes->tries, 1);
    while (turn == 0 && atomic_load(&notes->hold) != 0) kin_clock();
    return kin_reply_printf(reply, "%d", turn);
}
KIN_BYTES(linger)
KIN_TASK(linger)

static int unknown(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument;
    (void)size;
    (void)reply;
    return 0;
}
KIN_BYTES(unknown)

static const kin_listener_options with_key = {.key = KEY, .key_size = sizeof KEY - 1};

/* ---- the pool and its workers -------------------------------------------------------------------- */

#define SILENCE_NS (20 * 1000000000LL)

static kin_pool *open_pool_with(const char *address, unsigned retries, int64_t silence_ns)
{
    kin_pool *pool = NULL;
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(notes != MAP_FAILED);
    CHECK_OK(kin_pool_open(
        &pool, &(kin_pool_options){
                   .address = address, .listener = &with_key, .retries = retries, .silence_ns = silence_ns}));
    CHECK(kin_pool_address(pool) != NULL);
    return pool;
}

static kin_pool *open_pool(const char *address, unsigned retries)
{
    return open_pool_with(address, retries, SILENCE_NS);
}

struct serving {
    const char *address, *key;
    unsigned workers;
    int64_t patience_ns;
};

static void serve(void *argument)
{
    struct serving *serving = argument;
    kin_client_options client = {.key = serving->key, .key_size = strlen(serving->key)};
    kin_worker_options options = {
        .client = &client, .workers = serving->workers, .patience_ns = serving->patience_ns};
    int rc = kin_worker_serve(serving->address, &options);
    _exit(rc == 0 ? 0 : rc == KIN_EAUTHENTICATION ? 77 : rc == -ECONNREFUSED ? 78 : 79);
}

static pid_t start_worker(kin_pool *pool, unsigned workers)
{
    struct serving serving = {kin_pool_address(pool), KEY, workers, SILENCE_NS};
    return test_child(serve, &serving);
}

static unsigned remote_workers(kin_pool *pool)
{
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    return status.remote;
}

static void close_pool(kin_pool *pool)
{
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

static kin_result *submit(kin_pool *pool, const kin_function *function, const void *argument, size_t size,
                          const kin_task_options *options)
{
    kin_result *result = NULL;
    CHECK_OK(kin_pool_submit(pool, &result, function, argument, size, KIN_FOREVER, options));
    return result;
}

static kin_failure failure_of(kin_result *result)
{
    kin_failure failure;
    CHECK_OK(kin_result_wait(result, kin_in_s(50)));
    CHECK_OK(kin_result_failure(result, &failure));
    char text[300];
    CHECK_GT(kin_failure_text(&failure, text, sizeof text), 0);
    NOTE("%s", text);
    return failure;
}

/* ---- tasks ------------------------------------------------------------------------------------------ */

static void tasks_over(const char *address, int64_t silence_ns)
{
    kin_pool *pool = open_pool_with(address, 0, silence_ns);
    pid_t worker = start_worker(pool, 2);
    for (int i = 0; i < 50; i++) {
        long out;
        kin_result *result = submit(pool, KIN_FN(square), &i, sizeof i, NULL);
        CHECK_RC(kin_result_get(result, &out, sizeof out, kin_in_s(30)), (long)sizeof out);
        CHECK_EQ(out, (long)i * i);
        CHECK_OK(kin_result_close(result));
    }
    for (size_t size = 0; size < 300000; size = size * 7 + 1) {
        char *bytes = calloc(1, size + 1), *back = calloc(1, size + 1);
        for (size_t i = 0; i < size; i++) bytes[i] = (char)(i * 7);
        kin_result *result = submit(pool, KIN_FN(reverse), bytes, size, NULL);
        CHECK_RC(kin_result_get(result, back, size + 1, kin_in_s(30)), (long)size);
        for (size_t i = 0; i < size; i++) CHECK_EQ(back[i], bytes[size - 1 - i]);
        CHECK_OK(kin_result_close(result));
        free(bytes);
        free(back);
    }
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

TEST(tasks_go_there_over_tcp)
{
    tasks_over("tcp://127.0.0.1:0", SILENCE_NS);
}

/* And with a silence that is longer than can be said. */
TEST(tasks_go_there_over_a_unix_socket)
{
    tasks_over(test_abstract_address(), INT64_MAX);
}

TEST(tasks_go_there_over_tls)
{
    tasks_over("tls://127.0.0.1:0", SILENCE_NS);
}

TEST(failures_are_told_exactly)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    pid_t worker = start_worker(pool, 1);
    int bad[] = {666, 667};
    kin_result *crash = submit(pool, KIN_FN(square), &bad[0], sizeof bad[0], NULL);
    kin_failure failure = failure_of(crash);
    CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
    CHECK_EQ(failure.signal, SIGABRT);
    CHECK_STR(failure.function, "square");
    CHECK(failure.host[0] != '\0');
    kin_result *error = submit(pool, KIN_FN(square), &bad[1], sizeof bad[1], NULL);
    failure = failure_of(error);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.code, 67);
    kin_result *nobody = submit(pool, KIN_FN(unknown), "", 0, NULL);
    CHECK_EQ(failure_of(nobody).cause, KIN_CAUSE_FUNCTION);
    CHECK_OK(kin_result_close(crash));
    CHECK_OK(kin_result_close(error));
    CHECK_OK(kin_result_close(nobody));
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* ---- maps ------------------------------------------------------------------------------------------- */

TEST(a_map_is_dealt_out)
{
    enum { COUNT = 100000 };
    static int in[COUNT];
    static long out[COUNT];
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    pid_t workers[3];
    for (int i = 0; i < 3; i++) workers[i] = start_worker(pool, 1);
    test_until(remote_workers(pool) == 3);
    for (int i = 0; i < COUNT; i++) in[i] = i == 666 || i == 667 ? 1 : i;
    CHECK_OK(kin_pool_map(pool, KIN_FN(square), in, out, COUNT, kin_in_s(50)));
    for (int i = 0; i < COUNT; i++) CHECK_EQ(out[i], (long)in[i] * in[i]);
    close_pool(pool);
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(workers[i]), 0);
}

TEST(a_map_charges_items_alone)
{
    enum { COUNT = 3000 };
    static int in[COUNT];
    static long out[COUNT];
    kin_failure failures[4];
    size_t failed = 0;
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    pid_t worker = start_worker(pool, 2);
    for (int i = 0; i < COUNT; i++) in[i] = i;
    kin_map_options options = {
        .keep_going = true, .failures = failures, .max_failures = 4, .failed = &failed};
    CHECK_RC(kin_pool_map_with(pool, KIN_FN(square), in, out, COUNT, kin_in_s(50), &options), KIN_EFAILED);
    CHECK_EQ(failed, 2);
    for (int i = 0; i < 2; i++) {
        CHECK(failures[i].task == 666 || failures[i].task == 667);
        CHECK_EQ(failures[i].cause, failures[i].task == 666 ? KIN_CAUSE_SIGNALED : KIN_CAUSE_RETURNED);
    }
    for (int i = 0; i < COUNT; i++)
        if (i != 666 && i != 667) CHECK_EQ(out[i], (long)i * i);
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* The way of a message takes longer than many items, the more so where processors are busy. */
TEST(a_map_of_small_items_goes_in_few_messages)
{
    enum { COUNT = 3000, FEW = COUNT / 8 };
    static int in[COUNT];
    static long out[COUNT];
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    pid_t worker = start_worker(pool, 2);
    for (int i = 0; i < COUNT; i++) in[i] = i;
    CHECK_OK(kin_pool_map(pool, KIN_FN(twice), in, out, COUNT, kin_in_s(50)));
    for (int i = 0; i < COUNT; i++) CHECK_EQ(out[i], 2L * i);
    test_note("%d messages for %d items", atomic_load(&notes->calls), COUNT);
    CHECK(atomic_load(&notes->calls) <= FEW);
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* ---- coming and going ---------------------------------------------------------------------------------- */

TEST(workers_come_at_any_time)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    int in = 12;
    long out;
    kin_result *early = submit(pool, KIN_FN(square), &in, sizeof in, NULL);
    CHECK_RC(kin_result_wait(early, kin_in_ms(50)), -ETIMEDOUT);
    pid_t worker = start_worker(pool, 1);
    CHECK_RC(kin_result_get(early, &out, sizeof out, kin_in_s(30)), (long)sizeof out);
    CHECK_EQ(out, 144);
    CHECK_OK(kin_result_close(early));
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* The program of a worker is killed in the middle of a task: another finishes it. */
TEST(what_a_lost_worker_was_on_is_run_again)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 1);
    char text[16] = "";
    atomic_store(&notes->hold, 1);
    pid_t first = start_worker(pool, 1);
    kin_result *result = submit(pool, KIN_FN(linger), "", 0, NULL);
    test_until(atomic_load(&notes->tries) == 1);
    test_kill(first);
    pid_t second = start_worker(pool, 1);
    CHECK_RC(kin_result_get(result, text, sizeof text, kin_in_s(50)), 1);
    CHECK_STR(text, "1");
    CHECK_OK(kin_result_close(result));
    close_pool(pool);
    CHECK_EQ(test_collect(second), 0);
}

TEST(without_retries_it_is_told_what_was_lost)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    atomic_store(&notes->hold, 1);
    pid_t worker = start_worker(pool, 1);
    kin_result *result = submit(pool, KIN_FN(linger), "", 0, NULL);
    test_until(atomic_load(&notes->tries) == 1);
    test_kill(worker);
    CHECK_EQ(failure_of(result).cause, KIN_CAUSE_LOST);
    CHECK_OK(kin_result_close(result));
    test_until(remote_workers(pool) == 0);
    close_pool(pool);
}

static bool gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* A deadline here, and a cancelling, end the process there. */
TEST(deadlines_and_cancelling_reach_there)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    pid_t worker = start_worker(pool, 1);
    int64_t timeout_ns = 300 * 1000000LL;
    for (int round = 0; round < 2; round++) {
        atomic_store(&notes->hold, 1);
        atomic_store(&notes->tries, 0);
        kin_task_options options = {.timeout_ns = round == 0 ? timeout_ns : 0};
        kin_result *result = submit(pool, KIN_FN(linger), "", 0, &options);
        test_until(atomic_load(&notes->tries) == 1 || kin_result_ready(result) == 1);
        if (round == 1) CHECK_OK(kin_result_cancel(result));
        CHECK_EQ(failure_of(result).cause, round == 0 ? KIN_CAUSE_TIMEOUT : KIN_CAUSE_CANCELLED);
        CHECK_OK(kin_result_close(result));
        if (atomic_load(&notes->tries) == 0) {
            /* Its time was over before it was begun there. */
            timeout_ns *= 2;
            round--;
            continue;
        }
        test_until(gone(atomic_load(&notes->pid)));
        /* And it has connected again, for the next. */
        int in = 3;
        long out;
        result = submit(pool, KIN_FN(square), &in, sizeof in, NULL);
        CHECK_RC(kin_result_get(result, &out, sizeof out, kin_in_s(30)), (long)sizeof out);
        CHECK_OK(kin_result_close(result));
    }
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* Our process for it is killed: like a link that was cut. */
TEST(a_deputy_that_is_killed_is_a_lost_worker)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 1);
    int deputy = 0;
    char text[16] = "";
    atomic_store(&notes->hold, 1);
    pid_t worker = start_worker(pool, 1);
    kin_result *result = submit(pool, KIN_FN(linger), "", 0, NULL);
    test_until(atomic_load(&notes->tries) == 1);
    CHECK_RC(kin_pool_workers(pool, &deputy, 1), 1);
    CHECK_EQ(kill(deputy, SIGKILL), 0);
    CHECK_RC(kin_result_get(result, text, sizeof text, kin_in_s(50)), 1);
    CHECK_STR(text, "1");
    CHECK_OK(kin_result_close(result));
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* Whoever serves it learns that it has ended, by whichever call, idle or in the middle of a task. */
static void end_pool(bool busy, int (*end)(kin_pool *pool))
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    kin_result *results[2] = {NULL, NULL};
    atomic_store(&notes->hold, 1);
    pid_t worker = start_worker(pool, 2);
    test_until(remote_workers(pool) == 2);
    for (int i = 0; busy && i < 2; i++) {
        atomic_store(&notes->tries, 0);
        results[i] = submit(pool, KIN_FN(linger), "", 0, NULL);
        test_until(atomic_load(&notes->tries) == 1);
    }
    if (end != NULL) {
        CHECK_OK(end(pool));
        CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
        for (int i = 0; busy && i < 2; i++) CHECK_EQ(failure_of(results[i]).cause, KIN_CAUSE_TERMINATED);
    }
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(test_collect(worker), 0);
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

TEST(workers_are_told_of_the_end_by_close)
{
    end_pool(false, kin_pool_close);
}

TEST(workers_are_told_of_the_end_by_terminate)
{
    end_pool(false, kin_pool_terminate);
    end_pool(true, kin_pool_terminate);
}

static char state_of(pid_t pid)
{
    struct kin__process_note note;
    return kin__os_process_note(pid, &note) == 0 ? note.state : '?';
}

/* A deputy sees the end by itself, while the supervisor does not run: that is no death. */
TEST(a_deputy_that_leaves_before_it_is_dismissed_was_terminated)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    kin_pool_status status;
    int deputy = 0;
    atomic_store(&notes->hold, 1);
    pid_t worker = start_worker(pool, 1);
    kin_result *result = submit(pool, KIN_FN(linger), "", 0, NULL);
    test_until(atomic_load(&notes->tries) == 1);
    CHECK_RC(kin_pool_workers(pool, &deputy, 1), 1);
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(kill(status.supervisor_pid, SIGSTOP), 0);
    test_until(state_of(status.supervisor_pid) == 'T');
    CHECK(kin__pool_raise(pool, KIN__POOL_TERMINATED));
    test_until(state_of(deputy) == 'Z');
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_EQ(failure_of(result).cause, KIN_CAUSE_TERMINATED);
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.deaths, 0);
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(test_collect(worker), 0);
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

TEST(workers_are_told_of_the_end_by_free)
{
    end_pool(false, NULL);
    end_pool(true, NULL);
}

/* A worker that hears nothing holds nobody up. */
TEST(a_worker_that_is_stopped_does_not_hold_up_the_end)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    pid_t worker = start_worker(pool, 1);
    test_until(remote_workers(pool) == 1);
    CHECK_OK(kill(worker, SIGSTOP));
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kill(worker, SIGCONT));
    CHECK_EQ(test_collect(worker), 0);
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

static int connect_to(const char *address)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    place.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_GE(descriptor, 0);
    CHECK_EQ(connect(descriptor, (const struct sockaddr *)&place, sizeof place), 0);
    return descriptor;
}

/* A closed pool needs no more of them, unless there is work left. */
TEST(who_comes_to_a_closed_pool_is_let_in_only_for_work)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    long out = 0;
    int in = 3;
    kin_result *result = submit(pool, KIN_FN(square), &in, sizeof in, NULL);
    CHECK_OK(kin_pool_close(pool));
    pid_t worker = start_worker(pool, 1);
    CHECK_RC(kin_result_get(result, &out, sizeof out, kin_in_s(30)), (long)sizeof out);
    CHECK_EQ(out, 9);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(test_collect(worker), 0);
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

/* As long as a task runs there, a listener that takes anybody would greet who comes. */
TEST(who_comes_to_a_closed_pool_without_work_is_not_greeted)
{
    char byte;
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    atomic_store(&notes->hold, 1);
    pid_t worker = start_worker(pool, 1);
    kin_result *result = submit(pool, KIN_FN(linger), "", 0, NULL);
    test_until(atomic_load(&notes->tries) == 1);
    CHECK_OK(kin_pool_close(pool));
    int late = connect_to(kin_pool_address(pool));
    atomic_store(&notes->hold, 0);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_LE(recv(late, &byte, 1, 0), 0);
    CHECK_EQ(close(late), 0);
    CHECK_OK(kin_result_wait(result, KIN_NOW));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(test_collect(worker), 0);
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

/* ---- who is let in ------------------------------------------------------------------------------------- */

TEST(another_key_is_refused)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    struct serving serving = {kin_pool_address(pool), "another", 1, SILENCE_NS};
    pid_t worker = test_child(serve, &serving);
    CHECK_EQ(WEXITSTATUS(test_collect(worker)), 77);
    CHECK_EQ(remote_workers(pool), 0);
    close_pool(pool);
}

TEST(nobody_there_is_an_error_when_patience_ends)
{
    struct serving serving = {"tcp://127.0.0.1:1", KEY, 1, 300 * 1000000LL};
    pid_t worker = test_child(serve, &serving);
    CHECK_EQ(WEXITSTATUS(test_collect(worker)), 78);
}

/* Whoever knows the key and says something else is left alone, and does no harm. */
TEST(what_is_no_worker_is_turned_away)
{
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 0);
    static const char said[][128] = {"hello", "", "\1\0\0\0\377\377\377\377and a name that is not there"};
    char byte;
    for (int i = 0; i < 3; i++) {
        kin_connection *connection = NULL;
        CHECK_OK(kin_client_open(&connection, kin_pool_address(pool),
                                 &(kin_client_options){.key = KEY, .key_size = strlen(KEY)}, kin_in_s(20)));
        CHECK_OK(kin_connection_send(connection, said[i], i == 2 ? 100 : strlen(said[i]), kin_in_s(20)));
        CHECK_RC(kin_connection_recv(connection, &byte, 1, kin_in_s(30)), KIN_ECLOSED);
        CHECK_OK(kin_connection_close(connection));
    }
    pid_t worker = start_worker(pool, 1);
    test_until(remote_workers(pool) == 1);
    close_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

TEST(bad_input)
{
    kin_pool *pool = NULL;
    CHECK_RC(kin_worker_serve(NULL, NULL), -EINVAL);
    CHECK_RC(kin_worker_serve("nowhere", NULL), KIN_EADDRESS);
    CHECK_RC(kin_worker_serve("tcp://127.0.0.1:1", &(kin_worker_options){.patience_ns = -1}), -EINVAL);
    kin_event *stop = NULL;
    CHECK_OK(kin_event_open(&stop, NULL));
    CHECK_OK(kin_event_close(stop));
    CHECK_RC(kin_worker_serve("tcp://127.0.0.1:1", &(kin_worker_options){.stop = stop}), KIN_ECLOSED);
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.address = "nowhere"}), KIN_EADDRESS);
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.address = "tcp://127.0.0.1:0", .silence_ns = -1}),
             -EINVAL);
    CHECK(kin_pool_address(NULL) == NULL);
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    CHECK(kin_pool_address(pool) == NULL);
    CHECK_OK(kin_pool_free(pool));
}
