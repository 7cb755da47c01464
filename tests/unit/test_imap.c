/* test_imap.c: streams of inputs: in order and as they come, without end, within their window, with
 * failures and deaths. */
#define _GNU_SOURCE
#include "pool_board.h"

#include <kin/imap.h>

/* Numbers from 0 to `end` - 1; how far they were pulled. */
struct numbers {
    int end, pulled, value;
};

static long next_number(void *context, const void **input)
{
    struct numbers *numbers = context;
    if (numbers->pulled == numbers->end) return KIN_EMPTY;
    numbers->value = numbers->pulled++;
    *input = &numbers->value;
    return sizeof numbers->value;
}

static int twice(const int *in, long *out)
{
    *out = *in * 2l;
    return 0;
}
KIN_MAP(twice, int, long)

static int echo(const void *argument, size_t size, kin_reply *reply)
{
    return kin_reply_write(reply, argument, size);
}
KIN_BYTES(echo)

static void take_all(bool unordered, const kin_function *function, size_t chunk)
{
    enum { COUNT = 20000 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    kin_imap *imap = NULL;
    static bool seen[COUNT];
    struct numbers numbers = {.end = COUNT};
    memset(seen, 0, sizeof seen);
    CHECK_OK(kin_imap_open(&imap, pool, function, next_number, &numbers,
                           &(kin_imap_options){.unordered = unordered, .window = 500, .chunk = chunk}));
    const void *out = NULL;
    for (long i = 0; i < COUNT; i++) {
        CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)),
                 function->range != NULL ? sizeof(long) : sizeof(int));
        long index = kin_imap_index(imap);
        CHECK_LT(index, COUNT);
        CHECK(!seen[index]);
        seen[index] = true;
        if (!unordered) CHECK_EQ(index, i);
        if (function->range != NULL)
            CHECK_EQ(*(const long *)out, index * 2);
        else
            CHECK_EQ(*(const int *)out, index);
        CHECK_LE(numbers.pulled, i + 501);
    }
    CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), KIN_EMPTY);
    CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), KIN_EMPTY);
    CHECK_OK(kin_imap_close(imap));
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(in_the_order_of_the_inputs)
{
    take_all(false, KIN_FN(twice), 0);
}

POOL_TEST(as_they_come)
{
    take_all(true, KIN_FN(twice), 0);
}

POOL_TEST(one_by_one)
{
    take_all(false, KIN_FN(twice), 1);
}

POOL_TEST(bytes_of_any_size)
{
    take_all(true, KIN_FN(echo), 0);
}

POOL_TEST(a_stream_without_end_is_closed)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    kin_imap *imap = NULL;
    struct numbers numbers = {.end = -1};
    CHECK_OK(
        kin_imap_open(&imap, pool, KIN_FN(twice), next_number, &numbers, &(kin_imap_options){.window = 64}));
    CHECK_EQ(numbers.pulled, 0);
    const void *out = NULL;
    for (long i = 0; i < 1000; i++) {
        CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), sizeof(long));
        CHECK_EQ(*(const long *)out, i * 2);
    }
    CHECK_LE(numbers.pulled, 1000 + 64);
    CHECK_OK(kin_imap_close(imap));
    CHECK_OK(kin_imap_close(NULL));
    end_pool(pool);
    books_check(&books);
}

static long next_block(void *context, const void **input)
{
    static char block[100000];
    struct numbers *numbers = context;
    if (numbers->pulled == numbers->end) return -EIO;
    numbers->pulled++;
    *input = block;
    return sizeof block;
}

POOL_TEST(the_window_is_bounded_in_bytes)
{
    kin_pool *pool = open_pool(1);
    kin_imap *imap = NULL;
    struct numbers numbers = {.end = 50};
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(echo), next_block, &numbers,
                           &(kin_imap_options){.max_bytes = 1000000}));
    const void *out = NULL;
    for (int i = 0; i < 50; i++) {
        CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), 100000);
        CHECK_LE(numbers.pulled, i + 11);
    }
    CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), -EIO);
    CHECK_OK(kin_imap_close(imap));
    end_pool(pool);
}

/* ---- failures --------------------------------------------------------------------------------------- */

static _Atomic int *runs;

static int sometimes(const int *in, long *out)
{
    runs[*in]++;
    *out = *in;
    if (*in % 50 == 7 && pool_kind == KIN_POOL_PROCESSES) kill(getpid(), SIGKILL);
    return *in % 50 == 9 || *in % 50 == 7 ? 3 : 0;
}
KIN_MAP(sometimes, int, long)

