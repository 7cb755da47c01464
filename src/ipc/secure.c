/* secure.c: see secure.h.
 *
 * Invariants:
 *  - What was encrypted is sent in the order in which it was: by one thread at a time.  What a receiver
 *    has to answer (a change of keys) goes with what is sent next.
 *  - The end is told from a connection that was cut: only the other side can have said it.
 */
#include "ipc/secure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/connection.h>
#include <kin/error.h>

#include "ipc/connection.h"
#include "os/os.h"
#include "os/thread.h"

/* The most bytes in one record. */
#define RECORD ((size_t)16384)

/* How much is encrypted before it is sent. */
#define AT_ONCE (2 * RECORD)

#define TEXT_SIZE (KIN__TLS_WHY + 300)

/* This thread has memory for a text. */
static _Thread_local bool has_text;

void kin__tls_text_set(const char *where, const char *why)
{
    char *text = kin__os_thread_memory(KIN__MEMORY_OF_TLS, TEXT_SIZE);
    has_text = text != NULL;
    if (has_text) snprintf(text, TEXT_SIZE, "%s: %s", where, why);
}

void kin__tls_text_clear(void)
{
    char *text = has_text ? kin__os_thread_memory(KIN__MEMORY_OF_TLS, TEXT_SIZE) : NULL;
    if (text != NULL) *text = '\0';
}

int kin_tls_text(char *text, size_t size)
{
    if (text == NULL && size > 0) return -EINVAL;
    const char *mine = kin__os_thread_memory(KIN__MEMORY_OF_TLS, TEXT_SIZE);
    return snprintf(text, size, "%s", mine != NULL ? mine : "");
}

/* Passes a result on, and its text if it is an error of TLS. */
static long told(const struct kin__secure *secure, long rc)
{
    if (rc == KIN_ETLS || rc == KIN_ECERTIFICATE || rc == KIN_EAUTHENTICATION)
        kin__tls_text_set(secure->where, kin__tls_why(secure->tls));
    return rc;
}

/* ---- opening and closing ---------------------------------------------------------------------------- */

int kin__secure_make(struct kin__secure **made, const struct kin__tls_context *context, const char *name,
                     const char *where)
{
    size_t length = strlen(where) + 1;
    struct kin__secure *secure = kin__os_malloc(sizeof *secure + length);
    if (secure == NULL) return -ENOMEM;
    int rc = kin__tls_make(&secure->tls, context, name);
    if (rc < 0) {
        kin__os_free(secure);
        return rc;
    }
    memcpy(secure->where, where, length);
    pthread_mutex_init(&secure->lock, NULL);
    *made = secure;
    return 0;
}

void kin__secure_free(struct kin__secure *secure)
{
    if (secure == NULL) return;
    /* A thread of the parent may have been in the middle of a call when we were forked: then what is
     * there cannot be freed. */
    if (pthread_mutex_trylock(&secure->lock) == 0) {
        kin__tls_free(secure->tls);
        pthread_mutex_unlock(&secure->lock);
        pthread_mutex_destroy(&secure->lock);
    }
    kin__os_free(secure);
}

/* ---- through the socket ------------------------------------------------------------------------------ */

