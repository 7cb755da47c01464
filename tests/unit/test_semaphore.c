/* test_semaphore.c: the semaphore's contract, one promise or error at a time. */
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
#include <kin/semaphore.h>

struct shared {
    kin_semaphore *semaphore;
    kin_semaphore *go;
    int count;
    _Atomic int stage;
    _Atomic int inside;
    _Atomic int most;
    _Atomic int rc;
};

static kin_semaphore *open_one(uint32_t permits, kin_semaphore_options options)
{
    kin_semaphore *semaphore = NULL;
    CHECK_RC(kin_semaphore_open(&semaphore, permits, &options), 0);
    return semaphore;
}

static struct shared *open_shared(uint32_t permits)
{
    struct shared *shared = test_shared(sizeof *shared);
    shared->semaphore = open_one(permits, (kin_semaphore_options){0});
    shared->go = open_one(0, (kin_semaphore_options){.plain = true});
    return shared;
}

static void close_shared(struct shared *shared)
{
    CHECK_OK(kin_semaphore_close(shared->semaphore));
    CHECK_OK(kin_semaphore_close(shared->go));
}

/* ---- counting ---------------------------------------------------------------------------------------- */

static const kin_semaphore_options kinds[] = {
    {0}, {.bounded = true}, {.plain = true}, {.plain = true, .bounded = true}};

TEST(hands_out_as_many_as_there_are)
{
    struct books books = books_open();
    static const uint32_t counts[] = {0, 1, 2, 4, 5, 96, 97, 5000, 100000};
    for (unsigned kind = 0; kind < 4; kind++) {
        for (unsigned n = 0; n < sizeof counts / sizeof *counts; n++) {
            test_context("kind %u, %u permits", kind, counts[n]);
            uint32_t count = counts[n], taken = count < 6000 ? count : 3000;
            kin_semaphore *semaphore = open_one(count, kinds[kind]);
            CHECK_EQ(kin_semaphore_value(semaphore), (long)count);
            for (uint32_t i = 0; i < taken; i++) CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
            CHECK_EQ(kin_semaphore_value(semaphore), (long)(count - taken));
            if (taken == count) {
                CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), -ETIMEDOUT);
                CHECK_RC(kin_semaphore_acquire(semaphore, kin_in_ms(1)), -ETIMEDOUT);
            }
            for (uint32_t i = 0; i < taken; i++) CHECK_RC(kin_semaphore_release(semaphore), 0);
            CHECK_EQ(kin_semaphore_value(semaphore), (long)count);
            CHECK_RC(kin_semaphore_close(semaphore), 0);
        }
    }
    test_context(NULL);
    books_check_wakes(&books);
}

TEST(a_bounded_one_refuses_what_nobody_acquired)
{
    for (int plain = 0; plain < 2; plain++) {
        kin_semaphore *semaphore = open_one(2, (kin_semaphore_options){.bounded = true, .plain = plain});
        CHECK_RC(kin_semaphore_release(semaphore), KIN_ERELEASED);
        CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
        CHECK_RC(kin_semaphore_release_many(semaphore, 2), KIN_ERELEASED);
        CHECK_EQ(kin_semaphore_value(semaphore), 1);
        CHECK_RC(kin_semaphore_release(semaphore), 0);
        CHECK_RC(kin_semaphore_release(semaphore), KIN_ERELEASED);
        CHECK_EQ(kin_semaphore_value(semaphore), 2);
        CHECK_OK(kin_semaphore_close(semaphore));
    }
}

TEST(the_others_grow)
{
    struct books books = books_open();
    for (int plain = 0; plain < 2; plain++) {
        kin_semaphore *semaphore = open_one(0, (kin_semaphore_options){.plain = plain});
        for (int i = 1; i <= 500; i++) {
            CHECK_RC(kin_semaphore_release(semaphore), 0);
            CHECK_EQ(kin_semaphore_value(semaphore), i);
        }
        CHECK_RC(kin_semaphore_release_many(semaphore, 2500), 0);
        CHECK_RC(kin_semaphore_release_many(semaphore, 0), 0);
        CHECK_RC(kin_semaphore_release_many(semaphore, UINT32_MAX), -EOVERFLOW);
        CHECK_RC(kin_semaphore_release_many(semaphore, 0x80000000u), -EOVERFLOW);
        CHECK_RC(kin_semaphore_release_many(semaphore, INT32_MAX), -EOVERFLOW);
        CHECK_EQ(kin_semaphore_value(semaphore), 3000);
        CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
        CHECK_OK(kin_semaphore_close(semaphore));
    }
    books_check_wakes(&books);
}

