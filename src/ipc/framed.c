/* framed.c: messages over a stream, each with a header that says its size (frame.h): what Python's
 * Connection sends and receives, byte for byte.
 *
 * Invariants:
 *  - One thread at a time sends, and one receives, a whole message.
 *  - What a receiver has read of a message when its deadline comes is kept for the next.
 *  - A message that was sent in part and cannot be finished ends the sending side: what would
 *    follow could not be told from its rest.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "ipc/connection.h"
#include "ipc/secure.h"
#include "os/os.h"

/* What Python sends along with one descriptor: how many they are. */
#define ONE_DESCRIPTOR 1

/* ---- sending --------------------------------------------------------------------------------------- */

static long send_some(kin_connection *connection, const struct kin__part *parts, size_t count, int descriptor,
                      kin_deadline deadline)
{
    int socket = connection->handle.descriptor;
    return connection->secure != NULL ? kin__secure_send(connection->secure, socket, parts, count, deadline)
                                      : kin__send_until(socket, parts, count, descriptor, deadline);
}

static int send_all(kin_connection *connection, struct kin__part *parts, size_t count, int descriptor,
                    kin_deadline deadline)
{
    /* What was encrypted has to be sent: the other side counts. */
    bool begun = connection->secure != NULL;
    while (count > 0) {
        long sent = send_some(connection, parts, count, descriptor, deadline);
        if (sent < 0) {
            /* CRASH: a sender killed here leaves a message cut off, and the stream ends with it. */
            if (begun) {
                connection->torn = true;
                kin__os_socket_end_sending(connection->handle.descriptor);
            }
            return (int)sent;
        }
        begun = begun || sent > 0;
        descriptor = -1;
        for (; count > 0 && (size_t)sent >= parts->size; parts++, count--) sent -= (long)parts->size;
        if (count > 0) *parts = (struct kin__part){(char *)parts->bytes + sent, parts->size - (size_t)sent};
    }
    return 0;
}

static int send_locked(kin_connection *connection, struct kin__part *parts, size_t count, int descriptor,
                       kin_deadline deadline)
{
    int rc = kin__private_lock(&connection->sending, deadline);
    if (rc < 0) return rc;
    /* The network takes a message in part when its buffer is nearly full.  Where there is a deadline it
     * is begun only when there is room for tens of kilobytes; a Unix socket takes those whole. */
    if (!connection->local && deadline != KIN_FOREVER)
        rc = kin__os_wait_ready(connection->handle.descriptor, KIN__WRITABLE, deadline);
    if (connection->torn) rc = -EPIPE;
    if (rc == 0) rc = send_all(connection, parts, count, descriptor, deadline);
    kin__private_unlock(&connection->sending);
    return rc;
}

int kin__framed_send(kin_connection *connection, const void *message, size_t size, kin_deadline deadline)
{
    uint8_t header[KIN__FRAME_HEADER_MOST];
    struct kin__part parts[2] = {{header, kin__frame_header(header, size)},
                                 {(void *)(uintptr_t)message, size}};
    return send_locked(connection, parts, 2, -1, deadline);
}

int kin__framed_send_frames(kin_connection *connection, const void *frames, size_t size,
                            kin_deadline deadline)
{
    struct kin__part part = {(void *)(uintptr_t)frames, size};
    return send_locked(connection, &part, 1, -1, deadline);
}

int kin__framed_send_descriptor(kin_connection *connection, int descriptor, kin_deadline deadline)
{
    uint8_t count = ONE_DESCRIPTOR;
    struct kin__part part = {&count, 1};
    return send_locked(connection, &part, 1, descriptor, deadline);
}

/* ---- receiving --------------------------------------------------------------------------------------- */

/* Nothing more comes.  Before a message it is the end, in its middle that is told once. */
static int end(kin_connection *connection, int rc)
{
    connection->ended = true;
    return rc;
}

static long receive_some(kin_connection *connection, void *bytes, size_t size, kin_deadline deadline)
{
    struct kin__part part = {bytes, size};
    int socket = connection->handle.descriptor;
    if (connection->secure == NULL) return kin__receive_until(socket, &part, 1, NULL, deadline);
    long got = kin__secure_receive(connection->secure, socket, bytes, size, deadline);
    return got < 0 && got != -ETIMEDOUT && got != -ECANCELED ? end(connection, (int)got) : got;
}

static int receive_header(kin_connection *connection, kin_deadline deadline)
{
    struct kin__frame *frame = &connection->frame;
    size_t missing;
    while ((missing = kin__frame_missing(frame)) > 0) {
        uint8_t bytes[KIN__FRAME_HEADER_MOST];
        long got = receive_some(connection, bytes, missing, deadline);
        /* It has closed without reading everything: said once, before the end. */
        if (got == -ECONNRESET && connection->local) continue;
        if (got < 0) return (int)got;
        if (got == 0) return end(connection, frame->got > 0 ? KIN_ETRUNCATED : KIN_ECLOSED);
        got = kin__frame_feed(frame, bytes, (size_t)got);
        if (got < 0) return end(connection, (int)got);
    }
    return 0;
}

