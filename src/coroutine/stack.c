/* stack.c: see stack.h.
 *
 * Stacks are mapped in slabs of several, which the kernel keeps as one mapping, and used again.
 *
 * Invariants, under the lock:
 *  - A slab with free stacks is in the list of its size's pool; one without is in none.
 *  - At most KEEP free stacks, over all pools, have memory behind them; a slab all of whose stacks are
 *    free is unmapped when its pool has another one with a free stack.
 */
#include "coroutine/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "os/os.h"
#include "os/stack.h"

#define SLAB_BYTES ((size_t)8 << 20)
#define SLAB_MOST  64
#define KEEP       256u

struct pool;

struct kin__slab {
    struct kin__slab *next;
    struct kin__slab *previous;
    struct pool *pool;
    char *base;
    uint64_t free; /* a bit for each stack */
    uint64_t warm; /* those of the free ones that have memory behind them */
};

struct pool {
    size_t size; /* of a stack with its guard */
    unsigned count;
    struct kin__slab *first;
};

#define POOLS 48
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool pools[POOLS];
static unsigned kept;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void lock_for_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

static void set_up(void)
{
    static const struct kin__fork_watch watch = {lock_for_fork, unlock_after_fork, unlock_after_fork};
    kin__os_watch_forks(KIN__FORK_STACKS, &watch);
}

static void enlist(struct kin__slab *slab)
{
    slab->previous = NULL;
    slab->next = slab->pool->first;
    if (slab->next != NULL) slab->next->previous = slab;
    slab->pool->first = slab;
}

static void delist(struct kin__slab *slab)
{
    *(slab->previous != NULL ? &slab->previous->next : &slab->pool->first) = slab->next;
    if (slab->next != NULL) slab->next->previous = slab->previous;
}

static uint64_t all_of(const struct pool *pool)
{
    return pool->count == 64 ? UINT64_MAX : ((uint64_t)1 << pool->count) - 1;
}

/* Sizes are powers of two: there are few, and each has its pool. */
static struct pool *pool_for(size_t size)
{
    unsigned index = 64 - (unsigned)__builtin_clzl(size - 1);
    struct pool *pool = &pools[index];
    pool->size = (size_t)1 << index;
    size_t count = SLAB_BYTES / pool->size;
    pool->count = count < 1 ? 1 : count > SLAB_MOST ? SLAB_MOST : (unsigned)count;
    return pool;
}

static int add_slab(struct pool *pool)
{
    struct kin__slab *slab = kin__os_calloc(1, sizeof *slab);
    if (slab == NULL) return -ENOMEM;
    void *base;
    int rc = kin__os_stacks_map(&base, pool->size, pool->count, KIN__STACK_GUARD);
    if (rc < 0) {
        kin__os_free(slab);
        return rc;
    }
    slab->base = base;
    slab->pool = pool;
    slab->free = all_of(pool);
    enlist(slab);
    return 0;
}

static void take(struct kin__stack *stack, struct pool *pool)
{
    struct kin__slab *slab = pool->first;
    uint64_t choice = (slab->free & slab->warm) != 0 ? slab->free & slab->warm : slab->free;
    unsigned index = (unsigned)__builtin_ctzll(choice);
    uint64_t bit = (uint64_t)1 << index;
    slab->free &= ~bit;
    if ((slab->warm & bit) != 0) kept--;
    slab->warm &= ~bit;
    if (slab->free == 0) delist(slab);
    stack->slab = slab;
    stack->bottom = slab->base + index * pool->size + KIN__STACK_GUARD;
    stack->size = pool->size - KIN__STACK_GUARD;
}

int kin__stack_take(struct kin__stack *stack, size_t size)
{
    if (size == 0) size = KIN__STACK_DEFAULT - KIN__STACK_GUARD;
    if (size < KIN__STACK_LEAST || size > KIN__STACK_MOST) return -EINVAL;
    pthread_once(&once, set_up);
    pthread_mutex_lock(&lock);
    struct pool *pool = pool_for(size + KIN__STACK_GUARD);
    int rc = pool->first == NULL ? add_slab(pool) : 0;
    if (rc == 0) take(stack, pool);
    pthread_mutex_unlock(&lock);
    return rc;
}

void kin__stack_give(struct kin__stack *stack)
{
    struct kin__slab *slab = stack->slab;
    struct pool *pool = slab->pool;
    pthread_mutex_lock(&lock);
    uint64_t bit = (uint64_t)1 << (size_t)(stack->bottom - slab->base) / pool->size;
    if (kept < KEEP) {
        kept++;
        slab->warm |= bit;
    } else {
        kin__os_stack_discard(stack->bottom, stack->size);
    }
    if (slab->free == 0) enlist(slab);
    slab->free |= bit;
    bool spare = slab->free == all_of(pool) && (slab->next != NULL || slab->previous != NULL);
    if (spare) {
        kept -= (unsigned)__builtin_popcountll(slab->warm);
        delist(slab);
    }
    pthread_mutex_unlock(&lock);
    if (!spare) return;
    kin__os_stacks_unmap(slab->base, pool->size * pool->count);
    kin__os_free(slab);
}
