/* own.c: workers that wait on their own pool: for a result of it, or for room in it.
 *
 * Such a worker is busy and does nothing.  It says so in its slot, and the supervisor starts another
 * in its place, so that what is waited for can be run; when it goes on, one that is idle ends.
 * There is a limit, so that tasks that start tasks without end do not fill the machine: at the
 * limit the wait is refused, and nothing hangs.
 */
#include <errno.h>

#include "memory/waitable.h"
#include "os/os.h"
#include "pool/pool.h"
#include "pool/worker.h"

/* PRIVATE.  The worker that somebody is; a child that it forks has another identity. */
struct own {
    kin_pool *pool;
    struct kin__worker *slot;
    unsigned index;
    uint64_t process;
    void *state;
};

/* A thread of a pool of threads may be in a process that is a worker of another pool. */
static struct own of_process;
static _Thread_local struct own of_thread __attribute__((tls_model("initial-exec")));

static bool is_valid(const struct own *own)
{
    return own->pool != NULL && own->process == kin__self.process_identity;
}

static struct own *here(void)
{
    if (is_valid(&of_thread)) return &of_thread;
    return is_valid(&of_process) ? &of_process : NULL;
}

void kin__own_set(kin_pool *pool, unsigned index)
{
    struct own *own = pool->threads ? &of_thread : &of_process;
    *own = (struct own){.pool = pool,
                        .slot = kin__pool_worker(pool, index),
                        .index = index,
                        .process = kin__self.process_identity};
}

void kin__own_leave(void)
{
    of_thread = (struct own){0};
}

struct kin__worker *kin__worker_here(const kin_pool *pool)
{
    const struct own *own = pool->threads ? &of_thread : &of_process;
    return own->pool == pool && is_valid(own) ? own->slot : NULL;
}

kin_pool *kin__own_pool(void)
{
    const struct own *own = here();
    return own != NULL ? own->pool : NULL;
}

unsigned kin__own_limit(kin_pool *pool)
{
    unsigned limit = 4 * kin__pool_size(pool) + 60;
    return limit < KIN__WORKERS_MOST ? limit : KIN__WORKERS_MOST;
}

unsigned kin__deputies_limit(kin_pool *pool)
{
    const unsigned half = KIN__WORKERS_MOST / 2, size = kin__pool_size(pool);
    unsigned kept = kin__own_limit(pool);
    if (kept > half) kept = size > half ? size : half;
    return KIN__WORKERS_MOST - kept;
}

int kin__own_wait_begin(kin_pool *pool)
{
    struct kin__worker *slot = kin__worker_here(pool);
    if (slot == NULL) return 0;
    /* Before the count, both seq_cst: of those who come to the last place at once none overlooks the other. */
    atomic_fetch_add(&slot->blocked, 1);
    unsigned blocked = 0;
    for (unsigned i = 0; i < kin__pool_slots(pool); i++)
        blocked += atomic_load(&kin__pool_worker(pool, i)->blocked) != 0;
    if (blocked >= kin__own_limit(pool)) {
        atomic_fetch_sub(&slot->blocked, 1);
        return -EDEADLK;
    }
    /* Even if another of its threads waits: that one may be about to be refused, and wakes nobody. */
    kin__supervisor_wake(pool);
    return 0;
}

void kin__own_wait_end(kin_pool *pool)
{
    struct kin__worker *slot = kin__worker_here(pool);
    if (slot != NULL) atomic_fetch_sub(&slot->blocked, 1);
}

/* ---- for who waits for several things --------------------------------------------------------------- */

static bool is_working(void)
{
    return here() != NULL;
}

static void *pool_of(const kin_waitable *item)
{
    const kin_result *result = item->object;
    /* One that is closed, or freed with its pool, is ready. */
    bool good = kin__check(result, offsetof(struct kin_result, magic), KIN__MAGIC_RESULT) == 0;
    return good && kin__worker_here(result->pool) != NULL ? result->pool : NULL;
}

static int leave(void *pool)
{
    return kin__own_wait_begin(pool);
}

static void come_back(void *pool)
{
    kin__own_wait_end(pool);
}

const struct kin__waitable_work kin__own_work = {is_working, pool_of, leave, come_back};

/* ---- for the user ------------------------------------------------------------------------------------ */

void kin_worker_set_state(void *state)
{
    struct own *own = here();
    if (own != NULL) own->state = state;
}

void *kin_worker_state(void)
{
    const struct own *own = here();
    return own != NULL ? own->state : NULL;
}

kin_pool *kin_worker_pool(void)
{
    return kin__own_pool();
}

int kin_worker_number(void)
{
    const struct own *own = here();
    return own != NULL ? (int)own->index : -1;
}
