/* connection.c: the public connection: opening, checks, waiting; what the two kinds have in common.
 *
 * Nothing of a connection lies in family memory: the kernel tells when an end is gone, and keeps no
 * more of a dead process than what it had sent whole. */
#define _GNU_SOURCE
#include "ipc/connection.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/secure.h"
#include "memory/waitable.h"
#include "os/network.h"
#include "os/os.h"

#define SILENCE_DEFAULT_S 60

static int check(const kin_connection *connection)
{
    if (connection == NULL) return -EINVAL;
    if (!connection->handle.withheld) return 0;
    return connection->secure != NULL ? KIN_EPRIVATE : KIN_ENOTGIVEN;
}

/* In a forked child: a thread of its parent may receive, or send, and hold a lock for as long as it waits. */
static void renew(struct kin__handle *handle)
{
    kin_connection *connection = (kin_connection *)handle;
    kin__private_lock_renew(&connection->receiving);
    kin__private_lock_renew(&connection->sending);
    pthread_mutex_init(&connection->keeping, NULL);
}

int kin__connection_make(kin_connection **made, enum kin__connection_kind kind, int descriptor,
                         struct kin__secure *secure)
{
    kin_connection *connection = kin__os_calloc(1, sizeof *connection);
    if (connection == NULL) return -ENOMEM;
    connection->kind = kind;
    connection->secure = secure;
    connection->receives = connection->sends = true;
    connection->local = kind == KIN__CONNECTION_PACKETS;
    pthread_mutex_init(&connection->keeping, NULL);
    /* Two processes would use the same keys for different bytes: no child gets a copy. */
    connection->handle = (struct kin__handle){
        .descriptor = descriptor, .passing = secure != NULL, .connection = true, .renew = renew};
    kin__handle_list(&connection->handle);
    *made = connection;
    return 0;
}

static int make_ends(kin_connection *made[2])
{
    int ends[2];
    kin__handles_enter();
    int rc = kin__os_socket_pair(KIN__SOCKET_PACKETS, ends);
    if (rc == 0) {
        for (int i = 0; i < 2; i++) {
            if (rc == 0) rc = kin__connection_make(&made[i], KIN__CONNECTION_PACKETS, ends[i], NULL);
            if (rc < 0) kin__os_close(ends[i]);
        }
    }
    kin__handles_leave();
    return rc;
}

