/* subprocess_start.c: opening the streams of one or more commands and starting them.
 *
 * Invariant: after a failure nothing is left: no descriptor, no memory, and of a pipeline no command
 * that was started before the one that could not be.
 */
#define _GNU_SOURCE
#include <kin/subprocess.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "os/os.h"
#include "os/spawn.h"
#include "process/fork.h"
#include "process/subprocess.h"
#include "process/subprocess_plan.h"
#include "process/words.h"

/* Input beyond the usual size of a pipe gets a larger one. */
#define MUCH_INPUT ((size_t)64 << 10)
#define LARGE_PIPE ((size_t)1 << 20)

/* Descriptors for the commands, on the way: closed here once they are started. */
struct ends {
    int in;  /* what the next command reads */
    int out; /* what the last one writes */
    int err; /* what all write their errors to */
    bool in_ours, out_ours, err_ours;
};

static void close_end(int *descriptor)
{
    if (*descriptor >= 0) kin__os_close(*descriptor);
    *descriptor = -1;
}

/* ---- the streams --------------------------------------------------------------------------------- */

static int open_file(const char *path, bool reading, bool append)
{
    int rc = reading ? kin__os_open_to_read(path) : kin__os_open_to_write(path, append);
    return rc < 0 ? kin__start_fail(rc, "cannot open %s", path) : rc;
}

static int open_pipe(struct kin__stream *stream, bool reading, size_t size, int *theirs)
{
    int ends[2];
    int rc = kin__os_pipe_make(ends, size);
    if (rc < 0) return kin__start_fail(rc, "cannot make a pipe");
    kin__handle_add(&stream->handle, ends[!reading], true);
    *theirs = ends[reading];
    stream->piped = true;
    kin__os_set_blocking(stream->handle.descriptor, false); /* of what has just been made, it cannot fail */
    return 0;
}

/* Where a stream leads that is no pipe; *end is the command's, *ours whether it is to be closed here. */
static int open_stream(int to, const char *file, bool reading, bool append, int *end, bool *ours)
{
    int rc = to;
    if (file != NULL) {
        rc = open_file(file, reading, append);
    } else if (to == KIN_DEVNULL) {
        rc = kin__os_open_null();
        if (rc < 0) kin__start_fail(rc, "cannot open /dev/null");
    } else if (to <= KIN_INHERIT) {
        /* A pipe is made later. */
        *end = to == KIN_STDOUT ? KIN__SPAWN_AS_STDOUT : KIN__SPAWN_UNTOUCHED;
        return 0;
    }
    *ours = rc >= 0 && (file != NULL || to == KIN_DEVNULL);
    *end = rc;
    return rc < 0 ? rc : 0;
}

static int open_streams(const kin_subprocess_options *options, struct ends *ends)
{
    bool append = options->append;
    int rc = open_stream(options->stdin_from, options->stdin_file, true, append, &ends->in, &ends->in_ours);
    if (rc == 0)
        rc =
            open_stream(options->stdout_to, options->stdout_file, false, append, &ends->out, &ends->out_ours);
    if (rc == 0)
        rc =
            open_stream(options->stderr_to, options->stderr_file, false, append, &ends->err, &ends->err_ours);
    return rc;
}

static int open_pipes(kin_subprocess *subprocess, const kin_subprocess_options *options, struct ends *ends)
{
    struct kin__stream *streams = subprocess->streams;
    size_t size = options->buffer_size;
    bool out = options->capture_output && options->stdout_to == KIN_INHERIT && options->stdout_file == NULL;
    bool err = (options->capture_output || options->stderr_tail > 0) && options->stderr_to == KIN_INHERIT &&
               options->stderr_file == NULL;
    int rc = 0;
    if (options->stdin_from == KIN_PIPE || options->input != NULL) {
        rc = open_pipe(&streams[0], false, size, &ends->in);
        ends->in_ours = rc == 0;
    }
    if (rc == 0 && (out || options->stdout_to == KIN_PIPE)) {
        rc = open_pipe(&streams[1], true, size, &ends->out);
        ends->out_ours = rc == 0;
    }
    if (rc == 0 && (err || options->stderr_to == KIN_PIPE)) {
        rc = open_pipe(&streams[2], true, size, &ends->err);
        ends->err_ours = rc == 0;
    }
    if (rc == 0 && options->input_size > MUCH_INPUT && size == 0)
        kin__os_pipe_grow(streams[0].handle.descriptor, LARGE_PIPE); /* where it is allowed */
    return rc;
}

/* ---- one command --------------------------------------------------------------------------------- */

