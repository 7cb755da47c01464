/* test_memory.c: family memory: blocks, what can be read about it, and joining by fork and exec.
 * What happens when it runs out is in test_memory_limits.c. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/queue.h>

#include "memory/region.h"

#define MIB ((size_t)1 << 20)

static kin_memory_usage usage_now(void)
{
    kin_memory_usage usage;
    CHECK_RC(kin_memory_stats(&usage), 0);
    return usage;
}

/* ---- the family ------------------------------------------------------------------------------ */

TEST_COLD(opening_again_does_nothing)
{
    CHECK_RC(kin_family_open(NULL), 0);
    CHECK_RC(kin_family_open(NULL), 0);
    CHECK_RC(kin_family_open(&(kin_family_options){0}), 0);
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 64 * MIB}), KIN_ESTARTED);
    CHECK_GE(usage_now().region_size, 64 * MIB);
}

TEST_COLD(the_size_can_be_chosen)
{
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 64 * MIB + 1}), 0);
    kin_memory_usage usage = usage_now();
    CHECK_GE(usage.region_size, 64 * MIB + 1);
    CHECK_LE(usage.region_size, 65 * MIB);
    void *memory = kin_alloc(1);
    CHECK_GE((char *)memory, (char *)usage.base);
    CHECK_LT((char *)memory, (char *)usage.base + usage.region_size);
    CHECK_OK(kin_free(memory));
}

TEST_COLD(absurd_sizes_are_refused)
{
    const size_t wrong[] = {1, 16 * MIB - 1, ((size_t)16 << 40) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_RC(kin_family_open(&(kin_family_options){.region_size = wrong[i]}), -EINVAL);
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 16 * MIB}), 0);
    CHECK_EQ(usage_now().region_size, 16 * MIB);
}

TEST_COLD(the_first_use_of_kin_opens_it)
{
    void *memory = kin_alloc(10);
    CHECK(memory != NULL);
    CHECK_OK(kin_free(memory));
    CHECK_RC(kin_family_open(&(kin_family_options){.region_size = 64 * MIB}), KIN_ESTARTED);
}

