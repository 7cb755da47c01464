/* test_pool_repeat.c: repetition after errors and deaths, tasks that wait for tasks of their own pool,
 * and what a worker keeps. */
#define _GNU_SOURCE
#include "pool_board.h"

#include <kin/thread.h>

#include "pool/pool.h"
#include "pool/worker.h"

/* ---- repetition --------------------------------------------------------------------------------------------- */

static int fail_at_first(const struct order *order, int *out)
{
    *out = ++order->board->count;
    if (*out == 2) kill(getpid(), SIGKILL);
    return *out < order->number ? 7 : 0;
}
KIN_MAP(fail_at_first, struct order, int)

TEST(errors_and_deaths_are_counted_apart)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    /* Error, death, error, success. */
    kin_task_options options = {.retries = 1, .retries_error = 2, .backoff_ns = 3000000};
    double start = test_seconds();
    CHECK_EQ(value(submit(pool, KIN_FN(fail_at_first), board, 4, &options)), 4);
    CHECK_GE(test_seconds() - start, 0.012);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.retried, 2);
    CHECK_EQ(status.deaths, 1);
    board->count = 0;
    options.retries = -1;
    kin_result *result = submit(pool, KIN_FN(fail_at_first), board, 4, &options);
    CHECK_EQ(failure_of(result).cause, KIN_CAUSE_SIGNALED);
    CHECK_OK(kin_result_close(result));
    board->count = 2;
    options.retries_error = 1;
    result = submit(pool, KIN_FN(fail_at_first), board, 9, &options);
    kin_failure failure = failure_of(result);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.attempt, 2);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

static int always_fail(const struct order *order, int *out)
{
    *out = 0;
    order->board->count++;
    return 5;
}
KIN_MAP(always_fail, struct order, int)

/* A pause that ends after all time is not over at once. */
POOL_TEST(an_endless_pause_does_not_end)
{
    const int64_t pauses[] = {INT64_MAX, INT64_MAX / 2, (int64_t)1 << 50};
    struct books books = books_open();
    struct board *board = make_board();
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        kin_pool *pool = open_pool(1);
        kin_task_options options = {.retries_error = UINT16_MAX, .backoff_ns = pauses[i]};
        kin_pool_status status;
        test_context("a pause of %lld", (long long)pauses[i]);
        board->count = 0;
        kin_result *result = submit(pool, KIN_FN(always_fail), board, 1, &options);
        test_until(kin_pool_stats(pool, &status) == 0 && status.retried >= 1);
        CHECK_RC(kin_result_wait(result, kin_in_ms(20)), -ETIMEDOUT);
        CHECK_GT(value(submit(pool, KIN_FN(note), board, 1, NULL)), 0);
        CHECK_EQ(board->count, 2);
        CHECK_OK(kin_result_cancel(result));
        CHECK_OK(kin_result_close(result));
        end_pool(pool);
    }
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(the_slowest_rate_begins_one_task)
{
    struct books books = books_open();
    struct board *board = make_board();
    kin_pool *pool = NULL;
    CHECK_OK(
        kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 2, .interval_ns = INT64_MAX}));
    for (int i = 0; i < 2; i++) {
        CHECK_GT(value(submit(pool, KIN_FN(note), board, 1, NULL)), 0);
        kin_result *second = submit(pool, KIN_FN(note), board, 2, NULL);
        CHECK_RC(kin_result_wait(second, kin_in_ms(20)), -ETIMEDOUT);
        CHECK_OK(kin_pool_limit_rate(pool, 0));
        CHECK_GT(value(second), 0);
        CHECK_OK(kin_pool_limit_rate(pool, INT64_MAX));
    }
    CHECK_OK(kin_pool_limit_rate(pool, 0));
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* "For ever" is more often than an attempt's number can say; it is the most that can be asked for. */
TEST(the_most_repetitions_come_to_an_end)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *result =
        submit(pool, KIN_FN(always_fail), board, 0, &(kin_task_options){.retries_error = INT_MAX});
    kin_failure failure = failure_of(result);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.code, 5);
    CHECK_EQ(board->count, 65536);
    CHECK_OK(kin_result_close(result));
    kin_pool_status status;
    test_until(kin_pool_stats(pool, &status) == 0 && status.running == 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

static int crash(const struct order *order, int *out)
{
    *out = order->number;
    if (order->number % 2 == 0) kill(getpid(), SIGKILL);
    return 0;
}
KIN_MAP(crash, struct order, int)

TEST(poison_is_set_aside)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    struct board *board = make_board();
    CHECK_OK(kin_pool_open(
        &pool, &(kin_pool_options){.kind = pool_kind, .workers = 1, .retries = 1, .keep_poisoned = 2}));
    for (int i = 0; i < 8; i++) CHECK_OK(kin_result_close(submit(pool, KIN_FN(crash), board, i, NULL)));
    CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.failed, 4);
    CHECK_EQ(status.poisoned, 2);
    CHECK_EQ(status.deaths, 8);
    CHECK_EQ(status.deaths_by[KIN_CAUSE_SIGNALED], 8);
    kin_result *result = NULL;
    for (int i = 0; i < 4; i += 2) {
        const void *argument = NULL;
        CHECK_RC(kin_pool_take_poisoned(pool, &result), 1);
        CHECK_RC(kin_result_argument(result, &argument), sizeof(struct order));
        CHECK_EQ(((const struct order *)argument)->number, i);
        kin_failure failure = failure_of(result);
        CHECK_EQ(failure.signal, SIGKILL);
        CHECK_EQ(failure.attempt, 2);
        CHECK_STR(failure.function, "crash");
        CHECK_OK(kin_result_close(result));
    }
    CHECK_RC(kin_pool_take_poisoned(pool, &result), 0);
    CHECK_RC(kin_pool_take_poisoned(pool, NULL), -EINVAL);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

