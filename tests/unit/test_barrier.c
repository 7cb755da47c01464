/* test_barrier.c: the barrier's contract, one promise or error at a time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <kin/barrier.h>
#include <kin/error.h>
#include <kin/memory.h>

#include "memory/table.h"

#define PARTIES 4

struct shared {
    kin_barrier *barrier;
    int rounds;
    int expected;
    _Atomic int arrived; /* in all rounds */
    _Atomic int acted;
    _Atomic int sum; /* of the indices */
    _Atomic int stage;
};

static int count_action(void *argument)
{
    struct shared *shared = argument;
    /* All are there, and nobody has gone on. */
    CHECK_EQ(shared->arrived % PARTIES, 0);
    shared->acted++;
    return 0;
}

static struct shared *open_shared(unsigned parties, kin_barrier_action *action)
{
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_RC(kin_barrier_open(&shared->barrier, parties, &(kin_barrier_options){action, shared}), 0);
    return shared;
}

static void check_reason(kin_barrier *barrier, enum kin_barrier_break kind, int pid)
{
    kin_barrier_reason reason;
    CHECK_OK(kin_barrier_cause(barrier, &reason));
    CHECK_EQ(reason.kind, kind);
    CHECK_EQ(reason.pid, pid);
    CHECK_EQ(kin_barrier_broken(barrier), kind != KIN_BARRIER_WHOLE);
}

/* ---- rounds ----------------------------------------------------------------------------------------- */

TEST(a_barrier_for_one_lets_through)
{
    struct books books = books_open();
    kin_barrier *barrier = NULL;
    CHECK_RC(kin_barrier_open(&barrier, 1, NULL), 0);
    for (int i = 0; i < 100; i++) CHECK_RC(kin_barrier_wait(barrier, KIN_NOW), 0);
    CHECK_EQ(kin_barrier_parties(barrier), 1);
    CHECK_EQ(kin_barrier_waiting(barrier), 0);
    check_reason(barrier, KIN_BARRIER_WHOLE, 0);
    CHECK_RC(kin_barrier_close(barrier), 0);
    books_check_wakes(&books);
}

static void go_round(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    for (int i = 0; i < shared->rounds; i++) {
        shared->arrived++;
        int rc = kin_barrier_wait(shared->barrier, KIN_FOREVER);
        CHECK_GE(rc, 0);
        CHECK_LT(rc, PARTIES);
        shared->sum += rc;
        CHECK_GE(shared->arrived, (i + 1) * PARTIES);
        CHECK_LE(shared->arrived, (i + 2) * PARTIES - 1);
    }
}

static void nobody_is_ahead(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, NULL);
    shared->rounds = test_sanitized() ? 500 : 5000;
    crew_run(kind, PARTIES, go_round, shared);
    /* In each round each index once. */
    CHECK_EQ(shared->sum, shared->rounds * (0 + 1 + 2 + 3));
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check(&books);
}
CREW_TEST(nobody_is_ahead)

static void the_action_runs_once_in_each_round(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, count_action);
    shared->rounds = test_sanitized() ? 200 : 2000;
    crew_run(kind, PARTIES, go_round, shared);
    CHECK_EQ(shared->acted, shared->rounds);
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check(&books);
}
CREW_TEST(the_action_runs_once_in_each_round)

/* Twice as many come as there are parties: two rounds, of whomever. */
static void come_once(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    int rc = kin_barrier_wait(shared->barrier, KIN_FOREVER);
    CHECK_OK(rc);
    shared->sum += rc;
    /* As exit does; the children of a test end at once, and how is not known once they are collected. */
    kin__leaving();
}

static int dawdle(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < 1000; i++) sched_yield();
    shared->acted++;
    return 0;
}

static void more_than_enough_come(enum crew_kind kind)
{
    struct shared *shared = open_shared(PARTIES, dawdle);
    crew_run(kind, 2 * PARTIES, come_once, shared);
    CHECK_EQ(shared->acted, 2);
    CHECK_EQ(shared->sum, 2 * (0 + 1 + 2 + 3));
    CHECK_OK(kin_barrier_close(shared->barrier));
}
CREW_TEST(more_than_enough_come)

/* ---- breaking ------------------------------------------------------------------------------------------ */

static void wait_for(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    CHECK_RC(kin_barrier_wait(shared->barrier, KIN_FOREVER), shared->expected);
}

static void three_wait(enum crew_kind kind, struct crew *crew, struct shared *shared, int expected)
{
    shared->expected = expected;
    crew_start(crew, kind, 3, wait_for, shared);
    test_until(kin_barrier_waiting(shared->barrier) == 3 && books_sleepers() == 3);
}

