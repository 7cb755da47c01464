/* table.c: joining the family, thread by thread, and leaving it.
 *
 * Invariants: see table.h.  A slot is claimed by one CAS that says who claims, so that a death
 * right after it can be attributed; it becomes visible as LIVE by one store when it is filled
 * in.  A thread that ends in order frees its slot itself; every other end is the reaper's.
 */
#define _GNU_SOURCE
#include "memory/table.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <kin/error.h>
#include <kin/memory.h>

#include "memory/deaths.h"
#include "memory/latch.h"
#include "memory/reap.h"
#include "memory/region.h"

_Thread_local struct kin__self kin__self __attribute__((tls_model("initial-exec")));

unsigned kin__spin_limit;

/* The slot of this process, found again by its later threads; 0 in a new child. */
static struct {
    _Atomic(struct kin__process_slot *) slot;
    uint64_t generation;
} own;
/* Tells a signal handler that it has interrupted its own thread. */
static pthread_mutex_t joining = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static bool has_key;
static pthread_key_t leave_key;

/* ---- leaving ---------------------------------------------------------------------------------- */

static void vacate(struct kin__member *member)
{
    kin__pending_set(kin__self.robust, &member->life.point.word);
    kin__robust_remove(&member->life);
    atomic_store(&member->life.point.word, 0);
    kin__pending_clear(kin__self.robust);
}

static void leave(void *unused)
{
    (void)unused;
    struct kin__member *member = kin__self.member;
    if (member == NULL) return;
    kin__ledger_close(member);
    /* It leaves with a lock that it has not given back. */
    if (kin__self.telling != NULL) kin__waiters_wake_all(&kin__self.telling->point);
    uint64_t state = atomic_load(&member->state);
    uint64_t leaving = (state & ~(uint64_t)0xff) | KIN__SLOT_CLAIMING;
    /* CRASH: with its life word freed and the slot still in use, it is dead when its process is. */
    atomic_store(&member->state, leaving);
    /* Perhaps we are the last of our process: then nothing in memory will tell of its end.  After the state:
     * a reaper that takes this back finds us leaving, and says it again. */
    atomic_store(&kin__family.header->unpeopled, 1);
    vacate(member);
    memset(&kin__self, 0, sizeof kin__self);
    atomic_compare_exchange_strong(&member->state, &leaving, KIN__SLOT_FREE);
}

KIN__CHILD_CODE __attribute__((destructor)) void kin__leaving(void)
{
    struct kin__process_slot *slot = atomic_load(&own.slot);
    if (slot != NULL && atomic_load(&slot->generation) == own.generation) atomic_store(&slot->leaving, 1);
}

KIN__CHILD_CODE static void forget_in_child(void)
{
    memset(&kin__self, 0, sizeof kin__self);
    atomic_store(&own.slot, NULL);
    /* A thread of the parent's may have been joining. */
    joining = (pthread_mutex_t)PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    kin__region_forked();
}

/* Also for a fork while the first thread joins. */
__attribute__((constructor(201))) static void watch_forks(void)
{
    static const struct kin__fork_watch watch = {.child = forget_in_child};
    kin__os_watch_forks(KIN__FORK_MEMBERS, &watch);
}

/* ---- joining ---------------------------------------------------------------------------------- */

static void raise_to(_Atomic uint32_t *mark, uint32_t value)
{
    uint32_t seen = atomic_load(mark);
    while (seen < value && !atomic_compare_exchange_weak(mark, &seen, value))
        ;
}

/* A table that is full of the dead is emptied by us, or just now by somebody else. */
#define CLAIM_ATTEMPTS 20

static void make_room(void)
{
    if (kin__reap() == 0) kin__os_sleep_until(kin__os_clock() + 1000000);
}

static uint64_t offset_of(const void *address)
{
    return (uintptr_t)address - kin__family.base;
}

