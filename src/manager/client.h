/* client.h: one connection to a manager, as a client has it: requests out, answers in.
 *
 * A connection is used by one thread at a time.  All zero is one that is not connected.  Where the server lets
 * clients come back (manager/absence.h), one that broke during a call is made again and the call goes on.
 */
#ifndef KIN_MANAGER_CLIENT_H
#define KIN_MANAGER_CLIENT_H

#include <errno.h>
#include <stdbool.h>

#include <kin/connection.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/pickle.h>
#include <kin/time.h>
#include <kin/value.h>

#include "ipc/breaker.h"
#include "manager/gifts.h"

/* What a method is called with; either may be None for none. */
struct kin__arguments {
    kin_value positional; /* a tuple */
    kin_value keywords;   /* a dict */
};

#define KIN__CLIENT_NAME_SIZE 33

/* What a connection reads into at first, and the most memory that it keeps for the next message. */
#define KIN__CLIENT_KEPT      ((size_t)16 * 1024)
#define KIN__CLIENT_KEPT_MOST (4 * KIN__CLIENT_KEPT)

static inline void kin__client_trim(kin_buffer *bytes)
{
    if (bytes->capacity > KIN__CLIENT_KEPT_MOST) kin_buffer_free(bytes);
}

/* Whoever leaves over a new connection, for the one it had is broken, tries for so long. */
#define KIN__LEAVE_MS 1000

struct kin__client {
    kin_connection *connection;   /* NULL: not connected */
    struct kin__breaker *breaker; /* NULL, or the owner's, which holds it */
    struct kin__gifts *gifts;     /* NULL, or the owner's, for those of a server of Python's */
    bool kin;                     /* the server is kin's: it takes server calls over this connection too */
    const char *address;          /* where to, and how; they stay */
    const kin_client_options *options;
    kin_buffer request;               /* that is in work */
    kin_buffer bytes;                 /* that were received */
    kin_value error;                  /* what the last call raised, or None */
    char name[KIN__CLIENT_NAME_SIZE]; /* random: which client this is */
    uint64_t number;                  /* of requests so far */
    int64_t answered; /* … of which the server said so when it was told the name; -1: unknown */
    int64_t grace_ns; /* for so long it may come back; 0: it may not */
    bool resumed;     /* it has; for the owner */
    bool patient;     /* the owner's: a call that is given up leaves the connection as it is … */
    bool keeps;       /* the server has been asked to keep answers to several requests */
    bool sent;        /* the request in work is on its way */
    bool owed; /* … and so is its answer, to which nobody listens any more; perhaps without a connection */
    bool forsaken; /* … nor need it be done if it has not been */
};

void kin__arguments_clear(struct kin__arguments *arguments);
/* Uses `given` up: a tuple, a dict of keywords, or None. */
struct kin__arguments kin__arguments_of(kin_value given);
/* (ident, method, arguments, keywords); uses the arguments up. */
kin_value kin__request(const char *ident, const char *method, struct kin__arguments arguments);

void kin__client_close(struct kin__client *client);
/* What it was, to leave with.  What stays is not connected, and keeps only what the last call raised, which somebody
 * may be reading. */
struct kin__client kin__client_take(struct kin__client *client);
/* Tells the server that this client does not come back; then it is to be closed.  Nobody breaks that.  Over a connection that stands
 * it does not wait; where that has broken and the server waits for the client it makes one until
 * `deadline`, unless that is KIN_NOW. */
void kin__client_leave(struct kin__client *client, kin_deadline deadline);
/* Both, even of one who is cancelled. */
void kin__client_end(struct kin__client *client, kin_deadline deadline);

/* Connects and authenticates.  Errors: see kin_manager_connect_with. */
int kin__client_connect(struct kin__client *client, const char *address, const kin_client_options *options,
                        kin_deadline deadline);
/* Makes it a connection for object calls, and learns whether the server is kin's. */
int kin__client_accept(struct kin__client *client, kin_deadline deadline);

/* Sends a request and waits for its answer.  `ident` NULL: a server call.  The arguments are used
 * up.  After a failure of the connection, which an answer that does
 * not come in time is too unless the client is patient, it is closed.  Nothing may be `owed`.
 * Errors: see kin_proxy_call. */
int kin__client_call(struct kin__client *client, const char *ident, const char *method,
                     struct kin__arguments arguments, kin_value *result, kin_deadline deadline);
/* As kin__client_call: gives up a reference of the object. */
int kin__client_decref(struct kin__client *client, const char *ident, kin_deadline deadline);
/* Gets the answer that is owed: the same; 1: the server has not done it, and will not. */
int kin__client_settle(struct kin__client *client, kin_value *result, kin_deadline deadline);
/* Requests in work came to that error: did the connection break, and does the client come back, in that time?  It
 * does so by kin__client_come_back: `number` says which is the first that has no answer; then the answers to those up
 * to `answered` come again, and the others have not been done.  Errors: -ETIMEDOUT, -ECANCELED; others, after which
 * the server does not know the client. */
bool kin__client_comes_back(const struct kin__client *client, int rc, kin_deadline deadline, bool *broke);
int kin__client_come_back(struct kin__client *client, kin_deadline deadline);
/* A call, or several of which `number` is the first without an answer, came to nothing, by `rc`, perhaps after the
 * connection broke: what becomes of the client.  Returns what the caller is told. */
int kin__client_fail(struct kin__client *client, int rc, bool broke, kin_deadline deadline);

/* However the server has gone, its callers are told so by one error. */
static inline int kin__client_gone(long rc)
{
    return rc == KIN_ECLOSED || rc == KIN_ETRUNCATED ? -ECONNRESET : (int)rc;
}

/* What an answer says: its result, or in client->error what was raised.  Errors: see kin_proxy_call. */
int kin__client_read(struct kin__client *client, const void *message, size_t size, kin_value *result);
/* What was called last, by which method and with what, borrowed from `*request`, which is to be cleared. */
int kin__client_request(const struct kin__client *client, kin_value *request, const char **method,
                        const kin_value **arguments);

#endif
