/* local.c: values that each thread, and each coroutine, has of its own.
 *
 * Invariants:
 *  - A local has an index into everyone's table of values; an entry counts only if it carries the
 *    local's generation, so that an index can be used again.
 *  - `names` changes under its lock; a table belongs to who is running and needs none.
 *  - A destructor runs only for a local that is open, or whose closing waits for it.
 */
#include "thread/local.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory/private.h"
#include "memory/wait.h"
#include "os/os.h"
#include "os/suspend.h"

#define NAMES_MOST (1u << 20)
#define NAMES_STEP 16u
/* A destructor may set values again; so often it is given another chance. */
#define ROUNDS 4

/* destroying: how many destructors of it run; more under the lock of `names`, while it is open.
 * closed: by such a destructor, in whose hands it is. */
struct kin_local {
    uint32_t index;
    uint64_t generation;
    void (*destructor)(void *value);
    _Atomic uint32_t destroying;
    bool closed;
};

struct value {
    uint64_t generation;
    void *value;
};

struct kin__locals {
    const kin_local *ending; /* whose destructor runs here */
    uint32_t count;
    struct value values[];
};

static struct {
    pthread_mutex_t lock;
    kin_local **open; /* by index; NULL: free */
    uint32_t count;
    uint64_t generation;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Thread_local struct kin__locals *kin__locals;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t end_key;
static int once_result;

/* ---- ending --------------------------------------------------------------------------------------- */

/* The local that a value belongs to, if it is open and has a destructor; it stays until that has run. */
static kin_local *begin_destroying(uint32_t index, uint64_t generation)
{
    pthread_mutex_lock(&names.lock);
    kin_local *local = index < names.count ? names.open[index] : NULL;
    if (local != NULL && (local->generation != generation || local->destructor == NULL)) local = NULL;
    if (local != NULL) atomic_fetch_add(&local->destroying, 1);
    pthread_mutex_unlock(&names.lock);
    kin__locals->ending = local;
    return local;
}

static void end_destroying(kin_local *local)
{
    kin__locals->ending = NULL;
    if (local->closed) {
        kin__os_free(local);
        return;
    }
    /* With the last one it may be gone at once. */
    const _Atomic uint32_t *word = &local->destroying;
    atomic_fetch_sub(&local->destroying, 1);
    kin__wake_private(word, INT_MAX);
}

/* Frees it when no destructor of it runs any more; if the caller is one, when that returns. */
static void free_unused(kin_local *local)
{
    uint32_t own = kin__locals != NULL && kin__locals->ending == local, seen;
    while ((seen = atomic_load(&local->destroying)) > own) {
        kin__shield(1);
        kin__sleep_private(&local->destroying, seen, KIN_FOREVER);
        kin__shield(-1);
    }
    local->closed = own > 0;
    if (!local->closed) kin__os_free(local);
}

static int destroy_values(void)
{
    int found = 0;
    for (uint32_t i = 0; kin__locals != NULL && i < kin__locals->count; i++) {
        struct value taken = kin__locals->values[i];
        kin__locals->values[i].value = NULL;
        if (taken.value == NULL) continue;
        kin_local *local = begin_destroying(i, taken.generation);
        if (local == NULL) continue;
        local->destructor(taken.value);
        end_destroying(local);
        found++;
    }
    return found;
}

void kin__locals_end(void)
{
    for (int round = 0; round < ROUNDS && destroy_values() > 0; round++)
        ;
    kin__os_free(kin__locals);
    kin__locals = NULL;
}

static void end_thread(void *unused)
{
    (void)unused;
    kin__locals_end();
}

static void lock_for_fork(void)
{
    pthread_mutex_lock(&names.lock);
}

static void unlock_after_fork(void)
{
    pthread_mutex_unlock(&names.lock);
}

/* The destructors of other threads do not go on here. */
static void unlock_in_child(void)
{
    const kin_local *ending = kin__locals != NULL ? kin__locals->ending : NULL;
    for (uint32_t i = 0; i < names.count; i++)
        if (names.open[i] != NULL) atomic_store(&names.open[i]->destroying, names.open[i] == ending);
    unlock_after_fork();
}

/* From the start of the program: a fork that is on its way does not see what is set up meanwhile. */
__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {lock_for_fork, unlock_after_fork, unlock_in_child};
    kin__os_watch_forks(KIN__FORK_NAMES, &watch);
}

static void set_up(void)
{
    once_result = -pthread_key_create(&end_key, end_thread);
}

/* ---- names ---------------------------------------------------------------------------------------- */

static int free_index(uint32_t *index)
{
    for (*index = 0; *index < names.count; (*index)++)
        if (names.open[*index] == NULL) return 0;
    if (names.count == NAMES_MOST) return -EAGAIN;
    kin_local **more = kin__os_calloc(names.count + NAMES_STEP, sizeof *more);
    if (more == NULL) return -ENOMEM;
    if (names.count > 0) memcpy(more, names.open, names.count * sizeof *more);
    kin__os_free(names.open);
    names.open = more;
    names.count += NAMES_STEP;
    return 0;
}

int kin_local_open(kin_local **local, void (*destructor)(void *value))
{
    if (local == NULL) return -EINVAL;
    pthread_once(&once, set_up);
    if (once_result < 0) return once_result;
    kin_local *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->destructor = destructor;
    pthread_mutex_lock(&names.lock);
    int rc = free_index(&made->index);
    if (rc == 0) {
        made->generation = ++names.generation;
        names.open[made->index] = made;
    }
    pthread_mutex_unlock(&names.lock);
    if (rc < 0)
        kin__os_free(made);
    else
        *local = made;
    return rc;
}

int kin_local_close(kin_local *local)
{
    if (local == NULL) return 0;
    pthread_mutex_lock(&names.lock);
    names.open[local->index] = NULL;
    pthread_mutex_unlock(&names.lock);
    free_unused(local);
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------------- */

static int make_room(uint32_t index)
{
    struct kin__locals *old = kin__locals;
    uint32_t count = (index / NAMES_STEP + 1) * NAMES_STEP;
    struct kin__locals *table = kin__os_calloc(1, sizeof *table + count * sizeof table->values[0]);
    if (table == NULL) return -ENOMEM;
    table->count = count;
    if (old != NULL) memcpy(table->values, old->values, old->count * sizeof old->values[0]);
    table->ending = old != NULL ? old->ending : NULL;
    kin__os_free(old);
    kin__locals = table;
    /* Any value that is not NULL makes the destructor run at the thread's end. */
    return pthread_getspecific(end_key) != NULL ? 0 : -pthread_setspecific(end_key, &end_key);
}

int kin_local_set(kin_local *local, void *value)
{
    if (local == NULL) return -EINVAL;
    if (kin__locals == NULL || local->index >= kin__locals->count) {
        if (value == NULL) return 0;
        int rc = make_room(local->index);
        if (rc < 0) return rc;
    }
    kin__locals->values[local->index] = (struct value){local->generation, value};
    return 0;
}

void *kin_local_get(const kin_local *local)
{
    const struct kin__locals *table = kin__locals;
    if (local == NULL || table == NULL || local->index >= table->count) return NULL;
    const struct value *found = &table->values[local->index];
    return found->generation == local->generation ? found->value : NULL;
}
