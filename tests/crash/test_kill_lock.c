/* test_kill_lock.c: the owner of a lock, or who wants it, is killed at every instruction. */
#include "crash.h"

#include <sys/mman.h>
#include <unistd.h>

#include "support/stepkill.h"

struct scene {
    kin_lock *lock;
    struct kin__robust *robust; /* what the lock is inside */
    struct books books;
    pid_t sleeper;
    bool barged;
    _Atomic int *got; /* shared with the sleeper */
};

static struct scene scene_open(void)
{
    struct scene scene = {0};
    CHECK_OK(kin_lock_open(&scene.lock));
    scene.robust = (struct kin__robust *)scene.lock;
    scene.got = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(scene.got != MAP_FAILED);
    scene.books = books_open();
    return scene;
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_lock_close(scene->lock));
    munmap(scene->got, 4096);
}

static void lock_and_unlock(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_lock_acquire(scene->lock, KIN_FOREVER));
    CHECK_OK(kin_lock_release(scene->lock));
}

static void take_it(struct scene *scene)
{
    CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(5)));
    CHECK_RC(kin_lock_acquire(scene->lock, KIN_NOW), -EDEADLK);
    CHECK_OK(kin_lock_release(scene->lock));
    /* The death is told once. */
    CHECK_RC(kin_lock_acquire(scene->lock, kin_in_s(5)), 0);
    CHECK_OK(kin_lock_release(scene->lock));
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

TEST(nobody_else_there, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){
        .prepare = join_family, .operation = lock_and_unlock, .survive = survive, .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

static void sleeper_main(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_lock_acquire(scene->lock, kin_in_s(20)));
    atomic_store(scene->got, 1);
    CHECK_OK(kin_lock_release(scene->lock));
}

static void start_sleeper(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    (void)victim;
    atomic_store(scene->got, 0);
    scene->sleeper = test_child(sleeper_main, scene);
    test_until(atomic_load(scene->got) == 1 || kin__waiters_any(&scene->robust->point));
}

static void survive_with_sleeper(void *context, long step, bool finished)
{
    struct scene *scene = context;
    CHECK_EQ(test_collect(scene->sleeper), 0);
    CHECK_EQ(atomic_load(scene->got), 1);
    survive(context, step, finished);
}

TEST(somebody_sleeps, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = lock_and_unlock,
                                                                .at_step = start_sleeper,
                                                                .survive = survive_with_sleeper,
                                                                .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

/* Between "the word is free" and the wake-up somebody else takes the lock: the sleeper must not
 * be forgotten when the releaser dies there. */
static bool held(void *context)
{
    struct scene *scene = context;
    return (atomic_load(&scene->robust->point.word) & KIN__WORD_OWNER) != 0;
}

static void sleeper_at_held(void *context, pid_t victim)
{
    start_sleeper(context, 0, victim);
    struct scene *scene = context;
    until_waiting(&scene->robust->point, 1);
}

static void barge(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    (void)victim;
    int rc = kin_lock_acquire(scene->lock, KIN_NOW);
    CHECK(rc == 0 || rc == -ETIMEDOUT);
    scene->barged = rc == 0;
}

static void survive_barger(void *context, long step, bool finished)
{
    struct scene *scene = context;
    if (scene->barged) CHECK_OK(kin_lock_release(scene->lock));
    survive_with_sleeper(context, step, finished);
}

TEST(somebody_barges_in, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = lock_and_unlock,
                                .reached = held,
                                .on_reached = sleeper_at_held,
                                .at_step = barge,
                                .survive = survive_barger,
                                .context = &scene});
    scene_close(&scene);
}

/* The victim wants a lock that another process holds, and dies on its way into the sleep. */
static void hold(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_lock_acquire(scene->lock, KIN_NOW));
}

static void survive_holder(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)finished;
    CHECK_OK(kin_lock_release(scene->lock));
    survive(context, step, finished);
}

static void want_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_lock_acquire(scene->lock, KIN_FOREVER));
}

TEST(the_one_who_waits_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = hold,
                                .prepare = join_family,
                                .operation = want_it,
                                .survive = survive_holder,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}
