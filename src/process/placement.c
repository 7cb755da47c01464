/* placement.c: see placement.h.
 *
 * All that needs memory or libc happens here, before the new process is there.
 */
#define _GNU_SOURCE
#include "process/placement.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include <kin/process.h>

#include "os/cgroup.h"
#include "os/os.h"
#include "os/spawn.h"
#include "process/words.h"

/* More processors or nodes than any kernel has. */
#define NUMBERS_MOST 8192u

/* A priority of ioprio_set is the class above these bits, and a number in it. */
#define IO_CLASS_SHIFT 13

/* ---- the environment --------------------------------------------------------------------------------- */

static size_t count_of(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL) count++;
    return count;
}

static size_t name_length(const char *assignment)
{
    return strcspn(assignment, "=");
}

static bool same_name(const char *one, const char *other)
{
    size_t length = name_length(one);
    return name_length(other) == length && memcmp(one, other, length) == 0;
}

static bool is_changed(const char *assignment, const char *const *changes)
{
    for (; *changes != NULL; changes++) {
        if (same_name(assignment, *changes)) return true;
    }
    return false;
}

/* The last change of a name counts, as the last assignment of a shell does. */
static int change_environment(struct kin__placement *placement, const char *const *base,
                              const char *const *changes)
{
    size_t count = 0;
    const char **made = kin__os_malloc((count_of(base) + count_of(changes) + 1) * sizeof *made);
    placement->changed = made;
    if (made == NULL) return kin__start_fail(-ENOMEM, "cannot make the environment");
    for (; base != NULL && *base != NULL; base++) {
        if (!is_changed(*base, changes)) made[count++] = *base;
    }
    for (; *changes != NULL; changes++) {
        if ((*changes)[0] == '=' || (*changes)[0] == '\0')
            return kin__start_say(-EINVAL, "env_changes has \"%s\", which has no name", *changes);
        if (strchr(*changes, '=') != NULL && !is_changed(*changes, changes + 1)) made[count++] = *changes;
    }
    made[count] = NULL;
    placement->environment = made;
    return 0;
}

/* ---- users --------------------------------------------------------------------------------------------- */

static int say_unknown(int rc, const char *kind, const char *name)
{
    if (rc == -ENOENT) return kin__start_say(rc, "there is no %s %s", kind, name);
    return kin__start_fail(rc, "cannot look up the %s %s", kind, name);
}

static int find_user(struct kin__placement *placement, const struct kin__wish *wish)
{
    struct kin__setting *setting = &placement->setting;
    gid_t first;
    int rc = 0;
    if (wish->user != NULL) {
        rc = kin__os_user_find(wish->user, &setting->user, &first);
        if (rc < 0) return say_unknown(rc, "user", wish->user);
        setting->set_user = true;
    }
    if (wish->group != NULL) {
        rc = kin__os_group_find(wish->group, &setting->group);
        if (rc < 0) return say_unknown(rc, "group", wish->group);
        setting->set_group = true;
    }
    if (wish->extra_groups == NULL) return 0;
    size_t count = count_of(wish->extra_groups);
    placement->groups = kin__os_malloc((count + 1) * sizeof *placement->groups);
    if (placement->groups == NULL) return kin__start_fail(-ENOMEM, "cannot look up the groups");
    for (size_t i = 0; i < count; i++) {
        rc = kin__os_group_find(wish->extra_groups[i], &placement->groups[i]);
        if (rc < 0) return say_unknown(rc, "group", wish->extra_groups[i]);
    }
    setting->groups = placement->groups;
    setting->group_count = count;
    setting->set_groups = true;
    return 0;
}

/* ---- limits -------------------------------------------------------------------------------------------- */

