/* reference.h: what clients of kin's refer to. */
#ifndef KIN_MANAGER_REFERENCE_H
#define KIN_MANAGER_REFERENCE_H

#include "manager/server.h"

/* One more of the session's own.  What was lent to its client for that is given up.  Errors: -ENOMEM. */
int kin__reference_add(struct kin__session *session, struct kin__managed *object);
/* One less; false: it has none. */
bool kin__reference_remove(struct kin__session *session, struct kin__managed *object);

/* The object is named in the answer that the session gets next: it stays until the client has made a reference of
 * its own, until the session has ended, or until much else was lent to it since.  Errors: -ENOMEM. */
int kin__reference_lend(struct kin__session *session, struct kin__managed *object);

/* All of `old`'s are the session's. */
void kin__references_take_over(struct kin__session *session, struct kin__session *old);
/* The session has ended. */
void kin__references_drop(struct kin__session *session);
/* There are none any more. */
void kin__references_free(struct kin__references *references);

#endif
