/* absence.c: see absence.h.
 *
 * A client of kin's says by a random name which one it is, and numbers its requests.  It has one in work at a time,
 * or as many as it has asked the server to keep answers of.  When its connection breaks, the session stays behind
 * without one, *away*, with its locks, tasks and references, and with the last answers.  A new connection that tells
 * the name takes all this over.  By the number of the first request that it has no answer to, the client learns
 * which of those it had in work were done: it gets the answers to these again, and asks for the others again.  So no
 * request is done twice, and none is lost.
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
#include "manager/place.h"
#include "manager/reference.h"
#include "manager/session.h"
#include "manager/wire.h"
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

bool kin__absence_left(const uint8_t *at, size_t left)
{
    const uint8_t *message = at;
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
    if (server->away_count / KIN__PLACES_TIMES >= server->session_most) end(session_of(server->away.next));
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

/* What a client tells: its name, and the first of its requests that it has no answer to; 0: it was not here before. */
static bool parse(const char *told, char name[KIN__IDENTITY_SIZE], uint64_t *number)
{
    return sscanf(told, "%32[0-9a-f] %" SCNu64, name, number) == 2 && strlen(name) == KIN__IDENTITY_SIZE - 1;
}

/* Another one with that name and the session's key. */
static struct kin__session *find(const struct kin__links *sessions, const struct kin__session *session,
                                 const char *name)
{
    for (struct kin__links *link = sessions->next; link != sessions; link = link->next) {
        struct kin__session *other = session_of(link);
        if (other != session && other->identity != NULL && other->key == session->key &&
            strcmp(other->identity->name, name) == 0)
            return other;
    }
    return NULL;
}

bool kin__absence_knows(const struct kin__session *session, const char *told)
{
    const struct kin__server *server = session->server;
    char name[KIN__IDENTITY_SIZE];
    uint64_t number;
    return server->grace_ns > 0 && parse(told, name, &number) && number > 0 &&
           (find(&server->sessions, session, name) != NULL || find(&server->away, session, name) != NULL);
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
    identity->kept = old->identity->kept;
    identity->window = old->identity->window;
    session->server->away_bytes -= kin__buffer_size(&identity->last);
    old->identity->last = (struct kin__buffer){0};
    end(old);
}

int kin__absence_identify(struct kin__session *session, const char *told, int64_t *answered)
{
    struct kin__server *server = session->server;
    char name[KIN__IDENTITY_SIZE];
    uint64_t number;
    if (session->identity != NULL || !parse(told, name, &number)) return -EINVAL;
    struct kin__identity *identity = kin__os_calloc(1, sizeof *identity);
    if (identity == NULL) return -ENOMEM;
    memcpy(identity->name, name, sizeof name);
    identity->tells = true;
    identity->window = 1;
    session->identity = identity;
    *answered = 0;
    if (number == 0) return 0;
    /* It may be back before the server has noticed that it was away. */
    struct kin__session *old = find(&server->sessions, session, name);
    if (old != NULL) kin__session_end(old);
    old = find(&server->away, session, name);
    uint64_t done = old != NULL ? old->identity->answered : 0,
             missed = done >= number ? done - number + 1 : 0;
    /* Nobody can tell that one what it was answered. */
    if (old == NULL || missed > old->identity->kept) {
        *answered = -1;
        return 0;
    }
    take_over(session, old);
    identity->repeats = (size_t)missed;
    *answered = (int64_t)done;
    return 0;
}

/* ---- answers that are kept --------------------------------------------------------------------------- */

int kin__absence_keep(struct kin__session *session, int64_t count)
{
    if (session->identity == NULL || count < 1 || count > KIN__WIRE_WINDOW) return -EINVAL;
    session->identity->window = (size_t)count;
    return 0;
}

/* The first of the answers that are kept: its bytes. */
static size_t first_kept(const struct kin__buffer *last)
{
    uint64_t size = 0;
    long header = kin__frame_look(kin__buffer_start(last), kin__buffer_size(last), &size);
    return (size_t)header + (size_t)size;
}

static void forget_first(struct kin__identity *identity)
{
    kin__buffer_consume(&identity->last, first_kept(&identity->last), KEPT_MOST);
    identity->kept--;
}

/* Sends the last ones again. */
static int repeat(struct kin__identity *identity, struct kin__buffer *out)
{
    while (identity->kept > identity->repeats) forget_first(identity);
    return kin__buffer_append(out, kin__buffer_start(&identity->last), kin__buffer_size(&identity->last));
}

int kin__absence_note(struct kin__session *session, struct kin__buffer *out, size_t from)
{
    struct kin__identity *identity = session->identity;
    struct kin__buffer *last = &identity->last;
    if (identity->tells) {
        /* That was the answer to the name, which counts for none. */
        identity->tells = false;
        return repeat(identity, out);
    }
    size_t size = kin__buffer_size(out) - from;
    identity->answered++;
    while (identity->kept >= identity->window) forget_first(identity);
    /* Those that together are longer than a message may be are no use to who asks for few large ones at a time. */
    while (identity->kept > 0 && kin__buffer_size(last) + size > session->server->message_most)
        forget_first(identity);
    int rc = kin__buffer_append(last, kin__buffer_start(out) + from, size);
    if (rc == 0) identity->kept++;
    /* Those that are kept end with the last that was given: without it nobody can be told what was missed. */
    while (rc < 0 && identity->kept > 0) forget_first(identity);
    return rc;
}
