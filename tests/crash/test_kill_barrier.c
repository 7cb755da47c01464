/* test_kill_barrier.c: a party of a barrier is killed at every instruction: the others go on, together
 * or with the news that it is broken. */
#include "crash.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/chaos.h"
#include "support/stepkill.h"

struct scene {
    kin_barrier *barrier;
    struct books books;
    pid_t other;
    pid_t victim;
    _Atomic int *rc; /* of the other party */
};

static struct scene scene_open(void)
{
    struct scene scene = {0};
    CHECK_OK(kin_barrier_open(&scene.barrier, 2, NULL));
    scene.rc = test_shared(sizeof(int));
    scene.books = books_open();
    return scene;
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_barrier_close(scene->barrier));
}

static void wait_in_child(void *context)
{
    struct scene *scene = context;
    atomic_store(scene->rc, kin_barrier_wait(scene->barrier, kin_in_s(20)));
}

static void begin(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_barrier_reset(scene->barrier));
}

/* The other one is there already: the victim completes the round. */
static void begin_with_other(void *context)
{
    struct scene *scene = context;
    begin(scene);
    scene->other = test_child(wait_in_child, scene);
    test_until(kin_barrier_waiting(scene->barrier) == 1);
}

static void arrive(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_barrier_wait(scene->barrier, KIN_FOREVER));
}

static void note_victim(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    scene->victim = victim;
}

/* The barrier is whole again after a reset, and works. */
static void works_again(struct scene *scene)
{
    CHECK_OK(kin_sweep());
    CHECK_OK(kin_barrier_reset(scene->barrier));
    scene->other = test_child(wait_in_child, scene);
    struct kin__wait_point *point;
    test_until((point = where_it_waits(scene->other)) != NULL);
    CHECK_GE(kin_barrier_wait(scene->barrier, kin_in_s(10)), 0);
    CHECK_EQ(test_collect(scene->other), 0);
    CHECK_GE(atomic_load(scene->rc), 0);
    nobody_waits(point);
    books_check(&scene->books);
}

static void survive_last(void *context, long step, bool finished)
{
    struct scene *scene = context;
    /* We look after the dead, or the other one does when its slice ends. */
    if (step % 8 != 0) CHECK_OK(kin_sweep());
    for (kin_deadline end = kin_in_ms(300); step % 8 == 0 && kin_clock() < end;)
        if (kin_barrier_waiting(scene->barrier) == 0) break;
    /* Killed before it was inside, the victim is nobody that the barrier knows. */
    if (kin_barrier_waiting(scene->barrier) == 1) CHECK_OK(kin_barrier_abort(scene->barrier));
    CHECK_EQ(test_collect(scene->other), 0);
    int rc = atomic_load(scene->rc);
    CHECK(rc == 0 || rc == KIN_EBARRIER);
    if (finished) CHECK_EQ(rc, 0);
    works_again(scene);
}

TEST(the_last_to_arrive_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = begin_with_other,
                                                                .prepare = join_family,
                                                                .operation = arrive,
                                                                .at_step = note_victim,
                                                                .survive = survive_last,
                                                                .context = &scene});
    CHECK_GT(report.points, 40);
    scene_close(&scene);
}

/* The victim is the first, and dies on its way into its sleep. */
static void survive_first(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_barrier_reason reason;
    (void)step;
    (void)finished;
    CHECK_OK(kin_sweep());
    CHECK_OK(kin_barrier_cause(scene->barrier, &reason));
    if (reason.kind != KIN_BARRIER_WHOLE) {
        CHECK_EQ(reason.kind, KIN_BARRIER_DEATH);
        CHECK_EQ(reason.pid, scene->victim);
        CHECK_RC(kin_barrier_wait(scene->barrier, kin_in_s(10)), KIN_EBARRIER);
    } else {
        CHECK_EQ(kin_barrier_waiting(scene->barrier), 0); /* it had not been counted */
    }
    works_again(scene);
}

