/* test_queue_batches.c: several messages with one call: order, what fits, what is reported when not
 * all of it was done, and every error. */
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>
#include <kin/queue.h>

#include "ipc/queue.h"

enum { MOST = 64 };

static kin_queue *open_queue(const kin_queue_options *options)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, options));
    return queue;
}

/* `count` numbers from `first` on, as messages. */
struct numbers {
    int number[MOST];
    kin_message message[MOST];
};

static const kin_message *numbers(struct numbers *numbers, int first, int count)
{
    for (int i = 0; i < count; i++) {
        numbers->number[i] = first + i;
        numbers->message[i] = (kin_message){&numbers->number[i], sizeof(int)};
    }
    return numbers->message;
}

static long put_numbers(kin_queue *queue, int first, int count, kin_deadline deadline)
{
    struct numbers space;
    return kin_queue_put_many(queue, numbers(&space, first, count), (size_t)count, deadline);
}

/* Gets up to `limit`, which have to be those from `first` on. */
static long get_numbers(kin_queue *queue, int first, size_t limit, kin_deadline deadline)
{
    uint64_t buffer[MOST];
    kin_message got[MOST];
    long count = kin_queue_get_many(queue, got, limit, buffer, sizeof buffer, deadline);
    for (long i = 0; i < count; i++) {
        CHECK_EQ(got[i].size, sizeof(int));
        CHECK_EQ(*(const int *)got[i].data, first + i);
        CHECK_EQ((const char *)got[i].data - (const char *)buffer, 8 * i);
    }
    return count;
}

TEST(a_batch_comes_out_as_it_went_in)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(NULL);
    for (int count = 1; count <= MOST; count++) {
        CHECK_RC(put_numbers(queue, count, count, KIN_NOW), count);
        CHECK_RC(kin_queue_qsize(queue), count);
        CHECK_RC(get_numbers(queue, count, MOST, KIN_NOW), count);
        CHECK_RC(kin_queue_qsize(queue), 0);
    }
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(as_many_as_there_is_room_for_are_put)
{
    kin_queue *queue = open_queue(&(kin_queue_options){.max_items = 7});
    CHECK_RC(put_numbers(queue, 0, 5, KIN_NOW), 5);
    CHECK_RC(put_numbers(queue, 5, 5, kin_in_ms(2)), 2);
    CHECK_RC(put_numbers(queue, 7, 5, KIN_NOW), KIN_FULL);
    CHECK_RC(get_numbers(queue, 0, 3, KIN_NOW), 3);
    CHECK_RC(put_numbers(queue, 7, 1, KIN_NOW), 1);
    CHECK_RC(get_numbers(queue, 3, MOST, KIN_NOW), 5);
    CHECK_RC(get_numbers(queue, 0, MOST, kin_in_ms(2)), KIN_EMPTY);
    CHECK_OK(kin_queue_close(queue));
}

/* Odd and even batches count their bytes alike: a number counts 16. */
TEST(bytes_are_counted_exactly)
{
    for (int count = 1; count <= 9; count++) {
        kin_queue *queue = open_queue(&(kin_queue_options){.max_bytes = (size_t)count * 16});
        for (int round = 0; round < 5; round++) {
            CHECK_RC(put_numbers(queue, 0, 20, KIN_NOW), count);
            CHECK_EQ(kin_queue_full(queue), 1);
            CHECK_RC(get_numbers(queue, 0, (size_t)(1 + round), KIN_NOW),
                     count < 1 + round ? count : 1 + round);
            CHECK_EQ(kin_queue_full(queue), 0);
            while (get_numbers(queue, 1 + round, MOST, KIN_NOW) >= 0)
                ;
        }
        CHECK_OK(kin_queue_close(queue));
    }
}

/* Sizes on both sides of what lies in the stream itself, and across its segments. */
TEST(messages_of_all_sizes_come_in_one_batch)
{
    static const size_t sizes[] = {0, 1, 8, 9, 4096, 4097, 0, 100000, 3, 4000, 4095, 70000, 70000, 5};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct books books = books_open();
    kin_queue *queue = open_queue(NULL);
    char *bytes = malloc(1 << 20), *buffer = malloc(1 << 20);
    kin_message put[COUNT], got[COUNT];
    for (size_t i = 0; i < 1 << 20; i++) bytes[i] = (char)(i * 7 + (i >> 8));
    for (int i = 0; i < COUNT; i++) put[i] = (kin_message){bytes + i * 11, sizes[i]};
    for (int round = 0; round < 20; round++) {
        CHECK_RC(kin_queue_put_many(queue, put, COUNT, KIN_NOW), COUNT);
        CHECK_RC(kin_queue_get_many(queue, got, COUNT, buffer, 1 << 20, KIN_NOW), COUNT);
        for (int i = 0; i < COUNT; i++) {
            CHECK_EQ(got[i].size, sizes[i]);
            CHECK_EQ(((const char *)got[i].data - buffer) % 8, 0);
            CHECK_MEM(got[i].data, put[i].data, sizes[i]);
        }
    }
    free(bytes);
    free(buffer);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(what_does_not_fit_the_buffer_stays)
{
    char buffer[20];
    kin_message got[4];
    kin_queue *queue = open_queue(NULL);
    const kin_message three[] = {{"one", 3}, {"two and more", 12}, {"three", 5}};
    CHECK_RC(kin_queue_put_many(queue, three, 3, KIN_NOW), 3);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, 20, KIN_NOW), 2);
    CHECK_MEM(got[1].data, "two and more", 12);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, 4, KIN_NOW), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 5);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, 5, KIN_NOW), 1);
    CHECK_MEM(got[0].data, "three", 5);
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_OK(kin_queue_close(queue));
}

