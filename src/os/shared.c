/* shared.c: see shared.h. */
#define _GNU_SOURCE
#include "os/shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"

#define DIRECTORY "/dev/shm"
/* Marks a counted file; the bit means nothing else for a regular file. */
#define COUNTED S_ISVTX
/* How long a removal is waited for that another process has begun; it is microseconds. */
#define REMOVAL_MS 1000

void kin__os_shared_path(char path[KIN__SHARED_PATH_SIZE], const char *name)
{
    snprintf(path, KIN__SHARED_PATH_SIZE, DIRECTORY "/%.*s", KIN__SHARED_NAME_MOST, name);
}

/* A shared lock never waits long: who holds the other kind is about to remove the file. */
static int use(int descriptor)
{
    while (flock(descriptor, LOCK_SH | LOCK_NB) < 0)
        if (errno != EINTR) return errno == EWOULDBLOCK ? -ENOENT : -errno;
    return 0;
}

static bool nobody_uses(int descriptor)
{
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0;
}

/* ---- making one ------------------------------------------------------------------------------- */

static int back(int descriptor, uint64_t size)
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (size > INT64_MAX) return -EFBIG;
    if (size > kin__os_limit_file_size()) return -EFBIG; /* the kernel would also send SIGXFSZ */
    while (fallocate(descriptor, 0, 0, (off_t)size) < 0)
        if (errno != EINTR) return -errno;
    return 0;
}

int kin__os_shared_create(const char *path, uint64_t size, bool counted)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    /* CRASH: until it is published the file has no name, and the kernel frees it. */
    int descriptor = open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) return -errno;
    rc = back(descriptor, size);
    if (rc == 0 && counted && fchmod(descriptor, 0600 | COUNTED) < 0) rc = -errno;
    if (rc == 0 && counted) rc = kin__os_guard_start(descriptor, path);
    if (rc == 0) return descriptor;
    close(descriptor);
    return rc;
}

int kin__os_shared_publish(int descriptor, const char *path)
{
    char link[64];
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* ---- opening one -------------------------------------------------------------------------------- */

int kin__os_shared_open(const char *path, uint64_t *size)
{
    struct stat status;
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) return -errno;
    rc = use(descriptor);
    /* Between opening and locking the last user may have gone, and the name with it. */
    if (rc == 0 && fstat(descriptor, &status) < 0) rc = -errno;
    if (rc == 0 && !S_ISREG(status.st_mode)) rc = -EINVAL;
    if (rc == 0 && status.st_nlink == 0) rc = -ENOENT;
    if (rc == 0) {
        *size = (uint64_t)status.st_size;
        return descriptor;
    }
    close(descriptor);
    return rc;
}

int kin__os_shared_map(int descriptor, uint64_t size, void **address)
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    void *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (got == MAP_FAILED) return -errno;
    *address = got;
    return 0;
}

/* ---- letting go ----------------------------------------------------------------------------------- */

int kin__os_shared_remove(int descriptor, const char *path)
{
    struct stat ours, found;
    if (fstat(descriptor, &ours) < 0 || fstatat(AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (ours.st_ino != found.st_ino || ours.st_dev != found.st_dev) return -ENOENT;
    return unlink(path) < 0 ? -errno : 0;
}

/* Somebody uses it still, or, holding the lock alone, is about to remove it: then the caller does not
 * go on before that is done, unless the other one is stopped. */
static void wait_for_removal(int descriptor)
{
    for (int i = 0; i < REMOVAL_MS && flock(descriptor, LOCK_SH | LOCK_NB) < 0; i++)
        kin__os_sleep_until(kin__os_clock() + 1000000);
}

int kin__os_shared_close(int descriptor, const char *path)
{
    char link[64];
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -errno;
    /* A lock of its own: ours is our children's too. */
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    int other = (status.st_mode & COUNTED) != 0 ? open(link, O_RDWR | O_CLOEXEC) : -1;
    close(descriptor);
    if (other >= 0) {
        if (nobody_uses(other))
            kin__os_shared_remove(other, path);
        else
            wait_for_removal(other);
        close(other);
    }
    return 0;
}

void kin__os_shared_sweep(void)
{
    DIR *directory = opendir(DIRECTORY);
    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(status.st_mode) || (status.st_mode & COUNTED) == 0 || status.st_uid != geteuid())
            continue;
        int descriptor = openat(dirfd(directory), entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (descriptor < 0) continue;
        char path[KIN__SHARED_PATH_SIZE];
        kin__os_shared_path(path, entry->d_name);
        if (nobody_uses(descriptor)) kin__os_shared_remove(descriptor, path);
        close(descriptor);
    }
    closedir(directory);
}
