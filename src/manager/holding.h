/* holding.h: what a session holds of an object, until it gives it back or ends. */
#ifndef KIN_MANAGER_HOLDING_H
#define KIN_MANAGER_HOLDING_H

#include "manager/server.h"

typedef void kin__give_back(struct kin__server *server, struct kin__holding *holding);

/* What the session holds of the object, the oldest of it; NULL: nothing. */
struct kin__holding *kin__holding_of(struct kin__session *session, const struct kin__managed *object);

/* Notes `count` more; `give_back` is called with what is held when the session ends, and frees it.
 * `size`: of a struct that begins with a kin__holding, zeroed; a new one is made if `again`.
 * NULL: no memory, and nothing has changed. */
struct kin__holding *kin__hold(struct kin__session *session, struct kin__managed *object,
                               struct kin__links *list, unsigned count, kin__give_back *give_back);
struct kin__holding *kin__hold_new(struct kin__session *session, struct kin__managed *object,
                                   struct kin__links *list, size_t size, kin__give_back *give_back);
/* Notes one less. */
void kin__unhold(struct kin__server *server, struct kin__holding *holding);
void kin__holding_free(struct kin__server *server, struct kin__holding *holding);

/* Gives back all that a session holds whose connection has ended, references too. */
void kin__holdings_give_back(struct kin__session *session);

#endif
