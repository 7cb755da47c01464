/* test_coroutine_bells.c: a thread whose coroutines wait for objects in family memory sleeps until another process
 * does something: in its own loop, in a foreign one, with more bells than there is room for. */
#define _GNU_SOURCE
#include "support/test.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include <kin.h>

#define IDLE_MS 300
/* Slices of 100 ms, each with a look or two; who polls looks hundreds of times. */
#define LOOKS_MOST 60

struct pair {
    kin_queue *queue;
    kin_event *never;
};

static struct pair pair;
static kin_process *putter;

static int put_later(void *unused)
{
    (void)unused;
    if (kin_event_wait(pair.never, kin_in_ms(IDLE_MS)) != -ETIMEDOUT) return 1;
    return kin_queue_put(pair.queue, "late", 5, KIN_FOREVER);
}

static int get(void *text)
{
    return kin_queue_get(pair.queue, text, 5, KIN_FOREVER) == 5 ? 0 : -1;
}

static void begin(char *text)
{
    CHECK_OK(kin_queue_open(&pair.queue, NULL));
    CHECK_OK(kin_event_open(&pair.never, NULL));
    CHECK_OK(kin_process_start(&putter, put_later, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, get, text, NULL));
}

static void end(const char *text)
{
    CHECK_STR(text, "late");
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_process_join(putter, KIN_FOREVER));
    CHECK_OK(kin_process_close(putter));
    CHECK_OK(kin_queue_close(pair.queue));
    CHECK_OK(kin_event_close(pair.never));
}

static long times_slept(void)
{
    struct rusage usage;
    CHECK_OK(getrusage(RUSAGE_THREAD, &usage));
    return usage.ru_nvcsw;
}

TEST(an_idle_thread_sleeps)
{
    char text[5] = "";
    begin(text);
    long before = times_slept();
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    long slept = times_slept() - before;
    NOTE("slept %ld times in %d ms", slept, IDLE_MS);
    CHECK_LE(slept, LOOKS_MOST);
    end(text);
}

TEST(a_foreign_loop_is_woken)
{
    char text[5] = "";
    int alive, turns = 0;
    struct pollfd ours = {.fd = kin_loop_descriptor(), .events = POLLIN};
    CHECK_OK(ours.fd);
    begin(text);
    for (; (alive = kin_loop_turn(KIN_NOW)) > 0; turns++) CHECK_EQ(poll(&ours, 1, -1), 1);
    CHECK_OK(alive);
    NOTE("%d turns in %d ms", turns, IDLE_MS);
    CHECK_LE(turns, LOOKS_MOST);
    end(text);
}

static void turn(uv_poll_t *handle, int status, int events)
{
    (void)events;
    CHECK_OK(status);
    if (kin_loop_turn(KIN_NOW) == 0) uv_close((uv_handle_t *)handle, NULL);
}

static int tick(void *ticks)
{
    for (int i = 0; i < 5; i++) {
        CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
        ++*(int *)ticks;
    }
    return 0;
}

TEST(libuv_runs_the_loop)
{
    uv_loop_t loop;
    uv_poll_t handle;
    char text[5] = "";
    int ticks = 0;
    begin(text);
    CHECK_OK(kin_coroutine_start(NULL, tick, &ticks, NULL));
    CHECK_OK(uv_loop_init(&loop));
    CHECK_OK(uv_poll_init(&loop, &handle, kin_loop_descriptor()));
    CHECK_OK(uv_poll_start(&handle, UV_READABLE, turn));
    CHECK_OK(kin_loop_turn(KIN_NOW));
    CHECK_OK(uv_run(&loop, UV_RUN_DEFAULT));
    CHECK_OK(uv_loop_close(&loop));
    uv_library_shutdown(); /* closes its pipe for signals */
    CHECK_EQ(ticks, 5);
    end(text);
}

/* ---- many ------------------------------------------------------------------------------------------------- */

#define THREADS 80 /* more than bells can hang at one point */

static kin_event *start_event;
static atomic_int waiting;

static int await_start(void *unused)
{
    (void)unused;
    waiting++;
    return kin_event_wait(start_event, KIN_FOREVER);
}

static int run_loop(void *unused)
{
    CHECK_OK(kin_coroutine_start(NULL, await_start, unused, NULL));
    return kin_loop_run(KIN_FOREVER);
}

TEST(more_loops_than_bells_wait_for_one_event)
{
    kin_thread *thread[THREADS];
    CHECK_OK(kin_event_open(&start_event, NULL));
    for (int i = 0; i < THREADS; i++) CHECK_OK(kin_thread_start(&thread[i], run_loop, NULL, NULL));
    test_until(waiting == THREADS);
    /* Time for those who can to hang their bells; whoever has not finds the event set. */
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(20)));
    CHECK_OK(kin_event_set(start_event));
    for (int i = 0; i < THREADS; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    CHECK_OK(kin_event_close(start_event));
    CHECK_OK(kin_loop_close());
}

/* ---- several processes and threads, each with a loop --------------------------------------------------------- */

enum { PARTIES = 4, ROUNDS = 200 };

static kin_queue *ring[PARTIES];

/* Passes on what comes to the next one of the ring. */
static int pass_on(void *argument)
{
    int place = (int)(intptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        int number;
        CHECK_EQ(kin_queue_get(ring[place], &number, sizeof number, KIN_FOREVER), (long)sizeof number);
        CHECK_EQ(number, i);
        CHECK_OK(kin_queue_put(ring[(place + 1) % PARTIES], &number, sizeof number, KIN_FOREVER));
    }
    return 0;
}

static int run_party(void *place)
{
    CHECK_OK(kin_coroutine_start(NULL, pass_on, place, NULL));
    return kin_loop_run(KIN_FOREVER);
}

static int send_round(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        int number;
        CHECK_OK(kin_queue_put(ring[1], &i, sizeof i, KIN_FOREVER));
        CHECK_EQ(kin_queue_get(ring[0], &number, sizeof number, KIN_FOREVER), (long)sizeof number);
        CHECK_EQ(number, i);
    }
    return 0;
}

TEST(loops_of_threads_and_processes_pass_a_message_round)
{
    kin_process *process = NULL;
    kin_thread *thread[2];
    for (int i = 0; i < PARTIES; i++) CHECK_OK(kin_queue_open(&ring[i], NULL));
    CHECK_OK(kin_process_start(&process, run_party, (void *)3, NULL));
    for (int i = 0; i < 2; i++)
        CHECK_OK(kin_thread_start(&thread[i], run_party, (void *)(intptr_t)(i + 1), NULL));
    CHECK_OK(kin_coroutine_start(NULL, send_round, NULL, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_close(process));
    for (int i = 0; i < PARTIES; i++) CHECK_OK(kin_queue_close(ring[i]));
    CHECK_OK(kin_loop_close());
}