TEST(null_is_refused)
{
    int descriptor;
    char text[100];
    CHECK_RC(kin_memory_stats(NULL), -EINVAL);
    CHECK_RC(kin_memory_processes(NULL, 1), -EINVAL);
    CHECK_RC(kin_memory_processes(NULL, 0), 1);
    CHECK_RC(kin_family_invite(NULL, 0, &descriptor), -EINVAL);
    CHECK_RC(kin_family_invite(text, sizeof text, NULL), -EINVAL);
    CHECK_RC(kin_free(NULL), 0);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static const size_t sizes[] = {1,     15,    16,    63,     64,     65,      100,     4095,     4096,    4097,
                               65535, 65536, 65537, 131072, 131073, 1 << 20, 3000001, 20 << 20, 64 << 20};
#define SIZES (sizeof sizes / sizeof *sizes)

TEST(blocks_are_zeroed_and_aligned)
{
    struct books books = books_open();
    for (int round = test_sanitized() ? 2 : 0; round < 3; round++) {
        unsigned char *block[SIZES];
        for (size_t i = 0; i < SIZES; i++) {
            test_context("round %d, %zu bytes", round, sizes[i]);
            block[i] = kin_alloc(sizes[i]);
            CHECK(block[i] != NULL);
            CHECK_EQ((uintptr_t)block[i] % (sizes[i] < 64 ? 16 : 64), 0);
            CHECK_EQ(block[i][0], 0);
            CHECK_MEM(block[i], block[i] + 1, sizes[i] - 1);
            memset(block[i], 0xff, sizes[i]);
        }
        for (size_t i = 0; i < SIZES; i++) CHECK_RC(kin_free(block[(i * 7) % SIZES]), 0);
    }
    test_context(NULL);
    books_check_wakes(&books);
}

TEST(blocks_do_not_overlap)
{
    enum { BLOCKS = 3000 };
    struct books books = books_open();
    static unsigned char *block[BLOCKS];
    static size_t size[BLOCKS];
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 20000; round++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t i = random % BLOCKS;
        if (block[i] != NULL) {
            for (size_t n = 0; n < size[i]; n++) CHECK_EQ(block[i][n], (unsigned char)i);
            CHECK_RC(kin_free(block[i]), 0);
            block[i] = NULL;
        } else {
            size[i] = 1 + (random >> 20) % (random % 50 == 0 ? 100000 : 500);
            block[i] = kin_alloc(size[i]);
            CHECK(block[i] != NULL);
            memset(block[i], (int)i, size[i]);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) CHECK_OK(kin_free(block[i]));
    books_check_wakes(&books);
}

static void check_refused(size_t size, int error)
{
    errno = 0;
    CHECK(kin_alloc(size) == NULL);
    CHECK_EQ(errno, error);
}

TEST(absurd_blocks_are_refused)
{
    struct books books = books_open();
    size_t region = usage_now().region_size;
    volatile size_t zero = 0, too_large[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 63, region, region + 1};
    check_refused(zero, EINVAL);
    for (size_t i = 0; i < sizeof too_large / sizeof *too_large; i++) check_refused(too_large[i], ENOMEM);
    books_check_wakes(&books);
}

TEST(what_is_no_block_is_not_freed)
{
    struct books books = books_open();
    char private[256] __attribute__((aligned(64)));
    char *small = kin_alloc(100), *medium = kin_alloc(5000), *large = kin_alloc(3 * MIB);
    kin_lock *lock = NULL;
    kin_queue *queue = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_queue_open(&queue, NULL));
    kin_memory_usage usage = usage_now();
    char *base = usage.base;
    CHECK_RC(kin_free(private), KIN_EFOREIGN);
    CHECK_RC(kin_free(stdout), KIN_EFOREIGN);
    CHECK_RC(kin_free((void *)1), KIN_EFOREIGN);
    CHECK_RC(kin_free((void *)UINTPTR_MAX), KIN_EFOREIGN);
    CHECK_RC(kin_free(base - 1), KIN_EFOREIGN);
    CHECK_RC(kin_free(base + usage.region_size), KIN_EFOREIGN);
    void *wrong[] = {small + 1,
                     small + 64,
                     small - 64,
                     medium + 64,
                     large + 1,
                     large + 65536,
                     large + MIB,
                     base,
                     base + 64,
                     base + usage.region_size - 64,
                     lock,
                     queue,
                     base + usage.region_size / 2};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        CHECK_RC(kin_free(wrong[i]), -EINVAL);
    }
    test_context(NULL);
    CHECK_OK(kin_free(small));
    CHECK_OK(kin_free(medium));
    CHECK_OK(kin_free(large));
    CHECK_RC(kin_free(small), -EINVAL);
    CHECK_RC(kin_free(medium), -EINVAL);
    CHECK_RC(kin_free(large), -EINVAL);
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_queue_close(queue));
    CHECK_RC(kin_free(queue), -EINVAL);
    books_check_wakes(&books);
}

TEST(memory_of_large_blocks_is_given_back)
{
    void *first = kin_alloc(200 * MIB);
    kin_memory_usage full = usage_now();
    CHECK_GE(full.heap_backed, 200 * MIB);
    CHECK_GE(full.heap_allocated, 200 * MIB);
    CHECK_OK(kin_free(first));
    kin_memory_usage empty = usage_now();
    CHECK_LE(empty.heap_backed, full.heap_backed - 200 * MIB);
    CHECK_LE(empty.heap_allocated, full.heap_allocated - 200 * MIB);
    CHECK_EQ(empty.heap_blocks, full.heap_blocks - 1);
}

static void allocate_and_free(size_t size, int count)
{
    void *blocks[140];
    for (int i = 0; i < count; i++) CHECK((blocks[i] = kin_alloc(size)) != NULL);
    for (int i = 0; i < count; i++) CHECK_OK(kin_free(blocks[i]));
}

TEST(blocks_that_are_wanted_again_at_once_keep_their_memory)
{
    size_t before = usage_now().heap_backed;
    allocate_and_free(MIB, 40);
    CHECK_LE(usage_now().heap_backed, before + 17 * MIB);
    /* How soon that is depends on the machine. */
    while (usage_now().heap_backed < before + 40 * MIB) allocate_and_free(MIB, 40);
    /* There is an end to it, */
    for (int i = 0; i < 2; i++) allocate_and_free(MIB, 140);
    size_t kept = usage_now().heap_backed;
    CHECK_LE(kept, before + 129 * MIB);
    /* and what is large by itself is not kept. */
    for (int i = 0; i < 10; i++) {
        allocate_and_free(20 * MIB, 1);
        CHECK_LE(usage_now().heap_backed, kept + MIB);
    }
}

