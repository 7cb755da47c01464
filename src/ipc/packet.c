/* packet.c: messages between the ends of a pipe, which are sockets of packets.
 *
 * A packet is one byte for its kind, and then
 *     MESSAGE      the message, if it is not large;
 *     LARGE        the size of a message, and with the packet one end of a stream of its own, over
 *                  which the message comes;
 *     DESCRIPTOR   nothing; what is passed comes with the packet.
 *
 * Invariants:
 *  - What concerns several senders or several receivers is one packet, which the kernel hands over
 *    whole or not at all.  So nobody needs a lock, and nobody can be killed holding one.
 *  - Before its packet is sent, the stream of a large message gets one byte in the other direction,
 *    which its sender takes back before it closes in order, with the whole message sent or because
 *    it gave up.  CRASH: the kernel closes a stream with that byte unread, and then tells the
 *    receiver so (-ECONNRESET) at the end of what it can read: a message cut off by a death is told
 *    from one that was withdrawn, which is passed over.
 *  - A large message whose receiver goes away in its middle is sent again to another.
 *  - A packet that was received and could not be handed out is kept in its process, in order, and
 *    handed out first.  Of several threads one at a time receives and keeps (`receiving`); the stream of a large
 *    message is read without that lock.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "ipc/connection.h"
#include "os/os.h"

enum packet_kind { MESSAGE = 1, LARGE = 2, DESCRIPTOR = 3 };

/* Up to this size a copy beside the kind is cheaper than a list of two pieces. */
#define COPIED_MOST ((size_t)2048)

/* Above this a stream of its own is not slower, and the kernel may have no such large piece. */
#define PACKET_MOST ((size_t)65536)

/* ---- sending --------------------------------------------------------------------------------------- */

static int send_packet(kin_connection *connection, uint8_t kind, const void *bytes, size_t size,
                       int descriptor, kin_deadline deadline)
{
    uint8_t copied[1 + COPIED_MOST];
    struct kin__part parts[2] = {{&kind, 1}, {(void *)(uintptr_t)bytes, size}};
    if (size > 0 && size <= COPIED_MOST && descriptor < 0) {
        copied[0] = kind;
        memcpy(copied + 1, bytes, size);
        parts[0] = (struct kin__part){copied, 1 + size};
        size = 0;
    }
    long rc = kin__send_until(connection->handle.descriptor, parts, size > 0 ? 2 : 1, descriptor, deadline);
    return rc < 0 ? (int)rc : 0;
}

