/* seal.c: see seal.h. */
#include "manager/seal.h"

#include <errno.h>

#include "manager/buffer.h"
#include "os/socket.h"
#include "os/tls.h"

/* A record of TLS, and some. */
#define PIECE ((size_t)17 * 1024)

/* What TLS has to say goes to session->output. */
static bool drain(struct kin__session *session)
{
    struct kin__buffer *output = &session->output;
    size_t size;
    do {
        if (kin__buffer_reserve(output, PIECE) < 0) return false;
        size = kin__tls_drain(session->tls, output->bytes.data + output->bytes.size, PIECE);
        output->bytes.size += size;
    } while (size > 0);
    if (kin__buffer_size(output) == 0) kin__buffer_free(output);
    return true;
}

bool kin__seal(struct kin__session *session, struct kin__buffer *bytes)
{
    while (kin__buffer_size(bytes) > 0) {
        long taken = kin__tls_write(session->tls, kin__buffer_start(bytes), kin__buffer_size(bytes));
        if (taken <= 0 || !drain(session)) return false;
        kin__buffer_consume(bytes, (size_t)taken, SIZE_MAX);
    }
    return true;
}

int kin__unseal_begin(struct kin__session *session, const void *bytes, size_t size)
{
    int rc = kin__tls_feed(session->tls, bytes, size);
    if (rc < 0 || session->secured) return rc;
    rc = kin__tls_handshake(session->tls);
    if (!drain(session) && rc >= 0) rc = -ENOMEM;
    session->secured = rc == 1;
    return rc;
}

long kin__unseal(struct kin__session *session, void *bytes, size_t capacity)
{
    return kin__tls_read(session->tls, bytes, capacity);
}

void kin__seal_end(struct kin__session *session)
{
    uint8_t last[256];
    if (session->tls == NULL) return;
    if (session->secured && kin__buffer_size(&session->output) == 0) {
        kin__tls_end(session->tls);
        struct kin__part part = {last, kin__tls_drain(session->tls, last, sizeof last)};
        if (part.size > 0) kin__os_send(session->descriptor, &part, 1, -1, false);
    }
    kin__tls_free(session->tls);
    session->tls = NULL;
}
