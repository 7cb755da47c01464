/* process.c: processes: making them, naming them by descriptor, learning how they ended.
 *
 * A process is waited for by its descriptor alone, never by pid, so nothing that the program
 * waits for itself is taken from it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/direct.h"
#include "os/fault.h"
#include "os/handover.h"
#include "os/processes.h"
#include "os/read.h"
#include "os/stand_in.h"

/* Older headers lack what follows; the numbers are the kernel's for ever. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#ifndef SYS_pidfd_open
#define SYS_pidfd_open        434
#define SYS_pidfd_send_signal 424
#endif
#define WAIT_BY_DESCRIPTOR ((idtype_t)3)

/* The kernel's struct pidfd_info in its first size (64 bytes). */
struct descriptor_info {
    uint64_t mask;
    uint64_t control_group;
    uint32_t ids[11];
    int32_t wait_status;
};
#define DESCRIPTOR_INFO      _IOWR(0xFF, 11, struct descriptor_info)
#define DESCRIPTOR_INFO_EXIT (1ull << 3)

/* How long a process that somebody else collects may stand between its end and the moment
 * the kernel tells of it; it is microseconds. */
#define COLLECTING_MS 100

KIN__CHILD_CODE int kin__os_pid(void)
{
    return getpid();
}

KIN__CHILD_CODE int kin__os_parent_pid(void)
{
    return getppid();
}

int kin__os_thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

/* ---- beginning and ending ----------------------------------------------------------------------- */

KIN__CHILD_CODE int kin__os_fork(void)
{
    int rc = kin__os_fault(KIN__FAULT_FORK);
    if (rc < 0) return rc;
    pid_t pid = fork();
    if (pid < 0) return -errno;
    /* A test's fault is for one process.  Looked at first: a store would copy the page. */
    if (pid == 0 && kin__os_fault_armed) kin__os_fault_armed = false;
    return pid;
}

KIN__CHILD_CODE void kin__os_standard_input_empty(void)
{
    /* Closed on exec: it is no standard input, but something else that got a free number. */
    long flags = kin__direct(SYS_fcntl, STDIN_FILENO, F_GETFD, 0, 0);
    if (flags >= 0 && (flags & FD_CLOEXEC) != 0) return;
    /* What the parent had read ahead is the parent's.  A stream that it has never read is not touched: the
     * page would be copied. */
    if (__fbufsize(stdin) != 0 || feof_unlocked(stdin) || ferror_unlocked(stdin)) {
        __fpurge(stdin);
        clearerr(stdin);
    }
    /* The lowest free number is the one just freed; without a /dev/null there is none at all. */
    kin__os_close(STDIN_FILENO);
    char null[] = "/dev/null"; /* on the stack, whose page is there */
    int descriptor = open(null, O_RDONLY);
    if (descriptor > STDIN_FILENO) kin__os_close(descriptor);
}

void kin__os_label_set(const char *path)
{
    const char *slash = strrchr(path, '/');
    prctl(PR_SET_NAME, slash != NULL ? slash + 1 : path, 0, 0, 0);
}

KIN__CHILD_CODE void kin__os_exit_now(int code)
{
    _exit(code);
}

/* glibc's list of all streams, the latest first; weak, for it is not documented. */
extern FILE *_IO_list_all __attribute__((weak));

/* While there is one thread: are there only the standard streams, with nothing to be written, and nothing read
 * ahead, which from 2.41 on fflush(NULL) gives back?  It writes to a page of libc's even then, which after each
 * fork both sides have to copy.  Code that is not independent of its position sees a copy of the list from
 * before its main. */
static bool is_flushed(void)
{
#ifndef __PIC__
    return false;
#endif
    return __fbufsize(stdin) == 0 && &_IO_list_all != NULL && _IO_list_all == stderr &&
           stderr->_chain == stdout && stdout->_chain == stdin && __fpending(stderr) == 0 &&
           __fpending(stdout) == 0;
}

KIN__CHILD_CODE bool kin__os_is_alone(void)
{
    return __libc_single_threaded;
}

void kin__os_flush(void)
{
    /* fflush(NULL) waits for the lock of every stream, and another thread may hold one for as
     * long as it is blocked in a read from it. */
    if (kin__os_is_alone()) {
        if (!is_flushed()) fflush(NULL);
    } else {
        fflush(stdout);
        fflush(stderr);
    }
}

