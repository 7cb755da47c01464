/* test_control_group.c: processes in control groups of their own: real ones where this machine has them,
 * and directories that look like one, in which every file can be read afterwards. */
#define _GNU_SOURCE
#include "support/old_group.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/process.h>
#include <kin/subprocess.h>

#include "os/cgroup.h"
#include "os/os.h"

static int wait_for_signal(void *unused)
{
    (void)unused;
    while (pause() < 0) continue;
    return 0;
}

static int idle(void *unused)
{
    (void)unused;
    return 0;
}

static kin_process *start(kin_process_function *function, const kin_limits *limits)
{
    kin_process *process = NULL;
    if (kin_process_start(&process, function, NULL, &(kin_process_options){.limits = limits}) < 0)
        FAIL("%s", kin_process_error());
    return process;
}

static void is_refused(int error, const char *words, const kin_limits *limits)
{
    kin_process *process = NULL;
    kin_process_options options = {.limits = limits, .name = "child"};
    CHECK_RC(kin_process_start(&process, idle, NULL, &options), error);
    CHECK_STR(kin_process_error(), words);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_RC(kin_subprocess_run(NULL, KIN_COMMAND("true"), &(kin_subprocess_options){.limits = limits},
                                KIN_FOREVER),
             error);
    CHECK_STR(kin_subprocess_error(), words);
}

static kin_exit_status kill_and_close(kin_process *process)
{
    kin_exit_status status;
    CHECK_OK(kill(kin_process_pid(process), SIGKILL));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_OK(kin_process_close(process));
    return status;
}

/* ---- what looks like one ------------------------------------------------------------------------------- */

static void put(const char *name, const char *text)
{
    FILE *file = fopen(name, "we");
    CHECK(file != NULL);
    CHECK_GE(fputs(text, file), 0);
    CHECK_OK(fclose(file));
}

static const char *text_in(const char *name)
{
    static char text[256];
    FILE *file = fopen(name, "re");
    CHECK(file != NULL);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static const char *const files[] = {"group/cgroup.procs", "group/memory.max",    "group/cpu.max",
                                    "group/pids.max",     "group/memory.events", "group/cgroup.kill"};

static void make_group(void)
{
    CHECK_OK(mkdir("group", 0700));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) put(files[i], "");
}

static void remove_group(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) CHECK_OK(unlink(files[i]));
    CHECK_OK(rmdir("group"));
}

TEST(limits_are_written_to_the_group)
{
    const kin_limits limits = {.memory_max = 20 << 20, .cpu_max = 1500, .pids_max = 7, .cgroup = "group"};
    make_group();
    put("group/memory.events", "low 0\noom 4\noom_kill 3\n");
    kin_process *process = start(wait_for_signal, &limits);
    CHECK_STR(text_in("group/cgroup.procs"), "0");
    CHECK_STR(text_in("group/memory.max"), "20971520");
    CHECK_STR(text_in("group/cpu.max"), "150000 100000");
    CHECK_STR(text_in("group/pids.max"), "7");
    kin_exit_status status = kill_and_close(process);
    CHECK_EQ(status.death, KIN_DEATH_PLAIN);
    CHECK_EQ(status.oom_kills, 0);
    /* The group is the caller's. */
    remove_group();
}

TEST(a_death_for_want_of_memory_is_certain)
{
    char text[200];
    const kin_limits limits = {.memory_max = 20 << 20, .cgroup = "group"};
    make_group();
    put("group/memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 0\n");
    kin_process *process = start(wait_for_signal, &limits);
    put("group/memory.events", "low 0\noom 5\noom_kill 5\noom_group_kill 0\n");
    kin_exit_status status = kill_and_close(process);
    CHECK_EQ(status.death, KIN_DEATH_MEMORY);
    CHECK_EQ(status.limit, 20 << 20);
    CHECK_EQ(status.oom_kills, 2);
    status.elapsed_ns = 400000000;
    status.max_rss = 19 * 1000000;
    kin_exit_status_text(&status, text, sizeof text);
    CHECK_STR(text, "killed by SIGKILL: out of memory (memory.max 20 MiB), after 0.4 s, 19 MB");
    put("group/memory.max", "max\n");
    remove_group();
}

