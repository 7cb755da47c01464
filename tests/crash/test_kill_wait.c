/* test_kill_wait.c: somebody who waits for many things is killed at every instruction of it, and so is
 * somebody who rings him.  No bell is left hanging, nobody else misses a wake-up. */
#include "crash.h"

#include <unistd.h>

#include "memory/bell.h"
#include "support/stepkill.h"

struct scene {
    kin_queue *queue;
    kin_waiter *waiter; /* of the case's process */
    struct books books;
};

static void scene_open(struct scene *scene)
{
    kin_waitable ready;
    CHECK_OK(kin_queue_open(&scene->queue, NULL));
    warm_up(scene->queue);
    CHECK_OK(kin_waiter_open(&scene->waiter));
    kin_waitable item = kin_on_queue(scene->queue);
    CHECK_OK(kin_waiter_add(scene->waiter, &item));
    CHECK_EQ(kin_waiter_wait(scene->waiter, &ready, 1, KIN_NOW), 0);
    scene->books = books_open();
}

static unsigned bells_hanging(void)
{
    struct kin__bell *table = (struct kin__bell *)(kin__family.base + kin__family.header->bells_offset);
    unsigned hanging = 0;
    for (int i = 0; i < KIN__BELLS; i++) hanging += atomic_load(&table[i].state) % 8 != 0;
    return hanging;
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_waiter_close(scene->waiter));
    CHECK_EQ(bells_hanging(), 0);
    CHECK_OK(kin_queue_close(scene->queue));
}

static void wait_now(void *context)
{
    struct scene *scene = context;
    kin_waiter *waiter = NULL;
    kin_waitable item = kin_on_queue(scene->queue), ready;
    CHECK_OK(kin_waiter_open(&waiter));
    CHECK_OK(kin_waiter_add(waiter, &item));
    CHECK_EQ(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
    CHECK_OK(kin_waiter_close(waiter));
}

/* The case's own waiter is told of a message, and the dead one's bell does not hang any more. */
static void survive_waiter(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_waitable ready;
    char byte;
    (void)step;
    (void)finished;
    books_check(&scene->books);
    CHECK_EQ(bells_hanging(), 1);
    CHECK_OK(kin_queue_put(scene->queue, "x", 1, KIN_NOW));
    CHECK_EQ(kin_waiter_wait(scene->waiter, &ready, 1, kin_in_s(60)), 1);
    CHECK_EQ(kin_queue_get(scene->queue, &byte, 1, KIN_NOW), 1);
    CHECK_EQ(kin_waiter_wait(scene->waiter, &ready, 1, KIN_NOW), 0);
}

TEST(who_waits_is_killed, .deadline = 240)
{
    struct scene scene;
    scene_open(&scene);
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = wait_now,
                                                                .survive = survive_waiter,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

static void put_one(void *context)
{
    CHECK_OK(kin_queue_put(((struct scene *)context)->queue, "x", 1, KIN_FOREVER));
}

/* If the message is there, whoever waits is told; and the next message is told as well. */
static void survive_ringer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_waitable ready;
    char byte;
    /* Once by the reaper, and once by himself when he has waited for a slice. */
    if (step % 8 != 0) CHECK_OK(kin_sweep());
    long there = kin_queue_qsize(scene->queue);
    CHECK(there == 1 || !finished);
    for (int i = 0; i < 2; i++) {
        if (there == 0) CHECK_OK(kin_queue_put(scene->queue, "y", 1, KIN_NOW));
        CHECK_EQ(kin_waiter_wait(scene->waiter, &ready, 1, kin_in_s(60)), 1);
        CHECK_EQ(kin_queue_get(scene->queue, &byte, 1, KIN_NOW), 1);
        CHECK_EQ(kin_waiter_wait(scene->waiter, &ready, 1, KIN_NOW), 0);
        there = 0;
    }
    books_check(&scene->books);
    CHECK_EQ(bells_hanging(), 1);
}

TEST(who_rings_is_killed, .deadline = 240)
{
    struct scene scene;
    scene_open(&scene);
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = put_one,
                                                                .survive = survive_ringer,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}