static int claim_process(struct kin__process_slot **claimed)
{
    struct kin__header *header = kin__family.header;
    uint64_t claim = (uint64_t)kin__os_pid() << 8 | KIN__SLOT_CLAIMING;
    for (int attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
        for (uint32_t i = 0; i < header->process_limit; i++) {
            struct kin__process_slot *slot = &kin__family.processes[i];
            if (i >= atomic_load(&header->process_high)) {
                int rc = kin__region_back(offset_of(slot), 4096);
                if (rc < 0) return rc;
                raise_to(&header->process_high, i + 1);
            }
            uint64_t expected = KIN__SLOT_FREE;
            if (!atomic_compare_exchange_strong(&slot->state, &expected, claim)) continue;
            /* CRASH: from here the claim names us; the reaper frees it when the pid is gone. */
            slot->since = kin__os_boot_clock();
            atomic_store(&slot->leaving, 0);
            atomic_store(&slot->generation, atomic_fetch_add(&header->generation, 1) + 1);
            if (atomic_load(&slot->held_limit) == 0) atomic_store(&slot->held_limit, KIN__HELD_FIRST);
            atomic_store(&slot->state, (claim & ~(uint64_t)0xff) | KIN__SLOT_LIVE);
            *claimed = slot;
            return 0;
        }
        make_room();
    }
    return KIN_ESLOTS;
}

static int own_process(struct kin__process_slot **process)
{
    struct kin__process_slot *slot = atomic_load(&own.slot);
    /* The reaper takes a process for gone when all its members died: after an odd end of its
     * threads it may live on, and claims anew. */
    if (slot != NULL && atomic_load(&slot->generation) == own.generation &&
        kin__state_of(atomic_load(&slot->state)) == KIN__SLOT_LIVE) {
        *process = slot;
        return 0;
    }
    int rc = claim_process(&slot);
    if (rc < 0) return rc;
    own.generation = atomic_load(&slot->generation);
    atomic_store(&own.slot, slot);
    kin__death_forget(kin__os_pid());
    /* By the machine, not by our own affinity: the others may run elsewhere.  A child knows it from
     * its parent: asking takes as long as half a fork. */
    static bool asked;
    if (!asked) kin__spin_limit = kin__os_cpus_online() > 1 ? KIN__SPIN_LIMIT : 0;
    asked = true;
    *process = slot;
    return 0;
}

static int back_members(uint32_t index)
{
    struct kin__header *header = kin__family.header;
    uint32_t per_page = 4096 / (uint32_t)sizeof(struct kin__member);
    uint32_t first = index - index % per_page;
    if (index < atomic_load(&header->members_backed)) return 0;
    int rc = kin__region_back(offset_of(&kin__family.members[first]), 4096);
    if (rc == 0) raise_to(&header->members_backed, first + per_page);
    return rc;
}

/* Fills in a claimed slot and makes it LIVE. */
static void settle_in(struct kin__member *member, uint64_t claim)
{
    member->life.point.kind = KIN__POINT_OWNER;
    member->life.point.dirty = 0;
    atomic_store(&member->life.point.word, 0);
    for (int depth = 0; depth < KIN__WAITS; depth++) atomic_store(&member->waiting_on[depth], NULL);
    for (int level = 0; level < KIN__LEVELS; level++) atomic_store(&member->note[level].kind, KIN__NOTE_NONE);
    atomic_store(&member->touching, NULL);
    atomic_store(&member->waking, NULL);
    atomic_store(&member->telling, NULL);
    kin__pending_set(kin__self.robust, &member->life.point.word);
    atomic_store(&member->life.point.word, kin__self.owner_word);
    kin__robust_insert(kin__self.robust, &member->life);
    kin__pending_clear(kin__self.robust);
    /* CRASH: dead before this store: CLAIMING by a process that is gone, or, when only this
     * thread ended, with a marked life word. */
    atomic_store(&member->state, (claim & ~(uint64_t)0xff) | KIN__SLOT_LIVE);
}

static int claim_member(struct kin__process_slot *process, struct kin__member **claimed)
{
    struct kin__header *header = kin__family.header;
    uint64_t index = (uint64_t)(process - kin__family.processes);
    for (int attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
        for (uint32_t i = KIN__MEMBERS_RESERVED; i < header->member_limit; i++) {
            int rc = back_members(i);
            if (rc < 0) return rc;
            struct kin__member *member = &kin__family.members[i];
            uint64_t seen = atomic_load(&member->state);
            if (kin__state_of(seen) != KIN__SLOT_FREE) continue;
            uint64_t generation = atomic_fetch_add(&header->generation, 1) + 1;
            uint64_t claim = generation << 32 | index << 8 | KIN__SLOT_CLAIMING;
            raise_to(&header->member_high, i + 1);
            if (!atomic_compare_exchange_strong(&member->state, &seen, claim)) continue;
            settle_in(member, claim);
            *claimed = member;
            return 0;
        }
        make_room();
    }
    return KIN_ESLOTS;
}

