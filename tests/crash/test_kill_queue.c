/* test_kill_queue.c: a producer or a consumer is killed at every instruction of putting, getting,
 * reserving, committing, taking and releasing, with nobody else there, with somebody asleep on
 * the other end, and with somebody who wants the same end. */
#include "crash.h"

#include <unistd.h>

#include "ipc/queue.h"
#include "ipc/stream.h"
#include "support/stepkill.h"

#define LARGE    20000
#define IN_BLOCK 5000 /* large enough for a block of its own */

struct scene {
    kin_queue *queue;
    struct books books;
    size_t size; /* of the victim's message */
    pid_t other;
    _Atomic int *got; /* shared with `other` */
    char message[LARGE];
};

static void scene_open(struct scene *scene, size_t size, size_t max_items)
{
    memset(scene, 0, sizeof *scene);
    CHECK_OK(kin_queue_open(&scene->queue, &(kin_queue_options){.max_items = max_items}));
    scene->size = size;
    memset(scene->message, 'V', sizeof scene->message);
    scene->got = test_shared(sizeof *scene->got);
    warm_up(scene->queue);
    scene->books = books_open();
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_queue_close(scene->queue));
}

/* Takes everything out: A, then perhaps the victim's, then B.  Returns how many were the
 * victim's. */
static int drain(struct scene *scene, int expected_a, int expected_b)
{
    char bytes[LARGE];
    int a = 0, b = 0, victims = 0;
    for (;;) {
        long size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW);
        if (size == KIN_EMPTY) break;
        CHECK_GE(size, 1);
        for (long i = 1; i < size; i++) CHECK_EQ(bytes[i], bytes[0]);
        if (bytes[0] == 'A')
            CHECK(++a && victims == 0 && b == 0);
        else if (bytes[0] == 'V')
            CHECK(++victims && b == 0 && size == (long)scene->size);
        else
            CHECK(bytes[0] == 'B' && ++b);
    }
    CHECK(expected_a < 0 ? a <= -expected_a : a == expected_a);
    CHECK_EQ(b, expected_b);
    return victims;
}

static void put_a(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_put(scene->queue, "AAAA", 4, KIN_NOW));
}

static void put(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_put(scene->queue, scene->message, scene->size, KIN_FOREVER));
}

static void survive_put(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    int victims = drain(scene, 1, 1);
    CHECK_LE(victims, 1);
    CHECK(victims == 1 || !finished);
    books_check(&scene->books);
}

static void put_case(size_t size, void (*operation)(void *))
{
    struct scene scene;
    scene_open(&scene, size, 0);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = put_a,
                                                                .prepare = join_family,
                                                                .operation = operation,
                                                                .survive = survive_put,
                                                                .mode = stepkill_mode_for(size),
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

TEST(putting_a_small_message, .deadline = 240)
{
    put_case(40, put);
}

TEST(putting_a_large_message, .deadline = 240)
{
    put_case(LARGE, put);
}

static void reserve_and_commit(void *context)
{
    struct scene *scene = context;
    void *message;
    CHECK_OK(kin_queue_reserve(scene->queue, &message, scene->size));
    memset(message, 'V', scene->size);
    CHECK_OK(kin_queue_commit(scene->queue, message, KIN_FOREVER));
}

TEST(reserving_and_committing, .deadline = 240)
{
    put_case(100, reserve_and_commit);
}

static void get(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    CHECK_EQ(kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_FOREVER), (long)scene->size);
}

static void take_and_release(void *context)
{
    struct scene *scene = context;
    void *message;
    CHECK_EQ(kin_queue_take(scene->queue, &message, KIN_FOREVER), (long)scene->size);
    CHECK_OK(kin_queue_release(message));
}

static void put_one_to_get(void *context)
{
    put(context);
}

static void survive_get(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    int victims = drain(scene, 0, 1);
    CHECK_LE(victims, 1);
    CHECK(victims == 0 || !finished);
    books_check(&scene->books);
}

