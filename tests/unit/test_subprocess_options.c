/* test_subprocess_options.c: every option of a start does what it says, in the new program. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/subprocess.h>

#define SHELL(line) KIN_COMMAND("/bin/sh", "-c", line)
#define LIST(...)   ((const char *const[]){__VA_ARGS__, NULL})

/* Runs a command and gives what it wrote, which stays until the next call. */
static const char *output_of(const char *const *argv, kin_subprocess_options options)
{
    static kin_completed done;
    kin_completed_free(&done);
    if (options.stdout_to == 0 && options.stdout_file == NULL) options.stdout_to = KIN_PIPE;
    options.check = true;
    if (kin_subprocess_run(&done, argv, &options, KIN_FOREVER) < 0) FAIL("%s", kin_subprocess_error());
    if (done.out_size > 0 && done.out[done.out_size - 1] == '\n') done.out[done.out_size - 1] = '\0';
    return done.out;
}
#define OUTPUT(argv, ...) output_of(argv, (kin_subprocess_options){__VA_ARGS__})

static void check_file(const char *name, const char *expected)
{
    char text[256] = "";
    FILE *file = fopen(name, "re");
    CHECK(file != NULL);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    CHECK_EQ(size, strlen(expected));
    CHECK_STR(text, expected);
}

/* ---- streams ---------------------------------------------------------------------------------------- */

TEST(streams_can_be_files)
{
    OUTPUT(KIN_COMMAND("echo", "one"), .stdout_file = "out");
    check_file("out", "one\n");
    OUTPUT(KIN_COMMAND("echo", "two"), .stdout_file = "out", .append = true);
    check_file("out", "one\ntwo\n");
    CHECK_STR(OUTPUT(KIN_COMMAND("tail", "-n1"), .stdin_file = "out"), "two");
    OUTPUT(SHELL("echo three >&2"), .stderr_file = "out");
    check_file("out", "three\n");
    unlink("out");
}

TEST(streams_can_be_descriptors)
{
    int ends[2];
    char text[8] = "";
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    OUTPUT(SHELL("echo out; echo err >&2"), .stdout_to = ends[1], .stderr_to = KIN_DEVNULL);
    CHECK_EQ(read(ends[0], text, sizeof text), 4);
    CHECK_STR(text, "out\n");
    CHECK_EQ(write(ends[1], "in", 2), 2);
    close(ends[1]);
    CHECK_STR(OUTPUT(KIN_COMMAND("cat"), .stdin_from = ends[0]), "in");
    close(ends[0]);
}

TEST(streams_can_be_joined_or_nothing)
{
    CHECK_STR(OUTPUT(SHELL("echo one; echo two >&2; echo three"), .stderr_to = KIN_STDOUT),
              "one\ntwo\nthree");
    CHECK_STR(OUTPUT(KIN_COMMAND("cat"), .stdin_from = KIN_DEVNULL), "");
    CHECK(OUTPUT(KIN_COMMAND("echo", "x"), .stdout_to = KIN_DEVNULL) == NULL);
}

static void change_standard_streams(void *crossed)
{
    int ends[2], was[2] = {dup(0), dup(1)};
    (void)was;
    if (crossed != NULL) {
        /* Standard streams that stand in each other's way. */
        CHECK_OK(pipe(ends));
        CHECK_EQ(write(ends[1], "in", 2), 2);
        dup2(ends[0], 1);
        close(ends[0]);
        close(ends[1]);
        CHECK_STR(OUTPUT(KIN_COMMAND("head", "-c2"), .stdin_from = 1), "in");
    } else {
        for (int i = 0; i < 3; i++) close(i);
        const char *output =
            OUTPUT(SHELL("cat >&2"), .input = "low numbers", .input_size = 11, .stderr_to = KIN_STDOUT);
        CHECK_STR(output, "low numbers");
    }
    _exit(0);
}

TEST(the_programs_own_streams_may_be_closed_or_crossed)
{
    CHECK_EQ(test_collect(test_child(change_standard_streams, NULL)), 0);
    CHECK_EQ(test_collect(test_child(change_standard_streams, "crossed")), 0);
}

