/* test_queue_joinable.c: queues of tasks: what is unfinished, who waits for it, and what becomes of
 * the tasks of a process that ends. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/queue.h>

#include "ipc/queue.h"

static kin_queue *open_tasks(void)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.joinable = 1}));
    return queue;
}

static void put_number(kin_queue *queue, int number)
{
    CHECK_OK(kin_queue_put(queue, &number, sizeof number, KIN_FOREVER));
}

static void get_number(kin_queue *queue)
{
    int number;
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_FOREVER), sizeof number);
}

TEST(nothing_was_put_so_nothing_is_waited_for)
{
    kin_queue *queue = open_tasks();
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
}

TEST(a_message_is_unfinished_until_it_is_done)
{
    struct books books = books_open();
    kin_queue *queue = open_tasks();
    put_number(queue, 1);
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    get_number(queue);
    CHECK_RC(kin_queue_join(queue, kin_in_ms(1)), -ETIMEDOUT);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(large_and_taken_messages_count_too)
{
    static char large[50000];
    struct books books = books_open();
    kin_queue *queue = open_tasks();
    void *message = NULL;
    CHECK_OK(kin_queue_put(queue, large, sizeof large, KIN_FOREVER));
    CHECK_OK(kin_queue_put(queue, large, 10, KIN_FOREVER));
    for (int i = 0; i < 2; i++) {
        CHECK_GE(kin_queue_take(queue, &message, KIN_NOW), 10);
        CHECK_OK(kin_queue_release(message));
        CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    }
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(what_was_not_taken_does_not_count_as_taken)
{
    char small[4];
    kin_queue *queue = open_tasks();
    CHECK_OK(kin_queue_put(queue, "larger", 6, KIN_NOW));
    CHECK_RC(kin_queue_get(queue, small, sizeof small, KIN_NOW), KIN_ETOOSMALL);
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
}

TEST(an_ordinary_queue_is_not_joinable)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_task_done(queue), -EINVAL);
    CHECK_RC(kin_queue_join(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_task_done(NULL), -EINVAL);
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_queue_join(queue, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(kin_queue_task_done(queue), KIN_ECLOSED);
}

/* ---- several ---------------------------------------------------------------------------------------- */

static void take_one_and_end(void *queue)
{
    get_number(queue);
}

TEST(the_tasks_of_a_process_that_ends_are_done)
{
    kin_queue *queue = open_tasks();
    put_number(queue, 1);
    put_number(queue, 2);
    CHECK_EQ(test_collect(test_child(take_one_and_end, queue)), 0);
    get_number(queue);
    CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, kin_in_s(20)));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(queue));
}

struct stay {
    kin_queue *queue;
    _Atomic int has_taken;
};

static void take_one_and_stay(void *context)
{
    struct stay *stay = context;
    get_number(stay->queue);
    atomic_store(&stay->has_taken, 1);
    for (;;) pause();
}

TEST(one_who_waits_is_told_of_a_death)
{
    struct stay *stay = test_shared(sizeof *stay);
    stay->queue = open_tasks();
    put_number(stay->queue, 1);
    pid_t child = test_child(take_one_and_stay, stay);
    test_until(atomic_load(&stay->has_taken) == 1);
    CHECK_RC(kin_queue_join(stay->queue, kin_in_ms(5)), -ETIMEDOUT);
    kill(child, SIGKILL);
    CHECK_OK(kin_queue_join(stay->queue, kin_in_s(20)));
    test_collect(child);
    CHECK_OK(kin_queue_close(stay->queue));
}

static void finish_for_another(void *queue)
{
    CHECK_OK(kin_queue_task_done(queue));
}

TEST(another_process_may_say_that_it_is_done)
{
    kin_queue *queue = open_tasks();
    put_number(queue, 1);
    get_number(queue);
    CHECK_EQ(test_collect(test_child(finish_for_another, queue)), 0);
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
}

static void wait_for_the_end(void *queue)
{
    CHECK_RC(kin_queue_join(queue, KIN_FOREVER), KIN_ECLOSED);
}

TEST(closing_ends_the_wait)
{
    kin_queue *queue = open_tasks();
    put_number(queue, 1);
    pid_t child = test_child(wait_for_the_end, queue);
    test_until(books_sleepers() == 1);
    CHECK_OK(kin_queue_close(queue));
    CHECK_EQ(test_collect(child), 0);
}

static void finish_at_the_end(void *queue)
{
    int rc = kin_queue_task_done(queue);
    CHECK(rc == KIN_ECLOSED || rc == 0); /* it may come first */
}

struct late {
    kin_queue *queue;
    void (*wait)(void *);
    _Atomic int may_come;
};

static void come_late(void *context)
{
    struct late *late = context;
    test_until(atomic_load(&late->may_come) == 1);
    late->wait(late->queue);
}

/* Closes the queue while a child waits for its latch: on one processor, so that who closes it has done so before
 * the child has the latch, nearly always. */
static void close_before_it_is_looked_at(const kin_queue_options *options, void (*wait)(void *))
{
    cpu_set_t before, one;
    CHECK_OK(sched_getaffinity(0, sizeof before, &before));
    int first = 0;
    while (!CPU_ISSET(first, &before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    for (int i = 0; i < 5; i++) {
        struct late *late = test_shared(sizeof *late);
        late->wait = wait;
        CHECK_OK(kin_queue_open(&late->queue, options));
        kin_queue *queue = late->queue;
        put_number(queue, 1);
        get_number(queue);
        pid_t child = test_child(come_late, late);
        CHECK_RC(kin__queue_lock_head(queue, KIN_FOREVER), 0);
        atomic_store(&late->may_come, 1);
        test_until((atomic_load(&queue->ends.head.latch.point.word) & KIN__WORD_WAITERS) != 0);
        kin__latch_release(&queue->ends.head.latch);
        CHECK_OK(kin_queue_close(queue));
        CHECK_EQ(test_collect(child), 0);
    }
    CHECK_OK(sched_setaffinity(0, sizeof before, &before));
}

TEST(who_waits_for_the_latch_finds_the_queue_closed)
{
    const kin_queue_options counted = {.joinable = 1}, kept = {.joinable = 1, .redeliver = -1};
    close_before_it_is_looked_at(&counted, wait_for_the_end);
    close_before_it_is_looked_at(&kept, wait_for_the_end);
    close_before_it_is_looked_at(&counted, finish_at_the_end);
}

enum { TASKS = 3000, WORKERS = 4 };

struct work {
    kin_queue *queue;
    _Atomic int done;
    _Atomic int joined;
};

static void work_or_wait(void *context, unsigned index)
{
    struct work *work = context;
    int number;
    if (index == 0) {
        for (int i = 0; i < TASKS; i++) put_number(work->queue, i);
        CHECK_OK(kin_queue_join(work->queue, kin_in_s(100)));
        CHECK_EQ(atomic_load(&work->done), TASKS);
        CHECK_OK(kin_queue_shutdown(work->queue, 0));
    } else {
        while (kin_queue_get(work->queue, &number, sizeof number, KIN_FOREVER) >= 0) {
            atomic_fetch_add(&work->done, 1);
            CHECK_OK(kin_queue_task_done(work->queue));
        }
    }
}

static void all_tasks_are_done_after_join(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = test_shared(sizeof *work);
    work->queue = open_tasks();
    crew_run(kind, 1 + WORKERS, work_or_wait, work);
    CHECK_RC(kin_queue_task_done(work->queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_close(work->queue));
    books_check_wakes(&books);
}
CREW_TEST(all_tasks_are_done_after_join)
