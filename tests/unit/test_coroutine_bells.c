/* test_coroutine_bells.c: a thread whose coroutines wait for objects in family memory sleeps until another process
 * does something: in its own loop, in a foreign one, with more bells than there is room for. */
#define _GNU_SOURCE
#include "support/test.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <kin.h>

#define IDLE_MS 500

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

/* Runs this thread's loop to its end: it sleeps until something happens. */
static void run_asleep(void)
{
    long before = times_slept();
    double begun = test_seconds();
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    double seconds = test_seconds() - begun;
    long slept = times_slept() - before;
    NOTE("slept %ld times in %.0f ms", slept, seconds * 1e3);
    CHECK_LE(slept, test_looks_most(seconds));
}

TEST(an_idle_thread_sleeps)
{
    char text[5] = "";
    begin(text);
    run_asleep();
    end(text);
}

/* ---- what is held for long ---------------------------------------------------------------------------------- */

struct held {
    kin_lock *lock;
    kin_rwlock *written;
    kin_rwlock *read;
    kin_event *taken;
    kin_event *never;
};

static struct held held;

static int hold(void *dies)
{
    CHECK_OK(kin_lock_acquire(held.lock, KIN_FOREVER));
    CHECK_OK(kin_rwlock_acquire_write(held.written, KIN_FOREVER));
    CHECK_OK(kin_rwlock_acquire_read(held.read, KIN_FOREVER));
    CHECK_OK(kin_event_set(held.taken));
    CHECK_RC(kin_event_wait(held.never, kin_in_ms(IDLE_MS)), -ETIMEDOUT);
    if (dies != NULL) return raise(SIGKILL);
    CHECK_OK(kin_rwlock_release(held.read));
    CHECK_OK(kin_rwlock_release(held.written));
    return kin_lock_release(held.lock);
}

static int take_lock(void *unused)
{
    (void)unused;
    int rc = kin_lock_acquire(held.lock, KIN_FOREVER);
    CHECK_OK(kin_lock_release(held.lock));
    return rc;
}

static int take_written(void *unused)
{
    (void)unused;
    int rc = kin_rwlock_acquire_read(held.written, KIN_FOREVER);
    CHECK_OK(kin_rwlock_release(held.written));
    return rc;
}

static int take_read(void *unused)
{
    (void)unused;
    int rc = kin_rwlock_acquire_write(held.read, KIN_FOREVER);
    CHECK_OK(kin_rwlock_release(held.read));
    return rc;
}

/* Three coroutines wait for what another process holds. */
static void wait_for_held(bool dies)
{
    static kin_coroutine_function *const take[] = {take_lock, take_written, take_read};
    kin_coroutine *waits[3];
    kin_process *holder = NULL;
    int result[3];
    CHECK_OK(kin_lock_open(&held.lock));
    CHECK_OK(kin_rwlock_open(&held.written, NULL));
    CHECK_OK(kin_rwlock_open(&held.read, NULL));
    CHECK_OK(kin_event_open(&held.taken, NULL));
    CHECK_OK(kin_event_open(&held.never, NULL));
    CHECK_OK(kin_process_start(&holder, hold, dies ? &held : NULL, NULL));
    CHECK_OK(kin_event_wait(held.taken, KIN_FOREVER));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_coroutine_start(&waits[i], take[i], NULL, NULL));
    run_asleep();
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kin_coroutine_result(waits[i], &result[i]));
        CHECK_OK(kin_coroutine_close(waits[i]));
    }
    CHECK_EQ(result[0], dies ? KIN_OWNER_DIED : 0);
    CHECK_EQ(result[1], dies ? KIN_OWNER_DIED : 0);
    CHECK_EQ(result[2], 0);
    CHECK_OK(kin_process_join(holder, KIN_FOREVER));
    CHECK_OK(kin_process_close(holder));
    CHECK_OK(kin_lock_close(held.lock));
    CHECK_OK(kin_rwlock_close(held.written));
    CHECK_OK(kin_rwlock_close(held.read));
    CHECK_OK(kin_event_close(held.taken));
    CHECK_OK(kin_event_close(held.never));
    CHECK_OK(kin_loop_close());
}

TEST(a_thread_that_waits_for_locks_sleeps)
{
    wait_for_held(false);
}

TEST(a_thread_that_waits_for_locks_hears_of_their_owners_death)
{
    wait_for_held(true);
}

/* ---- what is this process's own ------------------------------------------------------------------------------ */

