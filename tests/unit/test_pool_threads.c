/* test_pool_threads.c: what is different in a pool of threads: one heap, nobody who is killed. */
#include "pool_board.h"
#include "support/pools.h"

#include <pthread.h>
#include <stdio.h>

#include <kin/process.h>
#include <kin/thread.h>

static kin_pool *open_threads(unsigned workers)
{
    pool_kind = KIN_POOL_THREADS;
    return open_pool(workers);
}

/* ---- one heap ----------------------------------------------------------------------------------------- */

static _Atomic int touched;

static int touch(int *const *in, long *out)
{
    touched++;
    **in += 1;
    *out = getpid();
    return 0;
}
KIN_MAP(touch, int *, long)

TEST(tasks_share_the_heap)
{
    enum { COUNT = 500 };
    struct books books = books_open();
    kin_pool *pool = open_threads(3);
    int *cells = calloc(COUNT, sizeof *cells), *in[COUNT];
    long out[COUNT];
    for (int i = 0; i < COUNT; i++) in[i] = &cells[i];
    CHECK_OK(kin_pool_map(pool, KIN_FN(touch), in, out, COUNT, kin_in_s(30)));
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(cells[i], 1);
        CHECK_EQ(out[i], getpid());
    }
    CHECK_EQ(touched, COUNT);
    free(cells);
    end_pool(pool);
    books_check(&books);
}

static int place_of(const int *in, const int **out)
{
    *out = in;
    return 0;
}
KIN_MAP(place_of, int, const int *)

TEST(arrays_are_used_where_they_are)
{
    kin_pool *pool = open_threads(2);
    int in[64] = {0};
    const int *out[64];
    kin_result *result = NULL;
    const void *view;
    CHECK_OK(kin_pool_map(pool, KIN_FN(place_of), in, out, 64, kin_in_s(30)));
    for (int i = 0; i < 64; i++) CHECK_EQ(out[i], &in[i]);
    /* What nobody waits for has arrays of its own. */
    CHECK_OK(
        kin_pool_map_async(pool, &result, KIN_FN(place_of), (const void *[]){in}, 64, kin_in_s(30), NULL));
    CHECK_OK(kin_result_wait(result, kin_in_s(30)));
    CHECK_RC(kin_result_view(result, &view), sizeof out);
    memcpy(out, view, sizeof out);
    CHECK_NE(out[0], &in[0]);
    CHECK_OK(kin_result_close(result));
    end_pool(pool);
}

/* ---- who they are ----------------------------------------------------------------------------------------- */

struct self {
    int number, id;
    bool pool_known;
    void *state;
    char name[32];
};

static int describe(const int *in, struct self *out)
{
    (void)in;
    *out = (struct self){kin_worker_number(), kin_thread_id(kin_thread_current()), kin_worker_pool() != NULL,
                         kin_worker_state(), ""};
    snprintf(out->name, sizeof out->name, "%s", kin_thread_name(kin_thread_current()));
    return 0;
}
KIN_MAP(describe, int, struct self)

static int set_up(void *context)
{
    static char state[8];
    (*(_Atomic int *)context)++;
    kin_worker_set_state(&state[kin_worker_number()]);
    return 0;
}

TEST(each_thread_is_a_worker)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    _Atomic int calls = 0;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = KIN_POOL_THREADS,
                                                      .workers = 3,
                                                      .name = "reader",
                                                      .initializer = set_up,
                                                      .context = (void *)&calls}));
    CHECK_EQ(calls, 3);
    int ids[4], key = 0;
    CHECK_RC(kin_pool_workers(pool, ids, 4), 3);
    void *state[3] = {NULL};
    for (int i = 0; i < 60; i++) {
        struct self self;
        char name[32];
        CHECK_RC(
            kin_pool_apply(pool, KIN_FN(describe), &key, sizeof key, &self, sizeof self, kin_in_s(30), NULL),
            sizeof self);
        CHECK(self.number >= 0 && self.number < 3);
        CHECK_EQ(self.id, ids[self.number]);
        CHECK(self.pool_known);
        snprintf(name, sizeof name, "reader-%d", self.number);
        CHECK_STR(self.name, name);
        if (state[self.number] == NULL) state[self.number] = self.state;
        CHECK_EQ(self.state, state[self.number]);
        CHECK(self.state != NULL);
    }
    CHECK_EQ(kin_worker_number(), -1);
    CHECK(kin_worker_state() == NULL);
    CHECK(kin_worker_pool() == NULL);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.supervisor_pid, 0);
    CHECK_EQ(status.alive, 3);
    end_pool(pool);
    books_check(&books);
}

