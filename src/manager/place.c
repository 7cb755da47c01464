/* place.c: see place.h. */
#include "manager/place.h"

#include "manager/dispatch.h"

/* So many are accepted that have no place. */
#define RETURNING_MOST 64

static void take(struct kin__session *session)
{
    session->placed = true;
    session->server->placed++;
}

static bool is_free(const struct kin__server *server)
{
    return server->placed < server->session_most;
}

bool kin__places_full(const struct kin__server *server)
{
    size_t more = server->grace_ns > 0 ? RETURNING_MOST : 0;
    return server->session_count >= server->session_most &&
           server->session_count - server->session_most >= more;
}

void kin__place_begin(struct kin__session *session)
{
    session->server->session_count++;
    if (is_free(session->server)) take(session);
}

void kin__place_end(struct kin__session *session)
{
    struct kin__server *server = session->server;
    server->session_count--;
    if (session->placed) server->placed--;
    if (server->stopping) return;
    while (is_free(server) && !kin__links_empty(&server->waiting)) {
        struct kin__session *next = kin__links_entry(server->waiting.next, struct kin__session, resumed);
        take(next);
        next->waits = false;
        kin__links_remove(&next->resumed);
        kin__links_append(&server->resumed, &next->resumed);
    }
    kin__server_make_room(server);
}

bool kin__place_has(struct kin__session *session, const uint8_t *message, size_t size)
{
    struct kin__server *server = session->server;
    if (session->placed || session->stage == KIN__AUTHENTICATING) return true;
    /* Of who comes back the old connection ends now, or has ended. */
    if (is_free(server) || kin__dispatch_returns(session, message, size)) {
        take(session);
        return true;
    }
    session->waits = true;
    kin__links_append(&server->waiting, &session->resumed);
    return false;
}
