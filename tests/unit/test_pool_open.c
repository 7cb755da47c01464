/* test_pool_open.c: what the opener of a pool does not wait for, and what becomes of it behind the opening. */
#define _GNU_SOURCE
#include "pool_board.h"

#include <pthread.h>
#include <sys/resource.h>

#include <kin/process.h>

#include "pool/pool.h"

#define NOBODY 65534

/* What the next child that is forked does before anything else. */
enum first_step { GO_ON, WAIT, DIE, FORK_NO_MORE };

static struct beginning {
    _Atomic int step; /* enum first_step */
    _Atomic int open; /* ends WAIT */
    _Atomic int forks;
} * beginning;

static void in_child(void)
{
    const struct rlimit none = {0, 0};
    beginning->forks++;
    int step = atomic_exchange(&beginning->step, GO_ON);
    if (step == WAIT) test_until(beginning->open != 0);
    if (step == DIE) raise(SIGKILL);
    if (step == FORK_NO_MORE) CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
}

/* A pool whose supervisor begins with that step. */
static kin_pool *open_with(enum first_step step)
{
    beginning = kin_alloc(sizeof *beginning);
    CHECK(beginning != NULL);
    memset(beginning, 0, sizeof *beginning);
    beginning->step = (int)step;
    CHECK_EQ(pthread_atfork(NULL, NULL, in_child), 0);
    kin_pool *pool = open_pool(2);
    test_until(beginning->step == GO_ON); /* that was the supervisor */
    return pool;
}

static bool has_taken_over(kin_pool *pool)
{
    return atomic_load(&pool->supervisor_identity) != 0;
}

/* ---- workers that nobody needs --------------------------------------------------------------------------- */

static void end_unused(int (*end)(kin_pool *pool))
{
    kin_pool *pool = open_with(WAIT);
    CHECK(!has_taken_over(pool));
    CHECK_OK(end(pool));
    beginning->open = 1;
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(beginning->forks, 1);
    CHECK_OK(kin_free(beginning));
}

TEST(a_pool_that_is_closed_unused_has_no_workers_to_wait_for)
{
    struct books books = books_open();
    end_unused(kin_pool_close);
    books_check(&books);
}

TEST(a_pool_that_is_terminated_unused_has_no_workers_to_wait_for)
{
    struct books books = books_open();
    end_unused(kin_pool_terminate);
    books_check(&books);
}

/* ---- behind the opening ------------------------------------------------------------------------------------- */

static kin_pool *held;

static bool somebody_waits(void)
{
    return kin__waiters_count(atomic_load(&held->changed.point.waiters)) != 0;
}

static void submit_early(void *board)
{
    CHECK_GT(value(submit(held, KIN_FN(note), board, 5, NULL)), 0);
}

static void count_early(void *unused)
{
    kin_pool_status status;
    (void)unused;
    CHECK_RC(kin_pool_workers(held, NULL, 0), 2);
    CHECK_OK(kin_pool_stats(held, &status));
    CHECK_EQ(status.alive, 2);
}

static void use_early(void (*use)(void *context))
{
    struct books books = books_open();
    struct board *board = make_board();
    held = open_with(WAIT);
    pid_t user = test_child(use, board);
    test_until(somebody_waits());
    CHECK(!has_taken_over(held));
    beginning->open = 1;
    CHECK_EQ(test_collect(user), 0);
    end_pool(held);
    CHECK_OK(kin_free(board));
    CHECK_OK(kin_free(beginning));
    books_check_blocks(&books);
}

TEST(who_submits_before_the_supervisor_has_taken_over_waits_for_it)
{
    use_early(submit_early);
}

