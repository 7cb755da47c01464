/* test_kill_coroutine.c: a thread whose coroutines wait for a queue is killed at every address on the
 * way: entering the watch and its ledger, looking, waking, leaving; and where its loop sleeps, hanging bells,
 * arming and ringing them.  So is one whose coroutine waits for a lock, and who gives a lock back that the
 * coroutine of another process waits for. */
#include "crash.h"

#include "memory/bell.h"
#include "support/stepkill.h"
#include "sync/mutex.h"

#include <signal.h>
#include <stdio.h>
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
    CHECK_EQ(kin_queue_get(scene->queue, text, sizeof text, kin_in_s(60)), 4);
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

/* ---- locks ------------------------------------------------------------------------------------------------------ */

struct locked {
    kin_lock *lock;
    kin_event *taken;
    kin_process *waiter;
    struct books books;
    bool held; /* by the case's process */
};

static struct kin__wait_point *point_of(kin_lock *lock)
{
    uint64_t magic;
    return &kin__lock_mutex(lock, &magic)->robust.point;
}

static int take_and_give(void *lock)
{
    int rc = kin_lock_acquire(lock, KIN_FOREVER);
    CHECK_OK(rc);
    return kin_lock_release(lock);
}

static void wait_for_lock(void *context)
{
    struct locked *locked = context;
    CHECK_OK(kin_coroutine_start(NULL, take_and_give, locked->lock, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

static void hold(void *context)
{
    struct locked *locked = context;
    CHECK_OK(kin_lock_acquire(locked->lock, kin_in_s(60)));
    locked->held = true;
}

static void let_go(void *context)
{
    struct locked *locked = context;
    if (locked->held) CHECK_OK(kin_lock_release(locked->lock));
    locked->held = false;
}

static void take_after(void *context, long step, bool finished)
{
    struct locked *locked = context;
    (void)step;
    let_go(locked);
    int rc = kin_lock_acquire(locked->lock, kin_in_s(60));
    CHECK_OK(rc);
    if (finished) CHECK_EQ(rc, 0);
    CHECK_OK(kin_lock_release(locked->lock));
    CHECK_OK(kin_sweep());
    nobody_waits(point_of(locked->lock));
    books_check(&locked->books);
}

TEST(one_that_waits_for_a_lock_killed_anywhere, .deadline = 200)
{
    struct locked locked = {0};
    CHECK_OK(kin_lock_open(&locked.lock));
    locked.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_ADDRESSES,
                                                                .setup = hold,
                                                                .prepare = prepare,
                                                                .operation = wait_for_lock,
                                                                .wake = let_go,
                                                                .asleep_ms = 2,
                                                                .stride = 3,
                                                                .survive = take_after,
                                                                .context = &locked});
    CHECK_GT(report.points, 500);
    NOTE("%ld points, %.2f s", report.points, report.seconds);
    CHECK_OK(kin_lock_close(locked.lock));
}

static int wait_in_loop(void *context)
{
    struct locked *locked = context;
    CHECK_OK(kin_event_wait(locked->taken, KIN_FOREVER));
    wait_for_lock(locked);
    return 0;
}

static void begin_waiter(void *context)
{
    struct locked *locked = context;
    CHECK_OK(kin_process_start(&locked->waiter, wait_in_loop, locked, NULL));
}

static bool is_stopped(int pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *stat = fopen(path, "r");
    CHECK(stat != NULL);
    CHECK(fgets(line, sizeof line, stat) != NULL);
    fclose(stat);
    return strstr(line, ") T ") != NULL;
}

/* The other one's loop is counted, and once more with its bell.  Then it is stopped, so that it cannot look by
 * itself, when a slice is over. */
static void take_and_be_waited_for(void *context)
{
    struct locked *locked = context;
    int waiter = kin_process_pid(locked->waiter);
    join_family(context);
    CHECK_OK(kin_lock_acquire(locked->lock, KIN_FOREVER));
    CHECK_OK(kin_event_set(locked->taken));
    test_until(kin__waiters_count(atomic_load(&point_of(locked->lock)->waiters)) == 2);
    CHECK_EQ(kill(waiter, SIGSTOP), 0);
    test_until(is_stopped(waiter));
}

static void give_back(void *context)
{
    kin_lock_release(((struct locked *)context)->lock);
}

static void other_has_it(void *context, long step, bool finished)
{
    struct locked *locked = context;
    (void)step;
    (void)finished;
    int code = -1;
    CHECK_OK(kin_sweep());
    /* Its bell has rung: by who gave the lock back, or for the dead. */
    CHECK_EQ(kin__bells_counted(point_of(locked->lock)), 0);
    CHECK_EQ(kill(kin_process_pid(locked->waiter), SIGCONT), 0);
    CHECK_OK(kin_process_join(locked->waiter, kin_in_s(60)));
    CHECK_OK(kin_process_exit_code(locked->waiter, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(locked->waiter));
    CHECK_OK(kin_event_clear(locked->taken));
    CHECK_OK(kin_sweep());
    nobody_waits(point_of(locked->lock));
    books_check(&locked->books);
}

TEST(one_that_gives_a_lock_back_killed_anywhere, .deadline = 200)
{
    struct locked locked = {0};
    CHECK_OK(kin_lock_open(&locked.lock));
    CHECK_OK(kin_event_open(&locked.taken, NULL));
    locked.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_ADDRESSES,
                                                                .setup = begin_waiter,
                                                                .prepare = take_and_be_waited_for,
                                                                .operation = give_back,
                                                                .survive = other_has_it,
                                                                .context = &locked});
    CHECK_GT(report.points, 100);
    NOTE("%ld points, %.2f s", report.points, report.seconds);
    CHECK_OK(kin_event_close(locked.taken));
    CHECK_OK(kin_lock_close(locked.lock));
}
