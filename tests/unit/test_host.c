/* test_host.c: what the program around kin, and the system, do without asking: SIGCHLD ignored, other
 * loops that wait for every child, a storm of signals, pids that come again, other pid namespaces. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/test.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/condition.h>
#include <kin/error.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/queue.h>
#include <kin/subprocess.h>

/* ---- what has to work all the same -------------------------------------------------------------- */

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int die(const int *in, int *out)
{
    (void)in, (void)out;
    kill(getpid(), SIGKILL);
    return 0;
}
KIN_MAP(die, int, int)

static int return_seven(void *unused)
{
    (void)unused;
    return 7;
}

/* Its status, or that something else has collected it. */
static void check_process(void)
{
    kin_process *process;
    kin_exit_status status;
    CHECK_OK(kin_process_start(&process, return_seven, NULL, NULL));
    CHECK_OK(kin_process_join(process, kin_in_s(20)));
    CHECK_OK(kin_process_exit_status(process, &status));
    if (status.kind != KIN_UNKNOWN) {
        CHECK_EQ(status.kind, KIN_EXITED);
        CHECK_EQ(status.code, 7);
    }
    CHECK_OK(kin_process_close(process));
}

static void check_command(void)
{
    kin_completed done;
    CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND("sh", "-c", "echo heard; exit 3"),
                                &(kin_subprocess_options){.stdout_to = KIN_PIPE}, kin_in_s(20)));
    CHECK_EQ(done.out_size, 6);
    CHECK_MEM(done.out, "heard\n", 6);
    CHECK(done.status.kind == KIN_UNKNOWN || done.status.code == 3);
    kin_completed_free(&done);
}

/* A pool's children are its supervisor's: nobody else collects them. */
static void check_pool(void)
{
    enum { ITEMS = 500 };
    static int in[ITEMS];
    static long out[ITEMS];
    kin_pool *pool;
    kin_result *result;
    kin_failure failure;
    for (int i = 0; i < ITEMS; i++) in[i] = i;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_pool_map(pool, KIN_FN(square), in, out, ITEMS, kin_in_s(20)));
    for (int i = 0; i < ITEMS; i++) CHECK_EQ(out[i], (long)i * i);
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(die), &in[0], sizeof in[0], KIN_FOREVER, NULL));
    CHECK_RC(kin_result_wait(result, kin_in_s(20)), 0);
    CHECK_OK(kin_result_failure(result, &failure));
    CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
    CHECK_EQ(failure.signal, SIGKILL);
    CHECK_OK(kin_result_close(result));
    CHECK_OK(kin_pool_map(pool, KIN_FN(square), in, out, ITEMS, kin_in_s(20)));
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(pool));
}

static void check_all(void)
{
    struct books books = books_open();
    for (int i = 0; i < 5; i++) {
        check_process();
        check_command();
    }
    check_pool();
    books_check_blocks(&books);
}

/* ---- others that care for children ---------------------------------------------------------------- */

TEST(sigchld_is_ignored)
{
    signal(SIGCHLD, SIG_IGN);
    check_all();
}

static void do_nothing(int number)
{
    (void)number;
}

TEST(children_leave_no_zombies)
{
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_NOCLDWAIT};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
    check_all();
}

static atomic_int collected, ending;

static void *collect_everybody(void *unused)
{
    while (ending == 0)
        if (waitpid(-1, NULL, WNOHANG) > 0)
            collected++;
        else
            sched_yield();
    return unused;
}

TEST(the_program_waits_for_every_child)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, collect_everybody, NULL), 0);
    /* Until it has been faster than kin. */
    do check_all();
    while (collected == 0);
    ending = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- a storm of signals ----------------------------------------------------------------------------- */

static atomic_ulong alarms;

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

static void begin_storm(void)
{
    struct sigaction action = {.sa_handler = count_alarm}; /* without SA_RESTART */
    struct itimerval often = {.it_interval = {.tv_usec = 500}, .it_value = {.tv_usec = 500}};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void end_storm(void)
{
    CHECK_EQ(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL), 0);
}

struct exchange {
    kin_queue *there, *back;
    kin_lock *lock;
    long sum;
};

enum { MESSAGES = 3000 };

