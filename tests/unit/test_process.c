/* test_process.c: starting children, waiting for them, learning how they ended. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/process.h>

static int return_code(void *code)
{
    return (int)(intptr_t)code;
}

static int run_for_ever(void *unused)
{
    (void)unused;
    while (pause() < 0)
        ;
    return 0;
}

static kin_process *start(kin_process_function *target, void *argument)
{
    kin_process *process = NULL;
    CHECK_OK(kin_process_start(&process, target, argument, NULL));
    CHECK(process != NULL);
    return process;
}

/* Waits for the end and gives the handle back; what Python calls exitcode. */
static int finish(kin_process *process)
{
    int code = -1000;
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_OK(kin_process_close(process));
    return code;
}

/* ---- a child's life ------------------------------------------------------------------------------- */

TEST(a_child_returns_its_code)
{
    CHECK_EQ(finish(start(return_code, (void *)0)), 0);
    CHECK_EQ(finish(start(return_code, (void *)7)), 7);
    CHECK_EQ(finish(start(return_code, (void *)(intptr_t)-1)), 255);
    CHECK_EQ(finish(start(return_code, (void *)256)), 0);
}

static int exit_with_five(void *unused)
{
    (void)unused;
    exit(5);
}

TEST(a_child_may_call_exit)
{
    CHECK_EQ(finish(start(exit_with_five, NULL)), 5);
}

