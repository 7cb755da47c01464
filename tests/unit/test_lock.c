/* test_lock.c: the lock's contract, one promise or error at a time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>

/* What the processes of a case tell each other. */
struct shared {
    kin_lock *lock;
    _Atomic int stage;
    _Atomic int rc;
};

static struct shared *open_shared(void)
{
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_OK(kin_lock_open(&shared->lock));
    return shared;
}

static void hold_until_killed(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    shared->stage = 1;
    for (;;) pause();
}

static void acquire_and_tell(void *argument)
{
    struct shared *shared = argument;
    shared->stage = 1;
    shared->rc = kin_lock_acquire(shared->lock, KIN_FOREVER);
    shared->stage = 2;
    if (shared->rc >= 0) CHECK_OK(kin_lock_release(shared->lock));
}

TEST(is_taken_and_given_back)
{
    struct books books = books_open();
    kin_lock *lock = NULL;
    CHECK_RC(kin_lock_open(&lock), 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_RC(kin_lock_acquire(lock, KIN_FOREVER), 0);
        CHECK_RC(kin_lock_release(lock), 0);
    }
    CHECK_RC(kin_lock_close(lock), 0);
    books_check_wakes(&books);
}

TEST(null_is_refused)
{
    CHECK_RC(kin_lock_open(NULL), -EINVAL);
    CHECK_RC(kin_lock_acquire(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_lock_release(NULL), -EINVAL);
    CHECK_RC(kin_lock_close(NULL), 0);
}

TEST(what_is_no_lock_is_refused)
{
    struct books books = books_open();
    long long private[16] = {0};
    void *block = kin_alloc(256);
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    void *wrong[] = {private, block, (char *)lock + 1, (char *)lock + 16, (void *)-64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        CHECK_RC(kin_lock_acquire(wrong[i], KIN_FOREVER), KIN_EFOREIGN);
        CHECK_RC(kin_lock_release(wrong[i]), KIN_EFOREIGN);
        CHECK_RC(kin_lock_close(wrong[i]), KIN_EFOREIGN);
    }
    test_context(NULL);
    CHECK_RC(kin_free(lock), -EINVAL);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), 0);
    CHECK_RC(kin_lock_release(lock), 0);
    CHECK_OK(kin_lock_close(lock));
    CHECK_OK(kin_free(block));
    books_check_wakes(&books);
}

TEST(a_closed_lock_says_so)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_lock_close(lock));
    CHECK_RC(kin_lock_acquire(lock, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_lock_release(lock), KIN_ECLOSED);
    CHECK_RC(kin_lock_close(lock), KIN_ECLOSED);
}

TEST(release_without_holding_is_an_error)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_RC(kin_lock_release(lock), -EPERM);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), 0);
    CHECK_RC(kin_lock_release(lock), 0);
    CHECK_RC(kin_lock_release(lock), -EPERM);
    CHECK_OK(kin_lock_close(lock));
}

static void *release_elsewhere(void *argument)
{
    struct shared *shared = argument;
    shared->rc = kin_lock_release(shared->lock);
    return NULL;
}

static void release_in_child(void *argument)
{
    release_elsewhere(argument);
}

TEST(only_the_holding_thread_may_release)
{
    struct shared *shared = open_shared();
    pthread_t thread;
    CHECK_OK(kin_lock_acquire(shared->lock, KIN_NOW));
    CHECK_EQ(pthread_create(&thread, NULL, release_elsewhere, shared), 0);
    pthread_join(thread, NULL);
    CHECK_RC(shared->rc, -EPERM);
    shared->rc = 0;
    /* The child of the holder is not the holder. */
    CHECK_EQ(test_collect(test_child(release_in_child, shared)), 0);
    CHECK_RC(shared->rc, -EPERM);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(taking_it_twice_is_an_error)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_RC(kin_lock_acquire(lock, KIN_FOREVER), 0);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), -EDEADLK);
    CHECK_RC(kin_lock_acquire(lock, KIN_FOREVER), -EDEADLK);
    CHECK_RC(kin_lock_release(lock), 0);
    CHECK_RC(kin_lock_release(lock), -EPERM);
    CHECK_OK(kin_lock_close(lock));
}

