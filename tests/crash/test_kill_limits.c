/* test_kill_limits.c: the process that starts a child with limits is killed, at every system call of
 * that: the child ends, whether it had set its limits or not. */
#define _GNU_SOURCE
#include "line.h"
#include "support/stepkill.h"
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kin/process.h>

static int wait_for_signal(void *unused)
{
    (void)unused;
    while (pause() < 0) continue;
    return 0;
}

static void start_and_end(void *unused)
{
    (void)unused;
    kin_process *process = NULL;
    const kin_resource_limit files = {RLIMIT_NOFILE, 100, 100};
    const kin_limits limits = {.resources = &files, .resource_count = 1, .nice = 1};
    kin_process_options options = {.limits = &limits, .process_group = KIN_OWN_GROUP, .cwd = "/"};
    CHECK_OK(kin_process_start(&process, wait_for_signal, NULL, &options));
    CHECK_OK(kin_process_kill(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_close(process));
}

TEST(a_limited_child_ends_with_its_parent_wherever_that_is_killed, .deadline = 120)
{
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_SYSCALLS,
                                                                .setup = line_make,
                                                                .operation = start_and_end,
                                                                .survive = line_see_it_ended,
                                                                .forks = true});
    CHECK_GT(report.points, 10);
}

__attribute__((noreturn)) static void kill_first_child_of(pid_t parent)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    for (;;) {
        int pid;
        FILE *file = fopen(path, "re");
        if (file == NULL) _exit(1);
        while (fscanf(file, "%d", &pid) == 1) {
            if (pid == getpid()) continue;
            kill(pid, SIGKILL);
            _exit(0);
        }
        fclose(file);
    }
}

/* The child, killed wherever it is while its parent waits for it to set its limits: the parent does
 * not wait for ever, and what it gets is a child that has ended or an error. */
TEST(a_child_that_is_killed_while_it_starts_is_told)
{
    const kin_limits limits = {.nice = 1};
    kin_process_options options = {.limits = &limits, .process_group = KIN_OWN_GROUP};
    for (int i = 0; i < 100; i++) {
        kin_process *process = NULL;
        kin_exit_status status;
        /* Forked before, it kills whatever child this process has first. */
        pid_t self = getpid(), killer = fork();
        if (killer == 0) kill_first_child_of(self);
        int rc = kin_process_start(&process, wait_for_signal, NULL, &options);
        if (rc == 0) {
            CHECK_OK(kin_process_join(process, KIN_FOREVER));
            CHECK_OK(kin_process_exit_status(process, &status));
            CHECK_EQ(status.signal, SIGKILL);
            CHECK_OK(kin_process_close(process));
        }
        CHECK_EQ(test_collect(killer), 0);
    }
}