static void answer(void *argument)
{
    struct exchange *exchange = argument;
    begin_storm();
    for (long i = 0; i < MESSAGES; i++) {
        long number;
        CHECK_EQ(kin_queue_get(exchange->there, &number, sizeof number, KIN_FOREVER), sizeof number);
        CHECK_EQ(number, i);
        CHECK_OK(kin_lock_acquire(exchange->lock, KIN_FOREVER));
        exchange->sum += number;
        CHECK_OK(kin_lock_release(exchange->lock));
        CHECK_OK(kin_queue_put(exchange->back, &number, sizeof number, KIN_FOREVER));
    }
    end_storm();
}

TEST(signals_interrupt_every_wait)
{
    struct exchange *exchange = test_shared(sizeof *exchange);
    CHECK_OK(kin_queue_open(&exchange->there, NULL));
    CHECK_OK(kin_queue_open(&exchange->back, NULL));
    CHECK_OK(kin_lock_open(&exchange->lock));
    pid_t child = test_child(answer, exchange);
    begin_storm();
    long number, sum = 0;
    for (long i = 0; i < MESSAGES; i++) {
        CHECK_OK(kin_queue_put(exchange->there, &i, sizeof i, KIN_FOREVER));
        CHECK_EQ(kin_queue_get(exchange->back, &number, sizeof number, KIN_FOREVER), sizeof number);
        sum += number;
    }
    check_all();
    /* A deadline is kept, and not begun anew by each signal. */
    unsigned long before = alarms;
    CHECK_RC(kin_queue_get(exchange->back, &number, sizeof number, kin_in_ms(50)), KIN_EMPTY);
    CHECK_GT(alarms, before);
    end_storm();
    CHECK_EQ(test_collect(child), 0);
    CHECK_EQ(exchange->sum, sum);
    CHECK_OK(kin_queue_close(exchange->there));
    CHECK_OK(kin_queue_close(exchange->back));
    CHECK_OK(kin_lock_close(exchange->lock));
}

/* ---- pids that come again ---------------------------------------------------------------------------- */

static void hold_for_ever(void *argument)
{
    struct exchange *exchange = argument;
    CHECK_OK(kin_lock_acquire(exchange->lock, KIN_FOREVER));
    exchange->sum = getpid();
    for (;;) pause();
}

/* A process of that number, which has nothing to do with the family. */
static pid_t revive(pid_t pid)
{
    struct clone_args how = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    pid_t child = (pid_t)syscall(SYS_clone3, &how, sizeof how);
    if (child == 0)
        for (;;) pause();
    return child;
}

TEST(the_pid_of_a_dead_owner_comes_again)
{
    struct exchange *exchange = test_shared(sizeof *exchange);
    CHECK_OK(kin_lock_open(&exchange->lock));
    pid_t owner = test_child(hold_for_ever, exchange);
    test_until(exchange->sum == owner);
    test_kill(owner);
    pid_t stranger = revive(owner);
    if (stranger < 0) SKIP("this process may not choose pids: %s", strerror(errno));
    CHECK_EQ(stranger, owner);
    CHECK_RC(kin_lock_acquire(exchange->lock, kin_in_s(20)), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(exchange->lock));
    check_all();
    CHECK_EQ(waitpid(stranger, NULL, WNOHANG), 0); /* nobody has touched it */
    test_kill(stranger);
    CHECK_OK(kin_lock_close(exchange->lock));
}

/* ---- another pid namespace ----------------------------------------------------------------------------- */

/* This program again, as the first process of a namespace; its family answers for it. */
TEST_COLD(a_program_of_another_pid_namespace_is_refused)
{
    const char *expected = getenv("TEST_REFUSED_AS");
    if (expected != NULL) {
        CHECK_RC(kin_family_open(NULL), atoi(expected));
        return;
    }
    char invitation[128], code[24];
    int descriptor, status;
    CHECK_OK(kin_family_invite(invitation, sizeof invitation, &descriptor));
    snprintf(code, sizeof code, "%d", KIN_ENAMESPACE);
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWPID) != 0) _exit(77);
        pid_t first = fork();
        if (first == 0) {
            CHECK_EQ(getpid(), 1);
            fcntl(descriptor, F_SETFD, 0);
            putenv(invitation);
            setenv("TEST_REFUSED_AS", code, 1);
            execl("/proc/self/exe", program_invocation_name, "a_program_of_another_pid_namespace_is_refused",
                  (char *)NULL);
            _exit(78);
        }
        waitpid(first, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 79);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) SKIP("this process may make no pid namespace");
    CHECK_EQ(status, 0);
}
