/* test_queue.c: the queue's contract for messages that are copied in and out: bounds, order,
 * deadlines, the end, and every error.  Zero-copy has a file of its own. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/queue.h>

#include "ipc/stream.h"

static kin_queue *open_queue(size_t max_items, size_t max_bytes)
{
    kin_queue *queue = NULL;
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.max_items = max_items, .max_bytes = max_bytes}), 0);
    return queue;
}

static int put_number(kin_queue *queue, int number, kin_deadline deadline)
{
    return kin_queue_put(queue, &number, sizeof number, deadline);
}

static int get_number(kin_queue *queue)
{
    int number = -1;
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_NOW), sizeof number);
    return number;
}

/* A message whose bytes all depend on its size. */
static unsigned char *make_message(size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(size * 31 + i * 7 + (i >> 8));
    return bytes;
}

static void put_message(kin_queue *queue, size_t size)
{
    unsigned char *bytes = make_message(size);
    CHECK_RC(kin_queue_put(queue, bytes, size, KIN_FOREVER), 0);
    free(bytes);
}

static void get_message(kin_queue *queue, size_t size)
{
    unsigned char *expected = make_message(size), *got = malloc(size + 1);
    got[size] = 0xa5;
    test_context("message of %zu bytes", size);
    CHECK_RC(kin_queue_get(queue, got, size, KIN_FOREVER), (long)size);
    CHECK_MEM(got, expected, size);
    CHECK_EQ(got[size], 0xa5);
    test_context(NULL);
    free(expected);
    free(got);
}

/* Sizes at which something changes: units, the largest inline message, segments, pages. */
static const size_t sizes[] = {0,
                               1,
                               7,
                               8,
                               9,
                               63,
                               64,
                               1000,
                               KIN__INLINE_MOST - 1,
                               KIN__INLINE_MOST,
                               KIN__INLINE_MOST + 1,
                               KIN__SEGMENT_SIZE - 64,
                               KIN__SEGMENT_SIZE - 1,
                               KIN__SEGMENT_SIZE,
                               KIN__SEGMENT_SIZE + 1,
                               1 << 20,
                               (5 << 20) + 3};
#define SIZES (sizeof sizes / sizeof *sizes)

TEST(messages_come_out_as_they_went_in)
{
    struct books books = books_open();
    kin_queue *queue = NULL;
    CHECK_RC(kin_queue_open(&queue, NULL), 0);
    for (int round = test_sanitized() ? 17 : 0; round < 20; round++) {
        for (size_t i = 0; i < SIZES; i++) put_message(queue, sizes[(i * 5 + (size_t)round) % SIZES]);
        CHECK_EQ(kin_queue_qsize(queue), SIZES);
        for (size_t i = 0; i < SIZES; i++) get_message(queue, sizes[(i * 5 + (size_t)round) % SIZES]);
        CHECK_EQ(kin_queue_qsize(queue), 0);
    }
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}

TEST(first_in_first_out)
{
    kin_queue *queue = open_queue(0, 0);
    int put = 0, got = 0;
    for (int burst = 1; burst < 300; burst++) {
        for (int i = 0; i < burst; i++) CHECK_RC(put_number(queue, put++, KIN_NOW), 0);
        for (int i = 0; i < burst - burst / 3; i++) CHECK_EQ(get_number(queue), got++);
    }
    while (got < put) CHECK_EQ(get_number(queue), got++);
    CHECK_RC(kin_queue_get(queue, &got, sizeof got, KIN_NOW), KIN_EMPTY);
    CHECK_OK(kin_queue_close(queue));
}