/* The deadline came in the middle of a message, or the receiver gives up: its beginning is kept. */
static int keep(kin_connection *connection, const uint8_t *buffer, uint64_t got, int why)
{
    if (got == connection->got) return why;
    uint8_t *partial = kin__os_malloc(got);
    if (partial == NULL) return end(connection, -ENOMEM);
    memcpy(partial, buffer, got);
    kin__os_free(connection->partial);
    connection->partial = partial;
    connection->got = got;
    return why;
}

static int receive_body(kin_connection *connection, uint8_t *buffer, kin_deadline deadline)
{
    uint64_t got = connection->got, size = connection->frame.size;
    if (got > 0) memcpy(buffer, connection->partial, got);
    while (got < size) {
        long more = receive_some(connection, buffer + got, size - got, deadline);
        if (more == -ETIMEDOUT || more == -ECANCELED) return keep(connection, buffer, got, (int)more);
        if (more == -ECONNRESET && connection->local) continue;
        if (more == 0) return end(connection, KIN_ETRUNCATED);
        if (more < 0) return end(connection, (int)more);
        got += (uint64_t)more;
    }
    kin__os_free(connection->partial);
    connection->partial = NULL;
    connection->got = 0;
    connection->frame = (struct kin__frame){0};
    return 0;
}

static long receive(kin_connection *connection, void *buffer, size_t capacity, kin_deadline deadline)
{
    if (connection->ended) return KIN_ECLOSED;
    int rc = receive_header(connection, deadline);
    if (rc < 0) return rc;
    uint64_t size = connection->frame.size;
    if (size > capacity) {
        kin__needed_size_set(size);
        return KIN_ETOOSMALL;
    }
    rc = receive_body(connection, buffer, deadline);
    return rc < 0 ? rc : (long)size;
}

/* The beginning of a message is none of it: whoever waits would not wait for its rest. */
static void note_left_over(kin_connection *connection)
{
    bool left_over =
        connection->ended || (connection->secure != NULL && kin__secure_readable(connection->secure));
    __atomic_store_n(&connection->left_over, left_over, __ATOMIC_RELAXED);
}

long kin__framed_receive(kin_connection *connection, void *buffer, size_t capacity, kin_deadline deadline)
{
    int rc = kin__private_lock(&connection->receiving, deadline);
    if (rc < 0) return rc;
    long size = receive(connection, buffer, capacity, deadline);
    note_left_over(connection);
    kin__private_unlock(&connection->receiving);
    return size;
}

static long receive_bytes(kin_connection *connection, void *buffer, size_t capacity, kin_deadline deadline)
{
    long got;
    if (connection->ended) return KIN_ECLOSED;
    if (connection->frame.got > 0) return KIN_EPROTOCOL;
    /* See receive_header. */
    do {
        got = receive_some(connection, buffer, capacity, deadline);
    } while (got == -ECONNRESET && connection->local);
    return got == 0 ? end(connection, KIN_ECLOSED) : got;
}

long kin__framed_receive_bytes(kin_connection *connection, void *buffer, size_t capacity,
                               kin_deadline deadline)
{
    int rc = kin__private_lock(&connection->receiving, deadline);
    if (rc < 0) return rc;
    long got = receive_bytes(connection, buffer, capacity, deadline);
    note_left_over(connection);
    kin__private_unlock(&connection->receiving);
    return got;
}

static int receive_descriptor(kin_connection *connection, kin_deadline deadline)
{
    struct kin__received received = {.descriptor = -1};
    uint8_t count = 0;
    struct kin__part part = {&count, 1};
    if (connection->ended) return KIN_ECLOSED;
    if (connection->frame.got > 0) return -ENOMSG;
    long got = kin__receive_until(connection->handle.descriptor, &part, 1, &received, deadline);
    if (got < 0) return (int)got;
    if (got == 0) return end(connection, KIN_ECLOSED);
    if (received.lost) return -EMFILE;
    if (received.descriptor >= 0) return received.descriptor;
    /* It was the first byte of a message. */
    got = kin__frame_feed(&connection->frame, &count, 1);
    return got < 0 ? end(connection, (int)got) : -ENOMSG;
}

int kin__framed_receive_descriptor(kin_connection *connection, kin_deadline deadline)
{
    int rc = kin__private_lock(&connection->receiving, deadline);
    if (rc < 0) return rc;
    rc = receive_descriptor(connection, deadline);
    note_left_over(connection);
    kin__private_unlock(&connection->receiving);
    return rc;
}
