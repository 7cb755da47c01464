/* test_exec_members.c: processes that were started by exec use every object of synchronisation and
 * shared data beside those that were forked; and are killed. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin.h>

#define GUEST_VARIABLE "KIN_TEST_GUEST"
#define GUESTS         3
#define CHILDREN       3
#define MEMBERS        (GUESTS + CHILDREN)
#define ROUNDS         500

/* In family memory, at the same address for all. */
struct table {
    kin_lock *lock;
    kin_rlock *rlock;
    kin_rwlock *rwlock;
    kin_semaphore *bounded, *plain;
    kin_condition *condition;
    kin_event *event;
    kin_barrier *barrier;
    kin_array *array;
    long by_lock, by_rlock, by_rwlock, by_semaphore;
    int turn;
    _Atomic int inside, ready;
};

static void table_open(struct table *table)
{
    memset(table, 0, sizeof *table);
    CHECK_OK(kin_lock_open(&table->lock));
    CHECK_OK(kin_rlock_open(&table->rlock, NULL));
    CHECK_OK(kin_rwlock_open(&table->rwlock, NULL));
    CHECK_OK(kin_semaphore_open(&table->bounded, 1, &(kin_semaphore_options){.bounded = true}));
    CHECK_OK(kin_semaphore_open(&table->plain, 0, &(kin_semaphore_options){.plain = true}));
    CHECK_OK(kin_condition_open(&table->condition, NULL));
    CHECK_OK(kin_event_open(&table->event, NULL));
    CHECK_OK(kin_barrier_open(&table->barrier, MEMBERS, NULL));
    CHECK_OK(kin_array_open(&table->array, 'q', 2, NULL));
}

static void table_close(struct table *table)
{
    CHECK_OK(kin_lock_close(table->lock));
    CHECK_OK(kin_rlock_close(table->rlock));
    CHECK_OK(kin_rwlock_close(table->rwlock));
    CHECK_OK(kin_semaphore_close(table->bounded));
    CHECK_OK(kin_semaphore_close(table->plain));
    CHECK_OK(kin_condition_close(table->condition));
    CHECK_OK(kin_event_close(table->event));
    CHECK_OK(kin_barrier_close(table->barrier));
    CHECK_OK(kin_array_close(table->array));
}

/* ---- what each member does ------------------------------------------------------------------------ */

static void count_up(struct table *table)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_OK(kin_lock_acquire(table->lock, KIN_FOREVER));
        table->by_lock++;
        CHECK_OK(kin_lock_release(table->lock));
        CHECK_OK(kin_rlock_acquire(table->rlock, KIN_FOREVER));
        CHECK_OK(kin_rlock_acquire(table->rlock, KIN_FOREVER));
        table->by_rlock++;
        CHECK_OK(kin_rlock_release(table->rlock));
        CHECK_OK(kin_rlock_release(table->rlock));
        CHECK_OK(kin_rwlock_acquire_write(table->rwlock, KIN_FOREVER));
        table->by_rwlock++;
        CHECK_OK(kin_rwlock_release(table->rwlock));
        CHECK_OK(kin_rwlock_acquire_read(table->rwlock, KIN_FOREVER));
        CHECK_GT(table->by_rwlock, i);
        CHECK_OK(kin_rwlock_release(table->rwlock));
        CHECK_OK(kin_semaphore_acquire(table->bounded, KIN_FOREVER));
        CHECK_EQ(atomic_fetch_add(&table->inside, 1), 0);
        table->by_semaphore++;
        atomic_fetch_sub(&table->inside, 1);
        CHECK_OK(kin_semaphore_release(table->bounded));
        CHECK_OK(kin_array_add(table->array, 0, 1));
    }
}

static void take_turns(struct table *table, int index)
{
    for (int round = 0; round < 20; round++) {
        CHECK_OK(kin_condition_acquire(table->condition, KIN_FOREVER));
        while (table->turn % MEMBERS != index) CHECK_OK(kin_condition_wait(table->condition, kin_in_s(30)));
        table->turn++;
        CHECK_OK(kin_condition_notify_all(table->condition));
        CHECK_OK(kin_condition_release(table->condition));
    }
}

static void take_part(struct table *table, int index)
{
    CHECK_OK(kin_event_wait(table->event, kin_in_s(30)));
    count_up(table);
    CHECK_OK(kin_barrier_wait(table->barrier, kin_in_s(30)));
    take_turns(table, index);
    CHECK_OK(kin_semaphore_release(table->plain));
}

/* ---- starting them -------------------------------------------------------------------------------- */

struct invitation {
    char text[128];
    int descriptor;
    const char *case_name;
    char argument[64];
};

static void become_guest(void *argument)
{
    struct invitation *invitation = argument;
    CHECK_EQ(fcntl(invitation->descriptor, F_SETFD, 0), 0);
    CHECK_EQ(putenv(invitation->text), 0);
    setenv(GUEST_VARIABLE, invitation->argument, 1);
    execl("/proc/self/exe", program_invocation_name, invitation->case_name, (char *)NULL);
    FAIL("cannot execute this program again: %s", strerror(errno));
}

