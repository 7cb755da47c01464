/* kin/process.h: child processes.
 *
 *     static int hello(void *name) { printf("hello, %s\n", (char *)name); return 0; }
 *     …
 *     kin_process *child = NULL;
 *     int rc = kin_process_start(&child, hello, "kin", NULL);
 *     if (rc == 0) rc = kin_process_join(child, KIN_FOREVER);
 *     kin_process_close(child);
 *
 * kin installs no signal handler and never waits for children it did not start.  A child
 * ends when its parent ends, however that ends; only one that execs another program outlives it. */
#ifndef KIN_PROCESS_H
#define KIN_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/limits.h>
#include <kin/time.h>

KIN_BEGIN

/* A handle in the private memory of the process that started the child. */
typedef struct kin_process kin_process;

/* What a child runs: its return value is the child's exit code (its low eight bits). */
typedef int kin_process_function(void *argument);

/* How a child comes to be; see kin/start.h. */
enum kin_start_method {
    KIN_START_DEFAULT = 0, /* what kin_set_start_method has set, or else KIN_FORK */
    KIN_FORK = 1,          /* a copy of the caller */
    KIN_SPAWN = 2,         /* the program, begun anew */
    KIN_FORKSERVER = 3     /* a copy of a helper that is the program, begun anew when it is first needed */
};

typedef struct kin_process_options {
    const char *name; /* copied; NULL: "Process-1", "Process-2", … */
    bool daemon;   /* ended, not waited for, when the parent exits normally; a daemon's child is one too… */
    bool ordinary; /* …unless this says that it is none */
    /* The connections that the child keeps, up to NULL; besides `argument`, if that is one. */
    struct kin_connection *const *connections;
    bool standard_input; /* it reads the caller's standard input; false: that is at its end */
    enum kin_start_method method;
    const char *target; /* instead of the function: its name, by KIN_TARGET, or "library:symbol" */
    /* Instead of `argument`, one of: bytes, of which the child gets a copy that it may change; a value,
     * of which it gets a `const kin_value *`. */
    const void *bytes;
    size_t size;
    const struct kin_value *value;
    /* Descriptors that the child gets, whatever the method; kin_process_descriptor names them there. */
    const int *descriptors;
    size_t descriptor_count;

    /* What it may use, where it runs, and who it is, all set before `target` runs. */
    const kin_limits *limits;
    const char *const *env;         /* its whole environment, ended by NULL; NULL: the caller's */
    const char *const *env_changes; /* to that: "NAME=value" sets, "NAME" removes */
    const char *cwd;                /* its working directory */
    bool new_session;
    bool controlling_terminal; /* with new_session: stdin becomes its terminal */
    int process_group;         /* 0: the caller's; KIN_OWN_GROUP; or that one */
    bool set_umask;
    unsigned umask;
    const char *user; /* by name or number; the process must have the right */
    const char *group;
    const char *const *extra_groups; /* all it has besides, ended by NULL */

    /* The last so many bytes that it writes to stderr are kept, at most 1 MiB; 0: none.  They go on to the
     * caller's stderr; a thread of the caller's process sees to that while it is needed. */
    size_t stderr_tail;
} kin_process_options;

#define KIN_OWN_GROUP (-1)

/* kin_process_start starts a child that runs `target(argument)` and exits, and stores its handle in
 * `*process`.  By fork, the child has a copy of the caller's memory, and `argument` is what it is.  By the
 * other methods it has not: `argument` is then NULL, a number below 4096, family memory, a constant of
 * the program (such as a string literal, or a function), or a kin_connection; everything else is refused.
 * Family memory it shares in any case.  stdio buffers are flushed before.
 * When the parent exits normally (exit, or return from main) it terminates its daemon children and waits
 * for the others.  Waits for the helper with KIN_FORKSERVER, and for the child to have done what the options
 * want, such as limits: what cannot be done is an error of the start, and kin_process_error has the words.
 * Safe for threads; with KIN_FORK only the calling thread exists in the child.
 * Errors: -EINVAL (NULL, two arguments, two targets or none, a method that is none, a name of more than 63
 * bytes, or too large a stderr_tail: kin_process_error says which), KIN_ENOTCODE (target), KIN_EFUNCTION
 * (no function of that name, or in a library without a build id), KIN_ENOTMAIN (the program does not call
 * kin_main), KIN_EPOINTER (an argument that means nothing in the child), KIN_ENOTGIVEN (a connection that
 * this process was not given), KIN_EPRIVATE (one with TLS), KIN_ESERVER (the helper, or the child, ended
 * before the child began), -EBADF (a descriptor is not open), -E2BIG (by another method than fork: more
 * than 200 descriptors and connections), -EAGAIN (RLIMIT_NPROC, pids.max), -ENOMEM, -EMFILE, -ENFILE,
 * -ENOENT (/proc is not mounted), -ENOSYS (by forkserver: there is no pidfd_open), and for a value those of
 * kin_pickle_dumps; by another method than fork those of kin_family_open; and whatever setting the options
 * comes to, such as -EPERM, -EACCES or -ENOENT. */
