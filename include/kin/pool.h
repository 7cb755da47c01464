/* kin/pool.h: a pool of worker processes, or of threads.
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

#include <kin/limits.h>
#include <kin/process.h>
#include <kin/result.h>
#include <kin/time.h>

KIN_BEGIN

/* A pool lives in family memory, as its results do: any process of the family may use them. */
typedef struct kin_pool kin_pool;

/* Where a task of bytes leaves what it returns. */
typedef struct kin_reply kin_reply;

/* The forms of a task function.  Each returns 0, or a code that makes the task fail: a
 * negative error code or a positive number of the user's own.  The macros below write the
 * second one. */
typedef int kin_bytes_function(const void *argument, size_t size, kin_reply *reply);
typedef int kin_range_function(const void *in, void *out, size_t count, volatile size_t *progress);

typedef int kin_zip_function(const void *const *in, void *out, size_t count, volatile size_t *progress);

#define KIN_INPUTS_MOST 4

typedef struct kin_function {
    const char *name;
    kin_range_function *range; /* items of fixed size, or */
    kin_bytes_function *bytes; /* bytes of any size, or */
    size_t in_size;            /* of an item, for `range` */
    size_t out_size;
    kin_zip_function *zip; /* items of several arrays */
    unsigned inputs;       /* how many, for `zip` */
    size_t in_sizes[KIN_INPUTS_MOST];
    kin_range_function *pure; /* `range`, leaving an index only when it fails; NULL: none */
} kin_function;

/* A warning would not do: a function that takes something else would read what is not there. */
#ifdef __cplusplus
#define KIN__CHECK_SIGNATURE(function, ...) (void)static_cast<__VA_ARGS__>(function);
#else
#define KIN__CHECK_SIGNATURE(function, ...) \
    _Static_assert(_Generic(&function, __VA_ARGS__ : 1, default : 0), #function " has another signature");
#endif

/* KIN_MAP(function, in_type, out_type) makes `int function(const in_type *, out_type *)` fit
 * for a pool; KIN_BYTES(function) a kin_bytes_function.  KIN_FN(function) names it in calls.
 * The range function runs items one after the other, leaves in *progress the index of the
 * item it is on, and stops at the first that fails. */
#define KIN_MAP(function, in_type, out_type) \
    KIN__RANGE(function, in_type, out_type) \
    static const kin_function function##__kin = { \
        #function, function##__kin_range, NULL, sizeof(in_type), sizeof(out_type), NULL, 0, {0}, NULL};

/* KIN_MAP_PURE is KIN_MAP for a function that does nothing but compute *out from *in, which is not *out: it
 * may be run again for an item without anybody noticing.  So a map does not note each item before it is
 * begun, which takes longer than a trivial item does.  If a worker dies, the items of its portion are run
 * again, one by one: the one that is charged is the one that kills. */
#define KIN_MAP_PURE(function, in_type, out_type) \
    KIN__RANGE(function, in_type, out_type) \
    static int function##__kin_pure(const void *kin_in, void *kin_out, size_t kin_count, \
                                    volatile size_t *kin_item) \
    { \
        for (size_t kin_i = 0; kin_i < kin_count; kin_i++) { \
            int kin_rc = function((in_type const *)kin_in + kin_i, (out_type *)kin_out + kin_i); \
            if (kin_rc != 0) { \
                __atomic_store_n(kin_item, kin_i, __ATOMIC_RELAXED); \
                return kin_rc; \
            } \
        } \
        return 0; \
    } \
    static const kin_function function##__kin = { \
        #function, function##__kin_range, NULL, sizeof(in_type), sizeof(out_type), NULL, 0, \
        {0},       function##__kin_pure};

/* A store for each item between those of the results keeps a processor from gathering them, and from having
 * fetched the lines of the next ones in time: it is told of them. */
#define KIN__AHEAD 512
#define KIN__RANGE(function, in_type, out_type) \
    static int function##__kin_range(const void *kin_in, void *kin_out, size_t kin_count, \
                                     volatile size_t *kin_item) \
    { \
        KIN__CHECK_SIGNATURE(function, int (*)(in_type const *, out_type *)) \
        for (size_t kin_i = 0; kin_i < kin_count; kin_i++) { \
            __atomic_store_n(kin_item, kin_i, __ATOMIC_RELAXED); \
            __builtin_prefetch((const void *)((uintptr_t)kin_out + kin_i * sizeof(out_type) + KIN__AHEAD), \
                               1); \
            int kin_rc = function((in_type const *)kin_in + kin_i, (out_type *)kin_out + kin_i); \
            if (kin_rc != 0) return kin_rc; \
        } \
        return 0; \
    }

