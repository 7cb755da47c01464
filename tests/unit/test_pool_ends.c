/* test_pool_ends.c: what ends when nobody wants it any more, or when the pool is ended: maps that are closed or
 * whose caller died, supervisors that were stopped or killed, submitters that wait for room meanwhile, and the items and
 * tasks that end with a worker. */
#define _GNU_SOURCE
#include "pool_board.h"

#include <sys/wait.h>

#include <kin/event.h>

#include "ipc/queue.h"
#include "os/processes.h"
#include "pool/pool.h"

/* ---- maps that nobody wants ------------------------------------------------------------------------------- */

enum { ITEMS = 50 };

/* Never ends, and does not ask whether it is to; only a thread has to. */
static int stay(const struct order *order, int *out)
{
    order->board->inside++;
    test_until(pool_kind == KIN_POOL_THREADS && kin_task_cancelled() == 1);
    *out = order->number;
    return -ECANCELED;
}
KIN_MAP(stay, struct order, int)

struct map {
    kin_pool *pool;
    struct board *board;
    struct order in[ITEMS];
    int out[ITEMS];
};

static struct map *make_map(void)
{
    struct map *map = kin_alloc(sizeof *map);
    CHECK(map != NULL);
    memset(map, 0, sizeof *map);
    map->board = make_board();
    for (int i = 0; i < ITEMS; i++) map->in[i] = (struct order){map->board, i};
    map->pool = open_pool(1);
    return map;
}

/* Its only worker does something else: so the map has ended. */
static void check_ended(struct map *map)
{
    CHECK_GT(value(submit(map->pool, KIN_FN(note), map->board, 77, NULL)), 0);
    CHECK_EQ(map->board->order[0], 77);
    end_pool(map->pool);
    CHECK_OK(kin_free(map->board));
    CHECK_OK(kin_free(map));
}

POOL_TEST(closing_an_unfinished_map_ends_it)
{
    struct books books = books_open();
    struct map *map = make_map();
    kin_result *result = NULL;
    const void *in = map->in;
    CHECK_OK(kin_pool_map_async(map->pool, &result, KIN_FN(stay), &in, ITEMS, KIN_FOREVER, NULL));
    test_until(map->board->inside == 1);
    CHECK_OK(kin_result_close(result));
    check_ended(map);
    books_check(&books);
}

static void map_for_ever(void *context)
{
    struct map *map = context;
    kin_pool_map(map->pool, KIN_FN(stay), map->in, map->out, ITEMS, KIN_FOREVER);
}

POOL_TEST(a_map_whose_caller_died_ends)
{
    struct books books = books_open();
    struct map *map = make_map();
    pid_t caller = test_child(map_for_ever, map);
    test_until(map->board->inside == 1);
    test_kill(caller);
    check_ended(map);
    books_check(&books);
}

/* ---- supervisors ---------------------------------------------------------------------------------------------- */

static void stop(pid_t pid)
{
    struct kin__process_note note;
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    test_until(kin__os_process_note(pid, &note) == 0 && note.state == 'T');
}

static pid_t supervisor_of(kin_pool *pool)
{
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    return status.supervisor_pid;
}

TEST(terminating_wakes_a_supervisor_that_was_stopped)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    stop(supervisor_of(pool));
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_EQ(failure_of(running).cause, KIN_CAUSE_TERMINATED);
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
    books_check(&books);
}

static void join_ended(void *pool)
{
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
}

/* It is stopped when who terminates the pool has just seen that it is not. */
TEST(joining_wakes_a_supervisor_that_was_stopped)
{
    struct books books = books_open();
    for (int by_another = 0; by_another < 2; by_another++) {
        kin_pool *pool = open_pool(1);
        stop(supervisor_of(pool));
        CHECK(kin__pool_raise(pool, KIN__POOL_TERMINATED));
        if (by_another) CHECK_EQ(test_collect(test_child(join_ended, pool)), 0);
        join_ended(pool);
        CHECK_OK(kin_pool_free(pool));
    }
    books_check_blocks(&books);
}

TEST(freeing_does_not_wait_for_a_stopped_supervisor, .deadline = 30)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    int workers[2];
    test_until(kin_pool_workers(pool, workers, 2) == 2);
    stop(supervisor_of(pool));
    for (int i = 0; i < 2; i++) stop(workers[i]);
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

