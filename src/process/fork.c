/* fork.c: see fork.h.
 *
 * `line` is this process's own lifeline, `held` the one it holds as a child, `gate` where its
 * children wait until they may go on.  All change only under `lock`, which every fork of the
 * program takes too, so that none falls between the making of a line and its entry here.  That
 * is so from the start of the program: a handler set up with the first line would not be seen
 * by a fork that is already on its way.
 *
 * A child waits at the gate until its parent has opened its process descriptor: ended before,
 * it could be collected by something else in the program, and its pid be another's by then.
 *
 * Where there are no such descriptors (os/stand_in.h) the first child never gets through the gate, and the fork is made
 * again with what stands for one, whose end in the child is `alive`.
 */
#include "process/fork.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "os/os.h"
#include "os/stand_in.h"

/* A descriptor is closed only while it still is the pipe that it was: the program may have
 * closed it, and its number be another's. */
struct end {
    int descriptor; /* -1: none */
    uint64_t device;
    uint64_t inode;
};

/* Memory that a process shares with its children.  `passed` is the ticket of the child that
 * was let through last, with the lowest bit set while one sleeps.  The parent alone stores a
 * ticket (release: what it did before the fork's end is done), a child only sets the bit. */
struct gate {
    _Atomic uint32_t passed;
};
#define GATE_SLEEPER 1u
#define GATE_TICKET  2u

static struct {
    pthread_mutex_t lock;
    struct end line;
    struct end held;
    struct end alive;
    struct gate *gate;
    bool gate_inherited;
    uint32_t ticket;
} life = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .line.descriptor = -1, .held.descriptor = -1, .alive.descriptor = -1};

/* Threads that start programs: none may be there when this process is forked.  A thread comes with
 * the lock held and goes without, so a fork that has the lock waits for those only that are there. */
static _Atomic uint32_t starting;

static int watch_result;

/* This thread has the lock, so a fork in it must not take it. */
static _Thread_local bool has_lock;

KIN__CHILD_CODE void kin__child_lock(void)
{
    pthread_mutex_lock(&life.lock);
    has_lock = true;
}

KIN__CHILD_CODE void kin__child_unlock(void)
{
    has_lock = false;
    pthread_mutex_unlock(&life.lock);
}

static void forbid_forks(void)
{
    pthread_mutex_lock(&life.lock);
    atomic_fetch_add_explicit(&starting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&life.lock);
}

static void allow_forks(void)
{
    /* Release: pairs with the acquire in await_starts; the pipes' ends are closed. */
    if (atomic_fetch_sub_explicit(&starting, 1, memory_order_release) == 1)
        kin__os_futex_wake(&starting, INT32_MAX);
}

void kin__child_begin(bool forks)
{
    if (forks)
        kin__child_lock();
    else
        forbid_forks();
}

void kin__child_done(bool forks)
{
    if (forks)
        kin__child_unlock();
    else
        allow_forks();
}

static void await_starts(void)
{
    uint32_t seen;
    while ((seen = atomic_load_explicit(&starting, memory_order_acquire)) != 0)
        kin__os_futex_wait(&starting, seen, KIN_FOREVER);
}

/* ---- around every fork of the program -------------------------------------------------------- */

static bool is_open(const struct end *end)
{
    uint64_t device, inode, size;
    return end->descriptor >= 0 && kin__os_file_identity(end->descriptor, &device, &inode, &size) == 0 &&
           device == end->device && inode == end->inode;
}

KIN__CHILD_CODE static void forget(struct end *end)
{
    if (end->descriptor >= 0) kin__os_close(end->descriptor);
    end->descriptor = -1;
}

static void before_fork(void)
{
    if (!has_lock) pthread_mutex_lock(&life.lock);
    await_starts();
    /* Looked at here, because in the child each page touched for the first time is a fault. */
    if (!is_open(&life.line)) life.line.descriptor = -1;
    if (!is_open(&life.held)) life.held.descriptor = -1;
    if (life.alive.descriptor >= 0 && !is_open(&life.alive)) life.alive.descriptor = -1;
}

static void after_fork_in_parent(void)
{
    if (!has_lock) pthread_mutex_unlock(&life.lock);
}

