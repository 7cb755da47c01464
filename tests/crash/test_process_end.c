/* test_process_end.c: children end when their parent ends, however that ends, and not before. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/process.h>

#include "os/os.h"
#include "process/fork.h"
#include "support/faults.h"

extern char **environ;

/* What the processes of a case tell each other. */
static struct {
    atomic_int child; /* pid, once it runs */
    atomic_int grandchild;
    atomic_int stranger; /* a process that is not kin's */
    atomic_int release;
    atomic_int terminated;
} * shared;

static void share(void)
{
    shared = test_shared(sizeof *shared);
}

static int run_for_ever(void *pid)
{
    if (pid != NULL) atomic_store((atomic_int *)pid, getpid());
    while (pause() < 0)
        ;
    return 0;
}

static kin_process *start(kin_process_function *target, void *argument)
{
    kin_process *process = NULL;
    CHECK_OK(kin_process_start(&process, target, argument, NULL));
    return process;
}

static void until_gone(int pid)
{
    CHECK_GT(pid, 0);
    test_until(kill(pid, 0) < 0 && errno == ESRCH);
}

/* The case collects what its children leave behind, so that a zombie is not taken for alive. */
static void adopt(void)
{
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
}

static void collect_adopted(int pid)
{
    int status = test_collect(pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}

/* ---- the parent's ends ---------------------------------------------------------------------------- */

static int parent_of_one(void *unused)
{
    (void)unused;
    start(run_for_ever, &shared->grandchild);
    return run_for_ever(&shared->child);
}

TEST(a_killed_parent_takes_its_children_with_it)
{
    share();
    adopt();
    kin_process *child = start(parent_of_one, NULL);
    test_until(shared->child > 0 && shared->grandchild > 0);
    CHECK_OK(kin_process_kill(child));
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_close(child));
    collect_adopted(shared->grandchild);
}

static int parent_that_execs(void *unused)
{
    (void)unused;
    start(run_for_ever, &shared->grandchild);
    test_until(shared->grandchild > 0);
    execl("/bin/sleep", "sleep", "1000", NULL);
    return 1;
}

TEST(a_parent_that_execs_takes_its_children_with_it)
{
    share();
    adopt();
    kin_process *child = start(parent_that_execs, NULL);
    test_until(shared->grandchild > 0);
    /* Its parent lives on, as another program, and collects nothing. */
    test_until(kin__os_process_gone(shared->grandchild, kin__os_boot_clock()) == 1);
    CHECK_RC(kin_process_is_alive(child), 1);
    CHECK_OK(kin_process_kill(child));
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_close(child));
    test_collect(shared->grandchild);
}

static void quit_at_once(void *unused)
{
    (void)unused;
    start(run_for_ever, &shared->grandchild);
    test_until(shared->grandchild > 0);
    _exit(3);
}

TEST(a_parent_that_exits_without_handlers_takes_its_children_with_it)
{
    share();
    adopt();
    CHECK_EQ(WEXITSTATUS(test_collect(test_child(quit_at_once, NULL))), 3);
    collect_adopted(shared->grandchild);
}

TEST(a_parent_killed_while_starting_leaves_nobody, .deadline = 120)
{
    adopt();
    unsigned seed = 1;
    for (int round = 0; round < 200; round++) {
        pid_t parent = fork();
        CHECK_OK(parent);
        if (parent == 0)
            for (;;) start(run_for_ever, NULL);
        kin_deadline later = kin_in_ns(rand_r(&seed) % 3000000);
        while (kin_clock() < later) kin__os_sleep_until(later);
        kill(parent, SIGKILL);
        test_context("round %d", round);
        /* Everybody it left comes to us, and everybody ends. */
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
            ;
        CHECK_EQ(errno, ECHILD);
    }
}

/* ---- what is no end of the parent ----------------------------------------------------------------- */

static void *start_in_a_thread(void *unused)
{
    (void)unused;
    return start(run_for_ever, &shared->child);
}

