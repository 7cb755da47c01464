/* test_queue_zero_copy.c: reserve, commit, take and release: whose a message is at every moment. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
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

static void *reserve(kin_queue *queue, size_t size, int byte)
{
    void *message = NULL;
    CHECK_RC(kin_queue_reserve(queue, &message, size), 0);
    CHECK_EQ((uintptr_t)message % 64, 0);
    memset(message, byte, size);
    return message;
}

static void *take(kin_queue *queue, size_t size, int byte)
{
    void *message = NULL;
    CHECK_RC(kin_queue_take(queue, &message, KIN_NOW), (long)size);
    const unsigned char *bytes = message;
    for (size_t i = 0; i < size; i++) CHECK_EQ(bytes[i], (unsigned char)byte);
    return message;
}

static const size_t sizes[] = {0, 1, 64, KIN__INLINE_MOST, KIN__INLINE_MOST + 1, 1 << 20, (20 << 20) + 1};
#define SIZES (sizeof sizes / sizeof *sizes)

TEST(what_is_committed_is_taken_where_it_is)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, (size_t)1 << 30);
    void *sent[SIZES];
    for (size_t i = 0; i < SIZES; i++) {
        sent[i] = reserve(queue, sizes[i], (int)i);
        CHECK_RC(kin_queue_commit(queue, sent[i], KIN_NOW), 0);
        CHECK_EQ(books_held(), books.held);
    }
    for (size_t i = 0; i < SIZES; i++) {
        void *message = take(queue, sizes[i], (int)i);
        CHECK_EQ(message, sent[i]);
        CHECK_EQ(books_held(), books.held + 1);
        CHECK_RC(kin_queue_release(message), 0);
    }
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(both_ways_of_putting_and_getting_mix)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, (size_t)1 << 30);
    static unsigned char bytes[(20 << 20) + 1];
    for (size_t i = 0; i < SIZES; i++) {
        memset(bytes, (int)i, sizes[i]);
        CHECK_RC(kin_queue_put(queue, bytes, sizes[i], KIN_NOW), 0);
        CHECK_RC(kin_queue_commit(queue, reserve(queue, sizes[i], (int)i + 100), KIN_NOW), 0);
    }
    for (size_t i = 0; i < SIZES; i++) {
        CHECK_RC(kin_queue_release(take(queue, sizes[i], (int)i)), 0);
        CHECK_RC(kin_queue_get(queue, bytes, sizes[i], KIN_NOW), (long)sizes[i]);
        for (size_t n = 0; n < sizes[i]; n += 997) CHECK_EQ(bytes[n], i + 100);
    }
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(a_taken_message_can_go_into_another_queue)
{
    struct books books = books_open();
    kin_queue *first = open_queue(0, 0), *second = open_queue(0, 0);
    CHECK_OK(kin_queue_put(first, "small", 5, KIN_NOW));
    CHECK_OK(kin_queue_commit(first, reserve(first, 100000, 'x'), KIN_NOW));
    void *message = NULL;
    for (int i = 0; i < 2; i++) {
        long size = kin_queue_take(first, &message, KIN_NOW);
        CHECK_EQ(size, i == 0 ? 5 : 100000);
        ((char *)message)[0] = 'y';
        CHECK_RC(kin_queue_commit(second, message, KIN_NOW), 0);
        CHECK_RC(kin_queue_release(message), -EINVAL);
    }
    char small[5];
    CHECK_RC(kin_queue_get(second, small, sizeof small, KIN_NOW), 5);
    CHECK_MEM(small, "ymall", 5);
    CHECK_RC(kin_queue_take(second, &message, KIN_NOW), 100000);
    CHECK_MEM(message, "yxxx", 4);
    /* And back to where it came from. */
    CHECK_RC(kin_queue_commit(first, message, KIN_NOW), 0);
    CHECK_OK(kin_queue_close(first));
    CHECK_OK(kin_queue_close(second));
    books_check_wakes(&books);
}

TEST(what_cannot_be_committed_is_still_ours)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(1, 0);
    void *first = reserve(queue, 10, 'a'), *second = reserve(queue, 10, 'b');
    CHECK_OK(kin_queue_commit(queue, first, KIN_NOW));
    CHECK_RC(kin_queue_commit(queue, second, KIN_NOW), KIN_FULL);
    CHECK_RC(kin_queue_commit(queue, second, kin_in_ms(5)), KIN_FULL);
    CHECK_EQ(books_held(), books.held + 1);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(kin_queue_commit(queue, second, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(kin_queue_release(take(queue, 10, 'a')), 0);
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_queue_commit(queue, second, KIN_NOW), KIN_ECLOSED);
    CHECK_EQ(((char *)second)[9], 'b');
    CHECK_RC(kin_queue_release(second), 0);
    books_check_wakes(&books);
}