TEST(the_deadline_is_kept, .alone = true)
{
    struct shared *shared = open_shared();
    pid_t holder = test_child(hold_until_killed, shared);
    test_until(shared->stage == 1);
    const kin_deadline past[] = {KIN_NOW, -1, INT64_MIN, kin_clock() - 1};
    for (size_t i = 0; i < sizeof past / sizeof *past; i++)
        CHECK_WAITS(0, CHECK_RC(kin_lock_acquire(shared->lock, past[i]), -ETIMEDOUT))
    const int64_t some_ms[] = {1, 20, 99, 101, 250};
    for (size_t i = 0; i < sizeof some_ms / sizeof *some_ms; i++) {
        test_context("%lld ms", (long long)some_ms[i]);
        CHECK_WAITS((double)some_ms[i] / 1e3,
                    CHECK_RC(kin_lock_acquire(shared->lock, kin_in_ms(some_ms[i])), -ETIMEDOUT))
    }
    test_kill(holder);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_FOREVER), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(a_holder_that_is_stopped_is_not_dead, .alone = true)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    pid_t holder = test_child(hold_until_killed, shared);
    test_until(shared->stage == 1);
    CHECK_EQ(kill(holder, SIGSTOP), 0);
    CHECK_WAITS(0.3, CHECK_RC(kin_lock_acquire(shared->lock, kin_in_ms(300)), -ETIMEDOUT))
    CHECK_EQ(kill(holder, SIGCONT), 0);
    test_kill(holder);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_FOREVER), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_OK(kin_lock_close(shared->lock));
    books_check_blocks(&books);
}

TEST(the_death_of_an_owner_is_told_once)
{
    struct shared *shared = open_shared();
    pid_t holder = test_child(hold_until_killed, shared);
    test_until(shared->stage == 1);
    test_kill(holder);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(a_sleeper_gets_the_lock_of_the_dead)
{
    struct shared *shared = open_shared();
    pid_t holder = test_child(hold_until_killed, shared);
    test_until(shared->stage == 1);
    shared->stage = 0;
    pid_t sleeper = test_child(acquire_and_tell, shared);
    test_until(shared->stage == 1);
    test_kill(holder);
    CHECK_EQ(test_collect(sleeper), 0);
    CHECK_RC(shared->rc, KIN_OWNER_DIED);
    CHECK_OK(kin_lock_close(shared->lock));
}

static void *take_and_end(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    return NULL;
}

TEST(a_thread_that_ends_with_it_counts_as_dead)
{
    struct shared *shared = open_shared();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, take_and_end, shared), 0);
    pthread_join(thread, NULL);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_FOREVER), KIN_OWNER_DIED);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    CHECK_OK(kin_lock_close(shared->lock));
}

static void take_and_exec(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    shared->stage = 1;
    execl("/bin/sleep", "sleep", "1000", (char *)NULL);
    FAIL("cannot execute /bin/sleep");
}