TEST(there_is_an_end_to_growing)
{
    for (int plain = 0; plain < 2; plain++) {
        kin_semaphore *semaphore =
            open_one(plain ? INT32_MAX : 100000, (kin_semaphore_options){.plain = plain});
        CHECK_RC(kin_semaphore_release_many(semaphore, 1), -EOVERFLOW);
        CHECK_RC(kin_semaphore_release(semaphore), -EOVERFLOW);
        CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
        CHECK_RC(kin_semaphore_release(semaphore), 0);
        CHECK_RC(kin_semaphore_release(semaphore), -EOVERFLOW);
        CHECK_EQ(kin_semaphore_value(semaphore), plain ? INT32_MAX : 100000);
        CHECK_OK(kin_semaphore_close(semaphore));
    }
}

TEST(too_many_are_refused_at_the_opening)
{
    struct books books = books_open();
    kin_semaphore *semaphore = NULL;
    CHECK_RC(kin_semaphore_open(&semaphore, 100001, NULL), -EINVAL);
    CHECK_RC(kin_semaphore_open(&semaphore, UINT32_MAX, NULL), -EINVAL);
    CHECK_RC(kin_semaphore_open(&semaphore, 0x80000000u, &(kin_semaphore_options){.plain = true}), -EINVAL);
    CHECK_RC(kin_semaphore_open(NULL, 1, NULL), -EINVAL);
    CHECK_EQ(semaphore, NULL);
    books_check_wakes(&books);
}

static void check_none(kin_semaphore *semaphore, int expected)
{
    CHECK_RC(kin_semaphore_acquire(semaphore, KIN_FOREVER), expected);
    CHECK_RC(kin_semaphore_release(semaphore), expected);
    CHECK_RC(kin_semaphore_release_many(semaphore, 3), expected);
    CHECK_EQ(kin_semaphore_value(semaphore), expected);
}

TEST(bad_handles_are_refused)
{
    struct books books = books_open();
    long long private[16] = {0};
    void *block = kin_alloc(256);
    kin_semaphore *semaphore = open_one(1, kinds[0]);
    check_none(NULL, -EINVAL);
    CHECK_RC(kin_semaphore_close(NULL), 0);
    void *wrong[] = {private, block, (char *)semaphore + 1, (char *)semaphore + 64, (void *)-64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        check_none(wrong[i], KIN_EFOREIGN);
        CHECK_RC(kin_semaphore_close(wrong[i]), KIN_EFOREIGN);
    }
    test_context(NULL);
    CHECK_RC(kin_free(semaphore), -EINVAL);
    CHECK_OK(kin_semaphore_close(semaphore));
    check_none(semaphore, KIN_ECLOSED);
    CHECK_RC(kin_semaphore_close(semaphore), KIN_ECLOSED);
    CHECK_OK(kin_free(block));
    books_check_wakes(&books);
}

/* ---- whose permits ------------------------------------------------------------------------------------ */

/* Acquires `count`, says so, and waits: for a signal, or for leave to exit. */
static void hold(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < shared->count; i++) CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_NOW), 0);
    shared->stage = 1;
    CHECK_OK(kin_semaphore_acquire(shared->go, KIN_FOREVER));
}

static pid_t start_holder(struct shared *shared, int count)
{
    shared->count = count;
    shared->stage = 0;
    pid_t child = test_child(hold, shared);
    test_until(shared->stage == 1);
    return child;
}