TEST(joining_tells_that_the_supervisor_died)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct board *board = make_board();
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), board, 1, NULL);
    test_until(board->inside == 1);
    CHECK_RC(kin_pool_join(pool, kin_in_s(30)), KIN_ESTATE);
    CHECK_OK(kin_pool_close(pool));
    CHECK_EQ(kill(supervisor_of(pool), SIGKILL), 0);
    /* Its tasks are not done, and cannot be. */
    CHECK_RC(kin_pool_join(pool, kin_in_s(30)), KIN_EBROKEN);
    CHECK_RC(kin_pool_join(pool, kin_in_s(30)), KIN_EBROKEN);
    CHECK_RC(kin_result_wait(running, kin_in_s(30)), KIN_EBROKEN);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}

/* ---- who waits for room meanwhile ------------------------------------------------------------------------------ */

/* As a child has them, too. */
static kin_pool *full;
static kin_task_options how; /* a priority: in the lists */

static bool one_waits_for_room(void)
{
    struct kin__event *event = how.priority != 0 ? &full->room : &full->tasks->space;
    return kin__waiters_count(atomic_load(&event->point.waiters)) != 0;
}

static void expect_closed(void *board)
{
    kin_result *result = NULL;
    struct order order = {board, 9};
    int rc = kin_pool_submit(full, &result, KIN_FN(note), &order, sizeof order, kin_in_s(60), &how);
    CHECK_RC(rc, KIN_ECLOSED);
    CHECK(result == NULL);
}

static void expect_map_closed(void *board)
{
    struct order in[ITEMS] = {{board, 0}};
    int out[ITEMS];
    for (int i = 0; i < ITEMS; i++) in[i] = (struct order){board, i};
    CHECK_RC(kin_pool_map(full, KIN_FN(note), in, out, ITEMS, kin_in_s(60)), KIN_ECLOSED);
}

static void expect_async_closed(void *board)
{
    struct order in[ITEMS] = {{board, 0}};
    const void *arrays = in;
    kin_result *result = NULL;
    for (int i = 0; i < ITEMS; i++) in[i] = (struct order){board, i};
    CHECK_RC(kin_pool_map_async(full, &result, KIN_FN(note), &arrays, ITEMS, kin_in_s(60), NULL),
             KIN_ECLOSED);
    CHECK(result == NULL);
}

/* A submitter that is stopped while it waits for room. */
static pid_t stopped_submitter(struct board *board, int priority, void (*submitter_main)(void *board))
{
    how.priority = priority;
    CHECK_OK(kin_pool_open(&full, &(kin_pool_options){.kind = pool_kind, .workers = 1, .max_queued = 1}));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_result_close(submit(full, KIN_FN(wait_at_gate), board, i, &how)));
        test_until(board->inside == 1);
    }
    pid_t submitter = test_child(submitter_main, board);
    test_until(one_waits_for_room());
    stop(submitter);
    return submitter;
}

/* Stopped while the pool ends, it finds its task failed, or nothing. */
static void end_while_one_waits(int (*end)(kin_pool *pool), int priority)
{
    struct books books = books_open();
    struct board *board = make_board();
    pid_t submitter = stopped_submitter(board, priority, expect_closed);
    CHECK_OK(end(full));
    CHECK_EQ(kill(submitter, SIGCONT), 0);
    CHECK_EQ(test_collect(submitter), 0);
    if (end != kin_pool_free) CHECK_OK(kin_pool_free(full));
    CHECK_EQ(board->count, 0);
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}

static int terminate_and_join(kin_pool *pool)
{
    int rc = kin_pool_terminate(pool);
    return rc < 0 ? rc : kin_pool_join(pool, kin_in_s(30));
}

POOL_TEST(who_waits_for_room_in_a_terminated_pool_is_told)
{
    end_while_one_waits(terminate_and_join, 0);
    end_while_one_waits(terminate_and_join, 1);
}

POOL_TEST(who_waits_for_room_in_a_freed_pool_is_told)
{
    end_while_one_waits(kin_pool_free, 0);
    end_while_one_waits(kin_pool_free, 1);
}

