/* test_kill_tasks.c: tasks that kill their workers among ordinary ones; and kills at instructions of
 * submitting, cancelling, claiming and completing tasks of the lists, and of controlling a pool.
 *
 * KIN_TASKS in the environment says how many tasks; the default is for everyday use.
 */
#include "crash.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/queue.h"
#include "pool/schedule.h"
#include "pool/worker.h"
#include "support/chaos.h"
#include "support/stepkill.h"

/* ---- suicides -------------------------------------------------------------------------------------- */

struct order {
    long number;
    bool dies;
};

static int obey(const struct order *order, long *out)
{
    if (order->dies) kill(getpid(), SIGKILL);
    *out = order->number * 3;
    return 0;
}
KIN_MAP(obey, struct order, long)

static kin_result *hand_in(kin_pool *pool, struct order order, uint64_t random, kin_result *const *before)
{
    kin_result *result = NULL;
    kin_task_options options = {0};
    if (random % 8 == 0) options.priority = (int)(random >> 8) % 8;
    if (random % 8 == 1) options.affinity = 1 + (random >> 8) % 5;
    if (random % 16 == 2) options.weight = 2;
    if (random % 16 == 10 && *before != NULL) options.needs = before, options.needs_count = 1;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(obey), &order, sizeof order, kin_in_s(60), &options));
    return result;
}

static void check_outcome(kin_result *result, struct order order, bool after_a_death)
{
    long out = 0;
    kin_failure failure = {0};
    CHECK_OK(kin_result_wait(result, kin_in_s(60)));
    if (kin_result_successful(result) == 0) CHECK_OK(kin_result_failure(result, &failure));
    if (failure.cause == KIN_CAUSE_NEED && after_a_death) return;
    if (order.dies) {
        CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
        CHECK_EQ(failure.signal, SIGKILL);
    } else {
        CHECK_EQ(failure.cause, KIN_CAUSE_NONE);
        CHECK_RC(kin_result_get(result, &out, sizeof out, KIN_NOW), sizeof out);
        CHECK_EQ(out, order.number * 3);
    }
}

TEST(no_innocent_task_is_blamed, .deadline = 3600)
{
    enum { WINDOW = 64 };
    const char *asked = getenv("KIN_TASKS");
    long tasks = asked != NULL ? atol(asked) : test_sanitized() ? 500 : 4000;
    struct books books = books_open();
    kin_pool *pool = NULL;
    kin_result *window[WINDOW] = {NULL};
    struct order orders[WINDOW];
    uint64_t random = 88172645463325252ull;
    long deaths = 0;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 3}));
    for (long i = 0; i < tasks + WINDOW; i++) {
        struct order *order = &orders[i % WINDOW];
        kin_result **result = &window[i % WINDOW];
        bool after_a_death = i >= WINDOW && orders[(i + WINDOW - 1) % WINDOW].number >= 0;
        if (*result != NULL) {
            check_outcome(*result, *order, after_a_death);
            CHECK_OK(kin_result_close(*result));
        }
        *result = NULL;
        if (i >= tasks) continue;
        uint64_t chance = chaos_random(&random);
        *order = (struct order){.number = i, .dies = chance % 10 == 0};
        deaths += order->dies;
        *result = hand_in(pool, *order, chance >> 16, &window[(i + WINDOW - 1) % WINDOW]);
    }
    kin_pool_status status;
    /* A task is counted after its end has been told. */
    test_until(kin_pool_stats(pool, &status) == 0 && status.done + status.failed >= (uint64_t)tasks);
    CHECK_LE(status.deaths, (uint64_t)deaths); /* one whose need died was not run */
    CHECK_EQ(status.done + status.failed, (uint64_t)tasks);
    NOTE("%ld tasks, %llu deaths", tasks, (unsigned long long)status.deaths);
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(60)));
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

/* ---- who submits and cancels ------------------------------------------------------------------------ */

static int twice(const int *in, long *out)
{
    *out = 2l * *in;
    return 0;
}
KIN_MAP(twice, int, long)

static unsigned records_in_use(kin_pool *pool)
{
    unsigned used = 0;
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++)
        used += KIN__TASK_STATE(atomic_load(&kin__pool_record(pool, i)->state)) != KIN__TASK_FREE;
    return used;
}

