/* connection_value.c: values through the public interface of connections, as pickles.
 *
 * Invariant: what a peer says of a message's size makes nobody allocate more than is allowed.
 */
#include <errno.h>
#include <string.h>

#include <kin/connection_value.h>
#include <kin/error.h>

#include "os/os.h"

#define SIZE_MOST ((size_t)1 << 30)

/* Most messages fit into it. */
#define FIRST_SIZE ((size_t)4096)

int kin_connection_send_value(kin_connection *connection, const kin_value *value, kin_deadline deadline)
{
    kin_buffer bytes = {0};
    int rc = kin_pickle_dumps(value, &bytes);
    if (rc == 0) rc = kin_connection_send(connection, bytes.data, bytes.size, deadline);
    kin_buffer_free(&bytes);
    return rc;
}

/* The next message in memory that is the caller's to free, or in the `first` bytes.  Another thread may take a message
 * that was too large for us, so the next may be larger still. */
static long receive(kin_connection *connection, size_t most, unsigned char first[FIRST_SIZE], void **bytes,
                    kin_deadline deadline)
{
    size_t capacity = most < FIRST_SIZE ? most : FIRST_SIZE;
    *bytes = first;
    for (;;) {
        long size = kin_connection_recv(connection, *bytes, capacity, deadline);
        if (size != KIN_ETOOSMALL || kin_needed_size() > most) return size;
        capacity = kin_needed_size();
        if (*bytes != first) kin__os_free(*bytes);
        *bytes = kin__os_malloc(capacity);
        if (*bytes == NULL) {
            *bytes = first;
            return -ENOMEM;
        }
    }
}

int kin_connection_recv_value_sized(kin_connection *connection, kin_value *value,
                                    const kin_pickle_options *options, size_t size, kin_deadline deadline)
{
    unsigned char first[FIRST_SIZE];
    kin_pickle_options given = {0};
    void *bytes;
    if (value == NULL) return -EINVAL;
    *value = kin_value_none();
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    given.in_place = false;
    long got = receive(connection, given.max_size > 0 ? given.max_size : SIZE_MOST, first, &bytes, deadline);
    int rc = got < 0 ? (int)got : kin_pickle_loads(value, bytes, (size_t)got, &given);
    if (bytes != first) kin__os_free(bytes);
    return rc;
}