TEST(a_running_child_is_seen_to_run)
{
    kin_process *process = start(run_for_ever, NULL);
    kin_exit_status status;
    int code;
    CHECK_RC(kin_process_is_alive(process), 1);
    CHECK_RC(kin_process_join(process, KIN_NOW), -ETIMEDOUT);
    kin_deadline deadline = kin_in_ms(5);
    CHECK_RC(kin_process_join(process, deadline), -ETIMEDOUT);
    CHECK_GE(kin_clock(), deadline);
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_EQ(status.kind, KIN_RUNNING);
    CHECK_RC(kin_process_exit_code(process, &code), -EBUSY);
    CHECK_RC(kin_process_close(process), -EBUSY);
    CHECK_GT(kin_process_pid(process), 1);
    CHECK_EQ(kill(kin_process_pid(process), 0), 0);
    CHECK_OK(kin_process_terminate(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_join(process, KIN_NOW));
    CHECK_RC(kin_process_is_alive(process), 0);
    CHECK_OK(kin_process_terminate(process));
    CHECK_OK(kin_process_kill(process));
    CHECK_EQ(finish(process), -SIGTERM);
}

TEST(a_killed_child_says_so)
{
    kin_process *process = start(run_for_ever, NULL);
    CHECK_OK(kin_process_kill(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    kin_exit_status status;
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_EQ(status.kind, KIN_SIGNALED);
    CHECK_EQ(status.signal, SIGKILL);
    CHECK_EQ(status.code, 0);
    CHECK_EQ(finish(process), -SIGKILL);
}

static int work(void *unused)
{
    (void)unused;
    size_t size = 32 << 20;
    char *memory = malloc(size);
    for (int round = 0; round < 20; round++) explicit_bzero(memory, size);
    free(memory);
    return 0;
}

TEST(what_a_child_used_is_told)
{
    kin_process *process = start(work, NULL);
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    kin_exit_status status;
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_EQ(status.kind, KIN_EXITED);
    CHECK_GE(status.max_rss, 32 << 20);
    CHECK_GT(status.user_ns + status.system_ns, 0);
    CHECK_EQ(finish(process), 0);
}

TEST(a_status_of_another_version_is_filled_as_far_as_it_goes)
{
    kin_process *process = start(return_code, (void *)9);
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    struct {
        kin_exit_status known;
        uint64_t later;
    } newer = {.later = 5};
    CHECK_OK(kin_process_exit_status_sized(process, &newer.known, sizeof newer));
    CHECK_EQ(newer.known.code, 9);
    CHECK_EQ(newer.later, 0);
    kin_exit_status older = {.signal = 77};
    CHECK_OK(kin_process_exit_status_sized(process, &older, offsetof(kin_exit_status, signal)));
    CHECK_EQ(older.code, 9);
    CHECK_EQ(older.signal, 77);
    CHECK_EQ(finish(process), 9);
}

/* ---- names and options ---------------------------------------------------------------------------- */

TEST(names_are_given_or_made)
{
    char long_name[65];
    memset(long_name, 'x', sizeof long_name);
    long_name[64] = '\0';
    kin_process *first = start(return_code, NULL), *second = start(return_code, NULL), *third = NULL;
    CHECK_STR(kin_process_name(first), "Process-1");
    CHECK_STR(kin_process_name(second), "Process-2");
    CHECK_EQ(kin_process_daemon(first), 0);
    CHECK_RC(kin_process_start(&third, return_code, NULL, &(kin_process_options){.name = long_name}),
             -EINVAL);
    CHECK(third == NULL);
    long_name[63] = '\0';
    char name[64];
    memcpy(name, long_name, sizeof name);
    CHECK_OK(
        kin_process_start(&third, return_code, NULL, &(kin_process_options){.name = name, .daemon = true}));
    memset(name, 'y', sizeof name);
    CHECK_STR(kin_process_name(third), long_name);
    CHECK_EQ(kin_process_daemon(third), 1);
    CHECK_EQ(finish(first), 0);
    CHECK_EQ(finish(second), 0);
    CHECK_EQ(finish(third), 0);
}

TEST(wrong_arguments_are_refused)
{
    static int data;
    kin_process *process = NULL;
    kin_exit_status status;
    int code;
    CHECK_RC(kin_process_start(NULL, return_code, NULL, NULL), -EINVAL);
    CHECK_RC(kin_process_start(&process, NULL, NULL, NULL), -EINVAL);
    CHECK_RC(kin_process_start(&process, (kin_process_function *)(uintptr_t)&data, NULL, NULL), KIN_ENOTCODE);
    CHECK_RC(kin_process_join(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_process_is_alive(NULL), -EINVAL);
    CHECK_RC(kin_process_terminate(NULL), -EINVAL);
    CHECK_RC(kin_process_kill(NULL), -EINVAL);
    CHECK_RC(kin_process_exit_status(NULL, &status), -EINVAL);
    CHECK_RC(kin_process_exit_code(NULL, &code), -EINVAL);
    CHECK_RC(kin_process_pid(NULL), -EINVAL);
    CHECK_RC(kin_process_daemon(NULL), -EINVAL);
    CHECK(kin_process_name(NULL) == NULL);
    CHECK_OK(kin_process_close(NULL));
    process = start(return_code, NULL);
    CHECK_RC(kin_process_exit_status(process, NULL), -EINVAL);
    CHECK_RC(kin_process_exit_code(process, NULL), -EINVAL);
    CHECK_EQ(finish(process), 0);
    CHECK_GE(kin_cpu_count(), 1);
}

/* ---- whose child it is ---------------------------------------------------------------------------- */

static kin_process *sibling;

static int ask_about_a_sibling(void *unused)
{
    (void)unused;
    kin_exit_status status;
    int code;
    CHECK_RC(kin_process_join(sibling, KIN_FOREVER), KIN_ENOTCHILD);
    CHECK_RC(kin_process_is_alive(sibling), KIN_ENOTCHILD);
    CHECK_RC(kin_process_terminate(sibling), KIN_ENOTCHILD);
    CHECK_RC(kin_process_kill(sibling), KIN_ENOTCHILD);
    CHECK_RC(kin_process_exit_status(sibling, &status), KIN_ENOTCHILD);
    CHECK_RC(kin_process_exit_code(sibling, &code), KIN_ENOTCHILD);
    CHECK_RC(kin_process_close(sibling), KIN_ENOTCHILD);
    /* Its own children are numbered from 1 again. */
    kin_process *own = start(return_code, (void *)3);
    CHECK_STR(kin_process_name(own), "Process-1");
    CHECK_EQ(finish(own), 3);
    return 0;
}

TEST(a_child_is_that_of_its_parent_only)
{
    sibling = start(run_for_ever, NULL);
    CHECK_EQ(finish(start(ask_about_a_sibling, NULL)), 0);
    CHECK_RC(kin_process_is_alive(sibling), 1);
    CHECK_OK(kin_process_kill(sibling));
    CHECK_EQ(finish(sibling), -SIGKILL);
}

static int leave_a_child(void *flag)
{
    kin_process *own = NULL;
    CHECK_OK(kin_process_start(&own, run_for_ever, NULL, &(kin_process_options){.daemon = true}));
    atomic_store((atomic_int *)flag, kin_process_pid(own));
    return 0;
}

TEST(a_child_ends_its_own_children_first)
{
    atomic_int *pid = test_shared(4096);
    CHECK_EQ(finish(start(leave_a_child, pid)), 0);
    CHECK_GT(*pid, 0);
    CHECK_EQ(kill(*pid, 0), -1);
}

/* ---- stdio ---------------------------------------------------------------------------------------- */

static int write_and_return(void *file)
{
    fputs("child\n", file);
    return 0;
}

static int write_beside_a_thread(void *file)
{
    fputs("thread's child\n", file);
    return 0;
}

static void check_contents(const char *path, const char *expected)
{
    char text[200] = "";
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    CHECK_STR(text, expected);
    CHECK_EQ(unlink(path), 0);
}

TEST(what_was_written_is_written_once)
{
    if (!__libc_single_threaded) SKIP("the program counts as one with threads");
    FILE *file = fopen("out", "ae");
    fputs("parent\n", file);
    CHECK_EQ(finish(start(write_and_return, file)), 0);
    fputs("parent again\n", file);
    fclose(file);
    check_contents("out", "parent\nchild\nparent again\n");
}

enum { TO_STDOUT = 1, TO_STDERR = 2 };

static void print_to(uintptr_t streams, const char *out, const char *error)
{
    if ((streams & TO_STDOUT) != 0) fputs(out, stdout);
    if ((streams & TO_STDERR) != 0) fputs(error, stderr);
}

static int print_and_return(void *streams)
{
    print_to((uintptr_t)streams, "child\n", "child's error\n");
    return 0;
}

/* No other stream than the standard ones has anything to be written. */
TEST(what_was_printed_is_printed_once)
{
    if (!__libc_single_threaded) SKIP("the program counts as one with threads");
    fflush(NULL);
    int file = open("out", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600), out = dup(1), err = dup(2);
    CHECK(file >= 0 && out >= 0 && err >= 0);
    CHECK_EQ(dup2(file, 1), 1);
    CHECK_EQ(dup2(file, 2), 2);
    static char buffers[2][4096];
    setvbuf(stdout, buffers[0], _IOFBF, sizeof buffers[0]);
    setvbuf(stderr, buffers[1], _IOFBF, sizeof buffers[1]);
    int code = 0;
    for (uintptr_t streams = TO_STDOUT; streams <= (TO_STDOUT | TO_STDERR); streams++) {
        print_to(streams, "parent\n", "parent's error\n");
        code |= finish(start(print_and_return, (void *)streams));
    }
    fputs("parent again\n", stdout);
    fflush(NULL);
    CHECK_EQ(dup2(out, 1), 1);
    CHECK_EQ(dup2(err, 2), 2);
    close(file);
    close(out);
    close(err);
    CHECK_EQ(code, 0);
    check_contents("out", "parent\nchild\nparent's error\nchild's error\n"
                          "parent's error\nparent\nchild's error\nchild\nparent again\n");
}

static void *read_a_line(void *file)
{
    char line[10];
    return fgets(line, sizeof line, file);
}

TEST(a_thread_that_reads_does_not_hold_up_a_start)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    FILE *input = fdopen(ends[0], "r"), *output = fopen("out", "ae");
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, read_a_line, input), 0);
    /* Until the reader has the stream's lock. */
    test_until(ftrylockfile(input) != 0 || (funlockfile(input), false));
    CHECK_EQ(finish(start(write_beside_a_thread, output)), 0);
    CHECK_EQ(write(ends[1], "x\n", 2), 2);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    fclose(output);
    fclose(input);
    close(ends[1]);
    check_contents("out", "thread's child\n");
}

/* ---- being a guest in a program ------------------------------------------------------------------- */

/* Not known, on a kernel that does not tell, or what it is. */
static void check_status_or_unknown(kin_process *process, int code)
{
    kin_exit_status status;
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_status(process, &status));
    if (status.kind == KIN_UNKNOWN)
        CHECK_EQ(finish(process), 255);
    else
        CHECK_EQ(finish(process), code);
}