static void submit_and_cancel(void *context)
{
    kin_result *result[3];
    int in = 21;
    CHECK_OK(kin_pool_submit(context, &result[0], KIN_FN(twice), &in, sizeof in, KIN_FOREVER, NULL));
    CHECK_OK(kin_pool_submit(context, &result[1], KIN_FN(twice), &in, sizeof in, KIN_FOREVER,
                             &(kin_task_options){.needs = result, .needs_count = 1, .priority = 2}));
    CHECK_OK(kin_pool_submit(context, &result[2], KIN_FN(twice), &in, sizeof in, KIN_FOREVER,
                             &(kin_task_options){.exclusive = true}));
    kin_result_cancel(result[0]);
    kin_result_cancel(result[2]);
    CHECK_OK(kin_result_close(result[1]));
    CHECK_OK(kin_result_close(result[0]));
    CHECK_OK(kin_result_close(result[2]));
}

static void works_still(void *context, long step, bool finished)
{
    kin_pool *pool = context;
    int in = 4;
    long out = 0;
    (void)step, (void)finished;
    CHECK_OK(kin_pool_resume(pool));
    CHECK_OK(kin_pool_apply(pool, KIN_FN(twice), &in, sizeof in, &out, sizeof out, kin_in_s(20), NULL));
    CHECK_EQ(out, 8);
    kin_result *result = NULL;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(twice), &in, sizeof in, kin_in_s(20),
                             &(kin_task_options){.exclusive = true, .priority = 1}));
    CHECK_RC(kin_result_get(result, &out, sizeof out, kin_in_s(20)), sizeof out);
    CHECK_OK(kin_result_close(result));
    kin_sweep();
    kin__supervisor_wake(pool);
    test_until(records_in_use(pool) == 0 && atomic_load(&pool->listed) == 0);
}

static void kill_in(void (*operation)(void *), unsigned stride)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    works_still(pool, 0, true);
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = operation,
                                                                .survive = works_still,
                                                                .stride = stride,
                                                                .context = pool});
    CHECK_GT(report.points, 20);
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(pool));
}

TEST(submitting_and_cancelling, .deadline = 400)
{
    kill_in(submit_and_cancel, 37);
}

/* The owner cancels it, and another thread has closed it since the cancel looked whether it is open: what is
 * left of kin_result_cancel is done to a result that nobody wants. */
static void cancel_what_is_closed(void *context)
{
    kin_result *result;
    int in = 21;
    CHECK_OK(kin_pool_pause(context));
    CHECK_OK(kin_pool_submit(context, &result, KIN_FN(twice), &in, sizeof in, KIN_FOREVER, NULL));
    CHECK_OK(kin_result_close(result));
    uint64_t word = atomic_fetch_or(&result->state, KIN__TASK_CANCELLED) | KIN__TASK_CANCELLED;
    CHECK(kin__record_finish(result, word, KIN__TASK_FAILED));
}

TEST(cancelling_what_another_closed, .deadline = 400)
{
    kill_in(cancel_what_is_closed, 13);
}

/* Results of the case's process, which lives on: one that is over, and one that is not. */
struct borrowed {
    kin_pool *pool;
    kin_result *over, *queued;
};

static void hand_in_both(void *context)
{
    struct borrowed *borrowed = context;
    int in = 21;
    CHECK_OK(kin_pool_submit(borrowed->pool, &borrowed->over, KIN_FN(twice), &in, sizeof in, KIN_NOW, NULL));
    CHECK_OK(kin_result_wait(borrowed->over, kin_in_s(20)));
    CHECK_OK(kin_pool_pause(borrowed->pool));
    CHECK_OK(
        kin_pool_submit(borrowed->pool, &borrowed->queued, KIN_FN(twice), &in, sizeof in, KIN_NOW, NULL));
}

static void close_both(void *context)
{
    struct borrowed *borrowed = context;
    CHECK_OK(kin_result_close(borrowed->over));
    CHECK_OK(kin_result_close(borrowed->queued));
}

static void cancel_and_close_both(void *context)
{
    struct borrowed *borrowed = context;
    kin_result_cancel(borrowed->queued);
    close_both(context);
}

static void close_if_open(kin_result *result)
{
    int rc = kin_result_close(result);
    if (rc != KIN_ECLOSED) CHECK_OK(rc);
}

static void nothing_stays(void *context, long step, bool finished)
{
    struct borrowed *borrowed = context;
    (void)step, (void)finished;
    close_if_open(borrowed->over);
    close_if_open(borrowed->queued);
    works_still(borrowed->pool, 0, true);
}