/* As a signal handler sees it: its thread has begun an allocation and not finished it. */
TEST(an_interrupted_allocation_refuses)
{
    struct books books = books_open();
    void *other = kin_alloc(100), *kept = NULL;
    _Atomic(void *) *place = kin_alloc(sizeof *place);
    int rc = 0;
    void *begun = kin__allocate(100, &rc);
    CHECK(begun != NULL);
    errno = 0;
    kept = kin_alloc(100);
    CHECK(kept == NULL);
    CHECK_EQ(errno, EDEADLK);
    CHECK_RC(kin_free(other), -EDEADLK);
    kin__allocate_publish(place);
    CHECK_EQ(*place, begun);
    CHECK_RC(kin_free(begun), 0);
    CHECK_RC(kin_free(other), 0);
    CHECK_RC(kin_free((void *)place), 0);
    books_check_wakes(&books);
}

/* ---- what can be read ---------------------------------------------------------------------------- */

struct members {
    _Atomic int joined;
    _Atomic int leave;
    _Atomic int left;
};

static void join_until_told(void *argument)
{
    struct members *members = argument;
    CHECK_OK(kin_family_open(NULL));
    members->joined++;
    test_until(members->leave != 0);
}

static void *join_thread(void *argument)
{
    join_until_told(argument);
    return NULL;
}

TEST(processes_are_counted)
{
    enum { CHILDREN = 5 };
    struct members *members = test_shared(sizeof *members);
    pid_t child[CHILDREN];
    kin_memory_usage before = usage_now(), now;
    for (int i = 0; i < CHILDREN; i++) child[i] = test_child(join_until_told, members);
    test_until(members->joined == CHILDREN);
    now = usage_now();
    CHECK_EQ(now.processes, before.processes + CHILDREN);
    CHECK_EQ(now.threads, before.threads + CHILDREN);
    kin_member table[64];
    CHECK_RC(kin_memory_processes(table, 64), CHILDREN + 1);
    CHECK_RC(kin_memory_processes(table, 2), CHILDREN + 1);
    for (int i = 0; i < CHILDREN; i++) {
        int found = 0;
        for (int n = 0; n <= CHILDREN; n++) {
            if (table[n].pid != child[i]) continue;
            found++;
            CHECK_EQ(table[n].threads, 1);
            CHECK_EQ(table[n].held, 0);
        }
        CHECK_EQ(found, 1);
    }
    test_kill(child[0]);
    CHECK_GT(kin_sweep(), 0);
    CHECK_RC(kin_sweep(), 0);
    now = usage_now();
    CHECK_EQ(now.processes, before.processes + CHILDREN - 1);
    CHECK_EQ(now.threads, before.threads + CHILDREN - 1);
    CHECK_GT(now.deaths, before.deaths);
    members->leave = 1;
    for (int i = 1; i < CHILDREN; i++) CHECK_EQ(test_collect(child[i]), 0);
    CHECK_EQ(usage_now().processes, before.processes);
}

TEST(generations_tell_processes_apart)
{
    struct members *members = test_shared(sizeof *members);
    kin_member table[2];
    uint64_t last = 0;
    for (int i = 0; i < 5; i++) {
        members->joined = 0;
        pid_t child = test_child(join_until_told, members);
        test_until(members->joined == 1);
        CHECK_RC(kin_memory_processes(table, 2), 2);
        uint64_t generation = table[table[1].pid == child].generation;
        CHECK_NE(generation, last);
        last = generation;
        test_kill(child);
        CHECK_OK(kin_sweep());
    }
}

TEST(threads_are_counted)
{
    enum { THREADS = 7 };
    struct members members = {0};
    pthread_t thread[THREADS];
    kin_memory_usage before = usage_now();
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, join_thread, &members), 0);
    test_until(members.joined == THREADS);
    CHECK_EQ(usage_now().threads, before.threads + THREADS);
    CHECK_EQ(usage_now().processes, before.processes);
    kin_member self;
    CHECK_RC(kin_memory_processes(&self, 1), 1);
    CHECK_EQ(self.pid, getpid());
    CHECK_EQ(self.threads, THREADS + 1);
    members.leave = 1;
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    CHECK_EQ(usage_now().threads, before.threads);
    CHECK_EQ(usage_now().deaths, before.deaths);
}

/* ---- adding up while others allocate ------------------------------------------------------------------ */

#define ADDING_ROUNDS 300

static void *allocate_of_many_sizes(void *stop)
{
    for (size_t size = 64; !atomic_load((_Atomic bool *)stop);
         size = size < ((size_t)8 << 20) ? size * 2 : 64) {
        void *block = kin_alloc(size);
        CHECK(block != NULL);
        CHECK_OK(kin_free(block));
    }
    return NULL;
}

