/* test_kill_array.c: who opens, closes, copies or adds is killed at every instruction. */
#include "crash.h"

#include "support/stepkill.h"

struct scene {
    kin_array *array;
    kin_array **made; /* what the victim's open stored; in memory that is shared */
    struct books books;
};

static struct scene scene_open(void)
{
    struct scene scene = {.made = test_shared(sizeof *scene.made)};
    /* Warm: the classes that are used have their pages. */
    CHECK_OK(kin_array_open(&scene.array, 'i', 8, NULL));
    CHECK_OK(kin_array_close(scene.array));
    CHECK_OK(kin_array_open(&scene.array, 'i', 8, NULL));
    scene.books = books_open();
    return scene;
}

static void scene_close(struct scene *scene)
{
    books_check(&scene->books);
    books_no_rescue(&scene->books);
    CHECK_OK(kin_array_close(scene->array));
}

/* ---- open ------------------------------------------------------------------------------------------ */

static void forget(void *context)
{
    struct scene *scene = context;
    *scene->made = NULL;
}

static void open_one(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_array_open(scene->made, 'i', 8, NULL));
}

/* Nobody knows of the array, or it is there and whole. */
static void survive_open(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_sweep());
    kin_array *made = *scene->made;
    int rc = made == NULL ? KIN_EFOREIGN : kin_array_close(made);
    if (finished) CHECK_RC(rc, 0);
    CHECK(rc == 0 || rc == KIN_EFOREIGN);
    books_check(&scene->books);
}

TEST(open, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = forget,
                                                                .prepare = join_family,
                                                                .operation = open_one,
                                                                .survive = survive_open,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* ---- close ----------------------------------------------------------------------------------------- */

static void open_for_the_victim(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_array_open(scene->made, 'i', 8, NULL));
}

static void close_one(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_array_close(*scene->made));
}

/* It is closed, or open and as good as before. */
static void survive_close(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_sweep());
    int items[8], rc = kin_array_read(*scene->made, 0, 8, items, kin_in_s(60));
    CHECK(rc == 0 || rc == KIN_ECLOSED);
    if (finished) CHECK_RC(rc, KIN_ECLOSED);
    CHECK_RC(kin_array_close(*scene->made), rc);
    books_check(&scene->books);
}

TEST(close, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = open_for_the_victim,
                                                                .prepare = join_family,
                                                                .operation = close_one,
                                                                .survive = survive_close,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 50);
    scene_close(&scene);
}

/* ---- items ------------------------------------------------------------------------------------------- */

static void change(void *context)
{
    struct scene *scene = context;
    const int items[2] = {5, 5};
    CHECK_OK(kin_array_add(scene->array, 0, 1));
    CHECK_OK(kin_array_write(scene->array, 2, 2, items, KIN_FOREVER));
    CHECK_OK(kin_array_add(scene->array, 1, 1));
}

static void clear(void *context)
{
    struct scene *scene = context;
    const int zeros[8] = {0};
    CHECK_OK(kin_array_write(scene->array, 0, 8, zeros, KIN_NOW));
}

/* The lock is free; what was begun first was done first; who wrote whole is told of no death. */
static void survive_change(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int items[8];
    (void)step;
    int rc = kin_array_read(scene->array, 0, 8, items, kin_in_s(60));
    CHECK(rc == 0 || rc == KIN_OWNER_DIED);
    CHECK(items[0] == 0 || items[0] == 1);
    CHECK_LE(items[1], items[0]);
    if (rc == 0) CHECK_EQ(items[2], items[3]);
    if (items[1] == 1) CHECK_EQ(items[2] + items[3], 10);
    if (finished) CHECK_EQ(items[1], 1);
    CHECK_RC(kin_array_read(scene->array, 0, 8, items, KIN_NOW), 0);
    books_check(&scene->books);
}

TEST(items, .deadline = 240)
{
    struct scene scene = scene_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = clear,
                                                                .prepare = join_family,
                                                                .operation = change,
                                                                .survive = survive_change,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}