TEST(permits_of_the_killed_come_back)
{
    struct books books = books_open();
    static const uint32_t totals[] = {1, 3, 9, 200};
    for (unsigned n = 0; n < sizeof totals / sizeof *totals; n++) {
        test_context("%u permits", totals[n]);
        struct shared *shared = open_shared(totals[n]);
        pid_t child = start_holder(shared, (int)totals[n]);
        CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_NOW), -ETIMEDOUT);
        test_kill(child);
        for (uint32_t i = 0; i < totals[n]; i++)
            CHECK_RC(kin_semaphore_acquire(shared->semaphore, kin_in_s(60)), 0);
        CHECK_EQ(kin_semaphore_value(shared->semaphore), 0);
        close_shared(shared);
    }
    books_check_blocks(&books);
}

TEST(permits_of_those_who_exit_come_back)
{
    struct shared *shared = open_shared(3);
    pid_t child = start_holder(shared, 2);
    CHECK_OK(kin_semaphore_release(shared->go));
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 3);
    close_shared(shared);
}

TEST(plain_permits_are_used_up)
{
    struct shared *shared = open_shared(0);
    CHECK_OK(kin_semaphore_close(shared->semaphore));
    shared->semaphore = open_one(3, (kin_semaphore_options){.plain = true});
    pid_t child = start_holder(shared, 2);
    test_kill(child);
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 1);
    close_shared(shared);
}

/* Who releases without holding any releases another's, which has then one less to lose. */
TEST(a_release_by_another_keeps_the_sum)
{
    struct shared *shared = open_shared(3);
    pid_t child = start_holder(shared, 2);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 1);
    CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 2);
    test_kill(child);
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 3);
    close_shared(shared);
}

/* Our own come first. */
TEST(a_release_prefers_ones_own)
{
    struct shared *shared = open_shared(3);
    pid_t child = start_holder(shared, 2);
    CHECK_OK(kin_semaphore_acquire(shared->semaphore, KIN_NOW));
    CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 1);
    test_kill(child);
    CHECK_OK(kin_sweep());
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 3);
    close_shared(shared);
}

static void release_one(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
}

TEST(a_child_may_release_for_its_parent)
{
    struct shared *shared = open_shared(1);
    CHECK_OK(kin_semaphore_acquire(shared->semaphore, KIN_NOW));
    CHECK_EQ(test_collect(test_child(release_one, shared)), 0);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 1);
    close_shared(shared);
}

static void *acquire_in_thread(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_NOW), 0);
    return NULL;
}

TEST(permits_are_the_process_s_not_the_thread_s)
{
    struct shared *shared = open_shared(1);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, acquire_in_thread, shared), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 0);
    CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 1);
    close_shared(shared);
}

/* The only thread that has used kin is gone; then the process is killed. */
static void hold_without_members(void *argument)
{
    struct shared *shared = argument;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, acquire_in_thread, shared), 0);
    pthread_join(thread, NULL);
    shared->stage = 1;
    for (;;) pause();
}

TEST(a_process_without_members_is_missed_too)
{
    struct books books = books_open();
    struct shared *shared = open_shared(1);
    pid_t child = test_child(hold_without_members, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_semaphore_acquire(shared->semaphore, kin_in_ms(150)), -ETIMEDOUT);
    test_kill(child);
    CHECK_RC(kin_semaphore_acquire(shared->semaphore, kin_in_s(60)), 0);
    close_shared(shared);
    books_check_blocks(&books);
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

static void acquire_then_release(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    shared->stage++;
    CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_FOREVER), 0);
    CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
}

static void one_release_passes_it_on(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(1);
    struct crew crew;
    CHECK_OK(kin_semaphore_acquire(shared->semaphore, KIN_NOW));
    crew_start(&crew, kind, 6, acquire_then_release, shared);
    test_until(books_sleepers() == 6);
    CHECK_OK(kin_semaphore_release(shared->semaphore));
    crew_join(&crew);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 1);
    close_shared(shared);
    books_check(&books);
}
CREW_TEST(one_release_passes_it_on)

static void acquire_signal(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    CHECK_RC(kin_semaphore_acquire(shared->go, KIN_FOREVER), 0);
}

static void a_release_of_many_wakes_as_many(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(0);
    struct crew crew;
    crew_start(&crew, kind, 6, acquire_signal, shared);
    test_until(books_sleepers() == 6);
    CHECK_OK(kin_semaphore_release_many(shared->go, 6));
    crew_join(&crew);
    CHECK_EQ(kin_semaphore_value(shared->go), 0);
    close_shared(shared);
    books_check(&books);
}
CREW_TEST(a_release_of_many_wakes_as_many)

