/* test_coroutine_waits.c: calls of kin that wait, made by coroutines: the others go on meanwhile. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/event.h>
#include <kin/listener.h>
#include <kin/lock.h>
#include <kin/loop.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/queue.h>
#include <kin/rwlock.h>
#include <kin/thread.h>

#include "memory/wait.h"
#include "sync/rwlock.h"

static void run_to_end(void)
{
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

/* ---- queues between coroutines of one thread --------------------------------------------------------- */

struct traffic {
    kin_queue *queue;
    int messages; /* of each producer */
    size_t size;
    long sent;
    long received;
};

static int produce(void *argument)
{
    struct traffic *traffic = argument;
    char message[9000] = "";
    for (int i = 1; i <= traffic->messages; i++) {
        memcpy(message, &i, sizeof i);
        CHECK_OK(kin_queue_put(traffic->queue, message, traffic->size, KIN_FOREVER));
        traffic->sent += i;
    }
    return 0;
}

static int consume(void *argument)
{
    struct traffic *traffic = argument;
    char message[9000];
    for (long rc;
         (rc = kin_queue_get(traffic->queue, message, sizeof message, KIN_FOREVER)) != KIN_ECLOSED;) {
        int i;
        CHECK_EQ(rc, (long)traffic->size);
        memcpy(&i, message, sizeof i);
        traffic->received += i;
    }
    return 0;
}

static void run_traffic(size_t max_items, size_t size, int producers, int consumers)
{
    struct traffic traffic = {.messages = 200, .size = size};
    kin_group *group = NULL;
    CHECK_OK(kin_queue_open(&traffic.queue, &(kin_queue_options){.max_items = max_items}));
    CHECK_OK(kin_group_open(&group));
    for (int i = 0; i < consumers; i++) CHECK_OK(kin_coroutine_start(NULL, consume, &traffic, NULL));
    for (int i = 0; i < producers; i++)
        CHECK_OK(kin_coroutine_start(NULL, produce, &traffic, &(kin_coroutine_options){.group = group}));
    CHECK_OK(kin_group_join(group, KIN_FOREVER));
    CHECK_OK(kin_group_close(group));
    CHECK_OK(kin_queue_shutdown(traffic.queue, 0));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_EQ(traffic.sent, producers * 20100);
    CHECK_EQ(traffic.received, traffic.sent);
    CHECK_OK(kin_queue_close(traffic.queue));
}

TEST(producers_and_consumers_in_one_thread)
{
    run_traffic(1, 100, 1, 1);
    run_traffic(2, 100, 5, 3);
    run_traffic(16, 8000, 3, 5);
    run_traffic(0, 4000, 20, 20);
    CHECK_OK(kin_loop_close());
}

static bool has_waited;

static int get_in_vain(void *queue)
{
    char byte;
    CHECK_EQ(kin_queue_get(queue, &byte, 1, kin_in_ms(5)), KIN_EMPTY);
    has_waited = true;
    CHECK_RC((int)kin_queue_get(queue, &byte, 1, KIN_FOREVER), -ECANCELED);
    CHECK_RC((int)kin_queue_get(queue, &byte, 1, KIN_FOREVER), -ECANCELED);
    return 0;
}

static int count_steps(void *steps)
{
    while (kin_coroutine_sleep(kin_in_ms(1)) == 0) ++*(int *)steps;
    return 0;
}

TEST(a_wait_can_be_cancelled)
{
    int steps = 0;
    kin_queue *queue = NULL;
    kin_coroutine *waiting = NULL, *other = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_coroutine_start(&waiting, get_in_vain, queue, NULL));
    CHECK_OK(kin_coroutine_start(&other, count_steps, &steps, NULL));
    while (!has_waited || steps == 0) CHECK_OK(kin_loop_turn(kin_in_ms(1)));
    CHECK_EQ(kin_coroutine_is_alive(waiting), 1);
    CHECK_OK(kin_coroutine_cancel(waiting));
    CHECK_OK(kin_coroutine_join(waiting, KIN_FOREVER));
    CHECK_GT(steps, 0);
    CHECK_OK(kin_coroutine_cancel(other));
    run_to_end();
    CHECK_OK(kin_coroutine_close(waiting));
    CHECK_OK(kin_coroutine_close(other));
    CHECK_OK(kin_queue_close(queue));
}