static int send_bytes(int socket, const uint8_t *bytes, size_t size, kin_deadline deadline)
{
    while (size > 0) {
        struct kin__part part = {(void *)(uintptr_t)bytes, size};
        long sent = kin__send_until(socket, &part, 1, -1, deadline);
        if (sent < 0) return (int)sent;
        bytes += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Sends whatever is there to be sent. */
static int flush(struct kin__secure *secure, int socket, kin_deadline deadline)
{
    for (;;) {
        pthread_mutex_lock(&secure->lock);
        size_t size = kin__tls_drain(secure->tls, secure->out, sizeof secure->out);
        pthread_mutex_unlock(&secure->lock);
        if (size == 0) return 0;
        int rc = send_bytes(socket, secure->out, size, deadline);
        if (rc < 0) return rc;
    }
}

/* Waits for bytes of the other side, and feeds them; returns how many. */
static long feed(struct kin__secure *secure, int socket, kin_deadline deadline)
{
    struct kin__part part = {secure->in, sizeof secure->in};
    long got = kin__receive_until(socket, &part, 1, NULL, deadline);
    if (got <= 0) return got;
    pthread_mutex_lock(&secure->lock);
    int rc = kin__tls_feed(secure->tls, secure->in, (size_t)got);
    pthread_mutex_unlock(&secure->lock);
    return rc < 0 ? rc : got;
}

int kin__secure_handshake(struct kin__secure *secure, int socket, kin_deadline deadline)
{
    for (;;) {
        int rc = kin__tls_handshake(secure->tls);
        /* When it has failed the other side is told too, if it can be done at once. */
        int sent = flush(secure, socket, rc < 0 ? KIN_NOW : deadline);
        if (rc < 0) return (int)told(secure, rc);
        if (sent < 0 || rc == 1) return sent == -ETIMEDOUT ? -EPIPE : sent;
        long got = feed(secure, socket, deadline);
        if (got <= 0) return got == 0 ? KIN_ECLOSED : (int)got;
    }
}

void kin__secure_end(struct kin__secure *secure, int socket)
{
    kin__tls_end(secure->tls);
    flush(secure, socket, KIN_NOW);
}

/* ---- sending and receiving --------------------------------------------------------------------------- */

/* A piece of the parts that begins `skipped` bytes after their beginning; small ones that follow each
 * other are put together at `room`, which has space for a record. */
static struct kin__part piece_of(const struct kin__part *parts, size_t count, size_t skipped, uint8_t *room)
{
    struct kin__part piece = {room, 0};
    for (; count > 0; parts++, count--) {
        if (skipped >= parts->size) {
            skipped -= parts->size;
            continue;
        }
        uint8_t *from = (uint8_t *)parts->bytes + skipped;
        size_t size = parts->size - skipped;
        if (piece.size == 0 && (count == 1 || size >= RECORD))
            return (struct kin__part){from, size < RECORD ? size : RECORD};
        if (size > RECORD - piece.size) size = RECORD - piece.size;
        memcpy(room + piece.size, from, size);
        piece.size += size;
        skipped = 0;
        if (piece.size == RECORD) break;
    }
    return piece;
}

long kin__secure_send(struct kin__secure *secure, int socket, const struct kin__part *parts, size_t count,
                      kin_deadline deadline)
{
    long taken = 0, rc;
    do {
        struct kin__part piece = piece_of(parts, count, (size_t)taken, secure->out);
        pthread_mutex_lock(&secure->lock);
        rc = told(secure, kin__tls_write(secure->tls, piece.bytes, piece.size));
        pthread_mutex_unlock(&secure->lock);
        if (rc > 0) taken += rc;
    } while (rc > 0 && (size_t)taken < AT_ONCE);
    if (rc < 0) return rc;
    rc = flush(secure, socket, deadline);
    return rc < 0 ? rc : taken;
}

long kin__secure_receive(struct kin__secure *secure, int socket, void *buffer, size_t capacity,
                         kin_deadline deadline)
{
    for (;;) {
        pthread_mutex_lock(&secure->lock);
        long rc = told(secure, kin__tls_read(secure->tls, buffer, capacity));
        pthread_mutex_unlock(&secure->lock);
        if (rc != -EAGAIN) return rc;
        rc = feed(secure, socket, deadline);
        if (rc < 0) return rc;
        if (rc > 0) continue;
        kin__tls_text_set(secure->where, "the other side went away without saying that it does: it was "
                                         "killed, or somebody has cut the connection");
        return KIN_ETRUNCATED;
    }
}

bool kin__secure_readable(struct kin__secure *secure)
{
    pthread_mutex_lock(&secure->lock);
    bool readable = kin__tls_readable(secure->tls);
    pthread_mutex_unlock(&secure->lock);
    return readable;
}
