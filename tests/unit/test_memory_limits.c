/* test_memory_limits.c: what is scarce is refused at once, by a code that says what it was, and
 * nothing is the worse for it: memory, slots, address space, file size, descriptors. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/queue.h>

#define MIB ((size_t)1 << 20)

static void open_small_family(void)
{
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 16 * MIB}), 0);
}

static size_t region_size(void)
{
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    return usage.region_size;
}

static void limit(int what, size_t value)
{
    struct rlimit now;
    CHECK_EQ(getrlimit(what, &now), 0);
    now.rlim_cur = value;
    CHECK_EQ(setrlimit(what, &now), 0);
}

static size_t address_space_used(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK_EQ(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* Blocks in a chain through the first word of each. */
static size_t fill_with_blocks(size_t size, void ***chain)
{
    size_t count = 0;
    void **block;
    while ((block = kin_alloc(size)) != NULL) {
        *block = *chain;
        *chain = block;
        count++;
    }
    CHECK_EQ(errno, ENOMEM);
    return count;
}

static void free_chain(void **chain)
{
    while (chain != NULL) {
        void **next = *chain;
        CHECK_RC(kin_free(chain), 0);
        chain = next;
    }
}

TEST_COLD(a_full_region_is_out_of_memory)
{
    open_small_family();
    struct books books = books_open();
    const size_t sizes[] = {64, 4096, 100000, MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void **chain = NULL;
        test_context("blocks of %zu bytes", sizes[i]);
        size_t count = fill_with_blocks(sizes[i], &chain);
        if (i == 0) CHECK_GT(count * sizes[i], 12 * MIB);
        free_chain(chain);
        chain = NULL;
        CHECK_EQ(fill_with_blocks(sizes[i], &chain), count);
        free_chain(chain);
    }
    test_context(NULL);
    books_check(&books);
}

static void fill_region(void ***chain)
{
    for (size_t size = 4 * MIB; size >= 64; size /= 2) fill_with_blocks(size, chain);
}

/* Opens queues until it fails; closes them. */
static int open_queues(kin_queue **queue, int most)
{
    int count = 0, rc = 0;
    while (count < most && (rc = kin_queue_open(&queue[count], NULL)) == 0) count++;
    while (count > 0) CHECK_OK(kin_queue_close(queue[--count]));
    return rc;
}

TEST_COLD(nothing_can_be_made_without_memory)
{
    open_small_family();
    kin_lock *lock = NULL;
    enum { QUEUES = 200 }; /* what was carved before may have room for some */
    static kin_queue *queue[QUEUES], *used, *fresh;
    kin_pool *pool = NULL;
    void **chain = NULL, *message = NULL;
    char bytes[10000] = "";
    CHECK_OK(kin_queue_open(&used, NULL));
    CHECK_OK(kin_queue_put(used, bytes, 10, KIN_NOW));
    CHECK_OK(kin_queue_open(&fresh, NULL));
    struct books books = books_open();
    fill_region(&chain);
    CHECK_RC(kin_lock_open(&lock), -ENOMEM);
    CHECK_RC(open_queues(queue, QUEUES), -ENOMEM);
    CHECK_RC(kin_pool_open(&pool, NULL), -ENOMEM);
    CHECK_RC(kin_queue_reserve(used, &message, 10000), -ENOMEM);
    CHECK_RC(kin_queue_put(used, bytes, 10000, KIN_FOREVER), -ENOMEM);
    CHECK_EQ(kin_queue_qsize(used), 1);
    CHECK_RC(kin_queue_put(fresh, bytes, 10, KIN_FOREVER), -ENOMEM);
    CHECK_EQ(kin_queue_qsize(fresh), 0);
    free_chain(chain);
    books_check(&books);
    CHECK_RC(kin_queue_put(used, bytes, 10, KIN_NOW), 0);
    CHECK_RC(kin_queue_get(used, bytes, sizeof bytes, KIN_NOW), 10);
    CHECK_OK(kin_queue_close(fresh));
    CHECK_OK(kin_queue_close(used));
}

TEST_COLD(a_block_that_never_fits)
{
    open_small_family();
    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(kin_alloc(15 * MIB + MIB / 2) == NULL);
        CHECK_EQ(errno, ENOMEM);
    }
    void *memory = kin_alloc(6 * MIB);
    CHECK(memory != NULL);
    CHECK_RC(kin_free(memory), 0);
}

