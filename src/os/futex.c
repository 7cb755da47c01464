/* futex.c: sleeping on a word that processes share, and the robust list. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

int kin__os_futex_wait(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline)
{
    /* The bitset form takes an absolute time, on the monotonic clock. */
    struct timespec end = {0}, *limit = NULL;
    if (deadline != KIN_FOREVER) {
        limit = &end;
        if (deadline > 0) {
            end.tv_sec = deadline / 1000000000;
            end.tv_nsec = deadline % 1000000000;
        }
    }
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, limit, NULL, FUTEX_BITSET_MATCH_ANY);
    return rc < 0 ? -errno : 0;
}

int kin__os_futex_wake(const _Atomic uint32_t *word, int count)
{
    /* A signal handler that wakes somebody must not change what the program sees in errno. */
    int saved = errno;
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    int rc = woken < 0 ? -errno : (int)woken;
    errno = saved;
    return rc;
}

int kin__os_robust_list(struct kin__robust_list **head)
{
    size_t size = 0;
    *head = NULL;
    if (syscall(SYS_get_robust_list, 0, head, &size) < 0) return -errno;
    return *head != NULL && size == sizeof **head ? 0 : -ENOSYS;
}
