/* test_subprocess_run.c: a command from beginning to end in one call, and ending whole trees. */
#define _GNU_SOURCE
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/process.h>
#include <kin/subprocess.h>

#define SHELL(line) KIN_COMMAND("/bin/sh", "-c", line)

/* ---- the short forms ------------------------------------------------------------------------------ */

TEST(run_tells_everything)
{
    kin_completed done;
    CHECK_OK(kin_subprocess_run(
        &done, SHELL("cat; echo err >&2; exit 4"),
        &(kin_subprocess_options){.capture_output = true, .input = "in", .input_size = 2}, KIN_FOREVER));
    CHECK_STR(done.out, "in");
    CHECK_EQ(done.out_size, 2);
    CHECK_STR(done.err, "err\n");
    CHECK_EQ(done.err_size, 4);
    CHECK_EQ(done.exit_code, 4);
    CHECK_EQ(done.status.kind, KIN_EXITED);
    CHECK_EQ(done.status.code, 4);
    CHECK_GT(done.elapsed_ns, 0);
    CHECK_EQ(done.out_dropped, 0);
    kin_completed_free(&done);
    CHECK(done.out == NULL);
    kin_completed_free(&done);
    kin_completed_free(NULL);
    CHECK_OK(kin_subprocess_run(NULL, KIN_COMMAND("echo", "x"),
                                &(kin_subprocess_options){.capture_output = true}, KIN_FOREVER));
    CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND("true"), &(kin_subprocess_options){.capture_output = true},
                                KIN_FOREVER));
    CHECK_STR(done.out, "");
    CHECK_STR(done.err, "");
    kin_completed_free(&done);
}

TEST(call_and_its_checking_forms)
{
    int code = -1;
    char *output = NULL;
    size_t size = 0;
    CHECK_OK(kin_subprocess_call(&code, SHELL("exit 9"), KIN_FOREVER));
    CHECK_EQ(code, 9);
    CHECK_OK(kin_subprocess_call(&code, SHELL("kill -KILL $$"), KIN_FOREVER));
    CHECK_EQ(code, -SIGKILL);
    CHECK_OK(kin_subprocess_check_call(KIN_COMMAND("true"), KIN_FOREVER));
    CHECK_RC(kin_subprocess_check_call(KIN_COMMAND("false"), KIN_FOREVER), KIN_ECOMMAND);
    CHECK_STR(kin_subprocess_error(), "false exited with 1");
    CHECK_RC(kin_subprocess_check_call(SHELL("kill -TERM $$"), KIN_FOREVER), KIN_ECOMMAND);
    CHECK_STR(kin_subprocess_error(), "/bin/sh was killed by SIGTERM");
    CHECK_OK(kin_subprocess_check_output(&output, &size, KIN_COMMAND("printf", "a\\0b"), KIN_FOREVER));
    CHECK_EQ(size, 3);
    CHECK_MEM(output, "a\0b", 4);
    free(output);
    CHECK_RC(kin_subprocess_check_output(&output, NULL, SHELL("echo some; exit 1"), KIN_FOREVER),
             KIN_ECOMMAND);
    CHECK_STR(output, "some\n");
    free(output);
    CHECK_RC(kin_subprocess_check_output(&output, NULL, KIN_COMMAND("./nothing"), KIN_FOREVER), -ENOENT);
    CHECK(output == NULL);
}

TEST(getoutput_runs_a_line)
{
    int code = -1;
    char *output = NULL;
    CHECK_OK(
        kin_subprocess_getstatusoutput(&code, &output, "echo out; echo err >&2; echo; exit 3", KIN_FOREVER));
    CHECK_EQ(code, 3);
    CHECK_STR(output, "out\nerr\n");
    free(output);
    CHECK_OK(kin_subprocess_getoutput(&output, "true", KIN_FOREVER));
    CHECK_STR(output, "");
    free(output);
    CHECK_RC(kin_subprocess_getoutput(NULL, "true", KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_subprocess_getoutput(&output, NULL, KIN_FOREVER), -EINVAL);
}

TEST(what_was_printed_before_comes_before)
{
    int file = open("log", O_RDWR | O_CREAT | O_CLOEXEC, 0600), was = dup(1);
    CHECK_OK(file);
    fflush(stdout);
    dup2(file, 1);
    printf("first\n");
    int rc = kin_subprocess_check_call(KIN_COMMAND("echo", "second"), KIN_FOREVER);
    fflush(stdout);
    dup2(was, 1);
    close(was);
    CHECK_OK(rc);
    char text[32] = "";
    CHECK_EQ(pread(file, text, sizeof text - 1, 0), 13);
    CHECK_STR(text, "first\nsecond\n");
    close(file);
    unlink("log");
}

/* ---- trees ---------------------------------------------------------------------------------------------- */

/* How many processes have an argument that is this one. */
static int count_marked(const char *mark)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    CHECK(proc != NULL);
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[300], text[4096];
        if (atoi(entry->d_name) <= 0) continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = file < 0 ? 0 : read(file, text, sizeof text - 1);
        if (file >= 0) close(file);
        if (size <= 0) continue;
        text[size] = '\0';
        for (char *at = text; at < text + size; at += strlen(at) + 1) {
            if (strcmp(at, mark) == 0) {
                count++;
                break;
            }
        }
    }
    closedir(proc);
    return count;
}

