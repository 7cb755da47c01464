/* talk.h: what a pool and its workers on other machines say to each other.
 *
 * Invariants:
 *  - A message is a head of fixed size, a name, and data; numbers are little-endian, so that only the
 *    data is the program's own business.
 *  - Both sides believe nothing that has come before kin__talk_decode has checked it: sizes fit the
 *    message, products do not overflow, kinds and forms are known.
 *
 *     worker   HELLO (version, its name)
 *     pool     WELCOME (version, how long silence may last)       or the end
 *     pool     TASK (function, arguments)
 *     worker   BEGUN, then REPLY (what the function returned) or FAILURE (how its process died)
 *     either   ALIVE, at any time: a link that is cut says nothing, and its silence is the only sign
 *     pool     BYE: it is closed or terminated, nothing more will come
 */
#ifndef KIN_POOL_TALK_H
#define KIN_POOL_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/connection.h>

#define KIN__TALK_VERSION   1
#define KIN__TALK_HEAD      88
#define KIN__TALK_NAME_MOST 63
#define KIN__TALK_DATA_MOST ((uint64_t)1 << 32)

enum kin__talk_kind {
    KIN__TALK_HELLO = 1,
    KIN__TALK_WELCOME = 2,
    KIN__TALK_TASK = 3,
    KIN__TALK_BEGUN = 4,
    KIN__TALK_REPLY = 5,
    KIN__TALK_FAILURE = 6,
    KIN__TALK_ALIVE = 7,
    KIN__TALK_BYE = 8
};

/* Which of the two forms a task's function has. */
enum kin__talk_form { KIN__TALK_BYTES = 0, KIN__TALK_RANGE = 1 };

/* PRIVATE.  A message, decoded.
 *   form, number, count, in_size, out_size   of a TASK; the data is count * in_size bytes of a RANGE.
 *   code       of a REPLY: what the function returned.
 *   progress   of a REPLY or FAILURE of a RANGE: so many items were done, the next one returned `code`
 *              or died.
 *   count      of a REPLY of a RANGE: how long the function ran for them, in nanoseconds; 0: it is not known.
 *   cause …    of a FAILURE, as in kin_failure.
 *   number     of HELLO and WELCOME: the version.  count, of WELCOME: milliseconds of silence.
 *   name, data   where they lie in the bytes that were decoded. */
struct kin__talk_message {
    enum kin__talk_kind kind;
    enum kin__talk_form form;
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
int kin__talk_decode(struct kin__talk_message *message, const void *bytes, size_t size);

/* PRIVATE.  A buffer for whole messages; all zero: empty. */
struct kin__talk_buffer {
    unsigned char *bytes;
    size_t capacity;
};

/* Makes room for `size` bytes; what was in the buffer is gone.  -ENOMEM. */
int kin__talk_buffer_reserve(struct kin__talk_buffer *buffer, size_t size);
void kin__talk_buffer_free(struct kin__talk_buffer *buffer);

/* PRIVATE.  One side of such a connection; all zero: none.
 *   silence_ns      how long the other side may be silent; ours may be a third of that.
 *   heard, spoken   when something came or went last.
 *   message_most    bytes that a message may have: of who has not said yet what it is, as many as that takes.
 *   failed          it is not to be used any more.
 *   in, out         the last message that came, and that went. */
struct kin__talk {
    kin_connection *connection;
    int64_t silence_ns;
    uint64_t message_most;
    kin_deadline heard, spoken;
    bool failed;
    struct kin__talk_buffer in, out;
};

void kin__talk_begin(struct kin__talk *talk, kin_connection *connection, int64_t silence_ns);
/* The other side has said what it is: from here on messages have any size. */
void kin__talk_greeted(struct kin__talk *talk, int64_t silence_ns);
/* Frees its buffers; the connection is the caller's. */
void kin__talk_end(struct kin__talk *talk);
/* Sends it as one message of the connection: 0, or an error of kin_connection_send; after -EMSGSIZE and
 * -ENOMEM nothing was sent, and the connection is as good as before. */
int kin__talk_send(struct kin__talk *talk, const struct kin__talk_message *message);
/* Receives one and decodes it; it lies in `in`.  0, or an error of kin_connection_recv, KIN_EPROTOCOL,
 * -ENOMEM. */
int kin__talk_receive(struct kin__talk *talk, struct kin__talk_message *message);
/* Says that we are there, if that is due; -ETIMEDOUT when the other side has been silent for too long. */
int kin__talk_keep_up(struct kin__talk *talk);
/* When that is due. */
kin_deadline kin__talk_beat(const struct kin__talk *talk);

#endif
