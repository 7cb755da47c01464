/* place.c: see place.h. */
#include "manager/place.h"

#include "manager/dispatch.h"
#include "os/socket.h"

/* So many are accepted that have no place. */
#define RETURNING_MOST 64

/* In that time a client that has no place should have asked for something: when there are as many as are accepted, the
 * next one ends the oldest that has not. */
#define SILENT_MS 1000

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
    return !is_free(server) && server->session_count - server->placed >= more;
}

struct kin__session *kin__place_silent(const struct kin__server *server, uint64_t *left_ms)
{
    if (kin__links_empty(&server->silent)) return NULL;
    struct kin__session *oldest = kin__links_entry(server->silent.next, struct kin__session, resumed);
    uint64_t silent = uv_now(&server->loop) - oldest->begun;
    *left_ms = silent < SILENT_MS ? SILENT_MS - silent : 0;
    /* It may be that only we have not listened. */
    if (*left_ms == 0 && kin__os_wait_ready(oldest->descriptor, KIN__READABLE, KIN_NOW) >= 0) *left_ms = 1;
    return oldest;
}

void kin__place_begin(struct kin__session *session)
{
    struct kin__server *server = session->server;
    server->session_count++;
    session->begun = uv_now(&server->loop);
    if (is_free(server))
        take(session);
    else
        kin__links_append(&server->silent, &session->resumed);
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
    /* It has asked for something. */
    uv_timer_stop(&session->timer);
    kin__links_remove(&session->resumed);
    /* Of who comes back the old connection ends now, or has ended: then that is one client more. */
    bool returns = server->placed / KIN__PLACES_TIMES < server->session_most &&
                   kin__dispatch_returns(session, message, size);
    if (is_free(server) || returns) {
        take(session);
        return true;
    }
    session->waits = true;
    kin__links_append(&server->waiting, &session->resumed);
    return false;
}
