/* test_start_child.c: a child by each of the methods: what it is, what it finds, how it ends. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/server.h"
#include "support/start.h"

/* ---- how they end ----------------------------------------------------------------------------------- */

static int kill_myself(void *signal)
{
    kill(getpid(), (int)(intptr_t)signal);
    return run_for_ever(NULL);
}

START_TEST(how_a_child_ended_is_told)
{
    kin_exit_status status;
    int tries = 0;
    /* A server that has no processor for a while is not waited for, and it alone knows what was used. */
    do {
        kin_process *process = start(method, kill_myself, (void *)SIGUSR1);
        CHECK_OK(kin_process_join(process, KIN_FOREVER));
        CHECK_OK(kin_process_exit_status(process, &status));
        CHECK_EQ(status.kind, KIN_SIGNALED);
        CHECK_EQ(status.signal, SIGUSR1);
        CHECK_EQ(finish(process), -SIGUSR1);
    } while (method == KIN_FORKSERVER && status.max_rss == 0 && ++tries < 5);
    CHECK_GT(status.max_rss, 0);
}

START_TEST(a_running_child_is_seen_to_run)
{
    kin_process *process = start(method, run_for_ever, NULL);
    struct stat status;
    CHECK_RC(kin_process_is_alive(process), 1);
    CHECK_RC(kin_process_join(process, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_process_join(process, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_process_close(process), -EBUSY);
    CHECK_EQ(fstat(kin_process_sentinel(process), &status), 0);
    kin_waitable item = kin_on_process(process);
    CHECK_EQ(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_OK(kin_process_terminate(process));
    CHECK_EQ(kin_wait(&item, 1, KIN_FOREVER), 1);
    CHECK_RC(kin_process_is_alive(process), 0);
    CHECK_EQ(finish(process), -SIGTERM);
}

static int exit_with_five(void *unused)
{
    (void)unused;
    exit(5);
}

START_TEST(a_child_may_call_exit)
{
    CHECK_EQ(finish(start(method, exit_with_five, NULL)), 5);
}

START_TEST(a_tree_is_ended)
{
    kin_process *process = start(method, run_for_ever, NULL);
    CHECK_OK(kin_process_end_tree(process, KIN_NOW));
    CHECK_EQ(finish(process), -SIGKILL);
}

/* ---- what the child is ------------------------------------------------------------------------------ */

static int describe_myself(void *parent)
{
    kin_process *self = kin_process_current(), *above = kin_process_parent();
    CHECK_STR(kin_process_name(self), "somebody");
    CHECK_EQ(kin_process_pid(self), getpid());
    CHECK_EQ(kin_process_daemon(self), 1);
    CHECK_RC(kin_process_is_alive(self), 1);
    CHECK_RC(kin_process_join(self, KIN_NOW), KIN_ENOTCHILD);
    CHECK_OK(kin_process_close(self));
    CHECK(above != NULL);
    CHECK_EQ(kin_process_pid(above), *(const int *)parent);
    CHECK_STR(kin_process_name(above), "MainProcess");
    CHECK_RC(kin_process_is_alive(above), 1);
    CHECK_RC(kin_process_join(above, kin_in_ms(1)), -ETIMEDOUT);
    kin_waitable item = kin_on_process(above);
    CHECK_EQ(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_OK(kin_process_close(above));
    return 0;
}

START_TEST(a_child_knows_itself_and_its_parent)
{
    int pid = getpid();
    CHECK_STR(kin_process_name(kin_process_current()), "MainProcess");
    CHECK(kin_process_parent() == NULL);
    CHECK_EQ(finish(start_with(method, describe_myself, NULL,
                               (kin_process_options){
                                   .name = "somebody", .daemon = true, .bytes = &pid, .size = sizeof pid})),
             0);
}

static int start_below(void *method)
{
    kin_process *inheriting = start((enum kin_start_method)(intptr_t)method, return_number, (void *)1);
    kin_process *ordinary = start_with((enum kin_start_method)(intptr_t)method, return_number, (void *)2,
                                       (kin_process_options){.ordinary = true});
    CHECK_STR(kin_process_name(inheriting), "Process-1");
    CHECK_EQ(kin_process_daemon(inheriting), 1);
    CHECK_EQ(kin_process_daemon(ordinary), 0);
    CHECK_EQ(finish(inheriting), 1);
    CHECK_EQ(finish(ordinary), 2);
    return 0;
}

START_TEST(a_daemons_child_is_a_daemon)
{
    for (intptr_t below = KIN_FORK; below <= KIN_FORKSERVER; below++)
        CHECK_EQ(
            finish(start_with(method, start_below, (void *)below, (kin_process_options){.daemon = true})), 0);
}

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int use_a_pool(void *unused)
{
    (void)unused;
    int in[] = {1, 2, 3};
    long out[3];
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_pool_map(pool, KIN_FN(square), in, out, 3, KIN_FOREVER));
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_free(pool));
    return (int)(out[0] + out[1] + out[2]);
}

START_TEST(a_daemon_may_have_a_pool)
{
    CHECK_EQ(finish(start_with(method, use_a_pool, NULL, (kin_process_options){.daemon = true})), 14);
}

/* The child has the function at another address than the workers. */
static int use_the_callers_pool(void *pool)
{
    int in[] = {3, 4, 5};
    long out[3] = {0}, one = 0;
    CHECK_OK(kin_pool_map(pool, KIN_FN(square), in, out, 3, KIN_FOREVER));
    CHECK_EQ(kin_pool_apply(pool, KIN_FN(square), &in[1], sizeof in[1], &one, sizeof one, KIN_FOREVER, NULL),
             (long)sizeof one);
    CHECK_EQ(one, 16);
    return (int)(out[0] + out[1] + out[2]);
}

START_TEST(a_child_may_use_its_parents_pool)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_EQ(finish(start(method, use_the_callers_pool, pool)), 50);
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_free(pool));
}

