/* guard.c: the process that removes the name of a shared memory file when its last user is gone.
 *
 * Nothing in the kernel removes a file in /dev/shm with its last user, so somebody has to outlive
 * them all.  The guard is forked by who makes the file, before the file has a name or a user.  It is
 * nobody's child, in a session of its own, holds nothing but the file, sleeps in flock, and ends with
 * it.  It runs no code but what stands here.
 *
 * Invariants:
 *  - kin__os_guard_start returns when the guard holds nothing of the caller's any more, so that
 *    the lock is the users' alone, and the caller's pipes are the caller's.
 *  - The guard does not lock before the caller has: it waits for a byte in `go`, or its end.
 *  - Between fork and end it makes system calls only: the caller may have had threads, whose locks
 *    nobody gives back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/shared.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* How long a guard may take to say that it is there: it is milliseconds, but one that is killed
 * then says nothing. */
#define READY_NS (10 * 1000000000LL)

/* What the guard keeps of its three descriptors. */
enum { OWN = 0, READY = 1, GO = 2, KEPT = 3 };

/* A process that the caller's waitpid(-1) does not see. */
static pid_t split(void)
{
    return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

/* ---- giving the caller's memory back ---------------------------------------------------------- */

/* The sanitizers keep what they need in memory that would be given back. */
extern void __tsan_init(void) __attribute__((weak));
extern void __asan_init(void) __attribute__((weak));

static uintptr_t parse(const char **at)
{
    uintptr_t value = 0;
    for (; (**at >= '0' && **at <= '9') || (**at >= 'a' && **at <= 'f'); (*at)++)
        value = value * 16 + (uintptr_t)(**at <= '9' ? **at - '0' : **at - 'a' + 10);
    return value;
}

/* After the permissions: "offset device inode path". */
static bool has_file(const char *line)
{
    for (int field = 0; field < 3; field++) {
        line = strchr(line, ' ');
        if (line == NULL) return true;
        line++;
    }
    return *line != '0';
}

/* A mapping in a line of /proc/self/maps: what is shared goes; what is private and of no file loses
 * its pages.  Stack and thread-local memory stay. */
static void give_back_mapping(const char *line, const void *stack)
{
    uintptr_t start = parse(&line);
    line++;
    uintptr_t end = parse(&line);
    uintptr_t kept[] = {(uintptr_t)stack, (uintptr_t)&errno};
    for (int i = 0; i < 2; i++)
        if (kept[i] >= start && kept[i] < end) return;
    if (line[0] != ' ' || line[2] != 'w') return;
    if (line[4] == 's')
        syscall(SYS_munmap, start, end - start);
    else if (!has_file(line + 1))
        syscall(SYS_madvise, start, end - start, MADV_DONTNEED);
}

static void give_back(void)
{
    char buffer[4096];
    size_t used = 0;
    if (__tsan_init != NULL || __asan_init != NULL) return;
    int maps = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return;
    for (long count; (count = syscall(SYS_read, maps, buffer + used, sizeof buffer - 1 - used)) > 0;) {
        used += (size_t)count;
        buffer[used] = '\0';
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            give_back_mapping(line, buffer);
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
        if (used == sizeof buffer - 1) break; /* no line is that long */
    }
    syscall(SYS_close, maps);
}

/* ---- the guard ----------------------------------------------------------------------------------- */

/* Closes all but the descriptors kept, in whatever order they are. */
static void close_others(int kept[KEPT])
{
    for (int i = 0; i < KEPT; i++) {
        for (int n = i + 1; n < KEPT; n++) {
            if (kept[n] >= kept[i]) continue;
            int lower = kept[n];
            kept[n] = kept[i];
            kept[i] = lower;
        }
    }
    unsigned from = 0;
    for (int i = 0; i < KEPT; i++) {
        if ((unsigned)kept[i] > from) syscall(SYS_close_range, from, (unsigned)kept[i] - 1, 0);
        from = (unsigned)kept[i] + 1;
    }
    syscall(SYS_close_range, from, ~0u, 0);
}

static void guard(const int descriptors[KEPT], const char *given) __attribute__((noreturn));
static void guard(const int descriptors[KEPT], const char *given)
{
    char path[KIN__SHARED_PATH_SIZE], byte = 0;
    int kept[KEPT] = {descriptors[0], descriptors[1], descriptors[2]};
    uint64_t all = ~(uint64_t)0;
    strcpy(path, given); /* onto the stack, which stays */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    syscall(SYS_setsid);
    syscall(SYS_chdir, "/");
    syscall(SYS_prctl, PR_SET_NAME, "kin-guard", 0, 0, 0);
    close_others(kept);
    syscall(SYS_write, descriptors[READY], &byte, 1);
    syscall(SYS_close, descriptors[READY]);
    give_back();
    /* The caller has locked the file, or is dead. */
    while (syscall(SYS_read, descriptors[GO], &byte, 1) < 0 && errno == EINTR)
        ;
    while (syscall(SYS_flock, descriptors[OWN], LOCK_EX) < 0 && errno == EINTR)
        ;
    kin__os_shared_remove(descriptors[OWN], path);
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

/* In the caller: splits twice, so that the guard is nobody's child. */
static int start(const int descriptors[KEPT], const char *path)
{
    int rc = kin__os_fault(KIN__FAULT_FORK);
    if (rc < 0) return rc;
    pid_t first = split();
    if (first < 0) return -errno;
    if (first == 0) {
        pid_t second = split();
        if (second == 0) guard(descriptors, path);
        syscall(SYS_exit_group, second < 0 ? errno : 0);
    }
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)first, &info, WEXITED | __WALL) < 0)
        if (errno != EINTR) return -errno;
    return info.si_code == CLD_EXITED ? -info.si_status : -EAGAIN;
}

static void close_pipe(int ends[2])
{
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
}

static int make_pipe(int ends[2])
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    ends[0] = ends[1] = -1;
    if (rc < 0) return rc;
    return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
}

/* Starts the guard with a description of the file of its own, and locks ours before it may. */
static int start_and_lock(int descriptor, int own, const char *path)
{
    int ready[2], go[2] = {-1, -1};
    int rc = make_pipe(ready);
    if (rc == 0) rc = make_pipe(go);
    if (rc == 0) rc = start((int[KEPT]){own, ready[1], go[0]}, path);
    if (rc == 0) {
        struct kin__poll item = {.descriptor = ready[0]};
        do rc = kin__os_poll(&item, 1, kin__os_clock() + READY_NS);
        while (rc == -EINTR);
        rc = rc == 0 ? -EAGAIN : rc < 0 ? rc : 0;
    }
    while (rc == 0 && flock(descriptor, LOCK_SH) < 0)
        if (errno != EINTR) rc = -errno;
    if (rc == 0 && write(go[1], "", 1) < 0) rc = -errno;
    close_pipe(ready);
    close_pipe(go);
    return rc;
}

int kin__os_guard_start(int descriptor, const char *path)
{
    char link[64];
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    int own = open(link, O_RDWR | O_CLOEXEC);
    if (own < 0) return -errno;
    rc = start_and_lock(descriptor, own, path);
    close(own);
    return rc;
}
