/* test_inspect_memory.c: families are seen from outside whatever they do meanwhile, whatever is in their memory,
 * and without a trace. */
#define _GNU_SOURCE
#include "inspecting.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/queue.h>
#include <kin/rwlock.h>
#include <kin/semaphore.h>

#include "inspect/seen.h"
#include "os/search.h"

/* ---- other families ------------------------------------------------------------------------------- */

struct stranger {
    _Atomic bool ready;
    kin_lock *_Atomic lock;
};

static void be_stranger(void *argument)
{
    struct stranger *stranger = argument;
    kin_queue *queue;
    kin_lock *lock;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_lock_acquire(lock, KIN_NOW));
    CHECK_OK(kin_queue_open(&queue, NULL));
    for (int i = 0; i < 100; i++) CHECK_OK(kin_queue_put(queue, &i, sizeof i, KIN_NOW));
    stranger->lock = lock;
    stranger->ready = true;
    for (;;) pause();
}

struct copy {
    int pid;
    int descriptor; /* of the copy; -1: none is made */
    uint64_t sum;
    uint64_t blocks;
    bool found;
    bool may_write;
};

/* Looks at what is in the file of a family that the process belongs to, and may copy it. */
static bool sum_up(int descriptor, int pid, void *context)
{
    struct copy *copy = context;
    static unsigned char block[65536];
    struct stat status;
    if (pid != copy->pid) return false;
    CHECK_EQ(fstat(descriptor, &status), 0);
    copy->found = true;
    copy->may_write = (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
    copy->blocks = (uint64_t)status.st_blocks;
    copy->sum = 14695981039346656037u;
    if (copy->descriptor >= 0) CHECK_EQ(ftruncate(copy->descriptor, status.st_size), 0);
    off_t start = 0, end;
    while ((start = lseek(descriptor, start, SEEK_DATA)) >= 0) {
        end = lseek(descriptor, start, SEEK_HOLE);
        for (ssize_t size; start < end; start += size) {
            size_t want = end - start < (off_t)sizeof block ? (size_t)(end - start) : sizeof block;
            size = pread(descriptor, block, want, start);
            CHECK_GT(size, 0);
            for (ssize_t i = 0; i < size; i++) copy->sum = (copy->sum ^ block[i]) * 1099511628211u;
            if (copy->descriptor >= 0) CHECK_EQ(pwrite(copy->descriptor, block, (size_t)size, start), size);
        }
    }
    return false;
}

static struct copy read_memory(int pid, int descriptor)
{
    struct copy copy = {.pid = pid, .descriptor = descriptor};
    /* Somebody else who looks has it open for a moment, and may be who shows it. */
    do CHECK_OK(kin__os_memory_search("kin", KIN__SEARCH_TO_READ, sum_up, &copy));
    while (!copy.found && test_seconds_left() > 1);
    CHECK(copy.found);
    return copy;
}

TEST_COLD(looking_leaves_no_trace_and_needs_no_answer)
{
    struct stranger *stranger = test_shared(sizeof *stranger);
    pid_t pid = test_child(be_stranger, stranger);
    test_until(stranger->ready);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
    struct copy before = read_memory(pid, -1);
    CHECK(!before.may_write);
    for (int i = 0; i < 20; i++) {
        kin_inspected_process process;
        kin_inspected_queue queue;
        kin_inspection *seen = look_at(pid);
        CHECK_OK(kin_inspection_process(seen, 0, 0, &process));
        CHECK_EQ(process.pid, pid);
        CHECK_EQ(process.state, 'T');
        CHECK_EQ(find_lock(seen, stranger->lock).holder_pid, pid);
        CHECK_OK(kin_inspection_queue(seen, 0, 0, &queue));
        CHECK_EQ(queue.items, 100);
        kin_inspection_close(seen);
    }
    struct copy after = read_memory(pid, -1);
    CHECK_EQ(after.sum, before.sum);
    CHECK_EQ(after.blocks, before.blocks);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    test_kill(pid);
    /* We have not become a family, and theirs is gone. */
    kin_inspection *seen;
    kin_inspected_family family;
    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.pid = pid}));
    CHECK_RC(kin_inspection_family(seen, 0, &family), KIN_EINDEX);
    kin_inspection_close(seen);
    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.pid = getpid()}));
    CHECK_RC(kin_inspection_family(seen, 0, &family), KIN_EINDEX);
    kin_inspection_close(seen);
}