static int count_up(void *cell)
{
    return kin_cell_add(cell, 1);
}

static int pass_barrier(void *barrier)
{
    return kin_barrier_wait(barrier, KIN_FOREVER) >= 0 ? 0 : 1;
}

START_TEST(the_action_of_a_barrier_runs_in_whoever_comes_last)
{
    kin_barrier *barrier = NULL;
    kin_cell *cell = NULL;
    int count = 0;
    CHECK_OK(kin_cell_open(&cell, 'i', NULL));
    CHECK_OK(kin_barrier_open(&barrier, 2, &(kin_barrier_options){.action = count_up, .argument = cell}));
    kin_process *first = start(method, pass_barrier, barrier), *second = start(method, pass_barrier, barrier);
    CHECK_EQ(finish(first), 0);
    CHECK_EQ(finish(second), 0);
    CHECK_OK(kin_cell_get(cell, &count));
    CHECK_EQ(count, 1);
    CHECK_OK(kin_barrier_close(barrier));
    CHECK_OK(kin_cell_close(cell));
}

static int start_from_task(const int *method, long *out)
{
    *out = finish(start((enum kin_start_method) * method, use_a_pool, NULL));
    return 0;
}
KIN_MAP(start_from_task, int, long)

START_TEST(a_worker_may_have_children_with_pools)
{
    int in[] = {(int)method, (int)method};
    long out[2] = {0};
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_pool_map(pool, KIN_FN(start_from_task), in, out, 2, KIN_FOREVER));
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(out[0], 14);
    CHECK_EQ(out[1], 14);
}

/* ---- its surroundings -------------------------------------------------------------------------------- */

static int read_input(void *unused)
{
    char text[8];
    (void)unused;
    return (int)read(STDIN_FILENO, text, sizeof text);
}

