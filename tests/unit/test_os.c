/* test_os.c: the calls of os.h that are not about memory. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "os/processes.h"
#include "os/program.h"

/* Enough memory that the kernel has noticed, whatever it counts in. */
#define TOUCHED (16 << 20)

/* ---- faults --------------------------------------------------------------------------------------- */

TEST(the_nth_call_of_a_kind_fails)
{
    kin__os_fault_set(KIN__FAULT_MEMORY, 2, ENOMEM, false);
    void *first = kin__os_malloc(1), *second = kin__os_malloc(1), *third = kin__os_calloc(1, 1);
    CHECK(first != NULL);
    CHECK(second == NULL);
    CHECK(third != NULL);
    CHECK_EQ(kin__os_fault_calls(), 3);
    kin__os_fault_set(KIN__FAULT_MEMORY, 0, 0, false);
    kin__os_free(first);
    kin__os_free(third);
    kin__os_fault_set(KIN__FAULT_KINDS, 1, EMFILE, true);
    CHECK_RC(kin__os_event_make(), -EMFILE);
    CHECK_RC(kin__os_fork(), -EMFILE);
    CHECK(kin__os_malloc(1) == NULL);
    kin__os_fault_set(KIN__FAULT_KINDS, 0, 0, false);
    int event = kin__os_event_make();
    CHECK_OK(event);
    CHECK_OK(kin__os_close(event));
}

TEST(a_fault_is_for_one_process)
{
    kin__os_fault_set(KIN__FAULT_MEMORY, 1, ENOMEM, true);
    int pid = kin__os_fork();
    if (pid == 0) kin__os_exit_now(kin__os_malloc(1) != NULL ? 0 : 1);
    CHECK(kin__os_malloc(1) == NULL);
    kin__os_fault_set(KIN__FAULT_MEMORY, 0, 0, false);
    CHECK_EQ(test_collect(pid), 0);
}

/* ---- time and futexes ----------------------------------------------------------------------------- */

TEST(a_sleep_lasts_until_its_deadline)
{
    kin_deadline deadline = kin_in_ms(20);
    while (kin__os_clock() < deadline) kin__os_sleep_until(deadline);
    kin__os_sleep_until(KIN_NOW);
    kin__os_sleep_until(-5);
    deadline = kin__os_clock();
    CHECK_GE(kin__os_boot_clock(), deadline);
}

TEST(a_futex_wait_ends_as_it_says)
{
    _Atomic uint32_t *word = test_shared(4096);
    CHECK_RC(kin__os_futex_wait(word, 1, KIN_FOREVER), -EAGAIN);
    CHECK_RC(kin__os_futex_wait(word, 0, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin__os_futex_wait(word, 0, -1), -ETIMEDOUT);
    kin_deadline deadline = kin_in_ms(5);
    CHECK_RC(kin__os_futex_wait(word, 0, deadline), -ETIMEDOUT);
    CHECK_GE(kin__os_clock(), deadline);
    CHECK_RC(kin__os_futex_wake(word, 1), 0);
}

static void sleep_on(void *word)
{
    CHECK_OK(kin__os_futex_wait(word, 0, KIN_FOREVER));
}

TEST(a_futex_wake_reaches_other_processes)
{
    _Atomic uint32_t *word = test_shared(4096);
    pid_t first = test_child(sleep_on, (void *)word), second = test_child(sleep_on, (void *)word);
    int woken = 0;
    test_until((woken += kin__os_futex_wake(word, 1)) == 2);
    CHECK_EQ(test_collect(first), 0);
    CHECK_EQ(test_collect(second), 0);
}

TEST(the_robust_list_is_the_one_of_libc)
{
    struct kin__robust_list *list = NULL;
    CHECK_OK(kin__os_robust_list(&list));
    CHECK(list->next != NULL);
    CHECK_LT(list->offset, 0);
    pthread_mutex_t mutex;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex, &attributes);
    void *before = list->next;
    pthread_mutex_lock(&mutex);
    CHECK_EQ((char *)list->next + list->offset, (char *)&mutex);
    pthread_mutex_unlock(&mutex);
    CHECK_EQ(list->next, before);
}

