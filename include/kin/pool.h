/* kin/pool.h: a pool of worker processes.
 *
 *     static int square(const int *in, long *out) { *out = (long)*in * *in; return 0; }
 *     KIN_MAP(square, int, long)               // typed: a wrong signature does not compile
 *     …
 *     kin_pool *pool = NULL;
 *     int rc = kin_pool_open(&pool, NULL);      // one worker per usable processor
 *     if (rc == 0) rc = kin_pool_map(pool, KIN_FN(square), in, out, 1000, KIN_FOREVER);
 *     kin_pool_close(pool); kin_pool_join(pool, KIN_FOREVER); kin_pool_free(pool);
 *
 * A worker that dies is replaced; its death is charged to the task it was running and to no
 * other.  Nobody who waits for a result waits for a dead worker. */
#ifndef KIN_POOL_H
#define KIN_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

KIN_BEGIN

/* A pool and a result live in family memory: any process of the family may use them. */
typedef struct kin_pool kin_pool;
typedef struct kin_result kin_result;

/* Where a task of bytes leaves what it returns. */
typedef struct kin_reply kin_reply;

/* The forms of a task function.  Each returns 0, or a code that makes the task fail: a
 * negative error code or a positive number of the user's own.  The macros below write the
 * second one. */
typedef int kin_bytes_function(const void *argument, size_t size, kin_reply *reply);
typedef int kin_range_function(const void *in, void *out, size_t count, volatile size_t *progress);

typedef struct kin_function {
    const char *name;
    kin_range_function *range; /* items of fixed size, or */
    kin_bytes_function *bytes; /* bytes of any size */
    size_t in_size;            /* of an item, for `range` */
    size_t out_size;
} kin_function;

/* KIN_MAP(function, in_type, out_type) makes `int function(const in_type *, out_type *)` fit
 * for a pool; KIN_BYTES(function) a kin_bytes_function.  KIN_FN(function) names it in calls.
 * The range function runs items one after the other, leaves in *progress the index of the
 * item it is on, and stops at the first that fails. */
#define KIN_MAP(function, in_type, out_type) \
    static int function##__kin_range(const void *kin_in, void *kin_out, size_t kin_count, \
                                     volatile size_t *kin_progress) \
    { \
        int (*kin_check)(in_type const *, out_type *) = function; \
        (void)kin_check; \
        for (size_t kin_i = 0; kin_i < kin_count; kin_i++) { \
            *kin_progress = kin_i; \
            int kin_rc = function((in_type const *)kin_in + kin_i, (out_type *)kin_out + kin_i); \
            if (kin_rc != 0) return kin_rc; \
        } \
        return 0; \
    } \
    static const kin_function function##__kin = {#function, function##__kin_range, NULL, sizeof(in_type), \
                                                 sizeof(out_type)};
#define KIN_BYTES(function) static const kin_function function##__kin = {#function, NULL, function, 0, 0};
#define KIN_FN(function)    (&function##__kin)

typedef struct kin_pool_options {
    unsigned workers;                  /* 0: as many as processors this process may use */
    size_t max_queued;                 /* tasks that wait for a worker, at most; 0: 4096 */
    unsigned retries;                  /* how often a task whose worker died is run again; 0: not */
    unsigned tasks_per_worker;         /* after so many a worker is replaced; 0: never */
    int (*initializer)(void *context); /* run in each worker first; not 0: the open fails */
    void *context;                     /* as it is in the calling process when the pool is opened */
    const char *name;                  /* copied, 63 bytes at most; NULL: "pool" */
} kin_pool_options;

/* kin_pool_open starts a supervisor and its workers, and stores the pool in `*pool`.  Workers
 * have a copy of the caller's memory as it is now, and the family's memory in common.  They
 * end when the calling process ends, however it ends.  Any process of the family may submit.
 * Waits until every worker has run its initializer.  Safe for threads.
 * Errors: -EINVAL (NULL, more than 1024 workers), KIN_ENOTCODE (initializer),
 * KIN_EINITIALIZER (it failed or its worker died), KIN_EBROKEN, KIN_EHELD, -EAGAIN, -ENOMEM,
 * -EMFILE, and those of kin_family_open. */
KIN_API int kin_pool_open_sized(kin_pool **pool, const kin_pool_options *options, size_t size);
static inline int kin_pool_open(kin_pool **pool, const kin_pool_options *options)
{
    return kin_pool_open_sized(pool, options, sizeof(kin_pool_options));
}

typedef struct kin_task_options {
    int64_t timeout_ns; /* the worker is killed when the task runs longer; 0: no limit */
    int retries;        /* 0: as the pool; -1: none; else how often */
} kin_task_options;

/* kin_pool_submit hands `function(argument)` to the pool and stores in `*result` what will
 * hold its outcome.  `size` bytes of the argument are copied; for a KIN_MAP function size is
 * that of its input type.  Waits until `deadline` while max_queued tasks are waiting.
 * Safe for threads and from tasks of the pool itself.
 * Errors: -ETIMEDOUT (queue full), KIN_ECLOSED (closed or terminated), KIN_EBROKEN,
 * KIN_ENOTCODE, -EINVAL (NULL, size does not fit the function), -EMSGSIZE, -ENOMEM,
 * KIN_EFOREIGN. */