#define KIN_BYTES(function) \
    static const kin_function function##__kin = {#function, NULL, function, 0, 0, NULL, 0, {0}, NULL};

/* KIN_STARMAP2(function, a_type, b_type, out_type) makes `int function(const a_type *, const b_type *,
 * out_type *)` fit for kin_pool_starmap; KIN_STARMAP3 one of three inputs. */
#define KIN_STARMAP2(function, a_type, b_type, out_type) \
    static int function##__kin_zip(const void *const *kin_in, void *kin_out, size_t kin_count, \
                                   volatile size_t *kin_item) \
    { \
        KIN__CHECK_SIGNATURE(function, int (*)(a_type const *, b_type const *, out_type *)) \
        for (size_t kin_i = 0; kin_i < kin_count; kin_i++) { \
            __atomic_store_n(kin_item, kin_i, __ATOMIC_RELAXED); \
            int kin_rc = function((a_type const *)kin_in[0] + kin_i, (b_type const *)kin_in[1] + kin_i, \
                                  (out_type *)kin_out + kin_i); \
            if (kin_rc != 0) return kin_rc; \
        } \
        return 0; \
    } \
    static const kin_function function##__kin = {#function, \
                                                 NULL, \
                                                 NULL, \
                                                 0, \
                                                 sizeof(out_type), \
                                                 function##__kin_zip, \
                                                 2, \
                                                 {sizeof(a_type), sizeof(b_type)}, \
                                                 NULL};
#define KIN_STARMAP3(function, a_type, b_type, c_type, out_type) \
    static int function##__kin_zip(const void *const *kin_in, void *kin_out, size_t kin_count, \
                                   volatile size_t *kin_item) \
    { \
        KIN__CHECK_SIGNATURE(function, int (*)(a_type const *, b_type const *, c_type const *, out_type *)) \
        for (size_t kin_i = 0; kin_i < kin_count; kin_i++) { \
            __atomic_store_n(kin_item, kin_i, __ATOMIC_RELAXED); \
            int kin_rc = function((a_type const *)kin_in[0] + kin_i, (b_type const *)kin_in[1] + kin_i, \
                                  (c_type const *)kin_in[2] + kin_i, (out_type *)kin_out + kin_i); \
            if (kin_rc != 0) return kin_rc; \
        } \
        return 0; \
    } \
    static const kin_function function##__kin = {#function, \
                                                 NULL, \
                                                 NULL, \
                                                 0, \
                                                 sizeof(out_type), \
                                                 function##__kin_zip, \
                                                 3, \
                                                 {sizeof(a_type), sizeof(b_type), sizeof(c_type)}, \
                                                 NULL};
#define KIN_FN(function) (&function##__kin)

/* KIN_POOL_THREADS: the workers are threads of the process that opens the pool, for work that waits and
 * for code that shares its heap.  All that is said below of pools holds, but for this:
 *  - what crashes is that process;
 *  - nobody can end a thread: a task that is cancelled, takes too long or is in a terminated pool runs until
 *    its function returns (kin_task_cancelled tells it), and is over then, as cancelled or too late; so a
 *    map returns late by the items that were begun, and kin_pool_join waits for them;
 *  - kin_pool_map uses the caller's arrays where they are, when that process calls it;
 *  - pids are thread ids, and there is no supervisor's;
 *  - no address, limits, pin_workers, memory_per_worker, method and stderr_tail. */
enum kin_pool_kind { KIN_POOL_PROCESSES = 0, KIN_POOL_THREADS = 1 };

