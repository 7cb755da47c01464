/* stack.c: see stack.h. */
#define _GNU_SOURCE
#include "os/stack.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/valgrind.h"

/* Older headers lack it; the number is the kernel's for ever. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

size_t kin__os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* How guards are made; ASKED until the first one was.  Whoever asks at the same time finds the same. */
enum guard_kind { ASKED = 0, ADVISED, PROTECTED };
static _Atomic int guard_kind;

/* Some emulators take advice that they do not know, and follow none: the kernel tells whether it can read there.
 * (valgrind, which passes it on, would report the question.) */
static bool is_guarded(const char *stack)
{
    if (RUNNING_ON_VALGRIND) return true;
    return access(stack, F_OK) < 0 && errno == EFAULT;
}

static int set_guard(char *stack, size_t guard)
{
    int kind = atomic_load_explicit(&guard_kind, memory_order_relaxed);
    if (kind != PROTECTED && madvise(stack, guard, MADV_GUARD_INSTALL) == 0) {
        if (kind == ADVISED) return 0;
        kind = is_guarded(stack) ? ADVISED : PROTECTED;
        atomic_store_explicit(&guard_kind, kind, memory_order_relaxed);
        if (kind == ADVISED) return 0;
    }
    return mprotect(stack, guard, PROT_NONE) < 0 ? -ENOMEM : 0;
}

int kin__os_stacks_map(void **stacks, size_t size, size_t count, size_t guard)
{
    size_t length;
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (__builtin_mul_overflow(size, count, &length)) return -ENOMEM;
    char *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED) return -ENOMEM;
    /* One huge page would be more than all of them need. */
    madvise(map, length, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < count && rc == 0; i++) rc = set_guard(map + i * size, guard);
    if (rc < 0) {
        munmap(map, length);
        return rc;
    }
    *stacks = map;
    return 0;
}

void kin__os_stacks_unmap(void *stacks, size_t length)
{
    munmap(stacks, length);
}

void kin__os_stack_discard(void *stack, size_t size)
{
    madvise(stack, size, MADV_DONTNEED);
}
