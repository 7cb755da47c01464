/* test_condition.c: the condition's contract, one promise or error at a time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/faults.h"
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <kin/condition.h>
#include <kin/error.h>
#include <kin/memory.h>
#include <kin/wait.h>

/* A shelf of goods, shared by the processes of a case. */
struct shelf {
    kin_lock *lock;
    kin_rlock *rlock;
    kin_condition *changed;
    int goods; /* under the lock */
    int depth; /* how often a customer takes the lock */
    _Atomic int waiting;
    _Atomic int served;
    _Atomic int rc;
};

enum { OWN, LOCK, RLOCK, KINDS };

static struct shelf *open_shelf(int kind)
{
    struct shelf *shelf = test_shared(sizeof *shelf);
    kin_condition_options options = {0};
    if (kind == LOCK) {
        CHECK_OK(kin_lock_open(&shelf->lock));
        options.lock = shelf->lock;
    } else if (kind == RLOCK) {
        CHECK_OK(kin_rlock_open(&shelf->rlock, NULL));
        options.rlock = shelf->rlock;
    }
    shelf->depth = kind == LOCK ? 1 : 3;
    CHECK_OK(kin_condition_open(&shelf->changed, &options));
    return shelf;
}

static void close_shelf(struct shelf *shelf)
{
    CHECK_OK(kin_condition_close(shelf->changed));
    if (shelf->lock != NULL) CHECK_OK(kin_lock_close(shelf->lock));
    if (shelf->rlock != NULL) CHECK_OK(kin_rlock_close(shelf->rlock));
}

static bool has_goods(void *argument)
{
    return ((struct shelf *)argument)->goods > 0;
}

/* Takes one when there is one. */
static void *buy(void *argument)
{
    struct shelf *shelf = argument;
    for (int i = 0; i < shelf->depth; i++) CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->waiting++;
    int rc = kin_condition_wait_for(shelf->changed, has_goods, shelf, KIN_FOREVER);
    CHECK_OK(rc);
    shelf->rc = rc;
    if (rc == 0) shelf->goods--;
    shelf->served++;
    for (int i = 0; i < shelf->depth; i++) CHECK_RC(kin_condition_release(shelf->changed), 0);
    CHECK_RC(kin_condition_release(shelf->changed), -EPERM);
    return NULL;
}

static void buy_in_a_child(void *argument)
{
    buy(argument);
}

/* Waits until `count` customers have given the lock back and sleep, or are about to. */
static void until_they_wait(struct shelf *shelf, int count)
{
    test_until(shelf->waiting == count);
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    CHECK_OK(kin_condition_release(shelf->changed));
}

static void deliver(struct shelf *shelf, int count, unsigned notified)
{
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->goods += count;
    CHECK_RC(kin_condition_notify(shelf->changed, notified), 0);
    CHECK_OK(kin_condition_release(shelf->changed));
}

TEST(a_waiter_goes_on_when_it_is_notified)
{
    struct books books = books_open();
    for (int kind = 0; kind < KINDS; kind++) {
        struct shelf *shelf = open_shelf(kind);
        pid_t customer = test_child(buy_in_a_child, shelf);
        until_they_wait(shelf, 1);
        CHECK_EQ(shelf->served, 0);
        CHECK_RC(kin_condition_close(shelf->changed), -EBUSY);
        deliver(shelf, 1, 1);
        CHECK_EQ(test_collect(customer), 0);
        CHECK_RC(shelf->rc, 0);
        CHECK_EQ(shelf->goods, 0);
        close_shelf(shelf);
    }
    books_check_wakes(&books);
}

#define MANY 6

