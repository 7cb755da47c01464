/* network.c: addresses, listening, connecting.  See network.h. */
#define _GNU_SOURCE
#include "os/network.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <kin/error.h>

#include "os/fault.h"
#include "os/socket.h"
#include "os/suspend.h"

/* How often the lock on a directory is asked for, a millisecond apart. */
#define LOCK_TRIES 200

/* Coroutines ask a full listener for room after pauses from FIRST to LAST, and EACH more for each other one of
 * their thread that asks: all of them together ask at most 10,000 times a second. */
#define KNOCK_FIRST_NS 50000
#define KNOCK_LAST_NS  10000000
#define KNOCK_EACH_NS  100000

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof(((struct kin__address *)0)->bytes), "any address");

static const struct sockaddr *as_socket_address(const struct kin__address *address)
{
    return (const struct sockaddr *)address->bytes;
}

static const struct sockaddr_un *as_unix(const struct kin__address *address)
{
    return (const struct sockaddr_un *)address->bytes;
}

/* ---- addresses -------------------------------------------------------------------------------------- */

/* A question to the name servers, which may take long. */
struct question {
    struct kin__chore chore;
    char *port; /* behind the host */
    bool listens;
    int rc;
    struct addrinfo *found;
    char host[];
};

static int look_up(const char *host, const char *port, int flags, struct addrinfo **found)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    return getaddrinfo(host, port, &hints, found);
}

static void ask(struct kin__chore *chore)
{
    struct question *question = (struct question *)chore;
    int flags = question->listens ? AI_PASSIVE : 0;
    question->rc = look_up(question->host, question->port, flags, &question->found);
}

static void drop_question(struct kin__chore *chore)
{
    struct question *question = (struct question *)chore;
    if (question->found != NULL) freeaddrinfo(question->found);
    kin__os_free(question);
}

/* Without blocking the thread.  0, or a negative error; *answer is what getaddrinfo returned. */
static int look_up_suspended(const char *host, const char *port, bool listens, kin_deadline deadline,
                             int *answer, struct addrinfo **found)
{
    size_t host_size = strlen(host) + 1, port_size = strlen(port) + 1;
    struct question *question = kin__os_calloc(1, sizeof *question + host_size + port_size);
    if (question == NULL) return -ENOMEM;
    question->chore = (struct kin__chore){.run = ask, .drop = drop_question};
    question->listens = listens;
    question->port = question->host + host_size;
    memcpy(question->host, host, host_size);
    memcpy(question->port, port, port_size);
    int rc = kin__suspender->chore(&question->chore, deadline);
    if (rc < 0) return rc;
    *answer = question->rc;
    *found = question->found;
    question->found = NULL;
    drop_question(&question->chore);
    return 0;
}

int kin__os_address_lookup(const char *host, const char *port, bool listens, struct kin__address *addresses,
                           size_t limit, kin_deadline deadline)
{
    struct addrinfo *found = NULL;
    int passive = listens ? AI_PASSIVE : 0, answer = EAI_NONAME, rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    /* Numbers need nobody. */
    bool asks = kin__suspender != NULL && host != NULL;
    answer = look_up(host, port, passive | (asks ? AI_NUMERICHOST : 0), &found);
    if (asks && answer == EAI_NONAME) rc = look_up_suspended(host, port, listens, deadline, &answer, &found);
    if (rc < 0) return rc;
    if (answer != 0) return answer == EAI_MEMORY ? -ENOMEM : KIN_EHOST;
    size_t count = 0;
    for (struct addrinfo *one = found; one != NULL && count < limit; one = one->ai_next) {
        if (one->ai_addrlen > sizeof addresses->bytes) continue;
        addresses[count].size = one->ai_addrlen;
        memcpy(addresses[count++].bytes, one->ai_addr, one->ai_addrlen);
    }
    freeaddrinfo(found);
    return count > 0 ? (int)count : KIN_EHOST;
}

int kin__os_address_unix(const char *name, size_t size, bool abstract, struct kin__address *address)
{
    struct sockaddr_un made = {.sun_family = AF_UNIX};
    /* A path ends with a NUL, an abstract name begins with one. */
    if (size + 1 > sizeof made.sun_path) return -ENAMETOOLONG;
    memcpy(made.sun_path + (abstract ? 1 : 0), name, size);
    memset(address, 0, sizeof *address);
    address->size = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    memcpy(address->bytes, &made, address->size);
    return 0;
}