KIN_API int kin_pool_submit_sized(kin_pool *pool, kin_result **result, const kin_function *function,
                                  const void *argument, size_t argument_size, kin_deadline deadline,
                                  const kin_task_options *options, size_t size);
static inline int kin_pool_submit(kin_pool *pool, kin_result **result, const kin_function *function,
                                  const void *argument, size_t argument_size, kin_deadline deadline,
                                  const kin_task_options *options)
{
    return kin_pool_submit_sized(pool, result, function, argument, argument_size, deadline, options,
                                 sizeof(kin_task_options));
}

/* kin_pool_apply submits a task, waits for it until `deadline` and copies what it returned to
 * `out`; returns its size.  Errors: those of kin_pool_submit and kin_result_get; after
 * KIN_EFAILED `*failure`, if not NULL, tells how it failed.  After -ETIMEDOUT the task goes
 * on and its outcome is dropped. */
struct kin_failure;
KIN_API long kin_pool_apply(kin_pool *pool, const kin_function *function, const void *argument,
                            size_t argument_size, void *out, size_t out_capacity, kin_deadline deadline,
                            struct kin_failure *failure);

typedef struct kin_map_options {
    size_t chunk;                 /* items a worker takes at once; 0: chosen, shrinking towards the end */
    int retries;                  /* per item whose worker died: 0: as the pool; -1: none */
    bool keep_going;              /* run all items although some fail */
    int64_t timeout_ns;           /* the worker is killed when one item runs longer; 0: no limit */
    struct kin_failure *failures; /* of failed items, in the order they failed */
    size_t max_failures;          /* room in `failures` */
    size_t *failed;               /* how many items failed or were not run */
} kin_map_options;

/* kin_pool_map runs a KIN_MAP function over `count` items of `in` on all workers and leaves
 * the outcomes in `out`, each in the place of its item.  Arrays in family memory (kin_alloc)
 * are used where they are, others are copied.  After a failure the items that no worker has
 * begun are not run, unless keep_going is set; their places in `out` are undefined (zero for
 * a copied array).  Items that were finished before `deadline` are in `out` after
 * -ETIMEDOUT, too.
 * Errors: KIN_EFAILED (at least one item failed), -ETIMEDOUT, and those of
 * kin_pool_submit. */
KIN_API int kin_pool_map_sized(kin_pool *pool, const kin_function *function, const void *in, void *out,
                               size_t count, kin_deadline deadline, const kin_map_options *options,
                               size_t size);
static inline int kin_pool_map_with(kin_pool *pool, const kin_function *function, const void *in, void *out,
                                    size_t count, kin_deadline deadline, const kin_map_options *options)
{
    return kin_pool_map_sized(pool, function, in, out, count, deadline, options, sizeof(kin_map_options));
}
static inline int kin_pool_map(kin_pool *pool, const kin_function *function, const void *in, void *out,
                               size_t count, kin_deadline deadline)
{
    return kin_pool_map_sized(pool, function, in, out, count, deadline, NULL, 0);
}

/* kin_pool_close lets no more tasks in; those that are in are run.  kin_pool_terminate kills
 * the workers and fails every task that is not done.  Neither waits.  Both may be repeated,
 * and terminate may follow close.  Errors: -EINVAL (NULL), KIN_EFOREIGN. */
KIN_API int kin_pool_close(kin_pool *pool);
KIN_API int kin_pool_terminate(kin_pool *pool);

/* kin_pool_join waits until a closed or terminated pool has ended: all tasks done, workers
 * and supervisor gone.  Results can still be read.
 * Errors: KIN_ESTATE (neither closed nor terminated), -ETIMEDOUT, -EINVAL (NULL),
 * KIN_EFOREIGN. */
KIN_API int kin_pool_join(kin_pool *pool, kin_deadline deadline);

/* kin_pool_free ends the pool if it has not ended (terminate, then join) and frees it with
 * all its results.  NULL is allowed.  Call it once, when no other process uses the pool.
 * Errors: KIN_EFOREIGN, KIN_ECLOSED (freed before), -EPERM (another process opened it). */
KIN_API int kin_pool_free(kin_pool *pool);

typedef struct kin_pool_status {
    unsigned workers; /* how many there should be */
    unsigned alive;   /* how many there are */
    int supervisor_pid;
    uint64_t submitted; /* tasks, and parts of maps */
    uint64_t done;
    uint64_t failed;
    uint64_t deaths; /* of workers, not counting those that were replaced on purpose */
    size_t queued;   /* tasks that wait for a worker */
} kin_pool_status;

/* kin_pool_stats fills `*status` with the pool's state at one moment; kin_pool_workers fills
 * `pids` with the pids of the living workers, at most `limit`, and returns how many there
 * are.  Do not block.  Errors: -EINVAL (NULL), KIN_EFOREIGN. */