static void acquire_till_closed(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_FOREVER), KIN_ECLOSED);
}

static void closing_wakes_all(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(0);
    struct crew crew;
    crew_start(&crew, kind, 4, acquire_till_closed, shared);
    test_until(books_sleepers() == 4);
    kin_semaphore *old = shared->semaphore;
    CHECK_OK(kin_semaphore_close(old));
    shared->semaphore = open_one(0, kinds[0]);
    crew_join(&crew);
    close_shared(shared);
    books_check(&books);
}
CREW_TEST(closing_wakes_all)

/* ---- never more than so many inside ----------------------------------------------------------------------- */

static void go_in_and_out(void *context, unsigned index)
{
    struct shared *shared = context;
    int rounds = test_sanitized() ? 3000 : 60000;
    for (int i = 0; i < rounds; i++) {
        CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_FOREVER), 0);
        int inside = ++shared->inside;
        CHECK_LE(inside, shared->count);
        for (int most = shared->most;
             inside > most && !atomic_compare_exchange_weak(&shared->most, &most, inside);)
            ;
        if (i % 64 == (int)index) sched_yield();
        shared->inside--;
        CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
    }
}

static void never_too_many_inside(enum crew_kind kind)
{
    static const uint32_t totals[] = {1, 3, 6};
    for (unsigned n = 0; n < sizeof totals / sizeof *totals; n++) {
        struct books books = books_open();
        struct shared *shared = open_shared(totals[n]);
        test_context("%u permits", totals[n]);
        shared->count = (int)totals[n];
        crew_run(kind, 8, go_in_and_out, shared);
        CHECK_EQ(kin_semaphore_value(shared->semaphore), (long)totals[n]);
        CHECK_EQ(shared->inside, 0);
        close_shared(shared);
        books_check(&books);
    }
}
CREW_TEST(never_too_many_inside)

/* With one permit for each and one to spare, nobody ever finds none. */
static void try_in_vain_never(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    for (int i = 0; i < (test_sanitized() ? 3000 : 60000); i++) {
        CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_NOW), 0);
        CHECK_GE(kin_semaphore_value(shared->semaphore), 1);
        CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
    }
}

static void a_free_permit_is_found(enum crew_kind kind)
{
    struct shared *shared = open_shared(7);
    crew_run(kind, 6, try_in_vain_never, shared);
    CHECK_EQ(kin_semaphore_value(shared->semaphore), 7);
    close_shared(shared);
}
CREW_TEST(a_free_permit_is_found)

/* Signals: produced by the even, consumed by the odd. */
static void signal_or_wait(void *context, unsigned index)
{
    struct shared *shared = context;
    for (int i = 0; i < (test_sanitized() ? 2000 : 40000); i++) {
        if (index % 2 == 0) CHECK_RC(kin_semaphore_release(shared->semaphore), 0);
        if (index % 2 == 1) CHECK_RC(kin_semaphore_acquire(shared->semaphore, KIN_FOREVER), 0);
    }
}

static void signals_are_counted(enum crew_kind kind)
{
    for (int plain = 0; plain < 2; plain++) {
        struct books books = books_open();
        struct shared *shared = open_shared(0);
        CHECK_OK(kin_semaphore_close(shared->semaphore));
        shared->semaphore = open_one(2, (kin_semaphore_options){.plain = plain});
        crew_run(kind, 4, signal_or_wait, shared);
        /* What the processes of the crew had not given back came back when they ended. */
        if (plain) CHECK_EQ(kin_semaphore_value(shared->semaphore), 2);
        CHECK_GE(kin_semaphore_value(shared->semaphore), 2);
        close_shared(shared);
        books_check(&books);
    }
}
CREW_TEST(signals_are_counted)

/* ---- faults ------------------------------------------------------------------------------------------------ */

static int make(void *context)
{
    return kin_semaphore_open(context, 20000, NULL);
}

static int unmake(void *context)
{
    return kin_semaphore_close(*(kin_semaphore **)context);
}

TEST(opening_under_faults)
{
    kin_semaphore *semaphore = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &semaphore, .cold = true});
    CHECK_GT(report.failures, 0);
}
