/* test_queue_order.c: queues that are last in first out, or by priority: their order, and that all
 * else is as in a queue that is first in first out. */
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>
#include <kin/queue.h>

#include "ipc/queue.h"

static kin_queue *open_queue(enum kin_queue_order order, size_t max_items, size_t max_bytes)
{
    kin_queue *queue = NULL;
    kin_queue_options options = {.order = order, .max_items = max_items, .max_bytes = max_bytes};
    CHECK_OK(kin_queue_open(&queue, &options));
    return queue;
}

static void put_number(kin_queue *queue, long number)
{
    CHECK_OK(kin_queue_put(queue, &number, sizeof number, KIN_NOW));
}

static long get_number(kin_queue *queue)
{
    long number = -1;
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_NOW), sizeof number);
    return number;
}

TEST(the_newest_comes_first)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(KIN_LIFO, 0, 0);
    for (int i = 1; i <= 3; i++) put_number(queue, i);
    CHECK_EQ(get_number(queue), 3);
    put_number(queue, 4);
    CHECK_EQ(get_number(queue), 4);
    CHECK_EQ(get_number(queue), 2);
    CHECK_EQ(get_number(queue), 1);
    CHECK_RC(kin_queue_get(queue, NULL, 0, KIN_NOW), KIN_EMPTY);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(the_smallest_priority_comes_first_and_of_equal_ones_the_oldest)
{
    static const int64_t priorities[] = {5, INT64_MIN, 0, 5, -1, INT64_MAX, 0, -1, 5};
    static const long before[] = {1, 4, 7, 2}, after[] = {6, 9, 0, 3, 8, 5};
    kin_queue *queue = open_queue(KIN_PRIORITY, 0, 0);
    for (long i = 0; i < 9; i++)
        CHECK_OK(kin_queue_put_priority(queue, &i, sizeof i, priorities[i], KIN_NOW));
    for (int i = 0; i < 4; i++) CHECK_EQ(get_number(queue), before[i]);
    put_number(queue, 9); /* priority 0 */
    for (int i = 0; i < 6; i++) CHECK_EQ(get_number(queue), after[i]);
    CHECK_OK(kin_queue_close(queue));
}

