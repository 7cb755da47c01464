/* kin/coroutine.h: many cooperating functions in one thread, each with a stack of its own.
 *
 *     static int visitor(void *number)
 *     {
 *         kin_coroutine_sleep(kin_in_s(1));             // the others go on meanwhile
 *         printf("visitor %d\n", *(int *)number);
 *         return 0;
 *     }
 *     …
 *     for (int i = 0; i < 10000; i++) kin_coroutine_start(NULL, visitor, &numbers[i], NULL);
 *     kin_loop_run(KIN_FOREVER);                        // takes little more than a second
 *
 * A coroutine runs until it waits, and only then another one of its thread does: nothing between
 * two waits needs a lock.  Whatever waits in kin (a queue, an event, a process, a result …) lets the
 * others run when a coroutine calls it; locks belong to the thread, not to the coroutine.  It is run by the
 * thread that started it, while that thread is inside kin_loop_run (kin/loop.h) or waits by one of the
 * calls of these headers. */
#ifndef KIN_COROUTINE_H
#define KIN_COROUTINE_H

#include <stddef.h>

#include <kin/time.h>

KIN_BEGIN

/* A handle in the private memory of the process, for the thread that started the coroutine. */
typedef struct kin_coroutine kin_coroutine;

/* Coroutines that are waited for and cancelled together. */
typedef struct kin_group kin_group;

/* What a coroutine runs; kin_coroutine_result tells what it returned. */
typedef int kin_coroutine_function(void *argument);

typedef struct kin_coroutine_options {
    const char *name;  /* copied; NULL: "Coroutine-1", "Coroutine-2", … */
    size_t stack_size; /* bytes, 16 KiB to 1 GiB; 0: 192 KiB.  Only what is touched takes memory. */
    kin_group *group;  /* NULL: in none */
} kin_coroutine_options;

/* kin_coroutine_start makes a coroutine that will run `target(argument)`, and stores its handle in
 * `*coroutine`; with `coroutine` NULL there is no handle, and it is freed when it ends.  It begins
 * when the others of its thread wait.  A stack that overflows ends the process with SIGSEGV, and
 * corrupts nothing; kin_coroutine_overflowed tells.
 * Does not wait.
 * Errors: -EINVAL (NULL, a name of more than 31 bytes, a stack size), -ENOMEM, -ECANCELED (the group
 * was cancelled), -EPERM (another thread's group), -EMFILE, -ENFILE, -EAGAIN (no pthread key is left; for
 * the first one of a thread). */
KIN_API int kin_coroutine_start_sized(kin_coroutine **coroutine, kin_coroutine_function *target,
                                      void *argument, const kin_coroutine_options *options, size_t size);
static inline int kin_coroutine_start(kin_coroutine **coroutine, kin_coroutine_function *target,
                                      void *argument, const kin_coroutine_options *options)
{
    return kin_coroutine_start_sized(coroutine, target, argument, options, sizeof(kin_coroutine_options));
}

/* kin_coroutine_join waits until the coroutine has ended, or until `deadline`.  It may be called
 * again, and by several at once.  Called outside of coroutines it runs them meanwhile.
 * Errors: -ETIMEDOUT, -ECANCELED (the caller was cancelled), -EDEADLK (itself; or all wait for each
 * other), -EPERM (another thread's), -EINVAL (NULL). */
KIN_API int kin_coroutine_join(kin_coroutine *coroutine, kin_deadline deadline);

/* kin_coroutine_is_alive returns 1 until the coroutine has ended and 0 after.  Does not wait.
 * Errors: -EINVAL (NULL). */
KIN_API int kin_coroutine_is_alive(const kin_coroutine *coroutine);

/* kin_coroutine_result stores in `*result` what the coroutine's function returned.  Does not wait.
 * Errors: -EBUSY (it has not ended), -EINVAL (NULL). */
KIN_API int kin_coroutine_result(const kin_coroutine *coroutine, int *result);

/* kin_coroutine_cancel asks the coroutine to end: what it waits for, and all it will wait for, fails
 * at once with -ECANCELED, so that its function can clean up and return.  One that has not begun
 * does not begin; its result is -ECANCELED.  Does not wait.
 * Errors: -EPERM (another thread's), -EINVAL (NULL). */
KIN_API int kin_coroutine_cancel(kin_coroutine *coroutine);

/* kin_coroutine_cancelled returns 1 when the calling coroutine was cancelled, else 0. */
KIN_API int kin_coroutine_cancelled(void);

/* kin_coroutine_yield lets the other coroutines of the thread run, each that can once, before it
 * returns.  Errors: -ECANCELED. */
KIN_API int kin_coroutine_yield(void);

/* kin_coroutine_sleep waits until the moment `until`; outside of coroutines the thread's coroutines
 * are run meanwhile.  Errors: -ECANCELED. */
KIN_API int kin_coroutine_sleep(kin_deadline until);

/* kin_coroutine_current returns the running coroutine's handle, valid while it runs; NULL outside of
 * coroutines.  kin_coroutine_name returns a name, which lives as long as the handle.  Do not block. */
KIN_API kin_coroutine *kin_coroutine_current(void);
KIN_API const char *kin_coroutine_name(const kin_coroutine *coroutine);

/* kin_coroutine_overflowed returns 1 when `address`, such as the si_addr of a SIGSEGV, lies in the
 * guard of 64 KiB below the stack of a coroutine or a generator, else 0.  For signal handlers (on a
 * stack of their own). */
KIN_API int kin_coroutine_overflowed(const void *address);

/* kin_coroutine_close frees the handle of a coroutine that has ended.  NULL is allowed.
 * Errors, after which the handle stays valid: -EBUSY (it has not ended, or is being joined), -EPERM. */
KIN_API int kin_coroutine_close(kin_coroutine *coroutine);

/* ---- groups ----------------------------------------------------------------------------------- */

/* kin_group_open makes an empty group and stores it in `*group`.  Errors: -EINVAL, -ENOMEM. */
KIN_API int kin_group_open(kin_group **group);

/* kin_group_join waits until every coroutine of the group has ended and returns 0, or the first
 * negative result of one of them: as soon as one fails the others are cancelled.
 * Errors besides: -ETIMEDOUT, -ECANCELED (the caller was cancelled), -EDEADLK, -EPERM, -EINVAL. */
KIN_API int kin_group_join(kin_group *group, kin_deadline deadline);

/* kin_group_cancel cancels every coroutine of the group; none can be added any more. */
KIN_API int kin_group_cancel(kin_group *group);

/* kin_group_close leaves the group: cancels what still runs in it, waits until that has ended, even
 * when the caller was cancelled, and frees the group.  NULL is allowed.
 * Errors: -EDEADLK (a member; or one of them waits for ever), -EPERM (another thread's, with members). */
KIN_API int kin_group_close(kin_group *group);

KIN_END
#endif
