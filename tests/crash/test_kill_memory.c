/* test_kill_memory.c: a process is killed at every instruction of allocating and freeing, of
 * joining the family and of cleaning up after another that was killed. */
#include "crash.h"

#include <signal.h>
#include <unistd.h>

#include "support/stepkill.h"

struct scene {
    struct books books;
    size_t size;
    _Atomic(void *) *shared; /* in family memory: where blocks are handed over */
};

static struct scene scene_open(size_t size)
{
    struct scene scene = {.size = size};
    scene.shared = kin_alloc(64);
    CHECK(scene.shared != NULL);
    CHECK_OK(kin_free(kin_alloc(size)));
    scene.books = books_open();
    return scene;
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_free(scene->shared));
}

/* Allocating: the block exists and is known, or does not exist.  What kin_alloc returned is the
 * program's: the victim leaves its address where the survivor can free it, so that only a kill
 * between the return and that store could leave a block; publishing is part of the internal
 * interface and has no such gap. */
static void allocate_and_publish(void *context)
{
    struct scene *scene = context;
    int error = 0;
    CHECK(kin__allocate(scene->size, &error) != NULL);
    kin__allocate_publish(scene->shared);
}

static void survive_published(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_sweep());
    void *block = atomic_load(scene->shared);
    CHECK(block != NULL || !finished);
    if (block != NULL) {
        memset(block, 0xee, scene->size);
        CHECK_OK(kin__free(block, scene->shared));
    }
    void *other = kin_alloc(scene->size);
    CHECK(other != NULL);
    CHECK_OK(kin_free(other));
    books_check(&scene->books);
}

static void allocation(size_t size)
{
    struct scene scene = scene_open(size);
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = allocate_and_publish,
                                                                .survive = survive_published,
                                                                .context = &scene});
    CHECK_GT(report.points, 30);
    scene_close(&scene);
}

TEST(allocating_a_small_block, .deadline = 240)
{
    allocation(100);
}

TEST(allocating_a_large_block, .deadline = 240)
{
    allocation(3 << 20);
}

TEST(allocating_what_was_freed_last, .deadline = 240)
{
    allocation(80000);
}

/* Freeing: a kill leaves the block to be freed by the survivor, or freed. */
static void set_up_block(void *context)
{
    struct scene *scene = context;
    atomic_store(scene->shared, kin_alloc(scene->size));
    CHECK(atomic_load(scene->shared) != NULL);
}

static void free_block(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin__free(atomic_load(scene->shared), scene->shared));
}

static void survive_free(void *context, long step, bool finished)
{
    struct scene *scene = context;
    CHECK(!finished || atomic_load(scene->shared) == NULL);
    survive_published(context, step, false);
}

static void free_case(size_t size)
{
    struct scene scene = scene_open(size);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = set_up_block,
                                                                .prepare = join_family,
                                                                .operation = free_block,
                                                                .survive = survive_free,
                                                                .context = &scene});
    CHECK_GT(report.points, 30);
    scene_close(&scene);
}

TEST(freeing_a_small_block, .deadline = 240)
{
    free_case(100);
}

TEST(freeing_a_large_block, .deadline = 240)
{
    free_case(3 << 20);
}

TEST(freeing_what_is_remembered, .deadline = 240)
{
    free_case(800000);
}

/* What a dead thread was doing with a block is settled by the reaper, sooner or later.  By then the survivor,
 * who saw the block where it was known, has freed it and been given it again: it stays his. */
static void survive_and_act_first(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    void *block = atomic_load(scene->shared);
    if (block != NULL) {
        int rc = kin__free(block, scene->shared);
        /* The victim may have freed it, and not struck it out. */
        CHECK(rc == 0 || rc == -EINVAL);
        atomic_store(scene->shared, NULL);
    }
    void *own = kin_alloc(scene->size);
    CHECK(own != NULL);
    CHECK_OK(kin_sweep());
    CHECK_GE(kin__block_size(own), scene->size);
    void *other = kin_alloc(scene->size);
    CHECK(other != NULL && other != own);
    CHECK_OK(kin_free(other));
    CHECK_OK(kin_free(own));
    books_check(&scene->books);
}

static void acting_first(size_t size, void (*set_up)(void *), void (*operation)(void *))
{
    struct scene scene = scene_open(size);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = set_up,
                                                                .prepare = join_family,
                                                                .operation = operation,
                                                                .survive = survive_and_act_first,
                                                                .context = &scene});
    CHECK_GT(report.points, 30);
    scene_close(&scene);
}

