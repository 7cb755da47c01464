/* test_limits.c: what a process may use, where it runs and who it is: by every option, in a child of
 * kin_process_start and in a program; and what the caller is told when it cannot be set. */
#define _GNU_SOURCE
#include "support/faults.h"
#include "support/start.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/process.h>
#include <kin/subprocess.h>

#include "process/server.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Runs a function in a child with these options; its exit code. */
static int code_by(enum kin_start_method method, kin_process_function *function, void *argument,
                   kin_process_options options)
{
    kin_process *process = NULL;
    int code = -1000;
    options.method = method;
    test_context("method %d", (int)method);
    if (kin_process_start(&process, function, argument, &options) < 0) FAIL("%s", kin_process_error());
    CHECK_STR(kin_process_error(), "");
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_OK(kin_process_close(process));
    return code;
}

/* Does so by every method: all have the same to say. */
static int code_of(kin_process_function *function, void *argument, kin_process_options options)
{
    int code = code_by(KIN_FORK, function, argument, options);
    CHECK_EQ(code_by(KIN_SPAWN, function, argument, options), code);
    CHECK_EQ(code_by(KIN_FORKSERVER, function, argument, options), code);
    return code;
}
#define CODE(function, argument, ...) code_of(function, argument, (kin_process_options){__VA_ARGS__})

static int idle(void *unused)
{
    (void)unused;
    return 0;
}

/* The start fails, with these words, and leaves nothing. */
static void is_refused(int error, const char *words, kin_process_options options)
{
    kin_process *process = NULL;
    options.name = "child";
    for (options.method = KIN_FORK; options.method <= KIN_FORKSERVER; options.method++) {
        test_context("method %d", (int)options.method);
        CHECK_RC(kin_process_start(&process, idle, NULL, &options), error);
        CHECK(process == NULL);
        CHECK_STR(kin_process_error(), words);
        kin__server_end();
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
        CHECK_EQ(errno, ECHILD);
    }
}
#define REFUSED(error, words, ...) is_refused(error, words, (kin_process_options){__VA_ARGS__})

/* What a command prints that has these limits. */
static const char *output_of(const char *const *argv, const kin_limits *limits)
{
    static kin_completed done;
    kin_completed_free(&done);
    kin_subprocess_options options = {.stdout_to = KIN_PIPE, .limits = limits, .check = true};
    if (kin_subprocess_run(&done, argv, &options, KIN_FOREVER) < 0) FAIL("%s", kin_subprocess_error());
    if (done.out_size > 0 && done.out[done.out_size - 1] == '\n') done.out[done.out_size - 1] = '\0';
    return done.out;
}

/* ---- resources ---------------------------------------------------------------------------------------- */

static int check_resources(void *unused)
{
    struct rlimit files, core;
    (void)unused;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &files));
    CHECK_OK(getrlimit(RLIMIT_CORE, &core));
    CHECK_EQ(files.rlim_cur, 50);
    CHECK_EQ(files.rlim_max, 60);
    CHECK_EQ(core.rlim_max, 0);
    return 17;
}

TEST(resources_are_limited)
{
    const kin_resource_limit resources[] = {{RLIMIT_NOFILE, 50, 60}, {RLIMIT_CORE, 0, 0}};
    const kin_limits limits = {.resources = resources, .resource_count = 2};
    struct rlimit before, after;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &before));
    CHECK_EQ(CODE(check_resources, NULL, .limits = &limits), 17);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &after));
    CHECK_EQ(before.rlim_cur, after.rlim_cur);
}

TEST(a_limit_that_cannot_be_set_is_named)
{
    const kin_resource_limit resources[] = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, 60, 50}};
    const kin_limits limits = {.resources = resources, .resource_count = 2};
    REFUSED(-EINVAL, "cannot set RLIMIT_NOFILE of child: invalid argument", .limits = &limits);
    const kin_limits none = {.resource_count = 1};
    REFUSED(-EINVAL, "resources is NULL and resource_count is not 0", .limits = &none);
    const kin_limits later = {.reserved = {[7] = 1}};
    REFUSED(-EINVAL, "a reserved limit is not 0", .limits = &later);
}

/* ---- priorities ---------------------------------------------------------------------------------------- */

static int priority_of(void *unused)
{
    (void)unused;
    return getpriority(PRIO_PROCESS, 0);
}