TEST(is_bounded_in_items)
{
    const size_t bounds[] = {1, 2, 3, 64, 1000};
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        kin_queue *queue = open_queue(bounds[b], 0);
        for (int round = 0; round < 3; round++) {
            test_context("bound %zu, round %d", bounds[b], round);
            for (size_t i = 0; i < bounds[b]; i++) {
                CHECK_EQ(kin_queue_full(queue), 0);
                CHECK_EQ(kin_queue_empty(queue), i == 0);
                CHECK_EQ(kin_queue_qsize(queue), i);
                CHECK_RC(put_number(queue, (int)i, KIN_NOW), 0);
            }
            CHECK_EQ(kin_queue_full(queue), 1);
            CHECK_RC(put_number(queue, -1, KIN_NOW), KIN_FULL);
            CHECK_RC(kin_queue_put(queue, NULL, 0, KIN_NOW), KIN_FULL);
            CHECK_EQ(kin_queue_qsize(queue), bounds[b]);
            CHECK_EQ(get_number(queue), 0);
            CHECK_RC(put_number(queue, (int)bounds[b], KIN_NOW), 0);
            for (size_t i = 1; i <= bounds[b]; i++) CHECK_EQ(get_number(queue), (int)i);
        }
        test_context(NULL);
        CHECK_OK(kin_queue_close(queue));
    }
}

TEST(is_bounded_in_bytes)
{
    struct books books = books_open();
    const size_t message_sizes[] = {1000, 3000, 20000, 400000};
    for (size_t s = 0; s < sizeof message_sizes / sizeof *message_sizes; s++) {
        size_t size = message_sizes[s], limit = 10 * size + 10 * 64, count = 0;
        kin_queue *queue = open_queue(0, limit);
        unsigned char *bytes = make_message(size);
        int rc;
        while ((rc = kin_queue_put(queue, bytes, size, KIN_NOW)) == 0) count++;
        test_context("messages of %zu bytes", size);
        CHECK_RC(rc, KIN_FULL);
        CHECK_EQ(count, 10);
        for (size_t i = 0; i < count; i++) get_message(queue, size);
        CHECK_EQ(kin_queue_empty(queue), 1);
        free(bytes);
        CHECK_OK(kin_queue_close(queue));
    }
    books_check(&books);
}

TEST(a_message_above_the_limit_is_let_in_alone)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 100);
    put_message(queue, 50000);
    CHECK_EQ(kin_queue_full(queue), 1);
    CHECK_RC(put_number(queue, 1, KIN_NOW), KIN_FULL);
    get_message(queue, 50000);
    CHECK_RC(put_number(queue, 1, KIN_NOW), 0);
    unsigned char *bytes = make_message(3000);
    CHECK_RC(kin_queue_put(queue, bytes, 3000, KIN_NOW), KIN_FULL);
    free(bytes);
    CHECK_EQ(get_number(queue), 1);
    put_message(queue, 3000);
    get_message(queue, 3000);
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}

TEST(full_means_that_one_byte_would_wait)
{
    kin_queue *queue = open_queue(0, 200);
    while (kin_queue_full(queue) == 0) CHECK_RC(kin_queue_put(queue, "", 1, KIN_NOW), 0);
    CHECK_RC(kin_queue_put(queue, "", 1, KIN_NOW), KIN_FULL);
    CHECK_OK(kin_queue_close(queue));
}

TEST(a_message_larger_than_the_buffer_stays)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 0);
    CHECK_EQ(kin_needed_size(), 0);
    const size_t some[] = {1, 100, KIN__INLINE_MOST, KIN__INLINE_MOST + 1, 1 << 20};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) put_message(queue, some[i]);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        unsigned char *small = malloc(some[i]);
        memset(small, 0x5a, some[i]);
        CHECK_RC(kin_queue_get(queue, small, some[i] - 1, KIN_FOREVER), KIN_ETOOSMALL);
        CHECK_EQ(kin_needed_size(), some[i]);
        CHECK_EQ(small[0], 0x5a);
        CHECK_RC(kin_queue_get(queue, NULL, 0, KIN_FOREVER), KIN_ETOOSMALL);
        CHECK_EQ(kin_needed_size(), some[i]);
        CHECK_EQ(kin_queue_qsize(queue), sizeof some / sizeof *some - i);
        free(small);
        get_message(queue, some[i]);
    }
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}

TEST(an_empty_message_is_a_message)
{
    kin_queue *queue = open_queue(0, 0);
    char byte = 'x';
    CHECK_RC(kin_queue_put(queue, NULL, 0, KIN_NOW), 0);
    CHECK_RC(kin_queue_put(queue, &byte, 0, KIN_NOW), 0);
    CHECK_EQ(kin_queue_qsize(queue), 2);
    CHECK_RC(kin_queue_get(queue, NULL, 0, KIN_NOW), 0);
    CHECK_RC(kin_queue_get(queue, &byte, 1, KIN_NOW), 0);
    CHECK_EQ(byte, 'x');
    CHECK_OK(kin_queue_close(queue));
}

