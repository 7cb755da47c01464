/* test_queue_shutdown.c: ending a queue, in order and at once: what is handed out, what is dropped, and
 * who is woken. */
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>
#include <string.h>

#include <kin/error.h>
#include <kin/queue.h>
#include <kin/wait.h>

static _Thread_local char large[20000];

static kin_queue *open_filled(const kin_queue_options *options)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, options));
    for (int i = 0; i < 4; i++)
        CHECK_OK(kin_queue_put(queue, large, i % 2 == 0 ? 10 : sizeof large, KIN_NOW));
    return queue;
}

static const kin_queue_options kinds[] = {
    {.joinable = 1}, {.joinable = 1, .order = KIN_PRIORITY}, {.joinable = 1, .redeliver = 3}};

TEST(in_order_the_rest_is_handed_out)
{
    for (int kind = 0; kind < 3; kind++) {
        struct books books = books_open();
        kin_queue *queue = open_filled(&kinds[kind]);
        CHECK_OK(kin_queue_shutdown(queue, 0));
        CHECK_OK(kin_queue_shutdown(queue, 0));
        CHECK_RC(kin_queue_put(queue, large, 1, KIN_NOW), KIN_ECLOSED);
        CHECK_EQ(kin_queue_qsize(queue), 4);
        for (int i = 0; i < 4; i++) {
            CHECK_GE(kin_queue_get(queue, large, sizeof large, KIN_NOW), 10);
            CHECK_OK(kin_queue_task_done(queue));
        }
        CHECK_RC(kin_queue_get(queue, large, sizeof large, KIN_FOREVER), KIN_ECLOSED);
        CHECK_OK(kin_queue_join(queue, KIN_NOW));
        CHECK_OK(kin_queue_close(queue));
        books_check_wakes(&books);
    }
}

TEST(at_once_the_rest_is_dropped)
{
    for (int kind = 0; kind < 3; kind++) {
        struct books books = books_open();
        void *message;
        kin_queue *queue = open_filled(&kinds[kind]);
        CHECK_GE(kin_queue_get(queue, large, sizeof large, KIN_NOW), 10);
        CHECK_OK(kin_queue_shutdown(queue, kind == 1 ? 0 : 1));
        CHECK_OK(kin_queue_shutdown(queue, 1)); /* also after one in order */
        CHECK_OK(kin_queue_shutdown(queue, 0)); /* which takes nothing back */
        CHECK_EQ(kin_queue_qsize(queue), 0);
        CHECK_EQ(kin_queue_empty(queue), 1);
        CHECK_RC(kin_queue_get(queue, large, sizeof large, KIN_FOREVER), KIN_ECLOSED);
        CHECK_RC(kin_queue_take(queue, &message, KIN_FOREVER), KIN_ECLOSED);
        CHECK_RC(kin_queue_put(queue, large, 1, KIN_FOREVER), KIN_ECLOSED);
        /* What was taken is unfinished still. */
        CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
        CHECK_OK(kin_queue_task_done(queue));
        CHECK_OK(kin_queue_join(queue, KIN_NOW));
        CHECK_OK(kin_queue_close(queue));
        books_check_wakes(&books);
    }
}

TEST(what_is_dropped_is_freed_at_once)
{
    kin_queue *queue = open_filled(NULL);
    struct books books = books_open();
    CHECK_OK(kin_queue_shutdown(queue, 1));
    struct books after = books_open();
    CHECK_EQ(after.blocks, books.blocks - 2);
    CHECK_OK(kin_queue_close(queue));
}

TEST(bad_calls_are_refused)
{
    kin_queue *queue = NULL;
    int number;
    CHECK_RC(kin_queue_shutdown(NULL, 1), -EINVAL);
    CHECK_RC(kin_queue_shutdown((kin_queue *)&number, 1), KIN_EFOREIGN);
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_queue_shutdown(queue, 1), KIN_ECLOSED);
}

/* ---- several ---------------------------------------------------------------------------------------- */

struct waiting {
    kin_queue *empty, *full, *unfinished;
};

static void get_from_empty(void *context)
{
    struct waiting *waiting = context;
    CHECK_RC(kin_queue_get(waiting->empty, large, sizeof large, KIN_FOREVER), KIN_ECLOSED);
}

static void put_into_full(void *context)
{
    struct waiting *waiting = context;
    CHECK_RC(kin_queue_put(waiting->full, large, 1, KIN_FOREVER), KIN_ECLOSED);
}

static void join_unfinished(void *context)
{
    struct waiting *waiting = context;
    CHECK_OK(kin_queue_join(waiting->unfinished, KIN_FOREVER));
}

