/* test_queue_redelivery.c: tasks of a process that ended are handed out again: to whom, where in the
 * order, how often, and that nobody acknowledges what is not his. */
#include "support/books.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/queue.h>

#include "ipc/queue.h"

static kin_queue *open_tasks(kin_queue_options options)
{
    kin_queue *queue = NULL;
    options.joinable = 1;
    if (options.redeliver == 0) options.redeliver = -1;
    CHECK_OK(kin_queue_open(&queue, &options));
    return queue;
}

/* Small ones, and some that need a block. */
static size_t size_of(int number)
{
    return number % 3 == 2 ? 30000 : sizeof number;
}

static void put_number(kin_queue *queue, int number)
{
    static char bytes[30000];
    memcpy(bytes, &number, sizeof number);
    CHECK_OK(kin_queue_put(queue, bytes, size_of(number), KIN_NOW));
}

static int get_number(kin_queue *queue, kin_deadline deadline)
{
    char bytes[30000];
    int number;
    long size = kin_queue_get(queue, bytes, sizeof bytes, deadline);
    if (size < 0) return (int)size;
    memcpy(&number, bytes, sizeof number);
    CHECK_EQ(size, (long)size_of(number));
    return number;
}

struct plan {
    kin_queue *queue;
    int tasks; /* that are taken, */
    int done;  /* and done, before the end */
    _Atomic int taken;
};

static void take_and_end(void *context)
{
    struct plan *plan = context;
    for (int i = 0; i < plan->tasks; i++) {
        CHECK_GE(get_number(plan->queue, KIN_NOW), 0);
        if (i < plan->done) CHECK_OK(kin_queue_task_done(plan->queue));
    }
}

static void run_and_sweep(struct plan *plan)
{
    CHECK_EQ(test_collect(test_child(take_and_end, plan)), 0);
    CHECK_OK(kin_sweep());
}

