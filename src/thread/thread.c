/* thread.c: threads and their handles.
 *
 * Invariants:
 *  - A thread that is known is in `threads.first …` from its start to its end; the list, the names'
 *    counters and `detached` change under the lock.
 *  - `state` only goes RUNNING → ENDED ⇄ COLLECTING → COLLECTED; whoever made it COLLECTING is the
 *    one that joins the thread of the system.  It is slept on.
 *  - A child of fork has one thread: there all other handles pass for COLLECTED, because they were
 *    born in another process.  What their threads were in the middle of is never finished.
 */
#include "thread/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/private.h"
#include "memory/wait.h"
#include "os/os.h"
#include "os/thread.h"

#define NAME_SIZE 64

enum kind { MAIN, STARTED, FOREIGN };
enum state { RUNNING, ENDED, COLLECTING, COLLECTED };

struct kin_thread {
    kin_thread *next;
    kin_thread *previous;
    enum kind kind;
    bool daemon;
    bool detached; /* nobody has the handle: who ends last frees it */
    int result;    /* written by the thread itself, like the next; read once `state` says it has ended */
    bool returned;
    _Atomic uint32_t id; /* 0: it has not begun yet; slept on */
    _Atomic uint32_t state;
    _Atomic uint32_t users; /* threads that wait for it */
    unsigned born;          /* `forks` at its beginning */
    uintptr_t system;
    kin_thread_function *target;
    void *argument;
    char name[NAME_SIZE];
};

static struct {
    pthread_mutex_t lock;
    kin_thread *first;
    kin_thread *last;
    unsigned started;
    unsigned foreign;
    bool known;     /* the main thread is in the list, or was */
    unsigned forks; /* that lie between the first process and this one; constant in a process */
} threads = {.lock = PTHREAD_MUTEX_INITIALIZER};

static kin_thread main_thread = {.kind = MAIN, .name = "MainThread"};
static _Thread_local kin_thread *self;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t forget_key;
static int once_result;

/* ---- the list ------------------------------------------------------------------------------------ */

static void enlist(kin_thread *thread)
{
    thread->next = NULL;
    thread->previous = threads.last;
    *(threads.last != NULL ? &threads.last->next : &threads.first) = thread;
    threads.last = thread;
}

static void delist(kin_thread *thread)
{
    *(thread->previous != NULL ? &thread->previous->next : &threads.first) = thread->next;
    *(thread->next != NULL ? &thread->next->previous : &threads.last) = thread->previous;
}

/* Of a thread that was left behind in the process this one was forked from. */
static bool is_left_behind(const kin_thread *thread)
{
    return thread->born != threads.forks;
}

static enum state state_of(const kin_thread *thread)
{
    return is_left_behind(thread) ? COLLECTED : (enum state)atomic_load(&thread->state);
}

static void set_state(kin_thread *thread, enum state state)
{
    atomic_store(&thread->state, state);
    kin__wake_private(&thread->state, INT32_MAX);
}

/* ---- fork, and the end of threads that are not ours ------------------------------------------------ */

static void lock_for_fork(void)
{
    pthread_mutex_lock(&threads.lock);
}

static void unlock_in_parent(void)
{
    pthread_mutex_unlock(&threads.lock);
}

static void begin_in_child(void)
{
    if (!threads.known) {
        pthread_mutex_unlock(&threads.lock);
        return;
    }
    kin_thread *only = self != NULL ? self : &main_thread;
    for (kin_thread *thread = threads.first, *next; thread != NULL; thread = next) {
        next = thread->next;
        if (thread != only && (thread->detached || thread->kind == FOREIGN)) kin__os_free(thread);
    }
    threads.first = threads.last = NULL;
    only->born = ++threads.forks;
    only->kind = MAIN;
    atomic_store(&only->id, (uint32_t)kin__os_thread_id());
    atomic_store(&only->users, 0);
    enlist(only);
    pthread_mutex_unlock(&threads.lock);
}

/* A thread that kin did not start, or the first one, ends. */
static void forget(void *thread_self)
{
    kin_thread *thread = thread_self;
    if (thread != self || thread->kind == STARTED) return;
    pthread_mutex_lock(&threads.lock);
    delist(thread);
    set_state(thread, COLLECTED);
    pthread_mutex_unlock(&threads.lock);
    self = NULL;
    if (thread->kind == FOREIGN) kin__os_free(thread);
}

/* From the start of the program: a fork that is on its way does not see what is set up meanwhile. */
__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {lock_for_fork, unlock_in_parent, begin_in_child};
    kin__os_watch_forks(KIN__FORK_THREADS, &watch);
}

