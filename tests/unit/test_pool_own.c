/* test_pool_own.c: a task that waits for a task of its own pool has another worker in its place, however it
 * waits. */
#include "pool_board.h"

#include <kin/wait.h>

static const struct order one = {.number = 1};

/* A task that the pool can only begin when somebody else does it; another one of another pool, that is never over. */
struct wish {
    kin_pool *pool, *other;
    struct board *board;
    int way;
};

static void count_call(kin_result *result, void *context)
{
    (void)result;
    ++*(int *)context;
}

static long poll_for(kin_pool *pool, kin_result *result)
{
    int called = 0;
    CHECK_OK(kin_result_add_done_callback(result, count_call, NULL, &called));
    long count = kin_pool_poll(pool, kin_in_s(30));
    CHECK_EQ(called, count > 0);
    return count;
}

static long wait_with_waiter(kin_result *result, bool late)
{
    kin_waiter *waiter = NULL;
    kin_waitable item = kin_on_result(result), never = kin_on_descriptor(0), ready;
    int ends[2];
    CHECK_OK(pipe(ends));
    never.descriptor = ends[0];
    CHECK_OK(kin_waiter_open(&waiter));
    CHECK_OK(kin_waiter_add(waiter, late ? &never : &item));
    CHECK_OK(kin_waiter_add(waiter, late ? &item : &never));
    long rc = kin_waiter_wait(waiter, &ready, 1, kin_in_s(30));
    CHECK_OK(kin_waiter_close(waiter));
    close(ends[0]);
    close(ends[1]);
    return rc;
}

static long wait_in(const struct wish *wish, kin_result *result)
{
    kin_waitable item = kin_on_result(result);
    kin_result *never = NULL;
    switch (wish->way) {
    case 0: return poll_for(wish->pool, result);
    case 1: return kin_wait(&item, 1, kin_in_s(30));
    case 2: return wait_with_waiter(result, false);
    case 3: return wait_with_waiter(result, true);
    case 4: return kin_result_wait(result, kin_in_s(30)) == 0;
    default: break;
    }
    /* Together with one of another pool. */
    never = submit(wish->other, KIN_FN(wait_at_gate), wish->board, 0, NULL);
    kin_result *both[] = {never, result};
    long rc = kin_results_wait(both, 2, KIN_FIRST_COMPLETED, kin_in_s(30));
    CHECK_OK(kin_result_cancel(never));
    CHECK_OK(kin_result_close(never));
    return rc;
}

static int wait_for_own(const struct wish *wish, long *out)
{
    kin_result *result = submit(wish->pool, KIN_FN(note), wish->board, one.number, NULL);
    *out = wait_in(wish, result);
    CHECK_OK(kin_result_close(result));
    return 0;
}
KIN_MAP(wait_for_own, struct wish, long)

POOL_TEST(in_every_way)
{
    enum { WAYS = 6 };
    struct books books = books_open();
    kin_pool *pool = open_pool(1), *other = open_pool(1);
    struct board *board = make_board();
    for (int way = 0; way < WAYS; way++) {
        struct wish wish = {pool, other, board, way};
        long ready = -1;
        test_context("way %d", way);
        CHECK_RC(kin_pool_apply(pool, KIN_FN(wait_for_own), &wish, sizeof wish, &ready, sizeof ready,
                                kin_in_s(60), NULL),
                 sizeof ready);
        CHECK_EQ(ready, 1);
        CHECK_EQ(board->count, way + 1);
    }
    end_pool(pool);
    end_pool(other);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* ---- without end ------------------------------------------------------------------------------------- */

/* For a chain of starts. */
static kin_deadline in_scaled_s(double seconds)
{
    return kin_in_ns((int64_t)(seconds * 1e9 * test_time_scale()));
}

static int wait_deeper(const struct wish *wish, long *out);
KIN_MAP(wait_deeper, struct wish, long)

/* Each begins the next, and waits for it; the one that may not tells why. */
static int wait_deeper(const struct wish *wish, long *out)
{
    kin_result *result = NULL;
    int rc =
        kin_pool_submit(wish->pool, &result, KIN_FN(wait_deeper), wish, sizeof *wish, in_scaled_s(30), NULL);
    if (rc < 0) return rc;
    long waited = wait_in(wish, result);
    if (waited == -EDEADLK) CHECK_OK(kin_result_cancel(result));
    if (waited == 1) CHECK_RC(kin_result_get(result, &waited, sizeof waited, KIN_NOW), sizeof waited);
    CHECK_OK(kin_result_close(result));
    *out = waited;
    return 0;
}

static void go_down(int way)
{
    kin_pool *pool = open_pool(1);
    struct wish wish = {.pool = pool, .way = way};
    long out = 0;
    CHECK_RC(kin_pool_apply(pool, KIN_FN(wait_deeper), &wish, sizeof wish, &out, sizeof out, in_scaled_s(60),
                            NULL),
             sizeof out);
    CHECK_EQ(out, -EDEADLK);
    end_pool(pool);
}

POOL_TEST(who_goes_too_deep_is_refused)
{
    /* Threads have the callbacks of each other. */
    if (pool_kind == KIN_POOL_PROCESSES) go_down(0);
    go_down(1);
}
