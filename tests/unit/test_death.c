/* test_death.c: how a process ended is told exactly, with what is known of the cause. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/process.h>
#include <kin/subprocess.h>

static kin_exit_status status_of(kin_process_function *function, void *argument, const kin_limits *limits)
{
    kin_process *process = NULL;
    kin_exit_status status;
    if (kin_process_start(&process, function, argument, &(kin_process_options){.limits = limits}) < 0)
        FAIL("%s", kin_process_error());
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_OK(kin_process_close(process));
    return status;
}

static const char *text_of(const kin_exit_status *status)
{
    static char text[200];
    int length = kin_exit_status_text(status, text, sizeof text);
    CHECK_EQ(length, strlen(text));
    return text;
}

static int return_code(void *code)
{
    return (int)(intptr_t)code;
}

static int die_by(void *signal)
{
    raise((int)(intptr_t)signal);
    return 0;
}

TEST(an_exit_is_told)
{
    kin_exit_status status = status_of(return_code, (void *)3, NULL);
    CHECK_EQ(status.kind, KIN_EXITED);
    CHECK_EQ(status.death, KIN_DEATH_PLAIN);
    CHECK_GT(status.elapsed_ns, 0);
    CHECK_GT(status.max_rss, 0);
    status.elapsed_ns = 1240000000;
    status.max_rss = 19200000;
    CHECK_STR(text_of(&status), "exited with 3, after 1.2 s, 19 MB");
}

TEST(a_signal_is_told)
{
    const kin_resource_limit core = {RLIMIT_CORE, 0, 0};
    const kin_limits limits = {.resources = &core, .resource_count = 1};
    kin_exit_status status = status_of(die_by, (void *)SIGABRT, &limits);
    status.elapsed_ns = status.max_rss = 0;
    CHECK_STR(text_of(&status), "killed by SIGABRT");
    status.core_dumped = true;
    CHECK_STR(text_of(&status), "killed by SIGABRT, core dumped");
    CHECK_STR(text_of(&(kin_exit_status){.kind = KIN_RUNNING}), "still running");
    CHECK_STR(text_of(&(kin_exit_status){.kind = KIN_UNKNOWN}), "ended; its status was collected elsewhere");
    char few[8];
    CHECK_EQ(kin_exit_status_text(&status, few, sizeof few), strlen("killed by SIGABRT, core dumped"));
    CHECK_STR(few, "killed ");
    CHECK_RC(kin_exit_status_text(NULL, few, sizeof few), -EINVAL);
    CHECK_RC(kin_exit_status_text(&status, NULL, 1), -EINVAL);
}

/* ---- limits ----------------------------------------------------------------------------------------- */

static int compute(void *unused)
{
    (void)unused;
    for (volatile unsigned long i = 1; i != 0; i++) continue;
    return 0;
}

static int compute_on(void *unused)
{
    signal(SIGXCPU, SIG_IGN);
    return compute(unused);
}

TEST(the_limit_of_processor_time_is_told, .alone = true)
{
    const kin_resource_limit second = {RLIMIT_CPU, 1, 5};
    const kin_limits limits = {.resources = &second, .resource_count = 1};
    kin_exit_status status = status_of(compute, NULL, &limits);
    CHECK_EQ(status.signal, SIGXCPU);
    CHECK_EQ(status.death, KIN_DEATH_CPU_TIME);
    CHECK_EQ(status.limit, 1);
    CHECK_GE(status.user_ns + status.system_ns, 500000000); /* the kernel counts ticks for the limit */
    CHECK(strstr(text_of(&status), "killed by SIGXCPU: limit of processor time (1 s), ") == text_of(&status));
}

TEST(the_hard_limit_of_processor_time_is_told)
{
    const kin_resource_limit second = {RLIMIT_CPU, 1, 1};
    const kin_limits limits = {.resources = &second, .resource_count = 1};
    kin_exit_status status = status_of(compute_on, NULL, &limits);
    CHECK_EQ(status.signal, SIGKILL);
    CHECK_EQ(status.death, KIN_DEATH_CPU_TIME);
    CHECK_EQ(status.limit, 1);
}

