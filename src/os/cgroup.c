/* cgroup.c: see cgroup.h. */
#define _GNU_SOURCE
#include "os/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/processes.h"
#include "os/read.h"
#include "os/spawn.h"

/* ---- where they are ---------------------------------------------------------------------------- */

/* Of the line "ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS … - TYPE SOURCE …" in mountinfo. */
static bool read_mount(char *line, const char **root, const char **place)
{
    char *fields = strstr(line, " - cgroup2 "), *rest = line, *words[5];
    if (fields == NULL) return false;
    *fields = '\0';
    for (int i = 0; i < 5; i++) {
        if ((words[i] = strsep(&rest, " ")) == NULL) return false;
    }
    *root = words[3];
    *place = words[4];
    return true;
}

/* "0::/path" is the group of version 2. */
static int own_path(char *path, size_t size)
{
    char groups[4096];
    int rc = kin__os_read_text("/proc/self/cgroup", groups, sizeof groups);
    if (rc < 0) return rc;
    char *line = strncmp(groups, "0::", 3) == 0 ? groups : strstr(groups, "\n0::");
    if (line == NULL) return -ENOENT;
    line += *line == '\n';
    line[strcspn(line, "\n")] = '\0';
    return snprintf(path, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
}

/* The path counts from the hierarchy's root, the mount may begin further down. */
static int join(char *directory, size_t size, const char *root, const char *place, const char *path)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool within = strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0');
    if (!within || strncmp(path, "/..", 3) == 0) return -ENOENT;
    path += length;
    if (strcmp(path, "/") == 0) path++;
    return snprintf(directory, size, "%s%s", place, path) < (int)size ? 0 : -ENAMETOOLONG;
}

int kin__os_cgroup_own(char *directory, size_t size)
{
    char path[PATH_MAX], *line = NULL;
    const char *root, *place;
    size_t capacity = 0;
    int rc = own_path(path, sizeof path);
    if (rc < 0) return rc;
    rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (mounts == NULL) return -errno;
    rc = -ENOENT;
    while (rc == -ENOENT && getline(&line, &capacity, mounts) > 0) {
        if (read_mount(line, &root, &place)) rc = join(directory, size, root, place, path);
    }
    free(line);
    fclose(mounts);
    return rc;
}

/* ---- one of them --------------------------------------------------------------------------------- */

int kin__os_cgroup_make(const char *parent, const char *name, char *directory, size_t size)
{
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    if (snprintf(directory, size, "%s/%s", parent, name) >= (int)size) return -ENAMETOOLONG;
    return mkdir(directory, 0755) < 0 ? -errno : 0;
}

int kin__os_cgroup_remove(const char *directory)
{
    return rmdir(directory) < 0 ? -errno : 0;
}

int kin__os_cgroup_write(const char *directory, const char *file, const char *text)
{
    int descriptor = kin__os_open_below(directory, file);
    if (descriptor < 0) return descriptor;
    int rc = write(descriptor, text, strlen(text)) < 0 ? -errno : 0;
    close(descriptor);
    return rc;
}

static int read_file(const char *directory, const char *file, char *text, size_t size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", directory, file) >= (int)sizeof path) return -ENAMETOOLONG;
    return kin__os_read_text(path, text, size);
}

int kin__os_cgroup_lists(const char *directory, const char *file, const char *word)
{
    char text[1024], *rest = text;
    int rc = read_file(directory, file, text, sizeof text);
    if (rc < 0) return rc;
    for (const char *at; (at = strsep(&rest, " \n")) != NULL;) {
        if (strcmp(at, word) == 0) return 1;
    }
    return 0;
}

int64_t kin__os_cgroup_number(const char *directory, const char *file, const char *key)
{
    char text[4096], *rest = text;
    size_t length = key != NULL ? strlen(key) : 0;
    int rc = read_file(directory, file, text, sizeof text);
    if (rc < 0) return rc;
    for (const char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (key != NULL && (strncmp(line, key, length) != 0 || line[length] != ' ')) continue;
        if (key != NULL) line += length + 1;
        return strcmp(line, "max") == 0 ? INT64_MAX : strtoll(line, NULL, 10);
    }
    return -ENOENT;
}

int kin__os_cgroup_each(const char *parent, void (*found)(const char *parent, const char *name))
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    DIR *directory = opendir(parent);
    if (directory == NULL) return -errno;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') found(parent, entry->d_name);
    closedir(directory);
    return 0;
}

/* ---- who is in it ---------------------------------------------------------------------------------- */

int kin__os_cgroup_kill(const char *directory)
{
    return kin__os_cgroup_write(directory, "cgroup.kill", "1");
}

int kin__os_cgroup_pids(const char *directory, int **pids, size_t *count)
{
    char path[PATH_MAX];
    void *list = NULL;
    size_t used = 0;
    if (snprintf(path, sizeof path, "%s/cgroup.procs", directory) >= (int)sizeof path) return -ENAMETOOLONG;
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    FILE *file = fopen(path, "re");
    if (file == NULL) return -errno;
    for (int pid; rc == 0 && fscanf(file, "%d", &pid) == 1;) {
        rc = kin__os_make_room(&list, used, sizeof pid);
        if (rc == 0) ((int *)list)[used++] = pid;
    }
    fclose(file);
    if (rc < 0) {
        kin__os_free(list);
        return rc;
    }
    *pids = list;
    *count = used;
    return 0;
}
