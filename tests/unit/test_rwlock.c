/* test_rwlock.c: the read-write lock's contract, one promise or error at a time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/faults.h"
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/rwlock.h>

#include "sync/rwlock.h"

struct shared {
    kin_rwlock *lock;
    _Atomic int inside;
    _Atomic int rc;
    _Atomic int go;
    _Atomic int seen;
};

static const kin_rwlock_options fair = {.fair = true};
static const kin_rwlock_options *const variants[] = {NULL, &fair};
#define each_variant(i) (int i = 0; i < 2; i++)

static struct shared *open_shared(const kin_rwlock_options *options)
{
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_OK(kin_rwlock_open(&shared->lock, options));
    return shared;
}

static void hold(struct shared *shared, int rc)
{
    shared->rc = rc;
    CHECK_OK(rc);
    shared->inside++;
    test_until(shared->go > 0);
    shared->inside--;
    CHECK_RC(kin_rwlock_release(shared->lock), 0);
}

static void *read_until_told(void *argument)
{
    struct shared *shared = argument;
    hold(shared, kin_rwlock_acquire_read(shared->lock, KIN_FOREVER));
    return NULL;
}

static void read_in_child(void *argument)
{
    read_until_told(argument);
}

static void write_in_child(void *argument)
{
    struct shared *shared = argument;
    hold(shared, kin_rwlock_acquire_write(shared->lock, KIN_FOREVER));
}

static pid_t start_reader(struct shared *shared)
{
    int before = shared->inside;
    pid_t reader = test_child(read_in_child, shared);
    test_until(shared->inside == before + 1);
    return reader;
}

static pid_t start_writer(struct shared *shared)
{
    pid_t writer = test_child(write_in_child, shared);
    test_until(shared->inside == 1);
    return writer;
}

/* Until somebody waits for the readers, or for the writer, to go. */
#define until_somebody_waits(before) test_until(books_sleepers() > (before))

TEST(many_read_or_one_writes)
{
    struct books books = books_open();
    for
        each_variant(i)
        {
            struct shared *shared = open_shared(variants[i]);
            pid_t readers[] = {start_reader(shared), start_reader(shared)};
            CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_NOW), 0);
            CHECK_EQ(kin_rwlock_readers(shared->lock), 3);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), -ETIMEDOUT);
            CHECK_RC(kin_rwlock_acquire_write(shared->lock, kin_in_ms(20)), -ETIMEDOUT);
            CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_NOW), 0);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            CHECK_RC(kin_rwlock_close(shared->lock), -EBUSY);
            shared->go = 1;
            for (int n = 0; n < 2; n++) CHECK_EQ(test_collect(readers[n]), 0);
            shared->go = 0;
            pid_t writer = start_writer(shared);
            CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_NOW), -ETIMEDOUT);
            CHECK_RC(kin_rwlock_acquire_read(shared->lock, kin_in_ms(20)), -ETIMEDOUT);
            CHECK_RC(kin_rwlock_acquire_write(shared->lock, kin_in_ms(20)), -ETIMEDOUT);
            CHECK_RC(kin_rwlock_close(shared->lock), -EBUSY);
            kin_owner owner;
            CHECK_RC(kin_rwlock_owner(shared->lock, &owner), 1);
            CHECK_EQ(owner.pid, writer);
            shared->go = 1;
            CHECK_EQ(test_collect(writer), 0);
            CHECK_RC(kin_rwlock_owner(shared->lock, &owner), 0);
            CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), 0);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            CHECK_OK(kin_rwlock_close(shared->lock));
        }
    books_check_wakes(&books);
}

TEST(who_waits_is_let_in_by_the_last_release)
{
    struct books books = books_open();
    for
        each_variant(i)
        {
            struct shared *shared = open_shared(variants[i]);
            unsigned idle = books_sleepers();
            CHECK_OK(kin_rwlock_acquire_read(shared->lock, KIN_NOW));
            pid_t writer = test_child(write_in_child, shared);
            until_somebody_waits(idle);
            CHECK_EQ(shared->inside, 0);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            test_until(shared->inside == 1);
            pid_t readers[2];
            for (int n = 0; n < 2; n++) readers[n] = test_child(read_in_child, shared);
            until_somebody_waits(idle + 1);
            CHECK_EQ(shared->inside, 1);
            shared->go = 1;
            CHECK_EQ(test_collect(writer), 0);
            for (int n = 0; n < 2; n++) CHECK_EQ(test_collect(readers[n]), 0);
            CHECK_OK(kin_rwlock_close(shared->lock));
        }
    books_check_wakes(&books);
}

