/* process.h: what the parts of this directory share about a program's child processes: the handle, and
 * the lists in children.c.
 */
#ifndef KIN_PROCESS_PROCESS_H
#define KIN_PROCESS_PROCESS_H

#include <stdbool.h>

#include <kin/process.h>

#include "process/death.h"
#include "process/group.h"
#include "process/tail.h"

#define KIN__PROCESS_NAME_SIZE 64

/* Private memory of the process `owner`, which started it; see children.c. */
struct kin_process {
    struct kin_process *next;
    struct kin_process *previous;
    int owner;
    int pid;
    int descriptor;
    bool daemon;
    bool served; /* forked by a server, which alone can collect it… */
    bool ended;
    unsigned pins;
    uint64_t sequence;       /* …and reports its end by this number */
    uint64_t generation;     /* of the servers that this process has had */
    kin_deadline report_due; /* 0, or when it is no longer waited for what the server has collected */
    kin_exit_status status;  /* once it has ended */
    struct kin__group group; /* constant until the close */
    struct kin__vigil vigil; /* `killed` under the lock, the rest constant */
    struct kin__tail *tail;  /* of its stderr; NULL: not kept */
    int stderr_end;          /* what is the child's stderr, while it is started; -1: the caller's */
    char *said;              /* once it has ended: what it has written there last, ended by a NUL… */
    size_t said_size;        /* …so many bytes, */
    size_t said_most;        /* of at most so many */
    char name[KIN__PROCESS_NAME_SIZE];
};

/* Makes a handle for a child that is about to be started, with its name, which fits; collects
 * others that have ended and that nobody asks about.  -ENOMEM. */
int kin__process_make(kin_process **made, const kin_process_options *options);
/* Frees a handle that is in no list, with its descriptor, if it has one, and its control group. */
void kin__process_free(kin_process *process);
/* From now on the child is one of the running. */
void kin__process_started(kin_process *child);

/* Around its start by a server: its end may be reported before it is one of the running.  Returns its
 * number. */
uint64_t kin__process_expect(kin_process *child);
void kin__process_expect_no_more(kin_process *child);
/* The server has told who the expected one is; its end may have been reported before. */
void kin__process_answered(kin_process *child, int pid, int descriptor);
/* Takes the reports that there are.  Has the expected one ended? */
bool kin__process_look_at_new(kin_process *child);
void kin__processes_look(void);

/* 1 when the child has ended, 0 while it runs; an error of the system. */
int kin__process_has_ended(kin_process *child);
/* Waits for a child that the caller has pinned, under the lock.  -ETIMEDOUT, -ECANCELED. */
int kin__process_await(kin_process *child, kin_deadline deadline);
void kin__process_unpin(kin_process *child);
/* With the lock held: looks whether the child has ended; 1 if anything is news, other positive numbers and errors
 * if not. */
int kin__process_collect(kin_process *child);
/* Without it: says so to the family, if it is. */
void kin__process_tell(int news);
/* With the lock held: the child has ended, and its handle is about to be freed. */
void kin__process_delist(kin_process *child);

/* In a child that was just forked: closes what its parent had open for its children. */
void kin__processes_disown(void);

/* At the end of this process: ends its daemon children and waits for the others. */
void kin__processes_end(void);

#endif
