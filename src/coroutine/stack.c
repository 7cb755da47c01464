/* stack.c: see stack.h.
 *
 * Stacks are mapped in slabs of several, which the kernel keeps as one mapping, and used again.
 *
 * Invariants, under the lock:
 *  - A slab with free stacks is in the list of its size's pool; one without is in none.
 *  - At most KEEP free stacks, over all pools, have memory behind them, none of them larger than
 *    KEEP_SIZE; a slab all of whose stacks are free is unmapped when its pool has another one with a
 *    free stack.
 *  - The record of a slab is never freed, but used again: a signal handler may be looking for an
 *    address in all of them.
 */
#include "coroutine/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "os/os.h"
#include "os/stack.h"

#define SLAB_BYTES ((size_t)8 << 20)
#define SLAB_MOST  64
#define KEEP       256u
#define KEEP_SIZE  ((size_t)512 << 10)

struct pool;

struct kin__slab {
    struct kin__slab *next; /* in its pool, or of those that are mapped no more */
    struct kin__slab *previous;
    struct kin__slab *next_known; /* of all; written before the record is one of them */
    struct pool *pool;
    _Atomic(char *) base; /* NULL: mapped no more; stored after `pool`, with release */
    uint64_t free;        /* a bit for each stack */
    uint64_t warm;        /* those of the free ones that have memory behind them */
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
static _Atomic(struct kin__slab *) known;
static struct kin__slab *unused;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void lock_for_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* From the start of the program: a fork that is on its way does not see what is set up meanwhile. */
__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {lock_for_fork, unlock_after_fork, unlock_after_fork};
    kin__os_watch_forks(KIN__FORK_STACKS, &watch);
}

static void set_up(void)
{
    for (unsigned index = 0; index < POOLS; index++) {
        size_t size = (size_t)1 << index, count = SLAB_BYTES / size;
        pools[index].size = size;
        pools[index].count = count < 1 ? 1 : count > SLAB_MOST ? SLAB_MOST : (unsigned)count;
    }
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
    return &pools[64 - (unsigned)__builtin_clzl(size - 1)];
}

static struct kin__slab *make_record(void)
{
    struct kin__slab *slab = unused;
    if (slab != NULL) {
        unused = slab->next;
        return slab;
    }
    slab = kin__os_calloc(1, sizeof *slab);
    if (slab == NULL) return NULL;
    slab->next_known = atomic_load_explicit(&known, memory_order_relaxed);
    /* Pairs with the load in kin__stack_guards. */
    atomic_store_explicit(&known, slab, memory_order_release);
    return slab;
}

static void drop_record(struct kin__slab *slab)
{
    slab->next = unused;
    unused = slab;
}

static int add_slab(struct pool *pool)
{
    struct kin__slab *slab = make_record();
    if (slab == NULL) return -ENOMEM;
    void *base;
    int rc = kin__os_stacks_map(&base, pool->size, pool->count, KIN__STACK_GUARD);
    if (rc < 0) {
        drop_record(slab);
        return rc;
    }
    slab->pool = pool;
    slab->free = all_of(pool);
    slab->warm = 0;
    atomic_store_explicit(&slab->base, base, memory_order_release);
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
    stack->bottom =
        atomic_load_explicit(&slab->base, memory_order_relaxed) + index * pool->size + KIN__STACK_GUARD;
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
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    uint64_t bit = (uint64_t)1 << (size_t)(stack->bottom - base) / pool->size;
    if (kept < KEEP && pool->size <= KEEP_SIZE) {
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
        atomic_store_explicit(&slab->base, NULL, memory_order_relaxed);
        drop_record(slab);
    }
    pthread_mutex_unlock(&lock);
    if (spare) kin__os_stacks_unmap(base, pool->size * pool->count);
}

bool kin__stack_guards(const void *address)
{
    const struct kin__slab *slab = atomic_load_explicit(&known, memory_order_acquire);
    for (; slab != NULL; slab = slab->next_known) {
        const char *base = atomic_load_explicit(&slab->base, memory_order_acquire);
        if (base == NULL || (const char *)address < base) continue;
        size_t offset = (size_t)((const char *)address - base), size = slab->pool->size;
        if (offset < size * slab->pool->count) return offset % size < KIN__STACK_GUARD;
    }
    return false;
}
