/* Y13: a lock that its holder may take again: a function that needs the lock is called by another one
 * that has it already. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define WORKERS 3
#define ROUNDS  1000

struct account {
    kin_rlock *lock;
    long balance;
};

static void pay_in(struct account *account, long amount)
{
    check(kin_rlock_acquire(account->lock, KIN_FOREVER));
    account->balance += amount;
    check(kin_rlock_release(account->lock));
}

/* Nobody sees the money gone from one and not yet come to the other. */
static void transfer(struct account *from, struct account *to, long amount)
{
    check(kin_rlock_acquire(from->lock, KIN_FOREVER));
    pay_in(from, -amount);
    pay_in(to, amount);
    check(kin_rlock_release(from->lock));
}

static int work(void *argument)
{
    struct account *account = argument;
    for (int i = 0; i < ROUNDS; i++) transfer(&account[0], &account[1], 1);
    return 0;
}

int main(void)
{
    kin_process *worker[WORKERS];
    struct account *account = kin_alloc(2 * sizeof *account);
    if (account == NULL) return EXIT_FAILURE;
    check(kin_rlock_open(&account[0].lock, NULL));
    account[1].lock = account[0].lock; /* one lock for both */
    account[0].balance = WORKERS * ROUNDS;
    account[1].balance = 0;

    check(kin_rlock_acquire(account[0].lock, KIN_NOW));
    check(kin_rlock_acquire(account[0].lock, KIN_NOW));
    printf("held %ld times\n", check(kin_rlock_depth(account[0].lock)));
    check(kin_rlock_release(account[0].lock));
    check(kin_rlock_release(account[0].lock));
    printf("once more: %s\n", kin_strerror(kin_rlock_release(account[0].lock)));
    fflush(stdout);

    for (int i = 0; i < WORKERS; i++) check(kin_process_start(&worker[i], work, account, NULL));
    for (int i = 0; i < WORKERS; i++) check(kin_process_join(worker[i], KIN_FOREVER));
    for (int i = 0; i < WORKERS; i++) check(kin_process_close(worker[i]));
    printf("%ld and %ld\n", account[0].balance, account[1].balance);

    check(kin_rlock_close(account[0].lock));
    check(kin_free(account));
    return EXIT_SUCCESS;
}
