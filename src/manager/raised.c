/* raised.c: the exceptions that the calling thread can read. */
#include "manager/raised.h"

#include <pthread.h>
#include <stdatomic.h>

#include "manager/manager.h"
#include "os/os.h"

/* A kin_value for each thread and coroutine that a call of such a queue or lock has failed in. */
static kin_local *local;
static _Atomic bool opened; /* release: with `local` */

static void drop(void *raised)
{
    kin_value_clear(raised);
    kin__os_free(raised);
}

static void open_local(void)
{
    bool whole = kin_local_open(&local, drop) == 0;
    atomic_store_explicit(&opened, whole, memory_order_release);
}

static kin_value *find(void)
{
    return atomic_load_explicit(&opened, memory_order_acquire) ? kin_local_get(local) : NULL;
}

static kin_value *find_or_make(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_local);
    kin_value *raised = find();
    if (raised != NULL || !atomic_load_explicit(&opened, memory_order_relaxed)) return raised;
    raised = kin__os_calloc(1, sizeof *raised);
    if (raised != NULL && kin_local_set(local, raised) < 0) {
        kin__os_free(raised);
        return NULL;
    }
    return raised;
}

void kin__raised_set(const kin_value *error)
{
    kin_value *raised = error != NULL ? find_or_make() : find();
    if (raised == NULL) return;
    kin_value_clear(raised);
    if (error != NULL) *raised = kin_value_ref(error);
}

const kin_value *kin_manager_error(kin_manager *manager)
{
    const struct kin__line *line = manager != NULL ? kin__line_find(manager) : NULL;
    const kin_value *raised = manager == NULL ? find() : line != NULL ? &line->client.error : NULL;
    return raised != NULL && kin_value_kind(raised) != KIN_VALUE_NONE ? raised : NULL;
}
