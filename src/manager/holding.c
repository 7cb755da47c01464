/* holding.c: see holding.h. */
#include "manager/holding.h"

#include "manager/object.h"
#include "manager/reference.h"
#include "os/os.h"

struct kin__holding *kin__holding_of(struct kin__session *session, const struct kin__managed *object)
{
    /* In the session's list: a client has few, while an object may be held by thousands. */
    struct kin__links *list = &session->holdings;
    for (struct kin__links *link = list->next; link != list; link = link->next) {
        struct kin__holding *holding = kin__links_entry(link, struct kin__holding, in_session);
        if (holding->object == object) return holding;
    }
    return NULL;
}

struct kin__holding *kin__hold_new(struct kin__session *session, struct kin__managed *object,
                                   struct kin__links *list, size_t size, kin__give_back *give_back)
{
    struct kin__holding *holding = kin__os_calloc(1, size);
    if (holding == NULL) return NULL;
    holding->session = session;
    holding->object = kin__managed_incref(object);
    holding->give_back = give_back;
    kin__links_append(&session->holdings, &holding->in_session);
    kin__links_append(list, &holding->in_object);
    return holding;
}

struct kin__holding *kin__hold(struct kin__session *session, struct kin__managed *object,
                               struct kin__links *list, unsigned count, kin__give_back *give_back)
{
    struct kin__holding *holding = kin__holding_of(session, object);
    if (holding == NULL) holding = kin__hold_new(session, object, list, sizeof *holding, give_back);
    if (holding != NULL) holding->count += count;
    return holding;
}

void kin__holding_free(struct kin__server *server, struct kin__holding *holding)
{
    kin__links_remove(&holding->in_session);
    kin__links_remove(&holding->in_object);
    kin__managed_decref(server, holding->object);
    kin__os_free(holding);
}

void kin__unhold(struct kin__server *server, struct kin__holding *holding)
{
    if (--holding->count == 0) kin__holding_free(server, holding);
}

void kin__holdings_give_back(struct kin__session *session)
{
    if (!kin__links_empty(&session->holdings) || !kin__links_empty(&session->references))
        session->server->calls++;
    while (!kin__links_empty(&session->holdings)) {
        struct kin__holding *holding =
            kin__links_entry(session->holdings.next, struct kin__holding, in_session);
        holding->give_back(session->server, holding);
    }
    kin__references_drop(session);
}
