/* reap.c: cleaning up after the dead.  See reap.h for the invariants.
 *
 * For a thread: its sleep is uncounted, the allocator's note is settled, the users of what it
 * was touching are told; then its slot is free.  For a process, once no member of it is left:
 * the messages it held are settled; then its slot is free.
 */
#include "memory/reap.h"

#include <errno.h>
#include <stddef.h>

#include <kin/error.h>
#include <kin/memory.h>

#include "base/log.h"
#include "memory/bell.h"
#include "memory/latch.h"
#include "memory/region.h"
#include "os/os.h"

struct kin__reap_hooks kin__reap_hooks[KIN__OBJECT_KINDS + 1];

/* How long one look waits, in all, for those who hold the latches that it needs. */
#define PATIENCE_NS (20 * 1000000LL)

/* ---- the reaper's lock: taken only if free or left by a dead reaper ----------------------------- */

static bool reap_lock(struct kin__robust *lock)
{
    if (kin__self.robust->pending != NULL) return false;
    uint32_t seen = atomic_load(&lock->point.word);
    if ((seen & KIN__WORD_OWNER) != 0) return false;
    kin__pending_set(kin__self.robust, &lock->point.word);
    bool taken = kin__owner_take(&lock->point, seen, 0);
    if (taken) kin__robust_insert(kin__self.robust, lock);
    kin__pending_clear(kin__self.robust);
    return taken;
}

static void reap_unlock(struct kin__robust *lock)
{
    kin__pending_set(kin__self.robust, &lock->point.word);
    kin__robust_remove(lock);
    atomic_exchange(&lock->point.word, 0);
    kin__pending_clear(kin__self.robust);
}

/* ---- members ---------------------------------------------------------------------------------------- */

static bool process_gone(struct kin__process_slot *process)
{
    uint64_t state = atomic_load(&process->state);
    /* A claimant may not have written yet since when it is there. */
    int64_t since = kin__state_of(state) == KIN__SLOT_CLAIMING ? INT64_MAX : process->since;
    return kin__os_process_gone(kin__process_pid(state), since) == 1;
}

/* A claim is abandoned when its process is gone, or when its thread got as far as the life
 * word and died with it. */
static bool member_dead(struct kin__member *member, uint64_t state)
{
    uint32_t process = kin__member_process(state);
    /* One that was borrowed under the reap lock, which is ours now. */
    if (process == KIN__MEMBER_NO_PROCESS && member != kin__self.member)
        return kin__state_of(state) != KIN__SLOT_FREE;
    switch (kin__state_of(state)) {
    case KIN__SLOT_LIVE: return kin__member_died(member);
    case KIN__SLOT_DEAD: return true;
    case KIN__SLOT_CLAIMING: return kin__member_died(member) || process_gone(&kin__family.processes[process]);
    default: return false;
    }
}

/* Who was about to wake somebody and did not. */
static void wake_for(_Atomic(struct kin__wait_point *) *named)
{
    struct kin__wait_point *point = atomic_load(named);
    if (point != NULL) kin__waiters_wake_all(point);
}

/* True when the slot is free again. */
static bool reap_member(struct kin__member *member, uint64_t state)
{
    uint64_t dead = (state & ~(uint64_t)0xff) | KIN__SLOT_DEAD;
    /* CRASH: from here on it is dead whatever its life word says, until it is free. */
    if (!atomic_compare_exchange_strong(&member->state, &state, dead)) return false;
    kin__self.reap_missed = false;
    bool counted = kin__waits_settle(member->waiting_on, KIN__WAITS);
    kin__note_settle(member);
    counted = kin__ledger_settle(member) && counted;
    wake_for(&member->waking);
    wake_for(&member->telling);
    void *touching = atomic_load(&member->touching);
    int kind = touching != NULL ? kin__object_kind_of(touching) : -1;
    if (kind >= 0 && kin__reap_hooks[kind].announce != NULL) kin__reap_hooks[kind].announce(touching, member);
    /* Its ledger is needed, or somebody is stopped who holds what we need: dead until the next look. */
    if (!counted || kin__self.reap_missed) return false;
    for (int depth = 0; depth < KIN__WAITS; depth++) atomic_store(&member->waiting_on[depth], NULL);
    atomic_store(&member->touching, NULL);
    atomic_store(&member->waking, NULL);
    atomic_store(&member->telling, NULL);
    atomic_store(&member->life.point.word, 0);
    atomic_fetch_add(&kin__family.header->deaths, 1);
    /* CRASH: until this store everything above is repeated by the next reaper. */
    atomic_store(&member->state, KIN__SLOT_FREE);
    return true;
}

static int reap_members(void)
{
    int found = 0;
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        uint64_t state = atomic_load(&member->state);
        if (member_dead(member, state)) found += reap_member(member, state);
    }
    return found;
}

/* ---- processes ---------------------------------------------------------------------------------------- */

/* Which processes have members, and which have some whose life words tell of their deaths: none that is
 * leaving. */
struct peopled {
    uint8_t any[KIN__PROCESSES_MOST / 8];
    uint8_t telling[KIN__PROCESSES_MOST / 8];
};

static void mark_peopled(struct peopled *peopled)
{
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t state = atomic_load(&kin__family.members[i].state);
        uint32_t process = kin__member_process(state);
        uint8_t bit = (uint8_t)(1u << process % 8);
        if (kin__state_of(state) == KIN__SLOT_FREE || process >= KIN__PROCESSES_MOST) continue;
        peopled->any[process / 8] |= bit;
        if (kin__state_of(state) == KIN__SLOT_LIVE) peopled->telling[process / 8] |= bit;
    }
}

