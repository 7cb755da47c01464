/* kin/subprocess.h: running other programs.
 *
 *     kin_completed done;
 *     int rc = kin_subprocess_run(&done, KIN_COMMAND("git", "status", "--short"),
 *                                 &(kin_subprocess_options){.capture_output = true}, kin_in_s(10));
 *     if (rc < 0) fprintf(stderr, "%s\n", kin_subprocess_error());   // cannot run git: …
 *     else printf("exit code %d, %zu bytes\n", done.exit_code, done.out_size);
 *     kin_completed_free(&done);
 *
 * A program is started at a cost that does not grow with the memory of the caller.  It gets none
 * of the caller's descriptors but its standard streams and those passed on purpose, and every
 * signal as it is by default.  kin installs no signal handler and waits for no process but its
 * own; nothing here raises SIGPIPE, and no function can block for ever because a pipe is full. */
#ifndef KIN_SUBPROCESS_H
#define KIN_SUBPROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/process.h>
#include <kin/time.h>

KIN_BEGIN

/* A handle in the private memory of the process that started the command, or the pipeline. */
typedef struct kin_subprocess kin_subprocess;

/* A command: its name, which is looked for in PATH unless it has a slash, and its arguments. */
#define KIN_COMMAND(...) ((const char *const[]){__VA_ARGS__, NULL})
/* Commands joined by pipes: KIN_PIPELINE(KIN_COMMAND("ls"), KIN_COMMAND("wc", "-l")). */
#define KIN_PIPELINE(...) ((const char *const *const[]){__VA_ARGS__, NULL})

/* What a standard stream can be, besides a descriptor of the caller's above 0. */
enum {
    KIN_INHERIT = 0, /* the caller's */
    KIN_PIPE = -1,   /* a pipe to the handle */
    KIN_STDOUT = -2, /* stderr_to only: wherever stdout goes */
    KIN_DEVNULL = -3 /* /dev/null */
};

/* What happens to output beyond output_limit. */
enum kin_excess {
    KIN_EXCESS_FAIL = 0, /* -EFBIG from whatever reads it; the first bytes are there */
    KIN_EXCESS_DROP = 1, /* the first bytes are kept, and the rest is counted */
    KIN_EXCESS_TAIL = 2  /* the last bytes are kept, and what was before is counted */
};

typedef struct kin_subprocess_options {
    /* The standard streams: a descriptor, KIN_PIPE and so on, or a file. */
    int stdin_from;
    int stdout_to;
    int stderr_to;
    const char *stdin_file; /* read from; the others are made, or emptied unless `append` */
    const char *stdout_file;
    const char *stderr_file;
    bool append;
    bool capture_output; /* KIN_PIPE for stdout and stderr where nothing else is said */
    const void *input;   /* what communicate and run write to stdin: implies KIN_PIPE, not copied */
    size_t input_size;

    /* What is kept of the output. */
    size_t buffer_size;     /* how much the pipes hold; 0: 64 KiB */
    size_t output_limit;    /* bytes of each stream; 0: as memory lasts */
    enum kin_excess excess; /* beyond that */
    size_t stderr_tail;     /* not 0: captures stderr and keeps its last so many bytes */
    bool text;              /* each line ends in "\n", also where the command wrote "\r\n" or "\r" */
    bool stop_at_exit;      /* communicate does not wait for processes that the command left behind */

    /* The program. */
    const char *executable;         /* run instead of argv[0]; of a shell command, instead of /bin/sh */
    bool shell;                     /* argv[0] is a shell's command line, the others its $0, $1, … */
    const char *const *env;         /* its whole environment; NULL: the caller's */
    const char *const *env_changes; /* to that: "NAME=value" sets, "NAME" removes */
    const char *cwd;                /* its working directory, from where a relative path is taken */

    /* What it inherits. */
    const int *pass_fds; /* these descriptors stay open, at their numbers */
    size_t pass_fd_count;
    bool keep_fds;     /* so do all that are not close-on-exec */
    bool keep_signals; /* what the caller ignores or blocks stays so (nohup) */

    /* What it is. */
    bool new_session;
    bool controlling_terminal; /* with new_session: stdin becomes its terminal */
    int process_group;         /* 0: the caller's; KIN_OWN_GROUP; or that one */
    bool end_with_parent;      /* killed when the caller ends, however that ends; costs it one descriptor */
    bool set_umask;
    unsigned umask;
    const char *user; /* by name or number; the process must have the right */
    const char *group;
    const char *const *extra_groups; /* all it has besides, ended by NULL */
    const kin_limits *limits;        /* what it may use, and where it runs */
    /* Runs in the new process, last before the program; a result other than 0 is an error.  Only
     * what is safe after a fork in a program with threads may be done there.  It makes the
     * start a fork, whose cost grows with the caller's memory. */
    int (*before_exec)(void *argument);
    void *before_exec_argument;

    /* run and its kin only. */
    bool check;       /* an exit code that is not 0 is the error KIN_ECOMMAND */
    int64_t grace_ms; /* after the deadline: between SIGTERM and SIGKILL; 0: SIGKILL at once */
} kin_subprocess_options;

