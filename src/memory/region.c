/* region.c: making the family's memory, and joining one that exists.
 *
 * Invariants: the region becomes visible (kin__family.header) when it is complete; a failure
 * on the way leaves nothing mapped and nothing open.  See region.h.
 */
#define _GNU_SOURCE
#include "memory/region.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "base/log.h"
#include "os/os.h"
#include "os/search.h"

void (*kin__family_joined)(void);
struct kin__family kin__family = {.descriptor = -1};

/* Tells a signal handler that it has interrupted its own thread. */
static pthread_mutex_t opening = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

#define GIBIBYTE     ((uint64_t)1 << 30)
#define SIZE_DEFAULT (1024 * GIBIBYTE)

/* Where the region may lie, best first.  The first suits plain programs, AddressSanitizer and
 * 48-bit arm64; the second lies in the range ThreadSanitizer leaves to applications; the others
 * are for valgrind and for kernels with 39-bit addresses. */
static const struct {
    uint64_t base;
    uint64_t size;
} places[] = {
    {0x200000000000, KIN__REGION_MOST}, {0x7e8000000000, 256 * GIBIBYTE}, {0x100000000000, KIN__REGION_MOST},
    {0x5000000000, 128 * GIBIBYTE},     {0x3000000000, 64 * GIBIBYTE},    {0x1000000000, 32 * GIBIBYTE},
};

uint32_t kin__region_layout_check(void)
{
    uint32_t check = (uint32_t)(sizeof(struct kin__header) * 31 + sizeof(struct kin__process_slot) * 17 +
                                sizeof(struct kin__member) * 7 + sizeof(struct kin__page) +
                                sizeof(struct kin__bell) * 5 + KIN__BELLS * 5 + KIN__CLASSES);
#define ADD(name) check = check * 31 + kin__layout_of_##name;
    KIN__LAYOUT_PARTS(ADD)
#undef ADD
    return check;
}

static uint64_t align_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

void kin__region_layout(struct kin__header *header, uint64_t size)
{
    uint64_t processes = size >> 23;
    if (processes > KIN__PROCESSES_MOST) processes = KIN__PROCESSES_MOST;
    if (processes < 32) processes = 32;
    uint64_t pages = size >> KIN__PAGE_SHIFT;
    header->process_limit = (uint32_t)processes;
    header->member_limit = (uint32_t)processes * 4 + KIN__MEMBERS_RESERVED;
    header->members_offset = align_up(sizeof *header, 4096);
    header->processes_offset =
        align_up(header->members_offset + header->member_limit * sizeof(struct kin__member), 4096);
    header->pages_offset =
        align_up(header->processes_offset + processes * sizeof(struct kin__process_slot), 4096);
    header->bells_offset = align_up(header->pages_offset + pages * sizeof(struct kin__page), 4096);
    header->heap_offset =
        align_up(header->bells_offset + KIN__BELLS * sizeof(struct kin__bell), KIN__PAGE_SIZE);
    header->heap_pages = (uint32_t)((size - header->heap_offset) >> KIN__PAGE_SHIFT);
}

static void adopt(struct kin__header *header, int descriptor)
{
    char *base = (char *)header;
    kin__family.base = (uintptr_t)base;
    kin__family.size = header->size;
    kin__family.descriptor = descriptor;
    kin__family.members = (struct kin__member *)(base + header->members_offset);
    kin__family.processes = (struct kin__process_slot *)(base + header->processes_offset);
    kin__family.pages = (struct kin__page *)(base + header->pages_offset);
    kin__family.heap = base + header->heap_offset;
    /* Release: pairs with the acquire in kin__region_open. */
    __atomic_store_n(&kin__family.header, header, __ATOMIC_RELEASE);
}

/* Fills in the header of a region that is mapped and that nobody else can see yet. */
static int fill(void *base, uint64_t size, int descriptor)
{
    int rc = kin__os_memory_back(descriptor, 0, align_up(sizeof(struct kin__header), 4096), base);
    if (rc < 0) return rc;
    struct kin__header *header = base;
    header->layout_version = KIN__LAYOUT_VERSION;
    header->layout_check = kin__region_layout_check();
    header->size = size;
    header->base = base;
    header->creator_pid = kin__os_pid();
    uint64_t file_size = 0;
    rc = kin__os_file_identity(descriptor, &header->device, &header->inode, &file_size);
    if (rc == 0) rc = kin__os_boot_id(header->boot_id);
    if (rc == 0) rc = kin__os_pid_namespace(&header->pid_namespace);
    if (rc < 0) return rc;
    kin__region_layout(header, size);
    header->reap.point.kind = KIN__POINT_OWNER;
    kin__event_init(&header->registry.changed);
    kin__allocator_init(&header->allocator);
    header->magic = KIN__MAGIC_REGION;
    return 0;
}

