/* test_signals.c: signals as messages: values and senders, order, waiting, what is blocked and what is let
 * through again, children and threads. */
#define _GNU_SOURCE
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/signals.h>
#include <kin/subprocess.h>
#include <kin/wait.h>

static kin_signals *receive(const int *numbers, size_t count)
{
    kin_signals *signals = NULL;
    CHECK_RC(kin_signals_open(&signals, numbers, count), 0);
    return signals;
}

static bool is_blocked(int number)
{
    sigset_t set;
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    return sigismember(&set, number) == 1;
}

static kin_signal get(kin_signals *signals)
{
    kin_signal got;
    CHECK_RC(kin_signals_get(signals, &got, KIN_FOREVER), 0);
    return got;
}

TEST(signals_come_with_sender_and_value)
{
    enum { MANY = 50 };
    const int numbers[] = {SIGRTMIN, SIGUSR1};
    kin_signals *signals = receive(numbers, 2);
    int *shared = kin_alloc(sizeof *shared);
    pid_t child = fork();
    if (child == 0) {
        for (intptr_t i = 0; i < MANY; i++) CHECK_RC(kin_signal_send(getppid(), SIGRTMIN, (void *)i), 0);
        CHECK_RC(kin_signal_send(getppid(), SIGRTMIN, shared), 0);
        _exit(0);
    }
    for (int i = 0; i <= MANY; i++) {
        kin_signal got = get(signals);
        CHECK_EQ(got.number, SIGRTMIN);
        CHECK_EQ(got.pid, child);
        CHECK_EQ(got.uid, getuid());
        CHECK(got.queued);
        if (i < MANY) CHECK_EQ(got.value, i);
        if (i == MANY) CHECK_EQ(got.pointer, (void *)shared);
    }
    CHECK_EQ(test_collect(child), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    kin_signal got = get(signals);
    CHECK_EQ(got.number, SIGUSR1);
    CHECK_EQ(got.pid, getpid());
    CHECK(!got.queued);
    CHECK_EQ(got.value, 0);
    CHECK_RC(kin_signals_get(signals, &got, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_signals_get(signals, &got, kin_in_ms(2)), -ETIMEDOUT);
    CHECK_OK(kin_signals_close(signals));
    kin_free(shared);
}

static void *signal_the_process(void *context)
{
    (void)context;
    CHECK_RC(kin_signal_send(getpid(), SIGUSR2, NULL), 0);
    return NULL;
}

TEST(who_waits_is_woken)
{
    pthread_t thread;
    kin_signals *signals = receive(&(int){SIGUSR2}, 1);
    kin_waitable item = kin_on_signals(signals);
    struct pollfd polled = {.fd = kin_signals_fileno(signals), .events = POLLIN};
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_EQ(poll(&polled, 1, 0), 0);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(pthread_create(&thread, NULL, signal_the_process, NULL), 0);
        if (round == 0) CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
        if (round == 0) CHECK_EQ(poll(&polled, 1, 0), 1);
        CHECK_EQ(get(signals).number, SIGUSR2);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    CHECK_OK(kin_signals_close(signals));
}

static volatile sig_atomic_t handled;

static void count(int number)
{
    (void)number;
    handled++;
}

TEST(masks_and_dispositions_are_as_before)
{
    struct sigaction action = {.sa_handler = count}, found;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    kin_signals *signals = receive((const int[]){SIGUSR1, SIGUSR2, SIGTERM}, 3);
    CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2) && is_blocked(SIGTERM));
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(get(signals).number, SIGUSR1);
    /* What nobody took is dropped, and ends nobody. */
    CHECK_EQ(kill(getpid(), SIGTERM), 0);
    CHECK_OK(kin_signals_close(signals));
    CHECK(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2) && !is_blocked(SIGTERM));
    CHECK_EQ(handled, 0);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &found), 0);
    CHECK(found.sa_handler == count);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(handled, 1);
}

static int run_child(void *context)
{
    kin_signal got;
    CHECK_RC(kin_signals_get(context, &got, KIN_NOW), KIN_EPRIVATE);
    CHECK_RC(kin_signals_fileno(context), KIN_EPRIVATE);
    kin_waitable item = kin_on_signals(context);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), KIN_EPRIVATE);
    CHECK(!is_blocked(SIGTERM));
    CHECK_OK(kin_signals_close(context));
    kin_signals *own = receive(&(int){SIGTERM}, 1);
    CHECK_RC(kin_signal_send(getpid(), SIGTERM, (void *)5), 0);
    CHECK_EQ(get(own).value, 5);
    CHECK_OK(kin_signals_close(own));
    CHECK_RC(kin_signal_send(getppid(), SIGUSR1, NULL), 0);
    for (;;) pause();
}

