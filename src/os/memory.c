/* memory.c: the memory file of a family, its mapping and what stands behind it; the private heap.
 *
 * The file is sparse and sealed at its size.  A page is touched only after kin__os_memory_back
 * has put memory behind it, so that a lack of memory is an error code and never SIGBUS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/direct.h"
#include "os/fault.h"
#include "os/read.h"
#include "os/valgrind.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Small enough that a program with a fast timer lets one be backed between two signals. */
#define BACK_MOST  ((uint64_t)4 << 20)
#define BACK_LEAST ((uint64_t)64 << 10)

#define HUGE_PAGE ((uintptr_t)2 << 20)

/* ---- the file --------------------------------------------------------------------------------- */

/* Sets the size.  Beyond RLIMIT_FSIZE the kernel sends this thread SIGXFSZ besides failing;
 * the signal is taken back before the program can see it. */
static int set_size(int descriptor, uint64_t size)
{
    sigset_t file_size, before, waiting;
    sigemptyset(&file_size);
    sigaddset(&file_size, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &file_size, &before);
    sigpending(&waiting);
    int rc = ftruncate(descriptor, (off_t)size) < 0 ? -errno : 0;
    if (rc == -EFBIG && !sigismember(&waiting, SIGXFSZ))
        sigtimedwait(&file_size, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int kin__os_memory_create(const char *name, uint64_t size)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    /* Some systems refuse memory files that could be executed; older kernels do not know the flag. */
    int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (descriptor < 0 && errno == EINVAL) descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0) return -errno;
    rc = size > INT64_MAX ? -EFBIG : set_size(descriptor, size);
    if (rc == 0 && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) rc = -errno;
    if (rc == 0) return descriptor;
    close(descriptor);
    return rc;
}

KIN__CHILD_CODE int kin__os_file_identity(int descriptor, uint64_t *device, uint64_t *inode, uint64_t *size)
{
    struct stat status = {0};
    long rc = kin__direct(SYS_fstat, descriptor, (long)&status, 0, 0);
    if (rc < 0) return (int)rc;
    *device = status.st_dev;
    *inode = status.st_ino;
    *size = (uint64_t)status.st_size;
    return 0;
}

/* ---- the mapping ------------------------------------------------------------------------------ */

/* ThreadSanitizer keeps the middle of the address space for itself: asked for a place there, its
 * mmap maps elsewhere, for root even at zero, and ends the program.  It is there when its
 * start-up function is. */
extern void __tsan_init(void) __attribute__((weak));

static bool reserved_by_sanitizer(const void *address)
{
    uintptr_t place = (uintptr_t)address;
    return __tsan_init != NULL && place >= 0x8000000000 && place < 0x7e8000000000;
}

int kin__os_memory_map(int descriptor, void *address, uint64_t size)
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (reserved_by_sanitizer(address)) return -EEXIST;
    void *got = mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                     descriptor, 0);
    if (got == MAP_FAILED) return -errno;
    if (got != address) {
        /* A kernel that takes the address for a hint (valgrind is one) says so in this way. */
        munmap(got, size);
        return -EEXIST;
    }
    /* A core dump would read every page of it, and thereby make every page. */
    madvise(address, size, MADV_DONTDUMP);
    return 0;
}

int kin__os_memory_unmap(void *address, uint64_t size)
{
    return munmap(address, size) < 0 ? -errno : 0;
}

void *kin__os_zeroed(uint64_t size)
{
    if (kin__os_fault(KIN__FAULT_MEMORY) < 0) return NULL;
    void *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return got == MAP_FAILED ? NULL : got;
}

int kin__os_shared_make(void **memory, uint64_t size)
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    void *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (got == MAP_FAILED) return -errno;
    *memory = got;
    return 0;
}

static int back_by_touching(void *address, uint64_t size)
{
    while (madvise(address, size, MADV_POPULATE_WRITE) < 0) {
        /* EINVAL: the kernel (before 5.14) has no safe way; what is amiss is the descriptor. */
        if (errno == EINVAL) return -EBADF;
        if (errno != EINTR && errno != EAGAIN) return errno == EFAULT ? -ENOMEM : -errno;
    }
    return 0;
}

int kin__os_memory_back(int descriptor, uint64_t offset, uint64_t size, void *address)
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (descriptor < 0) return back_by_touching(address, size);
    /* A signal makes the kernel undo the whole call, so that a large one might never get
     * done; each interruption halves the next step. */
    uint64_t most = BACK_MOST;
    while (size > 0) {
        uint64_t step = size < most ? size : most;
        if (fallocate(descriptor, 0, (off_t)offset, (off_t)step) == 0) {
            offset += step;
            size -= step;
        } else if (errno != EINTR) {
            return -errno;
        } else if (most > BACK_LEAST) {
            most /= 2;
        }
    }
    return 0;
}

int kin__os_memory_unback(void *address, uint64_t size)
{
    while (madvise(address, size, MADV_REMOVE) < 0) {
        if (errno != EINTR && errno != EAGAIN) return -errno;
    }
    return 0;
}