/* ---- with other processes ---------------------------------------------------------------------------------- */

struct pair {
    kin_queue *there;
    kin_queue *back;
};

static int echo(void *argument)
{
    struct pair *pair = argument;
    long number;
    while (kin_queue_get(pair->there, &number, sizeof number, KIN_FOREVER) > 0)
        if (kin_queue_put(pair->back, &number, sizeof number, KIN_FOREVER) < 0) return 1;
    return 0;
}

static int ask(void *argument)
{
    struct pair *pair = argument;
    for (long i = 0; i < 50; i++) {
        long number;
        CHECK_OK(kin_queue_put(pair->there, &i, sizeof i, KIN_FOREVER));
        CHECK_EQ(kin_queue_get(pair->back, &number, sizeof number, KIN_FOREVER), (long)sizeof number);
        CHECK_EQ(number, i);
    }
    return kin_queue_shutdown(pair->there, 0);
}

TEST(another_process_answers)
{
    enum { PAIRS = 5 };
    struct pair pairs[PAIRS];
    kin_process *process[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        CHECK_OK(kin_queue_open(&pairs[i].there, &(kin_queue_options){.max_items = 4}));
        CHECK_OK(kin_queue_open(&pairs[i].back, NULL));
        CHECK_OK(kin_process_start(&process[i], echo, &pairs[i], NULL));
        CHECK_OK(kin_coroutine_start(NULL, ask, &pairs[i], NULL));
    }
    run_to_end();
    for (int i = 0; i < PAIRS; i++) {
        CHECK_OK(kin_process_join(process[i], KIN_FOREVER));
        CHECK_OK(kin_process_close(process[i]));
        CHECK_OK(kin_queue_close(pairs[i].there));
        CHECK_OK(kin_queue_close(pairs[i].back));
    }
}

static int get_one(void *queue)
{
    int number;
    CHECK_EQ(kin_queue_get(queue, &number, sizeof number, KIN_FOREVER), (long)sizeof number);
    return number;
}

/* More objects than a thread could ever sleep on at once. */
TEST(a_thousand_queues_are_waited_for)
{
    enum { QUEUES = 1200 };
    static kin_queue *queues[QUEUES];
    static kin_coroutine *waiting[QUEUES];
    struct books books = books_open();
    for (int i = 0; i < QUEUES; i++) {
        CHECK_OK(kin_queue_open(&queues[i], NULL));
        CHECK_OK(kin_coroutine_start(&waiting[i], get_one, queues[i], NULL));
    }
    CHECK_RC(kin_loop_run(kin_in_ms(5)), -ETIMEDOUT);
    for (int i = QUEUES - 1; i >= 0; i--) CHECK_OK(kin_queue_put(queues[i], &i, sizeof i, KIN_NOW));
    run_to_end();
    for (int i = 0; i < QUEUES; i++) {
        int result = -1;
        CHECK_OK(kin_coroutine_result(waiting[i], &result));
        CHECK_EQ(result, i);
        CHECK_OK(kin_coroutine_close(waiting[i]));
        CHECK_OK(kin_queue_close(queues[i]));
    }
    books_check_blocks(&books);
}

static int return_seven(void *unused)
{
    (void)unused;
    return 7;
}

static int kill_self(void *unused)
{
    (void)unused;
    return raise(SIGKILL);
}

static int wait_for_process(void *function)
{
    kin_process *process = NULL;
    int code = 0;
    CHECK_OK(kin_process_start(&process, (kin_process_function *)(uintptr_t)function, NULL, NULL));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_OK(kin_process_close(process));
    return code;
}