/* A mark that no other case uses, and what it runs does not leave behind. */
static const char *mark(void)
{
    static char text[32];
    snprintf(text, sizeof text, "100%d.5", getpid());
    return text;
}

/* Starts a line of the shell, which sleeps in processes that have the mark, and waits until it says
 * that all run. */
static kin_subprocess *start_line(const char *line, kin_subprocess_options options)
{
    kin_subprocess *subprocess = NULL;
    const char *said = "";
    options.capture_output = true;
    CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("/bin/sh", "-c", line, "sh", mark()), &options));
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &said, KIN_FOREVER), 5);
    CHECK_STR(said, "ready");
    /* One that is just becoming `sleep` has no arguments for a moment. */
    test_until(count_marked(mark()) > 0);
    return subprocess;
}

static void is_ended_within(const char *line, kin_subprocess_options options, int64_t grace_ms)
{
    kin_subprocess *subprocess = start_line(line, options);
    CHECK_OK(kin_subprocess_end_tree(subprocess, kin_in_ms(grace_ms)));
    CHECK_EQ(count_marked(mark()), 0);
    CHECK_RC(kin_subprocess_poll(subprocess), 1);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    CHECK_OK(kin_subprocess_close(subprocess));
}

static void is_ended(const char *line, kin_subprocess_options options)
{
    is_ended_within(line, options, 0);
    is_ended_within(line, options, 20000);
}

TEST(at_the_deadline_run_ends_the_tree_and_keeps_what_was_written)
{
    const char *const *argv =
        KIN_COMMAND("/bin/sh", "-c", "(sleep $1 & sleep $1 &); echo ready; sleep $1", "sh", mark());
    kin_completed done = {.out = NULL};
    /* Whatever the machine does, some time is enough to say it. */
    for (int64_t ms = 20; done.out_size < 6; ms *= 2) {
        kin_deadline deadline = kin_in_ms(ms);
        kin_completed_free(&done);
        CHECK_RC(kin_subprocess_run(&done, argv, &(kin_subprocess_options){.capture_output = true}, deadline),
                 -ETIMEDOUT);
        CHECK_GE(kin_clock(), deadline);
        CHECK_STR(kin_subprocess_error(), "/bin/sh did not end in time");
        CHECK_EQ(done.exit_code, -SIGKILL);
        CHECK_EQ(count_marked(mark()), 0);
    }
    CHECK_STR(done.out, "ready\n");
    kin_completed_free(&done);
}

TEST(children_and_theirs_are_ended)
{
    is_ended("(sleep $1; :) & (sleep $1; :) & echo ready; wait", (kin_subprocess_options){0});
}

TEST(what_holds_the_pipes_is_ended)
{
    /* Orphans, in the session and group of the case. */
    is_ended("(sleep $1 & sleep $1 &); echo ready", (kin_subprocess_options){0});
}

TEST(a_group_is_ended_whose_pipes_are_elsewhere)
{
    const char *line = "(sleep $1 >/dev/null 2>&1 </dev/null & ); echo ready";
    is_ended(line, (kin_subprocess_options){.process_group = KIN_OWN_GROUP});
    is_ended(line, (kin_subprocess_options){.new_session = true});
}

TEST(sessions_that_descendants_made_are_ended)
{
    is_ended("setsid sh -c '(sleep $1 >/dev/null 2>&1 & ) ; echo ready; sleep $1; :' x $1 & wait",
             (kin_subprocess_options){0});
}

TEST(those_that_ignore_SIGTERM_are_killed)
{
    is_ended_within("trap '' TERM; (sleep $1; :) & echo ready; wait; sleep $1", (kin_subprocess_options){0},
                    60);
}

TEST(with_grace_a_command_can_end_in_order)
{
    kin_subprocess *subprocess =
        start_line("trap 'echo tidy; exit 7' TERM; echo ready; while :; do sleep 0.01; done",
                   (kin_subprocess_options){0});
    int code;
    CHECK_OK(kin_subprocess_end_tree(subprocess, kin_in_s(20)));
    CHECK_STR(kin_subprocess_output(subprocess, 1, NULL), "tidy\n");
    CHECK_OK(kin_subprocess_exit_code(subprocess, &code));
    CHECK_EQ(code, 7);
    CHECK_OK(kin_subprocess_close(subprocess));
}

