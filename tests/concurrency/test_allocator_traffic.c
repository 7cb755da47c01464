/* test_allocator_traffic.c: family memory under load: blocks made by one process or thread and
 * freed by another, never shared by two, and all there again at the end. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/queue.h>

#define BOARD 512

struct work {
    int rounds;
    size_t size_most;
    kin_queue *queue;
    _Atomic int producing;
    /* Whoever puts a block here gives it up; whoever takes it out has it. */
    _Atomic(void *) board[BOARD];
};

/* Every block begins with its size and is filled with a byte that depends on where it is. */
struct block {
    size_t size;
    unsigned char bytes[];
};

static unsigned char mark_of(const struct block *block)
{
    return (unsigned char)((uintptr_t)block >> 6 | 1);
}

static struct block *make_block(uint64_t *random, size_t size_most)
{
    uint64_t choice = chaos_random(random), kind = choice >> 50 & 31;
    size_t most = kind < 20 ? 256 : kind < 29 ? 8192 : kind < 31 ? 150000 : 2000000;
    size_t size = sizeof(struct block) + choice % (most < size_most ? most : size_most);
    struct block *block = kin_alloc(size);
    if (block == NULL) FAIL("no memory for %zu bytes: %s", size, strerror(errno));
    for (size_t i = 0; i < size; i += 61) CHECK_EQ(((unsigned char *)block)[i], 0);
    block->size = size;
    memset(block->bytes, mark_of(block), size - sizeof *block);
    return block;
}

static void free_block(struct block *block)
{
    unsigned char mark = mark_of(block);
    for (size_t i = 0; i < block->size - sizeof *block; i++)
        if (block->bytes[i] != mark) FAIL("byte %zu of %zu was overwritten", i, block->size);
    CHECK_RC(kin_free(block), 0);
}

static struct work *make_work(int rounds, size_t size_most)
{
    struct work *work = test_shared(sizeof *work);
    work->rounds = test_sanitized() ? rounds / 30 : rounds;
    work->size_most = size_most;
    return work;
}

/* ---- anybody frees what anybody made ------------------------------------------------------------------ */

static void exchange(void *context, unsigned index)
{
    struct work *work = context;
    uint64_t random = 4711 + index;
    for (int i = 0; i < work->rounds; i++) {
        struct block *block = make_block(&random, work->size_most);
        block = atomic_exchange(&work->board[chaos_random(&random) % BOARD], block);
        if (block != NULL) free_block(block);
    }
}

static void run_exchange(enum crew_kind kind, unsigned members, int rounds, size_t size_most)
{
    struct books books = books_open();
    struct work *work = make_work(rounds, size_most);
    double start = test_seconds();
    crew_run(kind, members, exchange, work);
    NOTE("%.0f ns for each block", (test_seconds() - start) / work->rounds / members * 1e9);
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    size_t left = 0;
    for (int i = 0; i < BOARD; i++) left += work->board[i] != NULL;
    CHECK_EQ(usage.heap_blocks, books.blocks + left);
    for (int i = 0; i < BOARD; i++)
        if (work->board[i] != NULL) free_block(work->board[i]);
    books_check(&books);
}

static void two_exchange_small_blocks(enum crew_kind kind)
{
    run_exchange(kind, 2, 400000, 200);
}
CREW_TEST(two_exchange_small_blocks)

static void eight_exchange_blocks(enum crew_kind kind)
{
    run_exchange(kind, 8, 10000, SIZE_MAX);
}
CREW_TEST(eight_exchange_blocks)

/* ---- one side makes, the other frees ---------------------------------------------------------------------- */

static void make_or_free(void *context, unsigned index)
{
    struct work *work = context;
    uint64_t random = 815 + index;
    struct block *block;
    if (index % 2 == 0) {
        for (int i = 0; i < work->rounds; i++) {
            block = make_block(&random, work->size_most);
            CHECK_OK(kin_queue_put(work->queue, &block, sizeof block, KIN_FOREVER));
        }
        if (--work->producing == 0) CHECK_OK(kin_queue_shutdown(work->queue, 0));
    } else {
        while (kin_queue_get(work->queue, &block, sizeof block, KIN_FOREVER) > 0) free_block(block);
    }
}

static void made_here_freed_there(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = make_work(100000, 20000);
    CHECK_OK(kin_queue_open(&work->queue, &(kin_queue_options){.max_items = 200}));
    work->producing = 2;
    crew_run(kind, 4, make_or_free, work);
    CHECK_OK(kin_queue_close(work->queue));
    books_check(&books);
}
CREW_TEST(made_here_freed_there)

/* ---- a region that is too small for all ---------------------------------------------------------------------- */

static void take_all_there_is(void *context, unsigned index)
{
    struct work *work = context;
    void **chain = NULL, **block;
    (void)index;
    for (int i = 0; i < work->rounds; i++) {
        while ((block = kin_alloc(30000)) != NULL) {
            *block = chain;
            chain = block;
        }
        CHECK_EQ(errno, ENOMEM);
        for (; chain != NULL; chain = block) {
            block = *chain;
            CHECK_RC(kin_free(chain), 0);
        }
    }
}

static void out_of_memory_together(enum crew_kind kind)
{
    CHECK_OK(kin_family_open(&(kin_family_options){.region_size = 16 << 20}));
    struct books books = books_open();
    crew_run(kind, 4, take_all_there_is, make_work(500, 0));
    books_check(&books);
}
CREW_TEST(out_of_memory_together, .cold = true)

/* ---- objects --------------------------------------------------------------------------------------------------- */

static void open_queues(void *context, unsigned index)
{
    struct work *work = context;
    for (int i = 0; i < work->rounds; i++) {
        kin_queue *queue = NULL;
        unsigned number = 0;
        char large[10000] = "";
        CHECK_OK(kin_queue_open(&queue, NULL));
        CHECK_OK(kin_queue_put(queue, &index, sizeof index, KIN_NOW));
        CHECK_OK(kin_queue_put(queue, large, sizeof large, KIN_NOW));
        CHECK_RC(kin_queue_get(queue, &number, sizeof number, KIN_NOW), sizeof number);
        CHECK_EQ(number, index);
        CHECK_OK(kin_queue_close(queue));
    }
}

static void queues_come_and_go(enum crew_kind kind)
{
    struct books books = books_open();
    crew_run(kind, 6, open_queues, make_work(1000, 0));
    books_check(&books);
}
CREW_TEST(queues_come_and_go)