/* When it goes on there is another pool at that place, and its record is one of that pool's, not begun. */
static void go_on_in_the_next_pool(int priority)
{
    enum { TASKS = KIN__SEGMENT_RECORDS };
    struct books books = books_open();
    struct board *board = make_board(), *next_board = make_board();
    kin_result *results[TASKS];
    pid_t submitter = stopped_submitter(board, priority, expect_closed);
    const kin_result *records = kin__pool_record(full, 0);
    CHECK_OK(kin_pool_free(full));
    kin_pool *next = open_pool(1);
    for (int i = 0; i < TASKS; i++) results[i] = submit(next, KIN_FN(wait_at_gate), next_board, i, NULL);
    CHECK_EQ(next, full);
    CHECK_EQ(kin__pool_record(next, 0), records);
    test_until(next_board->inside == 1);
    CHECK_EQ(kill(submitter, SIGCONT), 0);
    CHECK_EQ(test_collect(submitter), 0);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(next, &status));
    CHECK_EQ(status.submitted, TASKS);
    next_board->open = 1;
    for (int i = 0; i < TASKS; i++) CHECK_EQ(value(results[i]), i);
    end_pool(next);
    CHECK_OK(kin_free(board));
    CHECK_OK(kin_free(next_board));
    books_check_blocks(&books);
}

POOL_TEST(who_waits_for_room_in_a_freed_pool_leaves_the_next_alone)
{
    go_on_in_the_next_pool(0);
    go_on_in_the_next_pool(1);
}

/* Blocks of the sizes that maps have, with nothing in them that may be followed. */
static void write_over_freed(void)
{
    enum { EACH = 16, SIZES = 9 };
    void *blocks[SIZES * EACH];
    for (int i = 0; i < SIZES * EACH; i++) {
        size_t size = (size_t)256 << i / EACH;
        blocks[i] = kin_alloc(size);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 0x5a, size);
    }
    for (int i = 0; i < SIZES * EACH; i++) CHECK_OK(kin_free(blocks[i]));
}

/* A map, and one that is not waited for, whose caller goes on when its memory is another's. */
static void free_under_a_map(void (*call)(void *board))
{
    struct books books = books_open();
    struct board *board = make_board();
    pid_t caller = stopped_submitter(board, 0, call);
    CHECK_OK(kin_pool_free(full));
    write_over_freed();
    CHECK_EQ(kill(caller, SIGCONT), 0);
    CHECK_EQ(test_collect(caller), 0);
    CHECK_EQ(board->count, 0);
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}

POOL_TEST(a_map_that_waits_for_room_in_a_freed_pool_is_told)
{
    free_under_a_map(expect_map_closed);
    free_under_a_map(expect_async_closed);
}

static void expect_running_map_closed(void *board)
{
    struct order in = {board, 0};
    int out = -1;
    CHECK_RC(kin_pool_map(full, KIN_FN(wait_at_gate), &in, &out, 1, kin_in_s(60)), KIN_ECLOSED);
    CHECK_EQ(out, -1);
}

static bool sleeps(pid_t pid)
{
    struct kin__process_note note;
    return kin__os_process_note(pid, &note) == 0 && note.state == 'S';
}

POOL_TEST(a_map_that_runs_in_a_freed_pool_is_told)
{
    struct books books = books_open();
    struct board *board = make_board();
    full = open_pool(1);
    pid_t caller = test_child(expect_running_map_closed, board);
    test_until(board->inside == 1 && sleeps(caller));
    stop(caller);
    CHECK_OK(kin_pool_free(full));
    write_over_freed();
    CHECK_EQ(kill(caller, SIGCONT), 0);
    CHECK_EQ(test_collect(caller), 0);
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}

/* Who waits for room in the lists is woken, and need not look by himself. */
POOL_TEST(closing_tells_who_waits_for_room)
{
    struct books books = books_open();
    struct board *board = make_board();
    pid_t submitter = stopped_submitter(board, 1, expect_closed);
    CHECK_EQ(kill(submitter, SIGCONT), 0);
    /* Counted, and asleep: not between two slices. */
    test_until(sleeps(submitter) && one_waits_for_room());
    uint32_t before = atomic_load(&full->room.point.word);
    CHECK_OK(kin_pool_close(full));
    bool told = atomic_load(&full->room.point.word) != before;
    CHECK_EQ(test_collect(submitter), 0);
    board->open = 1;
    CHECK_OK(kin_pool_join(full, kin_in_s(30)));
    CHECK_OK(kin_pool_free(full));
    CHECK_OK(kin_free(board));
    books_check(&books);
    /* Its slice may have ended just then. */
    if (!told && !test_again()) CHECK(told);
}