typedef struct kin_pool_options {
    unsigned workers;          /* 0: as many as processors this process may use; none with an address */
    size_t max_queued;         /* tasks that wait for a worker, at most; 0: 4096 */
    unsigned retries;          /* how often a task whose worker died is run again; 0: not */
    unsigned tasks_per_worker; /* after so many a worker is replaced; 0: never */
    int (*initializer)(void *context); /* run in each worker first; not 0: the open fails */
    void *context;                     /* as it is in the calling process when the pool is opened */
    const char *name;                  /* copied, 63 bytes at most; NULL: "pool" */
    struct kin_failure *failure;       /* filled when the open fails because of a worker */
    unsigned retries_error;            /* how often a task that returned an error is run again; 0: not */
    int64_t backoff_ns;                /* pause before the first repetition, twice as long each time */
    int64_t interval_ns;               /* as kin_pool_limit_rate; 0: no limit */
    unsigned keep_poisoned;            /* so many tasks that killed their workers are set aside; 0: none */
    bool callback_thread;              /* a thread of this process calls callbacks; see kin_pool_poll */
    uint64_t memory_per_worker;        /* bytes of its own after which it is replaced; 0: no limit */
    const char *address;               /* where workers of other programs are let in; NULL: nowhere */
    /* Who is let in, and by which certificates; NULL: everybody. */
    const struct kin_listener_options *listener;
    int64_t silence_ns; /* how long one of them may say nothing before it is lost; 0: 15 seconds */
    /* How the supervisor, of which the workers are forked, comes to be (kin/start.h); by default as
     * kin_set_start_method has set, and with an address, limits or pin_workers by fork. */
    enum kin_start_method method;
    bool stderr_tail; /* a death's failure tells what the worker wrote to stderr last; it is printed too */
    enum kin_pool_kind kind;
    const kin_limits *limits; /* what each worker may use, each in a control group of its own; NULL: all */
    bool pin_workers; /* worker i runs on one processor, the i-th of limits->cpus or else of the usable */
} kin_pool_options;

/* kin_pool_open starts a supervisor and its workers, and stores the pool in `*pool`.  Workers
 * have the family's memory in common, and by KIN_FORK a copy of the caller's memory as it is now.  By the
 * other methods they have none of it, and cost the same whatever it is; `context` is then NULL, a number below
 * 4096 or family memory, and functions are those of the program itself.  They end when the calling process
 * ends, however it ends.  Any process of the family may submit.  Waits until every worker has run its
 * initializer.  Without one, and without address, limits, pin_workers, another method than fork and threads, there is
 * nothing to wait for: the workers are started behind the opening.  What keeps them from it (-EAGAIN, -ENOMEM, …) ends
 * the pool, and is told by kin_pool_submit and the others that hand tasks in.  Safe for threads.
 * Errors: -EINVAL (NULL, more than 1024 workers, an address or limits and
 * another method than fork, an option for threads that is of processes: kin_process_error says which),
 * KIN_ENOTCODE (initializer), KIN_EINITIALIZER (it failed or its worker died), KIN_EBROKEN, KIN_EHELD,
 * -EAGAIN, -ENOMEM, -EMFILE, and those of
 * kin_family_open; by another method than fork KIN_EPOINTER (context), KIN_EFUNCTION (the initializer is a
 * library's), KIN_ENOTMAIN and KIN_ESERVER; with an address those of kin_listener_open, and with limits
 * those of kin_process_start (kin_process_error has the words of both). */
KIN_API int kin_pool_open_sized(kin_pool **pool, const kin_pool_options *options, size_t size);
static inline int kin_pool_open(kin_pool **pool, const kin_pool_options *options)
{
    return kin_pool_open_sized(pool, options, sizeof(kin_pool_options));
}

typedef struct kin_task_options {
    int64_t timeout_ns;       /* one that runs longer fails, and its worker is killed; 0: no limit */
    int retries;              /* after a death (timeout_ns too).  0: as the pool; -1: none; else how often */
    int retries_error;        /* after it returned an error; likewise */
    int64_t backoff_ns;       /* before the first repetition, twice as long each time; 0: as the pool */
    int priority;             /* from -8 to 7: the higher the sooner; below 0: when nothing else waits */
    unsigned weight;          /* so many workers' room it takes, of those that the pool has; 0: one */
    bool exclusive;           /* it takes all: no other task runs meanwhile */
    uint64_t affinity;        /* tasks of one key run on the same worker, in order; 0: on any */
    kin_result *const *needs; /* results of this pool that have to be there before it is begun */
    size_t needs_count;
} kin_task_options;