static void kill_in_borrowing(void (*operation)(void *))
{
    struct borrowed borrowed = {0};
    CHECK_OK(kin_pool_open(&borrowed.pool, &(kin_pool_options){.workers = 1}));
    works_still(borrowed.pool, 0, true);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = hand_in_both,
                                                                .prepare = join_family,
                                                                .operation = operation,
                                                                .survive = nothing_stays,
                                                                .stride = 5,
                                                                .context = &borrowed});
    CHECK_GT(report.points, 20);
    CHECK_OK(kin_pool_free(borrowed.pool));
}

TEST(closing_the_results_of_others, .deadline = 400)
{
    kill_in_borrowing(close_both);
}

TEST(cancelling_the_results_of_others, .deadline = 400)
{
    kill_in_borrowing(cancel_and_close_both);
}

static void close_them(void *context)
{
    kin_result **results = context;
    for (int i = 0; i < 20; i++) CHECK_OK(kin_result_close(results[i]));
}

/* The supervisor frees them, and keeps nobody from the lists, of which this pool has no need. */
TEST(many_results_are_closed_by_another, .deadline = 60)
{
    kin_pool *pool = NULL;
    kin_result *results[20];
    int in = 21;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    for (int i = 0; i < 20; i++)
        CHECK_OK(kin_pool_submit(pool, &results[i], KIN_FN(twice), &in, sizeof in, KIN_FOREVER, NULL));
    for (int i = 0; i < 20; i++) CHECK_OK(kin_result_wait(results[i], kin_in_s(20)));
    CHECK_EQ(test_collect(test_child(close_them, results)), 0);
    test_until(records_in_use(pool) == 0);
    CHECK(!pool->schedule.prepared);
    CHECK_OK(kin_pool_free(pool));
}

static void control(void *pool)
{
    CHECK_OK(kin_pool_pause(pool));
    CHECK_OK(kin_pool_resize(pool, 2));
    CHECK_OK(kin_pool_limit_rate(pool, 1000));
    CHECK_OK(kin_pool_limit_rate(pool, 0));
    CHECK_OK(kin_pool_resize(pool, 1));
    CHECK_OK(kin_pool_resume(pool));
}

TEST(controlling_a_pool, .deadline = 400)
{
    kill_in(control, 23);
}

/* ---- who closes ---------------------------------------------------------------------------------------- */

struct closing {
    kin_pool *pool;
    kin_result *result;
};

static void open_paused(void *context)
{
    struct closing *closing = context;
    int in = 21;
    CHECK_OK(kin_pool_open(&closing->pool, &(kin_pool_options){.workers = 1}));
    CHECK_OK(kin_pool_pause(closing->pool));
    CHECK_OK(kin_pool_submit(closing->pool, &closing->result, KIN_FN(twice), &in, sizeof in, KIN_NOW, NULL));
}

static void close_it(void *context)
{
    CHECK_OK(kin_pool_close(((struct closing *)context)->pool));
}

/* Once it is closed the rest comes by itself. */
static void ends_in_order(void *context, long step, bool finished)
{
    struct closing *closing = context;
    long out = 0;
    (void)step, (void)finished;
    if (atomic_load(&closing->pool->state) < KIN__POOL_CLOSED) CHECK_OK(kin_pool_close(closing->pool));
    CHECK_RC(kin_result_get(closing->result, &out, sizeof out, kin_in_s(20)), sizeof out);
    CHECK_EQ(out, 42);
    CHECK_OK(kin_pool_join(closing->pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(closing->pool));
}

TEST(closing_a_paused_pool, .deadline = 400)
{
    struct closing closing = {NULL, NULL};
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = open_paused,
                                                                .prepare = join_family,
                                                                .operation = close_it,
                                                                .survive = ends_in_order,
                                                                .stride = 23,
                                                                .context = &closing});
    CHECK_GT(report.points, 5);
}

/* ---- who takes a task that was set aside ------------------------------------------------------------------ */

static void set_one_aside(void *pool)
{
    kin_result *result = NULL;
    struct order order = {.dies = true};
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(obey), &order, sizeof order, KIN_NOW, NULL));
    CHECK_OK(kin_result_wait(result, kin_in_s(20)));
    CHECK_OK(kin_result_close(result));
}

static void take_it(void *pool)
{
    kin_result *result = NULL;
    CHECK_RC(kin_pool_take_poisoned(pool, &result), 1);
}

