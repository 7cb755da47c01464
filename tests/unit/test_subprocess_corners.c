/* test_subprocess_corners.c: what else is known to go wrong with subprocesses: processes that are forked while
 * a command runs, streams that are one descriptor, limits that are lower than what is open, commands that are
 * stopped.  CPython's tests of `subprocess` were the guide. */
#define _GNU_SOURCE
#include "support/start.h"
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL(line) KIN_COMMAND("/bin/sh", "-c", line)

static const char *output_of(const char *const *argv, kin_subprocess_options options)
{
    static kin_completed done;
    kin_completed_free(&done);
    if (options.stdout_to == KIN_INHERIT) options.stdout_to = KIN_PIPE;
    options.check = true;
    if (kin_subprocess_run(&done, argv, &options, KIN_FOREVER) < 0) FAIL("%s", kin_subprocess_error());
    return done.out;
}
#define OUTPUT(argv, ...) output_of(argv, (kin_subprocess_options){__VA_ARGS__})

static kin_subprocess *start_cat(void)
{
    kin_subprocess *subprocess = NULL;
    const kin_subprocess_options piped = {.stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE};
    CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("/bin/cat"), &piped));
    return subprocess;
}

/* The end of its input comes, although others run that were forked while the pipe was open. */
static void cat_ends(kin_subprocess *cat)
{
    int code = -1;
    CHECK_OK(kin_subprocess_communicate(cat, "x\n", 2, KIN_FOREVER));
    CHECK_STR(kin_subprocess_output(cat, 1, NULL), "x\n");
    CHECK_OK(kin_subprocess_exit_code(cat, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_subprocess_close(cat));
}

TEST(a_child_that_is_forked_later_holds_no_pipe)
{
    kin_subprocess *cat = start_cat();
    kin_process *child = start(KIN_FORK, run_for_ever, NULL);
    cat_ends(cat);
    CHECK_OK(kin_process_kill(child));
    CHECK_EQ(finish(child), -SIGKILL);
}

TEST(a_pool_that_is_opened_later_holds_no_pipe)
{
    kin_subprocess *cat = start_cat();
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    cat_ends(cat);
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, KIN_FOREVER));
    CHECK_OK(kin_pool_free(pool));
}

TEST(a_fork_of_the_programs_own_holds_no_pipe)
{
    kin_subprocess *cat = start_cat();
    pid_t pid = fork();
    CHECK_OK(pid);
    if (pid == 0) _exit(run_for_ever(NULL));
    cat_ends(cat);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(WTERMSIG(test_collect(pid)), SIGKILL);
}

/* What the caller has taken is the caller's, and its children's. */
TEST(a_stream_that_was_taken_is_inherited)
{
    kin_subprocess *cat = start_cat();
    int in = kin_subprocess_take(cat, 0), code;
    CHECK_GE(in, 0);
    pid_t pid = fork();
    CHECK_OK(pid);
    if (pid == 0) _exit(write(in, "theirs\n", 7) != 7);
    CHECK_EQ(test_collect(pid), 0);
    CHECK_OK(close(in));
    CHECK_OK(kin_subprocess_communicate(cat, NULL, 0, KIN_FOREVER));
    CHECK_STR(kin_subprocess_output(cat, 1, NULL), "theirs\n");
    CHECK_OK(kin_subprocess_exit_code(cat, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_subprocess_close(cat));
}

static int count_descriptors(void *unused)
{
    int count = 0;
    (void)unused;
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) count++;
    closedir(directory);
    return count;
}

static int count_in_child(void *depth)
{
    if (depth == NULL) return count_descriptors(NULL);
    return finish(start(KIN_FORK, count_in_child, (void *)((intptr_t)depth - 1)));
}

/* As many are open in the twentieth child as in the first, and in a great-grandchild as in a child. */
START_TEST(descriptors_do_not_pile_up_in_children)
{
    enum { SIBLINGS = 19 };
    kin_process *siblings[SIBLINGS];
    int first = finish(start(method, count_descriptors, NULL));
    for (int i = 0; i < SIBLINGS; i++) siblings[i] = start(method, run_for_ever, NULL);
    CHECK_EQ(finish(start(method, count_descriptors, NULL)), first);
    for (int i = 0; i < SIBLINGS; i++) {
        CHECK_OK(kin_process_kill(siblings[i]));
        CHECK_EQ(finish(siblings[i]), -SIGKILL);
    }
    int shallow = finish(start(method, count_in_child, (void *)1));
    CHECK_EQ(finish(start(method, count_in_child, (void *)4)), shallow);
}