TEST(the_end_of_the_forking_thread_is_not_that_of_the_parent)
{
    share();
    pthread_t thread;
    void *child = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, start_in_a_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, &child), 0);
    test_until(shared->child > 0);
    CHECK_RC(kin_process_join(child, kin_in_ms(50)), -ETIMEDOUT);
    CHECK_OK(kin_process_kill(child));
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_close(child));
}

static int child_of_the_first_thread(void *unused)
{
    (void)unused;
    atomic_store(&shared->child, getpid());
    test_until(shared->release);
    return 9;
}

static void *join_in_a_thread(void *child)
{
    int code = 0;
    atomic_store(&shared->stranger, 1);
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(child, &code));
    _exit(code);
}

static void end_first_thread(void *unused)
{
    (void)unused;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, join_in_a_thread, start(child_of_the_first_thread, NULL)), 0);
    pthread_exit(NULL);
}

static bool first_thread_has_ended(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[2] == 'Z';
}

TEST(the_end_of_the_first_thread_is_not_that_of_the_parent)
{
    share();
    pid_t parent = test_child(end_first_thread, NULL);
    test_until(shared->child > 0 && shared->stranger && first_thread_has_ended(parent));
    CHECK_EQ(kill(shared->child, 0), 0);
    atomic_store(&shared->release, 1);
    CHECK_EQ(WEXITSTATUS(test_collect(parent)), 9);
}

/* ---- other children of the parent do not keep kin's alive ----------------------------------------- */

static void parent_of_strangers(void *how)
{
    start(run_for_ever, &shared->child);
    char *const words[] = {"sleep", "1000", NULL};
    pid_t stranger = 0;
    switch (*(const char *)how) {
    case 'f':
        stranger = fork();
        if (stranger == 0) run_for_ever(NULL);
        break;
    case 'e':
        stranger = fork();
        if (stranger == 0) {
            execv("/bin/sleep", words);
            _exit(1);
        }
        break;
    default: CHECK_EQ(posix_spawn(&stranger, "/bin/sleep", NULL, NULL, words, environ), 0);
    }
    atomic_store(&shared->stranger, stranger);
    run_for_ever(NULL);
}

static void strangers(char *how)
{
    share();
    adopt();
    pid_t parent = test_child(parent_of_strangers, how);
    test_until(shared->stranger > 0 && shared->child > 0);
    test_kill(parent);
    collect_adopted(shared->child);
    CHECK_EQ(kill(shared->stranger, 0), 0);
    test_kill(shared->stranger);
}

TEST(a_forked_stranger_does_not_keep_the_line)
{
    strangers("fork");
}

TEST(an_executed_stranger_does_not_keep_the_line)
{
    strangers("exec");
}

TEST(a_spawned_stranger_does_not_keep_the_line)
{
    strangers("spawn");
}

static void *fork_strangers(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++) {
        pid_t stranger = fork();
        if (stranger == 0) run_for_ever(NULL);
    }
    return NULL;
}

static void start_beside_forks(void *unused)
{
    (void)unused;
    pthread_t thread;
    pthread_create(&thread, NULL, fork_strangers, NULL);
    start(run_for_ever, &shared->child);
    pthread_join(thread, NULL);
    test_until(shared->child > 0);
}

TEST(a_fork_during_the_first_start_does_not_keep_the_line, .deadline = 120)
{
    adopt();
    for (int round = 0; round < 50; round++) {
        share();
        CHECK_EQ(test_collect(test_child(start_beside_forks, NULL)), 0);
        collect_adopted(shared->child);
        int left = 0;
        for (int status; left < 10; left++) {
            /* The strangers live on; they are the case's now. */
            CHECK_RC(waitpid(-1, &status, WNOHANG), 0);
            FILE *file = fopen("/proc/thread-self/children", "re");
            int pid = 0;
            CHECK_EQ(fscanf(file, "%d", &pid), 1);
            fclose(file);
            test_kill(pid);
        }
        CHECK_EQ(left, 10);
    }
}

/* ---- the parent exits normally -------------------------------------------------------------------- */

static void note_termination(int signal)
{
    (void)signal;
    atomic_fetch_add(&shared->terminated, 1);
    _exit(0);
}

