/* test_lock_counter.c: a lock under load: what it protects is exact, nobody is forgotten, and a
 * stopped or slow holder costs the others their deadlines and nothing else. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>

#define LOCKS 16

struct work {
    kin_lock *lock[LOCKS];
    int rounds;
    volatile long counter[LOCKS]; /* under the lock of the same index */
    _Atomic int inside;
    _Atomic long turns[CREW_MOST];
    _Atomic long timeouts;
    _Atomic int stop;
};

static struct work *make_work(int rounds)
{
    struct work *work = test_shared(sizeof *work);
    work->rounds = test_sanitized() ? rounds / 10 : rounds;
    for (int i = 0; i < LOCKS; i++) CHECK_OK(kin_lock_open(&work->lock[i]));
    return work;
}

static void close_work(struct work *work)
{
    for (int i = 0; i < LOCKS; i++) CHECK_RC(kin_lock_close(work->lock[i]), 0);
}

/* ---- counting ------------------------------------------------------------------------------------ */

static void count(void *context, unsigned index)
{
    struct work *work = context;
    (void)index;
    for (int i = 0; i < work->rounds; i++) {
        CHECK_RC(kin_lock_acquire(work->lock[0], KIN_FOREVER), 0);
        CHECK_EQ(work->inside++, 0);
        work->counter[0]++;
        CHECK_EQ(--work->inside, 0);
        CHECK_RC(kin_lock_release(work->lock[0]), 0);
    }
}

static void run_counters(enum crew_kind kind, unsigned members, int rounds)
{
    struct books books = books_open();
    struct work *work = make_work(rounds);
    double start = test_seconds();
    crew_run(kind, members, count, work);
    NOTE("%.0f ns each", (test_seconds() - start) / work->rounds / members * 1e9);
    CHECK_EQ(work->counter[0], (long)members * work->rounds);
    close_work(work);
    members == 2 ? books_check_wakes(&books) : books_check(&books);
}

static void two_count(enum crew_kind kind)
{
    run_counters(kind, 2, 3000000);
}
CREW_TEST(two_count)

static void eight_count(enum crew_kind kind)
{
    run_counters(kind, 8, 300000);
}
CREW_TEST(eight_count)

/* ---- many locks, deadlines, and holders that dawdle --------------------------------------------------- */

static void count_in_time(void *context, unsigned index)
{
    struct work *work = context;
    uint64_t random = 99 + index;
    for (int i = 0; i < work->rounds; i++) {
        uint64_t choice = chaos_random(&random);
        kin_deadline deadline = choice % 4 == 0 ? KIN_NOW : kin_in_ns((int64_t)(choice >> 20) % 100000);
        int rc = kin_lock_acquire(work->lock[0], deadline);
        if (rc == -ETIMEDOUT) {
            work->timeouts++;
            continue;
        }
        CHECK_RC(rc, 0);
        work->counter[0]++;
        work->turns[index]++;
        /* Now and then it is held for longer than most deadlines. */
        if (choice % 64 == 1)
            for (kin_deadline end = kin_in_ns(50000); kin_clock() < end;)
                ;
        CHECK_RC(kin_lock_release(work->lock[0]), 0);
    }
}

static void who_gives_up_loses_nothing(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = make_work(20000);
    crew_run(kind, 6, count_in_time, work);
    long turns = 0;
    for (int i = 0; i < 6; i++) turns += work->turns[i];
    CHECK_EQ(work->counter[0], turns);
    CHECK_EQ(turns + work->timeouts, 6L * work->rounds);
    CHECK_GT(turns, 0);
    NOTE("%ld turns, %ld times out", turns, work->timeouts);
    CHECK_RC(kin_lock_acquire(work->lock[0], KIN_NOW), 0);
    CHECK_RC(kin_lock_release(work->lock[0]), 0);
    close_work(work);
    books_check(&books);
}
CREW_TEST(who_gives_up_loses_nothing)

