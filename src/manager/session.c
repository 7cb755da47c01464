/* session.c: one connection of a client: bytes come in, requests are made of them, answers go out.
 *
 * What comes is read into a buffer of the server's and worked on there; only a part of a message
 * that is left over lies in memory of the session's own, so that an idle client costs nothing but
 * its struct.  Answers are collected in a buffer of the server's too, as long as they are for the
 * same session, so that a client that sends many requests at once gets its answers at once.
 *
 * A session whose answers cannot be sent is not read from until they are: nobody can fill the
 * server's memory by asking and not listening.  One that is parked is read from, to learn of its
 * end, as long as little lies unread.
 *
 * To end a session gives back what it held, and so answers others.  While an answer is on its way that
 * would tear apart what is half done, so nothing that answers ends a session: it dooms it, and
 * kin__sessions_settle ends it.
 */
#include "manager/session.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "ipc/challenge.h"
#include "ipc/frame.h"
#include "manager/absence.h"
#include "manager/dispatch.h"
#include "manager/holding.h"
#include "manager/object.h"
#include "manager/permission.h"
#include "manager/place.h"
#include "manager/seal.h"
#include "manager/wire.h"
#include "os/os.h"
#include "os/socket.h"
#include "os/tls.h"

/* A client may send this much ahead while its request is parked. */
#define AHEAD_MOST KIN__SCRATCH

/* A client that has not proved by then that it knows the key is turned away. */
#define HANDSHAKE_SECONDS 10

/* A client that has another key learns it after so long, so that it cannot try many. */
#define REFUSAL_S 0.5

/* An answer may be so many times as long as a request: a list grows by many of these, or by a small one that
 * repeats it. */
#define ANSWER_SHARE 4

/* An answer this large is sent before the next one is made. */
#define OUT_MOST (256 * 1024)

static void look_at(struct kin__session *session);
static void watch(struct kin__session *session);

static bool is_calling(const struct kin__session *session)
{
    return session->stage == KIN__FIRST || session->stage == KIN__CALLS;
}

/* ---- the end ---------------------------------------------------------------------------------- */

void kin__session_closed(struct kin__session *session)
{
    if (--session->open_handles > 0) return;
    kin__buffer_free(&session->input);
    kin__buffer_free(&session->output);
    if (session->identity != NULL) kin__buffer_free(&session->identity->last);
    kin__os_free(session->identity);
    kin__os_free(session->challenge);
    kin__os_free(session);
}

static void on_closed(uv_handle_t *handle)
{
    kin__session_closed(handle->data);
}

void kin__session_end(struct kin__session *session)
{
    struct kin__server *server = session->server;
    if (session->stage == KIN__ENDED) return;
    session->stage = KIN__ENDED;
    if (session->stranger) server->stranger_count--;
    if (server->out_owner == session) {
        server->out_owner = NULL;
        kin__buffer_consume(&server->out, kin__buffer_size(&server->out), OUT_MOST);
    }
    kin__links_remove(&session->link);
    kin__links_remove(&session->resumed);
    kin__links_remove(&session->doomed);
    uv_close((uv_handle_t *)&session->poll, on_closed);
    uv_close((uv_handle_t *)&session->timer, on_closed);
    kin__seal_end(session);
    kin__os_close(session->descriptor);
    if (kin__session_is_parked(session)) {
        if (session->wait.abandoned != NULL) session->wait.abandoned(session);
        kin__session_unpark(session);
    }
    if (!kin__absence_begin(session)) kin__holdings_give_back(session);
    kin__place_end(session);
}

void kin__session_doom(struct kin__session *session)
{
    if (session->stage == KIN__ENDED) return;
    kin__links_remove(&session->doomed);
    kin__links_append(&session->server->doomed, &session->doomed);
}

void kin__session_end_after_answers(struct kin__session *session)
{
    session->ending = true;
}

/* ---- answers go out ---------------------------------------------------------------------------- */

/* Sends what it can; returns false when the connection is gone. */
static bool send_some(struct kin__session *session, struct kin__buffer *bytes)
{
    while (kin__buffer_size(bytes) > 0) {
        struct kin__part part = {kin__buffer_start(bytes), kin__buffer_size(bytes)};
        long sent = kin__os_send(session->descriptor, &part, 1, -1, false);
        if (sent == -EAGAIN) return true;
        if (sent < 0) return false;
        kin__buffer_consume(bytes, (size_t)sent, OUT_MOST);
    }
    return true;
}