void kin__os_memory_populate(void *address, uint64_t size)
{
    madvise(address, size, MADV_POPULATE_WRITE);
}

void kin__os_memory_make_huge(void *address, uint64_t size)
{
    uintptr_t first = ((uintptr_t)address + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)address + size) & ~(HUGE_PAGE - 1);
    if (first >= end) return;
    madvise((void *)first, end - first, MADV_HUGEPAGE);
    /* The pages are there already (before 6.1 the kernel gathers them in its own time). */
    madvise((void *)first, end - first, MADV_COLLAPSE);
}

/* ---- limits ----------------------------------------------------------------------------------- */

/* Valgrind keeps books of every page that is mapped, touched or not. */
#define VALGRIND_MOST ((uint64_t)4 << 30)

uint64_t kin__os_limit_address_space(void)
{
    struct rlimit limit;
    if (RUNNING_ON_VALGRIND) return VALGRIND_MOST;
    if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    char text[64];
    uint64_t used = 0;
    if (kin__os_read_text("/proc/self/statm", text, sizeof text) > 0)
        used = strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return used < limit.rlim_cur ? limit.rlim_cur - used : 0;
}

uint64_t kin__os_memory_resident(void)
{
    char text[128], *next = text;
    if (kin__os_read_text("/proc/self/statm", text, sizeof text) <= 0) return 0;
    strtoull(text, &next, 10);
    uint64_t resident = strtoull(next, &next, 10), shared = strtoull(next, NULL, 10);
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t kin__os_limit_file_size(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    return limit.rlim_cur;
}

/* In bytes; -1: there is no such line. */
static int64_t machine_has(const char *meminfo, const char *name)
{
    const char *line = strstr(meminfo, name);
    return line == NULL ? -1 : strtoll(line + strlen(name), NULL, 10) * 1024;
}

static int64_t left_of(const char *group, const char *most, const char *used)
{
    int64_t limit = kin__os_cgroup_number(group, most, NULL), now = kin__os_cgroup_number(group, used, NULL);
    if (limit < 0 || limit == INT64_MAX || now < 0) return INT64_MAX;
    return limit > now ? limit - now : 0;
}

/* What a group leaves, with what it would give up or could swap out. */
static int64_t group_has(const char *group, int64_t swap)
{
    int64_t left = left_of(group, "memory.max", "memory.current");
    if (left == INT64_MAX) return left;
    int64_t swappable = left_of(group, "memory.swap.max", "memory.swap.current");
    int64_t inactive = kin__os_cgroup_number(group, "memory.stat", "inactive_file");
    int64_t active = kin__os_cgroup_number(group, "memory.stat", "active_file");
    return left + (swappable < swap ? swappable : swap) + (inactive > 0 ? inactive : 0) +
           (active > 0 ? active : 0);
}

uint64_t kin__os_memory_available(void)
{
    char text[4096], group[PATH_MAX];
    if (kin__os_read_text("/proc/meminfo", text, sizeof text) <= 0) return UINT64_MAX;
    int64_t most = machine_has(text, "MemAvailable:"), swap = machine_has(text, "SwapFree:");
    if (most < 0) return UINT64_MAX;
    if (swap < 0) swap = 0;
    most += swap;
    /* A group has no more than those above it, up to where the hierarchy is mounted. */
    if (kin__os_cgroup_own(group, sizeof group) < 0) return (uint64_t)most;
    for (char *end; (end = strrchr(group, '/')) != NULL && end != group; *end = '\0') {
        int64_t has = group_has(group, swap);
        if (has < most) most = has;
    }
    return (uint64_t)most;
}

/* ---- the private heap ------------------------------------------------------------------------- */

int kin__os_limit(int resource, uint64_t *soft, uint64_t *hard)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) < 0) return -errno;
    *soft = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    *hard = limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
    return 0;
}

char *kin__os_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copied = kin__os_malloc(size);
    return copied == NULL ? NULL : memcpy(copied, text, size);
}

void *kin__os_malloc(size_t size)
{
    return kin__os_fault(KIN__FAULT_MEMORY) < 0 ? NULL : malloc(size);
}

void *kin__os_calloc(size_t count, size_t size)
{
    return kin__os_fault(KIN__FAULT_MEMORY) < 0 ? NULL : calloc(count, size);
}

void *kin__os_realloc(void *memory, size_t size)
{
    return kin__os_fault(KIN__FAULT_MEMORY) < 0 ? NULL : realloc(memory, size);
}

void kin__os_forget(void *secret, size_t size)
{
    explicit_bzero(secret, size);
}

void kin__os_free(void *memory)
{
    free(memory);
}

/* What the kernel gives every program at its start; libc makes its own secrets of it. */
void kin__os_secret(uint64_t secret[2])
{
    const void *random = (const void *)getauxval(AT_RANDOM);
    secret[0] = 0x9e3779b97f4a7c15u;
    secret[1] = 0xd1b54a32d192ed03u;
    if (random) memcpy(secret, random, 2 * sizeof *secret);
}