/* ---- descriptors ---------------------------------------------------------------------------------- */

TEST(an_event_is_ready_while_it_is_set)
{
    int event = kin__os_event_make();
    CHECK_OK(event);
    CHECK_EQ(fcntl(event, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_OK(kin__os_set_inherit(event, true));
    CHECK_EQ(fcntl(event, F_GETFD) & FD_CLOEXEC, 0);
    CHECK_OK(kin__os_set_inherit(event, false));
    struct kin__poll items[3] = {{.descriptor = -1}, {.descriptor = event}, {.descriptor = -1}};
    CHECK_RC(kin__os_poll(items, 3, KIN_NOW), 0);
    CHECK(!items[1].ready);
    for (int i = 0; i < 3; i++) CHECK_OK(kin__os_event_set(event));
    CHECK_RC(kin__os_poll(items, 3, KIN_FOREVER), 1);
    CHECK(!items[0].ready && items[1].ready && !items[2].ready);
    CHECK_OK(kin__os_event_clear(event));
    CHECK_OK(kin__os_event_clear(event));
    kin_deadline deadline = kin_in_ms(5);
    CHECK_RC(kin__os_poll(items, 3, deadline), 0);
    CHECK_GE(kin__os_clock(), deadline);
    CHECK_OK(kin__os_close(event));
    CHECK_RC(kin__os_poll(items, 3, KIN_FOREVER), -EBADF);
}

TEST(many_descriptors_are_polled_at_once)
{
    enum { MANY = 200 };
    struct kin__poll items[MANY] = {0};
    for (int i = 0; i < MANY; i++) {
        items[i].descriptor = kin__os_event_make();
        CHECK_OK(items[i].descriptor);
        if (i % 3 == 0) CHECK_OK(kin__os_event_set(items[i].descriptor));
    }
    CHECK_RC(kin__os_poll(items, MANY, KIN_FOREVER), 67);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(items[i].ready, i % 3 == 0);
        CHECK_OK(kin__os_close(items[i].descriptor));
    }
}

/* ---- what can be read about the system ------------------------------------------------------------ */

TEST(the_boot_and_the_namespace_have_identities)
{
    uint8_t id[16] = {0}, again[16] = {0}, zero[16] = {0};
    CHECK_OK(kin__os_boot_id(id));
    CHECK_OK(kin__os_boot_id(again));
    CHECK_MEM(id, again, 16);
    CHECK(memcmp(id, zero, 16) != 0);
    uint64_t inode = 0;
    CHECK_OK(kin__os_pid_namespace(&inode));
    CHECK_NE(inode, 0);
    CHECK_GE(kin__os_oom_kills(), -ENOENT);
    CHECK_EQ(kin__os_pid(), getpid());
    CHECK_EQ(kin__os_thread_id(), getpid());
    CHECK_EQ(kin__os_parent_pid(), getppid());
}

static void on_one_processor(void *unused)
{
    (void)unused;
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    int first = 0;
    while (!CPU_ISSET(first, &set)) first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    CHECK_EQ(kin__os_cpu_count(), 1);
}

TEST(the_affinity_mask_counts)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    CHECK_LE(kin__os_cpu_count(), CPU_COUNT(&set));
    CHECK_EQ(test_collect(test_child(on_one_processor, NULL)), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
}

TEST(the_least_quota_of_the_groups_above_counts)
{
    const char *paths[] = {"g/cpu.max",
                           "g/a/cpu.max",
                           "g/a/b/cpu.max",
                           "g/a/cpu.cfs_quota_us",
                           "g/a/cpu.cfs_period_us",
                           "g/a/b/cpu.cfs_quota_us"};
    CHECK_EQ(mkdir("g", 0700) | mkdir("g/a", 0700) | mkdir("g/a/b", 0700), 0);
    CHECK_EQ(kin__os_cpu_quota("g", "/a/b", true), 0);
    write_file(paths[0], "600000 100000\n");
    write_file(paths[1], "150000 100000\n");
    write_file(paths[2], "max 100000\n");
    CHECK_EQ(kin__os_cpu_quota("g", "/a/b", true), 2);
    CHECK_EQ(kin__os_cpu_quota("g", "", true), 6);
    CHECK_EQ(kin__os_cpu_quota("g", "/a/b/gone", true), 2);
    CHECK_EQ(kin__os_cpu_quota("g", "/a/b", false), 0);
    write_file(paths[3], "300000\n");
    write_file(paths[4], "100000\n");
    write_file(paths[5], "-1\n");
    CHECK_EQ(kin__os_cpu_quota("g", "/a/b", false), 3);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) CHECK_EQ(unlink(paths[i]), 0);
    CHECK_EQ(rmdir("g/a/b") | rmdir("g/a") | rmdir("g"), 0);
}