/* Under ThreadSanitizer: what is read without the latches is read so that it may be. */
TEST(usage_is_added_up_while_threads_allocate)
{
    _Atomic bool stop = false;
    pthread_t threads[2];
    void *held = kin_alloc(1);
    CHECK(held != NULL);
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&threads[i], NULL, allocate_of_many_sizes, &stop), 0);
    for (int round = 0; round < ADDING_ROUNDS; round++) CHECK_GT(usage_now().heap_backed, 0);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    CHECK_OK(kin_free(held));
}

TEST(old_callers_with_a_shorter_struct)
{
    struct {
        kin_memory_usage usage;
        char after[16];
    } room;
    memset(&room, 0x77, sizeof room);
    CHECK_OK(kin_memory_stats_sized(&room.usage, offsetof(kin_memory_usage, heap_allocated)));
    CHECK_GT(room.usage.region_size, 0);
    CHECK_EQ(room.usage.heap_allocated, 0x7777777777777777);
}

/* ---- joining by fork ------------------------------------------------------------------------------- */

struct node {
    struct node *next;
    int value;
};

static void extend_list(void *argument)
{
    struct node *head = argument;
    head->next = kin_alloc(sizeof *head);
    head->next->value = head->value + 1;
}

TEST(pointers_mean_the_same_in_every_process)
{
    struct books books = books_open();
    struct node *head = kin_alloc(sizeof *head), *node = head;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(test_collect(test_child(extend_list, node)), 0);
        node = node->next;
        CHECK_EQ(node->value, i + 1);
    }
    for (node = head; node != NULL; node = head) {
        head = node->next;
        CHECK_RC(kin_free(node), 0);
    }
    books_check_wakes(&books);
}

static void have_children(void *argument)
{
    _Atomic int *count = argument;
    void *memory = kin_alloc(64);
    int generation = (*count)++;
    if (generation < 5) CHECK_EQ(test_collect(test_child(have_children, argument)), 0);
    CHECK_OK(kin_free(memory));
}

TEST(grandchildren_belong_too)
{
    struct books books = books_open();
    _Atomic int *count = kin_alloc(sizeof *count);
    CHECK_EQ(test_collect(test_child(have_children, (void *)count)), 0);
    CHECK_EQ(*count, 6);
    CHECK_OK(kin_free((void *)count));
    books_check_wakes(&books);
}

/* ---- joining by exec --------------------------------------------------------------------------------- */

#define GUEST_VARIABLE "KIN_TEST_GUEST"

struct invitation {
    char text[128];
    int descriptor;
    const char *case_name;
    const char *argument;
};

/* In a child: becomes the same program again, as a guest of the family if the text says so. */
static void become_guest(void *argument)
{
    struct invitation *invitation = argument;
    CHECK_EQ(fcntl(invitation->descriptor, F_SETFD, 0), 0);
    CHECK_EQ(putenv(invitation->text), 0);
    setenv(GUEST_VARIABLE, invitation->argument, 1);
    execl("/proc/self/exe", program_invocation_name, invitation->case_name, (char *)NULL);
    FAIL("cannot execute this program again: %s", strerror(errno));
}

static void put_as_guest(const char *argument)
{
    void *pointer = NULL;
    CHECK_EQ(sscanf(argument, "%p", &pointer), 1);
    kin_queue *queue = pointer, *answers = NULL;
    char *message = kin_alloc(100);
    strcpy(message, "hello from a guest");
    CHECK_OK(kin_queue_put(queue, &message, sizeof message, KIN_FOREVER));
    CHECK_OK(kin_queue_open(&answers, NULL));
    CHECK_OK(kin_queue_put(queue, &answers, sizeof answers, KIN_FOREVER));
    int number = 0;
    CHECK_RC(kin_queue_get(answers, &number, sizeof number, KIN_FOREVER), sizeof number);
    CHECK_EQ(number, 42);
    CHECK_OK(kin_queue_close(answers));
}