TEST(streams_may_be_one_descriptor)
{
    FILE *file = tmpfile();
    CHECK(file != NULL);
    int descriptor = fileno(file);
    CHECK_EQ(write(descriptor, "before\n", 7), 7);
    CHECK_EQ(lseek(descriptor, 0, SEEK_SET), 0);
    const kin_subprocess_options both = {
        .stdin_from = descriptor, .stdout_to = descriptor, .stderr_to = descriptor};
    int rc = kin_subprocess_run(NULL, SHELL("read x; echo got $x; echo error >&2"), &both, KIN_FOREVER);
    CHECK_OK(rc);
    char text[64] = "";
    CHECK_EQ(pread(descriptor, text, sizeof text - 1, 0), 7 + 11 + 6);
    CHECK_STR(text, "before\ngot before\nerror\n");
    fclose(file);
}

TEST(a_passed_descriptor_may_be_a_stream_too)
{
    int ends[2];
    char line[100], byte;
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    int high = fcntl(ends[1], F_DUPFD_CLOEXEC, 9);
    CHECK_GE(high, 9);
    snprintf(line, sizeof line, "printf a; printf b > /dev/fd/%d", high);
    const kin_subprocess_options options = {
        .stdout_to = high, .pass_fds = &high, .pass_fd_count = 1, .check = true};
    CHECK_OK(kin_subprocess_run(NULL, SHELL(line), &options, KIN_FOREVER));
    CHECK_OK(close(high));
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'a');
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'b');
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    CHECK_OK(close(ends[0]));
}

/* Descriptors beyond a limit that was lowered are closed all the same. */
TEST(what_is_open_beyond_a_lower_limit_is_closed)
{
    int high = fcntl(0, F_DUPFD, 300);
    char line[100];
    CHECK_GE(high, 300);
    snprintf(line, sizeof line, "[ -e /proc/self/fd/%d ] && echo open || echo closed", high);
    const kin_resource_limit files = {RLIMIT_NOFILE, 20, 20};
    const kin_limits limits = {.resources = &files, .resource_count = 1};
    CHECK_STR(OUTPUT(SHELL(line), .limits = &limits), "closed\n");
    CHECK_OK(close(high));
}

/* A command that reads and writes nothing more until it is sent SIGCONT. */
static kin_subprocess *start_stopped_cat(void)
{
    kin_subprocess *cat = start_cat();
    CHECK_OK(kin_subprocess_send_signal(cat, SIGSTOP));
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PID, (id_t)kin_subprocess_pid(cat), &info, WSTOPPED | WNOWAIT), 0);
    return cat;
}

