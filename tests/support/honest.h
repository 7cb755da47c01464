/* honest.h: a client that does as it should, of a listener whose time for a handshake may be short.
 *
 *     struct honest_pair pair = honest_meet(listener, &(kin_client_options){…}, 100);
 *     …
 *     close pair.here and pair.there
 *
 * On a busy machine a handshake may take longer than the listener gives it.  Then the client comes again; one that
 * is dropped before its time is over fails the case.
 */
#ifndef HONEST_H
#define HONEST_H

#include <kin/listener.h>

struct honest_pair {
    kin_connection *here;  /* of the listener */
    kin_connection *there; /* of the client, which is in a thread of its own meanwhile */
};

/* `handshake_ms` is what the listener was made with. */
struct honest_pair honest_meet(kin_listener *listener, const kin_client_options *options,
                               int64_t handshake_ms);

#endif