/* A writer that waits keeps new readers out, but not those who read already. */
TEST(a_waiting_writer_goes_before_new_readers)
{
    for
        each_variant(i)
        {
            struct shared *shared = open_shared(variants[i]);
            unsigned idle = books_sleepers();
            CHECK_OK(kin_rwlock_acquire_read(shared->lock, KIN_NOW));
            pid_t writer = test_child(write_in_child, shared);
            until_somebody_waits(idle);
            CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_FOREVER), 0);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            struct shared *other = test_shared(sizeof *other);
            *other = (struct shared){.lock = shared->lock};
            pid_t reader = test_child(read_in_child, other);
            until_somebody_waits(idle + 1);
            CHECK_EQ(other->inside, 0);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            test_until(shared->inside == 1);
            CHECK_EQ(other->inside, 0);
            shared->go = other->go = 1;
            CHECK_EQ(test_collect(writer), 0);
            CHECK_EQ(test_collect(reader), 0);
            CHECK_OK(kin_rwlock_close(shared->lock));
        }
}

/* When the writer that kept them out gives up, readers go on.  It tries again until it has been seen. */
static void write_for_a_moment(void *argument)
{
    struct shared *shared = argument;
    do shared->rc = kin_rwlock_acquire_write(shared->lock, kin_in_ms(60));
    while (shared->rc == -ETIMEDOUT && shared->seen == 0);
}

TEST(a_writer_that_gives_up_lets_readers_in)
{
    for
        each_variant(i)
        {
            struct shared *shared = open_shared(variants[i]);
            unsigned idle = books_sleepers();
            pid_t first = start_reader(shared);
            pid_t writer = test_child(write_for_a_moment, shared);
            until_somebody_waits(idle);
            shared->seen = 1;
            CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_FOREVER), 0);
            CHECK_EQ(test_collect(writer), 0);
            CHECK_RC(shared->rc, -ETIMEDOUT);
            CHECK_RC(kin_rwlock_release(shared->lock), 0);
            shared->go = 1;
            CHECK_EQ(test_collect(first), 0);
            CHECK_OK(kin_rwlock_close(shared->lock));
        }
}

/* Sleeping readers are left asleep: they could only mark the gate once more. */
TEST(trying_to_write_wakes_nobody)
{
    struct shared *writer = open_shared(NULL), *reader = test_shared(sizeof *reader);
    struct kin__wait_point *waiting = &writer->lock->waiting.point;
    reader->lock = writer->lock;
    pid_t writes = test_child(write_in_child, writer);
    test_until(writer->inside == 1);
    pid_t reads = test_child(read_in_child, reader);
    test_until((atomic_load(&writer->lock->gate.robust.point.word) & KIN__WORD_WAITERS) != 0);
    uint32_t seen = atomic_load(&waiting->word);
    for (int i = 0; i < 10; i++) CHECK_RC(kin_rwlock_acquire_write(writer->lock, KIN_NOW), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&waiting->word), seen);
    writer->go = reader->go = 1;
    CHECK_EQ(test_collect(writes), 0);
    CHECK_EQ(test_collect(reads), 0);
    CHECK_OK(kin_rwlock_close(writer->lock));
}

TEST(reading_twice_and_mixing)
{
    for
        each_variant(i)
        {
            kin_rwlock *lock = NULL;
            CHECK_OK(kin_rwlock_open(&lock, variants[i]));
            for (int n = 0; n < 3; n++) CHECK_RC(kin_rwlock_acquire_read(lock, KIN_FOREVER), 0);
            CHECK_RC(kin_rwlock_acquire_write(lock, KIN_FOREVER), -EDEADLK);
            for (int n = 0; n < 3; n++) CHECK_RC(kin_rwlock_release(lock), 0);
            CHECK_RC(kin_rwlock_release(lock), -EPERM);
            CHECK_RC(kin_rwlock_acquire_write(lock, KIN_FOREVER), 0);
            CHECK_RC(kin_rwlock_acquire_write(lock, KIN_FOREVER), -EDEADLK);
            CHECK_RC(kin_rwlock_acquire_read(lock, KIN_FOREVER), -EDEADLK);
            CHECK_RC(kin_rwlock_release(lock), 0);
            CHECK_RC(kin_rwlock_release(lock), -EPERM);
            CHECK_OK(kin_rwlock_close(lock));
        }
}

