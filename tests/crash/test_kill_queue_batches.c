/* test_kill_queue_batches.c: a producer or a consumer of batches is killed at every instruction: what
 * is in the queue, or gone from it, is always the first so many messages of the batch. */
#include "crash.h"

#include <unistd.h>

#include "support/stepkill.h"

#include "ipc/queue.h"

enum { BATCH = 4, LARGE = 6000 };

struct scene {
    kin_queue *queue;
    struct books books;
    kin_message batch[BATCH]; /* each begins with its number */
    char bytes[BATCH][LARGE];
    pid_t other;
    _Atomic int *got; /* shared with `other` */
};

/* With a message that does not lie in the stream, or all small. */
static void scene_open(struct scene *scene, bool with_large, size_t max_items)
{
    memset(scene, 0, sizeof *scene);
    CHECK_OK(kin_queue_open(&scene->queue, &(kin_queue_options){.max_items = max_items}));
    scene->got = test_shared(sizeof *scene->got);
    for (int i = 0; i < BATCH; i++) {
        memset(scene->bytes[i], i, LARGE);
        scene->batch[i] = (kin_message){scene->bytes[i], with_large && i == 2 ? LARGE : 9};
    }
    warm_up(scene->queue);
    scene->books = books_open();
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_queue_close(scene->queue));
}

/* Takes everything out: numbers that follow each other, as long as they are of the batch.  Returns
 * how many those were, and in *first the first of them. */
static int drain(struct scene *scene, int *first)
{
    char bytes[LARGE];
    int count = 0;
    for (long size; (size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW)) != KIN_EMPTY;) {
        CHECK_GE(size, 1);
        if (bytes[0] == 'B') continue;
        if (count == 0) *first = bytes[0];
        CHECK_EQ(bytes[0], *first + count);
        CHECK_EQ(size, (long)scene->batch[(int)bytes[0]].size);
        CHECK_EQ(bytes[size - 1], bytes[0]);
        count++;
    }
    return count;
}

static void put_batch(void *context)
{
    struct scene *scene = context;
    CHECK_RC(kin_queue_put_many(scene->queue, scene->batch, BATCH, KIN_FOREVER), BATCH);
}

static void survive_put(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int first = 0;
    (void)step;
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    int count = drain(scene, &first);
    CHECK_EQ(first, 0);
    CHECK(count <= BATCH && (count == BATCH || !finished));
    books_check(&scene->books);
}

static void get_batch(void *context)
{
    struct scene *scene = context;
    char buffer[BATCH * LARGE];
    kin_message got[BATCH];
    CHECK_RC(kin_queue_get_many(scene->queue, got, BATCH, buffer, sizeof buffer, KIN_FOREVER), BATCH);
}

static void survive_get(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int first = BATCH;
    (void)step;
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    int count = drain(scene, &first);
    CHECK_EQ(first + count, BATCH);
    CHECK(count == 0 || !finished);
    books_check(&scene->books);
}

static void killed(bool with_large, struct stepkill plan)
{
    struct scene scene;
    scene_open(&scene, with_large, 0);
    plan.prepare = join_family;
    plan.mode = stepkill_mode_for(with_large ? LARGE : 0);
    plan.context = &scene;
    CHECK_GT(stepkill(&plan).points, 100);
    scene_close(&scene);
}

TEST(putting_a_batch, .deadline = 240)
{
    killed(false, (struct stepkill){.operation = put_batch, .survive = survive_put});
}

TEST(putting_a_batch_with_a_block_in_it, .deadline = 240)
{
    killed(true, (struct stepkill){.operation = put_batch, .survive = survive_put});
}

TEST(getting_a_batch, .deadline = 240)
{
    killed(false, (struct stepkill){.setup = put_batch, .operation = get_batch, .survive = survive_get});
}

TEST(getting_a_batch_with_a_block_in_it, .deadline = 240)
{
    killed(true, (struct stepkill){.setup = put_batch, .operation = get_batch, .survive = survive_get});
}

/* ---- with somebody asleep at the other end ---------------------------------------------------- */

/* The others who wait for what the victim brings get all of it, or a message of ours. */
static void consumer_main(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    long size = kin_queue_get(scene->queue, bytes, sizeof bytes, kin_in_s(20));
    CHECK(size == 4 || size == 9);
    atomic_store(scene->got, size == 4 ? 2 : 1);
}

static void start_consumer(void *context)
{
    struct scene *scene = context;
    atomic_store(scene->got, 0);
    scene->other = test_child(consumer_main, scene);
    until_waiting(&scene->queue->items.point, 1);
}

static void survive_with_consumer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int first = 1;
    (void)step;
    kin_sweep();
    bool committed = kin_queue_qsize(scene->queue) > 0 || atomic_load(scene->got) != 0;
    CHECK(committed || !finished);
    if (!committed) CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    collect_sleeper(scene->other, false);
    int count = drain(scene, &first);
    CHECK(first == 1 && count < BATCH);
    books_check(&scene->books);
    nobody_waits(&scene->queue->items.point);
}

TEST(a_consumer_sleeps, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, false, 0);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_consumer,
                                                                .prepare = join_family,
                                                                .operation = put_batch,
                                                                .survive = survive_with_consumer,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

static void producer_main(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(20)));
    atomic_store(scene->got, 1);
}

static void start_producer(void *context)
{
    struct scene *scene = context;
    put_batch(scene);
    atomic_store(scene->got, 0);
    scene->other = test_child(producer_main, scene);
    until_waiting(&scene->queue->space.point, 1);
}

static void survive_with_producer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char bytes[LARGE];
    int first = BATCH;
    (void)step;
    kin_sweep();
    bool consumed = kin_queue_full(scene->queue) == 0 || atomic_load(scene->got) == 1;
    CHECK(consumed || !finished);
    if (!consumed) CHECK_OK(kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW));
    collect_sleeper(scene->other, false);
    int count = drain(scene, &first);
    CHECK_EQ(first + count, BATCH);
    books_check(&scene->books);
    nobody_waits(&scene->queue->space.point);
}

TEST(a_producer_sleeps, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, false, BATCH);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_producer,
                                                                .prepare = join_family,
                                                                .operation = get_batch,
                                                                .survive = survive_with_producer,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* ---- a producer that waits in the middle of its batch ------------------------------------------ */

/* Without watching before the sleep: that is the same instructions again and again. */
static void join_without_watching(void *context)
{
    join_family(context);
    kin__watch_expect(false);
}

static void room_for_the_rest(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    for (int i = 0; i < 2; i++) CHECK_GE(kin_queue_get(scene->queue, bytes, sizeof bytes, kin_in_s(60)), 1);
}

static void survive_half(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int first = 0;
    (void)step;
    kin_sweep();
    int count = drain(scene, &first);
    CHECK(first + count <= BATCH && (first + count == BATCH || !finished));
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, KIN_NOW));
    drain(scene, &first);
    books_check(&scene->books);
    nobody_waits(&scene->queue->space.point);
}

TEST(a_batch_waits_for_room, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, false, 2);
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_without_watching,
                                                                .operation = put_batch,
                                                                .survive = survive_half,
                                                                .wake = room_for_the_rest,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}