static int wait_for_thread(void *unused)
{
    kin_thread *thread = NULL;
    CHECK_OK(kin_thread_start(&thread, return_seven, unused, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    return kin_thread_close(thread);
}

TEST(processes_and_threads_are_waited_for)
{
    int result;
    kin_coroutine *ended = NULL, *killed = NULL;
    CHECK_OK(kin_coroutine_start(&ended, wait_for_process, (void *)(uintptr_t)return_seven, NULL));
    CHECK_OK(kin_coroutine_start(&killed, wait_for_process, (void *)(uintptr_t)kill_self, NULL));
    CHECK_OK(kin_coroutine_start(NULL, wait_for_thread, NULL, NULL));
    run_to_end();
    CHECK_OK(kin_coroutine_result(ended, &result));
    CHECK_EQ(result, 7);
    CHECK_OK(kin_coroutine_result(killed, &result));
    CHECK_EQ(result, -SIGKILL);
    CHECK_OK(kin_coroutine_close(ended));
    CHECK_OK(kin_coroutine_close(killed));
}

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int use_pool(void *pool)
{
    for (int i = 0; i < 20; i++) {
        long out = 0;
        CHECK_OK(kin_pool_apply(pool, KIN_FN(square), &i, sizeof i, &out, sizeof out, KIN_FOREVER, NULL));
        CHECK_EQ(out, (long)i * i);
    }
    return 0;
}

TEST(results_of_a_pool_are_waited_for)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    for (int i = 0; i < 8; i++) CHECK_OK(kin_coroutine_start(NULL, use_pool, pool, NULL));
    run_to_end();
    CHECK_OK(kin_pool_free(pool));
}

/* ---- locks and deaths ---------------------------------------------------------------------------------------- */

struct held {
    kin_lock *lock;
    kin_queue *has_it;
    kin_queue *die;
};

static int hold_and_die(void *argument)
{
    struct held *held = argument;
    if (kin_lock_acquire(held->lock, KIN_FOREVER) < 0 || kin_queue_put(held->has_it, "", 0, KIN_FOREVER) < 0)
        return 1;
    kin_queue_get(held->die, NULL, 0, KIN_FOREVER);
    return raise(SIGKILL);
}

/* Another one runs while the first waits for the lock, and only then its owner dies. */
static int let_die(void *argument)
{
    struct held *held = argument;
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(2)));
    return kin_queue_put(held->die, "", 0, KIN_FOREVER);
}

static int acquire_after(void *argument)
{
    struct held *held = argument;
    CHECK_EQ(kin_lock_acquire(held->lock, KIN_FOREVER), KIN_OWNER_DIED);
    return kin_lock_release(held->lock);
}

TEST(the_death_of_an_owner_wakes_a_coroutine)
{
    struct held held;
    kin_process *owner = NULL;
    CHECK_OK(kin_lock_open(&held.lock));
    CHECK_OK(kin_queue_open(&held.has_it, NULL));
    CHECK_OK(kin_queue_open(&held.die, NULL));
    CHECK_OK(kin_process_start(&owner, hold_and_die, &held, NULL));
    CHECK_EQ(kin_queue_get(held.has_it, NULL, 0, KIN_FOREVER), 0);
    CHECK_OK(kin_coroutine_start(NULL, acquire_after, &held, NULL));
    CHECK_OK(kin_coroutine_start(NULL, let_die, &held, NULL));
    run_to_end();
    CHECK_OK(kin_process_join(owner, KIN_FOREVER));
    CHECK_OK(kin_process_close(owner));
    CHECK_OK(kin_lock_close(held.lock));
    CHECK_OK(kin_queue_close(held.has_it));
    CHECK_OK(kin_queue_close(held.die));
}

/* Killed while its coroutines wait for many queues: nothing of it is left. */
static int wait_for_many(void *queues)
{
    kin_queue **all = queues;
    for (int i = 0; i < 20; i++) kin_coroutine_start(NULL, get_one, all[i], NULL);
    kin_coroutine_start(NULL, wait_for_thread, NULL, NULL);
    kin_loop_run(kin_in_ms(20));
    return raise(SIGKILL);
}

TEST(the_death_of_a_thread_with_coroutines_is_reaped)
{
    kin_queue *queues[20];
    for (int i = 0; i < 20; i++) {
        CHECK_OK(kin_queue_open(&queues[i], NULL));
        /* With its first message it takes what it will keep. */
        CHECK_OK(kin_queue_put(queues[i], "", 0, KIN_NOW));
        CHECK_EQ(kin_queue_get(queues[i], NULL, 0, KIN_NOW), 0);
    }
    struct books books = books_open();
    for (int round = 0; round < 5; round++) {
        kin_process *process = NULL;
        CHECK_OK(kin_process_start(&process, wait_for_many, queues, NULL));
        CHECK_OK(kin_process_join(process, KIN_FOREVER));
        CHECK_OK(kin_process_close(process));
        kin_sweep();
        for (int i = 0; i < 20; i++) {
            char text[4];
            CHECK_OK(kin_queue_put(queues[i], "abc", 4, KIN_NOW));
            CHECK_EQ(kin_queue_get(queues[i], text, 4, KIN_NOW), 4);
        }
    }
    books_check_blocks(&books);
    for (int i = 0; i < 20; i++) CHECK_OK(kin_queue_close(queues[i]));
}

