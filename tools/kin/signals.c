/* signals.c: SIGINT, SIGTERM, SIGHUP and SIGCHLD through a signalfd.
 *
 * They stay blocked in the tool, so that a child made by vfork never runs a handler of its
 * parent, and gets them only after signals_restore. */
#define _GNU_SOURCE
#include "signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int descriptor = -1;
static sigset_t mask_before;
static struct sigaction pipe_before;

int signals_open(void)
{
    struct sigaction hang_up;
    sigset_t mask;
    sigemptyset(&mask);
    /* A script's background jobs ignore SIGINT; this one ends by it even so, as its jobs, which
     * are in process groups of their own, would not.  But nohup is heeded. */
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGCHLD);
    sigaction(SIGHUP, NULL, &hang_up);
    if (hang_up.sa_handler != SIG_IGN) sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, &mask_before);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &pipe_before);
    descriptor = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

void signals_close(void)
{
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
}

int signals_next(void)
{
    struct signalfd_siginfo info;
    ssize_t size = read(descriptor, &info, sizeof info);
    return size == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void signals_restore(void)
{
    sigaction(SIGPIPE, &pipe_before, NULL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}
