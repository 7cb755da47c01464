/* deadlock.c: finding that a wait would close a cycle.
 *
 * Nothing is kept for it.  Who waits for what stands in the members' ledgers (waiting_on), and
 * who holds what in the owner words: together the graph of who waits for whom, in which nobody has
 * more than one edge.  A thread enters its own edge, and then follows the others until somebody
 * does not wait, or it comes to itself.  Of several that close a cycle at once the last to enter
 * its edge sees all of it: the ledger and the word are written seq_cst.
 *
 * Edges may go while they are followed.  A cycle of waiting threads does not: a cycle is believed
 * when it is found twice in the same way.
 */
#define _GNU_SOURCE
#include "sync/deadlock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/lock.h>

#include "base/log.h"
#include "memory/latch.h"
#include "memory/region.h"
#include "os/os.h"
#include "os/suspend.h"
#include "os/thread.h"

#define HOPS_MOST 64
#define HOPS_KEPT 8

_Atomic int kin__deadlock_switch;

/* One edge: a thread that waits at a point. */
struct hop {
    uint32_t thread;
    struct kin__wait_point *point;
};

/* The cycle that the thread was told of last.  Names and processes are those of that moment: whoever
 * was part of it may have ended by the time somebody asks. */
struct kept {
    struct hop hop;
    int pid;
    char name[16];
};
struct cycle {
    struct kept hop[HOPS_KEPT];
    unsigned count;
};

static _Thread_local bool bears_it;

bool kin__deadlock_watched_slow(void)
{
    const char *wanted = secure_getenv("KIN_DEBUG");
    bool on = wanted != NULL && strstr(wanted, "deadlock") != NULL;
    atomic_store(&kin__deadlock_switch, on ? 2 : 1);
    return on;
}

void kin__deadlock_bear(bool bears)
{
    bears_it = bears;
}

/* ---- following ---------------------------------------------------------------------------------- */

static uint32_t holder_of(const struct kin__wait_point *point)
{
    return point->kind != KIN__POINT_EVENT ? atomic_load(&point->word) & KIN__WORD_OWNER : 0;
}

/* Where a thread sleeps, NULL if it does not. */
static struct kin__wait_point *waits_at(uint32_t thread)
{
    struct kin__member *member = kin__member_of_thread(thread);
    struct kin__wait_point *point = NULL;
    for (int depth = KIN__WAITS - 1; member != NULL && point == NULL && depth >= 0; depth--)
        point = kin__waiting_on(member, depth);
    return point;
}

/* The hops from the calling thread back to itself; 0 if the way ends elsewhere. */
static unsigned follow(struct kin__wait_point *point, struct hop *hops)
{
    uint32_t self = kin__self.owner_word, thread = self;
    for (unsigned count = 0; count < HOPS_MOST; count++) {
        hops[count] = (struct hop){thread, point};
        thread = holder_of(point);
        if (thread == self) return count + 1;
        if (thread == 0) return 0;
        point = waits_at(thread);
        if (point == NULL) return 0;
    }
    return 0;
}

static struct cycle *cycle_of_thread(void)
{
    return kin__os_thread_memory(KIN__MEMORY_OF_DEADLOCKS, sizeof(struct cycle));
}

static void keep(const struct hop *hop, unsigned count)
{
    struct cycle *mine = cycle_of_thread();
    if (mine == NULL) return;
    mine->count = count;
    for (unsigned i = 0; i < count && i < HOPS_KEPT; i++) {
        struct kept *kept = &mine->hop[i];
        kept->hop = hop[i];
        kept->pid = kin__member_pid(kin__member_of_thread(hop[i].thread));
        kin__os_thread_label(kept->pid, (int)hop[i].thread, kept->name, sizeof kept->name);
    }
}

int kin__deadlock_check(struct kin__wait_point *point)
{
    struct hop first[HOPS_MOST], again[HOPS_MOST];
    /* What another coroutine of the thread holds it may give back meanwhile. */
    if (bears_it || kin__suspender != NULL) return 0;
    unsigned count = follow(point, first);
    if (count == 0 || follow(point, again) != count) return 0;
    for (unsigned i = 0; i < count; i++)
        if (first[i].thread != again[i].thread || first[i].point != again[i].point) return 0;
    keep(first, count);
    char text[200];
    kin_deadlock_text(text, sizeof text);
    kin__log(KIN_LOG_WARNING, "deadlock: %s", text);
    return -EDEADLK;
}

/* ---- telling -------------------------------------------------------------------------------------- */

/* Appends "thread 12 of process 12 (cook)" and what it waits for to what may be full already; the
 * length goes on all the same. */
static int append(char *text, size_t size, int length, const struct kept *kept)
{
    bool room = (size_t)length < size;
    return length + snprintf(room ? text + length : NULL, room ? size - (size_t)length : 0,
                             "thread %u of process %d (%s)%s waits for the lock at %p, held by ",
                             kept->hop.thread, kept->pid, kept->name, length > 0 ? ", which" : "",
                             (void *)kept->hop.point);
}

int kin_deadlock_text(char *text, size_t size)
{
    int length = 0;
    if (text == NULL && size > 0) return -EINVAL;
    if (size > 0) text[0] = '\0';
    const struct cycle *mine = cycle_of_thread();
    if (mine == NULL || mine->count == 0) return 0;
    for (unsigned i = 0; i < mine->count && i < HOPS_KEPT; i++)
        length = append(text, size, length, &mine->hop[i]);
    bool room = (size_t)length < size;
    return length + snprintf(room ? text + length : NULL, room ? size - (size_t)length : 0, "%s",
                             mine->count > HOPS_KEPT ? "others, and so back to the first" : "the first");
}