/* It is there to be taken, or was the dead one's and is freed. */
static void is_not_lost(void *pool, long step, bool finished)
{
    kin_result *result = NULL;
    kin_pool_status status;
    (void)step;
    kin_sweep();
    kin__supervisor_wake(pool);
    test_until(records_in_use(pool) == 0 || kin_pool_take_poisoned(pool, &result) == 1);
    if (result != NULL) {
        CHECK(!finished);
        CHECK_OK(kin_result_close(result));
    }
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.poisoned, 0);
    test_until(records_in_use(pool) == 0);
}

TEST(taking_what_was_set_aside, .deadline = 400)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1, .keep_poisoned = 1}));
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = set_one_aside,
                                                                .prepare = join_family,
                                                                .operation = take_it,
                                                                .survive = is_not_lost,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = pool});
    CHECK_GT(report.points, 20);
    CHECK_OK(kin_pool_free(pool));
}

/* ---- a worker on tasks of the lists ------------------------------------------------------------------- */

/* The pool's supervisor and worker are stopped: the victim plays the worker, the case the supervisor. */
struct scene {
    kin_pool *pool;
    int supervisor, worker;
    kin_result *first, *second;
};

static void submit_both(void *context)
{
    struct scene *scene = context;
    int in = 21;
    CHECK_OK(kin_pool_submit(scene->pool, &scene->first, KIN_FN(twice), &in, sizeof in, KIN_NOW,
                             &(kin_task_options){.priority = 1}));
    CHECK_OK(kin_pool_submit(scene->pool, &scene->second, KIN_FN(twice), &in, sizeof in, KIN_NOW,
                             &(kin_task_options){.needs = &scene->first, .needs_count = 1}));
}

static void work(void *context)
{
    struct scene *scene = context;
    atomic_store(&kin__pool_worker(scene->pool, 0)->tasks, 0);
    CHECK_EQ(kin__worker_main(scene->pool, 0, NULL), KIN__WORKER_RECYCLE);
}

/* What the supervisor does after a death. */
static void bury(struct scene *scene)
{
    struct kin__worker *worker = kin__pool_worker(scene->pool, 0);
    kin_failure failure = {.cause = KIN_CAUSE_SIGNALED, .signal = SIGKILL};
    kin_sweep();
    if (!kin__worker_charge(scene->pool, 0, true, &failure)) atomic_store(&worker->current, NULL);
    atomic_store(&worker->intent, 0);
    kin__records_tidy(scene->pool, true);
    kin__needs_fail(scene->pool);
}

static void survive_worker(void *context, long step, bool finished)
{
    struct scene *scene = context;
    long out = 0;
    (void)step, (void)finished;
    bury(scene);
    while (kin_result_ready(scene->second) == 0) CHECK_EQ(test_collect(test_child(work, scene)), 0);
    CHECK_RC(kin_result_get(scene->first, &out, sizeof out, KIN_NOW), sizeof out);
    CHECK_EQ(out, 42);
    CHECK_RC(kin_result_get(scene->second, &out, sizeof out, KIN_NOW), sizeof out);
    CHECK_OK(kin_result_close(scene->first));
    CHECK_OK(kin_result_close(scene->second));
    kin__records_tidy(scene->pool, true);
    CHECK_EQ(records_in_use(scene->pool), 0);
    CHECK_EQ(atomic_load(&scene->pool->listed), 0);
}

static void stop_pool(struct scene *scene)
{
    kin_pool_status status;
    CHECK_OK(
        kin_pool_open(&scene->pool, &(kin_pool_options){.workers = 1, .retries = 9, .tasks_per_worker = 1}));
    CHECK_OK(kin_pool_stats(scene->pool, &status));
    test_until(kin_pool_workers(scene->pool, &scene->worker, 1) == 1);
    scene->supervisor = status.supervisor_pid;
    /* One that is stopped before would not end with this process. */
    test_until(atomic_load(&kin__pool_worker(scene->pool, 0)->state) == KIN__WORKER_READY);
    /* Not while it looks for a task: stopped then, it would hold the queue's latch for ever. */
    test_until(kin__waiters_any(&scene->pool->tasks->items.point));
    kill(scene->supervisor, SIGSTOP);
    kill(scene->worker, SIGSTOP);
}

