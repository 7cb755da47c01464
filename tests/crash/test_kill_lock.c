/* test_kill_lock.c: the owner of a lock, or who wants it, is killed at every instruction, and at
 * random. */
#include "lock_scene.h"

#include "support/stepkill.h"

static int acquire(void *lock, kin_deadline deadline)
{
    return kin_lock_acquire(lock, deadline);
}

static int release(void *lock)
{
    return kin_lock_release(lock);
}

static void lock_and_unlock(void *lock)
{
    CHECK_OK(kin_lock_acquire(lock, kin_in_s(20)));
    CHECK_OK(kin_lock_release(lock));
}

static void check(void *lock)
{
    CHECK_OK(kin_lock_acquire(lock, kin_in_s(60)));
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), -EDEADLK);
    CHECK_OK(kin_lock_release(lock));
    /* The death is told once. */
    CHECK_RC(kin_lock_acquire(lock, kin_in_s(60)), 0);
    CHECK_OK(kin_lock_release(lock));
}

static const struct lock_calls calls = {acquire, release, lock_and_unlock, NULL, check};

static struct scene scene_open(void)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    return scene_of(&calls, lock);
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_lock_close(scene->lock));
}

TEST(nobody_else_there, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(
        &(struct stepkill){.prepare = join_family, .operation = use, .survive = survive, .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

TEST(somebody_sleeps, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = use,
                                                                .reached = held,
                                                                .on_reached = sleeper_at_held,
                                                                .survive = survive_with_sleeper,
                                                                .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

/* Between "the word is free" and the wake-up somebody else takes the lock: the sleeper must not
 * be forgotten when the releaser dies there. */
TEST(somebody_barges_in, .deadline = 300)
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

/* The victim wants a lock that another process holds, and dies on its way into the sleep. */
TEST(the_one_who_waits_dies, .deadline = 300)
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

TEST(the_one_that_was_woken_dies, .deadline = 300)
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
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    kill_at_random(&calls, lock);
    CHECK_OK(kin_lock_close(lock));
    books_check(&books);
}