START_TEST(standard_input_is_given_or_at_its_end)
{
    int ends[2], before = dup(STDIN_FILENO);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(write(ends[1], "typed", 5), 5);
    CHECK_EQ(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    CHECK_EQ(finish(start(method, read_input, NULL)), 0);
    CHECK_EQ(finish(start_with(method, read_input, NULL, (kin_process_options){.standard_input = true})), 5);
    CHECK_EQ(dup2(before, STDIN_FILENO), STDIN_FILENO);
    close(before);
    close(ends[0]);
    close(ends[1]);
}

static int print_where(void *unused)
{
    char directory[4096];
    (void)unused;
    printf("%s\n", getcwd(directory, sizeof directory));
    return 0;
}

START_TEST(output_and_directory_are_the_callers_at_the_start)
{
    char text[4096] = "", below[4000], expected[4096];
    int before = dup(STDOUT_FILENO);
    /* A server that is there already knows nothing of what follows. */
    CHECK_EQ(finish(start(method, return_number, NULL)), 0);
    snprintf(below, sizeof below, "%s/below-XXXXXX", test_directory());
    CHECK(mkdtemp(below) != NULL);
    CHECK_EQ(chdir(below), 0);
    FILE *file = fopen("out", "w+e");
    fflush(stdout);
    CHECK_EQ(dup2(fileno(file), STDOUT_FILENO), STDOUT_FILENO);
    CHECK_EQ(finish(start(method, print_where, NULL)), 0);
    CHECK_EQ(dup2(before, STDOUT_FILENO), STDOUT_FILENO);
    rewind(file);
    CHECK_GT(fread(text, 1, sizeof text - 1, file), 0);
    snprintf(expected, sizeof expected, "%s\n", below);
    CHECK_STR(text, expected);
    fclose(file);
    close(before);
    CHECK_EQ(unlink("out"), 0);
    CHECK_EQ(chdir(test_directory()), 0);
    CHECK_EQ(rmdir(below), 0);
}

static int count_descriptors(void *unused)
{
    int count = 0;
    (void)unused;
    for (int number = 3; number < 64; number++) count += fcntl(number, F_GETFD) >= 0;
    return count;
}

TEST(nothing_else_is_open_in_the_others)
{
    int open_before = open("/dev/null", O_RDONLY);
    /* The family's memory and the lifeline, which a served child has at other numbers. */
    CHECK_EQ(finish(start(KIN_SPAWN, count_descriptors, NULL)), 2);
    CHECK_EQ(finish(start(KIN_FORKSERVER, count_descriptors, NULL)), 2);
    close(open_before);
}

static int check_environment(void *unused)
{
    (void)unused;
    return getenv("KIN_START") == NULL && getenv("KIN_FAMILY") == NULL ? 0 : 1;
}

START_TEST(the_environment_tells_nothing)
{
    CHECK_EQ(finish(start(method, check_environment, NULL)), 0);
}

/* ---- the ends of processes ------------------------------------------------------------------------------ */

static void note(void *letter)
{
    kin_queue *queue = kin_find("notes", KIN_NOW);
    kin_queue_put(queue, letter, 1, KIN_FOREVER);
}

static int register_hooks(void *way)
{
    CHECK_OK(kin_at_exit(note, "b"));
    CHECK_OK(kin_at_exit(note, "a"));
    if (way != NULL) exit(0);
    return 0;
}

START_TEST(hooks_run_at_a_childs_end)
{
    kin_queue *queue = NULL;
    char letters[3] = "";
    CHECK_RC(kin_at_exit(NULL, NULL), -EINVAL);
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_publish("notes", queue));
    for (intptr_t way = 0; way < 2; way++) {
        CHECK_EQ(finish(start(method, register_hooks, (void *)way)), 0);
        for (int i = 0; i < 2; i++) CHECK_EQ(kin_queue_get(queue, &letters[i], 1, KIN_NOW), 1);
        CHECK_STR(letters, "ab");
    }
    CHECK_RC(kin_queue_get(queue, letters, 1, KIN_NOW), KIN_EMPTY);
    CHECK_OK(kin_unpublish("notes"));
    CHECK_OK(kin_queue_close(queue));
}

struct ending {
    kin_queue *queue;
    kin_event *go;
    enum kin_start_method method;
};

static int wait_and_tell(void *argument)
{
    const struct ending *ending = argument;
    CHECK_EQ(kin_event_wait(ending->go, KIN_FOREVER), 0);
    return kin_queue_put(ending->queue, "z", 1, KIN_FOREVER);
}

static int leave_children(void *argument)
{
    const struct ending *ending = argument;
    kin_process *daemon =
        start_with(ending->method, run_for_ever, NULL, (kin_process_options){.daemon = true});
    int pid = kin_process_pid(daemon);
    start_with(ending->method, wait_and_tell, NULL,
               (kin_process_options){.bytes = ending, .size = sizeof *ending});
    CHECK_OK(kin_queue_put(ending->queue, &pid, sizeof pid, KIN_FOREVER));
    CHECK_OK(kin_at_exit(note, "e"));
    return 0;
}

