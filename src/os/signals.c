/* signals.c: see signals.h. */
#define _GNU_SOURCE
#include "os/signals.h"
#include "os/stand_in.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/os.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define SIGNALS 64

/* What the kernel raises in a thread for what that does is not kept for a descriptor. */
static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

static int make_set(uint64_t signals, sigset_t *set)
{
    const uint64_t never = bit(SIGKILL) | bit(SIGSTOP) | bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) |
                           bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS);
    if (signals == 0 || (signals & never) != 0) return -EINVAL;
    sigemptyset(set);
    /* libc keeps two for itself. */
    for (int number = 1; number <= SIGNALS; number++)
        if ((signals & bit(number)) != 0 && sigaddset(set, number) < 0) return -EINVAL;
    return 0;
}

int kin__os_signals_make(uint64_t signals, uint64_t *blocked)
{
    sigset_t set, before;
    int rc = make_set(signals, &set);
    if (rc == 0) rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor < 0) return -errno;
    pthread_sigmask(SIG_BLOCK, &set, &before);
    *blocked = 0;
    for (int number = 1; number <= SIGNALS; number++)
        if ((signals & bit(number)) != 0 && sigismember(&before, number) == 0) *blocked |= bit(number);
    return descriptor;
}

void kin__os_signals_unblock(uint64_t signals)
{
    sigset_t set;
    if (make_set(signals, &set) == 0) pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int kin__os_signals_take(int descriptor, kin_signal *signal)
{
    struct signalfd_siginfo got;
    ssize_t size;
    do size = read(descriptor, &got, sizeof got);
    while (size < 0 && errno == EINTR);
    if (size < 0) return -errno;
    *signal = (kin_signal){.number = (int)got.ssi_signo, .pid = (int)got.ssi_pid, .uid = got.ssi_uid};
    signal->queued = got.ssi_code == SI_QUEUE;
    if (signal->queued) {
        signal->value = got.ssi_int;
        signal->pointer = (void *)(uintptr_t)got.ssi_ptr;
    }
    return 0;
}

static void describe(siginfo_t *info, int number, void *value)
{
    memset(info, 0, sizeof *info);
    info->si_signo = number;
    info->si_code = SI_QUEUE;
    info->si_pid = getpid();
    info->si_uid = getuid();
    info->si_value.sival_ptr = value;
}

int kin__os_signal_queue(int pid, int number, void *value)
{
    siginfo_t info;
    describe(&info, number, value);
    return syscall(SYS_rt_sigqueueinfo, pid, number, &info) < 0 ? -errno : 0;
}

int kin__os_process_queue(int process_descriptor, int number, void *value)
{
    siginfo_t info;
    int pid = kin__os_stand_in_child(process_descriptor);
    if (pid != 0) return pid < 0 ? pid : kin__os_signal_queue(pid, number, value);
    describe(&info, number, value);
    return syscall(SYS_pidfd_send_signal, process_descriptor, number, &info, 0) < 0 ? -errno : 0;
}