/* Sends what was collected for the session that the server's buffer belongs to; then it is empty, and nobody's. */
static void flush(struct kin__server *server)
{
    struct kin__session *session = server->out_owner;
    if (session == NULL) return;
    bool sent = session->tls == NULL
                    ? send_some(session, &server->out)
                    : kin__seal(session, &server->out) && send_some(session, &session->output);
    size_t rest = kin__buffer_size(&server->out);
    if (sent) sent = kin__buffer_append(&session->output, kin__buffer_start(&server->out), rest) == 0;
    if (rest > 0) kin__buffer_consume(&server->out, rest, OUT_MOST);
    server->out_owner = NULL;
    bool left = kin__buffer_size(&session->output) > 0;
    if (!sent || (!left && session->ending))
        kin__session_doom(session);
    else if (left)
        watch(session);
}

/* Where the next answer of the session is to be written. */
static struct kin__buffer *answers_of(struct kin__session *session)
{
    struct kin__server *server = session->server;
    /* What is doomed is not sent, but noted for a client that may come back. */
    if (kin__session_is_doomed(session)) return &session->output;
    if (kin__buffer_size(&session->output) > 0 && session->tls == NULL) return &session->output;
    if (server->out_owner != session) {
        flush(server);
        server->out_owner = session;
    }
    return &server->out;
}

static void send_message(struct kin__session *session, const void *message, size_t size)
{
    uint8_t header[KIN__FRAME_HEADER_MOST];
    struct kin__buffer *out = answers_of(session);
    size_t length = kin__frame_header(header, size);
    if (kin__buffer_append(out, header, length) < 0 || kin__buffer_append(out, message, size) < 0)
        kin__session_doom(session);
}

static int write_answer(struct kin__session *session, const char *kind, const kin_value *value)
{
    struct kin__buffer *out = answers_of(session);
    size_t before = kin__buffer_size(out);
    int rc = kin__wire_answer(out, kind, value, ANSWER_SHARE * session->server->message_most);
    return rc < 0 || session->identity == NULL ? rc : kin__absence_note(session, out, before);
}

/* Borrows `value`. */
static void answer(struct kin__session *session, const char *kind, const kin_value *value)
{
    if (kin__session_is_parked(session)) {
        kin__session_unpark(session);
        /* Until now it was the server that was silent. */
        session->heard = uv_now(&session->server->loop);
        kin__links_append(&session->server->resumed, &session->resumed);
    }
    if (session->stage == KIN__ENDED) return;
    int rc = kin__lend(session, value);
    if (rc == 0) rc = write_answer(session, kind, value);
    if (rc < 0 && rc != -ENOMEM) {
        kin_value text = kin_value_str(kin_strerror(rc));
        rc = write_answer(session, KIN__ANSWER_UNSERIALIZABLE, &text);
        kin_value_clear(&text);
    }
    if (rc < 0) kin__session_doom(session);
}

void kin__session_answer(struct kin__session *session, const char *kind, kin_value value)
{
    answer(session, kind, &value);
    kin_value_clear(&value);
}

void kin__session_return(struct kin__session *session, kin_value value)
{
    kin__session_answer(session, KIN__ANSWER_RETURN, value);
}

void kin__session_return_kept(struct kin__session *session, kin_value value)
{
    answer(session, KIN__ANSWER_RETURN, &value);
    kin__unkeep(session->server, &value);
}

void kin__session_raise(struct kin__session *session, kin_value exception)
{
    kin__session_answer(session, KIN__ANSWER_ERROR, exception);
}

void kin__session_dismiss(struct kin__session *session)
{
    if (kin__session_is_parked(session))
        kin__session_raise(session, kin_value_errorf("EOFError", "the manager is shutting down"));
}

/* ---- requests come in ---------------------------------------------------------------------------- */

static bool is_free(const struct kin__session *session)
{
    return session->stage != KIN__ENDED && session->stage != KIN__REFUSED && !session->ending &&
           !session->paused && !session->waits && !kin__session_is_parked(session) &&
           !kin__session_is_doomed(session) && kin__buffer_size(&session->output) == 0 &&
           !session->server->stopping;
}

static void tell_refusal(struct kin__session *session)
{
    static const char failure[] = "#FAILURE#";
    send_message(session, failure, sizeof failure - 1);
    if (session->stage != KIN__ENDED) kin__session_end_after_answers(session);
}

