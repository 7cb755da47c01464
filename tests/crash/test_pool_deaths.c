/* test_pool_deaths.c: a worker ends in every way at every place where it can: exactly one clear error for
 * what it was on, nothing for anybody else, and as many workers as before. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/imap.h>
#include <kin/memory.h>
#include <kin/pool.h>

enum way { KILLED, FAULT, ABORTED, EXITED, EXITED_IN_ORDER, WAYS };

static const struct {
    const char *name;
    enum kin_cause cause;
    int number; /* the signal or the code */
} ways[WAYS] = {
    {"SIGKILL", KIN_CAUSE_SIGNALED, SIGKILL},
    {"SIGSEGV", KIN_CAUSE_SIGNALED, SIGSEGV},
    {"abort", KIN_CAUSE_SIGNALED, SIGABRT},
    {"_exit", KIN_CAUSE_EXITED, 7},
    {"exit", KIN_CAUSE_EXITED, 8},
};

static void die(enum way way)
{
    switch (way) {
    case KILLED: kill(getpid(), SIGKILL); break;
    case FAULT:
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        break;
    case ABORTED: signal(SIGABRT, SIG_DFL); abort();
    case EXITED: _exit(7);
    case EXITED_IN_ORDER: exit(8);
    case WAYS: break;
    }
}

static void check_failure(const kin_failure *failure, enum way way)
{
    CHECK_EQ(failure->cause, ways[way].cause);
    CHECK_EQ(failure->cause == KIN_CAUSE_SIGNALED ? failure->signal : failure->code, ways[way].number);
    CHECK_GT(failure->worker_pid, 0);
}

static void check_result(kin_result *result, enum way way)
{
    kin_failure failure;
    CHECK_OK(kin_result_wait(result, kin_in_s(60)));
    CHECK_OK(kin_result_failure(result, &failure));
    check_failure(&failure, way);
    CHECK_OK(kin_result_close(result));
}

/* ---- the places ----------------------------------------------------------------------------------------- */

/* An item of any of the kinds below: the one with a way dies of it. */
struct item {
    int way; /* -1: none */
    int number;
};

static int run_item(const struct item *in, int *out)
{
    *out = in->number;
    if (in->way >= 0) die((enum way)in->way);
    return 0;
}
KIN_MAP(run_item, struct item, int)

static int run_bytes(const void *argument, size_t size, kin_reply *reply)
{
    enum way way;
    memcpy(&way, argument, sizeof way);
    (void)size;
    for (int i = 0; i < 1000; i++) kin_reply_printf(reply, "half of what it returns ");
    die(way);
    return 0;
}
KIN_BYTES(run_bytes)

static void *die_in_thread(void *way)
{
    die(*(enum way *)way);
    return NULL;
}

static int run_thread(const void *argument, size_t size, kin_reply *reply)
{
    enum way way;
    pthread_t thread;
    memcpy(&way, argument, sizeof way);
    (void)size, (void)reply;
    if (pthread_create(&thread, NULL, die_in_thread, &way) != 0) return 1;
    return pthread_join(thread, NULL);
}
KIN_BYTES(run_thread)

/* It has waited for a task of its own pool. */
static int run_nested(const void *argument, size_t size, kin_reply *reply)
{
    enum way way;
    struct item item = {-1, 5};
    int out = 0;
    memcpy(&way, argument, sizeof way);
    (void)size, (void)reply;
    long rc = kin_pool_apply(kin_worker_pool(), KIN_FN(run_item), &item, sizeof item, &out, sizeof out,
                             kin_in_s(60), NULL);
    if (rc != sizeof out || out != 5) return 1;
    die(way);
    return 0;
}
KIN_BYTES(run_nested)

static void in_function(kin_pool *pool, const kin_function *function, enum way way)
{
    kin_result *result = NULL;
    CHECK_OK(kin_pool_submit(pool, &result, function, &way, sizeof way, kin_in_s(60), NULL));
    check_result(result, way);
}

static void in_bytes(kin_pool *pool, enum way way)
{
    in_function(pool, KIN_FN(run_bytes), way);
}

static void in_thread(kin_pool *pool, enum way way)
{
    in_function(pool, KIN_FN(run_thread), way);
}

static void in_nested(kin_pool *pool, enum way way)
{
    in_function(pool, KIN_FN(run_nested), way);
}

static void in_item(kin_pool *pool, enum way way)
{
    const struct item item = {(int)way, 1};
    kin_result *result = NULL;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(run_item), &item, sizeof item, kin_in_s(60), NULL));
    check_result(result, way);
}

enum { ITEMS = 40, FATAL = 23 };

static void make_items(struct item *items, enum way way)
{
    for (int i = 0; i < ITEMS; i++) items[i] = (struct item){i == FATAL ? (int)way : -1, i};
}

