/* spawn.c: starting another program.
 *
 * As vfork and posix_spawn do: the child uses the parent's memory on a stack of its own, while
 * the calling thread waits in clone until the child has become the program or has ended.  So
 * nothing is copied, and the child's error needs no way back: it stands in `spawn`.
 *
 * What the child does until then therefore happens in the parent's memory.  Invariants:
 * - it makes system calls only, through `syscall`: libc's functions may be cancellation points,
 *   and those that change the user change it in every thread of the parent;
 * - every signal is blocked in it until each handler is gone, so none of the parent's runs;
 * - it is not compiled with a sanitizer (CMakeLists.txt), whose books it would leave half-written.
 *
 * A child that runs a function of the program's or changes its user is forked instead: the one
 * needs a libc in order, the other must not share memory with a process of another user.
 */
#define _GNU_SOURCE
#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/stand_in.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#define WAIT_BY_DESCRIPTOR ((idtype_t)3)

/* Enough for the frames below, of which the largest holds names of descriptors. */
#define CHILD_STACK 16384

/* The kernel's idea of a signal: with libc's threads' own, which sigprocmask leaves out. */
#define KERNEL_SIGNALS 64

/* The kernel's struct sigaction, where it can be 32 bytes. */
struct kernel_action {
    void (*handler)(int);
    unsigned long more[3];
};

struct child {
    struct kin__spawn *spawn;
    uint64_t mask; /* of the thread that starts it */
    int report;    /* forked: the socket to the parent; otherwise -1 */
    int error;
};

extern char **environ;

/* libc's `clone` by the name that no sanitizer replaces: they take every clone for a fork. */
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

/* ---- in the child ------------------------------------------------------------------------------- */

/* Handlers go, ignored signals too unless they are to stay, and then nothing is blocked. */
static int reset_signals(const struct child *child)
{
    for (int signal = 1; signal <= KERNEL_SIGNALS; signal++) {
        struct kernel_action action = {.handler = SIG_DFL};
        if (child->spawn->keep_signals) {
            syscall(SYS_rt_sigaction, signal, NULL, &action, 8);
            if (action.handler == SIG_DFL || action.handler == SIG_IGN) continue;
            action = (struct kernel_action){.handler = SIG_DFL};
        }
        syscall(SYS_rt_sigaction, signal, &action, NULL, 8); /* refused for SIGKILL and SIGSTOP */
    }
    uint64_t mask = child->spawn->keep_signals ? child->mask : 0;
    return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

/* A parent that dies from now on takes the program with it: this child has a copy of the parent's
 * end of the line too, but that is gone when the program begins. */
static int hold_lifeline(const struct kin__spawn *spawn)
{
    if (spawn->lifeline < 0) return 0;
    /* Its own group has the number of its pid; a negative number means all of the group. */
    int pid = (int)syscall(SYS_getpid);
    bool leads = spawn->setting.new_session || spawn->setting.process_group < 0;
    return (int)syscall(SYS_fcntl, spawn->lifeline, F_SETOWN, leads ? -pid : pid);
}

static int set_streams(struct kin__spawn *spawn)
{
    int streams[3] = {spawn->streams[0], spawn->streams[1], spawn->streams[2]};
    /* What stands where a stream will be has to move away first. */
    for (int i = 0; i < 3; i++) {
        if (streams[i] < 0 || streams[i] > 2 || streams[i] == i) continue;
        streams[i] = (int)syscall(SYS_fcntl, streams[i], F_DUPFD_CLOEXEC, 3);
        if (streams[i] < 0) return -1;
    }
    for (int i = 0; i < 3; i++) {
        int from = streams[i] == KIN__SPAWN_AS_STDOUT ? 1 : streams[i];
        if (from == KIN__SPAWN_UNTOUCHED) continue;
        long rc = from == i ? syscall(SYS_fcntl, i, F_SETFD, 0) : syscall(SYS_dup3, from, i, 0);
        if (rc < 0) return -1;
    }
    return 0;
}

static int run_function(struct kin__spawn *spawn)
{
    int rc = spawn->function == NULL ? 0 : spawn->function(spawn->argument);
    if (rc == 0) return 0;
    errno = rc < 0 ? -rc : ECANCELED;
    return -1;
}

/* What getdents64 fills in. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static unsigned number_of(const char *digits)
{
    unsigned number = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++) number = number * 10 + (unsigned)(*digits - '0');
    return number;
}

/* For where close_range is not allowed.  Marks instead of closing, so that the list of what is
 * open does not change while it is read. */
static int mark_range(unsigned first, unsigned last)
{
    _Alignas(8) char block[2048];
    long directory = syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory < 0) return -1;
    long size;
    while ((size = syscall(SYS_getdents64, directory, block, sizeof block)) > 0) {
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(block + at);
            unsigned number = number_of(entry->name);
            bool meant = entry->name[0] != '.' && number >= first && number <= last;
            if (meant) syscall(SYS_fcntl, number, F_SETFD, FD_CLOEXEC);
            at += entry->length;
        }
    }
    syscall(SYS_close, directory);
    return (int)size;
}

static int close_range_of(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return 0;
    return errno == EINVAL ? -1 : mark_range(first, last);
}