TEST(a_command_that_is_stopped_has_not_ended)
{
    kin_subprocess *cat = start_stopped_cat();
    CHECK_EQ(kin_subprocess_poll(cat), 0);
    CHECK_RC(kin_subprocess_wait(cat, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_OK(kin_subprocess_send_signal(cat, SIGCONT));
    cat_ends(cat);
}

/* ---- input and output in several steps ----------------------------------------------------------------------- */

TEST(what_was_written_comes_before_what_is_communicated)
{
    kin_subprocess *cat = start_cat();
    CHECK_EQ(kin_subprocess_write(cat, "first, ", 7, KIN_FOREVER), 7);
    CHECK_OK(kin_subprocess_communicate(cat, "second", 6, KIN_FOREVER));
    CHECK_STR(kin_subprocess_output(cat, 1, NULL), "first, second");
    CHECK_OK(kin_subprocess_close(cat));
    /* Nothing is left to be said where stdin is closed. */
    cat = start_cat();
    CHECK_OK(kin_subprocess_close_stdin(cat));
    CHECK_OK(kin_subprocess_communicate(cat, NULL, 0, KIN_FOREVER));
    CHECK_STR(kin_subprocess_output(cat, 1, NULL), "");
    CHECK_OK(kin_subprocess_close(cat));
}

/* The command ends only when its stdin is closed, by the call that had no time, or by the next one. */
TEST(input_is_ended_after_a_deadline_too)
{
    static char input[300000];
    size_t size = 0;
    kin_subprocess *cat = start_stopped_cat();
    memset(input, 'x', sizeof input);
    CHECK_RC(kin_subprocess_communicate(cat, input, sizeof input, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_subprocess_send_signal(cat, SIGCONT));
    CHECK_OK(kin_subprocess_communicate(cat, input, sizeof input, KIN_FOREVER));
    CHECK(kin_subprocess_output(cat, 1, &size) != NULL);
    CHECK_EQ(size, sizeof input);
    CHECK_OK(kin_subprocess_close(cat));
}

TEST(a_command_outlives_its_output)
{
    kin_subprocess *subprocess = NULL;
    const kin_subprocess_options piped = {.stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE};
    char byte;
    CHECK_OK(kin_subprocess_start(&subprocess, SHELL("exec >&-; read line; exit 4"), &piped));
    CHECK_EQ(kin_subprocess_read(subprocess, 1, &byte, 1, KIN_FOREVER), 0);
    CHECK_RC(kin_subprocess_wait(subprocess, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_subprocess_wait(subprocess, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_OK(kin_subprocess_communicate(subprocess, "x\n", 2, KIN_FOREVER));
    int code = -1;
    CHECK_OK(kin_subprocess_exit_code(subprocess, &code));
    CHECK_EQ(code, 4);
    CHECK_OK(kin_subprocess_close(subprocess));
}

static volatile sig_atomic_t signals;
static void count_signal(int signal)
{
    (void)signal;
    signals++;
}

TEST(signals_do_not_disturb_communicate)
{
    struct sigaction was, counts = {.sa_handler = count_signal}; /* without SA_RESTART */
    CHECK_OK(sigaction(SIGUSR1, &counts, &was));
    CHECK_STR(OUTPUT(SHELL("kill -USR1 $PPID; echo one; kill -USR1 $PPID; echo two")), "one\ntwo\n");
    CHECK_GE(signals, 1);
    CHECK_OK(sigaction(SIGUSR1, &was, NULL));
}

TEST(a_command_that_has_no_time_is_killed)
{
    kin_completed done;
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("sleep", "1000"), NULL, KIN_NOW), -ETIMEDOUT);
    CHECK_EQ(done.exit_code, -SIGKILL);
    kin_completed_free(&done);
}

/* ---- descriptors ---------------------------------------------------------------------------------------------- */

enum { PIPES = 40 };
static int pipes[PIPES][2];

static int open_pipes(void *unused)
{
    (void)unused;
    for (int i = 0; i < PIPES; i++) {
        CHECK_OK(pipe2(pipes[i], O_CLOEXEC));
        CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    }
    return 0;
}

/* One that was closed twice would be another thread's by then. */
TEST(a_start_that_fails_closes_nothing_of_others)
{
    kin_thread *thread = NULL;
    CHECK_OK(kin_thread_start(&thread, open_pipes, NULL, NULL));
    const kin_subprocess_options piped = {
        .stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .stderr_to = KIN_PIPE};
    do {
        kin_subprocess *none = NULL;
        CHECK_RC(kin_subprocess_start(&none, KIN_COMMAND("/no/program"), &piped), -ENOENT);
    } while (kin_thread_is_alive(thread) == 1);
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(thread));
    for (int i = 0; i < PIPES; i++) {
        CHECK_OK(close(pipes[i][0]));
        CHECK_OK(close(pipes[i][1]));
    }
}

static int copy_stdout(void *least)
{
    return fcntl(1, F_DUPFD, (int)(intptr_t)least) < 0 ? -errno : 0;
}

TEST(what_is_opened_before_the_program_is_closed)
{
    CHECK_STR(OUTPUT(SHELL("[ -e /proc/self/fd/60 ] && echo open || echo closed"), .before_exec = copy_stdout,
                     .before_exec_argument = (void *)60),
              "closed\n");
}

static void cross_outputs(void *unused)
{
    int out[2], err[2];
    char text[8] = "";
    (void)unused;
    CHECK_OK(pipe(out));
    CHECK_OK(pipe(err));
    dup2(out[1], 1);
    dup2(err[1], 2);
    kin_subprocess_options crossed = {.stdout_to = 2, .stderr_to = 1};
    if (kin_subprocess_run(NULL, SHELL("echo out; echo err >&2"), &crossed, KIN_FOREVER) < 0) _exit(1);
    if (read(out[0], text, sizeof text) != 4 || strncmp(text, "err\n", 4) != 0) _exit(2);
    if (read(err[0], text, sizeof text) != 4 || strncmp(text, "out\n", 4) != 0) _exit(3);
    _exit(0);
}

TEST(outputs_can_be_exchanged)
{
    CHECK_EQ(test_collect(test_child(cross_outputs, NULL)), 0);
}

/* ---- what else ------------------------------------------------------------------------------------------------ */

TEST(a_shell_goes_by_its_own_name)
{
    CHECK_STR(OUTPUT(KIN_COMMAND("echo $0"), .shell = true), "/bin/sh\n");
    CHECK_STR(OUTPUT(KIN_COMMAND("echo $0"), .shell = true, .executable = "/bin/bash"), "/bin/bash\n");
}

TEST(signals_to_a_command_that_has_ended_are_no_error)
{
    kin_subprocess *done = NULL;
    CHECK_OK(kin_subprocess_start(&done, KIN_COMMAND("/bin/true"), NULL));
    CHECK_OK(kin_subprocess_wait(done, KIN_FOREVER));
    CHECK_OK(kin_subprocess_send_signal(done, SIGINT));
    CHECK_OK(kin_subprocess_terminate(done));
    CHECK_OK(kin_subprocess_kill(done));
    CHECK_OK(kin_subprocess_close(done));
}

TEST(the_words_name_what_is_missing)
{
    kin_subprocess *none = NULL;
    CHECK_RC(
        kin_subprocess_start(&none, KIN_COMMAND("/bin/true"), &(kin_subprocess_options){.cwd = "/no/where"}),
        -ENOENT);
    CHECK_STR(kin_subprocess_error(),
              "cannot run /bin/true in the directory /no/where: no such file or directory");
    CHECK_RC(kin_subprocess_start(&none, KIN_COMMAND("/no/program"), NULL), -ENOENT);
    CHECK_STR(kin_subprocess_error(), "cannot run /no/program: no such file or directory");
    CHECK_RC(kin_subprocess_start(&none, KIN_COMMAND(""), NULL), -ENOENT);
    CHECK_RC(kin_subprocess_start(&none, KIN_COMMAND("/"), NULL), -EACCES);
    CHECK_STR(kin_subprocess_error(), "cannot run /: permission denied");
}

static enum kin_start_method chosen;

/* Neither the descriptors of a start nor those of the child get in the way of streams that are closed. */
static int start_without_streams(void *with_tail)
{
    for (int i = 0; i < 3; i++) close(i);
    const kin_process_options options = {.stderr_tail = with_tail != NULL ? 20 : 0};
    for (int i = 0; i < 2; i++)
        if (finish(start_with(chosen, return_number, (void *)5, options)) != 5) return 1;
    return 0;
}

static void start_in_child(void *with_tail)
{
    _exit(start_without_streams(with_tail));
}

START_TEST(children_start_although_the_standard_streams_are_closed)
{
    chosen = method;
    CHECK_EQ(test_collect(test_child(start_in_child, NULL)), 0);
    CHECK_EQ(test_collect(test_child(start_in_child, "with a tail")), 0);
}

static int beside_a_helper(void *unused)
{
    (void)unused;
    return 3;
}

/* Ctrl-C at the terminal reaches the helper too, and is none of its business. */
TEST(a_helper_outlives_an_interrupt)
{
    CHECK_EQ(finish(start(KIN_FORKSERVER, beside_a_helper, NULL)), 3);
    kin_process *child = start(KIN_FORKSERVER, run_for_ever, NULL);
    char path[64], text[4096];
    pid_t server = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", kin_process_pid(child));
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    CHECK(fgets(text, sizeof text, file) != NULL);
    fclose(file);
    CHECK_EQ(sscanf(strrchr(text, ')'), ") %*c %d", &server), 1);
    CHECK_NE(server, getpid());
    CHECK_EQ(kill(server, SIGINT), 0);
    CHECK_EQ(kill(server, SIGQUIT), 0);
    CHECK_EQ(finish(start(KIN_FORKSERVER, beside_a_helper, NULL)), 3);
    CHECK_EQ(kill(server, 0), 0);
    CHECK_OK(kin_process_kill(child));
    CHECK_EQ(finish(child), -SIGKILL);
}
