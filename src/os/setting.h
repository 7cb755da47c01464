/* setting.h: what is set in a new process before anything of its own runs in it: its session,
 * limits, place, directory and user.  The rules of os.h hold here too.
 *
 * Used by a child that shares its parent's memory until it is another program (spawn.c) and by one
 * that was forked, so everything here is system calls only. */
#ifndef KIN_OS_SETTING_H
#define KIN_OS_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <kin/limits.h>

/* What was being done when a start failed. */
enum kin__step {
    KIN__STEP_CREATE, /* the process itself */
    KIN__STEP_SESSION,
    KIN__STEP_CGROUP,
    KIN__STEP_PARENT,
    KIN__STEP_STREAMS,
    KIN__STEP_TERMINAL,
    KIN__STEP_RESOURCE, /* `item` is its index */
    KIN__STEP_NICE,
    KIN__STEP_IO,
    KIN__STEP_SCHEDULE,
    KIN__STEP_CPUS,
    KIN__STEP_NODES,
    KIN__STEP_DIRECTORY,
    KIN__STEP_USER,
    KIN__STEP_FUNCTION,
    KIN__STEP_CLOSE,
    KIN__STEP_EXECUTE
};

struct kin__setting {
    bool new_session;
    bool controlling_terminal; /* its standard input */
    bool set_umask;
    bool set_user, set_group, set_groups;
    int process_group; /* 0: this process's, < 0: one of its own */
    int control_group; /* a descriptor of cgroup.procs; < 0: this process's */
    int nice;
    int io;       /* as ioprio_set has it; 0: as it is */
    int schedule; /* SCHED_…; < 0: as it is */
    int schedule_priority;
    unsigned umask;
    uid_t user;
    gid_t group;
    const gid_t *groups;
    size_t group_count;
    const kin_resource_limit *resources;
    size_t resource_count;
    const uint64_t *cpus; /* bits; NULL: as they are */
    size_t cpu_words;
    const uint64_t *nodes;
    size_t node_words;
    const char *directory;

    /* Out, after a failure. */
    enum kin__step step;
    unsigned item;
};

/* What a setting is that changes nothing. */
#define KIN__SETTING_NONE ((struct kin__setting){.control_group = -1, .schedule = -1})

/* Does it take a fork: another user, with whom no memory may be shared? */
static inline bool kin__os_setting_forks(const struct kin__setting *setting)
{
    return setting->set_user || setting->set_group || setting->set_groups;
}

/* Sets it in the calling process, which has one thread: first what decides whose it is, then,
 * once its standard streams are there, the rest.  0, or -1 with errno, `step` and `item`. */
int kin__os_setting_begin(struct kin__setting *setting);
int kin__os_setting_finish(struct kin__setting *setting);

#endif