TEST(a_block_that_does_not_fit_stays)
{
    static char large[50000], buffer[40000];
    kin_message got[4];
    kin_queue *queue = open_queue(NULL);
    const kin_message two[] = {{"one", 3}, {large, sizeof large}};
    CHECK_RC(kin_queue_put_many(queue, two, 2, KIN_NOW), 2);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, KIN_NOW), 1);
    CHECK_RC(kin_queue_get_many(queue, got, 4, buffer, sizeof buffer, KIN_NOW), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), sizeof large);
    CHECK_EQ(kin_queue_qsize(queue), 1);
    CHECK_OK(kin_queue_close(queue));
}

TEST(an_ended_queue_is_drained)
{
    kin_queue *queue = open_queue(NULL);
    CHECK_RC(put_numbers(queue, 0, 5, KIN_NOW), 5);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(put_numbers(queue, 0, 5, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(get_numbers(queue, 0, 3, KIN_FOREVER), 3);
    CHECK_RC(get_numbers(queue, 3, MOST, KIN_FOREVER), 2);
    CHECK_RC(get_numbers(queue, 5, MOST, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_queue_close(queue));
}

TEST(bad_batches_are_refused_whole)
{
    char buffer[8];
    kin_message messages[2] = {{"a", 1}, {NULL, 1}};
    kin_queue *queue = open_queue(NULL);
    CHECK_RC(kin_queue_put_many(queue, messages, 2, KIN_NOW), -EINVAL);
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_RC(kin_queue_put_many(queue, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_put_many(NULL, messages, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get_many(NULL, messages, 1, buffer, 8, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get_many(queue, NULL, 1, buffer, 8, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get_many(queue, messages, 1, NULL, 8, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_put_many(queue, NULL, 0, KIN_NOW), 0);
    CHECK_RC(kin_queue_get_many(queue, NULL, 0, NULL, 0, KIN_FOREVER), 0);
    messages[1] = (kin_message){"x", SIZE_MAX / 4};
    CHECK_RC(kin_queue_put_many(queue, messages, 2, KIN_NOW), 1);
    CHECK_RC(kin_queue_put_many(queue, &messages[1], 1, KIN_NOW), -EMSGSIZE);
    CHECK_EQ(kin_queue_qsize(queue), 1);
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_queue_put_many(queue, messages, 1, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(kin_queue_get_many(queue, messages, 1, buffer, 8, KIN_NOW), KIN_ECLOSED);
}

TEST(each_message_of_a_batch_is_a_task)
{
    kin_queue *queue = open_queue(&(kin_queue_options){.joinable = 1});
    CHECK_RC(put_numbers(queue, 0, 6, KIN_NOW), 6);
    CHECK_RC(get_numbers(queue, 0, 4, KIN_NOW), 4);
    for (int i = 0; i < 4; i++) CHECK_OK(kin_queue_task_done(queue));
    CHECK_RC(kin_queue_task_done(queue), KIN_ENOTASK);
    CHECK_RC(kin_queue_join(queue, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_queue_close(queue));
}

/* ---- several ---------------------------------------------------------------------------------------- */

static void put_more_than_fit(void *queue)
{
    CHECK_RC(put_numbers(queue, 0, 10, KIN_FOREVER), 6);
}

TEST(ending_the_queue_ends_a_batch_that_waits)
{
    kin_queue *queue = open_queue(&(kin_queue_options){.max_items = 4});
    pid_t child = test_child(put_more_than_fit, queue);
    test_until(kin_queue_full(queue) == 1 && books_sleepers() == 1);
    CHECK_RC(get_numbers(queue, 0, 2, KIN_NOW), 2);
    test_until(kin_queue_full(queue) == 1 && books_sleepers() == 1);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(get_numbers(queue, 2, MOST, KIN_NOW), 4);
    CHECK_OK(kin_queue_close(queue));
}

static void get_what_comes(void *queue)
{
    CHECK_RC(get_numbers(queue, 0, MOST, KIN_FOREVER), 1);
}

TEST(getting_waits_for_the_first_alone)
{
    kin_queue *queue = open_queue(NULL);
    pid_t child = test_child(get_what_comes, queue);
    test_until(books_sleepers() == 1);
    CHECK_RC(put_numbers(queue, 0, 1, KIN_NOW), 1);
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_queue_close(queue));
}

static void get_one(void *queue)
{
    int number;
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_FOREVER), sizeof number);
}

TEST(a_batch_wakes_as_many_as_it_has_messages)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(NULL);
    pid_t children[3];
    for (int i = 0; i < 3; i++) children[i] = test_child(get_one, queue);
    test_until(books_sleepers() == 3);
    CHECK_RC(put_numbers(queue, 0, 3, KIN_NOW), 3);
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(children[i]), 0);
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}