static void admit(struct kin__session *session)
{
    struct kin__server *server = session->server;
    /* Without a place it has no longer to ask for something (kin__place_has). */
    if (session->placed) uv_timer_stop(&session->timer);
    kin__os_free(session->challenge);
    session->challenge = NULL;
    session->stranger = false;
    server->stranger_count--;
    session->stage = KIN__FIRST;
    kin__links_remove(&session->link);
    kin__links_append(&server->sessions, &session->link);
    /* A client that lets small messages wait for an acknowledgement sends its request now. */
    kin__os_acknowledge(session->descriptor);
}

/* Lets the client prove that it has a key. */
static int challenge(struct kin__session *session)
{
    struct kin__server *server = session->server;
    struct kin__challenge_message first;
    session->challenge = kin__os_calloc(1, sizeof *session->challenge);
    if (session->challenge == NULL) return -ENOMEM;
    session->challenge->role = KIN__CHALLENGE_ACCEPTS;
    session->challenge->keys = server->keys;
    session->challenge->key_count = server->key_count;
    int rc = kin__os_random(session->challenge->nonce, sizeof session->challenge->nonce);
    if (rc == 0) rc = kin__challenge_begin(session->challenge, &first);
    if (rc < 0) return rc;
    send_message(session, first.bytes, first.size);
    return 0;
}

static void authenticate(struct kin__session *session, const uint8_t *message, size_t size)
{
    struct kin__challenge_message reply;
    int rc = kin__challenge_step(session->challenge, message, size, &reply);
    if (rc < 0) kin__blame(session, rc);
    if (rc == KIN_EAUTHENTICATION) {
        session->stage = KIN__REFUSED;
        kin__session_set_timer(session, REFUSAL_S);
        return;
    }
    if (reply.size > 0) send_message(session, reply.bytes, reply.size);
    if (rc == 0 || session->stage == KIN__ENDED) return;
    if (rc < 0) {
        kin__session_end_after_answers(session);
        return;
    }
    session->key = session->challenge->found;
    admit(session);
}

static void handle(struct kin__session *session, const uint8_t *message, size_t size)
{
    if (session->stage == KIN__AUTHENTICATING)
        authenticate(session, message, size);
    else
        kin__dispatch(session, message, size);
    if (session->server->out_owner == session && kin__buffer_size(&session->server->out) > OUT_MOST)
        flush(session->server);
}

/* The next message is longer than the server takes. */
static void refuse_size(struct kin__session *session, uint64_t size)
{
    if (session->stage == KIN__AUTHENTICATING) {
        kin__blame(session, KIN_EPROTOCOL);
        kin__session_end(session);
        return;
    }
    kin__log(KIN_LOG_WARNING, "manager: a client announced a message of %llu bytes",
             (unsigned long long)size);
    kin__session_answer(session, KIN__ANSWER_TRACEBACK,
                        kin_value_str("OverflowError: the request is larger than this manager takes\n"));
    kin__session_end_after_answers(session);
}

static uint64_t message_most(const struct kin__session *session)
{
    return session->stage == KIN__AUTHENTICATING ? KIN__CHALLENGE_MOST : session->server->message_most;
}

/* Counts a request; one more than the client may have in this second waits for the next. */
static bool is_over_limit(struct kin__session *session, size_t size)
{
    const struct kin__server *server = session->server;
    if ((server->request_most == 0 && server->byte_most == 0) || session->stage == KIN__AUTHENTICATING)
        return false;
    uint64_t now = uv_now(&server->loop);
    if (now - session->second >= 1000) {
        session->second = now;
        session->requests = session->bytes = 0;
    }
    bool over = (server->request_most != 0 && session->requests >= server->request_most) ||
                (server->byte_most != 0 && session->bytes >= server->byte_most);
    if (over) {
        session->paused = true;
        kin__session_set_timer(session, (double)(1000 - (now - session->second)) / 1e3);
    } else {
        session->requests++;
        session->bytes += size;
    }
    return over;
}

/* Works on the whole messages at the start of `bytes`; returns how many bytes they were. */
static size_t work(struct kin__session *session, const uint8_t *bytes, size_t size)
{
    size_t used = 0;
    if (session->gone && session->identity != NULL) session->left = kin__absence_left(bytes, size);
    while (is_free(session)) {
        uint64_t length;
        long header = kin__frame_look(bytes + used, size - used, &length);
        if (header < 0 && session->stranger) kin__blame(session, (int)header);
        if (header < 0) kin__session_end(session);
        if (header <= 0) break;
        if (length > message_most(session)) {
            refuse_size(session, length);
            break;
        }
        const uint8_t *message = bytes + used + header;
        if ((uint64_t)(bytes + size - message) < length) break;
        if (!kin__place_has(session, message, (size_t)length) || is_over_limit(session, (size_t)length))
            break;
        used = (size_t)(message - bytes) + (size_t)length;
        handle(session, message, (size_t)length);
    }
    return used;
}

