/* test_kill_queue_tasks.c: a worker of a queue that redelivers is killed at every instruction of taking a
 * task and saying that it is done: every task is done by somebody, and after it is acknowledged nobody gets
 * it again.  And whoever shuts a queue down. */
#include "crash.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/queue.h"
#include "support/chaos.h"
#include "support/stepkill.h"

enum { LARGE = 5000 };

struct scene {
    kin_queue *queue;
    struct books books;
    size_t size; /* of the victim's task */
    char message[LARGE];
};

static void scene_open(struct scene *scene, size_t size, kin_queue_options options)
{
    memset(scene, 0, sizeof *scene);
    options.joinable = 1;
    CHECK_OK(kin_queue_open(&scene->queue, &options));
    scene->size = size;
    memset(scene->message, 'V', sizeof scene->message);
    CHECK_OK(kin_queue_put(scene->queue, scene->message, size, KIN_NOW));
    CHECK_RC(kin_queue_get(scene->queue, scene->message, size, KIN_NOW), (long)size);
    CHECK_OK(kin_queue_task_done(scene->queue));
    scene->books = books_open();
}

static void scene_close(struct scene *scene)
{
    books_no_rescue(&scene->books);
    CHECK_OK(kin_queue_close(scene->queue));
}

static void put_tasks(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_queue_put(scene->queue, scene->message, scene->size, KIN_NOW));
    CHECK_OK(kin_queue_put(scene->queue, "BBBB", 4, KIN_NOW));
}

static void take_and_finish(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    CHECK_RC(kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_FOREVER), (long)scene->size);
    CHECK_OK(kin_queue_task_done(scene->queue));
}

static void take_in_place_and_finish(void *context)
{
    struct scene *scene = context;
    void *message;
    CHECK_RC(kin_queue_take(scene->queue, &message, KIN_FOREVER), (long)scene->size);
    CHECK_OK(kin_queue_release(message));
    CHECK_OK(kin_queue_task_done(scene->queue));
}

/* Comes back first, unless it was acknowledged; and is waited for. */
static void survive_worker(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char bytes[LARGE];
    int victims = 0;
    (void)step;
    CHECK_OK(kin_sweep());
    long size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW);
    if (size == (long)scene->size) {
        for (long i = 0; i < size; i++) CHECK_EQ(bytes[i], 'V');
        victims = 1;
        CHECK_OK(kin_queue_task_done(scene->queue));
        size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW);
    }
    CHECK(victims == 0 || !finished);
    CHECK_EQ(size, 4);
    CHECK_RC(kin_queue_join(scene->queue, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_queue_task_done(scene->queue));
    CHECK_RC(kin_queue_task_done(scene->queue), KIN_ENOTASK);
    CHECK_OK(kin_queue_join(scene->queue, KIN_NOW));
    CHECK_EQ(kin_queue_qsize(scene->queue), 0);
    books_check(&scene->books);
}

static void killed(size_t size, kin_queue_options options, struct stepkill plan)
{
    struct scene scene;
    scene_open(&scene, size, options);
    plan.prepare = join_family;
    plan.mode = stepkill_mode_for(size);
    plan.context = &scene;
    CHECK_GT(stepkill(&plan).points, 100);
    scene_close(&scene);
}

static const kin_queue_options redelivers = {.redeliver = -1};

TEST(finishing_a_small_task, .deadline = 240)
{
    killed(40, redelivers,
           (struct stepkill){.setup = put_tasks, .operation = take_and_finish, .survive = survive_worker});
}

TEST(finishing_a_large_task, .deadline = 240)
{
    killed(LARGE, redelivers,
           (struct stepkill){.setup = put_tasks, .operation = take_and_finish, .survive = survive_worker});
}

TEST(finishing_a_task_in_place, .deadline = 240)
{
    killed(LARGE, redelivers,
           (struct stepkill){
               .setup = put_tasks, .operation = take_in_place_and_finish, .survive = survive_worker});
}

/* ---- the one who puts a dead process's tasks back ---------------------------------------------- */

static void take_and_die(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    CHECK_GE(kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW), 1);
}

static void leave_a_task(void *context)
{
    put_tasks(context);
    CHECK_EQ(test_collect(test_child(take_and_die, context)), 0);
}

static void reap(void *context)
{
    (void)context;
    kin_sweep();
}

/* The reaper dies as well, and is followed by us. */
static void survive_reaper(void *context, long step, bool finished)
{
    struct scene *scene = context;
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_queue_qsize(scene->queue), 2);
    survive_worker(context, step, false);
    (void)finished;
}

TEST(putting_back, .deadline = 240)
{
    killed(LARGE, redelivers,
           (struct stepkill){.setup = leave_a_task, .operation = reap, .survive = survive_reaper});
}

/* ---- closing while another copies a task ---------------------------------------------------------- */

