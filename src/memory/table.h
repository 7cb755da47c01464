/* table.h: who belongs to the family: a slot for each process and one for each of its threads.
 *
 * Invariants:
 *  - A thread that uses kin has a member slot whose life word is in its robust list for as
 *    long as the thread lives: the kernel marks the word when the thread dies, however it
 *    dies, and also when its process execs.  So whether a member lives is read from memory,
 *    without a system call, and a reused pid cannot deceive.
 *  - What a thread or process holds or waits for stands in its slot before it takes effect.
 *    The counters elsewhere are caches of that.
 *  - A slot is free again only after everything it named has been dealt with (reap.c).
 */
#ifndef KIN_MEMORY_TABLE_H
#define KIN_MEMORY_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/wait.h"
#include "os/os.h"

enum kin__slot_state {
    KIN__SLOT_FREE = 0,
    KIN__SLOT_CLAIMING = 1, /* the claimant is filling it in, or is about to give it up */
    KIN__SLOT_LIVE = 2,
    KIN__SLOT_DEAD = 3 /* being cleaned up after */
};

/* SHARED.  An owner word with the links that make it an entry of a thread's robust list.  The
 * offsets are glibc's (pthread_mutex_t), checked when the family is opened: the kernel goes
 * from `next` back to `word`, libc's list code from `next` back to `prev`.
 *   point.word   as in latch.h; written by its owner, by CAS by who wants it, by the kernel.
 *   prev, next   written by the owning thread alone (and by libc when that thread locks and
 *                unlocks robust mutexes of its own). */
struct kin__robust {
    struct kin__wait_point point;
    uint64_t magic;
    void *prev;
    void *next;
};
_Static_assert(offsetof(struct kin__robust, next) == 32 && offsetof(struct kin__robust, prev) == 24,
               "the layout of glibc's robust list");

/* What the allocator is doing for a thread; see allocator.c.
 *   state   the block's, while it is allocated for that time. */
enum kin__note_kind { KIN__NOTE_NONE = 0, KIN__NOTE_ALLOCATE = 1, KIN__NOTE_FREE = 2 };
struct kin__note {
    _Atomic uint32_t kind;
    uint32_t state;
    void *block;
    _Atomic(void *) *destination;
};

/* Somebody who waits reaps now and then, and reaping may free in its turn: two levels of notes.
 * Waits lie inside each other too: reaping may wait, and a signal handler may interrupt. */
enum { KIN__LEVEL_WORK = 0, KIN__LEVEL_REAP = 1, KIN__LEVELS = 2, KIN__WAITS = 4, KIN__LEDGERS = 12 };

/* SHARED.  One thread of one process.
 *   state       slot state in the low 8 bits, index of its process (KIN__MEMBER_NO_PROCESS: a
 *               reaper that has not joined) in the next 24, generation
 *               above.  FREE → CLAIMING by CAS by the claimant; CLAIMING → LIVE by a store of
 *               the claimant; back to CLAIMING and FREE by the member itself when its thread
 *               ends, or over DEAD to FREE by the reaper (which holds the reap lock).
 *   life        held by the member's thread while it lives; nobody else ever takes it.
 *   waiting_on  written by the member; the reaper reads it after the death, and the ledgers of
 *               the living when it recounts.  The lowest bit is set while it enters or leaves.
 *   ledgers     blocks of further such entries (struct kin__ledger), of a thread that runs coroutines;
 *               published and taken away by the member, and by the reaper after its death.
 *   waking      the owner word that it gives back and that somebody sleeps on; see owner.h; likewise.
 *   telling     where sleep those who are to be woken when it gives a lock back; see mutex.h; likewise.
 *   touching    the object whose other users may have to be told of a death; likewise.
 *   note        likewise; under the class's latch also by who repairs that class.  */
struct kin__member {
    _Atomic uint64_t state;
    struct kin__robust life;
    _Atomic(struct kin__wait_point *) waiting_on[KIN__WAITS];
    _Atomic(void *) ledgers[KIN__LEDGERS];
    _Atomic(struct kin__wait_point *) waking;
    _Atomic(struct kin__wait_point *) telling;
    _Atomic(void *) touching;
    struct kin__note note[KIN__LEVELS];
} __attribute__((aligned(256)));

/* SHARED.  One process.
 *   state       slot state in the low 8 bits, pid above: FREE → CLAIMING(pid) by CAS; → LIVE by
 *               a store of the claimant; LIVE → DEAD → FREE by the reaper.
 *   generation  unlike that of every other process of the family; set before LIVE.
 *   since       boot clock at the claim: the process was there before, a later user of the pid
 *               was not.
 *   held        the messages it has reserved or taken; 0 is free, KIN__HELD_CLAIMED is an entry
 *               on its way.  Entries are claimed by CAS and written by threads of the process;
 *               the reaper clears them after its death.
 *   held_limit  entries that have memory behind them; grows.
 *   leaving     set by the process when it exits in order; cleared by the claimant.
 *   held_hint   where a free entry is likely; relaxed, by threads of the process. */
