/* spawn.h: starting another program, and what that needs: users and groups by name, pipes, files
 * for the standard streams.  The rules of os.h hold here too. */
#ifndef KIN_OS_SPAWN_H
#define KIN_OS_SPAWN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/setting.h"

/* ---- the program ------------------------------------------------------------------------- */

/* What becomes a standard stream, besides a descriptor. */
enum { KIN__SPAWN_UNTOUCHED = -1, KIN__SPAWN_AS_STDOUT = -2 };

struct kin__spawn {
    const char *programs;           /* paths to try in turn, each ended by a NUL, the list by another */
    const char **words;             /* its arguments; words[-1] is free, for the shell of a script */
    const char *const *environment; /* NULL: this process's */
    int streams[3];
    const int *keep; /* descriptors besides that stay open: in order, none twice, all above 2 */
    size_t keep_count;
    bool keep_all;
    bool keep_signals;               /* ignored and blocked ones stay so */
    int lifeline;                    /* of kin__os_lifeline_open, also in `keep`; < 0: none */
    struct kin__setting setting;     /* another user or group, and a function, take a fork */
    int (*function)(void *argument); /* run last before the program; NULL: none */
    void *argument;
};

/* Starts the program; returns its pid, and in `*descriptor` a process descriptor.  After a failure
 * `setting` tells where it was.  When nothing takes a fork, the cost does not grow with this process's
 * memory: the child uses it, while the calling thread waits, until it has become the program.  Nothing
 * runs in the child that this program or libc registered for forks, and no handler of a signal. */
int kin__os_spawn(struct kin__spawn *spawn, int *descriptor);
bool kin__os_spawn_forks(const struct kin__spawn *spawn);

/* This process's environment: strings "NAME=value", ended by NULL. */
const char *const *kin__os_environment(void);
/* Makes another list of strings the environment; it stays the caller's, for the rest of the process. */
void kin__os_environment_set(const char *const *environment);
/* 1 when there is a file of that name, below `directory` (NULL: the working directory). */
int kin__os_file_exists(const char *directory, const char *path);

/* A user's id and first group, or a group's id, by name or by number in digits.
 * -ENOENT: there is none of that name. */
int kin__os_user_find(const char *name, uid_t *user, gid_t *group);
int kin__os_group_find(const char *name, gid_t *group);

/* ---- its streams --------------------------------------------------------------------------- */

/* Makes a pipe: ends[0] is read from, ends[1] written to; `size` is how much it holds at least
 * (0: the system's default), -EPERM beyond what this user may have. */
int kin__os_pipe_make(int ends[2], size_t size);
/* Opens a pipe of which that process has an end, for reading and writing; it does not block.
 * -ENOENT: there is no such process, no such descriptor, or no /proc. */
int kin__os_pipe_both(int pid, int end);
/* How much the pipe holds; makes it hold more where that is allowed. */
size_t kin__os_pipe_size(int end);
int kin__os_pipe_grow(int end, size_t size);
int kin__os_set_blocking(int descriptor, bool blocking);
int kin__os_is_open(int descriptor);
int kin__os_open_to_read(const char *path);
int kin__os_open_to_write(const char *path, bool append); /* made with mode 0666 and the umask */
int kin__os_open_null(void);
/* Opens the file of that name in a directory for writing. */
int kin__os_open_below(const char *directory, const char *name);

/* Reads once.  0: the end; -EAGAIN: nothing there now, from a descriptor that does not block. */
ssize_t kin__os_read(int descriptor, void *buffer, size_t size);
/* Writes once.  -EPIPE: nobody reads any more; then SIGPIPE is not delivered to this thread. */
ssize_t kin__os_write(int descriptor, const void *data, size_t size);

#endif
