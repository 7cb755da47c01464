/* test_pool.c: the pool's contract for single tasks: submitting, retries, deaths, ending it, and
 * every error.  Maps are in test_pool_map.c, what a result tells in test_result.c. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/pools.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/queue.h>

#include "os/os.h"

/* ---- tasks -------------------------------------------------------------------------------------- */

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int echo(const void *argument, size_t size, kin_reply *reply)
{
    return kin_reply_write(reply, argument, size);
}
KIN_BYTES(echo)

static int whoami(const void *argument, size_t size, kin_reply *reply)
{
    int pid = gettid();
    (void)argument, (void)size;
    return kin_reply_write(reply, &pid, sizeof pid);
}
KIN_BYTES(whoami)

/* What tasks and their submitter share; a task gets the address. */
struct gate {
    _Atomic int open;
    _Atomic int inside;
    _Atomic int attempts;
    int die_until; /* attempts that end in a death */
};
typedef struct gate *gate_address;

static int wait_at_gate(const gate_address *gate, int *out)
{
    (*gate)->inside++;
    test_until((*gate)->open != 0 || kin_task_cancelled() == 1);
    *out = 1;
    return (*gate)->open != 0 ? 0 : -ECANCELED;
}
KIN_MAP(wait_at_gate, gate_address, int)

static int die_at_first(const gate_address *gate, int *out)
{
    *out = ++(*gate)->attempts;
    if (*out <= (*gate)->die_until) kill(getpid(), SIGKILL);
    return 0;
}
KIN_MAP(die_at_first, gate_address, int)

static kin_pool *open_pool(unsigned workers)
{
    kin_pool *pool = NULL;
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = workers}), 0);
    return pool;
}

static void end_pool(kin_pool *pool)
{
    CHECK_RC(kin_pool_close(pool), 0);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_free(pool), 0);
}

static kin_result *submit(kin_pool *pool, const kin_function *function, const void *argument, size_t size)
{
    kin_result *result = NULL;
    CHECK_RC(kin_pool_submit(pool, &result, function, argument, size, KIN_FOREVER, NULL), 0);
    CHECK(result != NULL);
    return result;
}

/* ---- running ---------------------------------------------------------------------------------------- */

POOL_TEST(tasks_are_run)
{
    enum { TASKS = 1000 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    static kin_result *result[TASKS];
    for (int i = 0; i < TASKS; i++) result[i] = submit(pool, KIN_FN(square), &i, sizeof i);
    for (int i = 0; i < TASKS; i++) {
        long out = -1;
        CHECK_RC(kin_result_get(result[i], &out, sizeof out, KIN_FOREVER), sizeof out);
        CHECK_EQ(out, (long)i * i);
        CHECK_RC(kin_result_close(result[i]), 0);
    }
    kin_pool_status status;
    /* A task is counted after its end has been told. */
    test_until(kin_pool_stats(pool, &status) == 0 && status.done >= TASKS && status.alive == 2);
    CHECK_EQ(status.workers, 2);
    CHECK_EQ(status.alive, 2);
    CHECK_EQ(status.submitted, TASKS);
    CHECK_EQ(status.done, TASKS);
    CHECK_EQ(status.failed, 0);
    CHECK_EQ(status.deaths, 0);
    CHECK_EQ(status.queued, 0);
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(arguments_and_replies_of_any_size)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    const size_t sizes[] = {0, 1, 127, 128, 129, 4096, 1 << 20, (10 << 20) + 1};
    static unsigned char in[(10 << 20) + 1], out[sizeof in];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (unsigned char)(i * 13 + (i >> 9));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        long rc = kin_pool_apply(pool, KIN_FN(echo), in, sizes[i], out, sizeof out, KIN_FOREVER, NULL);
        CHECK_RC(rc, (long)sizes[i]);
        CHECK_MEM(out, in, sizes[i]);
    }
    end_pool(pool);
    books_check(&books);
}

POOL_TEST(one_worker_per_processor)
{
    kin_pool *pool = NULL;
    int pids[64];
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind}), 0);
    test_until(kin_pool_workers(pool, pids, 64) == kin_cpu_count());
    CHECK_RC(kin_pool_workers(pool, NULL, 0), kin_cpu_count());
    int pid = 0;
    CHECK_RC(kin_pool_apply(pool, KIN_FN(whoami), NULL, 0, &pid, sizeof pid, KIN_FOREVER, NULL), sizeof pid);
    bool known = false;
    for (int i = 0; i < kin_cpu_count(); i++) known = known || pids[i] == pid;
    CHECK(known);
    end_pool(pool);
}

