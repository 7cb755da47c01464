/* process.h: what the parts of this directory share about a program's child processes: the handle, and
 * the lists in process.c.
 */
#ifndef KIN_PROCESS_PROCESS_H
#define KIN_PROCESS_PROCESS_H

#include <stdbool.h>

#include <kin/process.h>

#define KIN__PROCESS_NAME_SIZE 64

/* Private memory of the process `owner`, which started it; see process.c. */
struct kin_process {
    struct kin_process *next;
    struct kin_process *previous;
    int owner;
    int pid;
    int descriptor;
    bool daemon;
    bool ended;
    unsigned pins;
    kin_exit_status status; /* once it has ended */
    char name[KIN__PROCESS_NAME_SIZE];
};

/* Makes a handle for a child that is about to be started, with its name; collects others that have
 * ended and that nobody asks about.  -EINVAL (the name), -ENOMEM. */
int kin__process_make(kin_process **made, const kin_process_options *options);
/* From now on the child is one of the running. */
void kin__process_started(kin_process *child);

/* At the end of this process: ends its daemon children and waits for the others. */
void kin__processes_end(void);

#endif