TEST(children_have_no_receiver_and_can_be_ended)
{
    kin_process *process = NULL;
    kin_exit_status status = {0};
    int code = -1;
    kin_signals *signals = receive((const int[]){SIGTERM, SIGUSR1}, 2);
    CHECK_RC(kin_process_start(&process, run_child, signals, NULL), 0);
    kin_signal got = get(signals);
    CHECK_EQ(got.number, SIGUSR1);
    CHECK_EQ(got.pid, kin_process_pid(process));
    CHECK_RC(kin_process_send_signal(process, SIGTERM, NULL), 0);
    CHECK_RC(kin_process_join(process, KIN_FOREVER), 0);
    CHECK_RC(kin_process_exit_status(process, &status), 0);
    CHECK_EQ(status.kind, KIN_SIGNALED);
    CHECK_EQ(status.signal, SIGTERM);
    CHECK_RC(kin_process_send_signal(process, SIGTERM, NULL), -ESRCH);
    CHECK_OK(kin_process_close(process));
    /* A program starts with nothing blocked. */
    CHECK_OK(kin_subprocess_call(&code, KIN_COMMAND("grep", "-q", "SigBlk:[^1-9a-f]*$", "/proc/self/status"),
                                 KIN_FOREVER));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_signals_close(signals));
}

static void *close_receiver(void *context)
{
    CHECK_OK(kin_signals_close(context));
    return NULL;
}

TEST(another_thread_may_close_it)
{
    pthread_t thread;
    kin_signals *signals = receive(&(int){SIGUSR1}, 1);
    CHECK_EQ(pthread_create(&thread, NULL, close_receiver, signals), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(is_blocked(SIGUSR1));
    signals = receive(&(int){SIGUSR1}, 1);
    CHECK_OK(kin_signals_close(signals));
    CHECK(is_blocked(SIGUSR1));
}

TEST(errors_are_exact)
{
    kin_signals *signals = NULL, *second = NULL;
    kin_signal got;
    const int never[] = {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 32, 33};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        test_context("signal %d", never[i]);
        CHECK_RC(kin_signals_open(&signals, &never[i], 1), -EINVAL);
        if (never[i] > 0 && never[i] < 32) CHECK(!is_blocked(never[i]));
    }
    test_context(NULL);
    CHECK_RC(kin_signals_open(&signals, &(int){SIGUSR1}, 0), -EINVAL);
    CHECK_RC(kin_signals_open(&signals, NULL, 1), -EINVAL);
    CHECK_RC(kin_signals_open(NULL, &(int){SIGUSR1}, 1), -EINVAL);
    signals = receive(&(int){SIGUSR1}, 1);
    CHECK_RC(kin_signals_open(&second, (const int[]){SIGUSR2, SIGUSR1}, 2), -EBUSY);
    CHECK(!is_blocked(SIGUSR2));
    CHECK_RC(kin_signals_get(signals, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_signals_get(NULL, &got, KIN_NOW), -EINVAL);
    CHECK_RC(kin_signals_fileno(NULL), -EINVAL);
    CHECK_OK(kin_signals_close(NULL));
    CHECK_OK(kin_signals_close(signals));
    CHECK_RC(kin_signal_send(0, SIGUSR1, NULL), -EINVAL);
    CHECK_RC(kin_signal_send(-1, SIGUSR1, NULL), -EINVAL);
    CHECK_RC(kin_signal_send(getpid(), 100, NULL), -EINVAL);
    CHECK_RC(kin_process_send_signal(NULL, SIGUSR1, NULL), -EINVAL);
    pid_t gone = fork();
    if (gone == 0) _exit(0);
    test_collect(gone);
    CHECK_RC(kin_signal_send(gone, SIGUSR1, NULL), -ESRCH);
}

static int open_receiver(void *context)
{
    return kin_signals_open(context, &(int){SIGUSR1}, 1);
}

static int close_it(void *context)
{
    return kin_signals_close(*(kin_signals **)context);
}

TEST(a_receiver_that_cannot_be_opened_leaves_nothing)
{
    kin_signals *signals = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = open_receiver, .unmake = close_it, .context = &signals});
    CHECK_GT(report.failures, 0);
    CHECK(!is_blocked(SIGUSR1));
}