POOL_TEST(two_pools_at_once)
{
    struct books books = books_open();
    kin_pool *first = open_pool(1), *second = open_pool(2);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *waiting = submit(first, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 1);
    end_pool(second);
    gate->open = 1;
    CHECK_RC(kin_result_wait(waiting, KIN_FOREVER), 0);
    end_pool(first);
    CHECK_OK(kin_free(gate));
    books_check(&books);
}

/* ---- objects made after the pool ----------------------------------------------------------------------- */

struct later {
    kin_queue *queue;
    kin_lock *lock;
    long *array;
    size_t count;
};
typedef struct later *later_address;

static int use_later_things(const later_address *later, long *out)
{
    CHECK_RC(kin_lock_acquire((*later)->lock, KIN_FOREVER), 0);
    *out = 0;
    for (size_t i = 0; i < (*later)->count; i++) *out += (*later)->array[i]++;
    CHECK_RC(kin_lock_release((*later)->lock), 0);
    return kin_queue_put((*later)->queue, out, sizeof *out, KIN_FOREVER);
}
KIN_MAP(use_later_things, later_address, long)

POOL_TEST(a_task_is_handed_what_was_made_after_the_pool)
{
    enum { TASKS = 50, ITEMS = 1000 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct later *later = kin_alloc(sizeof *later);
    CHECK_OK(kin_queue_open(&later->queue, NULL));
    CHECK_OK(kin_lock_open(&later->lock));
    later->count = ITEMS;
    later->array = kin_alloc(ITEMS * sizeof *later->array);
    kin_result *result[TASKS];
    for (int i = 0; i < TASKS; i++) result[i] = submit(pool, KIN_FN(use_later_things), &later, sizeof later);
    bool seen[TASKS] = {false};
    for (int i = 0; i < TASKS; i++) {
        long sum = -1;
        CHECK_RC(kin_queue_get(later->queue, &sum, sizeof sum, KIN_FOREVER), sizeof sum);
        CHECK_EQ(sum % ITEMS, 0);
        CHECK_LT(sum / ITEMS, TASKS);
        CHECK(!seen[sum / ITEMS]);
        seen[sum / ITEMS] = true;
    }
    for (int i = 0; i < TASKS; i++) {
        CHECK_RC(kin_result_wait(result[i], KIN_FOREVER), 0);
        CHECK_OK(kin_result_close(result[i]));
    }
    CHECK_OK(kin_queue_close(later->queue));
    CHECK_OK(kin_lock_close(later->lock));
    CHECK_OK(kin_free(later->array));
    CHECK_OK(kin_free(later));
    end_pool(pool);
    books_check(&books);
}

struct fan {
    kin_pool *pool;
    kin_result *result[10];
};
typedef struct fan *fan_address;

static int submit_more(const fan_address *fan, int *out)
{
    for (int i = 0; i < 10; i++) {
        int rc = kin_pool_submit((*fan)->pool, &(*fan)->result[i], KIN_FN(square), &i, sizeof i, KIN_FOREVER,
                                 NULL);
        if (rc < 0) return rc;
    }
    *out = 10;
    return 0;
}
KIN_MAP(submit_more, fan_address, int)

POOL_TEST(a_task_may_submit_tasks)
{
    kin_pool *pool = open_pool(1);
    struct fan *fan = kin_alloc(sizeof *fan);
    fan->pool = pool;
    int count = 0;
    CHECK_RC(
        kin_pool_apply(pool, KIN_FN(submit_more), &fan, sizeof fan, &count, sizeof count, KIN_FOREVER, NULL),
        4);
    for (int i = 0; i < count; i++) {
        long out = -1;
        CHECK_RC(kin_result_get(fan->result[i], &out, sizeof out, KIN_FOREVER), sizeof out);
        CHECK_EQ(out, i * i);
    }
    CHECK_OK(kin_free(fan));
    end_pool(pool);
}

static void submit_as_child(void *argument)
{
    kin_pool *pool = argument;
    for (int i = 0; i < 100; i++) {
        long out = -1;
        CHECK_RC(kin_pool_apply(pool, KIN_FN(square), &i, sizeof i, &out, sizeof out, KIN_FOREVER, NULL), 8);
        CHECK_EQ(out, i * i);
    }
    CHECK_RC(kin_pool_free(pool), -EPERM);
}

POOL_TEST(another_process_may_submit)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    pid_t children[] = {test_child(submit_as_child, pool), test_child(submit_as_child, pool)};
    CHECK_EQ(test_collect(children[0]), 0);
    CHECK_EQ(test_collect(children[1]), 0);
    end_pool(pool);
    books_check(&books);
}