int kin_pipe_open_sized(kin_connection **first, kin_connection **second, const kin_pipe_options *options,
                        size_t size)
{
    kin_pipe_options given = {0};
    kin_connection *made[2] = {NULL, NULL};
    if (first == NULL || second == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = make_ends(made);
    if (rc == 0 && given.simplex) {
        made[0]->sends = made[1]->receives = false;
        rc = kin__os_socket_end_sending(made[0]->handle.descriptor);
    }
    if (rc < 0) {
        for (int i = 0; i < 2; i++) kin_connection_close(made[i]);
        return rc;
    }
    *first = made[0];
    *second = made[1];
    return 0;
}

int kin__connection_take(kin_connection **connection, int descriptor, struct kin__secure *secure)
{
    enum kin__socket_kind kind = KIN__SOCKET_STREAM;
    bool local = false;
    int rc = kin__os_socket_describe(descriptor, &kind, &local);
    if (rc == 0) rc = kin__os_set_inherit(descriptor, false);
    if (rc == 0)
        rc = kin__connection_make(
            connection, kind == KIN__SOCKET_STREAM ? KIN__CONNECTION_FRAMED : KIN__CONNECTION_PACKETS,
            descriptor, secure);
    if (rc < 0) return rc;
    (*connection)->local = local;
    (*connection)->left_over = secure != NULL && kin__secure_readable(secure);
    return 0;
}

void kin__watch_silence(int socket, unsigned seconds)
{
    /* By default no program is given up that is only slow. */
    if (seconds != 0)
        kin__os_notice_silence(socket, seconds);
    else
        kin__os_keep_alive(socket, SILENCE_DEFAULT_S);
}

int kin_connection_open(kin_connection **connection, int descriptor)
{
    return connection != NULL ? kin__connection_take(connection, descriptor, NULL) : -EINVAL;
}

int kin_connection_close(kin_connection *connection)
{
    if (connection == NULL) return 0;
    if (connection->secure != NULL && !connection->handle.withheld && !connection->torn)
        kin__secure_end(connection->secure, connection->handle.descriptor);
    kin__handle_close(&connection->handle);
    kin__secure_free(connection->secure);
    kin__packet_forget(connection);
    kin__os_free(connection->partial);
    pthread_mutex_destroy(&connection->keeping);
    kin__os_free(connection);
    return 0;
}

void kin__connection_hand_over(kin_connection *connection)
{
    connection->handle.passing = false;
}

void kin__connection_forget(kin_connection *connection)
{
    connection->torn = true;
    kin_connection_close(connection);
}

int kin_connection_fileno(const kin_connection *connection)
{
    int rc = check(connection);
    return rc < 0 ? rc : connection->handle.descriptor;
}

int kin_connection_peer(const kin_connection *connection, char *text, size_t size)
{
    struct kin__address address;
    char whole[256];
    int rc = check(connection);
    if (rc == 0 && text == NULL && size > 0) rc = -EINVAL;
    if (rc == 0) rc = kin__os_address_of_peer(connection->handle.descriptor, &address);
    if (rc == 0) rc = kin__os_address_text(&address, whole, sizeof whole);
    if (rc < 0) return rc;
    if (connection->secure != NULL) memcpy(whole, "tls", strlen("tls"));
    return snprintf(text, size, "%s", whole);
}

/* ---- sending and receiving -------------------------------------------------------------------------- */

long kin__send_until(int socket, const struct kin__part *parts, size_t count, int descriptor,
                     kin_deadline deadline)
{
    for (;;) {
        long sent = kin__os_send(socket, parts, count, descriptor, kin__may_block(deadline));
        int rc = 0;
        if (sent == -ETIMEDOUT) return KIN_ESILENT;
        if (sent == -EAGAIN)
            rc = kin__os_wait_ready(socket, KIN__WRITABLE, deadline);
        else if (sent != -ECONNRESET)
            return sent;
        /* The other end is gone and had not read everything: said once, then it is -EPIPE. */
        if (rc < 0) return rc;
    }
}

long kin__receive_until(int socket, const struct kin__part *parts, size_t count,
                        struct kin__received *received, kin_deadline deadline)
{
    for (;;) {
        long got = kin__os_receive(socket, parts, count, received, kin__may_block(deadline));
        /* Of the network, not of the deadline. */
        if (got == -ETIMEDOUT) return KIN_ESILENT;
        if (got != -EAGAIN) return got;
        int rc = kin__os_wait_ready(socket, KIN__READABLE, deadline);
        if (rc < 0) return rc;
    }
}

int kin_connection_send(kin_connection *connection, const void *message, size_t size, kin_deadline deadline)
{
    int rc = check(connection);
    if (rc < 0) return rc;
    if ((message == NULL && size > 0) || size > INT64_MAX) return -EINVAL;
    if (!connection->sends) return -EBADF;
    return connection->kind == KIN__CONNECTION_PACKETS
               ? kin__packet_send(connection, message, size, deadline)
               : kin__framed_send(connection, message, size, deadline);
}

long kin_connection_recv(kin_connection *connection, void *buffer, size_t capacity, kin_deadline deadline)
{
    int rc = check(connection);
    if (rc < 0) return rc;
    if (buffer == NULL && capacity > 0) return -EINVAL;
    if (!connection->receives) return -EBADF;
    return connection->kind == KIN__CONNECTION_PACKETS
               ? kin__packet_receive(connection, buffer, capacity, NULL, deadline)
               : kin__framed_receive(connection, buffer, capacity, deadline);
}

/* Is there something that the descriptor does not show?  Without a lock: while another thread receives,
 * what comes next is not known anyway. */
static bool is_left_over(const kin_connection *connection)
{
    return __atomic_load_n(&connection->kept, __ATOMIC_RELAXED) != NULL ||
           __atomic_load_n(&connection->left_over, __ATOMIC_RELAXED);
}

int kin_connection_poll(kin_connection *connection, kin_deadline deadline)
{
    int rc = check(connection);
    if (rc < 0) return rc;
    if (!connection->receives) return -EBADF;
    if (is_left_over(connection)) return 1;
    rc = kin__os_wait_ready(connection->handle.descriptor, KIN__READABLE, deadline);
    return rc == 0 ? 1 : rc == -ETIMEDOUT ? 0 : rc;
}

int kin_connection_send_descriptor(kin_connection *connection, int descriptor, kin_deadline deadline)
{
    int rc = check(connection);
    if (rc < 0) return rc;
    if (!connection->sends || descriptor < 0) return -EBADF;
    if (!connection->local) return -EOPNOTSUPP;
    return connection->kind == KIN__CONNECTION_PACKETS
               ? kin__packet_send_descriptor(connection, descriptor, deadline)
               : kin__framed_send_descriptor(connection, descriptor, deadline);
}

int kin_connection_recv_descriptor(kin_connection *connection, kin_deadline deadline)
{
    int received = -1;
    int rc = check(connection);
    if (rc < 0) return rc;
    if (!connection->receives) return -EBADF;
    if (!connection->local) return -EOPNOTSUPP;
    if (connection->kind == KIN__CONNECTION_FRAMED)
        return kin__framed_receive_descriptor(connection, deadline);
    rc = (int)kin__packet_receive(connection, NULL, 0, &received, deadline);
    return rc < 0 ? rc : received;
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    const kin_connection *connection = item->object;
    int rc = check(connection);
    if (rc < 0) return rc;
    if (!connection->receives) return -EBADF;
    return is_left_over(connection);
}

static int descriptor_of(const kin_waitable *item)
{
    return ((const kin_connection *)item->object)->handle.descriptor;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class connections = {
        .look = look, .descriptor = descriptor_of, .keeps = true};
    kin__waitable_classes[KIN_WAITABLE_CONNECTION] = &connections;
}
