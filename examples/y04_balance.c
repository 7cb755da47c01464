/* Y04: two threads add to a balance and take the same away again.  Without a lock changes get
 * lost; with it the balance is 0, and the lock is released whichever way a change ends. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define ROUNDS 5000

static kin_lock *lock;
static atomic_long balance;
static atomic_long lost;        /* changes that were overwritten */
static pthread_barrier_t start; /* the one does not end before the other has begun */

/* The other thread may come between the reading and the writing. */
static int change(long amount)
{
    if (amount == 0) return -1;
    long seen = balance;
    sched_yield();
    if (atomic_exchange(&balance, seen + amount) != seen) lost++;
    return 0;
}

static int change_locked(long amount)
{
    check(kin_lock_acquire(lock, KIN_FOREVER));
    KIN_LOCK_GUARD(lock); /* released at the end of the block, whichever way that is left */
    return change(amount);
}

struct account_holder {
    int (*change)(long amount);
    long amount;
};

static void *add_and_subtract(void *argument)
{
    const struct account_holder *holder = argument;
    pthread_barrier_wait(&start);
    for (int i = 0; i < ROUNDS; i++) {
        holder->change(holder->amount);
        holder->change(-holder->amount);
        holder->change(0); /* refused, and the lock is released all the same */
    }
    return NULL;
}

static void run(int (*how)(long amount), const char *name)
{
    struct account_holder holders[] = {{how, 5}, {how, 8}};
    pthread_t threads[2];
    balance = lost = 0;
    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, add_and_subtract, &holders[i]) != 0) exit(EXIT_FAILURE);
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    printf("%s: balance is %ld, %ld changes were lost\n", name, balance, lost);
}

int main(void)
{
    check(kin_lock_open(&lock));
    run(change, "without a lock");
    run(change_locked, "with a lock");
    check(kin_lock_close(lock));
    return EXIT_SUCCESS;
}