TEST(a_supervisor_that_does_not_take_over_holds_up_no_deadline)
{
    struct books books = books_open();
    struct board *board = make_board();
    kin_pool *pool = open_with(WAIT);
    struct order order = {board, 5};
    kin_result *result = NULL;
    CHECK_RC(kin_pool_submit(pool, &result, KIN_FN(note), &order, sizeof order, KIN_NOW, NULL), -ETIMEDOUT);
    CHECK(!has_taken_over(pool));
    beginning->open = 1;
    CHECK_GT(value(submit(pool, KIN_FN(note), board, 6, NULL)), 0);
    CHECK_EQ(board->count, 1);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    CHECK_OK(kin_free(beginning));
    books_check_blocks(&books);
}

TEST(who_asks_for_the_workers_waits_until_they_are_there)
{
    use_early(count_early);
}

TEST(what_was_handed_in_before_the_closing_is_run)
{
    struct board *board = make_board();
    for (int i = 0; i < 20; i++) {
        kin_pool *pool = open_pool(3);
        kin_result *result = submit(pool, KIN_FN(note), board, i, NULL);
        CHECK_OK(kin_pool_close(pool));
        CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
        CHECK_GT(value(result), 0);
        CHECK_OK(kin_pool_free(pool));
    }
    CHECK_EQ(board->count, 20);
    CHECK_OK(kin_free(board));
}

/* ---- what goes wrong there ---------------------------------------------------------------------------------- */

static int submit_one(kin_pool *pool, kin_result **result, struct board *board)
{
    struct order order = {board, 1};
    return kin_pool_submit(pool, result, KIN_FN(note), &order, sizeof order, kin_in_s(30), NULL);
}

static void expect_broken(void *board)
{
    kin_result *result = NULL;
    CHECK_RC(submit_one(held, &result, board), KIN_EBROKEN);
    CHECK(result == NULL);
}

static void expect_broken_end(void *unused)
{
    (void)unused;
    CHECK_RC(kin_pool_join(held, kin_in_s(30)), KIN_EBROKEN);
}

/* Nobody in the family had heard of it yet. */
static void lose_supervisor(void (*learn)(void *context))
{
    struct books books = books_open();
    struct board *board = make_board();
    held = open_with(DIE);
    if (learn == expect_broken_end) CHECK_OK(kin_pool_close(held));
    CHECK_EQ(test_collect(test_child(learn, board)), 0);
    CHECK_OK(kin_pool_close(held));
    expect_broken_end(NULL);
    CHECK_OK(kin_pool_free(held));
    CHECK_OK(kin_free(board));
    CHECK_OK(kin_free(beginning));
    books_check_blocks(&books);
}

TEST(who_submits_learns_that_the_supervisor_died_before_it_took_over)
{
    lose_supervisor(expect_broken);
}

TEST(who_joins_learns_that_the_supervisor_died_before_it_took_over)
{
    lose_supervisor(expect_broken_end);
}

static void open_without_room(void *context)
{
    struct board *board = context;
    kin_result *result = NULL;
    kin_failure failure;
    CHECK_OK(setgid(NOBODY));
    CHECK_OK(setuid(NOBODY));
    kin_pool *pool = open_with(FORK_NO_MORE);
    /* It comes before the end, or after it. */
    int rc = submit_one(pool, &result, board);
    if (rc == 0) {
        CHECK_RC(kin_result_wait(result, kin_in_s(30)), 0);
        CHECK_OK(kin_result_failure(result, &failure));
        CHECK_EQ(failure.cause, KIN_CAUSE_EXITED);
        CHECK_EQ(failure.code, -EAGAIN);
    } else {
        CHECK_RC(rc, -EAGAIN);
    }
    CHECK_RC(kin_pool_workers(pool, NULL, 0), 0);
    test_until(submit_one(pool, &result, board) == -EAGAIN);
    CHECK_RC(kin_pool_map(pool, KIN_FN(note), &(struct order){board, 2}, &(int){0}, 1, kin_in_s(30)),
             -EAGAIN);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(board->count, 0);
}

TEST(a_pool_whose_workers_cannot_be_started_says_why)
{
    if (geteuid() != 0) SKIP("only root can change its user");
    struct board *board = make_board();
    CHECK_EQ(test_collect(test_child(open_without_room, board)), 0);
    CHECK_OK(kin_free(board));
}
