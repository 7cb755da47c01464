/* test_members.c: threads join the family and leave it while others look after the dead, while the program
 * forks, and while a signal handler does the same. */
#define _GNU_SOURCE
#include "support/crew.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>

#include "memory/region.h"

/* ---- leaving ---------------------------------------------------------------------------------------- */

#define LEAVES 200

/* Each counts the rounds. */
struct leaver {
    _Atomic int joined, go, seen;
    struct kin__member *_Atomic member;
};

static void wait_for(_Atomic int *count, int round)
{
    while (atomic_load(count) < round) sched_yield();
}

static void *join_and_leave(void *argument)
{
    struct leaver *leaver = argument;
    CHECK_OK(kin_family_open(NULL));
    leaver->member = kin__self.member;
    wait_for(&leaver->go, ++leaver->joined);
    return NULL;
}

static void lose_last_thread(void *argument)
{
    struct leaver *leaver = argument;
    for (int round = 1; round <= LEAVES; round++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, join_and_leave, leaver), 0);
        pthread_join(thread, NULL);
        wait_for(&leaver->seen, round);
    }
    wait_for(&leaver->seen, LEAVES + 1);
}

/* Nothing in memory tells of the end of a process without members: it is known that there is one. */
TEST(the_last_thread_leaves_while_somebody_reaps, .deadline = 120)
{
    if (!crew_sees_processes()) SKIP("the thread sanitizer does not see what a child does");
    struct leaver *leaver = test_shared(sizeof *leaver);
    for (int process = 0; process < (test_sanitized() ? 1 : 5); process++) {
        memset(leaver, 0, sizeof *leaver);
        pid_t child = test_child(lose_last_thread, leaver);
        for (int round = 1; round <= LEAVES; round++) {
            test_context("process %d, round %d", process, round);
            wait_for(&leaver->joined, round);
            leaver->go = round;
            /* Not once more when it has gone: that would find the process alone. */
            while (atomic_load(&leaver->member->state) != KIN__SLOT_FREE) CHECK_OK(kin_sweep());
            CHECK_GT(atomic_load(&kin__family.header->unpeopled), 0);
            leaver->seen = round;
        }
        test_kill(child);
    }
    test_context(NULL);
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.processes, 1);
}

/* ---- joining ---------------------------------------------------------------------------------------- */

static void *join(void *argument)
{
    (void)argument;
    CHECK_OK(kin_family_open(NULL));
    return NULL;
}

static void use_it(void *argument)
{
    (void)argument;
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_lock_close(lock));
}

static void fork_while_a_thread_joins(void *argument)
{
    pthread_t thread;
    const int *delay = argument;
    CHECK_EQ(pthread_create(&thread, NULL, join, NULL), 0);
    for (int i = 0; i < *delay; i++) kin__relax_once();
    pid_t child = test_child(use_it, NULL);
    pthread_join(thread, NULL);
    CHECK_EQ(test_collect(child), 0);
}

/* The child finds no lock of a thread that is not there. */
TEST_COLD(a_fork_while_another_thread_joins)
{
    int delay = 0;
    if (!crew_sees_processes()) SKIP("the thread sanitizer takes a new child for a thread of its parent");
    for (int round = 0; round < (test_sanitized() ? 10 : 100); round++, delay = round * 137 % 4000) {
        test_context("round %d", round);
        CHECK_EQ(test_collect(test_child(fork_while_a_thread_joins, &delay)), 0);
    }
}

static volatile sig_atomic_t interrupted;

static void join_in_handler(int number)
{
    (void)number;
    int rc = kin_family_open(NULL);
    if (rc != 0 && rc != -EDEADLK) abort();
    interrupted = rc == 0 ? 1 : 2;
}

static void join_and_be_interrupted(void *argument)
{
    const int *delay = argument;
    kin_memory_usage usage;
    struct sigaction action = {.sa_handler = join_in_handler};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval timer = {.it_value = {.tv_usec = *delay}};
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    CHECK_OK(kin_family_open(NULL));
    test_until(interrupted != 0);
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.threads, 1);
}

/* The first use of kin, and a signal handler whose first use of kin comes in the middle of it. */
TEST_COLD(a_handler_joins_while_its_thread_does)
{
    int delay = 1;
    for (int round = 0; round < (test_sanitized() ? 10 : 100); round++, delay = 1 + round * 7 % 300) {
        test_context("%d us", delay);
        CHECK_EQ(test_collect(test_child(join_and_be_interrupted, &delay)), 0);
    }
}
