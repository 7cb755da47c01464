/* bell.c: see bell.h. */
#include "memory/bell.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "memory/latch.h"
#include "memory/region.h"
#include "memory/wait.h"
#include "os/os.h"

/* The places that a bell may have come in windows, which are used one after the other: most points need the first
 * one alone.  All are full only if so many hang at points of one hash. */
#define WINDOW  64
#define WINDOWS 16

enum kind { FREE = 0, CLAIMED = 1, ARMED = 2, RINGING = 3, ARMING = 4 };

#define KIND_MASK      ((uint64_t)7)
#define CHANGE_STEP    ((uint64_t)1 << 3)
#define CHANGE_MASK    ((uint64_t)0xffff << 3)
#define IDENTITY_SHIFT 19

static enum kind kind_of(uint64_t state)
{
    return (enum kind)(state & KIND_MASK);
}

/* The state after `state`: no two are alike within 65536 changes, so that a CAS finds out. */
static uint64_t next(uint64_t state, enum kind kind)
{
    uint64_t change = (state + CHANGE_STEP) & CHANGE_MASK;
    return (state & ~(CHANGE_MASK | KIND_MASK)) | change | kind;
}

static bool change(struct kin__bell *bell, uint64_t *seen, enum kind kind)
{
    return atomic_compare_exchange_strong(&bell->state, seen, next(*seen, kind));
}

/* ---- the table -------------------------------------------------------------------------------------- */

static struct kin__bell *table(void)
{
    return (struct kin__bell *)(kin__family.base + kin__family.header->bells_offset);
}

static bool is_there(void)
{
    return atomic_load(&kin__family.header->bells_backed) != 0;
}

static int open_table(void)
{
    if (is_there()) return 0;
    /* Twice is as good as once. */
    int rc = kin__region_back(kin__family.header->bells_offset, KIN__BELLS * sizeof(struct kin__bell));
    if (rc == 0) atomic_store(&kin__family.header->bells_backed, 1);
    return rc;
}

static struct kin__bell *place(const struct kin__wait_point *point, unsigned index)
{
    uint64_t hash = ((uint64_t)(uintptr_t)point >> 3) * 0x9e3779b97f4a7c15ull;
    return &table()[(hash >> 32) % (KIN__BELLS - WINDOW * WINDOWS) + index];
}

/* How many places of a point may have a bell. */
static unsigned places_of(struct kin__wait_point *point)
{
    return WINDOW * __atomic_load_n(&point->dirty, __ATOMIC_SEQ_CST);
}