TEST(null_is_refused)
{
    kin_queue *queue = open_queue(0, 0);
    int number;
    CHECK_RC(kin_queue_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_queue_put(NULL, &number, sizeof number, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_put(queue, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get(NULL, &number, sizeof number, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get(queue, NULL, 1, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_qsize(NULL), -EINVAL);
    CHECK_RC(kin_queue_empty(NULL), -EINVAL);
    CHECK_RC(kin_queue_full(NULL), -EINVAL);
    CHECK_RC(kin_queue_shutdown(NULL, 0), -EINVAL);
    CHECK_RC(kin_queue_close(NULL), 0);
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_OK(kin_queue_close(queue));
}

TEST(absurd_sizes_are_refused)
{
    struct books books = books_open();
    kin_memory_usage usage;
    kin_queue *queue = NULL;
    int number = 4;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.max_bytes = SIZE_MAX}), -EINVAL);
    CHECK_RC(kin_queue_open(&queue, &(kin_queue_options){.max_bytes = usage.region_size + 1}), -EINVAL);
    CHECK(queue == NULL);
    queue = open_queue(SIZE_MAX, 0);
    CHECK_RC(kin_queue_put(queue, &number, SIZE_MAX, KIN_NOW), -EMSGSIZE);
    CHECK_RC(kin_queue_put(queue, &number, SIZE_MAX / 2, KIN_NOW), -EMSGSIZE);
    CHECK_RC(kin_queue_put(queue, &number, usage.region_size, KIN_NOW), -EMSGSIZE);
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_RC(put_number(queue, number, KIN_NOW), 0);
    CHECK_RC(kin_queue_get(queue, &number, SIZE_MAX, KIN_NOW), sizeof number);
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}

TEST(what_is_no_queue_is_refused)
{
    long long private[64] = {0};
    void *block = kin_alloc(1024);
    kin_queue *queue = open_queue(0, 0);
    int number = 1;
    void *wrong[] = {private, block, (char *)queue + 8, (char *)queue + 64, (void *)-64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        CHECK_RC(kin_queue_put(wrong[i], &number, sizeof number, KIN_FOREVER), KIN_EFOREIGN);
        CHECK_RC(kin_queue_get(wrong[i], &number, sizeof number, KIN_FOREVER), KIN_EFOREIGN);
        CHECK_RC(kin_queue_qsize(wrong[i]), KIN_EFOREIGN);
        CHECK_RC(kin_queue_empty(wrong[i]), KIN_EFOREIGN);
        CHECK_RC(kin_queue_full(wrong[i]), KIN_EFOREIGN);
        CHECK_RC(kin_queue_shutdown(wrong[i], 0), KIN_EFOREIGN);
        CHECK_RC(kin_queue_close(wrong[i]), KIN_EFOREIGN);
    }
    test_context(NULL);
    CHECK_RC(kin_free(queue), -EINVAL);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_free(block));
}

TEST(a_closed_queue_says_so)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 0);
    int number = 1;
    for (size_t i = 0; i < SIZES; i++) put_message(queue, sizes[i]);
    CHECK_RC(kin_queue_close(queue), 0);
    books_check(&books);
    CHECK_RC(kin_queue_put(queue, &number, sizeof number, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_queue_qsize(queue), KIN_ECLOSED);
    CHECK_RC(kin_queue_empty(queue), KIN_ECLOSED);
    CHECK_RC(kin_queue_full(queue), KIN_ECLOSED);
    CHECK_RC(kin_queue_shutdown(queue, 0), KIN_ECLOSED);
    CHECK_RC(kin_queue_close(queue), KIN_ECLOSED);
}