KIN_API int kin_pool_stats_sized(kin_pool *pool, kin_pool_status *status, size_t size);
static inline int kin_pool_stats(kin_pool *pool, kin_pool_status *status)
{
    return kin_pool_stats_sized(pool, status, sizeof(kin_pool_status));
}
KIN_API long kin_pool_workers(kin_pool *pool, int *pids, size_t limit);

/* kin_result_wait waits until the task is done, well or not, or until `deadline`.
 * Errors: -ETIMEDOUT, KIN_EBROKEN (the supervisor died), -EINVAL (NULL), KIN_EFOREIGN,
 * KIN_ECLOSED (the result was closed). */
KIN_API int kin_result_wait(kin_result *result, kin_deadline deadline);

/* kin_result_get waits like kin_result_wait, copies what the task returned to `out` and
 * returns its size in bytes.  It may be called again.
 * Errors: KIN_EFAILED (kin_result_failure tells how), KIN_ETOOSMALL (kin_needed_size tells
 * the size), and those of kin_result_wait. */
KIN_API long kin_result_get(kin_result *result, void *out, size_t capacity, kin_deadline deadline);

/* kin_result_view stores in `*out` the address of what the task returned, in family memory
 * and valid until the result is closed, and returns its size.  Does not wait.
 * Errors: KIN_ENOTREADY, KIN_EFAILED, KIN_EBROKEN, -EINVAL (NULL), KIN_EFOREIGN, KIN_ECLOSED. */
KIN_API long kin_result_view(kin_result *result, const void **out);

/* kin_result_ready returns 1 when the task is done, well or not; kin_result_successful
 * returns 1 when it was done well.  Do not wait.
 * Errors: KIN_ENOTREADY (successful only), KIN_EBROKEN, -EINVAL (NULL), KIN_EFOREIGN,
 * KIN_ECLOSED. */
KIN_API int kin_result_ready(kin_result *result);
KIN_API int kin_result_successful(kin_result *result);

/* kin_result_close frees the result.  A task that is not done goes on, its outcome is
 * dropped.  NULL is allowed.  Errors: KIN_EFOREIGN, KIN_ECLOSED (closed before). */
KIN_API int kin_result_close(kin_result *result);

enum kin_cause {
    KIN_CAUSE_NONE = 0,
    KIN_CAUSE_RETURNED = 1,      /* the function returned `code` */
    KIN_CAUSE_EXITED = 2,        /* the worker exited with `code` in the middle of the task */
    KIN_CAUSE_SIGNALED = 3,      /* the worker was killed by `signal` */
    KIN_CAUSE_TIMEOUT = 4,       /* it ran longer than its timeout */
    KIN_CAUSE_TERMINATED = 5,    /* the pool was terminated */
    KIN_CAUSE_OUT_OF_MEMORY = 6, /* the worker was killed by the kernel for want of memory */
    KIN_CAUSE_FUNCTION = 7,      /* the worker has no such function: its library was loaded later */
    KIN_CAUSE_SUPERVISOR = 8     /* the supervisor died */
};

typedef struct kin_failure {
    enum kin_cause cause;
    int code;
    int signal;
    uint64_t task;     /* number of the task; of a map: index of the item */
    char function[64]; /* its name */
    unsigned worker;   /* number of the worker, from 0 */
    int worker_pid;
    unsigned attempt;  /* which attempt this was, from 1 */
    unsigned attempts; /* how many it could have had */
    int64_t user_ns;   /* of the worker that died: processor time and memory */
    int64_t system_ns;
    int64_t max_rss;
} kin_failure;

/* kin_result_failure fills `*failure` with how the task failed.  Does not wait.
 * Errors: KIN_ENOTREADY, -EINVAL (NULL, or the task was done well), KIN_EFOREIGN,
 * KIN_ECLOSED. */
KIN_API int kin_result_failure_sized(kin_result *result, kin_failure *failure, size_t size);
static inline int kin_result_failure(kin_result *result, kin_failure *failure)
{
    return kin_result_failure_sized(result, failure, sizeof(kin_failure));
}

/* kin_failure_text writes a failure as one line, such as "task 17 (resize) on worker 3 (pid
 * 4711): killed by SIGSEGV, attempt 2 of 2, 41 MB", and returns the length it would have, like
 * snprintf.  Does not block.  Errors: -EINVAL (NULL). */
KIN_API int kin_failure_text(const kin_failure *failure, char *text, size_t size);

/* kin_reply_write appends `size` bytes to what the task returns; kin_reply_printf formats
 * like printf.  Only inside a kin_bytes_function, by the thread that runs it.
 * Errors: -EINVAL (NULL), -ENOMEM, -EMSGSIZE. */
KIN_API int kin_reply_write(kin_reply *reply, const void *bytes, size_t size);
KIN_API int kin_reply_printf(kin_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

KIN_END
#endif