POOL_TEST(times_are_counted)
{
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_times times;
    CHECK_OK(kin_pool_times(pool, &times));
    int tasks = 10 * (int)times.one_of;
    for (int i = 0; i < tasks; i++) {
        board->count = 0;
        value(submit(pool, KIN_FN(note), board, i, NULL));
    }
    CHECK_OK(kin_pool_drain(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_times(pool, &times));
    uint64_t queued = 0, ran = 0;
    for (int i = 0; i < KIN_TIME_BUCKETS; i++) queued += times.queued[i], ran += times.ran[i];
    CHECK_EQ(queued, 10);
    CHECK_EQ(ran, 10);
    CHECK_EQ(times.ran[0], 0);
    CHECK_RC(kin_pool_times(pool, NULL), -EINVAL);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
}

/* ---- tasks of the pool that use it ------------------------------------------------------------------------- */

extern const kin_function *const fibonacci_function;
static int fibonacci(const struct order *order, int *out)
{
    *out = order->number;
    if (order->number < 2) return 0;
    kin_result *part[2];
    for (int i = 0; i < 2; i++) {
        struct order smaller = {order->board, order->number - 1 - i};
        int rc = kin_pool_submit(kin_worker_pool(), &part[i], fibonacci_function, &smaller, sizeof smaller,
                                 kin_in_s(30), NULL);
        if (rc < 0) return rc;
    }
    *out = 0;
    for (int i = 0; i < 2; i++) {
        int number = 0;
        long rc = kin_result_get(part[i], &number, sizeof number, kin_in_s(30));
        if (rc < 0) return (int)rc;
        kin_result_close(part[i]);
        *out += number;
    }
    return 0;
}
KIN_MAP(fibonacci, struct order, int)
const kin_function *const fibonacci_function = KIN_FN(fibonacci);

POOL_TEST(tasks_may_wait_for_tasks_of_their_pool)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    CHECK_EQ(value(submit(pool, KIN_FN(fibonacci), board, 7, NULL)), 13);
    kin_pool_status status;
    test_until(kin_pool_stats(pool, &status) == 0 && status.alive == 1);
    CHECK_EQ(status.deaths, 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

extern const kin_function *const without_end_function;
static int without_end(const struct order *order, int *out)
{
    kin_result *next = NULL;
    int rc = kin_pool_submit(kin_worker_pool(), &next, without_end_function, order, sizeof *order,
                             KIN_FOREVER, NULL);
    if (rc == 0) rc = kin_result_wait(next, KIN_FOREVER);
    if (rc == -EDEADLK) order->board->count++;
    *out = rc;
    return 0;
}
KIN_MAP(without_end, struct order, int)
const kin_function *const without_end_function = KIN_FN(without_end);

POOL_TEST(a_fork_bomb_of_tasks_is_stopped)
{
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    CHECK_OK(kin_result_wait(submit(pool, KIN_FN(without_end), board, 0, NULL), KIN_FOREVER));
    CHECK_GE(board->count, 1);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
}

extern const kin_function *const applied_function;
static int applied_without_end(const struct order *order, int *out)
{
    long rc = kin_pool_apply(kin_worker_pool(), applied_function, order, sizeof *order, out, sizeof *out,
                             KIN_FOREVER, NULL);
    if (rc == -EDEADLK) order->board->count++;
    return 0;
}
KIN_MAP(applied_without_end, struct order, int)
const kin_function *const applied_function = KIN_FN(applied_without_end);

/* Who is refused to wait for what it has handed in leaves nothing that goes on so. */
POOL_TEST(a_bomb_of_applied_tasks_comes_to_an_end)
{
    kin_pool *pool = open_pool(1);
    struct board *board = make_board();
    kin_result *first = submit(pool, KIN_FN(applied_without_end), board, 0, NULL);
    CHECK_OK(kin_result_wait(first, KIN_FOREVER));
    CHECK_OK(kin_pool_drain(pool, KIN_FOREVER));
    CHECK_GE(board->count, 1);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
}

/* Where two threads meet; `over` is by the one that leads, between two meetings. */
struct meeting {
    _Atomic int met;
    bool over;
};

/* What plays the part of one more worker that comes to wait. */
struct comer {
    kin_pool *pool;
    unsigned index;
    bool leads;
    struct meeting *meeting;
    _Atomic int rc;
    const struct comer *other;
};

/* Both go on at the same moment, as far as they have a processor each. */
static void meet(struct meeting *meeting, int *meetings)
{
    atomic_fetch_add(&meeting->met, 1);
    *meetings += 2;
    for (unsigned turns = 1; atomic_load(&meeting->met) < *meetings; turns++)
        if (turns % 10000 == 0) sched_yield();
}

static int come_to_wait(void *argument)
{
    struct comer *comer = argument;
    struct meeting *meeting = comer->meeting;
    int meetings = 0, let_in = 0, rounds = test_sanitized() ? 500 : 20000;
    double end = test_seconds() + 2;
    kin__own_set(comer->pool, comer->index);
    for (int round = 0; !meeting->over; round++) {
        meet(meeting, &meetings);
        /* Who met last is ahead by as long as the other needs to see it. */
        for (volatile int lag = round % 150; lag > 0; lag--)
            if (comer->leads) break;
        atomic_store(&comer->rc, kin__own_wait_begin(comer->pool));
        meet(meeting, &meetings);
        CHECK(atomic_load(&comer->rc) != 0 || atomic_load(&comer->other->rc) == -EDEADLK);
        /* On a busy machine each meeting takes a slice. */
        if (comer->leads) meeting->over = round + 1 == rounds || test_seconds() > end;
        meet(meeting, &meetings);
        if (atomic_load(&comer->rc) == 0) kin__own_wait_end(comer->pool), let_in++;
    }
    kin__own_leave();
    return let_in;
}

/* There is one place left to wait in; with both, nobody would be left to run what they wait for.  (The slots
 * that are played have no workers, so that the supervisor leaves them alone.) */
TEST(two_that_come_to_the_last_place_are_not_both_let_in)
{
    pool_kind = KIN_POOL_THREADS;
    kin_pool *pool = open_pool(1);
    const unsigned limit = kin__own_limit(pool);
    while (kin__pool_slots(pool) <= limit) CHECK_OK(kin__pool_add_slot(pool));
    for (unsigned i = 1; i < limit - 1; i++) atomic_store(&kin__pool_worker(pool, i)->blocked, 1);
    struct meeting meeting = {0};
    struct comer comers[2] = {{pool, limit - 1, true, &meeting, 0, &comers[1]},
                              {pool, limit, false, &meeting, 0, &comers[0]}};
    kin_thread *thread[2];
    int let_in[2];
    for (int i = 0; i < 2; i++) CHECK_OK(kin_thread_start(&thread[i], come_to_wait, &comers[i], NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_thread_join(thread[i], kin_in_s(60)));
        CHECK_OK(kin_thread_result(thread[i], &let_in[i]));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    NOTE("%d and %d were let in", let_in[0], let_in[1]);
    for (unsigned i = 0; i < limit; i++) atomic_store(&kin__pool_worker(pool, i)->blocked, 0);
    end_pool(pool);
}

struct keeper {
    kin_result *result;
    bool leads;
    struct meeting *meeting;
};

static void set_aside(kin_result *result)
{
    kin__poison_keep(result, &(kin_failure){.cause = KIN_CAUSE_SIGNALED, .task = kin__record_number(result)});
}

static void take_the_only_one(kin_pool *pool)
{
    kin_result *taken = NULL;
    CHECK_EQ(kin__poison_count(pool), 1);
    CHECK_RC(kin_pool_take_poisoned(pool, &taken), 1);
    CHECK_RC(kin_pool_take_poisoned(pool, &taken), 0);
    CHECK_OK(kin_result_close(taken));
}

static int keep_setting_aside(void *argument)
{
    struct keeper *keeper = argument;
    struct meeting *meeting = keeper->meeting;
    int meetings = 0, rounds = test_sanitized() ? 200 : 5000;
    double end = test_seconds() + 2;
    CHECK_RC(kin_result_ready(keeper->result), 0);
    for (int round = 0; !meeting->over; round++) {
        meet(meeting, &meetings);
        set_aside(keeper->result);
        meet(meeting, &meetings);
        if (keeper->leads) take_the_only_one(keeper->result->pool);
        if (keeper->leads) meeting->over = round + 1 == rounds || test_seconds() > end;
        meet(meeting, &meetings);
    }
    return 0;
}

/* Two come at once, and there is room for one; and a deputy that dies when it has set one aside leaves it to be
 * set aside again. */
TEST(no_more_is_set_aside_than_is_kept)
{
    kin_pool *pool = NULL;
    struct board *board = make_board();
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1, .keep_poisoned = 2}));
    CHECK_OK(kin_pool_pause(pool));
    kin_result *results[2];
    for (int i = 0; i < 2; i++) results[i] = submit(pool, KIN_FN(note), board, i, NULL);
    for (int i = 0; i < 2; i++) set_aside(results[0]);
    take_the_only_one(pool);
    pool->poisoned_most = 1;
    struct meeting meeting = {0};
    struct keeper keepers[2] = {{results[0], true, &meeting}, {results[1], false, &meeting}};
    kin_thread *thread[2];
    for (int i = 0; i < 2; i++) CHECK_OK(kin_thread_start(&thread[i], keep_setting_aside, &keepers[i], NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_thread_join(thread[i], kin_in_s(60)));
        CHECK_OK(kin_thread_close(thread[i]));
        CHECK_OK(kin_result_close(results[i]));
    }
    end_pool(pool);
    CHECK_OK(kin_free(board));
}

