/* lifeline.c: children that the kernel kills when their parent is gone.
 *
 * The parent alone holds the writing end of a pipe.  Each child holds an open file description
 * of its own for the reading end (the receiver of signals belongs to the description, so it
 * cannot be shared), armed so that the kernel signals the child when the last writer goes.
 * Unlike PR_SET_PDEATHSIG this means the process, not the thread that forked.
 *
 * Everything that can fail is done before the fork, where the caller can be told.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/decimal.h"
#include "os/direct.h"
#include "os/fault.h"

int kin__os_lifeline_make(void)
{
    int ends[2];
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
    /* A parent that changes its user later must still be able to open what is its own. */
    fchmod(ends[1], S_IRUSR | S_IRGRP | S_IROTH);
    close(ends[0]);
    return ends[1];
}

int kin__os_lifeline_open(int line, int signal)
{
    char path[sizeof "/proc/self/fd/" + 10] = "/proc/self/fd/";
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    /* Opening the pipe once more, through its writing end, makes a reader. */
    kin__decimal_append(path, (unsigned)line);
    int own = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (own < 0) return -errno;
    /* It has no receiver yet, so it sends nothing. */
    if (fcntl(own, F_SETSIG, signal) == 0 && fcntl(own, F_SETFL, O_NONBLOCK | O_ASYNC) == 0) return own;
    rc = -errno;
    close(own);
    return rc;
}

KIN__CHILD_CODE static int look(int own)
{
    long rc;
    struct pollfd item = {.fd = own};
    do {
        struct timespec none = {0};
        rc = kin__direct(SYS_ppoll, (long)&item, 1, (long)&none, 0);
    } while (rc == -EINTR);
    if (rc < 0) return (int)rc;
    return (item.revents & POLLHUP) != 0 ? -EPIPE : 0;
}

KIN__CHILD_CODE int kin__os_lifeline_hold(int own)
{
    long rc = kin__direct(SYS_fcntl, own, F_SETOWN, getpid(), 0);
    /* A parent that went before this process was the receiver. */
    return rc < 0 ? (int)rc : look(own);
}

int kin__os_lifeline_signal(int own, int signal)
{
    return fcntl(own, F_SETSIG, signal) < 0 ? -errno : look(own);
}
