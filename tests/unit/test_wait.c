/* test_wait.c: waiting for many things at once: each kind, mixtures, deadlines, waiters and their
 * descriptors, things that are closed meanwhile, and bad input. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin.h>

static kin_queue *open_queue(void)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.max_items = 100}));
    return queue;
}

static void put(kin_queue *queue, int number)
{
    CHECK_RC(kin_queue_put(queue, &number, sizeof number, KIN_FOREVER), 0);
}

static void get(kin_queue *queue, int expected)
{
    int number = -1;
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_NOW), sizeof number);
    CHECK_EQ(number, expected);
}

/* ---- what makes each kind ready ------------------------------------------------------------------------ */

/* Does something in a child, once the parent sleeps or is about to. */
static pid_t later(void (*action)(void *), void *context)
{
    pid_t child = fork();
    if (child != 0) return child;
    action(context);
    _exit(0);
}

static void put_one(void *queue)
{
    put(queue, 1);
}
static void end_queue(void *queue)
{
    CHECK_OK(kin_queue_shutdown(queue, 0));
}
static void set_event(void *event)
{
    CHECK_OK(kin_event_set(event));
}
static void send_one(void *connection)
{
    CHECK_OK(kin_connection_send(connection, "x", 1, KIN_FOREVER));
}
static void write_one(void *descriptor)
{
    CHECK_EQ(write(*(int *)descriptor, "x", 1), 1);
}

static void becomes_ready(kin_waitable item, void (*action)(void *), void *context)
{
    kin_queue *empty = open_queue();
    kin_waitable items[2] = {kin_on_queue(empty), item};
    CHECK_EQ(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_EQ(kin_wait(items, 2, kin_in_ms(1)), 0);
    pid_t child = later(action, context);
    CHECK_EQ(kin_wait(items, 2, KIN_FOREVER), 1);
    CHECK(!items[0].ready);
    CHECK(items[1].ready);
    CHECK_EQ(test_collect(child), 0);
    CHECK_EQ(kin_wait(&item, 1, KIN_FOREVER), 1);
    CHECK(item.ready);
    CHECK_OK(kin_queue_close(empty));
}

TEST(each_kind_becomes_ready)
{
    struct books books = books_open();
    kin_queue *queue = open_queue();
    becomes_ready(kin_on_queue(queue), put_one, queue);
    get(queue, 1);
    becomes_ready(kin_on_queue(queue), end_queue, queue);
    CHECK_OK(kin_queue_close(queue));

    /* As for kin_queue_get: who has a task is not kept waiting for others'. */
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.joinable = 1, .redeliver = 1}));
    put(queue, 1);
    get(queue, 1);
    becomes_ready(kin_on_queue(queue), end_queue, queue);
    CHECK_RC(kin_queue_get(queue, NULL, 0, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_close(queue));

    kin_event *event = NULL;
    CHECK_OK(kin_event_open(&event, NULL));
    becomes_ready(kin_on_event(event), set_event, event);
    CHECK_OK(kin_event_close(event));

    kin_connection *here = NULL, *there = NULL;
    CHECK_OK(kin_pipe_open(&here, &there, NULL));
    becomes_ready(kin_on_connection(here), send_one, there);
    CHECK_RC(kin_connection_recv(here, NULL, 0, KIN_NOW), KIN_ETOOSMALL);
    kin_waitable item = kin_on_connection(here);
    CHECK_EQ(kin_wait(&item, 1, KIN_FOREVER), 1);
    CHECK_OK(kin_connection_close(there));
    CHECK_OK(kin_connection_close(here));

    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    becomes_ready(kin_on_descriptor(ends[0]), write_one, &ends[1]);
    close(ends[0]);
    close(ends[1]);
    books_check(&books);
}

static int wait_for_event(void *event)
{
    return kin_event_wait(event, KIN_FOREVER) != 0;
}