TEST(a_pipe_can_be_larger)
{
    kin_subprocess *subprocess = NULL;
    CHECK_OK(kin_subprocess_start(
        &subprocess, KIN_COMMAND("cat"),
        &(kin_subprocess_options){.stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .buffer_size = 200000}));
    CHECK_GE(fcntl(kin_subprocess_descriptor(subprocess, 0), F_GETPIPE_SZ), 200000);
    CHECK_GE(fcntl(kin_subprocess_descriptor(subprocess, 1), F_GETPIPE_SZ), 200000);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    CHECK_OK(kin_subprocess_close(subprocess));
}

/* ---- limits on what is kept ----------------------------------------------------------------------- */

TEST(output_beyond_the_limit)
{
    kin_completed done;
    kin_subprocess_options options = {.capture_output = true, .output_limit = 10};
    const char *const *exact = SHELL("printf 0123456789"), *const *more = SHELL("printf 0123456789abcde");
    const char *const *endless = KIN_COMMAND("yes");
    CHECK_OK(kin_subprocess_run(&done, exact, &options, KIN_FOREVER));
    CHECK_STR(done.out, "0123456789");
    kin_completed_free(&done);
    CHECK_RC(kin_subprocess_run(&done, endless, &options, KIN_FOREVER), -EFBIG);
    CHECK_STR(done.out, "y\ny\ny\ny\ny\n");
    CHECK_STR(kin_subprocess_error(), "yes wrote more than 10 bytes");
    CHECK_EQ(done.exit_code, -SIGKILL);
    kin_completed_free(&done);
    options.excess = KIN_EXCESS_DROP;
    CHECK_OK(kin_subprocess_run(&done, more, &options, KIN_FOREVER));
    CHECK_STR(done.out, "0123456789");
    CHECK_EQ(done.out_dropped, 5);
    kin_completed_free(&done);
    options.excess = KIN_EXCESS_TAIL;
    CHECK_OK(kin_subprocess_run(&done, more, &options, KIN_FOREVER));
    CHECK_STR(done.out, "56789abcde");
    CHECK_EQ(done.out_dropped, 5);
    kin_completed_free(&done);
    CHECK_OK(kin_subprocess_run(&done, SHELL("yes | head -c 2000000; echo end"), &options, KIN_FOREVER));
    CHECK_STR(done.out, "y\ny\ny\nend\n");
    CHECK_EQ(done.out_dropped, 2000004 - 10);
    kin_completed_free(&done);
}

TEST(the_tail_of_stderr_is_kept)
{
    kin_completed done;
    kin_subprocess_options options = {.stderr_tail = 12, .check = true};
    CHECK_RC(kin_subprocess_run(&done, SHELL("yes | head -c 100000 >&2; echo 'at the end' >&2; exit 2"),
                                &options, KIN_FOREVER),
             KIN_ECOMMAND);
    CHECK_STR(done.err, "\nat the end\n");
    CHECK_STR(kin_subprocess_error(), "/bin/sh exited with 2: at the end");
    kin_completed_free(&done);
}

TEST(what_is_beyond_the_limit_can_still_be_read)
{
    kin_subprocess *subprocess = NULL;
    kin_subprocess_options options = {.stdout_to = KIN_PIPE, .output_limit = 4};
    char bytes[16];
    const char *line;
    uint64_t dropped;
    CHECK_OK(kin_subprocess_start(&subprocess, SHELL("printf '0123456789'"), &options));
    CHECK_RC(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER), -EFBIG);
    CHECK_RC((int)kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), -EFBIG);
    CHECK_STR(kin_subprocess_output(subprocess, 1, NULL), "0123");
    CHECK_EQ(kin_subprocess_read(subprocess, 1, bytes, sizeof bytes, KIN_FOREVER), 5);
    CHECK_MEM(bytes, "01234", 5);
    CHECK_RC(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER), -EFBIG);
    CHECK_EQ(kin_subprocess_read(subprocess, 1, bytes, sizeof bytes, KIN_FOREVER), 5);
    CHECK_MEM(bytes, "56789", 5);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    CHECK_OK(kin_subprocess_dropped(subprocess, 1, &dropped));
    CHECK_EQ(dropped, 0);
    CHECK_OK(kin_subprocess_close(subprocess));
}

/* ---- the program ------------------------------------------------------------------------------------- */