/* ---- a command from beginning to end ------------------------------------------------------- */

typedef struct kin_completed {
    char *out; /* what was captured, ended by a NUL that out_size does not count; NULL: nothing was */
    size_t out_size;
    char *err;
    size_t err_size;
    uint64_t out_dropped; /* bytes beyond output_limit */
    uint64_t err_dropped;
    int exit_code;          /* N; -N when ended by signal N; 255 when unknown */
    kin_exit_status status; /* how it ended, and what it used */
    int64_t elapsed_ns;
} kin_completed;

/* kin_subprocess_run starts a command, gives it `input`, collects what it writes to pipes, waits
 * for its end, and fills `*completed` (NULL is allowed), which the caller frees with
 * kin_completed_free, after an error too.  At the deadline, and when the calling coroutine is
 * cancelled, the command and all its descendants are ended, with `grace_ms` (see
 * kin_subprocess_end_tree), and what was written until then is there.
 * Safe for threads; not for signal handlers.
 * Errors: -ETIMEDOUT; KIN_ECOMMAND (`check`); -EFBIG (more output than output_limit; ended too);
 * and those of kin_subprocess_start.  kin_subprocess_error has the words. */
KIN_API int kin_subprocess_run_sized(kin_completed *completed, size_t completed_size, const char *const *argv,
                                     const kin_subprocess_options *options, size_t size,
                                     kin_deadline deadline);
static inline int kin_subprocess_run(kin_completed *completed, const char *const *argv,
                                     const kin_subprocess_options *options, kin_deadline deadline)
{
    return kin_subprocess_run_sized(completed, sizeof(kin_completed), argv, options,
                                    sizeof(kin_subprocess_options), deadline);
}

/* kin_subprocess_run_pipeline does the same for commands joined by pipes: stdin is that of the
 * first, stdout of the last, stderr of all; the exit code is the last one's. */
KIN_API int kin_subprocess_run_pipeline_sized(kin_completed *completed, size_t completed_size,
                                              const char *const *const *commands,
                                              const kin_subprocess_options *options, size_t size,
                                              kin_deadline deadline);
static inline int kin_subprocess_run_pipeline(kin_completed *completed, const char *const *const *commands,
                                              const kin_subprocess_options *options, kin_deadline deadline)
{
    return kin_subprocess_run_pipeline_sized(completed, sizeof(kin_completed), commands, options,
                                             sizeof(kin_subprocess_options), deadline);
}

/* kin_completed_free frees the outputs and zeroes the struct.  NULL is allowed. */
KIN_API void kin_completed_free_sized(kin_completed *completed, size_t size);
static inline void kin_completed_free(kin_completed *completed)
{
    kin_completed_free_sized(completed, sizeof(kin_completed));
}

/* kin_subprocess_call runs a command and stores its exit code, as kin_completed has it.
 * kin_subprocess_check_call fails with KIN_ECOMMAND when that is not 0.
 * kin_subprocess_check_output does too, and stores what it wrote to stdout, ended by a NUL, which
 * the caller frees with free; `size` may be NULL.  Errors: as kin_subprocess_run. */
KIN_API int kin_subprocess_call(int *exit_code, const char *const *argv, kin_deadline deadline);
KIN_API int kin_subprocess_check_call(const char *const *argv, kin_deadline deadline);
KIN_API int kin_subprocess_check_output(char **output, size_t *size, const char *const *argv,
                                        kin_deadline deadline);

/* kin_subprocess_getoutput runs a line of the shell and stores what it wrote to stdout and stderr,
 * without the last newline; the caller frees it with free.  getstatusoutput stores the exit code
 * too.  Errors: as kin_subprocess_run; the command's failure is none. */
