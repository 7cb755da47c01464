/* kin/manager.h: objects that processes share through a server, on one machine or on many.
 *
 * A manager is a process that holds queues, locks, lists, dicts … and serves them to clients, each
 * through a proxy.  It speaks the protocol of Python's multiprocessing.managers: Python programs are
 * clients of a manager of kin's, and programs with kin are clients of Python's.
 *
 *     kin_manager *manager = NULL;
 *     kin_proxy *scores = NULL;
 *     kin_manager_start(&manager, NULL);                                 a process of its own
 *     kin_manager_create(manager, &scores, "dict", kin_value_none(), KIN_FOREVER);
 *     kin_proxy_call(scores, "__setitem__", kin_value_build("(si)", "Ada", 36), NULL, KIN_FOREVER);
 *     kin_proxy_close(scores);
 *     kin_manager_close(manager);                                        ends the process
 *
 * Types: Queue, JoinableQueue, Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, Barrier,
 * list, dict, set, Value, Array, Namespace, Pool, with the methods and errors of Python's; and TaskQueue, a
 * JoinableQueue from which a task that a client took and did not acknowledge by task_done goes
 * back to the front when the client is gone.  What a client holds (locks, permits, references) is
 * given back when its connection ends.
 *
 * A manager or proxy may be used by several threads, and by processes forked later: each thread,
 * and each coroutine, has a connection of its own, as in Python, and what it acquires belongs to that connection.
 */
#ifndef KIN_MANAGER_H
#define KIN_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/listener.h>
#include <kin/time.h>
#include <kin/value.h>

KIN_BEGIN

typedef struct kin_manager kin_manager;
typedef struct kin_proxy kin_proxy;

/* ---- types of one's own -------------------------------------------------------------------- */

/* A method: returns 0 (or what is positive, which means nothing more) and stores its result, or a negative code and, if
 * it likes, an exception in `*result` (kin_value_error), which begins as None.  `arguments` is a tuple and `keywords` a dict, also of what makes
 * an object and of tasks, however they were given.  It runs in the server and must not block. */
typedef int kin_manager_function(void *object, const kin_value *arguments, const kin_value *keywords,
                                 kin_value *result);

typedef struct kin_manager_method {
    const char *name;
    kin_manager_function *call;
} kin_manager_method;

/* What clients can ask for by `name`.  Either `shared` is the name of one of the types above, and
 * everybody who asks gets a proxy of one and the same object; or `methods` are those of objects that
 * `make` makes, with the arguments of the client, and `drop` frees (both may be NULL). */
typedef struct kin_manager_type {
    const char *name;
    const char *shared;
    const kin_manager_method *methods;
    size_t method_count;
    int (*make)(void **object, const kin_value *arguments, const kin_value *keywords, kin_value *exception);
    void (*drop)(void *object);
    const char *reads; /* of its methods those that change nothing, with spaces between; for permissions */
} kin_manager_type;

/* A function that clients may have run by a Pool, by its name in place of the function: pool.apply("name",
 * (1, 2)).  It runs in a worker process, and returns like a method; one that dies with its worker raises
 * ProcessError, with the cause. */
typedef int kin_manager_task_function(const kin_value *arguments, const kin_value *keywords,
                                      kin_value *result);

typedef struct kin_manager_task {
    const char *name;
    kin_manager_task_function *call;
} kin_manager_task;

/* ---- keys that may not do everything ------------------------------------------------------------- */

enum kin_manager_right {
    KIN_MAY_NOTHING,
    KIN_MAY_READ, /* use what is there, by methods that do not change it */
    KIN_MAY_WRITE /* make objects, and call every method */
};

/* What a key may do with the objects that clients create by `name`, in which * and ? stand for others, as
 * in names of files.  The calls "shutdown" (to be written), "debug_info" and "number_of_objects" (to be
 * read) of the server have names too. */
typedef struct kin_manager_permission {
    const char *name;
    enum kin_manager_right right;
} kin_manager_permission;

/* A key besides the one of the options.  The first permission whose name fits decides; where none does,
 * the key may do nothing. */
typedef struct kin_manager_credential {
    const char *name; /* for messages; NULL: none */
    const void *key;
    size_t key_size;
    const kin_manager_permission *permissions; /* NULL: everything */
    size_t permission_count;
} kin_manager_credential;

