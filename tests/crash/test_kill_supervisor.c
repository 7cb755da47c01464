/* test_kill_supervisor.c: a pool's supervisor is killed at instructions all over the end of its pool, and
 * who closes a pool at each of his: whoever waits on the pool hears of it. */
#include "crash.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/pool.h>

#include "pool/pool.h"
#include "support/stepkill.h"

static int twice(const int *in, long *out)
{
    *out = 2l * *in;
    return 0;
}
KIN_MAP(twice, int, long)

static int stay(const int *in, int *out)
{
    (void)in, (void)out;
    while (pause() < 0)
        ;
    return 0;
}
KIN_MAP(stay, int, int)

struct scene {
    kin_pool *pool;
    kin_result *result;
    pid_t joiner, waiter, supervisor;
};

/* ---- those who wait ----------------------------------------------------------------------------------- */

static void join_pool(void *context)
{
    struct scene *scene = context;
    int rc = kin_pool_join(scene->pool, kin_in_s(20));
    if (rc != KIN_EBROKEN) CHECK_OK(rc); /* or it died before it had ended the pool */
}

/* The task is never done: it fails with its pool. */
static void wait_for_result(void *context)
{
    struct scene *scene = context;
    int rc = kin_result_wait(scene->result, kin_in_s(20));
    CHECK(rc == KIN_EBROKEN ||
          (rc == 0 && kin_result_view(scene->result, &(const void *){NULL}) == KIN_EFAILED));
}

static void open_pool(struct scene *scene, const kin_function *function)
{
    kin_pool_status status;
    int in = 1;
    CHECK_OK(kin_pool_open(&scene->pool, &(kin_pool_options){.workers = 1}));
    CHECK_OK(kin_pool_stats(scene->pool, &status));
    scene->supervisor = status.supervisor_pid;
    CHECK_OK(kin_pool_submit(scene->pool, &scene->result, function, &in, sizeof in, KIN_FOREVER, NULL));
}

/* ---- the supervisor ------------------------------------------------------------------------------------ */

/* Lets it go on to its next stop; false when it has ended. */
static bool go_on(const struct scene *scene, int request)
{
    int status;
    CHECK_EQ(ptrace(request, scene->supervisor, NULL, NULL), 0);
    CHECK_EQ(waitpid(scene->supervisor, &status, 0), scene->supervisor);
    return WIFSTOPPED(status);
}

static bool worker_is_buried(const struct scene *scene)
{
    return atomic_load(&kin__pool_worker(scene->pool, 0)->pid) == 0;
}

/* Ends the pool and kills the supervisor `steps` instructions after it has buried the worker; false
 * when it had ended before. */
static bool kill_after(long steps, double *longest)
{
    struct scene scene;
    int status;
    open_pool(&scene, KIN_FN(stay));
    test_until(atomic_load(&kin__pool_worker(scene.pool, 0)->current) != NULL);
    CHECK_EQ(ptrace(PTRACE_SEIZE, scene.supervisor, NULL, PTRACE_O_EXITKILL), 0);
    CHECK_EQ(ptrace(PTRACE_INTERRUPT, scene.supervisor, NULL, NULL), 0);
    CHECK_EQ(waitpid(scene.supervisor, &status, 0), scene.supervisor);
    CHECK_OK(kin_pool_terminate(scene.pool));
    scene.joiner = test_child(join_pool, &scene);
    scene.waiter = test_child(wait_for_result, &scene);
    bool alive = true;
    while (alive && !worker_is_buried(&scene)) alive = go_on(&scene, PTRACE_SYSCALL);
    for (long i = 0; alive && i < steps; i++) alive = go_on(&scene, PTRACE_SINGLESTEP);
    if (alive) CHECK_EQ(kill(scene.supervisor, SIGKILL), 0);
    double begin = test_seconds();
    CHECK_EQ(test_collect(scene.waiter), 0);
    CHECK_EQ(test_collect(scene.joiner), 0);
    if (test_seconds() - begin > *longest) *longest = test_seconds() - begin;
    join_pool(&scene);
    CHECK_OK(kin_pool_free(scene.pool));
    return alive;
}

TEST(a_supervisor_that_ends_its_pool, .deadline = 300)
{
    if (test_sanitized()) SKIP("the instructions of a sanitizer are many, and not kin's");
    double longest = 0;
    long kills = 0, steps = 0;
    struct books books = books_open();
    /* Prime to what repeats, and dense enough to be in every function on the way. */
    for (; kill_after(steps, &longest); kills++) steps += 37;
    NOTE("%ld kills in %ld steps; who waited heard of it within %.1f ms", kills, steps, longest * 1e3);
    CHECK_GT(kills, 20);
    books_check(&books);
}

/* ---- who closes it ----------------------------------------------------------------------------------- */

static void open_and_submit(void *context)
{
    open_pool(context, KIN_FN(twice));
}

static void close_pool(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_pool_close(scene->pool));
}

static void survive_closer(void *context, long step, bool finished)
{
    struct scene *scene = context;
    long out = 0;
    (void)step, (void)finished;
    CHECK_EQ(kin_result_get(scene->result, &out, sizeof out, kin_in_s(20)), (long)sizeof out);
    CHECK_EQ(out, 2);
    int rc = kin_pool_join(scene->pool, kin_in_s(20));
    if (rc == KIN_ESTATE) {
        /* The dead one had not begun. */
        CHECK_OK(kin_pool_close(scene->pool));
        CHECK_OK(kin_pool_join(scene->pool, kin_in_s(20)));
    } else {
        CHECK_OK(rc);
    }
    CHECK_OK(kin_result_close(scene->result));
    CHECK_OK(kin_pool_free(scene->pool));
}

TEST(closing_by_another, .deadline = 300)
{
    struct scene scene;
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = open_and_submit,
                                                                .prepare = join_family,
                                                                .operation = close_pool,
                                                                .survive = survive_closer,
                                                                .stride = 9,
                                                                .context = &scene});
    CHECK_GT(report.points, 50);
}