TEST(one_some_or_all_are_notified)
{
    struct books books = books_open();
    struct shelf *shelf = open_shelf(OWN);
    pthread_t customers[MANY];
    for (int i = 0; i < MANY; i++) CHECK_EQ(pthread_create(&customers[i], NULL, buy, shelf), 0);
    until_they_wait(shelf, MANY);
    deliver(shelf, 0, 1); /* woken in vain, it waits again */
    deliver(shelf, 1, 1);
    test_until(shelf->served == 1);
    deliver(shelf, 2, 2);
    test_until(shelf->served == 3);
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->goods += MANY;
    CHECK_RC(kin_condition_notify_all(shelf->changed), 0);
    CHECK_OK(kin_condition_release(shelf->changed));
    for (int i = 0; i < MANY; i++) pthread_join(customers[i], NULL);
    CHECK_EQ(shelf->goods, 3);
    close_shelf(shelf);
    books_check(&books);
}

TEST(nobody_there_is_no_error)
{
    struct shelf *shelf = open_shelf(OWN);
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_NOW));
    CHECK_RC(kin_condition_notify(shelf->changed, 1), 0);
    CHECK_RC(kin_condition_notify(shelf->changed, 0), 0);
    CHECK_RC(kin_condition_notify(shelf->changed, UINT32_MAX), 0);
    CHECK_RC(kin_condition_notify_all(shelf->changed), 0);
    /* A notification is not kept for who comes later. */
    CHECK_RC(kin_condition_wait(shelf->changed, kin_in_ms(20)), -ETIMEDOUT);
    CHECK_OK(kin_condition_release(shelf->changed));
    close_shelf(shelf);
}

static void wait_in_vain(struct shelf *shelf, bool plainly, int64_t wait_ms)
{
    kin_deadline deadline = wait_ms == 0 ? KIN_NOW : kin_in_ms(wait_ms);
    if (plainly)
        CHECK_RC(kin_condition_wait(shelf->changed, deadline), -ETIMEDOUT);
    else
        CHECK_RC(kin_condition_wait_for(shelf->changed, has_goods, shelf, deadline), -ETIMEDOUT);
}

TEST(the_deadline_is_kept_and_the_lock_held, .alone = true)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct shelf *shelf = open_shelf(kind);
        for (int i = 0; i < shelf->depth; i++) CHECK_OK(kin_condition_acquire(shelf->changed, KIN_NOW));
        const int64_t some_ms[] = {0, 1, 20, 101, 250};
        for (size_t i = 0; i < sizeof some_ms / sizeof *some_ms; i++) {
            CHECK_WAITS((double)some_ms[i] / 1e3, wait_in_vain(shelf, i % 2 != 0, some_ms[i]))
        }
        if (kind == RLOCK) CHECK_EQ(kin_rlock_depth(shelf->rlock), 3);
        if (kind == LOCK) CHECK_RC(kin_lock_locked(shelf->lock), 1);
        for (int i = 0; i < shelf->depth; i++) CHECK_OK(kin_condition_release(shelf->changed));
        close_shelf(shelf);
    }
}

TEST(wait_for_looks_first_and_last)
{
    struct shelf *shelf = open_shelf(OWN);
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_NOW));
    shelf->goods = 1;
    CHECK_RC(kin_condition_wait_for(shelf->changed, has_goods, shelf, KIN_NOW), 0);
    CHECK_OK(kin_condition_release(shelf->changed));
    close_shelf(shelf);
}