TEST(what_a_process_did_not_finish_goes_back_to_the_front)
{
    struct books books = books_open();
    kin_queue *queue = open_tasks((kin_queue_options){0});
    for (int i = 0; i < 6; i++) put_number(queue, i);
    run_and_sweep(&(struct plan){.queue = queue, .tasks = 4, .done = 1});
    CHECK_EQ(kin_queue_qsize(queue), 5);
    for (int i = 1; i < 6; i++) CHECK_EQ(get_number(queue, KIN_NOW), i);
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    for (int i = 1; i < 6; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
    books_check_blocks(&books);
}

TEST(in_other_orders_it_goes_back_to_its_place)
{
    kin_queue *queue = open_tasks((kin_queue_options){.order = KIN_LIFO});
    for (int i = 0; i < 4; i++) put_number(queue, i);
    run_and_sweep(&(struct plan){.queue = queue, .tasks = 2});
    put_number(queue, 4);
    for (int i = 4; i >= 0; i--) CHECK_EQ(get_number(queue, KIN_NOW), i);
    CHECK_OK(kin_queue_close(queue));
}

static void take_and_stay(void *context)
{
    struct plan *plan = context;
    CHECK_EQ(get_number(plan->queue, KIN_NOW), 7);
    atomic_store(&plan->taken, 1);
    for (;;) pause();
}

TEST(who_waits_gets_what_a_killed_process_had)
{
    struct books books = books_open();
    struct plan *plan = test_shared(sizeof *plan);
    plan->queue = open_tasks((kin_queue_options){0});
    put_number(plan->queue, 7);
    pid_t child = test_child(take_and_stay, plan);
    test_until(atomic_load(&plan->taken) == 1);
    CHECK_RC(get_number(plan->queue, kin_in_ms(5)), KIN_EMPTY);
    /* Nobody else may say that it is done. */
    CHECK_RC(kin_queue_task_done(plan->queue), KIN_ENOTASK);
    kill(child, SIGKILL);
    CHECK_EQ(get_number(plan->queue, kin_in_s(20)), 7);
    test_collect(child);
    CHECK_OK(kin_queue_task_done(plan->queue));
    CHECK_OK(kin_queue_join(plan->queue, KIN_NOW));
    CHECK_OK(kin_queue_close(plan->queue));
    books_check_blocks(&books);
}

/* Also when the queue was shut down meanwhile: whoever has no task of his own stays until all are done. */
TEST(an_ended_queue_waits_for_what_may_come_back)
{
    struct plan *plan = test_shared(sizeof *plan);
    plan->queue = open_tasks((kin_queue_options){0});
    put_number(plan->queue, 7);
    pid_t child = test_child(take_and_stay, plan);
    test_until(atomic_load(&plan->taken) == 1);
    CHECK_OK(kin_queue_shutdown(plan->queue, 0));
    CHECK_RC(get_number(plan->queue, kin_in_ms(5)), KIN_EMPTY);
    kill(child, SIGKILL);
    CHECK_EQ(get_number(plan->queue, kin_in_s(20)), 7);
    /* Who has one is not kept waiting. */
    CHECK_RC(get_number(plan->queue, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_queue_task_done(plan->queue));
    CHECK_RC(get_number(plan->queue, KIN_FOREVER), KIN_ECLOSED);
    test_collect(child);
    CHECK_OK(kin_queue_close(plan->queue));
}

static void wait_for_the_last(void *context)
{
    struct plan *plan = context;
    CHECK_RC(get_number(plan->queue, KIN_FOREVER), KIN_ECLOSED);
}

TEST(the_last_task_done_tells_those_who_wait)
{
    struct books books = books_open();
    struct plan *plan = test_shared(sizeof *plan);
    plan->queue = open_tasks((kin_queue_options){0});
    put_number(plan->queue, 1);
    CHECK_EQ(get_number(plan->queue, KIN_NOW), 1);
    CHECK_OK(kin_queue_shutdown(plan->queue, 0));
    pid_t child = test_child(wait_for_the_last, plan);
    test_until(books_sleepers() == 1);
    CHECK_OK(kin_queue_task_done(plan->queue));
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_queue_close(plan->queue));
    books_check_wakes(&books);
}

TEST(it_is_dropped_when_it_has_come_back_often_enough)
{
    struct books books = books_open();
    kin_queue *queue = open_tasks((kin_queue_options){.redeliver = 2});
    put_number(queue, 2); /* in a block */
    put_number(queue, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(kin_queue_qsize(queue), 2);
        run_and_sweep(&(struct plan){.queue = queue, .tasks = 1});
    }
    CHECK_EQ(get_number(queue, KIN_NOW), 3);
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
    books_check_blocks(&books);
}

static void *take_one(void *queue)
{
    return (void *)(intptr_t)get_number(queue, KIN_NOW);
}

/* Each thread acknowledges its own first, and then those that its process has. */
TEST(a_thread_acknowledges_its_own)
{
    struct books books = books_open();
    void *number;
    pthread_t thread;
    kin_queue *queue = open_tasks((kin_queue_options){0});
    for (int i = 0; i < 3; i++) put_number(queue, i);
    CHECK_EQ(pthread_create(&thread, NULL, take_one, queue), 0);
    CHECK_EQ(pthread_join(thread, &number), 0);
    CHECK_EQ((intptr_t)number, 0);
    CHECK_EQ(get_number(queue, KIN_NOW), 1);
    CHECK_EQ(get_number(queue, KIN_NOW), 2);
    for (int i = 0; i < 3; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

/* Those of several threads in turn, of which each says first that its own are done. */
TEST(each_of_many_tasks_of_several_threads_is_done_once)
{
    enum { THREADS = 3, EACH = 700 };
    struct books books = books_open();
    kin_queue *queue = open_tasks((kin_queue_options){0});
    for (int i = 0; i < THREADS * EACH; i++) put_number(queue, 3 * i);
    for (int i = 0; i < THREADS * EACH; i++) {
        pthread_t thread;
        void *number = (void *)(intptr_t)-1;
        if (i % EACH == 0) {
            CHECK_EQ(pthread_create(&thread, NULL, take_one, queue), 0);
            CHECK_EQ(pthread_join(thread, &number), 0);
        } else {
            number = take_one(queue);
        }
        CHECK_EQ((intptr_t)number, 3 * i);
        if (i % 5 == 4) CHECK_OK(kin_queue_task_done(queue));
    }
    int left = THREADS * EACH - THREADS * EACH / 5;
    /* Another process has what it took, and its death puts that back and no more. */
    for (int i = 0; i < 6; i++) put_number(queue, i);
    run_and_sweep(&(struct plan){.queue = queue, .tasks = 5, .done = 2});
    for (int i = 2; i < 6; i++) CHECK_EQ(get_number(queue, KIN_NOW), i);
    for (int i = 0; i < left + 4; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(in_place_and_in_batches_it_is_kept_as_well)
{
    struct books books = books_open();
    void *message;
    char buffer[100];
    kin_message got[3];
    kin_queue *queue = open_tasks((kin_queue_options){0});
    put_number(queue, 2);
    CHECK_RC(kin_queue_take(queue, &message, KIN_NOW), 30000);
    memset(message, 0xff, 30000); /* a copy: the task itself is kept */
    CHECK_OK(kin_queue_release(message));
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_queue_task_done(queue));
    for (int i = 3; i < 5; i++) put_number(queue, i);
    CHECK_RC(kin_queue_get_many(queue, got, 3, buffer, sizeof buffer, KIN_NOW), 2);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(the_bounds_are_of_what_is_in_the_queue)
{
    kin_queue *queue = open_tasks((kin_queue_options){.max_items = 2});
    for (int i = 0; i < 3000; i++) {
        put_number(queue, 3);
        CHECK_EQ(get_number(queue, KIN_NOW), 3);
    }
    put_number(queue, 0);
    put_number(queue, 1);
    CHECK_RC(kin_queue_put(queue, "x", 1, KIN_NOW), KIN_FULL);
    for (int i = 0; i < 3000; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
}

/* Also when all that may be taken comes back, as many are in the queue as can be counted. */
TEST(what_comes_back_can_be_counted)
{
    kin_queue *queue = open_tasks((kin_queue_options){.max_bytes = (size_t)1 << 30});
    CHECK_LE(queue->shelf.segments * KIN__SHELF_SLOTS, KIN__ITEMS_MOST);
    CHECK_OK(kin_queue_close(queue));
}

TEST(closing_frees_what_is_taken_and_not_done)
{
    struct books books = books_open();
    kin_queue *queue = open_tasks((kin_queue_options){0});
    for (int i = 0; i < 9; i++) put_number(queue, i);
    for (int i = 0; i < 5; i++) CHECK_EQ(get_number(queue, KIN_NOW), i);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(only_tasks_are_redelivered)
{
    kin_queue *queue = NULL;
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.redeliver = 1}), -EINVAL);
}

/* ---- copying what is large -------------------------------------------------------------------- */

enum { SLOW_SIZE = 32768 };

/* A buffer that its first writer has to wait for: until others have looked what can be done meanwhile. */
static struct {
    kin_queue *queue;
    char *bytes;
    _Atomic bool reached;
    int going_on[2]; /* a pipe */
} slow;

static void wait_at_the_buffer(int number, siginfo_t *info, void *unused)
{
    char byte;
    (void)unused;
    if ((char *)info->si_addr < slow.bytes || (char *)info->si_addr >= slow.bytes + SLOW_SIZE) {
        signal(number, SIG_DFL);
        return;
    }
    atomic_store(&slow.reached, true);
    if (read(slow.going_on[0], &byte, 1) == 1) mprotect(slow.bytes, SLOW_SIZE, PROT_READ | PROT_WRITE);
}

static void *get_slowly(void *unused)
{
    (void)unused;
    return (void *)kin_queue_get(slow.queue, slow.bytes, SLOW_SIZE, KIN_NOW);
}

/* Returns a thread that is copying the first message. */
static pthread_t begin_slowly(kin_queue *queue)
{
    pthread_t thread;
    struct sigaction action = {.sa_sigaction = wait_at_the_buffer, .sa_flags = SA_SIGINFO};
    slow.queue = queue;
    slow.reached = false;
    CHECK_EQ(pipe(slow.going_on), 0);
    slow.bytes = mmap(NULL, SLOW_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(slow.bytes != MAP_FAILED);
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, get_slowly, NULL), 0);
    test_until(atomic_load(&slow.reached));
    return thread;
}

static void end_slowly(pthread_t thread, int number)
{
    void *size;
    int got;
    CHECK_EQ(write(slow.going_on[1], "", 1), 1);
    CHECK_EQ(pthread_join(thread, &size), 0);
    CHECK_EQ((long)size, (long)size_of(number));
    memcpy(&got, slow.bytes, sizeof got);
    CHECK_EQ(got, number);
    for (size_t i = sizeof got; i < size_of(number); i++) CHECK_EQ(slow.bytes[i], 0);
    for (int i = 0; i < 2; i++) close(slow.going_on[i]);
}

TEST(who_copies_a_large_task_holds_nobody_up)
{
    struct books books = books_open();
    kin_queue *queue = open_tasks((kin_queue_options){0});
    put_number(queue, 2);
    put_number(queue, 3);
    pthread_t thread = begin_slowly(queue);
    put_number(queue, 4);
    CHECK_EQ(get_number(queue, KIN_NOW), 3);
    CHECK_OK(kin_queue_task_done(queue));
    /* Nobody has the other one yet. */
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_EQ(kin_queue_qsize(queue), 1);
    CHECK_OK(kin_queue_shutdown(queue, 1));
    end_slowly(thread, 2);
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(a_task_that_is_copied_when_its_queue_is_closed_is_whole)
{
    struct books books = books_open();
    static char large[SLOW_SIZE];
    kin_queue *next = NULL, *queue = open_tasks((kin_queue_options){0});
    put_number(queue, 2);
    put_number(queue, 5);
    pthread_t thread = begin_slowly(queue);
    CHECK_OK(kin_queue_close(queue));
    /* What was freed is used again. */
    memset(large, 0xff, sizeof large);
    CHECK_OK(kin_queue_open(&next, NULL));
    for (int i = 0; i < 20; i++) CHECK_OK(kin_queue_put(next, large, size_of(2), KIN_NOW));
    end_slowly(thread, 2);
    CHECK_OK(kin_queue_close(next));
    books_check_wakes(&books);
}

static int done_meanwhile;

static void finish_in_the_copying(int number)
{
    (void)number;
    done_meanwhile = kin_queue_task_done(slow.queue);
    mprotect(slow.bytes, SLOW_SIZE, PROT_READ | PROT_WRITE);
}

/* Not even by a signal handler of the thread that copies it. */
TEST(nobody_finishes_a_task_that_is_being_copied)
{
    struct books books = books_open();
    slow.queue = open_tasks((kin_queue_options){0});
    put_number(slow.queue, 2);
    slow.bytes = mmap(NULL, SLOW_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(slow.bytes != MAP_FAILED);
    signal(SIGSEGV, finish_in_the_copying);
    CHECK_RC(kin_queue_get(slow.queue, slow.bytes, SLOW_SIZE, KIN_NOW), (long)size_of(2));
    signal(SIGSEGV, SIG_DFL);
    CHECK_RC(done_meanwhile, -EDEADLK);
    CHECK_OK(kin_queue_task_done(slow.queue));
    CHECK_OK(kin_queue_join(slow.queue, KIN_NOW));
    CHECK_OK(kin_queue_close(slow.queue));
    munmap(slow.bytes, SLOW_SIZE);
    books_check_wakes(&books);
}