#define KIN__PROCESSES_MOST 4096
/* Member slots for reapers that have not joined, and what stands for their process. */
#define KIN__MEMBERS_RESERVED  4
#define KIN__MEMBER_NO_PROCESS 0xffffffu
#define KIN__HELD_LIMIT        4096
#define KIN__HELD_FIRST        500
#define KIN__HELD_CLAIMED      ((void *)1)
struct kin__process_slot {
    _Atomic uint64_t state;
    _Atomic uint64_t generation;
    int64_t since;
    _Atomic uint32_t held_limit;
    _Atomic uint32_t held_hint;
    _Atomic uint32_t leaving;
    uint64_t unused[3];
    _Atomic(void *) held[KIN__HELD_LIMIT];
} __attribute__((aligned(4096)));

/* The calling thread, in its private memory.  All zero until it joins. */
struct kin__self {
    struct kin__member *member;
    struct kin__robust_list *robust;
    uint32_t owner_word;   /* what it writes into a word it owns: its thread id */
    uint32_t holds_more;   /* how many robust words it holds besides the first; see mutex.h */
    uint64_t identity;     /* pid above, thread id below: what it leaves in a lock it holds */
    uint32_t reader_place; /* where in a read-write lock it found room; see rwlock.c */
    unsigned level;
    struct kin__process_slot *process;
    uint64_t process_identity; /* generation of that slot */
    uint32_t process_index;    /* and where it is in the table */
    unsigned spin_probe;       /* sleeps until watching is tried again; see wait.h */
    unsigned yield_probe;
    unsigned spin;
    unsigned yields;
    unsigned linger; /* how long falling behind has paid; see wait.c */
    unsigned linger_skipped;
    unsigned linger_probe;
    struct kin__event *telling; /* whom to wake, and how many, when it gives that mutex back; see mutex.h */
    struct kin__mutex *telling_with;
    uint32_t telling_count;
    kin_deadline reap_until; /* while it reaps: how long it waits for latches in all */
    bool reap_missed;        /* and that it did not get one: what it is settling is not settled */
};
extern _Thread_local struct kin__self kin__self __attribute__((tls_model("initial-exec")));

int kin__join(void);

/* The process is about to exit in order: its end is no accident. */
void kin__leaving(void);

/* kin__enter makes the calling thread a member of the family, which is made if there is none.
 * Every public function begins with it.  Errors: those of kin_family_open, KIN_ESLOTS. */
static inline int kin__enter(void)
{
    return __builtin_expect(kin__self.member != NULL, 1) ? 0 : kin__join();
}

/* While it stands, a death of this thread makes the reaper tell the other users of `object`.
 * Returns what was touched before, for kin__untouch. */
static inline void *kin__touch(void *object)
{
    void *outer = atomic_load_explicit(&kin__self.member->touching, memory_order_relaxed);
    atomic_store_explicit(&kin__self.member->touching, object, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    return outer;
}
static inline void kin__untouch(void *outer)
{
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&kin__self.member->touching, outer, memory_order_relaxed);
}

static inline enum kin__slot_state kin__state_of(uint64_t word)
{
    return (enum kin__slot_state)(word & 0xff);
}
static inline uint32_t kin__member_process(uint64_t word)
{
    return (uint32_t)(word >> 8) & 0xffffff;
}
static inline int kin__process_pid(uint64_t word)
{
    return (int)(word >> 8);
}

static inline int kin__identity_pid(uint64_t identity)
{
    return (int)(identity >> 32);
}

/* The living member whose thread has that id, NULL if there is none; and the pid of its process, 0
 * for NULL. */
struct kin__member *kin__member_of_thread(uint32_t thread);
int kin__member_pid(const struct kin__member *member);

/* Has this member died (or exec'ed) without leaving in order? */
static inline bool kin__member_died(struct kin__member *member)
{
    return (atomic_load(&member->life.point.word) & 0x40000000u) != 0;
}

/* What the member waits on, NULL for nothing. */
struct kin__wait_point *kin__waiting_on(struct kin__member *member, int depth);

/* Reaping writes notes, as every member does.  A thread that is only about to join, and finds the
 * table full of the dead, borrows one of the first slots, which nobody else is given; under the
 * reap lock.  0, -ENOMEM, KIN_ESLOTS. */
int kin__member_borrow(void);
void kin__member_return(void);

/* A list entry's predecessor field lies before its `next`; the low bit of a pointer marks
 * priority-inheritance mutexes of libc's. */
static inline void **kin__robust_previous(void *entry)
{
    return (void **)((uintptr_t)entry & ~(uintptr_t)1) - 1;
}

/* Puts an owner word that the calling thread has just taken into its robust list, or takes it
 * out.  The word is noted as pending meanwhile. */
static inline void kin__robust_insert(struct kin__robust_list *list, struct kin__robust *entry)
{
    entry->next = list->next;
    /* One after the other: compilers join two such stores into one, which costs more than both. */
    atomic_signal_fence(memory_order_seq_cst);
    entry->prev = &list->next;
    *kin__robust_previous(list->next) = &entry->next;
    /* CRASH: until this store the kernel knows the word by the pending note alone. */
    atomic_signal_fence(memory_order_seq_cst);
    list->next = &entry->next;
}
static inline void kin__robust_remove(struct kin__robust *entry)
{
    *kin__robust_previous(entry->next) = entry->prev;
    *(void **)((uintptr_t)entry->prev & ~(uintptr_t)1) = entry->next;
    atomic_signal_fence(memory_order_seq_cst);
}

/* Claims an entry of the calling process's table of held messages: 0, KIN_EHELD, -ENOMEM. */
int kin__held_claim(uint32_t *index);

#endif
