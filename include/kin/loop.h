/* kin/loop.h: the event loop of a thread, which runs its coroutines and wakes those that wait.
 *
 * Each thread that starts a coroutine has one.  There is nothing to open:
 *
 *     kin_coroutine_start(NULL, serve, listener, NULL);
 *     int rc = kin_loop_run(KIN_FOREVER);               // until the last coroutine has ended
 *
 * In a program that has a loop already, kin's runs inside of it: it has a descriptor. */
#ifndef KIN_LOOP_H
#define KIN_LOOP_H

#include <stddef.h>

#include <kin/time.h>

KIN_BEGIN

/* kin_loop_run runs the thread's coroutines until the last one has ended, or until `deadline`.
 * Errors: -ETIMEDOUT, -EDEADLK (all that are left wait for each other; or called by a coroutine),
 * -ECHILD (in a child that a coroutine forked and that returned from its function). */
KIN_API int kin_loop_run(kin_deadline deadline);

/* kin_loop_turn runs the coroutines that can run, waits until `deadline` when there is none, and
 * runs those for which something has happened: one turn of the loop.  Returns how many coroutines
 * are alive.  Errors: -EDEADLK (called by a coroutine), -ECHILD. */
KIN_API int kin_loop_turn(kin_deadline deadline);

/* kin_loop_descriptor returns a descriptor that is readable whenever kin_loop_turn(KIN_NOW) has
 * something to do, for the program's own loop.  It belongs to kin, until kin_loop_close.
 * Errors: -EMFILE, -ENFILE, -ENOMEM. */
KIN_API int kin_loop_descriptor(void);

/* kin_loop_close frees what the calling thread's loop has taken.  The end of a thread does it too;
 * the coroutines that are then still alive vanish, without another step.
 * Errors: -EBUSY (coroutines are alive; or called by one). */
KIN_API int kin_loop_close(void);

/* kin_wait_descriptor waits until `descriptor` is readable (KIN_READABLE) or writable (KIN_WRITABLE)
 * and returns which; after an error or a hang-up it says both.  In a coroutine the others run
 * meanwhile.  The descriptor must not be closed by another one meanwhile.
 * Errors: -ETIMEDOUT, -ECANCELED, -EBADF, -EINVAL (no event, or a negative number), -ENOMEM. */
enum { KIN_READABLE = 1, KIN_WRITABLE = 2 };
KIN_API int kin_wait_descriptor(int descriptor, int events, kin_deadline deadline);

/* kin_offload runs `function(argument)`, which may block, in a thread pool (libuv's: UV_THREADPOOL_SIZE
 * threads, 4 when that is not set, which are started with the first call) and returns what it
 * returned; the other coroutines run meanwhile.  Outside of coroutines it just calls it.
 * It waits for the end of the function even when the coroutine is cancelled, because the function
 * may use its stack.  Errors: -ENOMEM, -EMFILE; the function's own. */
KIN_API int kin_offload(int (*function)(void *argument), void *argument);

KIN_END
#endif