/* kin_pool_submit hands `function(argument)` to the pool and stores in `*result` what will
 * hold its outcome.  `size` bytes of the argument are copied; for a KIN_MAP function size is
 * that of its input type.  Waits until `deadline` while max_queued tasks are waiting; up to 2 seconds, whatever
 * `deadline` is, while the supervisor of a pool that was opened just now has not taken over.
 * A task whose need fails is not run: it fails with KIN_CAUSE_NEED; kin_result_failure_chain
 * tells why.  What is needed may be closed; it is kept until those that need it are closed.
 * Safe for threads and from tasks of the pool itself: a worker that waits on its own pool, by any function of
 * kin's with a deadline, is replaced meanwhile.
 * Errors: -ETIMEDOUT (queue full), KIN_ECLOSED (closed, terminated or freed, also meanwhile), KIN_EBROKEN,
 * KIN_ENOTCODE, -EINVAL (NULL, size does not fit the function, an option out of its range, a need of
 * another pool: kin_process_error says which), -EMSGSIZE, -ENOMEM, KIN_EFOREIGN, -EDEADLK (a task of the pool would have to wait,
 * and too many do: let it have what it needs by `needs`, or wait outside of the pool). */
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
 * on and its outcome is dropped; after -EDEADLK it is cancelled. */
struct kin_failure;
KIN_API long kin_pool_apply(kin_pool *pool, const kin_function *function, const void *argument,
                            size_t argument_size, void *out, size_t out_capacity, kin_deadline deadline,
                            struct kin_failure *failure);

/* How far something is. */
typedef struct kin_progress {
    uint64_t count; /* tasks, or items of a map */
    uint64_t done;  /* of them, those that failed too */
    uint64_t failed;
    uint64_t running;   /* of a pool: workers that are on a task */
    double rate;        /* done per second, since the beginning */
    int64_t elapsed_ns; /* since the beginning */
    int64_t left_ns;    /* estimated; -1: not known yet */
} kin_progress;
typedef void kin_progress_function(const kin_progress *progress, void *context);

