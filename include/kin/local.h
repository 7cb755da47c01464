/* kin/local.h: values that each thread, and each coroutine, has of its own.
 *
 *     static kin_local *session;                        // one for the program
 *     kin_local_open(&session, close_session);
 *     …in any thread…
 *     kin_local_set(session, open_session());           // destroyed when this thread ends
 *     use(kin_local_get(session));
 */
#ifndef KIN_LOCAL_H
#define KIN_LOCAL_H

#include <kin/version.h>

KIN_BEGIN

/* A name under which everyone finds another value; in the private memory of the process. */
typedef struct kin_local kin_local;

/* kin_local_open makes a local, whose value is NULL everywhere, and stores it in `*local`.  When a
 * thread or coroutine ends while its value is not NULL, `destructor(value)` is called there; it may
 * be NULL.  Does not wait.  Errors: -EINVAL (NULL), -ENOMEM, -EAGAIN (1,048,576 are
 * open, or the process has no pthread key left). */
KIN_API int kin_local_open(kin_local **local, void (*destructor)(void *value));

/* kin_local_set sets the caller's value; the one before is not destroyed.  Does not wait.
 * Errors: -EINVAL (NULL), -ENOMEM. */
KIN_API int kin_local_set(kin_local *local, void *value);

/* kin_local_get returns the caller's value; NULL when none was set.  Does not block. */
KIN_API void *kin_local_get(const kin_local *local);

/* kin_local_close frees a local.  Values that are set are forgotten, not destroyed; nobody may use
 * the local any more.  Waits for destructors of it that other threads and coroutines are in.  NULL is allowed. */
KIN_API int kin_local_close(kin_local *local);

KIN_END
#endif