static int check_limits(const kin_limits *limits)
{
    if (limits->resources == NULL && limits->resource_count > 0)
        return kin__start_say(-EINVAL, "resources is NULL and resource_count is not 0");
    if (limits->io_class < KIN_IO_INHERITED || limits->io_class > KIN_IO_IDLE || limits->io_priority < 0 ||
        limits->io_priority > 7)
        return kin__start_say(-EINVAL, "io_class is %d, io_priority %d", (int)limits->io_class,
                              limits->io_priority);
    if (limits->schedule < KIN_SCHEDULE_INHERITED || limits->schedule > KIN_SCHEDULE_RR)
        return kin__start_say(-EINVAL, "schedule is %d, which means nothing", (int)limits->schedule);
    if (limits->cpu_max > UINT64_MAX / 1000)
        return kin__start_say(-EINVAL, "cpu_max is more than any machine has");
    if (limits->cgroup != NULL && (limits->cgroup_parent != NULL || limits->own_cgroup))
        return kin__start_say(-EINVAL, "cgroup names a control group, and another is to be made as well");
    for (size_t i = 0; i < sizeof limits->reserved / sizeof *limits->reserved; i++) {
        if (limits->reserved[i] != 0) return kin__start_say(-EINVAL, "a reserved limit is not 0");
    }
    return 0;
}

static int set_bits(const char *kind, const unsigned *numbers, size_t count, uint64_t *bits, size_t *words)
{
    *words = 0;
    if (numbers == NULL) return 0;
    if (count == 0) return kin__start_say(-EINVAL, "the list of %s is empty", kind);
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] >= NUMBERS_MOST)
            return kin__start_say(-EINVAL, "there is no %u among the %s", numbers[i], kind);
        bits[numbers[i] / 64] |= (uint64_t)1 << numbers[i] % 64;
        if (numbers[i] / 64 >= *words) *words = numbers[i] / 64 + 1;
    }
    return 0;
}

static int place(struct kin__placement *placement, const kin_limits *limits)
{
    struct kin__setting *setting = &placement->setting;
    if (limits->cpus == NULL && limits->nodes == NULL) return 0;
    placement->bits = kin__os_calloc(NUMBERS_MOST / 64 * 2, sizeof *placement->bits);
    if (placement->bits == NULL) return kin__start_fail(-ENOMEM, "cannot place the process");
    uint64_t *nodes = placement->bits + NUMBERS_MOST / 64;
    int rc = set_bits("cpus", limits->cpus, limits->cpu_count, placement->bits, &setting->cpu_words);
    if (rc == 0) rc = set_bits("nodes", limits->nodes, limits->node_count, nodes, &setting->node_words);
    if (setting->cpu_words > 0) setting->cpus = placement->bits;
    if (setting->node_words > 0) setting->nodes = nodes;
    return rc;
}

static int take_limits(struct kin__placement *placement, const kin_limits *limits)
{
    static const int schedules[] = {-1, SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR};
    struct kin__setting *setting = &placement->setting;
    int rc = check_limits(limits);
    if (rc < 0) return rc;
    setting->resources = limits->resources;
    setting->resource_count = limits->resource_count;
    setting->nice = limits->nice;
    if (limits->io_class != KIN_IO_INHERITED)
        setting->io = (int)limits->io_class << IO_CLASS_SHIFT | limits->io_priority;
    setting->schedule = schedules[limits->schedule];
    setting->schedule_priority = limits->schedule_priority;
    return place(placement, limits);
}

