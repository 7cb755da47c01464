/* search.c: see search.h. */
#define _GNU_SOURCE
#include "os/search.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"

/* Files that have been shown are not shown again, as far as these can tell. */
#define SHOWN 64

struct search {
    char link[64]; /* what /proc shows for the file */
    enum kin__search how;
    kin__os_found *found;
    void *context;
    ino_t shown[SHOWN];
    unsigned shown_count;
};

static bool was_shown(const struct search *search, ino_t inode)
{
    for (unsigned i = 0; i < search->shown_count && i < SHOWN; i++)
        if (search->shown[i] == inode) return true;
    return false;
}

/* Of what goes wrong beside a process, only a lack that is ours counts: it may have ended. */
static int error_of_ours(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM ? -error : 0;
}

static bool may_show(const struct search *search, const struct stat *status)
{
    return search->how == KIN__SEARCH_TO_READ || status->st_uid == geteuid();
}

/* 1: kept.  The number may be another file's by now: the user and the kind of the file are looked
 * at here, what is in it by `found`. */
static int show(struct search *search, int directory, const char *number, const char *pid)
{
    struct stat status;
    if (fstatat(directory, number, &status, 0) < 0 || !S_ISREG(status.st_mode) ||
        !may_show(search, &status) || was_shown(search, status.st_ino))
        return 0;
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int access = search->how == KIN__SEARCH_TO_READ ? O_RDONLY : O_RDWR;
    int descriptor = openat(directory, number, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0) return error_of_ours(errno);
    /* Not before: the process may have ended, and another may show it. */
    search->shown[search->shown_count++ % SHOWN] = status.st_ino;
    if (search->found(descriptor, atoi(pid), search->context)) return 1;
    close(descriptor);
    return 0;
}

/* A process that we may not look at, or that has ended, has nothing to show. */
static int search_process(struct search *search, int all, const char *pid)
{
    char path[300], target[sizeof search->link + 1];
    struct stat status;
    int rc = 0;
    if (fstatat(all, pid, &status, 0) < 0 || !may_show(search, &status)) return 0;
    snprintf(path, sizeof path, "%s/fd", pid);
    int descriptor = openat(all, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return error_of_ours(errno);
    DIR *directory = fdopendir(descriptor);
    if (directory == NULL) {
        rc = error_of_ours(errno);
        close(descriptor);
        return rc;
    }
    for (struct dirent *entry; rc == 0 && (entry = readdir(directory)) != NULL;) {
        ssize_t length = readlinkat(descriptor, entry->d_name, target, sizeof target);
        if (length == (ssize_t)strlen(search->link) && memcmp(target, search->link, (size_t)length) == 0)
            rc = show(search, descriptor, entry->d_name, pid);
    }
    closedir(directory);
    return rc;
}

int kin__os_memory_search(const char *name, enum kin__search how, kin__os_found *found, void *context)
{
    struct search search = {.how = how, .found = found, .context = context};
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    snprintf(search.link, sizeof search.link, "/memfd:%s (deleted)", name);
    DIR *all = opendir("/proc");
    if (all == NULL) return -errno;
    bool mounted = false;
    for (struct dirent *entry; rc == 0 && (entry = readdir(all)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        mounted = true;
        rc = search_process(&search, dirfd(all), entry->d_name);
    }
    closedir(all);
    return mounted ? rc : -ENOENT;
}

int kin__os_file_usage(int descriptor, unsigned *user, uint64_t *bytes)
{
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -errno;
    *user = status.st_uid;
    *bytes = (uint64_t)status.st_blocks * 512;
    return 0;
}

int kin__os_read_at(int descriptor, void *buffer, size_t size, uint64_t offset)
{
    ssize_t count;
    do count = pread(descriptor, buffer, size, (off_t)offset);
    while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    return (size_t)count == size ? 0 : -EIO;
}
