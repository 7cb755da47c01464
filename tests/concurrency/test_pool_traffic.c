/* test_pool_traffic.c: one pool used by many at once: every task run once, every result to whom
 * it belongs, while workers are recycled, killed and results dropped. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/pool.h>

#define SUBMITTERS_MOST 8

struct work {
    kin_pool *pool;
    int rounds;
    _Atomic uint32_t *runs; /* how often each task was run, by its number */
    _Atomic long dropped;
    _Atomic long failed;
};

struct order {
    _Atomic uint32_t *runs;
    int number;
    int fatal;
};

static int run_order(const struct order *order, long *out)
{
    order->runs[order->number]++;
    if (order->fatal) raise(SIGKILL);
    *out = order->number * 3L;
    return 0;
}
KIN_MAP(run_order, struct order, long)

static int double_it(const int *in, long *out)
{
    *out = 2L * *in;
    return 0;
}
KIN_MAP(double_it, int, long)

static int echo(const void *argument, size_t size, kin_reply *reply)
{
    return kin_reply_write(reply, argument, size);
}
KIN_BYTES(echo)

static struct work *open_work(int rounds, unsigned submitters, const kin_pool_options *options)
{
    struct work *work = kin_alloc(sizeof *work);
    work->rounds = test_sanitized() ? rounds / 10 : rounds;
    work->runs = kin_alloc((size_t)work->rounds * submitters * sizeof *work->runs);
    CHECK_OK(kin_pool_open(&work->pool, options));
    return work;
}

/* Ends the pool, and frees it and everything else. */
static void close_work(struct work *work)
{
    CHECK_RC(kin_pool_close(work->pool), 0);
    CHECK_RC(kin_pool_join(work->pool, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_free(work->pool), 0);
    CHECK_OK(kin_free((void *)work->runs));
    CHECK_OK(kin_free(work));
}

static void check_runs(const struct work *work, unsigned submitters)
{
    for (size_t i = 0; i < (size_t)work->rounds * submitters; i++)
        if (work->runs[i] != 1) FAIL("task %zu was run %u times", i, work->runs[i]);
}

/* ---- submitting, waiting, dropping ------------------------------------------------------------------- */

#define WINDOW 20

static void submit_some(void *context, unsigned index)
{
    struct work *work = context;
    kin_result *result[WINDOW] = {NULL};
    long expected[WINDOW];
    for (int i = 0; i < work->rounds + WINDOW; i++) {
        int slot = i % WINDOW;
        if (result[slot] != NULL) {
            long out = -1;
            CHECK_RC(kin_result_get(result[slot], &out, sizeof out, KIN_FOREVER), sizeof out);
            CHECK_EQ(out, expected[slot]);
            CHECK_OK(kin_result_close(result[slot]));
            result[slot] = NULL;
        }
        if (i >= work->rounds) continue;
        struct order order = {work->runs, (int)index * work->rounds + i, 0};
        CHECK_RC(kin_pool_submit(work->pool, &result[slot], KIN_FN(run_order), &order, sizeof order,
                                 KIN_FOREVER, NULL),
                 0);
        expected[slot] = order.number * 3L;
        if (i % 7 == 3) {
            CHECK_OK(kin_result_close(result[slot]));
            result[slot] = NULL;
            work->dropped++;
        }
    }
}

static void run_submitters(enum crew_kind kind, kin_pool_options options)
{
    struct books books = books_open();
    struct work *work = open_work(10000, 4, &options);
    double start = test_seconds();
    crew_run(kind, 4, submit_some, work);
    NOTE("%.0f tasks/s", 4 * work->rounds / (test_seconds() - start));
    CHECK_GT(work->dropped, 0);
    /* What nobody waited for is run all the same. */
    CHECK_RC(kin_pool_close(work->pool), 0);
    CHECK_RC(kin_pool_join(work->pool, KIN_FOREVER), 0);
    check_runs(work, 4);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(work->pool, &status));
    CHECK_EQ(status.submitted, 4 * (uint64_t)work->rounds);
    CHECK_EQ(status.done, status.submitted);
    CHECK_EQ(status.failed, 0);
    close_work(work);
    books_check(&books);
}

static void four_submit(enum crew_kind kind)
{
    run_submitters(kind, (kin_pool_options){.workers = 2});
}
CREW_TEST(four_submit)

static void four_submit_to_a_short_queue(enum crew_kind kind)
{
    run_submitters(kind, (kin_pool_options){.workers = 3, .max_queued = 2});
}
CREW_TEST(four_submit_to_a_short_queue)

static void four_submit_and_workers_change(enum crew_kind kind)
{
    run_submitters(kind, (kin_pool_options){.workers = 2, .tasks_per_worker = 500});
}
CREW_TEST(four_submit_and_workers_change)

/* ---- maps at the same time ------------------------------------------------------------------------------ */