KIN_API int kin_subprocess_getoutput(char **output, const char *line, kin_deadline deadline);
KIN_API int kin_subprocess_getstatusoutput(int *exit_code, char **output, const char *line,
                                           kin_deadline deadline);

/* ---- step by step -------------------------------------------------------------------------- */

/* kin_subprocess_start starts a command, or several joined by pipes, and stores the handle.  It
 * waits until the program has begun: a program that cannot be run is an error of this call.
 * Does not block otherwise (a FIFO that is to be a stream is waited for).  What stands in stdio's
 * buffers of stdout and stderr is written out first.  Safe for threads; not for signal handlers.
 * Errors: -EINVAL (NULL, no command, options that contradict each other or mean nothing), -ENOENT, -EACCES,
 * -ENOEXEC, -E2BIG (the program), whatever else execve says, or what setting it up met: a
 * directory, a file, a user, a limit, a right that is missing; -EAGAIN, -ENOMEM, -EMFILE,
 * -ENFILE.  kin_subprocess_error has the words. */
KIN_API int kin_subprocess_start_sized(kin_subprocess **subprocess, const char *const *argv,
                                       const kin_subprocess_options *options, size_t size);
static inline int kin_subprocess_start(kin_subprocess **subprocess, const char *const *argv,
                                       const kin_subprocess_options *options)
{
    return kin_subprocess_start_sized(subprocess, argv, options, sizeof(kin_subprocess_options));
}
KIN_API int kin_subprocess_start_pipeline_sized(kin_subprocess **subprocess,
                                                const char *const *const *commands,
                                                const kin_subprocess_options *options, size_t size);
static inline int kin_subprocess_start_pipeline(kin_subprocess **subprocess,
                                                const char *const *const *commands,
                                                const kin_subprocess_options *options)
{
    return kin_subprocess_start_pipeline_sized(subprocess, commands, options, sizeof(kin_subprocess_options));
}

/* kin_subprocess_error returns in words why the calling thread's last call that starts or runs a
 * command failed, such as "cannot run foo: no such file or directory" or "make exited with 2"; ""
 * when it did not.  The string is the thread's until its next such call. */
KIN_API const char *kin_subprocess_error(void);

/* The following take any handle from the process that started it; in another one, and where the
 * handle is NULL, they fail with KIN_ENOTCHILD and -EINVAL.  All are safe for threads, none for
 * signal handlers.  `stream` is 0 for stdin, 1 for stdout, 2 for stderr. */

/* kin_subprocess_communicate writes `input` (NULL: that of the options) to stdin, closes it,
 * collects what comes from stdout and stderr to their ends, and waits for the command's end.
 * After -ETIMEDOUT it goes on where it was when it is called again, with the same input, which
 * is not copied.  What is collected, kin_subprocess_output tells.
 * Errors: -ETIMEDOUT, -EINVAL (another input), -EFBIG (output_limit), -ENOMEM. */
KIN_API int kin_subprocess_communicate(kin_subprocess *subprocess, const void *input, size_t size,
                                       kin_deadline deadline);

/* kin_subprocess_output returns what was collected of a stream and not read since, ended by a NUL,
 * and stores its size (NULL: not) and how much was dropped; it is the handle's until the
 * next call that collects, and NULL where there is no pipe. */
KIN_API const char *kin_subprocess_output(kin_subprocess *subprocess, int stream, size_t *size);
KIN_API int kin_subprocess_dropped(kin_subprocess *subprocess, int stream, uint64_t *bytes);

/* kin_subprocess_wait waits until the command, or each of a pipeline, has ended.  Meanwhile it
 * collects what comes from the pipes, so that the command never stops at a full one.
 * Errors: -ETIMEDOUT, -EFBIG, -ENOMEM. */
KIN_API int kin_subprocess_wait(kin_subprocess *subprocess, kin_deadline deadline);

/* kin_subprocess_poll returns 1 when it has ended and 0 while it runs.  Does not wait. */
KIN_API int kin_subprocess_poll(kin_subprocess *subprocess);

/* kin_subprocess_exit_code stores the exit code as kin_completed has it; kin_subprocess_exit_status
 * fills `*status`, that of the last command of a pipeline; kin_subprocess_status_of that of the
 * command `index`, from 0.  Do not wait.
 * Errors: -EBUSY (exit_code: it still runs), -ERANGE (no such command). */
KIN_API int kin_subprocess_exit_code(kin_subprocess *subprocess, int *code);
KIN_API int kin_subprocess_status_of_sized(kin_subprocess *subprocess, size_t index, kin_exit_status *status,
                                           size_t size);
