/* test_pool_tasks.c: what a task may ask for: to be cancelled, priorities, needs, a worker of its
 * own, several slots; and a pool that is paused, slowed down, resized and drained. */
#define _GNU_SOURCE
#include "pool_board.h"

#include <kin/process.h>

/* ---- cancelling ------------------------------------------------------------------------------------- */

POOL_TEST(a_queued_task_is_cancelled_at_once)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    kin_result *first = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    kin_result *plain = submit(pool, KIN_FN(note), board, 2, NULL);
    kin_result *listed = submit(pool, KIN_FN(note), board, 3, &(kin_task_options){.priority = 1});
    CHECK_RC(kin_result_cancel(plain), 0);
    CHECK_RC(kin_result_cancel(listed), 0);
    CHECK_RC(kin_result_ready(plain), 1);
    CHECK_RC(kin_result_ready(listed), 1);
    CHECK_EQ(failure_of(plain).cause, KIN_CAUSE_CANCELLED);
    CHECK_EQ(failure_of(listed).cause, KIN_CAUSE_CANCELLED);
    CHECK_RC(kin_result_cancel(plain), 0);
    board->open = 1;
    CHECK_EQ(value(first), 1);
    CHECK_OK(kin_result_close(plain));
    CHECK_OK(kin_result_close(listed));
    end_pool(pool);
    CHECK_EQ(board->count, 0);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(a_running_task_is_cancelled_with_its_worker)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *other = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    kin_result *victim = submit(pool, KIN_FN(wait_at_gate), board, 2, &(kin_task_options){.retries = 5});
    test_until(board->inside == 2);
    CHECK_RC(kin_result_cancel(victim), 0);
    kin_failure failure = failure_of(victim);
    CHECK_EQ(failure.cause, KIN_CAUSE_CANCELLED);
    char text[200];
    CHECK_GT(kin_failure_text(&failure, text, sizeof text), 0);
    CHECK(strstr(text, "cancelled") != NULL);
    CHECK_RC(kin_result_ready(other), 0);
    board->open = 1;
    CHECK_EQ(value(other), 1);
    kin_result *after = submit(pool, KIN_FN(note), board, 3, NULL);
    CHECK_GT(value(after), 0);
    kin_result *done = submit(pool, KIN_FN(note), board, 4, NULL);
    CHECK_OK(kin_result_wait(done, kin_in_s(30)));
    CHECK_RC(kin_result_cancel(done), KIN_EOVER);
    CHECK_RC(kin_result_successful(done), 1);
    CHECK_OK(kin_result_close(victim));
    CHECK_OK(kin_result_close(done));
    CHECK_RC(kin_result_cancel(NULL), -EINVAL);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* Tasks are over at any time while they are cancelled: no other one may ever be ended for it. */