START_TEST(a_child_waits_for_its_children_and_ends_daemons)
{
    struct ending ending = {.method = method};
    char letter = 0;
    int daemon = 0;
    CHECK_OK(kin_queue_open(&ending.queue, NULL));
    CHECK_OK(kin_event_open(&ending.go, NULL));
    CHECK_OK(kin_publish("notes", ending.queue));
    kin_process *child = start_with(method, leave_children, NULL,
                                    (kin_process_options){.bytes = &ending, .size = sizeof ending});
    CHECK_EQ(kin_queue_get(ending.queue, &daemon, sizeof daemon, KIN_FOREVER), (long)sizeof daemon);
    /* It has come to its end, and goes no further. */
    CHECK_EQ(kin_queue_get(ending.queue, &letter, 1, KIN_FOREVER), 1);
    CHECK_EQ(letter, 'e');
    test_until(kill(daemon, 0) < 0 && errno == ESRCH);
    CHECK_RC(kin_process_is_alive(child), 1);
    CHECK_OK(kin_event_set(ending.go));
    CHECK_EQ(finish(child), 0);
    CHECK_EQ(kin_queue_get(ending.queue, &letter, 1, KIN_NOW), 1);
    CHECK_EQ(letter, 'z');
    CHECK_OK(kin_unpublish("notes"));
    CHECK_OK(kin_event_close(ending.go));
    CHECK_OK(kin_queue_close(ending.queue));
}

TEST(hooks_are_not_inherited)
{
    /* A hook of this process would fail in the child, where nothing is published. */
    CHECK_OK(kin_at_exit((void (*)(void *))(uintptr_t)abort, NULL));
    CHECK_EQ(finish(start(KIN_FORK, return_number, (void *)4)), 4);
    _exit(0);
}

START_TEST(active_children_are_listed)
{
    kin_process *children[3], *active[4] = {NULL};
    CHECK_RC(kin_process_active_children(NULL, 1), -EINVAL);
    for (int i = 0; i < 3; i++) children[i] = start(method, run_for_ever, NULL);
    CHECK_EQ(kin_process_active_children(NULL, 0), 3);
    CHECK_EQ(kin_process_active_children(active, 4), 3);
    for (int i = 0; i < 3; i++)
        CHECK(active[i] == children[0] || active[i] == children[1] || active[i] == children[2]);
    CHECK_OK(kin_process_kill(children[1]));
    CHECK_OK(kin_process_join(children[1], KIN_FOREVER));
    CHECK_EQ(kin_process_active_children(active, 4), 2);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kin_process_kill(children[i]));
        CHECK_EQ(finish(children[i]), -SIGKILL);
    }
}

/* ---- the method of the program ----------------------------------------------------------------------------- */

static int method_of(void *unused)
{
    (void)unused;
    kin_process *below = start(KIN_START_DEFAULT, return_number, (void *)3);
    CHECK_EQ(finish(below), 3);
    return (int)kin_get_start_method();
}

START_TEST(a_method_is_set_once)
{
    CHECK_EQ(kin_get_start_method(), KIN_FORK);
    CHECK_RC(kin_set_start_method((enum kin_start_method)9), -EINVAL);
    CHECK_RC(kin_set_start_method(KIN_START_DEFAULT), -EINVAL);
    CHECK_OK(kin_set_start_method(method));
    CHECK_RC(kin_set_start_method(KIN_FORK), KIN_ESTARTED);
    CHECK_EQ(kin_get_start_method(), method);
    CHECK_EQ(finish(start(KIN_START_DEFAULT, method_of, NULL)), (int)method);
}

TEST(a_method_that_was_used_is_set)
{
    CHECK_EQ(finish(start(KIN_START_DEFAULT, return_number, (void *)3)), 3);
    CHECK_RC(kin_set_start_method(KIN_SPAWN), KIN_ESTARTED);
}

/* ---- the server ------------------------------------------------------------------------------------------- */

static int preloaded;

static void preload(void)
{
    preloaded = getpid();
}

static int tell_preloaded(void *queue)
{
    return kin_queue_put(queue, &preloaded, sizeof preloaded, KIN_FOREVER);
}

