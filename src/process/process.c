/* process.c: the children of this process: who runs, who has ended, and their handles.
 *
 * Invariants, all under kin__child_lock: a handle is in the list of the running until its child's
 * status has been collected, which happens once, and then in that of the ended until its close;
 * a handle with pins is in use by some thread without the lock and is not freed.  The lists
 * belong to the process `owner`; any other one that finds them has inherited them by fork, and
 * the children in them are not its own.
 */
#include <kin/process.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "base/decimal.h"
#include "memory/deaths.h"
#include "memory/reap.h"
#include "memory/waitable.h"
#include "os/os.h"
#include "os/signals.h"
#include "process/child.h"
#include "process/fork.h"
#include "process/process.h"
#include "process/server.h"
#include "process/tree.h"
#include "process/words.h"

/* At exit: how long daemon children may take over SIGTERM. */
#define GRACE_MS 1000

/* How long a server may take to report an end, and how often another thread may have taken it. */
#define REPORT_MS       200
#define REPORT_SLICE_MS 5
#define REPORT_LAST_MS  5000 /* if it has collected the child already: a stopped one does not tell */

/* How often a child is looked at that has ended but is still in the hands of a debugger. */
#define TRACED_MS 5

static struct {
    _Atomic int owner; /* at exit it is read without the lock */
    unsigned started;
    uint64_t sequence;
    kin_process *expected; /* a server has been asked to start them */
    kin_process *running;
    kin_process *ended;
    kin_process *look; /* where the search for running ones that ended goes on; NULL: at the first */
} children;

/* ---- the list ------------------------------------------------------------------------------------ */

static void enlist(kin_process **list, kin_process *child)
{
    child->previous = NULL;
    child->next = *list;
    if (child->next != NULL) child->next->previous = child;
    *list = child;
}

static void delist(kin_process **list, kin_process *child)
{
    if (children.look == child) children.look = child->next;
    if (child->next != NULL) child->next->previous = child->previous;
    if (child->previous != NULL)
        child->previous->next = child->next;
    else
        *list = child->next;
}

static void note_end(kin_process *child, const kin_exit_status *status)
{
    kin__death_note(child->pid, status);
    child->status = *status;
    kin__vigil_end(&child->vigil, child->group.directory, &child->status);
    if (child->tail != NULL) child->said_size = kin__tail_finish(child->tail, child->said, child->said_most);
    child->ended = true;
}

static void set_ended(kin_process *child, const kin_exit_status *status)
{
    note_end(child, status);
    delist(&children.running, child);
    enlist(&children.ended, child);
}

/* Begins lists of this process's own where it has inherited some. */
static void own_lists(void)
{
    int self = kin__os_pid();
    if (children.owner == self) return;
    children.owner = self;
    children.started = 0;
    children.expected = children.running = children.ended = children.look = NULL;
}

/* ---- learning that a child has ended ------------------------------------------------------------- */

static kin_process *find(kin_process *child, uint64_t sequence)
{
    while (child != NULL && (!child->served || child->sequence != sequence)) child = child->next;
    return child;
}

/* With the lock held: takes the reports of servers; 1 if there was news. */
static int take_reports(void)
{
    struct kin__end_report report;
    int news = 0;
    while (kin__server_report(&report)) {
        kin_process *child = find(children.running, report.sequence);
        if (child != NULL) {
            set_ended(child, &report.status);
            news = 1;
        } else if ((child = find(children.expected, report.sequence)) != NULL) {
            note_end(child, &report.status);
            news = 1;
        }
    }
    return news;
}

enum { REPORT_COMING = 2 };

/* A child that has ended, and of which nothing else tells: as far as the system knows.  `patient`: who has
 * collected it already is its server, which is about to tell. */
static int ask_system(kin_process *child, bool patient)
{
    kin_exit_status status;
    kin__os_process_end(child->pid, &status);
    /* It has not been collected until now: so its pid was its own. */
    bool own = status.kind > KIN_RUNNING && status.kind < KIN_UNKNOWN &&
               kin__os_process_signal(child->descriptor, 0) == 0;
    int rc = own ? 0 : kin__os_process_collect(child->descriptor, &status);
    if (rc == -EAGAIN) return 0;
    if (rc == -ECHILD && patient) return REPORT_COMING;
    if (rc == -ECHILD) status = (kin_exit_status){.kind = KIN_UNKNOWN};
    if (rc < 0 && rc != -ECHILD) return rc;
    set_ended(child, &status);
    return 1;
}

/* With the lock held: collects the status if the child has ended; 1 if that is news, REPORT_COMING when
 * its server has not told yet, for which the caller waits. */
static int collect_one(kin_process *child)
{
    kin_exit_status status;
    if (child->ended) return 0;
    if (child->served) {
        if (!kin__os_process_ended(child->descriptor)) return 0;
        return kin__server_reports(child->generation) >= 0 ? REPORT_COMING : ask_system(child, false);
    }
    int rc = kin__os_process_collect(child->descriptor, &status);
    if (rc == -EAGAIN) return 0;
    if (rc == -ECHILD) status = (kin_exit_status){.kind = KIN_UNKNOWN};
    if (rc < 0 && rc != -ECHILD) return rc;
    if (kin__child_is_parent(child)) {
        child->status = status;
        child->ended = true;
    } else {
        set_ended(child, &status);
    }
    return 1;
}