TEST(a_process_that_execs_with_it_counts_as_dead)
{
    struct shared *shared = open_shared();
    pid_t holder = test_child(take_and_exec, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_FOREVER), KIN_OWNER_DIED);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    test_kill(holder);
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(a_child_does_not_hold_what_its_parent_holds)
{
    struct shared *shared = open_shared();
    CHECK_OK(kin_lock_acquire(shared->lock, KIN_NOW));
    pid_t child = test_child(acquire_and_tell, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    CHECK_EQ(test_collect(child), 0);
    CHECK_RC(shared->rc, 0);
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(a_lock_in_use_is_not_closed)
{
    struct shared *shared = open_shared();
    CHECK_OK(kin_lock_acquire(shared->lock, KIN_NOW));
    CHECK_RC(kin_lock_close(shared->lock), -EBUSY);
    pid_t waiter = test_child(acquire_and_tell, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_lock_close(shared->lock), -EBUSY);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_EQ(test_collect(waiter), 0);
    CHECK_RC(shared->rc, 0);
    CHECK_RC(kin_lock_close(shared->lock), 0);
}

static void open_one_for_all(void *argument)
{
    struct shared *shared = argument;
    CHECK_OK(kin_lock_open(&shared->lock));
}

TEST(who_opened_it_need_not_close_it)
{
    struct books books = books_open();
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_EQ(test_collect(test_child(open_one_for_all, shared)), 0);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    CHECK_RC(kin_lock_release(shared->lock), 0);
    CHECK_OK(kin_lock_close(shared->lock));
    books_check_wakes(&books);
}

#define LOCKS_MOST 1000

TEST(a_thread_may_hold_a_thousand_and_no_more)
{
    struct books books = books_open();
    static kin_lock *lock[LOCKS_MOST + 1];
    for (int i = 0; i <= LOCKS_MOST; i++) CHECK_OK(kin_lock_open(&lock[i]));
    for (int i = 0; i < LOCKS_MOST; i++) CHECK_RC(kin_lock_acquire(lock[i], KIN_NOW), 0);
    CHECK_RC(kin_lock_acquire(lock[LOCKS_MOST], KIN_NOW), KIN_EHELD);
    CHECK_RC(kin_lock_acquire(lock[LOCKS_MOST], KIN_FOREVER), KIN_EHELD);
    /* Given back in another order than taken. */
    for (int i = 0; i < LOCKS_MOST; i += 2) CHECK_RC(kin_lock_release(lock[i]), 0);
    CHECK_RC(kin_lock_acquire(lock[LOCKS_MOST], KIN_NOW), 0);
    for (int i = LOCKS_MOST - 1; i > 0; i -= 2) CHECK_RC(kin_lock_release(lock[i]), 0);
    CHECK_RC(kin_lock_release(lock[LOCKS_MOST]), 0);
    for (int i = 0; i <= LOCKS_MOST; i++) CHECK_OK(kin_lock_close(lock[i]));
    books_check_wakes(&books);
}

struct many {
    kin_lock *lock[LOCKS_MOST];
    _Atomic int held;
};

static void hold_all_until_killed(void *argument)
{
    struct many *many = argument;
    for (int i = 0; i < LOCKS_MOST; i++) CHECK_RC(kin_lock_acquire(many->lock[i], KIN_NOW), 0);
    many->held = 1;
    for (;;) pause();
}

TEST(the_dead_give_back_every_lock)
{
    struct many *many = test_shared(sizeof *many);
    for (int i = 0; i < LOCKS_MOST; i++) CHECK_OK(kin_lock_open(&many->lock[i]));
    pid_t holder = test_child(hold_all_until_killed, many);
    test_until(many->held == 1);
    test_kill(holder);
    for (int i = 0; i < LOCKS_MOST; i++) {
        CHECK_RC(kin_lock_acquire(many->lock[i], KIN_NOW), KIN_OWNER_DIED);
        CHECK_RC(kin_lock_release(many->lock[i]), 0);
        CHECK_OK(kin_lock_close(many->lock[i]));
    }
}

/* The lock's links share the thread's robust list with libc's own robust mutexes. */
TEST(lives_beside_robust_mutexes_of_libc)
{
    kin_lock *lock[3];
    pthread_mutex_t *mutex = test_shared(3 * sizeof *mutex);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kin_lock_open(&lock[i]));
        CHECK_EQ(pthread_mutex_init(&mutex[i], &attributes), 0);
        CHECK_RC(kin_lock_acquire(lock[i], KIN_NOW), 0);
        CHECK_EQ(pthread_mutex_lock(&mutex[i]), 0);
    }
    const int order[] = {1, 0, 2};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_mutex_unlock(&mutex[order[i]]), 0);
        CHECK_RC(kin_lock_release(lock[order[2 - i]]), 0);
    }
    for (int i = 0; i < 3; i++) CHECK_OK(kin_lock_close(lock[i]));
}

/* ---- who holds it, who died with it ---------------------------------------------------------------- */

TEST(tells_whether_it_is_held)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_RC(kin_lock_locked(lock), 0);
    CHECK_OK(kin_lock_acquire(lock, KIN_NOW));
    CHECK_RC(kin_lock_locked(lock), 1);
    CHECK_OK(kin_lock_release(lock));
    CHECK_RC(kin_lock_locked(lock), 0);
    CHECK_OK(kin_lock_close(lock));
    CHECK_RC(kin_lock_locked(lock), KIN_ECLOSED);
    CHECK_RC(kin_lock_locked(NULL), -EINVAL);
}

TEST(tells_who_holds_it)
{
    struct shared *shared = open_shared();
    kin_owner owner = {.pid = 7};
    CHECK_RC(kin_lock_owner(shared->lock, &owner), 0);
    CHECK_EQ(owner.pid, 0);
    CHECK_RC(kin_lock_owner(shared->lock, NULL), -EINVAL);
    CHECK_RC(kin_lock_owner(NULL, &owner), -EINVAL);
    CHECK_OK(kin_lock_acquire(shared->lock, KIN_NOW));
    CHECK_RC(kin_lock_owner(shared->lock, &owner), 1);
    CHECK_EQ(owner.pid, getpid());
    CHECK_EQ(owner.thread, gettid());
    CHECK_EQ(owner.end, KIN_RUNNING);
    CHECK_STR(owner.name, "test_lock");
    CHECK_OK(kin_lock_release(shared->lock));
    pid_t holder = test_child(hold_until_killed, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_lock_owner(shared->lock, &owner), 1);
    CHECK_EQ(owner.pid, holder);
    test_kill(holder);
    CHECK_RC(kin_lock_owner(shared->lock, &owner), 0);
    CHECK_OK(kin_lock_close(shared->lock));
}

/* Ends with the lock as `stage` says. */
static void end_with_it(void *argument)
{
    struct shared *shared = argument;
    int how = shared->stage;
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    if (how == 0) raise(SIGKILL);
    _exit(how);
}

