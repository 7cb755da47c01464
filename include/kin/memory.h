/* kin/memory.h: family memory.
 *
 * The first use of kin in a program reserves one sparse region of address space that every
 * process of the family maps at the same address.  A pointer into it means the same in all
 * of them.  The kernel frees it when the last process ends. */
#ifndef KIN_MEMORY_H
#define KIN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

KIN_BEGIN

typedef struct kin_family_options {
    size_t region_size; /* bytes of address space to reserve; 0: 1 TiB, or what the limits allow */
} kin_family_options;

/* kin_family_open makes the calling process the first of a family, or does nothing but
 * report if it belongs to one.  Every other function calls it when needed; a program calls
 * it only to set options or to learn early whether it can work.
 * Does not wait for others.  Safe for threads; children made by fork belong to the family.
 * Errors: KIN_ESTARTED (options given, but the family exists), -EINVAL (a region_size above
 * 16 TiB or below 16 MiB), -ENOMEM (RLIMIT_AS or memory), -EFBIG (RLIMIT_FSIZE), -EMFILE,
 * KIN_ENOREGION, KIN_EKERNEL, KIN_ESLOTS, -EDEADLK (a signal handler, in the middle of its thread's first use
 * of kin); in a program started by exec with the family's invitation also KIN_ELAYOUT, KIN_ENAMESPACE,
 * -EBADF. */
KIN_API int kin_family_open_sized(const kin_family_options *options, size_t size);
static inline int kin_family_open(const kin_family_options *options)
{
    return kin_family_open_sized(options, sizeof(kin_family_options));
}

/* kin_family_invite writes into `text` an environment assignment, "KIN_FAMILY=...", and into
 * `*descriptor` the descriptor that goes with it.  A program started by exec with that
 * assignment in its environment and that descriptor open at that number joins the family
 * before its main begins.  The descriptor stays kin's and is close-on-exec: clear the flag
 * in the child, between fork and exec.
 * Does not block.  Safe for threads.
 * Errors: -EINVAL (NULL), KIN_ETOOSMALL (text_size below what kin_needed_size tells),
 * KIN_EDESCRIPTOR (the program has closed it), and those of kin_family_open. */
KIN_API int kin_family_invite(char *text, size_t text_size, int *descriptor);

/* kin_alloc returns `size` bytes of zeroed family memory, aligned to 16 bytes (to 64 from 64
 * bytes on), or NULL with errno set; kin_strerror(-errno) is its text.  The memory belongs
 * to the family, not to the process: it lives until kin_free or until the family ends.  A
 * process killed inside kin_alloc leaves nothing behind.
 * Waits only for other processes inside the allocator, never for a dead one.  Safe for
 * threads; not for signal handlers (errno is EDEADLK when one interrupted the allocator).
 * Errors: EINVAL (size 0), ENOMEM (not so much memory, or size beyond the region), -KIN_EDESCRIPTOR, and
 * those of kin_family_open. */
KIN_API void *kin_alloc(size_t size) __attribute__((malloc, alloc_size(1)));

/* kin_free gives memory from kin_alloc back; any process of the family may do it.  NULL is
 * allowed.  Blocks and is safe like kin_alloc.
 * Errors, after which nothing has changed: KIN_EFOREIGN (not family memory), -EINVAL (not
 * the start of an allocated block, or freed before), -EDEADLK (see kin_alloc). */
KIN_API int kin_free(void *memory);

typedef struct kin_memory_usage {
    void *base;            /* where the region begins */
    size_t region_size;    /* bytes of address space reserved */
    size_t heap_allocated; /* bytes handed out and not freed, rounded up to block sizes */
    size_t heap_blocks;    /* how many blocks that is, kin's own included */
    size_t heap_backed;    /* bytes of memory behind the heap */
    size_t processes;      /* living processes of the family that have used kin */
    size_t process_limit;  /* how many there can be */
    size_t threads;        /* living threads of the family that have used kin */
    size_t thread_limit;
    uint64_t deaths; /* processes and threads that died and were cleaned up after */
} kin_memory_usage;

/* kin_memory_stats fills `*usage` with the state of the family's memory at one moment (each
 * figure exact, all of them together only when nobody works meanwhile).  It first cleans up
 * after processes that have died.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), and those of kin_family_open. */
KIN_API int kin_memory_stats_sized(kin_memory_usage *usage, size_t size);
static inline int kin_memory_stats(kin_memory_usage *usage)
{
    return kin_memory_stats_sized(usage, sizeof(kin_memory_usage));
}

typedef struct kin_member {
    int pid;
    unsigned threads;    /* of them that have used kin */
    unsigned held;       /* messages it holds, reserved or taken, and pools it has opened */
    uint64_t generation; /* tells this process from earlier ones in the same slot */
} kin_member;

/* kin_memory_processes fills `members` with the living processes of the family, at most
 * `limit`, and returns how many there are, which may be more.  Does not block.
 * Errors: -EINVAL (NULL with limit above 0), and those of kin_family_open. */
KIN_API long kin_memory_processes(kin_member *members, size_t limit);

/* kin_sweep cleans up after processes and threads of the family that have died, and returns
 * how many it found: their locks are passed on, their memory is freed, those who waited for
 * them are woken.  Everything that waits does this by itself now and then; a program that
 * has just learnt of a death may call it to save that time.  Does not wait for others.
 * Errors: those of kin_family_open. */
KIN_API int kin_sweep(void);

KIN_END
#endif