TEST(a_program_that_collects_every_child_does_no_harm)
{
    kin_process *process = start(return_code, (void *)4);
    CHECK_EQ(test_collect(-1), 4 << 8);
    check_status_or_unknown(process, 4);
}

TEST(a_program_that_ignores_sigchld_does_no_harm)
{
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    for (int round = 0; round < 200; round++) check_status_or_unknown(start(return_code, (void *)6), 6);
}

TEST(signal_dispositions_stay_as_they_were)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0) continue;
        signal(number, SIG_DFL);
    }
    CHECK_EQ(finish(start(return_code, NULL)), 0);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0) continue;
        test_context("signal %d", number);
        CHECK_EQ(action.sa_handler, SIG_DFL);
    }
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK_EQ(sigisemptyset(&set), 1);
}

static int trace_me(void *unused)
{
    (void)unused;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    return 8;
}

TEST(a_traced_child_can_be_waited_for)
{
    kin_process *process = start(trace_me, NULL);
    int status, pid = kin_process_pid(process);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_RC(kin_process_join(process, KIN_NOW), -ETIMEDOUT);
    CHECK_EQ(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    CHECK_EQ(finish(process), 8);
}

/* How many children have ended and were not collected; each is looked at by its pid. */
static long zombies(void)
{
    long count = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    if (file == NULL) return -1;
    for (int pid; fscanf(file, "%d", &pid) == 1;) {
        siginfo_t info = {0};
        count += waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
    }
    fclose(file);
    return count;
}

TEST(zombies_do_not_pile_up)
{
    enum { MANY = 300 };
    static kin_process *processes[MANY];
    long most = 0;
    if (zombies() < 0) SKIP("this kernel does not list a task's children");
    for (int i = 0; i < MANY; i++) {
        processes[i] = start(return_code, (void *)(intptr_t)(i % 100));
        /* Waited for by nobody, only seen to have ended. */
        siginfo_t info;
        waitid(P_PID, (id_t)kin_process_pid(processes[i]), &info, WEXITED | WNOWAIT);
        long now = zombies();
        if (now > most) most = now;
    }
    CHECK_LE(most, 2);
    for (int i = 0; i < MANY; i++) CHECK_EQ(finish(processes[i]), i % 100);
}

/* ---- threads -------------------------------------------------------------------------------------- */

static void *join_it(void *process)
{
    return (void *)(intptr_t)kin_process_join(process, KIN_FOREVER);
}

TEST(several_threads_join_at_once)
{
    enum { THREADS = 8, ROUNDS = 30 };
    for (int round = 0; round < ROUNDS; round++) {
        kin_process *process = start(run_for_ever, NULL);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, join_it, process), 0);
        CHECK_OK(kin_process_kill(process));
        for (int i = 0; i < THREADS; i++) {
            void *rc = (void *)1;
            CHECK_EQ(pthread_join(threads[i], &rc), 0);
            CHECK_EQ((intptr_t)rc, 0);
        }
        CHECK_EQ(finish(process), -SIGKILL);
    }
}

