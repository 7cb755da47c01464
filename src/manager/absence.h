/* absence.h: clients whose connection broke and who may come back (kin_manager_options.grace_ns). */
#ifndef KIN_MANAGER_ABSENCE_H
#define KIN_MANAGER_ABSENCE_H

#include "manager/server.h"

/* Gives a session the identity that its client has told, such as "0f…3a 17": a name, and the number of the
 * request that it waits for.  If that client was here before, the session takes over what it held, and the
 * answer to that request is sent again.  Returns how many of its requests have been answered, or -1: it is
 * not known, and 0 when it has none yet.  Errors: -ENOMEM, -EINVAL. */
int kin__absence_identify(struct kin__session *session, const char *told, int64_t *answered);

/* Is that what a client tells that was here before, with that session's key? */
bool kin__absence_knows(const struct kin__session *session, const char *told);

/* `out` has got an answer of this session's, from `from` on: it is kept until others have come behind it, one or as
 * many as the client wants.  Errors: -ENOMEM. */
int kin__absence_note(struct kin__session *session, struct kin__buffer *out, size_t from);

/* From now on so many answers are kept.  Errors: -EINVAL, also of a client that cannot come back. */
int kin__absence_keep(struct kin__session *session, int64_t count);

/* The session has ended: may its client come back?  Then what it holds stays with it for the time of grace. */
bool kin__absence_begin(struct kin__session *session);

/* Is the last of what came, and has not been worked on, that the client does not come back?  That it may have said
 * behind a request which is still in work. */
bool kin__absence_left(const uint8_t *at, size_t left);

/* Gives back at once what those hold who are away. */
void kin__absences_end(struct kin__server *server);

#endif
