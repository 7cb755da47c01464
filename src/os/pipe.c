/* pipe.c: pipes and files for the standard streams of another program; users and groups by name. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/spawn.h"

/* Where a record of a user or a group is read into; longer ones than the most are not looked for. */
#define RECORD_FIRST ((size_t)1 << 10)
#define RECORD_MOST  ((size_t)1 << 22)

/* ---- pipes ------------------------------------------------------------------------------------- */

int kin__os_pipe_make(int ends[2], size_t size)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    if (size > 0) rc = kin__os_pipe_grow(ends[0], size);
    if (rc == 0) return 0;
    close(ends[0]);
    close(ends[1]);
    return rc;
}

int kin__os_pipe_both(int pid, int end)
{
    char path[48];
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, end);
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

size_t kin__os_pipe_size(int end)
{
    int size = fcntl(end, F_GETPIPE_SZ);
    return size < 0 ? 0 : (size_t)size;
}

int kin__os_pipe_grow(int end, size_t size)
{
    if (size > INT_MAX) return -EINVAL;
    return fcntl(end, F_SETPIPE_SZ, (int)size) < 0 ? -errno : 0;
}

int kin__os_set_blocking(int descriptor, bool blocking)
{
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -errno;
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    return fcntl(descriptor, F_SETFL, flags) < 0 ? -errno : 0;
}

int kin__os_is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) < 0 ? -errno : 0;
}

ssize_t kin__os_read(int descriptor, void *buffer, size_t size)
{
    ssize_t count;
    while ((count = read(descriptor, buffer, size)) < 0 && errno == EINTR)
        ;
    return count < 0 ? -errno : count;
}

/* The signal is blocked around the call, and taken back unless it was there before. */
ssize_t kin__os_write(int descriptor, const void *data, size_t size)
{
    sigset_t pipe_signal, before, waiting;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    sigpending(&waiting);
    ssize_t count;
    while ((count = write(descriptor, data, size)) < 0 && errno == EINTR)
        ;
    if (count < 0) count = -errno;
    if (count == -EPIPE && !sigismember(&waiting, SIGPIPE))
        sigtimedwait(&pipe_signal, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count;
}

/* ---- files ------------------------------------------------------------------------------------- */

static int open_file(int directory, const char *path, int flags)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor;
    /* A FIFO is waited for, and a signal may come meanwhile. */
    while ((descriptor = openat(directory, path, flags | O_CLOEXEC | O_NOCTTY, 0666)) < 0 && errno == EINTR)
        ;
    return descriptor < 0 ? -errno : descriptor;
}

int kin__os_open_to_read(const char *path)
{
    return open_file(AT_FDCWD, path, O_RDONLY);
}

int kin__os_open_to_write(const char *path, bool append)
{
    return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC));
}

int kin__os_open_null(void)
{
    return open_file(AT_FDCWD, "/dev/null", O_RDWR);
}

int kin__os_open_below(const char *directory, const char *name)
{
    int below = open_file(AT_FDCWD, directory, O_PATH | O_DIRECTORY);
    if (below < 0) return below;
    int descriptor = open_file(below, name, O_WRONLY);
    close(below);
    return descriptor;
}

int kin__os_file_exists(const char *directory, const char *path)
{
    if (directory == NULL || path[0] == '/') return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
    int below = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (below < 0) return 0;
    int found = faccessat(below, path, F_OK, 0) == 0;
    close(below);
    return found;
}

/* ---- users and groups ---------------------------------------------------------------------------- */

static bool is_number(const char *name, unsigned *number)
{
    char *end;
    if (*name < '0' || *name > '9') return false;
    errno = 0;
    unsigned long value = strtoul(name, &end, 10);
    /* The largest means "none" to the kernel. */
    if (*end != '\0' || errno != 0 || value >= UINT_MAX) return false;
    *number = (unsigned)value;
    return true;
}

typedef int look_up(const char *name, void *found, char *record, size_t size);

/* 0, or -errno; with more room as long as there is too little. */
static int look_up_in(look_up *look, const char *name, void *found)
{
    int rc = ERANGE;
    for (size_t size = RECORD_FIRST; rc == ERANGE && size <= RECORD_MOST; size *= 4) {
        char *record = kin__os_malloc(size);
        if (record == NULL) return -ENOMEM;
        rc = look(name, found, record, size);
        kin__os_free(record);
    }
    return -rc;
}

struct ids {
    uid_t user;
    gid_t group;
};

static int look_up_user(const char *name, void *found, char *record, size_t size)
{
    struct passwd user, *there = NULL;
    int rc = getpwnam_r(name, &user, record, size, &there);
    if (there == NULL) return rc == 0 ? ENOENT : rc;
    *(struct ids *)found = (struct ids){user.pw_uid, user.pw_gid};
    return 0;
}

static int look_up_group(const char *name, void *found, char *record, size_t size)
{
    struct group group, *there = NULL;
    int rc = getgrnam_r(name, &group, record, size, &there);
    if (there == NULL) return rc == 0 ? ENOENT : rc;
    ((struct ids *)found)->group = group.gr_gid;
    return 0;
}

int kin__os_user_find(const char *name, uid_t *user, gid_t *group)
{
    struct ids ids = {.group = (gid_t)-1};
    int rc = is_number(name, &ids.user) ? 0 : look_up_in(look_up_user, name, &ids);
    *user = ids.user;
    *group = ids.group;
    return rc;
}

int kin__os_group_find(const char *name, gid_t *group)
{
    struct ids ids = {.group = 0};
    int rc = is_number(name, &ids.group) ? 0 : look_up_in(look_up_group, name, &ids);
    *group = ids.group;
    return rc;
}
