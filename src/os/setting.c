/* setting.c: see setting.h.
 *
 * Part of this runs in the memory of another process, the parent: see spawn.c, whose invariants are
 * those of this file. */
#define _GNU_SOURCE
#include "os/setting.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IO_WHO_PROCESS 1
#define MEMORY_BIND    2 /* MPOL_BIND of <linux/mempolicy.h> */

static int set_session(const struct kin__setting *setting)
{
    if (setting->new_session && syscall(SYS_setsid) < 0) return -1;
    if (setting->process_group == 0 || setting->new_session) return 0;
    return (int)syscall(SYS_setpgid, 0, setting->process_group < 0 ? 0 : setting->process_group);
}

static int set_control_group(const struct kin__setting *setting)
{
    if (setting->control_group < 0) return 0;
    return syscall(SYS_write, setting->control_group, "0", 1) == 1 ? 0 : -1;
}

static int set_resources(struct kin__setting *setting)
{
    for (size_t i = 0; i < setting->resource_count; i++) {
        const kin_resource_limit *limit = &setting->resources[i];
        const uint64_t pair[2] = {limit->soft, limit->hard};
        setting->item = (unsigned)i;
        if (syscall(SYS_prlimit64, 0, limit->resource, pair, NULL) < 0) return -1;
    }
    return 0;
}

static int set_nice(const struct kin__setting *setting)
{
    if (setting->nice == 0) return 0;
    /* The system call returns 20 minus the value, so that it is not negative. */
    long now = 20 - syscall(SYS_getpriority, PRIO_PROCESS, 0);
    return (int)syscall(SYS_setpriority, PRIO_PROCESS, 0, now + setting->nice);
}

static int set_schedule(const struct kin__setting *setting)
{
    if (setting->schedule < 0) return 0;
    return (int)syscall(SYS_sched_setscheduler, 0, setting->schedule, &setting->schedule_priority);
}

static int set_user(const struct kin__setting *setting)
{
    if (setting->set_groups && syscall(SYS_setgroups, setting->group_count, setting->groups) < 0) return -1;
    if (setting->set_group && syscall(SYS_setresgid, setting->group, setting->group, setting->group) < 0)
        return -1;
    if (setting->set_user && syscall(SYS_setresuid, setting->user, setting->user, setting->user) < 0)
        return -1;
    return 0;
}

int kin__os_setting_begin(struct kin__setting *setting)
{
    if (setting->step = KIN__STEP_SESSION, set_session(setting) < 0) return -1;
    setting->step = KIN__STEP_CGROUP;
    return set_control_group(setting);
}

int kin__os_setting_finish(struct kin__setting *s)
{
    s->step = KIN__STEP_TERMINAL;
    if (s->controlling_terminal && syscall(SYS_ioctl, 0, TIOCSCTTY, 0) < 0) return -1;
    if (s->step = KIN__STEP_RESOURCE, set_resources(s) < 0) return -1;
    if (s->step = KIN__STEP_NICE, set_nice(s) < 0) return -1;
    s->step = KIN__STEP_IO;
    if (s->io != 0 && syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0, s->io) < 0) return -1;
    if (s->step = KIN__STEP_SCHEDULE, set_schedule(s) < 0) return -1;
    s->step = KIN__STEP_CPUS;
    if (s->cpus != NULL && syscall(SYS_sched_setaffinity, 0, s->cpu_words * 8, s->cpus) < 0) return -1;
    s->step = KIN__STEP_NODES;
    /* The kernel reads one bit less than it is told. */
    if (s->nodes != NULL && syscall(SYS_set_mempolicy, MEMORY_BIND, s->nodes, s->node_words * 64 + 1) < 0)
        return -1;
    s->step = KIN__STEP_DIRECTORY;
    if (s->directory != NULL && syscall(SYS_chdir, s->directory) < 0) return -1;
    if (s->set_umask) syscall(SYS_umask, s->umask);
    s->step = KIN__STEP_USER;
    return set_user(s);
}
