/* kin/result.h: what becomes of a task: waiting for it, what it returned, how it failed.
 *
 *     kin_result *result;
 *     kin_pool_submit(pool, &result, KIN_FN(square), &in, sizeof in, KIN_FOREVER, NULL);
 *     …
 *     if (kin_result_get(result, &out, sizeof out, kin_in_s(5)) == KIN_EFAILED) …
 *     kin_result_close(result);
 */
#ifndef KIN_RESULT_H
#define KIN_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

KIN_BEGIN

/* In family memory: any process of the family may use it. */
typedef struct kin_result kin_result;

/* kin_result_wait waits until the task is done, well or not, or until `deadline`.
 * Errors: -ETIMEDOUT, KIN_EBROKEN (the supervisor died), -EINVAL (NULL), KIN_EFOREIGN,
 * KIN_ECLOSED (the result was closed), -EDEADLK (called by a task of the pool, and too many of them
 * wait). */
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

enum kin_results_mode { KIN_FIRST_COMPLETED = 0, KIN_FIRST_FAILED = 1, KIN_ALL_COMPLETED = 2 };

/* kin_results_wait waits for `count` results, of whatever pools, until `deadline`: until one is over,
 * until one has failed or all are over, or until all are over.  NULL in the array is passed over.  It
 * returns how many are over.
 * Errors: those of kin_result_wait, -ENOMEM; several pools: those of kin_wait. */
KIN_API long kin_results_wait(kin_result *const *results, size_t count, enum kin_results_mode mode,
                              kin_deadline deadline);

/* kin_results_next waits in the same way until one is over, and returns its index: close it, put NULL in
 * its place, and call again for the next one, as they complete.
 * Errors: KIN_EMPTY (all are NULL), and those of kin_results_wait. */
KIN_API long kin_results_next(kin_result *const *results, size_t count, kin_deadline deadline);

/* kin_result_add_done_callback names what is to be called with the result when the task is over:
 * `done` when it was done well, `failed` when not; either may be NULL.  It is called by this process,
 * once, in kin_pool_poll or on the pool's thread for that, never elsewhere; it may close the result.
 * A result that is closed before is not told of.  Does not wait.
 * Errors: -EINVAL (NULL), -ENOMEM, KIN_EFOREIGN, KIN_ECLOSED. */
typedef void kin_done_function(kin_result *result, void *context);
KIN_API int kin_result_add_done_callback(kin_result *result, kin_done_function *done,
                                         kin_done_function *failed, void *context);

/* kin_result_cancel ends a task: one that was not begun is not run, one that runs ends with its
 * worker, which is replaced.  The result completes with the failure KIN_CAUSE_CANCELLED, at once or
 * when the worker has ended; no other task notices.  Cancelling again does nothing.  Does not wait.
 * Errors: KIN_EOVER (the task was over before), KIN_EBROKEN, -EINVAL (NULL), KIN_EFOREIGN,
 * KIN_ECLOSED. */
KIN_API int kin_result_cancel(kin_result *result);

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
    KIN_CAUSE_SUPERVISOR = 8,    /* the supervisor died */
    KIN_CAUSE_CANCELLED = 9,     /* kin_result_cancel */
    KIN_CAUSE_NEED = 10,         /* a task that it needs has failed */
    KIN_CAUSE_LOST = 11          /* the connection to the worker ended, as the error `code` says */
};

#define KIN_CAUSES 12

#define KIN_STDERR_TAIL 256

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
    char host[64]; /* of a worker in another program (kin_worker_serve): its machine */
    /* What the worker that died had written to stderr last, of a pool with stderr_tail; ended by a NUL. */
    char stderr_tail[KIN_STDERR_TAIL];
} kin_failure;

/* kin_result_failure fills `*failure` with how the task failed.  Does not wait.
 * Errors: KIN_ENOTREADY, -EINVAL (NULL, or the task was done well), KIN_EFOREIGN,
 * KIN_ECLOSED. */
KIN_API int kin_result_failure_sized(kin_result *result, kin_failure *failure, size_t size);
static inline int kin_result_failure(kin_result *result, kin_failure *failure)
{
    return kin_result_failure_sized(result, failure, sizeof(kin_failure));
}

/* kin_result_failure_chain fills `chain` with how the task failed, then how what it needed failed, and
 * so on, at most `limit` of them, and returns how many there are.  Does not wait.
 * Errors: those of kin_result_failure. */
KIN_API long kin_result_failure_chain_sized(kin_result *result, kin_failure *chain, size_t limit,
                                            size_t size);
static inline long kin_result_failure_chain(kin_result *result, kin_failure *chain, size_t limit)
{
    return kin_result_failure_chain_sized(result, chain, limit, sizeof(kin_failure));
}

/* kin_result_argument stores in `*argument` the address of what the task was given, valid until the
 * result is closed, and returns its size.  Does not wait.
 * Errors: -EINVAL (NULL, or the result of a map), KIN_EFOREIGN, KIN_ECLOSED. */
KIN_API long kin_result_argument(kin_result *result, const void **argument);

/* kin_failure_text writes a failure as one line, such as "task 17 (resize) on worker 3 (pid
 * 4711): killed by SIGSEGV, attempt 2 of 2, 41 MB", and returns the length it would have, like
 * snprintf.  Does not block.  Errors: -EINVAL (NULL). */
KIN_API int kin_failure_text(const kin_failure *failure, char *text, size_t size);

KIN_END
#endif
