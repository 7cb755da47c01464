/* subprocess.c: the handle of a command: has it ended, how, and signals to it. */
#include <kin/subprocess.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "process/subprocess.h"
#include "process/tree.h"

/* ---- using a handle ------------------------------------------------------------------------------ */

int kin__subprocess_enter(kin_subprocess *subprocess)
{
    if (subprocess == NULL) return -EINVAL;
    if (subprocess->owner != kin__os_pid()) return KIN_ENOTCHILD;
    pthread_mutex_lock(&subprocess->lock);
    subprocess->users++;
    return 0;
}

void kin__subprocess_leave(kin_subprocess *subprocess)
{
    subprocess->users--;
    pthread_mutex_unlock(&subprocess->lock);
}

/* ---- the ends of its commands -------------------------------------------------------------------- */

int kin__command_collect(kin_subprocess *subprocess, struct kin__command *command)
{
    if (command->ended) return 1;
    int rc = kin__os_process_collect(command->descriptor, &command->status);
    if (rc == -EAGAIN) return 0;
    if (rc == -ECHILD) command->status = (kin_exit_status){.kind = KIN_UNKNOWN};
    if (rc < 0 && rc != -ECHILD) return rc;
    kin__vigil_end(&subprocess->vigil, subprocess->group.directory, &command->status);
    command->ended = true;
    return 1;
}

/* How long the kernel may take to end a process; longer, it holds it (a dead disk). */
#define KILLED_S 5

void kin__command_end(kin_subprocess *subprocess, struct kin__command *command)
{
    if (command->ended || kin__os_process_signal(command->descriptor, SIGKILL) < 0) return;
    kin__os_process_await(command->descriptor, kin_in_s(KILLED_S));
    kin__command_collect(subprocess, command);
}

static int collect_all(kin_subprocess *subprocess)
{
    for (size_t i = 0; i < subprocess->count; i++) {
        int rc = kin__command_collect(subprocess, &subprocess->commands[i]);
        if (rc < 0) return rc;
    }
    return 0;
}

bool kin__subprocess_ended(const kin_subprocess *subprocess)
{
    for (size_t i = 0; i < subprocess->count; i++) {
        if (!subprocess->commands[i].ended) return false;
    }
    return true;
}

int kin__exit_code(const kin_exit_status *status)
{
    switch (status->kind) {
    case KIN_EXITED: return status->code;
    case KIN_SIGNALED: return -status->signal;
    default: return 255;
    }
}

int kin_subprocess_poll(kin_subprocess *subprocess)
{
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    rc = collect_all(subprocess);
    if (rc == 0) rc = kin__subprocess_ended(subprocess);
    kin__subprocess_leave(subprocess);
    return rc;
}

int kin_subprocess_status_of_sized(kin_subprocess *subprocess, size_t index, kin_exit_status *status,
                                   size_t size)
{
    kin_exit_status now = {.kind = KIN_RUNNING};
    if (status == NULL) return -EINVAL;
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    if (index == SIZE_MAX) index = subprocess->count - 1;
    if (index >= subprocess->count)
        rc = -ERANGE;
    else
        rc = kin__command_collect(subprocess, &subprocess->commands[index]);
    if (rc == 1) now = subprocess->commands[index].status;
    kin__subprocess_leave(subprocess);
    if (rc < 0) return rc;
    memset(status, 0, size);
    memcpy(status, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

int kin_subprocess_exit_code(kin_subprocess *subprocess, int *code)
{
    kin_exit_status status;
    if (code == NULL) return -EINVAL;
    int rc = kin_subprocess_exit_status(subprocess, &status);
    if (rc < 0) return rc;
    if (status.kind == KIN_RUNNING) return -EBUSY;
    *code = kin__exit_code(&status);
    return 0;
}

/* ---- names --------------------------------------------------------------------------------------- */

int kin_subprocess_pid(kin_subprocess *subprocess)
{
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    rc = subprocess->commands[subprocess->count - 1].pid;
    kin__subprocess_leave(subprocess);
    return rc;
}

int kin_subprocess_sentinel(kin_subprocess *subprocess)
{
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    rc = subprocess->commands[subprocess->count - 1].descriptor;
    kin__subprocess_leave(subprocess);
    return rc;
}

/* ---- signals ------------------------------------------------------------------------------------- */

int kin_subprocess_send_signal(kin_subprocess *subprocess, int signal)
{
    /* Said of one that has ended, too. */
    if (signal < 0 || signal > SIGRTMAX) return -EINVAL;
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    for (size_t i = 0; i < subprocess->count; i++) {
        struct kin__command *command = &subprocess->commands[i];
        /* One that has died before did not die of this. */
        if (signal == SIGKILL && kin__command_collect(subprocess, command) == 0)
            subprocess->vigil.killed = true;
        int sent = command->ended ? 0 : kin__os_process_signal(command->descriptor, signal);
        if (sent < 0 && sent != -ESRCH) rc = sent;
    }
    kin__subprocess_leave(subprocess);
    return rc;
}

int kin_subprocess_terminate(kin_subprocess *subprocess)
{
    return kin_subprocess_send_signal(subprocess, SIGTERM);
}

int kin_subprocess_kill(kin_subprocess *subprocess)
{
    return kin_subprocess_send_signal(subprocess, SIGKILL);
}

static size_t list_pipes(const kin_subprocess *subprocess, struct kin__file files[3])
{
    size_t count = 0;
    uint64_t size;
    for (int i = 0; i < 3; i++) {
        const struct kin__stream *stream = &subprocess->streams[i];
        struct kin__file *file = &files[count];
        if (stream->handle.descriptor < 0) continue;
        if (kin__os_file_identity(stream->handle.descriptor, &file->device, &file->inode, &size) < 0)
            continue;
        file->written = i > 0;
        count++;
    }
    return count;
}

int kin_subprocess_end_tree(kin_subprocess *subprocess, kin_deadline grace)
{
    struct kin__root roots[KIN__COMMANDS_MOST];
    struct kin__file files[3];
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    if (collect_all(subprocess) == 0) subprocess->vigil.killed = true;
    for (size_t i = 0; i < subprocess->count; i++)
        roots[i] = (struct kin__root){subprocess->commands[i].pid, subprocess->commands[i].descriptor};
    struct kin__tree tree = {.roots = roots,
                             .count = subprocess->count,
                             .since = subprocess->started,
                             .leads = subprocess->leads,
                             .cgroup = subprocess->group.directory,
                             .files = files,
                             .file_count = list_pipes(subprocess, files)};
    /* Counted as a user, so the descriptors stay; not locked, so the others go on. */
    pthread_mutex_unlock(&subprocess->lock);
    rc = kin__tree_end(&tree, grace);
    pthread_mutex_lock(&subprocess->lock);
    for (size_t i = 0; i < subprocess->count; i++) kin__command_end(subprocess, &subprocess->commands[i]);
    kin__subprocess_drain(subprocess);
    kin__subprocess_leave(subprocess);
    return rc;
}

/* ---- the end of the handle ----------------------------------------------------------------------- */

int kin_subprocess_close(kin_subprocess *subprocess)
{
    if (subprocess == NULL) return 0;
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    rc = collect_all(subprocess);
    if (rc == 0 && (!kin__subprocess_ended(subprocess) || subprocess->users > 1)) rc = -EBUSY;
    kin__subprocess_leave(subprocess);
    if (rc == 0) kin__subprocess_discard(subprocess);
    return rc;
}
