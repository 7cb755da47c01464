/* processors.c: how many processors there are for this process. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/processes.h"
#include "os/read.h"

void kin__os_yield(void)
{
    sched_yield();
}

int kin__os_cpus_online(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int)count : 1;
}

/* The processors that this process may run on, for free; NULL: it is not known. */
static cpu_set_t *affinity(size_t *bytes)
{
    /* The kernel refuses a mask that is smaller than its own. */
    for (*bytes = sizeof(cpu_set_t); *bytes <= 1 << 16; *bytes *= 2) {
        cpu_set_t *set = malloc(*bytes);
        if (set == NULL || sched_getaffinity(0, *bytes, set) == 0) return set;
        int error = errno;
        free(set);
        if (error != EINVAL) break;
    }
    return NULL;
}

static int count_affinity(void)
{
    size_t bytes;
    cpu_set_t *set = affinity(&bytes);
    int count = set != NULL ? CPU_COUNT_S(bytes, set) : 0;
    free(set);
    return count > 0 ? count : 1;
}

int kin__os_cpu_usable(unsigned n)
{
    size_t bytes;
    int found = 0;
    cpu_set_t *set = affinity(&bytes);
    int count = set != NULL ? CPU_COUNT_S(bytes, set) : 0;
    for (unsigned left = count > 0 ? n % (unsigned)count : 0; count > 0; found++)
        if (CPU_ISSET_S((size_t)found, bytes, set) && left-- == 0) break;
    free(set);
    return found;
}

int kin__os_cpu_here(void)
{
    return sched_getcpu();
}

/* ---- the quota of control groups ---------------------------------------------------------------- */

/* A group's own, in processors; 0: none. */
static int quota_of(const char *directory, bool unified)
{
    char path[4200], text[64];
    long quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/%s", directory, unified ? "cpu.max" : "cpu.cfs_quota_us");
    if (kin__os_read_text(path, text, sizeof text) < 0) return 0;
    int count = sscanf(text, "%ld %ld", &quota, &period);
    if (!unified && count == 1) {
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
        if (kin__os_read_text(path, text, sizeof text) < 0) return 0;
        count += sscanf(text, "%ld", &period);
    }
    if (count != 2 || quota <= 0 || period <= 0) return 0;
    return (int)((quota + period - 1) / period);
}

int kin__os_cpu_quota(const char *root, const char *group, bool unified)
{
    char path[4096];
    int least = 0;
    size_t length = strlen(root);
    if ((size_t)snprintf(path, sizeof path, "%s%s", root, group) >= sizeof path) return 0;
    /* That of each group above counts as well. */
    for (;;) {
        int quota = quota_of(path, unified);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash < path + length) return least;
        *slash = '\0';
    }
}

static bool has_controller(const char *controllers, const char *wanted)
{
    size_t length = strlen(wanted);
    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, wanted, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
    }
    return false;
}

static int quota_of_all(void)
{
    char groups[4096];
    int least = 0;
    if (kin__os_read_text("/proc/self/cgroup", groups, sizeof groups) < 0) return 0;
    /* "0::/path" is the unified hierarchy, "4:cpu,cpuacct:/path" the older one. */
    char *rest = groups;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *controllers = strchr(line, ':');
        char *place = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (place == NULL) continue;
        *place++ = '\0';
        bool unified = *++controllers == '\0';
        if (!unified && !has_controller(controllers, "cpu")) continue;
        int quota = kin__os_cpu_quota(unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu",
                                      strcmp(place, "/") == 0 ? "" : place, unified);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    return least;
}

int kin__os_cpu_count(void)
{
    int count = count_affinity();
    int quota = count > 1 ? quota_of_all() : 0;
    return quota > 0 && quota < count ? quota : count;
}
