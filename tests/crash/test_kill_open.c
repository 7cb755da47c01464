/* test_kill_open.c: who opens or closes an object of synchronisation is killed at every instruction: what
 * was on its way is freed or open, and nothing is left that nobody can reach. */
#include "crash.h"

#include "memory/allocator.h"
#include "support/stepkill.h"

/* One kind of object. */
struct kind {
    enum kin__object_kind number;
    int (*open)(void **object);
    int (*close)(void *object);
    int (*use)(void *object); /* takes it and gives it back */
};

struct scene {
    const struct kind *kind;
    void *object; /* made before the victim, which closes it; or found after it */
    long found;   /* how often */
    struct books books;
};

/* ---- closing ------------------------------------------------------------------------------------ */

static void open_one(void *context)
{
    struct scene *scene = context;
    CHECK_OK(scene->kind->open(&scene->object));
}

static void close_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(scene->kind->close(scene->object));
}

/* Closed, or as it was: never half. */
static void survive_close(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_sweep());
    int rc = scene->kind->use(scene->object);
    CHECK(rc == 0 || rc == KIN_ECLOSED);
    if (finished) CHECK_RC(rc, KIN_ECLOSED);
    CHECK_RC(scene->kind->close(scene->object), rc);
    books_check(&scene->books);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void open_another(void *context)
{
    struct scene *scene = context;
    void *object = NULL;
    CHECK_OK(scene->kind->open(&object));
    CHECK_OK(scene->kind->close(object));
}

static void find_open(void *object, void *context)
{
    struct scene *scene = context;
    int rc = scene->kind->use(object);
    CHECK(rc == 0 || rc == KIN_ECLOSED);
    if (rc != 0) return;
    CHECK_EQ(scene->object, NULL);
    scene->object = object;
}

/* What was open when the victim died, and known to it alone, is the program's to lose: we find it, and it can be
 * closed as ever.  Of what was not open nothing is left. */
static void survive_open(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    open_another(scene);
    CHECK_OK(kin_sweep());
    scene->object = NULL;
    kin__objects_each(scene->kind->number, find_open, scene);
    if (finished) CHECK_EQ(scene->object, NULL);
    if (scene->object != NULL) scene->found++;
    CHECK_OK(scene->kind->close(scene->object));
    books_check(&scene->books);
}

static void kill_them(const struct kind *kind)
{
    struct scene scene = {.kind = kind};
    open_another(&scene);
    scene.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = open_one,
                                                                .prepare = join_family,
                                                                .operation = close_it,
                                                                .survive = survive_close,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 40);
    report = stepkill(&(struct stepkill){.prepare = join_family,
                                         .operation = open_another,
                                         .survive = survive_open,
                                         .mode = STEPKILL_ADDRESSES,
                                         .context = &scene});
    CHECK_GT(report.points, 80);
    CHECK_GT(scene.found, 0);
    CHECK_LT(scene.found, report.points);
}

/* ---- the kinds ---------------------------------------------------------------------------------- */

static int lock_open(void **object)
{
    return kin_lock_open((kin_lock **)object);
}

static int lock_close(void *object)
{
    return kin_lock_close(object);
}

static int lock_use(void *object)
{
    int rc = kin_lock_acquire(object, KIN_NOW);
    return rc == 0 ? kin_lock_release(object) : rc;
}

static int rlock_open(void **object)
{
    return kin_rlock_open((kin_rlock **)object, NULL);
}

static int rlock_close(void *object)
{
    return kin_rlock_close(object);
}

static int rlock_use(void *object)
{
    int rc = kin_rlock_acquire(object, KIN_NOW);
    return rc == 0 ? kin_rlock_release(object) : rc;
}

static int rwlock_open(void **object)
{
    return kin_rwlock_open((kin_rwlock **)object, NULL);
}

static int rwlock_close(void *object)
{
    return kin_rwlock_close(object);
}

static int rwlock_use(void *object)
{
    int rc = kin_rwlock_acquire_write(object, KIN_NOW);
    return rc == 0 ? kin_rwlock_release(object) : rc;
}

static int condition_open(void **object)
{
    return kin_condition_open((kin_condition **)object, NULL);
}

static int condition_close(void *object)
{
    return kin_condition_close(object);
}

static int condition_use(void *object)
{
    int rc = kin_condition_acquire(object, KIN_NOW);
    return rc == 0 ? kin_condition_release(object) : rc;
}

static int event_open(void **object)
{
    return kin_event_open((kin_event **)object, NULL);
}

static int event_close(void *object)
{
    return kin_event_close(object);
}

static int event_use(void *object)
{
    return kin_event_clear(object);
}

/* With two chunks of permits. */
static int semaphore_open(void **object)
{
    return kin_semaphore_open((kin_semaphore **)object, 4000, NULL);
}

static int semaphore_close(void *object)
{
    return kin_semaphore_close(object);
}

static int semaphore_use(void *object)
{
    int rc = kin_semaphore_acquire(object, KIN_NOW);
    return rc == 0 ? kin_semaphore_release(object) : rc;
}

/* With two chunks of parties. */
static int barrier_open(void **object)
{
    return kin_barrier_open((kin_barrier **)object, 300, NULL);
}

static int barrier_close(void *object)
{
    return kin_barrier_close(object);
}

static int barrier_use(void *object)
{
    return kin_barrier_reset(object);
}

TEST(lock, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_LOCK, lock_open, lock_close, lock_use});
}

TEST(rlock, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_LOCK, rlock_open, rlock_close, rlock_use});
}

TEST(rwlock, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_RWLOCK, rwlock_open, rwlock_close, rwlock_use});
}

TEST(condition, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_CONDITION, condition_open, condition_close, condition_use});
}

TEST(event, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_EVENT, event_open, event_close, event_use});
}

TEST(semaphore, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_SEMAPHORE, semaphore_open, semaphore_close, semaphore_use});
}

TEST(barrier, .deadline = 300)
{
    kill_them(&(struct kind){KIN__OBJECT_BARRIER, barrier_open, barrier_close, barrier_use});
}
