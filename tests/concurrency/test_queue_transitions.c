/* test_queue_transitions.c: a queue between full and empty: nobody sleeps through the moment at
 * which he could go on, and what can be read about it is never impossible. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/queue.h>

static int rounds(int wanted)
{
    return test_sanitized() ? wanted / 10 : wanted;
}

static kin_queue *open_queue(size_t max_items)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.max_items = max_items}));
    return queue;
}

/* ---- there and back ------------------------------------------------------------------------------ */

struct table {
    kin_queue *queue[8];
    int rounds;
    _Atomic int stop;
    _Atomic long sum;
    _Atomic int full, empty;
};

static void play(void *context, unsigned index)
{
    struct table *table = context;
    kin_queue *in = table->queue[index], *out = table->queue[1 - index];
    int ball = 0;
    if (index == 0) CHECK_OK(kin_queue_put(out, &ball, sizeof ball, KIN_FOREVER));
    for (int i = 0; i < table->rounds; i++) {
        CHECK_RC(kin_queue_get(in, &ball, sizeof ball, KIN_FOREVER), sizeof ball);
        CHECK_EQ(ball, 2 * i + (index == 0));
        ball++;
        CHECK_OK(kin_queue_put(out, &ball, sizeof ball, KIN_FOREVER));
    }
}

static void ping_pong(enum crew_kind kind)
{
    struct books books = books_open();
    struct table *table = test_shared(sizeof *table);
    table->rounds = rounds(30000);
    for (int i = 0; i < 2; i++) table->queue[i] = open_queue(1);
    double start = test_seconds();
    crew_run(kind, 2, play, table);
    NOTE("%.2f us there and back", (test_seconds() - start) / table->rounds * 1e6);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_close(table->queue[i]));
    books_check_wakes(&books);
}
CREW_TEST(ping_pong)

/* A ring of eight, each of which hands on what it gets. */
static void hand_on(void *context, unsigned index)
{
    struct table *table = context;
    int number = 0;
    for (int i = 0; i < table->rounds; i++) {
        CHECK_RC(kin_queue_get(table->queue[index], &number, sizeof number, KIN_FOREVER), sizeof number);
        number++;
        CHECK_OK(kin_queue_put(table->queue[(index + 1) % 8], &number, sizeof number, KIN_FOREVER));
    }
}

static void round_a_ring(enum crew_kind kind)
{
    struct books books = books_open();
    struct table *table = test_shared(sizeof *table);
    int number = 0;
    table->rounds = rounds(3000);
    for (int i = 0; i < 8; i++) table->queue[i] = open_queue(1);
    CHECK_OK(kin_queue_put(table->queue[0], &number, sizeof number, KIN_NOW));
    crew_run(kind, 8, hand_on, table);
    CHECK_RC(kin_queue_get(table->queue[0], &number, sizeof number, KIN_NOW), sizeof number);
    CHECK_EQ(number, 8 * table->rounds);
    for (int i = 0; i < 8; i++) CHECK_OK(kin_queue_close(table->queue[i]));
    books_check_wakes(&books);
}
CREW_TEST(round_a_ring)

/* ---- bursts: now the one side is faster, now the other -------------------------------------------- */

#define BURST 16

static void dawdle(int64_t ns)
{
    for (kin_deadline end = kin_in_ns(ns); kin_clock() < end;)
        ;
}

static void burst(void *context, unsigned index)
{
    struct table *table = context;
    kin_queue *queue = table->queue[0];
    bool producer = index < 4;
    long sum = 0;
    for (int i = 0; i < table->rounds; i++) {
        for (int n = 0; n < BURST; n++) {
            long number = i * BURST + n;
            if (producer)
                CHECK_OK(kin_queue_put(queue, &number, sizeof number, KIN_FOREVER));
            else
                CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_FOREVER), sizeof number);
            sum += producer ? number : -number;
        }
        table->full += kin_queue_full(queue) == 1;
        table->empty += kin_queue_empty(queue) == 1;
        if (producer == (i / 20 % 2 == 0)) dawdle(30000);
    }
    table->sum += sum;
}

static void bursts(enum crew_kind kind)
{
    struct books books = books_open();
    struct table *table = test_shared(sizeof *table);
    table->rounds = rounds(1000);
    table->queue[0] = open_queue(BURST);
    do {
        crew_run(kind, 8, burst, table);
        CHECK_EQ(table->sum, 0);
    } while (table->full == 0 || table->empty == 0);
    NOTE("seen full %d and empty %d times", table->full, table->empty);
    CHECK_OK(kin_queue_close(table->queue[0]));
    books_check(&books);
}
CREW_TEST(bursts)

/* ---- deadlines under load ------------------------------------------------------------------------------ */

static void put_or_get_in_time(void *context, unsigned index)
{
    struct table *table = context;
    long balance = 0;
    for (int i = 0; i < table->rounds; i++) {
        long number = 1, rc;
        kin_deadline deadline = kin_in_ns(i % 50 * 1000);
        if (index % 2 == 0) {
            rc = kin_queue_put(table->queue[0], &number, sizeof number, deadline);
            if (rc != KIN_FULL) CHECK_RC(rc, 0);
            balance += rc == 0;
        } else {
            rc = kin_queue_get(table->queue[0], &number, sizeof number, deadline);
            if (rc != KIN_EMPTY) CHECK_RC(rc, sizeof number);
            balance -= rc > 0;
        }
    }
    table->sum += balance;
}

