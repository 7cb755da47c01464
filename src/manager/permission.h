/* permission.h: which key a client has shown, and what it may do with it. */
#ifndef KIN_MANAGER_PERMISSION_H
#define KIN_MANAGER_PERMISSION_H

#include "manager/server.h"

/* Copies the keys of the options; the first one is that without restrictions, if there is one.
 * Errors: -EINVAL (also two that are the same, with words), -ENOMEM. */
int kin__keys_open(struct kin__server *server, const kin_manager_options *options);
void kin__keys_close(struct kin__server *server);
/* Warns of permissions that say nothing of what is served: a name was mistyped. */
void kin__permissions_review(const struct kin__server *server);

/* Has the session's key the right to do that with what has the name? */
bool kin__may(const struct kin__session *session, const char *name, enum kin_manager_right right);
/* May the session call that method of the object (NULL: what every object can be asked for)? */
bool kin__may_call(const struct kin__session *session, const struct kin__managed *object,
                   const struct kin__method *method);
/* The exception that says it may not. */
kin_value kin__may_not(const struct kin__session *session, const char *name, const char *method);
/* What an object is called in permissions. */
const char *kin__permission_name(const struct kin__type *type);

/* Logs that the client of that connection was turned away, or counts it when there are many. */
void kin__log_refusal(struct kin__server *server, int descriptor, const char *why);
/* The client has failed to authenticate, by an error of kin__challenge_step or kin__unseal_begin, or because its
 * time is over (-ETIMEDOUT): logs it, and notes it of its network. */
void kin__blame(struct kin__session *session, int rc);
/* Have too many of that network failed? */
bool kin__is_offender(const struct kin__server *server, uint64_t network);

#endif