KIN__CHILD_CODE void kin__os_flush_last(void)
{
    /* fcloseall does as exit does: it waits for no stream's lock.  But it touches more pages,
     * each of which a forked child has to copy. */
    if (!kin__os_is_alone())
        fcloseall();
    else if (!is_flushed())
        fflush(NULL);
}

void kin__os_process_abandon(int pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- by descriptor -------------------------------------------------------------------------------- */

KIN__CHILD_CODE int kin__os_process_open(int pid)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    if (kin__os_stand_ins) return kin__os_stand_in_open(pid);
    return (int)kin__direct(SYS_pidfd_open, pid, 0, 0, 0);
}

int kin__os_thread_open(int thread, int pid)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    long descriptor = syscall(SYS_pidfd_open, thread, PIDFD_THREAD);
    if (descriptor >= 0) return (int)descriptor;
    return errno == EINVAL ? kin__os_process_open(pid) : -errno;
}

int kin__os_process_signal(int process_descriptor, int signal)
{
    int pid = kin__os_stand_in_child(process_descriptor);
    if (pid != 0) return pid < 0 ? pid : kill(pid, signal) < 0 ? -errno : 0;
    return syscall(SYS_pidfd_send_signal, process_descriptor, signal, NULL, 0) < 0 ? -errno : 0;
}

static int poll_descriptor(int descriptor, short events, int milliseconds)
{
    struct pollfd item = {.fd = descriptor, .events = events};
    int count;
    while ((count = poll(&item, 1, milliseconds)) < 0 && errno == EINTR)
        ;
    return count < 0 ? -errno : item.revents;
}

void kin__os_process_await(int process_descriptor, kin_deadline deadline)
{
    kin_deadline now;
    while ((now = kin__os_clock()) < deadline) {
        int64_t left = (deadline - now) / 1000000 + 1;
        if (poll_descriptor(process_descriptor, POLLIN, left > INT_MAX ? INT_MAX : (int)left) != 0) return;
    }
}

bool kin__os_process_ended(int process_descriptor)
{
    struct kin__poll item = {.descriptor = process_descriptor};
    return kin__os_poll(&item, 1, KIN_NOW) > 0;
}

static int64_t nanoseconds(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

/* `wait_status` is in the form that waitpid gives. */
static void describe(kin_exit_status *status, int wait_status)
{
    if (WIFEXITED(wait_status)) {
        status->kind = KIN_EXITED;
        status->code = WEXITSTATUS(wait_status);
    } else {
        status->kind = KIN_SIGNALED;
        status->signal = WTERMSIG(wait_status);
        status->core_dumped = WCOREDUMP(wait_status) != 0;
    }
}

/* The status of a process that is not, or no longer, ours to wait for. */
static int ask_kernel(int descriptor, kin_exit_status *status)
{
    int ready = poll_descriptor(descriptor, POLLIN, 0);
    if (ready < 0) return ready;
    if (ready == 0) return -EAGAIN;
    for (int attempt = 0; attempt < 2; attempt++) {
        struct descriptor_info info = {.mask = DESCRIPTOR_INFO_EXIT};
        int rc = ioctl(descriptor, DESCRIPTOR_INFO, &info);
        if (rc == 0 && (info.mask & DESCRIPTOR_INFO_EXIT) != 0) {
            describe(status, info.wait_status);
            return 0;
        }
        if (rc < 0 && errno != ESRCH) return -ECHILD;
        /* It has ended and is just being collected: the descriptor hangs up when that is done. */
        if (poll_descriptor(descriptor, 0, COLLECTING_MS) <= 0) break;
    }
    return -ECHILD;
}

/* Collects a child; its pid, 0 when there is none that has ended. */
static int collect(idtype_t type, int id, kin_exit_status *status)
{
    siginfo_t info = {0};
    struct rusage usage;
    int rc;
    memset(status, 0, sizeof *status);
    do rc = (int)syscall(SYS_waitid, type, id, &info, WEXITED | WNOHANG, &usage);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) return -errno;
    if (info.si_pid == 0) return 0;
    if (info.si_code == CLD_EXITED)
        describe(status, W_EXITCODE(info.si_status & 0xff, 0));
    else
        describe(status, info.si_status | (info.si_code == CLD_DUMPED ? WCOREFLAG : 0));
    status->user_ns = nanoseconds(usage.ru_utime);
    status->system_ns = nanoseconds(usage.ru_stime);
    status->max_rss = (int64_t)usage.ru_maxrss * 1024;
    return info.si_pid;
}

