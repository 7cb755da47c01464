/* pipeline.c: several calls of a thread, with their requests in flight at once.
 *
 * Requests are made and sent in batches; answers are received as they come, many at a time, and belong to the
 * requests in their order.
 *
 * Invariants:
 * - The requests in flight are of FLIGHT_BYTES at most, or a single one.  So many the kernel takes while the server,
 *   which may wait until we read its answers, reads nothing; and a single one the server reads, for it has nothing
 *   to answer before.  So neither side waits for the other for ever.
 * - When calls are given up with requests in flight the connection is closed: what comes over it next would be
 *   taken for the answer to another request.
 * - With a time of grace there is one request in flight: the server keeps one answer for whoever comes back, and
 *   numbers that are further behind say nothing.
 */
#include <errno.h>
#include <stdbool.h>

#include <kin/error.h>

#include "ipc/connection.h"
#include "ipc/frame.h"
#include "manager/buffer.h"
#include "manager/manager.h"

/* Requests in flight: bytes, and how many. */
#define FLIGHT_BYTES ((size_t)32 * 1024)
#define FLIGHT_MOST  256

/* Room for answers that is made at once. */
#define ANSWERS_ROOM KIN__CLIENT_KEPT

/* answered <= sent <= made <= count, each the number of the first call of which that is not true. */
struct pipeline {
    struct kin__client *client;
    kin_call *calls;
    size_t count;
    size_t made;               /* their requests have been made, or cannot be: then their rc says why */
    size_t sent;               /* … and sent, if only in part */
    size_t answered;           /* they have their outcome */
    size_t in_flight;          /* bytes of requests that are sent and not answered */
    size_t sizes[FLIGHT_MOST]; /* of the requests, by their number; 0: there is none */
    struct kin__buffer out;    /* requests that are made and not sent */
    struct kin__buffer in;     /* answers that are received and not read */
    bool broken;               /* the connection is not to be used again, whatever was answered */
};

static bool is_over(kin_deadline deadline)
{
    return deadline != KIN_FOREVER && kin_clock() >= deadline;
}

/* What was raised is the call's, not the connection's. */
static void take_error(struct kin__client *client, kin_call *call)
{
    if (call->rc >= 0) return;
    call->result = client->error;
    client->error = kin_value_none();
}

/* ---- requests -------------------------------------------------------------------------------------------- */

static void make_request(struct pipeline *pipeline)
{
    kin_call *call = &pipeline->calls[pipeline->made];
    size_t before = kin__buffer_size(&pipeline->out);
    kin_value request =
        kin__request(kin__proxy_ident(call->proxy), call->method, kin__arguments_of(call->arguments));
    call->arguments = kin_value_none();
    call->rc = kin_value_error_code(&request);
    if (call->rc == 0) call->rc = kin__wire_message(&pipeline->out, &request);
    kin_value_clear(&request);
    pipeline->sizes[pipeline->made++ % FLIGHT_MOST] = kin__buffer_size(&pipeline->out) - before;
}

/* Sends as many requests as may be in flight, once half of those are answered. */
static int send_requests(struct pipeline *pipeline, kin_deadline deadline)
{
    size_t batch = 0;
    if (pipeline->sent == pipeline->count || pipeline->in_flight > FLIGHT_BYTES / 2 ||
        pipeline->sent - pipeline->answered > FLIGHT_MOST / 2)
        return 0;
    if (is_over(deadline)) return -ETIMEDOUT;
    while (pipeline->sent < pipeline->count && pipeline->sent - pipeline->answered < FLIGHT_MOST) {
        if (pipeline->made == pipeline->sent) make_request(pipeline);
        size_t size = pipeline->sizes[pipeline->sent % FLIGHT_MOST];
        if (pipeline->in_flight > 0 && pipeline->in_flight + size > FLIGHT_BYTES) break;
        pipeline->in_flight += size;
        pipeline->sent++;
        batch += size;
    }
    if (batch == 0) return 0;
    int rc = kin__framed_send_frames(pipeline->client->connection, kin__buffer_start(&pipeline->out), batch,
                                     deadline);
    /* Part of a request may be on its way. */
    pipeline->broken = rc < 0;
    kin__buffer_consume(&pipeline->out, batch, KIN__CLIENT_KEPT_MOST);
    return rc;
}

/* ---- answers --------------------------------------------------------------------------------------------- */

/* The header of the message that comes next, if it is whole: its length, and what it says; else 0, or an error. */
static long look(const struct kin__buffer *in, uint64_t *size)
{
    return kin__frame_look(kin__buffer_start(in), kin__buffer_size(in), size);
}

/* Gives the calls the answers that are there. */
static void take_answers(struct pipeline *pipeline)
{
    while (pipeline->answered < pipeline->sent) {
        kin_call *call = &pipeline->calls[pipeline->answered];
        size_t request = pipeline->sizes[pipeline->answered % FLIGHT_MOST];
        if (request > 0) {
            uint64_t size;
            long header = look(&pipeline->in, &size);
            if (header <= 0 || kin__buffer_size(&pipeline->in) - (size_t)header < size) return;
            call->rc = kin__client_read(pipeline->client, kin__buffer_start(&pipeline->in) + header,
                                        (size_t)size, &call->result);
            take_error(pipeline->client, call);
            kin__buffer_consume(&pipeline->in, (size_t)header + (size_t)size, KIN__CLIENT_KEPT_MOST);
            pipeline->in_flight -= request;
        }
        pipeline->answered++;
    }
}

