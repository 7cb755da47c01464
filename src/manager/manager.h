/* manager.h: a client's handle of a manager, as proxies use it. */
#ifndef KIN_MANAGER_MANAGER_H
#define KIN_MANAGER_MANAGER_H

#include <stdatomic.h>

#include <kin/local.h>
#include <kin/manager.h>
#include <kin/process.h>

#include "manager/client.h"
#include "manager/line.h"
#include "manager/wire.h"
#include "os/network.h"

/* A reference that was given up while the server did not listen: it is told so later. */
struct kin__dropped {
    struct kin__dropped *next;
    unsigned era; /* of the manager's, then */
    char ident[];
};

struct kin_manager {
    char address[KIN__ADDRESS_SIZE];
    uint8_t *key;
    size_t key_size;
    kin_client_options options;         /* how to connect; what it points to is this handle's */
    char *texts;                        /* … that */
    _Atomic bool kin;                   /* the server is kin's … */
    _Atomic int64_t grace_ns;           /* … and lets clients come back for so long */
    kin_process *server;                /* NULL: not started by this handle */
    int starter;                        /* the process that started it */
    struct kin__address socket_address; /* of that server */
    uint64_t socket_file;               /* see kin__os_socket_file; 0: none */
    kin_local *line;                    /* of each thread and coroutine */
    _Atomic(struct kin__line *) lines;  /* all of them; grows only, those that are not used are used again */
    struct kin__line control;           /* its turn is for one short call at a time */
    struct kin__gifts gifts;            /* the server's, if it is Python's */
    _Atomic(struct kin__dropped *) dropped;
    _Atomic unsigned era; /* which control line it is: with each end all references */
    /* The control line may have broken, and has to be made again: from then on.  0: it need not. */
    _Atomic kin_deadline doubtful;
    kin_manager *next; /* of those that have been connected; under that list's turn, as `listed` */
    bool listed;
    _Atomic bool closed; /* by kin_manager_close: nobody connects any more */
    _Atomic unsigned
        users; /* the handle until then, proxies, and calls of the handle; the last one frees all */
};

/* A use more; and less. */
static inline void kin__manager_use(kin_manager *manager)
{
    atomic_fetch_add_explicit(&manager->users, 1, memory_order_relaxed);
}
void kin__manager_disuse(kin_manager *manager);

/* What a function begins with that is given a manager by the program, and ends with.  -EINVAL: NULL; KIN_ECLOSED. */
int kin__manager_begin(kin_manager *manager);
int kin__manager_end(kin_manager *manager, int rc);

/* A handle that is not connected; connecting its control line; closing it, whatever became of its
 * server; and before that, by who has set `closed`, telling the server to end. */
int kin__manager_make(kin_manager **made, const char *address, const kin_client_options *options);
int kin__manager_connect(kin_manager *manager, kin_deadline deadline);
void kin__manager_close(kin_manager *manager);
int kin__manager_stop(kin_manager *manager, kin_deadline deadline);

/* The calling thread's connection stands and is used by nobody else, until it is left.  Errors, after which it is not
 * entered: see kin_proxy_call.  `rc` is what has become of the call; what it is for the caller is returned. */
int kin__manager_enter(kin_manager *manager, struct kin__line **entered, kin_deadline deadline);
int kin__manager_exit(kin_manager *manager, struct kin__line *line, int rc, kin_deadline deadline);

/* Calls of objects of the manager, over that connection; see kin_proxy_call_many. */
int kin__manager_call_many(kin_manager *manager, kin_call *calls, size_t count, kin_deadline deadline);

/* A call of an object, over the calling thread's connection; a call of the server.  `arguments` are
 * used up; `result` is None after an error.  Errors: see kin_proxy_call.  Whoever sets `ended` and then breaks
 * the calls that were given it ends them with KIN_ECLOSED. */
int kin__manager_call(kin_manager *manager, const char *ident, const _Atomic bool *ended, const char *method,
                      struct kin__arguments arguments, kin_value *result, kin_deadline deadline);
void kin__manager_break(kin_manager *manager, const _Atomic bool *ended);
int kin__manager_server_call(kin_manager *manager, const char *method, struct kin__arguments arguments,
                             kin_value *result, kin_deadline deadline);

/* Is the server kin's? */
static inline bool kin__manager_is_kin(const kin_manager *manager)
{
    return atomic_load_explicit(&manager->kin, memory_order_relaxed);
}

/* For connecting, and for calls that are answered at once. */
#define KIN__CALL_SECONDS 10

/* Until then a call without a deadline of its own tries: while the connection is broken as long as it may be made again,
 * so that its failure says that the server has given back what we had. */
static inline kin_deadline kin__manager_soon(const kin_manager *manager)
{
    kin_deadline usual = kin_in_s(KIN__CALL_SECONDS);
    int64_t grace_ns = atomic_load_explicit(&manager->grace_ns, memory_order_relaxed);
    kin_deadline back = grace_ns > 0 ? kin__later(kin_in_s(1), grace_ns) : 0;
    return back > usual ? back : usual;
}

/* Does the object have that method, by what the server said of it? */
bool kin__proxy_has(const kin_proxy *proxy, const char *method);

/* Ends the calls of it that others wait for, and each further one, with KIN_ECLOSED. */
void kin__proxy_end(kin_proxy *proxy);

/* What the server calls the object. */
const char *kin__proxy_ident(const kin_proxy *proxy);

/* As kin_queue_join. */
int kin__proxy_join(kin_proxy *queue, kin_deadline deadline);

#endif