static int daemon_that_listens(void *unused)
{
    (void)unused;
    signal(SIGTERM, note_termination);
    return run_for_ever(&shared->child);
}

static int daemon_that_does_not(void *unused)
{
    (void)unused;
    signal(SIGTERM, SIG_IGN);
    return run_for_ever(&shared->grandchild);
}

static int work_for_a_while(void *unused)
{
    (void)unused;
    atomic_store(&shared->stranger, getpid());
    kin_deadline later = kin_in_ms(50);
    while (kin_clock() < later) kin__os_sleep_until(later);
    atomic_store(&shared->release, 1);
    return 0;
}

static void exit_with_children(void *unused)
{
    (void)unused;
    kin_process *ignored;
    kin_process_options daemon = {.daemon = true};
    CHECK_OK(kin_process_start(&ignored, daemon_that_listens, NULL, &daemon));
    CHECK_OK(kin_process_start(&ignored, daemon_that_does_not, NULL, &daemon));
    CHECK_OK(kin_process_start(&ignored, work_for_a_while, NULL, NULL));
    test_until(shared->child > 0 && shared->grandchild > 0);
    exit(4);
}

TEST(at_exit_daemons_are_ended_and_others_waited_for)
{
    adopt();
    /* A daemon that gets no processor in its time is killed before it can end by itself. */
    do {
        share();
        CHECK_EQ(WEXITSTATUS(test_collect(test_child(exit_with_children, NULL))), 4);
        CHECK_EQ(shared->release, 1);
        until_gone(shared->child);
        until_gone(shared->grandchild);
        until_gone(shared->stranger);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    } while (shared->terminated == 0);
    CHECK_EQ(shared->terminated, 1);
}

static void fork_and_exit(void *unused)
{
    (void)unused;
    kin_process *child = start(run_for_ever, &shared->child);
    pid_t stranger = fork();
    /* Not its child: neither ended nor waited for. */
    if (stranger == 0) exit(0);
    CHECK_EQ(test_collect(stranger), 0);
    CHECK_RC(kin_process_is_alive(child), 1);
    CHECK_OK(kin_process_kill(child));
}

TEST(a_forked_process_that_exits_leaves_its_parents_children_alone)
{
    share();
    CHECK_EQ(test_collect(test_child(fork_and_exit, NULL)), 0);
}

/* ---- lines that go wrong -------------------------------------------------------------------------- */

