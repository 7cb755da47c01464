/* test_kill_shared_memory.c: who makes a block of memory, attaches or closes it is killed before and
 * after every system call: nothing is left, and who uses the block keeps it. */
#define _GNU_SOURCE
#include "support/stepkill.h"
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin/shared_memory.h>

struct scene {
    char name[64], path[80];
    kin_shared_memory *block; /* of the case's process, in the scenes that have one */
};

static struct scene scene_open(void)
{
    struct scene scene = {.block = NULL};
    snprintf(scene.name, sizeof scene.name, "kin-kill-%d", getpid());
    snprintf(scene.path, sizeof scene.path, "/dev/shm/%s", scene.name);
    return scene;
}

/* ---- alone --------------------------------------------------------------------------------------- */

static void make_and_close(void *context)
{
    struct scene *scene = context;
    kin_shared_memory *block = NULL;
    CHECK_OK(kin_shared_memory_create(&block, scene->name, 5000, NULL));
    ((char *)kin_shared_memory_data(block))[4999] = 1;
    CHECK_OK(kin_shared_memory_close(block));
}

/* With its maker the block goes, and the name can be used again. */
static void survive_alone(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    test_until(access(scene->path, F_OK) < 0);
    CHECK_OK(kin_shared_memory_create(&scene->block, scene->name, 100, NULL));
    CHECK_OK(kin_shared_memory_close(scene->block));
    CHECK(access(scene->path, F_OK) < 0);
}

TEST_COLD(making_one)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.operation = make_and_close,
                                                                .survive = survive_alone,
                                                                .mode = STEPKILL_SYSCALLS,
                                                                .forks = true,
                                                                .context = &scene});
    CHECK_GT(report.points, 40);
}

/* ---- beside one who uses it ------------------------------------------------------------------------ */

static void attach_and_close(void *context)
{
    struct scene *scene = context;
    kin_shared_memory *block = NULL;
    CHECK_OK(kin_shared_memory_attach(&block, scene->name));
    CHECK_OK(kin_shared_memory_close(block));
}

static void make(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_shared_memory_create(&scene->block, scene->name, 100, NULL));
}

/* The victim has a copy of the handle too: it closes that first. */
static void close_the_copy(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_shared_memory_close(scene->block));
}

static void survive_beside(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_shared_memory *again = NULL;
    (void)step;
    (void)finished;
    CHECK_OK(kin_shared_memory_attach(&again, scene->name));
    CHECK_OK(kin_shared_memory_close(again));
    CHECK_OK(kin_shared_memory_close(scene->block));
    test_until(access(scene->path, F_OK) < 0);
}

TEST_COLD(attaching_beside_another)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = make,
                                                                .prepare = close_the_copy,
                                                                .operation = attach_and_close,
                                                                .survive = survive_beside,
                                                                .mode = STEPKILL_SYSCALLS,
                                                                .context = &scene});
    CHECK_GT(report.points, 10);
}