/* ---- somebody is stopped in the task queue ----------------------------------------------------------------- */

static void stop_in_tail(void *pool)
{
    struct kin__latch *latch;
    CHECK_OK(kin__enter());
    CHECK_RC(kin__queue_lock_tail(((kin_pool *)pool)->tasks, KIN_FOREVER, &latch), 0);
    raise(SIGSTOP);
    kin__latch_release(latch);
}

/* While others look after the dead, and miss the latch. */
static pid_t stopped_in_tail(kin_pool *pool)
{
    int status;
    pid_t child = test_child(stop_in_tail, pool);
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    return child;
}

static void look_and_go_on(pid_t stopped)
{
    kin_event *never;
    CHECK_OK(kin_event_open(&never, NULL));
    for (int i = 0; i < 5; i++) CHECK_RC(kin_event_wait(never, kin_in_ms(150)), -ETIMEDOUT);
    CHECK_OK(kin_event_close(never));
    CHECK_EQ(kill(stopped, SIGCONT), 0);
    CHECK_EQ(test_collect(stopped), 0);
    CHECK_GE(kin_sweep(), 0);
}

static void expect_broken(void *board)
{
    kin_result *result = NULL;
    struct order order = {board, 9};
    int rc = kin_pool_submit(full, &result, KIN_FN(note), &order, sizeof order, kin_in_s(60), &how);
    CHECK_RC(rc, KIN_EBROKEN);
}

TEST(who_waits_for_room_is_told_that_the_pool_broke_while_one_was_stopped)
{
    struct books books = books_open();
    struct board *board = make_board();
    pid_t submitter = stopped_submitter(board, 0, expect_broken);
    pid_t stopped = stopped_in_tail(full);
    CHECK_EQ(kill(supervisor_of(full), SIGKILL), 0);
    look_and_go_on(stopped);
    CHECK_EQ(kill(submitter, SIGCONT), 0);
    CHECK_EQ(test_collect(submitter), 0);
    CHECK_OK(kin_pool_free(full));
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}

/* What an opener and the case share. */
struct opened {
    struct board *board;
    kin_pool *_Atomic pool;
};

static void open_and_stay(void *context)
{
    struct opened *opened = context;
    kin_pool *pool = open_pool(1);
    submit(pool, KIN_FN(wait_at_gate), opened->board, 1, NULL);
    test_until(opened->board->inside == 1);
    submit(pool, KIN_FN(note), opened->board, 2, NULL);
    opened->pool = pool;
    test_until(false);
}

TEST(a_pool_whose_opener_died_while_one_was_stopped_is_freed)
{
    struct books books = books_open();
    struct opened *opened = test_shared(sizeof *opened);
    opened->board = make_board();
    pid_t opener = test_child(open_and_stay, opened);
    test_until(opened->pool != NULL);
    pid_t stopped = stopped_in_tail(opened->pool);
    test_kill(opener);
    look_and_go_on(stopped);
    CHECK_OK(kin_free(opened->board));
    /* The supervisor ends by the end of its opener, and the worker by its. */
    kin_memory_usage usage;
    test_until(kin_sweep() >= 0 && kin_memory_stats(&usage) == 0 && usage.heap_blocks == books.blocks);
    books_check_blocks(&books);
}

/* ---- a successor that is not ready yet ---------------------------------------------------------------------- */

static struct board *gate; /* as the workers have it, too */

/* The first worker begins at once. */
static int wait_unless_first(void *context)
{
    (void)context;
    if (gate->count++ > 0) test_until(gate->open != 0);
    return 0;
}

static int die(const struct order *order, int *out)
{
    *out = 0;
    order->board->inside++;
    return raise(SIGKILL);
}
KIN_MAP(die, struct order, int)

