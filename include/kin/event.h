/* kin/event.h: an event: a flag that processes and threads wait for.
 *
 *     kin_event *stop = NULL;
 *     int rc = kin_event_open(&stop, NULL);
 *     …in one process…                     …in others, and in a signal handler…
 *     rc = kin_event_wait(stop, kin_in_s(5));    kin_event_set(stop);
 *     if (rc == -ETIMEDOUT) …
 */
#ifndef KIN_EVENT_H
#define KIN_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/time.h>

KIN_BEGIN

/* An event lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_event kin_event;

typedef struct kin_event_options {
    bool set; /* it is set from the beginning */
} kin_event_options;

/* kin_event_open makes an event and stores it in `*event`; `options` may be NULL.  Whoever opened
 * it, any one process closes it.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), -ENOMEM, and those of kin_family_open. */
KIN_API int kin_event_open_sized(kin_event **event, const kin_event_options *options, size_t size);
static inline int kin_event_open(kin_event **event, const kin_event_options *options)
{
    return kin_event_open_sized(event, options, sizeof(kin_event_options));
}

/* kin_event_close destroys an event; who waits for it gets KIN_ECLOSED.  NULL is allowed.  Blocks
 * and is safe like kin_alloc.
 * Errors, after which nothing has changed: KIN_ECLOSED (closed before), KIN_EFOREIGN. */
KIN_API int kin_event_close(kin_event *event);

/* kin_event_set sets the event, and all who wait for it go on.  Setting it again does nothing.
 * Does not wait.  Safe for threads, and in a signal handler.  If the caller is killed in the
 * middle, the event is set and all go on, or it is not set.
 * Errors: -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_event_set(kin_event *event);

/* kin_event_clear clears the event: from now on who waits for it waits for the next set.  Whoever
 * waited when it was set goes on, however soon after that it is cleared.  Does not wait; safe like
 * kin_event_set.
 * Errors: -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_event_clear(kin_event *event);

/* kin_event_is_set returns 1 while the event is set and 0 otherwise.  Does not wait; safe like
 * kin_event_set.
 * Errors: -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_event_is_set(const kin_event *event);

/* kin_event_wait waits until the event is set, or until `deadline`.  It returns 0 at once when the
 * event is set.  Safe for threads; not for signal handlers.
 * Errors: -ETIMEDOUT (it was not set until the deadline), -EINVAL (NULL), KIN_ECLOSED (also when it
 * is closed meanwhile), KIN_EFOREIGN, KIN_ESLOTS. */
KIN_API int kin_event_wait(kin_event *event, kin_deadline deadline);

KIN_END
#endif