KIN_API int kin_process_start_sized(kin_process **process, kin_process_function *target, void *argument,
                                    const kin_process_options *options, size_t size);
static inline int kin_process_start(kin_process **process, kin_process_function *target, void *argument,
                                    const kin_process_options *options)
{
    return kin_process_start_sized(process, target, argument, options, sizeof(kin_process_options));
}

/* kin_process_error returns in words why the calling thread's last start of a process or a command, or its
 * last opening of a pool or start of a manager, failed, such as "descriptor 7 is not open" or "cgroup v2 is not
 * delegated: /sys/fs/cgroup: permission denied"; "" when it did not, or when the code says it all.  After a
 * kin_pool_submit or kin_pool_apply that failed with -EINVAL it says what was wrong, too.  The string is the
 * thread's until its next start. */
KIN_API const char *kin_process_error(void);

/* kin_process_join waits until the child has ended, or until `deadline`.  It may be called
 * again, and from several threads at once.
 * Errors: -ETIMEDOUT (the child still runs), -EINVAL (NULL), KIN_ENOTCHILD (called in
 * another process than the one that started it). */
KIN_API int kin_process_join(kin_process *process, kin_deadline deadline);

/* kin_process_is_alive returns 1 while the child runs and 0 after.  Does not wait.
 * Errors: as kin_process_join. */
KIN_API int kin_process_is_alive(kin_process *process);

/* kin_process_terminate and kin_process_kill send the child SIGTERM or SIGKILL, exactly that
 * process and no later one with the same pid; one that has ended is no error.  Do not wait.
 * Errors: -EINVAL (NULL), KIN_ENOTCHILD, -EPERM (it has changed its user). */
KIN_API int kin_process_terminate(kin_process *process);
KIN_API int kin_process_kill(kin_process *process);

/* kin_process_end_tree ends the child and all its descendants, programs that it has started too:
 * SIGTERM to each, and SIGKILL to those that are left at `grace` (KIN_NOW: at once); then it waits
 * for their ends.  See kin_subprocess_end_tree for which processes are meant; those of a child that
 * has ended before are not found.  Safe for threads.
 * Errors: -ETIMEDOUT (a killed process has not ended for 5 seconds), -EPERM (one has changed its
 * user), -ENOENT (/proc is not mounted), -ENOMEM, -EMFILE, -EINVAL (NULL), KIN_ENOTCHILD. */
KIN_API int kin_process_end_tree(kin_process *process, kin_deadline grace);

enum kin_exit_kind {
    KIN_RUNNING = 0,
    KIN_EXITED = 1,   /* by exit; code is set */
    KIN_SIGNALED = 2, /* by a signal; signal and core_dumped are set */
    KIN_UNKNOWN = 3   /* ended, but something else in the program collected its status */
};

/* What is known of a death besides. */
enum kin_death {
    KIN_DEATH_PLAIN = 0,         /* nothing */
    KIN_DEATH_MEMORY = 1,        /* the kernel killed it for want of memory: its own control group says so */
    KIN_DEATH_MEMORY_LIKELY = 2, /* so it seems: while it ran, the kernel killed somebody for memory in the
                                  * caller's control group, or in the machine, and it was killed too */
    KIN_DEATH_CPU_TIME = 3,      /* RLIMIT_CPU; `limit` in seconds */
    KIN_DEATH_FILE_SIZE = 4      /* RLIMIT_FSIZE; `limit` in bytes */
};

typedef struct kin_exit_status {
    enum kin_exit_kind kind;
    int code; /* 0 … 255 */
    int signal;
    bool core_dumped;
    int64_t user_ns; /* processor time, its own and of children it waited for */
    int64_t system_ns;
    int64_t max_rss; /* bytes of memory at most */
    enum kin_death death;
    uint64_t limit;     /* the one that was met; of memory in bytes, 0: not known */
    int64_t elapsed_ns; /* from its start until its end was seen */
    uint64_t oom_kills; /* in its own control group: how often the kernel killed for memory there */
} kin_exit_status;