static void look_as_nobody(void *stranger)
{
    kin_inspection *seen;
    kin_inspected_family family;
    CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.pid = *(pid_t *)stranger}));
    CHECK_RC(kin_inspection_family(seen, 0, &family), KIN_EINDEX);
    kin_inspection_close(seen);
}

TEST_COLD(another_user_sees_nothing)
{
    if (geteuid() != 0) SKIP("only root can be another user");
    struct stranger *stranger = test_shared(sizeof *stranger);
    pid_t pid = test_child(be_stranger, stranger);
    test_until(stranger->ready);
    kin_inspection *seen = look_at(pid);
    kin_inspection_close(seen);
    CHECK_EQ(test_collect(test_child(look_as_nobody, &pid)), 0);
    test_kill(pid);
}

/* ---- families that change all the time -------------------------------------------------------------- */

static void churn(void *unused)
{
    (void)unused;
    for (unsigned round = 0;; round++) {
        kin_queue *queue;
        kin_lock *locks[20];
        for (int i = 0; i < 20; i++) CHECK_OK(kin_lock_open(&locks[i]));
        CHECK_OK(kin_queue_open(&queue, NULL));
        for (int i = 0; i < 10; i++) CHECK_OK(kin_queue_put(queue, &i, sizeof i, KIN_FOREVER));
        void *memory = kin_alloc((size_t)1 << (4 + round % 16));
        for (int i = 0; i < 20; i++) CHECK_OK(kin_lock_close(locks[i]));
        CHECK_OK(kin_queue_close(queue));
        CHECK_OK(kin_free(memory));
    }
}

TEST(a_family_in_a_storm_is_seen, .deadline = 100)
{
    kin_lock *lock;
    pid_t children[3];
    size_t most = 0;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_lock_acquire(lock, KIN_NOW));
    for (int i = 0; i < 3; i++) children[i] = test_child(churn, NULL);
    const int rounds = test_sanitized() ? 20 : 60;
    for (int round = 0; round < rounds; round++) {
        kin_inspected_family family;
        kin_inspection *seen = look_at(getpid());
        CHECK_EQ(find_lock(seen, lock).holder_pid, getpid());
        CHECK_OK(kin_inspection_family(seen, 0, &family));
        CHECK(!family.partial);
        CHECK_EQ(family.error, 0);
        CHECK_LE(family.processes, 5);
        if (family.locks > most) most = family.locks;
        for (size_t i = 0; i < family.queues; i++) {
            kin_inspected_queue queue;
            CHECK_OK(kin_inspection_queue(seen, 0, i, &queue));
            CHECK_LE(queue.items, 10);
        }
        kin_inspection_close(seen);
        test_kill(children[round % 3]);
        children[round % 3] = test_child(churn, NULL);
    }
    CHECK_GT(most, 1);
    for (int i = 0; i < 3; i++) test_kill(children[i]);
    CHECK_OK(kin_lock_release(lock));
    CHECK_OK(kin_lock_close(lock));
}

/* ---- memory that is not what it should be ------------------------------------------------------------- */

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* A value as it might stand there, or not at all. */
static uint64_t random_value(uint64_t *state, uint64_t base)
{
    uint64_t value = random_next(state);
    switch (value % 6) {
    case 0: return base + (value >> 8) % ((uint64_t)64 << 20);
    case 1: return (value >> 8) % 4096;
    case 2: return UINT64_MAX;
    case 3: return (uint64_t)1 << (value >> 8) % 64;
    case 4: return 0;
    default: return value;
    }
}

static void look_at_file(int descriptor)
{
    struct kin__seen seen = {0};
    int rc = kin__seen_family(&seen, descriptor, getpid());
    CHECK(rc == 0 || rc == -EBADF);
    for (int kind = 0; kind < KIN__SEEN_KINDS; kind++) CHECK_LE(seen.list[kind].count, KIN__SEEN_MOST);
    kin__seen_free(&seen);
}