static void in_map(kin_pool *pool, enum way way)
{
    struct item items[ITEMS];
    int out[ITEMS];
    size_t failed = 0;
    kin_failure failure;
    make_items(items, way);
    CHECK_RC(kin_pool_map_with(
                 pool, KIN_FN(run_item), items, out, ITEMS, kin_in_s(60),
                 &(kin_map_options){
                     .keep_going = true, .failures = &failure, .max_failures = 1, .failed = &failed}),
             KIN_EFAILED);
    CHECK_EQ(failed, 1);
    CHECK_EQ(failure.task, FATAL);
    check_failure(&failure, way);
    for (int i = 0; i < ITEMS; i++) CHECK_EQ(i == FATAL || out[i] == i, true);
}

static void in_map_async(kin_pool *pool, enum way way)
{
    struct item items[ITEMS];
    kin_result *result = NULL;
    make_items(items, way);
    CHECK_OK(kin_pool_map_async(pool, &result, KIN_FN(run_item), (const void *[]){items}, ITEMS, kin_in_s(60),
                                NULL));
    check_result(result, way);
}

static void in_stream(kin_pool *pool, enum way way)
{
    struct item items[ITEMS];
    kin_items source = {.items = items, .count = ITEMS, .size = sizeof *items};
    kin_imap *imap = NULL;
    kin_failure failure;
    make_items(items, way);
    CHECK_OK(kin_imap_open(&imap, pool, KIN_FN(run_item), kin_input_items, &source,
                           &(kin_imap_options){.chunk = 7}));
    for (int i = 0; i < ITEMS; i++) {
        const void *out = NULL;
        long rc = kin_imap_next(imap, &out, kin_in_s(60));
        CHECK_RC(rc, i == FATAL ? KIN_EFAILED : (long)sizeof(int));
        if (i != FATAL) CHECK_EQ(*(const int *)out, i);
        if (i != FATAL) continue;
        CHECK_OK(kin_imap_failure(imap, &failure));
        check_failure(&failure, way);
    }
    CHECK_OK(kin_imap_close(imap));
}

static void all_is_well(kin_pool *pool)
{
    struct item items[ITEMS];
    int out[ITEMS];
    kin_pool_status status;
    make_items(items, WAYS);
    items[FATAL].way = -1;
    CHECK_OK(kin_pool_map(pool, KIN_FN(run_item), items, out, ITEMS, kin_in_s(60)));
    for (int i = 0; i < ITEMS; i++) CHECK_EQ(out[i], i);
    test_until(kin_pool_stats(pool, &status) == 0 && status.alive == 2 && status.running == 0);
}

TEST(every_end_of_a_worker_is_one_clear_error, .deadline = 120)
{
    static const struct {
        const char *name;
        void (*run)(kin_pool *pool, enum way way);
    } places[] = {
        {"a task of bytes", in_bytes},
        {"an item", in_item},
        {"a map", in_map},
        {"an asynchronous map", in_map_async},
        {"a stream", in_stream},
        {"a thread of a task", in_thread},
        {"a task that has waited for its pool", in_nested},
    };
    struct books books = books_open();
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        for (enum way way = 0; way < WAYS; way++) {
            test_context("%s in %s", ways[way].name, places[p].name);
            kin_pool_status before, after;
            CHECK_OK(kin_pool_stats(pool, &before));
            places[p].run(pool, way);
            all_is_well(pool);
            CHECK_OK(kin_pool_stats(pool, &after));
            CHECK_EQ(after.deaths, before.deaths + 1);
            CHECK_EQ(after.deaths_by[ways[way].cause], before.deaths_by[ways[way].cause] + 1);
        }
    }
    test_context(NULL);
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(60)));
    CHECK_OK(kin_pool_free(pool));
    books_check_blocks(&books);
}

/* ---- before the first task --------------------------------------------------------------------------------- */

/* In family memory: how often it is run, and the one run that ends. */
struct start {
    _Atomic int runs;
    int fatal;
    enum way way;
};

static int set_up(void *context)
{
    struct start *start = context;
    if (++start->runs == start->fatal) die(start->way);
    return 0;
}

TEST(an_initializer_that_ends_its_worker_is_told)
{
    struct books books = books_open();
    struct start *start = kin_alloc(sizeof *start);
    for (enum way way = 0; way < WAYS; way++) {
        kin_pool *pool = NULL;
        kin_failure failure = {0};
        test_context("%s", ways[way].name);
        *start = (struct start){.fatal = 2, .way = way};
        CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.workers = 2,
                                                          .initializer = set_up,
                                                          .context = start,
                                                          .failure = &failure}),
                 KIN_EINITIALIZER);
        CHECK(pool == NULL);
        /* Of a replacement, it is tried again. */
        *start = (struct start){.fatal = 3, .way = way};
        CHECK_OK(
            kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .initializer = set_up, .context = start}));
        in_item(pool, KILLED);
        all_is_well(pool);
        test_until(start->runs == 4);
        CHECK_OK(kin_pool_free(pool));
    }
    test_context(NULL);
    CHECK_OK(kin_free(start));
    books_check_blocks(&books);
}