/* Receives what comes, of a message that is not whole. */
static int receive_some(struct pipeline *pipeline, kin_deadline deadline)
{
    kin_buffer *bytes = &pipeline->in.bytes;
    uint64_t size;
    size_t room = ANSWERS_ROOM;
    long header = look(&pipeline->in, &size);
    if (header < 0) return (int)header;
    if (header > 0 && size > kin__buffer_size(&pipeline->in) - (size_t)header + room)
        room = (size_t)size - (kin__buffer_size(&pipeline->in) - (size_t)header);
    int rc = kin__buffer_reserve(&pipeline->in, room);
    if (rc < 0) return rc;
    long got = kin__framed_receive_bytes(pipeline->client->connection, bytes->data + bytes->size,
                                         bytes->capacity - bytes->size, deadline);
    if (got == KIN_ECLOSED || got == KIN_ETRUNCATED) return -ECONNRESET;
    if (got < 0) return (int)got;
    bytes->size += (size_t)got;
    return 0;
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

static int run(struct pipeline *pipeline, kin_deadline deadline)
{
    int rc = 0;
    while (rc == 0 && pipeline->answered < pipeline->count) {
        rc = send_requests(pipeline, deadline);
        if (rc == 0 && pipeline->in_flight > 0)
            rc = is_over(deadline) ? -ETIMEDOUT : receive_some(pipeline, deadline);
        take_answers(pipeline);
        /* What nobody has asked for would be taken for the next one's answer. */
        if (rc == 0 && pipeline->answered == pipeline->sent && kin__buffer_size(&pipeline->in) > 0)
            rc = KIN_EPROTOCOL;
    }
    if (rc != -ETIMEDOUT && rc != -ECANCELED) pipeline->broken |= rc < 0;
    /* Whatever ended it, what was answered before may be there to be read: once, as more may come all the time. */
    if (pipeline->in_flight > 0 && receive_some(pipeline, KIN_NOW) == 0) take_answers(pipeline);
    return pipeline->answered == pipeline->count && rc != -ECANCELED ? 0 : rc;
}

/* Borrows the memory that the connection keeps. */
static void begin(struct pipeline *pipeline, struct kin__client *client)
{
    pipeline->client = client;
    pipeline->out.bytes = client->request;
    pipeline->in.bytes = client->bytes;
    pipeline->out.bytes.size = pipeline->in.bytes.size = 0;
    client->request = client->bytes = (kin_buffer){0};
}

static void give_back(kin_buffer *kept, kin_buffer *borrowed)
{
    borrowed->size = 0;
    kin__client_trim(borrowed);
    *kept = *borrowed;
}

static int call_pipelined(struct kin__client *client, kin_call *calls, size_t count, kin_deadline deadline,
                          size_t *answered)
{
    struct pipeline pipeline = {.calls = calls, .count = count};
    begin(&pipeline, client);
    int rc = run(&pipeline, deadline);
    bool astray = pipeline.broken || pipeline.in_flight > 0 || kin__buffer_size(&pipeline.in) > 0;
    give_back(&client->request, &pipeline.out.bytes);
    give_back(&client->bytes, &pipeline.in.bytes);
    if (astray) kin__client_close(client);
    *answered = pipeline.answered;
    return rc;
}

static int call_in_turn(struct kin__client *client, kin_call *calls, size_t count, kin_deadline deadline,
                        size_t *answered)
{
    for (size_t i = 0; i < count; i++) {
        kin_call *call = &calls[i];
        *answered = i;
        if (is_over(deadline)) return -ETIMEDOUT;
        struct kin__arguments arguments = kin__arguments_of(call->arguments);
        call->arguments = kin_value_none();
        call->rc = kin__client_call(client, kin__proxy_ident(call->proxy), call->method, arguments,
                                    &call->result, deadline);
        /* An error of the call, or of the connection? */
        if (client->connection == NULL || client->owed) {
            int rc = call->rc;
            call->rc = 0;
            return rc;
        }
        take_error(client, call);
    }
    *answered = count;
    return 0;
}

int kin__manager_call_many(kin_manager *manager, kin_call *calls, size_t count, kin_deadline deadline)
{
    struct kin__line *line;
    size_t answered = 0;
    int rc = kin__manager_enter(manager, &line, deadline);
    if (rc == 0) {
        struct kin__client *client = &line->client;
        kin_value_clear(&client->error);
        rc = client->grace_ns > 0 ? call_in_turn(client, calls, count, deadline, &answered)
                                  : call_pipelined(client, calls, count, deadline, &answered);
        rc = kin__manager_exit(manager, line, rc, deadline);
    }
    for (size_t i = answered; rc < 0 && i < count; i++) {
        if (calls[i].rc == 0) calls[i].rc = rc;
        kin_value_clear(&calls[i].arguments);
    }
    return rc;
}