/* Against a list that is searched from its beginning. */
TEST(thousands_of_random_messages_keep_their_order)
{
    enum { MOST = 3000, STEPS = 30000 };
    struct entry {
        int64_t priority;
        long number;
    } *list = calloc(MOST, sizeof *list), first;
    struct books books = books_open();
    kin_queue *queue = open_queue(KIN_PRIORITY, 0, 0);
    uint64_t random = 42;
    long count = 0, next = 0;
    for (int step = 0; step < STEPS / (test_sanitized() ? 10 : 1) || count > 0; step++) {
        bool draining = step >= STEPS / (test_sanitized() ? 10 : 1);
        if (!draining && count < MOST && chaos_random(&random) % 16 < (step / 5000 % 2 == 0 ? 10 : 6)) {
            list[count] = (struct entry){(int64_t)(chaos_random(&random) % 50) - 25, next++};
            CHECK_OK(
                kin_queue_put_priority(queue, &list[count], sizeof *list, list[count].priority, KIN_NOW));
            count++;
        } else if (count > 0) {
            long best = 0;
            for (long i = 1; i < count; i++)
                if (list[i].priority < list[best].priority ||
                    (list[i].priority == list[best].priority && list[i].number < list[best].number))
                    best = i;
            CHECK_RC(kin_queue_get(queue, &first, sizeof first, KIN_NOW), sizeof first);
            CHECK_EQ(first.number, list[best].number);
            CHECK_EQ(first.priority, list[best].priority);
            list[best] = list[--count];
        }
        CHECK_EQ(kin_queue_qsize(queue), count);
    }
    free(list);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

/* Sizes on both sides of what lies in a slot; copied and in place. */
TEST(messages_of_all_sizes)
{
    static const size_t sizes[] = {
        0,    1,     100, KIN__SHELF_INLINE_MOST - 1, KIN__SHELF_INLINE_MOST, KIN__SHELF_INLINE_MOST + 1,
        4096, 100000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct books books = books_open();
    kin_queue *queue = open_queue(KIN_LIFO, 0, 0);
    char *bytes = malloc(100000), *got = malloc(100000);
    void *message;
    for (size_t i = 0; i < 100000; i++) bytes[i] = (char)(i * 3 + (i >> 7));
    for (int way = 0; way < 4; way++) {
        for (int i = 0; i < COUNT; i++) {
            if (way % 2 == 0) {
                CHECK_OK(kin_queue_put(queue, bytes, sizes[i], KIN_NOW));
                continue;
            }
            CHECK_OK(kin_queue_reserve(queue, &message, sizes[i]));
            memcpy(message, bytes, sizes[i]);
            CHECK_OK(kin_queue_commit(queue, message, KIN_NOW));
        }
        for (int i = COUNT; i-- > 0;) {
            if (way / 2 == 0) {
                if (sizes[i] > 0) CHECK_RC(kin_queue_get(queue, got, sizes[i] - 1, KIN_NOW), KIN_ETOOSMALL);
                CHECK_RC(kin_queue_get(queue, got, 100000, KIN_NOW), (long)sizes[i]);
                CHECK_MEM(got, bytes, sizes[i]);
            } else {
                CHECK_RC(kin_queue_take(queue, &message, KIN_NOW), (long)sizes[i]);
                CHECK_MEM(message, bytes, sizes[i]);
                CHECK_OK(kin_queue_release(message));
            }
        }
    }
    free(bytes);
    free(got);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(it_is_bounded_in_items_and_bytes)
{
    char large[200] = "";
    kin_queue *queue = open_queue(KIN_PRIORITY, 3, 64);
    for (int i = 0; i < 3; i++) put_number(queue, i);
    CHECK_EQ(kin_queue_full(queue), 1);
    CHECK_RC(kin_queue_put(queue, "x", 1, KIN_NOW), KIN_FULL);
    CHECK_EQ(get_number(queue), 0);
    CHECK_RC(kin_queue_put(queue, large, 25, kin_in_ms(2)), KIN_FULL);
    CHECK_OK(kin_queue_put(queue, large, 24, KIN_NOW));
    CHECK_EQ(get_number(queue), 1);
    CHECK_EQ(get_number(queue), 2);
    CHECK_RC(kin_queue_get(queue, large, 24, KIN_NOW), 24);
    /* What is larger than all is let in when nothing is there. */
    CHECK_OK(kin_queue_put(queue, large, 200, KIN_NOW));
    CHECK_RC(kin_queue_put(queue, "x", 1, KIN_NOW), KIN_FULL);
    CHECK_OK(kin_queue_close(queue));
}

TEST(batches_and_tasks_work_alike)
{
    char buffer[400];
    kin_message got[4];
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.order = KIN_LIFO, .joinable = 1, .max_items = 3}));
    const kin_message put[] = {{"a", 1}, {"bb", 2}, {buffer, 300}, {"d", 1}};
    CHECK_RC(kin_queue_put_many(queue, put, 4, KIN_NOW), 3);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, KIN_NOW), 3);
    CHECK_EQ(got[0].size, 300);
    CHECK_MEM(got[1].data, "bb", 2);
    CHECK_MEM(got[2].data, "a", 1);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, KIN_NOW), KIN_EMPTY);
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    for (int i = 0; i < 3; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_OK(kin_queue_join(queue, KIN_NOW));
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_queue_put(queue, "x", 1, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_queue_close(queue));
}

