/* handle.c: see handle.h.
 *
 * The list is under `lock`, which every fork of the program takes; the handler for that is there
 * from the start of the program, because one set up later would not be seen by a fork that is on
 * its way. */
#include "ipc/handle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "os/os.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kin__handle *first;

/* Threads between kin__handles_enter and _leave, and threads that fork.  Who comes is counted and then looks for
 * forks, who forks is counted and then looks for those (both seq_cst): one of them sees the other.  A fork waits
 * for those only that are there, and before it has the lock, which they need. */
static _Atomic uint32_t inside;
static _Atomic uint32_t forks;

void kin__handles_leave(void)
{
    if (atomic_fetch_sub(&inside, 1) == 1 && atomic_load(&forks) != 0) kin__os_futex_wake(&inside, INT32_MAX);
}

void kin__handles_enter(void)
{
    uint32_t under_way;
    atomic_fetch_add(&inside, 1);
    while ((under_way = atomic_load(&forks)) != 0) {
        kin__handles_leave();
        kin__os_futex_wait(&forks, under_way, KIN_FOREVER);
        atomic_fetch_add(&inside, 1);
    }
}

void kin__handle_add(struct kin__handle *handle, int descriptor, bool passing)
{
    *handle = (struct kin__handle){.descriptor = descriptor, .passing = passing};
    kin__handle_list(handle);
}

static void link_in(struct kin__handle *handle)
{
    handle->previous = NULL;
    handle->next = first;
    if (first != NULL) first->previous = handle;
    first = handle;
}

static void take_out(struct kin__handle *handle)
{
    if (handle->next != NULL) handle->next->previous = handle->previous;
    *(handle->previous != NULL ? &handle->previous->next : &first) = handle->next;
}

void kin__handle_list(struct kin__handle *handle)
{
    pthread_mutex_lock(&lock);
    link_in(handle);
    pthread_mutex_unlock(&lock);
}

int kin__handle_release(struct kin__handle *handle)
{
    int descriptor = handle->descriptor;
    pthread_mutex_lock(&lock);
    take_out(handle);
    pthread_mutex_unlock(&lock);
    handle->descriptor = -1;
    return descriptor;
}

void kin__handle_close(struct kin__handle *handle)
{
    bool open = handle->descriptor >= 0;
    if (open) kin__handles_enter();
    int descriptor = kin__handle_release(handle);
    if (!open) return;
    kin__os_close(descriptor);
    kin__handles_leave();
}

void kin__handle_move(struct kin__handle *to, struct kin__handle *from)
{
    pthread_mutex_lock(&lock);
    *to = (struct kin__handle){.descriptor = from->descriptor, .passing = from->passing};
    from->descriptor = -1;
    link_in(to);
    pthread_mutex_unlock(&lock);
}

bool kin__handle_is_connection(const void *address)
{
    pthread_mutex_lock(&lock);
    const struct kin__handle *handle = first;
    while (handle != NULL && handle != address) handle = handle->next;
    bool is = handle != NULL && handle->connection;
    pthread_mutex_unlock(&lock);
    return is;
}

static void withhold(struct kin__handle *handle)
{
    if (handle->descriptor >= 0) kin__os_close(handle->descriptor);
    handle->descriptor = -1;
    handle->withheld = true;
}

static bool is_given(const struct kin__handle *handle, const void *argument, const void *const *given)
{
    if (handle == argument) return true;
    while (given != NULL && *given != NULL && *given != handle) given++;
    return given != NULL && *given != NULL;
}

KIN__CHILD_CODE void kin__handles_keep(const void *argument, const void *const *given)
{
    for (struct kin__handle *handle = first; handle != NULL; handle = handle->next)
        if (!handle->withheld && !is_given(handle, argument, given)) withhold(handle);
}

/* ---- around every fork of the program -------------------------------------------------------------- */

static void before_fork(void)
{
    uint32_t seen;
    atomic_fetch_add(&forks, 1);
    while ((seen = atomic_load(&inside)) != 0) kin__os_futex_wait(&inside, seen, KIN_FOREVER);
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
    atomic_fetch_sub(&forks, 1);
    kin__os_futex_wake(&forks, INT32_MAX);
}

/* A copy of what is on its way would hide from one side that the other is gone. */
KIN__CHILD_CODE static void after_fork_in_child(void)
{
    for (struct kin__handle *handle = first; handle != NULL; handle = handle->next) {
        if (handle->passing) withhold(handle);
        if (handle->renew != NULL) handle->renew(handle);
    }
    /* Of the other threads none is here. */
    atomic_store(&inside, 0);
    atomic_store(&forks, 0);
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
    /* It fails only for want of memory, before main. */
    static const struct kin__fork_watch watch = {before_fork, after_fork_in_parent, after_fork_in_child};
    kin__os_watch_forks(KIN__FORK_HANDLES, &watch);
}
