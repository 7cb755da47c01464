/* test_rlock.c: the reentrant lock's contract; what it shares with the lock is in test_lock.c. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/rlock.h>

struct shared {
    kin_rlock *rlock;
    volatile long counter;
    _Atomic int stage;
    _Atomic int rc;
    int rounds;
};

static struct shared *open_shared(const kin_lock_options *options)
{
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_OK(kin_rlock_open(&shared->rlock, options));
    return shared;
}

static void hold_thrice_until_killed(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < 3; i++) CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_NOW), 0);
    shared->stage = 1;
    for (;;) pause();
}

static void try_it(void *argument)
{
    struct shared *shared = argument;
    shared->rc = kin_rlock_acquire(shared->rlock, KIN_NOW);
    if (shared->rc >= 0) CHECK_OK(kin_rlock_release(shared->rlock));
}

static int tried_by_another(struct shared *shared)
{
    CHECK_EQ(test_collect(test_child(try_it, shared)), 0);
    return shared->rc;
}

TEST(is_held_until_the_last_release)
{
    struct books books = books_open();
    struct shared *shared = open_shared(NULL);
    CHECK_EQ(kin_rlock_depth(shared->rlock), 0);
    for (int i = 1; i <= 5; i++) {
        CHECK_RC(kin_rlock_acquire(shared->rlock, i % 2 ? KIN_FOREVER : KIN_NOW), 0);
        CHECK_EQ(kin_rlock_depth(shared->rlock), i);
    }
    for (int i = 4; i >= 0; i--) {
        CHECK_RC(tried_by_another(shared), -ETIMEDOUT);
        CHECK_RC(kin_rlock_locked(shared->rlock), 1);
        CHECK_RC(kin_rlock_close(shared->rlock), -EBUSY);
        CHECK_RC(kin_rlock_release(shared->rlock), 0);
        CHECK_EQ(kin_rlock_depth(shared->rlock), i);
    }
    CHECK_RC(kin_rlock_locked(shared->rlock), 0);
    CHECK_RC(kin_rlock_release(shared->rlock), -EPERM);
    CHECK_RC(tried_by_another(shared), 0);
    CHECK_OK(kin_rlock_close(shared->rlock));
    books_check_wakes(&books);
}

static void *release_elsewhere(void *argument)
{
    struct shared *shared = argument;
    shared->rc = kin_rlock_release(shared->rlock);
    CHECK_EQ(kin_rlock_depth(shared->rlock), 0);
    return NULL;
}

TEST(a_stranger_cannot_release_it)
{
    struct shared *shared = open_shared(NULL);
    pthread_t thread;
    CHECK_OK(kin_rlock_acquire(shared->rlock, KIN_NOW));
    CHECK_EQ(pthread_create(&thread, NULL, release_elsewhere, shared), 0);
    pthread_join(thread, NULL);
    CHECK_RC(shared->rc, -EPERM);
    CHECK_EQ(kin_rlock_depth(shared->rlock), 1);
    CHECK_OK(kin_rlock_release(shared->rlock));
    CHECK_OK(kin_rlock_close(shared->rlock));
}

TEST(a_death_ends_every_hold_and_is_told_once)
{
    struct shared *shared = open_shared(NULL);
    kin_owner dead;
    pid_t holder = test_child(hold_thrice_until_killed, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_rlock_owner(shared->rlock, &dead), 1);
    CHECK_EQ(dead.pid, holder);
    test_kill(holder);
    CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_EQ(kin_rlock_depth(shared->rlock), 1);
    CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_NOW), 0);
    CHECK_OK(kin_rlock_release(shared->rlock));
    CHECK_OK(kin_rlock_release(shared->rlock));
    CHECK_RC(kin_rlock_last_death(shared->rlock, &dead), 1);
    CHECK_EQ(dead.pid, holder);
    CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_NOW), 0);
    CHECK_OK(kin_rlock_release(shared->rlock));
    CHECK_OK(kin_rlock_close(shared->rlock));
}

TEST(strict_like_a_lock)
{
    struct shared *shared = open_shared(&(kin_lock_options){.strict = true});
    for (int repaired = 1; repaired >= 0; repaired--) {
        shared->stage = 0;
        pid_t holder = test_child(hold_thrice_until_killed, shared);
        test_until(shared->stage == 1);
        test_kill(holder);
        CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_NOW), KIN_OWNER_DIED);
        CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_NOW), 0);
        CHECK_OK(kin_rlock_release(shared->rlock));
        if (repaired) CHECK_OK(kin_rlock_mark_repaired(shared->rlock));
        CHECK_OK(kin_rlock_release(shared->rlock));
        CHECK_RC(tried_by_another(shared), repaired ? 0 : KIN_EUNREPAIRED);
    }
    CHECK_OK(kin_rlock_close(shared->rlock));
}

TEST(bad_handles_are_refused)
{
    kin_lock *lock = NULL;
    kin_rlock *rlock = NULL;
    kin_owner owner;
    CHECK_RC(kin_rlock_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_rlock_acquire(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_rlock_release(NULL), -EINVAL);
    CHECK_RC(kin_rlock_owner(NULL, &owner), -EINVAL);
    CHECK_RC(kin_rlock_mark_repaired(NULL), -EINVAL);
    CHECK_RC(kin_rlock_close(NULL), 0);
    /* Of one class of memory, and yet not the same. */
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_rlock_open(&rlock, NULL));
    CHECK_RC(kin_rlock_acquire((kin_rlock *)lock, KIN_NOW), KIN_EFOREIGN);
    CHECK_RC(kin_lock_acquire((kin_lock *)rlock, KIN_NOW), KIN_EFOREIGN);
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_rlock_close(rlock));
    CHECK_RC(kin_rlock_acquire(rlock, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_rlock_close(rlock), KIN_ECLOSED);
}

static void count_deeply(struct shared *shared, int depth)
{
    CHECK_RC(kin_rlock_acquire(shared->rlock, KIN_FOREVER), 0);
    KIN_RLOCK_GUARD(shared->rlock);
    if (depth > 0)
        count_deeply(shared, depth - 1);
    else
        shared->counter++;
}

static void count(void *context, unsigned index)
{
    struct shared *shared = context;
    for (int i = 0; i < shared->rounds; i++) count_deeply(shared, (int)(index + (unsigned)i) % 4);
}

static void counted_exactly(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(NULL);
    shared->rounds = test_sanitized() ? 5000 : 50000;
    crew_run(kind, 4, count, shared);
    CHECK_EQ(shared->counter, 4L * shared->rounds);
    CHECK_OK(kin_rlock_close(shared->rlock));
    books_check(&books);
}
CREW_TEST(counted_exactly)

#define SOME 500

static int make_some(void *context)
{
    kin_rlock **rlock = context;
    for (int i = 0; i < SOME; i++) {
        int rc = kin_rlock_open(&rlock[i], NULL);
        if (rc == 0) continue;
        while (i > 0) CHECK_OK(kin_rlock_close(rlock[--i]));
        return rc;
    }
    return 0;
}

static int close_some(void *context)
{
    kin_rlock **rlock = context;
    for (int i = 0; i < SOME; i++) CHECK_OK(kin_rlock_close(rlock[i]));
    return 0;
}

TEST(open_under_faults)
{
    static kin_rlock *rlock[SOME];
    struct faults_report report =
        faults(&(struct faults){.make = make_some, .unmake = close_some, .context = rlock, .cold = true});
    CHECK_GT(report.failures, 0);
}
