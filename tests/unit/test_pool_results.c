/* test_pool_results.c: waiting for several results, callbacks, maps that nobody waits in, maps over
 * several arrays, and progress. */
#define _GNU_SOURCE
#include "pool_board.h"

#include <sys/wait.h>

#include <kin/thread.h>

#include "pool/pool.h"

static int fail(const struct order *order, int *out)
{
    *out = 0;
    return order->number;
}
KIN_MAP(fail, struct order, int)

POOL_TEST(waiting_for_the_first)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2), *other = open_pool(1);
    struct board *board = make_board();
    kin_result *results[4] = {submit(pool, KIN_FN(wait_at_gate), board, 1, NULL), NULL};
    test_until(board->inside == 1);
    CHECK_RC(kin_results_wait(results, 4, KIN_FIRST_COMPLETED, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_RC(kin_results_next(results, 4, KIN_NOW), -ETIMEDOUT);
    results[2] = submit(pool, KIN_FN(note), board, 2, NULL);
    CHECK_RC(kin_results_wait(results, 4, KIN_FIRST_COMPLETED, kin_in_s(30)), 1);
    CHECK_RC(kin_results_wait(results, 4, KIN_FIRST_FAILED, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_RC(kin_results_wait(results, 4, KIN_ALL_COMPLETED, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_RC(kin_results_next(results, 4, kin_in_s(30)), 2);
    /* Of several pools, too. */
    results[3] = submit(other, KIN_FN(fail), board, 9, NULL);
    CHECK_RC(kin_results_wait(results, 4, KIN_FIRST_FAILED, kin_in_s(30)), 2);
    board->open = 1;
    CHECK_RC(kin_results_wait(results, 4, KIN_ALL_COMPLETED, kin_in_s(30)), 3);
    CHECK_RC(kin_results_wait(NULL, 0, KIN_ALL_COMPLETED, KIN_NOW), 0);
    CHECK_RC(kin_results_wait(NULL, 1, KIN_ALL_COMPLETED, KIN_NOW), -EINVAL);
    CHECK_RC(kin_results_wait(results, 4, (enum kin_results_mode)7, KIN_NOW), -EINVAL);
    kin_result *none[] = {NULL, NULL};
    CHECK_RC(kin_results_next(none, 2, KIN_FOREVER), KIN_EMPTY);
    for (int i = 0; i < 4; i++) CHECK_OK(kin_result_close(results[i]));
    end_pool(pool);
    end_pool(other);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* Works for so many microseconds. */
static int work(const struct order *order, int *out)
{
    double end = test_seconds() + 1e-6 * order->number;
    *out = 0;
    while (test_seconds() < end)
        ;
    return 0;
}
KIN_MAP(work, struct order, int)

/* Those that are over take long to look at; meanwhile the last of all gets over, at some round between the look
 * whether all are, and the look which are not. */
TEST(the_last_of_several_pools_may_end_at_any_moment)
{
    enum { RESULTS = 2000 };
    static kin_result *results[RESULTS];
    kin_pool *pool = open_pool(1), *other = open_pool(1);
    struct board *board = make_board();
    for (int i = 1; i < RESULTS; i++) results[i] = submit(other, KIN_FN(work), board, 0, NULL);
    int rounds = test_sanitized() ? 100 : 1000;
    for (int round = 0; round < rounds; round++) {
        results[0] = submit(pool, KIN_FN(work), board, round % 100 * 4, NULL);
        CHECK_RC(kin_results_wait(results, RESULTS, KIN_FIRST_FAILED, kin_in_s(20)), RESULTS);
        CHECK_OK(kin_result_close(results[0]));
    }
    for (int i = 1; i < RESULTS; i++) CHECK_OK(kin_result_close(results[i]));
    end_pool(pool);
    end_pool(other);
    CHECK_OK(kin_free(board));
}

POOL_TEST(results_as_they_complete)
{
    enum { TASKS = 200 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *results[TASKS];
    for (int i = 0; i < TASKS; i++) results[i] = submit(pool, KIN_FN(note), board, 0, NULL);
    for (int i = 0; i < TASKS; i++) {
        long index = kin_results_next(results, TASKS, kin_in_s(30));
        CHECK_OK(index);
        CHECK_RC(kin_result_successful(results[index]), 1);
        CHECK_OK(kin_result_close(results[index]));
        results[index] = NULL;
    }
    CHECK_RC(kin_results_next(results, TASKS, KIN_FOREVER), KIN_EMPTY);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(nobody_waits_for_a_terminated_pool)
{
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    kin_result *results[3];
    for (int i = 0; i < 3; i++) results[i] = submit(pool, KIN_FN(wait_at_gate), board, i, NULL);
    test_until(board->inside == 1);
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_RC(kin_results_wait(results, 3, KIN_ALL_COMPLETED, kin_in_s(30)), 3);
    for (int i = 0; i < 3; i++) CHECK_EQ(failure_of(results[i]).cause, KIN_CAUSE_TERMINATED);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
}

/* ---- closed by another thread meanwhile ------------------------------------------------------------ */

static bool somebody_sleeps(struct kin__event *event)
{
    return kin__waiters_count(atomic_load(&event->point.waiters)) > 0;
}

static int end_of(kin_thread *thread)
{
    int result = 0;
    CHECK_OK(kin_thread_join(thread, kin_in_s(30)));
    CHECK_OK(kin_thread_result(thread, &result));
    CHECK_OK(kin_thread_close(thread));
    return result;
}

static int wait_for_two(void *results)
{
    return (int)kin_results_wait(results, 2, KIN_FIRST_COMPLETED, KIN_FOREVER);
}

static int wait_for_next(void *results)
{
    return (int)kin_results_next(results, 2, KIN_FOREVER);
}

static int wait_for_first(void *results)
{
    return kin_result_wait(*(kin_result **)results, KIN_FOREVER);
}

/* The first of two results is closed while it is waited for; the wait sleeps on that event. */
static void close_in_a_wait(int (*wait)(void *results), kin_pool *pool, kin_pool *other, bool together)
{
    struct board *board = make_board();
    kin_thread *waiter = NULL;
    kin_result *results[2] = {submit(pool, KIN_FN(wait_at_gate), board, 1, NULL),
                              submit(other, KIN_FN(wait_at_gate), board, 2, NULL)};
    CHECK_OK(kin_thread_start(&waiter, wait, results, NULL));
    test_until(somebody_sleeps(together ? &pool->completed : &results[0]->done));
    CHECK_OK(kin_result_close(results[0]));
    CHECK_EQ(end_of(waiter), KIN_ECLOSED);
    board->open = 1;
    CHECK_EQ(value(results[1]), 2);
    CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
    CHECK_OK(kin_free(board));
}

POOL_TEST(a_result_that_is_closed_ends_every_wait)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2), *other = open_pool(1);
    close_in_a_wait(wait_for_two, pool, pool, true);
    close_in_a_wait(wait_for_two, pool, other, false);
    close_in_a_wait(wait_for_next, pool, pool, true);
    close_in_a_wait(wait_for_next, pool, other, false);
    close_in_a_wait(wait_for_first, pool, pool, false);
    end_pool(pool);
    end_pool(other);
    books_check(&books);
}

struct late_waiter {
    int (*wait)(void *results);
    kin_result *results[2];
};

static void hear_that_it_is_closed(void *context)
{
    struct late_waiter *late = context;
    CHECK_EQ(late->wait(late->results), KIN_ECLOSED);
}

/* While who waits is stopped, the first result is closed and its record becomes another task's, which does
 * not end before he has answered. */
static void reuse_in_a_wait(int (*wait)(void *results), kin_pool *pool, kin_pool *other, bool together)
{
    struct board *first = make_board(), *rest = make_board();
    struct late_waiter late = {wait,
                               {submit(pool, KIN_FN(wait_at_gate), first, 1, NULL),
                                submit(other, KIN_FN(wait_at_gate), rest, 2, NULL)}};
    kin_result *closed = late.results[0];
    int status;
    pid_t waiter = test_child(hear_that_it_is_closed, &late);
    test_until(somebody_sleeps(together ? &pool->completed : &closed->done));
    CHECK_EQ(kill(waiter, SIGSTOP), 0);
    CHECK_EQ(waitpid(waiter, &status, WUNTRACED), waiter);
    CHECK_OK(kin_result_close(closed));
    first->open = 1;
    test_until(KIN__TASK_STATE(atomic_load(&closed->state)) == KIN__TASK_FREE);
    kin_result *next = submit(pool, KIN_FN(wait_at_gate), rest, 3, NULL);
    CHECK_EQ(next, closed);
    CHECK_EQ(kill(waiter, SIGCONT), 0);
    CHECK_EQ(test_collect(waiter), 0);
    rest->open = 1;
    CHECK_EQ(value(next), 3);
    CHECK_EQ(value(late.results[1]), 2);
    CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
    CHECK_OK(kin_free(first));
    CHECK_OK(kin_free(rest));
}

static int wait_for_both(void *results)
{
    return (int)kin_results_wait(results, 2, KIN_ALL_COMPLETED, KIN_FOREVER);
}

POOL_TEST(nobody_waits_for_the_next_task_of_a_record)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2), *other = open_pool(1);
    reuse_in_a_wait(wait_for_first, pool, pool, false);
    reuse_in_a_wait(wait_for_both, pool, pool, false);
    reuse_in_a_wait(wait_for_two, pool, pool, true);
    reuse_in_a_wait(wait_for_next, pool, pool, true);
    reuse_in_a_wait(wait_for_two, pool, other, false);
    end_pool(pool);
    end_pool(other);
    books_check(&books);
}

struct foreign {
    struct board *board;
    kin_result *result;
};

static int wait_for_a_foreign_one(const struct foreign *foreign, int *out)
{
    foreign->board->count = getpid();
    *out = kin_result_wait(foreign->result, KIN_FOREVER);
    return 0;
}
KIN_MAP(wait_for_a_foreign_one, struct foreign, int)

/* A worker waits for a result of another pool, and goes on when the record is one of its own pool: of that it
 * has never waited for any. */
TEST(a_wait_ends_on_the_pool_on_which_it_began)
{
    enum { TASKS = KIN__SEGMENT_RECORDS + 1 };
    kin_pool *pool = open_pool(1), *other = open_pool(1);
    struct board *board = make_board();
    struct foreign foreign = {board, submit(other, KIN_FN(wait_at_gate), board, 1, NULL)};
    kin_result *waiting = NULL, *results[TASKS];
    CHECK_OK(kin_pool_submit(pool, &waiting, KIN_FN(wait_for_a_foreign_one), &foreign, sizeof foreign,
                             KIN_FOREVER, NULL));
    test_until(somebody_sleeps(&foreign.result->done));
    CHECK_EQ(kill(board->count, SIGSTOP), 0);
    CHECK_OK(kin_result_close(foreign.result));
    board->open = 1;
    end_pool(other);
    for (int i = 0; i < TASKS; i++) results[i] = submit(pool, KIN_FN(work), board, 0, NULL);
    CHECK_EQ(foreign.result->pool, pool);
    CHECK_EQ(kill(board->count, SIGCONT), 0);
    CHECK_EQ(value(waiting), KIN_ECLOSED);
    CHECK_RC(kin_results_wait(results, TASKS, KIN_ALL_COMPLETED, kin_in_s(30)), TASKS);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.blocked, 0);
    for (int i = 0; i < TASKS; i++) CHECK_OK(kin_result_close(results[i]));
    end_pool(pool);
    CHECK_OK(kin_free(board));
}

/* ---- callbacks -------------------------------------------------------------------------------------- */

static struct {
    _Atomic int done, failed;
    _Atomic int thread;
} called;

static void when_done(kin_result *result, void *context)
{
    int out = 0;
    CHECK_RC(kin_result_get(result, &out, sizeof out, KIN_NOW), sizeof out);
    CHECK_EQ(context, &called);
    called.thread = kin_thread_id(kin_thread_current());
    called.done++;
    CHECK_OK(kin_result_close(result));
}

static void when_failed(kin_result *result, void *context)
{
    (void)context;
    CHECK_EQ(failure_of(result).cause, KIN_CAUSE_RETURNED);
    called.failed++;
    CHECK_OK(kin_result_close(result));
}

static void submit_with_callbacks(kin_pool *pool, struct board *board, int count)
{
    for (int i = 0; i < count; i++) {
        kin_result *result = submit(pool, i % 4 == 3 ? KIN_FN(fail) : KIN_FN(note), board, i % 4, NULL);
        CHECK_OK(kin_result_add_done_callback(result, when_done, when_failed, &called));
        board->count = 0;
    }
}

POOL_TEST(callbacks_are_called_where_the_user_says)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    CHECK_RC(kin_pool_poll(pool, KIN_FOREVER), 0);
    submit_with_callbacks(pool, board, 40);
    CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
    CHECK_EQ(called.done + called.failed, 0);
    long count = 0;
    while (count < 40) {
        long now = kin_pool_poll(pool, kin_in_s(30));
        CHECK_GT(now, 0);
        count += now;
    }
    CHECK_EQ(called.done, 30);
    CHECK_EQ(called.failed, 10);
    CHECK_EQ(called.thread, kin_thread_id(kin_thread_current()));
    CHECK_RC(kin_pool_poll(pool, KIN_FOREVER), 0);
    /* One that is closed is not told of, and one that waits is waited for. */
    kin_result *result = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    CHECK_OK(kin_result_add_done_callback(result, when_done, NULL, &called));
    CHECK_RC(kin_result_add_done_callback(result, NULL, NULL, NULL), -EINVAL);
    CHECK_RC(kin_pool_poll(pool, kin_in_ms(20)), 0);
    board->open = 1;
    CHECK_RC(kin_pool_poll(pool, kin_in_s(30)), 1);
    result = submit(pool, KIN_FN(note), board, 1, NULL);
    CHECK_OK(kin_result_add_done_callback(result, when_done, NULL, &called));
    CHECK_OK(kin_result_close(result));
    CHECK_RC(kin_pool_poll(pool, KIN_FOREVER), 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

static int poll_for_ever(void *pool)
{
    return (int)kin_pool_poll(pool, KIN_FOREVER);
}

/* A closed result is freed by the worker that ends it: that wakes who waits for its callback. */
POOL_TEST(who_waits_for_a_callback_hears_that_its_result_is_gone)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    kin_thread *poller = NULL;
    kin_result *result = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    CHECK_OK(kin_result_add_done_callback(result, when_done, when_failed, &called));
    CHECK_OK(kin_thread_start(&poller, poll_for_ever, pool, NULL));
    test_until(board->inside == 1 && somebody_sleeps(&pool->completed));
    CHECK_OK(kin_result_close(result));
    board->open = 1;
    CHECK_EQ(end_of(poller), 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check_wakes(&books);
}

POOL_TEST(a_pool_may_have_a_thread_for_callbacks)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    struct board *board = make_board();
    CHECK_OK(
        kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 2, .callback_thread = true}));
    submit_with_callbacks(pool, board, 20);
    test_until(called.done + called.failed == 20);
    CHECK_NE(called.thread, kin_thread_id(kin_thread_current()));
    submit_with_callbacks(pool, board, 20);
    end_pool(pool); /* all are called before the pool has ended */
    CHECK_EQ(called.done + called.failed, 40);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* ---- maps --------------------------------------------------------------------------------------------- */

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return *in == -1 ? 5 : 0;
}
KIN_MAP(square, int, long)

static int add(const int *a, const short *b, long *out)
{
    *out = *a + *b;
    return 0;
}
KIN_STARMAP2(add, int, short, long)

static int select_one(const int *a, const long *b, const char *which, long *out)
{
    *out = *which ? *b : *a;
    return 0;
}
KIN_STARMAP3(select_one, int, long, char, long)

enum { ITEMS = 5000 };

POOL_TEST(a_map_that_nobody_waits_in)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    int in[ITEMS];
    for (int i = 0; i < ITEMS; i++) in[i] = i;
    const void *arrays[] = {in};
    kin_result *results[3];
    for (int i = 0; i < 3; i++)
        CHECK_OK(kin_pool_map_async(pool, &results[i], KIN_FN(square), arrays, ITEMS, kin_in_s(30), NULL));
    CHECK_RC(kin_results_wait(results, 3, KIN_ALL_COMPLETED, kin_in_s(30)), 3);
    const void *view = NULL;
    CHECK_RC(kin_result_view(results[1], &view), ITEMS * sizeof(long));
    for (int i = 0; i < ITEMS; i++) CHECK_EQ(((const long *)view)[i], (long)i * i);
    for (int i = 0; i < 3; i++) CHECK_OK(kin_result_close(results[i]));
    /* Of nothing, with a failure, and closed while it runs. */
    CHECK_OK(kin_pool_map_async(pool, &results[0], KIN_FN(square), arrays, 0, kin_in_s(30), NULL));
    CHECK_RC(kin_result_get(results[0], NULL, 0, kin_in_s(30)), 0);
    in[77] = -1;
    CHECK_OK(kin_pool_map_async(pool, &results[1], KIN_FN(square), arrays, ITEMS, kin_in_s(30), NULL));
    kin_failure failure = failure_of(results[1]);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.task, 77);
    CHECK_OK(kin_pool_map_async(pool, &results[2], KIN_FN(square), arrays, ITEMS, kin_in_s(30), NULL));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_result_close(results[i]));
    end_pool(pool);
    books_check(&books);
}