/* A script whose first line names what is not there is not missing itself. */
static int say_execute(const struct kin__spawn *spawn, const char *program, int rc)
{
    bool there = rc == -ENOENT && strchr(program, '/') != NULL &&
                 kin__os_file_exists(spawn->setting.directory, program) > 0;
    if (there) return kin__start_fail(rc, "cannot run %s: its interpreter cannot be found", program);
    return kin__start_fail(rc, "cannot run %s", program);
}

static int say_failure(const struct kin__spawn *spawn, const struct kin__plan *plan, const char *name, int rc)
{
    switch (spawn->setting.step) {
    case KIN__STEP_CREATE: return kin__start_fail(rc, "cannot start a process for %s", name);
    case KIN__STEP_STREAMS: return kin__start_fail(rc, "cannot set the streams of %s", name);
    case KIN__STEP_FUNCTION: return kin__start_fail(rc, "cannot run %s: before_exec failed", name);
    case KIN__STEP_CLOSE: return kin__start_fail(rc, "cannot close descriptors for %s", name);
    case KIN__STEP_PARENT: return kin__start_fail(rc, "cannot tie %s to this process", name);
    case KIN__STEP_EXECUTE: return say_execute(spawn, name, rc);
    default: return kin__placement_say(&spawn->setting, &plan->placement.group, name, rc);
    }
}

static int start_one(kin_subprocess *subprocess, const struct kin__plan *plan, const char *const *argv,
                     const struct ends *ends)
{
    const kin_subprocess_options *options = plan->options;
    struct kin__command *command = &subprocess->commands[subprocess->count];
    struct kin__spawn spawn = plan->spawn;
    struct kin__words words;
    int rc = kin__words_make(&words, plan, argv, &spawn);
    if (rc == 0) {
        spawn.streams[0] = ends->in;
        spawn.streams[1] = ends->out;
        spawn.streams[2] = ends->err;
        /* Commands of one pipeline are one group, as a shell's job is. */
        if (options->process_group < 0 && subprocess->count > 0)
            spawn.setting.process_group = subprocess->commands[0].pid;
        rc = kin__os_spawn(&spawn, &command->descriptor);
        if (rc < 0) {
            const char *name = options->executable != NULL ? options->executable
                               : options->shell            ? "/bin/sh"
                                                           : argv[0];
            say_failure(&spawn, plan, name, rc);
        }
    }
    kin__words_free(&words);
    if (rc < 0) return rc;
    command->pid = rc;
    subprocess->count++;
    return 0;
}

/* ---- all of them --------------------------------------------------------------------------------- */

static int start_all(kin_subprocess *subprocess, const struct kin__plan *plan,
                     const char *const *const *commands, struct ends *ends)
{
    int rc = 0;
    for (; rc == 0 && *commands != NULL; commands++) {
        struct ends own = *ends;
        int between[2] = {-1, -1};
        if (commands[1] != NULL) {
            rc = kin__os_pipe_make(between, plan->options->buffer_size);
            if (rc < 0) return kin__start_fail(rc, "cannot make a pipe");
            own.out = between[1];
        }
        rc = start_one(subprocess, plan, *commands, &own);
        close_end(&between[1]);
        if (ends->in_ours) close_end(&ends->in);
        ends->in = between[0];
        ends->in_ours = between[0] >= 0;
    }
    return rc;
}

/* What is tied to the end of this process. */
static int open_ties(struct kin__plan *plan)
{
    struct kin__spawn *spawn = &plan->spawn;
    if (!plan->options->end_with_parent) return 0;
    spawn->lifeline = kin__child_line();
    if (spawn->lifeline < 0)
        return kin__start_fail(spawn->lifeline, "cannot tie the command to this process");
    size_t place = spawn->keep_count++;
    while (place > 0 && plan->keep[place - 1] > spawn->lifeline) {
        plan->keep[place] = plan->keep[place - 1];
        place--;
    }
    plan->keep[place] = spawn->lifeline;
    spawn->keep = plan->keep;
    return 0;
}

static void close_ends(struct ends *ends)
{
    if (ends->in_ours) close_end(&ends->in);
    if (ends->out_ours) close_end(&ends->out);
    if (ends->err_ours) close_end(&ends->err);
}

/* From the first pipe until the commands alone have their ends of all, nothing is forked that would
 * have them too: who reads from such a pipe would wait for its end as long as that process lives.
 * A command that is forked itself is so under the lock that every fork takes. */
static int start_with_pipes(kin_subprocess *subprocess, struct kin__plan *plan,
                            const char *const *const *commands, struct ends *ends)
{
    bool forks = kin__os_spawn_forks(&plan->spawn);
    kin__child_begin(forks);
    int rc = open_pipes(subprocess, plan->options, ends);
    if (rc == 0) rc = start_all(subprocess, plan, commands, ends);
    close_ends(ends);
    kin__child_done(forks);
    return rc;
}