static bool is_marked(const uint8_t *marks, uint32_t process)
{
    return (marks[process / 8] >> process % 8 & 1) != 0;
}

/* True when the entry is settled. */
static bool settle_held(_Atomic(void *) *entry, uint64_t identity)
{
    void *held = atomic_load(entry);
    if (held == NULL || held == KIN__HELD_CLAIMED) return true;
    int kind = kin__object_kind_of(held);
    struct kin__reap_hooks *hooks = &kin__reap_hooks[kind >= 0 ? kind : KIN__OBJECT_KINDS];
    return hooks->held == NULL || hooks->held(held, entry, identity);
}

static void forget_in(void *object, void *dead)
{
    int kind = kin__object_kind_of(object);
    if (kind >= 0) kin__reap_hooks[kind].forget(object, dead);
}

static void forget_process(struct kin__process_slot *process)
{
    for (int kind = 0; kind < KIN__OBJECT_KINDS; kind++)
        if (kin__reap_hooks[kind].forget != NULL)
            kin__objects_each((enum kin__object_kind)kind, forget_in, process);
}

static bool reap_process(struct kin__process_slot *process, uint64_t state)
{
    uint64_t identity = atomic_load(&process->generation);
    if (!atomic_compare_exchange_strong(&process->state, &state, (state & ~(uint64_t)0xff) | KIN__SLOT_DEAD))
        return false;
    uint32_t limit = atomic_load(&process->held_limit);
    bool settled = true;
    kin__self.reap_missed = false;
    for (uint32_t i = 0; i < limit; i++) {
        if (settle_held(&process->held[i], identity) && !kin__self.reap_missed)
            atomic_store(&process->held[i], NULL);
        else
            settled = false;
    }
    if (!settled) return false;
    /* 0: it died before it had one, and no object knows it; or all have forgotten it already.  What has nobody's
     * identity must not pass for its own. */
    if (identity != 0) forget_process(process);
    if (kin__self.reap_missed) return false;
    kin__bells_reap(identity);
    atomic_store(&process->generation, 0);
    atomic_fetch_add(&kin__family.header->deaths, 1);
    /* CRASH: until this store everything above is repeated by the next reaper. */
    atomic_store(&process->state, KIN__SLOT_FREE);
    return true;
}

/* A process without members has left, or all its threads are gone: only the system knows. */
static int reap_processes(void)
{
    struct kin__header *header = kin__family.header;
    int found = 0;
    uint32_t unpeopled = 0, high = atomic_load(&header->process_high);
    struct peopled peopled = {0};
    /* Before we look at the members: pairs with the stores of one that leaves.  CRASH: with nothing noted, our
     * own death makes the next one look. */
    atomic_store(&header->unpeopled, 0);
    mark_peopled(&peopled);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__process_slot *process = &kin__family.processes[i];
        uint64_t state = atomic_load(&process->state);
        if (kin__state_of(state) == KIN__SLOT_FREE || process == kin__self.process) continue;
        bool dead = kin__state_of(state) == KIN__SLOT_DEAD;
        if (!dead && is_marked(peopled.any, i)) {
            unpeopled += !is_marked(peopled.telling, i);
            continue;
        }
        if ((dead || process_gone(process)) && reap_process(process, state))
            found++;
        else
            unpeopled++;
    }
    atomic_store(&header->looked, kin__os_clock());
    if (unpeopled > 0) atomic_store(&header->unpeopled, unpeopled);
    return found;
}

bool kin__reap_needed(void)
{
    struct kin__header *header = kin__family.header;
    uint32_t high = atomic_load(&header->member_high);
    for (uint32_t i = 0; i < high; i++)
        if (kin__member_died(&kin__family.members[i])) return true;
    return atomic_load(&header->unpeopled) > 0 &&
           kin__os_clock() - atomic_load(&header->looked) >= KIN__SLICE_NS;
}

int kin__reap(void)
{
    if (!kin__family_known() || kin__self.robust == NULL) return 0;
    struct kin__robust *lock = &kin__family.header->reap;
    if (!reap_lock(lock)) return 0;
    bool joined = kin__self.member != NULL;
    if (!joined && kin__member_borrow() < 0) {
        reap_unlock(lock);
        return 0;
    }
    kin__self.level = KIN__LEVEL_REAP;
    kin__self.reap_until = kin__os_clock() + PATIENCE_NS;
    int found = reap_members();
    if (found > 0) kin__bells_ring_free();
    found += reap_processes();
    kin__self.level = KIN__LEVEL_WORK;
    kin__self.reap_missed = false;
    if (!joined) kin__member_return();
    reap_unlock(lock);
    if (found > 0) kin__log(KIN_LOG_INFO, "cleaned up after %d dead threads and processes", found);
    return found;
}

static bool has_members(int pid)
{
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t state = atomic_load(&kin__family.members[i].state);
        uint32_t process = kin__member_process(state);
        if (kin__state_of(state) == KIN__SLOT_FREE || process >= KIN__PROCESSES_MOST) continue;
        if (kin__process_pid(atomic_load(&kin__family.processes[process].state)) == pid) return true;
    }
    return false;
}

void kin__reap_of(int pid)
{
    kin_deadline end = kin__os_clock() + 1000000000LL;
    for (kin__reap(); pid > 0 && has_members(pid) && kin__os_clock() < end; kin__reap())
        kin__os_sleep_until(kin__os_clock() + 100000);
}

int kin_sweep(void)
{
    int rc = kin__enter();
    return rc < 0 ? rc : kin__reap();
}
