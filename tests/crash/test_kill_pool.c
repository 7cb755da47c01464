/* test_kill_pool.c: a submitter, or a worker, is killed at every instruction of submitting,
 * claiming, running and completing a task, of its part in a map, and of a theft from another's.
 *
 * The pool's own supervisor and worker are stopped meanwhile: the victim plays the worker, and
 * the case plays the supervisor.
 */
#include "crash.h"

#include <signal.h>
#include <unistd.h>

#include "ipc/queue.h"
#include "pool/map.h"
#include "pool/schedule.h"
#include "pool/worker.h"
#include "support/stepkill.h"

static int twice(const int *in, long *out)
{
    *out = 2l * *in;
    return 0;
}
KIN_MAP(twice, int, long)

/* How often each item was run, in family memory. */
static _Atomic int *runs;

static int count(const int *in, long *out)
{
    *out = *in + 1000;
    atomic_fetch_add(&runs[*in], 1);
    return 0;
}
KIN_MAP(count, int, long)

struct scene {
    kin_pool *pool;
    pid_t supervisor;
    int worker;
    kin_result *result;
    int *in;
    long *out;
    struct books books;
    pid_t caller;
};

#define ITEMS 40

static unsigned records_in_use(kin_pool *pool)
{
    unsigned used = 0;
    for (uint32_t i = 0; i < pool->segment_count * KIN__SEGMENT_RECORDS; i++)
        used += KIN__TASK_STATE(atomic_load(&kin__pool_record(pool, i)->state)) != KIN__TASK_FREE;
    return used;
}

static void scene_open(struct scene *scene, bool stopped)
{
    memset(scene, 0, sizeof *scene);
    scene->in = kin_alloc(ITEMS * sizeof(int));
    scene->out = kin_alloc(ITEMS * sizeof(long));
    runs = kin_alloc(ITEMS * sizeof(int));
    CHECK_OK(
        kin_pool_open(&scene->pool, &(kin_pool_options){.workers = 1, .retries = 5, .tasks_per_worker = 1}));
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(scene->pool, &status));
    scene->supervisor = status.supervisor_pid;
    test_until(kin_pool_workers(scene->pool, &scene->worker, 1) == 1);
    int in = 1;
    long out;
    /* The first record brings the first segment, and the stream its two. */
    CHECK_OK(kin_pool_apply(scene->pool, KIN_FN(twice), &in, sizeof in, &out, sizeof out, KIN_FOREVER, NULL));
    test_until(atomic_load(&kin__pool_worker(scene->pool, 0)->pid) != scene->worker &&
               atomic_load(&kin__pool_worker(scene->pool, 0)->state) == KIN__WORKER_READY);
    test_until(kin_pool_workers(scene->pool, &scene->worker, 1) == 1);
    /* Not while it looks for a task: stopped then, it would hold the queue's latch for ever. */
    test_until(kin__waiters_any(&scene->pool->tasks->items.point));
    if (stopped) {
        kill(scene->supervisor, SIGSTOP);
        kill(scene->worker, SIGSTOP);
    }
    kin_sweep();
    scene->books = books_open();
}

/* Whoever died, every task that was handed in is counted once as over. */
static void check_counts(const struct scene *scene)
{
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(scene->pool, &status));
    CHECK_EQ(status.done + status.failed, status.submitted);
    CHECK_OK(kin_pool_drain(scene->pool, kin_in_s(60)));
}