static void set_up(void)
{
    once_result = -pthread_key_create(&forget_key, forget);
    if (once_result == 0 && atexit(kin__threads_finish) != 0) once_result = -ENOMEM;
    pthread_mutex_lock(&threads.lock);
    atomic_store(&main_thread.id, (uint32_t)kin__os_pid());
    enlist(&main_thread);
    threads.known = true;
    pthread_mutex_unlock(&threads.lock);
}

static int be_set_up(void)
{
    pthread_once(&once, set_up);
    return once_result;
}

/* ---- the life of a thread -------------------------------------------------------------------------- */

static void end(void *thread_self)
{
    kin_thread *thread = thread_self;
    pthread_mutex_lock(&threads.lock);
    delist(thread);
    bool detached = thread->detached, mine = detached && atomic_load(&thread->users) == 0;
    set_state(thread, ENDED);
    pthread_mutex_unlock(&threads.lock);
    if (detached) self = NULL;
    if (mine) kin__os_free(thread);
}

static void *run(void *thread_self)
{
    kin_thread *thread = self = thread_self;
    atomic_store(&thread->id, (uint32_t)kin__os_thread_id());
    kin__os_futex_wake(&thread->id, INT32_MAX);
    kin__os_thread_name_set(thread->name);
    if (thread->detached) kin__os_thread_detach_self();
    pthread_cleanup_push(end, thread);
    thread->result = thread->target(thread->argument);
    thread->returned = true;
    pthread_cleanup_pop(1);
    return NULL;
}

static int make(kin_thread **made, const kin_thread_options *options)
{
    if (options->name != NULL && strnlen(options->name, NAME_SIZE) == NAME_SIZE) return -EINVAL;
    kin_thread *thread = kin__os_calloc(1, sizeof *thread);
    if (thread == NULL) return -ENOMEM;
    thread->kind = STARTED;
    thread->born = threads.forks;
    thread->daemon = options->daemon;
    if (options->name != NULL) strcpy(thread->name, options->name);
    *made = thread;
    return 0;
}