TEST(code_is_told_from_data)
{
    static int variable;
    int local = 0;
    void *allocated = malloc(16);
    CHECK_EQ(kin__os_is_code((const void *)(uintptr_t)on_one_processor), 1);
    CHECK_EQ(kin__os_is_code((const void *)(uintptr_t)on_one_processor), 1);
    CHECK_EQ(kin__os_is_code((const void *)(uintptr_t)getpid), 1);
    CHECK_EQ(kin__os_is_code(&variable), 0);
    CHECK_EQ(kin__os_is_code(&local), 0);
    CHECK_EQ(kin__os_is_code(allocated), 0);
    CHECK_EQ(kin__os_is_code(NULL), 0);
    CHECK_EQ(kin__os_is_code((void *)8), 0);
    free(allocated);
}

/* ---- processes ------------------------------------------------------------------------------------ */

static char state_of(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) return '?';
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    return strrchr(text, ')')[2];
}

static void wait_for_end(int descriptor)
{
    struct kin__poll item = {.descriptor = descriptor};
    CHECK_RC(kin__os_poll(&item, 1, KIN_FOREVER), 1);
}

TEST(a_child_is_collected_by_its_descriptor)
{
    int pid = kin__os_fork();
    CHECK_OK(pid);
    if (pid == 0) {
        explicit_bzero(malloc(TOUCHED), TOUCHED);
        raise(SIGSTOP);
        for (;;) pause();
    }
    int descriptor = kin__os_process_open(pid);
    CHECK_OK(descriptor);
    CHECK_EQ(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    kin_exit_status status;
    CHECK_RC(kin__os_process_collect(descriptor, &status), -EAGAIN);
    test_until(state_of(pid) == 'T');
    CHECK_RC(kin__os_process_collect(descriptor, &status), -EAGAIN);
    CHECK_OK(kin__os_process_signal(descriptor, SIGUSR1));
    CHECK_OK(kin__os_process_signal(descriptor, SIGCONT));
    wait_for_end(descriptor);
    CHECK_OK(kin__os_process_signal(descriptor, SIGKILL));
    CHECK_OK(kin__os_process_collect(descriptor, &status));
    CHECK_EQ(status.kind, KIN_SIGNALED);
    CHECK_EQ(status.signal, SIGUSR1);
    CHECK_GE(status.max_rss, TOUCHED);
    CHECK_GT(status.user_ns + status.system_ns, 0);
    CHECK_RC(kin__os_process_signal(descriptor, SIGKILL), -ESRCH);
    CHECK_RC(kin__os_process_open(pid), -ESRCH);
    CHECK_OK(kin__os_close(descriptor));
}

TEST(an_abandoned_child_is_gone)
{
    int pid = kin__os_fork();
    if (pid == 0)
        for (;;) pause();
    kin__os_process_abandon(pid);
    CHECK_EQ(waitpid(pid, NULL, 0), -1);
}

/* Lets every call of one number fail with `error`, in this process and its children. */
static void forbid(int number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* A child that somebody else has collected, and what can be learnt of it. */
static int status_of_collected(int code, kin_exit_status *status)
{
    int pid = kin__os_fork();
    if (pid == 0) kin__os_exit_now(code);
    int descriptor = kin__os_process_open(pid);
    CHECK_OK(descriptor);
    CHECK_EQ(test_collect(pid), code << 8);
    int rc = kin__os_process_collect(descriptor, status);
    CHECK_OK(kin__os_close(descriptor));
    return rc;
}

TEST(the_kernel_tells_of_a_child_collected_by_others)
{
    kin_exit_status status;
    int rc = status_of_collected(7, &status);
    if (rc == -ECHILD) SKIP("this kernel does not tell (PIDFD_GET_INFO is of 6.15)");
    CHECK_OK(rc);
    CHECK_EQ(status.kind, KIN_EXITED);
    CHECK_EQ(status.code, 7);
}

static void kernel_that_does_not_tell(void *unused)
{
    (void)unused;
    kin_exit_status status;
    forbid(SYS_ioctl, ENOTTY);
    CHECK_RC(status_of_collected(7, &status), -ECHILD);
}

TEST(an_older_kernel_does_not_tell)
{
    CHECK_EQ(test_collect(test_child(kernel_that_does_not_tell, NULL)), 0);
}

static void kernel_without_calls(void *unused)
{
    (void)unused;
    forbid(SYS_memfd_create, ENOSYS);
    forbid(SYS_pidfd_open, ENOSYS);
    forbid(SYS_get_robust_list, ENOSYS);
    struct kin__robust_list *list;
    CHECK_RC(kin__os_memory_create("test", 4096), -ENOSYS);
    CHECK_RC(kin__os_process_open(getpid()), -ENOSYS);
    CHECK_RC(kin__os_robust_list(&list), -ENOSYS);
}

TEST(a_kernel_without_a_call_is_an_error_at_once)
{
    CHECK_EQ(test_collect(test_child(kernel_without_calls, NULL)), 0);
}

/* ---- is it gone? ---------------------------------------------------------------------------------- */

TEST(a_process_is_gone_when_it_is_dead_or_another)
{
    int64_t now = kin__os_boot_clock();
    CHECK_RC(kin__os_process_gone(getpid(), now), 0);
    int pid = kin__os_fork();
    if (pid == 0)
        for (;;) pause();
    int64_t since = kin__os_boot_clock();
    CHECK_RC(kin__os_process_gone(pid, since), 0);
    /* A process of long ago can only have been another one with that pid. */
    CHECK_RC(kin__os_process_gone(pid, 1), 1);
    int descriptor = kin__os_process_open(pid);
    kin__os_process_signal(descriptor, SIGKILL);
    wait_for_end(descriptor);
    CHECK_RC(kin__os_process_gone(pid, since), 1);
    test_collect(pid);
    CHECK_RC(kin__os_process_gone(pid, since), 1);
    CHECK_RC(kin__os_process_gone(0, since), 0);
    CHECK_RC(kin__os_process_gone(-1, since), 0);
    CHECK_OK(kin__os_close(descriptor));
}

static void *go_on_alone(void *flag)
{
    while (atomic_load((atomic_int *)flag) == 0) kin__os_sleep_until(kin_in_ms(1));
    _exit(0);
}

static void end_the_first_thread(void *flag)
{
    pthread_t thread;
    pthread_create(&thread, NULL, go_on_alone, flag);
    pthread_exit(NULL);
}

TEST(a_process_lives_on_after_its_first_thread)
{
    atomic_int *flag = test_shared(4096);
    pid_t pid = test_child(end_the_first_thread, flag);
    test_until(state_of(pid) == 'Z');
    CHECK_RC(kin__os_process_gone(pid, kin__os_boot_clock()), 0);
    atomic_store(flag, 1);
    CHECK_EQ(test_collect(pid), 0);
}