static long read_now(struct kin__session *session, void *room, size_t size)
{
    struct kin__part part = {room, size};
    return kin__os_receive(session->descriptor, &part, 1, NULL, false);
}

/* Works on what has come over TLS; returns false at the end of the connection. */
static bool receive_sealed(struct kin__session *session)
{
    struct kin__server *server = session->server;
    long got = read_now(session, server->sealed, KIN__SCRATCH);
    if (got <= 0) return got == -EAGAIN;
    int rc = kin__unseal_begin(session, server->sealed, (size_t)got);
    bool begun = rc == 1;
    if (rc < 0) {
        kin__blame(session, rc);
        kin__session_end_after_answers(session);
    }
    /* What the handshake has to say, also about its failure. */
    if (!send_some(session, &session->output) || rc < 0) return false;
    if (begun && server->tls_proves)
        admit(session);
    else if (begun && challenge(session) < 0)
        return false;
    while (session->secured && (got = kin__unseal(session, server->scratch, KIN__SCRATCH)) > 0) {
        if (kin__buffer_append(&session->input, server->scratch, (size_t)got) < 0) return false;
        look_at(session);
        if (session->stage == KIN__ENDED) return true;
    }
    return !session->secured || got == -EAGAIN;
}

/* Reads what has come and works on it; returns false at the end of the connection. */
static bool receive(struct kin__session *session)
{
    struct kin__server *server = session->server;
    struct kin__buffer *input = &session->input;
    session->heard = uv_now(&server->loop);
    if (session->tls != NULL) return receive_sealed(session);
    if (kin__buffer_size(input) == 0) {
        long got = read_now(session, server->scratch, KIN__SCRATCH);
        if (got <= 0) return got == -EAGAIN;
        size_t used = work(session, server->scratch, (size_t)got);
        return session->stage == KIN__ENDED ||
               kin__buffer_append(input, server->scratch + used, (size_t)got - used) == 0;
    }
    /* As much again as is there: what a client announces takes no memory before it comes. */
    if (kin__buffer_reserve(input, kin__buffer_size(input) + KIN__SCRATCH) < 0) return false;
    kin_buffer *bytes = &input->bytes;
    long got = read_now(session, bytes->data + bytes->size, bytes->capacity - bytes->size);
    if (got <= 0) return got == -EAGAIN;
    bytes->size += (size_t)got;
    look_at(session);
    return true;
}

