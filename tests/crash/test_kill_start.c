/* test_kill_start.c: starts by a server and by exec while the caller, the server or the children are
 * killed: nobody is left, nobody waits, and what was started ran once. */
#define _GNU_SOURCE
#include "crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/server.h"
#include "support/faults.h"
#include "support/litter.h"
#include "support/stepkill.h"

static int run_for_ever(void *unused)
{
    (void)unused;
    while (pause() < 0)
        ;
    return 0;
}

/* Its run-time writes a file when the program begins, and takes it away a little later. */
static void skip_under_thread_sanitizer(void)
{
#ifdef __SANITIZE_THREAD__
    SKIP("a program with the thread sanitizer leaves a file when it is killed at its beginning");
#endif
}

/* ---- the caller -------------------------------------------------------------------------------- */

static void start_for_ever(enum kin_start_method method)
{
    for (;;) {
        kin_process *process = NULL;
        CHECK_OK(kin_process_start(&process, run_for_ever, NULL, &(kin_process_options){.method = method}));
    }
}

static void kill_the_caller(enum kin_start_method method, int rounds, unsigned most_ms)
{
    skip_under_thread_sanitizer();
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    unsigned seed = 1;
    for (int round = 0; round < rounds; round++) {
        pid_t parent = fork();
        CHECK_OK(parent);
        if (parent == 0) start_for_ever(method);
        kin_deadline later = kin_in_ns((int64_t)(rand_r(&seed) % (most_ms * 1000)) * 1000);
        while (kin_clock() < later) kin__os_sleep_until(later);
        kill(parent, SIGKILL);
        test_context("round %d", round);
        /* Everybody it left comes to us, and everybody ends. */
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
            ;
        CHECK_EQ(errno, ECHILD);
    }
}

TEST(a_caller_killed_while_spawning_leaves_nobody, .deadline = 120)
{
    kill_the_caller(KIN_SPAWN, test_sanitized() ? 8 : 60, test_sanitized() ? 100 : 12);
}

TEST(a_caller_killed_while_its_server_forks_leaves_nobody, .deadline = 120)
{
    kill_the_caller(KIN_FORKSERVER, test_sanitized() ? 8 : 60, test_sanitized() ? 200 : 20);
}

struct scene {
    enum kin_start_method method;
    struct books books;
    kin_queue *queue;
};

static int put_one(void *queue)
{
    return kin_queue_put(queue, "x", 1, KIN_FOREVER);
}

static void start_and_join(void *context)
{
    struct scene *scene = context;
    kin_process *process = NULL;
    CHECK_OK(
        kin_process_start(&process, put_one, scene->queue, &(kin_process_options){.method = scene->method}));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
}

static void nothing_is_left(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char letter;
    (void)step;
    /* Whoever was started is gone, or going; the queue is as good as ever. */
    int came = kin_queue_get(scene->queue, &letter, 1, KIN_NOW) == 1;
    if (finished) CHECK_EQ(came, 1);
    CHECK_OK(kin_queue_put(scene->queue, "y", 1, kin_in_s(60)));
    while (kin_queue_get(scene->queue, &letter, 1, KIN_NOW) == 1 && letter != 'y')
        ;
    CHECK_EQ(letter, 'y');
}

static void kill_the_caller_at_each_call(enum kin_start_method method)
{
    struct scene scene = {.method = method};
    CHECK_OK(kin_queue_open(&scene.queue, NULL));
    warm_up(scene.queue);
    scene.books = books_open();
    struct stepkill_report report = stepkill(&(struct stepkill){
        .mode = STEPKILL_SYSCALLS,
        .prepare = join_family,
        .operation = start_and_join,
        .survive = nothing_is_left,
        .context = &scene,
        .forks = true,
    });
    CHECK_GT(report.points, 30);
    test_until((kin_sweep(), kin_memory_processes(NULL, 0)) == (long)scene.books.processes);
    CHECK_OK(kin_queue_shutdown(scene.queue, 0));
    books_check(&scene.books);
    CHECK_OK(kin_queue_close(scene.queue));
}

TEST(a_spawn_killed_at_every_call, .deadline = 120)
{
    kill_the_caller_at_each_call(KIN_SPAWN);
}

TEST(a_start_by_a_server_killed_at_every_call, .deadline = 120)
{
    kill_the_caller_at_each_call(KIN_FORKSERVER);
}

/* ---- the server and the children ------------------------------------------------------------------ */

#define STARTS 400

struct account {
    atomic_int ran[STARTS];
};

struct entry {
    atomic_int *ran;
    int64_t linger_ns;
};

static int run_once(void *argument)
{
    const struct entry *entry = argument;
    atomic_fetch_add(entry->ran, 1);
    /* Long enough to be met by who looks for children to kill. */
    kin_deadline later = kin_in_ns(entry->linger_ns);
    while (kin_clock() < later) continue;
    return 7;
}

static atomic_bool over;
static atomic_long kills;

