/* session.h: the connections of a manager's clients. */
#ifndef KIN_MANAGER_SESSION_H
#define KIN_MANAGER_SESSION_H

#include "manager/server.h"

/* Begins a session on an accepted connection from that network, which it takes over in any case.  Errors: -ENOMEM. */
int kin__session_open(struct kin__server *server, int descriptor, uint64_t network);

/* Ends a session at once: what it held is given back, what it waited for goes to others.  Not for methods, nor for
 * what answers: others get answers by it. */
void kin__session_end(struct kin__session *session);

/* Its connection is of no use any more: it is asked for nothing, and ends when the callback is over. */
void kin__session_doom(struct kin__session *session);

static inline bool kin__session_is_doomed(const struct kin__session *session)
{
    return !kin__links_empty(&session->doomed);
}

/* One of its handles is closed: its memory goes with the last one. */
void kin__session_closed(struct kin__session *session);

/* Ends it when what was answered has been sent. */
void kin__session_end_after_answers(struct kin__session *session);

/* Sends an answer, `kind` being one of the words of the wire, and takes `value` over .
 * One that was parked is not any more, and its next request will be looked at. */
void kin__session_answer(struct kin__session *session, const char *kind, kin_value value);

/* The same for a result, for one that an object has kept until now, and for an exception. */
void kin__session_return_kept(struct kin__session *session, kin_value value);
void kin__session_return(struct kin__session *session, kin_value value);
void kin__session_raise(struct kin__session *session, kin_value exception);

/* The server ends: one that is parked is told. */
void kin__session_dismiss(struct kin__session *session);

/* Parks the request that `call` is about in `list` of `object` until it is answered, or until
 * `seconds` have passed (negative: without limit) and `timed_out` answers. */
enum kin__outcome kin__session_park(struct kin__call *call, struct kin__managed *object,
                                    struct kin__links *list, double seconds,
                                    void (*timed_out)(struct kin__session *session));
/* Goes on waiting in another list, without a deadline from now on. */
void kin__session_move(struct kin__session *session, struct kin__managed *object, struct kin__links *list);

/* It is in no list any more, and has let go of what it waited for. */
void kin__session_unpark(struct kin__session *session);

static inline bool kin__session_is_parked(const struct kin__session *session)
{
    return session->wait.object != NULL;
}

/* The session's deadline: of the handshake, of what is parked, of what is not read. */
void kin__session_set_timer(struct kin__session *session, double seconds);

static inline struct kin__session *kin__session_of(struct kin__links *link)
{
    return kin__links_entry(link, struct kin__session, wait.link);
}

/* The first session parked in the list whose client is still there; the others stand in the list no more, and are
 * doomed.  NULL: there is none. */
struct kin__session *kin__session_first(struct kin__links *list);

/* Looks at what those asked for that were parked and are answered, sends what is to be sent, and ends those who are
 * doomed, until nothing of this is left.  To be called at the end of each callback of the loop. */
void kin__sessions_settle(struct kin__server *server);

#endif
