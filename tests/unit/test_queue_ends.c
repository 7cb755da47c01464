/* test_queue_ends.c: what a death between a commit and the copies of its word leaves behind is put right, and
 * not in a queue that is just being opened. */
#include "support/books.h"
#include "support/test.h"

#include <string.h>

#include <kin/queue.h>

#include "ipc/queue.h"

#define STALE ((uint64_t)1 << 50 | 8)

/* As if somebody had died under the latch after the commit, of which the copies do not tell. */
static void die_at(struct kin__end *end, struct kin__latch *latch)
{
    atomic_store(&end->own_position, STALE);
    atomic_store(&end->own_bytes, STALE);
    atomic_store(&latch->point.word, KIN__WORD_DIED);
}

static void put(kin_queue *queue, char letter)
{
    CHECK_OK(kin_queue_put(queue, &letter, 1, KIN_NOW));
}

static void expect(kin_queue *queue, char letter)
{
    char got = 0;
    CHECK_RC(kin_queue_get(queue, &got, 1, KIN_NOW), 1);
    CHECK_EQ(got, letter);
}

static void die_at_each_end(const kin_queue_options *options)
{
    kin_queue *queue = NULL;
    struct books books = books_open();
    CHECK_OK(kin_queue_open(&queue, options));
    struct kin__latch *head = &queue->ends.head.latch,
                      *tail = queue->by_rank ? head : &queue->ends.tail.latch;
    put(queue, 'a');
    put(queue, 'b');
    expect(queue, 'a');
    die_at(&queue->ends.head, head);
    expect(queue, 'b');
    CHECK_RC(kin_queue_get(queue, &(char){0}, 1, KIN_NOW), KIN_EMPTY);
    put(queue, 'c');
    die_at(&queue->ends.tail, tail);
    put(queue, 'd');
    expect(queue, 'c');
    expect(queue, 'd');
    CHECK_EQ(kin_queue_qsize(queue), 0);
    CHECK_EQ(atomic_load(&head->point.word), 0);
    CHECK_OK(kin_queue_close(queue));
    books_check_blocks(&books);
}

TEST(a_commit_whose_copies_are_missing_has_happened)
{
    die_at_each_end(NULL);
}

TEST(a_commit_whose_copies_are_missing_has_happened_by_rank)
{
    die_at_each_end(&(kin_queue_options){.order = KIN_PRIORITY});
}

/* There is no directory until all else has been made. */
TEST(a_queue_that_is_being_opened_is_left_alone)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    put(queue, 'a');
    void *directory = atomic_exchange(&queue->stream.directory, NULL);
    struct kin__latch *latch;
    die_at(&queue->ends.head, &queue->ends.head.latch);
    die_at(&queue->ends.tail, &queue->ends.tail.latch);
    CHECK_RC(kin__queue_lock_head(queue, KIN_FOREVER), 1);
    kin__latch_release(&queue->ends.head.latch);
    CHECK_RC(kin__queue_lock_tail(queue, KIN_FOREVER, &latch), 1);
    kin__latch_release(latch);
    CHECK_EQ(atomic_load(&queue->ends.head.own_position), STALE);
    CHECK_EQ(atomic_load(&queue->ends.tail.own_bytes), STALE);
    atomic_store(&queue->stream.directory, directory);
    atomic_store(&queue->ends.head.latch.point.word, KIN__WORD_DIED);
    atomic_store(&queue->ends.tail.latch.point.word, KIN__WORD_DIED);
    put(queue, 'b');
    expect(queue, 'a');
    expect(queue, 'b');
    CHECK_OK(kin_queue_close(queue));
}