/* Not page by page, until the kernel kills somebody. */
TEST(more_than_the_machine_has)
{
    struct sysinfo machine;
    CHECK_EQ(sysinfo(&machine), 0);
    size_t size = (machine.totalram + machine.totalswap) * machine.mem_unit + 1024 * MIB;
    if (size > region_size() / 2) SKIP("the region is smaller than the machine");
    kin_memory_usage before, after;
    void *message = NULL;
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    struct books books = books_open();
    CHECK_OK(kin_memory_stats(&before));
    errno = 0;
    CHECK(kin_alloc(size) == NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK_RC(kin_queue_reserve(queue, &message, size), -ENOMEM);
    CHECK_OK(kin_memory_stats(&after));
    CHECK_EQ(after.heap_backed, before.heap_backed);
    /* What can be had is given as before. */
    char *memory = kin_alloc(100 * MIB);
    CHECK(memory != NULL);
    CHECK_OK(kin_free(memory));
    books_check(&books);
    CHECK_OK(kin_queue_close(queue));
}

/* ---- slots --------------------------------------------------------------------------------------- */

struct crowd {
    _Atomic int inside;
    _Atomic int refused;
    _Atomic int leave;
};

static void enter_crowd(void *argument)
{
    struct crowd *crowd = argument;
    kin_lock *lock = NULL;
    int rc = kin_family_open(NULL);
    if (rc == KIN_ESLOTS) {
        CHECK_RC(kin_lock_open(&lock), KIN_ESLOTS);
        CHECK_RC(kin_lock_acquire(lock, KIN_NOW), KIN_ESLOTS);
        CHECK(kin_alloc(10) == NULL);
        CHECK_EQ(errno, -KIN_ESLOTS);
        crowd->refused++;
        return;
    }
    CHECK_OK(rc);
    crowd->inside++;
    test_until(crowd->leave != 0);
}

static void *enter_crowd_as_thread(void *argument)
{
    enter_crowd(argument);
    return NULL;
}

TEST_COLD(a_full_table_of_processes)
{
    enum { SLOTS = 32, REFUSED = 3 };
    open_small_family();
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.process_limit, SLOTS);
    struct crowd *crowd = test_shared(sizeof *crowd);
    pid_t child[SLOTS], late;
    /* Of these the reaper looks who has tasks. */
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.joinable = 1}));
    for (int i = 1; i < SLOTS; i++) child[i] = test_child(enter_crowd, crowd);
    test_until(crowd->inside == SLOTS - 1);
    for (int i = 0; i < REFUSED; i++) CHECK_EQ(test_collect(test_child(enter_crowd, crowd)), 0);
    CHECK_EQ(crowd->refused, REFUSED);
    /* The slot of the dead is found by who needs one. */
    test_kill(child[5]);
    late = test_child(enter_crowd, crowd);
    test_until(crowd->inside == SLOTS);
    crowd->leave = 1;
    CHECK_EQ(test_collect(late), 0);
    for (int i = 1; i < SLOTS; i++)
        if (i != 5) CHECK_EQ(test_collect(child[i]), 0);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.processes, 1);
}

TEST_COLD(a_full_table_of_threads)
{
    enum { SLOTS = 128, REFUSED = 3 };
    open_small_family();
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.thread_limit, SLOTS);
    struct crowd crowd = {0};
    pthread_t thread[SLOTS], refused;
    for (int i = 1; i < SLOTS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, enter_crowd_as_thread, &crowd), 0);
    test_until(crowd.inside == SLOTS - 1);
    for (int i = 0; i < REFUSED; i++) {
        CHECK_EQ(pthread_create(&refused, NULL, enter_crowd_as_thread, &crowd), 0);
        pthread_join(refused, NULL);
    }
    CHECK_EQ(crowd.refused, REFUSED);
    crowd.leave = 1;
    for (int i = 1; i < SLOTS; i++) pthread_join(thread[i], NULL);
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.threads, 1);
}

/* ---- limits ---------------------------------------------------------------------------------------- */