struct closing {
    kin_queue *queue;
    struct books books;
    pid_t copier;
    bool copier_first; /* it ends before anybody looks after the dead */
    char *buffer;
    _Atomic bool reached;
    int going_on[2]; /* a pipe */
};
static struct closing *closing;

/* The copier's buffer can be written to when it may go on. */
static void stay_in_the_copying(int number)
{
    char byte;
    (void)number;
    atomic_store(&closing->reached, true);
    CHECK_EQ(read(closing->going_on[0], &byte, 1), 1);
    CHECK_EQ(mprotect(closing->buffer, LARGE, PROT_READ | PROT_WRITE), 0);
}

static void copy_slowly(void *unused)
{
    (void)unused;
    signal(SIGSEGV, stay_in_the_copying);
    closing->buffer = mmap(NULL, LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(closing->buffer != MAP_FAILED);
    CHECK_RC(kin_queue_get(closing->queue, closing->buffer, LARGE, KIN_NOW), LARGE);
    for (int i = 0; i < LARGE; i++) CHECK_EQ(closing->buffer[i], 'V');
}

static void open_with_a_copier(void *unused)
{
    static char large[LARGE];
    (void)unused;
    memset(large, 'V', sizeof large);
    CHECK_OK(kin_queue_open(&closing->queue,
                            &(kin_queue_options){.joinable = 1, .redeliver = -1, .max_items = 10}));
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_put(closing->queue, large, sizeof large, KIN_NOW));
    closing->reached = false;
    closing->copier = test_child(copy_slowly, NULL);
    test_until(atomic_load(&closing->reached));
}

static void close_queue(void *unused)
{
    (void)unused;
    CHECK_OK(kin_queue_close(closing->queue));
}

static void let_the_copier_go(void)
{
    CHECK_EQ(write(closing->going_on[1], "", 1), 1);
    CHECK_EQ(test_collect(closing->copier), 0);
}

static void survive_closer(void *unused, long step, bool finished)
{
    (void)unused;
    (void)step;
    if (closing->copier_first) let_the_copier_go();
    CHECK_OK(kin_sweep());
    bool is_open = kin_queue_qsize(closing->queue) >= 0;
    if (!closing->copier_first) let_the_copier_go();
    CHECK(!is_open || !finished);
    if (is_open) CHECK_OK(kin_queue_close(closing->queue));
    books_check(&closing->books);
}

TEST(closing_while_a_task_is_copied, .deadline = 240)
{
    closing = test_shared(sizeof *closing);
    closing->books = books_open();
    CHECK_EQ(pipe(closing->going_on), 0);
    for (int i = 0; i < 2; i++) {
        closing->copier_first = i == 1;
        CHECK_GT(stepkill(&(struct stepkill){.setup = open_with_a_copier,
                                             .prepare = join_family,
                                             .operation = close_queue,
                                             .survive = survive_closer,
                                             .mode = STEPKILL_ADDRESSES})
                     .points,
                 100);
    }
    for (int i = 0; i < 2; i++) close(closing->going_on[i]);
}

/* ---- dropping what has come back too often ------------------------------------------------------ */

static void leave_one_for_the_last_time(void *context)
{
    for (int i = 0; i < 2; i++) {
        if (i == 0) put_tasks(context);
        CHECK_EQ(test_collect(test_child(take_and_die, context)), 0);
        CHECK_OK(kin_sweep());
    }
}

static void get_the_other(void *context)
{
    struct scene *scene = context;
    char bytes[LARGE];
    CHECK_RC(kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_FOREVER), 4);
    CHECK_OK(kin_queue_task_done(scene->queue));
}

static void survive_dropping(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char bytes[LARGE];
    (void)step;
    CHECK_OK(kin_sweep());
    long size = kin_queue_get(scene->queue, bytes, sizeof bytes, KIN_NOW);
    CHECK(size == KIN_EMPTY || (size == 4 && !finished));
    if (size == 4) CHECK_OK(kin_queue_task_done(scene->queue));
    CHECK_OK(kin_queue_join(scene->queue, KIN_NOW));
    books_check(&scene->books);
}

TEST(dropping, .deadline = 240)
{
    killed(LARGE, (kin_queue_options){.redeliver = 1},
           (struct stepkill){.setup = leave_one_for_the_last_time,
                             .operation = get_the_other,
                             .survive = survive_dropping});
}

/* ---- shutting down -------------------------------------------------------------------------------- */

struct end {
    kin_queue *queue;
    kin_queue_options options;
    struct books books;
    pid_t waiter;
};

static void join_until_it_is_over(void *queue)
{
    CHECK_OK(kin_queue_join(queue, kin_in_s(20)));
}