TEST(the_first_to_arrive_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = begin,
                                .prepare = join_family,
                                .operation = arrive,
                                .at_step = note_victim,
                                .survive = survive_first,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

/* ---- who aborts and resets ------------------------------------------------------------------------------- */

static void abort_and_reset(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_barrier_abort(scene->barrier));
    CHECK_OK(kin_barrier_reset(scene->barrier));
}

static void survive_abort(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)finished;
    if (step % 8 != 0) CHECK_OK(kin_sweep());
    if (kin_barrier_broken(scene->barrier) == 0 && kin_barrier_waiting(scene->barrier) == 1)
        CHECK_OK(kin_barrier_abort(scene->barrier)); /* it had not begun */
    collect_sleeper(scene->other, step % 8 != 0);
    CHECK_RC(atomic_load(scene->rc), KIN_EBARRIER);
    works_again(scene);
}

TEST(the_one_who_aborts_it_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    stepkill(&(struct stepkill){.setup = begin_with_other,
                                .prepare = join_family,
                                .operation = abort_and_reset,
                                .survive = survive_abort,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

/* ---- who was woken ------------------------------------------------------------------------------------------ */

static void begin_alone(void *context)
{
    struct scene *scene = context;
    scene->other = 0;
    begin(scene);
}

static void complete_it(void *context)
{
    struct scene *scene = context;
    if (scene->other != 0) return; /* asked again before the victim was awake */
    scene->other = test_child(wait_in_child, scene);
    test_until(kin_barrier_waiting(scene->barrier) == 0);
}

/* Asleep, woken by the one who completes the round, and killed on its way out: the other one is through. */
static void survive_woken(void *context, long step, bool finished)
{
    struct scene *scene = context;
    if (scene->other == 0) {
        survive_first(context, step, finished);
        return;
    }
    CHECK_EQ(test_collect(scene->other), 0);
    CHECK_EQ(atomic_load(scene->rc), 1);
    works_again(scene);
}

TEST(the_first_is_woken_and_dies, .deadline = 300)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = begin_alone,
                                                                .prepare = join_family,
                                                                .operation = arrive,
                                                                .wake = complete_it,
                                                                .asleep_ms = 3,
                                                                .at_step = note_victim,
                                                                .survive = survive_woken,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK(!report.asleep);
    scene_close(&scene);
}

/* ---- at random ---------------------------------------------------------------------------------------------- */

#define PARTIES 3

struct meeting {
    kin_barrier *barrier;
    _Atomic long complete, broken;
};

/* Whoever finds it broken resets it, as the parties of a program that goes on would. */
static void meet(void *context, unsigned index)
{
    struct meeting *meeting = context;
    (void)index;
    while (!chaos_stopping()) {
        int rc = kin_barrier_wait(meeting->barrier, kin_in_ms(200));
        if (rc >= 0) {
            meeting->complete++;
            chaos_progress();
            continue;
        }
        CHECK(rc == KIN_EBARRIER || rc == -ETIMEDOUT);
        meeting->broken++;
        if (kin_barrier_broken(meeting->barrier) == 1) CHECK_OK(kin_barrier_reset(meeting->barrier));
    }
}

TEST(killed_at_random, .deadline = 300, .alone = true)
{
    struct books books = books_open();
    struct meeting *meeting = kin_alloc(sizeof *meeting);
    CHECK_OK(kin_barrier_open(&meeting->barrier, PARTIES, NULL));
    struct chaos_report report = chaos(&(struct chaos){.roles = {{"party", PARTIES, meet}},
                                                       .context = meeting,
                                                       .kills = test_sanitized() ? 100 : 1000,
                                                       .seconds = 200,
                                                       .delay_us = 3000,
                                                       .hang_seconds = 10});
    NOTE("%ld kills, %ld passed, %ld found it broken, worst stall %.0f ms", report.kills,
         (long)meeting->complete, (long)meeting->broken, report.worst_stall_ms);
    CHECK_GT(meeting->complete, 0);
    CHECK_GT(meeting->broken, 0);
    CHECK_OK(kin_barrier_close(meeting->barrier));
    CHECK_OK(kin_free(meeting));
    books_check(&books);
}