static void map_some(void *context, unsigned index)
{
    struct work *work = context;
    uint64_t random = 31 + index;
    enum { MOST = 2000 };
    int *in = malloc(MOST * sizeof *in);
    long *out = malloc(MOST * sizeof *out);
    for (int i = 0; i < work->rounds; i++) {
        size_t count = 1 + chaos_random(&random) % MOST;
        for (size_t n = 0; n < count; n++) in[n] = (int)(n * 5 + index);
        CHECK_RC(kin_pool_map(work->pool, KIN_FN(double_it), in, out, count, KIN_FOREVER), 0);
        for (size_t n = 0; n < count; n++) CHECK_EQ(out[n], 2L * in[n]);
    }
    free(in);
    free(out);
}

static void four_map(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = open_work(500, 1, &(kin_pool_options){.workers = 2});
    crew_run(kind, 4, map_some, work);
    close_work(work);
    books_check(&books);
}
CREW_TEST(four_map)

static void map_or_submit(void *context, unsigned index)
{
    enum { MOST = 50000 };
    struct work *work = context;
    if (index % 2 == 0) {
        map_some(context, index);
        return;
    }
    unsigned char *own = malloc(MOST), *got = malloc(MOST);
    for (int i = 0; i < 5 * work->rounds; i++) {
        size_t size = (size_t)(i * 977) % MOST;
        memset(own, i, size);
        CHECK_RC(kin_pool_apply(work->pool, KIN_FN(echo), own, size, got, MOST, KIN_FOREVER, NULL),
                 (long)size);
        CHECK_MEM(got, own, size);
    }
    free(own);
    free(got);
}

static void maps_and_tasks(enum crew_kind kind)
{
    if (kind != CREW_PROCESSES && !crew_sees_processes()) SKIP("workers hand blocks from thread to thread");
    struct books books = books_open();
    struct work *work = open_work(300, 1, &(kin_pool_options){.workers = 2});
    crew_run(kind, 4, map_or_submit, work);
    close_work(work);
    books_check(&books);
}
CREW_TEST(maps_and_tasks)

/* ---- deaths --------------------------------------------------------------------------------------------- */

static void submit_fatal_ones_too(void *context, unsigned index)
{
    struct work *work = context;
    for (int i = 0; i < work->rounds; i++) {
        struct order order = {work->runs, (int)index * work->rounds + i, i % 20 == 9};
        long out = -1;
        kin_failure failure = {0};
        long rc = kin_pool_apply(work->pool, KIN_FN(run_order), &order, sizeof order, &out, sizeof out,
                                 KIN_FOREVER, &failure);
        if (order.fatal) {
            CHECK_RC(rc, KIN_EFAILED);
            CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
            CHECK_EQ(failure.signal, SIGKILL);
            work->failed++;
        } else {
            CHECK_RC(rc, sizeof out);
            CHECK_EQ(out, order.number * 3L);
        }
    }
}

static void deaths_are_charged_to_whom_they_belong(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = open_work(1000, 4, &(kin_pool_options){.workers = 3});
    crew_run(kind, 4, submit_fatal_ones_too, work);
    check_runs(work, 4);
    kin_pool_status status;
    /* A task is counted after its end has been told. */
    test_until(kin_pool_stats(work->pool, &status) == 0 && status.done + status.failed >= status.submitted);
    CHECK_EQ(status.failed, work->failed);
    CHECK_EQ(status.deaths, work->failed);
    CHECK_EQ(status.done, status.submitted - status.failed);
    close_work(work);
    books_check_blocks(&books);
}
CREW_TEST(deaths_are_charged_to_whom_they_belong)

/* ---- pools at the same time ------------------------------------------------------------------------------ */

static void open_pools(void *context, unsigned index)
{
    int rounds = *(int *)context;
    for (int i = 0; i < rounds; i++) {
        kin_pool *pool = NULL;
        int in[50];
        long out[50];
        for (int n = 0; n < 50; n++) in[n] = (int)index + n + i;
        CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
        CHECK_RC(kin_pool_map(pool, KIN_FN(double_it), in, out, 50, KIN_FOREVER), 0);
        for (int n = 0; n < 50; n++) CHECK_EQ(out[n], 2L * in[n]);
        if (i % 2 == 0) {
            CHECK_OK(kin_pool_close(pool));
            CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
        }
        CHECK_RC(kin_pool_free(pool), 0);
    }
}

/* Not from threads under a sanitizer: what it starts in a program must not be forked. */
static void pools_come_and_go(enum crew_kind kind)
{
    if (test_sanitized() && kind != CREW_PROCESSES) SKIP("a sanitizer does not bear forks in threads");
    struct books books = books_open();
    int rounds = test_sanitized() ? 3 : 15;
    crew_run(kind, 3, open_pools, &rounds);
    books_check_blocks(&books);
}
CREW_TEST(pools_come_and_go)