TEST(an_ended_queue_is_drained_first)
{
    kin_queue *queue = open_queue(3, 0);
    int number = 0;
    for (int i = 0; i < 3; i++) CHECK_RC(put_number(queue, i, KIN_NOW), 0);
    CHECK_RC(kin_queue_shutdown(queue, 0), 0);
    CHECK_RC(kin_queue_shutdown(queue, 0), 0);
    CHECK_RC(put_number(queue, 3, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(put_number(queue, 3, KIN_FOREVER), KIN_ECLOSED);
    CHECK_EQ(kin_queue_qsize(queue), 3);
    for (int i = 0; i < 3; i++) CHECK_EQ(get_number(queue), i);
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_FOREVER), KIN_ECLOSED);
    CHECK_EQ(kin_queue_empty(queue), 1);
    CHECK_OK(kin_queue_close(queue));
}

TEST(deadlines_are_kept, .alone = true)
{
    kin_queue *queue = open_queue(1, 0);
    const int64_t some_ms[] = {0, -5, 1, 20, 99, 101, 250};
    int number = 0;
    for (size_t i = 0; i < 2 * sizeof some_ms / sizeof *some_ms; i++) {
        int64_t wait_ms = some_ms[i / 2];
        bool full = i % 2 != 0;
        if (full) CHECK_RC(put_number(queue, 1, KIN_NOW), 0);
        test_context("%lld ms", (long long)wait_ms);
        double seconds = (double)wait_ms / 1e3;
        if (full)
            CHECK_WAITS(seconds, CHECK_RC(put_number(queue, 1, kin_in_ms(wait_ms)), KIN_FULL))
        else
            CHECK_WAITS(seconds, long rc = kin_queue_get(queue, &number, sizeof number, kin_in_ms(wait_ms));
                        CHECK_RC(rc, KIN_EMPTY))
        if (full) CHECK_EQ(get_number(queue), 1);
    }
    const kin_deadline past[] = {KIN_NOW, -1, INT64_MIN, kin_clock() - 1, 1};
    for (size_t i = 0; i < sizeof past / sizeof *past; i++)
        CHECK_RC(kin_queue_get(queue, &number, sizeof number, past[i]), KIN_EMPTY);
    CHECK_OK(kin_queue_close(queue));
}

/* ---- others who wait ------------------------------------------------------------------------ */

struct waiting {
    kin_queue *queue;
    size_t size;
    _Atomic int closed; /* how many were told so */
};

static void wait_for_message(void *context, unsigned index)
{
    struct waiting *waiting = context;
    char buffer[8192];
    (void)index;
    long rc = kin_queue_get(waiting->queue, buffer, sizeof buffer, KIN_FOREVER);
    if (rc == KIN_ECLOSED)
        waiting->closed++;
    else
        CHECK_OK(rc);
}

static void wait_for_room(void *context, unsigned index)
{
    struct waiting *waiting = context;
    unsigned char *bytes = make_message(waiting->size);
    (void)index;
    int rc = kin_queue_put(waiting->queue, bytes, waiting->size, KIN_FOREVER);
    if (rc == KIN_ECLOSED)
        waiting->closed++;
    else
        CHECK_OK(rc);
    free(bytes);
}

static void waiters_are_woken(enum crew_kind kind)
{
    enum { WAITERS = 4 };
    struct books books = books_open();
    struct waiting *waiting = test_shared(sizeof *waiting);
    crew_function *roles[] = {wait_for_message, wait_for_room};
    for (int i = 0; i < 4; i++) {
        bool putting = i % 2 != 0, closing = i / 2 != 0;
        struct crew crew;
        *waiting = (struct waiting){.queue = open_queue(1, 0), .size = 4};
        if (putting) CHECK_OK(put_number(waiting->queue, 1, KIN_NOW));
        crew_start(&crew, kind, WAITERS, roles[putting], waiting);
        test_until(books_sleepers() == WAITERS);
        CHECK_OK(closing ? kin_queue_close(waiting->queue) : kin_queue_shutdown(waiting->queue, 0));
        crew_join(&crew);
        CHECK_EQ(waiting->closed, WAITERS);
        CHECK_RC(kin_queue_close(waiting->queue), closing ? KIN_ECLOSED : 0);
    }
    books_check(&books);
}
CREW_TEST(waiters_are_woken)

