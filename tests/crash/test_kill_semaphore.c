/* test_kill_semaphore.c: whoever acquires, releases or reaps is killed at every
 * instruction; and processes that share permits are killed at random. */
#include "crash.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/chaos.h"
#include "support/stepkill.h"

struct scene {
    kin_semaphore *semaphore;
    long permits;
    struct books books;
    pid_t sleeper;
};

static struct scene scene_open(uint32_t permits, kin_semaphore_options options)
{
    struct scene scene = {.permits = permits};
    CHECK_OK(kin_semaphore_open(&scene.semaphore, permits, &options));
    scene.books = books_open();
    return scene;
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_semaphore_close(scene->semaphore));
}

static void in_and_out(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_semaphore_acquire(scene->semaphore, KIN_FOREVER));
    CHECK_OK(kin_semaphore_release(scene->semaphore));
}

static void all_are_back(struct scene *scene)
{
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_semaphore_value(scene->semaphore), scene->permits);
    for (long i = 0; i < scene->permits; i++) CHECK_OK(kin_semaphore_acquire(scene->semaphore, KIN_NOW));
    CHECK_RC(kin_semaphore_acquire(scene->semaphore, KIN_NOW), -ETIMEDOUT);
    for (long i = 0; i < scene->permits; i++) CHECK_OK(kin_semaphore_release(scene->semaphore));
    books_check(&scene->books);
}

/* ---- nobody else, one permit and several words of them -------------------------------------------------- */

static void survive(void *context, long step, bool finished)
{
    (void)step;
    (void)finished;
    all_are_back(context);
}

TEST(nobody_else_there, .deadline = 240)
{
    struct scene scene = scene_open(1, (kin_semaphore_options){.bounded = true});
    struct stepkill_report report = stepkill(&(struct stepkill){
        .prepare = join_family, .operation = in_and_out, .survive = survive, .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

static void take_six(void *context)
{
    struct scene *scene = context;
    for (int i = 0; i < 6; i++) CHECK_OK(kin_semaphore_acquire(scene->semaphore, KIN_FOREVER));
    CHECK_OK(kin_semaphore_release_many(scene->semaphore, 5));
}

TEST(with_several_words, .deadline = 240)
{
    struct scene scene = scene_open(7, (kin_semaphore_options){.bounded = true});
    stepkill(&(struct stepkill){
        .prepare = join_family, .operation = take_six, .survive = survive, .stride = 2, .context = &scene});
    scene_close(&scene);
}

/* ---- somebody waits for what the victim holds --------------------------------------------------------------- */

static void start_sleeper(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    (void)victim;
    scene->sleeper = test_child(in_and_out, scene);
}

static void survive_with_sleeper(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)finished;
    collect_sleeper(scene->sleeper, step % 8 != 0);
    all_are_back(scene);
}

TEST(somebody_waits, .deadline = 300)
{
    struct scene scene = scene_open(1, (kin_semaphore_options){0});
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = in_and_out,
                                .at_step = start_sleeper,
                                .survive = survive_with_sleeper,
                                .context = &scene});
    scene_close(&scene);
}

/* ---- the one who waits dies, before or after it was woken ------------------------------------------------------ */

static void take_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_semaphore_acquire(scene->semaphore, KIN_NOW));
}

static void give_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_semaphore_release(scene->semaphore));
}

static void survive_holder(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    if (!finished) CHECK_OK(kin_semaphore_release(scene->semaphore));
    all_are_back(scene);
}