TEST(a_stopped_tree_is_ended)
{
    is_ended("(sleep $1; :) & echo ready; kill -STOP $$; wait", (kin_subprocess_options){0});
}

TEST(a_tree_that_grows_meanwhile_is_ended)
{
    is_ended_within("echo ready; while :; do (sleep $1 & ); sleep 0.002; done", (kin_subprocess_options){0},
                    0);
}

static const char *mark_of_case;

static int live_on(void *unused)
{
    while (pause() < 0)
        ;
    return unused != NULL;
}

TEST(other_children_are_not_meant)
{
    /* It has inherited the handle's ends of the pipes. */
    kin_subprocess *subprocess = NULL;
    kin_process *process = NULL;
    CHECK_OK(kin_subprocess_start(&subprocess, SHELL("(sleep 1000; :) & wait"),
                                  &(kin_subprocess_options){.stdin_from = KIN_PIPE, .capture_output = true}));
    CHECK_OK(kin_process_start(&process, live_on, NULL, NULL));
    CHECK_OK(kin_subprocess_end_tree(subprocess, kin_in_ms(50)));
    CHECK_RC(kin_process_is_alive(process), 1);
    CHECK_RC(kin_subprocess_poll(subprocess), 1);
    CHECK_OK(kin_subprocess_end_tree(subprocess, KIN_NOW));
    CHECK_OK(kin_subprocess_close(subprocess));
    CHECK_OK(kin_process_kill(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_close(process));
}

TEST(a_control_group_holds_them_all)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char directory[128], file[160];
    bool made = false;
    for (int i = 0; i < 2 && !made; i++) {
        snprintf(file, sizeof file, "%s/cgroup.procs", roots[i]);
        snprintf(directory, sizeof directory, "%s/kin-test-%d", roots[i], getpid());
        made = access(file, W_OK) == 0 && mkdir(directory, 0755) == 0;
    }
    if (!made) SKIP("no control group can be made here");
    is_ended("setsid sh -c '(setsid sleep $1 >/dev/null 2>&1 & )' x $1; echo ready; sleep $1",
             (kin_subprocess_options){.limits = &(kin_limits){.cgroup = directory}});
    /* A control group is empty a moment after the last of it has ended. */
    test_until(rmdir(directory) == 0);
    CHECK_RC(kin_subprocess_run(NULL, KIN_COMMAND("true"),
                                &(kin_subprocess_options){.limits = &(kin_limits){.cgroup = directory}},
                                KIN_FOREVER),
             -ENOENT);
}

/* A child of kin's that starts programs, and one that nobody of the family waits for. */
static int start_sleepers(void *ready)
{
    kin_subprocess *one = NULL, *two = NULL;
    CHECK_OK(kin_subprocess_start(&one, KIN_COMMAND("sleep", mark_of_case), NULL));
    CHECK_OK(kin_subprocess_start(&two, KIN_COMMAND("sh", "-c", "sleep $1; :", "sh", mark_of_case),
                                  &(kin_subprocess_options){.new_session = true}));
    *(_Atomic int *)ready = 1;
    return live_on(NULL);
}

TEST(the_tree_of_a_child_is_ended)
{
    _Atomic int *ready = test_shared(sizeof *ready);
    mark_of_case = mark();
    for (int round = 0; round < 2; round++) {
        kin_process *process = NULL;
        *ready = 0;
        CHECK_OK(kin_process_start(&process, start_sleepers, (void *)ready, NULL));
        test_until(*ready == 1 && count_marked(mark_of_case) == 3);
        CHECK_OK(kin_process_end_tree(process, round == 0 ? KIN_NOW : kin_in_s(20)));
        CHECK_EQ(count_marked(mark_of_case), 0);
        CHECK_RC(kin_process_is_alive(process), 0);
        CHECK_OK(kin_process_end_tree(process, KIN_NOW));
        CHECK_OK(kin_process_close(process));
    }
    CHECK_RC(kin_process_end_tree(NULL, KIN_NOW), -EINVAL);
}

/* ---- ends with its parent --------------------------------------------------------------------------- */

static void start_and_die(void *group)
{
    kin_subprocess *subprocess = NULL;
    kin_subprocess_options options = {.stdout_to = KIN_PIPE, .end_with_parent = true};
    const char *line;
    if (group != NULL) options.process_group = KIN_OWN_GROUP;
    CHECK_OK(kin_subprocess_start(
        &subprocess, KIN_COMMAND("/bin/sh", "-c", "(sleep $1; :) & echo ready; wait", "sh", mark()),
        &options));
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 5);
    raise(SIGKILL);
}

TEST(a_command_can_end_with_its_parent)
{
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    /* With a group of its own, the whole group does. */
    int status = test_collect(test_child(start_and_die, "group"));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    while (waitpid(-1, &status, 0) > 0) CHECK_EQ(WTERMSIG(status), SIGKILL);
}