static void get_case(size_t size, void (*operation)(void *))
{
    struct scene scene;
    scene_open(&scene, size, 0);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = put_one_to_get,
                                                                .prepare = join_family,
                                                                .operation = operation,
                                                                .survive = survive_get,
                                                                .mode = stepkill_mode_for(size),
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

TEST(getting_a_small_message, .deadline = 240)
{
    get_case(40, get);
}

TEST(getting_a_large_message, .deadline = 240)
{
    get_case(LARGE, get);
}

TEST(taking_a_small_message, .deadline = 240)
{
    get_case(40, take_and_release);
}

TEST(taking_a_large_message, .deadline = 240)
{
    get_case(LARGE, take_and_release);
}

/* Somebody sleeps on the empty queue while the producer dies: once the message is committed the
 * sleeper gets it. */
static void consumer_main(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    long size = kin_queue_get(scene->queue, bytes, sizeof bytes, kin_in_s(20));
    atomic_store(scene->got, size == 4 ? 2 : size == (long)scene->size ? 1 : 3);
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
    (void)step;
    kin_sweep();
    long left = kin_queue_qsize(scene->queue);
    CHECK(left == 0 || left == 1);
    bool committed = left == 1 || atomic_load(scene->got) != 0;
    CHECK(committed || !finished);
    if (!committed) CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    CHECK_EQ(test_collect(scene->other), 0);
    CHECK(atomic_load(scene->got) == 1 || atomic_load(scene->got) == 2);
    int victims = drain(scene, 0, 0);
    CHECK_EQ(victims, 0);
    books_check(&scene->books);
    nobody_waits(&scene->queue->items.point);
}

TEST(a_consumer_sleeps, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, 40, 0);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_consumer,
                                                                .prepare = join_family,
                                                                .operation = put,
                                                                .survive = survive_with_consumer,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* Somebody sleeps on the full queue while the consumer dies. */
static void producer_main(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(20)));
    atomic_store(scene->got, 1);
}

static void start_producer(void *context)
{
    struct scene *scene = context;
    put(context);
    atomic_store(scene->got, 0);
    scene->other = test_child(producer_main, scene);
    until_waiting(&scene->queue->space.point, 1);
}

static void survive_with_producer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char bytes[LARGE];
    (void)step;
    kin_sweep();
    bool consumed = kin_queue_qsize(scene->queue) == 0 || atomic_load(scene->got) == 1;
    CHECK(consumed || !finished);
    if (kin_queue_full(scene->queue) == 1 && atomic_load(scene->got) == 0) {
        long size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW);
        CHECK(size == (long)scene->size || size == 4);
        if (size == 4) CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, kin_in_s(60)));
    }
    CHECK_EQ(test_collect(scene->other), 0);
    drain(scene, 0, 1);
    books_check(&scene->books);
    nobody_waits(&scene->queue->space.point);
}

TEST(a_producer_sleeps, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, 40, 1);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_producer,
                                                                .prepare = join_family,
                                                                .operation = get,
                                                                .survive = survive_with_producer,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene_close(&scene);
}

/* Somebody wants the same end while the victim may hold it. */
static void start_rival(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    (void)victim;
    atomic_store(scene->got, 0);
    scene->other = test_child(producer_main, scene);
    kin_deadline soon = kin_in_ms(5);
    while (atomic_load(scene->got) == 0 && kin_clock() < soon)
        ;
}

static void survive_with_rival(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_EQ(test_collect(scene->other), 0);
    char bytes[LARGE];
    int victims = 0, rivals = 0;
    for (long size; (size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW)) >= 0;) {
        victims += bytes[0] == 'V' && size == (long)scene->size;
        rivals += bytes[0] == 'B' && size == 4;
    }
    CHECK_EQ(rivals, 1);
    CHECK(victims == 1 || (victims == 0 && !finished));
    books_check(&scene->books);
}

TEST(a_rival_wants_the_same_end, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, 40, 0);
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = put,
                                .at_step = start_rival,
                                .survive = survive_with_rival,
                                .context = &scene});
    scene_close(&scene);
}

/* Opening and closing a queue. */
static void open_and_close(void *context)
{
    struct scene *scene = context;
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_queue_put(queue, scene->message, scene->size, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
}

static void survive_queue(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_memory_usage usage;
    (void)step;
    CHECK_OK(kin_memory_stats(&usage));
    /* An open queue is the program's: at most that one, with directory, segment and message. */
    CHECK_LE(usage.heap_blocks, scene->books.blocks + (finished ? 0 : 4));
    scene->books.blocks = usage.heap_blocks;
    open_and_close(context);
}

TEST(opening_and_closing, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, LARGE, 0);
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = open_and_close,
                                .survive = survive_queue,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    scene_close(&scene);
}

/* Closing a queue that has messages in it: nothing of it is left, however far the closing came. */
static void fill_queue(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_open(&scene->queue, NULL));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_put(scene->queue, scene->message, scene->size, KIN_NOW));
    CHECK_OK(kin_queue_put(scene->queue, "VVVV", 4, KIN_NOW));
}