/* ---- the server ------------------------------------------------------------------------------ */

typedef struct kin_manager_options {
    const char *address; /* "tcp://127.0.0.1:5000" (port 0: any), "tcp://[::1]:0", "tls://0.0.0.0:5000",
                            "unix:/run/my.sock", "unix:@name" (abstract); NULL: an abstract name of its own */
    const void *key;     /* what clients have to know; NULL: random */
    size_t key_size;     /* not 0 with a key: that one everybody would know */
    const kin_manager_type *types; /* of the program's own */
    size_t type_count;
    size_t max_clients; /* connections at a time; 0: 10,000 */
    size_t max_message; /* bytes of a request; 0: 256 MiB */
    kin_deadline stop;  /* kin_manager_serve returns then; 0: not before it is told to */
    bool end_by_signal; /* kin_manager_serve returns on SIGTERM and SIGINT too: it installs handlers
                                 for them meanwhile */
    void (*ready)(const char *address, void *context); /* kin_manager_serve: clients can connect */
    void *context;
    const kin_manager_task *tasks; /* for Pool; they stay where they are while it serves */
    size_t task_count;
    unsigned workers; /* processes that run them, for all pools together; 0: one per usable processor */
    unsigned retries; /* how often a task whose worker died is run again */
    const kin_manager_credential *credentials; /* further keys; they stay where they are while it serves */
    size_t credential_count;
    size_t client_requests; /* of a connection, in a second: more are read later; 0: no limit */
    size_t client_bytes;    /* of requests of a connection, in a second; 0: no limit */
    size_t client_objects;  /* that a client of kin's has proxies of at a time; 0: no limit */
    size_t max_objects;     /* at a time; 0: no limit */
    const char *snapshot;   /* a file: what it holds is made when the manager starts, and the file is written
                               when it ends; NULL: none */
    int64_t
        snapshot_ns; /* it is also written at such intervals, if there were calls; 0: not, as without a file */
    unsigned silence_s; /* a client whose system does not answer for so many seconds, or that does not
                               read its answers, is given up; 0: 60 */
    /* Of TLS alone, PEM files, as in kin_listener_options; the key is proved behind them: */
    const char *certificate; /* NULL: both sides prove by the key who they are */
    const char *private_key;
    const char *authorities;
    int64_t grace_ns; /* a client of kin's whose connection broke may come back for so long, and finds what it
                         held: its calls go on as if nothing had been; 0: what it held is given back at once */
    int64_t lease_ns; /* a client that holds something and has asked for nothing for so long loses it, and its
                         connection (kin_manager_ping); 0: it may be silent */
    /* Of kin_manager_start with a certificate: what the starter, which is a client too, believes and shows, as in
     * kin_client_options: */
    const char *client_authorities; /* NULL: those of this system */
    const char *client_certificate; /* NULL: none */
    const char *client_private_key;
    const char *server_name; /* NULL: the host of the address */
} kin_manager_options;

/* kin_manager_start starts a manager in a child process and stores a handle in `*manager`; clients
 * can connect when it returns.  `options` may be NULL.  The child ends with its parent.
 * Errors: KIN_EADDRESS, KIN_EHOST, -EINVAL (a type that is none; two types of one name; two keys that are the
 * same; options: kin_process_error has the words), -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, KIN_ELIBRARY (OpenSSL's libcrypto is not installed),
 * KIN_ESNAPSHOT (the file is not whole, or has a name that is not served, or is served as another type), -EBUSY
 * (another manager has it), others of the file system (of all these kin_process_error has the words),
 * KIN_ETLS and KIN_ECERTIFICATE (kin_tls_text tells why), those of kin_process_start and, with tasks, of
 * kin_pool_open. */
KIN_API int kin_manager_start_sized(kin_manager **manager, const kin_manager_options *options, size_t size);
static inline int kin_manager_start(kin_manager **manager, const kin_manager_options *options)
{
    return kin_manager_start_sized(manager, options, sizeof(kin_manager_options));
}

/* kin_manager_serve is a manager in the calling process: it returns 0 when a client has called
 * kin_manager_shutdown, or at options->stop.  `options` needs a key.
 * Errors: those of kin_manager_start, -ENOMEM. */
KIN_API int kin_manager_serve_sized(const kin_manager_options *options, size_t size);
static inline int kin_manager_serve(const kin_manager_options *options)
{
    return kin_manager_serve_sized(options, sizeof(kin_manager_options));
}