TEST(nice_is_added_to_the_callers)
{
    const kin_limits limits = {.nice = 3};
    char expected[16];
    int own = getpriority(PRIO_PROCESS, 0);
    if (own < 0 || own > 15) SKIP("the niceness of this process is %d", own);
    CHECK_EQ(CODE(priority_of, NULL, .limits = &limits), own + 3);
    snprintf(expected, sizeof expected, "%d", own + 3);
    CHECK_STR(output_of(KIN_COMMAND("nice"), &limits), expected);
}

static int check_io(void *expected)
{
    CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), *(const int *)expected);
    return 0;
}

TEST(io_priority_is_set)
{
    const kin_limits idle_class = {.io_class = KIN_IO_IDLE};
    const kin_limits sixth = {.io_class = KIN_IO_BEST_EFFORT, .io_priority = 6};
    const int idle_value = 3 << 13, sixth_value = 2 << 13 | 6;
    CHECK_EQ(CODE(check_io, NULL, .bytes = &idle_value, .size = sizeof idle_value, .limits = &idle_class), 0);
    CHECK_EQ(CODE(check_io, NULL, .bytes = &sixth_value, .size = sizeof sixth_value, .limits = &sixth), 0);
    const kin_limits wrong = {.io_class = KIN_IO_BEST_EFFORT, .io_priority = 8};
    REFUSED(-EINVAL, "io_class is 2, io_priority 8", .limits = &wrong);
}

static int policy_of(void *unused)
{
    (void)unused;
    return sched_getscheduler(0);
}

TEST(scheduling_is_set)
{
    const kin_limits batch = {.schedule = KIN_SCHEDULE_BATCH}, slack = {.schedule = KIN_SCHEDULE_IDLE};
    CHECK_EQ(CODE(policy_of, NULL, .limits = &batch), SCHED_BATCH);
    CHECK_EQ(CODE(policy_of, NULL, .limits = &slack), SCHED_IDLE);
    const kin_limits wrong = {.schedule = KIN_SCHEDULE_BATCH, .schedule_priority = 5};
    REFUSED(-EINVAL, "cannot set the scheduling of child: invalid argument", .limits = &wrong);
    const kin_limits unknown = {.schedule = KIN_SCHEDULE_RR + 1};
    REFUSED(-EINVAL, "schedule is 6, which means nothing", .limits = &unknown);
}

/* ---- places --------------------------------------------------------------------------------------------- */

static int only_cpu(void *cpu)
{
    cpu_set_t set;
    CHECK_OK(sched_getaffinity(0, sizeof set, &set));
    CHECK_EQ(CPU_COUNT(&set), 1);
    CHECK(CPU_ISSET(*(unsigned *)cpu, &set));
    CHECK_EQ(kin_cpu_count(), 1);
    return 0;
}

TEST(processors_are_chosen)
{
    cpu_set_t set;
    unsigned last = 0;
    CHECK_OK(sched_getaffinity(0, sizeof set, &set));
    for (unsigned i = 0; i < CPU_SETSIZE; i++) last = CPU_ISSET(i, &set) ? i : last;
    const kin_limits limits = {.cpus = &last, .cpu_count = 1};
    CHECK_EQ(CODE(only_cpu, NULL, .bytes = &last, .size = sizeof last, .limits = &limits), 0);
    CHECK_STR(output_of(KIN_COMMAND("nproc"), &limits), "1");
    /* Far more than there are, and more than any kernel has. */
    const unsigned far = 8191, beyond = 8192;
    const kin_limits none = {.cpus = &far, .cpu_count = 1};
    REFUSED(-EINVAL, "cannot bind child to these processors: invalid argument", .limits = &none);
    const kin_limits impossible = {.cpus = &beyond, .cpu_count = 1};
    REFUSED(-EINVAL, "there is no 8192 among the cpus", .limits = &impossible);
    const kin_limits empty = {.cpus = &far};
    REFUSED(-EINVAL, "the list of cpus is empty", .limits = &empty);
}

static int check_nodes(void *unused)
{
    int policy = -1;
    unsigned long nodes[16] = {0};
    (void)unused;
    CHECK_OK(syscall(SYS_get_mempolicy, &policy, nodes, sizeof nodes * 8, NULL, 0));
    CHECK_EQ(policy, 2); /* MPOL_BIND */
    CHECK_EQ(nodes[0], 1);
    return 0;
}

