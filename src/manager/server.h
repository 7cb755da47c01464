/* server.h: the manager's server, as its files see it.
 *
 * One process, one thread, one event loop.  A *session* is one connection of a client.  An
 * *object* is what clients share: a queue, a lock, a list …; its *type* is a table of methods.
 * A method answers at once, or *parks* the request of its session: the session stands in a list
 * of the object until another session's call, its own deadline or its end takes it out.  A
 * session has at most one request in work, so what is parked is the session.
 *
 * Invariants.
 * - Nothing waits but the loop.  What one call sets going in other sessions (answers to those that
 *   were parked) is sent at once; what they asked for next is looked at when the call is over.
 * - What a session holds (locks, references) stands in lists of the session; its end gives all back.
 * - No session ends while another is being answered: what is to end is doomed until the callback is over.
 * - An object lives while its count of references is not zero: clients, containers that hold its
 *   proxy, parked requests, holdings and other objects each have theirs.
 */
#ifndef KIN_MANAGER_SERVER_H
#define KIN_MANAGER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <kin/container.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/value.h>

#include "base/links.h"
#include "ipc/offenders.h"
#include "manager/buffer.h"
#include "manager/wire.h"
#include "os/network.h"

struct kin__server;
struct kin__session;
struct kin__managed;
struct kin__call;
struct kin__challenge;
struct kin__challenge_key;
struct kin__tasks;
struct kin__tls;
struct kin__tls_context;
struct kin__snapshots;

/* ---- types and objects ------------------------------------------------------------------- */

/* What a method has done with a call. */
enum kin__outcome {
    KIN__RETURN,  /* call->result is to be returned */
    KIN__RAISE,   /* call->result is the exception to be raised */
    KIN__CREATED, /* call->created is a new object, of which the client gets a proxy */
    KIN__PARKED   /* the session waits */
};

typedef enum kin__outcome kin__method_function(struct kin__call *call);

#define KIN__PARAMETERS 6

/* What a method of Python's is, which decides whether it takes keywords, and what it says of arguments that
 * do not fit. */
enum kin__convention {
    KIN__PYTHON,        /* written in Python */
    KIN__FUNCTION,      /* … and no method of a class */
    KIN__BUILTIN,       /* of a built-in type: takes no keywords */
    KIN__SLOT,          /* … behind an operator */
    KIN__SLOT_UNPACKED, /* … which Python hands a tuple of arguments */
    KIN__KEYWORDS,      /* built in, with keywords */
    KIN__KEYWORDS_ONLY  /* … and with nothing else */
};

/* `parameters` are Python's names of them, such as "block timeout", of which the first `required`
 * must be given; NULL: the method reads call->arguments and call->keywords itself. */
struct kin__method {
    const char *name;
    kin__method_function *function;
    const char *parameters;
    unsigned required;
    enum kin__convention convention;
};

/* Of the user's own types too: there `user` is set. */
struct kin__type {
    const char *name;  /* what clients create it by */
    const char *class; /* whose methods Python says it has; NULL: those of its name */
    size_t size;       /* of its objects, which begin with a kin__managed */
    /* Sets up call->object, zeroed but for its kin__managed, from the arguments: KIN__RETURN (the
     * result does not matter), or KIN__RAISE with nothing left to be undone. */
    struct kin__method make;
    void (*drop)(struct kin__server *server, struct kin__managed *object); /* before it is freed; or NULL */
    kin_value (*copy)(struct kin__call *call); /* what #GETVALUE returns; NULL: it cannot be copied */
    kin_value (*text)(struct kin__call *call); /* what it prints as; NULL: as its copy */
    const struct kin__method *methods;         /* the last one has no name */
    const char *reads; /* those that change nothing, with spaces between; NULL: none */
    /* What it is made with, and its state, for a snapshot: None for nothing.  NULL: it is not kept. */
    void (*save)(struct kin__managed *object, kin_value *arguments, kin_value *state);
    /* The state of an object that was made with these arguments: 0, -ENOMEM or KIN_ESNAPSHOT. */
    int (*restore)(struct kin__call *call, const kin_value *state);
    bool unnamed; /* made by methods, not by clients */
    const kin_manager_type *user;
};

struct kin__managed {
    const struct kin__type *type;
    uint64_t number;           /* random; its name on the wire is this in base 32 */
    uint64_t references;       /* of all kinds */
    uint64_t counted;          /* of these, what clients have counted, and may count down again */
    struct kin__managed *next; /* in its bucket */
    struct kin__links lent;    /* to whom */
};

/* A method that a type was found to have, for the next who asks: most calls are of a few methods. */
struct kin__known {
    const struct kin__type *type;
    const struct kin__method *method;
};
#define KIN__KNOWN 64