/* ---- clients ----------------------------------------------------------------------------------- */

/* kin_manager_connect connects to a manager and stores a handle in `*manager`.
 * Errors: KIN_EAUTHENTICATION (another key), KIN_EADDRESS, KIN_EHOST, -ECONNREFUSED, -ENOENT,
 * -ECONNRESET, -ETIMEDOUT, KIN_EPROTOCOL (no manager), -EINVAL, KIN_ELIBRARY, -ENOMEM, -EMFILE. */
KIN_API int kin_manager_connect(kin_manager **manager, const char *address, const void *key, size_t key_size,
                                kin_deadline deadline);

/* kin_manager_connect_with is the same with all that a client can be told (kin/listener.h): certificates for
 * TLS above all.  The texts of `options` are copied.  Errors: also those of kin_client_open. */
KIN_API int kin_manager_connect_with_sized(kin_manager **manager, const char *address,
                                           const kin_client_options *options, size_t size,
                                           kin_deadline deadline);
static inline int kin_manager_connect_with(kin_manager **manager, const char *address,
                                           const kin_client_options *options, kin_deadline deadline)
{
    return kin_manager_connect_with_sized(manager, address, options, sizeof(kin_client_options), deadline);
}

/* kin_manager_ping asks the manager for nothing over the calling thread's connection: it is there, and hears
 * that this client is (kin_manager_options.lease_ns).  One that is not answered in time costs the thread nothing
 * that it holds.  Errors: as kin_proxy_call. */
KIN_API int kin_manager_ping(kin_manager *manager, kin_deadline deadline);

/* kin_manager_address returns the address, such as "tcp://127.0.0.1:5000"; kin_manager_key the key.
 * Both belong to the handle. */
KIN_API const char *kin_manager_address(const kin_manager *manager);
KIN_API const void *kin_manager_key(const kin_manager *manager, size_t *size);

/* kin_manager_shutdown tells the server to end, and waits for its end if this process has
 * started it; at `deadline` it is killed.  Errors: as kin_manager_connect. */
KIN_API int kin_manager_shutdown(kin_manager *manager, kin_deadline deadline);

/* kin_manager_close gives the handle up, and shuts the server down if this process has started
 * it.  Calls that other threads and coroutines are in end with KIN_ECLOSED, and so does each one later, of a proxy
 * or of the handle, which stay until the last proxy is closed (kin_manager_error says which manager it was); without a
 * proxy the handle is gone at once.  NULL is allowed.  Errors: KIN_ECLOSED.  Waits at most a second for the end of a server that this
 * process has started, which it kills then, and where a server has a time of grace and a connection to it has
 * broken, at most a second for another one, over which it tells that the client does not come back.  A server of
 * Python's is given back what methods returned and nobody made a proxy of, as much as it takes within a second. */
KIN_API int kin_manager_close(kin_manager *manager);

/* kin_manager_create makes an object of a type and stores a proxy of it in `*proxy`.  `arguments`
 * is a tuple, a dict of keywords, or None for none, and used up.
 * Errors: as kin_proxy_call. */
KIN_API int kin_manager_create(kin_manager *manager, kin_proxy **proxy, const char *type, kin_value arguments,
                               kin_deadline deadline);

/* kin_manager_proxy stores a proxy for an object that a value names: one of the kind
 * KIN_VALUE_PROXY or KIN_VALUE_TOKEN that came out of another object of this manager.  Of an object that nobody else
 * refers to it is made before another one, of the same value, is closed.
 * Errors: KIN_EKIND, as kin_proxy_call. */
KIN_API int kin_manager_proxy(kin_manager *manager, kin_proxy **proxy, const kin_value *value,
                              kin_deadline deadline);

/* kin_manager_error returns the exception that the calling thread's last call of this manager
 * failed with, or NULL.  It belongs to the handle, until that thread's next call.  Of a handle that was closed it says
 * "the manager at … was closed".  NULL as `manager` is that of the queue or lock with an address (kin/queue.h) that the thread has
 * called or opened last, until it does so again: such as "KeyError: 'jbos'" for a name that its manager has not. */
KIN_API const kin_value *kin_manager_error(kin_manager *manager);

/* ---- proxies -------------------------------------------------------------------------------------- */

