/* test_kill_queue_order.c: a producer or a consumer of a queue by priority is killed at every
 * instruction: the queue keeps its order, its counts and its messages. */
#include "crash.h"

#include <unistd.h>

#include "ipc/queue.h"
#include "support/chaos.h"
#include "support/stepkill.h"

enum { LARGE = 5000, STANDING = 5 };

struct letter {
    int64_t priority;
    unsigned char bytes[LARGE];
};

struct scene {
    kin_queue *queue;
    struct books books;
    size_t size; /* of the victim's message */
    pid_t other;
    _Atomic int *got; /* shared with `other` */
};

static void put_letter(struct scene *scene, int64_t priority, size_t size)
{
    struct letter letter;
    letter.priority = priority;
    memset(letter.bytes, (int)priority, size - sizeof priority);
    CHECK_OK(kin_queue_put_priority(scene->queue, &letter, size, priority, kin_in_s(20)));
}

/* Messages of even priorities, on both sides of the victim's. */
static void put_standing(void *context)
{
    struct scene *scene = context;
    static const int64_t priorities[STANDING] = {6, 2, 8, 4, 2};
    for (int i = 0; i < STANDING; i++) put_letter(scene, priorities[i], 24);
}

static void scene_open(struct scene *scene, size_t size, size_t max_items)
{
    memset(scene, 0, sizeof *scene);
    CHECK_OK(
        kin_queue_open(&scene->queue, &(kin_queue_options){.max_items = max_items, .order = KIN_PRIORITY}));
    scene->got = test_shared(sizeof *scene->got);
    scene->size = size;
    put_letter(scene, 1, size);
    struct letter letter;
    CHECK_RC(kin_queue_get(scene->queue, &letter, sizeof letter, KIN_NOW), (long)size);
    scene->books = books_open();
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_queue_close(scene->queue));
}

/* Takes everything out, which is in order and as many as qsize says; returns how many have an odd
 * priority. */
static int drain(struct scene *scene, int *even)
{
    struct letter letter;
    int odd = 0;
    int64_t last = INT64_MIN;
    *even = 0;
    for (long left = kin_queue_qsize(scene->queue); left > 0; left--) {
        CHECK_EQ(kin_queue_qsize(scene->queue), left);
        long size = kin_queue_get(scene->queue, &letter, sizeof letter, KIN_NOW);
        CHECK_GE(size, 24);
        CHECK_GE(letter.priority, last);
        last = letter.priority;
        for (long i = 0; i < size - 8; i++) CHECK_EQ(letter.bytes[i], letter.priority);
        if (last % 2 != 0) CHECK_EQ(size, (long)scene->size);
        odd += last % 2 != 0;
        *even += last % 2 == 0;
    }
    CHECK_RC(kin_queue_get(scene->queue, &letter, sizeof letter, KIN_NOW), KIN_EMPTY);
    return odd;
}

static void put(void *context)
{
    struct scene *scene = context;
    put_letter(scene, 3, scene->size);
}

static void survive_put(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int even;
    (void)step;
    put_letter(scene, 4, 24);
    int victims = drain(scene, &even);
    CHECK_EQ(even, STANDING + 1);
    CHECK(victims == 1 || (victims == 0 && !finished));
    books_check(&scene->books);
}

static void reserve_and_commit(void *context)
{
    struct scene *scene = context;
    struct letter *letter;
    CHECK_OK(kin_queue_reserve(scene->queue, (void **)&letter, scene->size));
    letter->priority = 3;
    memset(letter->bytes, 3, scene->size - 8);
    CHECK_OK(kin_queue_commit_priority(scene->queue, letter, 3, KIN_FOREVER));
}

static void put_standing_and_first(void *context)
{
    struct scene *scene = context;
    put_standing(scene);
    put_letter(scene, 1, scene->size);
}

static void get(void *context)
{
    struct scene *scene = context;
    struct letter letter;
    CHECK_RC(kin_queue_get(scene->queue, &letter, sizeof letter, KIN_FOREVER), (long)scene->size);
}

static void take_and_release(void *context)
{
    struct scene *scene = context;
    void *message;
    CHECK_RC(kin_queue_take(scene->queue, &message, KIN_FOREVER), (long)scene->size);
    CHECK_OK(kin_queue_release(message));
}