static void scene_close(struct scene *scene)
{
    kill(scene->worker, SIGCONT);
    kill(scene->supervisor, SIGCONT);
    CHECK_OK(kin_pool_terminate(scene->pool));
    CHECK_OK(kin_pool_join(scene->pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(scene->pool));
    CHECK_OK(kin_free(scene->in));
    CHECK_OK(kin_free(scene->out));
    CHECK_OK(kin_free(runs));
}

/* ---- the submitter -------------------------------------------------------------------------------- */

static void submit(void *context)
{
    struct scene *scene = context;
    kin_result *result = NULL;
    int in = 21;
    CHECK_OK(kin_pool_submit(scene->pool, &result, KIN_FN(twice), &in, sizeof in, KIN_FOREVER, NULL));
}

static void survive_submitter(void *context, long step, bool finished)
{
    struct scene *scene = context;
    int in = 4;
    long out = 0;
    (void)step;
    (void)finished;
    CHECK_OK(
        kin_pool_apply(scene->pool, KIN_FN(twice), &in, sizeof in, &out, sizeof out, kin_in_s(10), NULL));
    CHECK_EQ(out, 8);
    /* The dead one's record goes: its task is run, its outcome nobody's. */
    kin_sweep();
    kin__supervisor_wake(scene->pool);
    test_until(records_in_use(scene->pool) == 0);
}

TEST(submitting, .deadline = 400)
{
    struct scene scene;
    scene_open(&scene, false);
    struct stepkill_report report = stepkill(&(struct stepkill){.prepare = join_family,
                                                                .operation = submit,
                                                                .survive = survive_submitter,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 200);
    scene_close(&scene);
}

/* ---- the worker ------------------------------------------------------------------------------------ */

static void submit_one(void *context)
{
    struct scene *scene = context;
    int in = 21;
    CHECK_OK(kin_pool_submit(scene->pool, &scene->result, KIN_FN(twice), &in, sizeof in, KIN_NOW, NULL));
}

static void work(void *context)
{
    struct scene *scene = context;
    CHECK_EQ(kin__worker_main(scene->pool, 0, NULL), KIN__WORKER_RECYCLE);
}

static void fresh_worker(struct scene *scene)
{
    atomic_store(&kin__pool_worker(scene->pool, 0)->tasks, 0);
    CHECK_EQ(test_collect(test_child(work, scene)), 0);
    atomic_store(&kin__pool_worker(scene->pool, 0)->tasks, 0);
}

/* What the supervisor does; true when the successor has something to begin with. */
static bool bury(struct scene *scene)
{
    struct kin__worker *worker = kin__pool_worker(scene->pool, 0);
    kin_failure failure = {.cause = KIN_CAUSE_SIGNALED, .signal = SIGKILL};
    kin_sweep();
    atomic_store(&worker->tasks, 0);
    if (kin__worker_charge(scene->pool, 0, true, &failure)) return true;
    atomic_store(&worker->current, NULL);
    return false;
}

static void survive_worker(void *context, long step, bool finished)
{
    struct scene *scene = context;
    long out = 0;
    (void)step;
    if (bury(scene) || kin_result_ready(scene->result) == 0) {
        CHECK(!finished);
        fresh_worker(scene);
    }
    CHECK_EQ(kin_result_get(scene->result, &out, sizeof out, kin_in_s(60)), (long)sizeof out);
    CHECK_EQ(out, 42);
    CHECK_OK(kin_result_close(scene->result));
    CHECK_EQ(records_in_use(scene->pool), 0);
    check_counts(scene);
    /* A message that nobody claimed may be left: it names no task any more. */
    atomic_store(&kin__pool_worker(scene->pool, 0)->tasks, 0);
    kin_result *message;
    while (kin_queue_get(scene->pool->tasks, &message, sizeof message, KIN_NOW) >= 0)
        ;
    books_check(&scene->books);
}

TEST(claiming_and_completing, .deadline = 400)
{
    struct scene scene;
    scene_open(&scene, true);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = submit_one,
                                                                .prepare = join_family,
                                                                .operation = work,
                                                                .survive = survive_worker,
                                                                .context = &scene});
    CHECK_GT(report.points, 200);
    scene_close(&scene);
}

/* ---- a worker on a task that nobody wants ------------------------------------------------------------ */

static void submit_and_drop(void *context)
{
    struct scene *scene = context;
    submit_one(context);
    CHECK_OK(kin_result_close(scene->result));
}

/* Every free record is in the free list, once. */
static void check_free_list(kin_pool *pool)
{
    uint32_t count = kin__pool_record_count(pool), listed = 0;
    for (uint32_t next = pool->free_record; next != 0; next = kin__pool_record(pool, next - 1)->next_free)
        CHECK_LE(++listed, count);
    CHECK_EQ(listed, count);
}

static void survive_dropper(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    bool again = bury(scene);
    if (again || records_in_use(scene->pool) != 0) {
        CHECK(!finished);
        fresh_worker(scene);
    }
    CHECK_EQ(records_in_use(scene->pool), 0);
    kin_result *message;
    while (kin_queue_get(scene->pool->tasks, &message, sizeof message, KIN_NOW) >= 0)
        ;
    /* Takes the latch, and so repairs what a death inside it left. */
    submit_and_drop(context);
    fresh_worker(scene);
    check_free_list(scene->pool);
    check_counts(scene);
    books_check(&scene->books);
}

TEST(completing_what_nobody_wants, .deadline = 400)
{
    struct scene scene;
    scene_open(&scene, true);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = submit_and_drop,
                                                                .prepare = join_family,
                                                                .operation = work,
                                                                .survive = survive_dropper,
                                                                .context = &scene});
    CHECK_GT(report.points, 200);
    scene_close(&scene);
}

/* ---- a part of a map ---------------------------------------------------------------------------------- */

static void map(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_pool_map_with(scene->pool, KIN_FN(count), scene->in, scene->out, ITEMS, kin_in_s(20),
                               &(kin_map_options){.chunk = 7}));
}

static void start_map(void *context)
{
    struct scene *scene = context;
    for (int i = 0; i < ITEMS; i++) {
        scene->in[i] = i;
        scene->out[i] = 0;
        atomic_store(&runs[i], 0);
    }
    scene->caller = test_child(map, scene);
    test_until(kin_queue_qsize(scene->pool->tasks) == 1);
}

static void survive_part(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    if (bury(scene) || kin_queue_qsize(scene->pool->tasks) == 1) fresh_worker(scene);
    CHECK_EQ(test_collect(scene->caller), 0);
    int again = 0;
    for (int i = 0; i < ITEMS; i++) {
        CHECK_EQ(scene->out[i], i + 1000);
        CHECK_GE(atomic_load(&runs[i]), 1);
        again += atomic_load(&runs[i]) - 1;
    }
    CHECK_LE(again, 1);
    kin_result *message;
    while (kin_queue_get(scene->pool->tasks, &message, sizeof message, KIN_NOW) >= 0)
        ;
    CHECK_EQ(records_in_use(scene->pool), 0);
    check_counts(scene);
    books_check(&scene->books);
}