TEST(only_who_holds_the_lock_may_wait_and_notify)
{
    struct shelf *shelf = open_shelf(LOCK);
    CHECK_RC(kin_condition_wait(shelf->changed, KIN_FOREVER), -EPERM);
    CHECK_RC(kin_condition_wait_for(shelf->changed, has_goods, shelf, KIN_FOREVER), -EPERM);
    CHECK_RC(kin_condition_notify(shelf->changed, 1), -EPERM);
    CHECK_RC(kin_condition_notify_all(shelf->changed), -EPERM);
    CHECK_RC(kin_condition_release(shelf->changed), -EPERM);
    CHECK_OK(kin_lock_acquire(shelf->lock, KIN_NOW));
    CHECK_RC(kin_condition_wait_for(shelf->changed, NULL, shelf, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_condition_acquire(shelf->changed, KIN_FOREVER), -EDEADLK);
    CHECK_OK(kin_condition_release(shelf->changed));
    close_shelf(shelf);
}

TEST(bad_handles_are_refused)
{
    kin_lock *lock = NULL;
    kin_rlock *rlock = NULL;
    kin_condition *condition = NULL;
    CHECK_RC(kin_condition_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_condition_wait(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_condition_notify_all(NULL), -EINVAL);
    CHECK_RC(kin_condition_acquire(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_condition_close(NULL), 0);
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_rlock_open(&rlock, NULL));
    kin_condition_options two = {.lock = lock, .rlock = rlock};
    CHECK_RC(kin_condition_open(&condition, &two), -EINVAL);
    kin_condition_options wrong = {.lock = (kin_lock *)rlock};
    CHECK_RC(kin_condition_open(&condition, &wrong), KIN_EFOREIGN);
    CHECK_RC(kin_condition_wait((kin_condition *)lock, KIN_NOW), KIN_EFOREIGN);
    CHECK_OK(kin_condition_open(&condition, &(kin_condition_options){.lock = lock}));
    CHECK_OK(kin_lock_close(lock));
    CHECK_RC(kin_condition_acquire(condition, KIN_NOW), KIN_ECLOSED);
    CHECK_OK(kin_condition_close(condition));
    CHECK_RC(kin_condition_close(condition), KIN_ECLOSED);
    CHECK_RC(kin_condition_wait(condition, KIN_NOW), KIN_ECLOSED);
    CHECK_RC(kin_condition_open(&condition, &(kin_condition_options){.lock = lock}), KIN_ECLOSED);
    CHECK_OK(kin_rlock_close(rlock));
}

/* ---- deaths ------------------------------------------------------------------------------------- */

TEST(a_killed_sleeper_is_not_waited_for_and_swallows_nothing)
{
    struct books books = books_open();
    struct shelf *shelf = open_shelf(OWN);
    pid_t first = test_child(buy_in_a_child, shelf);
    until_they_wait(shelf, 1);
    pid_t second = test_child(buy_in_a_child, shelf);
    until_they_wait(shelf, 2);
    test_kill(first);
    deliver(shelf, 1, 1);
    CHECK_EQ(test_collect(second), 0);
    CHECK_EQ(shelf->goods, 0);
    close_shelf(shelf);
    books_check_blocks(&books);
}

/* The first in the queue is woken, stopped before it can take the lock, and killed: its
 * notification goes to the other. */
TEST(one_that_dies_on_its_way_back_passes_it_on)
{
    struct books books = books_open();
    struct shelf *shelf = open_shelf(OWN);
    pid_t first = test_child(buy_in_a_child, shelf);
    until_they_wait(shelf, 1);
    pid_t second = test_child(buy_in_a_child, shelf);
    until_they_wait(shelf, 2);
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->goods++;
    CHECK_OK(kin_condition_notify(shelf->changed, 1));
    CHECK_EQ(shelf->served, 0);
    test_kill(first); /* it needs the lock, which we hold */
    CHECK_OK(kin_condition_release(shelf->changed));
    CHECK_EQ(test_collect(second), 0);
    CHECK_EQ(shelf->goods, 0);
    close_shelf(shelf);
    books_check_blocks(&books);
}

static void deliver_and_die(void *argument)
{
    struct shelf *shelf = argument;
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->goods++;
    raise(SIGKILL);
}

/* Nobody is left who could notify: the waiter learns by itself. */
TEST(a_waiter_is_told_of_an_owner_that_died)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct shelf *shelf = open_shelf(kind);
        pid_t customer = test_child(buy_in_a_child, shelf);
        until_they_wait(shelf, 1);
        test_collect(test_child(deliver_and_die, shelf));
        CHECK_EQ(test_collect(customer), 0);
        CHECK_RC(shelf->rc, KIN_OWNER_DIED);
        close_shelf(shelf);
    }
}

