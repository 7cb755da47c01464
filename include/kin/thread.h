/* kin/thread.h: threads of this process, by name, with deadlines, and timers.
 *
 *     static int count(void *limit) { …; return 0; }
 *     …
 *     kin_thread *thread = NULL;
 *     int rc = kin_thread_start(&thread, count, &limit, &(kin_thread_options){ .name = "counter" });
 *     if (rc == 0) rc = kin_thread_join(thread, kin_in_s(5));
 *     kin_thread_close(thread);
 *
 * Every object of kin is used by threads as it is used by processes: the same calls, the same
 * pointers.  Values of a thread's own are in kin/local.h. */
#ifndef KIN_THREAD_H
#define KIN_THREAD_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/time.h>

KIN_BEGIN

/* A handle in the private memory of the process. */
typedef struct kin_thread kin_thread;

/* What a thread runs; kin_thread_result tells what it returned. */
typedef int kin_thread_function(void *argument);

typedef struct kin_thread_options {
    const char *name;  /* copied; NULL: "Thread-1", "Thread-2", … */
    bool daemon;       /* not waited for when the process exits normally */
    size_t stack_size; /* bytes; 0: the system's default */
} kin_thread_options;

/* kin_thread_start starts a thread that runs `target(argument)`, and stores its handle in
 * `*thread`; with `thread` NULL there is no handle, and what the thread took is freed when it
 * ends.  When the process exits normally (exit, or return from main, or from the function of a
 * kin_process) it waits for all threads started here that are not daemons.
 * Does not wait.  Safe for threads.  In a child made by fork only the calling thread exists; the
 * handles of the others say that they have ended.
 * Errors: -EINVAL (NULL, a name of more than 63 bytes, a stack that is too small), -EAGAIN
 * (RLIMIT_NPROC, pids.max), -ENOMEM. */
KIN_API int kin_thread_start_sized(kin_thread **thread, kin_thread_function *target, void *argument,
                                   const kin_thread_options *options, size_t size);
static inline int kin_thread_start(kin_thread **thread, kin_thread_function *target, void *argument,
                                   const kin_thread_options *options)
{
    return kin_thread_start_sized(thread, target, argument, options, sizeof(kin_thread_options));
}

/* kin_thread_join waits until the thread has ended, its thread-local values destroyed, or until
 * `deadline`.  It may be called again, and from several threads at once.
 * Errors: -ETIMEDOUT (it still runs), -EDEADLK (a thread cannot wait for itself), -EINVAL (NULL, or
 * a thread that was not started by kin_thread_start). */
KIN_API int kin_thread_join(kin_thread *thread, kin_deadline deadline);

/* kin_thread_is_alive returns 1 while the thread runs and 0 after.  Does not wait.
 * Errors: -EINVAL (NULL). */
KIN_API int kin_thread_is_alive(kin_thread *thread);

/* kin_thread_result stores in `*result` what the thread's function returned.  Does not wait.
 * Errors: -EBUSY (it still runs), -EINVAL (NULL), -ECANCELED (it never returned: it was ended by
 * pthread_exit or pthread_cancel, or by the fork that made this process). */
KIN_API int kin_thread_result(kin_thread *thread, int *result);

/* kin_thread_current returns the calling thread's handle.  It belongs to kin: it is not closed,
 * and is valid as long as the thread runs.  The process's first thread is "MainThread"; one that
 * kin did not start is "Dummy-1", "Dummy-2", …  NULL when there is no memory.  Does not wait. */
KIN_API kin_thread *kin_thread_current(void);

/* kin_thread_name returns the thread's name, which lives as long as the handle; kin_thread_id the
 * number by which the system knows the thread; kin_thread_daemon 1 or 0.  Do not block.
 * Errors: -EINVAL, NULL for a name. */
KIN_API const char *kin_thread_name(const kin_thread *thread);
KIN_API int kin_thread_id(const kin_thread *thread);
KIN_API int kin_thread_daemon(const kin_thread *thread);

/* kin_thread_close frees the handle of a thread that has ended.  NULL is allowed.
 * Errors, after which the handle stays valid: -EBUSY (it still runs, or is being joined), -EINVAL
 * (a handle from kin_thread_current). */
KIN_API int kin_thread_close(kin_thread *thread);

typedef struct kin_thread_info {
    char name[64];
    int id;
    bool daemon;
    bool main; /* the process's first thread */
} kin_thread_info;

/* kin_thread_enumerate describes the first `limit` of the threads that are alive and known to kin,
 * the oldest first, and returns how many there are.  Does not wait.  Errors: -EINVAL (NULL). */
KIN_API long kin_thread_enumerate_sized(kin_thread_info *threads, size_t limit, size_t size);
static inline long kin_thread_enumerate(kin_thread_info *threads, size_t limit)
{
    return kin_thread_enumerate_sized(threads, limit, sizeof(kin_thread_info));
}

/* ---- timers --------------------------------------------------------------------------------- */

/* A thread that waits before it runs a function, unless it is cancelled. */
typedef struct kin_timer kin_timer;

/* kin_timer_start starts a thread that runs `target(argument)` at the moment `when`, and stores the
 * timer in `*timer`.  `options` are those of the thread; may be NULL.  Does not wait.
 * Errors: those of kin_thread_start. */
KIN_API int kin_timer_start_sized(kin_timer **timer, kin_deadline when, kin_thread_function *target,
                                  void *argument, const kin_thread_options *options, size_t size);
static inline int kin_timer_start(kin_timer **timer, kin_deadline when, kin_thread_function *target,
                                  void *argument, const kin_thread_options *options)
{
    return kin_timer_start_sized(timer, when, target, argument, options, sizeof(kin_thread_options));
}

/* kin_timer_cancel keeps the function from being run.  Does not wait.
 * Errors: -EALREADY (it has run, or is running), -EINVAL (NULL). */
KIN_API int kin_timer_cancel(kin_timer *timer);

/* kin_timer_join waits until the function has been run, or the timer cancelled and its thread
 * ended.  Errors: -ETIMEDOUT, -EDEADLK (from the function itself), -EINVAL (NULL). */
KIN_API int kin_timer_join(kin_timer *timer, kin_deadline deadline);

/* kin_timer_close cancels the timer if it has not begun, waits until its thread has ended, and
 * frees it.  NULL is allowed.  Errors: -EDEADLK (from the function itself). */
KIN_API int kin_timer_close(kin_timer *timer);

KIN_END
#endif