TEST(running_a_part_of_a_map, .deadline = 500)
{
    struct scene scene;
    scene_open(&scene, true);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_map,
                                                                .prepare = join_family,
                                                                .operation = work,
                                                                .survive = survive_part,
                                                                .context = &scene});
    CHECK_GT(report.points, 200);
    scene_close(&scene);
}

/* ---- a theft from another's part ------------------------------------------------------------------------ */

/* Of two parts the victim takes the first, and then from the other what that has, all of it. */
#define PARTS 2

struct theft {
    struct scene scene;
    int worker[PARTS];
    bool ends; /* nobody is to go on with the victim's part */
};

static void theft_open(struct theft *theft, bool ends)
{
    struct scene *scene = &theft->scene;
    kin_pool_status status;
    memset(theft, 0, sizeof *theft);
    theft->ends = ends;
    CHECK_OK(kin_pool_open(&scene->pool,
                           &(kin_pool_options){.workers = PARTS, .retries = 5, .tasks_per_worker = 1}));
    CHECK_OK(kin_pool_stats(scene->pool, &status));
    scene->supervisor = status.supervisor_pid;
    runs = kin_alloc(PARTS * sizeof(int));
    test_until(kin_pool_workers(scene->pool, theft->worker, PARTS) == PARTS);
    /* Not while one looks for a task: stopped then, it would hold the queue's latch for ever. */
    test_until(kin__waiters_count(atomic_load(&scene->pool->tasks->items.point.waiters)) == PARTS);
    kill(scene->supervisor, SIGSTOP);
    for (int i = 0; i < PARTS; i++) kill(theft->worker[i], SIGSTOP);
}

static void start_theft(void *context)
{
    struct theft *theft = context;
    static const int items[PARTS] = {0, 1};
    const void *in = items;
    for (int i = 0; i < PARTS; i++) atomic_store(&runs[i], 0);
    CHECK_OK(kin_pool_map_async(theft->scene.pool, &theft->scene.result, KIN_FN(count), &in, PARTS, KIN_NOW,
                                &(kin_map_options){.chunk = 1}));
}

static bool steals(void *context)
{
    const struct theft *theft = context;
    return theft->scene.result->map->thief != NULL;
}

/* The dead one was a deputy, which has no successor: its part is queued again, and looks as if it had nothing to
 * do.  Who waits for the map judges before another worker comes to it. */
static void survive_theft(void *context, long step, bool finished)
{
    struct theft *theft = context;
    struct scene *scene = &theft->scene;
    struct kin__worker *worker = kin__pool_worker(scene->pool, 0);
    const void *out = NULL;
    (void)step;
    (void)finished;
    kin_result *part = atomic_load(&worker->current);
    if (theft->ends && part != NULL) atomic_store(&part->killed, 1);
    atomic_store(&worker->deputy, true);
    bury(scene);
    atomic_store(&worker->deputy, false);
    kin__map_settle(scene->result);
    while (kin_result_ready(scene->result) == 0) {
        fresh_worker(scene);
        kin__map_settle(scene->result);
    }
    /* What was not run makes it fail. */
    if (!theft->ends) CHECK_EQ(kin_result_successful(scene->result), 1);
    if (kin_result_successful(scene->result) == 1) {
        CHECK_RC(kin_result_view(scene->result, &out), (long)(PARTS * sizeof(long)));
        for (int i = 0; i < PARTS; i++) CHECK_EQ(((const long *)out)[i], i + 1000);
    }
    CHECK_OK(kin_result_close(scene->result));
    kin__records_tidy(scene->pool, true);
    CHECK_EQ(records_in_use(scene->pool), 0);
    kin_result *message;
    while (kin_queue_get(scene->pool->tasks, &message, sizeof message, KIN_NOW) >= 0)
        ;
}

static void kill_in_theft(bool ends)
{
    struct theft theft;
    theft_open(&theft, ends);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = start_theft,
                                                                .prepare = join_family,
                                                                .operation = work,
                                                                .reached = steals,
                                                                .survive = survive_theft,
                                                                .to = 80,
                                                                .context = &theft});
    CHECK_GT(report.points, 10);
    for (int i = 0; i < PARTS; i++) kill(theft.worker[i], SIGCONT);
    kill(theft.scene.supervisor, SIGCONT);
    CHECK_OK(kin_pool_terminate(theft.scene.pool));
    CHECK_OK(kin_pool_join(theft.scene.pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(theft.scene.pool));
    CHECK_OK(kin_free(runs));
}

TEST(stealing_from_another_part, .deadline = 400)
{
    kill_in_theft(false);
}

TEST(stealing_for_a_part_that_nobody_goes_on_with, .deadline = 400)
{
    kill_in_theft(true);
}
