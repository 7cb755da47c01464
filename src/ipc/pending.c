/* pending.c: the messages of a handshake, as far as they have come, without waiting for more. */
#include "ipc/pending.h"

#include <errno.h>

#include <kin/error.h>

#include "ipc/secure.h"
#include "os/network.h"
#include "os/os.h"
#include "os/socket.h"

int kin__pending_send(struct kin__pending *pending, const struct kin__challenge_message *reply)
{
    uint8_t header[KIN__FRAME_HEADER_MOST];
    struct kin__part parts[2] = {{header, kin__frame_header(header, reply->size)},
                                 {(void *)(uintptr_t)reply->bytes, reply->size}};
    if (reply->size == 0) return 0;
    /* So little always fits into what the kernel keeps for a peer that reads. */
    int socket = pending->handle.descriptor;
    long sent = pending->secure != NULL ? kin__secure_send(pending->secure, socket, parts, 2, KIN_NOW)
                                        : kin__os_send(socket, parts, 2, -1, false);
    return sent == (long)(parts[0].size + parts[1].size) ? 0 : -EPIPE;
}

/* Bytes that are there, 0 at the end, -EAGAIN if there are none. */
static long receive_some(struct kin__pending *pending, const struct kin__part *part)
{
    int socket = pending->handle.descriptor;
    if (pending->secure == NULL) return kin__os_receive(socket, part, 1, NULL, false);
    long got = kin__secure_receive(pending->secure, socket, part->bytes, part->size, KIN_NOW);
    return got == -ETIMEDOUT ? -EAGAIN : got;
}

/* 0: there is a whole message; -EAGAIN: not yet. */
static int receive_message(struct kin__pending *pending)
{
    struct kin__frame *frame = &pending->frame;
    for (;;) {
        uint8_t header[KIN__FRAME_HEADER_MOST];
        size_t missing = kin__frame_missing(frame);
        struct kin__part part = {header, missing};
        if (missing == 0) {
            if (frame->size > sizeof pending->message) return -EMSGSIZE;
            if (pending->got == frame->size) return 0;
            part = (struct kin__part){pending->message + pending->got, frame->size - pending->got};
        }
        long got = receive_some(pending, &part);
        if (got == 0) return KIN_ECLOSED;
        if (got < 0) return (int)got;
        if (missing == 0)
            pending->got += (size_t)got;
        else if (kin__frame_feed(frame, header, (size_t)got) < 0)
            return KIN_EPROTOCOL;
    }
}

int kin__pending_talk(struct kin__pending *pending)
{
    struct kin__challenge_message reply;
    int rc = receive_message(pending);
    while (rc == 0) {
        rc = kin__challenge_step(&pending->challenge, pending->message, pending->got, &reply);
        int sent = kin__pending_send(pending, &reply);
        if (sent < 0 && rc >= 0) rc = sent;
        pending->frame = (struct kin__frame){0};
        pending->got = 0;
        kin__os_acknowledge(pending->handle.descriptor);
        if (rc == 0) rc = receive_message(pending);
    }
    return rc;
}