TEST(who_was_killed_by_the_caller_did_not_lack_memory)
{
    const kin_limits limits = {.cgroup = "group"};
    kin_exit_status status;
    make_group();
    put("group/memory.events", "oom_kill 0\n");
    kin_process *process = start(wait_for_signal, &limits);
    put("group/memory.events", "oom_kill 1\n");
    CHECK_OK(kin_process_kill(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_EQ(status.death, KIN_DEATH_PLAIN);
    CHECK_EQ(status.oom_kills, 1); /* of somebody else in it */
    CHECK_OK(kin_process_close(process));
    remove_group();
}

TEST(the_words_of_a_command_name_the_memory)
{
    const kin_limits limits = {.memory_max = 64000000, .cgroup = "group"};
    make_group();
    put("group/memory.events", "oom_kill 0\n");
    CHECK_RC(kin_subprocess_run(
                 NULL, KIN_COMMAND("sh", "-c", "echo oom_kill 1 >group/memory.events; kill -KILL $$"),
                 &(kin_subprocess_options){.limits = &limits, .check = true}, KIN_FOREVER),
             KIN_ECOMMAND);
    CHECK_STR(kin_subprocess_error(), "sh was killed by SIGKILL: out of memory (memory.max 64 MB)");
    remove_group();
}

/* ---- where there is none ------------------------------------------------------------------------------- */

TEST(a_group_that_cannot_be_used_is_told)
{
    char words[200];
    is_refused(-ENOENT, "cannot use the control group nowhere: no such file or directory",
               &(kin_limits){.cgroup = "nowhere"});
    is_refused(-EINVAL, "cgroup names a control group, and another is to be made as well",
               &(kin_limits){.cgroup = "group", .own_cgroup = true});
    CHECK_OK(mkdir("group", 0700));
    put("group/cgroup.procs", "");
    is_refused(-ENOENT, "cannot set memory.max of the control group group: no such file or directory",
               &(kin_limits){.cgroup = "group", .memory_max = 1});
    put("group/cgroup.subtree_control", "cpuset\n");
    put("group/cgroup.controllers", "cpuset cpu pids\n");
    is_refused(-EOPNOTSUPP, "cgroup v2 has no memory controller in group",
               &(kin_limits){.cgroup_parent = "group", .memory_max = 1});
    /* What it makes below is an ordinary directory here, and is removed again. */
    put("group/cgroup.subtree_control", "memory\n");
    kin_process *process = NULL;
    CHECK_RC(kin_process_start(
                 &process, idle, NULL,
                 &(kin_process_options){.limits = &(kin_limits){.cgroup_parent = "group", .memory_max = 1}}),
             -ENOENT);
    snprintf(words, sizeof words, "cannot set memory.max of the control group group/kin-");
    CHECK_EQ(strncmp(kin_process_error(), words, strlen(words)), 0);
    CHECK_OK(unlink("group/cgroup.subtree_control"));
    CHECK_OK(unlink("group/cgroup.controllers"));
    CHECK_OK(unlink("group/cgroup.procs"));
    CHECK_OK(rmdir("group"));
}

static void without_rights(void *unused)
{
    (void)unused;
    CHECK_OK(setuid(12345));
    is_refused(-EACCES, "cgroup v2 is not delegated: group: permission denied",
               &(kin_limits){.cgroup_parent = "group", .memory_max = 1});
    is_refused(-EACCES, "cgroup v2 is not delegated: group: permission denied",
               &(kin_limits){.cgroup_parent = "group", .own_cgroup = true});
}

TEST(a_place_that_is_not_delegated_is_told)
{
    if (getuid() != 0) SKIP("only root may become another user");
    CHECK_OK(mkdir("group", 0755));
    put("group/cgroup.subtree_control", "cpuset\n");
    put("group/cgroup.controllers", "cpuset cpu memory\n");
    CHECK_OK(chmod(".", 0755));
    CHECK_EQ(test_collect(test_child(without_rights, NULL)), 0);
    CHECK_OK(unlink("group/cgroup.subtree_control"));
    CHECK_OK(unlink("group/cgroup.controllers"));
    CHECK_OK(rmdir("group"));
}

/* ---- real ones ------------------------------------------------------------------------------------------- */

/* Skips unless a process can have a group of its own here. */
static kin_process *start_in_own(kin_process_function *function)
{
    kin_process *process = NULL;
    const kin_limits limits = {.own_cgroup = true};
    if (kin_process_start(&process, function, NULL, &(kin_process_options){.limits = &limits}) < 0)
        SKIP("%s", kin_process_error());
    return process;
}

static void group_of(int pid, char *directory, size_t size)
{
    char name[32], own[PATH_MAX], path[PATH_MAX] = "";
    snprintf(name, sizeof name, "/proc/%d/cgroup", pid);
    FILE *file = fopen(name, "re");
    CHECK(file != NULL);
    for (char line[PATH_MAX]; fgets(line, sizeof line, file) != NULL;)
        if (sscanf(line, "0::%4000[^\n]", path) == 1) break;
    fclose(file);
    CHECK_OK(kin__os_cgroup_own(own, sizeof own));
    const char *last = strrchr(path, '/');
    CHECK(last != NULL);
    CHECK_EQ(strncmp(last, "/kin-", 5), 0);
    snprintf(directory, size, "%s%s", own, last);
}

TEST(a_group_of_its_own_goes_with_the_handle)
{
    char directory[PATH_MAX];
    kin_process *process = start_in_own(wait_for_signal);
    group_of(kin_process_pid(process), directory, sizeof directory);
    if (access(directory, F_OK) < 0) SKIP("the group is beside the caller's");
    kill_and_close(process);
    CHECK_EQ(access(directory, F_OK), -1);
}

/* Leaves behind what no other sign leads to: sessions of their own, and the parents have ended. */
static _Atomic bool *orphaned;

static int make_orphans(void *unused)
{
    for (int i = 0; i < 3; i++) {
        if (fork() != 0) continue;
        setsid();
        if (fork() == 0) wait_for_signal(unused);
        _exit(0);
    }
    while (wait(NULL) > 0) continue;
    atomic_store(orphaned, true);
    return wait_for_signal(unused);
}

static size_t count_in(const char *directory)
{
    int *pids;
    size_t count;
    CHECK_OK(kin__os_cgroup_pids(directory, &pids, &count));
    kin__os_free(pids);
    return count;
}

TEST(the_tree_of_an_ended_child_is_ended_too)
{
    char directory[PATH_MAX];
    orphaned = test_shared(sizeof *orphaned);
    kin_process *process = start_in_own(make_orphans);
    group_of(kin_process_pid(process), directory, sizeof directory);
    if (access(directory, F_OK) < 0) SKIP("the group is beside the caller's");
    test_until(atomic_load(orphaned));
    CHECK_EQ(count_in(directory), 4);
    CHECK_OK(kin_process_kill(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_EQ(count_in(directory), 3);
    CHECK_OK(kin_process_end_tree(process, KIN_NOW));
    CHECK_EQ(count_in(directory), 0);
    CHECK_OK(kin_process_close(process));
    CHECK_EQ(access(directory, F_OK), -1);
}

TEST(the_tree_of_a_command_is_ended_by_its_group)
{
    kin_subprocess *subprocess = NULL;
    const kin_limits limits = {.own_cgroup = true};
    const char *said;
    kin_subprocess_options options = {.limits = &limits, .stdout_to = KIN_PIPE};
    const char *line = "setsid sh -c '(setsid sleep 1000 >/dev/null 2>&1 & )'; echo ready; sleep 1000; exit";
    if (kin_subprocess_start(&subprocess, KIN_COMMAND("sh", "-c", line), &options) < 0)
        SKIP("%s", kin_subprocess_error());
    char directory[PATH_MAX];
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &said, KIN_FOREVER), 5);
    group_of(kin_subprocess_pid(subprocess), directory, sizeof directory);
    if (access(directory, F_OK) < 0) SKIP("the group is beside the caller's");
    test_until(count_in(directory) == 3);
    CHECK_OK(kin_subprocess_end_tree(subprocess, kin_in_ms(200)));
    CHECK_EQ(count_in(directory), 0);
    CHECK_OK(kin_subprocess_close(subprocess));
    CHECK_EQ(access(directory, F_OK), -1);
}

static void leave_a_group(void *unused)
{
    (void)unused;
    start_in_own(wait_for_signal);
    kill(getpid(), SIGKILL);
}

static unsigned kin_groups;

static void count_group(const char *parent, const char *name)
{
    (void)parent;
    kin_groups += strncmp(name, "kin-", 4) == 0 && strncmp(name, "kin-test", 8) != 0;
}

static unsigned count_groups(const char *parent)
{
    kin_groups = 0;
    CHECK_OK(kin__os_cgroup_each(parent, count_group));
    return kin_groups;
}

/* A killed program leaves its groups; the next one removes them. */
TEST(groups_of_the_dead_are_removed, .alone = true)
{
    char own[PATH_MAX];
    kin_process *first = start_in_own(idle);
    CHECK_OK(kin_process_join(first, KIN_FOREVER));
    CHECK_OK(kin_process_close(first));
    CHECK_OK(kin__os_cgroup_own(own, sizeof own));
    unsigned before = count_groups(own);
    int status = test_collect(test_child(leave_a_group, NULL));
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    if (count_groups(own) == before) SKIP("groups are made beside the caller's");
    /* What was in it has ended with its parent, and is over when its group can be removed. */
    kin_process *process = NULL;
    do {
        process = start_in_own(idle);
        CHECK_OK(kin_process_join(process, KIN_FOREVER));
        CHECK_OK(kin_process_close(process));
    } while (count_groups(own) > before);
}

/* ---- real want of memory --------------------------------------------------------------------------------- */

static int eat_memory(void *unused)
{
    size_t size = (size_t)512 << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)unused;
    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < size; i += 4096) memory[i] = 1;
    return 0;
}

