/* place.h: the places for clients, of which there are kin_manager_options.max_clients.
 *
 * A connection has one from its beginning, if there is any left.  Where clients may come back some more connections are
 * accepted: by what it asks for first one is told that comes back, while its old connection, of which nobody knows yet that
 * it is broken, may have its place still.  It goes on at once; the others wait for a place, as those do that are not
 * accepted.  Who asks for nothing is no obstacle for long.
 */
#ifndef KIN_MANAGER_PLACE_H
#define KIN_MANAGER_PLACE_H

#include "manager/server.h"

/* So many times as many as there are places are taken at most: by clients that came back after others had theirs.  So many
 * may be away, too. */
#define KIN__PLACES_TIMES 2

/* A session begins, and ends: then who waits for its place gets that, and accepting may go on. */
void kin__place_begin(struct kin__session *session);
void kin__place_end(struct kin__session *session);

/* May the request be looked at?  If not the session waits, and is looked at again when it has a place. */
bool kin__place_has(struct kin__session *session, const uint8_t *message, size_t size);

/* Is no further connection to be accepted? */
bool kin__places_full(const struct kin__server *server);
/* Then: the one that has waited longest for a place without having asked for anything, and for how long it still may before
 * it gives way to another.  NULL: there is none. */
struct kin__session *kin__place_silent(const struct kin__server *server, uint64_t *left_ms);

#endif
