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
 *    handed out first.
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

/* One attempt; `*taken` says whether its packet was sent. */
static int try_large(kin_connection *connection, const void *message, size_t size, kin_deadline deadline,
                     bool *taken)
{
    struct kin__handle ends[2];
    uint8_t mark = 0;
    struct kin__part part = {&mark, 1};
    uint64_t announced = size;
    int pair[2];
    int rc = kin__os_socket_pair(KIN__SOCKET_STREAM, pair);
    if (rc < 0) return rc;
    kin__handle_add(&ends[0], pair[0], true);
    kin__handle_add(&ends[1], pair[1], true);
    rc = (int)kin__os_send(pair[1], &part, 1, -1, false);
    if (rc > 0) rc = send_packet(connection, LARGE, &announced, sizeof announced, pair[1], deadline);
    kin__handle_close(&ends[1]);
    *taken = rc == 0;
    if (rc == 0) rc = send_stream(pair[0], message, size, deadline);
    /* CRASH: until here the receiver learns that the message is cut off. */
    kin__os_receive(pair[0], &part, 1, NULL, false);
    kin__handle_close(&ends[0]);
    return rc;
}

static int send_large(kin_connection *connection, const void *message, size_t size, kin_deadline deadline)
{
    bool taken = true;
    int rc;
    do rc = try_large(connection, message, size, deadline, &taken);
    while (rc == -EPIPE && taken);
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

/* For a packet that is larger than the caller's buffer: room for what is beyond it. */
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
                kin__handle_add(&kept->handle, packet->handle.descriptor, true);
                packet->handle.descriptor = -1;
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

/* A packet with its bytes in `packet`, which is in the list of handles: hands it out or keeps it. */
static long take_packet(kin_connection *connection, struct kin__packet *packet, const struct wish *wish)
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
        return take_stream(connection, packet, wish);
    } else {
        if (packet->size > 0) memcpy(wish->buffer, packet->bytes, packet->size);
        rc = (long)packet->size;
        drop(packet);
        return rc;
    }
    keep(connection, packet, true);
    return rc;
}

/* A packet that has just come; of its bytes the first `before` are in the wish's buffer, the others in
 * `spare`. */
static long take_arrived(kin_connection *connection, uint8_t kind, size_t size, size_t before,
                         const struct kin__received *received, struct kin__packet *spare,
                         const struct wish *wish)
{
    if (before > size) before = size;
    if (kind == MESSAGE && size <= wish->capacity && wish->descriptor == NULL) {
        if (size > before) memcpy((char *)wish->buffer + before, spare->bytes + before, size - before);
        give_spare(connection, spare);
        return (long)size;
    }
    if (received->lost) {
        give_spare(connection, spare);
        return -EMFILE;
    }
    struct kin__packet *packet = spare != NULL ? spare : make_packet(size);
    if (packet == NULL) {
        if (received->descriptor >= 0) kin__os_close(received->descriptor);
        return -ENOMEM;
    }
    if (before > 0) memcpy(packet->bytes, wish->buffer, before);
    packet->kind = kind;
    packet->size = packet->got = size;
    if (kind == LARGE) {
        memcpy(&packet->size, packet->bytes, sizeof packet->size);
        packet->got = 0;
    }
    kin__handle_add(&packet->handle, received->descriptor, true);
    return take_packet(connection, packet, wish);
}

static long receive_packet(kin_connection *connection, const struct wish *wish)
{
    struct kin__received received;
    struct kin__packet *spare = NULL;
    uint8_t kind = 0;
    size_t before = wish->capacity < PACKET_MOST ? wish->capacity : PACKET_MOST, count = 2;
    if (before < PACKET_MOST && (spare = take_spare(connection)) == NULL) return -ENOMEM;
    struct kin__part parts[3] = {{&kind, 1}, {wish->buffer, before}};
    if (before <= COPIED_MOST) {
        before = 0;
        parts[0] = (struct kin__part){&spare->kind, 1 + PACKET_MOST};
        count = 1;
    } else if (spare != NULL) {
        parts[2] = (struct kin__part){spare->bytes + before, PACKET_MOST - before};
        count = 3;
    }
    long rc;
    /* The other end is gone and has left something unread: said once, before what we can still read. */
    do rc = kin__receive_until(connection->handle.descriptor, parts, count, &received, wish->deadline);
    while (rc == -ECONNRESET);
    if (rc > 0) {
        if (count == 1) kind = spare->kind;
        return take_arrived(connection, kind, (size_t)rc - 1, before, &received, spare, wish);
    }
    give_spare(connection, spare);
    return rc == 0 ? KIN_ECLOSED : rc;
}

long kin__packet_receive(kin_connection *connection, void *buffer, size_t capacity, int *descriptor,
                         kin_deadline deadline)
{
    const struct wish wish = {buffer, capacity, descriptor, deadline};
    for (;;) {
        /* Read without the lock: what another thread is about to keep may be missed. */
        struct kin__packet *packet = NULL;
        if (__atomic_load_n(&connection->kept, __ATOMIC_ACQUIRE) != NULL) packet = take_kept(connection);
        long rc = packet != NULL ? take_packet(connection, packet, &wish) : receive_packet(connection, &wish);
        if (rc != PASSED_OVER) return rc;
    }
}
