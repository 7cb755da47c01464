/* own.c: workers that wait on their own pool: for a result of it, or for room in it.
 *
 * Such a worker is busy and does nothing.  It says so in its slot, and the supervisor starts another
 * in its place, so that what is waited for can be run; when it goes on, one that is idle ends.
 * There is a limit, so that tasks that start tasks without end do not fill the machine: at the
 * limit the wait is refused, and nothing hangs.
 */
#include <errno.h>

#include "os/os.h"
#include "pool/pool.h"
#include "pool/worker.h"

/* PRIVATE to a worker's process; a child that it forks has another identity. */
static struct {
    kin_pool *pool;
    struct kin__worker *slot;
    unsigned index;
    uint64_t process;
    void *state;
} here;

void kin__own_set(kin_pool *pool, unsigned index)
{
    here.pool = pool;
    here.slot = kin__pool_worker(pool, index);
    here.index = index;
    here.state = NULL;
    here.process = kin__self.process_identity;
}

struct kin__worker *kin__worker_here(const kin_pool *pool)
{
    return here.pool == pool && here.process == kin__self.process_identity ? here.slot : NULL;
}

kin_pool *kin__own_pool(void)
{
    return here.pool != NULL && here.process == kin__self.process_identity ? here.pool : NULL;
}

unsigned kin__own_limit(kin_pool *pool)
{
    unsigned limit = 4 * kin__pool_size(pool) + 60;
    return limit < KIN__WORKERS_MOST ? limit : KIN__WORKERS_MOST;
}

int kin__own_wait_begin(kin_pool *pool)
{
    struct kin__worker *slot = kin__worker_here(pool);
    if (slot == NULL) return 0;
    unsigned blocked = 1;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++)
        blocked += atomic_load(&kin__pool_worker(pool, i)->blocked) != 0;
    if (blocked >= kin__own_limit(pool)) return -EDEADLK;
    if (atomic_fetch_add(&slot->blocked, 1) == 0) kin__supervisor_wake(pool);
    return 0;
}

void kin__own_wait_end(kin_pool *pool)
{
    struct kin__worker *slot = kin__worker_here(pool);
    if (slot != NULL) atomic_fetch_sub(&slot->blocked, 1);
}

/* ---- for the user ------------------------------------------------------------------------------------ */

void kin_worker_set_state(void *state)
{
    here.state = state;
}

void *kin_worker_state(void)
{
    return here.state;
}

kin_pool *kin_worker_pool(void)
{
    return kin__own_pool();
}

int kin_worker_number(void)
{
    return kin__own_pool() != NULL ? (int)here.index : -1;
}