typedef struct kin_map_options {
    size_t chunk;                 /* items a worker takes at once, 2047 if more; 0: by how long they take */
    int retries;                  /* per item whose worker died: 0: as the pool; -1: none */
    bool keep_going;              /* run all items although some fail */
    int64_t timeout_ns;           /* the worker is killed when one item runs longer; 0: no limit */
    struct kin_failure *failures; /* of failed items, in the order they failed */
    size_t max_failures;          /* room in `failures` */
    size_t *failed;               /* how many items failed or were not run */
    kin_progress_function *progress; /* called by the calling thread while it waits, and at the end */
    void *progress_context;
    int64_t progress_ns; /* how often; 0: every half second */
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

/* kin_pool_starmap runs a KIN_STARMAP2 or KIN_STARMAP3 function over several arrays at once: item i of
 * each is handed to it together.  `in` holds their addresses.  Otherwise it is kin_pool_map. */
KIN_API int kin_pool_starmap_sized(kin_pool *pool, const kin_function *function, const void *const *in,
                                   void *out, size_t count, kin_deadline deadline,
                                   const kin_map_options *options, size_t size);
static inline int kin_pool_starmap(kin_pool *pool, const kin_function *function, const void *const *in,
                                   void *out, size_t count, kin_deadline deadline,
                                   const kin_map_options *options)
{
    return kin_pool_starmap_sized(pool, function, in, out, count, deadline, options, sizeof(kin_map_options));
}

/* kin_pool_map_async begins a map, of any of the three kinds, and does not wait for it: `*result` is
 * there when all is done.  `in` holds the addresses of the arrays (one, for a KIN_MAP function); those
 * that are not family memory are copied.  The outcomes are in the result, one after the other: see
 * kin_result_view.  It fails when an item fails, and tells of the first; cancelling or closing it ends
 * the map: nothing more is begun, and workers on it are killed, at once or when they have had 50 ms to finish.
 * A map ends in the same way when the process that waits for it dies.  Waits until `deadline` while max_queued
 * tasks are waiting.
 * Errors: those of kin_pool_submit; -EINVAL (options that tell something to the caller). */
KIN_API int kin_pool_map_async_sized(kin_pool *pool, kin_result **result, const kin_function *function,
                                     const void *const *in, size_t count, kin_deadline deadline,
                                     const kin_map_options *options, size_t size);
static inline int kin_pool_map_async(kin_pool *pool, kin_result **result, const kin_function *function,
                                     const void *const *in, size_t count, kin_deadline deadline,
                                     const kin_map_options *options)
{
    return kin_pool_map_async_sized(pool, result, function, in, count, deadline, options,
                                    sizeof(kin_map_options));
}

/* kin_pool_close lets no more tasks in; those that are in are run.  kin_pool_terminate kills
 * the workers, which flush nothing, and fails every task that is not done; a supervisor that was stopped goes on for
 * that, but not one that a debugger has stopped.  Neither waits.  Both may be repeated,
 * and terminate may follow close.  Errors: -EINVAL (NULL), KIN_EFOREIGN. */
KIN_API int kin_pool_close(kin_pool *pool);
KIN_API int kin_pool_terminate(kin_pool *pool);

/* kin_pool_join waits until a closed or terminated pool has ended: all tasks done, workers
 * and supervisor gone.  Results can still be read.
 * Errors: KIN_EBROKEN (the supervisor died: it has ended, with tasks that may not be done), KIN_ESTATE
 * (neither closed nor terminated), -ETIMEDOUT, -EDEADLK (called by a task of the pool),
 * -EINVAL (NULL), KIN_EFOREIGN. */
KIN_API int kin_pool_join(kin_pool *pool, kin_deadline deadline);

/* kin_pool_free ends the pool if it has not ended (terminate, then join) and frees it with
 * all its results.  NULL is allowed.  Call it once, when nobody else is in a call on the pool or a result of
 * it; but for who waits for room in kin_pool_submit, kin_pool_map or kin_pool_map_async, or for a map or a result, in
 * another process, too: that call returns KIN_ECLOSED, if it has not been told of the end before.
 * Errors: KIN_EFOREIGN, KIN_ECLOSED (freed before), -EPERM (another process opened it), -EDEADLK (called
 * by a task of the pool). */
KIN_API int kin_pool_free(kin_pool *pool);

/* kin_pool_pause lets no more tasks begin, those that run go on; kin_pool_resume lets them begin
 * again, and so does kin_pool_close.  Do not wait.  Errors: KIN_ECLOSED, KIN_EBROKEN, -EINVAL (NULL),
 * KIN_EFOREIGN. */
KIN_API int kin_pool_pause(kin_pool *pool);
KIN_API int kin_pool_resume(kin_pool *pool);

/* kin_pool_limit_rate lets a task begin every `interval_ns` at most, on the average; 0: no limit.  A
 * part of a map counts as one.  Does not wait.  Errors: those of kin_pool_pause; -EINVAL (negative). */
KIN_API int kin_pool_limit_rate(kin_pool *pool, int64_t interval_ns);

/* kin_pool_resize changes how many workers the pool has: new ones are started, and those that are too
 * many end after what they run.  Does not wait.  Errors: those of kin_pool_pause; -EINVAL (0, or
 * more than 1024). */
KIN_API int kin_pool_resize(kin_pool *pool, unsigned workers);

/* kin_pool_drain waits until every task that was handed in is over, or until `deadline`.  The pool
 * stays open.  Errors: -ETIMEDOUT, KIN_EBROKEN, -EDEADLK (called by a task of the pool), -EINVAL
 * (NULL), KIN_EFOREIGN. */
KIN_API int kin_pool_drain(kin_pool *pool, kin_deadline deadline);

/* kin_pool_poll calls the callbacks (kin_result_add_done_callback) that this process has named for
 * results of the pool, for those that are there; it waits until there is one, until none is left, or
 * until `deadline`, and returns how many it has called.  With callback_thread a thread does so all
 * the time, until the pool is joined.
 * Errors: -EINVAL (NULL), KIN_EFOREIGN, KIN_ECLOSED, -EDEADLK (as kin_pool_submit). */
KIN_API long kin_pool_poll(kin_pool *pool, kin_deadline deadline);

/* kin_pool_progress fills `*progress` with how far the tasks are that were handed in since the pool was
 * opened.  Does not wait.  Errors: -EINVAL (NULL), KIN_EFOREIGN, KIN_ECLOSED. */
KIN_API int kin_pool_progress_sized(kin_pool *pool, kin_progress *progress, size_t size);
static inline int kin_pool_progress(kin_pool *pool, kin_progress *progress)
{
    return kin_pool_progress_sized(pool, progress, sizeof(kin_progress));
}

typedef struct kin_pool_status {
    unsigned workers; /* how many there should be */
    unsigned alive;   /* how many there are */
    int supervisor_pid;
    uint64_t submitted; /* tasks, and parts of maps */
    uint64_t done;
    uint64_t failed;
    uint64_t deaths;  /* of workers, not counting those that were replaced on purpose */
    size_t queued;    /* tasks that wait for a worker */
    unsigned running; /* workers that are on a task */
    unsigned blocked; /* of them, those that wait on the pool itself */
    uint64_t retried; /* repetitions after an error, not those after a death */
    bool paused;
    unsigned poisoned;              /* tasks that were set aside and not taken yet */
    uint64_t deaths_by[KIN_CAUSES]; /* deaths, by enum kin_cause */
    unsigned remote;                /* of those alive, how many are in other programs (kin_worker_serve) */
} kin_pool_status;

/* kin_pool_stats fills `*status` with the pool's state at one moment; kin_pool_workers fills
 * `pids` with the pids of the living workers, at most `limit`, and returns how many there
 * are.  Do not block, but wait for the start of the first workers of a pool that was opened just now.
 * Errors: -EINVAL (NULL), KIN_EFOREIGN. */
KIN_API int kin_pool_stats_sized(kin_pool *pool, kin_pool_status *status, size_t size);
static inline int kin_pool_stats(kin_pool *pool, kin_pool_status *status)
{
    return kin_pool_stats_sized(pool, status, sizeof(kin_pool_status));
}
KIN_API long kin_pool_workers(kin_pool *pool, int *pids, size_t limit);

/* How long tasks waited for a worker, and how long they ran: bucket i counts those of less than 2^i ns,
 * and not less than half of that; the last one those of more.  One task of `one_of` is counted, no map. */
#define KIN_TIME_BUCKETS 48
typedef struct kin_times {
    unsigned one_of;
    uint64_t queued[KIN_TIME_BUCKETS];
    uint64_t ran[KIN_TIME_BUCKETS];
} kin_times;

/* kin_pool_times fills `*times`.  It only reads family memory; any process of the family may call it.
 * Does not block.  Errors: -EINVAL (NULL), KIN_EFOREIGN, KIN_ECLOSED. */
KIN_API int kin_pool_times_sized(kin_pool *pool, kin_times *times, size_t size);
static inline int kin_pool_times(kin_pool *pool, kin_times *times)
{
    return kin_pool_times_sized(pool, times, sizeof(kin_times));
}

/* kin_pool_take_poisoned takes the oldest task that was set aside because it killed its workers more
 * often than it may be run again (keep_poisoned): `*result` has failed, kin_result_failure tells how and
 * kin_result_argument with what.  The caller closes it.  Returns 1, or 0 when there is none.  Does not
 * block.  Errors: -EINVAL (NULL), KIN_EFOREIGN, KIN_ECLOSED. */
KIN_API int kin_pool_take_poisoned(kin_pool *pool, kin_result **result);

/* kin_pool_address returns the address at which the pool lets workers of other programs in, with the
 * port that was taken; it lives as long as the pool.  NULL: nowhere.  Does not block. */
KIN_API const char *kin_pool_address(kin_pool *pool);

/* In a worker: kin_worker_set_state keeps an address, for its initializer to set up what its tasks
 * share; kin_worker_state returns it, NULL before; kin_worker_pool returns the pool, to hand it further
 * tasks, and kin_worker_number the number of the worker, from 0.  In any other process they return
 * NULL and -1.  Do not block. */
KIN_API void kin_worker_set_state(void *state);
KIN_API void *kin_worker_state(void);
KIN_API kin_pool *kin_worker_pool(void);
KIN_API int kin_worker_number(void);

/* kin_task_cancelled returns 1 when the calling task is to end: it was cancelled, has used up its timeout,
 * its map has failed or its pool was terminated; else 0, and 0 where there is no task.  A task on a thread
 * asks now and then; a process is ended soon anyway.  Does not block. */
KIN_API int kin_task_cancelled(void);

/* kin_task_need stores in `*out` the address of what the need `index` of the calling task returned,
 * in family memory and valid while the task runs, and returns its size.
 * Errors: KIN_EINDEX, -EINVAL (NULL, or not in a task). */
KIN_API long kin_task_need(size_t index, const void **out);

/* kin_reply_write appends `size` bytes to what the task returns; kin_reply_printf formats
 * like printf.  Only inside a kin_bytes_function, by the thread that runs it.
 * Errors: -EINVAL (NULL), -ENOMEM, -EMSGSIZE. */
KIN_API int kin_reply_write(kin_reply *reply, const void *bytes, size_t size);
KIN_API int kin_reply_printf(kin_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

KIN_END
#endif
