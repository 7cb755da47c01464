/* tail.h: the last of what a process writes to stderr, kept for who asks how it ended.
 *
 * The process writes into a pipe.  What comes from it goes on to this process's own stderr, so that
 * people see it as they would otherwise; where that takes nothing, the process waits as it would there.
 */
#ifndef KIN_PROCESS_TAIL_H
#define KIN_PROCESS_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/handle.h"

/* Private memory.  Its descriptor is the end of the pipe that is read: no child keeps it. */
struct kin__tail {
    struct kin__handle handle;
    size_t size; /* how much is kept */
    uint64_t total;
    char *bytes; /* byte i of all that came is in bytes[i % size] */
    /* With a thread that reads; under its lock. */
    struct kin__tail *next;
    size_t place; /* among what it polls; 0: not yet */
    bool orphan;  /* nobody asks any more */
};

/* ---- tail.c: for who polls it ----------------------------------------------------------------- */

/* `*theirs` is the end for the process, which the caller closes once it is started.
 * -ENOMEM, -EMFILE, -ENFILE. */
int kin__tail_open(struct kin__tail *tail, size_t size, int *theirs);
/* Takes what is there, a page at most.  1: something came; 0: nothing is there now; -EAGAIN: stderr has no
 * room for more; -EPIPE: nobody has the other end any more. */
int kin__tail_take(struct kin__tail *tail);
/* At the end of the process: takes all that is in the pipe; waits for nothing. */
void kin__tail_drain(struct kin__tail *tail);
/* The last bytes, at most `room`; returns how many. */
size_t kin__tail_copy(const struct kin__tail *tail, char *to, size_t room);
void kin__tail_close(struct kin__tail *tail);

/* ---- tail_reader.c: read by a thread of this process, as long as there are any ------------------ */

/* Errors: those of kin__tail_open, and -EAGAIN. */
int kin__tail_begin(struct kin__tail **made, size_t size, int *theirs);
/* As kin__tail_drain and kin__tail_copy. */
size_t kin__tail_finish(struct kin__tail *tail, char *to, size_t room);
/* The caller asks no more.  As long as somebody has the other end, it is read. */
void kin__tail_forget(struct kin__tail *tail);
/* How many threads there are for that: one, or none. */
int kin__tail_threads(void);

#endif