TEST(a_program_started_by_exec_joins)
{
    if (getenv(GUEST_VARIABLE) != NULL) {
        put_as_guest(getenv(GUEST_VARIABLE));
        return;
    }
    struct books books = books_open();
    kin_queue *queue = NULL, *answers = NULL;
    char pointer[32], *message = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    snprintf(pointer, sizeof pointer, "%p", (void *)queue);
    struct invitation invitation = {.case_name = "a_program_started_by_exec_joins", .argument = pointer};
    CHECK_RC(kin_family_invite(invitation.text, sizeof invitation.text, &invitation.descriptor), 0);
    CHECK(fcntl(invitation.descriptor, F_GETFD) & FD_CLOEXEC);
    pid_t guest = test_child(become_guest, &invitation);
    CHECK_RC(kin_queue_get(queue, &message, sizeof message, KIN_FOREVER), sizeof message);
    CHECK_STR(message, "hello from a guest");
    CHECK_OK(kin_free(message));
    CHECK_RC(kin_queue_get(queue, &answers, sizeof answers, KIN_FOREVER), sizeof answers);
    CHECK_EQ(usage_now().processes, 2);
    CHECK_OK(kin_queue_put(answers, &(int){42}, sizeof(int), KIN_FOREVER));
    CHECK_EQ(test_collect(guest), 0);
    CHECK_OK(kin_queue_close(queue));
    CHECK_EQ(usage_now().processes, 1);
    books_check_wakes(&books);
}

TEST(a_short_text_for_an_invitation)
{
    char text[128], shorter[128];
    int descriptor = -7;
    CHECK_OK(kin_family_invite(text, sizeof text, &descriptor));
    CHECK_EQ(strncmp(text, "KIN_FAMILY=", 11), 0);
    size_t needed = strlen(text) + 1;
    descriptor = -7;
    CHECK_RC(kin_family_invite(shorter, needed - 1, &descriptor), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), needed);
    CHECK_EQ(descriptor, -7);
    CHECK_RC(kin_family_invite(shorter, 0, &descriptor), KIN_ETOOSMALL);
    CHECK_RC(kin_family_invite(shorter, needed, &descriptor), 0);
    CHECK_STR(shorter, text);
}

/* A cold guest tells what its first use of kin returned. */
static void check_refusal(const char *text, int expected)
{
    struct invitation invitation = {.case_name = "a_bad_invitation_is_refused"};
    char argument[16], genuine[128];
    CHECK_OK(kin_family_invite(genuine, sizeof genuine, &invitation.descriptor));
    snprintf(invitation.text, sizeof invitation.text, "%s", text);
    snprintf(argument, sizeof argument, "%d", expected);
    invitation.argument = argument;
    test_context("invitation %s", text);
    CHECK_EQ(test_collect(test_child(become_guest, &invitation)), 0);
}

TEST_COLD(a_bad_invitation_is_refused)
{
    const char *expected = getenv(GUEST_VARIABLE);
    if (expected != NULL) {
        CHECK_RC(kin_family_open(NULL), atoi(expected));
        errno = 0;
        void *memory = kin_alloc(10);
        CHECK_EQ(memory == NULL ? -errno : 0, atoi(expected));
        CHECK_RC(kin_free(memory), 0);
        return;
    }
    char text[256], genuine[128];
    int descriptor;
    CHECK_OK(kin_family_invite(genuine, sizeof genuine, &descriptor));
    check_refusal("KIN_FAMILY=", -EBADF);
    check_refusal("KIN_FAMILY=nonsense", -EBADF);
    check_refusal("KIN_FAMILY=-1:200000000000:10000000", -EBADF);
    check_refusal("KIN_FAMILY=900:200000000000:10000000", -EBADF);
    check_refusal("KIN_FAMILY=0:200000000000:10000000", -EBADF);
    snprintf(text, sizeof text, "%s0", genuine); /* sixteen times the size */
    check_refusal(text, -EBADF);
    snprintf(text, sizeof text, "%s,", genuine);
    check_refusal(text, -EBADF);
    /* What does not fit, of all that a genuine header says. */
    struct kin__header *header = kin__family.header;
    header->layout_version++;
    check_refusal(genuine, KIN_ELAYOUT);
    header->layout_version--;
    header->layout_check++;
    check_refusal(genuine, KIN_ELAYOUT);
    header->layout_check--;
    header->pid_namespace++;
    check_refusal(genuine, KIN_ENAMESPACE);
    header->pid_namespace--;
    header->boot_id[3] ^= 1;
    check_refusal(genuine, KIN_ENAMESPACE);
    header->boot_id[3] ^= 1;
    check_refusal(genuine, 0);
}

TEST(another_program_inherits_nothing)
{
    struct invitation invitation = {0};
    char command[200];
    CHECK_OK(kin_family_invite(invitation.text, sizeof invitation.text, &invitation.descriptor));
    snprintf(command, sizeof command, "! ls -l /proc/self/fd | grep -q memfd:kin && test -z \"$KIN_FAMILY\"");
    CHECK_EQ(system(command), 0);
}