static void take_failures(bool unordered)
{
    enum { COUNT = 400 };
    struct books books = books_open();
    runs = kin_alloc(COUNT * sizeof *runs);
    memset((void *)runs, 0, COUNT * sizeof *runs);
    kin_pool *pool = open_pool(2);
    kin_imap *imap = NULL;
    struct numbers numbers = {.end = COUNT};
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(sometimes), next_number, &numbers,
                           &(kin_imap_options){.unordered = unordered, .chunk = 13, .window = 100}));
    int failed = 0;
    for (int i = 0; i < COUNT; i++) {
        const void *out = NULL;
        long rc = kin_imap_next(imap, &out, kin_in_s(30));
        long index = kin_imap_index(imap);
        kin_failure failure;
        if (index % 50 == 7 || index % 50 == 9) {
            CHECK_RC(rc, KIN_EFAILED);
            CHECK_OK(kin_imap_failure(imap, &failure));
            bool died = index % 50 == 7 && pool_kind == KIN_POOL_PROCESSES;
            CHECK_EQ(failure.cause, died ? KIN_CAUSE_SIGNALED : KIN_CAUSE_RETURNED);
            CHECK_EQ(failure.task, index);
            failed++;
        } else {
            CHECK_RC(rc, sizeof(long));
            CHECK_EQ(*(const long *)out, index);
            CHECK_RC(kin_imap_failure(imap, &failure), -EINVAL);
        }
    }
    CHECK_EQ(failed, COUNT / 25);
    for (int i = 0; i < COUNT; i++) CHECK_EQ(runs[i], 1);
    CHECK_OK(kin_imap_close(imap));
    end_pool(pool);
    CHECK_OK(kin_free((void *)runs));
    books_check(&books);
}

POOL_TEST(an_item_fails_alone)
{
    take_failures(false);
}

POOL_TEST(an_item_fails_alone_out_of_order)
{
    take_failures(true);
}

/* ---- what stands behind an item that failed ----------------------------------------------------------- */

enum { EIGHT = 8, BAD = 3 };

static int but_one(const int *in, long *out)
{
    runs[*in]++;
    *out = *in;
    return *in == BAD ? 77 : 0;
}
KIN_MAP(but_one, int, long)

/* Before the pool, whose workers know it by that. */
static struct books make_runs(void)
{
    struct books books = books_open();
    runs = kin_alloc(EIGHT * sizeof *runs);
    memset((void *)runs, 0, EIGHT * sizeof *runs);
    return books;
}

/* A stream whose one chunk of eight has been run up to the fourth item, which failed; the first is taken. */
static kin_imap *begin_eight(kin_pool *pool, kin_items *items)
{
    static int in[EIGHT];
    kin_imap *imap = NULL;
    const void *out = NULL;
    for (int i = 0; i < EIGHT; i++) in[i] = i;
    *items = (kin_items){.items = in, .size = sizeof *in, .count = EIGHT};
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(but_one), kin_input_items, items,
                           &(kin_imap_options){.chunk = EIGHT}));
    CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), sizeof(long));
    CHECK_EQ(kin_imap_index(imap), 0);
    return imap;
}

static void next_is_good(kin_imap *imap, long index, kin_deadline deadline)
{
    const void *out = NULL;
    CHECK_RC(kin_imap_next(imap, &out, deadline), sizeof(long));
    CHECK_EQ(kin_imap_index(imap), index);
    CHECK_EQ(*(const long *)out, index);
}

static void next_has_failed(kin_imap *imap, long index, enum kin_cause cause, int code, kin_deadline deadline)
{
    const void *out = NULL;
    kin_failure failure;
    CHECK_RC(kin_imap_next(imap, &out, deadline), KIN_EFAILED);
    CHECK_EQ(kin_imap_index(imap), index);
    CHECK_OK(kin_imap_failure(imap, &failure));
    CHECK_EQ(failure.cause, cause);
    CHECK_EQ(failure.code, code);
    CHECK_EQ(failure.task, index);
    CHECK_STR(failure.function, "but_one");
}

static void end_stream(kin_imap *imap)
{
    const void *out = NULL;
    CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), KIN_EMPTY);
    CHECK_OK(kin_imap_close(imap));
    CHECK_OK(kin_free((void *)runs));
}