static void *release_elsewhere(void *argument)
{
    struct shared *shared = argument;
    shared->rc = kin_rwlock_release(shared->lock);
    return NULL;
}

TEST(only_who_holds_it_may_release)
{
    struct shared *shared = open_shared(NULL);
    for (int write = 0; write < 2; write++) {
        pthread_t thread;
        CHECK_OK(write ? kin_rwlock_acquire_write(shared->lock, KIN_NOW)
                       : kin_rwlock_acquire_read(shared->lock, KIN_NOW));
        CHECK_EQ(pthread_create(&thread, NULL, release_elsewhere, shared), 0);
        pthread_join(thread, NULL);
        CHECK_RC(shared->rc, -EPERM);
        CHECK_OK(kin_rwlock_release(shared->lock));
    }
    CHECK_OK(kin_rwlock_close(shared->lock));
}

TEST(bad_handles_are_refused)
{
    kin_lock *other = NULL;
    kin_rwlock *lock = NULL;
    CHECK_RC(kin_rwlock_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_rwlock_acquire_read(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_rwlock_acquire_write(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_rwlock_release(NULL), -EINVAL);
    CHECK_RC(kin_rwlock_close(NULL), 0);
    CHECK_OK(kin_lock_open(&other));
    CHECK_RC(kin_rwlock_acquire_read((kin_rwlock *)other, KIN_NOW), KIN_EFOREIGN);
    CHECK_OK(kin_lock_close(other));
    CHECK_OK(kin_rwlock_open(&lock, NULL));
    CHECK_OK(kin_rwlock_close(lock));
    CHECK_RC(kin_rwlock_acquire_read(lock, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_rwlock_acquire_write(lock, KIN_FOREVER), KIN_ECLOSED);
    CHECK_EQ(kin_rwlock_readers(lock), KIN_ECLOSED);
    CHECK_RC(kin_rwlock_close(lock), KIN_ECLOSED);
}

/* ---- deaths ------------------------------------------------------------------------------------- */

TEST(a_dead_reader_reads_no_more)
{
    struct books books = books_open();
    for
        each_variant(i)
        {
            struct shared *shared = open_shared(variants[i]);
            pid_t reader = start_reader(shared);
            test_kill(reader);
            CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), 0);
            CHECK_OK(kin_rwlock_release(shared->lock));
            /* Also under the eyes of a writer that waits for it. */
            shared->inside = 0;
            unsigned idle = books_sleepers();
            reader = start_reader(shared);
            shared->inside = 0;
            pid_t writer = test_child(write_in_child, shared);
            until_somebody_waits(idle);
            test_kill(reader);
            test_until(shared->inside == 1);
            CHECK_RC(shared->rc, 0);
            shared->go = 1;
            CHECK_EQ(test_collect(writer), 0);
            CHECK_OK(kin_rwlock_close(shared->lock));
        }
    books_check_blocks(&books);
}

TEST(a_dead_writer_is_told_to_the_next_one)
{
    for (int i = 0; i < 4; i++) {
        struct shared *shared = open_shared(variants[i % 2]);
        pid_t writer = start_writer(shared);
        test_kill(writer);
        int rc = i < 2 ? kin_rwlock_acquire_read(shared->lock, KIN_NOW)
                       : kin_rwlock_acquire_write(shared->lock, KIN_NOW);
        CHECK_RC(rc, KIN_OWNER_DIED);
        CHECK_OK(kin_rwlock_release(shared->lock));
        kin_owner dead;
        CHECK_RC(kin_rwlock_last_death(shared->lock, &dead), 1);
        CHECK_EQ(dead.pid, writer);
        CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_NOW), 0);
        CHECK_OK(kin_rwlock_release(shared->lock));
        CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), 0);
        CHECK_OK(kin_rwlock_release(shared->lock));
        CHECK_OK(kin_rwlock_close(shared->lock));
    }
}

