/* processes.h: what /proc tells of any process of the machine.  The rules of os.h hold here too. */
#ifndef KIN_OS_PROCESSES_H
#define KIN_OS_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kin__process_note {
    int pid;
    int parent;
    int group;
    int session;
    char state; /* as in proc(5) */
    long threads;
    uint64_t start;    /* clock ticks since boot; with the pid it names a process for ever */
    uint64_t cpu;      /* clock ticks it has used */
    uint64_t resident; /* pages */
    char name[64];
};

/* -ENOENT or -ESRCH: there is no such process. */
int kin__os_process_note(int pid, struct kin__process_note *note);
/* It has ended: a zombie, all of it. */
bool kin__os_process_is_over(const struct kin__process_note *note);
/* A moment of the boot clock, in the unit of `start`. */
uint64_t kin__os_process_ticks(int64_t boot);
/* The processor time and the memory of a note, in ns and in bytes. */
int64_t kin__os_process_cpu(const struct kin__process_note *note);
uint64_t kin__os_process_memory(const struct kin__process_note *note);

/* Those that there are, each looked at once; the list is for kin__os_free.  Processes that come or
 * go meanwhile may be in it or not. */
int kin__os_processes(struct kin__process_note **list, size_t *count);

struct kin__file {
    uint64_t device;
    uint64_t inode;
    bool written; /* to, by who is meant; otherwise read from */
};
/* Whether the process has one of the files open in that way, as far as this process may know. */
bool kin__os_process_holds(int pid, const struct kin__file *files, size_t count);

/* What the quotas of a control group and of those above it, up to `root`, are worth in processors,
 * rounded up; 0: there is none.  `group` is "" or begins with a slash. */
int kin__os_cpu_quota(const char *root, const char *group, bool unified);

/* Makes room for one more in a list that has `count` of that size, for kin__os_free; -ENOMEM. */
int kin__os_make_room(void **list, size_t count, size_t size);

#endif
