/* Y01: a lock: acquire, release.  Acquiring it twice in one process does not wait for ever but is
 * an error; another process that wants it waits until its deadline. */
#include <errno.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int try_it(void *lock)
{
    int rc = kin_lock_acquire(lock, kin_in_ms(50));
    printf("another process: %s\n", rc == 0 ? "has the lock" : kin_error_name(rc));
    if (rc == 0) check(kin_lock_release(lock));
    return 0;
}

static void try_it_in_a_child(kin_lock *lock)
{
    kin_process *child = NULL;
    check(kin_process_start(&child, try_it, lock, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
}

int main(void)
{
    kin_lock *lock = NULL;
    check(kin_lock_open(&lock));

    check(kin_lock_acquire(lock, KIN_FOREVER));
    printf("the lock is acquired\n");
    int rc = kin_lock_acquire(lock, kin_in_s(1));
    printf("a second time: %s (%s)\n", kin_error_name(rc), kin_strerror(rc));
    try_it_in_a_child(lock);

    check(kin_lock_release(lock));
    printf("the lock is released\n");
    try_it_in_a_child(lock);
    check(kin_lock_close(lock));
    return EXIT_SUCCESS;
}
