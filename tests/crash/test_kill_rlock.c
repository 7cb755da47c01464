/* test_kill_rlock.c: who holds a reentrant lock, once or twice, is killed at every instruction, and
 * at random. */
#include "lock_scene.h"

#include "support/stepkill.h"

static int acquire(void *rlock, kin_deadline deadline)
{
    return kin_rlock_acquire(rlock, deadline);
}

static int release(void *rlock)
{
    return kin_rlock_release(rlock);
}

static void take_twice_and_free(void *rlock)
{
    CHECK_OK(kin_rlock_acquire(rlock, kin_in_s(20)));
    CHECK_RC(kin_rlock_acquire(rlock, KIN_FOREVER), 0);
    CHECK_OK(kin_rlock_release(rlock));
    CHECK_OK(kin_rlock_release(rlock));
}

/* By who has it. */
static void take_once_more(void *rlock)
{
    CHECK_EQ(kin_rlock_depth(rlock), 1);
    CHECK_RC(kin_rlock_acquire(rlock, KIN_NOW), 0);
    CHECK_EQ(kin_rlock_depth(rlock), 2);
    CHECK_OK(kin_rlock_release(rlock));
}

/* Whatever the dead one had, who comes next has it once. */
static void check(void *rlock)
{
    CHECK_OK(kin_rlock_acquire(rlock, kin_in_s(60)));
    take_once_more(rlock);
    CHECK_OK(kin_rlock_release(rlock));
    CHECK_RC(kin_rlock_release(rlock), -EPERM);
    CHECK_EQ(kin_rlock_locked(rlock), 0);
}

static const struct lock_calls calls = {acquire, release, take_twice_and_free, take_once_more, check};

static struct scene scene_open(void)
{
    kin_rlock *rlock = NULL;
    CHECK_OK(kin_rlock_open(&rlock, NULL));
    return scene_of(&calls, rlock);
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_rlock_close(scene->lock));
}

TEST(taken_twice, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(
        &(struct stepkill){.prepare = join_family, .operation = use, .survive = survive, .context = &scene});
    CHECK_GT(report.points, 60);
    scene_close(&scene);
}

/* Somebody sleeps who wants it twice. */
TEST(taken_twice_while_somebody_sleeps, .deadline = 240)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = use,
                                .reached = held,
                                .on_reached = sleeper_at_held,
                                .survive = survive_with_sleeper,
                                .context = &scene});
    scene_close(&scene);
}

TEST(taken_twice_while_somebody_barges_in, .deadline = 240)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = use,
                                .reached = held,
                                .on_reached = sleeper_at_held,
                                .at_step = barge,
                                .survive = survive_barger,
                                .context = &scene});
    scene_close(&scene);
}

TEST(the_one_who_waits_dies, .deadline = 240)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = hold,
                                .prepare = join_family,
                                .operation = use,
                                .survive = survive_holder,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

TEST(the_one_that_was_woken_dies, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = hold,
                                                                .prepare = join_family,
                                                                .operation = use,
                                                                .wake = release_to_victim,
                                                                .reached = free_or_not_mine,
                                                                .survive = survive,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .asleep_ms = 3,
                                                                .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

TEST(killed_at_random, .deadline = 120, .alone = true)
{
    struct books books = books_open();
    kin_rlock *rlock = NULL;
    CHECK_OK(kin_rlock_open(&rlock, NULL));
    kill_at_random(&calls, rlock);
    CHECK_OK(kin_rlock_close(rlock));
    books_check(&books);
}