struct kin__registry {
    struct kin__managed **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    struct kin__managed *dead; /* not in a bucket any more, still to be dropped */
    bool dropping;
};

/* What clients of kin's refer to (reference.c). */
struct kin__references {
    void **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

/* ---- sessions -------------------------------------------------------------------------------- */

enum kin__stage {
    KIN__AUTHENTICATING, /* nothing but the handshake is looked at */
    KIN__REFUSED,        /* has another key: is told so after a while */
    KIN__FIRST,          /* the next request is a server call, and the last */
    KIN__CALLS,          /* object calls */
    KIN__ENDED           /* in no list any more; its memory goes with the loop's last callback */
};

/* The request of a session that is parked.  `object` and `other` are references. */
struct kin__wait {
    struct kin__links link;                          /* in a list of `object` */
    struct kin__managed *object;                     /* NULL: not parked */
    void (*timed_out)(struct kin__session *session); /* answers */
    void (*abandoned)(struct kin__session *session); /* the client is gone; may be NULL */
    /* What the type notes about it. */
    kin_value item;
    struct kin__managed *other;
    unsigned count;
    bool flag;
};

/* So much of an object is held by a session: levels of a lock, permits of a semaphore. */
struct kin__holding {
    struct kin__links in_session;
    struct kin__links in_object;
    struct kin__session *session;
    struct kin__managed *object;                                                 /* a reference */
    void (*give_back)(struct kin__server *server, struct kin__holding *holding); /* at the session's end */
    unsigned count;
};

#define KIN__IDENTITY_SIZE 33

/* Of a client that may come back after its connection broke (absence.c). */
struct kin__identity {
    char name[KIN__IDENTITY_SIZE];
    bool tells;              /* the next answer is that to the name */
    size_t repeats;          /* … and behind it come so many of the last ones again */
    uint64_t answered;       /* requests, so far */
    struct kin__buffer last; /* answers, as they went out */
    size_t kept;             /* how many those are */
    size_t window;           /* … at most: of how many requests the client may miss the answers */
    uv_timer_t timer;        /* the end of its time of grace */
};

struct kin__session {
    struct kin__server *server;
    struct kin__links link;    /* in server->sessions, or strangers, or away */
    struct kin__links resumed; /* in server->resumed, or in server->waiting, or in server->silent */
    struct kin__links doomed;  /* in server->doomed */
    struct kin__links holdings;
    struct kin__links references; /* of a client of kin's: gone with it */
    struct kin__links lent;       /* of these, what answers have named; what was named longest ago first */
    size_t lent_count;
    uint64_t answers; /* so far */
    uint64_t process; /* the client's, by its name; 0: it has told none */
    uv_poll_t poll;
    uv_timer_t timer;      /* the deadline of the handshake, or of what is parked */
    unsigned open_handles; /* of these two, and that of `identity` while the client is away */
    int descriptor;
    uint64_t network; /* where it comes from (kin__os_address_network) */
    int events;       /* that are polled for */
    enum kin__stage stage;
    bool ending;          /* ends when all answers are sent */
    bool stranger;        /* has not proved yet that it knows a key */
    bool secured;         /* TLS has begun */
    bool gone;            /* the client has hung up: what it asked for is done, but nothing is taken for it */
    bool left;            /* … and has said that it does not come back */
    bool placed;          /* has one of the places that there are for clients */
    bool waits;           /* … or waits for one, and has asked for something */
    struct kin__tls *tls; /* NULL: nothing is encrypted */
    bool paused;          /* has asked for as much as it may in this second */
    size_t key;           /* which it has shown */
    uint64_t second;      /* the loop's time at which the counts below began */
    size_t requests;
    size_t bytes;
    uint64_t begun; /* the loop's time at which it was accepted */
    uint64_t heard; /* the loop's time at which something came, or the last of an answer went */
    struct kin__identity *identity;   /* NULL: what it holds ends with the connection */
    size_t objects;                   /* references of a client of kin's own */
    bool kin;                         /* a client of kin's: it makes server calls over this connection too */
    struct kin__challenge *challenge; /* while authenticating */
    struct kin__buffer input;         /* what has come and could not be worked on yet */
    struct kin__buffer output;        /* what could not be sent yet */
    struct kin__wait wait;
};

struct kin__call {
    struct kin__server *server;
    struct kin__session *session;
    struct kin__managed *object;
    const struct kin__method *method;
    const kin_value *arguments; /* a tuple or list */
    const kin_value *keywords;  /* a dict */
    size_t skip;                /* so many of the arguments do not count */
    bool has_proxies;           /* there may be some in the arguments */
    bool leaves;                /* the result was kept by the object (kin__keep), and is no more */
    kin_value result;
    struct kin__managed *created;               /* a reference */
    const kin_value *argument[KIN__PARAMETERS]; /* by the method's parameters; NULL: not given */
};

/* ---- the server -------------------------------------------------------------------------------- */

#define KIN__SCRATCH ((size_t)64 * 1024)

struct kin__server {
    uv_loop_t loop;
    uv_poll_t listener;
    uv_timer_t again;       /* accepting goes on after descriptors were short */
    uv_timer_t stop;        /* options->stop */
    uv_signal_t signals[2]; /* SIGTERM and SIGINT */
    bool end_by_signal;
    void (*ready)(const char *address, void *context); /* or NULL */
    void *context;
    bool accepting; /* `listener` is polled */
    bool stopping;
    int descriptor; /* of the listener */
    struct kin__address socket_address;
    uint64_t socket_file; /* see kin__os_socket_file; 0: none */
    char address[KIN__ADDRESS_SIZE];
    struct kin__tls_context *tls; /* NULL: nothing is encrypted */
    bool tls_proves;              /* … and by it both sides prove that they have the key */
    struct kin__challenge_key *keys;
    size_t key_count;
    bool has_own_key;                          /* the first key is the one without restrictions */
    const kin_manager_credential *credentials; /* of the others */
    kin_deadline stop_at;                      /* 0: never */
    struct kin__type *types;                   /* the user's */
    struct kin__managed **shared;              /* for each of these, the one object, or NULL */
    size_t type_count;
    const kin_manager_task *functions; /* the user's, for Pool */
    size_t task_count;
    unsigned workers;
    unsigned retries;
    char *snapshot;    /* its file, or NULL */
    int snapshot_lock; /* that it is this server's; -1: it is not */
    int64_t snapshot_ns;
    struct kin__snapshots *snapshots; /* NULL: none are written at intervals */
    uint64_t calls;                   /* that changed something, or may have, so far */
    struct kin__tasks *tasks;         /* NULL: there are no functions */
    struct kin__links pools;          /* Pools that have tasks to hand out to the workers, in turn */
    struct kin__registry registry;
    struct kin__references references;
    struct kin__links strangers; /* sessions that are authenticating, oldest first */
    struct kin__links sessions;  /* the others */
    struct kin__links away;      /* without a connection: they may come back; oldest first */
    size_t away_count;
    size_t away_bytes; /* of their last answers */
    int64_t grace_ns;
    int64_t lease_ns;
    uv_timer_t leases;
    uint64_t leases_seen;      /* the loop's time at which they were looked at last */
    struct kin__links resumed; /* were parked, are answered, and may have asked for more */
    struct kin__links doomed;  /* are to be ended when the callback is over */
    struct kin__links waiting; /* wait for a place, and have asked for something; who asked first is first */
    struct kin__links silent;  /* have no place and have asked for nothing; who came first is first */
    size_t session_count;      /* of strangers and the others */
    size_t session_most;       /* places */
    size_t placed;             /* how many are taken; more while some came back without one */
    size_t stranger_count;
    uint64_t message_most; /* bytes */
    size_t request_most;   /* of a session in a second; 0: no limit */
    size_t byte_most;
    size_t reference_most; /* of a session at a time; 0: no limit */
    size_t object_most;    /* at a time; 0: no limit */
    unsigned silence_s;
    uint64_t refusal_second;         /* the loop's time at which the counts below began */
    unsigned refusals;               /* that were logged since */
    unsigned long unlogged;          /* … and that were not */
    struct kin__offenders offenders; /* who has failed to authenticate */
    size_t kept_proxies;             /* in values that objects hold */
    struct kin__known known[KIN__KNOWN];
    struct kin__buffer out; /* answers for out_owner that are not sent yet */
    struct kin__session *out_owner;
    uint8_t scratch[KIN__SCRATCH]; /* what has just come */
    uint8_t sealed[KIN__SCRATCH];  /* … as TLS had it */
};

/* Makes a server that listens.  Clients wait until it runs, which may be in a child forked
 * afterwards.  Errors: see kin_manager_start. */
int kin__server_open(struct kin__server **server, const kin_manager_options *options);
/* Where it listens, with the port that was taken. */
const char *kin__server_address(const struct kin__server *server);
/* Serves until it is told to stop.  Errors: -ENOMEM, -EMFILE. */
int kin__server_run(struct kin__server *server);
/* Frees a server that does not run; `remove`: and the file of its socket. */
void kin__server_close(struct kin__server *server, bool remove);

/* A session has ended: accepting may go on. */
void kin__server_make_room(struct kin__server *server);

#endif