TEST(the_one_who_waits_dies, .deadline = 300)
{
    struct scene scene = scene_open(1, (kin_semaphore_options){0});
    stepkill(&(struct stepkill){.setup = take_it,
                                .prepare = join_family,
                                .operation = in_and_out,
                                .survive = survive_holder,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

/* Two wait; the victim is woken for the permit and dies on its way to it: the other gets it. */
static void take_and_start_sleeper(void *context)
{
    take_it(context);
    start_sleeper(context, 0, 0);
}

static void survive_woken(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    /* Whether the victim came to sleep and was woken or not. */
    if (kin_semaphore_value(scene->semaphore) == 0) {
        int rc = kin_sweep();
        CHECK_OK(rc);
        if (kin_semaphore_value(scene->semaphore) == 0) kin_semaphore_release(scene->semaphore);
    }
    CHECK_OK(kin_sweep());
    CHECK_EQ(test_collect(scene->sleeper), 0);
    all_are_back(scene);
}

TEST(the_one_who_was_woken_dies, .deadline = 300)
{
    struct scene scene = scene_open(1, (kin_semaphore_options){0});
    stepkill(&(struct stepkill){.setup = take_and_start_sleeper,
                                .prepare = join_family,
                                .operation = in_and_out,
                                .wake = give_it,
                                .survive = survive_woken,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

/* ---- growing ----------------------------------------------------------------------------------------------------- */

static void grow(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_semaphore_release(scene->semaphore));
}

static void open_full(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_semaphore_open(&scene->semaphore, 96, NULL)); /* the next one needs a chunk */
}

static void survive_growth(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_sweep());
    long value = kin_semaphore_value(scene->semaphore);
    CHECK(value == 97 || (value == 96 && !finished));
    CHECK_OK(kin_semaphore_release_many(scene->semaphore, 10));
    CHECK_EQ(kin_semaphore_value(scene->semaphore), value + 10);
    CHECK_OK(kin_semaphore_close(scene->semaphore));
    books_check(&scene->books);
}

TEST(the_one_who_adds_a_permit_dies, .deadline = 300)
{
    struct scene scene = {.books = books_open()};
    stepkill(&(struct stepkill){.setup = open_full,
                                .prepare = join_family,
                                .operation = grow,
                                .survive = survive_growth,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
}

/* ---- the reaper itself dies --------------------------------------------------------------------------------------- */

static void hold_two(void *context)
{
    struct scene *scene = context;
    for (int i = 0; i < 2; i++) CHECK_OK(kin_semaphore_acquire(scene->semaphore, KIN_NOW));
    for (;;) pause();
}

static void leave_a_dead_holder(void *context)
{
    struct scene *scene = context;
    pid_t holder = test_child(hold_two, scene);
    test_until(kin_semaphore_value(scene->semaphore) == 0);
    start_sleeper(scene, 0, 0);
    test_kill(holder);
}

static void sweep(void *context)
{
    (void)context;
    CHECK_OK(kin_sweep());
}

TEST(the_reaper_dies, .deadline = 300)
{
    struct scene scene = scene_open(2, (kin_semaphore_options){0});
    stepkill(&(struct stepkill){.setup = leave_a_dead_holder,
                                .prepare = join_family,
                                .operation = sweep,
                                .survive = survive_with_sleeper,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    CHECK_OK(kin_semaphore_close(scene.semaphore));
}

/* ---- at random -------------------------------------------------------------------------------------------------- */

#define PERMITS 3

struct room {
    kin_semaphore *semaphore;
    _Atomic uint32_t inside[8]; /* by index: the process that is inside */
};

static void work(void *context, unsigned index)
{
    struct room *room = context;
    uint64_t random = (uint64_t)getpid() * 2654435761u;
    while (!chaos_stopping()) {
        int rc = kin_semaphore_acquire(room->semaphore, kin_in_ms(500));
        if (rc == -ETIMEDOUT) continue;
        CHECK_OK(rc);
        atomic_store(&room->inside[index], 1);
        for (uint64_t i = chaos_random(&random) % 500; i > 0; i--) sched_yield();
        atomic_store(&room->inside[index], 0);
        CHECK_OK(kin_semaphore_release(room->semaphore));
        chaos_progress();
    }
}

TEST(killed_at_random, .deadline = 300, .alone = true)
{
    struct books books = books_open();
    struct room *room = kin_alloc(sizeof *room);
    CHECK_OK(kin_semaphore_open(&room->semaphore, PERMITS, &(kin_semaphore_options){.bounded = true}));
    struct chaos_report report = chaos(&(struct chaos){.roles = {{"worker", 6, work}},
                                                       .context = room,
                                                       .kills = test_sanitized() ? 100 : 2000,
                                                       .seconds = 200,
                                                       .delay_us = 500,
                                                       .hang_seconds = 10});
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_semaphore_value(room->semaphore), PERMITS);
    NOTE("%ld kills, %lu turns, worst stall %.0f ms", report.kills, (unsigned long)report.progress,
         report.worst_stall_ms);
    CHECK_OK(kin_semaphore_close(room->semaphore));
    CHECK_OK(kin_free(room));
    books_check(&books);
}
