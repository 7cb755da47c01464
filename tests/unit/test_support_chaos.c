/* test_support_chaos.c: the random killer and its accounts. */
#define _GNU_SOURCE
#include "support/chaos.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

struct shared {
    _Atomic unsigned long turns[4];
    _Atomic int processes[4];
};

static struct shared *shared;
static long after_kills;

static void turn(void *context, unsigned index)
{
    (void)context;
    while (!chaos_stopping()) {
        atomic_fetch_add(&shared->turns[index], 1);
        chaos_progress();
    }
}

static void after_kill(void *context, unsigned role, pid_t victim)
{
    (void)context;
    (void)role;
    CHECK_RC(kill(victim, 0), -1);
    after_kills++;
}

TEST(kills_and_restarts)
{
    shared = test_shared(sizeof(*shared));
    struct chaos_report report = chaos(&(struct chaos){
        .roles = {{"turner", 2, turn}, {"other", 1, turn}}, .kills = 500, .after_kill = after_kill});
    CHECK_EQ(report.kills, 500);
    CHECK_EQ(after_kills, 500);
    CHECK_EQ(report.killed[0] + report.killed[1], 500);
    CHECK_GT(report.killed[0], report.killed[1]);
    CHECK_GT(report.progress, 0);
    CHECK_GT(shared->turns[0], 0);
    CHECK_GT(shared->turns[1], 0);
}

static bool first_only(void *context, unsigned role, unsigned index)
{
    (void)context;
    (void)index;
    return role == 0;
}

TEST(spares_whom_it_is_told_to)
{
    shared = test_shared(sizeof(*shared));
    struct chaos_report report = chaos(&(struct chaos){
        .roles = {{"turner", 1, turn}, {"spared", 1, turn}}, .kills = 50, .may_kill = first_only});
    CHECK_EQ(report.killed[0], 50);
    CHECK_EQ(report.killed[1], 0);
}

TEST(ends_in_time)
{
    shared = test_shared(sizeof(*shared));
    struct chaos_report report =
        chaos(&(struct chaos){.roles = {{"turner", 1, turn}}, .kills = 1000000000, .seconds = 0.3});
    CHECK_GE(report.seconds, 0.3);
    CHECK_LT(report.kills, 1000000000);
}

/* ---- what must fail -------------------------------------------------------------------------- */

static void stand_still(void *context, unsigned index)
{
    (void)context;
    (void)index;
    chaos_progress();
    while (!chaos_stopping()) pause();
}

static void end_early(void *context, unsigned index)
{
    (void)context;
    (void)index;
    chaos_progress();
}

static void crash(void *context, unsigned index)
{
    (void)context;
    (void)index;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit code */
    raise(SIGSEGV);
}

static bool nobody(void *context, unsigned role, unsigned index)
{
    (void)context;
    (void)role;
    (void)index;
    return false;
}

TEST(a_hang_is_found)
{
    if (!test_inner()) {
        test_expect_failure("a_hang_is_found", "no progress for");
    } else {
        /* A process that is started again would make progress. */
        chaos(&(struct chaos){
            .roles = {{"idler", 2, stand_still}}, .kills = 1000000, .may_kill = nobody, .hang_seconds = 0.3});
    }
}

TEST(an_early_end_is_found)
{
    if (!test_inner()) {
        test_expect_failure("an_early_end_is_found", "leaver 0 ended by itself with code 1");
    } else {
        chaos(&(struct chaos){.roles = {{"leaver", 1, end_early}}, .kills = 1000000, .delay_us = 5000});
    }
}

TEST(a_crash_is_found)
{
    if (!test_inner()) {
        test_expect_failure("a_crash_is_found", "crasher 0 died of SIGSEGV");
    } else {
        chaos(&(struct chaos){.roles = {{"crasher", 1, crash}}, .kills = 1000000, .delay_us = 5000});
    }
}

/* ---- accounts ------------------------------------------------------------------------------------ */

TEST(every_wrong_is_counted_once)
{
    struct ledger *ledger = ledger_open(2, 100);
    for (unsigned i = 0; i < 10; i++) CHECK_EQ(ledger_issue(ledger, 0), i);
    for (unsigned i = 0; i < 5; i++) CHECK_EQ(ledger_issue(ledger, 1), i);
    for (unsigned i = 0; i < 9; i++) ledger_acknowledge(ledger, 0, i);
    for (unsigned i = 1; i < 8; i++) ledger_see(ledger, 0, i, true); /* 0 and 8 are lost */
    ledger_see(ledger, 0, 9, true);                                  /* not acknowledged */
    ledger_see(ledger, 0, 3, true);                                  /* twice, and out of order */
    ledger_see(ledger, 1, 4, false);
    ledger_see(ledger, 1, 3, false); /* in no order, which nobody asked for */
    ledger_see(ledger, 1, 5, false); /* never issued */
    ledger_see(ledger, 2, 0, false); /* nobody's */
    struct ledger_account account = ledger_account(ledger);
    CHECK_EQ(account.issued, 15);
    CHECK_EQ(account.acknowledged, 9);
    CHECK_EQ(account.lost, 2);
    CHECK_EQ(account.duplicated, 1);
    CHECK_EQ(account.seen_unacknowledged, 3);
    CHECK_EQ(account.out_of_order, 1);
    CHECK_EQ(account.corrupt, 2);
    CHECK(!ledger_is_full(ledger, 0));
    for (unsigned i = 0; i < 30; i++) ledger_issue(ledger, 0);
    CHECK(ledger_is_full(ledger, 0));
}
