/* subprocess.h: what the parts of subprocess*.c share: the handle and its streams.
 *
 * Invariants, all under the handle's lock: a command's status is collected once; a stream's
 * descriptor is closed only while no thread polls it; the handle is freed only while no thread is
 * in a function of it.  A handle belongs to the process `owner`: a child that inherited it by fork
 * may not use it, so the lock need not survive a fork.
 */
#ifndef KIN_PROCESS_SUBPROCESS_H
#define KIN_PROCESS_SUBPROCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <kin/subprocess.h>

#include "ipc/handle.h"
#include "process/death.h"
#include "process/group.h"

/* Commands of one pipeline. */
#define KIN__COMMANDS_MOST 64

struct kin__stream {
    /* This end of the pipe; -1: there is none (any more).  No process that is forked keeps it: the command
     * would wait for the end of its input as long as that process lives. */
    struct kin__handle handle;
    bool piped;       /* there was one */
    bool taken;       /* the caller has it */
    bool ended;       /* read to its end, or closed for writing */
    unsigned pollers; /* threads that poll the descriptor */
    /* Of an output: the bytes data[start … end) are collected and not read. */
    char *data;
    size_t start;
    size_t end;
    size_t capacity;
    size_t limit; /* of what is kept; SIZE_MAX: none */
    enum kin_excess excess;
    uint64_t dropped;
    uint64_t total; /* bytes that came */
    bool text;
    bool after_return; /* text: the last byte was "\r" */
    char *mark;        /* where a NUL stands instead of the byte `marked`; NULL: nowhere */
    char marked;
};

struct kin__command {
    int pid;
    int descriptor;
    bool ended;
    kin_exit_status status; /* once it has ended */
};

struct kin_subprocess {
    pthread_mutex_t lock;
    int owner;
    unsigned users;  /* threads in a function of this handle */
    int64_t started; /* boot clock, ns */
    struct kin__stream streams[3];
    const char *input; /* what communicate writes; the caller's */
    size_t input_size;
    size_t input_written;
    bool stop_at_exit;
    bool leads; /* each command leads a group or a session of its own */
    struct kin__group group;
    struct kin__vigil vigil;
    char *name; /* of the last command, for messages */
    size_t count;
    struct kin__command commands[];
};

/* ---- subprocess_start.c -------------------------------------------------------------------- */

/* Starts the commands; the words for an error are set. */
int kin__subprocess_start(kin_subprocess **out, const char *const *const *commands,
                          const kin_subprocess_options *options);
/* Frees a handle and all it has; a command that has not ended goes on unseen. */
void kin__subprocess_discard(kin_subprocess *subprocess);

/* ---- subprocess.c ---------------------------------------------------------------------------- */

/* Begins and ends the use of a handle, with its lock held between.
 * Errors: -EINVAL (NULL), KIN_ENOTCHILD. */
int kin__subprocess_enter(kin_subprocess *subprocess);
void kin__subprocess_leave(kin_subprocess *subprocess);

/* With the lock held: collects the status of a command; 1 when it has ended. */
int kin__command_collect(kin_subprocess *subprocess, struct kin__command *command);
/* Kills it, if this process may, and collects it: needs nothing that could be lacking. */
void kin__command_end(kin_subprocess *subprocess, struct kin__command *command);
bool kin__subprocess_ended(const kin_subprocess *subprocess);
/* As Python has it: the code, -N for signal N, 255 where the status is unknown. */
int kin__exit_code(const kin_exit_status *status);

/* ---- subprocess_buffer.c: with the lock held ------------------------------------------------- */

/* Reads once from the pipe.  1: something came; 0: nothing there now, or the end;
 * -EFBIG: the limit is reached; -ENOMEM. */
int kin__stream_fill(struct kin__stream *stream);
/* Takes what is in the pipe now, and no more than it holds. */
int kin__stream_drain(struct kin__stream *stream);
/* What is kept of what was collected, ended by a NUL. */
const char *kin__stream_kept(struct kin__stream *stream, size_t *size);
/* Puts a NUL at a place of the data, and back what was there. */
void kin__stream_mark(struct kin__stream *stream, char *place);
void kin__stream_mend(struct kin__stream *stream);
/* Marks a stream as over and closes it as soon as nobody polls it. */
void kin__stream_end(struct kin__stream *stream);
bool kin__stream_is_collected(const struct kin__stream *stream);

/* ---- subprocess_stream.c ----------------------------------------------------------------------- */

/* Collects what is in the pipes now; waits for nothing. */
void kin__subprocess_drain(kin_subprocess *subprocess);

#endif
