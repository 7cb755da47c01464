/* processes.c: looking at the processes of the machine, through /proc. */
#define _GNU_SOURCE
#include "os/processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"

static int open_directory(const char *path, DIR **directory)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    *directory = opendir(path);
    return *directory == NULL ? -errno : 0;
}

int kin__os_make_room(void **list, size_t count, size_t size)
{
    /* Full at each power of two from 16. */
    if (count != 0 && (count < 16 || (count & (count - 1)) != 0)) return 0;
    void *larger = kin__os_realloc(*list, (count == 0 ? 16 : count * 2) * size);
    if (larger == NULL) return -ENOMEM;
    *list = larger;
    return 0;
}

int kin__os_processes(struct kin__process_note **list, size_t *count)
{
    DIR *directory;
    void *notes = NULL;
    size_t used = 0;
    int rc = open_directory("/proc", &directory);
    if (rc < 0) return rc;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(directory)) != NULL;) {
        struct kin__process_note note;
        int pid = atoi(entry->d_name);
        if (pid <= 0 || kin__os_process_note(pid, &note) < 0) continue;
        rc = kin__os_make_room(&notes, used, sizeof note);
        if (rc == 0) ((struct kin__process_note *)notes)[used++] = note;
    }
    closedir(directory);
    if (rc < 0) {
        kin__os_free(notes);
        return rc;
    }
    *list = notes;
    *count = used;
    return 0;
}

/* One entry of /proc/PID/fd: what it leads to, and by its permissions how that was opened. */
static bool is_one_of(int directory, const char *name, const struct kin__file *files, size_t count)
{
    struct stat file, link;
    if (fstatat(directory, name, &file, 0) < 0) return false;
    for (size_t i = 0; i < count; i++) {
        if (file.st_ino != files[i].inode || file.st_dev != files[i].device) continue;
        if (fstatat(directory, name, &link, AT_SYMLINK_NOFOLLOW) < 0) return false;
        return (link.st_mode & (files[i].written ? S_IWUSR : S_IRUSR)) != 0;
    }
    return false;
}

bool kin__os_process_holds(int pid, const struct kin__file *files, size_t count)
{
    char path[32];
    DIR *directory;
    bool holds = false;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    if (count == 0 || open_directory(path, &directory) < 0) return false;
    for (const struct dirent *entry; !holds && (entry = readdir(directory)) != NULL;)
        holds = entry->d_name[0] != '.' && is_one_of(dirfd(directory), entry->d_name, files, count);
    closedir(directory);
    return holds;
}