static int join_group(struct kin__placement *placement, const kin_limits *limits)
{
    int rc = kin__group_open(&placement->group, limits);
    if (rc < 0 || placement->group.directory == NULL) return rc;
    placement->setting.control_group = kin__os_open_below(placement->group.directory, "cgroup.procs");
    if (placement->setting.control_group >= 0) return 0;
    return kin__start_fail(placement->setting.control_group, "cannot use the control group %s",
                           placement->group.directory);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

bool kin__wish_is_empty(const struct kin__wish *wish)
{
    return wish->limits == NULL && wish->env == NULL && wish->env_changes == NULL && wish->cwd == NULL &&
           !wish->new_session && !wish->controlling_terminal && wish->process_group == 0 &&
           !wish->set_umask && wish->user == NULL && wish->group == NULL && wish->extra_groups == NULL;
}

static int check(const struct kin__wish *wish)
{
    if (wish->controlling_terminal && !wish->new_session)
        return kin__start_say(-EINVAL, "a controlling terminal takes a new session");
    if (wish->new_session && wish->process_group != 0)
        return kin__start_say(-EINVAL, "a new session has a process group of its own");
    if (wish->process_group < KIN_OWN_GROUP)
        return kin__start_say(-EINVAL, "process_group is %d", wish->process_group);
    return 0;
}

int kin__placement_make(struct kin__placement *placement, const struct kin__wish *wish)
{
    *placement = (struct kin__placement){.setting = KIN__SETTING_NONE, .environment = wish->env};
    placement->setting.new_session = wish->new_session;
    placement->setting.controlling_terminal = wish->controlling_terminal;
    placement->setting.process_group = wish->process_group;
    placement->setting.set_umask = wish->set_umask;
    placement->setting.umask = wish->umask;
    placement->setting.directory = wish->cwd;
    const char *const *base = wish->env != NULL ? wish->env : kin__os_environment();
    int rc = check(wish);
    if (rc == 0 && wish->env_changes != NULL) rc = change_environment(placement, base, wish->env_changes);
    if (rc == 0) rc = find_user(placement, wish);
    if (rc == 0 && wish->limits != NULL) rc = take_limits(placement, wish->limits);
    if (rc == 0 && wish->limits != NULL) rc = join_group(placement, wish->limits);
    return rc;
}

struct kin__group kin__placement_take_group(struct kin__placement *placement)
{
    struct kin__group group = placement->group;
    placement->group = (struct kin__group){0};
    return group;
}

void kin__placement_free(struct kin__placement *placement)
{
    if (placement->setting.control_group >= 0) kin__os_close(placement->setting.control_group);
    kin__group_close(&placement->group);
    kin__os_free(placement->changed);
    kin__os_free(placement->groups);
    kin__os_free(placement->bits);
}

/* ---- what could not be set ----------------------------------------------------------------------------- */

static const char *resource_name(int resource)
{
    static const struct {
        int resource;
        const char *name;
    } names[] = {
        {RLIMIT_CPU, "RLIMIT_CPU"},           {RLIMIT_FSIZE, "RLIMIT_FSIZE"},
        {RLIMIT_DATA, "RLIMIT_DATA"},         {RLIMIT_STACK, "RLIMIT_STACK"},
        {RLIMIT_CORE, "RLIMIT_CORE"},         {RLIMIT_RSS, "RLIMIT_RSS"},
        {RLIMIT_NPROC, "RLIMIT_NPROC"},       {RLIMIT_NOFILE, "RLIMIT_NOFILE"},
        {RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"},   {RLIMIT_AS, "RLIMIT_AS"},
        {RLIMIT_LOCKS, "RLIMIT_LOCKS"},       {RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"},
        {RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"}, {RLIMIT_NICE, "RLIMIT_NICE"},
        {RLIMIT_RTPRIO, "RLIMIT_RTPRIO"},     {RLIMIT_RTTIME, "RLIMIT_RTTIME"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].resource == resource) return names[i].name;
    }
    return "an unknown limit";
}

int kin__placement_say(const struct kin__setting *setting, const struct kin__group *group, const char *name,
                       int rc)
{
    switch (setting->step) {
    case KIN__STEP_SESSION: return kin__start_fail(rc, "cannot set the process group of %s", name);
    case KIN__STEP_CGROUP:
        return kin__start_fail(rc, "cannot move %s into the control group %s", name, group->directory);
    case KIN__STEP_TERMINAL: return kin__start_fail(rc, "cannot give %s a controlling terminal", name);
    case KIN__STEP_RESOURCE:
        return kin__start_fail(rc, "cannot set %s of %s",
                               resource_name(setting->resources[setting->item].resource), name);
    case KIN__STEP_NICE: return kin__start_fail(rc, "cannot set the priority of %s", name);
    case KIN__STEP_IO: return kin__start_fail(rc, "cannot set the I/O priority of %s", name);
    case KIN__STEP_SCHEDULE: return kin__start_fail(rc, "cannot set the scheduling of %s", name);
    case KIN__STEP_CPUS: return kin__start_fail(rc, "cannot bind %s to these processors", name);
    case KIN__STEP_NODES: return kin__start_fail(rc, "cannot bind the memory of %s to these nodes", name);
    case KIN__STEP_DIRECTORY:
        return kin__start_fail(rc, "cannot run %s in the directory %s", name, setting->directory);
    case KIN__STEP_USER: return kin__start_fail(rc, "cannot run %s as another user or group", name);
    default: return kin__start_fail(rc, "cannot start %s", name);
    }
}
