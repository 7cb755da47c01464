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
 * - Requests stay in `out` until they are answered.  With a time of grace a connection that breaks is made again; the
 *   server says how many requests it has done, sends the answers to these again, and gets the others again.  It keeps
 *   the answers to FLIGHT_MOST requests: so many are in flight, and fewer where their answers are large.  One that
 *   does not know that keeps the last answer, and gets one request at a time.
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
#define FLIGHT_MOST  KIN__WIRE_WINDOW

/* Of answers to those, which the server keeps for a client that may come back. */
#define ANSWERS_BYTES ((size_t)1 << 20)

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
    uint64_t number;           /* the client's, of the first request that is not answered */
    size_t in_flight;          /* bytes of requests that are sent and not answered */
    size_t sizes[FLIGHT_MOST]; /* of the requests, by the number of the call; 0: there is none */
    size_t largest;            /* of the answers so far */
    struct kin__buffer out;    /* requests that are made and not answered */
    struct kin__buffer in;     /* answers that are received and not read */
    bool broken;               /* the connection is not to be used again, whatever was answered */
    bool broke;                /* it did, and was made again if that could be done */
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

/* How many may be in flight, where the answers are as large as those before. */
static size_t flight_most(const struct pipeline *pipeline)
{
    size_t most = FLIGHT_MOST;
    if (pipeline->client->grace_ns > 0 && !pipeline->client->keeps) return 1;
    if (pipeline->client->grace_ns > 0 && pipeline->largest > ANSWERS_BYTES / FLIGHT_MOST)
        most = ANSWERS_BYTES / pipeline->largest;
    return most > 0 ? most : 1;
}

/* Sends as many requests as may be in flight, once half of those are answered. */
static int send_requests(struct pipeline *pipeline, kin_deadline deadline)
{
    size_t batch = 0, before = pipeline->in_flight, most = flight_most(pipeline);
    if (pipeline->sent == pipeline->count || pipeline->in_flight > FLIGHT_BYTES / 2 ||
        pipeline->sent - pipeline->answered > most / 2)
        return 0;
    if (is_over(deadline)) return -ETIMEDOUT;
    while (pipeline->sent < pipeline->count && pipeline->sent - pipeline->answered < most) {
        if (pipeline->made == pipeline->sent) make_request(pipeline);
        size_t size = pipeline->sizes[pipeline->sent % FLIGHT_MOST];
        if (pipeline->in_flight > 0 && pipeline->in_flight + size > FLIGHT_BYTES) break;
        pipeline->in_flight += size;
        pipeline->sent++;
        batch += size;
    }
    if (batch == 0) return 0;
    int rc = kin__framed_send_frames(pipeline->client->connection, kin__buffer_start(&pipeline->out) + before,
                                     batch, deadline);
    /* Part of a request may be on its way. */
    pipeline->broken = rc < 0;
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
            size_t answer = (size_t)header + (size_t)size;
            kin__buffer_consume(&pipeline->in, answer, KIN__CLIENT_KEPT_MOST);
            kin__buffer_consume(&pipeline->out, request, KIN__CLIENT_KEPT_MOST);
            if (pipeline->largest < answer) pipeline->largest = answer;
            pipeline->in_flight -= request;
            pipeline->number++;
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
    if (pipeline->client->connection == NULL) return -ECONNRESET;
    long header = look(&pipeline->in, &size);
    if (header < 0) return (int)header;
    if (header > 0 && size > kin__buffer_size(&pipeline->in) - (size_t)header + room)
        room = (size_t)size - (kin__buffer_size(&pipeline->in) - (size_t)header);
    int rc = kin__buffer_reserve(&pipeline->in, room);
    if (rc < 0) return rc;
    long got = kin__framed_receive_bytes(pipeline->client->connection, bytes->data + bytes->size,
                                         bytes->capacity - bytes->size, deadline);
    if (got < 0) return kin__client_gone(got);
    bytes->size += (size_t)got;
    return 0;
}

/* ---- a connection that broke ------------------------------------------------------------------------------ */

/* Those that the server has not done are to be sent again. */
static int rewind_requests(struct pipeline *pipeline)
{
    uint64_t answered = (uint64_t)pipeline->client->answered;
    size_t first = pipeline->answered;
    pipeline->in_flight = 0;
    if (answered + 1 < pipeline->number) return KIN_EPROTOCOL;
    for (uint64_t done = answered + 1 - pipeline->number; done > 0; first++) {
        if (first == pipeline->sent) return KIN_EPROTOCOL;
        size_t size = pipeline->sizes[first % FLIGHT_MOST];
        pipeline->in_flight += size;
        done -= size > 0;
    }
    pipeline->sent = first;
    return 0;
}

/* `rc`, or 0 when the calls go on over a connection that has been made again. */
static int come_back(struct pipeline *pipeline, int rc, kin_deadline deadline)
{
    struct kin__client *client = pipeline->client;
    if (!kin__client_comes_back(client, rc, deadline, &pipeline->broke)) return rc;
    /* Part of an answer, which comes again. */
    kin__buffer_consume(&pipeline->in, kin__buffer_size(&pipeline->in), KIN__CLIENT_KEPT_MOST);
    client->number = pipeline->number;
    rc = kin__client_come_back(client, deadline);
    if (rc == 0) rc = rewind_requests(pipeline);
    if (rc == 0) pipeline->broken = false;
    return rc;
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
        if (rc < 0) rc = come_back(pipeline, rc, deadline);
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
    /* Whoever came back has received in the meantime. */
    kin_buffer_free(kept);
    *kept = *borrowed;
}

/* Where clients come back the server has to know that several answers may be missed. */
static int prepare(struct kin__client *client, kin_deadline deadline)
{
    kin_value ignored;
    if (client->grace_ns <= 0 || client->keeps) return 0;
    struct kin__arguments arguments = {.positional = kin_value_build("(i)", FLIGHT_MOST)};
    int rc = kin__client_call(client, NULL, KIN__WIRE_KEEP, arguments, &ignored, deadline);
    client->keeps = rc == 0;
    kin_value_clear(&ignored);
    if (rc != KIN_EREMOTE) return rc;
    kin_value_clear(&client->error);
    return 0;
}

static int call_all(struct kin__client *client, kin_call *calls, size_t count, kin_deadline deadline,
                    size_t *answered)
{
    struct pipeline pipeline = {.calls = calls, .count = count, .number = client->number + 1};
    begin(&pipeline, client);
    int rc = run(&pipeline, deadline);
    bool astray = pipeline.broken || pipeline.in_flight > 0 || kin__buffer_size(&pipeline.in) > 0;
    give_back(&client->request, &pipeline.out.bytes);
    give_back(&client->bytes, &pipeline.in.bytes);
    *answered = pipeline.answered;
    client->number = pipeline.number - !astray;
    return astray ? kin__client_fail(client, rc, pipeline.broke, deadline) : rc;
}

int kin__manager_call_many(kin_manager *manager, kin_call *calls, size_t count, kin_deadline deadline)
{
    struct kin__line *line;
    size_t answered = 0;
    int rc = kin__manager_enter(manager, &line, deadline);
    if (rc == 0) {
        struct kin__client *client = &line->client;
        kin_value_clear(&client->error);
        rc = prepare(client, deadline);
        if (rc == 0) rc = call_all(client, calls, count, deadline, &answered);
        rc = kin__manager_exit(manager, line, rc, deadline);
    }
    for (size_t i = answered; rc < 0 && i < count; i++) {
        if (calls[i].rc == 0) calls[i].rc = rc;
        kin_value_clear(&calls[i].arguments);
    }
    return rc;
}
