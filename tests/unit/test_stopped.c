/* test_stopped.c: processes that are stopped inside kin, where they hold something internal: the deadlines of the
 * others are kept all the same, and nothing is lost when they go on. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/event.h>
#include <kin/memory.h>
#include <kin/queue.h>

#include "ipc/queue.h"
#include "memory/heap.h"

/* What the cases and their children share. */
struct scene {
    kin_queue *queue;
    kin_event *event;
    _Atomic int stage;
};

static void stop_inside(void *argument)
{
    struct scene *scene = argument;
    CHECK_OK(kin__enter());
    CHECK_RC(kin__queue_lock_head(scene->queue, KIN_FOREVER), 0);
    raise(SIGSTOP);
    kin__latch_release(&scene->queue->ends.head.latch);
    scene->stage = 2;
}

/* Waits, so that its death is another's to find. */
static void take_a_task(void *argument)
{
    struct scene *scene = argument;
    int number;
    CHECK_RC(kin_queue_get(scene->queue, &number, sizeof number, KIN_FOREVER), sizeof number);
    scene->stage = 1;
    kin_event_wait(scene->event, KIN_FOREVER);
}

static void await_stop(pid_t child)
{
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
}

TEST(who_is_stopped_in_a_queue_holds_nobody_up_when_another_dies)
{
    struct scene *scene = test_shared(sizeof *scene);
    int number = 7;
    CHECK_OK(kin_queue_open(&scene->queue, &(kin_queue_options){.joinable = 1, .redeliver = 3}));
    CHECK_OK(kin_event_open(&scene->event, NULL));
    CHECK_OK(kin_queue_put(scene->queue, &number, sizeof number, KIN_FOREVER));
    pid_t taker = test_child(take_a_task, scene);
    test_until(scene->stage == 1);
    pid_t stopped = test_child(stop_inside, scene);
    await_stop(stopped);
    test_kill(taker);
    /* We find the death, and cannot give back its task.  With it waited for this would never end. */
    for (int i = 0; i < 5; i++) CHECK_RC(kin_event_wait(scene->event, kin_in_ms(150)), -ETIMEDOUT);
    CHECK_RC(kin_queue_get(scene->queue, &number, sizeof number, KIN_NOW), -ETIMEDOUT);
    CHECK_EQ(scene->stage, 1);
    CHECK_EQ(kill(stopped, SIGCONT), 0);
    CHECK_EQ(test_collect(stopped), 0);
    CHECK_EQ(scene->stage, 2);
    /* The task comes back. */
    number = 0;
    CHECK_RC(kin_queue_get(scene->queue, &number, sizeof number, KIN_FOREVER), sizeof number);
    CHECK_EQ(number, 7);
    CHECK_OK(kin_queue_task_done(scene->queue));
    CHECK_RC(kin_queue_join(scene->queue, KIN_NOW), 0);
    CHECK_OK(kin_queue_close(scene->queue));
    CHECK_OK(kin_event_close(scene->event));
}

/* A queue with messages in blocks is half closed when its closer dies, and another is stopped inside. */
static void close_it(void *argument)
{
    struct scene *scene = argument;
    CHECK_OK(kin__enter());
    scene->stage = 1;
    kin_queue_close(scene->queue);
}

TEST(a_closing_that_was_cut_off_is_finished_when_it_can_be)
{
    static char large[200000];
    struct scene *scene = test_shared(sizeof *scene);
    CHECK_OK(kin_event_open(&scene->event, NULL));
    struct books before = books_open();
    CHECK_OK(kin_queue_open(&scene->queue, NULL));
    for (int i = 0; i < 5; i++) CHECK_OK(kin_queue_put(scene->queue, large, sizeof large, KIN_FOREVER));
    pid_t stopped = test_child(stop_inside, scene);
    await_stop(stopped);
    pid_t closer = test_child(close_it, scene);
    test_until(scene->stage == 1 && test_is_asleep(closer));
    test_kill(closer);
    for (int i = 0; i < 3; i++) CHECK_RC(kin_event_wait(scene->event, kin_in_ms(150)), -ETIMEDOUT);
    CHECK_EQ(kill(stopped, SIGCONT), 0);
    CHECK_EQ(test_collect(stopped), 0);
    CHECK_OK(kin_sweep());
    books_check_blocks(&before);
    CHECK_OK(kin_event_close(scene->event));
}