static pid_t start_guest(const char *case_name, struct table *table, int index)
{
    struct invitation invitation = {.case_name = case_name};
    snprintf(invitation.argument, sizeof invitation.argument, "%p %d", (void *)table, index);
    CHECK_OK(kin_family_invite(invitation.text, sizeof invitation.text, &invitation.descriptor));
    return test_child(become_guest, &invitation);
}

/* True in a guest, which is then told what it was started for. */
static bool is_guest(struct table **table, int *index)
{
    void *address = NULL;
    const char *argument = getenv(GUEST_VARIABLE);
    if (argument == NULL) return false;
    CHECK_EQ(sscanf(argument, "%p %d", &address, index), 2);
    *table = address;
    return true;
}

struct seat {
    struct table *table;
    int index;
};

static void take_part_as_child(void *argument)
{
    struct seat *seat = argument;
    take_part(seat->table, seat->index);
}

TEST(guests_and_children_use_everything, .deadline = 120)
{
    struct table *table;
    int index;
    if (is_guest(&table, &index)) {
        take_part(table, index);
        return;
    }
    pid_t member[MEMBERS];
    table = kin_alloc(sizeof *table);
    table_open(table);
    for (int i = 0; i < MEMBERS; i++) {
        struct seat seat = {table, i};
        member[i] = i < GUESTS ? start_guest("guests_and_children_use_everything", table, i)
                               : test_child(take_part_as_child, &seat);
    }
    CHECK_OK(kin_event_set(table->event));
    for (int i = 0; i < MEMBERS; i++) CHECK_OK(kin_semaphore_acquire(table->plain, kin_in_s(60)));
    for (int i = 0; i < MEMBERS; i++) CHECK_EQ(test_collect(member[i]), 0);
    CHECK_EQ(table->by_lock, MEMBERS * ROUNDS);
    CHECK_EQ(table->by_rlock, MEMBERS * ROUNDS);
    CHECK_EQ(table->by_rwlock, MEMBERS * ROUNDS);
    CHECK_EQ(table->by_semaphore, MEMBERS * ROUNDS);
    CHECK_EQ(table->turn, 20 * MEMBERS);
    int64_t added = 0;
    CHECK_OK(kin_array_get(table->array, 0, &added));
    CHECK_EQ(added, MEMBERS * ROUNDS);
    table_close(table);
    CHECK_OK(kin_free(table));
}

/* ---- one dies with everything in its hands ----------------------------------------------------------- */

static void hold_everything(struct table *table)
{
    CHECK_OK(kin_lock_acquire(table->lock, KIN_NOW));
    CHECK_OK(kin_rlock_acquire(table->rlock, KIN_NOW));
    CHECK_OK(kin_rwlock_acquire_write(table->rwlock, KIN_NOW));
    CHECK_OK(kin_semaphore_acquire(table->bounded, KIN_NOW));
    atomic_store(&table->ready, 1);
    kin_barrier_wait(table->barrier, KIN_FOREVER);
    FAIL("nobody else came");
}

TEST(a_guest_dies_with_everything)
{
    struct table *table;
    int index;
    if (is_guest(&table, &index)) hold_everything(table);
    table = kin_alloc(sizeof *table);
    table_open(table);
    pid_t guest = start_guest("a_guest_dies_with_everything", table, 0);
    test_until(atomic_load(&table->ready) == 1 && kin_barrier_waiting(table->barrier) == 1);
    siginfo_t end;
    CHECK_EQ(kill(guest, SIGKILL), 0);
    /* Ended, and not collected: so its end can be told. */
    CHECK_EQ(waitid(P_PID, (id_t)guest, &end, WEXITED | WNOWAIT), 0);
    CHECK_RC(kin_lock_acquire(table->lock, kin_in_s(10)), KIN_OWNER_DIED);
    kin_owner dead;
    CHECK_EQ(kin_lock_last_death(table->lock, &dead), 1);
    CHECK_EQ(dead.pid, guest);
    CHECK_EQ(dead.signal, SIGKILL);
    CHECK_OK(kin_lock_release(table->lock));
    CHECK_RC(kin_rlock_acquire(table->rlock, kin_in_s(10)), KIN_OWNER_DIED);
    CHECK_OK(kin_rlock_release(table->rlock));
    CHECK_RC(kin_rwlock_acquire_read(table->rwlock, kin_in_s(10)), KIN_OWNER_DIED);
    CHECK_OK(kin_rwlock_release(table->rwlock));
    CHECK_OK(kin_semaphore_acquire(table->bounded, kin_in_s(10)));
    CHECK_OK(kin_semaphore_release(table->bounded));
    CHECK_RC(kin_barrier_wait(table->barrier, kin_in_s(10)), KIN_EBARRIER);
    kin_barrier_reason reason;
    CHECK_OK(kin_barrier_cause(table->barrier, &reason));
    CHECK_EQ(reason.pid, guest);
    test_collect(guest);
    table_close(table);
    CHECK_OK(kin_free(table));
}
