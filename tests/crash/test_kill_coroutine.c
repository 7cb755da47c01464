/* test_kill_coroutine.c: a thread whose coroutines wait for a queue is killed at every address on the
 * way: entering the watch and its ledger, looking, waking, leaving; and where its loop sleeps, hanging bells,
 * arming and ringing them. */
#include "crash.h"

#include "support/stepkill.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct scene {
    kin_queue *queue;
    struct books books;
};

static int get(void *queue)
{
    char text[8];
    return kin_queue_get(queue, text, sizeof text, KIN_FOREVER) == 4 ? 0 : -1;
}

static int put(void *queue)
{
    return kin_queue_put(queue, "put", 4, KIN_FOREVER);
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

static void prepare(void *context)
{
    join_family(context);
    CHECK_OK(kin_coroutine_start(NULL, nothing, NULL, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
}

static void wait_for_each_other(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_coroutine_start(NULL, get, scene->queue, NULL));
    CHECK_OK(kin_coroutine_start(NULL, get, scene->queue, NULL));
    CHECK_OK(kin_coroutine_start(NULL, put, scene->queue, NULL));
    CHECK_OK(kin_coroutine_start(NULL, put, scene->queue, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

/* The loop has nobody who can run, arms its bells, and finds in the kernel that the other one can. */
static int put_when_idle(void *queue)
{
    int descriptor = eventfd(1, EFD_CLOEXEC);
    CHECK_OK(kin_wait_descriptor(descriptor, KIN_READABLE, KIN_FOREVER));
    CHECK_OK(close(descriptor));
    return put(queue);
}

static void wait_in_the_kernel(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_coroutine_start(NULL, get, scene->queue, NULL));
    CHECK_OK(kin_coroutine_start(NULL, put_when_idle, scene->queue, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

static void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char text[8];
    (void)step;
    (void)finished;
    CHECK_OK(kin_sweep());
    int left = 0;
    while (kin_queue_get(scene->queue, text, sizeof text, KIN_NOW) == 4) left++;
    CHECK_LE(left, 2);
    CHECK_OK(kin_queue_put(scene->queue, "own", 4, KIN_NOW));
    CHECK_EQ(kin_queue_get(scene->queue, text, sizeof text, kin_in_s(2)), 4);
    CHECK_STR(text, "own");
    /* Its ledger is freed, and what it named is counted anew: nobody sleeps there. */
    books_check(&scene->books);
}

static void kill_anywhere(void (*operation)(void *context), enum stepkill_mode mode, long least)
{
    struct scene scene;
    CHECK_OK(kin_queue_open(&scene.queue, NULL));
    warm_up(scene.queue);
    scene.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){
        .mode = mode, .prepare = prepare, .operation = operation, .survive = survive, .context = &scene});
    CHECK_GT(report.points, least);
    NOTE("%ld points, %.2f s", report.points, report.seconds);
    CHECK_OK(kin_queue_close(scene.queue));
}

TEST(waiting_killed_anywhere, .deadline = 200)
{
    kill_anywhere(wait_for_each_other, STEPKILL_ADDRESSES, 500);
}

TEST(a_loop_that_sleeps_killed_anywhere, .deadline = 200)
{
    bool sparse = test_sanitized();
    kill_anywhere(wait_in_the_kernel, sparse ? STEPKILL_SYSCALLS : STEPKILL_ADDRESSES, sparse ? 10 : 500);
}