TEST(a_taken_message_outlives_its_queue)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 0);
    CHECK_OK(kin_queue_put(queue, "inline", 6, KIN_NOW));
    CHECK_OK(kin_queue_commit(queue, reserve(queue, 200000, 'z'), KIN_NOW));
    void *small = NULL;
    CHECK_RC(kin_queue_take(queue, &small, KIN_NOW), 6);
    char *large = take(queue, 200000, 'z');
    CHECK_OK(kin_queue_close(queue));
    CHECK_MEM(small, "inline", 6);
    for (size_t i = 0; i < 200000; i++) CHECK_EQ(large[i], 'z');
    CHECK_OK(kin_queue_release(small));
    CHECK_OK(kin_queue_release(large));
    books_check_wakes(&books);
}

TEST(null_is_refused)
{
    kin_queue *queue = open_queue(0, 0);
    void *message = NULL;
    CHECK_RC(kin_queue_reserve(NULL, &message, 1), -EINVAL);
    CHECK_RC(kin_queue_reserve(queue, NULL, 1), -EINVAL);
    CHECK_RC(kin_queue_commit(NULL, &message, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_commit(queue, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_take(NULL, &message, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_take(queue, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_release(NULL), 0);
    CHECK_OK(kin_queue_close(queue));
}

TEST(what_is_no_message_is_refused)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 0);
    char private[256] __attribute__((aligned(64)));
    char *block = kin_alloc(4096), *message = reserve(queue, 4096, 0);
    CHECK_RC(kin_queue_release(private), KIN_EFOREIGN);
    CHECK_RC(kin_queue_release((void *)-64), KIN_EFOREIGN);
    CHECK_RC(kin_queue_commit(queue, private, KIN_NOW), -EINVAL);
    void *wrong[] = {block, block + 64, block + 1, message + 64, message - 64, message + 1, queue};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        CHECK_RC(kin_queue_release(wrong[i]), -EINVAL);
        CHECK_RC(kin_queue_commit(queue, wrong[i], KIN_NOW), -EINVAL);
    }
    test_context(NULL);
    CHECK_RC(kin_free(message), -EINVAL);
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_RC(kin_queue_release(message), 0);
    CHECK_RC(kin_queue_release(message), -EINVAL);
    CHECK_RC(kin_queue_commit(queue, message, KIN_NOW), -EINVAL);
    CHECK_OK(kin_free(block));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(what_is_in_the_queue_is_nobodys)
{
    kin_queue *queue = open_queue(0, 0);
    void *message = reserve(queue, 5000, 'q');
    CHECK_OK(kin_queue_commit(queue, message, KIN_NOW));
    CHECK_RC(kin_queue_commit(queue, message, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_release(message), -EINVAL);
    CHECK_EQ(kin_queue_qsize(queue), 1);
    CHECK_OK(kin_queue_release(take(queue, 5000, 'q')));
    CHECK_OK(kin_queue_close(queue));
}

TEST(absurd_sizes_are_refused)
{
    struct books books = books_open();
    kin_memory_usage usage;
    kin_queue *queue = open_queue(0, 0);
    void *message = NULL;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_RC(kin_queue_reserve(queue, &message, SIZE_MAX), -EMSGSIZE);
    CHECK_RC(kin_queue_reserve(queue, &message, SIZE_MAX - 64), -EMSGSIZE);
    CHECK_RC(kin_queue_reserve(queue, &message, usage.region_size), -EMSGSIZE);
    CHECK(message == NULL);
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_queue_reserve(queue, &message, 1), KIN_ECLOSED);
    CHECK_RC(kin_queue_take(queue, &message, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_queue_reserve((kin_queue *)&usage, &message, 1), KIN_EFOREIGN);
    CHECK_RC(kin_queue_take((kin_queue *)&usage, &message, KIN_NOW), KIN_EFOREIGN);
    CHECK_RC(kin_queue_commit((kin_queue *)&usage, &message, KIN_NOW), KIN_EFOREIGN);
    books_check_wakes(&books);
}

TEST(take_waits_until_its_deadline, .alone = true)
{
    kin_queue *queue = open_queue(0, 0);
    void *message = NULL;
    CHECK_WAITS(0, CHECK_RC(kin_queue_take(queue, &message, KIN_NOW), KIN_EMPTY))
    CHECK_WAITS(0.15, CHECK_RC(kin_queue_take(queue, &message, kin_in_ms(150)), KIN_EMPTY))
    CHECK(message == NULL);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(kin_queue_take(queue, &message, KIN_FOREVER), KIN_ECLOSED);
    CHECK_OK(kin_queue_close(queue));
}

#define HELD_MOST 4096

TEST(a_process_holds_4096_and_no_more)
{
    struct books books = books_open();
    static void *message[HELD_MOST];
    kin_queue *queue = open_queue(0, 0);
    void *more = NULL;
    CHECK_OK(kin_queue_put(queue, "waiting", 7, KIN_NOW));
    for (int i = 0; i < HELD_MOST; i++) message[i] = reserve(queue, 8, 'h');
    CHECK_EQ(books_held(), HELD_MOST);
    CHECK_RC(kin_queue_reserve(queue, &more, 8), KIN_EHELD);
    CHECK_RC(kin_queue_take(queue, &more, KIN_NOW), KIN_EHELD);
    CHECK_EQ(kin_queue_qsize(queue), 1);
    CHECK_OK(kin_queue_release(message[77]));
    CHECK_RC(kin_queue_take(queue, &message[77], KIN_NOW), 7);
    for (int i = 0; i < HELD_MOST; i++) CHECK_OK(kin_queue_release(message[i]));
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

TEST(who_holds_all_it_can_may_close)
{
    struct books books = books_open();
    static void *message[HELD_MOST];
    char large[20000] = {0};
    kin_queue *queue = open_queue(0, 0);
    for (int i = 0; i < 3; i++) CHECK_OK(kin_queue_put(queue, large, sizeof large, KIN_NOW));
    for (int i = 0; i < HELD_MOST; i++) message[i] = reserve(queue, 8, 'h');
    CHECK_OK(kin_queue_close(queue));
    for (int i = 0; i < HELD_MOST; i++) CHECK_OK(kin_queue_release(message[i]));
    books_check_wakes(&books);
}

/* ---- between processes --------------------------------------------------------------------------- */

struct exchange {
    kin_queue *queue;
    void *message;
    _Atomic int stage;
};

static void *release_message(void *argument)
{
    CHECK_RC(kin_queue_release(argument), 0);
    return NULL;
}

TEST(another_thread_may_release)
{
    struct books books = books_open();
    kin_queue *queue = open_queue(0, 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, release_message, reserve(queue, 9, 0)), 0);
    pthread_join(thread, NULL);
    CHECK_OK(kin_queue_close(queue));
    books_check_wakes(&books);
}

static void try_what_is_not_mine(void *argument)
{
    struct exchange *exchange = argument;
    CHECK_RC(kin_queue_release(exchange->message), -EINVAL);
    CHECK_RC(kin_queue_commit(exchange->queue, exchange->message, KIN_NOW), -EINVAL);
}

TEST(another_process_may_not)
{
    struct exchange *exchange = test_shared(sizeof *exchange);
    exchange->queue = open_queue(0, 0);
    exchange->message = reserve(exchange->queue, 9, 0);
    CHECK_EQ(test_collect(test_child(try_what_is_not_mine, exchange)), 0);
    CHECK_OK(kin_queue_release(exchange->message));
    CHECK_OK(kin_queue_close(exchange->queue));
}

static void hold_some_until_killed(void *argument)
{
    struct exchange *exchange = argument;
    void *message = NULL;
    for (int i = 0; i < 100; i++) reserve(exchange->queue, (size_t)i * 1000, i);
    CHECK_RC(kin_queue_take(exchange->queue, &message, KIN_NOW), 100000);
    CHECK_RC(kin_queue_take(exchange->queue, &message, KIN_NOW), 6);
    exchange->stage = 1;
    for (;;) pause();
}

TEST(what_the_dead_held_is_freed)
{
    struct books books = books_open();
    struct exchange *exchange = test_shared(sizeof *exchange);
    exchange->queue = open_queue(0, 0);
    CHECK_OK(kin_queue_commit(exchange->queue, reserve(exchange->queue, 100000, 1), KIN_NOW));
    CHECK_OK(kin_queue_put(exchange->queue, "inline", 6, KIN_NOW));
    CHECK_OK(kin_queue_commit(exchange->queue, reserve(exchange->queue, 30000, 2), KIN_NOW));
    pid_t child = test_child(hold_some_until_killed, exchange);
    test_until(exchange->stage == 1);
    test_kill(child);
    CHECK_GT(kin_sweep(), 0);
    CHECK_RC(kin_sweep(), 0);
    CHECK_OK(kin_queue_release(take(exchange->queue, 30000, 2)));
    CHECK_OK(kin_queue_close(exchange->queue));
    books_check_blocks(&books);
}

static void commit_and_end(void *argument)
{
    struct exchange *exchange = argument;
    CHECK_OK(kin_queue_commit(exchange->queue, reserve(exchange->queue, 100000, 'm'), KIN_NOW));
    kill(getpid(), SIGKILL);
}

TEST(what_the_dead_committed_is_kept)
{
    struct books books = books_open();
    struct exchange *exchange = test_shared(sizeof *exchange);
    exchange->queue = open_queue(0, 0);
    test_collect(test_child(commit_and_end, exchange));
    CHECK_GT(kin_sweep(), 0);
    CHECK_OK(kin_queue_release(take(exchange->queue, 100000, 'm')));
    CHECK_OK(kin_queue_close(exchange->queue));
    books_check_blocks(&books);
}
