/* parking.c: requests that wait: a session stands in a list of an object until it is answered.
 *
 * Invariant: a session that is parked is in one such list, unless it is doomed, and has references of the objects
 * that its wait names.
 */
#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/session.h"
#include "os/network.h"

enum kin__outcome kin__session_park(struct kin__call *call, struct kin__managed *object,
                                    struct kin__links *list, double seconds,
                                    void (*timed_out)(struct kin__session *session))
{
    struct kin__session *session = call->session;
    if (!kin__can_wait(call, seconds)) return KIN__RAISE;
    session->wait.object = kin__managed_incref(object);
    session->wait.timed_out = timed_out;
    kin__links_append(list, &session->wait.link);
    if (seconds >= 0) kin__session_set_timer(session, seconds);
    return KIN__PARKED;
}

void kin__session_move(struct kin__session *session, struct kin__managed *object, struct kin__links *list)
{
    kin__managed_incref(object);
    kin__managed_decref(session->server, session->wait.object);
    session->wait.object = object;
    kin__links_remove(&session->wait.link);
    kin__links_append(list, &session->wait.link);
    uv_timer_stop(&session->timer);
}

struct kin__session *kin__session_first(struct kin__links *list)
{
    while (!kin__links_empty(list)) {
        struct kin__session *session = kin__session_of(list->next);
        if (!kin__session_is_doomed(session) && !kin__os_hung_up(session->descriptor)) return session;
        kin__links_remove(&session->wait.link);
        kin__session_doom(session);
    }
    return NULL;
}

void kin__session_unpark(struct kin__session *session)
{
    struct kin__wait *wait = &session->wait;
    struct kin__server *server = session->server;
    kin__links_remove(&wait->link);
    uv_timer_stop(&session->timer);
    kin__unkeep(server, &wait->item);
    kin__managed_decref(server, wait->other);
    kin__managed_decref(server, wait->object);
    *wait = (struct kin__wait){0};
    kin__links_init(&wait->link);
}
