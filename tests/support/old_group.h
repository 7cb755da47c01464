/* old_group.h: a memory group of version 1, which kin does not make, but counts in.
 *
 * The group is a new one below the caller's own, which joins it, and leaves it for the one above. */
#ifndef OLD_GROUP_H
#define OLD_GROUP_H

#include "support/test.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/cgroup.h"

/* False where there is none, or none can be made; then nothing is left. `most` in bytes. */
static inline bool old_group_join(char directory[PATH_MAX + 64], uint64_t most)
{
    char path[PATH_MAX] = "", text[24];
    FILE *groups = fopen("/proc/self/cgroup", "re");
    if (groups == NULL) return false;
    for (char line[PATH_MAX]; fgets(line, sizeof line, groups) != NULL;)
        if (sscanf(line, "%*d:memory:%4000[^\n]", path) == 1) break;
    fclose(groups);
    if (path[0] == '\0') return false;
    snprintf(directory, PATH_MAX + 64, "/sys/fs/cgroup/memory%s/kin-test-%d", path, getpid());
    if (mkdir(directory, 0700) < 0) return false;
    snprintf(text, sizeof text, "%llu", (unsigned long long)most);
    if (kin__os_cgroup_write(directory, "memory.limit_in_bytes", text) != 0) return false;
    snprintf(text, sizeof text, "%d", getpid());
    return kin__os_cgroup_write(directory, "cgroup.procs", text) == 0;
}

static inline void old_group_leave(char *directory)
{
    char *parent = strrchr(directory, '/'), text[16];
    *parent = '\0';
    snprintf(text, sizeof text, "%d", getpid());
    CHECK_OK(kin__os_cgroup_write(directory, "cgroup.procs", text));
    *parent = '/';
    test_until(rmdir(directory) == 0);
}

#endif
