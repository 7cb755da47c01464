/* kin/worker.h: workers of a pool that is in another program, on this machine or on another.
 *
 *     the pool's program                              a worker's, on any number of machines
 *     kin_pool_open(&pool, &(kin_pool_options){       static int square(const int *in, long *out) …
 *         .address = "tcp://0.0.0.0:5000",            KIN_MAP(square, int, long)
 *         .listener = &with_key});                    KIN_TASK(square)
 *     kin_pool_map(pool, KIN_FN(square), …);          …
 *                                                     kin_worker_serve("tcp://master:5000",
 *                                                         &(kin_worker_options){.client = &with_key});
 *
 * A task goes there by the name of its function, with its argument as bytes: pointers mean nothing
 * there.  Workers come and go at any time.  A task whose worker is lost is run again by another,
 * within the retries that it has; one that had not begun is not charged for it.
 *
 * `kin worker` is the same from the command line, with functions from shared objects. */
#ifndef KIN_WORKER_H
#define KIN_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include <kin/event.h>
#include <kin/listener.h>
#include <kin/pool.h>

KIN_BEGIN

/* KIN_TASK(function), in a source file after KIN_MAP or KIN_BYTES, makes a function of tasks known by
 * its name to kin_worker_serve. */
typedef struct kin_task {
    const kin_function *function;
    struct kin_task *next;
} kin_task;
#define KIN_TASK(function) \
    __attribute__((constructor)) static void function##__kin_task(void) \
    { \
        static kin_task task = {&function##__kin, NULL}; \
        kin_task_register(&task); \
    }

/* kin_task_register is what KIN_TASK calls: `task` stays.  A later one of the same name hides the
 * earlier.  Before kin_worker_serve; not while other threads do the same.  Does not block.
 * Errors: none. */
KIN_API void kin_task_register(kin_task *task);

typedef struct kin_worker_options {
    /* The key, and for TLS the certificates; NULL: none. */
    const kin_client_options *client;
    unsigned workers;    /* tasks at a time; 0: as many as processors this process may use */
    int64_t patience_ns; /* how long to try while the pool has welcomed none of them; 0: 10 seconds */
    kin_event *stop;     /* when it is set: finish what was begun, and return; NULL: none */
} kin_worker_options;

/* kin_worker_serve runs tasks for the pool at `address` until the pool is closed, in `workers` processes
 * of its own, and returns 0.  When the connection ends in another way what runs for it is ended, and
 * it connects again, for as long as its patience lasts; that does not end while one of its connections is
 * welcome to the pool, which may have no place for the others yet.  Blocks; uses threads of its own.
 * Errors: those of kin_client_open, when the patience is over (KIN_EAUTHENTICATION at once), and of
 * kin_pool_open; KIN_EPROTOCOL (there is no pool at this address, or one of another version); KIN_EBROKEN (the supervisor
 * of the workers here was killed);
 * -EINVAL (NULL, absurd options), KIN_ECLOSED (of `stop`). */
KIN_API int kin_worker_serve_sized(const char *address, const kin_worker_options *options, size_t size);
static inline int kin_worker_serve(const char *address, const kin_worker_options *options)
{
    return kin_worker_serve_sized(address, options, sizeof(kin_worker_options));
}

KIN_END
#endif