/* ---- bounds and deadlines -------------------------------------------------------------------------------- */

POOL_TEST(the_task_queue_is_bounded, .alone = true)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1, .max_queued = 3}));
    struct gate *gate = kin_alloc(sizeof *gate);
    submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 1);
    for (int i = 0; i < 3; i++) submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.queued, 3);
    kin_result *result = NULL;
    const kin_function *function = KIN_FN(wait_at_gate);
    CHECK_WAITS(
        0, CHECK_RC(kin_pool_submit(pool, &result, function, &gate, sizeof gate, KIN_NOW, NULL), -ETIMEDOUT))
    CHECK_WAITS(0.12,
                CHECK_RC(kin_pool_submit(pool, &result, function, &gate, sizeof gate, kin_in_ms(120), NULL),
                         -ETIMEDOUT))
    CHECK(result == NULL);
    gate->open = 1;
    CHECK_RC(kin_pool_close(pool), 0);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_EQ(gate->inside, 4);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_free(gate));
}

static void run_out_of_time(kin_pool *pool, struct gate *gate)
{
    kin_result *late = NULL;
    kin_failure failure;
    CHECK_OK(kin_pool_submit(pool, &late, KIN_FN(wait_at_gate), &gate, sizeof gate, KIN_FOREVER,
                             &(kin_task_options){.timeout_ns = 100000000}));
    CHECK_RC(kin_result_wait(late, KIN_FOREVER), 0);
    CHECK_RC(kin_result_failure(late, &failure), 0);
    CHECK_EQ(failure.cause, KIN_CAUSE_TIMEOUT);
    CHECK_OK(kin_result_close(late));
}

POOL_TEST(a_task_has_its_own_deadline, .alone = true)
{
    kin_pool *pool = open_pool(2);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *free_of_it = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    CHECK_WAITS(0.1, run_out_of_time(pool, gate))
    CHECK_RC(kin_result_ready(free_of_it), 0);
    gate->open = 1;
    CHECK_RC(kin_result_wait(free_of_it, KIN_FOREVER), 0);
    CHECK_RC(kin_result_successful(free_of_it), 1);
    end_pool(pool);
    CHECK_OK(kin_free(gate));
}

/* ---- deaths ------------------------------------------------------------------------------------------------ */

TEST(a_death_is_charged_to_its_task_alone)
{
    enum { TASKS = 200 };
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct gate *gate = kin_alloc(sizeof *gate);
    static kin_result *result[TASKS];
    gate->die_until = INT32_MAX;
    int deaths = 0;
    for (int i = 0; i < TASKS; i++) {
        bool fatal = i % 40 == 7;
        deaths += fatal;
        result[i] = fatal ? submit(pool, KIN_FN(die_at_first), &gate, sizeof gate)
                          : submit(pool, KIN_FN(square), &i, sizeof i);
    }
    for (int i = 0; i < TASKS; i++) {
        long out = -1;
        test_context("task %d", i);
        long rc = kin_result_get(result[i], &out, sizeof out, KIN_FOREVER);
        if (i % 40 == 7) {
            CHECK_RC(rc, KIN_EFAILED);
        } else {
            CHECK_RC(rc, sizeof out);
            CHECK_EQ(out, (long)i * i);
        }
        CHECK_OK(kin_result_close(result[i]));
    }
    kin_pool_status status;
    test_until(kin_pool_stats(pool, &status) == 0 && status.done + status.failed >= TASKS);
    CHECK_EQ(status.deaths, deaths);
    CHECK_EQ(status.failed, deaths);
    CHECK_EQ(gate->attempts, deaths);
    end_pool(pool);
    CHECK_OK(kin_free(gate));
    books_check_blocks(&books);
}

