/* remote_wire.h: what a pool and its workers on other machines say to each other.
 *
 * Invariants:
 *  - A message is a head of fixed size, a name, and data; numbers are little-endian, so that only the
 *    data is the program's own business.
 *  - Both sides believe nothing that has come before kin__remote_decode has checked it: sizes fit the
 *    message, products do not overflow, kinds and forms are known.
 *
 *     worker   HELLO (version, its name)
 *     pool     WELCOME (version, how long silence may last)       or the end
 *     pool     TASK (function, arguments)
 *     worker   BEGUN, then REPLY (what the function returned) or FAILURE (how its process died)
 *     either   ALIVE, at any time: a link that is cut says nothing, and its silence is the only sign
 *     pool     BYE: it is closed, nothing more will come
 */
#ifndef KIN_POOL_REMOTE_WIRE_H
#define KIN_POOL_REMOTE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include <kin/connection.h>

#define KIN__REMOTE_VERSION   1
#define KIN__REMOTE_HEAD      88
#define KIN__REMOTE_NAME_MOST 63
#define KIN__REMOTE_DATA_MOST ((uint64_t)1 << 32)

enum kin__remote_kind {
    KIN__REMOTE_HELLO = 1,
    KIN__REMOTE_WELCOME = 2,
    KIN__REMOTE_TASK = 3,
    KIN__REMOTE_BEGUN = 4,
    KIN__REMOTE_REPLY = 5,
    KIN__REMOTE_FAILURE = 6,
    KIN__REMOTE_ALIVE = 7,
    KIN__REMOTE_BYE = 8
};

/* Which of the two forms a task's function has. */
enum kin__remote_form { KIN__REMOTE_BYTES = 0, KIN__REMOTE_RANGE = 1 };

/* PRIVATE.  A message, decoded.
 *   form, number, count, in_size, out_size   of a TASK; the data is count * in_size bytes of a RANGE.
 *   code       of a REPLY: what the function returned.
 *   progress   of a REPLY or FAILURE of a RANGE: so many items were done, the next one returned `code`
 *              or died.
 *   cause …    of a FAILURE, as in kin_failure.
 *   number     of HELLO and WELCOME: the version.  count, of WELCOME: milliseconds of silence.
 *   name, data   where they lie in the bytes that were decoded. */
struct kin__remote_message {
    enum kin__remote_kind kind;
    enum kin__remote_form form;
    int32_t code, signal;
    uint32_t cause;
    uint64_t number, count, in_size, out_size, progress;
    int64_t user_ns, system_ns, max_rss;
    const char *name;
    uint32_t name_size;
    const void *data;
    uint64_t size;
};

/* Checks and decodes `size` bytes: 0, or KIN_EPROTOCOL. */
int kin__remote_decode(struct kin__remote_message *message, const void *bytes, size_t size);

/* PRIVATE.  A buffer for whole messages; all zero: empty. */
struct kin__remote_buffer {
    unsigned char *bytes;
    size_t capacity;
};

/* Sends it as one message of the connection: 0, or an error of kin_connection_send, -EMSGSIZE. */
int kin__remote_send(kin_connection *connection, const struct kin__remote_message *message,
                     struct kin__remote_buffer *buffer, kin_deadline deadline);
/* Receives one and decodes it; it lies in the buffer.  0, or an error of kin_connection_recv,
 * KIN_EPROTOCOL, -ENOMEM. */
int kin__remote_receive(kin_connection *connection, struct kin__remote_message *message,
                        struct kin__remote_buffer *buffer, kin_deadline deadline);
/* Makes room for `size` bytes; what was in the buffer is gone.  -ENOMEM. */
int kin__remote_buffer_reserve(struct kin__remote_buffer *buffer, size_t size);
void kin__remote_buffer_free(struct kin__remote_buffer *buffer);

#endif