static int collect(kin_process *child)
{
    int news = child->served ? take_reports() : 0;
    int rc = collect_one(child);
    return rc != 0 ? rc : news;
}

/* Waits for a report that may come to another thread; not for ever, the server may be stopped. */
static int collect_when_reported(kin_process *child)
{
    kin_deadline deadline = kin_in_ms(REPORT_MS), last = kin_in_ms(REPORT_LAST_MS);
    for (;;) {
        kin__child_lock();
        int news = collect(child);
        int reports = kin__server_reports(child->generation);
        if (news == REPORT_COMING && kin_clock() >= deadline) news = ask_system(child, kin_clock() < last);
        kin__child_unlock();
        if (news != REPORT_COMING) return news;
        kin__os_process_await(reports, kin_in_ms(REPORT_SLICE_MS));
    }
}

static void tell(int news)
{
    /* Who waited for something of theirs need not wait for the end of a slice. */
    if (news == 1) kin__reap();
}

/* 1 when the child has ended, 0 while it runs. */
static int has_ended(kin_process *child)
{
    int news = collect_when_reported(child);
    kin__child_lock();
    bool ended = child->ended;
    kin__child_unlock();
    tell(news);
    return news < 0 ? news : ended;
}

/* Collects children that nobody asks about, so that their zombies do not pile up: each start
 * looks at two, so there are never more zombies than running children. */
static void collect_forgotten(void)
{
    int news = 0;
    for (int i = 0; i < 2; i++) {
        kin_process *child = children.look != NULL ? children.look : children.running;
        if (child == NULL) break;
        children.look = child->next;
        news |= collect(child) == 1;
    }
    kin__child_unlock();
    tell(news);
    kin__child_lock();
}

/* Waits for a child that the caller has pinned. */
static int await(kin_process *child, kin_deadline deadline)
{
    struct kin__poll item = {.descriptor = child->descriptor};
    for (;;) {
        int rc = kin__os_poll(&item, 1, deadline);
        if (rc == -EINTR) continue;
        if (rc <= 0) return rc < 0 ? rc : -ETIMEDOUT;
        int ended = has_ended(child);
        if (ended != 0) return ended < 0 ? ended : 0;
        /* It is over, but a debugger has to let go of it before its parent can collect it. */
        if (kin_clock() >= deadline) return -ETIMEDOUT;
        kin_deadline slice = kin_in_ms(TRACED_MS);
        if ((rc = kin__os_poll(NULL, 0, slice < deadline ? slice : deadline)) == -ECANCELED) return rc;
    }
}

/* ---- a new one ------------------------------------------------------------------------------------ */

int kin__process_make(kin_process **made, const kin_process_options *options)
{
    const char *name = options->name;
    if (name != NULL && strnlen(name, KIN__PROCESS_NAME_SIZE) == KIN__PROCESS_NAME_SIZE) return -EINVAL;
    /* Not calloc, which passes libc's cache by: after a fork each page that is written to is copied. */
    kin_process *child = kin__os_malloc(sizeof *child);
    if (child == NULL) return -ENOMEM;
    memset(child, 0, sizeof *child);
    child->daemon = options->daemon || (kin_process_current()->daemon && !options->ordinary);
    child->descriptor = child->stderr_end = -1;
    child->owner = kin__os_pid();
    kin__child_lock();
    own_lists();
    children.started++;
    if (name != NULL)
        strcpy(child->name, name);
    else
        kin__decimal_append(strcpy(child->name, "Process-"), children.started);
    collect_forgotten();
    kin__child_unlock();
    *made = child;
    return 0;
}

void kin__process_free(kin_process *process)
{
    if (process->descriptor >= 0) kin__os_close(process->descriptor);
    kin__group_close(&process->group);
    if (process->tail != NULL) kin__tail_forget(process->tail);
    kin__os_free(process->said);
    kin__os_free(process);
}

void kin__process_started(kin_process *child)
{
    kin__child_lock();
    if (child->served) delist(&children.expected, child);
    enlist(child->ended ? &children.ended : &children.running, child);
    kin__child_unlock();
}

uint64_t kin__process_expect(kin_process *child)
{
    kin__child_lock();
    child->served = true;
    child->ended = false;
    child->sequence = ++children.sequence;
    enlist(&children.expected, child);
    kin__child_unlock();
    return child->sequence;
}

void kin__process_expect_no_more(kin_process *child)
{
    kin__child_lock();
    delist(&children.expected, child);
    kin__child_unlock();
}

void kin__process_answered(kin_process *child, int pid, int descriptor)
{
    kin__child_lock();
    child->pid = pid;
    child->descriptor = descriptor;
    /* When it was reported its pid was not known. */
    if (child->ended) kin__death_note(pid, &child->status);
    kin__child_unlock();
}

