/* region.h: the family's memory: one sparse file that every process maps at one address.
 *
 * Invariants:
 *  - Nothing of the region is touched that has no memory behind it: each part is backed
 *    before its first use, so that too little memory is an error code and never SIGBUS.
 *  - The region is never unmapped or moved while the process lives: a futex word in it stays
 *    a futex word (glibc bug 14485).
 *  - What is in the header before `ready` never changes after it.
 */
#ifndef KIN_MEMORY_REGION_H
#define KIN_MEMORY_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/publish.h>

#include "memory/allocator.h"
#include "memory/bell.h"
#include "memory/layout.h"
#include "memory/table.h"

#define KIN__MAGIC_REGION   0x6e6f696765726e6bull
#define KIN__REGION_NAME    "kin" /* of the memory file, as /proc shows it */
#define KIN__LAYOUT_VERSION 3u

#define KIN__ENDS 64u

/* Sizes that a region may have, in bytes. */
#define KIN__REGION_LEAST ((uint64_t)16 << 20)
#define KIN__REGION_MOST  ((uint64_t)16 << 40)

/* SHARED.  The family's name, for kin_family_join, which reads it from outside.
 *   state   NONE → CLAIMING by CAS, with the claimant's pid above; → CLAIMED → PUBLISHED, or back to
 *           NONE, by stores of the claimant; a dead claimant's claim is taken over by CAS.
 *   since   boot clock; the claimant was there before, a later user of its pid was not.  Set, like
 *   text    the name, before CLAIMED. */
enum kin__name_state {
    KIN__NAME_NONE = 0,
    KIN__NAME_CLAIMING = 1,
    KIN__NAME_CLAIMED = 2,
    KIN__NAME_PUBLISHED = 3
};
struct kin__family_name {
    _Atomic uint64_t state;
    _Atomic int64_t since;
    char text[KIN_NAME_SIZE];
};

/* SHARED.  What kin_publish keeps; see registry.c.
 *   latch    for everything below; nothing to repair after a death inside.
 *   changed  event: "there is a new name".
 *   first    first block of names. */
struct kin__registry {
    struct kin__latch latch;
    struct kin__event changed;
    _Atomic(void *) first;
};

/* SHARED.  Where the log of the family is collected (process/station.c).
 *   pid          0, or the process that collects; taken by CAS from 0 or from one that is gone.
 *   since        by it, after that; 0 from before the pid changes until then.
 *   collecting   by it: 1 after the following are there (release; read with acquire), 0 at its end.
 *   descriptor … level  by it, while it is not collecting: its pipe, to be opened through /proc.
 *   lost         lines that found no room; added to by anybody, a mere count. */
struct kin__log_place {
    _Atomic int pid;
    int descriptor;
    _Atomic int64_t since;
    uint64_t device;
    uint64_t inode;
    uint32_t level;
    _Atomic uint32_t collecting;
    _Atomic uint64_t lost;
};

/* SHARED, at the base of the region.  Up to `name` it is the same in all versions of kin.
 *   magic … member_limit   written by the process that makes the region, before any other can
 *                          see it; read by all.
 *   generation             counter behind process and member generations; fetch_add.
 *   process_high, member_high   slots at and above were never used; raised by CAS.
 *   deaths                 how many were cleaned up after; fetch_add by the reaper, read by
 *                          supervisors to learn that there is something to look at.
 *   unpeopled              how many processes there are whose end no member will tell of, because
 *                          they have none (left): somebody has to ask the system now and then;
 *                          written by the reaper, and by members that leave.
 *   looked                 when that was done; by the reaper.
 *   bells_backed           whether the table of bells (bell.h) has memory behind it; set by the
 *                          first that needs it.
 *   rescues                sleeps that ended well only because their slice did: a test that
 *                          finds any has found a lost wake-up; fetch_add.
 *   reap                   the lock of the reaper, in its owner's robust list: it is held
 *                          while latches are taken.
 *   ends                   how processes ended (deaths.h): pid in the upper half, kin__end_word below.
 *   registry               see above.
 *   allocator              see allocator.h. */
struct kin__header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t layout_check;
    struct kin__family_name name;
    uint64_t size;
    void *base;
    uint8_t boot_id[16];
    uint64_t pid_namespace;
    uint64_t device;
    uint64_t inode;
    uint32_t process_limit;
    uint32_t member_limit;
    uint64_t processes_offset;
    uint64_t members_offset;
    uint64_t pages_offset;
    uint64_t bells_offset;
    uint64_t heap_offset;
    uint32_t heap_pages;
    int creator_pid;

    _Atomic uint64_t generation __attribute__((aligned(64)));
    _Atomic uint32_t process_high;
    _Atomic uint32_t member_high;
    _Atomic uint32_t members_backed;
    _Atomic uint32_t bells_backed;
    _Atomic uint64_t deaths;
    _Atomic uint64_t rescues;
    _Atomic uint32_t unpeopled;
    _Atomic int64_t looked;
    _Atomic uint64_t ends[KIN__ENDS];

    struct kin__registry registry __attribute__((aligned(64)));
    struct kin__robust reap __attribute__((aligned(64)));
    struct kin__allocator allocator;
    struct kin__log_place log;
};