static void survive_get(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int even;
    (void)step;
    put_letter(scene, 0, 24);
    int victims = drain(scene, &even);
    CHECK_EQ(even, STANDING + 1);
    CHECK(victims == 0 || (victims == 1 && !finished));
    books_check(&scene->books);
}

static void killed(size_t size, struct stepkill plan)
{
    struct scene scene;
    scene_open(&scene, size, 0);
    plan.prepare = join_family;
    plan.mode = stepkill_mode_for(size);
    plan.context = &scene;
    CHECK_GT(stepkill(&plan).points, 100);
    scene_close(&scene);
}

TEST(putting_a_small_message, .deadline = 240)
{
    killed(24, (struct stepkill){.setup = put_standing, .operation = put, .survive = survive_put});
}

TEST(putting_a_large_message, .deadline = 240)
{
    killed(LARGE, (struct stepkill){.setup = put_standing, .operation = put, .survive = survive_put});
}

TEST(reserving_and_committing, .deadline = 240)
{
    killed(100,
           (struct stepkill){.setup = put_standing, .operation = reserve_and_commit, .survive = survive_put});
}

TEST(getting_a_small_message, .deadline = 240)
{
    killed(24, (struct stepkill){.setup = put_standing_and_first, .operation = get, .survive = survive_get});
}

TEST(getting_a_large_message, .deadline = 240)
{
    killed(LARGE,
           (struct stepkill){.setup = put_standing_and_first, .operation = get, .survive = survive_get});
}

TEST(taking_a_small_message, .deadline = 240)
{
    killed(24, (struct stepkill){
                   .setup = put_standing_and_first, .operation = take_and_release, .survive = survive_get});
}

TEST(taking_a_large_message, .deadline = 240)
{
    killed(LARGE, (struct stepkill){.setup = put_standing_and_first,
                                    .operation = take_and_release,
                                    .survive = survive_get});
}

/* ---- with somebody asleep at the other end ---------------------------------------------------- */

static void consumer_main(void *context)
{
    struct scene *scene = context;
    struct letter letter;
    CHECK_GE(kin_queue_get(scene->queue, &letter, sizeof letter, kin_in_s(20)), 24);
    atomic_store(scene->got, (int)letter.priority);
}

static void start_consumer(void *context)
{
    struct scene *scene = context;
    atomic_store(scene->got, -1);
    scene->other = test_child(consumer_main, scene);
    until_waiting(&scene->queue->items.point, 1);
}

static void survive_with_consumer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int even;
    (void)step;
    kin_sweep();
    bool committed = kin_queue_qsize(scene->queue) > 0 || atomic_load(scene->got) >= 0;
    CHECK(committed || !finished);
    if (!committed) put_letter(scene, 4, 24);
    collect_sleeper(scene->other, false);
    CHECK_EQ(atomic_load(scene->got), committed ? 3 : 4);
    CHECK(drain(scene, &even) == 0 && even == 0);
    books_check(&scene->books);
    nobody_waits(&scene->queue->items.point);
}

static void producer_main(void *context)
{
    struct scene *scene = context;
    put_letter(scene, 4, 24);
    atomic_store(scene->got, 1);
}

static void start_producer(void *context)
{
    struct scene *scene = context;
    put_letter(scene, 1, scene->size);
    atomic_store(scene->got, 0);
    scene->other = test_child(producer_main, scene);
    until_waiting(&scene->queue->space.point, 1);
}

static void survive_with_producer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    struct letter letter;
    int even;
    (void)step;
    kin_sweep();
    bool consumed = kin_queue_qsize(scene->queue) == 0 || atomic_load(scene->got) == 1;
    CHECK(consumed || !finished);
    /* The producer may be just about to put. */
    if (!consumed) CHECK_GE(kin_queue_get(scene->queue, &letter, sizeof letter, KIN_NOW), 24);
    collect_sleeper(scene->other, false);
    int odd = drain(scene, &even);
    CHECK(odd == 0 && even <= 1);
    books_check(&scene->books);
    nobody_waits(&scene->queue->space.point);
}