static void close_everything(void *unused)
{
    (void)unused;
    start(run_for_ever, &shared->child);
    test_until(shared->child > 0);
    for (int descriptor = 3; descriptor < 100; descriptor++) close(descriptor);
    /* Its line was closed, which ends the child; the next start makes another. */
    test_collect(shared->child);
    int code = 0;
    kin_process *next = start(run_for_ever, NULL);
    /* A descriptor of the program's own with an old number of ours is left alone by forks. */
    CHECK_OK(kin_process_kill(next));
    CHECK_OK(kin_process_join(next, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(next, &code));
    CHECK_EQ(code, -SIGKILL);
    _exit(0);
}

TEST(a_program_that_closes_every_descriptor_can_go_on)
{
    share();
    CHECK_EQ(test_collect(test_child(close_everything, NULL)), 0);
}

static void reuse_the_number(void *unused)
{
    (void)unused;
    int before[2], after[2];
    CHECK_EQ(pipe(before), 0);
    int code = 0;
    kin_process *first = start(work_for_a_while, NULL);
    CHECK_OK(kin_process_join(first, KIN_FOREVER));
    for (int descriptor = before[1] + 1; descriptor < 100; descriptor++) close(descriptor);
    CHECK_EQ(pipe(after), 0);
    pid_t stranger = fork();
    if (stranger == 0) _exit(write(after[1], "x", 1) == 1 && read(after[0], &code, 1) == 1 ? 0 : 1);
    CHECK_EQ(test_collect(stranger), 0);
    _exit(0);
}

TEST(a_descriptor_with_an_old_number_of_ours_is_left_alone)
{
    share();
    CHECK_EQ(test_collect(test_child(reuse_the_number, NULL)), 0);
}

static void change_user(void *unused)
{
    (void)unused;
    start(run_for_ever, &shared->child);
    CHECK_EQ(setgid(65534), 0);
    CHECK_EQ(setuid(65534), 0);
    start(run_for_ever, &shared->grandchild);
    test_until(shared->child > 0 && shared->grandchild > 0);
    _exit(0);
}

TEST(a_parent_that_changes_its_user_keeps_its_line)
{
    if (geteuid() != 0) SKIP("only root can change its user");
    share();
    adopt();
    CHECK_EQ(test_collect(test_child(change_user, NULL)), 0);
    collect_adopted(shared->child);
    collect_adopted(shared->grandchild);
}

static void without_proc(void *unused)
{
    (void)unused;
    kin_process *process = NULL;
    if (unshare(CLONE_NEWNS) != 0) _exit(77);
    CHECK_EQ(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount("none", "/proc", "tmpfs", 0, NULL), 0);
    CHECK_RC(kin_process_start(&process, run_for_ever, NULL, NULL), -ENOENT);
    CHECK(process == NULL);
    CHECK_EQ(waitpid(-1, NULL, 0), -1);
    _exit(0);
}

TEST(without_proc_a_start_is_refused)
{
    int status = test_collect(test_child(without_proc, NULL));
    if (WEXITSTATUS(status) == 77) SKIP("no mount namespace can be made here");
    CHECK_EQ(status, 0);
}

/* ---- nothing to be had ---------------------------------------------------------------------------- */

static int note_that_it_ran(void *unused)
{
    (void)unused;
    atomic_store(&shared->child, 1);
    return run_for_ever(NULL);
}

static int make_process(void *process)
{
    atomic_store(&shared->child, 0);
    int rc = kin_process_start(process, note_that_it_ran, NULL, NULL);
    if (rc < 0) CHECK_EQ(shared->child, 0);
    return rc;
}

static int unmake_process(void *process)
{
    kin_process *made = *(kin_process **)process;
    CHECK_OK(kin_process_kill(made));
    CHECK_OK(kin_process_join(made, KIN_FOREVER));
    return kin_process_close(made);
}

TEST(a_start_under_faults_leaves_nothing)
{
    share();
    kin_process *process = NULL;
    unsigned kinds = 1 << KIN__FAULT_MEMORY | 1 << KIN__FAULT_FORK | 1 << KIN__FAULT_DESCRIPTOR;
    struct faults_report report = faults(&(struct faults){
        .make = make_process, .unmake = unmake_process, .context = &process, .kinds = kinds});
    CHECK_GE(report.failures, 4);
    NOTE("%u calls made to fail, %u starts failed", report.injected, report.failures);
}

static void with_few_descriptors(void *unused)
{
    (void)unused;
    int refused = 0;
    for (rlim_t most = 3; most < 30; most++) {
        kin_process *process = NULL;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &(struct rlimit){most, 1024}), 0);
        int rc = make_process(&process);
        if (rc == 0) {
            CHECK_RC(unmake_process(&process), 0);
            continue;
        }
        CHECK_RC(rc, -EMFILE);
        CHECK_EQ(waitpid(-1, NULL, 0), -1);
        refused++;
    }
    CHECK_GT(refused, 0);
    CHECK_LT(refused, 27);
}

TEST(a_descriptor_limit_refuses_a_start)
{
    share();
    CHECK_EQ(test_collect(test_child(with_few_descriptors, NULL)), 0);
}

static void with_few_processes(void *unused)
{
    (void)unused;
    kin_process *process = NULL;
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}), 0);
    CHECK_EQ(setuid(65533), 0);
    CHECK_RC(kin_process_start(&process, run_for_ever, NULL, NULL), -EAGAIN);
}

TEST(a_process_limit_refuses_a_start)
{
    if (geteuid() != 0) SKIP("only root can change its user");
    CHECK_EQ(test_collect(test_child(with_few_processes, NULL)), 0);
}