TEST(a_process_that_ends)
{
    kin_event *event = NULL;
    kin_process *child = NULL;
    CHECK_OK(kin_event_open(&event, NULL));
    CHECK_OK(kin_process_start(&child, wait_for_event, event, NULL));
    becomes_ready(kin_on_process(child), set_event, event);
    CHECK_OK(kin_process_join(child, KIN_NOW));
    kin_waitable item = kin_on_process(child);
    CHECK_EQ(kin_wait(&item, 1, KIN_FOREVER), 1);
    CHECK_OK(kin_process_close(child));
    CHECK_OK(kin_event_close(event));
}

static int wait_for_queue(const void *argument, size_t size, kin_reply *reply)
{
    kin_queue *queue;
    int number;
    CHECK_EQ(size, sizeof queue);
    memcpy(&queue, argument, sizeof queue);
    (void)reply;
    return kin_queue_get(queue, &number, sizeof number, KIN_FOREVER) < 0;
}
KIN_BYTES(wait_for_queue)

TEST(results_of_a_pool, .deadline = 60)
{
    kin_pool *pool = NULL;
    kin_result *results[2];
    kin_queue *queues[2] = {open_queue(), open_queue()};
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    for (int i = 0; i < 2; i++)
        CHECK_OK(kin_pool_submit(pool, &results[i], KIN_FN(wait_for_queue), &queues[i], sizeof queues[i],
                                 KIN_FOREVER, NULL));
    becomes_ready(kin_on_result(results[1]), put_one, queues[1]);
    kin_waitable items[2] = {kin_on_result(results[0]), kin_on_result(results[1])};
    CHECK_EQ(kin_wait(items, 2, KIN_FOREVER), 1);
    CHECK(!items[0].ready && items[1].ready);
    becomes_ready(kin_on_result(results[0]), put_one, queues[0]);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_result_close(results[i]));
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_free(pool));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_close(queues[i]));
}

/* ---- waiters ------------------------------------------------------------------------------------------------ */

TEST(a_waiter_tells_what_is_ready_as_long_as_it_is)
{
    enum { QUEUES = 20 };
    kin_waiter *waiter = NULL;
    kin_queue *queues[QUEUES];
    kin_waitable ready[QUEUES];
    CHECK_OK(kin_waiter_open(&waiter));
    CHECK_EQ(kin_waiter_wait(waiter, ready, 1, kin_in_ms(1)), 0);
    for (int i = 0; i < QUEUES; i++) {
        queues[i] = open_queue();
        kin_waitable item = kin_on_queue(queues[i]);
        item.data = &queues[i];
        CHECK_RC(kin_waiter_add(waiter, &item), 0);
        CHECK_RC(kin_waiter_add(waiter, &item), -EEXIST);
    }
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(kin_waiter_wait(waiter, ready, QUEUES, KIN_NOW), 0);
        put(queues[7], 7);
        put(queues[13], 13);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(kin_waiter_wait(waiter, ready, QUEUES, KIN_FOREVER), 2);
            CHECK(ready[0].ready);
            bool in_order = ready[0].data == &queues[7];
            CHECK_EQ(ready[!in_order].data, &queues[7]);
            CHECK_EQ(ready[in_order].data, &queues[13]);
        }
        get(queues[7], 7);
        CHECK_EQ(kin_waiter_wait(waiter, ready, QUEUES, KIN_FOREVER), 1);
        CHECK_EQ(ready[0].data, &queues[13]);
        get(queues[13], 13);
    }
    /* All have their turn. */
    unsigned seen = 0;
    for (int i = 0; i < QUEUES; i++) put(queues[i], i);
    for (int i = 0; i < QUEUES; i++) {
        CHECK_EQ(kin_waiter_wait(waiter, ready, 1, KIN_FOREVER), 1);
        seen |= 1u << ((kin_queue **)ready[0].data - queues);
    }
    CHECK_EQ(seen, (1u << QUEUES) - 1);
    for (int i = 0; i < QUEUES; i++) {
        kin_waitable item = kin_on_queue(queues[i]);
        CHECK_RC(kin_waiter_remove(waiter, &item), 0);
        CHECK_RC(kin_waiter_remove(waiter, &item), -ENOENT);
        CHECK_OK(kin_queue_close(queues[i]));
    }
    CHECK_OK(kin_waiter_close(waiter));
}