static kin_thread *sleeper;
static kin_connection *line[2];

static int sleep_long(void *unused)
{
    (void)unused;
    CHECK_RC(kin_event_wait(pair.never, kin_in_ms(IDLE_MS)), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_send(line[0], "late", 5, KIN_FOREVER));
    return 0;
}

static int join_sleeper(void *unused)
{
    (void)unused;
    return kin_thread_join(sleeper, KIN_FOREVER);
}

static int receive_late(void *unused)
{
    (void)unused;
    char text[8];
    CHECK_EQ(kin_connection_recv(line[1], text, sizeof text, KIN_FOREVER), 5);
    CHECK_STR(text, "late");
    return 0;
}

/* Two receive on one connection, so that one of them waits for the other's lock; one waits for a thread. */
TEST(a_thread_that_waits_for_its_own_process_sleeps)
{
    int ends[2];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_open(&line[i], ends[i]));
    CHECK_OK(kin_event_open(&pair.never, NULL));
    CHECK_OK(kin_thread_start(&sleeper, sleep_long, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, join_sleeper, NULL, NULL));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_coroutine_start(NULL, receive_late, NULL, NULL));
    run_asleep();
    CHECK_OK(kin_thread_close(sleeper));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_close(line[i]));
    CHECK_OK(kin_event_close(pair.never));
    CHECK_OK(kin_loop_close());
}

/* Threads and coroutines of two loops pass one connection's lock to each other. */
enum { SENDERS = 4, LETTERS = 300 };

static int send_letters(void *unused)
{
    (void)unused;
    static const char letter[20000] = "letter";
    for (int i = 0; i < LETTERS; i++)
        CHECK_OK(kin_connection_send(line[0], letter, sizeof letter, KIN_FOREVER));
    return 0;
}

static int send_in_loop(void *unused)
{
    for (int i = 0; i < SENDERS; i++) CHECK_OK(kin_coroutine_start(NULL, send_letters, unused, NULL));
    return kin_loop_run(KIN_FOREVER);
}

TEST(threads_and_coroutines_share_a_lock_of_their_process)
{
    int ends[2];
    char text[20000];
    kin_thread *thread[3];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_open(&line[i], ends[i]));
    for (int i = 0; i < 3; i++)
        CHECK_OK(kin_thread_start(&thread[i], i == 0 ? send_letters : send_in_loop, NULL, NULL));
    for (int i = 0; i < (2 * SENDERS + 1) * LETTERS; i++)
        CHECK_EQ(kin_connection_recv(line[1], text, sizeof text, KIN_FOREVER), (long)sizeof text);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_close(line[i]));
}

/* ---- in foreign loops --------------------------------------------------------------------------------------- */

TEST(a_foreign_loop_is_woken)
{
    char text[5] = "";
    int alive, turns = 0;
    struct pollfd ours = {.fd = kin_loop_descriptor(), .events = POLLIN};
    CHECK_OK(ours.fd);
    begin(text);
    double begun = test_seconds();
    for (; (alive = kin_loop_turn(KIN_NOW)) > 0; turns++) CHECK_EQ(poll(&ours, 1, -1), 1);
    double seconds = test_seconds() - begun;
    CHECK_OK(alive);
    NOTE("%d turns in %.0f ms", turns, seconds * 1e3);
    CHECK_LE(turns, test_looks_most(seconds));
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

/* ---- several slices of nothing ------------------------------------------------------------------------- */

static int wait_for_nobody(void *of_condition)
{
    kin_condition *condition = of_condition;
    kin_deadline deadline = kin_in_ms(IDLE_MS);
    CHECK_OK(kin_condition_acquire(condition, KIN_FOREVER));
    CHECK_RC(kin_condition_wait(condition, deadline), -ETIMEDOUT);
    CHECK_GE(kin_clock(), deadline);
    CHECK_OK(kin_condition_release(condition));
    return 0;
}

TEST(a_condition_that_nobody_notifies_is_waited_for_until_the_deadline)
{
    kin_condition *condition = NULL;
    kin_coroutine *coroutine = NULL;
    CHECK_OK(kin_condition_open(&condition, NULL));
    CHECK_OK(kin_coroutine_start(&coroutine, wait_for_nobody, condition, NULL));
    CHECK_OK(kin_coroutine_join(coroutine, KIN_FOREVER));
    CHECK_OK(kin_coroutine_close(coroutine));
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_condition_close(condition));
}