/* As many tasks as its number wait for the next; the last one for a task that comes when the gate is open. */
extern const kin_function *const descend_function;
static int descend(const struct order *order, int *out)
{
    struct order next = {order->board, order->number - 1};
    if (order->number < 0) return 0;
    if (order->number == 0) {
        order->board->inside = 1;
        test_until(order->board->open != 0);
    }
    *out = 0;
    long rc = kin_pool_apply(kin_worker_pool(), descend_function, &next, sizeof next, out, sizeof *out,
                             KIN_FOREVER, NULL);
    return rc < 0 ? (int)rc : 0;
}
KIN_MAP(descend, struct order, int)
const kin_function *const descend_function = KIN_FN(descend);

static unsigned count_blocked(kin_pool *pool)
{
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    return status.blocked;
}

/* The worker that is not blocked, in *slot; 0: there is none yet. */
static int idle_worker(kin_pool *pool, unsigned *slot)
{
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        *slot = i;
        if (atomic_load(&worker->state) == KIN__WORKER_READY && atomic_load(&worker->blocked) == 0)
            return atomic_load(&worker->pid);
    }
    return 0;
}

/* Has each that is blocked been seen asleep since?  One is blocked before it has been let wait, and a pool made smaller
 * just then refuses it. */
static bool blocked_sleep(kin_pool *pool, bool *asleep)
{
    bool all = true;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        struct kin__worker *worker = kin__pool_worker(pool, i);
        if (atomic_load(&worker->blocked) == 0) continue;
        asleep[i] = asleep[i] || test_is_asleep(atomic_load(&worker->pid));
        all = all && asleep[i];
    }
    return all;
}

