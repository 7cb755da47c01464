/* family.c: a family's memory that is looked at from outside, with words in it that are anything: each 12
 * bytes of the input say which word of those that are not zero becomes what. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/publish.h>
#include <kin/queue.h>
#include <kin/rwlock.h>
#include <kin/semaphore.h>

#include "inspect/seen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS   100000
#define CHANGES 64

static int file = -1;
static uint64_t places[WORDS];
static size_t count;

/* Copies what there is in our own family's memory. */
static void copy_memory(void)
{
    static uint64_t block[512];
    struct stat status;
    off_t start = 0;
    int memory = kin__family.descriptor;
    file = memfd_create("copy", MFD_CLOEXEC);
    if (file < 0 || fstat(memory, &status) < 0 || ftruncate(file, status.st_size) < 0) abort();
    while ((start = lseek(memory, start, SEEK_DATA)) >= 0) {
        if (pread(memory, block, sizeof block, start) != sizeof block) abort();
        for (size_t i = 0; i < 512 && count < WORDS; i++)
            if (block[i] != 0) places[count++] = (uint64_t)start + i * 8;
        if (pwrite(file, block, sizeof block, start) != sizeof block) abort();
        start += sizeof block;
    }
}

static void prepare(void)
{
    kin_queue *queue, *ranked;
    kin_lock *lock;
    kin_rwlock *rwlock;
    kin_semaphore *semaphore;
    if (kin_family_open(NULL) < 0 || kin_queue_open(&queue, NULL) < 0 ||
        kin_queue_open(&ranked, &(kin_queue_options){.order = KIN_PRIORITY}) < 0 ||
        kin_lock_open(&lock) < 0 || kin_rwlock_open(&rwlock, NULL) < 0 ||
        kin_semaphore_open(&semaphore, 500, NULL) < 0 || kin_publish("lock", lock) < 0 ||
        kin_lock_acquire(lock, KIN_NOW) < 0 || kin_queue_put(queue, "a", 1, KIN_NOW) < 0 ||
        kin_queue_put(ranked, "b", 1, KIN_NOW) < 0)
        abort();
    copy_memory();
}

static void change(uint64_t place, uint64_t value)
{
    if (pwrite(file, &value, sizeof value, (off_t)place) != sizeof value) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t kept[CHANGES], changed[CHANGES];
    int changes = 0;
    if (file < 0) prepare();
    for (; size >= 12 && changes < CHANGES; data += 12, size -= 12, changes++) {
        uint32_t which;
        uint64_t value;
        memcpy(&which, data, sizeof which);
        memcpy(&value, data + 4, sizeof value);
        changed[changes] = places[which % count];
        if (pread(file, &kept[changes], 8, (off_t)changed[changes]) != 8) abort();
        change(changed[changes], value);
    }
    struct kin__seen seen = {0};
    if (kin__seen_family(&seen, file, 1) == 0)
        for (int kind = 0; kind < KIN__SEEN_KINDS; kind++)
            if (seen.list[kind].count > KIN__SEEN_MOST) abort();
    kin__seen_free(&seen);
    while (changes-- > 0) change(changed[changes], kept[changes]);
    return 0;
}