TEST(memory_comes_from_chosen_nodes)
{
    int policy;
    if (syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0) < 0) SKIP("the kernel knows no NUMA nodes");
    const unsigned first = 0, far = 8000;
    const kin_limits limits = {.nodes = &first, .node_count = 1}, none = {.nodes = &far, .node_count = 1};
    CHECK_EQ(CODE(check_nodes, NULL, .limits = &limits), 0);
    REFUSED(-EINVAL, "cannot bind the memory of child to these nodes: invalid argument", .limits = &none);
}

/* ---- who it is -------------------------------------------------------------------------------------------- */

static int is_in(void *directory)
{
    char now[PATH_MAX];
    CHECK(getcwd(now, sizeof now) != NULL);
    CHECK_STR(now, (char *)directory);
    return 0;
}

TEST(directory_is_set)
{
    CHECK_EQ(CODE(is_in, "/", .cwd = "/"), 0);
    CHECK_EQ(CODE(is_in, "/usr", .cwd = "/usr"), 0);
    REFUSED(-ENOENT, "cannot run child in the directory /nowhere: no such file or directory",
            .cwd = "/nowhere");
}

static int check_whole(void *unused)
{
    (void)unused;
    CHECK_STR(getenv("ONE"), "1");
    CHECK(getenv("PATH") == NULL);
    CHECK_OK(setenv("TWO", "2", 1));
    CHECK_STR(getenv("TWO"), "2");
    return 0;
}

static int check_changed(void *unused)
{
    (void)unused;
    CHECK_STR(getenv("ONE"), "1");
    CHECK(getenv("HOME") == NULL);
    CHECK(getenv("PATH") != NULL);
    return 0;
}

TEST(environment_is_set)
{
    CHECK_OK(setenv("HOME", "/", 1));
    CHECK_EQ(CODE(check_whole, NULL, .env = LIST("ONE=1")), 0);
    CHECK_EQ(CODE(check_changed, NULL, .env_changes = LIST("ONE=1", "HOME")), 0);
    CHECK_STR(getenv("HOME"), "/");
    CHECK(getenv("ONE") == NULL);
    REFUSED(-EINVAL, "env_changes has \"=1\", which has no name", .env_changes = LIST("=1"));
}

static int mask_of(void *unused)
{
    (void)unused;
    return (int)umask(0);
}

TEST(umask_is_set)
{
    CHECK_EQ(CODE(mask_of, NULL, .set_umask = true, .umask = 027), 027);
    CHECK_EQ(CODE(mask_of, NULL, .set_umask = true), 0);
}

static int leads_group(void *session)
{
    CHECK_EQ(getpgrp(), getpid());
    CHECK_EQ(getsid(0) == getpid(), session != NULL);
    return 0;
}

static int is_in_group(void *group)
{
    CHECK_EQ(getpgrp(), *(pid_t *)group);
    return 0;
}

static int wait_for_signal(void *unused)
{
    (void)unused;
    while (pause() < 0) continue;
    return 0;
}

TEST(sessions_and_groups_are_set)
{
    CHECK_EQ(CODE(leads_group, NULL, .process_group = KIN_OWN_GROUP), 0);
    CHECK_EQ(CODE(leads_group, "", .new_session = true), 0);
    kin_process *leader = NULL;
    CHECK_OK(kin_process_start(&leader, wait_for_signal, NULL,
                               &(kin_process_options){.process_group = KIN_OWN_GROUP}));
    pid_t group = kin_process_pid(leader);
    /* That the start has returned means that the group is there. */
    CHECK_EQ(getpgid(group), group);
    CHECK_EQ(CODE(is_in_group, NULL, .bytes = &group, .size = sizeof group, .process_group = group), 0);
    CHECK_OK(kin_process_kill(leader));
    CHECK_OK(kin_process_join(leader, KIN_FOREVER));
    CHECK_OK(kin_process_close(leader));
    REFUSED(-EPERM, "cannot set the process group of child: operation not permitted", .process_group = 1);
    REFUSED(-EINVAL, "a controlling terminal takes a new session", .controlling_terminal = true);
    REFUSED(-EINVAL, "a new session has a process group of its own", .new_session = true,
            .process_group = KIN_OWN_GROUP);
    REFUSED(-EINVAL, "process_group is -2", .process_group = -2);
}

static int check_terminal(void *unused)
{
    (void)unused;
    CHECK_EQ(tcgetsid(0), getpid());
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    CHECK_GE(terminal, 0);
    close(terminal);
    return 0;
}