/* More of its workers wait than a pool of that size may have. */
TEST(a_pool_that_was_made_smaller_runs_what_its_workers_wait_for)
{
    enum { DEPTH = 66 };
    bool asleep[KIN__WORKERS_MOST] = {false};
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    unsigned slot;
    kin_result *result = submit(pool, KIN_FN(descend), board, DEPTH, NULL);
    test_until(board->inside == 1 && count_blocked(pool) == DEPTH);
    CHECK_OK(kin_pool_pause(pool));
    board->open = 1;
    test_until(count_blocked(pool) == DEPTH + 1 && idle_worker(pool, &slot) != 0);
    test_until(blocked_sleep(pool, asleep));
    CHECK_OK(kin_pool_resize(pool, 1));
    CHECK_LT(kin__own_limit(pool), DEPTH + 1);
    int pid = idle_worker(pool, &slot);
    if (pid != 0) CHECK_EQ(kill(pid, SIGKILL), 0);
    test_until(atomic_load(&kin__pool_worker(pool, slot)->pid) != pid || pid == 0);
    CHECK_OK(kin_pool_resume(pool));
    CHECK_OK(kin_result_wait(result, KIN_FOREVER));
    CHECK_EQ(kin_result_successful(result), 1);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
    CHECK_OK(kin_free(board));
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static int set_up(void *context)
{
    static int state;
    state = *(int *)context * 2;
    kin_worker_set_state(&state);
    return state == 0 ? 3 : 0;
}

static int use_state(const struct order *order, int *out)
{
    *out = *(int *)kin_worker_state() + order->number + kin_worker_number();
    return kin_worker_pool() == order->board->pool ? 0 : 1;
}
KIN_MAP(use_state, struct order, int)

POOL_TEST(a_worker_has_state_of_its_own)
{
    int context = 50;
    kin_pool *pool = NULL;
    struct board *board = make_board();
    kin_pool_options options = {.kind = pool_kind, .workers = 1, .initializer = set_up, .context = &context};
    CHECK_OK(kin_pool_open(&pool, &options));
    board->pool = pool;
    CHECK_EQ(value(submit(pool, KIN_FN(use_state), board, 1, NULL)), 101);
    CHECK(kin_worker_state() == NULL);
    CHECK(kin_worker_pool() == NULL);
    CHECK_RC(kin_worker_number(), -1);
    const void *out;
    CHECK_RC(kin_task_need(0, &out), -EINVAL);
    end_pool(pool);
    /* Its failure fails the opening, and says how. */
    kin_failure failure = {0};
    context = 0;
    options.failure = &failure;
    CHECK_RC(kin_pool_open(&pool, &options), KIN_EINITIALIZER);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.code, 3);
    CHECK_OK(kin_free(board));
}

static int leak(const struct order *order, int *out)
{
    char *memory = malloc(8 << 20);
    if (memory != NULL) memset(memory, order->number, 8 << 20);
    *out = getpid();
    return memory == NULL || memory[12345] != (char)order->number;
}
KIN_MAP(leak, struct order, int)

TEST(a_worker_that_grows_is_replaced)
{
    kin_pool *pool = NULL;
    struct board *board = make_board();
    kin_pool_options options = {.kind = pool_kind, .workers = 1, .memory_per_worker = 1ull << 40};
    CHECK_OK(kin_pool_open(&pool, &options));
    int first = value(submit(pool, KIN_FN(leak), board, 1, NULL));
    CHECK_EQ(value(submit(pool, KIN_FN(leak), board, 1, NULL)), first);
    end_pool(pool);
    options.memory_per_worker = 8 << 20;
    CHECK_OK(kin_pool_open(&pool, &options));
    first = value(submit(pool, KIN_FN(leak), board, 1, NULL));
    CHECK_NE(value(submit(pool, KIN_FN(leak), board, 1, NULL)), first);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.deaths, 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
}