static void close_queue(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_close(scene->queue));
}

static void survive_closing(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    check_closed(scene->queue, &scene->books, finished);
}

TEST(closing_with_messages_in_it, .deadline = 300)
{
    struct scene scene;
    scene_open(&scene, LARGE, 0);
    kin_queue *outer = scene.queue;
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = fill_queue,
                                                                .prepare = join_family,
                                                                .operation = close_queue,
                                                                .survive = survive_closing,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene.queue = outer;
    scene_close(&scene);
}

/* The survivor closes the queue, opens another and uses the memory again before it looks after the dead: what
 * the dead one was doing with its blocks has nothing to do with those who have them now. */
static void open_fresh(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_open(&scene->queue, NULL));
}

static void use_memory_again(struct scene *scene)
{
    const size_t sizes[] = {KIN__SEGMENT_SIZE, scene->size + 64, 100};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    void *own[SIZES], *other[SIZES];
    for (int i = 0; i < SIZES; i++) own[i] = kin_alloc(sizes[i]);
    open_fresh(scene);
    CHECK_OK(kin_queue_put(scene->queue, scene->message, scene->size, KIN_NOW));
    CHECK_OK(kin_sweep());
    for (int i = 0; i < SIZES; i++) {
        CHECK_GE(kin__block_size(own[i]), sizes[i]);
        other[i] = kin_alloc(sizes[i]);
        CHECK(other[i] != NULL && other[i] != own[i]);
    }
    for (int i = 0; i < SIZES; i++) {
        CHECK_OK(kin_free(own[i]));
        CHECK_OK(kin_free(other[i]));
    }
    CHECK_EQ(drain(scene, 0, 0), 1);
    CHECK_OK(kin_queue_close(scene->queue));
}

static void survive_and_close_first(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    int rc = kin_queue_close(scene->queue);
    /* A victim that closes it may have begun. */
    CHECK(rc == 0 || rc == KIN_ECLOSED);
    use_memory_again(scene);
    books_check(&scene->books);
}

static void acting_first(size_t size, void (*setup)(void *), void (*operation)(void *))
{
    struct scene scene;
    scene_open(&scene, size, 0);
    kin_queue *outer = scene.queue;
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = setup,
                                                                .prepare = join_family,
                                                                .operation = operation,
                                                                .survive = survive_and_close_first,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 100);
    scene.queue = outer;
    scene_close(&scene);
}

static void open_with_one(void *context)
{
    open_fresh(context);
    put(context);
}

TEST(putting_and_closed_before_the_dead_are_noticed, .deadline = 300)
{
    acting_first(40, open_fresh, put);
    acting_first(IN_BLOCK, open_fresh, put);
}

TEST(taking_and_closed_before_the_dead_are_noticed, .deadline = 300)
{
    acting_first(IN_BLOCK, open_with_one, take_and_release);
}

TEST(closing_and_opened_before_the_dead_are_noticed, .deadline = 300)
{
    acting_first(IN_BLOCK, open_with_one, close_queue);
}

/* A consumer of tasks dies while it takes one or says that it is done: nobody waits for it. */
static void open_task(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_put(scene->queue, scene->message, scene->size, KIN_NOW));
}

static void take_and_finish(void *context)
{
    struct scene *scene = context;
    char bytes[100];
    CHECK_EQ(kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_FOREVER), (long)scene->size);
    CHECK_OK(kin_queue_task_done(scene->queue));
}

static void survive_tasks(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char bytes[100];
    (void)step;
    kin_sweep();
    if (kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW) > 0) {
        CHECK(!finished);
        CHECK_OK(kin_queue_task_done(scene->queue));
    }
    CHECK_OK(kin_queue_join(scene->queue, kin_in_s(60)));
    CHECK_RC(kin_queue_task_done(scene->queue), KIN_ENOTASK);
}

TEST(taking_and_finishing_a_task, .deadline = 300)
{
    struct scene scene = {.size = 40};
    CHECK_OK(kin_queue_open(&scene.queue, &(kin_queue_options){.joinable = 1}));
    open_task(&scene);
    take_and_finish(&scene);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = open_task,
                                                                .prepare = join_family,
                                                                .operation = take_and_finish,
                                                                .survive = survive_tasks,
                                                                .context = &scene});
    CHECK_GT(report.points, 200);
    CHECK_OK(kin_queue_close(scene.queue));
}
