/* group.c: see group.h.
 *
 * A group that kin has made bears the process that made it in its name: "kin-NAMESPACE-PID-SINCE-N".
 * CRASH: killed before it has removed the group, that process leaves an empty directory, or one in
 * which what it started still runs; whoever makes a group in the same place next removes it.  Only
 * of a process that is gone for certain: a group may be empty because it is not used yet.
 */
#include "process/group.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "os/cgroup.h"
#include "os/os.h"
#include "os/suspend.h"
#include "process/words.h"

/* The period of cpu.max, in microseconds. */
#define PERIOD 100000

/* How long a group may be busy in which there are no processes any more. */
#define BUSY_MS 100

/* Numbers the groups of this process. */
static _Atomic unsigned made;

static bool is_wanted(const kin_limits *limits)
{
    return limits->memory_max != 0 || limits->cpu_max != 0 || limits->pids_max != 0 || limits->own_cgroup ||
           limits->cgroup != NULL || limits->cgroup_parent != NULL;
}

/* ---- where it can be --------------------------------------------------------------------------- */

static int refuse(int rc, const char *directory)
{
    if (rc == -EACCES || rc == -EPERM || rc == -EROFS)
        return kin__start_fail(rc, "cgroup v2 is not delegated: %s", directory);
    return kin__start_fail(rc, "cannot make a control group in %s", directory);
}

/* Makes the controller work in the groups below the parent. */
static int enable(const char *parent, const char *controller)
{
    char word[16];
    int rc = kin__os_cgroup_lists(parent, "cgroup.subtree_control", controller);
    if (rc < 0) return refuse(rc, parent);
    if (rc > 0) return 0;
    if (kin__os_cgroup_lists(parent, "cgroup.controllers", controller) != 1)
        return kin__start_say(-EOPNOTSUPP, "cgroup v2 has no %s controller in %s", controller, parent);
    snprintf(word, sizeof word, "+%s", controller);
    rc = kin__os_cgroup_write(parent, "cgroup.subtree_control", word);
    if (rc == -EBUSY)
        return kin__start_say(rc, "cgroup v2 limits nothing below %s while processes are in it", parent);
    return rc < 0 ? refuse(rc, parent) : 0;
}

static int enable_all(const char *parent, const kin_limits *limits)
{
    int rc = 0;
    if (limits->memory_max != 0) rc = enable(parent, "memory");
    if (rc == 0 && limits->cpu_max != 0) rc = enable(parent, "cpu");
    if (rc == 0 && limits->pids_max != 0) rc = enable(parent, "pids");
    return rc;
}

/* ---- names -------------------------------------------------------------------------------------- */

static void remove_stale(const char *parent, const char *name)
{
    char directory[PATH_MAX];
    uint64_t namespace, own;
    int64_t since;
    int pid;
    if (sscanf(name, "kin-%" SCNx64 "-%d-%" SCNd64 "-", &namespace, &pid, &since) != 3) return;
    if (kin__os_pid_namespace(&own) < 0 || namespace != own || kin__os_process_gone(pid, since) != 1) return;
    if (snprintf(directory, sizeof directory, "%s/%s", parent, name) < (int)sizeof directory)
        kin__os_cgroup_remove(directory);
}

static int make_in(struct kin__group *group, const char *parent, const kin_limits *limits)
{
    char name[96], directory[PATH_MAX];
    uint64_t namespace;
    int rc = enable_all(parent, limits);
    if (rc == 0 && (rc = kin__os_pid_namespace(&namespace)) < 0)
        kin__start_fail(rc, "cannot name a control group");
    if (rc < 0) return rc;
    kin__os_cgroup_each(parent, remove_stale);
    snprintf(name, sizeof name, "kin-%" PRIx64 "-%d-%" PRId64 "-%u", namespace, kin__os_pid(),
             kin__os_boot_clock(), atomic_fetch_add_explicit(&made, 1, memory_order_relaxed));
    rc = kin__os_cgroup_make(parent, name, directory, sizeof directory);
    if (rc < 0) return refuse(rc, parent);
    group->directory = kin__os_copy(directory);
    if (group->directory == NULL) {
        kin__os_cgroup_remove(directory);
        return kin__start_fail(-ENOMEM, "cannot make a control group");
    }
    group->made = true;
    return 0;
}