/* What is always ready must not hide what is of another kind, nor what came after it. */
TEST(all_kinds_have_their_turn)
{
    enum { PIPES = 3, QUEUES = 2, ITEMS = PIPES + QUEUES };
    kin_waiter *waiter = NULL;
    kin_queue *queues[QUEUES];
    int ends[PIPES][2];
    CHECK_OK(kin_waiter_open(&waiter));
    for (int i = 0; i < ITEMS; i++) {
        kin_waitable item;
        if (i < PIPES) {
            CHECK_EQ(pipe2(ends[i], O_CLOEXEC), 0);
            CHECK_EQ(write(ends[i][1], "x", 1), 1);
            item = kin_on_descriptor(ends[i][0]);
        } else {
            queues[i - PIPES] = open_queue();
            put(queues[i - PIPES], i);
            item = kin_on_queue(queues[i - PIPES]);
        }
        item.data = &ends[0][0] + i;
        CHECK_RC(kin_waiter_add(waiter, &item), 0);
    }
    for (size_t limit = 1; limit <= ITEMS; limit++) {
        unsigned seen = 0;
        kin_waitable ready[ITEMS];
        for (int i = 0; i < 4 * ITEMS; i++) {
            long count = kin_waiter_wait(waiter, ready, limit, KIN_FOREVER);
            CHECK(count >= 1 && count <= (long)limit);
            for (long j = 0; j < count; j++) seen |= 1u << ((int *)ready[j].data - &ends[0][0]);
        }
        CHECK_EQ(seen, (1u << ITEMS) - 1);
    }
    CHECK_OK(kin_waiter_close(waiter));
    for (int i = 0; i < PIPES; i++) close(ends[i][0]), close(ends[i][1]);
    for (int i = 0; i < QUEUES; i++) CHECK_OK(kin_queue_close(queues[i]));
}

TEST(a_waiter_has_a_descriptor)
{
    kin_waiter *waiter = NULL;
    kin_waitable ready;
    kin_queue *queue = open_queue();
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_OK(kin_waiter_open(&waiter));
    kin_waitable on_queue = kin_on_queue(queue), on_pipe = kin_on_descriptor(ends[0]);
    CHECK_RC(kin_waiter_add(waiter, &on_queue), 0);
    CHECK_RC(kin_waiter_add(waiter, &on_pipe), 0);
    struct pollfd polled = {.fd = kin_waiter_fileno(waiter), .events = POLLIN};
    CHECK_OK(polled.fd);
    /* It may be told once too often, but not for ever. */
    while (poll(&polled, 1, 0) == 1) CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
    for (int round = 0; round < 20; round++) {
        pid_t child = later(put_one, queue);
        long count;
        do CHECK_EQ(poll(&polled, 1, -1), 1);
        while ((count = kin_waiter_wait(waiter, &ready, 1, KIN_NOW)) == 0);
        CHECK_EQ(count, 1);
        CHECK_EQ(ready.object, queue);
        /* As long as nobody took it, it is readable. */
        CHECK_EQ(poll(&polled, 1, 0), 1);
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 1);
        CHECK_EQ(poll(&polled, 1, 0), 1);
        get(queue, 1);
        CHECK_EQ(test_collect(child), 0);
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        CHECK_EQ(poll(&polled, 1, 0), 1);
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 1);
        CHECK_EQ(ready.descriptor, ends[0]);
        CHECK_EQ(read(ends[0], &count, 1), 1);
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
    }
    CHECK_OK(kin_waiter_close(waiter));
    CHECK_OK(kin_queue_close(queue));
    close(ends[0]);
    close(ends[1]);
}

