/* handle.c: see handle.h.
 *
 * The list is under `lock`, which every fork of the program takes; the handler for that is there
 * from the start of the program, because one set up later would not be seen by a fork that is on
 * its way. */
#include "ipc/handle.h"

#include <pthread.h>
#include <stddef.h>

#include "os/os.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kin__handle *first;

void kin__handle_add(struct kin__handle *handle, int descriptor, bool passing)
{
    *handle = (struct kin__handle){.descriptor = descriptor, .passing = passing};
    kin__handle_list(handle);
}

void kin__handle_list(struct kin__handle *handle)
{
    pthread_mutex_lock(&lock);
    handle->next = first;
    if (first != NULL) first->previous = handle;
    first = handle;
    pthread_mutex_unlock(&lock);
}

void kin__handle_close(struct kin__handle *handle)
{
    pthread_mutex_lock(&lock);
    if (handle->next != NULL) handle->next->previous = handle->previous;
    if (handle->previous != NULL)
        handle->previous->next = handle->next;
    else
        first = handle->next;
    pthread_mutex_unlock(&lock);
    if (handle->descriptor >= 0) kin__os_close(handle->descriptor);
    handle->descriptor = -1;
}

int kin__handle_release(struct kin__handle *handle)
{
    int descriptor = handle->descriptor;
    handle->descriptor = -1;
    kin__handle_close(handle);
    return descriptor;
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
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* A copy of what is on its way would hide from one side that the other is gone. */
KIN__CHILD_CODE static void after_fork_in_child(void)
{
    for (struct kin__handle *handle = first; handle != NULL; handle = handle->next) {
        if (handle->passing) withhold(handle);
        if (handle->renew != NULL) handle->renew(handle);
    }
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
    /* It fails only for want of memory, before main. */
    static const struct kin__fork_watch watch = {before_fork, after_fork_in_parent, after_fork_in_child};
    kin__os_watch_forks(KIN__FORK_HANDLES, &watch);
}
