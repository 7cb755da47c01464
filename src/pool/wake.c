/* wake.c: waking a pool's supervisor: one that sleeps, and one that was stopped. */
#include <signal.h>

#include "os/os.h"
#include "os/processes.h"
#include "pool/pool.h"

/* PRIVATE to a supervisor, and inherited by its workers. */
static struct {
    kin_pool *pool;
    int descriptor;
} wake_here;

void kin__supervisor_wake_by(kin_pool *pool, int wake)
{
    wake_here.pool = pool;
    wake_here.descriptor = wake;
}

void kin__supervisor_wake(kin_pool *pool)
{
    /* Others wait for the supervisor's next look. */
    if (kin__os_pid() == pool->owner_pid)
        kin__os_event_set(pool->wake_descriptor);
    else if (wake_here.pool == pool && kin__os_parent_pid() == atomic_load(&pool->supervisor_pid))
        kin__os_event_set(wake_here.descriptor);
}

/* By SIGSTOP or the terminal: 'T'.  One that a debugger has stopped, 't', is the debugger's. */
static bool is_stopped(int pid)
{
    struct kin__process_note note;
    return kin__os_process_note(pid, &note) == 0 && note.state == 'T';
}

void kin__supervisor_continue(kin_pool *pool)
{
    int pid = atomic_load(&pool->supervisor_pid);
    if (pool->threads || pid == 0) return;
    int descriptor = kin__os_process_open(pid);
    if (descriptor < 0) return;
    /* Once it is open: from then on the pid is not another's without our seeing it. */
    bool there = kin__os_process_gone(pid, atomic_load(&pool->supervisor_since)) == 0;
    if (there && is_stopped(pid)) kin__os_process_signal(descriptor, SIGCONT);
    kin__os_close(descriptor);
}