int kin__os_address_text(const struct kin__address *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN + 20], port[8];
    int length;
    if (as_socket_address(address)->sa_family == AF_UNIX) {
        const char *path = as_unix(address)->sun_path;
        int most = (int)(address->size - offsetof(struct sockaddr_un, sun_path));
        if (most > 0 && path[0] == '\0')
            length = snprintf(text, size, "unix:@%.*s", most - 1, path + 1);
        else
            length = snprintf(text, size, "unix:%.*s", most, path);
    } else {
        if (getnameinfo(as_socket_address(address), address->size, host, sizeof host, port, sizeof port,
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
            return KIN_EHOST;
        bool six = as_socket_address(address)->sa_family == AF_INET6;
        length = snprintf(text, size, six ? "tcp://[%s]:%s" : "tcp://%s:%s", host, port);
    }
    return length >= 0 && (size_t)length < size ? 0 : KIN_ETOOSMALL;
}

int kin__os_address_of(int socket, struct kin__address *address)
{
    socklen_t size = sizeof address->bytes;
    memset(address, 0, sizeof *address);
    if (getsockname(socket, (struct sockaddr *)address->bytes, &size) < 0) return -errno;
    address->size = size;
    return 0;
}

uint64_t kin__os_address_network(const struct kin__address *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)address->bytes;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address->bytes;
    uint64_t upper = 0;
    uint32_t number = 0;
    if (four->sin_family == AF_INET) {
        number = ntohl(four->sin_addr.s_addr);
    } else if (four->sin_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        memcpy(&number, six->sin6_addr.s6_addr + 12, sizeof number);
        number = ntohl(number);
    } else if (four->sin_family == AF_INET6) {
        memcpy(&upper, &six->sin6_addr, sizeof upper);
    }
    /* No network of IPv6 begins with four bytes that are 0, but that of ::1. */
    return upper != 0 ? be64toh(upper) : number == INADDR_LOOPBACK ? 0 : number;
}

int kin__os_address_of_peer(int socket, struct kin__address *address)
{
    socklen_t size = sizeof address->bytes;
    memset(address, 0, sizeof *address);
    if (getpeername(socket, (struct sockaddr *)address->bytes, &size) < 0) return -errno;
    address->size = size;
    return 0;
}

/* ---- listening -------------------------------------------------------------------------------------- */

