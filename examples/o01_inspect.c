/* o01: a program has got stuck, and another one tells why, without a debugger: it looks at its family from
 * outside.  `kin top` shows the same. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

/* ---- the program that gets stuck ------------------------------------------------------------------ */

static kin_lock *till;
static kin_queue *receipts;

static int sell(void *unused)
{
    (void)unused;
    check(kin_lock_acquire(till, KIN_FOREVER)); /* the shop has it … */
    return kin_queue_put(receipts, "bread", 6, KIN_FOREVER) < 0;
}

static void run_shop(const char *family)
{
    kin_process *seller;
    char receipt[32];
    check(kin_lock_open(&till));
    check(kin_queue_open(&receipts, NULL));
    check(kin_publish("till", till));
    check(kin_publish("receipts", receipts));
    check(kin_lock_acquire(till, KIN_FOREVER));
    check(kin_process_start(&seller, sell, NULL, NULL));
    check(kin_family_publish(family, KIN_FOREVER));
    check(kin_queue_get(receipts, receipt, sizeof receipt, KIN_FOREVER)); /* … and waits for this */
}

/* ---- the one that looks ------------------------------------------------------------------------------ */

static void explain(const kin_inspection *seen, const kin_inspected_thread *thread, int shop)
{
    kin_inspected_lock lock;
    kin_inspected_queue queue;
    const char *who = thread->pid == shop ? "the shop" : "the seller";
    for (size_t i = 0; kin_inspection_lock(seen, 0, i, &lock) == 0; i++)
        if (thread->waits_for == lock.lock)
            printf("%s waits for the lock \"%s\", which %s has\n", who, lock.name,
                   lock.holder_pid == shop ? "the shop" : "the seller");
    for (size_t i = 0; kin_inspection_queue(seen, 0, i, &queue) == 0; i++)
        if (thread->waits_for == queue.queue)
            printf("%s waits for a message of \"%s\", in which there are %zu\n", who, queue.name,
                   queue.items);
}

/* Does everybody in the family wait? */
static bool is_stuck(const kin_inspection *seen)
{
    kin_inspected_thread thread;
    size_t count = 0;
    for (; kin_inspection_thread(seen, 0, count, &thread) == 0; count++)
        if (thread.waits == KIN_WAITS_NOT) return false;
    return count == 2;
}

int main(void)
{
    char family[KIN_NAME_SIZE];
    kin_inspected_thread thread;
    kin_inspection *seen = NULL;
    snprintf(family, sizeof family, "shop-%d", (int)getpid());
    /* Before anything of kin is used: so it is a family of its own. */
    pid_t shop = fork();
    if (shop == 0) {
        run_shop(family);
        return EXIT_SUCCESS;
    }
    kin_inspect_options options = {.name = family};
    for (check(kin_inspect(&seen, &options)); !is_stuck(seen); check(kin_inspect(&seen, &options))) {
        kin_inspection_close(seen);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    for (size_t i = 0; kin_inspection_thread(seen, 0, i, &thread) == 0; i++) explain(seen, &thread, shop);
    kin_inspection_close(seen);
    kill(shop, SIGKILL);
    waitpid(shop, NULL, 0);
    return EXIT_SUCCESS;
}