static void room_in_bytes_is_told_to_all(enum crew_kind kind)
{
    /* Of two who wait for room, one for much and one for little, the second fits first. */
    struct books books = books_open();
    struct waiting *large = test_shared(2 * sizeof *large), *small = large + 1;
    kin_queue *queue = open_queue(0, 10000);
    struct crew first, second;
    for (int i = 0; i < 9; i++) put_message(queue, 1000);
    *large = (struct waiting){.queue = queue, .size = 4000};
    *small = (struct waiting){.queue = queue, .size = 1500};
    crew_start(&first, kind == CREW_MIXED ? CREW_PROCESSES : kind, 1, wait_for_room, large);
    test_until(books_sleepers() == 1);
    crew_start(&second, kind == CREW_MIXED ? CREW_THREADS : kind, 1, wait_for_room, small);
    test_until(books_sleepers() == 2);
    get_message(queue, 1000);
    crew_join(&second);
    for (int i = 0; i < 8; i++) get_message(queue, 1000);
    crew_join(&first);
    get_message(queue, 1500);
    get_message(queue, 4000);
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}
CREW_TEST(room_in_bytes_is_told_to_all)

/* ---- between processes --------------------------------------------------------------------------- */

static void answer_where_asked(void *argument)
{
    kin_queue *questions = argument, *answers = NULL;
    CHECK_RC(kin_queue_get(questions, &answers, sizeof answers, KIN_FOREVER), sizeof answers);
    CHECK_OK(put_number(answers, 42, KIN_FOREVER));
}

TEST(a_queue_made_later_can_be_sent)
{
    struct books books = books_open();
    kin_queue *questions = open_queue(0, 0);
    pid_t child = test_child(answer_where_asked, questions);
    kin_queue *answers = open_queue(0, 0);
    int number = 0;
    CHECK_OK(kin_queue_put(questions, &answers, sizeof answers, KIN_FOREVER));
    CHECK_RC(kin_queue_get(answers, &number, sizeof number, KIN_FOREVER), sizeof number);
    CHECK_EQ(number, 42);
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_queue_close(answers));
    CHECK_OK(kin_queue_close(questions));
    books_check(&books);
}

static void put_all_sizes(void *argument)
{
    for (size_t i = 0; i < SIZES; i++) put_message(argument, sizes[i]);
}

TEST(messages_outlive_their_sender)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 0);
    CHECK_EQ(test_collect(test_child(put_all_sizes, queue)), 0);
    CHECK_OK(kin_sweep());
    for (size_t i = 0; i < SIZES; i++) get_message(queue, sizes[i]);
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}

static void put_until_full_and_wait(void *argument)
{
    struct waiting *waiting = argument;
    while (put_number(waiting->queue, 7, KIN_NOW) == 0)
        ;
    put_number(waiting->queue, 8, KIN_FOREVER);
}

TEST(a_producer_that_is_stopped_or_killed_while_it_waits)
{
    struct waiting *waiting = test_shared(sizeof *waiting);
    kin_queue *queue = waiting->queue = open_queue(5, 0);
    pid_t child = test_child(put_until_full_and_wait, waiting);
    test_until(books_sleepers() == 1);
    CHECK_EQ(kill(child, SIGSTOP), 0);
    for (int i = 0; i < 5; i++) CHECK_EQ(get_number(queue), 7);
    for (int i = 0; i < 5; i++) CHECK_OK(put_number(queue, i, kin_in_s(60)));
    test_kill(child);
    for (int i = 0; i < 5; i++) {
        int number = get_number(queue);
        if (number == 8) number = get_number(queue); /* it was on its way already */
        CHECK_EQ(number, i);
    }
    CHECK_OK(kin_queue_close(queue));
}

TEST(old_callers_with_shorter_options)
{
    kin_queue *queue = NULL;
    kin_queue_options options = {.max_items = 1, .max_bytes = 1};
    CHECK_OK(kin_queue_open_sized(&queue, &options, sizeof options.max_items));
    CHECK_OK(put_number(queue, 1, KIN_NOW));
    CHECK_RC(put_number(queue, 1, KIN_NOW), KIN_FULL);
    CHECK_OK(kin_queue_close(queue));
}