static void hold_a_large_message(void *argument)
{
    struct scene *scene = argument;
    void *message;
    CHECK_OK(kin_queue_reserve(scene->queue, &message, 20 << 20));
    scene->stage = 1;
    kin_event_wait(scene->event, KIN_FOREVER);
}

/* In the class of the allocator that has the largest block of all. */
static void stop_in_a_class(void *argument)
{
    struct scene *scene = argument;
    struct kin__class *largest = NULL;
    CHECK_OK(kin__enter());
    for (unsigned i = KIN__CLASSES_SMALL; i < KIN__CLASSES_SMALL + KIN__CLASSES_LARGE; i++)
        if (kin__heap()->classes[i].allocated > 0) largest = &kin__heap()->classes[i];
    CHECK(largest != NULL);
    CHECK_RC(kin__class_lock(largest), 0);
    raise(SIGSTOP);
    kin__class_unlock(largest);
    scene->stage = 2;
}

TEST(what_a_dead_process_held_is_freed_when_it_can_be)
{
    struct scene *scene = test_shared(sizeof *scene);
    CHECK_OK(kin_event_open(&scene->event, NULL));
    CHECK_OK(kin_queue_open(&scene->queue, NULL));
    struct books before = books_open();
    pid_t holder = test_child(hold_a_large_message, scene);
    test_until(scene->stage == 1);
    pid_t stopped = test_child(stop_in_a_class, scene);
    await_stop(stopped);
    test_kill(holder);
    for (int i = 0; i < 3; i++) CHECK_RC(kin_event_wait(scene->event, kin_in_ms(150)), -ETIMEDOUT);
    CHECK_EQ(kill(stopped, SIGCONT), 0);
    CHECK_EQ(test_collect(stopped), 0);
    CHECK_OK(kin_sweep());
    books_check_blocks(&before);
    CHECK_OK(kin_queue_close(scene->queue));
    CHECK_OK(kin_event_close(scene->event));
}

/* As in grow.c. */
static void stop_while_taking_pages(void *argument)
{
    struct scene *scene = argument;
    CHECK_OK(kin__enter());
    struct kin__robust *lock = &kin__heap()->grow;
    kin__pending_set(kin__self.robust, &lock->point.word);
    CHECK(kin__owner_take(&lock->point, 0, 0));
    kin__robust_insert(kin__self.robust, lock);
    kin__pending_clear(kin__self.robust);
    raise(SIGSTOP);
    kin__pending_set(kin__self.robust, &lock->point.word);
    kin__robust_remove(lock);
    if (!kin__owner_drop(&lock->point)) kin__owner_drop_rest(&lock->point);
    kin__pending_clear(kin__self.robust);
    scene->stage = 2;
}

TEST(a_put_keeps_its_deadline_while_another_is_stopped_that_takes_memory)
{
    static char large[300000];
    struct scene *scene = test_shared(sizeof *scene);
    CHECK_OK(kin_queue_open(&scene->queue, NULL));
    pid_t stopped = test_child(stop_while_taking_pages, scene);
    await_stop(stopped);
    CHECK_RC(kin_queue_put(scene->queue, large, sizeof large, kin_in_ms(200)), -ETIMEDOUT);
    CHECK_EQ(scene->stage, 0);
    CHECK_EQ(kin_queue_qsize(scene->queue), 0);
    CHECK_EQ(kill(stopped, SIGCONT), 0);
    CHECK_OK(kin_queue_put(scene->queue, large, sizeof large, KIN_FOREVER));
    CHECK_EQ(test_collect(stopped), 0);
    CHECK_OK(kin_queue_close(scene->queue));
}