/* Works on what has come before. */
static void look_at(struct kin__session *session)
{
    struct kin__buffer *input = &session->input;
    if (kin__buffer_size(input) == 0) return;
    size_t used = work(session, kin__buffer_start(input), kin__buffer_size(input));
    kin__buffer_consume(input, used, 0);
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

/* The connection is gone.  Who leaves in the middle of the handshake, in whatever way, costs as much as who fails in
 * it; unless that has been noted, and the session is ending. */
static void lose(struct kin__session *session)
{
    if (session->stage == KIN__AUTHENTICATING && !session->ending) kin__blame(session, KIN_ECLOSED);
    if (session->identity != NULL &&
        kin__absence_left(kin__buffer_start(&session->input), kin__buffer_size(&session->input)))
        session->ending = true;
    kin__session_end(session);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct kin__session *session = poll->data;
    struct kin__server *server = session->server;
    bool alive = status == 0;
    if (alive && (events & UV_WRITABLE) != 0) {
        alive = send_some(session, &session->output);
        bool sent = kin__buffer_size(&session->output) == 0;
        /* It reads; what is left has its time anew (watch). */
        if (is_calling(session) && session->placed && !kin__session_is_parked(session) && !session->paused)
            uv_timer_stop(&session->timer);
        /* Until now it was the server that spoke. */
        if (sent) session->heard = uv_now(&server->loop);
        if (alive && sent) look_at(session);
        if (sent && session->ending) alive = false;
    }
    if ((events & UV_DISCONNECT) != 0) session->gone = true;
    if (alive && (events & UV_READABLE) != 0 && session->stage != KIN__ENDED)
        alive = receive(session);
    else if ((events & UV_DISCONNECT) != 0)
        alive = false;
    if (session->stage != KIN__ENDED) {
        if (alive)
            watch(session);
        else
            lose(session);
    }
    kin__sessions_settle(server);
}

/* Polls for what the session needs now. */
static void watch(struct kin__session *session)
{
    int events = UV_READABLE | UV_DISCONNECT;
    if (session->stage == KIN__ENDED) return;
    bool waits = kin__session_is_parked(session) || session->paused || session->waits ||
                 session->stage == KIN__REFUSED;
    if (kin__buffer_size(&session->output) > 0) {
        events = UV_WRITABLE;
        /* A client that reads nothing for that long has left. */
        if (!waits && !uv_is_active((uv_handle_t *)&session->timer))
            kin__session_set_timer(session, session->server->silence_s);
    } else if (waits && kin__buffer_size(&session->input) >= AHEAD_MOST)
        events = UV_DISCONNECT;
    if (events == session->events) return;
    session->events = events;
    if (uv_poll_start(&session->poll, events, on_event) != 0) kin__session_doom(session);
}

void kin__sessions_settle(struct kin__server *server)
{
    /* Each may bring more of the others: to look at one answers another, to send dooms, and an end answers those
     * who get what was held.  None makes more without end: what is looked at has come already. */
    do {
        while (!kin__links_empty(&server->resumed)) {
            struct kin__session *session =
                kin__links_entry(server->resumed.next, struct kin__session, resumed);
            kin__links_remove(&session->resumed);
            look_at(session);
            watch(session);
        }
        flush(server);
        while (!kin__links_empty(&server->doomed))
            lose(kin__links_entry(server->doomed.next, struct kin__session, doomed));
    } while (!kin__links_empty(&server->resumed) || server->out_owner != NULL);
    if (server->stopping) uv_stop(&server->loop);
}

static void on_timer(uv_timer_t *timer)
{
    struct kin__session *session = timer->data;
    struct kin__server *server = session->server;
    if (kin__session_is_parked(session)) {
        session->wait.timed_out(session);
    } else if (session->paused) {
        session->paused = false;
        session->heard = uv_now(&server->loop);
        look_at(session);
        watch(session);
    } else if (session->stage == KIN__REFUSED && !session->ending) {
        tell_refusal(session);
    } else {
        if (session->stage == KIN__AUTHENTICATING)
            kin__blame(session, -ETIMEDOUT);
        else if (session->placed)
            kin__log(KIN_LOG_WARNING, "manager: a client did not read its answers in time");
        kin__session_end(session);
    }
    kin__sessions_settle(server);
}

void kin__session_set_timer(struct kin__session *session, double seconds)
{
    /* Beyond a hundred years it makes no difference. */
    double milliseconds = seconds > 3e9 ? 3e12 : seconds * 1e3;
    uv_update_time(session->timer.loop);
    /* A part of a millisecond is a whole one: never before the time. */
    uint64_t whole = (uint64_t)milliseconds;
    uv_timer_start(&session->timer, on_timer, whole + ((double)whole < milliseconds), 0);
}

/* ---- the beginning ---------------------------------------------------------------------------------------- */

static int begin_handshake(struct kin__session *session)
{
    struct kin__server *server = session->server;
    server->stranger_count++;
    session->stranger = true;
    kin__session_set_timer(session, HANDSHAKE_SECONDS);
    return server->tls != NULL ? kin__tls_make(&session->tls, server->tls, NULL) : challenge(session);
}

int kin__session_open(struct kin__server *server, int descriptor, uint64_t network)
{
    struct kin__session *session = kin__os_calloc(1, sizeof *session);
    if (session == NULL || uv_poll_init(&server->loop, &session->poll, descriptor) != 0) {
        kin__os_free(session);
        kin__os_close(descriptor);
        return -ENOMEM;
    }
    uv_timer_init(&server->loop, &session->timer);
    session->open_handles = 2;
    session->poll.data = session->timer.data = session;
    session->server = server;
    session->descriptor = descriptor;
    session->network = network;
    kin__links_init(&session->resumed);
    kin__links_init(&session->doomed);
    kin__links_init(&session->holdings);
    kin__links_init(&session->references);
    kin__links_init(&session->lent);
    kin__links_init(&session->wait.link);
    kin__links_append(&server->strangers, &session->link);
    kin__place_begin(session);
    kin__os_acknowledge(descriptor);
    kin__os_notice_silence(descriptor, server->silence_s);
    int rc = begin_handshake(session);
    if (rc < 0)
        kin__session_end(session);
    else
        watch(session);
    return rc;
}