static int fail_to_set_up(void *context)
{
    return ++*(_Atomic int *)context >= 2 ? -EIO : 0;
}

TEST(an_initializer_that_fails_fails_the_open)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    kin_failure failure = {0};
    _Atomic int calls = 0;
    int rc = kin_pool_open(&pool, &(kin_pool_options){.kind = KIN_POOL_THREADS,
                                                      .workers = 3,
                                                      .initializer = fail_to_set_up,
                                                      .context = (void *)&calls,
                                                      .failure = &failure});
    CHECK_RC(rc, KIN_EINITIALIZER);
    CHECK_EQ(failure.code, -EIO);
    CHECK(pool == NULL);
    CHECK_LE(calls, 3);
    books_check(&books);
}

/* ---- nobody is killed ---------------------------------------------------------------------------------------- */

/* Notes that it has seen that it is to end. */
static int obey(const struct order *order, int *out)
{
    order->board->inside++;
    test_until(kin_task_cancelled() == 1);
    order->board->count++;
    *out = order->number;
    return order->number;
}
KIN_MAP(obey, struct order, int)

TEST(a_running_task_is_told)
{
    struct books books = books_open();
    kin_pool *pool = open_threads(1);
    struct board *board = make_board();
    CHECK_EQ(kin_task_cancelled(), 0);
    kin_result *victim = submit(pool, KIN_FN(obey), board, 0, NULL);
    test_until(board->inside == 1);
    CHECK_OK(kin_result_cancel(victim));
    CHECK_EQ(failure_of(victim).cause, KIN_CAUSE_CANCELLED);
    CHECK_EQ(board->count, 1);
    CHECK_OK(kin_result_close(victim));
    /* Its time is up: late, whatever it returns; and run again as often as it may. */
    kin_result *late =
        submit(pool, KIN_FN(obey), board, 0, &(kin_task_options){.timeout_ns = 20 * 1000000, .retries = 2});
    kin_failure failure = failure_of(late);
    CHECK_EQ(failure.cause, KIN_CAUSE_TIMEOUT);
    CHECK_EQ(failure.attempt, 3);
    CHECK_EQ(board->count, 4);
    CHECK_OK(kin_result_close(late));
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.deaths, 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

TEST(a_terminated_pool_waits_for_what_runs)
{
    kin_pool *pool = open_threads(2);
    struct board *board = make_board();
    kin_result *stubborn = submit(pool, KIN_FN(wait_at_gate), board, 0, NULL), *queued[5];
    kin_result *obedient = submit(pool, KIN_FN(obey), board, 7, NULL);
    for (int i = 0; i < 5; i++) queued[i] = submit(pool, KIN_FN(note), board, i, NULL);
    test_until(board->inside == 2);
    CHECK_OK(kin_pool_terminate(pool));
    for (int i = 0; i < 5; i++) CHECK_EQ(failure_of(queued[i]).cause, KIN_CAUSE_TERMINATED);
    CHECK_EQ(failure_of(obedient).cause, KIN_CAUSE_TERMINATED);
    CHECK_EQ(failure_of(stubborn).cause, KIN_CAUSE_TERMINATED);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
}

/* A plain task, and with a retry one that is not. */
TEST(what_ends_after_terminate_comes_too_late)
{
    for (int retries = 0; retries < 2; retries++) {
        kin_pool *pool = open_threads(1);
        struct board *board = make_board();
        kin_result *obedient = submit(pool, KIN_FN(obey), board, 0, &(kin_task_options){.retries = retries});
        test_until(board->inside == 1);
        CHECK_OK(kin_pool_terminate(pool));
        CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
        CHECK_EQ(board->count, 1);
        CHECK_EQ(failure_of(obedient).cause, KIN_CAUSE_TERMINATED);
        CHECK_OK(kin_result_close(obedient));
        CHECK_OK(kin_pool_free(pool));
        CHECK_OK(kin_free(board));
    }
}

static int leave(const struct order *order, int *out)
{
    *out = 0;
    order->board->count++;
    pthread_exit(NULL);
}
KIN_MAP(leave, struct order, int)

TEST(a_thread_that_exits_is_replaced)
{
    struct books books = books_open();
    kin_pool *pool = open_threads(2);
    struct board *board = make_board();
    kin_result *left = submit(pool, KIN_FN(leave), board, 0, &(kin_task_options){.retries = 1});
    kin_failure failure = failure_of(left);
    CHECK_EQ(failure.cause, KIN_CAUSE_EXITED);
    CHECK_EQ(board->count, 2);
    CHECK_OK(kin_result_close(left));
    for (int i = 0; i < 20; i++) CHECK_GT(value(submit(pool, KIN_FN(note), board, i, NULL)), 0);
    kin_pool_status status;
    test_until(kin_pool_stats(pool, &status) == 0 && status.alive == 2);
    CHECK_EQ(status.deaths, 2);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check(&books);
}

/* ---- with other pools and processes ------------------------------------------------------------------------- */

static int end_own_pool(const struct order *order, int *out)
{
    *out = 0;
    if (kin_pool_close(order->board->pool) != 0) return 1;
    if (kin_pool_join(order->board->pool, KIN_FOREVER) != -EDEADLK) return 2;
    return kin_pool_free(order->board->pool) == -EDEADLK ? 0 : 3;
}
KIN_MAP(end_own_pool, struct order, int)

TEST(a_task_cannot_wait_for_the_end_of_its_pool)
{
    kin_pool *pool = open_threads(1);
    struct board *board = make_board();
    board->pool = pool;
    CHECK_EQ(value(submit(pool, KIN_FN(end_own_pool), board, 0, NULL)), 0);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
}

/* A pool of the other kind, opened and ended by a task. */
static int use_other_kind(const enum kin_pool_kind *kind, int *out)
{
    kin_pool *inner = NULL;
    int in[20];
    struct self self;
    int number = kin_worker_number(),
        rc = kin_pool_open(&inner, &(kin_pool_options){.kind = *kind, .workers = 2});
    for (int i = 0; i < 20; i++) in[i] = i;
    if (rc == 0)
        rc = kin_pool_apply(inner, KIN_FN(describe), in, sizeof *in, &self, sizeof self, kin_in_s(30), NULL) <
             0;
    if (rc == 0 && (self.number < 0 || self.number > 1 || !self.pool_known)) rc = 1;
    *out = kin_worker_number() == number && kin_worker_pool() != inner ? 0 : 2;
    int ended = kin_pool_free(inner);
    return rc != 0 ? rc : ended;
}
KIN_MAP(use_other_kind, enum kin_pool_kind, int)

TEST(pools_of_both_kinds_in_each_other)
{
    struct books books = books_open();
    const enum kin_pool_kind kinds[] = {KIN_POOL_PROCESSES, KIN_POOL_THREADS};
    for (int outer = 0; outer < 2; outer++) {
        kin_pool *pool = NULL;
        CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = kinds[outer], .workers = 2}));
        for (int inner = 0; inner < 2; inner++) {
            int out = -1;
            CHECK_RC(kin_pool_apply(pool, KIN_FN(use_other_kind), &kinds[inner], sizeof kinds[inner], &out,
                                    sizeof out, kin_in_s(30), NULL),
                     sizeof out);
            CHECK_EQ(out, 0);
        }
        end_pool(pool);
    }
    books_check_blocks(&books);
}

