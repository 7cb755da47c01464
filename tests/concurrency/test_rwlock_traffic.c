/* test_rwlock_traffic.c: a read-write lock under load: no reader sees half a change, no change is
 * lost, nobody starves, whoever is killed meanwhile. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/rwlock.h>

struct work {
    kin_rwlock *lock;
    volatile long left, right; /* equal whenever nobody writes */
    _Atomic int reading, writing;
    _Atomic long writes, together;
    _Atomic long rounds_done[CREW_MOST];
    int rounds;
    unsigned share; /* one of so many writes */
};

static struct work *open_work(const kin_rwlock_options *options, int rounds, unsigned share)
{
    struct work *work = test_shared(sizeof *work);
    work->rounds = test_sanitized() ? rounds / 10 : rounds;
    work->share = share;
    CHECK_OK(kin_rwlock_open(&work->lock, options));
    return work;
}

static void write_once(struct work *work)
{
    CHECK_RC(kin_rwlock_acquire_write(work->lock, KIN_FOREVER), 0);
    KIN_RWLOCK_GUARD(work->lock);
    CHECK_EQ(work->writing++, 0);
    CHECK_EQ(work->reading, 0);
    work->left++;
    work->writes++;
    work->right++;
    CHECK_EQ(--work->writing, 0);
}

static void read_once(struct work *work)
{
    CHECK_RC(kin_rwlock_acquire_read(work->lock, KIN_FOREVER), 0);
    KIN_RWLOCK_GUARD(work->lock);
    if (work->reading++ > 0) work->together++;
    CHECK_EQ(work->writing, 0);
    CHECK_EQ(work->left, work->right);
    work->reading--;
}

static void read_and_write(void *context, unsigned index)
{
    struct work *work = context;
    uint64_t random = 17 + index;
    for (int i = 0; i < work->rounds; i++) {
        if (chaos_random(&random) % work->share == 0)
            write_once(work);
        else
            read_once(work);
    }
}

static void run(enum crew_kind kind, const kin_rwlock_options *options, unsigned share)
{
    struct books books = books_open();
    struct work *work = open_work(options, 30000, share);
    double start = test_seconds();
    crew_run(kind, 6, read_and_write, work);
    NOTE("%.0f ns each, %ld writes, %ld reads beside others",
         (test_seconds() - start) / work->rounds / 6 * 1e9, work->writes, work->together);
    CHECK_EQ(work->left, work->writes);
    CHECK_EQ(work->right, work->writes);
    CHECK_RC(kin_rwlock_close(work->lock), 0);
    books_check(&books);
}

static void a_write_in_fifty(enum crew_kind kind)
{
    run(kind, NULL, 50);
}
CREW_TEST(a_write_in_fifty)

static void a_write_in_two(enum crew_kind kind)
{
    run(kind, NULL, 2);
}
CREW_TEST(a_write_in_two)

static void fair_a_write_in_ten(enum crew_kind kind)
{
    run(kind, &(kin_rwlock_options){.fair = true}, 10);
}
CREW_TEST(fair_a_write_in_ten)

/* Everybody comes to an end although the others never stop. */
static void until_all_have_had_enough(void *context, unsigned index)
{
    struct work *work = context;
    for (;;) {
        if (index % 3 == 0)
            write_once(work);
        else
            read_once(work);
        work->rounds_done[index]++;
        int enough = 0;
        for (int i = 0; i < 6; i++) enough += work->rounds_done[i] >= work->rounds;
        if (enough == 6) break;
    }
}

static void nobody_starves(enum crew_kind kind)
{
    struct work *work = open_work(&(kin_rwlock_options){.fair = true}, 500, 2);
    crew_run(kind, 6, until_all_have_had_enough, work);
    long most = 0;
    for (int i = 0; i < 6; i++) most = work->rounds_done[i] > most ? work->rounds_done[i] : most;
    NOTE("%d turns for everybody, %ld for the quickest", work->rounds, most);
    CHECK_RC(kin_rwlock_close(work->lock), 0);
}
CREW_TEST(nobody_starves)

/* ---- killed all the time -------------------------------------------------------------------------- */

static void go_on(void *argument, bool writer)
{
    struct work *work = argument;
    for (;;) {
        int rc = writer ? kin_rwlock_acquire_write(work->lock, KIN_FOREVER)
                        : kin_rwlock_acquire_read(work->lock, KIN_FOREVER);
        CHECK_OK(rc);
        if (writer) {
            /* The dead one may have come half-way; who is told may have been a reader. */
            work->right = work->left;
            work->left++;
            work->right++;
        }
        work->rounds_done[writer]++;
        CHECK_RC(kin_rwlock_release(work->lock), 0);
    }
}

static void go_on_reading(void *argument)
{
    go_on(argument, false);
}

static void go_on_writing(void *argument)
{
    go_on(argument, true);
}

TEST(goes_on_whoever_is_killed, .deadline = 120)
{
    struct books books = books_open();
    for (int fair = 0; fair < 2; fair++) {
        struct work *work = open_work(&(kin_rwlock_options){.fair = fair == 1}, 1, 1);
        uint64_t random = 5;
        pid_t child[4];
        void (*role[2])(void *) = {go_on_reading, go_on_writing};
        for (int i = 0; i < 4; i++) child[i] = test_child(role[i % 2], work);
        int kills = test_sanitized() ? 50 : 500;
        for (int i = 0; i < kills; i++) {
            long before[2] = {work->rounds_done[0], work->rounds_done[1]};
            for (uint64_t spin = chaos_random(&random) % 20000; spin > 0; spin--) __asm__ volatile("");
            int victim = i % 4;
            test_kill(child[victim]);
            child[victim] = test_child(role[victim % 2], work);
            test_until(work->rounds_done[0] != before[0] && work->rounds_done[1] != before[1]);
        }
        for (int i = 0; i < 4; i++) test_kill(child[i]);
        CHECK_OK(kin_rwlock_close(work->lock));
        NOTE("%d kills, %ld reads, %ld writes", kills, work->rounds_done[0], work->rounds_done[1]);
    }
    books_check_blocks(&books);
}
