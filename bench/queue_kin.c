/* queue_kin.c: kin's rows of the queue benchmark. */
#include <kin.h>

#include "queue.h"

QUEUE_INLINE int put(void *queue, const void *message, size_t size)
{
    return kin_queue_put(queue, message, size, KIN_FOREVER);
}

QUEUE_INLINE int get(void *queue, void *message, size_t size)
{
    return kin_queue_get(queue, message, size, KIN_FOREVER) == (long)size ? 1 : -1;
}

QUEUE_WORK(copied_work, put, get)

static double measure(const struct bench_case *test, long count, int (*work)(int index, void *context))
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    kin_queue *queue = NULL;
    int rc = kin_queue_open(&queue, &(kin_queue_options){.max_items = (size_t)traffic->depth});
    if (rc < 0) return bench_fail("kin_queue_open: %s", kin_strerror(rc));
    traffic->transport = queue;
    return queue_measure(traffic, &(struct bench_team){.work = work});
}

double bench_kin_queue(const struct bench_case *test, long count)
{
    return measure(test, count, copied_work);
}

/* ---- in place -------------------------------------------------------------------------------- */

static int send_in_place(struct queue_traffic *traffic, bool touch)
{
    for (long i = 0; i < traffic->messages; i++) {
        void *message;
        int rc = kin_queue_reserve(traffic->transport, &message, traffic->size);
        if (rc < 0) return rc;
        if (touch) bench_fill(message, traffic->size, (uint64_t)i);
        rc = kin_queue_commit(traffic->transport, message, KIN_FOREVER);
        if (rc < 0) return rc;
    }
    return 0;
}

static int receive_in_place(struct queue_traffic *traffic, bool touch)
{
    struct queue_tally tally = {0, traffic->messages, 0};
    for (long i = 0; i < traffic->messages; i++) {
        void *message;
        long size = kin_queue_take(traffic->transport, &message, KIN_FOREVER);
        if (size != (long)traffic->size) return -1;
        if (touch) tally.read += bench_sum(message, traffic->size);
        tally.sum += touch ? *(uint64_t *)message : (uint64_t)i;
        kin_queue_release(message);
    }
    traffic->tallies[0] = tally;
    return 0;
}

static int in_place_work(int index, void *context)
{
    return index == 0 ? send_in_place(context, true) : receive_in_place(context, true);
}

static int blocks_work(int index, void *context)
{
    return index == 0 ? send_in_place(context, false) : receive_in_place(context, false);
}

double bench_kin_queue_in_place(const struct bench_case *test, long count)
{
    return measure(test, count, in_place_work);
}

double bench_kin_queue_blocks(const struct bench_case *test, long count)
{
    return measure(test, count, blocks_work);
}