int kin_thread_start_sized(kin_thread **thread, kin_thread_function *target, void *argument,
                           const kin_thread_options *options, size_t size)
{
    kin_thread_options given = {0};
    kin_thread *made = NULL;
    if (target == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = be_set_up();
    if (rc == 0) rc = make(&made, &given);
    if (rc < 0) return rc;
    made->target = target;
    made->argument = argument;
    made->detached = thread == NULL;
    pthread_mutex_lock(&threads.lock);
    if (given.name == NULL) snprintf(made->name, NAME_SIZE, "Thread-%u", threads.started + 1);
    rc = kin__os_thread_start(&made->system, run, made, given.stack_size);
    if (rc == 0) {
        enlist(made);
        threads.started += given.name == NULL;
    }
    pthread_mutex_unlock(&threads.lock);
    if (rc < 0)
        kin__os_free(made);
    else if (thread != NULL)
        *thread = made;
    return rc;
}

/* ---- waiting ------------------------------------------------------------------------------------------ */

static int collect(kin_thread *thread, kin_deadline deadline)
{
    int rc = kin__os_thread_join(thread->system, deadline);
    set_state(thread, rc == 0 ? COLLECTED : ENDED);
    return rc;
}

static int await(kin_thread *thread, kin_deadline deadline)
{
    for (;;) {
        uint32_t seen = state_of(thread);
        if (seen == COLLECTED) return 0;
        if (seen == ENDED) {
            if (atomic_compare_exchange_strong(&thread->state, &seen, COLLECTING))
                return collect(thread, deadline);
            continue;
        }
        int rc = kin__sleep_private(&thread->state, seen, deadline);
        if (rc < 0) return rc;
    }
}

int kin_thread_join(kin_thread *thread, kin_deadline deadline)
{
    if (thread == NULL) return -EINVAL;
    if (thread == self) return -EDEADLK;
    if (thread->kind != STARTED) return state_of(thread) == COLLECTED ? 0 : -EINVAL;
    atomic_fetch_add(&thread->users, 1);
    int rc = await(thread, deadline);
    atomic_fetch_sub(&thread->users, 1);
    return rc;
}

int kin_thread_is_alive(kin_thread *thread)
{
    if (thread == NULL) return -EINVAL;
    if (thread == self || thread->kind != STARTED) return state_of(thread) == RUNNING;
    return kin_thread_join(thread, KIN_NOW) == -ETIMEDOUT;
}

int kin_thread_result(kin_thread *thread, int *result)
{
    if (thread == NULL || result == NULL) return -EINVAL;
    /* The end is published by `state`, after the result. */
    if (state_of(thread) == RUNNING) return -EBUSY;
    if (!thread->returned) return -ECANCELED;
    *result = thread->result;
    return 0;
}

int kin_thread_close(kin_thread *thread)
{
    if (thread == NULL) return 0;
    if (thread->kind != STARTED) return -EINVAL;
    if (!is_left_behind(thread)) {
        if (thread == self || atomic_load(&thread->users) > 0) return -EBUSY;
        if (await(thread, KIN_NOW) < 0) return -EBUSY;
    }
    kin__os_free(thread);
    return 0;
}

/* Some thread that the end of the process has to wait for, marked as in use. */
static kin_thread *pin_ordinary(void)
{
    pthread_mutex_lock(&threads.lock);
    kin_thread *thread = threads.first;
    while (thread != NULL && (thread->kind != STARTED || thread->daemon || thread == self))
        thread = thread->next;
    if (thread != NULL) atomic_fetch_add(&thread->users, 1);
    pthread_mutex_unlock(&threads.lock);
    return thread;
}

KIN__CHILD_CODE void kin__threads_finish(void)
{
    /* Most children have no other thread: they need not even take the lock, whose page they would copy. */
    if (kin__os_is_alone()) return;
    for (kin_thread *thread; (thread = pin_ordinary()) != NULL;) {
        while (atomic_load(&thread->state) == RUNNING)
            kin__os_futex_wait(&thread->state, RUNNING, KIN_FOREVER);
        /* The lock: the thread that ends has looked at `users` under it. */
        pthread_mutex_lock(&threads.lock);
        bool last = atomic_fetch_sub(&thread->users, 1) == 1 && thread->detached;
        pthread_mutex_unlock(&threads.lock);
        if (last) kin__os_free(thread);
    }
}

/* ---- who is there ------------------------------------------------------------------------------------ */

static kin_thread *know_foreign(void)
{
    kin_thread *thread = kin__os_calloc(1, sizeof *thread);
    if (thread == NULL) return NULL;
    thread->kind = FOREIGN;
    thread->born = threads.forks;
    thread->daemon = true;
    atomic_store(&thread->id, (uint32_t)kin__os_thread_id());
    pthread_mutex_lock(&threads.lock);
    snprintf(thread->name, NAME_SIZE, "Dummy-%u", ++threads.foreign);
    enlist(thread);
    pthread_mutex_unlock(&threads.lock);
    return thread;
}

kin_thread *kin_thread_current(void)
{
    if (self != NULL) return self;
    if (be_set_up() < 0) return NULL;
    kin_thread *thread = kin__os_thread_id() == kin__os_pid() ? &main_thread : know_foreign();
    /* Without the note nobody would learn of its end. */
    if (thread != NULL && pthread_setspecific(forget_key, thread) != 0 && thread->kind == FOREIGN) {
        self = thread;
        forget(thread);
        return NULL;
    }
    self = thread;
    return thread;
}

const char *kin_thread_name(const kin_thread *thread)
{
    return thread != NULL ? thread->name : NULL;
}

int kin_thread_id(const kin_thread *thread)
{
    if (thread == NULL) return -EINVAL;
    /* Its first act is to say which it is. */
    while (atomic_load(&thread->id) == 0) {
        if (is_left_behind(thread)) return -ESRCH;
        kin__os_futex_wait(&thread->id, 0, KIN_FOREVER);
    }
    return (int)atomic_load(&thread->id);
}

int kin_thread_daemon(const kin_thread *thread)
{
    return thread != NULL ? thread->daemon : -EINVAL;
}

long kin_thread_enumerate_sized(kin_thread_info *info, size_t limit, size_t size)
{
    if (info == NULL && limit > 0) return -EINVAL;
    int rc = be_set_up();
    if (rc < 0) return rc;
    size_t count = 0;
    pthread_mutex_lock(&threads.lock);
    for (const kin_thread *thread = threads.first; thread != NULL; thread = thread->next, count++) {
        if (count >= limit) continue;
        kin_thread_info told = {.daemon = thread->daemon, .main = thread->kind == MAIN};
        told.id = (int)atomic_load(&thread->id);
        strcpy(told.name, thread->name);
        char *place = (char *)info + count * size;
        memset(place, 0, size);
        memcpy(place, &told, size < sizeof told ? size : sizeof told);
    }
    pthread_mutex_unlock(&threads.lock);
    return (long)count;
}
