/* tail_reader.c: a thread that reads what children write to stderr, so that no child waits because its
 * parent does something else.
 *
 * Invariants: it is there while there is something to be read, and only for who wants tails.  What it
 * reads is in the list until its end, even when the child has ended: what a child has started may still
 * write.  All is under `lock`.  A process that was forked has nothing of it: it finds another `owner`.
 * That is looked at under kin__child_lock, as a fork in the middle leaves the lock as it was.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "os/os.h"
#include "os/thread.h"
#include "process/fork.h"
#include "process/tail.h"

/* How often it looks for something new when it cannot be woken: the program has closed its descriptor. */
#define SLICE_MS 50

static struct {
    pthread_mutex_t lock;
    int owner;
    bool running;
    bool full;                /* stderr takes nothing: nothing is read until it does */
    struct kin__handle *wake; /* each thread's own: in a child the parent's stays in the list of handles */
    struct kin__tail *first;
} reader = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic int running_in;

int kin__tail_threads(void)
{
    return atomic_load_explicit(&running_in, memory_order_relaxed) == kin__os_pid();
}

static void free_tail(struct kin__tail *tail)
{
    kin__tail_close(tail);
    kin__os_free(tail);
}

/* ---- the thread ----------------------------------------------------------------------------------- */

/* What it polls, and how much room that has. */
struct polled {
    struct kin__poll *items;
    size_t count;
    size_t room;
};

/* Lists what to poll: to be woken, then stderr or the pipes.  False for want of memory. */
static bool list_items(struct polled *polled)
{
    size_t count = 2;
    for (struct kin__tail *tail = reader.first; tail != NULL; tail = tail->next) count++;
    if (count > polled->room) {
        struct kin__poll *larger = kin__os_realloc(polled->items, count * 2 * sizeof *larger);
        if (larger == NULL) return false;
        polled->items = larger;
        polled->room = count * 2;
    }
    polled->items[0] = (struct kin__poll){.descriptor = reader.wake->descriptor};
    polled->items[1] = (struct kin__poll){.descriptor = reader.full ? 2 : -1, .write = true};
    polled->count = 2;
    for (struct kin__tail *tail = reader.first; tail != NULL; tail = tail->next) {
        tail->place = polled->count++;
        polled->items[tail->place] =
            (struct kin__poll){.descriptor = reader.full ? -1 : tail->handle.descriptor};
    }
    return true;
}

/* `all`: it is not known which have something. */
static void take_all(const struct polled *polled, bool all)
{
    reader.full = false;
    for (struct kin__tail **link = &reader.first, *tail; (tail = *link) != NULL;) {
        bool ready = all || (tail->place != 0 && polled->items[tail->place].ready);
        int rc = ready ? kin__tail_take(tail) : 0;
        if (rc == -EAGAIN) reader.full = true;
        if (rc != -EPIPE) {
            link = &tail->next;
            continue;
        }
        *link = tail->next;
        kin__handle_close(&tail->handle);
        if (tail->orphan) free_tail(tail);
    }
}

static void *attend(void *unused)
{
    struct polled polled = {0};
    kin__os_thread_detach_self();
    kin__os_thread_name_set("kin-stderr");
    pthread_mutex_lock(&reader.lock);
    while (reader.first != NULL) {
        bool listed = list_items(&polled);
        pthread_mutex_unlock(&reader.lock);
        int rc = listed ? kin__os_poll(polled.items, polled.count, KIN_FOREVER) : -ENOMEM;
        /* Without memory, or when the program has closed what is polled. */
        bool blind = rc < 0 && rc != -EINTR;
        if (blind) kin__os_sleep_until(kin_in_ms(SLICE_MS));
        pthread_mutex_lock(&reader.lock);
        if (rc > 0 && polled.items[0].ready) kin__os_event_clear(reader.wake->descriptor);
        if (rc > 0 || blind) take_all(&polled, blind);
    }
    kin__handle_close(reader.wake);
    kin__os_free(reader.wake);
    reader.running = false;
    atomic_store(&running_in, 0);
    pthread_mutex_unlock(&reader.lock);
    kin__os_free(polled.items);
    return unused;
}

/* ---- who wants them ------------------------------------------------------------------------------- */

/* With the lock held. */
static int begin_reading(void)
{
    uintptr_t thread;
    if (reader.running) return kin__os_event_set(reader.wake->descriptor);
    reader.wake = kin__os_calloc(1, sizeof *reader.wake);
    if (reader.wake == NULL) return -ENOMEM;
    kin__handles_enter();
    int rc = kin__os_event_make();
    if (rc >= 0) kin__handle_add(reader.wake, rc, true);
    kin__handles_leave();
    if (rc < 0) {
        kin__os_free(reader.wake);
        return rc;
    }
    rc = kin__os_thread_start(&thread, attend, NULL, 0);
    if (rc < 0) {
        kin__handle_close(reader.wake);
        kin__os_free(reader.wake);
        return rc;
    }
    reader.running = true;
    atomic_store(&running_in, kin__os_pid());
    return 0;
}

static void forget_parents(void)
{
    kin__child_lock();
    if (reader.owner != kin__os_pid()) {
        reader.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        reader.first = NULL;
        reader.running = reader.full = false;
        reader.owner = kin__os_pid();
    }
    kin__child_unlock();
}

int kin__tail_begin(struct kin__tail **made, size_t size, int *theirs)
{
    struct kin__tail *tail = kin__os_calloc(1, sizeof *tail);
    if (tail == NULL) return -ENOMEM;
    int rc = kin__tail_open(tail, size, theirs);
    if (rc < 0) {
        kin__os_free(tail);
        return rc;
    }
    forget_parents();
    pthread_mutex_lock(&reader.lock);
    rc = begin_reading();
    if (rc == 0) {
        tail->next = reader.first;
        reader.first = tail;
    }
    pthread_mutex_unlock(&reader.lock);
    if (rc < 0) {
        kin__os_close(*theirs);
        *theirs = -1;
        free_tail(tail);
        return rc;
    }
    *made = tail;
    return 0;
}

size_t kin__tail_finish(struct kin__tail *tail, char *to, size_t room)
{
    pthread_mutex_lock(&reader.lock);
    if (tail->handle.descriptor >= 0) kin__tail_drain(tail);
    size_t size = kin__tail_copy(tail, to, room);
    pthread_mutex_unlock(&reader.lock);
    return size;
}

void kin__tail_forget(struct kin__tail *tail)
{
    pthread_mutex_lock(&reader.lock);
    bool over = tail->handle.descriptor < 0;
    tail->orphan = true;
    pthread_mutex_unlock(&reader.lock);
    if (over) free_tail(tail);
}
