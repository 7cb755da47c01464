/* child.c: the calling process seen from inside: whose child it is, what it was given, and its end.
 *
 * `me` describes the process `pid`.  One that finds another pid there was forked by the program itself:
 * it goes by the same name, but nobody of kin is its parent.
 */
#include "process/child.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "memory/table.h"
#include "os/os.h"
#include "process/fork.h"
#include "process/server.h"
#include "process/station.h"
#include "thread/thread.h"

static struct {
    int pid; /* 0: nobody of kin has started this process */
    kin_process *self;
    kin_process own; /* what `self` is where there was no handle before */
    kin_process parent;
    bool parent_known;
    kin_connection *const *connections;
    const int *descriptors;
    size_t connection_count, descriptor_count;
} me;

/* ---- who it is -------------------------------------------------------------------------------- */

KIN__CHILD_CODE static kin_process *self(void)
{
    if (me.self == NULL) {
        strcpy(me.own.name, "MainProcess");
        me.own.descriptor = -1;
        me.self = &me.own;
    }
    return me.self;
}

KIN__CHILD_CODE static void set_parent(int pid, const char name[KIN__PROCESS_NAME_SIZE])
{
    if (me.parent_known) kin__os_close(me.parent.descriptor);
    me.parent_known = false;
    memset(&me.parent, 0, sizeof me.parent);
    me.parent.pid = pid;
    memcpy(me.parent.name, name, sizeof me.parent.name);
    me.pid = kin__os_pid();
}

KIN__CHILD_CODE void kin__child_forked(kin_process *handle)
{
    set_parent(handle->owner, self()->name);
    me.self = handle;
    kin__log_process = handle->name;
}

KIN__CHILD_CODE void kin__child_become(const char name[KIN__PROCESS_NAME_SIZE], bool daemon, int parent,
                                       const char *parent_name)
{
    set_parent(parent, parent_name);
    memset(&me.own, 0, sizeof me.own);
    memcpy(me.own.name, name, sizeof me.own.name - 1);
    me.own.descriptor = -1;
    me.own.daemon = daemon;
    me.self = &me.own;
    kin__log_process = me.own.name;
}

bool kin__child_is_self(const kin_process *process)
{
    return process != NULL && process == me.self;
}

bool kin__child_is_parent(const kin_process *process)
{
    return process == &me.parent;
}

kin_process *kin_process_current(void)
{
    kin__child_lock();
    kin_process *process = self();
    /* Others may read it. */
    if (process->pid != kin__os_pid()) process->pid = kin__os_pid();
    kin__child_unlock();
    return process;
}

/* It lives, so its pid is its own: this process would be gone otherwise, or is about to be. */
static int know_parent(void)
{
    if (me.parent_known) return 0;
    int descriptor = kin__os_process_open(me.parent.pid);
    if (descriptor < 0) return descriptor;
    me.parent.descriptor = descriptor;
    me.parent.owner = me.pid;
    me.parent_known = true;
    return 0;
}

kin_process *kin_process_parent(void)
{
    if (me.pid == 0 || me.pid != kin__os_pid()) {
        errno = 0;
        return NULL;
    }
    kin__child_lock();
    int rc = know_parent();
    kin__child_unlock();
    errno = -rc;
    return rc < 0 ? NULL : &me.parent;
}

/* ---- what it was given -------------------------------------------------------------------------- */

KIN__CHILD_CODE void kin__child_given(kin_connection *const *connections, size_t connection_count,
                                      const int *descriptors, size_t descriptor_count)
{
    me.connections = connections;
    me.connection_count = connection_count;
    me.descriptors = descriptors;
    me.descriptor_count = descriptor_count;
}

kin_connection *kin_process_connection(size_t place)
{
    return place < me.connection_count ? me.connections[place] : NULL;
}

int kin_process_descriptor(size_t place)
{
    return place < me.descriptor_count ? me.descriptors[place] : -EINVAL;
}

/* ---- its end -------------------------------------------------------------------------------------- */

struct hook {
    struct hook *next;
    void (*function)(void *argument);
    void *argument;
};

/* Those of the process `owner`, the last one first; under kin__child_lock. */
static struct {
    int owner;
    struct hook *first;
} hooks;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_result;

static struct hook *take_hook(void)
{
    kin__child_lock();
    struct hook *hook = hooks.owner == kin__os_pid() ? hooks.first : NULL;
    if (hook != NULL) hooks.first = hook->next;
    kin__child_unlock();
    return hook;
}

KIN__CHILD_CODE static void end(void)
{
    for (struct hook *hook; (hook = take_hook()) != NULL; kin__os_free(hook)) hook->function(hook->argument);
    kin__processes_end();
    kin__server_end();
    kin__log_finish();
}

static void prepare(void)
{
    once_result = atexit(end) == 0 ? 0 : -ENOMEM;
}

int kin__child_prepare(void)
{
    pthread_once(&once, prepare);
    return once_result;
}

int kin_at_exit(void (*function)(void *argument), void *argument)
{
    if (function == NULL) return -EINVAL;
    int rc = kin__child_prepare();
    if (rc < 0) return rc;
    struct hook *hook = kin__os_malloc(sizeof *hook);
    if (hook == NULL) return -ENOMEM;
    hook->function = function;
    hook->argument = argument;
    kin__child_lock();
    if (hooks.owner != kin__os_pid()) {
        hooks.owner = kin__os_pid();
        hooks.first = NULL; /* the parent's */
    }
    hook->next = hooks.first;
    hooks.first = hook;
    kin__child_unlock();
    return 0;
}

KIN__CHILD_CODE int kin__child_finish(int code)
{
    kin__threads_finish();
    end();
    kin__os_flush_last();
    kin__leaving();
    return code & 0xff;
}