static int attempts_of(kin_pool *pool, int die_until, int retries, long *rc)
{
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *result = NULL;
    int out = -1;
    gate->die_until = die_until;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(die_at_first), &gate, sizeof gate, KIN_FOREVER,
                             &(kin_task_options){.retries = retries}));
    *rc = kin_result_get(result, &out, sizeof out, KIN_FOREVER);
    CHECK_OK(kin_result_close(result));
    int attempts = gate->attempts;
    if (*rc >= 0) CHECK_EQ(out, attempts);
    CHECK_OK(kin_free(gate));
    return attempts;
}

TEST(retries)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1, .retries = 2}));
    const struct {
        int die_until, retries, attempts;
        long rc;
    } cases[] = {{0, 0, 1, 4},           {1, 0, 2, 4},           {2, 0, 3, 4},
                 {9, 0, 3, KIN_EFAILED}, {0, -1, 1, 4},          {1, -1, 1, KIN_EFAILED},
                 {1, 1, 2, 4},           {2, 1, 2, KIN_EFAILED}, {5, 5, 6, 4},
                 {9, 5, 6, KIN_EFAILED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        long rc;
        test_context("case %zu", i);
        CHECK_EQ(attempts_of(pool, cases[i].die_until, cases[i].retries, &rc), cases[i].attempts);
        CHECK_RC(rc, cases[i].rc);
    }
    test_context(NULL);
    end_pool(pool);
    books_check_blocks(&books);
}

TEST(an_idle_worker_that_dies_is_replaced)
{
    kin_pool *pool = open_pool(2);
    int before[2], now[2];
    test_until(kin_pool_workers(pool, before, 2) == 2);
    CHECK_EQ(kill(before[0], SIGKILL), 0);
    test_until(kin_pool_workers(pool, now, 2) == 2 && now[0] != before[0]);
    CHECK_EQ(now[1], before[1]);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.deaths, 1);
    end_pool(pool);
}

POOL_TEST(workers_are_recycled)
{
    kin_pool *pool = NULL;
    CHECK_OK(
        kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1, .tasks_per_worker = 3}));
    int last = 0, changes = 0;
    for (int i = 0; i < 12; i++) {
        int pid = 0;
        CHECK_RC(kin_pool_apply(pool, KIN_FN(whoami), NULL, 0, &pid, sizeof pid, KIN_FOREVER, NULL),
                 sizeof pid);
        changes += pid != last;
        last = pid;
    }
    CHECK_EQ(changes, 4);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.deaths, 0);
    end_pool(pool);
}

TEST(a_stopped_worker_holds_up_nobody_else, .alone = true)
{
    kin_pool *pool = open_pool(2);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *result = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 1);
    int pids[2], other = 0;
    test_until(kin_pool_workers(pool, pids, 2) == 2);
    CHECK_RC(kin_pool_apply(pool, KIN_FN(whoami), NULL, 0, &other, sizeof other, KIN_FOREVER, NULL),
             sizeof other);
    int busy = pids[pids[0] == other];
    CHECK_EQ(kill(busy, SIGSTOP), 0);
    gate->open = 1;
    CHECK_WAITS(0.2, CHECK_RC(kin_result_wait(result, kin_in_ms(200)), -ETIMEDOUT))
    for (int i = 0; i < 20; i++) {
        long out = 0;
        CHECK_RC(kin_pool_apply(pool, KIN_FN(square), &i, sizeof i, &out, sizeof out, kin_in_s(10), NULL), 8);
    }
    CHECK_EQ(kill(busy, SIGCONT), 0);
    CHECK_RC(kin_result_wait(result, KIN_FOREVER), 0);
    end_pool(pool);
    CHECK_OK(kin_free(gate));
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

POOL_TEST(a_closed_pool_runs_what_is_in_it)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *first = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate), *result = NULL;
    int number = 12;
    kin_result *second = submit(pool, KIN_FN(square), &number, sizeof number);
    CHECK_RC(kin_pool_join(pool, KIN_NOW), KIN_ESTATE);
    CHECK_RC(kin_pool_close(pool), 0);
    CHECK_RC(kin_pool_close(pool), 0);
    int rc = kin_pool_submit(pool, &result, KIN_FN(square), &number, sizeof number, KIN_FOREVER, NULL);
    CHECK_RC(rc, KIN_ECLOSED);
    CHECK(result == NULL);
    test_until(gate->inside == 1);
    CHECK_RC(kin_pool_join(pool, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_pool_join(pool, kin_in_ms(30)), -ETIMEDOUT);
    gate->open = 1;
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_RC(kin_pool_join(pool, KIN_NOW), 0);
    CHECK_RC(kin_pool_workers(pool, NULL, 0), 0);
    long out = 0;
    CHECK_RC(kin_result_get(second, &out, sizeof out, KIN_NOW), sizeof out);
    CHECK_EQ(out, 144);
    CHECK_RC(kin_result_successful(first), 1);
    CHECK_RC(kin_pool_free(pool), 0);
    CHECK_OK(kin_free(gate));
    books_check(&books);
}