static int slow(const int *in, int *out)
{
    (void)in;
    test_until(*out != 0 || kin_task_cancelled() == 1);
    return *out != 0 ? 0 : -ECANCELED;
}
KIN_MAP(slow, int, int)

POOL_TEST(a_map_is_cancelled)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    int in[100] = {0};
    kin_result *result = NULL;
    CHECK_OK(kin_pool_map_async(pool, &result, KIN_FN(slow), (const void *[]){in}, 100, kin_in_s(30), NULL));
    CHECK_RC(kin_result_wait(result, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_OK(kin_result_cancel(result));
    CHECK_EQ(failure_of(result).cause, KIN_CAUSE_CANCELLED);
    CHECK_OK(kin_result_close(result));
    /* And with the pool. */
    CHECK_OK(kin_pool_map_async(pool, &result, KIN_FN(slow), (const void *[]){in}, 100, kin_in_s(30), NULL));
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_OK(kin_result_wait(result, kin_in_s(30)));
    CHECK_RC(kin_result_successful(result), 0);
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

POOL_TEST(several_arrays_are_zipped)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    static int a[ITEMS];
    static short b[ITEMS];
    static long c[ITEMS], out[ITEMS];
    static char which[ITEMS];
    for (int i = 0; i < ITEMS; i++) a[i] = i, b[i] = (short)(i % 100), c[i] = -i, which[i] = i % 2 == 0;
    CHECK_OK(kin_pool_starmap(pool, KIN_FN(add), (const void *[]){a, b}, out, ITEMS, kin_in_s(30), NULL));
    for (int i = 0; i < ITEMS; i++) CHECK_EQ(out[i], i + i % 100);
    CHECK_OK(kin_pool_starmap(pool, KIN_FN(select_one), (const void *[]){a, c, which}, out, ITEMS,
                              kin_in_s(30), NULL));
    for (int i = 0; i < ITEMS; i++) CHECK_EQ(out[i], i % 2 == 0 ? -i : i);
    CHECK_RC(kin_pool_starmap(pool, KIN_FN(add), (const void *[]){a, NULL}, out, ITEMS, KIN_NOW, NULL),
             -EINVAL);
    CHECK_RC(kin_pool_map(pool, KIN_FN(add), a, out, ITEMS, KIN_NOW), -EINVAL);
    end_pool(pool);
    books_check(&books);
}

/* ---- progress ------------------------------------------------------------------------------------------ */

struct seen {
    int calls;
    kin_progress last;
};

static void see(const kin_progress *progress, void *context)
{
    struct seen *seen = context;
    CHECK_GE(progress->done, seen->last.done);
    CHECK_LE(progress->done, progress->count);
    seen->calls++;
    seen->last = *progress;
}

static int linger(const int *in, int *out)
{
    for (int i = 0; i < 2000; i++) sched_yield();
    *out = *in;
    return 0;
}
KIN_MAP(linger, int, int)

POOL_TEST(progress_is_told)
{
    kin_pool *pool = open_pool(2);
    int in[100] = {0}, out[100];
    struct seen seen;
    kin_map_options options = {.progress = see, .progress_context = &seen, .progress_ns = 1000000};
    /* All may be over before this thread runs again. */
    do {
        seen = (struct seen){0};
        CHECK_OK(kin_pool_map_with(pool, KIN_FN(linger), in, out, 100, KIN_FOREVER, &options));
        CHECK_GT(seen.calls, 0);
    } while (seen.calls == 1);
    CHECK_EQ(seen.last.count, 100);
    CHECK_EQ(seen.last.done, 100);
    CHECK_EQ(seen.last.left_ns, 0);
    CHECK_GT(seen.last.rate, 0);
    struct board *board = make_board();
    kin_result *result = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    kin_progress progress;
    /* The other worker may still be on its way out of the map. */
    test_until(kin_pool_progress(pool, &progress) == 0 && progress.running == 1);
    CHECK_EQ(progress.count, progress.done + 1);
    board->open = 1;
    value(result);
    CHECK_RC(kin_pool_progress(pool, NULL), -EINVAL);
    end_pool(pool);
    CHECK_OK(kin_free(board));
}
