/* kin/connection_value.h: values over connections: what send and recv of Python's Connection are.
 *
 *     kin_value job = kin_value_build("(s[ii])", "resize", 640, 480);
 *     kin_connection_send_value(connection, &job, KIN_FOREVER);
 *                                         …at the other end, in C or in Python…
 *     kin_value job;
 *     int rc = kin_connection_recv_value(connection, &job, NULL, kin_in_s(8));
 */
#ifndef KIN_CONNECTION_VALUE_H
#define KIN_CONNECTION_VALUE_H

#include <kin/connection.h>
#include <kin/pickle.h>

KIN_BEGIN

/* kin_connection_send_value sends a value as one message, waiting until `deadline`.  The value stays the
 * caller's.  Safe like kin_connection_send.
 * Errors, after which no message was sent (on a stream, see there): those of kin_connection_send and
 * kin_pickle_dumps. */
KIN_API int kin_connection_send_value(kin_connection *connection, const kin_value *value,
                                      kin_deadline deadline);

/* kin_connection_recv_value receives the next message and stores its value in `*value`, which need not be
 * initialised and is None after an error; waits until `deadline` while there is none.  `options` are those of
 * kin_pickle_loads, but that `in_place` is ignored, and may be NULL; a message of more than their `max_size` bytes,
 * or, where that is 0, of more than 1 GiB, stays.  Safe like kin_connection_recv.
 * Errors: those of kin_connection_recv (KIN_ETOOSMALL: the message is too long, and stays; kin_needed_size tells its
 * size); those of kin_pickle_loads for a message that is no value: it has been received, so that it does not
 * block the connection. */
KIN_API int kin_connection_recv_value_sized(kin_connection *connection, kin_value *value,
                                            const kin_pickle_options *options, size_t size,
                                            kin_deadline deadline);
static inline int kin_connection_recv_value(kin_connection *connection, kin_value *value,
                                            const kin_pickle_options *options, kin_deadline deadline)
{
    return kin_connection_recv_value_sized(connection, value, options, sizeof(kin_pickle_options), deadline);
}

KIN_END
#endif