static int submit_from_child(void *argument)
{
    kin_pool *pool = argument;
    int in = 0;
    struct self self;
    CHECK_RC(kin_pool_apply(pool, KIN_FN(describe), &in, sizeof in, &self, sizeof self, kin_in_s(30), NULL),
             sizeof self);
    CHECK_NE(self.id, getpid());
    CHECK_RC(kin_pool_free(pool), -EPERM);
    return 0;
}

TEST(other_processes_use_its_threads)
{
    kin_pool *pool = open_threads(2);
    kin_process *child = NULL;
    int code = -1;
    CHECK_OK(kin_process_start(&child, submit_from_child, pool, NULL));
    CHECK_OK(kin_process_join(child, kin_in_s(30)));
    CHECK_OK(kin_process_exit_code(child, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(child));
    end_pool(pool);
}

static int exit_with_pool(void *argument)
{
    struct board *board = argument;
    kin_pool *pool = open_threads(2);
    for (int i = 0; i < 4; i++) submit(pool, KIN_FN(wait_at_gate), board, i, NULL);
    test_until(board->inside == 2);
    exit(3);
}

TEST(a_process_exits_with_its_pool)
{
    struct board *board = make_board();
    kin_process *child = NULL;
    int code = -1;
    CHECK_OK(kin_process_start(&child, exit_with_pool, board, NULL));
    CHECK_OK(kin_process_join(child, kin_in_s(30)));
    CHECK_OK(kin_process_exit_code(child, &code));
    CHECK_EQ(code, 3);
    CHECK_OK(kin_process_close(child));
    CHECK_OK(kin_free(board));
}

/* ---- what is of processes alone ------------------------------------------------------------------------------ */

static int join_it(void *pool)
{
    int rc;
    do rc = kin_pool_join(pool, KIN_FOREVER);
    while (rc == KIN_ESTATE);
    return rc == KIN_ECLOSED ? 0 : rc; /* it came late */
}

/* Of several threads that wait for the end, the first to hear of it frees the pool. */
TEST(who_joins_does_not_mind_that_it_is_freed)
{
    struct books books = books_open();
    for (int round = 0; round < 40; round++) {
        kin_thread *joiner[2];
        pool_kind = round % 2 == 0 ? KIN_POOL_THREADS : KIN_POOL_PROCESSES;
        kin_pool *pool = open_pool(1);
        for (int i = 0; i < 2; i++) CHECK_OK(kin_thread_start(&joiner[i], join_it, pool, NULL));
        CHECK_OK(kin_pool_close(pool));
        if (round % 4 < 2) CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
        CHECK_OK(kin_pool_free(pool));
        for (int i = 0; i < 2; i++) {
            int rc = -1;
            CHECK_OK(kin_thread_join(joiner[i], kin_in_s(30)));
            CHECK_OK(kin_thread_result(joiner[i], &rc));
            CHECK_OK(rc);
            CHECK_OK(kin_thread_close(joiner[i]));
        }
    }
    books_check(&books);
}

TEST(what_is_of_processes_is_refused)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    const kin_limits limits = {.nice = 1};
    const kin_pool_options wrong[] = {
        {.kind = KIN_POOL_THREADS, .limits = &limits},
        {.kind = KIN_POOL_THREADS, .pin_workers = true},
        {.kind = KIN_POOL_THREADS, .memory_per_worker = 1 << 20},
        {.kind = KIN_POOL_THREADS, .address = "127.0.0.1:0"},
        {.kind = (enum kin_pool_kind)2},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_RC(kin_pool_open(&pool, &wrong[i]), -EINVAL);
    books_check(&books);
}