TEST(all_who_wait_are_woken)
{
    struct books books = books_open();
    struct waiting *waiting = test_shared(sizeof *waiting);
    CHECK_OK(kin_queue_open(&waiting->empty, NULL));
    CHECK_OK(kin_queue_open(&waiting->full, &(kin_queue_options){.max_items = 1}));
    CHECK_OK(kin_queue_put(waiting->full, large, 1, KIN_NOW));
    waiting->unfinished = open_filled(&(kin_queue_options){.joinable = 1});
    pid_t children[] = {test_child(get_from_empty, waiting), test_child(put_into_full, waiting),
                        test_child(join_unfinished, waiting)};
    test_until(books_sleepers() == 3);
    CHECK_OK(kin_queue_shutdown(waiting->empty, 1));
    CHECK_OK(kin_queue_shutdown(waiting->full, 1));
    CHECK_OK(kin_queue_shutdown(waiting->unfinished, 1));
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(children[i]), 0);
    kin_waitable item = kin_on_queue(waiting->empty);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 1);
    CHECK_OK(kin_queue_close(waiting->empty));
    CHECK_OK(kin_queue_close(waiting->full));
    CHECK_OK(kin_queue_close(waiting->unfinished));
    books_check_wakes(&books);
}

/* ---- a queue that is closed, and the next one at its place ------------------------------------------ */

struct left {
    kin_queue *empty, *full;
};

static void wait_for_the_first(void *context, unsigned index)
{
    struct left *left = context;
    kin_message message = {large, 1};
    void *taken;
    long rc = 0;
    switch (index) {
    case 0: rc = kin_queue_get(left->empty, large, sizeof large, KIN_FOREVER); break;
    case 1: rc = kin_queue_take(left->empty, &taken, KIN_FOREVER); break;
    case 2: rc = kin_queue_get_many(left->empty, &message, 1, large, sizeof large, KIN_FOREVER); break;
    case 3: rc = kin_queue_put(left->full, large, 1, KIN_FOREVER); break;
    case 4: rc = kin_queue_put_many(left->full, &message, 1, KIN_FOREVER); break;
    default: rc = kin_queue_join(left->full, KIN_FOREVER); break;
    }
    CHECK_RC(rc, KIN_ECLOSED);
}

/* Closed and opened before those who wait have come to look. */
static void open_anew(kin_queue **queue, const kin_queue_options *options)
{
    kin_queue *before = *queue;
    CHECK_OK(kin_queue_close(before));
    CHECK_OK(kin_queue_open(queue, options));
    CHECK(*queue == before);
    CHECK_OK(kin_queue_put(*queue, large, 5, KIN_NOW));
}

static void who_waits_does_not_take_the_next_queue_for_it(enum crew_kind kind)
{
    enum { WAITERS = 6 };
    struct books books = books_open();
    for (int round = 0; round < (test_sanitized() ? 20 : 100); round++) {
        struct left *left = test_shared(sizeof *left);
        struct crew crew;
        kin_queue_options first = kinds[round % 3], next = kinds[round / 3 % 3];
        first.max_items = next.max_items = 1;
        CHECK_OK(kin_queue_open(&left->empty, &first));
        CHECK_OK(kin_queue_open(&left->full, &first));
        CHECK_OK(kin_queue_put(left->full, large, 1, KIN_NOW));
        crew_start(&crew, kind, WAITERS, wait_for_the_first, left);
        test_until(books_sleepers() == WAITERS);
        open_anew(&left->empty, &next);
        open_anew(&left->full, &next);
        crew_join(&crew);
        CHECK_EQ(kin_queue_get(left->empty, large, sizeof large, KIN_NOW), 5);
        CHECK_EQ(kin_queue_get(left->full, large, sizeof large, KIN_NOW), 5);
        CHECK_OK(kin_queue_close(left->empty));
        CHECK_OK(kin_queue_close(left->full));
    }
    books_check(&books);
}
CREW_TEST(who_waits_does_not_take_the_next_queue_for_it)

/* ---- in the middle of traffic ------------------------------------------------------------------------ */

struct rush {
    kin_queue *queue;
    _Atomic int down;
};

static void work_until_it_is_down(void *context, unsigned index)
{
    struct rush *rush = context;
    long rc = 0;
    int number = 0;
    while (rc >= 0) {
        bool down = atomic_load(&rush->down) != 0;
        if (index % 2 == 0)
            rc = kin_queue_put(rush->queue, large, (size_t)(number++ % 5) * 1500, KIN_FOREVER);
        else
            rc = kin_queue_get(rush->queue, large, sizeof large, KIN_FOREVER);
        if (down) CHECK_RC(rc, KIN_ECLOSED);
        if (index == 0 && number == 2000) {
            CHECK_OK(kin_queue_shutdown(rush->queue, 1));
            atomic_store(&rush->down, 1);
        }
    }
    CHECK_RC(rc, KIN_ECLOSED);
}

static void nothing_is_got_or_put_after_it(enum crew_kind kind)
{
    struct books books = books_open();
    struct rush *rush = test_shared(sizeof *rush);
    CHECK_OK(kin_queue_open(&rush->queue, &(kin_queue_options){.max_items = 20}));
    crew_run(kind, 6, work_until_it_is_down, rush);
    CHECK_EQ(kin_queue_qsize(rush->queue), 0);
    CHECK_OK(kin_queue_close(rush->queue));
    books_check(&books);
}
CREW_TEST(nothing_is_got_or_put_after_it)