TEST(a_shell_runs_a_line)
{
    CHECK_STR(OUTPUT(LIST("echo $((6 * 7)) \"$0\" \"$1\"", "zero", "a  b"), .shell = true), "42 zero a  b");
    CHECK_STR(OUTPUT(LIST("echo ${BASH_VERSION:+bash}"), .shell = true, .executable = "/bin/bash"), "bash");
}

TEST(another_program_under_a_name)
{
    CHECK_STR(OUTPUT(KIN_COMMAND("nice name", "-c", "echo \"$0\""), .executable = "sh"), "nice name");
}

TEST(the_environment)
{
    CHECK_OK(setenv("KIN_TEST_A", "a", 1));
    CHECK_OK(setenv("KIN_TEST_B", "b", 1));
    const char *const *show = SHELL("echo ${KIN_TEST_A-none} ${KIN_TEST_B-none} ${KIN_TEST_C-none}");
    CHECK_STR(OUTPUT(show), "a b none");
    CHECK_STR(OUTPUT(show, .env = LIST("KIN_TEST_A=z", "PATH=/bin:/usr/bin")), "z none none");
    CHECK_STR(
        OUTPUT(show, .env_changes = LIST("KIN_TEST_A", "KIN_TEST_C=c=c", "KIN_TEST_B=x", "KIN_TEST_B=y")),
        "none y c=c");
    CHECK_STR(OUTPUT(show, .env = LIST("KIN_TEST_A=z"), .env_changes = LIST("KIN_TEST_B=1")), "z 1 none");
    CHECK_STR(OUTPUT(KIN_COMMAND("/usr/bin/env"), .env = (const char *const[]){NULL}), "");
    unsetenv("KIN_TEST_A");
    unsetenv("KIN_TEST_B");
}

TEST(the_path_is_that_of_the_new_environment)
{
    CHECK_OK(mkdir("bin", 0755));
    CHECK_OK(symlink("/bin/echo", "bin/kin-test-echo"));
    CHECK_STR(OUTPUT(KIN_COMMAND("kin-test-echo", "found"), .env_changes = LIST("PATH=/nowhere:bin")),
              "found");
    kin_completed done;
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("kin-test-echo"), NULL, KIN_FOREVER), -ENOENT);
    /* An empty part is the working directory; and a directory is no program. */
    CHECK_OK(mkdir("bin/sub", 0755));
    CHECK_STR(OUTPUT(KIN_COMMAND("kin-test-echo", "here"), .cwd = "bin", .env_changes = LIST("PATH=")),
              "here");
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("sub"),
                                &(kin_subprocess_options){.env_changes = LIST("PATH=bin:/bin")}, KIN_FOREVER),
             -EACCES);
    unlink("bin/kin-test-echo");
    rmdir("bin/sub");
    rmdir("bin");
}

TEST(the_working_directory)
{
    CHECK_STR(OUTPUT(KIN_COMMAND("pwd"), .cwd = "/usr"), "/usr");
    /* A relative program is taken from there. */
    CHECK_STR(OUTPUT(KIN_COMMAND("./echo", "x"), .cwd = "/bin"), "x");
}

/* ---- what it inherits ----------------------------------------------------------------------------- */

#define LIST_DESCRIPTORS SHELL("for f in /proc/$$/fd/*; do [ -e $f ] && printf '%s ' ${f##*/}; done; true")

TEST(descriptors_are_closed_but_those_that_are_passed)
{
    int open_one = open("/dev/null", O_RDONLY), passed = dup(open_one), other = dup(open_one);
    int high = fcntl(open_one, F_DUPFD_CLOEXEC, 700);
    char expected[64];
    CHECK_OK(other);
    CHECK_STR(OUTPUT(LIST_DESCRIPTORS, .stdin_from = KIN_DEVNULL, .stderr_to = KIN_DEVNULL), "0 1 2 ");
    int pass[] = {high, passed, high};
    snprintf(expected, sizeof expected, "0 1 2 %d %d ", passed, high);
    const char *output = OUTPUT(LIST_DESCRIPTORS, .pass_fds = pass, .pass_fd_count = 3);
    /* The order is that of names. */
    char both[2][16];
    snprintf(both[0], sizeof both[0], " %d ", passed);
    snprintf(both[1], sizeof both[1], " %d ", high);
    CHECK(strstr(output, both[0]) != NULL);
    CHECK(strstr(output, both[1]) != NULL);
    CHECK_EQ(strlen(output), strlen(expected));
    output = OUTPUT(LIST_DESCRIPTORS, .keep_fds = true);
    snprintf(both[0], sizeof both[0], " %d ", other);
    CHECK(strstr(output, both[0]) != NULL);
    CHECK(strstr(output, both[1]) == NULL);
    close(open_one);
    close(passed);
    close(other);
    close(high);
}