/* kin_exit_status_text writes how a process ended as one line, such as "exited with 3, after 1.2 s,
 * 19 MB" or "killed by SIGKILL: out of memory (memory.max 20 MiB), after 0.4 s, 19 MB", and returns
 * the length it would have, like snprintf.  Does not block.  Errors: -EINVAL (NULL). */
KIN_API int kin_exit_status_text(const kin_exit_status *status, char *text, size_t size);

/* kin_process_exit_status fills `*status`; while the child runs its kind is KIN_RUNNING.
 * Does not wait.  Errors: -EINVAL (NULL), KIN_ENOTCHILD. */
KIN_API int kin_process_exit_status_sized(kin_process *process, kin_exit_status *status, size_t size);
static inline int kin_process_exit_status(kin_process *process, kin_exit_status *status)
{
    return kin_process_exit_status_sized(process, status, sizeof(kin_exit_status));
}

/* kin_process_stderr_tail returns what a child that has ended wrote to stderr last, as much as its options
 * wanted, ended by a NUL, and stores the size (NULL: not); it lives as long as the handle.  Does not wait.
 * NULL: it still runs, nothing was to be kept, or as kin_process_join. */
KIN_API const char *kin_process_stderr_tail(kin_process *process, size_t *size);

/* kin_process_exit_text writes as one line who ended and how, with the last line of its stderr_tail, such as
 * "Process-1 was killed by SIGABRT, after 0.1 s, 2 MB: free(): invalid pointer", and returns the length
 * it would have, like snprintf.  Does not wait.  Errors: -EINVAL (NULL), KIN_ENOTCHILD. */
KIN_API int kin_process_exit_text(kin_process *process, char *text, size_t size);

/* kin_process_exit_code stores in `*code` what Python calls exitcode: the code of a child
 * that exited, -N of one ended by signal N, and 255 where the status is unknown.
 * Errors: -EBUSY (it still runs), -EINVAL (NULL), KIN_ENOTCHILD. */
KIN_API int kin_process_exit_code(kin_process *process, int *code);

/* kin_process_pid returns the child's pid; kin_process_name its name, which lives as long as
 * the handle; kin_process_daemon 1 or 0.  Do not block.  Errors: -EINVAL, NULL for a name. */
KIN_API int kin_process_pid(const kin_process *process);
KIN_API const char *kin_process_name(const kin_process *process);
KIN_API int kin_process_daemon(const kin_process *process);

/* kin_process_sentinel returns a descriptor, the handle's, that becomes readable when the child has
 * ended.  Does not block.  Errors: -EINVAL (NULL), KIN_ENOTCHILD. */
KIN_API int kin_process_sentinel(const kin_process *process);

/* kin_process_active_children stores the handles of children that still run in `children`, at most
 * `limit`, in no order, and returns how many there are.  Handles that other threads may close are the
 * caller's to take care of.  Does not wait.  Safe for threads.  Errors: -EINVAL (NULL with limit > 0). */
KIN_API long kin_process_active_children(kin_process **children, size_t limit);

/* kin_process_current returns a handle for the calling process: for its name, pid and daemon flag.
 * kin_process_parent returns one for the process that started the calling one, which can be waited
 * for besides, or NULL in a program that no kin_process_start has made; the parent's end ends the child.
 * Neither is closed.  NULL with errno EMFILE or ENFILE.  Do not block. */
KIN_API kin_process *kin_process_current(void);
KIN_API kin_process *kin_process_parent(void);

/* kin_process_connection and kin_process_descriptor return, in a child, the connection or the descriptor
 * of that place in its options.  They belong to the child.  Do not block.
 * Errors: NULL, or -EINVAL, beyond the last, and in a process that kin_process_start has not made. */
KIN_API struct kin_connection *kin_process_connection(size_t place);
KIN_API int kin_process_descriptor(size_t place);

/* kin_at_exit makes the calling process call `function(argument)` at its normal end: when the function
 * that it was started for returns, or at exit.  The last that was registered comes first; all before
 * its children are ended or waited for.  Children do not inherit them.  Safe for threads.
 * Errors: -EINVAL (NULL), -ENOMEM. */
KIN_API int kin_at_exit(void (*function)(void *argument), void *argument);

/* kin_process_close frees the handle of a child that has ended.  NULL is allowed.
 * Errors, after which the handle stays valid: -EBUSY (the child still runs), KIN_ENOTCHILD. */
KIN_API int kin_process_close(kin_process *process);

/* kin_cpu_count returns how many processors this process may use, at least 1: those of its affinity
 * mask, but no more than the quota of its control group is worth, rounded up.  Does not block. */
KIN_API int kin_cpu_count(void);

KIN_END
#endif
