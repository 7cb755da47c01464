/* Y10: a condition: a shelf with room for three, bakers that wait while it is full and customers that
 * wait while it is empty, each a process.  One customer is killed while it waits: nobody notices. */
#include <signal.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define ROOM   3
#define LOAVES 1000

struct shelf {
    kin_lock *lock;
    kin_condition *filled, *emptied;
    int loaf[ROOM];
    int put, taken; /* under the lock */
    int fullest;
    long eaten;
};

static bool has_room(void *shelf)
{
    return ((struct shelf *)shelf)->put - ((struct shelf *)shelf)->taken < ROOM;
}

static bool has_loaf(void *shelf)
{
    return ((struct shelf *)shelf)->put > ((struct shelf *)shelf)->taken;
}

static void put_loaf(struct shelf *shelf, int loaf)
{
    check(kin_lock_acquire(shelf->lock, KIN_FOREVER));
    KIN_LOCK_GUARD(shelf->lock);
    check(kin_condition_wait_for(shelf->emptied, has_room, shelf, KIN_FOREVER));
    shelf->loaf[shelf->put++ % ROOM] = loaf;
    if (shelf->put - shelf->taken > shelf->fullest) shelf->fullest = shelf->put - shelf->taken;
    check(kin_condition_notify(shelf->filled, 1));
}

static void take_loaf(struct shelf *shelf)
{
    check(kin_lock_acquire(shelf->lock, KIN_FOREVER));
    KIN_LOCK_GUARD(shelf->lock);
    check(kin_condition_wait_for(shelf->filled, has_loaf, shelf, KIN_FOREVER));
    shelf->eaten += shelf->loaf[shelf->taken++ % ROOM];
    check(kin_condition_notify(shelf->emptied, 1));
}

static int bake(void *shelf)
{
    for (int loaf = 1; loaf <= LOAVES; loaf++) put_loaf(shelf, loaf);
    return 0;
}

static int eat(void *shelf)
{
    for (int i = 0; i < LOAVES; i++) take_loaf(shelf);
    return 0;
}

static int eat_one(void *shelf)
{
    take_loaf(shelf);
    return 0;
}

int main(void)
{
    kin_process *unlucky = NULL, *people[4];
    struct shelf *shelf = kin_alloc(sizeof *shelf);
    if (shelf == NULL) return EXIT_FAILURE;
    check(kin_lock_open(&shelf->lock));
    kin_condition_options options = {.lock = shelf->lock};
    check(kin_condition_open(&shelf->filled, &options));
    check(kin_condition_open(&shelf->emptied, &options));

    check(kin_process_start(&unlucky, eat_one, shelf, NULL));
    if (kin_process_join(unlucky, kin_in_ms(50)) < 0) printf("a customer waits: the shelf is empty\n");
    check(kin_process_kill(unlucky));
    check(kin_process_join(unlucky, KIN_FOREVER));
    check(kin_process_close(unlucky));

    for (int i = 0; i < 4; i++) check(kin_process_start(&people[i], i < 2 ? bake : eat, shelf, NULL));
    for (int i = 0; i < 4; i++) {
        check(kin_process_join(people[i], KIN_FOREVER));
        check(kin_process_close(people[i]));
    }
    printf("%d loaves baked, %d eaten, numbers that add up to %ld\n", shelf->put, shelf->taken, shelf->eaten);
    printf("never more than %d on the shelf: %s\n", ROOM, shelf->fullest <= ROOM ? "yes" : "no");
    check(kin_condition_close(shelf->filled));
    check(kin_condition_close(shelf->emptied));
    check(kin_lock_close(shelf->lock));
    kin_free(shelf);
    return EXIT_SUCCESS;
}