/* What stands for it hangs up a moment before it has ended. */
static int collect_by_pid(int descriptor, int pid, kin_exit_status *status)
{
    int rc;
    for (int i = 0; (rc = collect(P_PID, pid, status)) == 0 && i < COLLECTING_MS; i++) {
        if (poll_descriptor(descriptor, POLLIN, 0) == 0) break;
        poll(NULL, 0, 1);
    }
    return rc;
}

int kin__os_process_collect(int process_descriptor, kin_exit_status *status)
{
    int pid = kin__os_stand_in_child(process_descriptor), rc;
    if (pid < 0) return -ECHILD;
    rc = pid > 0 ? collect_by_pid(process_descriptor, pid, status)
                 : collect(WAIT_BY_DESCRIPTOR, process_descriptor, status);
    if (rc == -ECHILD) return ask_kernel(process_descriptor, status);
    return rc < 0 ? rc : rc == 0 ? -EAGAIN : 0;
}

int kin__os_child_collect(kin_exit_status *status)
{
    int rc = collect(P_ALL, 0, status);
    return rc == -ECHILD ? 0 : rc;
}

/* ---- by pid --------------------------------------------------------------------------------------- */

int kin__os_process_note(int pid, struct kin__process_note *note)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int rc = kin__os_read_text(path, text, sizeof text);
    if (rc < 0) return rc;
    /* The name in the second field may hold anything, parentheses too. */
    const char *name = strchr(text, '('), *rest = strrchr(text, ')');
    uint64_t user, system;
    note->pid = pid;
    if (name == NULL || rest == NULL ||
        sscanf(rest + 1,
               " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
               " %*d %*d %*d %*d %ld %*d %" SCNu64 " %*u %" SCNu64,
               &note->state, &note->parent, &note->group, &note->session, &user, &system, &note->threads,
               &note->start, &note->resident) != 9)
        return -EIO;
    note->cpu = user + system;
    snprintf(note->name, sizeof note->name, "%.*s", (int)(rest - name - 1), name + 1);
    return 0;
}

static uint64_t tick_ns(void)
{
    return 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
}

int64_t kin__os_process_cpu(const struct kin__process_note *note)
{
    return (int64_t)(note->cpu * tick_ns());
}

uint64_t kin__os_process_memory(const struct kin__process_note *note)
{
    return note->resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t kin__os_process_ticks(int64_t boot)
{
    return (uint64_t)boot / tick_ns();
}

/* A first thread that has ended looks like a zombie while others go on. */
bool kin__os_process_is_over(const struct kin__process_note *note)
{
    return (note->state == 'Z' || note->state == 'X') && note->threads <= 1;
}

int kin__os_process_gone(int pid, int64_t since)
{
    if (pid <= 0) return 0;
    if (kill(pid, 0) < 0 && errno == ESRCH) return 1;
    struct kin__process_note note;
    int rc = kin__os_process_note(pid, &note);
    if (rc < 0) return rc == -ESRCH || (kill(pid, 0) < 0 && errno == ESRCH);
    if (kin__os_process_is_over(&note)) return 1;
    /* The start is rounded down to a tick, so it is never late for the process that is meant. */
    return note.start > kin__os_process_ticks(since);
}

#define FLAG_EXITING 0x4u /* PF_EXITING */

void kin__os_process_end(int pid, kin_exit_status *status)
{
    char path[32], text[1024], state;
    unsigned flags;
    memset(status, 0, sizeof *status);
    status->kind = KIN_UNKNOWN;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (kin__os_read_text(path, text, sizeof text) < 0) return;
    const char *rest = strrchr(text, ')'), *last = strrchr(text, ' ');
    if (rest == NULL || last < rest || sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return;
    /* The last field is the status as waitpid gives it; of a stopped process it is another thing. */
    int wait_status = (int)strtol(last, NULL, 10);
    bool ended = state == 'Z' || state == 'X' || (flags & FLAG_EXITING) != 0;
    if (state == 'T' || state == 't' || (!ended && wait_status == 0))
        status->kind = KIN_RUNNING;
    else
        describe(status, wait_status);
}

void kin__os_thread_label(int pid, int thread, char *name, size_t size)
{
    char path[48];
    name[0] = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/comm", pid, thread);
    if (kin__os_read_text(path, name, size) < 0) name[0] = 0;
    name[strcspn(name, "\n")] = 0;
}