TEST(tells_who_died_with_it_and_how)
{
    struct shared *shared = open_shared();
    kin_owner dead;
    CHECK_RC(kin_lock_last_death(shared->lock, &dead), 0);
    for (shared->stage = 0; shared->stage < 4; shared->stage += 3) {
        pid_t child = test_child(end_with_it, shared);
        /* Before it is collected the system can still say how it ended. */
        siginfo_t info;
        CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
        CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
        CHECK_OK(kin_lock_release(shared->lock));
        test_collect(child);
        CHECK_RC(kin_lock_last_death(shared->lock, &dead), 1);
        CHECK_EQ(dead.pid, child);
        CHECK_EQ(dead.thread, child);
        CHECK_EQ(dead.end, shared->stage == 0 ? KIN_SIGNALED : KIN_EXITED);
        CHECK_EQ(dead.signal, shared->stage == 0 ? SIGKILL : 0);
        CHECK_EQ(dead.code, shared->stage);
    }
    pid_t child = test_child(end_with_it, shared);
    test_collect(child);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_RC(kin_lock_last_death(shared->lock, &dead), 1);
    CHECK_EQ(dead.pid, child);
    CHECK_EQ(dead.end, KIN_UNKNOWN);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(tells_of_a_thread_whose_process_lives_on)
{
    struct shared *shared = open_shared();
    kin_owner dead;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, take_and_end, shared), 0);
    pthread_join(thread, NULL);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_FOREVER), KIN_OWNER_DIED);
    CHECK_RC(kin_lock_last_death(shared->lock, &dead), 1);
    CHECK_EQ(dead.pid, getpid());
    CHECK_NE(dead.thread, getpid());
    CHECK_EQ(dead.end, KIN_RUNNING);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_OK(kin_lock_close(shared->lock));
}

/* ---- strict locks ---------------------------------------------------------------------------------- */

static struct shared *open_strict(void)
{
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_OK(kin_lock_open_with(&shared->lock, &(kin_lock_options){.strict = true}));
    return shared;
}

static void kill_a_holder(struct shared *shared)
{
    shared->stage = 0;
    pid_t holder = test_child(hold_until_killed, shared);
    test_until(shared->stage == 1);
    test_kill(holder);
}

TEST(a_strict_lock_that_was_repaired_goes_on)
{
    struct shared *shared = open_strict();
    kill_a_holder(shared);
    CHECK_RC(kin_lock_mark_repaired(shared->lock), -EPERM);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_RC(kin_lock_mark_repaired(shared->lock), 0);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    CHECK_RC(kin_lock_mark_repaired(shared->lock), 0);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_OK(kin_lock_close(shared->lock));
}

TEST(a_strict_lock_that_was_not_repaired_is_unusable)
{
    struct books books = books_open();
    struct shared *shared = open_strict();
    kill_a_holder(shared);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    pid_t waiters[3];
    for (int i = 0; i < 3; i++) {
        shared->stage = 0;
        waiters[i] = test_child(acquire_and_tell, shared);
        test_until(shared->stage == 1);
    }
    CHECK_OK(kin_lock_release(shared->lock));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(test_collect(waiters[i]), 0);
        CHECK_RC(shared->rc, KIN_EUNREPAIRED);
    }
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_FOREVER), KIN_EUNREPAIRED);
    CHECK_RC(kin_lock_release(shared->lock), -EPERM);
    CHECK_RC(kin_lock_locked(shared->lock), 0);
    CHECK_OK(kin_lock_close(shared->lock));
    books_check_blocks(&books);
}

static void repair_until_killed(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    shared->stage = 1;
    for (;;) pause();
}

TEST(who_dies_repairing_leaves_it_to_the_next)
{
    struct shared *shared = open_strict();
    kill_a_holder(shared);
    shared->stage = 0;
    pid_t repairer = test_child(repair_until_killed, shared);
    test_until(shared->stage == 1);
    test_kill(repairer);
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_mark_repaired(shared->lock));
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_RC(kin_lock_acquire(shared->lock, KIN_NOW), 0);
    CHECK_OK(kin_lock_release(shared->lock));
    CHECK_OK(kin_lock_close(shared->lock));
}

/* ---- the guard ---------------------------------------------------------------------------------------- */

static int leave_early(kin_lock *lock, int way)
{
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), 0);
    KIN_LOCK_GUARD(lock);
    for (int i = 0; i < 2; i++) {
        if (way == 0) return 1;
        if (way == 1) goto out;
    }
out:
    CHECK_RC(kin_lock_locked(lock), 1);
    return 0;
}

TEST(a_guard_releases_on_every_way_out)
{
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    for (int way = 0; way < 3; way++) {
        leave_early(lock, way);
        CHECK_RC(kin_lock_locked(lock), 0);
    }
    CHECK_OK(kin_lock_close(lock));
}
