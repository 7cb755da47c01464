/* test_publish.c: names: of a family, for programs that come from outside, and of what is in it. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kin/array.h>
#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/publish.h>
#include <kin/queue.h>

#include "memory/region.h"

/* What the processes of a case tell each other; memory that has nothing to do with kin.  They are
 * forked before there is a family, so each is a stranger to the others. */
struct shared {
    char name[KIN_NAME_SIZE];
    _Atomic int stage;
    _Atomic int left; /* how many have ended their part */
    _Atomic int rc[16];
};

static struct shared *shared_open(void)
{
    struct shared *shared = test_shared(sizeof *shared);
    snprintf(shared->name, sizeof shared->name, "kin-test-%d", getpid());
    return shared;
}

static int find_fails(const char *name, kin_deadline deadline)
{
    errno = 0;
    CHECK(kin_find(name, deadline) == NULL);
    return -errno;
}

/* ---- names in a family --------------------------------------------------------------------------- */

TEST(what_is_published_is_found_until_it_is_unpublished)
{
    struct books books = books_open();
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_RC(find_fails("jobs", KIN_NOW), -ENOENT);
    CHECK_RC(kin_publish("jobs", queue), 0);
    CHECK(kin_find("jobs", KIN_NOW) == queue);
    CHECK_RC(kin_publish("jobs", queue), -EEXIST);
    CHECK_RC(find_fails("job", KIN_NOW), -ENOENT);
    CHECK_RC(find_fails("jobs ", kin_in_ms(1)), -ENOENT);
    CHECK_RC(kin_unpublish("jobs"), 0);
    CHECK_RC(kin_unpublish("jobs"), -ENOENT);
    CHECK_RC(find_fails("jobs", KIN_NOW), -ENOENT);
    CHECK_OK(kin_queue_close(queue));
    CHECK_EQ(books_held(), books.held);
}

TEST(names_and_objects_that_cannot_be_are_refused)
{
    char longest[KIN_NAME_SIZE], over[KIN_NAME_SIZE + 1];
    void *block = kin_alloc(10);
    int private = 0;
    memset(longest, 'x', sizeof longest);
    memset(over, 'x', sizeof over);
    longest[KIN_NAME_SIZE - 1] = over[KIN_NAME_SIZE] = '\0';
    const char *wrong[] = {NULL, "", over};
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_publish(wrong[i], block), -EINVAL);
        CHECK_RC(kin_unpublish(wrong[i]), -EINVAL);
        CHECK_RC(find_fails(wrong[i], KIN_NOW), -EINVAL);
        CHECK_RC(kin_family_publish(wrong[i], KIN_NOW), -EINVAL);
        CHECK_RC(kin_family_join(wrong[i], KIN_NOW), -EINVAL);
    }
    CHECK_RC(kin_publish("x", NULL), -EINVAL);
    CHECK_RC(kin_publish("x", &private), KIN_EFOREIGN);
    CHECK_RC(kin_publish(longest, block), 0);
    CHECK(kin_find(longest, KIN_NOW) == block);
    CHECK_RC(kin_unpublish(longest), 0);
    CHECK_OK(kin_free(block));
}

TEST(there_is_room_for_many_names)
{
    static char name[500][16];
    char *block = kin_alloc(500);
    for (int i = 0; i < 500; i++) {
        snprintf(name[i], sizeof name[i], "name %d", i);
        CHECK_RC(kin_publish(name[i], block + i), 0);
    }
    kin_memory_usage before, after;
    CHECK_OK(kin_memory_stats(&before));
    for (int i = 0; i < 500; i++) CHECK(kin_find(name[i], KIN_NOW) == block + i);
    for (int i = 0; i < 500; i += 2) CHECK_RC(kin_unpublish(name[i]), 0);
    for (int i = 0; i < 500; i++) CHECK((kin_find(name[i], KIN_NOW) == NULL) == (i % 2 == 0));
    /* The places are used again. */
    for (int i = 0; i < 500; i += 2) CHECK_RC(kin_publish(name[i], block), 0);
    CHECK_OK(kin_memory_stats(&after));
    CHECK_EQ(after.heap_blocks, before.heap_blocks);
    for (int i = 0; i < 500; i++) CHECK_RC(kin_unpublish(name[i]), 0);
    CHECK_OK(kin_free(block));
}