POOL_TEST(cancelling_never_hits_the_next_task)
{
    enum { ROUNDS = 300 };
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    int cancelled = 0;
    for (int i = 0; i < ROUNDS; i++) {
        kin_result *result[4];
        board->count = 0;
        for (int n = 0; n < 4; n++) result[n] = submit(pool, KIN_FN(note), board, n, NULL);
        for (volatile int spin = 0; spin < i * 40; spin++)
            ;
        for (int n = 0; n < 4; n += 2) cancelled += kin_result_cancel(result[n]) == 0;
        for (int n = 0; n < 4; n++) {
            CHECK_OK(kin_result_wait(result[n], kin_in_s(30)));
            int ok = kin_result_successful(result[n]);
            if (n % 2 == 1) CHECK_RC(ok, 1);
            if (ok == 0) CHECK_EQ(failure_of(result[n]).cause, KIN_CAUSE_CANCELLED);
            CHECK_OK(kin_result_close(result[n]));
        }
    }
    NOTE("%d of %d were cancelled", cancelled, ROUNDS * 2);
    CHECK_GT(cancelled, 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
}

/* ---- who is woken ---------------------------------------------------------------------------------------- */

/* Short tasks, which one worker runs while the others are woken in vain; then two that need two workers. */
POOL_TEST(whoever_was_woken_in_vain_comes_for_the_next)
{
    const int rounds = test_sanitized() ? 20 : 200;
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    for (int i = 0; i < rounds; i++) {
        kin_result *result[30];
        board->count = board->open = 0;
        for (int n = 0; n < 30; n++) result[n] = submit(pool, KIN_FN(note), board, n, NULL);
        for (int n = 0; n < 30; n++) CHECK_GT(value(result[n]), 0);
        for (int n = 0; n < 2; n++) result[n] = submit(pool, KIN_FN(wait_at_gate), board, n, NULL);
        test_until(board->inside == 2);
        board->open = 1;
        for (int n = 0; n < 2; n++) CHECK_EQ(value(result[n]), n);
    }
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* ---- priorities and pauses ------------------------------------------------------------------------------ */

POOL_TEST(the_higher_priority_comes_first)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    const int priorities[] = {-3, 0, 5, -8, 7, 0, 5, 1};
    const int expected[] = {4, 2, 6, 7, 1, 5, 0, 3};
    kin_result *result[8];
    CHECK_OK(kin_pool_pause(pool));
    for (int i = 0; i < 8; i++)
        result[i] = submit(pool, KIN_FN(note), board, i, &(kin_task_options){.priority = priorities[i]});
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK(status.paused);
    CHECK_EQ(status.queued, 8);
    CHECK_EQ(board->count, 0);
    CHECK_RC(kin_result_wait(result[0], kin_in_ms(30)), -ETIMEDOUT);
    CHECK_OK(kin_pool_resume(pool));
    for (int i = 0; i < 8; i++) value(result[i]);
    for (int i = 0; i < 8; i++) CHECK_EQ(board->order[i], expected[i]);
    kin_result *bad = NULL;
    struct order order = {board, 0};
    CHECK_RC(kin_pool_submit(pool, &bad, KIN_FN(note), &order, sizeof order, KIN_NOW,
                             &(kin_task_options){.priority = 8}),
             -EINVAL);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(a_paused_pool_that_is_closed_runs_what_is_in_it)
{
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    CHECK_OK(kin_pool_pause(pool));
    for (int i = 0; i < 20; i++) submit(pool, KIN_FN(note), board, i, NULL);
    CHECK_RC(kin_pool_drain(pool, kin_in_ms(20)), -ETIMEDOUT);
    end_pool(pool);
    CHECK_EQ(board->count, 20);
    CHECK_OK(kin_free(board));
}

POOL_TEST(draining_leaves_the_pool_open)
{
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    CHECK_OK(kin_pool_drain(pool, KIN_NOW));
    for (int round = 1; round <= 50; round++) {
        for (int i = 0; i < 4; i++) CHECK_OK(kin_result_close(submit(pool, KIN_FN(note), board, i, NULL)));
        CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
        CHECK_EQ(board->count, round * 4);
    }
    end_pool(pool);
    CHECK_OK(kin_free(board));
}

POOL_TEST(a_rate_spreads_the_beginnings, .alone = true)
{
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    CHECK_RC(kin_pool_limit_rate(pool, -1), -EINVAL);
    CHECK_OK(kin_pool_limit_rate(pool, 10000000));
    double start = test_seconds();
    for (int i = 0; i < 11; i++) CHECK_OK(kin_result_close(submit(pool, KIN_FN(note), board, i, NULL)));
    CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
    CHECK_GE(test_seconds() - start, 0.08);
    CHECK_OK(kin_pool_limit_rate(pool, 0));
    end_pool(pool);
    CHECK_EQ(board->count, 11);
    CHECK_OK(kin_free(board));
}

POOL_TEST(a_pool_is_resized_while_it_runs)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    kin_result *result[40];
    kin_pool_status status;
    for (int i = 0; i < 40; i++) result[i] = submit(pool, KIN_FN(wait_at_gate), board, i, NULL);
    CHECK_OK(kin_pool_resize(pool, 20));
    test_until(board->inside == 20);
    CHECK_OK(kin_pool_resize(pool, 2));
    board->open = 1;
    for (int i = 0; i < 40; i++) CHECK_EQ(value(result[i]), i);
    test_until(kin_pool_stats(pool, &status) == 0 && status.alive == 2);
    CHECK_EQ(status.workers, 2);
    CHECK_EQ(status.deaths, 0);
    CHECK_RC(kin_pool_resize(pool, 0), -EINVAL);
    CHECK_RC(kin_pool_resize(pool, 1025), -EINVAL);
    CHECK_GT(value(submit(pool, KIN_FN(note), board, 1, NULL)), 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* ---- slots and homes -------------------------------------------------------------------------------------- */

static int crowd(const struct order *order, int *out)
{
    int now = atomic_fetch_add(&order->board->inside, order->number) + order->number;
    int most = atomic_load(&order->board->most);
    while (now > most && !atomic_compare_exchange_strong(&order->board->most, &most, now))
        ;
    for (int i = 0; i < 20; i++) sched_yield(); /* the others come in meanwhile */
    order->board->inside -= order->number;
    *out = 0;
    return 0;
}
KIN_MAP(crowd, struct order, int)

POOL_TEST(weights_are_slots)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(4);
    struct board *board = make_board();
    kin_result *result[120];
    for (int i = 0; i < 120; i++) {
        unsigned weight = i % 10 == 0 ? 4 : i % 3 == 0 ? 2 : 1;
        kin_task_options options = {.weight = weight == 4 ? 1 : weight, .exclusive = weight == 4};
        result[i] = submit(pool, KIN_FN(crowd), board, (int)weight, &options);
    }
    for (int i = 0; i < 120; i++) value(result[i]);
    CHECK_EQ(board->most, 4);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(a_key_has_its_worker)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(3);
    struct board *board = make_board();
    kin_result *result[90];
    int home[3] = {0};
    for (int i = 0; i < 90; i++)
        result[i] =
            submit(pool, KIN_FN(note), board, i, &(kin_task_options){.affinity = (uint64_t)i % 3 + 7});
    for (int i = 0; i < 90; i++) {
        int pid = value(result[i]);
        if (i < 3) home[i] = pid;
        CHECK_EQ(pid, home[i % 3]);
    }
    CHECK_NE(home[0], home[1]);
    CHECK_NE(home[1], home[2]);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

static int wait_on_the_pool(const struct order *order, int *out)
{
    kin_result *inner = NULL;
    int rc = kin_pool_submit(kin_worker_pool(), &inner, KIN_FN(wait_at_gate), order, sizeof *order,
                             KIN_FOREVER, NULL);
    if (rc == 0) rc = kin_result_wait(inner, KIN_FOREVER);
    *out = rc;
    return rc;
}
KIN_MAP(wait_on_the_pool, struct order, int)

/* As many workers as there are to be live elsewhere, and the one that the key belongs to has died. */
TEST(a_key_has_a_worker_again_after_a_death)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_task_options home = {.affinity = 2, .retries = -1};
    kin_result *blocked = submit(pool, KIN_FN(wait_on_the_pool), board, 0, &home);
    kin_pool_status status;
    test_until(board->inside == 1 && kin_pool_stats(pool, &status) == 0 && status.alive == 3);
    int pids[3];
    CHECK_EQ(kin_pool_workers(pool, pids, 3), 3);
    CHECK_EQ(kill(pids[0], SIGKILL), 0);
    CHECK_EQ(failure_of(blocked).signal, SIGKILL);
    CHECK_OK(kin_result_close(blocked));
    CHECK_GT(value(submit(pool, KIN_FN(note), board, 1, &home)), 0);
    /* A heavy task gets the whole pool, whatever the dead one was about to do. */
    board->open = 1;
    CHECK_GT(value(submit(pool, KIN_FN(note), board, 2, &(kin_task_options){.exclusive = true})), 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* ---- needs ---------------------------------------------------------------------------------------------------- */

static int sum_of_needs(const void *argument, size_t size, kin_reply *reply)
{
    int sum = 0;
    const void *out;
    (void)argument, (void)size;
    for (size_t i = 0;; i++) {
        long got = kin_task_need(i, &out);
        if (got == KIN_EINDEX) break;
        if (got != sizeof(int)) return 1;
        sum += *(const int *)out;
    }
    return kin_reply_write(reply, &sum, sizeof sum);
}
KIN_BYTES(sum_of_needs)

static int fail(const struct order *order, int *out)
{
    *out = 0;
    return order->number;
}
KIN_MAP(fail, struct order, int)

static kin_result *submit_sum(kin_pool *pool, kin_result *const *needs, size_t count)
{
    kin_result *result = NULL;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(sum_of_needs), NULL, 0, kin_in_s(30),
                             &(kin_task_options){.needs = needs, .needs_count = count}));
    return result;
}

POOL_TEST(a_task_waits_for_what_it_needs)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *leaf[8], *middle[4], *root;
    for (int i = 0; i < 8; i++) leaf[i] = submit(pool, KIN_FN(wait_at_gate), board, 1 << i, NULL);
    for (int i = 0; i < 4; i++) middle[i] = submit_sum(pool, leaf + i * 2, 2);
    root = submit_sum(pool, middle, 4);
    /* Closed at once: what is needed is kept all the same. */
    for (int i = 0; i < 8; i++) CHECK_OK(kin_result_close(leaf[i]));
    for (int i = 0; i < 4; i++) CHECK_OK(kin_result_close(middle[i]));
    test_until(board->inside == 2);
    CHECK_RC(kin_result_ready(root), 0);
    board->open = 1;
    CHECK_EQ(value(root), 255);
    /* And of what is there already. */
    kin_result *done = submit(pool, KIN_FN(wait_at_gate), board, 5, NULL);
    CHECK_OK(kin_result_wait(done, kin_in_s(30)));
    CHECK_EQ(value(submit_sum(pool, &done, 1)), 5);
    CHECK_OK(kin_result_close(done));
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(a_failed_need_fails_the_chain)
{
    enum { LENGTH = 5000 };
    struct books books = books_open();
    kin_pool *pool = NULL;
    CHECK_OK(
        kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 2, .max_queued = 2 * LENGTH}));
    struct board *board = make_board();
    static kin_result *chain[LENGTH];
    CHECK_OK(kin_pool_pause(pool));
    chain[0] = submit(pool, KIN_FN(fail), board, 42, NULL);
    for (int i = 1; i < LENGTH; i++) chain[i] = submit_sum(pool, &chain[i - 1], 1);
    CHECK_OK(kin_pool_resume(pool));
    static kin_failure failures[LENGTH];
    CHECK_OK(kin_result_wait(chain[LENGTH - 1], kin_in_s(60)));
    CHECK_EQ(failure_of(chain[LENGTH - 1]).cause, KIN_CAUSE_NEED);
    CHECK_EQ(kin_result_failure_chain(chain[LENGTH - 1], failures, LENGTH), LENGTH);
    CHECK_EQ(failures[1].cause, KIN_CAUSE_NEED);
    CHECK_EQ(failures[LENGTH - 1].cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failures[LENGTH - 1].code, 42);
    CHECK_EQ(kin_result_failure_chain(chain[0], failures, 1), 1);
    for (int i = 0; i < LENGTH; i++) CHECK_OK(kin_result_close(chain[i]));
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* In the usual order: who has handed in what needs it closes it. */
POOL_TEST(the_chain_goes_through_what_was_closed)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *chain[3];
    kin_failure failures[3];
    CHECK_OK(kin_pool_pause(pool));
    chain[0] = submit(pool, KIN_FN(fail), board, 42, NULL);
    for (int i = 1; i < 3; i++) {
        chain[i] = submit_sum(pool, &chain[i - 1], 1);
        CHECK_OK(kin_result_close(chain[i - 1]));
    }
    CHECK_OK(kin_pool_resume(pool));
    CHECK_OK(kin_result_wait(chain[2], kin_in_s(30)));
    CHECK_EQ(kin_result_failure_chain(chain[2], failures, 3), 3);
    CHECK_EQ(failures[0].cause, KIN_CAUSE_NEED);
    CHECK_EQ(failures[1].cause, KIN_CAUSE_NEED);
    CHECK_EQ(failures[2].cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failures[2].code, 42);
    CHECK_STR(failures[2].function, "fail");
    CHECK_OK(kin_result_close(chain[2]));
    CHECK_RC(kin_result_failure_chain(chain[2], failures, 3), KIN_ECLOSED);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

TEST(a_need_that_is_cancelled_or_dies_fails_the_task)
{
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    kin_result *queued = submit(pool, KIN_FN(note), board, 2, NULL);
    kin_result *needs[] = {running, queued}, *sum = submit_sum(pool, needs, 2),
               *other = submit_sum(pool, needs, 1);
    CHECK_OK(kin_result_cancel(queued));
    CHECK_EQ(failure_of(sum).cause, KIN_CAUSE_NEED);
    CHECK_RC(kin_result_ready(other), 0);
    int pid;
    CHECK_EQ(kin_pool_workers(pool, &pid, 1), 1);
    kill(pid, SIGKILL);
    kin_failure chain[3];
    CHECK_EQ(failure_of(other).cause, KIN_CAUSE_NEED);
    CHECK_EQ(kin_result_failure_chain(other, chain, 3), 2);
    CHECK_EQ(chain[1].cause, KIN_CAUSE_SIGNALED);
    end_pool(pool);
    kin_result *none = NULL;
    pool = open_pool(1);
    CHECK_RC(kin_pool_submit(pool, &none, KIN_FN(sum_of_needs), NULL, 0, KIN_NOW,
                             &(kin_task_options){.needs = (kin_result *[]){NULL}, .needs_count = 1}),
             -EINVAL);
    CHECK_STR(kin_process_error(), "needs[0] is NULL");
    /* Below "not at all" there is nothing. */
    const kin_task_options refused[] = {
        {.timeout_ns = -1}, {.retries = -2}, {.retries_error = -2}, {.backoff_ns = -1},
        {.priority = -9},   {.priority = 8}, {.needs_count = 1},
    };
    static const char *const words[] = {
        "timeout_ns is negative",
        "retries is below -1",
        "retries_error is below -1",
        "backoff_ns is negative",
        "priority is -9, not from -8 to 7",
        "priority is 8, not from -8 to 7",
        "needs_count is given, and needs is NULL",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        test_context("options %zu", i);
        CHECK_RC(kin_pool_submit(pool, &none, KIN_FN(sum_of_needs), NULL, 0, KIN_NOW, &refused[i]), -EINVAL);
        CHECK_STR(kin_process_error(), words[i]);
    }
    end_pool(pool);
    CHECK_OK(kin_free(board));
}