static void an_abort_breaks_it(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, NULL);
    struct crew crew;
    three_wait(kind, &crew, shared, KIN_EBARRIER);
    CHECK_RC(kin_barrier_abort(shared->barrier), 0);
    crew_join(&crew);
    check_reason(shared->barrier, KIN_BARRIER_ABORTED, getpid());
    CHECK_EQ(kin_barrier_waiting(shared->barrier), 0);
    CHECK_RC(kin_barrier_wait(shared->barrier, KIN_FOREVER), KIN_EBARRIER);
    CHECK_RC(kin_barrier_abort(shared->barrier), 0);
    CHECK_OK(kin_barrier_reset(shared->barrier));
    check_reason(shared->barrier, KIN_BARRIER_WHOLE, 0);
    shared->rounds = 10;
    shared->arrived = 0;
    crew_run(kind, PARTIES, go_round, shared);
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check(&books);
}
CREW_TEST(an_abort_breaks_it)

static void a_reset_sends_those_away_who_wait(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, NULL);
    struct crew crew;
    three_wait(kind, &crew, shared, KIN_EBARRIER);
    CHECK_RC(kin_barrier_reset(shared->barrier), 0);
    CHECK_EQ(kin_barrier_waiting(shared->barrier), 0);
    CHECK_RC(kin_barrier_reset(shared->barrier), 0);
    crew_join(&crew);
    check_reason(shared->barrier, KIN_BARRIER_WHOLE, 0);
    shared->rounds = 30; /* more than the rounds it remembers */
    crew_run(kind, PARTIES, go_round, shared);
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check(&books);
}
CREW_TEST(a_reset_sends_those_away_who_wait)

static void a_deadline_breaks_it(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(5, NULL);
    struct crew crew;
    three_wait(kind, &crew, shared, KIN_EBARRIER);
    CHECK_RC(kin_barrier_wait(shared->barrier, kin_in_ms(5)), -ETIMEDOUT);
    crew_join(&crew);
    check_reason(shared->barrier, KIN_BARRIER_DEADLINE, getpid());
    CHECK_OK(kin_barrier_reset(shared->barrier));
    CHECK_RC(kin_barrier_wait(shared->barrier, KIN_NOW), -ETIMEDOUT);
    check_reason(shared->barrier, KIN_BARRIER_DEADLINE, getpid());
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check(&books);
}
CREW_TEST(a_deadline_breaks_it)

static int fail(void *argument)
{
    (void)argument;
    return -EIO;
}

static void an_action_that_fails_breaks_it(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, fail);
    struct crew crew;
    three_wait(kind, &crew, shared, KIN_EBARRIER);
    CHECK_RC(kin_barrier_wait(shared->barrier, KIN_FOREVER), -EIO);
    crew_join(&crew);
    check_reason(shared->barrier, KIN_BARRIER_ACTION, getpid());
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check(&books);
}
CREW_TEST(an_action_that_fails_breaks_it)

static void closing_wakes_all(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, NULL);
    struct crew crew;
    three_wait(kind, &crew, shared, KIN_ECLOSED);
    CHECK_OK(kin_barrier_close(shared->barrier));
    crew_join(&crew);
    books_check(&books);
}
CREW_TEST(closing_wakes_all)

/* ---- deaths ------------------------------------------------------------------------------------------------ */

static void check_death(kin_barrier *barrier, int pid, enum kin_exit_kind end)
{
    kin_barrier_reason reason;
    check_reason(barrier, KIN_BARRIER_DEATH, pid);
    CHECK_OK(kin_barrier_cause(barrier, &reason));
    CHECK(reason.end == end || reason.end == KIN_UNKNOWN);
    if (reason.end == KIN_SIGNALED) CHECK_EQ(reason.signal, SIGKILL);
    NOTE("%s", reason.end == KIN_UNKNOWN ? "the end was not known any more" : "the end was known");
}

static void wait_for_ever(void *argument)
{
    struct shared *shared = argument;
    kin_barrier_wait(shared->barrier, KIN_FOREVER);
}

TEST(a_party_killed_while_it_waits_breaks_it)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, NULL);
    pid_t victim = test_child(wait_for_ever, shared);
    test_until(kin_barrier_waiting(shared->barrier) == 1);
    CHECK_EQ(kill(victim, SIGKILL), 0);
    /* It is a zombie: nobody has collected it when we find out. */
    CHECK_RC(kin_barrier_wait(shared->barrier, kin_in_s(10)), KIN_EBARRIER);
    kin_barrier_reason reason;
    CHECK_OK(kin_barrier_cause(shared->barrier, &reason));
    CHECK_EQ(reason.kind, KIN_BARRIER_DEATH);
    CHECK_EQ(reason.pid, victim);
    CHECK_EQ(reason.end, KIN_SIGNALED);
    CHECK_EQ(reason.signal, SIGKILL);
    CHECK_EQ(test_collect(victim), SIGKILL);
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check_blocks(&books);
}

static void go_once_then_stay(void *argument)
{
    struct shared *shared = argument;
    CHECK_OK(kin_barrier_wait(shared->barrier, KIN_FOREVER));
    shared->stage = 1;
    for (;;) pause();
}