/* Says before a bell is claimed there that the place is one of the point's. */
static void widen(struct kin__wait_point *point, unsigned index)
{
    uint16_t windows = (uint16_t)(index / WINDOW + 1),
             seen = __atomic_load_n(&point->dirty, __ATOMIC_RELAXED);
    while (seen < windows && !__atomic_compare_exchange_n(&point->dirty, &seen, windows, false,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        continue;
}

/* ---- the count of sleepers ---------------------------------------------------------------------------- */

/* An armed bell is one no more: takes it out of the count that was `seen` before its state changed.
 * If the count has changed since, somebody may have taken it anew, with the bell or without:
 * then it is taken anew once more.  CRASH: before it the count is too large by one. */
static void uncount(struct kin__wait_point *point, uint64_t seen)
{
    uint32_t count = kin__waiters_count(seen), woken = kin__waiters_woken(seen);
    if (count > 0 && woken == count) woken--;
    uint64_t less = ((seen >> 32) + 1) << 32 | (uint64_t)woken << 16 | (count - 1);
    if (count == 0 || !atomic_compare_exchange_strong(&point->waiters, &seen, less))
        kin__waiters_recount(point);
}

uint32_t kin__bells_counted(struct kin__wait_point *point)
{
    uint32_t counted = 0;
    if (!is_there()) return 0;
    for (unsigned i = 0, places = places_of(point); i < places; i++) {
        struct kin__bell *bell = place(point, i);
        enum kind kind = kind_of(atomic_load(&bell->state));
        /* One that is just being armed or rung may be counted or not: rather once too often. */
        if (kind != FREE && kind != CLAIMED && atomic_load(&bell->point) == point) counted++;
    }
    return counted;
}

/* ---- the owner's side ---------------------------------------------------------------------------------- */

int kin__bell_hang(struct kin__bell **hung, struct kin__wait_point *point, uint64_t number)
{
    int rc = open_table();
    if (rc < 0) return rc;
    for (unsigned i = 0; i < WINDOW * WINDOWS; i++) {
        struct kin__bell *bell = place(point, i);
        uint64_t seen = atomic_load(&bell->state);
        if (kind_of(seen) != FREE) continue;
        widen(point, i);
        uint64_t ours =
            kin__self.process_identity << IDENTITY_SHIFT | (next(seen, CLAIMED) & (CHANGE_MASK | KIND_MASK));
        /* CRASH: claimed from here on, until the reaper frees it. */
        if (!atomic_compare_exchange_strong(&bell->state, &seen, ours)) continue;
        atomic_store(&bell->point, point);
        atomic_store(&bell->number, number);
        *hung = bell;
        return 0;
    }
    return -ENOSPC;
}

void kin__bell_arm(struct kin__bell *bell)
{
    struct kin__wait_point *point = atomic_load(&bell->point);
    uint64_t seen = atomic_load(&bell->state);
    /* One that is just ringing is still counted: who rings it finds that it has changed. */
    while (kind_of(seen) != CLAIMED)
        if (kind_of(seen) == ARMED || change(bell, &seen, ARMED)) return;
    uint64_t before = atomic_load(&point->waiters);
    change(bell, &seen, ARMING); /* it is ours alone */
    seen = next(seen, ARMING);
    /* Before it can be rung: who rings it takes it out of the count, and would take out another.  Seq_cst:
     * pairs with the load of `waiters` by who has made the predicate true.  CRASH: counted or not: our death
     * has it counted anew. */
    uint64_t counted = atomic_fetch_add(&point->waiters, ((uint64_t)1 << 32) + 1);
    change(bell, &seen, ARMED);
    /* A count that was taken anew in between may have had it already. */
    if (counted >> 32 != before >> 32) kin__waiters_recount(point);
}

bool kin__bell_is_armed(struct kin__bell *bell)
{
    return kind_of(atomic_load(&bell->state)) == ARMED;
}

void kin__bell_take_down(struct kin__bell *bell)
{
    struct kin__wait_point *point = atomic_load(&bell->point);
    for (;;) {
        uint64_t counted = atomic_load(&point->waiters), seen = atomic_load(&bell->state);
        bool is_counted = kind_of(seen) != CLAIMED;
        /* CRASH: free and counted: the count is too large by one. */
        if (!change(bell, &seen, FREE)) continue;
        if (is_counted) uncount(point, counted);
        return;
    }
}

/* ---- ringing ------------------------------------------------------------------------------------------- */

void kin__bell_name(char name[KIN__BELL_NAME], uint64_t number)
{
    snprintf(name, KIN__BELL_NAME, "kin-bell-%llx-%llx-%llx", (unsigned long long)kin__family.header->device,
             (unsigned long long)kin__family.header->inode, (unsigned long long)number);
}

static void ring(struct kin__wait_point *point, struct kin__bell *bell)
{
    char name[KIN__BELL_NAME];
    uint64_t seen = atomic_load(&bell->state);
    uint64_t number = atomic_load(&bell->number);
    if (atomic_load(&bell->point) != point) return;
    /* CRASH: one found ringing may have been left by somebody who died before he rang. */
    if (kind_of(seen) == ARMED) {
        if (!change(bell, &seen, RINGING)) return;
        seen = next(seen, RINGING);
    }
    if (kind_of(seen) != RINGING) return;
    kin__bell_name(name, number);
    kin__os_bell_ring(name);
    uint64_t counted = atomic_load(&point->waiters);
    if (change(bell, &seen, CLAIMED)) uncount(point, counted);
}

void kin__bells_ring(struct kin__wait_point *point)
{
    if (!is_there()) return;
    for (unsigned i = 0, places = places_of(point); i < places; i++) ring(point, place(point, i));
}

void kin__bells_reap(uint64_t identity)
{
    if (!is_there()) return;
    for (unsigned i = 0; i < KIN__BELLS; i++) {
        struct kin__bell *bell = &table()[i];
        uint64_t seen = atomic_load(&bell->state);
        if (kind_of(seen) == FREE || seen >> IDENTITY_SHIFT != identity) continue;
        struct kin__wait_point *point = atomic_load(&bell->point);
        bool counted = kind_of(seen) != CLAIMED;
        while (kind_of(seen) != FREE && !change(bell, &seen, FREE)) continue;
        if (counted) kin__waiters_recount(point);
    }
}

void kin__bells_ring_free(void)
{
    if (!is_there()) return;
    for (unsigned i = 0; i < KIN__BELLS; i++) {
        struct kin__bell *bell = &table()[i];
        enum kind kind = kind_of(atomic_load(&bell->state));
        if (kind != ARMED && kind != RINGING) continue;
        struct kin__wait_point *point = atomic_load(&bell->point);
        if (point->kind != KIN__POINT_HELD || (atomic_load(&point->word) & KIN__WORD_OWNER) != 0) continue;
        /* CRASH: a reaper that dies here is one that waits there: it is counted anew. */
        kin__waiters_enter(point);
        ring(point, bell);
        kin__waiters_leave(point);
    }
}