/* -EPIPE: whoever received it is gone. */
static int send_stream(int stream, const char *bytes, size_t size, kin_deadline deadline)
{
    while (size > 0) {
        struct kin__part part = {(void *)(uintptr_t)bytes, size};
        long sent = kin__send_until(stream, &part, 1, -1, deadline);
        if (sent < 0) return (int)sent;
        bytes += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int make_stream(struct kin__handle ends[2])
{
    int pair[2];
    kin__handles_enter();
    int rc = kin__os_socket_pair(KIN__SOCKET_STREAM, pair);
    for (int i = 0; rc == 0 && i < 2; i++) kin__handle_add(&ends[i], pair[i], true);
    kin__handles_leave();
    return rc;
}

/* One attempt; `*taken` says whether its packet was sent. */
static int try_large(kin_connection *connection, struct kin__handle ends[2], const void *message, size_t size,
                     kin_deadline deadline, bool *taken)
{
    uint8_t mark = 0;
    struct kin__part part = {&mark, 1};
    uint64_t announced = size;
    int rc = make_stream(ends);
    if (rc < 0) return rc;
    rc = (int)kin__os_send(ends[1].descriptor, &part, 1, -1, false);
    if (rc > 0)
        rc = send_packet(connection, LARGE, &announced, sizeof announced, ends[1].descriptor, deadline);
    kin__handle_close(&ends[1]);
    *taken = rc == 0;
    if (rc == 0) rc = send_stream(ends[0].descriptor, message, size, deadline);
    /* CRASH: until here the receiver learns that the message is cut off. */
    kin__os_receive(ends[0].descriptor, &part, 1, NULL, false);
    kin__handle_close(&ends[0]);
    return rc;
}

static int send_large(kin_connection *connection, const void *message, size_t size, kin_deadline deadline)
{
    /* Not on the stack: a child forked by another thread meanwhile has them in its list. */
    struct kin__handle *ends = kin__os_calloc(2, sizeof *ends);
    bool taken;
    int rc;
    if (ends == NULL) return -ENOMEM;
    do {
        taken = false;
        rc = try_large(connection, ends, message, size, deadline, &taken);
    } while (rc == -EPIPE && taken);
    kin__os_free(ends);
    return rc;
}

int kin__packet_send(kin_connection *connection, const void *message, size_t size, kin_deadline deadline)
{
    int rc = -EMSGSIZE;
    if (size <= PACKET_MOST) rc = send_packet(connection, MESSAGE, message, size, -1, deadline);
    /* A socket buffer may be set too small for it, or the kernel have no piece of that size. */
    return rc == -EMSGSIZE || rc == -ENOBUFS ? send_large(connection, message, size, deadline) : rc;
}

int kin__packet_send_descriptor(kin_connection *connection, int descriptor, kin_deadline deadline)
{
    return send_packet(connection, DESCRIPTOR, NULL, 0, descriptor, deadline);
}

/* ---- packets that are kept --------------------------------------------------------------------------- */

static struct kin__packet *make_packet(size_t room)
{
    struct kin__packet *packet = kin__os_malloc(sizeof *packet + room);
    if (packet != NULL) memset(packet, 0, sizeof *packet);
    return packet;
}

/* Room for a packet, or for what of it is beyond the caller's buffer. */
static struct kin__packet *take_spare(kin_connection *connection)
{
    struct kin__packet *spare = __atomic_exchange_n(&connection->spare, NULL, __ATOMIC_ACQUIRE);
    return spare != NULL ? spare : make_packet(PACKET_MOST);
}

static void give_spare(kin_connection *connection, struct kin__packet *packet)
{
    if (packet == NULL) return;
    kin__os_free(__atomic_exchange_n(&connection->spare, packet, __ATOMIC_ACQ_REL));
}

static void keep(kin_connection *connection, struct kin__packet *packet, bool first)
{
    pthread_mutex_lock(&connection->keeping);
    struct kin__packet **at = &connection->kept;
    while (!first && *at != NULL) at = &(*at)->next;
    packet->next = *at;
    /* Release: pairs with who looks without the lock whether there is one. */
    __atomic_store_n(at, packet, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&connection->keeping);
}

static void drop(struct kin__packet *packet)
{
    kin__handle_close(&packet->handle);
    kin__os_free(packet);
}

static struct kin__packet *take_kept(kin_connection *connection)
{
    for (;;) {
        pthread_mutex_lock(&connection->keeping);
        struct kin__packet *packet = connection->kept;
        if (packet != NULL) __atomic_store_n(&connection->kept, packet->next, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&connection->keeping);
        /* What a parent had kept is its own. */
        if (packet == NULL || !packet->handle.withheld) return packet;
        drop(packet);
    }
}

void kin__packet_forget(kin_connection *connection)
{
    struct kin__packet *packet;
    while ((packet = take_kept(connection)) != NULL) drop(packet);
    kin__os_free(connection->spare);
}

/* ---- receiving --------------------------------------------------------------------------------------- */

/* What a receiver wants, and where it is to go. */
struct wish {
    void *buffer;
    size_t capacity;
    int *descriptor; /* not NULL: a descriptor and no message */
    kin_deadline deadline;
};

enum { PASSED_OVER = INT32_MIN }; /* no error of anybody: look for the next packet */

static int too_small(uint64_t size)
{
    kin__needed_size_set(size);
    return KIN_ETOOSMALL;
}

/* The message comes over a stream: takes it from there, or keeps what it has at the deadline. */
static long take_stream(kin_connection *connection, struct kin__packet *packet, const struct wish *wish)
{
    uint8_t *buffer = wish->buffer;
    if (packet->got > 0) memcpy(buffer, packet->bytes, packet->got);
    while (packet->got < packet->size) {
        struct kin__part part = {buffer + packet->got, packet->size - packet->got};
        long rc = kin__receive_until(packet->handle.descriptor, &part, 1, NULL, wish->deadline);
        if (rc > 0) {
            packet->got += (uint64_t)rc;
            continue;
        }
        if (rc == -ETIMEDOUT || rc == -ECANCELED) {
            struct kin__packet *kept = make_packet(packet->got);
            if (kept == NULL) rc = -ENOMEM;
            if (kept != NULL) {
                kept->kind = LARGE;
                kept->size = packet->size;
                kept->got = packet->got;
                memcpy(kept->bytes, buffer, packet->got);
                kin__handle_move(&kept->handle, &packet->handle);
                keep(connection, kept, true);
            }
        }
        drop(packet);
        return rc == 0 ? PASSED_OVER : rc == -ECONNRESET ? KIN_ETRUNCATED : rc;
    }
    long size = (long)packet->size;
    drop(packet);
    return size;
}

/* A packet with its bytes in `packet`, which is in the list of handles: hands it out, keeps it, or leaves it to
 * the caller as the stream that it announces. */
static long take_packet(kin_connection *connection, struct kin__packet *packet, const struct wish *wish,
                        struct kin__packet **stream)
{
    long rc;
    if ((wish->descriptor != NULL) != (packet->kind == DESCRIPTOR)) {
        rc = -ENOMSG;
    } else if (packet->kind == DESCRIPTOR) {
        *wish->descriptor = packet->handle.descriptor;
        packet->handle.descriptor = -1;
        drop(packet);
        return 0;
    } else if (packet->size > wish->capacity) {
        rc = too_small(packet->size);
    } else if (packet->kind == LARGE) {
        *stream = packet;
        return 0;
    } else {
        if (packet->size > 0) memcpy(wish->buffer, packet->bytes, packet->size);
        rc = (long)packet->size;
        drop(packet);
        return rc;
    }
    keep(connection, packet, true);
    return rc;
}

/* What no kin has sent. */
static bool is_strange(const struct kin__packet *packet, size_t size)
{
    if (packet->kind == MESSAGE) return false;
    return packet->handle.descriptor < 0 ||
           (packet->kind == LARGE ? size != sizeof packet->size : packet->kind != DESCRIPTOR);
}

/* A packet that has just come; of its bytes the first `before` are in the wish's buffer, the others in `packet`,
 * which is in the list of handles if a descriptor came with it. */
static long take_arrived(kin_connection *connection, size_t size, size_t before,
                         const struct kin__received *received, struct kin__packet *packet,
                         const struct wish *wish, struct kin__packet **stream)
{
    if (before > size) before = size;
    if (packet->kind == MESSAGE && size <= wish->capacity && wish->descriptor == NULL) {
        if (size > before) memcpy((char *)wish->buffer + before, packet->bytes + before, size - before);
        if (received->descriptor >= 0) kin__handle_close(&packet->handle);
        give_spare(connection, packet);
        return (long)size;
    }
    if (received->descriptor < 0) kin__handle_add(&packet->handle, -1, true);
    if (received->lost || is_strange(packet, size)) {
        drop(packet);
        return received->lost ? -EMFILE : KIN_EPROTOCOL;
    }
    if (before > 0) memcpy(packet->bytes, wish->buffer, before);
    packet->size = packet->got = size;
    if (packet->kind == LARGE) {
        memcpy(&packet->size, packet->bytes, sizeof packet->size);
        packet->got = 0;
    }
    return take_packet(connection, packet, wish, stream);
}

/* As kin__receive_until; what comes with the packet is in the list of handles, as part of `packet`, before another
 * thread can fork. */
static long receive_listed(int socket, const struct kin__part *parts, size_t count,
                           struct kin__packet *packet, struct kin__received *received, kin_deadline deadline)
{
    bool alone = kin__os_is_alone();
    for (;;) {
        if (!alone) kin__handles_enter();
        long got = kin__os_receive(socket, parts, count, received, alone && kin__may_block(deadline));
        if (got >= 0 && received->descriptor >= 0)
            kin__handle_add(&packet->handle, received->descriptor, true);
        if (!alone) kin__handles_leave();
        /* The other end is gone and has left something unread: said once, before what we can still read. */
        if (got == -ECONNRESET) continue;
        if (got != -EAGAIN) return got;
        int rc = kin__os_wait_ready(socket, KIN__READABLE, deadline);
        if (rc < 0) return rc;
    }
}

static long receive_packet(kin_connection *connection, const struct wish *wish, struct kin__packet **stream)
{
    struct kin__received received;
    size_t before = wish->capacity < PACKET_MOST ? wish->capacity : PACKET_MOST, count = 3;
    /* Before anything is taken from the kernel, so that nothing is lost for want of memory. */
    struct kin__packet *spare = take_spare(connection);
    if (spare == NULL) return -ENOMEM;
    struct kin__part parts[3] = {
        {&spare->kind, 1}, {wish->buffer, before}, {spare->bytes + before, PACKET_MOST - before}};
    if (before <= COPIED_MOST) {
        before = 0;
        parts[0].size = 1 + PACKET_MOST;
        count = 1;
    } else if (before == PACKET_MOST) {
        count = 2;
    }
    long rc = receive_listed(connection->handle.descriptor, parts, count, spare, &received, wish->deadline);
    if (rc > 0) return take_arrived(connection, (size_t)rc - 1, before, &received, spare, wish, stream);
    /* A packet without a byte is none of kin's, and looks like the end. */
    if (rc == 0 && received.descriptor >= 0) kin__handle_close(&spare->handle);
    give_spare(connection, spare);
    return rc == 0 ? KIN_ECLOSED : rc;
}

static long next_packet(kin_connection *connection, const struct wish *wish, struct kin__packet **stream)
{
    struct kin__packet *packet = NULL;
    if (__atomic_load_n(&connection->kept, __ATOMIC_ACQUIRE) != NULL) packet = take_kept(connection);
    return packet != NULL ? take_packet(connection, packet, wish, stream)
                          : receive_packet(connection, wish, stream);
}

long kin__packet_receive(kin_connection *connection, void *buffer, size_t capacity, int *descriptor,
                         kin_deadline deadline)
{
    const struct wish wish = {buffer, capacity, descriptor, deadline};
    /* What another thread, or coroutine, receives and keeps is the next for us: until it has looked at that, we
     * do not sleep in the kernel, where nobody would tell us. */
    bool shared = !kin__os_is_alone() || kin__suspender != NULL;
    for (;;) {
        struct kin__packet *stream = NULL;
        int locked = shared ? kin__private_lock(&connection->receiving, deadline) : 0;
        if (locked < 0) return locked;
        long rc = next_packet(connection, &wish, &stream);
        if (shared) kin__private_unlock(&connection->receiving);
        if (stream != NULL) rc = take_stream(connection, stream, &wish);
        if (rc != PASSED_OVER) return rc;
    }
}