static inline int kin_subprocess_status_of(kin_subprocess *subprocess, size_t index, kin_exit_status *status)
{
    return kin_subprocess_status_of_sized(subprocess, index, status, sizeof(kin_exit_status));
}
static inline int kin_subprocess_exit_status(kin_subprocess *subprocess, kin_exit_status *status)
{
    return kin_subprocess_status_of_sized(subprocess, SIZE_MAX, status, sizeof(kin_exit_status));
}

/* kin_subprocess_write writes to stdin and returns how many bytes it took: fewer than `size` when
 * the deadline came first.  Output is collected meanwhile, so that nothing deadlocks.
 * Errors: -ETIMEDOUT (none were taken), -EPIPE (the command reads no more), -EBADF (stdin is no
 * pipe, or was closed or taken), -EFBIG, -ENOMEM.
 * kin_subprocess_close_stdin closes it; a second time does nothing. */
KIN_API long kin_subprocess_write(kin_subprocess *subprocess, const void *data, size_t size,
                                  kin_deadline deadline);
KIN_API int kin_subprocess_close_stdin(kin_subprocess *subprocess);

/* kin_subprocess_read reads at most `size` bytes of a stream, waiting for the first only, and
 * returns how many they are; 0 at its end.  kin_subprocess_read_line stores the next line, without
 * its newline but ended by a NUL, which is the handle's until the next call that reads or
 * collects, and returns its length.  The other stream is collected meanwhile.
 * Errors: -ETIMEDOUT (what is there of the line stays), KIN_ECLOSED (read_line: the end), -EBADF (the
 * stream is no pipe, or was taken), -EFBIG, -ENOMEM. */
KIN_API long kin_subprocess_read(kin_subprocess *subprocess, int stream, void *buffer, size_t size,
                                 kin_deadline deadline);
KIN_API long kin_subprocess_read_line(kin_subprocess *subprocess, int stream, const char **line,
                                      kin_deadline deadline);

/* kin_subprocess_descriptor returns the descriptor of the handle's end of a pipe, to poll; it does
 * not block, and stays the handle's.  kin_subprocess_take gives it to the caller, who closes it:
 * it blocks, and kin does not use it any more.  kin_subprocess_sentinel returns a descriptor that
 * is readable when the (last) command has ended.  Errors: -EBADF (no pipe, or taken). */
KIN_API int kin_subprocess_descriptor(kin_subprocess *subprocess, int stream);
KIN_API int kin_subprocess_take(kin_subprocess *subprocess, int stream);
KIN_API int kin_subprocess_sentinel(kin_subprocess *subprocess);

/* kin_subprocess_pid returns the pid of the (last) command. */
KIN_API int kin_subprocess_pid(kin_subprocess *subprocess);

/* kin_subprocess_send_signal sends a signal to the command, or to each of a pipeline: exactly
 * these processes, no later ones with the same pids; one that has ended is no error.
 * kin_subprocess_terminate sends SIGTERM, kin_subprocess_kill SIGKILL.  Do not wait.
 * Errors: -EINVAL (no such signal, also of one that has ended), -EPERM. */
KIN_API int kin_subprocess_send_signal(kin_subprocess *subprocess, int signal);
KIN_API int kin_subprocess_terminate(kin_subprocess *subprocess);
KIN_API int kin_subprocess_kill(kin_subprocess *subprocess);

/* kin_subprocess_end_tree ends the command and all its descendants: SIGTERM to each, and SIGKILL
 * to those that are left at `grace` (KIN_NOW: at once), or when the calling coroutine is cancelled;
 * then it waits for their ends.  Meant are
 * its children and theirs, what is in a process group or session that one of them leads or in
 * the command's control group, and whoever still holds one of its pipes.  A descendant that is
 * none of these, because it has left them all and its parent has ended, is missed; one in a
 * control group never is.  Needs /proc.
 * Errors: -ETIMEDOUT (a killed process has not ended for 5 seconds: the kernel holds it), -EPERM. */
KIN_API int kin_subprocess_end_tree(kin_subprocess *subprocess, kin_deadline grace);

/* kin_subprocess_close closes the pipes and frees the handle of a command that has ended, and what
 * was collected.  NULL is allowed.
 * Errors, after which the handle stays valid: -EBUSY (it still runs, or another thread is using the
 * handle), KIN_ENOTCHILD. */
KIN_API int kin_subprocess_close(kin_subprocess *subprocess);

KIN_END
#endif