static void short_deadlines_lose_nothing(enum crew_kind kind)
{
    struct books books = books_open();
    struct table *table = test_shared(sizeof *table);
    table->rounds = rounds(20000);
    table->queue[0] = open_queue(2);
    crew_run(kind, 6, put_or_get_in_time, table);
    CHECK_EQ(kin_queue_qsize(table->queue[0]), table->sum);
    CHECK_OK(kin_queue_close(table->queue[0]));
    books_check(&books);
}
CREW_TEST(short_deadlines_lose_nothing)

/* ---- a wake-up that its receiver cannot use ------------------------------------------------------------- */

static void get_too_little(void *context, unsigned index)
{
    char buffer[10];
    (void)index;
    long rc = kin_queue_get(context, buffer, sizeof buffer, KIN_FOREVER);
    if (rc != KIN_ECLOSED) CHECK_RC(rc, KIN_ETOOSMALL); /* the other may have been quicker */
}

static void get_all(void *context, unsigned index)
{
    char buffer[100];
    (void)index;
    CHECK_RC(kin_queue_get(context, buffer, sizeof buffer, KIN_FOREVER), 50);
}

/* Who is woken first is the first who slept; his buffer is too small, and the message is the other's. */
static void a_wake_up_that_was_of_no_use_is_passed_on(enum crew_kind kind)
{
    struct books books = books_open();
    for (int i = 0; i < 10; i++) {
        kin_queue *queue = open_queue(0);
        struct crew first, second;
        char message[50] = "";
        crew_start(&first, kind == CREW_MIXED ? CREW_PROCESSES : kind, 1, get_too_little, queue);
        test_until(books_sleepers() == 1);
        crew_start(&second, kind == CREW_MIXED ? CREW_THREADS : kind, 1, get_all, queue);
        test_until(books_sleepers() == 2);
        CHECK_OK(kin_queue_put(queue, message, sizeof message, KIN_FOREVER));
        crew_join(&second);
        CHECK_OK(kin_queue_shutdown(queue, 0));
        crew_join(&first);
        CHECK_OK(kin_queue_close(queue));
    }
    books_check_wakes(&books);
}
CREW_TEST(a_wake_up_that_was_of_no_use_is_passed_on)

/* ---- reading --------------------------------------------------------------------------------------------- */

static void work_or_look(void *context, unsigned index)
{
    struct table *table = context;
    kin_queue *queue = table->queue[0];
    long number = 0;
    if (index == 0) {
        for (int i = 0; i < table->rounds; i++)
            CHECK_OK(kin_queue_put(queue, &number, sizeof number, KIN_FOREVER));
        table->stop = 1;
        CHECK_OK(kin_queue_shutdown(queue, 0));
    } else if (index == 1) {
        while (kin_queue_get(queue, &number, sizeof number, KIN_FOREVER) > 0)
            ;
    } else {
        while (table->stop == 0) {
            long size = kin_queue_qsize(queue);
            CHECK_GE(size, 0);
            CHECK_LE(size, 5);
            CHECK_OK(kin_queue_full(queue));
            CHECK_OK(kin_queue_empty(queue));
        }
    }
}

static void sizes_are_possible(enum crew_kind kind)
{
    struct books books = books_open();
    struct table *table = test_shared(sizeof *table);
    table->rounds = rounds(100000);
    table->queue[0] = open_queue(5);
    crew_run(kind, 4, work_or_look, table);
    CHECK_OK(kin_queue_close(table->queue[0]));
    books_check(&books);
}
CREW_TEST(sizes_are_possible)

/* ---- one who is stopped ----------------------------------------------------------------------------------- */

static void pump(void *argument)
{
    struct table *table = argument;
    int number = 1;
    for (;;) {
        kin_queue_put(table->queue[0], &number, sizeof number, KIN_NOW);
        kin_queue_get(table->queue[0], &number, sizeof number, KIN_NOW);
        table->sum++;
    }
}

TEST(a_process_stopped_anywhere_inside_costs_deadlines_only, .alone = true)
{
    struct books books = books_open();
    struct table *table = test_shared(sizeof *table);
    int number = 2, held_up = 0, late = 0, times = test_sanitized() ? 50 : 300;
    table->queue[0] = open_queue(1);
    pid_t child = test_child(pump, table);
    double worst = 0;
    for (int i = 0; i < times;) {
        long before = table->sum;
        test_until(table->sum != before);
        CHECK_EQ(kill(child, SIGSTOP), 0);
        double start = test_seconds();
        long rc = kin_queue_put(table->queue[0], &number, sizeof number, kin_in_ms(20));
        if (rc != 0 && rc != KIN_FULL) CHECK_RC(rc, -ETIMEDOUT);
        held_up += rc == -ETIMEDOUT;
        rc = kin_queue_get(table->queue[0], &number, sizeof number, kin_in_ms(20));
        if (rc != KIN_EMPTY && rc < 0) CHECK_RC(rc, -ETIMEDOUT);
        held_up += rc == -ETIMEDOUT;
        double took = test_seconds() - start;
        worst = took > worst ? took : worst;
        CHECK_EQ(kill(child, SIGCONT), 0);
        /* Two calls, each with its deadline and the grace that a slow holder gets.  One that this machine was too
         * busy for is none. */
        if (took < 2.0 * test_time_scale())
            i++;
        else
            late++;
        if (late > times / 20) break;
    }
    test_kill(child);
    CHECK_OK(kin_sweep());
    while (kin_queue_get(table->queue[0], &number, sizeof number, KIN_NOW) > 0)
        ;
    CHECK_OK(kin_queue_close(table->queue[0]));
    books_check_blocks(&books);
    if (late > times / 20 && !test_again())
        FAIL("a stopped process cost more than the deadline %d times", late);
    NOTE("stopped inside %d of %d times; worst wait %.1f ms, %d too late", held_up, times + late, worst * 1e3,
         late);
}