static void killed_beside(size_t max_items, struct stepkill plan)
{
    struct scene scene;
    scene_open(&scene, 24, max_items);
    plan.prepare = join_family;
    plan.mode = STEPKILL_ADDRESSES;
    plan.context = &scene;
    CHECK_GT(stepkill(&plan).points, 100);
    scene_close(&scene);
}

TEST(a_consumer_sleeps, .deadline = 300)
{
    killed_beside(
        0, (struct stepkill){.setup = start_consumer, .operation = put, .survive = survive_with_consumer});
}

TEST(a_producer_sleeps, .deadline = 300)
{
    killed_beside(
        1, (struct stepkill){.setup = start_producer, .operation = get, .survive = survive_with_producer});
}

/* ---- opening and closing ------------------------------------------------------------------------ */

static void fill_queue(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_open(&scene->queue, &(kin_queue_options){.order = KIN_PRIORITY, .max_items = 100}));
    put_letter(scene, 1, LARGE);
    put_letter(scene, 2, 24);
    put_letter(scene, 1, LARGE);
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
    CHECK_GT(stepkill(&(struct stepkill){.setup = fill_queue,
                                         .prepare = join_family,
                                         .operation = close_queue,
                                         .survive = survive_closing,
                                         .mode = STEPKILL_ADDRESSES,
                                         .context = &scene})
                 .points,
             100);
    scene.queue = outer;
    scene_close(&scene);
}

/* ---- at random ------------------------------------------------------------------------------------ */

enum { ROLES = 2, NUMBERS = 2000000 };

struct storm {
    kin_queue *queue;
    struct ledger *ledger;
};

struct note {
    uint64_t producer, number;
    char rest[300];
};

static void produce(void *context, unsigned index)
{
    struct storm *storm = context;
    while (!chaos_stopping()) {
        struct note note = {.producer = index, .number = ledger_issue(storm->ledger, index)};
        size_t size = note.number % 3 == 0 ? sizeof note : 16;
        /* At the end nobody may be left to make room. */
        int rc = KIN_FULL;
        while (rc == KIN_FULL && !chaos_stopping())
            rc = kin_queue_put_priority(storm->queue, &note, size, (int64_t)(note.number % 5), kin_in_ms(50));
        if (rc == KIN_FULL) break;
        CHECK_OK(rc);
        ledger_acknowledge(storm->ledger, index, note.number);
        chaos_progress();
    }
}

static bool consume_one(struct storm *storm, kin_deadline deadline)
{
    struct note note;
    long size = kin_queue_get(storm->queue, &note, sizeof note, deadline);
    if (size == KIN_EMPTY) return false;
    CHECK_EQ(size, note.number % 3 == 0 ? (long)sizeof note : 16);
    ledger_see(storm->ledger, (unsigned)note.producer, note.number, false);
    return true;
}

static void consume(void *context, unsigned index)
{
    (void)index;
    while (!chaos_stopping())
        if (consume_one(context, kin_in_ms(50))) chaos_progress();
}

TEST(random_kills, .deadline = 120)
{
    struct storm *storm = test_shared(sizeof *storm);
    struct books books = books_open();
    storm->ledger = ledger_open(ROLES, NUMBERS);
    CHECK_OK(kin_queue_open(&storm->queue, &(kin_queue_options){.order = KIN_PRIORITY, .max_items = 40}));
    struct chaos_report report =
        chaos(&(struct chaos){.roles = {{"producer", ROLES, produce}, {"consumer", ROLES, consume}},
                              .context = storm,
                              .kills = test_sanitized() ? 100 : 1500,
                              .seconds = 20});
    CHECK_OK(kin_sweep());
    while (consume_one(storm, KIN_NOW))
        ;
    CHECK_EQ(kin_queue_qsize(storm->queue), 0);
    struct ledger_account account = ledger_account(storm->ledger);
    CHECK_EQ(account.duplicated, 0);
    CHECK_EQ(account.corrupt, 0);
    CHECK_LE(account.lost, (uint64_t)report.killed[1]);
    CHECK_OK(kin_queue_close(storm->queue));
    books_check(&books);
    NOTE("%ld kills, %lu messages", report.kills, (unsigned long)account.acknowledged);
}