TEST(a_party_killed_between_two_rounds_breaks_the_next)
{
    struct books books = books_open();
    struct shared *shared = open_shared(2, NULL);
    pid_t victim = test_child(go_once_then_stay, shared);
    CHECK_OK(kin_barrier_wait(shared->barrier, KIN_FOREVER));
    test_until(shared->stage == 1);
    test_kill(victim);
    CHECK_RC(kin_barrier_wait(shared->barrier, kin_in_s(10)), KIN_EBARRIER);
    check_death(shared->barrier, victim, KIN_SIGNALED);
    /* A reset forgives. */
    CHECK_OK(kin_barrier_reset(shared->barrier));
    CHECK_OK(kin_sweep());
    check_reason(shared->barrier, KIN_BARRIER_WHOLE, 0);
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check_blocks(&books);
}

static void go_once_then_exit(void *argument)
{
    struct shared *shared = argument;
    CHECK_OK(kin_barrier_wait(shared->barrier, KIN_FOREVER));
    exit(0);
}

/* One after the other meets us and goes: no accident. */
TEST(parties_may_change)
{
    struct books books = books_open();
    struct shared *shared = open_shared(2, NULL);
    for (int i = 0; i < 10; i++) {
        pid_t child = test_child(go_once_then_exit, shared);
        CHECK_OK(kin_barrier_wait(shared->barrier, kin_in_s(10)));
        CHECK_EQ(test_collect(child), 0);
        CHECK_OK(kin_sweep());
        check_reason(shared->barrier, KIN_BARRIER_WHOLE, 0);
    }
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check_blocks(&books);
}

static int act_for_ever(void *argument)
{
    struct shared *shared = argument;
    shared->stage = 1;
    while (shared->stage == 1) pause();
    return 0;
}

TEST(a_party_killed_in_the_action_breaks_it)
{
    struct books books = books_open();
    struct shared *shared = open_shared(PARTIES, act_for_ever);
    struct crew crew;
    three_wait(CREW_PROCESSES, &crew, shared, KIN_EBARRIER);
    pid_t victim = test_child(wait_for_ever, shared);
    test_until(shared->stage == 1);
    CHECK_EQ(kill(victim, SIGKILL), 0);
    crew_join(&crew);
    check_death(shared->barrier, victim, KIN_SIGNALED);
    CHECK_EQ(test_collect(victim), SIGKILL);
    CHECK_OK(kin_barrier_close(shared->barrier));
    books_check_blocks(&books);
}

/* ---- bad input ------------------------------------------------------------------------------------------------ */

static void check_none(kin_barrier *barrier, int expected)
{
    kin_barrier_reason reason;
    CHECK_RC(kin_barrier_wait(barrier, KIN_FOREVER), expected);
    CHECK_RC(kin_barrier_abort(barrier), expected);
    CHECK_RC(kin_barrier_reset(barrier), expected);
    CHECK_RC(kin_barrier_parties(barrier), expected);
    CHECK_RC(kin_barrier_waiting(barrier), expected);
    CHECK_RC(kin_barrier_broken(barrier), expected);
    CHECK_RC(kin_barrier_cause(barrier, &reason), expected);
}

TEST(bad_handles_are_refused)
{
    struct books books = books_open();
    static long long data[16];
    void *block = kin_alloc(256);
    kin_barrier *barrier = NULL;
    CHECK_RC(kin_barrier_open(NULL, 1, NULL), -EINVAL);
    CHECK_RC(kin_barrier_open(&barrier, 0, NULL), -EINVAL);
    CHECK_RC(kin_barrier_open(&barrier, 4001, NULL), -EINVAL);
    CHECK_RC(
        kin_barrier_open(&barrier, 2, &(kin_barrier_options){.action = (kin_barrier_action *)(void *)data}),
        KIN_ENOTCODE);
    CHECK_EQ(barrier, NULL);
    check_none(NULL, -EINVAL);
    CHECK_RC(kin_barrier_close(NULL), 0);
    CHECK_OK(kin_barrier_open(&barrier, 4000, NULL));
    CHECK_RC(kin_barrier_cause(barrier, NULL), -EINVAL);
    CHECK_EQ(kin_barrier_parties(barrier), 4000);
    void *wrong[] = {data, block, (char *)barrier + 1, (char *)barrier + 64, (void *)-64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        check_none(wrong[i], KIN_EFOREIGN);
        CHECK_RC(kin_barrier_close(wrong[i]), KIN_EFOREIGN);
    }
    test_context(NULL);
    CHECK_OK(kin_barrier_close(barrier));
    check_none(barrier, KIN_ECLOSED);
    CHECK_RC(kin_barrier_close(barrier), KIN_ECLOSED);
    CHECK_OK(kin_free(block));
    books_check_wakes(&books);
}

static int make(void *context)
{
    return kin_barrier_open(context, 4000, NULL);
}

static int unmake(void *context)
{
    return kin_barrier_close(*(kin_barrier **)context);
}

TEST(opening_under_faults)
{
    kin_barrier *barrier = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &barrier, .cold = true});
    CHECK_GT(report.failures, 0);
}
