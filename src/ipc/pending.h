/* pending.h: a peer that a listener has let in and that has not authenticated yet. */
#ifndef KIN_IPC_PENDING_H
#define KIN_IPC_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

#include "ipc/challenge.h"
#include "ipc/frame.h"
#include "ipc/handle.h"

struct kin__secure;

/* A peer on its way; under the listener's lock.
 *   network    where it comes from (kin__os_address_network). */
struct kin__pending {
    struct kin__handle handle;
    struct kin__pending *next;
    bool welcome; /* it has authenticated, or need not */
    bool secured; /* the handshake of TLS is done, or there is none */
    uint64_t network;
    kin_deadline expires;
    struct kin__secure *secure; /* NULL: without TLS */
    struct kin__challenge challenge;
    struct kin__frame frame;
    size_t got;
    uint8_t message[KIN__CHALLENGE_MOST];
};
_Static_assert(sizeof(struct kin__pending) <= 512, "what a stranger costs is small");

/* Sends a message of the handshake, if there is one: 0, or -EPIPE. */
int kin__pending_send(struct kin__pending *pending, const struct kin__challenge_message *reply);

/* Goes on with the handshake as far as it can: -EAGAIN, 1 when it is done, or why it failed. */
int kin__pending_talk(struct kin__pending *pending);

#endif