TEST(a_server_is_preloaded_once)
{
    kin_queue *queue = NULL;
    int pid = 0;
    CHECK_RC(kin_set_forkserver_preload(NULL), -EINVAL);
    CHECK_RC(kin_set_forkserver_preload((void (*)(void))(uintptr_t)&preloaded), KIN_ENOTCODE);
    CHECK_OK(kin_set_forkserver_preload(preload));
    CHECK_OK(kin_queue_open(&queue, NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(finish(start(KIN_FORKSERVER, tell_preloaded, queue)), 0);
        CHECK_EQ(kin_queue_get(queue, &pid, sizeof pid, KIN_NOW), (long)sizeof pid);
        CHECK_EQ(pid, kin__server_pid());
    }
    CHECK_RC(kin_set_forkserver_preload(preload), KIN_ESTARTED);
    CHECK_EQ(preloaded, 0);
    CHECK_OK(kin_queue_close(queue));
}

static int parent_pid(void *unused)
{
    (void)unused;
    return getppid() & 0xff;
}

TEST(a_server_is_used_again_and_replaced)
{
    CHECK_EQ(kin__server_pid(), 0);
    int code = finish(start(KIN_FORKSERVER, parent_pid, NULL)), first = kin__server_pid();
    CHECK_EQ(code, first & 0xff);
    CHECK_EQ(finish(start(KIN_FORKSERVER, parent_pid, NULL)), first & 0xff);
    CHECK_EQ(kin__server_pid(), first);
    /* With one child running. */
    kin_process *running = start(KIN_FORKSERVER, run_for_ever, NULL);
    CHECK_EQ(kill(first, SIGKILL), 0);
    CHECK_EQ(finish(start(KIN_FORKSERVER, return_number, (void *)9)), 9);
    CHECK_NE(kin__server_pid(), first);
    CHECK_RC(kin_process_is_alive(running), 1);
    CHECK_OK(kin_process_kill(running));
    CHECK_OK(kin_process_join(running, KIN_FOREVER));
    kin_exit_status status;
    CHECK_OK(kin_process_exit_status(running, &status));
    CHECK(status.kind == KIN_UNKNOWN || status.signal == SIGKILL);
    CHECK_OK(kin_process_close(running));
}

TEST(an_end_is_told_while_the_server_is_stopped)
{
    kin_process *running = start(KIN_FORKSERVER, run_for_ever, NULL);
    CHECK_EQ(kill(kin__server_pid(), SIGSTOP), 0);
    CHECK_OK(kin_process_kill(running));
    CHECK_OK(kin_process_join(running, KIN_FOREVER));
    CHECK_EQ(finish(running), -SIGKILL);
    CHECK_EQ(kill(kin__server_pid(), SIGCONT), 0);
}

/* ---- limits and the like --------------------------------------------------------------------------- */

static int check_limits(void *unused)
{
    struct rlimit files;
    char directory[16];
    (void)unused;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &files));
    CHECK_EQ(files.rlim_cur, 200);
    CHECK(getcwd(directory, sizeof directory) != NULL);
    CHECK_STR(directory, "/usr");
    CHECK_STR(getenv("KIN_TEST_ONE"), "1");
    CHECK_EQ(getpgrp(), getpid());
    return 9;
}

START_TEST(a_child_has_its_limits)
{
    const kin_resource_limit files = {RLIMIT_NOFILE, 200, 200}, wrong = {RLIMIT_NOFILE, 60, 50};
    kin_limits limits = {.resources = &files, .resource_count = 1};
    /* More than goes with a request itself. */
    static char much[20000] = "KIN_TEST_MUCH=";
    memset(much + strlen(much), 'x', sizeof much - strlen(much) - 1);
    kin_process_options options = {.limits = &limits,
                                   .cwd = "/usr",
                                   .env_changes = (const char *const[]){"KIN_TEST_ONE=1", much, NULL},
                                   .process_group = KIN_OWN_GROUP,
                                   .name = "child",
                                   .method = method};
    kin_process *process = NULL;
    CHECK_OK(kin_process_start(&process, check_limits, NULL, &options));
    CHECK_EQ(finish(process), 9);
    limits.resources = &wrong;
    CHECK_RC(kin_process_start(&process, check_limits, NULL, &options), -EINVAL);
    CHECK_STR(kin_process_error(), "cannot set RLIMIT_NOFILE of child: invalid argument");
}
