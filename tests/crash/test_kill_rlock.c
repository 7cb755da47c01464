/* test_kill_rlock.c: who holds a reentrant lock, once or twice, is killed at every instruction, and
 * at random. */
#include "crash.h"

#include <sched.h>
#include <unistd.h>

#include "support/chaos.h"
#include "support/stepkill.h"

struct scene {
    kin_rlock *rlock;
    struct kin__robust *robust; /* what the lock is inside */
    struct books books;
    pid_t sleeper;
};

static struct scene scene_open(void)
{
    struct scene scene = {0};
    CHECK_OK(kin_rlock_open(&scene.rlock, NULL));
    scene.robust = (struct kin__robust *)scene.rlock;
    scene.books = books_open();
    return scene;
}

static void take_twice_and_free(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_rlock_acquire(scene->rlock, KIN_FOREVER));
    CHECK_RC(kin_rlock_acquire(scene->rlock, KIN_FOREVER), 0);
    CHECK_OK(kin_rlock_release(scene->rlock));
    CHECK_OK(kin_rlock_release(scene->rlock));
}

/* Whatever the dead one had, who comes next has it once. */
static void take_it(struct scene *scene)
{
    CHECK_OK(kin_rlock_acquire(scene->rlock, kin_in_s(5)));
    CHECK_EQ(kin_rlock_depth(scene->rlock), 1);
    CHECK_RC(kin_rlock_acquire(scene->rlock, KIN_NOW), 0);
    CHECK_EQ(kin_rlock_depth(scene->rlock), 2);
    CHECK_OK(kin_rlock_release(scene->rlock));
    CHECK_OK(kin_rlock_release(scene->rlock));
    CHECK_RC(kin_rlock_release(scene->rlock), -EPERM);
    CHECK_EQ(kin_rlock_locked(scene->rlock), 0);
}

static void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    take_it(scene);
    books_check(&scene->books);
    nobody_waits(&scene->robust->point);
}

TEST(taken_twice, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){
        .prepare = join_family, .operation = take_twice_and_free, .survive = survive, .context = &scene});
    CHECK_GT(report.points, 60);
    books_no_rescue(&scene.books);
    CHECK_OK(kin_rlock_close(scene.rlock));
}

/* Somebody sleeps who wants it twice. */
static void start_sleeper(void *context, pid_t victim)
{
    struct scene *scene = context;
    (void)victim;
    scene->sleeper = test_child(take_twice_and_free, scene);
    until_waiting(&scene->robust->point, 1);
}

static bool held(void *context)
{
    struct scene *scene = context;
    return (atomic_load(&scene->robust->point.word) & KIN__WORD_OWNER) != 0;
}

static void survive_with_sleeper(void *context, long step, bool finished)
{
    struct scene *scene = context;
    CHECK_EQ(test_collect(scene->sleeper), 0);
    survive(context, step, finished);
}

TEST(taken_twice_while_somebody_sleeps, .deadline = 240)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = take_twice_and_free,
                                .reached = held,
                                .on_reached = start_sleeper,
                                .survive = survive_with_sleeper,
                                .context = &scene});
    books_no_rescue(&scene.books);
    CHECK_OK(kin_rlock_close(scene.rlock));
}

/* ---- at random -------------------------------------------------------------------------------- */

struct pair {
    kin_rlock *rlock;
    volatile long first, second; /* equal whenever nobody holds it, but for the dead */
};

static void count_second(struct pair *pair)
{
    CHECK_RC(kin_rlock_acquire(pair->rlock, KIN_FOREVER), 0);
    pair->second++;
    CHECK_OK(kin_rlock_release(pair->rlock));
}

static void count(void *context, unsigned index)
{
    struct pair *pair = context;
    (void)index;
    while (!chaos_stopping()) {
        int rc = kin_rlock_acquire(pair->rlock, kin_in_s(5));
        CHECK_OK(rc);
        if (rc == KIN_OWNER_DIED) pair->second = pair->first;
        CHECK_EQ(pair->first, pair->second);
        pair->first++;
        count_second(pair);
        CHECK_EQ(kin_rlock_depth(pair->rlock), 1);
        CHECK_OK(kin_rlock_release(pair->rlock));
        chaos_progress();
    }
}

TEST(killed_at_random, .deadline = 120, .alone = true)
{
    struct books books = books_open();
    struct pair *pair = kin_alloc(sizeof *pair);
    pair->first = pair->second = 0;
    CHECK_OK(kin_rlock_open(&pair->rlock, NULL));
    struct chaos_report report = chaos(&(struct chaos){.roles = {{"counter", 4, count}},
                                                       .context = pair,
                                                       .kills = test_sanitized() ? 50 : 1000,
                                                       .seconds = 60,
                                                       .delay_us = 500,
                                                       .hang_seconds = 10});
    CHECK_GT(report.progress, 0);
    CHECK_OK(kin_rlock_acquire(pair->rlock, kin_in_s(5)));
    CHECK_OK(kin_rlock_release(pair->rlock));
    NOTE("%ld kills, %lu turns, worst stall %.0f ms", report.kills, (unsigned long)report.progress,
         report.worst_stall_ms);
    CHECK_OK(kin_rlock_close(pair->rlock));
    CHECK_OK(kin_free(pair));
    books_check(&books);
}