static void publish_later(void *argument)
{
    test_until(books_sleepers() == 1);
    CHECK_RC(kin_publish("another", argument), 0);
    CHECK_RC(kin_publish("late", argument), 0);
}

TEST(who_comes_early_waits_for_the_name)
{
    void *block = kin_alloc(64);
    pid_t child = test_child(publish_later, block);
    CHECK(kin_find("late", kin_in_s(20)) == block);
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(kin_unpublish("late"), 0);
    CHECK_RC(kin_unpublish("another"), 0);
    CHECK_OK(kin_free(block));
}

struct traffic {
    void *block;
    _Atomic int published[CREW_MOST];
};

static void publish_and_find(void *context, unsigned index)
{
    struct traffic *traffic = context;
    char own[16];
    snprintf(own, sizeof own, "own %u", index);
    for (int i = 0; i < 2000; i++) {
        int rc = kin_publish("contended", traffic->block);
        CHECK(rc == 0 || rc == -EEXIST);
        traffic->published[index] += rc == 0;
        CHECK_RC(kin_publish(own, (char *)traffic->block + index), 0);
        CHECK(kin_find(own, KIN_NOW) == (char *)traffic->block + index);
        if (rc == 0) CHECK_RC(kin_unpublish("contended"), 0);
        CHECK_RC(kin_unpublish(own), 0);
    }
}

static void many_publish_at_once(enum crew_kind kind)
{
    struct traffic *traffic = test_shared(sizeof *traffic);
    CHECK((traffic->block = kin_alloc(64)) != NULL);
    crew_run(kind, 4, publish_and_find, traffic);
    CHECK_GT(traffic->published[0] + traffic->published[1] + traffic->published[2] + traffic->published[3],
             0);
    CHECK_RC(find_fails("contended", KIN_NOW), -ENOENT);
    CHECK_OK(kin_free(traffic->block));
}
CREW_TEST(many_publish_at_once)

/* ---- a family with a name, and strangers ------------------------------------------------------------ */

/* The family: a queue, a lock and an array with names, and a name of its own. */
static void serve(void *argument)
{
    struct shared *shared = argument;
    kin_queue *queue = NULL;
    kin_lock *lock = NULL;
    kin_array *array = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_array_open(&array, 'i', 4, NULL));
    CHECK_OK(kin_publish("queue", queue));
    CHECK_OK(kin_publish("lock", lock));
    CHECK_OK(kin_publish("array", array));
    CHECK_RC(kin_family_publish(shared->name, kin_in_s(20)), 0);
    CHECK_RC(kin_family_publish(shared->name, KIN_NOW), 0);
    CHECK_RC(kin_family_publish("another name", KIN_NOW), -EBUSY);
    shared->stage = 1;
    test_until(shared->left > 0);
    CHECK_OK(kin_sweep());
}

static void use(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_family_join(shared->name, kin_in_s(20)), 0);
    CHECK_RC(kin_family_join(shared->name, KIN_NOW), KIN_ESTARTED);
    kin_queue *queue = kin_find("queue", KIN_NOW);
    kin_lock *lock = kin_find("lock", KIN_NOW);
    kin_array *array = kin_find("array", KIN_NOW);
    int seven = 7;
    CHECK_RC(kin_queue_put(queue, &seven, sizeof seven, KIN_NOW), 0);
    CHECK_EQ(kin_queue_get(queue, &seven, sizeof seven, KIN_NOW), (long)sizeof seven);
    CHECK_RC(kin_lock_acquire(lock, kin_in_s(20)), 0);
    CHECK_RC(kin_array_add(array, 3, 5), 0);
    CHECK_RC(kin_lock_release(lock), 0);
    kin_member members[4];
    CHECK_EQ(kin_memory_processes(members, 4), 2);
    shared->left++;
}