/* A line of /proc/PID/status, such as "SigIgn:\t0000…". */
#define STATUS(name) KIN_COMMAND("sed", "-n", "s/^" name ":\t//p", "/proc/self/status")

static void handle(int signal)
{
    (void)signal;
}

/* The same line of this process. */
static const char *own_status(const char *name, char value[static 20])
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL && strncmp(line, name, strlen(name)) != 0)
        ;
    fclose(file);
    CHECK_EQ(sscanf(line, "%*s %19s", value), 1);
    CHECK_NE(strtoull(value, NULL, 16), 0);
    return value;
}

TEST(signals_are_as_by_default_or_as_they_were)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGTERM, handle);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    CHECK_STR(OUTPUT(STATUS("SigIgn")), "0000000000000000");
    CHECK_STR(OUTPUT(STATUS("SigBlk")), "0000000000000000");
    char expected[20];
    CHECK_STR(OUTPUT(STATUS("SigIgn"), .keep_signals = true), own_status("SigIgn", expected));
    CHECK_STR(OUTPUT(STATUS("SigBlk"), .keep_signals = true), own_status("SigBlk", expected));
    CHECK_STR(OUTPUT(STATUS("SigCgt"), .keep_signals = true), "0000000000000000");
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
}

/* ---- what it is ------------------------------------------------------------------------------------------ */

/* Process group and session. */
static void ids_of(kin_subprocess_options options, int *pid, int *group, int *session)
{
    const char *text = output_of(KIN_COMMAND("sed", "s/^.*) //", "/proc/self/stat"), options);
    CHECK_EQ(sscanf(text, "%*c %*d %d %d", group, session), 2);
    text = output_of(KIN_COMMAND("sed", "s/ .*//", "/proc/self/stat"), options);
    *pid = atoi(text);
}

TEST(groups_and_sessions)
{
    int pid, group, session;
    ids_of((kin_subprocess_options){0}, &pid, &group, &session);
    CHECK_EQ(group, getpgrp());
    CHECK_EQ(session, getsid(0));
    ids_of((kin_subprocess_options){.new_session = true}, &pid, &group, &session);
    CHECK_EQ(group, session);
    CHECK_NE(session, getsid(0));
    ids_of((kin_subprocess_options){.process_group = KIN_OWN_GROUP}, &pid, &group, &session);
    CHECK_NE(group, getpgrp());
    CHECK_EQ(session, getsid(0));
    ids_of((kin_subprocess_options){.process_group = getpgrp()}, &pid, &group, &session);
    CHECK_EQ(group, getpgrp());
}

TEST(a_pipeline_is_one_group)
{
    kin_completed done;
    int one, other;
    const char *const *show =
        KIN_COMMAND("sh", "-c", "cat; sed 's/^.*) . [0-9]* //; s/ .*//' /proc/self/stat");
    CHECK_OK(kin_subprocess_run_pipeline(&done, KIN_PIPELINE(show, show),
                                         &(kin_subprocess_options){.stdin_from = KIN_DEVNULL,
                                                                   .stdout_to = KIN_PIPE,
                                                                   .process_group = KIN_OWN_GROUP},
                                         KIN_FOREVER));
    CHECK_EQ(sscanf(done.out, "%d %d", &one, &other), 2);
    CHECK_EQ(one, other);
    kin_completed_free(&done);
}