POOL_TEST(a_terminated_pool_fails_what_is_in_it)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(1);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *result[5];
    for (int i = 0; i < 5; i++) result[i] = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 1);
    CHECK_RC(kin_pool_close(pool), 0);
    CHECK_RC(kin_pool_terminate(pool), 0);
    CHECK_RC(kin_pool_terminate(pool), 0);
    for (int i = 0; i < 5; i++) {
        kin_failure failure;
        test_context("task %d", i);
        CHECK_RC(kin_result_wait(result[i], KIN_FOREVER), 0);
        CHECK_RC(kin_result_successful(result[i]), 0);
        CHECK_RC(kin_result_failure(result[i], &failure), 0);
        CHECK_EQ(failure.cause, KIN_CAUSE_TERMINATED);
    }
    test_context(NULL);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    CHECK_EQ(gate->inside, 1);
    CHECK_RC(kin_pool_free(pool), 0);
    CHECK_OK(kin_free(gate));
    books_check_blocks(&books);
}

POOL_TEST(free_ends_a_pool_that_runs)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct gate *gate = kin_alloc(sizeof *gate);
    for (int i = 0; i < 5; i++) submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate);
    test_until(gate->inside == 2);
    CHECK_RC(kin_pool_free(pool), 0);
    CHECK_OK(kin_free(gate));
    books_check_blocks(&books);
}

static void open_pool_and_wait(void *argument)
{
    _Atomic int *pids = argument;
    kin_pool *pool = open_pool(2);
    kin_pool_status status;
    int workers[2];
    CHECK_OK(kin_pool_stats(pool, &status));
    test_until(kin_pool_workers(pool, workers, 2) == 2);
    pids[1] = workers[0];
    pids[2] = workers[1];
    pids[0] = pool_kind == KIN_POOL_THREADS ? getpid() : status.supervisor_pid;
    for (;;) pause();
}

POOL_TEST(a_pool_ends_with_the_process_that_opened_it)
{
    struct books books = books_open();
    _Atomic int *pids = test_shared(3 * sizeof *pids);
    pid_t child = test_child(open_pool_and_wait, (void *)pids);
    test_until(pids[0] != 0);
    int64_t since = kin__os_boot_clock();
    test_kill(child);
    for (int i = 0; i < 3; i++) test_until(kin__os_process_gone(pids[i], since) == 1);
    /* The pool's memory is freed once nobody can use it any more. */
    kin_memory_usage usage;
    test_until(kin_memory_stats(&usage) == 0 && usage.heap_blocks == books.blocks);
    CHECK_EQ(usage.processes, 1);
    books_check_blocks(&books);
}

TEST(a_pool_without_its_supervisor_is_broken)
{
    struct books books = books_open();
    kin_pool *pool = open_pool(2);
    struct gate *gate = kin_alloc(sizeof *gate);
    kin_result *running = submit(pool, KIN_FN(wait_at_gate), &gate, sizeof gate), *result = NULL;
    test_until(gate->inside == 1);
    kin_pool_status status;
    kin_failure failure;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(kill(status.supervisor_pid, SIGKILL), 0);
    CHECK_RC(kin_result_wait(running, KIN_FOREVER), KIN_EBROKEN);
    CHECK_RC(kin_result_get(running, NULL, 0, KIN_FOREVER), KIN_EBROKEN);
    CHECK_RC(kin_result_failure(running, &failure), 0);
    CHECK_EQ(failure.cause, KIN_CAUSE_SUPERVISOR);
    int number = 1,
        rc = kin_pool_submit(pool, &result, KIN_FN(square), &number, sizeof number, KIN_FOREVER, NULL);
    CHECK_RC(rc, KIN_EBROKEN);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), KIN_EBROKEN);
    CHECK_RC(kin_pool_terminate(pool), 0);
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), KIN_EBROKEN);
    CHECK_RC(kin_pool_free(pool), 0);
    CHECK_OK(kin_free(gate));
    books_check_blocks(&books);
}
