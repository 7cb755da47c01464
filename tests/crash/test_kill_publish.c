/* test_kill_publish.c: who publishes, looks for a name, or joins from outside is killed at every
 * instruction, or at some of the system calls with which the processes of the machine are searched. */
#include "crash.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "support/stepkill.h"

struct scene {
    void *block;
    struct books books;
};

static struct scene scene_open(void)
{
    struct scene scene = {.block = kin_alloc(64)};
    CHECK_OK(kin_publish("warm", scene.block));
    scene.books = books_open();
    return scene;
}

/* ---- names ------------------------------------------------------------------------------------------ */

static void publish_and_unpublish(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_publish("one", scene->block));
    CHECK(kin_find("one", KIN_NOW) == scene->block);
    CHECK_OK(kin_unpublish("one"));
    CHECK_OK(kin_publish("two", scene->block));
}

static void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    void *one = kin_find("one", KIN_NOW), *two = kin_find("two", KIN_NOW);
    (void)step;
    CHECK(one == NULL || one == scene->block);
    CHECK(two == NULL || two == scene->block);
    CHECK(one == NULL || two == NULL);
    if (finished) CHECK(two != NULL);
    CHECK_RC(kin_unpublish("one"), one != NULL ? 0 : -ENOENT);
    CHECK_RC(kin_unpublish("two"), two != NULL ? 0 : -ENOENT);
    CHECK(kin_find("warm", KIN_NOW) == scene->block);
    books_check(&scene->books);
}

TEST(names, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = publish_and_unpublish,
                                                                .survive = survive,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    books_no_rescue(&scene.books);
}

/* ---- publishing a family: its own case, because a family is published once ------------------------- */

static char family_name[KIN_NAME_SIZE];

static void publish_family(void *context)
{
    (void)context;
    CHECK_RC(kin_family_publish(family_name, KIN_FOREVER), 0);
}

static void not_published(void *context)
{
    (void)context;
    atomic_store(&kin__family.header->name.state, KIN__NAME_NONE);
}

static void survive_family(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    CHECK_RC(kin_family_publish(family_name, kin_in_s(20)), 0);
    CHECK_STR(kin__family.header->name.text, family_name);
    books_check(&scene->books);
}

TEST(publishing_a_family, .deadline = 240)
{
    struct scene scene = scene_open();
    snprintf(family_name, sizeof family_name, "kin-kill-%d", getpid());
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = not_published,
                                                                .prepare = join_family,
                                                                .operation = publish_family,
                                                                .survive = survive_family,
                                                                .mode = STEPKILL_SYSCALLS,
                                                                .stride = 97,
                                                                .to = 4000,
                                                                .context = &scene});
    CHECK_GT(report.points, 10);
}

/* ---- joining from outside ------------------------------------------------------------------------------ */

/* The victim has forgotten its family, which it was forked from. */
static void become_a_stranger(void *context)
{
    (void)context;
    kin__os_memory_unmap(kin__family.header, kin__family.size);
    memset(&kin__family, 0, sizeof kin__family);
    memset(&kin__self, 0, sizeof kin__self);
}

static void join_from_outside(void *context)
{
    (void)context;
    CHECK_RC(kin_family_join(family_name, KIN_NOW), 0);
    CHECK_OK(kin_lock_acquire(kin_find("lock", KIN_NOW), KIN_FOREVER));
    CHECK_OK(kin_lock_release(kin_find("lock", KIN_NOW)));
}

static void survive_join(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    CHECK_OK(kin_lock_acquire(scene->block, kin_in_s(60)));
    CHECK_OK(kin_lock_release(scene->block));
    books_check(&scene->books);
}

TEST(joining, .deadline = 240)
{
    struct scene scene = {0};
    CHECK_OK(kin_lock_open((kin_lock **)&scene.block));
    CHECK_OK(kin_publish("lock", scene.block));
    snprintf(family_name, sizeof family_name, "kin-kill-%d", getpid());
    CHECK_RC(kin_family_publish(family_name, kin_in_s(20)), 0);
    scene.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = become_a_stranger,
                                                                .operation = join_from_outside,
                                                                .survive = survive_join,
                                                                .mode = STEPKILL_SYSCALLS,
                                                                .stride = 29,
                                                                .to = 3000,
                                                                .context = &scene});
    CHECK_GT(report.points, 10);
}