TEST(umask_nice_and_limits)
{
    CHECK_STR(OUTPUT(SHELL("umask"), .set_umask = true, .umask = 027), "0027");
    CHECK_STR(OUTPUT(SHELL("umask"), .set_umask = true), "0000");
    char expected[16];
    snprintf(expected, sizeof expected, "%d", getpriority(PRIO_PROCESS, 0) + 3);
    CHECK_STR(OUTPUT(KIN_COMMAND("nice"), .limits = &(kin_limits){.nice = 3}), expected);
    kin_resource_limit limits[] = {{RLIMIT_NOFILE, 50, 60}, {RLIMIT_CORE, 0, 0}};
    CHECK_STR(OUTPUT(SHELL("ulimit -Sn; ulimit -Hn; ulimit -c"),
                     .limits = &(kin_limits){.resources = limits, .resource_count = 2}),
              "50\n60\n0");
    kin_completed done;
    limits[0] = (kin_resource_limit){RLIMIT_NOFILE, 60, 50};
    CHECK_RC(kin_subprocess_run(
                 &done, KIN_COMMAND("true"),
                 &(kin_subprocess_options){.limits = &(kin_limits){.resources = limits, .resource_count = 1}},
                 KIN_FOREVER),
             -EINVAL);
    CHECK_STR(kin_subprocess_error(), "cannot set RLIMIT_NOFILE of true: invalid argument");
}

TEST(user_and_groups)
{
    if (getuid() != 0) SKIP("only root may become another user");
    CHECK_STR(OUTPUT(KIN_COMMAND("id", "-u"), .user = "12345"), "12345");
    CHECK_STR(OUTPUT(KIN_COMMAND("id", "-un"), .user = "daemon"), "daemon");
    CHECK_STR(OUTPUT(KIN_COMMAND("id", "-g"), .group = "54321"), "54321");
    CHECK_STR(OUTPUT(KIN_COMMAND("id", "-G"), .extra_groups = LIST("7", "8"), .group = "9"), "9 7 8");
    CHECK_STR(OUTPUT(KIN_COMMAND("id", "-G"), .extra_groups = (const char *const[]){NULL}, .group = "9"),
              "9");
    CHECK_EQ(getuid(), 0);
    kin_completed done;
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("/nothing"), &(kin_subprocess_options){.user = "1"},
                                KIN_FOREVER),
             -ENOENT);
    CHECK_STR(kin_subprocess_error(), "cannot run /nothing: no such file or directory");
}

static int set_variable(void *value)
{
    return setenv("KIN_TEST_BEFORE", value, 1) == 0 && write(2, "before\n", 7) == 7 ? 0 : -errno;
}

static int refuse(void *result)
{
    return *(int *)result;
}

TEST(a_function_runs_before_the_program)
{
    CHECK_STR(OUTPUT(SHELL("echo $KIN_TEST_BEFORE"), .stderr_to = KIN_STDOUT, .before_exec = set_variable,
                     .before_exec_argument = "set"),
              "before\nset");
    kin_completed done;
    int result = -EXDEV;
    kin_subprocess_options options = {.before_exec = refuse, .before_exec_argument = &result};
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("true"), &options, KIN_FOREVER), -EXDEV);
    CHECK_STR(kin_subprocess_error(), "cannot run true: before_exec failed: invalid cross-device link");
    result = 1;
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("true"), &options, KIN_FOREVER), -ECANCELED);
}

TEST(a_new_session_can_have_a_terminal)
{
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK_OK(ours);
    CHECK_OK(grantpt(ours));
    CHECK_OK(unlockpt(ours));
    const char *output = OUTPUT(SHELL("echo got >/dev/tty && tty </dev/tty"), .stdin_file = ptsname(ours),
                                .new_session = true, .controlling_terminal = true);
    CHECK_STR(output, "/dev/tty");
    char text[8] = "";
    CHECK_GE(read(ours, text, 3), 3);
    CHECK_STR(text, "got");
    close(ours);
}

TEST(older_and_newer_callers)
{
    struct {
        kin_subprocess_options known;
        uint64_t later;
    } options = {.known.stdout_to = KIN_DEVNULL, .later = 77};
    struct {
        kin_completed known;
        uint64_t later;
    } done;
    CHECK_OK(kin_subprocess_run_sized(&done.known, sizeof done, KIN_COMMAND("echo"), &options.known,
                                      sizeof options, KIN_FOREVER));
    CHECK_EQ(done.later, 0);
    options.known.check = true;
    CHECK_OK(kin_subprocess_run_sized(&done.known, sizeof done, KIN_COMMAND("false"), &options.known,
                                      offsetof(kin_subprocess_options, check), KIN_FOREVER));
    CHECK_EQ(done.known.exit_code, 1);
    kin_completed_free_sized(&done.known, sizeof done);
}
