/* seal.h: TLS of a session: between what goes over its socket and what the server reads and writes. */
#ifndef KIN_MANAGER_SEAL_H
#define KIN_MANAGER_SEAL_H

#include "manager/server.h"

/* Encrypts all of `bytes`, which is empty then, to session->output.  False: no more can be sent. */
bool kin__seal(struct kin__session *session, struct kin__buffer *bytes);

/* Takes what has come over the socket.  1: with it the handshake is done; 0: go on; negative: it has
 * failed.  What is to be sent is in session->output. */
int kin__unseal_begin(struct kin__session *session, const void *bytes, size_t size);
/* What of it was for the server: how many bytes; -EAGAIN: no more; 0 and others: the end. */
long kin__unseal(struct kin__session *session, void *bytes, size_t capacity);

/* Tells the client that no more comes, if that can be done at once, and frees the session's TLS. */
void kin__seal_end(struct kin__session *session);

#endif
