/* bell.c: a socket that any process of this machine can make readable, by its name, without having
 * a descriptor for it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/fault.h"

/* An abstract name: no file, and gone with the socket. */
static socklen_t name_socket(struct sockaddr_un *address, const char *name)
{
    size_t length = strnlen(name, sizeof address->sun_path - 1);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + 1, name, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int kin__os_bell_make(const char *name)
{
    struct sockaddr_un address;
    socklen_t size = name_socket(&address, name);
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int bell = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bell < 0) return -errno;
    if (bind(bell, (const struct sockaddr *)&address, size) < 0) {
        rc = -errno;
        close(bell);
        return rc;
    }
    return bell;
}

void kin__os_bell_ring(const char *name)
{
    struct sockaddr_un address;
    socklen_t size = name_socket(&address, name);
    int saved = errno, from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (from >= 0) {
        /* Full: it has been rung and not been heard yet.  Refused: nobody is there any more. */
        while (sendto(from, "", 1, MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0 &&
               errno == EINTR)
            ;
        close(from);
    }
    errno = saved;
}

void kin__os_bell_silence(int bell)
{
    char byte;
    while (recv(bell, &byte, 1, 0) >= 0 || errno == EINTR) continue;
}