TEST_COLD(address_space)
{
    if (test_sanitized()) SKIP("a sanitizer needs all address space there is");
    limit(RLIMIT_AS, address_space_used() + 256 * MIB);
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 1024 * MIB}), -ENOMEM);
    CHECK_RC(kin_family_open(NULL), 0);
    CHECK_GE(region_size(), 16 * MIB);
    CHECK_LE(region_size(), 256 * MIB);
    void *memory = kin_alloc(MIB);
    CHECK(memory != NULL);
    memset(memory, 1, MIB);
    CHECK_OK(kin_free(memory));
}

TEST_COLD(too_little_address_space)
{
    if (test_sanitized()) SKIP("a sanitizer needs all address space there is");
    limit(RLIMIT_AS, address_space_used() + 8 * MIB);
    CHECK_RC(kin_family_open(NULL), -ENOMEM);
    kin_queue *queue = NULL;
    CHECK_RC(kin_queue_open(&queue, NULL), -ENOMEM);
    limit(RLIMIT_AS, RLIM_INFINITY);
    CHECK_RC(kin_queue_open(&queue, NULL), 0);
    CHECK_OK(kin_queue_close(queue));
}

TEST_COLD(file_size)
{
    limit(RLIMIT_FSIZE, 8 * MIB);
    CHECK_RC(kin_family_open(NULL), -EFBIG);
    limit(RLIMIT_FSIZE, 64 * MIB);
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 65 * MIB}), -EFBIG);
    CHECK_RC(kin_family_open(NULL), 0);
    CHECK_LE(region_size(), 64 * MIB);
    CHECK_GE(region_size(), 16 * MIB);
}

TEST(a_file_size_limit_that_comes_later)
{
    limit(RLIMIT_FSIZE, 4096);
    char *memory = kin_alloc(100 * MIB);
    CHECK(memory != NULL);
    memset(memory, 1, 100 * MIB);
    CHECK_OK(kin_free(memory));
}

TEST_COLD(descriptors)
{
    int next = dup(0);
    CHECK_EQ(close(next), 0);
    limit(RLIMIT_NOFILE, (size_t)next);
    CHECK_RC(kin_family_open(NULL), -EMFILE);
    limit(RLIMIT_NOFILE, (size_t)next + 2);
    CHECK_RC(kin_family_open(NULL), 0);
    kin_queue *queue = NULL;
    kin_pool *pool = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_pool_open(&pool, NULL), -EMFILE);
    limit(RLIMIT_NOFILE, 256);
}

TEST_COLD(no_range_is_free)
{
    if (test_sanitized()) SKIP("a sanitizer does not let a program map where it likes");
    static const uintptr_t places[] = {0x200000000000, 0x7e8000000000, 0x100000000000,
                                       0x5000000000,   0x3000000000,   0x1000000000};
    enum { PLACES = sizeof places / sizeof *places };
    void *mine[PLACES];
    for (int i = 0; i < PLACES; i++) {
        mine[i] = mmap((void *)places[i], 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                       -1, 0);
        if (mine[i] == MAP_FAILED && errno != EEXIST) SKIP("cannot map at %#lx", (unsigned long)places[i]);
    }
    CHECK_RC(kin_family_open(NULL), KIN_ENOREGION);
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 64 * MIB}), KIN_ENOREGION);
    for (int i = 0; i < PLACES; i++)
        if (mine[i] != MAP_FAILED) munmap(mine[i], 4096);
    CHECK_RC(kin_family_open(NULL), 0);
}

/* ---- a program that closes what it did not open ------------------------------------------------------ */

TEST(a_descriptor_that_was_closed)
{
    struct books books = books_open();
    char text[128], path[100], read_back[16];
    int descriptor;
    CHECK_OK(kin_family_invite(text, sizeof text, &descriptor));
    CHECK_EQ(close(descriptor), 0);
    /* Its number is another file's now, which kin must leave alone. */
    snprintf(path, sizeof path, "%s/mine", test_directory());
    int mine = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK_EQ(mine, descriptor);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(write(mine, "mine", 4), 4);
    errno = 0;
    char *memory = kin_alloc(50 * MIB);
    if (memory == NULL)
        CHECK_EQ(errno, -KIN_EDESCRIPTOR); /* a kernel that can only do it through the descriptor */
    else
        memset(memory, 1, 50 * MIB);
    CHECK_EQ(pread(mine, read_back, sizeof read_back, 0), 4);
    CHECK_OK(kin_free(memory));
    CHECK_EQ(close(mine), 0);
    books_check(&books);
}