/* Looks again when it is told of a death. */
static void see_goods(void *argument)
{
    struct shelf *shelf = argument;
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->waiting++;
    int rc = KIN_OWNER_DIED;
    while (rc == KIN_OWNER_DIED) rc = kin_condition_wait_for(shelf->changed, has_goods, shelf, KIN_FOREVER);
    CHECK_RC(rc, 0);
    CHECK_RC(kin_condition_release(shelf->changed), 0);
}

/* Only the next owner is told of the death; what the dead one changed concerns all who wait, also when the next
 * owner is none of them, and notifies nobody. */
TEST(all_who_wait_go_on_when_an_owner_died)
{
    enum { CUSTOMERS = 4 };
    for (int kind = 0; kind < KINDS; kind++) {
        for (int another = 0; another < 2; another++) {
            struct shelf *shelf = open_shelf(kind);
            pid_t customers[CUSTOMERS];
            for (int i = 0; i < CUSTOMERS; i++) customers[i] = test_child(see_goods, shelf);
            until_they_wait(shelf, CUSTOMERS);
            kin_waitable item = kin_on_condition(shelf->changed);
            test_collect(test_child(deliver_and_die, shelf));
            if (another) {
                CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
                CHECK_OK(kin_condition_release(shelf->changed));
            }
            for (int i = 0; i < CUSTOMERS; i++) CHECK_EQ(test_collect(customers[i]), 0);
            CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
            close_shelf(shelf);
        }
    }
}

static void wait_on_strict(void *argument)
{
    struct shelf *shelf = argument;
    CHECK_OK(kin_condition_acquire(shelf->changed, KIN_FOREVER));
    shelf->waiting++;
    shelf->rc = kin_condition_wait(shelf->changed, KIN_FOREVER);
    shelf->served++;
}

TEST(a_waiter_on_a_strict_lock_learns_that_it_is_unusable)
{
    struct shelf *shelf = test_shared(sizeof *shelf);
    CHECK_OK(kin_lock_open_with(&shelf->lock, &(kin_lock_options){.strict = true}));
    CHECK_OK(kin_condition_open(&shelf->changed, &(kin_condition_options){.lock = shelf->lock}));
    pid_t customer = test_child(wait_on_strict, shelf);
    until_they_wait(shelf, 1);
    test_collect(test_child(deliver_and_die, shelf));
    int rc = kin_lock_acquire(shelf->lock, KIN_FOREVER);
    /* Who comes first is told of the death, and repairs nothing. */
    if (rc == KIN_OWNER_DIED) CHECK_OK(kin_condition_notify_all(shelf->changed));
    if (rc >= 0) CHECK_OK(kin_lock_release(shelf->lock));
    CHECK_EQ(test_collect(customer), 0);
    CHECK_RC(shelf->rc, rc == KIN_OWNER_DIED ? KIN_EUNREPAIRED : KIN_OWNER_DIED);
    CHECK_OK(kin_condition_close(shelf->changed));
    CHECK_OK(kin_lock_close(shelf->lock));
}

/* ---- faults ------------------------------------------------------------------------------------- */

#define SOME 500

static int make_some(void *context)
{
    kin_condition **condition = context;
    for (int i = 0; i < SOME; i++) {
        int rc = kin_condition_open(&condition[i], NULL);
        if (rc == 0) continue;
        while (i > 0) CHECK_OK(kin_condition_close(condition[--i]));
        return rc;
    }
    return 0;
}

static int close_some(void *context)
{
    kin_condition **condition = context;
    for (int i = 0; i < SOME; i++) CHECK_OK(kin_condition_close(condition[i]));
    return 0;
}

TEST(open_under_faults)
{
    static kin_condition *condition[SOME];
    struct faults_report report =
        faults(&(struct faults){.make = make_some, .unmake = close_some, .context = condition, .cold = true});
    CHECK_GT(report.failures, 0);
}