/* Kills the server, or with `children` one that it has forked. */
static void *kill_at_random(void *with_children)
{
    unsigned seed = 7;
    while (!atomic_load(&over)) {
        pid_t server = kin__server_pid(), children[8];
        kin_deadline later = kin_in_ns(rand_r(&seed) % (test_sanitized() ? 60000000 : 6000000));
        while (kin_clock() < later) kin__os_sleep_until(later);
        if (server == 0) continue;
        size_t count = with_children != NULL ? litter_children(server, children, 8) : 0;
        pid_t victim = count > 0 && rand_r(&seed) % 2 == 0 ? children[rand_r(&seed) % count] : server;
        kills += kill(victim, SIGKILL) == 0;
    }
    return NULL;
}

static void start_beside_a_killer(bool with_children)
{
    skip_under_thread_sanitizer();
    pthread_t killer;
    bool kills_children = with_children && !test_sanitized();
    int starts = 0, refused = 0, unknown = 0, killed = 0;
    struct account *account = kin_alloc(sizeof *account);
    CHECK(account != NULL);
    CHECK_EQ(pthread_create(&killer, NULL, kill_at_random, with_children ? (void *)1 : NULL), 0);
    /* On a fast machine a few are over before the first kill, and any number before one has met a child. */
    for (; starts < (test_sanitized() ? 40 : STARTS) || atomic_load(&kills) == 0 ||
           (kills_children && killed == 0);
         starts++) {
        atomic_int *ran = &account->ran[starts % STARTS];
        struct entry entry = {ran, with_children ? 2000000 : 0};
        kin_process *process = NULL;
        kin_exit_status status;
        test_context("start %d", starts);
        atomic_store(ran, 0);
        int rc = kin_process_start(
            &process, run_once, NULL,
            &(kin_process_options){.method = KIN_FORKSERVER, .bytes = &entry, .size = sizeof entry});
        if (rc == KIN_ESERVER) {
            CHECK_EQ(*ran, 0);
            refused++;
            continue;
        }
        CHECK_OK(rc);
        CHECK_OK(kin_process_join(process, KIN_FOREVER));
        CHECK_OK(kin_process_exit_status(process, &status));
        if (status.kind == KIN_EXITED) CHECK_EQ(status.code, 7);
        if (status.kind == KIN_SIGNALED) CHECK_EQ(status.signal, SIGKILL);
        killed += status.kind == KIN_SIGNALED;
        unknown += status.kind == KIN_UNKNOWN;
        CHECK_LE(*ran, 1);
        if (status.kind == KIN_EXITED || !with_children) CHECK_EQ(*ran, 1);
        CHECK_OK(kin_process_close(process));
    }
    over = true;
    CHECK_EQ(pthread_join(killer, NULL), 0);
    NOTE("%d starts, %ld kills: %d refused, %d killed, %d of unknown status", starts, (long)kills, refused,
         killed, unknown);
    CHECK_OK(kin_free(account));
}

TEST(what_a_killed_server_has_started_runs_once, .deadline = 120)
{
    start_beside_a_killer(false);
}

TEST(servers_and_children_are_killed_at_random, .deadline = 120)
{
    start_beside_a_killer(true);
}

/* ---- calls of the system that fail ------------------------------------------------------------------ */

static enum kin_start_method faulty;

static int make(void *process)
{
    return kin_process_start(process, run_for_ever, NULL, &(kin_process_options){.method = faulty});
}

static int unmake(void *process)
{
    kin_process *made = *(kin_process **)process;
    CHECK_OK(kin_process_kill(made));
    CHECK_OK(kin_process_join(made, KIN_FOREVER));
    return kin_process_close(made);
}

static void fail_each_call(enum kin_start_method method)
{
    kin_process *process = NULL;
    unsigned kinds = 1 << KIN__FAULT_MEMORY | 1 << KIN__FAULT_FORK | 1 << KIN__FAULT_DESCRIPTOR;
    faulty = method;
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &process, .kinds = kinds});
    CHECK_GT(report.failures, 4);
}

TEST(a_spawn_under_faults_leaves_nothing)
{
    skip_under_thread_sanitizer();
    fail_each_call(KIN_SPAWN);
}

TEST(a_start_by_a_server_under_faults_leaves_nothing)
{
    fail_each_call(KIN_FORKSERVER);
}

static int begin_anew(void *process)
{
    kin__server_end();
    int rc = make(process);
    /* It may be there, and stay, although the child could not be started. */
    if (rc < 0) kin__server_end();
    return rc;
}

static int unmake_all(void *process)
{
    int rc = unmake(process);
    kin__server_end();
    return rc;
}

TEST(the_beginning_of_a_server_under_faults_leaves_nothing)
{
    skip_under_thread_sanitizer();
    kin_process *process = NULL;
    unsigned kinds = 1 << KIN__FAULT_MEMORY | 1 << KIN__FAULT_FORK | 1 << KIN__FAULT_DESCRIPTOR;
    faulty = KIN_FORKSERVER;
    faults(&(struct faults){
        .make = begin_anew, .unmake = unmake_all, .context = &process, .kinds = kinds, .cold = true});
}
