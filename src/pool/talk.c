/* talk.c: messages between a pool and its workers on other machines, as bytes and back. */
#include "pool/talk.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>
#include <kin/pool.h>

#include "os/os.h"

#define BUFFER_KEPT ((size_t)4 << 20)

/* ---- numbers ------------------------------------------------------------------------------------ */

static unsigned char *put(unsigned char *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) *at++ = (unsigned char)(number >> 8 * i);
    return at;
}

static uint64_t get(const unsigned char **at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++) number |= (uint64_t)(*at)[i] << 8 * i;
    *at += bytes;
    return number;
}

/* ---- messages ----------------------------------------------------------------------------------- */

static void encode_head(const struct kin__talk_message *message, unsigned char *at)
{
    at = put(at, message->kind, 2);
    at = put(at, message->form, 2);
    at = put(at, message->name_size, 4);
    at = put(at, (uint32_t)message->code, 4);
    at = put(at, (uint32_t)message->signal, 4);
    at = put(at, message->cause, 4);
    at = put(at, 0, 4);
    at = put(at, message->number, 8);
    at = put(at, message->count, 8);
    at = put(at, message->in_size, 8);
    at = put(at, message->out_size, 8);
    at = put(at, message->progress, 8);
    at = put(at, (uint64_t)message->user_ns, 8);
    at = put(at, (uint64_t)message->system_ns, 8);
    put(at, (uint64_t)message->max_rss, 8);
}

/* Is count * size at most what a message may carry? */
static int fits(uint64_t count, uint64_t size)
{
    return size == 0 || count <= KIN__TALK_DATA_MOST / size;
}

static int check(const struct kin__talk_message *message)
{
    if (message->kind < KIN__TALK_HELLO || message->kind > KIN__TALK_BYE) return KIN_EPROTOCOL;
    if (message->form > KIN__TALK_RANGE) return KIN_EPROTOCOL;
    if (message->kind == KIN__TALK_FAILURE &&
        (message->cause == KIN_CAUSE_NONE || message->cause >= KIN_CAUSES))
        return KIN_EPROTOCOL;
    if (message->kind != KIN__TALK_TASK) return 0;
    if (message->name_size == 0) return KIN_EPROTOCOL;
    if (message->form == KIN__TALK_BYTES) return 0;
    if (!fits(message->count, message->in_size) || !fits(message->count, message->out_size))
        return KIN_EPROTOCOL;
    return message->count * message->in_size == message->size ? 0 : KIN_EPROTOCOL;
}

int kin__talk_decode(struct kin__talk_message *message, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    if (size < KIN__TALK_HEAD) return KIN_EPROTOCOL;
    message->kind = (enum kin__talk_kind)get(&at, 2);
    message->form = (enum kin__talk_form)get(&at, 2);
    message->name_size = (uint32_t)get(&at, 4);
    message->code = (int32_t)get(&at, 4);
    message->signal = (int32_t)get(&at, 4);
    message->cause = (uint32_t)get(&at, 4);
    get(&at, 4);
    message->number = get(&at, 8);
    message->count = get(&at, 8);
    message->in_size = get(&at, 8);
    message->out_size = get(&at, 8);
    message->progress = get(&at, 8);
    message->user_ns = (int64_t)get(&at, 8);
    message->system_ns = (int64_t)get(&at, 8);
    message->max_rss = (int64_t)get(&at, 8);
    size -= KIN__TALK_HEAD;
    if (message->name_size > KIN__TALK_NAME_MOST || message->name_size > size) return KIN_EPROTOCOL;
    message->name = (const char *)at;
    message->data = at + message->name_size;
    message->size = size - message->name_size;
    return check(message);
}

/* ---- sending and receiving ------------------------------------------------------------------------ */

int kin__talk_buffer_reserve(struct kin__talk_buffer *buffer, size_t size)
{
    if (size <= buffer->capacity) return 0;
    size_t capacity = size < 4096 ? 4096 : size;
    unsigned char *grown = kin__os_malloc(capacity);
    if (grown == NULL) return -ENOMEM;
    kin__os_free(buffer->bytes);
    buffer->bytes = grown;
    buffer->capacity = capacity;
    return 0;
}