TEST(many_things)
{
    enum { MANY = 1000 };
    kin_waiter *waiter = NULL;
    kin_waitable ready;
    static kin_event *events[MANY];
    static kin_waitable items[MANY];
    CHECK_OK(kin_waiter_open(&waiter));
    for (int i = 0; i < MANY; i++) {
        CHECK_OK(kin_event_open(&events[i], NULL));
        items[i] = kin_on_event(events[i]);
        CHECK_RC(kin_waiter_add(waiter, &items[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        kin_event *event = events[i * 7919 % MANY];
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
        CHECK_OK(kin_event_set(event));
        CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER), 1);
        CHECK_EQ(ready.object, event);
        CHECK_OK(kin_event_clear(event));
    }
    CHECK_OK(kin_event_set(events[500]));
    CHECK_EQ(kin_wait(items, MANY, KIN_FOREVER), 1);
    CHECK(items[500].ready);
    CHECK_OK(kin_event_clear(events[500]));
    CHECK_EQ(kin_wait(items, MANY, kin_in_ms(1)), 0);
    CHECK_OK(kin_waiter_close(waiter));
    for (int i = 0; i < MANY; i++) CHECK_OK(kin_event_close(events[i]));
}

/* More than a bell's first places: all of them are told, and the next ones find room again. */
TEST(many_wait_for_one_thing)
{
    enum { MANY = 150 };
    kin_waiter *waiters[MANY];
    kin_waitable ready;
    kin_event *event = NULL;
    CHECK_OK(kin_event_open(&event, NULL));
    kin_waitable item = kin_on_event(event);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            CHECK_OK(kin_waiter_open(&waiters[i]));
            CHECK_RC(kin_waiter_add(waiters[i], &item), 0);
            CHECK_EQ(kin_waiter_wait(waiters[i], &ready, 1, KIN_NOW), 0);
        }
        CHECK_OK(kin_event_set(event));
        for (int i = 0; i < MANY; i++) {
            struct pollfd polled = {.fd = kin_waiter_fileno(waiters[i]), .events = POLLIN};
            CHECK_EQ(poll(&polled, 1, 0), 1);
            CHECK_EQ(kin_waiter_wait(waiters[i], &ready, 1, KIN_NOW), 1);
        }
        CHECK_OK(kin_event_clear(event));
        for (int i = 0; i < MANY; i++) CHECK_OK(kin_waiter_close(waiters[i]));
    }
    CHECK_OK(kin_event_close(event));
}

/* ---- many who wait, beside those who sleep ------------------------------------------------------------------ */

enum { MEMBERS = 6, EACH = 400 };

struct traffic {
    kin_queue *queues[2];
    _Atomic unsigned got;
};

/* Two put, two wait for both queues with a waiter, one with kin_wait, one sleeps in get. */
static void exchange(void *context, unsigned index)
{
    struct traffic *traffic = context;
    kin_waiter *waiter = NULL;
    kin_waitable items[2] = {kin_on_queue(traffic->queues[0]), kin_on_queue(traffic->queues[1])}, ready;
    int number;
    if (index < 2) {
        for (int i = 0; i < EACH; i++) put(traffic->queues[(i + (int)index) % 2], i);
        return;
    }
    CHECK_OK(kin_waiter_open(&waiter));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_waiter_add(waiter, &items[i]));
    while (atomic_load(&traffic->got) < 2 * EACH) {
        long rc = 1;
        if (index < 4) {
            rc = kin_waiter_wait(waiter, &ready, 1, kin_in_ms(20));
        } else if (index == 4) {
            rc = kin_wait(items, 2, kin_in_ms(20));
            ready = items[items[1].ready];
        } else {
            ready = items[0];
        }
        CHECK_GE(rc, 0);
        if (rc == 0) continue;
        rc = kin_queue_get((kin_queue *)(uintptr_t)ready.object, &number, sizeof number,
                           index == 5 ? kin_in_ms(20) : KIN_NOW);
        if (rc >= 0) atomic_fetch_add(&traffic->got, 1);
    }
    CHECK_OK(kin_waiter_close(waiter));
}

static void those_who_wait_and_those_who_sleep(enum crew_kind kind)
{
    struct books books = books_open();
    struct traffic *traffic = kin_alloc(sizeof *traffic);
    *traffic = (struct traffic){.queues = {open_queue(), open_queue()}};
    crew_run(kind, MEMBERS, exchange, traffic);
    CHECK_EQ(atomic_load(&traffic->got), 2 * EACH);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_close(traffic->queues[i]));
    CHECK_OK(kin_free(traffic));
    books_check(&books);
}
CREW_TEST(those_who_wait_and_those_who_sleep)