struct abandoned {
    kin_rwlock *lock;
    _Atomic int waits, end;
};

static int write_in_coroutine(void *lock)
{
    return kin_rwlock_acquire_write(lock, KIN_FOREVER);
}

static int leave_a_writer_waiting(void *argument)
{
    struct abandoned *abandoned = argument;
    CHECK_OK(kin_coroutine_start(NULL, write_in_coroutine, abandoned->lock, NULL));
    CHECK_RC(kin_loop_run(kin_in_ms(1)), -ETIMEDOUT);
    abandoned->waits = 1;
    test_until(abandoned->end == 1);
    return 0;
}

static int read_it(void *lock)
{
    CHECK_OK(kin_rwlock_acquire_read(lock, KIN_FOREVER));
    return kin_rwlock_release(lock);
}

/* A reader stands back for a coroutine that waits to write, and the thread of that ends: it is told. */
TEST(a_writer_that_vanishes_lets_readers_in)
{
    struct abandoned abandoned = {NULL, 0, 0};
    kin_thread *writer = NULL, *reader = NULL;
    CHECK_OK(kin_rwlock_open(&abandoned.lock, NULL));
    struct kin__wait_point *waiting = &abandoned.lock->waiting.point;
    CHECK_OK(kin_rwlock_acquire_write(abandoned.lock, KIN_NOW));
    CHECK_OK(kin_thread_start(&writer, leave_a_writer_waiting, &abandoned, NULL));
    test_until(abandoned.waits == 1);
    CHECK_OK(kin_thread_start(&reader, read_it, abandoned.lock, NULL));
    test_until(kin__waiters_count(atomic_load(&waiting->waiters)) == 1);
    CHECK_OK(kin_rwlock_release(abandoned.lock));
    uint32_t seen = atomic_load(&waiting->word);
    abandoned.end = 1;
    CHECK_OK(kin_thread_join(writer, kin_in_s(30)));
    CHECK_NE(atomic_load(&waiting->word), seen);
    CHECK_OK(kin_thread_join(reader, kin_in_s(30)));
    CHECK_OK(kin_thread_close(writer));
    CHECK_OK(kin_thread_close(reader));
    CHECK_OK(kin_rwlock_close(abandoned.lock));
}

/* ---- connections ---------------------------------------------------------------------------------------------- */

#define LARGE ((size_t)1 << 20)

static kin_connection *ends_of[2];

static void open_stream(void)
{
    int pair[2];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_open(&ends_of[i], pair[i]));
}

static void close_stream(void)
{
    for (int i = 0; i < 2; i++) CHECK_OK(kin_connection_close(ends_of[i]));
}

static int send_large(void *letter)
{
    char *message = malloc(LARGE);
    memset(message, *(char *)letter, LARGE);
    int rc = kin_connection_send(ends_of[0], message, LARGE, KIN_FOREVER);
    free(message);
    return rc;
}

static char *received;

static int receive_large(void *expected)
{
    for (int i = 0; i < *(int *)expected; i++) {
        CHECK_EQ(kin_connection_recv(ends_of[1], received, LARGE, KIN_FOREVER), (long)LARGE);
        for (size_t k = 1; k < LARGE; k++)
            if (received[k] != received[0]) FAIL("two messages are mixed at byte %zu", k);
    }
    return 0;
}

TEST(several_send_on_one_connection)
{
    open_stream();
    CHECK((received = malloc(LARGE)) != NULL);
    for (int i = 0; i < 3; i++)
        CHECK_OK(kin_coroutine_start(NULL, send_large, (char *)(uintptr_t) & "abc"[i], NULL));
    CHECK_OK(kin_coroutine_start(NULL, receive_large, (int[]){3}, NULL));
    run_to_end();
    free(received);
    close_stream();
}