/* kin_proxy_call calls a method of the object and stores what it returns in `*result`, which need
 * not be initialised and may be NULL; None after an error.  `arguments` is a tuple, a dict of
 * keywords, or None for none, and used up.  An object that it returns is a value of the kind
 * KIN_VALUE_PROXY, for kin_manager_proxy.
 * When `deadline` passes before the answer is there, the connection is given up, and with it what
 * the thread has acquired; kin_proxy_get and the like wait by the server's clock instead.  When it passes
 * while a connection is broken that may be made again (kin_manager_options.grace_ns), the thread keeps what it has acquired.
 * Errors: KIN_EREMOTE (it raised an exception; kin_manager_error returns it), KIN_EMPTY, KIN_FULL,
 * KIN_ECLOSED (queue.Empty, queue.Full, queue.ShutDown; the manager's handle was closed), -ETIMEDOUT, -ECONNRESET and -EPIPE (the
 * manager is gone), as kin_manager_connect, as kin_pickle_loads, -EINVAL. */
KIN_API int kin_proxy_call(kin_proxy *proxy, const char *method, kin_value arguments, kin_value *result,
                           kin_deadline deadline);

/* One call of several. */
typedef struct kin_call {
    kin_proxy *proxy;
    const char *method;
    kin_value arguments; /* a tuple, a dict of keywords, or None for none; used up, and None afterwards */
    kin_value result;    /* what it returned or raised, else None; the caller's to clear */
    int rc;              /* what kin_proxy_call would have returned */
} kin_call;

/* kin_proxy_call_many makes several calls, of objects of one manager, over the calling thread's connection, and does
 * not wait for an answer before it sends the next request: many small calls take one round trip.  The manager does
 * them in order; one that waits holds up those behind it, and one that fails does not.  Some 32 KiB of requests, and
 * 256 of them at most, are on their way at a time, or one that is larger; answers are read as they come.  `result`
 * and `rc` need not be initialised; kin_manager_error returns nothing of these calls.  When `deadline` passes nothing
 * more is asked for; calls that are on their way then cost the connection, as with kin_proxy_call.  Where a
 * connection may be made again (kin_manager_options.grace_ns) they go on over another one, and each is done once.
 * Returns 0 when each call has an outcome of its own, even an exception or arguments that cannot be sent.
 * Errors, which are also the `rc` of the calls that were not answered, but of those whose arguments could not be
 * sent (those on their way may have been done all the same, in order from the first; it is not known how many):
 * -ETIMEDOUT, -ECONNRESET, -EPIPE, -ENOMEM, others of kin_proxy_call; -ECANCELED in a coroutine that was cancelled,
 * whatever was answered; before the first call is made: -EINVAL (NULL, objects of two managers). */
KIN_API int kin_proxy_call_many(kin_call *calls, size_t count, kin_deadline deadline);

/* kin_proxy_put and kin_proxy_get put a value, which is used up, into a queue, and take one out,
 * waiting until `deadline`.  Errors: KIN_FULL, KIN_EMPTY, KIN_ECLOSED, as kin_proxy_call. */
KIN_API int kin_proxy_put(kin_proxy *queue, kin_value item, kin_deadline deadline);
KIN_API int kin_proxy_get(kin_proxy *queue, kin_value *item, kin_deadline deadline);

/* kin_proxy_acquire acquires a lock, semaphore or condition, waiting until `deadline`.  It returns 0, or
 * KIN_OWNER_DIED if the client that had it is gone without having released it (a manager of
 * Python's never says so, and waits).  kin_proxy_release releases it, for which it tries for ten seconds, and where
 * connections may be made again for their time of grace and a second, if that is longer.
 * Errors: -ETIMEDOUT, as kin_proxy_call. */
KIN_API int kin_proxy_acquire(kin_proxy *lock, kin_deadline deadline);
KIN_API int kin_proxy_release(kin_proxy *lock);

/* kin_proxy_value returns a value that names the object: in an argument of a call it puts the
 * object into another one. */
KIN_API kin_value kin_proxy_value(kin_proxy *proxy);

/* kin_proxy_close gives a proxy up, before or after its manager.  The object lives as long as somebody has one.
 * NULL is allowed.
 * Waits up to a second for a server that does not answer. */
KIN_API int kin_proxy_close(kin_proxy *proxy);

KIN_END
#endif
