/* death.h: what is known of a process's end besides its exit code or signal.
 * Docs: docs/design/061-causes-of-death.md. */
#ifndef KIN_PROCESS_DEATH_H
#define KIN_PROCESS_DEATH_H

#include <stdbool.h>
#include <stdint.h>

#include <kin/process.h>

/* Kept beside each process, from its start on.  Private memory of the handle. */
struct kin__vigil {
    kin_deadline started;
    bool own;          /* its own group counts */
    bool killed;       /* by the caller: no other cause is looked for */
    int64_t oom_kills; /* as last counted before; < 0: not known */
    uint64_t cpu_soft; /* RLIMIT_CPU, s */
    uint64_t cpu_hard;
    uint64_t file_size; /* RLIMIT_FSIZE */
};

/* Begins to watch a process that has just been started with these limits (NULL: none), in the control
 * group of that directory, if it has one of its own (NULL: none). */
void kin__vigil_begin(struct kin__vigil *vigil, const kin_limits *limits, const char *group);
/* Adds to the status of a process that has ended. */
void kin__vigil_end(const struct kin__vigil *vigil, const char *group, kin_exit_status *status);

/* What comes between who it was and the words for how it ended: "was ", for instance. */
const char *kin__death_verb(const kin_exit_status *status);
/* The cause alone, as words such as "killed by SIGKILL: out of memory"; like snprintf. */
int kin__death_text(const kin_exit_status *status, char *text, size_t size);

#endif
