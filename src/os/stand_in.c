/* stand_in.c: see stand_in.h. */
#define _GNU_SOURCE
#include "os/stand_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fault.h"

/* As many descriptors as can stand for children: more than valgrind lets a program have. */
#define MOST 4096

bool kin__os_stand_ins;

/* By descriptor: whose child it stands for, above, and which; 0: none.  A copy in another process stands for nothing. */
static _Atomic uint64_t children[MOST];

bool kin__os_stand_in_begin(void)
{
    return !__atomic_exchange_n(&kin__os_stand_ins, true, __ATOMIC_RELAXED);
}

int kin__os_stand_in_make(int ends[2])
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    if (ends[0] < MOST) return 0;
    close(ends[0]);
    close(ends[1]);
    return -EMFILE;
}

static uint64_t entry_of(int pid)
{
    return (uint64_t)getpid() << 32 | (uint32_t)pid;
}

void kin__os_stand_in_enter(int descriptor, int pid)
{
    atomic_store(&children[descriptor], entry_of(pid));
}

int kin__os_stand_in_open(int pid)
{
    int found = 0;
    while (found < MOST && atomic_load(&children[found]) != entry_of(pid)) found++;
    if (found == MOST) return -ENOSYS;
    int made = fcntl(found, F_DUPFD_CLOEXEC, 0);
    if (made < 0) return -errno;
    if (made >= MOST) {
        close(made);
        return -EMFILE;
    }
    kin__os_stand_in_enter(made, pid);
    return made;
}

void kin__os_stand_in_forget(int descriptor)
{
    if (__builtin_expect(kin__os_stand_ins, 0) && descriptor >= 0 && descriptor < MOST)
        atomic_store(&children[descriptor], 0);
}

int kin__os_stand_in_child(int descriptor)
{
    if (__builtin_expect(!kin__os_stand_ins, 1) || descriptor < 0 || descriptor >= MOST) return 0;
    uint64_t entry = atomic_load(&children[descriptor]);
    siginfo_t info;
    if (entry >> 32 != (uint64_t)getpid()) return 0;
    int pid = (int)(uint32_t)entry;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD ? -ESRCH : pid;
}