TEST_COLD(a_stranger_joins_and_uses_what_it_finds)
{
    struct shared *shared = shared_open();
    pid_t client = test_child(use, shared), server = test_child(serve, shared);
    CHECK_EQ(test_collect(client), 0);
    CHECK_EQ(test_collect(server), 0);
    /* With its last process the name is gone. */
    CHECK_RC(kin_family_join(shared->name, KIN_NOW), -ENOENT);
    CHECK_RC(kin_family_join(shared->name, kin_in_ms(20)), -ENOENT);
    CHECK_OK(kin_family_open(NULL));
}

static void join_and_hold_the_lock(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_family_join(shared->name, kin_in_s(20)), 0);
    CHECK_RC(kin_lock_acquire(kin_find("lock", KIN_NOW), kin_in_s(20)), 0);
    shared->stage = 2;
    for (;;) pause();
}

static void take_over(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_family_join(shared->name, kin_in_s(20)), 0);
    kin_lock *lock = kin_find("lock", KIN_NOW);
    shared->rc[0] = kin_lock_acquire(lock, kin_in_s(20));
    CHECK_OK(kin_lock_release(lock));
    shared->left++;
}

TEST_COLD(a_stranger_dies_like_a_member)
{
    struct shared *shared = shared_open();
    pid_t server = test_child(serve, shared), holder = test_child(join_and_hold_the_lock, shared);
    test_until(shared->stage == 2);
    pid_t heir = test_child(take_over, shared);
    test_kill(holder);
    CHECK_EQ(test_collect(heir), 0);
    CHECK_RC(shared->rc[0], KIN_OWNER_DIED);
    CHECK_EQ(test_collect(server), 0);
}

/* The family lives on in those who joined. */
static void stay(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_family_join(shared->name, kin_in_s(20)), 0);
    shared->stage = 3;
    test_until(shared->left > 0);
}

TEST_COLD(a_name_lives_as_long_as_anybody_of_the_family)
{
    struct shared *shared = shared_open();
    pid_t server = test_child(serve, shared);
    pid_t guest = test_child(stay, shared);
    test_until(shared->stage == 3);
    test_kill(server);
    pid_t late = test_child(take_over, shared);
    CHECK_EQ(test_collect(late), 0);
    CHECK_RC(shared->rc[0], 0);
    CHECK_EQ(test_collect(guest), 0);
    CHECK_RC(kin_family_join(shared->name, KIN_NOW), -ENOENT);
}

/* ---- one name, several families ------------------------------------------------------------------------ */

struct claimant {
    struct shared *shared;
    int index;
};

static void claim(void *argument)
{
    const struct claimant *claimant = argument;
    struct shared *shared = claimant->shared;
    CHECK_OK(kin_family_open(NULL));
    shared->left++;
    test_until(shared->stage == 1);
    shared->rc[claimant->index] = kin_family_publish(shared->name, kin_in_s(20));
    shared->left--;
    test_until(shared->left == 0);
}

TEST(of_several_families_one_gets_the_name, .cold = true, .alone = true)
{
    struct shared *shared = shared_open();
    for (int round = 0; round < (test_sanitized() ? 3 : 10); round++) {
        struct claimant claimant[6];
        pid_t child[6];
        shared->stage = 0;
        for (int i = 0; i < 6; i++) {
            claimant[i] = (struct claimant){shared, i};
            child[i] = test_child(claim, &claimant[i]);
        }
        test_until(shared->left == 6);
        shared->stage = 1;
        int published = 0;
        for (int i = 0; i < 6; i++) {
            CHECK_EQ(test_collect(child[i]), 0);
            published += shared->rc[i] == 0;
            if (shared->rc[i] != 0) CHECK_RC(shared->rc[i], -EEXIST);
        }
        CHECK_EQ(published, 1);
    }
}

/* A claim of somebody who was killed does not stand in anybody's way. */
static void claim_and_die(void *argument)
{
    struct shared *shared = argument;
    struct kin__family_name *name = &kin__family.header->name;
    strcpy(name->text, shared->name);
    atomic_store(&name->since, kin__os_boot_clock());
    atomic_store(&name->state, (uint64_t)getpid() << 8 | KIN__NAME_CLAIMED);
}