TEST(want_of_memory_in_its_own_group_is_told)
{
    kin_process *process = NULL;
    kin_exit_status status;
    char text[200];
    const kin_limits limits = {.memory_max = 64 << 20};
    if (kin_process_start(&process, eat_memory, NULL, &(kin_process_options){.limits = &limits}) < 0)
        SKIP("%s", kin_process_error());
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_status(process, &status));
    kin_exit_status_text(&status, text, sizeof text);
    NOTE("%s", text);
    CHECK_EQ(status.death, KIN_DEATH_MEMORY);
    CHECK_EQ(status.limit, 64 << 20);
    CHECK_EQ(status.oom_kills, 1);
    CHECK_OK(kin_process_close(process));
}

static void lack_memory(void)
{
    kin_exit_status status;
    char text[200];
    kin_process *process = start(eat_memory, NULL);
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_status(process, &status));
    kin_exit_status_text(&status, text, sizeof text);
    CHECK_EQ(status.signal, SIGKILL);
    CHECK_EQ(status.death, KIN_DEATH_MEMORY_LIKELY);
    CHECK(strstr(text, "killed by SIGKILL: out of memory, it seems, after ") == text);
    CHECK_OK(kin_process_close(process));
    /* Killed by somebody else, while nobody lacked memory. */
    CHECK_EQ(kill_and_close(start(wait_for_signal, NULL)).death, KIN_DEATH_PLAIN);
}

static void in_old_group(void *unused)
{
    char directory[PATH_MAX + 64];
    (void)unused;
    if (!old_group_join(directory, 64 << 20)) _exit(77);
    lack_memory();
    old_group_leave(directory);
}

TEST(want_of_memory_in_a_shared_group_is_likely)
{
    if (test_sanitized()) SKIP("a sanitizer needs more memory than the group has");
    int status = test_collect(test_child(in_old_group, NULL));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) SKIP("there is no memory group of version 1 to use");
    CHECK_EQ(status, 0);
}
