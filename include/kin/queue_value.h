/* kin/queue_value.h: values through queues, where messages have no fixed form.
 *
 *     kin_value job = kin_value_build("(s[ii])", "resize", 640, 480);
 *     kin_queue_put_value(queue, &job, KIN_FOREVER);
 *                                         …in another process…
 *     kin_value job;
 *     int rc = kin_queue_get_value(queue, &job, kin_in_s(8));
 *     if (rc == KIN_EMPTY) …
 */
#ifndef KIN_QUEUE_VALUE_H
#define KIN_QUEUE_VALUE_H

#include <kin/queue.h>
#include <kin/value.h>

KIN_BEGIN

/* kin_queue_put_value puts a value into the queue as one message, waiting until `deadline` while it
 * is full.  The value stays the caller's.  When it returns 0 the message is in the queue.
 * Safe like kin_queue_put.
 * Errors, after which no message was put: those of kin_queue_put and kin_pickle_dumps. */
KIN_API int kin_queue_put_value(kin_queue *queue, const kin_value *value, kin_deadline deadline);

/* kin_queue_get_value takes the oldest message out of the queue and stores the value in `*value`, which
 * need not be initialised and is None after an error; waits until `deadline` while there is none.
 * Safe like kin_queue_get.
 * Errors: those of kin_queue_take, after which no message was taken; those of kin_pickle_loads for a
 * message that was not put as a value: it has been taken, so that it does not block the queue. */
KIN_API int kin_queue_get_value(kin_queue *queue, kin_value *value, kin_deadline deadline);

KIN_END
#endif
