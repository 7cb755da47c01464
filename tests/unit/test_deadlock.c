/* test_deadlock.c: with KIN_DEBUG=deadlock a wait that closes a cycle fails at once and says why. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/condition.h>
#include <kin/error.h>
#include <kin/memory.h>
#include <kin/rwlock.h>

#define MOST 10

struct table {
    kin_lock *fork[MOST];
    kin_rwlock *rwlock;
    int philosophers;
    _Atomic int seated, index, told, done;
};

static struct table *lay(int philosophers)
{
    CHECK_EQ(setenv("KIN_DEBUG", "deadlock", 1), 0);
    struct table *table = test_shared(sizeof *table);
    table->philosophers = philosophers;
    for (int i = 0; i < philosophers; i++) CHECK_OK(kin_lock_open(&table->fork[i]));
    return table;
}

/* Takes the fork on its left, waits until all have, and wants the one on its right. */
static void dine(void *argument)
{
    struct table *table = argument;
    int me = table->index++;
    CHECK_RC(kin_lock_acquire(table->fork[me], KIN_FOREVER), 0);
    table->seated++;
    test_until(table->seated == table->philosophers);
    int next = (me + 1) % table->philosophers;
    int rc = kin_lock_acquire(table->fork[next], KIN_FOREVER);
    if (rc == -EDEADLK) {
        char text[2000], start[64], part[20];
        int length = kin_deadlock_text(text, sizeof text);
        CHECK_EQ(length, (int)strlen(text));
        CHECK_EQ(kin_deadlock_text(part, sizeof part), length);
        CHECK_EQ(strlen(part), sizeof part - 1);
        snprintf(start, sizeof start, "thread %d of process %d (test_deadlock)", gettid(), getpid());
        CHECK_MEM(text, start, strlen(start));
        CHECK(strstr(text, ", which waits for the lock at 0x") != NULL);
        CHECK(strstr(text, "the first") != NULL);
        table->told++;
    } else {
        CHECK_RC(rc, 0);
        CHECK_OK(kin_lock_release(table->fork[next]));
    }
    CHECK_OK(kin_lock_release(table->fork[me]));
}

static void dinner(int philosophers)
{
    struct books books = books_open();
    struct table *table = lay(philosophers);
    pid_t child[MOST];
    for (int i = 0; i < philosophers; i++) child[i] = test_child(dine, table);
    for (int i = 0; i < philosophers; i++) CHECK_EQ(test_collect(child[i]), 0);
    /* One at least, and rarely more: two may see the cycle before the first has left it. */
    CHECK_GE(table->told, 1);
    for (int i = 0; i < philosophers; i++) CHECK_OK(kin_lock_close(table->fork[i]));
    books_check_blocks(&books);
}

TEST(two_in_a_cycle)
{
    dinner(2);
}

TEST(ten_in_a_cycle)
{
    dinner(MOST);
}

/* Through a read-write lock: the child reads.  The two may each see the other's edge before they
 * follow it, so either is told, or both. */
static void read_and_want_the_fork(void *argument)
{
    struct table *table = argument;
    CHECK_RC(kin_rwlock_acquire_read(table->rwlock, KIN_FOREVER), 0);
    table->seated = 1;
    int rc = kin_lock_acquire(table->fork[0], KIN_FOREVER);
    if (rc == -EDEADLK)
        table->told++;
    else {
        CHECK_RC(rc, 0);
        CHECK_OK(kin_lock_release(table->fork[0]));
    }
    CHECK_OK(kin_rwlock_release(table->rwlock));
}

TEST(a_writer_that_waits_for_a_reader)
{
    struct table *table = lay(1);
    CHECK_OK(kin_rwlock_open(&table->rwlock, NULL));
    CHECK_OK(kin_lock_acquire(table->fork[0], KIN_NOW));
    unsigned idle = books_sleepers();
    pid_t child = test_child(read_and_want_the_fork, table);
    test_until(table->seated == 1 && books_sleepers() > idle);
    int rc = kin_rwlock_acquire_write(table->rwlock, KIN_FOREVER);
    if (rc == -EDEADLK) {
        table->told++;
        CHECK_GT(kin_deadlock_text(NULL, 0), 0);
    } else {
        CHECK_RC(rc, 0);
        CHECK_OK(kin_rwlock_release(table->rwlock));
    }
    CHECK_OK(kin_lock_release(table->fork[0]));
    CHECK_EQ(test_collect(child), 0);
    CHECK_GE(table->told, 1);
    CHECK_RC(kin_rwlock_acquire_write(table->rwlock, KIN_FOREVER), 0);
    CHECK_OK(kin_rwlock_release(table->rwlock));
    CHECK_OK(kin_rwlock_close(table->rwlock));
    CHECK_OK(kin_lock_close(table->fork[0]));
}

/* Waiting in a line is none. */
static void hold_and_wait(void *argument)
{
    struct table *table = argument;
    int me = table->index++;
    CHECK_RC(kin_lock_acquire(table->fork[me + 1], KIN_FOREVER), 0);
    table->seated++;
    /* Not before the one in front has what this one wants. */
    test_until(table->seated >= 4);
    CHECK_RC(kin_lock_acquire(table->fork[me], KIN_FOREVER), 0);
    CHECK_OK(kin_lock_release(table->fork[me]));
    CHECK_OK(kin_lock_release(table->fork[me + 1]));
}

TEST(a_line_is_no_cycle)
{
    struct table *table = lay(5);
    CHECK_OK(kin_lock_acquire(table->fork[0], KIN_NOW));
    unsigned idle = books_sleepers();
    pid_t child[4];
    for (int i = 0; i < 4; i++) child[i] = test_child(hold_and_wait, table);
    test_until(table->seated == 4 && books_sleepers() >= idle + 4);
    CHECK_EQ(kin_deadlock_text(NULL, 0), 0);
    CHECK_RC(kin_deadlock_text(NULL, 1), -EINVAL);
    CHECK_OK(kin_lock_release(table->fork[0]));
    for (int i = 0; i < 4; i++) CHECK_EQ(test_collect(child[i]), 0);
    for (int i = 0; i < 5; i++) CHECK_OK(kin_lock_close(table->fork[i]));
}

/* Off, which is the default: it waits. */
static void want_both(void *argument)
{
    struct table *table = argument;
    CHECK_RC(kin_lock_acquire(table->fork[1], KIN_NOW), 0);
    table->seated = 1;
    CHECK_RC(kin_lock_acquire(table->fork[0], KIN_FOREVER), 0);
    CHECK_OK(kin_lock_release(table->fork[0]));
    CHECK_OK(kin_lock_release(table->fork[1]));
}

TEST(off_it_costs_the_deadline)
{
    struct table *table = lay(2);
    CHECK_EQ(unsetenv("KIN_DEBUG"), 0);
    CHECK_OK(kin_lock_acquire(table->fork[0], KIN_NOW));
    pid_t child = test_child(want_both, table);
    test_until(table->seated == 1);
    CHECK_RC(kin_lock_acquire(table->fork[1], kin_in_ms(50)), -ETIMEDOUT);
    CHECK_OK(kin_lock_release(table->fork[0]));
    CHECK_EQ(test_collect(child), 0);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_lock_close(table->fork[i]));
}
