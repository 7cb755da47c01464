/* kin/limits.h: what a process may use, and where it runs; for kin_process_start and for
 * kin_subprocess_start and its kin.
 *
 *     kin_limits limits = {.memory_max = 20 << 20, .nice = 10};
 *     rc = kin_process_start(&child, work, NULL, &(kin_process_options){.limits = &limits});
 *     if (rc < 0) fprintf(stderr, "%s\n", kin_process_error());   // cgroup v2 is not delegated: …
 *
 * Whatever cannot be set is an error of the start, which then leaves nothing behind: a process
 * never runs with fewer limits than were asked for.  What all the structures below refer to is
 * used during the call only. */
#ifndef KIN_LIMITS_H
#define KIN_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/version.h>

KIN_BEGIN

typedef struct kin_resource_limit {
    int resource;  /* RLIMIT_… of <sys/resource.h> */
    uint64_t soft; /* UINT64_MAX: none */
    uint64_t hard;
} kin_resource_limit;

/* How the kernel shares out a disk, as ionice(1) sets it. */
enum kin_io_class {
    KIN_IO_INHERITED = 0,
    KIN_IO_REALTIME = 1, /* takes CAP_SYS_ADMIN or CAP_SYS_NICE */
    KIN_IO_BEST_EFFORT = 2,
    KIN_IO_IDLE = 3 /* only while nobody else wants it */
};

/* How the kernel shares out the processors, as sched(7) has it. */
enum kin_schedule {
    KIN_SCHEDULE_INHERITED = 0,
    KIN_SCHEDULE_OTHER = 1,
    KIN_SCHEDULE_BATCH = 2,
    KIN_SCHEDULE_IDLE = 3,
    KIN_SCHEDULE_FIFO = 4, /* these take CAP_SYS_NICE or RLIMIT_RTPRIO, and schedule_priority */
    KIN_SCHEDULE_RR = 5
};

typedef struct kin_limits {
    const kin_resource_limit *resources; /* as setrlimit(2) */
    size_t resource_count;

    int nice; /* added to the caller's */
    enum kin_io_class io_class;
    int io_priority; /* 0 (first) to 7, within the class */
    enum kin_schedule schedule;
    int schedule_priority; /* of FIFO and RR: 1 to 99 */

    const unsigned *cpus; /* numbers of the processors that it may run on; NULL: the caller's */
    size_t cpu_count;
    const unsigned *nodes; /* numbers of the NUMA nodes that its memory comes from; NULL: any */
    size_t node_count;

    /* A control group (version 2) for this process and its descendants.  kin makes one, below
     * `cgroup_parent` or else below or beside the caller's own, when one of the limits or
     * own_cgroup is set, and removes it with the handle.  Ending the tree is then complete, and
     * a death for want of memory is told for certain. */
    uint64_t memory_max; /* bytes; 0: no limit */
    uint64_t cpu_max;    /* thousandths of a processor: 1500 is one and a half; 0: no limit */
    uint64_t pids_max;   /* processes and threads; 0: no limit */
    bool own_cgroup;
    const char *cgroup_parent; /* a directory that is delegated to the caller */
    const char *cgroup;        /* instead: the directory of a group made for this process alone; stays */

    uint64_t reserved[8]; /* zero: for what is to come */
} kin_limits;

KIN_END
#endif