/* The first who comes hears of it, but readers keep it out until its deadline: it is told again. */
TEST(the_news_is_not_lost_with_one_who_gives_up)
{
    struct shared *shared = open_shared(NULL);
    pid_t reader = start_reader(shared);
    shared->inside = 0;
    unsigned idle = books_sleepers();
    pid_t writer = test_child(write_in_child, shared);
    until_somebody_waits(idle);
    test_kill(writer); /* it holds the gate, and waits for the reader */
    CHECK_RC(kin_rwlock_acquire_write(shared->lock, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_RC(kin_rwlock_acquire_read(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_OK(kin_rwlock_release(shared->lock));
    test_kill(reader);
    CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), 0);
    CHECK_OK(kin_rwlock_release(shared->lock));
    CHECK_OK(kin_rwlock_close(shared->lock));
}

TEST(sleeping_readers_notice_a_dead_writer)
{
    for
        each_variant(i)
        {
            struct shared *shared = open_shared(variants[i]);
            unsigned idle = books_sleepers();
            pid_t writer = start_writer(shared);
            shared->inside = 0;
            pid_t readers[2];
            for (int n = 0; n < 2; n++) readers[n] = test_child(read_in_child, shared);
            until_somebody_waits(idle + 1);
            test_kill(writer);
            shared->go = 1;
            for (int n = 0; n < 2; n++) CHECK_EQ(test_collect(readers[n]), 0);
            CHECK_OK(kin_rwlock_close(shared->lock));
        }
}

/* ---- many --------------------------------------------------------------------------------------- */

#define CROWD 100

TEST(a_crowd_may_read)
{
    struct books books = books_open();
    struct shared *shared = open_shared(NULL);
    pthread_t thread[CROWD];
    for (int i = 0; i < CROWD; i++) CHECK_EQ(pthread_create(&thread[i], NULL, read_until_told, shared), 0);
    test_until(shared->inside == CROWD);
    CHECK_EQ(kin_rwlock_readers(shared->lock), CROWD);
    CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), -ETIMEDOUT);
    shared->go = 1;
    for (int i = 0; i < CROWD; i++) pthread_join(thread[i], NULL);
    CHECK_RC(kin_rwlock_acquire_write(shared->lock, KIN_NOW), 0);
    CHECK_OK(kin_rwlock_release(shared->lock));
    CHECK_OK(kin_rwlock_close(shared->lock));
    books_check_blocks(&books);
}

TEST(a_thread_may_hold_nearly_a_thousand)
{
    static kin_rwlock *lock[999];
    kin_rwlock *more = NULL;
    CHECK_OK(kin_rwlock_open(&more, NULL));
    for (int i = 0; i < 999; i++) {
        CHECK_OK(kin_rwlock_open(&lock[i], NULL));
        CHECK_RC(i % 2 ? kin_rwlock_acquire_read(lock[i], KIN_NOW)
                       : kin_rwlock_acquire_write(lock[i], KIN_NOW),
                 0);
    }
    CHECK_RC(kin_rwlock_acquire_read(more, KIN_NOW), KIN_EHELD);
    for (int i = 0; i < 999; i++) {
        CHECK_RC(kin_rwlock_release(lock[i]), 0);
        CHECK_OK(kin_rwlock_close(lock[i]));
    }
    CHECK_OK(kin_rwlock_close(more));
}

/* ---- faults ------------------------------------------------------------------------------------- */

#define SOME 100

static int make_some(void *context)
{
    kin_rwlock **lock = context;
    for (int i = 0; i < SOME; i++) {
        int rc = kin_rwlock_open(&lock[i], NULL);
        if (rc == 0) continue;
        while (i > 0) CHECK_OK(kin_rwlock_close(lock[--i]));
        return rc;
    }
    return 0;
}

static int close_some(void *context)
{
    kin_rwlock **lock = context;
    for (int i = 0; i < SOME; i++) CHECK_OK(kin_rwlock_close(lock[i]));
    return 0;
}

TEST(open_under_faults)
{
    static kin_rwlock *lock[SOME];
    struct faults_report report =
        faults(&(struct faults){.make = make_some, .unmake = close_some, .context = lock, .cold = true});
    CHECK_GT(report.failures, 0);
}
