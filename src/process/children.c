/* children.c: the children of this process: who runs, who has ended, and how that is learned.
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
#include <stdatomic.h>
#include <string.h>

#include <kin/error.h>

#include "base/decimal.h"
#include "memory/deaths.h"
#include "memory/reap.h"
#include "os/os.h"
#include "os/signals.h"
#include "process/child.h"
#include "process/fork.h"
#include "process/process.h"
#include "process/server.h"

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

void kin__process_delist(kin_process *child)
{
    delist(&children.ended, child);
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

/* Has its server collected the child, and not told yet?  For some seconds it is about to. */
static bool is_about_to_be_told(kin_process *child)
{
    if (child->report_due == 0) child->report_due = kin_in_ms(REPORT_LAST_MS);
    return kin__server_reports(child->generation) >= 0 && kin_clock() < child->report_due;
}

/* A child that has ended, and of which nothing else tells: as far as the system knows.  REPORT_COMING: it alone
 * does not know. */
static int ask_system(kin_process *child)
{
    kin_exit_status status;
    kin__os_process_end(child->pid, &status);
    /* It has not been collected until now: so its pid was its own. */
    bool own = status.kind > KIN_RUNNING && status.kind < KIN_UNKNOWN &&
               kin__os_process_signal(child->descriptor, 0) == 0;
    int rc = own ? 0 : kin__os_process_collect(child->descriptor, &status);
    if (rc == -EAGAIN) return 0;
    if (rc == -ECHILD && is_about_to_be_told(child)) return REPORT_COMING;
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
        return kin__server_reports(child->generation) >= 0 ? REPORT_COMING : ask_system(child);
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

int kin__process_collect(kin_process *child)
{
    int news = child->served ? take_reports() : 0;
    int rc = collect_one(child);
    return rc != 0 ? rc : news;
}

/* Waits for a report that may come to another thread, but for a moment: the server may be stopped.  What nobody
 * but the server knows is no news yet then, and the caller looks again if it has the time. */
static int collect_when_reported(kin_process *child)
{
    kin_deadline deadline = kin_in_ms(REPORT_MS);
    for (;;) {
        kin__child_lock();
        int news = kin__process_collect(child);
        int reports = kin__server_reports(child->generation);
        bool late = kin_clock() >= deadline;
        if (news == REPORT_COMING && late) news = ask_system(child);
        kin__child_unlock();
        if (news != REPORT_COMING) return news;
        if (late) return 0;
        kin__os_process_await(reports, kin_in_ms(REPORT_SLICE_MS));
    }
}

void kin__process_tell(int news)
{
    /* Who waited for something of theirs need not wait for the end of a slice. */
    if (news == 1) kin__reap();
}

int kin__process_has_ended(kin_process *child)
{
    int news = collect_when_reported(child);
    kin__child_lock();
    bool ended = child->ended;
    kin__child_unlock();
    kin__process_tell(news);
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
        news |= kin__process_collect(child) == 1;
    }
    kin__child_unlock();
    kin__process_tell(news);
    kin__child_lock();
}

int kin__process_await(kin_process *child, kin_deadline deadline)
{
    struct kin__poll item = {.descriptor = child->descriptor};
    for (;;) {
        int rc = kin__os_poll(&item, 1, deadline);
        if (rc == -EINTR) continue;
        if (rc <= 0) return rc < 0 ? rc : -ETIMEDOUT;
        int ended = kin__process_has_ended(child);
        if (ended != 0) return ended < 0 ? ended : 0;
        /* It is over, but a debugger has to let go of it before its parent can collect it, or its server is slow. */
        if (kin_clock() >= deadline) return -ETIMEDOUT;
        kin_deadline slice = kin_in_ms(TRACED_MS);
        if ((rc = kin__os_poll(NULL, 0, slice < deadline ? slice : deadline)) == -ECANCELED) return rc;
    }
}

/* ---- a new one ------------------------------------------------------------------------------------ */

int kin__process_make(kin_process **made, const kin_process_options *options)
{
    const char *name = options->name;
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

void kin__process_unpin(kin_process *child)
{
    kin__child_lock();
    child->pins--;
    kin__child_unlock();
}

/* Waits for a child without end; one that cannot be waited for counts as ended. */
static void await_last(kin_process *child)
{
    if (kin__process_await(child, KIN_FOREVER) == 0) return;
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
    for (kin_process *child; (child = pin_running(true)) != NULL; kin__process_unpin(child)) {
        if (kin__process_await(child, grace) == 0) continue;
        kin__os_process_signal(child->descriptor, SIGKILL);
        await_last(child);
    }
    for (kin_process *child; (child = pin_running(false)) != NULL; kin__process_unpin(child))
        await_last(child);
}

/* ---- who runs ---------------------------------------------------------------------------------------- */

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
    kin__process_tell(news);
    return count;
}