/* It was handed in before the pool was closed. */
POOL_TEST(is_run_in_a_closed_pool)
{
    struct books books = make_runs();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_items items;
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    kin_imap *imap = begin_eight(pool, &items);
    CHECK_OK(kin_pool_close(pool));
    for (int i = 1; i < BAD; i++) next_is_good(imap, i, kin_in_s(30));
    next_has_failed(imap, BAD, KIN_CAUSE_RETURNED, 77, kin_in_s(30));
    for (int i = BAD + 1; i < EIGHT; i++) next_is_good(imap, i, kin_in_s(30));
    for (int i = 0; i < EIGHT; i++) CHECK_EQ(runs[i], 1);
    end_stream(imap);
    board->open = 1;
    CHECK_EQ(value(running), 1);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* And if that has ended, it is told for what it is: not run, by nobody's fault. */
POOL_TEST(is_not_blamed_in_a_pool_that_has_ended)
{
    struct books books = make_runs();
    kin_pool *pool = open_pool(1);
    kin_items items;
    kin_imap *imap = begin_eight(pool, &items);
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    for (int i = 1; i < BAD; i++) next_is_good(imap, i, kin_in_s(30));
    next_has_failed(imap, BAD, KIN_CAUSE_RETURNED, 77, kin_in_s(30));
    for (int i = BAD + 1; i < EIGHT; i++) next_has_failed(imap, i, KIN_CAUSE_TERMINATED, 0, kin_in_s(30));
    for (int i = 0; i < EIGHT; i++) CHECK_EQ(runs[i], i <= BAD);
    end_stream(imap);
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

/* Its queue is full, and stays so until the gate is opened. */
POOL_TEST(takes_no_room_for_which_to_wait)
{
    struct books books = make_runs();
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1, .max_queued = 1}));
    struct board *board = make_board();
    kin_items items;
    kin_imap *imap = begin_eight(pool, &items);
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    kin_result *waiting = submit(pool, KIN_FN(wait_at_gate), board, 2, NULL), *none = NULL;
    struct order order = {board, 3};
    CHECK_RC(kin_pool_submit(pool, &none, KIN_FN(wait_at_gate), &order, sizeof order, KIN_NOW, NULL),
             -ETIMEDOUT);
    for (int i = 1; i < BAD; i++) next_is_good(imap, i, KIN_NOW);
    next_has_failed(imap, BAD, KIN_CAUSE_RETURNED, 77, KIN_NOW);
    const void *out = NULL;
    CHECK_RC(kin_imap_next(imap, &out, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_imap_next(imap, &out, kin_in_ms(1)), -ETIMEDOUT);
    board->open = 1;
    for (int i = BAD + 1; i < EIGHT; i++) next_is_good(imap, i, kin_in_s(30));
    end_stream(imap);
    CHECK_EQ(value(running), 1);
    CHECK_EQ(value(waiting), 2);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(a_terminated_pool_ends_its_streams)
{
    kin_pool *pool = open_pool(2);
    kin_imap *imap = NULL;
    struct numbers numbers = {.end = -1};
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(twice), next_number, &numbers, NULL));
    const void *out = NULL;
    CHECK_RC(kin_imap_next(imap, &out, kin_in_s(30)), sizeof(long));
    CHECK_OK(kin_pool_terminate(pool));
    long rc = 0;
    for (int i = 0; i < 5000 && rc != KIN_ECLOSED; i++) rc = kin_imap_next(imap, &out, kin_in_s(30));
    CHECK_RC(rc, KIN_ECLOSED);
    CHECK_OK(kin_imap_close(imap));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    struct numbers none = {0};
    CHECK_RC(kin_imap_open(&imap, pool, KIN_FN(twice), next_number, &none, NULL), KIN_ECLOSED);
}

POOL_TEST(an_array_is_a_stream)
{
    kin_pool *pool = open_pool(2);
    kin_imap *imap = NULL;
    int in[300];
    for (int i = 0; i < 300; i++) in[i] = i;
    kin_items items = {.items = in, .size = sizeof *in, .count = 300};
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(twice), kin_input_items, &items, NULL));
    const void *out = NULL;
    long sum = 0;
    while (kin_imap_next(imap, &out, kin_in_s(30)) >= 0) sum += *(const long *)out;
    CHECK_EQ(sum, 299 * 300);
    CHECK_OK(kin_imap_close(imap));
    CHECK_RC(kin_imap_open(NULL, pool, KIN_FN(twice), kin_input_items, &items, NULL), -EINVAL);
    imap = NULL;
    CHECK_RC(kin_imap_open(&imap, pool, KIN_FN(twice), kin_input_items, NULL, NULL), -EINVAL);
    CHECK(imap == NULL);
    CHECK_RC(kin_input_items(NULL, &out), -EINVAL);
    CHECK_RC(kin_input_items(&items, NULL), -EINVAL);
    const kin_imap_options refused[] = {{.timeout_ns = -1}, {.retries = -2}};
    for (int i = 0; i < 2; i++)
        CHECK_RC(kin_imap_open(&imap, pool, KIN_FN(twice), kin_input_items, &items, &refused[i]), -EINVAL);
    /* What is on the way takes memory, not what may be. */
    items.next = 0;
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(twice), kin_input_items, &items,
                           &(kin_imap_options){.window = SIZE_MAX, .max_bytes = SIZE_MAX, .chunk = 1}));
    for (sum = 0; kin_imap_next(imap, &out, kin_in_s(30)) >= 0;) sum += *(const long *)out;
    CHECK_EQ(sum, 299 * 300);
    CHECK_OK(kin_imap_close(imap));
    end_pool(pool);
}