/* This process's view.  `used`: so many lines (KIN__LINE_SHIFT) of the heap were in use when somebody
 * looked. */
struct kin__family {
    struct kin__header *header; /* NULL: no family yet */
    uintptr_t base;
    uint64_t size;
    int descriptor;
    struct kin__process_slot *processes;
    struct kin__member *members;
    struct kin__page *pages;
    char *heap;
    _Atomic uint64_t used;
};
extern struct kin__family kin__family;

/* Is there a family, for code that has not entered one?  Acquire: pairs with its publication, as another thread
 * may just be making it. */
static inline bool kin__family_known(void)
{
    return __atomic_load_n(&kin__family.header, __ATOMIC_ACQUIRE) != NULL;
}

/* Called when this process has joined a family that there was; set before the first may be joined. */
extern void (*kin__family_joined)(void);

/* Makes or joins the family for this process; 0 when there is one. */
int kin__region_open(const kin_family_options *options);

/* Joins the family whose memory file `descriptor` is, which becomes the family's: 0, or an error,
 * after which it is still the caller's.  KIN_ESTARTED: this process has a family. */
int kin__region_join(int descriptor);

/* In a new child: another thread of its parent may have been opening it. */
void kin__region_forked(void);

/* Is the descriptor of the memory still ours?  KIN_EDESCRIPTOR: the program has closed it. */
int kin__region_check_descriptor(void);
/* Writes the invitation for a process that has the memory open at that number; returns its length. */
int kin__region_invitation(char *text, size_t size, int number);

/* Fills in what lies where in a region of that size; a number that tells this layout from others. */
void kin__region_layout(struct kin__header *header, uint64_t size);
uint32_t kin__region_layout_check(void);

/* Puts memory behind [offset, offset + size) of the region: 0, -ENOMEM, KIN_EDESCRIPTOR.  If it fails, part of
 * it may have memory. */
int kin__region_back(uint64_t offset, uint64_t size);

static inline bool kin__in_family(const void *address)
{
    return (uintptr_t)address - kin__family.base < kin__family.size;
}

/* ---- objects ------------------------------------------------------------------------------ */

/* Memory of objects is type-stable: what was once an object of a kind only ever becomes an
 * object of that kind again, so that a stale pointer finds a magic word that says "closed",
 * and a late look at its wait points does no harm. */
#define KIN__MAGIC_CLOSED 0x6465736f6c636e6bull

/* Objects begin on lines of the part of the heap that is in use. */
#define KIN__LINE_SHIFT 6

/* Looks again how much of the heap is in use, which is never less than before. */
static inline uint64_t kin__heap_used(void)
{
    uint64_t used = (uint64_t)atomic_load_explicit(&kin__family.header->allocator.top, memory_order_relaxed)
                    << (KIN__PAGE_SHIFT - KIN__LINE_SHIFT);
    atomic_store_explicit(&kin__family.used, used, memory_order_relaxed);
    return used;
}

/* On which line of the heap an object begins: beyond all lines if it is outside of the heap or begins
 * on none, NULL too. */
static inline uint64_t kin__line_of(const void *object)
{
    uint64_t offset = (uintptr_t)object - (uintptr_t)kin__family.heap;
    return offset >> KIN__LINE_SHIFT | offset << (64 - KIN__LINE_SHIFT);
}

static inline uint64_t kin__magic_at(const void *object, size_t magic_offset)
{
    return __atomic_load_n((const uint64_t *)((const char *)object + magic_offset), __ATOMIC_RELAXED);
}

/* Is it an open object, as far as can be told without a look at the header?  For fast paths: if not,
 * kin__check says what it is.  Whether there is a family does not matter. */
static inline __attribute__((always_inline)) bool kin__is_open(const void *object, size_t magic_offset,
                                                               uint64_t magic)
{
    return __builtin_expect(
               kin__line_of(object) < atomic_load_explicit(&kin__family.used, memory_order_relaxed), 1) &&
           __builtin_expect(kin__magic_at(object, magic_offset) == magic, 1);
}

/* Checks that `object` is an open object whose magic word is at `magic_offset`. */
static inline int kin__check(const void *object, size_t magic_offset, uint64_t magic)
{
    if (kin__is_open(object, magic_offset, magic)) return 0;
    if (object == NULL) return -EINVAL;
    if (!kin__family_known() || kin__line_of(object) >= kin__heap_used()) return KIN_EFOREIGN;
    uint64_t found = kin__magic_at(object, magic_offset);
    return found == magic ? 0 : found == KIN__MAGIC_CLOSED ? KIN_ECLOSED : KIN_EFOREIGN;
}

#endif