static void *start_many(void *code)
{
    for (int i = 0; i < 40; i++) CHECK_EQ(finish(start(return_code, code)), (intptr_t)code);
    return NULL;
}

static void *fork_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 80; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        test_collect(pid);
    }
    return NULL;
}

TEST(several_threads_start_and_fork_at_once)
{
    pthread_t threads[5];
    for (intptr_t i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, start_many, (void *)(i + 1)), 0);
    CHECK_EQ(pthread_create(&threads[4], NULL, fork_many, NULL), 0);
    for (int i = 0; i < 5; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static atomic_int interrupted;

static void note_interrupt(int signal)
{
    (void)signal;
    atomic_fetch_add(&interrupted, 1);
}

struct interrupting {
    pthread_t thread;
    kin_process *process;
};

static void *interrupt(void *context)
{
    struct interrupting *interrupting = context;
    for (int i = 0; i < 50; i++) {
        pthread_kill(interrupting->thread, SIGUSR1);
        test_until(atomic_load(&interrupted) > i);
    }
    CHECK_OK(kin_process_kill(interrupting->process));
    return NULL;
}

TEST(a_join_goes_on_after_signals)
{
    struct sigaction action = {.sa_handler = note_interrupt};
    sigaction(SIGUSR1, &action, NULL);
    struct interrupting interrupting = {.thread = pthread_self(), .process = start(run_for_ever, NULL)};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, interrupt, &interrupting), 0);
    CHECK_OK(kin_process_join(interrupting.process, KIN_FOREVER));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(interrupted, 50);
    CHECK_EQ(finish(interrupting.process), -SIGKILL);
}

/* ---- cost ----------------------------------------------------------------------------------------- */

static long faults_now(void)
{
    struct rusage own, children;
    CHECK_OK(getrusage(RUSAGE_SELF, &own));
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &children));
    return own.ru_minflt + children.ru_minflt;
}

static int by_value(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* A page fault is what a start costs beside the fork itself; bench/process has the times. */
TEST(a_start_costs_few_page_faults_more_than_a_fork)
{
    enum { ROUNDS = 100 };
    static long raw[ROUNDS], kin[ROUNDS];
    if (test_sanitized()) SKIP("a sanitizer's fork is not the one to compare with");
    for (int i = 0; i < ROUNDS; i++) {
        long before = faults_now();
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        test_collect(pid);
        raw[i] = faults_now() - before;
        before = faults_now();
        CHECK_EQ(finish(start(return_code, NULL)), 0);
        kin[i] = faults_now() - before;
    }
    qsort(raw, ROUNDS, sizeof *raw, by_value);
    qsort(kin, ROUNDS, sizeof *kin, by_value);
    NOTE("start and join: %ld page faults, fork and waitpid: %ld", kin[ROUNDS / 2], raw[ROUNDS / 2]);
    CHECK_GT(raw[ROUNDS / 2], 0);
    CHECK_LE(kin[ROUNDS / 2], 2 * raw[ROUNDS / 2]);
}
