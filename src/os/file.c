/* file.c: see file.h. */
#define _GNU_SOURCE
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/os.h"

#define NEW  ".new"
#define LOCK ".lock"

static int open_file(const char *path, int flags)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    rc = open(path, flags | O_CLOEXEC, 0600);
    return rc < 0 ? -errno : rc;
}

static int read_all(int descriptor, unsigned char *data, size_t size, size_t *done)
{
    *done = 0;
    while (*done < size) {
        ssize_t got = read(descriptor, data + *done, size - *done);
        if (got < 0 && errno != EINTR) return -errno;
        if (got == 0) break;
        if (got > 0) *done += (size_t)got;
    }
    return 0;
}

int kin__os_file_read(const char *path, unsigned char **data, size_t *size)
{
    struct stat about;
    int descriptor = open_file(path, O_RDONLY);
    if (descriptor < 0) return descriptor;
    int rc = fstat(descriptor, &about) < 0 ? -errno : !S_ISREG(about.st_mode) ? -EINVAL : 0;
    if (rc == 0) {
        *data = kin__os_malloc((size_t)about.st_size + 1);
        rc = *data == NULL ? -ENOMEM : read_all(descriptor, *data, (size_t)about.st_size, size);
        if (rc < 0) kin__os_free(*data);
    }
    close(descriptor);
    return rc;
}

static int write_all(int descriptor, const unsigned char *data, size_t size)
{
    int rc;
    for (size_t done = 0; done < size;) {
        rc = kin__os_fault(KIN__FAULT_FILE);
        if (rc < 0) return rc;
        ssize_t put = write(descriptor, data + done, size - done);
        if (put < 0 && errno != EINTR) return -errno;
        if (put > 0) done += (size_t)put;
    }
    rc = kin__os_fault(KIN__FAULT_FILE);
    return rc < 0 ? rc : fsync(descriptor) < 0 ? -errno : 0;
}

static int close_file(int descriptor)
{
    int rc = kin__os_fault(KIN__FAULT_FILE);
    return close(descriptor) < 0 ? -errno : rc;
}

static int rename_file(const char *from, const char *to)
{
    int rc = kin__os_fault(KIN__FAULT_FILE);
    return rc < 0 ? rc : rename(from, to) < 0 ? -errno : 0;
}

/* Makes the new name of a file last.  Some file systems cannot sync a directory, and need not. */
static void sync_directory(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 0 : slash == path ? 1 : (int)(slash - path);
    snprintf(directory, sizeof directory, "%.*s", length, path);
    int descriptor = open(length > 0 ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    fsync(descriptor);
    close(descriptor);
}

int kin__os_file_replace(const char *path, const void *data, size_t size)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof beside, "%s" NEW, path) >= (int)sizeof beside) return -ENAMETOOLONG;
    int descriptor = open_file(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
    if (descriptor < 0) return descriptor;
    int rc = write_all(descriptor, data, size), closed = close_file(descriptor);
    if (rc == 0) rc = closed;
    /* CRASH: before the rename the old file stands, after it the new one; both are whole. */
    if (rc == 0) rc = rename_file(beside, path);
    if (rc == 0)
        sync_directory(path);
    else
        unlink(beside);
    return rc;
}

/* ---- whose a file is --------------------------------------------------------------------------------- */

static int lock_path(char lock[PATH_MAX], const char *path)
{
    return snprintf(lock, PATH_MAX, "%s" LOCK, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Is that still the file of this name? */
static bool is_named(int descriptor, const char *path)
{
    struct stat ours, named;
    return fstat(descriptor, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

int kin__os_file_claim(const char *path, int *descriptor)
{
    char lock[PATH_MAX];
    int rc = lock_path(lock, path);
    while (rc == 0) {
        int opened = open_file(lock, O_RDWR | O_CREAT | O_NOFOLLOW);
        if (opened < 0) return opened;
        if (flock(opened, LOCK_EX | LOCK_NB) < 0) {
            rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
        } else if (is_named(opened, lock)) {
            *descriptor = opened;
            return 0;
        }
        /* Whoever had it has just removed it: again, with a new one. */
        close(opened);
    }
    return rc;
}

void kin__os_file_disclaim(const char *path, int descriptor)
{
    char lock[PATH_MAX];
    /* While we have the lock: afterwards the file may be another's. */
    if (lock_path(lock, path) == 0 && is_named(descriptor, lock)) unlink(lock);
    close(descriptor);
}