TEST(a_block_has_gone_on_before_the_dead_are_noticed, .deadline = 240)
{
    acting_first(100, NULL, allocate_and_publish);
    acting_first(3 << 20, NULL, allocate_and_publish);
}

TEST(a_block_was_freed_before_the_dead_are_noticed, .deadline = 240)
{
    acting_first(100, set_up_block, free_block);
    acting_first(3 << 20, set_up_block, free_block);
}

/* Growing: the class has no block left, so that pages are taken for it: survivors keep theirs. */
static void survive_growth(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_sweep());
    char *block = atomic_load(scene->shared);
    CHECK(block != NULL || !finished);
    if (block != NULL) memset(block, 'V', scene->size);
    char *other = kin_alloc(scene->size);
    CHECK(other != NULL && other != block);
    memset(other, 'O', scene->size);
    for (size_t i = 0; block != NULL && i < scene->size; i += 64) CHECK_EQ(block[i], 'V');
    scene->books.blocks += block != NULL ? 2 : 1;
    atomic_store(scene->shared, NULL);
    books_check(&scene->books);
}

TEST(taking_pages_for_a_class, .deadline = 300)
{
    struct scene scene = scene_open(100);
    scene.size = 150000;
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = allocate_and_publish,
                                                                .survive = survive_growth,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 200);
    scene_close(&scene);
}

/* kin_alloc and kin_free as a program uses them, killed anywhere: at most the one block that
 * the victim had is left, because it was the program's. */
static void allocate_and_free(void *context)
{
    struct scene *scene = context;
    void *block = kin_alloc(scene->size);
    CHECK(block != NULL);
    CHECK_OK(kin_free(block));
}

static void survive_program(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_memory_usage usage;
    (void)step;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_LE(usage.heap_blocks, scene->books.blocks + (finished ? 0 : 1));
    scene->books.blocks = usage.heap_blocks;
    void *block = kin_alloc(scene->size);
    CHECK(block != NULL);
    CHECK_OK(kin_free(block));
}

TEST(as_a_program_does, .deadline = 240)
{
    struct scene scene = scene_open(1000);
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = allocate_and_free,
                                .survive = survive_program,
                                .context = &scene});
    scene_close(&scene);
}

/* Joining. */
static void survive_joining(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    books_check(&scene->books);
}

TEST(joining, .deadline = 300)
{
    struct scene scene = scene_open(100);
    struct stepkill_report report = stepkill(&(struct stepkill){
        .operation = join_family, .survive = survive_joining, .mode = STEPKILL_ADDRESSES, .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* Reaping: somebody was killed with a lock, an allocation and a message in its hands; the one
 * who cleans up after it is killed as well. */
struct estate {
    struct books books;
    kin_lock *lock;
    kin_queue *queue;
};

static void rich_main(void *context)
{
    struct estate *estate = context;
    void *message;
    int error;
    CHECK_OK(kin_lock_acquire(estate->lock, KIN_NOW));
    CHECK_OK(kin_queue_reserve(estate->queue, &message, 100000));
    CHECK_OK(kin_queue_reserve(estate->queue, &message, 10));
    CHECK_OK(kin_queue_commit(estate->queue, message, KIN_NOW));
    CHECK(kin__allocate(5000, &error) != NULL);
    kill(getpid(), SIGKILL);
}

static void leave_estate(void *context)
{
    pid_t pid = test_child(rich_main, context);
    test_collect(pid);
}

static void sweep(void *context)
{
    (void)context;
    CHECK_OK(kin_sweep());
}

static void survive_reaper(void *context, long step, bool finished)
{
    struct estate *estate = context;
    char message[10];
    (void)step;
    (void)finished;
    CHECK_RC(kin_lock_acquire(estate->lock, kin_in_s(60)), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(estate->lock));
    CHECK_EQ(kin_queue_get(estate->queue, message, sizeof message, kin_in_s(60)), 10);
    books_check(&estate->books);
}

TEST(cleaning_up_after_another, .deadline = 400)
{
    struct estate estate = {0};
    CHECK_OK(kin_lock_open(&estate.lock));
    CHECK_OK(kin_queue_open(&estate.queue, NULL));
    warm_up(estate.queue);
    estate.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = leave_estate,
                                                                .prepare = join_family,
                                                                .operation = sweep,
                                                                .survive = survive_reaper,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &estate});
    CHECK_GT(report.points, 100);
    CHECK_OK(kin_queue_close(estate.queue));
    CHECK_OK(kin_lock_close(estate.lock));
}