static int open_and_start(kin_subprocess *subprocess, struct kin__plan *plan,
                          const char *const *const *commands)
{
    struct ends ends = {.in = -1, .out = -1, .err = -1};
    bool inherits = plan->options->stdout_to == KIN_INHERIT || plan->options->stderr_to == KIN_INHERIT;
    int rc = open_streams(plan->options, &ends);
    if (rc == 0) rc = open_ties(plan);
    /* What the program has printed comes before what the command prints. */
    if (rc == 0 && inherits) kin__os_flush();
    if (rc == 0) rc = start_with_pipes(subprocess, plan, commands, &ends);
    close_ends(&ends);
    close_end(&plan->spawn.lifeline);
    return rc;
}

/* ---- the handle ------------------------------------------------------------------------------------ */

static void set_stream(struct kin__stream *stream, const kin_subprocess_options *options)
{
    stream->handle.descriptor = -1; /* in no list */
    stream->limit = options->output_limit == 0 ? SIZE_MAX : options->output_limit;
    stream->excess = options->excess;
    stream->text = options->text;
}

static kin_subprocess *make(const kin_subprocess_options *options, const char *name, size_t count)
{
    kin_subprocess *subprocess = kin__os_calloc(1, sizeof *subprocess + count * sizeof *subprocess->commands);
    if (subprocess == NULL) return NULL;
    pthread_mutex_init(&subprocess->lock, NULL);
    subprocess->owner = kin__os_pid();
    subprocess->started = kin__os_boot_clock();
    for (int i = 0; i < 3; i++) set_stream(&subprocess->streams[i], options);
    if (options->stderr_tail > 0) {
        subprocess->streams[2].limit = options->stderr_tail;
        subprocess->streams[2].excess = KIN_EXCESS_TAIL;
    }
    subprocess->input = options->input;
    subprocess->input_size = options->input_size;
    subprocess->stop_at_exit = options->stop_at_exit;
    subprocess->leads = options->new_session || options->process_group < 0;
    subprocess->name = kin__os_copy(name);
    if (subprocess->name != NULL) return subprocess;
    kin__subprocess_discard(subprocess);
    return NULL;
}

void kin__subprocess_discard(kin_subprocess *subprocess)
{
    for (int i = 0; i < 3; i++) {
        if (subprocess->streams[i].handle.descriptor >= 0) kin__handle_close(&subprocess->streams[i].handle);
        kin__os_free(subprocess->streams[i].data);
    }
    for (size_t i = 0; i < subprocess->count; i++) kin__os_close(subprocess->commands[i].descriptor);
    kin__group_close(&subprocess->group);
    kin__os_free(subprocess->name);
    pthread_mutex_destroy(&subprocess->lock);
    kin__os_free(subprocess);
}

static int abandon(kin_subprocess *subprocess, int rc)
{
    for (size_t i = 0; i < subprocess->count; i++) kin__command_end(subprocess, &subprocess->commands[i]);
    kin__subprocess_discard(subprocess);
    return rc;
}

int kin__subprocess_start(kin_subprocess **out, const char *const *const *commands,
                          const kin_subprocess_options *options)
{
    size_t count = 0;
    const char *name = NULL;
    kin__start_say_nothing();
    while (commands != NULL && commands[count] != NULL) name = commands[count++][0];
    if (out == NULL || count == 0 || name == NULL) return kin__start_say(-EINVAL, "there is no command");
    if (count > KIN__COMMANDS_MOST)
        return kin__start_say(-EINVAL, "there are more than %d commands", KIN__COMMANDS_MOST);
    kin_subprocess *subprocess = make(options, name, count);
    if (subprocess == NULL) return kin__start_fail(-ENOMEM, "cannot run %s", name);
    struct kin__plan plan;
    int rc = kin__plan_make(&plan, options);
    subprocess->group = kin__placement_take_group(&plan.placement);
    if (rc == 0) kin__vigil_begin(&subprocess->vigil, options->limits, subprocess->group.directory);
    if (rc == 0) rc = open_and_start(subprocess, &plan, commands);
    kin__plan_free(&plan);
    if (rc < 0) return abandon(subprocess, rc);
    *out = subprocess;
    return 0;
}

int kin_subprocess_start_pipeline_sized(kin_subprocess **subprocess, const char *const *const *commands,
                                        const kin_subprocess_options *options, size_t size)
{
    kin_subprocess_options given = {0};
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    return kin__subprocess_start(subprocess, commands, &given);
}

int kin_subprocess_start_sized(kin_subprocess **subprocess, const char *const *argv,
                               const kin_subprocess_options *options, size_t size)
{
    return kin_subprocess_start_pipeline_sized(subprocess, (const char *const *const[]){argv, NULL}, options,
                                               size);
}