int kin__member_borrow(void)
{
    for (uint32_t i = 0; i < KIN__MEMBERS_RESERVED; i++) {
        struct kin__member *member = &kin__family.members[i];
        if (back_members(i) < 0) return -ENOMEM;
        if (kin__state_of(atomic_load(&member->state)) != KIN__SLOT_FREE) continue;
        raise_to(&kin__family.header->member_high, i + 1);
        /* CRASH: the reap lock is ours, so that whoever has it next knows that we are dead. */
        uint64_t claim = (uint64_t)KIN__MEMBER_NO_PROCESS << 8 | KIN__SLOT_CLAIMING;
        atomic_store(&member->state, claim);
        settle_in(member, claim);
        kin__self.member = member;
        return 0;
    }
    return KIN_ESLOTS;
}

void kin__member_return(void)
{
    struct kin__member *member = kin__self.member;
    vacate(member);
    kin__self.member = NULL;
    atomic_store(&member->state, KIN__SLOT_FREE);
}

int kin__join(void)
{
    int rc = kin__region_open(NULL);
    if (rc < 0) return rc;
    struct kin__robust_list *robust = NULL;
    rc = kin__os_robust_list(&robust);
    if (rc < 0) return KIN_EKERNEL;
    if (pthread_mutex_lock(&joining) == EDEADLK) return -EDEADLK;
    /* A signal handler may have done it meanwhile. */
    if (kin__self.member != NULL) {
        pthread_mutex_unlock(&joining);
        return 0;
    }
    if (!has_key) has_key = pthread_key_create(&leave_key, leave) == 0;
    kin__self.robust = robust;
    kin__watch_expect(true);
    uint32_t thread = (uint32_t)kin__os_thread_id();
    kin__self.owner_word = thread;
    kin__self.identity = (uint64_t)kin__os_pid() << 32 | thread;
    struct kin__process_slot *process = NULL;
    struct kin__member *member = NULL;
    rc = own_process(&process);
    if (rc == 0) {
        /* Who has to reap before it finds a slot for itself is of this process already. */
        kin__self.process = process;
        kin__self.process_identity = atomic_load(&process->generation);
        kin__self.process_index = (uint32_t)(process - kin__family.processes);
        rc = claim_member(process, &member);
    }
    if (rc == 0) {
        kin__self.member = member;
        if (has_key) pthread_setspecific(leave_key, member);
    }
    pthread_mutex_unlock(&joining);
    /* Whoever comes looks after those who went, so that the tables stay short. */
    if (rc == 0 && kin__reap_needed()) kin__reap();
    return rc;
}

/* ---- looking others up ---------------------------------------------------------------------- */

struct kin__member *kin__member_of_thread(uint32_t thread)
{
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        uint32_t word = atomic_load(&member->life.point.word);
        if ((word & KIN__WORD_OWNER) == thread && thread != 0 &&
            kin__state_of(atomic_load(&member->state)) == KIN__SLOT_LIVE)
            return member;
    }
    return NULL;
}

int kin__member_pid(const struct kin__member *member)
{
    if (member == NULL) return 0;
    uint32_t process = kin__member_process(atomic_load(&member->state));
    if (process >= KIN__PROCESSES_MOST) return 0; /* one that is borrowed */
    return kin__process_pid(atomic_load(&kin__family.processes[process].state));
}

/* ---- held messages -------------------------------------------------------------------------- */

int kin__held_claim(uint32_t *index)
{
    struct kin__process_slot *process = kin__self.process;
    uint32_t hint = atomic_load_explicit(&process->held_hint, memory_order_relaxed);
    for (;;) {
        uint32_t limit = atomic_load(&process->held_limit);
        for (uint32_t n = 0; n < limit; n++) {
            uint32_t i = (hint + n) % limit;
            void *expected = NULL;
            if (atomic_load_explicit(&process->held[i], memory_order_relaxed) == NULL &&
                atomic_compare_exchange_strong(&process->held[i], &expected, KIN__HELD_CLAIMED)) {
                *index = i;
                atomic_store_explicit(&process->held_hint, i + 1, memory_order_relaxed);
                return 0;
            }
        }
        if (limit >= KIN__HELD_LIMIT) return KIN_EHELD;
        int rc = kin__region_back(offset_of(process) + 4096, sizeof *process - 4096);
        if (rc < 0) return rc;
        atomic_store(&process->held_limit, KIN__HELD_LIMIT);
        hint = limit;
    }
}