/* Before, each successor was killed for it before it was ready, and in the end the pool had to be given up. */
TEST(a_task_that_is_cancelled_before_its_next_worker_is_ready_ends_alone)
{
    struct books books = books_open();
    gate = make_board();
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(
        &pool, &(kin_pool_options){.workers = 1, .retries = 1, .initializer = wait_unless_first}));
    kin_result *dying = submit(pool, KIN_FN(die), gate, 1, NULL);
    test_until(gate->count == 2);
    CHECK_OK(kin_result_cancel(dying));
    CHECK_RC(kin_result_wait(dying, kin_in_s(30)), 0);
    CHECK_EQ(failure_of(dying).cause, KIN_CAUSE_CANCELLED);
    gate->open = 1;
    CHECK_GE(value(submit(pool, KIN_FN(note), gate, 2, NULL)), 0);
    end_pool(pool);
    CHECK_OK(kin_free(gate));
    books_check_blocks(&books);
}

/* ---- pure items that are run one by one -------------------------------------------------------------------- */

/* Item 2 returns an error if the board is open; item 5 never ends, or, on an open board, dies. */
static int act_purely(const struct order *order, int *out)
{
    order->board->order[order->number]++;
    *out = 0;
    if (order->number == 2 && order->board->open != 0) return 1;
    if (order->number == 5 && order->board->open != 0) return raise(SIGKILL);
    while (order->number == 5) pause();
    return 0;
}
KIN_MAP_PURE(act_purely, struct order, int)

/* With a time for each item, and after an error in their portion, it is known which one it was. */
TEST(a_death_among_pure_items_that_are_run_one_by_one_is_charged_at_once)
{
    enum { PURE = 8 };
    struct books books = books_open();
    struct board *board = make_board();
    kin_pool *pool = open_pool(1);
    for (board->open = 0; board->open < 2; board->open++) {
        struct order in[PURE] = {{board, 0}};
        int out[PURE];
        kin_failure failure[PURE] = {0};
        size_t failed = 0;
        for (int i = 0; i < PURE; i++) in[i] = (struct order){board, i};
        kin_map_options options = {.keep_going = true,
                                   .retries = -1,
                                   .chunk = PURE,
                                   .timeout_ns = board->open != 0 ? 0 : 1000 * 1000000LL,
                                   .failures = failure,
                                   .max_failures = PURE,
                                   .failed = &failed};
        int rc = kin_pool_map_with(pool, KIN_FN(act_purely), in, out, PURE, kin_in_s(60), &options);
        CHECK_RC(rc, KIN_EFAILED);
        CHECK_EQ(failed, board->open != 0 ? 2 : 1);
        CHECK_EQ(failure[failed - 1].task, 5);
        CHECK_EQ(failure[failed - 1].cause, board->open != 0 ? KIN_CAUSE_SIGNALED : KIN_CAUSE_TIMEOUT);
        for (int i = 0; i < PURE; i++) CHECK_EQ(board->order[i], board->open + 1);
    }
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}

/* Results that were not closed are gone with their pool, and what was special about them. */
POOL_TEST(records_of_a_freed_pool_are_ordinary_in_the_next)
{
    struct books books = books_open();
    struct board *board = make_board();
    kin_pool *pool = open_pool(1);
    kin_result *needed = submit(pool, KIN_FN(wait_at_gate), board, 0, NULL);
    kin_result *const needs[] = {needed};
    submit(pool, KIN_FN(note), board, 1, &(kin_task_options){.priority = 3});
    submit(pool, KIN_FN(note), board, 2, &(kin_task_options){.weight = 2, .affinity = 5});
    submit(pool, KIN_FN(note), board, 3, &(kin_task_options){.needs = needs, .needs_count = 1});
    CHECK_OK(kin_pool_free(pool));
    board->open = 1;
    pool = open_pool(1);
    kin_result *results[4];
    for (int i = 0; i < 4; i++) results[i] = submit(pool, KIN_FN(wait_at_gate), board, i, NULL);
    CHECK_EQ(results[0], needed);
    for (int i = 0; i < 4; i++) CHECK_EQ(value(results[i]), i);
    end_pool(pool);
    CHECK_OK(kin_free(board));
    books_check_blocks(&books);
}