static void keep_a_dead_claim(void *argument)
{
    struct shared *shared = argument;
    CHECK_OK(kin_family_open(NULL));
    CHECK_EQ(test_collect(test_child(claim_and_die, shared)), 0);
    shared->stage = 1;
    test_until(shared->left == 1);
    CHECK_RC(kin_family_publish(shared->name, KIN_NOW), -EEXIST);
    shared->left++;
}

TEST_COLD(the_claim_of_a_dead_process_is_void)
{
    struct shared *shared = shared_open();
    pid_t other = test_child(keep_a_dead_claim, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_family_publish(shared->name, KIN_NOW), 0);
    shared->left = 1;
    CHECK_EQ(test_collect(other), 0);
}

/* ---- who may not ------------------------------------------------------------------------------------------ */

static void join_as_nobody(void *argument)
{
    struct shared *shared = argument;
    CHECK_EQ(setgid(65534) | setuid(65534), 0);
    shared->rc[0] = kin_family_join(shared->name, KIN_NOW);
    shared->left++;
}

TEST_COLD(another_user_does_not_find_it)
{
    if (geteuid() != 0) SKIP("only root can become another user");
    struct shared *shared = shared_open();
    pid_t server = test_child(serve, shared);
    test_until(shared->stage == 1);
    CHECK_EQ(test_collect(test_child(join_as_nobody, shared)), 0);
    CHECK_RC(shared->rc[0], -ENOENT);
    CHECK_EQ(test_collect(server), 0);
}

static void join_where_the_place_is_taken(void *argument)
{
    struct shared *shared = argument;
    struct kin__header header;
    CHECK_EQ(pread(shared->rc[1], &header, sizeof header, 0), (ssize_t)sizeof header);
    CHECK(mmap(header.base, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == header.base);
    shared->rc[0] = kin_family_join(shared->name, KIN_NOW);
}

TEST_COLD(where_its_place_is_taken_it_says_so)
{
    struct shared *shared = shared_open();
    CHECK_OK(kin_family_open(NULL));
    struct kin__header header = *kin__family.header;
    CHECK_RC(kin_family_publish(shared->name, KIN_NOW), 0);
    /* A stranger: the program of this very process, without its family. */
    pid_t child = fork();
    CHECK_OK(child);
    if (child == 0) {
        munmap(header.base, header.size);
        shared->rc[1] = kin__family.descriptor;
        memset(&kin__family, 0, sizeof kin__family);
        memset(&kin__self, 0, sizeof kin__self);
        join_where_the_place_is_taken(shared);
        _exit(0);
    }
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(shared->rc[0], KIN_ENOREGION);
}

/* ---- faults -------------------------------------------------------------------------------------------------- */

static int publish(void *context)
{
    return kin_publish("under faults", context);
}

static int unpublish(void *context)
{
    (void)context;
    return kin_unpublish("under faults");
}

TEST(publish_under_faults)
{
    void *block = kin_alloc(64);
    faults(&(struct faults){.make = publish, .unmake = unpublish, .context = block});
    CHECK_OK(kin_free(block));
}

static void join_under_faults(void *argument)
{
    struct shared *shared = argument;
    int failures = 0;
    for (unsigned n = 1;; n++) {
        test_context("call %u", n);
        kin__os_fault_set(KIN__FAULT_KINDS, n, ENFILE, false);
        int rc = kin_family_join(shared->name, KIN_NOW);
        bool happened = kin__os_fault_calls() >= n;
        kin__os_fault_set(KIN__FAULT_KINDS, 0, 0, false);
        if (!happened) break;
        failures++;
        /* What is given afterwards is as good as ever, unless it has joined all the same. */
        if (rc == 0 || kin__family.header != NULL) break;
        CHECK_RC(rc, -ENFILE);
    }
    CHECK_GT(failures, 0);
    int rc = kin_family_join(shared->name, KIN_NOW);
    CHECK(rc == 0 || rc == KIN_ESTARTED);
    CHECK(kin_find("queue", KIN_NOW) != NULL);
    shared->left++;
}

TEST_COLD(family_join_under_faults)
{
    struct shared *shared = shared_open();
    pid_t server = test_child(serve, shared);
    test_until(shared->stage == 1);
    CHECK_EQ(test_collect(test_child(join_under_faults, shared)), 0);
    CHECK_EQ(test_collect(server), 0);
}
