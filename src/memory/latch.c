/* latch.c: the slow paths of the internal lock.  See latch.h for the invariants. */
#include "memory/latch.h"

#include <errno.h>
#include <stddef.h>

#include "base/log.h"
#include "os/os.h"

/* Who cleans up after the dead does so in somebody's wait, and cannot wait for one who is stopped: what it does not
 * finish is done at the next look. */
static bool reaps(void)
{
    return kin__self.level == KIN__LEVEL_REAP;
}

static int give_up(uint32_t seen)
{
    if (reaps())
        kin__self.reap_missed = true;
    else
        kin__log(KIN_LOG_WARNING, "thread %u holds an internal lock past the deadline: stopped?",
                 seen & KIN__WORD_OWNER);
    return -ETIMEDOUT;
}

/* Takes a word that is free or was left by a dead owner; 1 when it was. */
static int take(struct kin__latch *latch, uint32_t seen, uint32_t mark)
{
    kin__pending_set(kin__self.robust, &latch->point.word);
    if (!kin__owner_take(&latch->point, seen, mark)) {
        kin__pending_clear(kin__self.robust);
        return 0;
    }
    /* CRASH: dead before this store, OWNER_DIED is set anew by the kernel. */
    if ((seen & KIN__WORD_DIED) != 0) latch->point.dirty = 1;
    return 1;
}

/* So long between two looks at a latch that is held.  Its holder has what it protects in its cache, and gets on fast
 * as long as nobody takes it away: two who take turns with every message do less than two who wait for each
 * other's runs of them. */
#define PAUSE 256

static bool watch(struct kin__latch *latch)
{
    unsigned budget = kin__spin_limit, steps = PAUSE;
    for (unsigned spent = 0; spent < budget; spent += kin__relax(&steps, PAUSE)) {
        uint32_t seen = atomic_load_explicit(&latch->point.word, memory_order_relaxed);
        if ((seen & KIN__WORD_OWNER) == 0 && take(latch, seen, 0)) return true;
    }
    return false;
}

int kin__latch_acquire_slow(struct kin__latch *latch, kin_deadline deadline)
{
    if (kin__self.robust->pending != NULL) return -EDEADLK;
    if (watch(latch)) return latch->point.dirty;
    deadline = reaps() ? kin__self.reap_until : kin__with_grace(deadline);
    int rc = 0;
    kin__waiters_enter(&latch->point);
    for (;;) {
        uint32_t seen = atomic_load(&latch->point.word);
        if ((seen & KIN__WORD_OWNER) == 0) {
            if (take(latch, seen, KIN__WORD_WAITERS)) break;
            continue;
        }
        if (!kin__owner_mark(&latch->point, &seen)) continue;
        rc = kin__sleep_thread(&latch->point, seen, deadline);
        if (rc == 1 && (atomic_load(&latch->point.word) & KIN__WORD_OWNER) == 0)
            kin__rescued(&latch->point, seen);
        if (rc < 0) {
            rc = give_up(seen);
            break;
        }
    }
    kin__waiters_leave(&latch->point);
    return rc < 0 ? rc : latch->point.dirty;
}
