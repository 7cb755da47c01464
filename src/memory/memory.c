/* memory.c: the public face of family memory: allocation and what can be read about it. */
#include <kin/memory.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "memory/allocator.h"
#include "memory/reap.h"
#include "memory/region.h"

void *kin_alloc(size_t size)
{
    int rc = kin__enter();
    void *memory = NULL;
    if (rc == 0 && size == 0) rc = -EINVAL;
    if (rc == 0) memory = kin__allocate(size, &rc);
    if (memory == NULL) {
        errno = -rc;
        return NULL;
    }
    memset(memory, 0, size);
    kin__allocate_finish();
    return memory;
}

int kin_free(void *memory)
{
    if (memory == NULL) return 0;
    int rc = kin__enter();
    if (rc < 0) return rc;
    if (!kin__in_family(memory)) return KIN_EFOREIGN;
    return kin__block_size(memory) == 0 ? -EINVAL : kin__free(memory, NULL);
}

static void count_living(kin_memory_usage *usage)
{
    struct kin__header *header = kin__family.header;
    uint32_t high = atomic_load(&header->process_high);
    for (uint32_t i = 0; i < high; i++)
        usage->processes += kin__state_of(atomic_load(&kin__family.processes[i].state)) == KIN__SLOT_LIVE;
    high = atomic_load(&header->member_high);
    for (uint32_t i = KIN__MEMBERS_RESERVED; i < high; i++)
        usage->threads += kin__state_of(atomic_load(&kin__family.members[i].state)) == KIN__SLOT_LIVE;
}

int kin_memory_stats_sized(kin_memory_usage *usage, size_t size)
{
    if (usage == NULL) return -EINVAL;
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin__reap();
    struct kin__header *header = kin__family.header;
    uint64_t allocated, blocks, backed;
    kin__allocator_usage(&allocated, &blocks, &backed);
    kin_memory_usage now = {
        .base = header->base,
        .region_size = header->size,
        .heap_allocated = allocated,
        .heap_blocks = blocks,
        .heap_backed = backed,
        .process_limit = header->process_limit,
        .thread_limit = header->member_limit - KIN__MEMBERS_RESERVED,
        .deaths = atomic_load(&header->deaths),
    };
    count_living(&now);
    memcpy(usage, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

static kin_member describe(uint32_t index)
{
    struct kin__process_slot *process = &kin__family.processes[index];
    kin_member member = {
        .pid = kin__process_pid(atomic_load(&process->state)),
        .generation = atomic_load(&process->generation),
    };
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t state = atomic_load(&kin__family.members[i].state);
        member.threads += kin__state_of(state) == KIN__SLOT_LIVE && kin__member_process(state) == index;
    }
    uint32_t limit = atomic_load(&process->held_limit);
    for (uint32_t i = 0; i < limit; i++) member.held += atomic_load(&process->held[i]) != NULL;
    return member;
}

long kin_memory_processes(kin_member *members, size_t limit)
{
    if (members == NULL && limit > 0) return -EINVAL;
    int rc = kin__enter();
    if (rc < 0) return rc;
    long count = 0;
    uint32_t high = atomic_load(&kin__family.header->process_high);
    for (uint32_t i = 0; i < high; i++) {
        if (kin__state_of(atomic_load(&kin__family.processes[i].state)) != KIN__SLOT_LIVE) continue;
        if ((size_t)count < limit) members[count] = describe(i);
        count++;
    }
    return count;
}