static int receive_cancelled(void *unused)
{
    (void)unused;
    CHECK_RC((int)kin_connection_recv(ends_of[1], received, LARGE, KIN_FOREVER), -ECANCELED);
    return 0;
}

TEST(what_a_cancelled_receiver_had_is_kept)
{
    open_stream();
    kin_coroutine *waiting = NULL;
    CHECK((received = malloc(LARGE)) != NULL);
    CHECK_OK(kin_coroutine_start(&waiting, receive_cancelled, NULL, NULL));
    /* The header of a message, and its beginning. */
    CHECK_EQ(write(kin_connection_fileno(ends_of[0]), "\0\0\0\6abc", 7), 7);
    CHECK_RC(kin_loop_run(kin_in_ms(2)), -ETIMEDOUT);
    CHECK_OK(kin_coroutine_cancel(waiting));
    run_to_end();
    CHECK_EQ(write(kin_connection_fileno(ends_of[0]), "def", 3), 3);
    CHECK_EQ(kin_connection_recv(ends_of[1], received, LARGE, KIN_FOREVER), 6);
    CHECK_MEM(received, "abcdef", 6);
    CHECK_OK(kin_coroutine_close(waiting));
    free(received);
    close_stream();
}

static int accept_one(void *listener)
{
    CHECK_OK(kin_listener_accept(listener, &ends_of[0], KIN_FOREVER));
    return 0;
}

static int connect_one(void *listener)
{
    kin_client_options options = {.key = "key", .key_size = 3};
    CHECK_OK(kin_client_open(&ends_of[1], kin_listener_address(listener), &options, KIN_FOREVER));
    return 0;
}

TEST(both_ends_of_a_handshake_are_in_one_thread)
{
    static const char *const addresses[] = {"tcp://127.0.0.1:0", "unix:@"};
    for (int i = 0; i < 2; i++) {
        kin_listener *listener = NULL;
        char address[64];
        snprintf(address, sizeof address, i == 0 ? "%s" : "%skin-test-%d", addresses[i], getpid());
        CHECK_OK(kin_listener_open(&listener, address, &(kin_listener_options){.key = "key", .key_size = 3}));
        CHECK_OK(kin_coroutine_start(NULL, connect_one, listener, NULL));
        CHECK_OK(kin_coroutine_start(NULL, accept_one, listener, NULL));
        run_to_end();
        close_stream();
        CHECK_OK(kin_listener_close(listener));
    }
}

/* ---- cleaning up --------------------------------------------------------------------------------------------- */

typedef kin_event *event_pointer;
static int wait_for_ever(const event_pointer *event, int *out)
{
    return *out = kin_event_wait(*event, KIN_FOREVER);
}
KIN_MAP(wait_for_ever, event_pointer, int)

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* What it opened it can close, though nothing waits for it any more. */
static int clean_up_cancelled(void *event)
{
    kin_pool *pool = NULL;
    kin_timer *timer = NULL;
    event_pointer in[4] = {event, event, event, event};
    int out[4];
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_timer_start(&timer, KIN_FOREVER, nothing, NULL, NULL));
    has_waited = true;
    CHECK_RC(kin_pool_map(pool, KIN_FN(wait_for_ever), in, out, 4, KIN_FOREVER), -ECANCELED);
    CHECK_OK(kin_timer_close(timer));
    CHECK_OK(kin_pool_free(pool));
    /* Even one that begins now. */
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    CHECK_OK(kin_pool_free(pool));
    return 0;
}

TEST(a_cancelled_one_closes_what_it_has_opened)
{
    kin_coroutine *one = NULL;
    kin_event *never = NULL;
    has_waited = false;
    CHECK_OK(kin_event_open(&never, NULL));
    CHECK_OK(kin_coroutine_start(&one, clean_up_cancelled, never, NULL));
    while (!has_waited) CHECK_OK(kin_loop_turn(KIN_FOREVER));
    CHECK_OK(kin_coroutine_cancel(one));
    run_to_end();
    CHECK_OK(kin_coroutine_close(one));
    CHECK_OK(kin_event_close(never));
}