KIN__CHILD_CODE static void after_fork_in_child(void)
{
    forget(&life.line);
    forget(&life.held);
    forget(&life.alive);
    life.gate_inherited = true;
    if (!has_lock) pthread_mutex_unlock(&life.lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {before_fork, after_fork_in_parent, after_fork_in_child};
    watch_result = kin__os_watch_forks(KIN__FORK_LIFELINES, &watch);
}

/* ---- before the fork ---------------------------------------------------------------------------- */

static int make_line(void)
{
    uint64_t size;
    int descriptor = kin__os_lifeline_make();
    if (descriptor < 0) return descriptor;
    life.line.descriptor = descriptor;
    int rc = kin__os_file_identity(descriptor, &life.line.device, &life.line.inode, &size);
    if (rc < 0) forget(&life.line);
    return rc;
}

static int make_gate(void)
{
    void *gate = NULL;
    int rc = kin__os_shared_make(&gate, sizeof(struct gate));
    if (rc < 0) return rc;
    if (life.gate != NULL) kin__os_memory_unmap(life.gate, sizeof(struct gate));
    life.gate = gate;
    life.gate_inherited = false;
    life.ticket = 0;
    return 0;
}

static int open_line(void)
{
    int rc = is_open(&life.line) ? 0 : make_line();
    return rc < 0 ? rc : kin__os_lifeline_open(life.line.descriptor, SIGKILL);
}

/* Makes what the next child will hold. */
static int make_ready(struct end *own)
{
    int rc = 0;
    if (life.gate == NULL || life.gate_inherited) rc = make_gate();
    if (rc == 0) rc = open_line();
    if (rc < 0) return rc;
    *own = life.line;
    own->descriptor = rc;
    return 0;
}

int kin__child_line(void)
{
    if (watch_result < 0) return watch_result;
    kin__child_lock();
    int descriptor = open_line();
    kin__child_unlock();
    return descriptor;
}

KIN__CHILD_CODE int kin__child_adopt(int lifeline)
{
    uint64_t size;
    struct end own = {.descriptor = lifeline};
    int rc = kin__os_file_identity(lifeline, &own.device, &own.inode, &size);
    if (rc == 0) rc = kin__os_set_inherit(lifeline, false);
    if (rc < 0) return rc;
    kin__child_lock();
    life.held = own;
    kin__child_unlock();
    return kin__os_lifeline_hold(lifeline);
}

int kin__child_signal(int signal)
{
    kin__child_lock();
    int rc = is_open(&life.held) ? kin__os_lifeline_signal(life.held.descriptor, signal) : -ESRCH;
    kin__child_unlock();
    return rc;
}

/* ---- after it ------------------------------------------------------------------------------------- */

/* Tickets are passed in order, so a later one lets an earlier child through as well. */
static bool is_passed(uint32_t passed, uint32_t ticket)
{
    return (int32_t)((passed & ~GATE_SLEEPER) - ticket) >= 0;
}

static void pass_gate(uint32_t ticket)
{
    uint32_t seen;
    /* Acquire: pairs with the release in open_gate. */
    while (!is_passed(seen = atomic_load_explicit(&life.gate->passed, memory_order_acquire), ticket)) {
        if ((seen & GATE_SLEEPER) != 0 ||
            atomic_compare_exchange_strong(&life.gate->passed, &seen, seen | GATE_SLEEPER))
            kin__os_futex_wait(&life.gate->passed, seen | GATE_SLEEPER, KIN_FOREVER);
    }
}

static void open_gate(uint32_t ticket)
{
    uint32_t seen = atomic_exchange_explicit(&life.gate->passed, ticket, memory_order_release);
    if ((seen & GATE_SLEEPER) != 0) kin__os_futex_wake(&life.gate->passed, INT32_MAX);
}

static void go_on_in_child(const struct end *own, int stand_in, const struct end *alive)
{
    life.held = *own;
    if (stand_in >= 0) {
        kin__os_close(stand_in);
        life.alive = *alive;
    }
    /* Held before it waits: a parent that dies now takes the child with it. */
    if (kin__os_lifeline_hold(own->descriptor) < 0) kin__os_exit_now(255);
    pass_gate(life.ticket);
}

static int go_on_in_parent(int pid, const struct end *own, int stand_in, struct end *alive, int *descriptor)
{
    int rc = pid < 0 ? pid : stand_in >= 0 ? stand_in : kin__os_process_open(pid);
    forget(alive);
    if (rc >= 0) {
        if (stand_in >= 0) kin__os_stand_in_enter(stand_in, pid);
        *descriptor = rc;
        open_gate(life.ticket);
    } else if (pid > 0) {
        kin__os_process_abandon(pid);
    } else if (stand_in >= 0) {
        kin__os_close(stand_in);
    }
    kin__os_close(own->descriptor);
    return rc < 0 ? rc : pid;
}

/* What stands for the next child's descriptor. */
static int make_stand_in(int *stand_in, struct end *alive)
{
    int ends[2];
    uint64_t size;
    int rc = kin__os_stand_in_make(ends);
    if (rc < 0) return rc;
    *stand_in = ends[0];
    alive->descriptor = ends[1];
    return kin__os_file_identity(ends[1], &alive->device, &alive->inode, &size);
}

KIN__CHILD_CODE static int fork_once(int *descriptor)
{
    struct end own, alive = {.descriptor = -1};
    int stand_in = -1, rc = make_ready(&own);
    if (rc < 0) return rc;
    if (kin__os_stand_ins) rc = make_stand_in(&stand_in, &alive);
    life.ticket += GATE_TICKET;
    if (rc == 0) rc = kin__os_fork();
    if (rc != 0) return go_on_in_parent(rc, &own, stand_in, &alive, descriptor);
    go_on_in_child(&own, stand_in, &alive);
    return 0;
}

KIN__CHILD_CODE int kin__child_fork(int *descriptor)
{
    if (watch_result < 0) return watch_result;
    kin__os_flush();
    kin__child_lock();
    int rc = fork_once(descriptor);
    if (rc == -ENOSYS && kin__os_stand_in_begin()) rc = fork_once(descriptor);
    if (rc == -ENOENT) kin__log(KIN_LOG_ERROR, "cannot start a process: /proc is not mounted");
    kin__child_unlock();
    return rc;
}
