/* subprocess_run.c: a command from beginning to end in one call.
 *
 * Invariant: when one of these returns, the handle is gone, and so is the command: it has ended by
 * itself or was ended with its descendants.  Only one that this process may not kill is left.
 */
#define _GNU_SOURCE
#include <kin/subprocess.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "os/suspend.h"
#include "process/subprocess.h"
#include "process/words.h"

/* ---- what it came to ----------------------------------------------------------------------------- */

/* Gives the buffer away, with a NUL behind it. */
static char *take_output(struct kin__stream *stream, size_t *size, uint64_t *dropped)
{
    const char *kept = kin__stream_kept(stream, size);
    char *data = stream->data;
    *dropped = stream->dropped;
    if (!stream->piped || stream->taken) return NULL;
    if (data == NULL) return kin__os_calloc(1, 1);
    /* The NUL stays where the mark has put it. */
    if (kept != data) memmove(data, kept, *size + 1);
    stream->data = stream->mark = NULL;
    return data;
}

static int say_failure(const kin_subprocess *subprocess, const kin_subprocess_options *options,
                       const kin_exit_status *status, int rc)
{
    size_t size;
    struct kin__stream *err = (struct kin__stream *)&subprocess->streams[2];
    const char *tail = kin__stream_kept(err, &size);
    if (rc == -ETIMEDOUT) return kin__start_say(rc, "%s did not end in time", subprocess->name);
    if (rc == -EFBIG)
        return kin__start_say(rc, "%s wrote more than %zu bytes", subprocess->name, options->output_limit);
    if (rc < 0) return kin__start_fail(rc, "cannot collect what %s writes", subprocess->name);
    if (!options->check || (status->kind == KIN_EXITED && status->code == 0)) return 0;
    kin__start_say_end(subprocess->name, status, tail, size);
    return KIN_ECOMMAND;
}

static int fill(kin_completed *completed, kin_subprocess *subprocess)
{
    const struct kin__command *last = &subprocess->commands[subprocess->count - 1];
    struct kin__stream *streams = subprocess->streams;
    completed->status = last->status;
    completed->exit_code = kin__exit_code(&last->status);
    completed->out = take_output(&streams[1], &completed->out_size, &completed->out_dropped);
    completed->err = take_output(&streams[2], &completed->err_size, &completed->err_dropped);
    completed->elapsed_ns = kin_clock() - subprocess->vigil.started;
    bool whole =
        (completed->out != NULL || !streams[1].piped) && (completed->err != NULL || !streams[2].piped);
    return whole ? 0 : kin__start_fail(-ENOMEM, "cannot return what %s wrote", subprocess->name);
}

/* ---- run ------------------------------------------------------------------------------------------ */

static int run(kin_completed *completed, const char *const *const *commands,
               const kin_subprocess_options *options, kin_deadline deadline)
{
    kin_subprocess *subprocess;
    int rc = kin__subprocess_start(&subprocess, commands, options);
    if (rc < 0) return rc;
    rc = kin_subprocess_communicate(subprocess, NULL, 0, deadline);
    if (rc < 0) {
        /* Whatever stays of it is seen by the status, which is not known then. */
        kin_deadline grace = options->grace_ms > 0 ? kin_in_ms(options->grace_ms) : KIN_NOW;
        kin__shield(1);
        kin_subprocess_end_tree(subprocess, grace);
        kin__shield(-1);
    }
    rc = say_failure(subprocess, options, &subprocess->commands[subprocess->count - 1].status, rc);
    int filled = fill(completed, subprocess);
    kin__subprocess_discard(subprocess);
    return rc < 0 ? rc : filled;
}

int kin_subprocess_run_pipeline_sized(kin_completed *completed, size_t completed_size,
                                      const char *const *const *commands,
                                      const kin_subprocess_options *options, size_t size,
                                      kin_deadline deadline)
{
    kin_subprocess_options given = {0};
    kin_completed done = {0};
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = run(&done, commands, &given, deadline);
    if (completed == NULL) {
        kin_completed_free(&done);
        return rc;
    }
    memset(completed, 0, completed_size);
    memcpy(completed, &done, completed_size < sizeof done ? completed_size : sizeof done);
    return rc;
}

int kin_subprocess_run_sized(kin_completed *completed, size_t completed_size, const char *const *argv,
                             const kin_subprocess_options *options, size_t size, kin_deadline deadline)
{
    return kin_subprocess_run_pipeline_sized(
        completed, completed_size, (const char *const *const[]){argv, NULL}, options, size, deadline);
}

void kin_completed_free_sized(kin_completed *completed, size_t size)
{
    if (completed == NULL || size < offsetof(kin_completed, out_dropped)) return;
    kin__os_free(completed->out);
    kin__os_free(completed->err);
    memset(completed, 0, size);
}

/* ---- its short forms ------------------------------------------------------------------------------ */

int kin_subprocess_call(int *exit_code, const char *const *argv, kin_deadline deadline)
{
    kin_completed done;
    if (exit_code == NULL) return -EINVAL;
    int rc = kin_subprocess_run(&done, argv, NULL, deadline);
    *exit_code = done.exit_code;
    return rc;
}

int kin_subprocess_check_call(const char *const *argv, kin_deadline deadline)
{
    return kin_subprocess_run(NULL, argv, &(kin_subprocess_options){.check = true}, deadline);
}

int kin_subprocess_check_output(char **output, size_t *size, const char *const *argv, kin_deadline deadline)
{
    kin_completed done;
    if (output == NULL) return -EINVAL;
    kin_subprocess_options options = {.stdout_to = KIN_PIPE, .check = true};
    int rc = kin_subprocess_run(&done, argv, &options, deadline);
    *output = done.out;
    if (size != NULL) *size = done.out_size;
    return rc;
}

int kin_subprocess_getstatusoutput(int *exit_code, char **output, const char *line, kin_deadline deadline)
{
    kin_completed done;
    if (exit_code == NULL || output == NULL || line == NULL) return -EINVAL;
    kin_subprocess_options options = {
        .stdout_to = KIN_PIPE, .stderr_to = KIN_STDOUT, .shell = true, .text = true};
    int rc = kin_subprocess_run(&done, KIN_COMMAND(line), &options, deadline);
    if (done.out_size > 0 && done.out[done.out_size - 1] == '\n') done.out[done.out_size - 1] = '\0';
    *exit_code = done.exit_code;
    *output = done.out;
    return rc;
}

int kin_subprocess_getoutput(char **output, const char *line, kin_deadline deadline)
{
    int exit_code;
    return kin_subprocess_getstatusoutput(&exit_code, output, line, deadline);
}