START_TEST(a_terminal_is_taken)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) SKIP("there are no terminals: %s", strerror(errno));
    CHECK_OK(grantpt(master));
    CHECK_OK(unlockpt(master));
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC), own = dup(0);
    CHECK_EQ(dup2(slave, 0), 0);
    kin_process_options options = {.new_session = true, .controlling_terminal = true, .standard_input = true};
    CHECK_EQ(code_by(method, check_terminal, NULL, options), 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(dup2(null, 0), 0);
    REFUSED(-ENOTTY, "cannot give child a controlling terminal: inappropriate ioctl for device",
            .new_session = true, .controlling_terminal = true);
    if (own >= 0) dup2(own, 0);
    close(own);
    close(null);
    close(slave);
    close(master);
}

static int check_user(void *unused)
{
    gid_t groups[4];
    (void)unused;
    CHECK_EQ(getuid(), 12345);
    CHECK_EQ(geteuid(), 12345);
    CHECK_EQ(getgid(), 9);
    CHECK_EQ(getgroups(4, groups), 2);
    CHECK_EQ(groups[0] + groups[1], 7 + 8);
    return 0;
}

TEST(user_and_groups_are_set)
{
    if (getuid() != 0) {
        REFUSED(-EPERM, "cannot run child as another user or group: operation not permitted", .user = "0");
        SKIP("only root may become another user");
    }
    CHECK_EQ(CODE(check_user, NULL, .user = "12345", .group = "9", .extra_groups = LIST("7", "8")), 0);
    CHECK_EQ(getuid(), 0);
    REFUSED(-ENOENT, "there is no user kin-nobody", .user = "kin-nobody");
    REFUSED(-ENOENT, "there is no group kin-nobody", .group = "kin-nobody");
}

static int wait_as_another(void *process)
{
    kin_process *child = NULL;
    (void)process;
    CHECK_OK(kin_process_start(&child, wait_for_signal, NULL, &(kin_process_options){.user = "12345"}));
    CHECK_EQ(write(1, "x", 1), 1);
    kill(getpid(), SIGKILL);
    return 1;
}

/* What has changed its user ends with its parent all the same. */
TEST(another_user_ends_with_its_parent)
{
    if (getuid() != 0) SKIP("only root may become another user");
    int ends[2];
    char said[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    int own = dup(1);
    CHECK_EQ(dup2(ends[1], 1), 1);
    kin_process *parent = NULL;
    CHECK_OK(kin_process_start(&parent, wait_as_another, NULL, NULL));
    CHECK_EQ(dup2(own, 1), 1);
    close(own);
    close(ends[1]);
    /* The child has the pipe too, which ends with it. */
    CHECK_EQ(read(ends[0], said, sizeof said), 1);
    CHECK_EQ(read(ends[0], said, sizeof said), 0);
    close(ends[0]);
    CHECK_OK(kin_process_join(parent, KIN_FOREVER));
    CHECK_OK(kin_process_close(parent));
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static enum kin_start_method faulty;

static int make(void *context)
{
    const unsigned cpu = 0;
    const kin_limits limits = {.nice = 1, .cpus = &cpu, .cpu_count = 1, .cgroup = "group", .pids_max = 5};
    kin_process_options options = {.limits = &limits,
                                   .env_changes = LIST("ONE=1"),
                                   .extra_groups = getuid() == 0 ? LIST("7") : NULL,
                                   .cwd = "/"};
    options.method = faulty;
    int rc = kin_process_start(context, idle, NULL, &options);
    CHECK_EQ(rc == 0, kin_process_error()[0] == '\0');
    return rc;
}

static int unmake(void *context)
{
    CHECK_OK(kin_process_join(*(kin_process **)context, KIN_FOREVER));
    return kin_process_close(*(kin_process **)context);
}

START_TEST(a_start_that_fails_anywhere_leaves_nothing)
{
#ifdef __SANITIZE_THREAD__
    if (method == KIN_SPAWN) SKIP("a program with the thread sanitizer leaves a file at its beginning");
#endif
    kin_process *process = NULL;
    faulty = method;
    CHECK_OK(mkdir("group", 0700));
    close(open("group/cgroup.procs", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    close(open("group/pids.max", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &process});
    CHECK_GT(report.failures, 5);
    CHECK_OK(unlink("group/cgroup.procs"));
    CHECK_OK(unlink("group/pids.max"));
    CHECK_OK(rmdir("group"));
}
