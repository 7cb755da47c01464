/* test_memory_recent.c: which of the free blocks goes out next: by where it was freed. */
#define _GNU_SOURCE
#include "support/test.h"

#include <sched.h>
#include <string.h>

#include <kin/memory.h>

#include "os/os.h"

static size_t heap_backed(void)
{
    kin_memory_usage usage;
    CHECK_RC(kin_memory_stats(&usage), 0);
    return usage.heap_backed;
}

static void run_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    CHECK_OK(sched_setaffinity(0, sizeof set, &set));
}

/* Frees `count` blocks on one processor and allocates as many on another, or the same. */
static void free_and_allocate(void **block, int count, size_t size, int freed_on, int allocated_on)
{
    run_on(freed_on);
    for (int i = 0; i < count; i++) CHECK_OK(kin_free(block[i]));
    run_on(allocated_on);
    for (int i = 0; i < count; i++) {
        block[i] = kin_alloc(size);
        CHECK(block[i] != NULL);
    }
}

TEST_COLD(blocks_go_out_by_where_they_were_freed)
{
    enum { COUNT = 3 };
    const size_t remembered[] = {5000, 65536, 131072, 131073, 1 << 20};
    int here = kin__os_cpu_usable(0), there = kin__os_cpu_usable(1);
    for (size_t i = 0; i < sizeof remembered / sizeof *remembered; i++) {
        void *block[COUNT], *before[COUNT];
        test_context("%zu bytes", remembered[i]);
        for (int k = 0; k < COUNT; k++) CHECK((block[k] = kin_alloc(remembered[i])) != NULL);
        memcpy(before, block, sizeof block);
        free_and_allocate(block, COUNT, remembered[i], here, here);
        for (int k = 0; k < COUNT; k++) CHECK_EQ(block[k], before[COUNT - 1 - k]);
        memcpy(before, block, sizeof block);
        free_and_allocate(block, COUNT, remembered[i], here, there);
        for (int k = 0; k < COUNT && here != there; k++) CHECK_EQ(block[k], before[k]);
        for (int k = 0; k < COUNT; k++) CHECK_OK(kin_free(block[k]));
    }
}

/* More than is remembered, whichever way they go out: each once, and no other memory is taken. */
TEST_COLD(more_than_is_remembered)
{
    enum { COUNT = 300 };
    const size_t sizes[] = {5000, 80000, 150000};
    static void *block[COUNT];
    int here = kin__os_cpu_usable(0), there = kin__os_cpu_usable(1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        test_context("%zu bytes", size);
        for (int k = 0; k < COUNT; k++) CHECK((block[k] = kin_alloc(size)) != NULL);
        size_t backed = heap_backed();
        for (int round = 0; round < 4; round++) {
            free_and_allocate(block, COUNT, size, here, round & 1 ? there : here);
            for (int k = 0; k < COUNT; k++) *(int *)block[k] = k;
            for (int k = 0; k < COUNT; k++) CHECK_EQ(*(int *)block[k], k);
            CHECK_LE(heap_backed(), backed);
        }
        for (int k = 0; k < COUNT; k++) CHECK_OK(kin_free(block[k]));
    }
}
