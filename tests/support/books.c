/* books.c: see books.h. */
#include "books.h"

#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>

#include "memory/region.h"
#include "test.h"

#define MEMBERS_MOST 4096
#define RESCUES_MOST 20

unsigned books_held(void)
{
    static kin_member members[MEMBERS_MOST];
    long count = kin_memory_processes(members, MEMBERS_MOST);
    CHECK_OK(count);
    for (long i = 0; i < count && i < MEMBERS_MOST; i++) {
        if (members[i].pid == getpid()) return members[i].held;
    }
    FAIL("process %d is not in the family's table", (int)getpid());
}

unsigned books_sleepers(void)
{
    unsigned count = 0;
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        uintptr_t entry = (uintptr_t)atomic_load(&member->waiting_on[KIN__LEVEL_WORK]);
        bool waits = entry != 0 && (entry & 1) == 0;
        count += waits && kin__state_of(atomic_load(&member->state)) == KIN__SLOT_LIVE;
    }
    return count;
}

struct books books_open(void)
{
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    return (struct books){
        .blocks = usage.heap_blocks,
        .bytes = usage.heap_allocated,
        .held = books_held(),
        .rescues = atomic_load(&kin__family.header->rescues),
    };
}

void books_check_blocks(const struct books *books)
{
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.heap_blocks, books->blocks);
    CHECK_EQ(usage.heap_allocated, books->bytes);
    CHECK_EQ(books_held(), books->held);
}

static uint64_t rescues_since(const struct books *books)
{
    return atomic_load(&kin__family.header->rescues) - books->rescues;
}

void books_check(const struct books *books)
{
    books_check_blocks(books);
    uint64_t rescues = rescues_since(books);
    if (rescues > 0) NOTE("%llu sleeps ended with their slice", (unsigned long long)rescues);
    if (rescues > RESCUES_MOST && !test_again()) CHECK_LE(rescues, RESCUES_MOST);
}

void books_check_wakes(const struct books *books)
{
    books_check_blocks(books);
    uint64_t rescues = rescues_since(books);
    if (rescues == 0) return;
    NOTE("%llu sleeps ended with their slice", (unsigned long long)rescues);
    if (rescues > RESCUES_MOST || !test_again()) CHECK_EQ(rescues, 0);
}