void kin__talk_buffer_free(struct kin__talk_buffer *buffer)
{
    kin__os_free(buffer->bytes);
    *buffer = (struct kin__talk_buffer){0};
}

/* One that had to be large is not kept. */
static void trim(struct kin__talk_buffer *buffer)
{
    if (buffer->capacity > BUFFER_KEPT) kin__talk_buffer_free(buffer);
}

void kin__talk_begin(struct kin__talk *talk, kin_connection *connection, int64_t silence_ns)
{
    talk->message_most = KIN__TALK_HEAD + KIN__TALK_NAME_MOST;
    talk->connection = connection;
    talk->silence_ns = silence_ns;
    talk->heard = talk->spoken = kin__os_clock();
    talk->failed = false;
}

void kin__talk_end(struct kin__talk *talk)
{
    kin__talk_buffer_free(&talk->in);
    kin__talk_buffer_free(&talk->out);
}

static int send(struct kin__talk *talk, const struct kin__talk_message *message)
{
    if (message->size > KIN__TALK_DATA_MOST) return -EMSGSIZE;
    size_t size = KIN__TALK_HEAD + message->name_size + message->size;
    int rc = kin__talk_buffer_reserve(&talk->out, size);
    if (rc < 0) return rc;
    unsigned char *bytes = talk->out.bytes;
    encode_head(message, bytes);
    if (message->name_size > 0) memcpy(bytes + KIN__TALK_HEAD, message->name, message->name_size);
    if (message->size > 0) memcpy(bytes + KIN__TALK_HEAD + message->name_size, message->data, message->size);
    rc = kin_connection_send(talk->connection, bytes, size, kin__later(talk->spoken, talk->silence_ns));
    trim(&talk->out);
    return rc;
}

int kin__talk_send(struct kin__talk *talk, const struct kin__talk_message *message)
{
    talk->spoken = kin__os_clock();
    int rc = send(talk, message);
    if (rc < 0 && rc != -EMSGSIZE && rc != -ENOMEM) talk->failed = true;
    return rc;
}

static int receive(struct kin__talk *talk, struct kin__talk_message *message)
{
    struct kin__talk_buffer *in = &talk->in;
    kin_deadline until = kin_in_ns(talk->silence_ns);
    trim(in);
    int rc = kin__talk_buffer_reserve(in, 1);
    if (rc < 0) return rc;
    long got = kin_connection_recv(talk->connection, in->bytes, in->capacity, until);
    if (got == KIN_ETOOSMALL) {
        size_t needed = kin_needed_size();
        if (needed > talk->message_most) return KIN_EPROTOCOL;
        rc = kin__talk_buffer_reserve(in, needed);
        if (rc < 0) return rc;
        got = kin_connection_recv(talk->connection, in->bytes, in->capacity, until);
    }
    return got < 0 ? (int)got : kin__talk_decode(message, in->bytes, (size_t)got);
}

int kin__talk_receive(struct kin__talk *talk, struct kin__talk_message *message)
{
    int rc = receive(talk, message);
    talk->heard = kin__os_clock();
    if (rc < 0) talk->failed = true;
    return rc;
}

void kin__talk_greeted(struct kin__talk *talk, int64_t silence_ns)
{
    talk->message_most = KIN__TALK_DATA_MOST + KIN__TALK_HEAD + KIN__TALK_NAME_MOST;
    talk->silence_ns = silence_ns;
}

kin_deadline kin__talk_beat(const struct kin__talk *talk)
{
    return talk->spoken + talk->silence_ns / 3;
}

int kin__talk_keep_up(struct kin__talk *talk)
{
    kin_deadline now = kin__os_clock();
    if (now - talk->heard > talk->silence_ns) {
        talk->failed = true;
        return -ETIMEDOUT;
    }
    if (now < kin__talk_beat(talk)) return 0;
    return kin__talk_send(talk, &(struct kin__talk_message){.kind = KIN__TALK_ALIVE});
}