static void free_stopped(struct scene *scene)
{
    kill(scene->worker, SIGCONT);
    kill(scene->supervisor, SIGCONT);
    CHECK_OK(kin_pool_terminate(scene->pool));
    CHECK_OK(kin_pool_join(scene->pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(scene->pool));
}

TEST(claiming_and_completing_from_the_lists, .deadline = 400)
{
    struct scene scene = {0};
    stop_pool(&scene);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = submit_both,
                                                                .prepare = join_family,
                                                                .operation = work,
                                                                .survive = survive_worker,
                                                                .stride = 7,
                                                                .context = &scene});
    CHECK_GT(report.points, 50);
    free_stopped(&scene);
}

/* A task whose result is closed, and of which another process waits for a callback. */
struct watched {
    struct scene scene;
    struct books books;
    pid_t poller;
};

static void call_nobody(kin_result *result, void *context)
{
    (void)result, (void)context;
    CHECK(false);
}

static void poll_for_it(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_result_add_done_callback(scene->first, call_nobody, call_nobody, NULL));
    CHECK_RC(kin_pool_poll(scene->pool, KIN_FOREVER), 0);
}

static void submit_watched(void *context)
{
    struct watched *watched = context;
    struct scene *scene = &watched->scene;
    int in = 21;
    CHECK_OK(kin_pool_submit(scene->pool, &scene->first, KIN_FN(twice), &in, sizeof in, KIN_NOW, NULL));
    watched->poller = test_child(poll_for_it, scene);
    test_until(kin__waiters_count(atomic_load(&scene->pool->completed.point.waiters)) == 1);
    CHECK_OK(kin_result_close(scene->first));
}

static bool is_over(void *context)
{
    const struct watched *watched = context;
    return kin__task_over(atomic_load(&watched->scene.first->state));
}

static void survive_freeing(void *context, long step, bool finished)
{
    struct watched *watched = context;
    (void)step, (void)finished;
    bury(&watched->scene);
    CHECK_EQ(records_in_use(watched->scene.pool), 0);
    CHECK_EQ(test_collect(watched->poller), 0);
    books_no_rescue(&watched->books);
}

/* The supervisor frees it instead, and tells who waits. */
TEST(freeing_what_a_callback_waits_for, .deadline = 400)
{
    struct watched watched = {0};
    struct scene *scene = &watched.scene;
    stop_pool(scene);
    watched.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = submit_watched,
                                                                .prepare = join_family,
                                                                .operation = work,
                                                                .reached = is_over,
                                                                .survive = survive_freeing,
                                                                .to = 400,
                                                                .context = &watched});
    CHECK_GT(report.points, 50);
    free_stopped(scene);
}

/* ---- supervisor and opener -------------------------------------------------------------------------------- */

TEST(a_dead_supervisor_ends_every_wait)
{
    kin_pool *pool = NULL;
    kin_pool_status status;
    kin_result *result[3];
    int in = 1;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_OK(kin_pool_pause(pool));
    CHECK_OK(kin_pool_submit(pool, &result[0], KIN_FN(twice), &in, sizeof in, KIN_NOW, NULL));
    CHECK_OK(kin_pool_submit(pool, &result[1], KIN_FN(twice), &in, sizeof in, KIN_NOW,
                             &(kin_task_options){.priority = 1}));
    CHECK_OK(kin_pool_submit(pool, &result[2], KIN_FN(twice), &in, sizeof in, KIN_NOW,
                             &(kin_task_options){.needs = result, .needs_count = 1}));
    kill(status.supervisor_pid, SIGKILL);
    CHECK_RC(kin_results_wait(result, 3, KIN_FIRST_COMPLETED, kin_in_s(20)), KIN_EBROKEN);
    CHECK_RC(kin_results_wait(result, 3, KIN_ALL_COMPLETED, kin_in_s(20)), KIN_EBROKEN);
    CHECK_RC(kin_pool_drain(pool, kin_in_s(20)), KIN_EBROKEN);
    CHECK_RC(kin_result_cancel(result[1]), KIN_EBROKEN);
    kin_failure failure;
    char text[100];
    CHECK_OK(kin_result_failure(result[1], &failure));
    CHECK_GT(kin_failure_text(&failure, text, sizeof text), 0);
    CHECK_STR(text, "task 1 (twice): the pool's supervisor died");
    CHECK_RC(kin_pool_pause(pool), KIN_EBROKEN);
    CHECK_OK(kin_pool_free(pool));
}