/* Below this process's group; or, as that cannot have limited ones while it has processes, beside it. */
static int make_anywhere(struct kin__group *group, const kin_limits *limits)
{
    char own[PATH_MAX];
    int rc = kin__os_cgroup_own(own, sizeof own);
    if (rc == -ENOENT) return kin__start_say(rc, "there is no cgroup v2 here to limit a process by");
    if (rc < 0) return kin__start_fail(rc, "cannot find this process's control group");
    int below = make_in(group, own, limits);
    if (below == 0 || below == -ENOMEM) return below;
    char *end = strrchr(own, '/');
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(end - own), own);
    /* The topmost one has no file that counts events. */
    bool topmost = kin__os_cgroup_lists(own, "cgroup.type", "domain") == -ENOENT;
    if (!topmost && make_in(group, parent, limits) == 0) return 0;
    /* Once more, so that the words are those for the nearest place. */
    return topmost ? below : make_in(group, own, limits);
}

/* ---- its limits --------------------------------------------------------------------------------- */

static int set(const struct kin__group *group, const char *file, const char *text)
{
    int rc = kin__os_cgroup_write(group->directory, file, text);
    return rc < 0 ? kin__start_fail(rc, "cannot set %s of the control group %s", file, group->directory) : 0;
}

static int set_all(const struct kin__group *group, const kin_limits *limits)
{
    char text[48];
    int rc = 0;
    if (limits->memory_max != 0) {
        snprintf(text, sizeof text, "%" PRIu64, limits->memory_max);
        rc = set(group, "memory.max", text);
    }
    if (rc == 0 && limits->cpu_max != 0) {
        snprintf(text, sizeof text, "%" PRIu64 " %d", limits->cpu_max * (PERIOD / 1000), PERIOD);
        rc = set(group, "cpu.max", text);
    }
    if (rc == 0 && limits->pids_max != 0) {
        snprintf(text, sizeof text, "%" PRIu64, limits->pids_max);
        rc = set(group, "pids.max", text);
    }
    return rc;
}

/* ---- both ----------------------------------------------------------------------------------------- */

int kin__group_open(struct kin__group *group, const kin_limits *limits)
{
    int rc = 0;
    *group = (struct kin__group){0};
    if (limits == NULL || !is_wanted(limits)) return 0;
    if (limits->cgroup == NULL) {
        rc = limits->cgroup_parent != NULL ? make_in(group, limits->cgroup_parent, limits)
                                           : make_anywhere(group, limits);
    } else {
        group->directory = kin__os_copy(limits->cgroup);
        if (group->directory == NULL) rc = kin__start_fail(-ENOMEM, "cannot use a control group");
    }
    if (rc == 0) rc = set_all(group, limits);
    if (rc < 0) kin__group_close(group);
    return rc;
}

/* A group is still busy for a moment after the last of it has ended. */
static void remove_made(const char *directory)
{
    kin_deadline deadline = kin_in_ms(BUSY_MS);
    while (kin__os_cgroup_remove(directory) == -EBUSY && kin_clock() < deadline) {
        int *pids;
        size_t count;
        if (kin__os_cgroup_pids(directory, &pids, &count) < 0) return;
        kin__os_free(pids);
        if (count > 0) return;
        kin__os_pause_until(kin_in_ms(1));
    }
}

void kin__group_close(struct kin__group *group)
{
    if (group->made) remove_made(group->directory);
    kin__os_free(group->directory);
    *group = (struct kin__group){0};
}