static void open_with_a_waiter(void *context)
{
    struct end *end = context;
    static char large[LARGE];
    CHECK_OK(kin_queue_open(&end->queue, &end->options));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_queue_put(end->queue, large, i == 1 ? 4 : LARGE, KIN_NOW));
    end->waiter = test_child(join_until_it_is_over, end->queue);
    until_waiting(&end->queue->finished.point, 1);
}

static void shut_down(void *context)
{
    struct end *end = context;
    CHECK_OK(kin_queue_shutdown(end->queue, 1));
}

/* Either nothing has happened, or all is dropped: nobody gets a part of it. */
static void survive_shutdown(void *context, long step, bool finished)
{
    struct end *end = context;
    char bytes[LARGE];
    (void)step;
    CHECK_OK(kin_sweep());
    long left = kin_queue_qsize(end->queue);
    CHECK(left == 0 || (left == 3 && !finished));
    if (left == 0) {
        CHECK_RC(kin_queue_get(end->queue, bytes, sizeof bytes, KIN_NOW), KIN_ECLOSED);
        CHECK_RC(kin_queue_put(end->queue, bytes, 1, KIN_NOW), KIN_ECLOSED);
    }
    CHECK_OK(kin_queue_shutdown(end->queue, 1));
    collect_sleeper(end->waiter, left == 0);
    CHECK_OK(kin_queue_close(end->queue));
    books_check(&end->books);
}

TEST(shutting_down_at_once, .deadline = 240)
{
    static const kin_queue_options kinds[] = {{.joinable = 1}, {.joinable = 1, .redeliver = 1}};
    for (int kind = 0; kind < 2; kind++) {
        struct end end = {.options = kinds[kind], .books = books_open()};
        CHECK_GT(stepkill(&(struct stepkill){.setup = open_with_a_waiter,
                                             .prepare = join_family,
                                             .operation = shut_down,
                                             .survive = survive_shutdown,
                                             .mode = STEPKILL_ADDRESSES,
                                             .context = &end})
                     .points,
                 100);
    }
}

/* ---- at random -------------------------------------------------------------------------------------- */

enum { WORKERS = 3, NUMBERS = 2000000 };

struct storm {
    kin_queue *queue;
    struct ledger *ledger;
};

struct task {
    uint64_t number;
    char rest[300];
};

static void produce(void *context, unsigned index)
{
    struct storm *storm = context;
    while (!chaos_stopping()) {
        struct task task = {.number = ledger_issue(storm->ledger, index)};
        size_t size = task.number % 3 == 0 ? sizeof task : sizeof task.number;
        /* At the end nobody may be left to make room. */
        int rc = KIN_FULL;
        while (rc == KIN_FULL && !chaos_stopping())
            rc = kin_queue_put(storm->queue, &task, size, kin_in_ms(50));
        if (rc == KIN_FULL) break;
        CHECK_OK(rc);
        ledger_acknowledge(storm->ledger, index, task.number);
        chaos_progress();
    }
}

/* Seen before it is acknowledged: a task that is lost was seen by nobody. */
static bool work_one(struct storm *storm, kin_deadline deadline)
{
    struct task task;
    if (kin_queue_get(storm->queue, &task, sizeof task, deadline) == KIN_EMPTY) return false;
    ledger_see(storm->ledger, 0, task.number, false);
    CHECK_OK(kin_queue_task_done(storm->queue));
    return true;
}

static void work(void *context, unsigned index)
{
    (void)index;
    while (!chaos_stopping())
        if (work_one(context, kin_in_ms(50))) chaos_progress();
}

TEST(random_kills, .deadline = 120)
{
    struct storm *storm = test_shared(sizeof *storm);
    struct books books = books_open();
    storm->ledger = ledger_open(1, NUMBERS);
    CHECK_OK(
        kin_queue_open(&storm->queue, &(kin_queue_options){.joinable = 1, .redeliver = -1, .max_items = 40}));
    struct chaos_report report =
        chaos(&(struct chaos){.roles = {{"producer", 1, produce}, {"worker", WORKERS, work}},
                              .context = storm,
                              .kills = test_sanitized() ? 100 : 1500,
                              .seconds = 20});
    CHECK_OK(kin_sweep());
    while (work_one(storm, KIN_NOW))
        ;
    CHECK_OK(kin_queue_join(storm->queue, KIN_NOW));
    struct ledger_account account = ledger_account(storm->ledger);
    CHECK_EQ(account.lost, 0);
    CHECK_EQ(account.corrupt, 0);
    /* Twice at most what a worker had done and not acknowledged yet when it was killed. */
    CHECK_LE(account.duplicated, (uint64_t)report.killed[1]);
    CHECK_OK(kin_queue_close(storm->queue));
    books_check(&books);
    NOTE("%ld kills, %lu tasks, %lu done twice", report.kills, (unsigned long)account.acknowledged,
         (unsigned long)account.duplicated);
}
