/* test_kill_event.c: who sets an event or waits for it is killed at every instruction. */
#include "crash.h"

#include "memory/waitable.h"
#include "support/chaos.h"
#include "support/stepkill.h"

struct scene {
    kin_event *event;
    struct books books;
    pid_t sleeper;
};

static unsigned sleepers(void)
{
    unsigned count = 0;
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++)
        count += atomic_load(&kin__family.members[i].waiting_on[0]) != NULL &&
                 kin__state_of(atomic_load(&kin__family.members[i].state)) == KIN__SLOT_LIVE;
    return count;
}

static struct scene scene_open(void)
{
    struct scene scene = {0};
    CHECK_OK(kin_event_open(&scene.event, NULL));
    scene.books = books_open();
    return scene;
}

static struct kin__wait_point *point_of(const kin_event *event)
{
    kin_waitable item = kin_on_event(event);
    return &kin__waitable_classes[KIN_WAITABLE_EVENT]->event(&item)->point;
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_event_close(scene->event));
}

/* ---- setting, while somebody waits ------------------------------------------------------------------ */

static void clear_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_event_clear(scene->event));
}

static void set_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_event_set(scene->event));
}

static void wait_for_it(void *context)
{
    struct scene *scene = context;
    CHECK_RC(kin_event_wait(scene->event, kin_in_s(20)), 0);
}

static void start_sleeper(void *context)
{
    struct scene *scene = context;
    clear_it(scene);
    scene->sleeper = test_child(wait_for_it, scene);
    test_until(sleepers() == 1);
}

static void survive_set(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int set = kin_event_is_set(scene->event);
    CHECK(set == 1 || !finished);
    /* Once it is set, the sleeper goes on, whether it was told or not. */
    if (set == 0) CHECK_OK(kin_event_set(scene->event));
    collect_sleeper(scene->sleeper, step % 8 != 0);
    books_check(&scene->books);
}

TEST(the_one_who_sets_it_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_sleeper,
                                                                .prepare = join_family,
                                                                .operation = set_it,
                                                                .survive = survive_set,
                                                                .context = &scene});
    CHECK_GT(report.points, 20);
    scene_close(&scene);
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

static void survive_wait(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    /* Nobody who waits is missed, and the dead one is not waited for. */
    scene->sleeper = test_child(wait_for_it, scene);
    test_until(sleepers() >= 1);
    set_it(scene);
    CHECK_EQ(test_collect(scene->sleeper), 0);
    clear_it(scene);
    books_check(&scene->books);
    CHECK_EQ(sleepers(), 0);
    nobody_waits(point_of(scene->event));
}

TEST(the_one_who_waits_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = wait_for_it,
                                .survive = survive_wait,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

/* Asleep, woken, and killed on its way out. */
static void survive_woken(void *context, long step, bool finished)
{
    clear_it(context);
    survive_wait(context, step, finished);
}

TEST(the_one_who_was_woken_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = wait_for_it,
                                                                .wake = set_it,
                                                                .asleep_ms = 3,
                                                                .survive = survive_woken,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK(!report.asleep);
    scene_close(&scene);
}

/* ---- at random -------------------------------------------------------------------------------- */

struct signals {
    kin_event *event;
};

/* Somebody is always left who sets it, to the end: nobody may wait until the deadline. */
static void set_and_clear(void *context, unsigned index)
{
    struct signals *signals = context;
    (void)index;
    while (!chaos_stopping()) {
        CHECK_OK(kin_event_set(signals->event));
        CHECK_OK(kin_event_clear(signals->event));
    }
    /* The last to end leaves it set, for those who look whether it is over only after that. */
    CHECK_OK(kin_event_set(signals->event));
}

static void wait_again_and_again(void *context, unsigned index)
{
    struct signals *signals = context;
    (void)index;
    while (!chaos_stopping()) {
        CHECK_RC(kin_event_wait(signals->event, kin_in_s(20)), 0);
        chaos_progress();
    }
}

TEST(killed_at_random, .deadline = 120, .alone = true)
{
    struct books books = books_open();
    struct signals *signals = kin_alloc(sizeof *signals);
    CHECK_OK(kin_event_open(&signals->event, NULL));
    struct chaos_report report =
        chaos(&(struct chaos){.roles = {{"setter", 2, set_and_clear}, {"waiter", 4, wait_again_and_again}},
                              .context = signals,
                              .kills = test_sanitized() ? 50 : 1000,
                              .seconds = 60,
                              .delay_us = 500,
                              .hang_seconds = 10});
    CHECK_GT(report.progress, 0);
    NOTE("%ld kills, %lu turns, worst stall %.0f ms", report.kills, (unsigned long)report.progress,
         report.worst_stall_ms);
    CHECK_OK(kin_event_close(signals->event));
    CHECK_OK(kin_free(signals));
    books_check(&books);
}
