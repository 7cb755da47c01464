/* process.c: what is asked of a child by its handle.  The lists of children and how their ends are learned
 * are in children.c, and its invariants hold here: what may change is read under kin__child_lock.
 */
#include <kin/process.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "memory/waitable.h"
#include "os/os.h"
#include "os/signals.h"
#include "process/child.h"
#include "process/fork.h"
#include "process/process.h"
#include "process/tree.h"
#include "process/words.h"

static int check(const kin_process *process)
{
    if (process == NULL) return -EINVAL;
    if (kin__child_is_self(process)) return KIN_ENOTCHILD;
    return process->owner == kin__os_pid() ? 0 : KIN_ENOTCHILD;
}

int kin_process_join(kin_process *process, kin_deadline deadline)
{
    int rc = check(process);
    if (rc < 0) return rc;
    kin__child_lock();
    bool ended = process->ended;
    process->pins++;
    kin__child_unlock();
    if (!ended) rc = kin__process_await(process, deadline);
    kin__process_unpin(process);
    return rc;
}

int kin_process_is_alive(kin_process *process)
{
    int rc = check(process);
    if (kin__child_is_self(process)) return 1;
    if (rc < 0) return rc;
    rc = kin__process_has_ended(process);
    return rc < 0 ? rc : rc == 0;
}

int kin_process_send_signal(kin_process *process, int number, void *value)
{
    int rc = check(process);
    if (rc < 0) return rc;
    kin__child_lock();
    rc = process->ended ? -ESRCH : kin__os_process_queue(process->descriptor, number, value);
    kin__child_unlock();
    return rc;
}

static int send_signal(kin_process *process, int signal)
{
    int rc = check(process);
    if (rc < 0) return rc;
    kin__child_lock();
    /* One that has died before did not die of this. */
    int news = signal == SIGKILL ? kin__process_collect(process) : 0;
    if (signal == SIGKILL) process->vigil.killed = true;
    if (!process->ended) rc = kin__os_process_signal(process->descriptor, signal);
    kin__child_unlock();
    kin__process_tell(news);
    return rc == -ESRCH ? 0 : rc;
}

int kin_process_terminate(kin_process *process)
{
    return send_signal(process, SIGTERM);
}

int kin_process_kill(kin_process *process)
{
    return send_signal(process, SIGKILL);
}

int kin_process_end_tree(kin_process *process, kin_deadline grace)
{
    int rc = check(process);
    if (rc < 0) return rc;
    kin__child_lock();
    int news = kin__process_collect(process);
    /* What it left behind can still be found in a control group of its own. */
    bool ended = process->ended && process->group.directory == NULL;
    process->vigil.killed = true;
    process->pins++;
    kin__child_unlock();
    kin__process_tell(news);
    const struct kin__root root = {process->pid, process->descriptor};
    struct kin__tree tree = {.roots = &root, .count = 1, .cgroup = process->group.directory};
    if (!ended) rc = kin__tree_end(&tree, grace);
    kin__process_unpin(process);
    /* Collects it, so that nobody has to wait for a slice to learn of it. */
    int over = kin__process_has_ended(process);
    return rc < 0 ? rc : over < 0 ? over : 0;
}

int kin_process_exit_status_sized(kin_process *process, kin_exit_status *status, size_t size)
{
    int rc = check(process);
    if (rc < 0) return rc;
    if (status == NULL) return -EINVAL;
    rc = kin__process_has_ended(process);
    if (rc < 0) return rc;
    /* `status` does not change any more once it has ended; until then it is all zero. */
    kin_exit_status now = {.kind = KIN_RUNNING};
    if (rc > 0) now = process->status;
    memset(status, 0, size);
    memcpy(status, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

int kin_process_exit_code(kin_process *process, int *code)
{
    kin_exit_status status;
    if (code == NULL) return -EINVAL;
    int rc = kin_process_exit_status(process, &status);
    if (rc < 0) return rc;
    switch (status.kind) {
    case KIN_RUNNING: return -EBUSY;
    case KIN_EXITED: *code = status.code; return 0;
    case KIN_SIGNALED: *code = -status.signal; return 0;
    default: *code = 255; return 0;
    }
}

const char *kin_process_stderr_tail(kin_process *process, size_t *size)
{
    bool told = check(process) == 0 && process->tail != NULL && kin__process_has_ended(process) > 0;
    if (size != NULL) *size = told ? process->said_size : 0;
    /* They do not change any more. */
    return told ? process->said : NULL;
}

int kin_process_exit_text(kin_process *process, char *text, size_t size)
{
    kin_exit_status status;
    char words[240];
    int rc = kin_process_exit_status(process, &status);
    if (rc < 0) return rc;
    if (text == NULL && size > 0) return -EINVAL;
    kin_exit_status_text(&status, words, sizeof words);
    const char *verb = kin__death_verb(&status);
    size_t length = 0;
    const char *line = kin__last_line(kin_process_stderr_tail(process, &length), &length);
    return snprintf(text, size, "%s %s%s%s%.*s", process->name, verb, words, length > 0 ? ": " : "",
                    (int)length, length > 0 ? line : "");
}

int kin_process_pid(const kin_process *process)
{
    return process != NULL ? process->pid : -EINVAL;
}

const char *kin_process_name(const kin_process *process)
{
    return process != NULL ? process->name : NULL;
}

int kin_process_daemon(const kin_process *process)
{
    return process != NULL ? process->daemon : -EINVAL;
}

int kin_process_sentinel(const kin_process *process)
{
    if (process == NULL || kin__child_is_self(process)) return -EINVAL;
    int rc = check(process);
    return rc < 0 ? rc : process->descriptor;
}

int kin_process_close(kin_process *process)
{
    if (process == NULL || kin__child_is_self(process) || kin__child_is_parent(process)) return 0;
    int rc = check(process);
    if (rc < 0) return rc;
    rc = kin__process_has_ended(process);
    if (rc < 0) return rc;
    kin__child_lock();
    bool busy = rc == 0 || process->pins > 0;
    if (!busy) kin__process_delist(process);
    kin__child_unlock();
    if (busy) return -EBUSY;
    kin__process_free(process);
    return 0;
}

int kin_cpu_count(void)
{
    return kin__os_cpu_count();
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    return check(item->object);
}

static int descriptor_of(const kin_waitable *item)
{
    return ((const kin_process *)item->object)->descriptor;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class processes = {.look = look, .descriptor = descriptor_of};
    kin__waitable_classes[KIN_WAITABLE_PROCESS] = &processes;
}
