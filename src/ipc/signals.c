/* signals.c: the receiver of signals: a descriptor, and what has to be blocked for it.
 *
 * Invariants:
 *  - No disposition is changed, and no handler runs.
 *  - A signal has one receiver in a process.  What a receiver blocked, and was not blocked before, is let
 *    through again when it is closed, and in a child.
 */
#include <kin/signals.h>

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#include <kin/error.h>

#include "ipc/handle.h"
#include "memory/waitable.h"
#include "os/os.h"
#include "os/signals.h"
#include "os/socket.h"

/* Private memory.
 *   received   the signals that come to it, as bits.
 *   blocked    those of them that the thread which opened it did not block before.
 *   thread     that thread. */
struct kin_signals {
    struct kin__handle handle;
    uint64_t received;
    uint64_t blocked;
    int thread;
};

/* Under `lock`, which every fork takes: what is received in this process, and what of it was blocked for that. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t all_received;
static uint64_t all_blocked;

/* The signals as bits, 0 if there is none or one is no signal. */
static uint64_t bits_of(const int *numbers, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] < 1 || numbers[i] > 64) return 0;
        bits |= UINT64_C(1) << (numbers[i] - 1);
    }
    return bits;
}

static int open_locked(kin_signals *signals)
{
    if ((all_received & signals->received) != 0) return -EBUSY;
    int descriptor = kin__os_signals_make(signals->received, &signals->blocked);
    if (descriptor < 0) return descriptor;
    all_received |= signals->received;
    all_blocked |= signals->blocked;
    signals->handle.descriptor = descriptor;
    return 0;
}

int kin_signals_open(kin_signals **signals, const int *numbers, size_t count)
{
    if (signals == NULL || numbers == NULL) return -EINVAL;
    kin_signals *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->received = bits_of(numbers, count);
    made->thread = kin__os_thread_id();
    /* Before our own lock: a fork takes that last. */
    kin__handles_enter();
    pthread_mutex_lock(&lock);
    int rc = made->received != 0 ? open_locked(made) : -EINVAL;
    pthread_mutex_unlock(&lock);
    if (rc == 0) kin__handle_add(&made->handle, made->handle.descriptor, true);
    kin__handles_leave();
    if (rc < 0) {
        kin__os_free(made);
        return rc;
    }
    *signals = made;
    return 0;
}

static int check(const kin_signals *signals)
{
    if (signals == NULL) return -EINVAL;
    return signals->handle.withheld ? KIN_EPRIVATE : 0;
}

int kin_signals_get(kin_signals *signals, kin_signal *signal, kin_deadline deadline)
{
    int rc = check(signals);
    if (rc == 0 && signal == NULL) rc = -EINVAL;
    if (rc < 0) return rc;
    /* Another thread may be faster. */
    do {
        int taken = kin__os_signals_take(signals->handle.descriptor, signal);
        if (taken != -EAGAIN) return taken;
        rc = kin__os_wait_ready(signals->handle.descriptor, KIN__READABLE, deadline);
    } while (rc == 0);
    return rc;
}

int kin_signals_fileno(const kin_signals *signals)
{
    int rc = check(signals);
    return rc < 0 ? rc : signals->handle.descriptor;
}

static void close_here(kin_signals *signals)
{
    kin_signal dropped;
    bool ours = signals->thread == kin__os_thread_id();
    /* What is pending would otherwise end the program when it is let through. */
    while (ours && kin__os_signals_take(signals->handle.descriptor, &dropped) == 0) continue;
    pthread_mutex_lock(&lock);
    all_received &= ~signals->received;
    all_blocked &= ~signals->blocked;
    pthread_mutex_unlock(&lock);
    if (ours) kin__os_signals_unblock(signals->blocked);
}

int kin_signals_close(kin_signals *signals)
{
    if (signals == NULL) return 0;
    if (!signals->handle.withheld) close_here(signals);
    kin__handle_close(&signals->handle);
    kin__os_free(signals);
    return 0;
}

int kin_signal_send(int pid, int number, void *value)
{
    return pid > 0 ? kin__os_signal_queue(pid, number, value) : -EINVAL;
}

/* ---- around every fork of the program ---------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
    if (all_blocked != 0) kin__os_signals_unblock(all_blocked);
    all_received = all_blocked = 0;
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {before_fork, after_fork_in_parent, after_fork_in_child};
    kin__os_watch_forks(KIN__FORK_SIGNALS, &watch);
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    return check(item->object);
}

static int descriptor_of(const kin_waitable *item)
{
    return ((const kin_signals *)item->object)->handle.descriptor;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class signals = {.look = look, .descriptor = descriptor_of};
    kin__waitable_classes[KIN_WAITABLE_SIGNALS] = &signals;
}