/* Several locks at once, taken in order and given back in any. */
static void take_several(void *context, unsigned index)
{
    struct work *work = context;
    uint64_t random = 7 + index;
    for (int i = 0; i < work->rounds; i++) {
        uint64_t choice = chaos_random(&random);
        uint64_t wanted = choice & ((1 << LOCKS) - 1), held = 0;
        for (int n = 0; n < LOCKS; n++)
            if (wanted >> n & 1) {
                CHECK_RC(kin_lock_acquire(work->lock[n], KIN_FOREVER), 0);
                work->counter[n]++;
                held |= 1u << n;
            }
        for (int n = (int)(choice >> 40) % LOCKS; held != 0; n = (n + 5) % LOCKS)
            if (held >> n & 1) {
                work->turns[n]++;
                CHECK_RC(kin_lock_release(work->lock[n]), 0);
                held &= ~(1ull << n);
            }
    }
}

static void several_at_once(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = make_work(30000);
    crew_run(kind, 4, take_several, work);
    for (int i = 0; i < LOCKS; i++) CHECK_EQ(work->counter[i], work->turns[i]);
    close_work(work);
    books_check(&books);
}
CREW_TEST(several_at_once)

/* ---- one that is stopped --------------------------------------------------------------------------------- */

static void count_for_ever(void *argument)
{
    struct work *work = argument;
    for (;;) {
        CHECK_OK(kin_lock_acquire(work->lock[0], KIN_FOREVER));
        work->counter[0]++;
        work->turns[0]++;
        CHECK_RC(kin_lock_release(work->lock[0]), 0);
    }
}

TEST(a_process_stopped_anywhere_costs_deadlines_only, .alone = true)
{
    struct books books = books_open();
    struct work *work = make_work(1);
    pid_t child = test_child(count_for_ever, work);
    int held_up = 0, late = 0, times = test_sanitized() ? 50 : 300;
    double worst = 0;
    for (int i = 0; i < times;) {
        long before = work->turns[0];
        test_until(work->turns[0] != before);
        CHECK_EQ(kill(child, SIGSTOP), 0);
        double start = test_seconds();
        int rc = kin_lock_acquire(work->lock[0], kin_in_ms(20));
        double took = test_seconds() - start;
        worst = took > worst ? took : worst;
        held_up += rc == -ETIMEDOUT;
        if (rc == 0) CHECK_RC(kin_lock_release(work->lock[0]), 0);
        if (rc != 0) CHECK_RC(rc, -ETIMEDOUT);
        CHECK_EQ(kill(child, SIGCONT), 0);
        /* One that this machine was too busy for is none. */
        if (took < 0.02 + 0.3 * test_time_scale())
            i++;
        else
            late++;
        if (late > times / 20) break;
    }
    test_kill(child);
    CHECK_OK(kin_lock_acquire(work->lock[0], KIN_FOREVER));
    CHECK_RC(kin_lock_release(work->lock[0]), 0);
    close_work(work);
    books_check_blocks(&books);
    if (late > times / 20 && !test_again())
        FAIL("a stopped process cost more than the deadline %d times", late);
    NOTE("stopped with it %d of %d times; worst wait %.1f ms, %d too late", held_up, times + late,
         worst * 1e3, late);
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

static void open_and_close(void *context, unsigned index)
{
    struct work *work = context;
    kin_lock *lock[20];
    for (int i = 0; i < work->rounds; i++) {
        for (int n = 0; n < 20; n++) CHECK_RC(kin_lock_open(&lock[n]), 0);
        for (int n = 0; n < 20; n++) {
            CHECK_RC(kin_lock_acquire(lock[n], KIN_NOW), 0);
            CHECK_RC(kin_lock_close(lock[n]), -EBUSY);
            CHECK_RC(kin_lock_release(lock[n]), 0);
            CHECK_RC(kin_lock_close(lock[n]), 0);
        }
        work->turns[index]++;
    }
}

static void locks_come_and_go(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = make_work(1000);
    crew_run(kind, 4, open_and_close, work);
    for (int i = 0; i < 4; i++) CHECK_EQ(work->turns[i], work->rounds);
    close_work(work);
    books_check(&books);
}
CREW_TEST(locks_come_and_go)