/* ---- bad input, forks, faults ----------------------------------------------------------------------------- */

TEST(bad_input_is_refused)
{
    kin_waiter *waiter = NULL;
    kin_queue *queue = open_queue();
    kin_waitable none = kin_waitable_of(KIN_WAITABLE_NONE, -1, NULL), item = kin_on_queue(queue), ready;
    kin_waitable bad[] = {
        kin_on_queue(NULL),    kin_on_event(NULL),        kin_on_result(NULL),
        kin_on_process(NULL),  kin_on_connection(NULL),   kin_on_listener(NULL),
        kin_on_descriptor(-1), kin_on_descriptor(100000), kin_on_queue((kin_queue *)&waiter)};
    const int errors[] = {-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EBADF, -EBADF, KIN_EFOREIGN};
    CHECK_OK(kin_waiter_open(&waiter));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_context("item %zu", i);
        CHECK_RC(kin_wait(&bad[i], 1, KIN_NOW), errors[i]);
        CHECK_RC(kin_waiter_add(waiter, &bad[i]), errors[i]);
    }
    test_context(NULL);
    CHECK_EQ(kin_wait(NULL, 0, KIN_NOW), 0);
    CHECK_EQ(kin_wait(&none, 1, kin_in_ms(1)), 0);
    CHECK_RC(kin_wait(NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_waiter_open(NULL), -EINVAL);
    CHECK_RC(kin_waiter_add(NULL, &item), -EINVAL);
    CHECK_RC(kin_waiter_add(waiter, NULL), -EINVAL);
    CHECK_RC(kin_waiter_add(waiter, &none), -EINVAL);
    CHECK_RC(kin_waiter_remove(NULL, &item), -EINVAL);
    CHECK_RC(kin_waiter_remove(waiter, &item), -ENOENT);
    CHECK_RC(kin_waiter_wait(NULL, &ready, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_waiter_wait(waiter, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_waiter_wait(waiter, &ready, 0, KIN_NOW), -EINVAL);
    CHECK_RC(kin_waiter_fileno(NULL), -EINVAL);
    CHECK_OK(kin_waiter_close(NULL));
    /* What is closed is ready: who looks finds out. */
    CHECK_OK(kin_waiter_add(waiter, &item));
    CHECK_OK(kin_queue_close(queue));
    CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER), 1);
    CHECK_OK(kin_waiter_remove(waiter, &item));
    CHECK_OK(kin_waiter_close(waiter));
}

TEST(a_waiter_is_its_process_s)
{
    kin_waiter *waiter = NULL;
    kin_queue *queue = open_queue();
    kin_waitable item = kin_on_queue(queue), ready;
    CHECK_OK(kin_waiter_open(&waiter));
    CHECK_OK(kin_waiter_add(waiter, &item));
    CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_RC(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), KIN_ENOTGIVEN);
        CHECK_RC(kin_waiter_add(waiter, &item), KIN_ENOTGIVEN);
        CHECK_RC(kin_waiter_remove(waiter, &item), KIN_ENOTGIVEN);
        CHECK_RC(kin_waiter_fileno(waiter), KIN_ENOTGIVEN);
        CHECK_OK(kin_waiter_close(waiter));
        put(queue, 5);
        _exit(0);
    }
    CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER), 1);
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_waiter_close(waiter));
    CHECK_OK(kin_queue_close(queue));
}

static kin_queue *fault_queue;

static int wait_once(void *context)
{
    kin_waitable items[2] = {kin_on_queue(fault_queue), kin_on_descriptor(*(int *)context)};
    return (int)kin_wait(items, 2, kin_in_ms(1));
}

static int nothing(void *context)
{
    (void)context;
    return 0;
}

TEST(waiting_fails_cleanly)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    fault_queue = open_queue();
    struct faults_report report =
        faults(&(struct faults){.make = wait_once, .unmake = nothing, .context = &ends[0]});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_queue_close(fault_queue));
    close(ends[0]);
    close(ends[1]);
}