/* Tries the places for a region of `size`; 0, or the error of the last place. */
static int map_somewhere(int descriptor, uint64_t size, void **base)
{
    int rc = KIN_ENOREGION;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (size > places[i].size) continue;
        int mapped = kin__os_memory_map(descriptor, (void *)(uintptr_t)places[i].base, size);
        if (mapped == 0) {
            *base = (void *)(uintptr_t)places[i].base;
            return 0;
        }
        rc = mapped == -EEXIST ? KIN_ENOREGION : mapped;
    }
    return rc;
}

/* The sizes to try: what was asked for, or from the default downwards until the limits and the
 * address space allow it. */
static int create(uint64_t wanted)
{
    uint64_t space = kin__os_limit_address_space();
    uint64_t file = kin__os_limit_file_size();
    uint64_t size = wanted != 0 ? align_up(wanted, KIN__PAGE_SIZE) : SIZE_DEFAULT;
    if (wanted != 0 && size > file) return -EFBIG;
    /* Under a limit the program needs room for itself: kin takes a quarter of it. */
    while (wanted == 0 && (size > file || (space != UINT64_MAX && size > space / 4)) &&
           size > KIN__REGION_LEAST)
        size /= 2;
    if (size > file) return -EFBIG;
    for (;;) {
        int descriptor = kin__os_memory_create(KIN__REGION_NAME, size);
        if (descriptor < 0) return descriptor == -ENOSYS ? KIN_EKERNEL : descriptor;
        void *base = NULL;
        int rc = map_somewhere(descriptor, size, &base);
        if (rc == 0) {
            rc = fill(base, size, descriptor);
            if (rc == 0) {
                adopt(base, descriptor);
                return 0;
            }
            kin__os_memory_unmap(base, size);
            kin__os_close(descriptor);
            return rc;
        }
        kin__os_close(descriptor);
        if (wanted != 0 || size <= KIN__REGION_LEAST || (rc != -ENOMEM && rc != KIN_ENOREGION)) return rc;
        size /= 4;
        if (size < KIN__REGION_LEAST) size = KIN__REGION_LEAST;
    }
}

static int accept_header(const struct kin__header *header, const void *base, uint64_t size, uint64_t inode)
{
    uint8_t boot_id[16];
    uint64_t namespace = 0;
    if (header->magic != KIN__MAGIC_REGION || header->layout_version != KIN__LAYOUT_VERSION ||
        header->layout_check != kin__region_layout_check() || header->size != size || header->base != base)
        return KIN_ELAYOUT;
    if (header->inode != inode) return -EBADF;
    int rc = kin__os_boot_id(boot_id);
    if (rc == 0) rc = kin__os_pid_namespace(&namespace);
    if (rc < 0) return rc;
    if (memcmp(boot_id, header->boot_id, sizeof boot_id) != 0 || namespace != header->pid_namespace)
        return KIN_ENAMESPACE;
    return 0;
}

/* Maps the family's memory where it has to be. */
static int join(int descriptor, uint64_t base, uint64_t size)
{
    uint64_t device = 0, inode = 0, file_size = 0;
    int rc = kin__os_file_identity(descriptor, &device, &inode, &file_size);
    if (rc < 0) return rc;
    if (file_size != size || base == 0 || size < KIN__REGION_LEAST) return -EBADF;
    void *address = (void *)(uintptr_t)base;
    rc = kin__os_memory_map(descriptor, address, size);
    if (rc < 0) return rc == -EEXIST ? KIN_ENOREGION : rc;
    rc = accept_header(address, address, size, inode);
    if (rc < 0) {
        kin__os_memory_unmap(address, size);
        return rc;
    }
    kin__os_set_inherit(descriptor, false);
    adopt(address, descriptor);
    if (kin__family_joined != NULL) kin__family_joined();
    return 0;
}

/* Joins the family that the environment invites to: "descriptor:base:size". */
static int join_invited(const char *invitation)
{
    int descriptor = -1;
    uint64_t base = 0, size = 0;
    char after = 0;
    if (sscanf(invitation, "%d:%" SCNx64 ":%" SCNx64 "%c", &descriptor, &base, &size, &after) != 3 ||
        descriptor < 0)
        return -EBADF;
    return join(descriptor, base, size);
}

static int check_kernel(void)
{
    struct kin__robust_list *robust = NULL;
    int rc = kin__os_robust_list(&robust);
    if (rc < 0 || robust == NULL || robust->offset != -KIN__ROBUST_ENTRY) return KIN_EKERNEL;
    return 0;
}