/* Where there is something in the file: the offsets of its words that are not zero. */
static size_t find_words(int descriptor, uint64_t *offsets, size_t most)
{
    static uint64_t block[512];
    size_t count = 0;
    off_t start = 0;
    while ((start = lseek(descriptor, start, SEEK_DATA)) >= 0) {
        CHECK_EQ(pread(descriptor, block, sizeof block, start), sizeof block);
        for (size_t i = 0; i < 512 && count < most; i++)
            if (block[i] != 0) offsets[count++] = (uint64_t)start + i * 8;
        start += sizeof block;
    }
    return count;
}

#define WORDS 200000

TEST(memory_full_of_garbage_does_no_harm, .deadline = 100)
{
    static uint64_t offsets[WORDS];
    kin_pool *pool;
    kin_queue *queue;
    kin_semaphore *semaphore;
    kin_rwlock *rwlock;
    kin_inspected_family family;
    uint64_t state = 88172645463325252u;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_publish("jobs", queue));
    CHECK_OK(kin_semaphore_open(&semaphore, 500, NULL));
    CHECK_OK(kin_rwlock_open(&rwlock, NULL));
    kin_inspection *seen = look_at(getpid());
    CHECK_OK(kin_inspection_family(seen, 0, &family));
    kin_inspection_close(seen);
    int file = memfd_create("garbage", MFD_CLOEXEC);
    CHECK_GE(file, 0);
    read_memory(getpid(), file);
    look_at_file(file);
    size_t count = find_words(file, offsets, WORDS);
    CHECK_GT(count, 300);
    const int rounds = test_sanitized() ? 200 : 3000;
    for (int round = 0; round < rounds; round++) {
        uint64_t kept[8], places[8];
        int changes = 1 + (int)(random_next(&state) % 8);
        for (int i = 0; i < changes; i++) {
            /* Most often near the beginning, where everything is found from. */
            size_t among = random_next(&state) % 2 == 0 ? count : count / 20 + 1;
            places[i] = offsets[random_next(&state) % among];
            CHECK_EQ(pread(file, &kept[i], 8, (off_t)places[i]), 8);
            uint64_t value = random_value(&state, (uintptr_t)family.base);
            size_t size = (size_t)1 << random_next(&state) % 4;
            CHECK_EQ(pwrite(file, &value, size, (off_t)places[i]), size);
        }
        test_context("round %d", round);
        look_at_file(file);
        for (int i = changes - 1; i >= 0; i--) CHECK_EQ(pwrite(file, &kept[i], 8, (off_t)places[i]), 8);
    }
    CHECK_EQ(ftruncate(file, 16 << 20), 0);
    look_at_file(file);
    CHECK_EQ(ftruncate(file, 1000), 0);
    look_at_file(file);
    CHECK_EQ(close(file), 0);
    CHECK_OK(kin_rwlock_close(rwlock));
    CHECK_OK(kin_semaphore_close(semaphore));
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_pool_free(pool));
}

/* A file that says it is a family's, as another version of kin might make it. */
TEST_COLD(another_version_is_named_and_not_read)
{
    struct kin__header *header = calloc(1, sizeof *header);
    kin_inspected_family family;
    kin_inspected_process process;
    header->magic = KIN__MAGIC_REGION;
    header->layout_version = KIN__LAYOUT_VERSION + 1;
    header->name.state = KIN__NAME_PUBLISHED;
    strcpy(header->name.text, "from the future");
    int file = memfd_create("kin", MFD_CLOEXEC);
    CHECK_EQ(write(file, header, sizeof *header), sizeof *header);
    kin_inspection *seen = look_at(getpid());
    CHECK_OK(kin_inspection_family(seen, 0, &family));
    CHECK_EQ(family.error, KIN_ELAYOUT);
    CHECK_STR(family.name, "from the future");
    CHECK_EQ(family.pid, getpid());
    CHECK_EQ(family.processes, 0);
    CHECK_RC(kin_inspection_process(seen, 0, 0, &process), KIN_EINDEX);
    kin_inspection_close(seen);

    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.name = "from the future"}));
    CHECK_OK(kin_inspection_family(seen, 0, &family));
    kin_inspection_close(seen);
    header->magic = 0;
    CHECK_EQ(pwrite(file, header, sizeof *header, 0), sizeof *header);
    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.pid = getpid()}));
    CHECK_RC(kin_inspection_family(seen, 0, &family), KIN_EINDEX);
    kin_inspection_close(seen);
    free(header);
    CHECK_EQ(close(file), 0);
}
