/* handover.c: see handover.h. */
#define _GNU_SOURCE
#include "os/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/direct.h"
#include "os/fault.h"
#include "os/processes.h"

/* ---- packets with descriptors ------------------------------------------------------------------ */

/* Aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(KIN__HANDOVER_MOST * sizeof(int))];
};

KIN__CHILD_CODE int kin__os_handover_send(int socket, const struct kin__part *parts, size_t part_count,
                                          const int *descriptors, size_t count)
{
    union control control;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = part_count};
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    if (count > KIN__HANDOVER_MOST) return -E2BIG;
    if (count > 0) {
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    }
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR) return -errno;
    return 0;
}

static void take_descriptors(struct msghdr *message, int *descriptors, size_t *count)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t bytes = header->cmsg_len - CMSG_LEN(0);
        memcpy(descriptors + *count, CMSG_DATA(header), bytes);
        *count += bytes / sizeof(int);
    }
}

long kin__os_handover_receive(int socket, void *bytes, size_t size, int *descriptors, size_t *count,
                              bool wait)
{
    union control control;
    struct iovec part = {bytes, size};
    struct msghdr message;
    ssize_t got;
    *count = 0;
    do {
        message = (struct msghdr){
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    } while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    take_descriptors(&message, descriptors, count);
    return (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : got;
}

/* ---- files of bytes ------------------------------------------------------------------------------ */

static int write_all(int descriptor, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno == ENOSPC ? -ENOMEM : -errno;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

int kin__os_bytes_make(const char *name, const struct kin__part *parts, size_t count)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = memfd_create(name, MFD_CLOEXEC);
    if (descriptor < 0) return -errno;
    for (size_t i = 0; i < count && rc == 0; i++) rc = write_all(descriptor, parts[i].bytes, parts[i].size);
    if (rc == 0) return descriptor;
    close(descriptor);
    return rc;
}

int kin__os_bytes_map(int descriptor, void **bytes, size_t *size)
{
    struct stat status;
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (fstat(descriptor, &status) < 0) return -errno;
    *size = (size_t)status.st_size;
    *bytes = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    return *bytes == MAP_FAILED ? -errno : 0;
}

/* ---- descriptors --------------------------------------------------------------------------------- */

int kin__os_descriptor_copy(int descriptor, int least)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, least);
    /* The limit is told as if the number were wrong. */
    return copy >= 0 ? copy : errno == EINVAL ? -EMFILE : -errno;
}

KIN__CHILD_CODE int kin__os_descriptor_move(int descriptor, int target)
{
    if (descriptor == target) return kin__os_set_inherit(target, true);
    if (dup2(descriptor, target) < 0) return -errno;
    kin__os_close(descriptor);
    return 0;
}

int kin__os_directory_open(void)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

KIN__CHILD_CODE int kin__os_directory_enter(int descriptor)
{
    return (int)kin__direct(SYS_fchdir, descriptor, 0, 0, 0);
}

/* ---- children -------------------------------------------------------------------------------------- */

int kin__os_children_watch(void)
{
    sigset_t set, ends;
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    set = ends;
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int watch = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    return watch < 0 ? -errno : watch;
}

void kin__os_children_look(int watch)
{
    /* One stands for all that ended before it was read. */
    struct signalfd_siginfo info;
    ssize_t ignored = read(watch, &info, sizeof info);
    (void)ignored;
}

KIN__CHILD_CODE void kin__os_children_unwatch(int watch)
{
    const uint64_t none = 0; /* as the kernel has sets */
    kin__os_close(watch);
    kin__direct(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none);
}

int kin__os_thread_count(void)
{
    struct kin__process_note note;
    int rc = kin__os_process_note(getpid(), &note);
    return rc < 0 ? rc : (int)note.threads;
}