static int make_socket(const struct kin__address *address, int flags)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int made = socket(as_socket_address(address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    return made < 0 ? -errno : made;
}

static bool is_file(const struct kin__address *address)
{
    return as_socket_address(address)->sa_family == AF_UNIX && as_unix(address)->sun_path[0] != '\0';
}

/* A socket file whose listener was killed stays behind, and nobody can connect to it: nor to any other file. */
static bool is_left_behind(const struct kin__address *address)
{
    if (kin__os_socket_file(address) == 0) return false;
    int probe = make_socket(address, SOCK_NONBLOCK);
    if (probe < 0) return false;
    bool refused = connect(probe, as_socket_address(address), address->size) < 0 && errno == ECONNREFUSED;
    close(probe);
    return refused;
}

/* Between the binding of a socket file and the listening it looks left behind, and between our look and the
 * unlinking another may have taken its place: so kin's listeners do that one after the other, by a lock on the
 * directory, which ends with its holder.  Anybody who may read the directory may hold it up: it is not
 * waited for long.  The locked descriptor, or an error. */
static int lock_directory(const char *path)
{
    char directory[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, slash == NULL ? "." : path, slash == NULL ? 1 : length);
    directory[slash == NULL ? 1 : length] = '\0';
    int opened = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return -errno;
    for (int i = 0; flock(opened, LOCK_EX | LOCK_NB) < 0; i++) {
        if (i < LOCK_TRIES && (errno == EWOULDBLOCK || errno == EINTR)) {
            poll(NULL, 0, 1);
            continue;
        }
        close(opened);
        return -EWOULDBLOCK;
    }
    return opened;
}

static int bind_and_listen(int made, const struct kin__address *address, int backlog, bool may_replace)
{
    int rc = bind(made, as_socket_address(address), address->size) < 0 ? -errno : 0;
    if (rc == -EADDRINUSE && may_replace && is_left_behind(address)) {
        unlink(as_unix(address)->sun_path);
        rc = bind(made, as_socket_address(address), address->size) < 0 ? -errno : 0;
    }
    if (rc == 0 && listen(made, backlog) < 0) rc = -errno;
    return rc;
}

int kin__os_listen_with(int socket, const struct kin__address *address, int backlog)
{
    const int one = 1;
    int lock = -1;
    fcntl(socket, F_SETFL, O_NONBLOCK);
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (is_file(address)) lock = lock_directory(as_unix(address)->sun_path);
    int rc = bind_and_listen(socket, address, backlog, lock >= 0);
    if (lock >= 0) {
        /* Said, because a process that was forked meanwhile has a copy. */
        flock(lock, LOCK_UN);
        close(lock);
    }
    return rc;
}

int kin__os_listen(const struct kin__address *address, int backlog)
{
    int made = make_socket(address, 0);
    int rc = made < 0 ? made : kin__os_listen_with(made, address, backlog);
    if (rc == 0) return made;
    if (made >= 0) close(made);
    return rc;
}

static void hurry(int socket)
{
    /* On a Unix socket it fails, and is not needed. */
    const int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* What has befallen a connection before it was accepted Linux says here: it is no error of who listens. */
static bool is_the_client_s(int error)
{
    return error == ECONNABORTED || error == EPROTO || error == ENETDOWN || error == ENETUNREACH ||
           error == EHOSTDOWN || error == EHOSTUNREACH || error == ENONET || error == ENOPROTOOPT;
}

int kin__os_accept(int listener, struct kin__address *from)
{
    struct kin__address unwanted;
    if (from == NULL) from = &unwanted;
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    do {
        memset(from, 0, sizeof *from);
        socklen_t size = sizeof from->bytes;
        rc = accept4(listener, (struct sockaddr *)from->bytes, &size, SOCK_CLOEXEC);
        from->size = size;
    } while (rc < 0 && (errno == EINTR || is_the_client_s(errno)));
    if (rc < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    hurry(rc);
    return rc;
}

void kin__os_acknowledge(int socket)
{
    const int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

void kin__os_keep_alive(int socket, unsigned seconds)
{
    const int one = 1, probes = 3, idle = (int)(seconds / 2 > 0 ? seconds / 2 : 1);
    const int between = (int)(seconds / 6 > 0 ? seconds / 6 : 1);
    /* On a Unix socket it fails, and all of this is not needed. */
    if (setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) < 0) return;
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

void kin__os_notice_silence(int socket, unsigned seconds)
{
    const unsigned milliseconds = seconds * 1000;
    kin__os_keep_alive(socket, seconds);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

bool kin__os_hung_up(int socket)
{
    struct pollfd look = {.fd = socket, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

uint64_t kin__os_socket_file(const struct kin__address *address)
{
    struct stat status;
    if (!is_file(address)) return 0;
    bool there = lstat(as_unix(address)->sun_path, &status) == 0;
    return there && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

void kin__os_socket_file_remove(const struct kin__address *address, uint64_t identity)
{
    if (identity != 0 && kin__os_socket_file(address) == identity) unlink(as_unix(address)->sun_path);
}

/* ---- connecting ------------------------------------------------------------------------------------- */

static void set_time_limit(int socket, kin_deadline deadline)
{
    struct timeval left = {0};
    if (deadline != KIN_FOREVER) {
        int64_t microseconds = deadline > 0 ? (deadline - kin__os_clock()) / 1000 : 0;
        if (microseconds < 1) microseconds = 1; /* 0 would be no limit */
        left.tv_sec = microseconds / 1000000;
        left.tv_usec = microseconds % 1000000;
    }
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
}

/* A connection over the network is made while we wait, also after a signal. */
static int finish_connecting(int socket, kin_deadline deadline)
{
    int error = 0;
    socklen_t size = sizeof error;
    int rc = kin__os_wait_ready(socket, KIN__WRITABLE, deadline);
    if (rc < 0) return rc;
    return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

/* The coroutines of this thread that wait for room; a forked child has none of its parent's. */
static _Thread_local struct {
    int pid;
    int64_t count;
} knocking;

/* The queue of a Unix socket is full, and nothing tells when it no longer is: so it is asked again, after pauses
 * that double, up to a limit that grows with the number of those who ask.  -EINTR: try again. */
static int wait_for_room(int64_t *pause, kin_deadline deadline)
{
    kin_deadline now = kin__os_clock(), next = now + *pause;
    int pid = kin__os_pid();
    if (deadline <= now) return -ETIMEDOUT;
    if (knocking.pid != pid) knocking.count = 0;
    knocking.pid = pid;
    int64_t longest = KNOCK_LAST_NS + knocking.count * KNOCK_EACH_NS;
    *pause = *pause * 2 < longest ? *pause * 2 : longest;
    knocking.count++;
    int rc = kin__os_poll(NULL, 0, next < deadline ? next : deadline);
    knocking.count--;
    return rc < 0 ? rc : -EINTR;
}

/* Without blocking the thread in a coroutine, with the kernel's time limit elsewhere. */
static int connect_until(int socket, const struct kin__address *address, kin_deadline deadline)
{
    bool suspended = kin__suspender != NULL;
    int64_t pause = KNOCK_FIRST_NS;
    int rc;
    if (suspended) fcntl(socket, F_SETFL, O_NONBLOCK);
    do {
        if (!suspended) set_time_limit(socket, deadline);
        rc = connect(socket, as_socket_address(address), address->size) < 0 ? -errno : 0;
        if (rc == -EINPROGRESS || rc == -EALREADY) rc = finish_connecting(socket, deadline);
        if (rc == -EAGAIN && suspended) rc = wait_for_room(&pause, deadline);
    } while (rc == -EINTR);
    if (suspended) fcntl(socket, F_SETFL, 0);
    return rc;
}

int kin__os_socket_to(const struct kin__address *address)
{
    return make_socket(address, 0);
}

int kin__os_connect(int socket, const struct kin__address *address, kin_deadline deadline)
{
    int rc = connect_until(socket, address, deadline);
    if (rc < 0 && rc != -EISCONN) return rc == -EAGAIN ? -ETIMEDOUT : rc;
    set_time_limit(socket, KIN_FOREVER);
    hurry(socket);
    return 0;
}