TEST(closing_frees_what_is_in_it)
{
    static char large[5000];
    struct books books = books_open();
    kin_queue *queue = open_queue(KIN_PRIORITY, 0, 0);
    for (int i = 0; i < 1500; i++)
        CHECK_OK(kin_queue_put_priority(queue, large, i % 10 == 0 ? sizeof large : 8, i % 7, KIN_NOW));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(bad_calls_are_refused)
{
    kin_queue *queue = NULL;
    void *message;
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.order = 3}), -EINVAL);
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.order = (enum kin_queue_order) - 1}), -EINVAL);
    for (int order = KIN_FIFO; order <= KIN_LIFO; order++) {
        queue = open_queue((enum kin_queue_order)order, 0, 0);
        CHECK_RC(kin_queue_put_priority(queue, "a", 1, 1, KIN_NOW), -EINVAL);
        CHECK_OK(kin_queue_reserve(queue, &message, 1));
        CHECK_RC(kin_queue_commit_priority(queue, message, 1, KIN_NOW), -EINVAL);
        CHECK_OK(kin_queue_release(message));
        CHECK_EQ(kin_queue_qsize(queue), 0);
        CHECK_OK(kin_queue_close(queue));
    }
    CHECK_RC(kin_queue_put_priority(queue, "a", 1, 1, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(kin_queue_put_priority(NULL, "a", 1, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_commit_priority(NULL, NULL, 1, KIN_NOW), -EINVAL);
    queue = open_queue(KIN_PRIORITY, 0, 0);
    CHECK_RC(kin_queue_put_priority(queue, NULL, 1, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_commit_priority(queue, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_OK(kin_queue_close(queue));
}

/* ---- several ---------------------------------------------------------------------------------------- */

enum { PRODUCERS = 3, CONSUMERS = 3, MESSAGES = 9000, LEVELS = 5 };

struct traffic {
    kin_queue *queue;
    _Atomic unsigned producing;
    _Atomic uint64_t sum;
    _Atomic long count;
};

/* Messages begin with their number; some lie in a block. */
static void take_part(void *context, unsigned index)
{
    struct traffic *traffic = context;
    long messages = MESSAGES / (test_sanitized() ? 10 : 1), bytes[30];
    if (index >= PRODUCERS) {
        for (long size;
             (size = kin_queue_get(traffic->queue, bytes, sizeof bytes, KIN_FOREVER)) != KIN_ECLOSED;) {
            CHECK_EQ(size, bytes[0] % 10 == 0 ? 240 : 8);
            if (size == 240) CHECK_EQ(bytes[29], bytes[0]);
            atomic_fetch_add(&traffic->sum, (uint64_t)bytes[0]);
            atomic_fetch_add(&traffic->count, 1);
        }
        return;
    }
    for (long i = index; i < messages; i += PRODUCERS) {
        bytes[0] = bytes[29] = i;
        CHECK_OK(
            kin_queue_put_priority(traffic->queue, bytes, i % 10 == 0 ? 240 : 8, i % LEVELS, KIN_FOREVER));
    }
    if (atomic_fetch_sub(&traffic->producing, 1) == 1) CHECK_OK(kin_queue_shutdown(traffic->queue, 0));
}

static void every_message_comes_once(enum crew_kind kind)
{
    struct books books = books_open();
    struct traffic *traffic = test_shared(sizeof *traffic);
    long messages = MESSAGES / (test_sanitized() ? 10 : 1);
    traffic->queue = open_queue(KIN_PRIORITY, 50, 0);
    traffic->producing = PRODUCERS;
    crew_run(kind, PRODUCERS + CONSUMERS, take_part, traffic);
    CHECK_EQ(traffic->count, messages);
    CHECK_EQ(traffic->sum, (uint64_t)(messages * (messages - 1) / 2));
    CHECK_OK(kin_queue_close(traffic->queue));
    books_check(&books);
}
CREW_TEST(every_message_comes_once)

/* With one producer and one level, order is that of a queue that is first in first out. */
static void count_up(void *context, unsigned index)
{
    struct traffic *traffic = context;
    for (long i = 0; i < 2000; i++) {
        if (index == 0) {
            CHECK_OK(kin_queue_put(traffic->queue, &i, sizeof i, KIN_FOREVER));
        } else {
            long number = -1;
            CHECK_RC(kin_queue_get(traffic->queue, &number, sizeof number, KIN_FOREVER), sizeof number);
            CHECK_EQ(number, i);
        }
    }
}

static void equal_priorities_keep_the_order_of_their_producer(enum crew_kind kind)
{
    struct traffic *traffic = test_shared(sizeof *traffic);
    traffic->queue = open_queue(KIN_PRIORITY, 3, 0);
    crew_run(kind, 2, count_up, traffic);
    CHECK_OK(kin_queue_close(traffic->queue));
}
CREW_TEST(equal_priorities_keep_the_order_of_their_producer)