int kin__region_open(const kin_family_options *options)
{
    /* Acquire: pairs with the release in adopt. */
    if (__atomic_load_n(&kin__family.header, __ATOMIC_ACQUIRE) != NULL)
        return options != NULL && options->region_size != 0 ? KIN_ESTARTED : 0;
    uint64_t wanted = options != NULL ? options->region_size : 0;
    if (wanted != 0 && (wanted < KIN__REGION_LEAST || wanted > KIN__REGION_MOST)) return -EINVAL;
    if (pthread_mutex_lock(&opening) == EDEADLK) return -EDEADLK;
    int rc = 0;
    if (kin__family.header != NULL) {
        rc = wanted != 0 ? KIN_ESTARTED : 0;
    } else {
        const char *invitation = secure_getenv("KIN_FAMILY");
        rc = check_kernel();
        if (rc == 0) rc = invitation != NULL ? join_invited(invitation) : create(wanted);
    }
    pthread_mutex_unlock(&opening);
    return rc;
}

KIN__CHILD_CODE void kin__region_forked(void)
{
    opening = (pthread_mutex_t)PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
}

int kin__region_join(int descriptor)
{
    struct kin__header header;
    int rc = kin__os_read_at(descriptor, &header, sizeof header, 0);
    if (rc < 0) return rc;
    if (header.layout_version != KIN__LAYOUT_VERSION || header.layout_check != kin__region_layout_check())
        return KIN_ELAYOUT;
    if (pthread_mutex_lock(&opening) == EDEADLK) return -EDEADLK;
    rc = check_kernel();
    if (rc == 0 && kin__family.header != NULL) rc = KIN_ESTARTED;
    if (rc == 0) rc = join(descriptor, (uintptr_t)header.base, header.size);
    pthread_mutex_unlock(&opening);
    return rc;
}

/* A program that was invited joins before main, so that pointers it was given are good from
 * its first line on.  A failure is not told here: the first function of kin it calls tells. */
__attribute__((constructor)) static void join_early(void)
{
    if (secure_getenv("KIN_FAMILY") == NULL) return;
    /* A start server uses nothing of the family, and is no member. */
    if (secure_getenv("KIN_START") != NULL)
        kin__region_open(NULL);
    else
        kin__enter();
}

int kin__region_check_descriptor(void)
{
    const struct kin__header *header = kin__family.header;
    uint64_t device = 0, inode = 0, size = 0;
    if (kin__family.descriptor < 0 ||
        kin__os_file_identity(kin__family.descriptor, &device, &inode, &size) < 0)
        return KIN_EDESCRIPTOR;
    return inode == header->inode && device == header->device ? 0 : KIN_EDESCRIPTOR;
}

/* From this size on it is worth a look whether there is so much. */
#define LARGE ((uint64_t)64 << 20)

/* A file of memory may become larger than the machine: the kernel would find out page by page, and kill. */
static bool can_be_had(uint64_t size)
{
    uint64_t available = size < LARGE ? UINT64_MAX : kin__os_memory_available();
    if (size <= available) return true;
    kin__log(KIN_LOG_WARNING, "no memory for %llu MiB: %llu MiB are available",
             (unsigned long long)(size >> 20), (unsigned long long)(available >> 20));
    return false;
}

int kin__region_back(uint64_t offset, uint64_t size)
{
    if (!can_be_had(size)) return -ENOMEM;
    /* The program may have closed our descriptor, and the number may be another file's now. */
    int descriptor = kin__region_check_descriptor() == 0 ? kin__family.descriptor : -1;
    int rc = kin__os_memory_back(descriptor, offset, size, (char *)kin__family.base + offset);
    if (rc == -ENOSPC) return -ENOMEM;
    if (rc < 0 && descriptor < 0 && rc != -ENOMEM) return KIN_EDESCRIPTOR;
    return rc;
}

int kin_family_open_sized(const kin_family_options *options, size_t size)
{
    kin_family_options given = {0};
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__region_open(&given);
    return rc < 0 ? rc : kin__enter();
}

int kin__region_invitation(char *text, size_t size, int number)
{
    return snprintf(text, size, "KIN_FAMILY=%d:%" PRIxPTR ":%" PRIx64, number, kin__family.base,
                    kin__family.size);
}

int kin_family_invite(char *text, size_t text_size, int *descriptor)
{
    int rc = kin__enter();
    if (rc < 0) return rc;
    if (text == NULL || descriptor == NULL) return -EINVAL;
    rc = kin__region_check_descriptor();
    if (rc < 0) return rc;
    int length = kin__region_invitation(text, text_size, kin__family.descriptor);
    if ((size_t)length >= text_size) {
        kin__needed_size_set((size_t)length + 1);
        return KIN_ETOOSMALL;
    }
    *descriptor = kin__family.descriptor;
    return 0;
}