static int write_much(void *unused)
{
    (void)unused;
    char block[4096] = "";
    int file = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CHECK_GE(file, 0);
    for (int i = 0; i < 10 && write(file, block, sizeof block) == sizeof block; i++) continue;
    return 1;
}

TEST(the_limit_of_file_size_is_told)
{
    const kin_resource_limit size = {RLIMIT_FSIZE, 8192, 8192};
    const kin_limits limits = {.resources = &size, .resource_count = 1};
    kin_exit_status status = status_of(write_much, NULL, &limits);
    CHECK_EQ(status.signal, SIGXFSZ);
    CHECK_EQ(status.death, KIN_DEATH_FILE_SIZE);
    CHECK_EQ(status.limit, 8192);
    status.elapsed_ns = status.max_rss = 0;
    CHECK_STR(text_of(&status), "killed by SIGXFSZ: limit of file size (8192 bytes)");
}

TEST(a_limit_that_was_inherited_is_told)
{
    struct rlimit before, size = {8192, 8192};
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &before));
    size.rlim_max = before.rlim_max;
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &size));
    kin_exit_status status = status_of(write_much, NULL, NULL);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &before));
    CHECK_EQ(status.death, KIN_DEATH_FILE_SIZE);
    CHECK_EQ(status.limit, 8192);
}

TEST(the_death_of_a_command_is_told_too)
{
    const kin_resource_limit size = {RLIMIT_FSIZE, 4096, 4096};
    const kin_limits limits = {.resources = &size, .resource_count = 1};
    kin_completed done;
    CHECK_RC(kin_subprocess_run(
                 &done, KIN_COMMAND("dd", "if=/dev/zero", "of=much", "bs=8192", "count=1"),
                 &(kin_subprocess_options){.limits = &limits, .check = true, .capture_output = true},
                 KIN_FOREVER),
             KIN_ECOMMAND);
    unlink("much");
    CHECK_EQ(done.status.death, KIN_DEATH_FILE_SIZE);
    CHECK_EQ(done.status.limit, 4096);
    CHECK_STR(kin_subprocess_error(), "dd was killed by SIGXFSZ: limit of file size (4096 bytes)");
    kin_completed_free(&done);
}

TEST(memory_that_a_process_may_not_have_is_its_own_error)
{
    /* RLIMIT_AS fails allocations, and kills nobody. */
    const kin_resource_limit space = {RLIMIT_AS, 64 << 20, 64 << 20};
    const kin_limits limits = {.resources = &space, .resource_count = 1};
    kin_completed done;
    CHECK_OK(
        kin_subprocess_run(&done, KIN_COMMAND("dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"),
                           &(kin_subprocess_options){.limits = &limits,
                                                     .capture_output = true,
                                                     .env_changes = (const char *const[]){"LC_ALL=C", NULL}},
                           KIN_FOREVER));
    CHECK_EQ(done.exit_code, 1);
    CHECK_EQ(done.status.death, KIN_DEATH_PLAIN);
    CHECK(strstr(done.err, "memory exhausted") != NULL);
    kin_completed_free(&done);
}

static int end_with_lock(void *argument)
{
    CHECK_RC(kin_lock_acquire(argument, KIN_FOREVER), 0);
    raise(SIGKILL);
    return 0;
}

/* What kin has collected it remembers, for who finds what the dead one held. */
TEST(the_death_of_an_owner_is_told_that_was_joined_before)
{
    kin_lock *lock = NULL;
    kin_owner dead;
    CHECK_OK(kin_lock_open(&lock));
    for (int i = 0; i < 100; i++) {
        kin_process *process = NULL;
        CHECK_RC(kin_process_start(&process, end_with_lock, lock, NULL), 0);
        CHECK_RC(kin_process_join(process, KIN_FOREVER), 0);
        CHECK_RC(kin_lock_acquire(lock, KIN_NOW), KIN_OWNER_DIED);
        CHECK_RC(kin_lock_last_death(lock, &dead), 1);
        CHECK_EQ(dead.pid, kin_process_pid(process));
        CHECK_EQ(dead.end, KIN_SIGNALED);
        CHECK_EQ(dead.signal, SIGKILL);
        CHECK_OK(kin_lock_release(lock));
        CHECK_OK(kin_process_close(process));
    }
    CHECK_OK(kin_lock_close(lock));
}