static int close_others(const struct child *child)
{
    const struct kin__spawn *spawn = child->spawn;
    unsigned first = 3;
    bool report = child->report >= 3;
    for (size_t i = 0; i < spawn->keep_count; i++) {
        if (syscall(SYS_fcntl, spawn->keep[i], F_SETFD, 0) < 0) return -1;
    }
    if (spawn->keep_all) return 0;
    for (size_t i = 0; i < spawn->keep_count || report;) {
        unsigned next = i < spawn->keep_count ? (unsigned)spawn->keep[i] : UINT_MAX;
        if (report && (unsigned)child->report <= next) {
            next = (unsigned)child->report;
            report = false;
        } else {
            i++;
        }
        if (next > first && close_range_of(first, next - 1) < 0) return -1;
        first = next + 1;
    }
    return close_range_of(first, UINT_MAX);
}

static void execute_script(struct kin__spawn *spawn, const char *path, const char *const *environment)
{
    const char *name = spawn->words[0];
    spawn->words[-1] = "/bin/sh";
    spawn->words[0] = path;
    syscall(SYS_execve, "/bin/sh", spawn->words - 1, environment);
    spawn->words[0] = name;
}

/* As execvp: the first that can be run, and a script without "#!" is one for the shell. */
static int execute(struct kin__spawn *spawn)
{
    const char *const *environment = spawn->environment;
    int error = ENOENT;
    if (environment == NULL) environment = (const char *const *)environ;
    for (const char *path = spawn->programs; *path != '\0';) {
        syscall(SYS_execve, path, spawn->words, environment);
        if (errno == ENOEXEC) execute_script(spawn, path, environment);
        if (errno != ENOENT && errno != ENOTDIR) {
            error = errno;
            if (error != EACCES && error != ESTALE && error != ENODEV) break;
        }
        while (*path++ != '\0')
            ;
    }
    errno = error;
    return -1;
}

/* Returns only when something failed. */
static void become(struct child *child)
{
    struct kin__spawn *spawn = child->spawn;
    enum kin__step *step = &spawn->setting.step;
    if (*step = KIN__STEP_CREATE, reset_signals(child) < 0) return;
    if (kin__os_setting_begin(&spawn->setting) < 0) return;
    if (*step = KIN__STEP_PARENT, hold_lifeline(spawn) < 0) return;
    if (*step = KIN__STEP_STREAMS, set_streams(spawn) < 0) return;
    if (kin__os_setting_finish(&spawn->setting) < 0) return;
    if (*step = KIN__STEP_FUNCTION, run_function(spawn) < 0) return;
    if (*step = KIN__STEP_CLOSE, close_others(child) < 0) return;
    *step = KIN__STEP_EXECUTE;
    execute(spawn);
}

static int run_child(void *argument)
{
    struct child *child = argument;
    become(child);
    child->error = errno;
    syscall(SYS_exit_group, 127);
    return 0;
}

/* ---- with the parent's memory -------------------------------------------------------------------- */

static int collect(int descriptor, int rc)
{
    siginfo_t info;
    while (waitid(WAIT_BY_DESCRIPTOR, (id_t)descriptor, &info, WEXITED) < 0 && errno == EINTR)
        ;
    close(descriptor);
    return rc;
}

static int start_sharing(struct child *child, int *descriptor)
{
    _Alignas(16) char stack[CHILD_STACK];
    int pid = __clone(run_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, child,
                      descriptor, NULL, NULL);
    if (pid < 0) return -errno;
    kin__os_stand_in_forget(*descriptor);
    return child->error == 0 ? pid : collect(*descriptor, -child->error);
}

/* ---- by a fork ------------------------------------------------------------------------------------ */

struct report {
    enum kin__step step;
    unsigned item;
    int error;
};

/* The child waits until its parent has the descriptor for it. */
__attribute__((noreturn)) static void run_forked(struct child *child)
{
    char go;
    if (recv(child->report, &go, 1, 0) == 1) {
        become(child);
        struct report report = {child->spawn->setting.step, child->spawn->setting.item, errno};
        send(child->report, &report, sizeof report, MSG_NOSIGNAL);
    }
    _exit(127);
}

static int start_forked(struct child *child, int *descriptor)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
    child->report = ends[1];
    int pid = kin__os_fork();
    if (pid == 0) run_forked(child);
    close(ends[1]);
    int rc = pid < 0 ? pid : kin__os_process_open(pid);
    if (rc < 0) {
        if (pid > 0) kin__os_process_abandon(pid);
        close(ends[0]);
        return rc;
    }
    *descriptor = rc;
    struct report report = {.error = 0};
    send(ends[0], "", 1, MSG_NOSIGNAL);
    /* The end comes when the child has become the program, or was killed. */
    while ((rc = (int)recv(ends[0], &report, sizeof report, 0)) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    if (rc != (int)sizeof report) return pid;
    child->spawn->setting.step = report.step;
    child->spawn->setting.item = report.item;
    return collect(*descriptor, -report.error);
}

/* ---- both ----------------------------------------------------------------------------------------- */

bool kin__os_spawn_forks(const struct kin__spawn *spawn)
{
    return spawn->function != NULL || kin__os_setting_forks(&spawn->setting);
}

int kin__os_spawn(struct kin__spawn *spawn, int *descriptor)
{
    struct child child = {.spawn = spawn, .report = -1};
    const uint64_t all = ~(uint64_t)0;
    int cancellation;
    spawn->setting.step = KIN__STEP_CREATE;
    int rc = kin__os_fault(KIN__FAULT_FORK);
    if (rc < 0) return rc;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &child.mask, 8);
    rc = kin__os_spawn_forks(spawn) ? start_forked(&child, descriptor) : start_sharing(&child, descriptor);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &child.mask, NULL, 8);
    pthread_setcancelstate(cancellation, NULL);
    return rc;
}

void kin__os_environment_set(const char *const *environment)
{
    environ = (char **)(uintptr_t)environment;
}

const char *const *kin__os_environment(void)
{
    return (const char *const *)environ;
}
