/* queue_value.c: values through the public interface of queues, as pickles.
 *
 * CRASH: a process killed in here was killed inside put, take or release, which say what is found then,
 * or between them: a message that it had taken is freed, as every message that a dead process holds.
 */
#include <errno.h>

#include <kin/pickle.h>
#include <kin/queue_value.h>

#include "ipc/queue.h"
#include "memory/remote.h"

int kin_queue_put_value(kin_queue *queue, const kin_value *value, kin_deadline deadline)
{
    kin_buffer bytes = {0};
    if (kin__queue_enter(queue) == KIN_EFOREIGN && kin__is_remote(queue))
        return kin__remote_put_value(queue, value, deadline);
    int rc = kin_pickle_dumps(value, &bytes);
    if (rc == 0) rc = kin_queue_put(queue, bytes.data, bytes.size, deadline);
    kin_buffer_free(&bytes);
    return rc;
}

int kin_queue_get_value(kin_queue *queue, kin_value *value, kin_deadline deadline)
{
    void *message;
    if (value == NULL) return -EINVAL;
    *value = kin_value_none();
    if (kin__queue_enter(queue) == KIN_EFOREIGN && kin__is_remote(queue))
        return kin__remote_get_value(queue, value, deadline);
    long size = kin_queue_take(queue, &message, deadline);
    if (size < 0) return (int)size;
    int rc = kin_pickle_loads(value, message, (size_t)size, NULL);
    kin_queue_release(message);
    return rc;
}
