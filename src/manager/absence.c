/* absence.c: see absence.h.
 *
 * A client of kin's says by a random name which one it is, and numbers its requests, of which it has one in work
 * at a time.  When its connection breaks, the session stays behind without one, *away*, with its locks,
 * tasks and references, and with the last answer.  A new connection that tells the name takes all this over.
 * By its number the client learns whether the request it had in work was done: then it gets the answer that it
 * missed, otherwise it asks again.  So no request is done twice, and none is lost.
 *
 * Invariants.
 * - A session that is away is in the list server->away, in no other, and is not parked: what it waited for was
 *   not done.  Its identity holds the timer that ends it, so that the session's memory goes with that.
 * - A name counts only with the key that was shown when it was first told.
 */
#include "manager/absence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ipc/frame.h"
#include "manager/dispatch.h"
#include "manager/holding.h"
#include "manager/object.h"
#include "manager/reference.h"
#include "manager/session.h"
#include "os/os.h"

/* What stays of the room for a last answer when a shorter one comes. */
#define KEPT_MOST 4096

static struct kin__session *session_of(struct kin__links *link)
{
    return kin__links_entry(link, struct kin__session, link);
}

/* ---- being away ------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *timer)
{
    kin__session_closed(timer->data);
}

/* It does not come back, or has come back in another session, which has taken everything over. */
static void end(struct kin__session *session)
{
    kin__links_remove(&session->link);
    session->server->away_count--;
    session->server->away_bytes -= kin__buffer_size(&session->identity->last);
    kin__holdings_give_back(session);
    uv_close((uv_handle_t *)&session->identity->timer, on_closed);
}

static void on_grace_end(uv_timer_t *timer)
{
    struct kin__session *session = timer->data;
    struct kin__server *server = session->server;
    end(session);
    kin__sessions_settle(server);
}

bool kin__absence_left(struct kin__session *session)
{
    const uint8_t *at = kin__buffer_start(&session->input), *message = at;
    size_t left = kin__buffer_size(&session->input);
    uint64_t length = 0;
    for (long header; (header = kin__frame_look(at, left, &length)) > 0 && length <= left - (size_t)header;) {
        message = at + header;
        at = message + length;
        left -= (size_t)header + length;
    }
    return left == 0 && at > message && kin__dispatch_leaves(message, (size_t)length);
}

bool kin__absence_begin(struct kin__session *session)
{
    struct kin__server *server = session->server;
    if (session->identity == NULL || session->ending || server->stopping) return false;
    if (server->away_count >= server->session_most) end(session_of(server->away.next));
    uv_timer_t *timer = &session->identity->timer;
    uv_timer_init(&server->loop, timer);
    timer->data = session;
    session->open_handles++;
    uv_update_time(&server->loop);
    uv_timer_start(timer, on_grace_end, ((uint64_t)server->grace_ns + 999999) / 1000000, 0);
    kin__links_append(&server->away, &session->link);
    server->away_count++;
    kin__log(KIN_LOG_INFO, "manager: the connection of a client broke; it may come back");
    server->away_bytes += kin__buffer_size(&session->identity->last);
    /* Who comes and goes with large answers does not fill the memory: the oldest give way. */
    while (server->away_bytes > server->message_most && server->away_count > 1)
        end(session_of(server->away.next));
    return true;
}

void kin__absences_end(struct kin__server *server)
{
    while (!kin__links_empty(&server->away)) end(session_of(server->away.next));
}

/* ---- coming back ----------------------------------------------------------------------------------- */

static bool is_same(const struct kin__session *session, const struct kin__session *other)
{
    return other != session && other->identity != NULL && other->key == session->key &&
           memcmp(other->identity->name, session->identity->name, sizeof other->identity->name) == 0;
}

static struct kin__session *find(struct kin__links *sessions, const struct kin__session *session)
{
    for (struct kin__links *link = sessions->next; link != sessions; link = link->next) {
        if (is_same(session, session_of(link))) return session_of(link);
    }
    return NULL;
}

static void take_over(struct kin__session *session, struct kin__session *old)
{
    struct kin__identity *identity = session->identity;
    while (!kin__links_empty(&old->holdings)) {
        struct kin__holding *holding = kin__links_entry(old->holdings.next, struct kin__holding, in_session);
        kin__links_remove(&holding->in_session);
        kin__links_append(&session->holdings, &holding->in_session);
        holding->session = session;
    }
    kin__references_take_over(session, old);
    identity->answered = old->identity->answered;
    identity->last = old->identity->last;
    session->server->away_bytes -= kin__buffer_size(&identity->last);
    old->identity->last = (struct kin__buffer){0};
    end(old);
}

int kin__absence_identify(struct kin__session *session, const char *told, int64_t *answered)
{
    struct kin__server *server = session->server;
    char name[KIN__IDENTITY_SIZE];
    uint64_t number;
    if (session->identity != NULL || sscanf(told, "%32[0-9a-f] %" SCNu64, name, &number) != 2 ||
        strlen(name) != sizeof name - 1)
        return -EINVAL;
    struct kin__identity *identity = kin__os_calloc(1, sizeof *identity);
    if (identity == NULL) return -ENOMEM;
    memcpy(identity->name, name, sizeof name);
    identity->tells = true;
    session->identity = identity;
    *answered = 0;
    if (number == 0) return 0;
    /* It may be back before the server has noticed that it was away. */
    struct kin__session *old = find(&server->sessions, session);
    if (old != NULL) kin__session_end(old);
    old = find(&server->away, session);
    if (old == NULL) {
        *answered = -1;
        return 0;
    }
    take_over(session, old);
    identity->repeats = identity->answered == number;
    *answered = (int64_t)identity->answered;
    return 0;
}

int kin__absence_note(struct kin__session *session, struct kin__buffer *out, size_t from)
{
    struct kin__identity *identity = session->identity;
    struct kin__buffer *last = &identity->last;
    if (identity->tells) {
        /* That was the answer to the name, which counts for none. */
        identity->tells = false;
        if (!identity->repeats) return 0;
        return kin__buffer_append(out, kin__buffer_start(last), kin__buffer_size(last));
    }
    identity->answered++;
    kin__buffer_consume(last, kin__buffer_size(last), KEPT_MOST);
    return kin__buffer_append(last, kin__buffer_start(out) + from, kin__buffer_size(out) - from);
}