bool kin__process_look_at_new(kin_process *child)
{
    kin__child_lock();
    take_reports();
    bool ended = child->ended;
    kin__child_unlock();
    return ended;
}

void kin__processes_look(void)
{
    kin__child_lock();
    take_reports();
    kin__child_unlock();
}

/* The handles stay as they are, and are of no use here: they have another owner. */
static void close_inherited(const kin_process *child)
{
    for (; child != NULL; child = child->next)
        if (child->descriptor >= 0) kin__os_close(child->descriptor);
}

KIN__CHILD_CODE void kin__processes_disown(void)
{
    /* Those of an earlier generation are closed, and their numbers others'. */
    if (children.owner != kin__os_parent_pid()) return;
    close_inherited(children.running);
    close_inherited(children.ended);
}

/* ---- the end of this process --------------------------------------------------------------------- */

static kin_process *pin_running(bool daemon)
{
    kin__child_lock();
    kin_process *child = children.running;
    while (child != NULL && child->daemon != daemon) child = child->next;
    if (child != NULL) child->pins++;
    kin__child_unlock();
    return child;
}

static void unpin(kin_process *child)
{
    kin__child_lock();
    child->pins--;
    kin__child_unlock();
}

/* Waits for a child without end; one that cannot be waited for counts as ended. */
static void await_last(kin_process *child)
{
    if (await(child, KIN_FOREVER) == 0) return;
    kin__child_lock();
    if (!child->ended) set_ended(child, &(kin_exit_status){.kind = KIN_UNKNOWN});
    kin__child_unlock();
}

static void terminate_daemons(void)
{
    kin__child_lock();
    for (kin_process *child = children.running; child != NULL; child = child->next) {
        if (child->daemon) kin__os_process_signal(child->descriptor, SIGTERM);
    }
    kin__child_unlock();
}

/* What Python does at exit: daemon children are terminated, the others are waited for.  In a
 * process that has started none, and in one that has only inherited the list, it does nothing. */
KIN__CHILD_CODE void kin__processes_end(void)
{
    if (atomic_load_explicit(&children.owner, memory_order_relaxed) != kin__os_pid()) return;
    terminate_daemons();
    kin_deadline grace = kin_in_ms(GRACE_MS);
    for (kin_process *child; (child = pin_running(true)) != NULL; unpin(child)) {
        if (await(child, grace) == 0) continue;
        kin__os_process_signal(child->descriptor, SIGKILL);
        await_last(child);
    }
    for (kin_process *child; (child = pin_running(false)) != NULL; unpin(child)) await_last(child);
}

/* ---- handles ------------------------------------------------------------------------------------- */

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
    if (!ended) rc = await(process, deadline);
    unpin(process);
    return rc;
}

int kin_process_is_alive(kin_process *process)
{
    int rc = check(process);
    if (kin__child_is_self(process)) return 1;
    if (rc < 0) return rc;
    rc = has_ended(process);
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
    int news = signal == SIGKILL ? collect(process) : 0;
    if (signal == SIGKILL) process->vigil.killed = true;
    if (!process->ended) rc = kin__os_process_signal(process->descriptor, signal);
    kin__child_unlock();
    tell(news);
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
    int news = collect(process);
    /* What it left behind can still be found in a control group of its own. */
    bool ended = process->ended && process->group.directory == NULL;
    process->vigil.killed = true;
    process->pins++;
    kin__child_unlock();
    tell(news);
    const struct kin__root root = {process->pid, process->descriptor};
    struct kin__tree tree = {.roots = &root, .count = 1, .cgroup = process->group.directory};
    if (!ended) rc = kin__tree_end(&tree, grace);
    unpin(process);
    /* Collects it, so that nobody has to wait for a slice to learn of it. */
    int over = has_ended(process);
    return rc < 0 ? rc : over < 0 ? over : 0;
}

int kin_process_exit_status_sized(kin_process *process, kin_exit_status *status, size_t size)
{
    int rc = check(process);
    if (rc < 0) return rc;
    if (status == NULL) return -EINVAL;
    rc = has_ended(process);
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
    bool told = check(process) == 0 && process->tail != NULL && has_ended(process) > 0;
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

long kin_process_active_children(kin_process **active, size_t limit)
{
    if (active == NULL && limit > 0) return -EINVAL;
    long count = 0;
    kin__child_lock();
    int news = take_reports();
    for (kin_process *child = children.owner == kin__os_pid() ? children.running : NULL, *next; child != NULL;
         child = next) {
        next = child->next;
        int rc = collect_one(child);
        news |= rc == 1;
        if (child->ended || rc == REPORT_COMING) continue;
        if ((size_t)count < limit) active[count] = child;
        count++;
    }
    kin__child_unlock();
    tell(news);
    return count;
}

int kin_process_close(kin_process *process)
{
    if (process == NULL || kin__child_is_self(process) || kin__child_is_parent(process)) return 0;
    int rc = check(process);
    if (rc < 0) return rc;
    rc = has_ended(process);
    if (rc < 0) return rc;
    kin__child_lock();
    bool busy = rc == 0 || process->pins > 0;
    if (!busy) delist(&children.ended, process);
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
