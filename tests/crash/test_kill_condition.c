/* test_kill_condition.c: who waits on a condition, or notifies, is killed at every instruction. */
#include "crash.h"

#include <sys/mman.h>
#include <unistd.h>

#include "support/stepkill.h"
#include "sync/mutex.h"

struct scene {
    kin_lock *lock;
    kin_condition *condition;
    struct books books;
    pid_t sleeper;
    int swallowed;
    _Atomic int *stage; /* shared with the others */
};

#define GOODS      (scene->stage[0]) /* what is waited for; under the lock */
#define WAITING    (scene->stage[1])
#define SERVED     (scene->stage[2])
#define STAND_BACK (scene->stage[3]) /* who waits second leaves what there is to the first */

static struct scene scene_open(void)
{
    struct scene scene = {0};
    CHECK_OK(kin_lock_open(&scene.lock));
    CHECK_OK(kin_condition_open(&scene.condition, &(kin_condition_options){.lock = scene.lock}));
    scene.stage = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(scene.stage != MAP_FAILED);
    scene.books = books_open();
    return scene;
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_condition_close(scene->condition));
    CHECK_OK(kin_lock_close(scene->lock));
    munmap(scene->stage, 4096);
}

static bool has_goods(void *context)
{
    struct scene *scene = context;
    return GOODS > 0;
}

static void deliver(struct scene *scene, int count)
{
    CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(10)));
    GOODS += count;
    CHECK_OK(kin_condition_notify(scene->condition, (unsigned)count));
    CHECK_OK(kin_lock_release(scene->lock));
}

static void buy(void *context)
{
    struct scene *scene = context;
    kin__watch_expect(false); /* so that all sleep, and are woken one after the other */
    CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(20)));
    int place = ++WAITING;
    while (!has_goods(scene) || (STAND_BACK && place > 1))
        CHECK_OK(kin_condition_wait(scene->condition, kin_in_s(20)));
    GOODS--;
    SERVED++;
    CHECK_OK(kin_lock_release(scene->lock));
}

static void start(void *context)
{
    struct scene *scene = context;
    GOODS = WAITING = SERVED = STAND_BACK = 0;
    scene->sleeper = 0;
}

/* A second customer, who is asleep when the victim goes on. */
static void start_sleeper(void *context)
{
    struct scene *scene = context;
    start(scene);
    scene->sleeper = test_child(buy, scene);
    test_until(WAITING == 1);
    CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(10)));
    CHECK_OK(kin_lock_release(scene->lock));
}

/* Whatever the victim has done, the others are served. */
static void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    if (scene->sleeper != 0) {
        if (!finished || SERVED == 0) deliver(scene, 1);
        CHECK_EQ(test_collect(scene->sleeper), 0);
    }
    CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(60)));
    CHECK_RC(kin_condition_wait(scene->condition, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_lock_release(scene->lock));
    books_check(&scene->books);
    struct kin__mutex *mutex = (struct kin__mutex *)scene->lock;
    nobody_waits(&mutex->robust.point);
    CHECK_OK(kin_condition_close(scene->condition));
    CHECK_OK(kin_condition_open(&scene->condition, &(kin_condition_options){.lock = scene->lock}));
}

static void wake_victim(void *context)
{
    deliver(context, 1);
}

TEST(the_one_who_waits_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start,
                                                                .prepare = join_family,
                                                                .operation = buy,
                                                                .wake = wake_victim,
                                                                .survive = survive,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .asleep_ms = 3,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* Two sleep and both are notified: if one of them dies on its way back, the other is served. */
static void wake_both(void *context)
{
    deliver(context, 2);
}

TEST(one_of_two_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = start_sleeper,
                                .prepare = join_family,
                                .operation = buy,
                                .wake = wake_both,
                                .survive = survive,
                                .mode = STEPKILL_ADDRESSES,
                                .asleep_ms = 3,
                                .context = &scene});
    scene_close(&scene);
}

static void notify(void *context)
{
    deliver(context, 1);
}

/* Two sleep, and the one that the notification woke is killed on its way to the lock: whoever sweeps
 * wakes the other, at once. */
static void let_another_sleep_and_wake_one(void *context)
{
    struct scene *scene = context;
    if (scene->sleeper == 0) {
        STAND_BACK = 1;
        scene->sleeper = test_child(buy, scene);
        test_until(WAITING == 2);
        test_until(test_is_asleep(scene->sleeper));
        deliver(scene, 1);
    } else {
        CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(10)));
        CHECK_OK(kin_condition_notify_all(scene->condition));
        CHECK_OK(kin_lock_release(scene->lock));
    }
}

static void survive_swallowed(void *context, long step, bool finished)
{
    struct scene *scene = context;
    struct kin__mutex *mutex = (struct kin__mutex *)scene->lock;
    struct kin__wait_point *point = where_it_waits(scene->sleeper);
    STAND_BACK = 0;
    if (GOODS == 0 || atomic_load(&mutex->robust.point.word) != 0 || point == NULL) {
        deliver(scene, 1); /* the victim had it, or the lock */
    } else {
        uint32_t before = atomic_load(&point->word);
        CHECK_OK(kin_sweep());
        CHECK_NE(atomic_load(&point->word), before);
        scene->swallowed++;
    }
    CHECK_EQ(test_collect(scene->sleeper), 0);
    scene->sleeper = 0;
    survive(scene, step, finished);
}

TEST(the_one_that_was_woken_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = start,
                                .prepare = join_family,
                                .operation = buy,
                                .wake = let_another_sleep_and_wake_one,
                                .reached = has_goods,
                                .survive = survive_swallowed,
                                .mode = STEPKILL_ADDRESSES,
                                .asleep_ms = 3,
                                .context = &scene});
    NOTE("%d died with the notification", scene.swallowed);
    CHECK_GT(scene.swallowed, 50);
    scene_close(&scene);
}

/* The sleeper is served whether the notifier died before, between or after its steps; if it died
 * before it changed anything, by the next one. */
TEST(the_one_who_notifies_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_sleeper,
                                                                .prepare = join_family,
                                                                .operation = notify,
                                                                .survive = survive,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* The notifier dies having changed the data, and nobody else comes: the sleeper finds out. */
static bool delivered(void *context)
{
    struct scene *scene = context;
    return GOODS > 0;
}

static void survive_alone(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    CHECK_EQ(test_collect(scene->sleeper), 0);
    CHECK_EQ(SERVED, 1);
    books_check(&scene->books);
}

TEST(the_notifier_dies_and_nobody_else_comes, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = start_sleeper,
                                .prepare = join_family,
                                .operation = notify,
                                .reached = delivered,
                                .survive = survive_alone,
                                .stride = 5, /* each takes a slice */
                                .context = &scene});
    scene_close(&scene);
}
