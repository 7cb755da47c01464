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

static double measure_team(struct queue_traffic *traffic, enum kin_queue_order order,
                           const struct bench_team *team)
{
    kin_queue *queue = NULL;
    kin_queue_options options = {.max_items = (size_t)traffic->depth, .order = order};
    int rc = kin_queue_open(&queue, &options);
    if (rc < 0) return bench_fail("kin_queue_open: %s", kin_strerror(rc));
    traffic->transport = queue;
    return queue_measure(traffic, team);
}

static double measure(struct queue_traffic *traffic, enum kin_queue_order order,
                      int (*work)(int index, void *context))
{
    return measure_team(traffic, order, &(struct bench_team){.work = work});
}

double bench_kin_queue(const struct bench_case *test, long count)
{
    return measure(queue_traffic_new(test, count), KIN_FIFO, copied_work);
}

double bench_kin_queue_by_priority(const struct bench_case *test, long count)
{
    return measure(queue_traffic_new(test, count), KIN_PRIORITY, copied_work);
}

/* ---- in batches ------------------------------------------------------------------------------ */

enum { BATCH = 64 };

static int send_batches(struct queue_traffic *traffic)
{
    char *bytes = queue_buffer(BATCH * traffic->size);
    kin_message messages[BATCH];
    for (size_t i = 0; i < BATCH; i++) messages[i] = (kin_message){bytes + i * traffic->size, traffic->size};
    for (long sent = 0; sent < traffic->messages; sent += BATCH) {
        long count = traffic->messages - sent < BATCH ? traffic->messages - sent : BATCH;
        for (long i = 0; i < count; i++) {
            long number = sent + i;
            memcpy(bytes + (size_t)i * traffic->size, &number, sizeof number);
        }
        if (kin_queue_put_many(traffic->transport, messages, (size_t)count, KIN_FOREVER) != count) return -1;
    }
    return 0;
}

static int receive_batches(struct queue_traffic *traffic)
{
    char *bytes = queue_buffer(BATCH * traffic->size);
    kin_message messages[BATCH];
    struct queue_tally tally = {0, traffic->messages, 0};
    for (long received = 0; received < traffic->messages;) {
        long count = kin_queue_get_many(traffic->transport, messages, BATCH, bytes, BATCH * traffic->size,
                                        KIN_FOREVER);
        if (count < 0) return -1;
        for (long i = 0; i < count; i++) {
            uint64_t number;
            memcpy(&number, messages[i].data, sizeof number);
            tally.sum += number;
        }
        received += count;
    }
    traffic->tallies[0] = tally;
    return 0;
}

static int batches_work(int index, void *context)
{
    return index == 0 ? send_batches(context) : receive_batches(context);
}

double bench_kin_queue_batches(const struct bench_case *test, long count)
{
    return measure(queue_traffic_new(test, count), KIN_FIFO, batches_work);
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
    return measure(queue_traffic_new(test, count), KIN_FIFO, in_place_work);
}

/* Once is not enough: freed for the first time, so many blocks lose their memory. */
static int prepare_blocks(int index, void *context)
{
    struct queue_traffic *traffic = context;
    void *block[QUEUE_BLOCKS];
    int rc = 0;
    for (int round = 0; index == 0 && round < 3; round++) {
        for (int i = 0; i < QUEUE_BLOCKS && rc == 0; i++)
            rc = kin_queue_reserve(traffic->transport, &block[i], traffic->size);
        for (int i = 0; i < QUEUE_BLOCKS && rc == 0; i++) rc = kin_queue_release(block[i]);
    }
    return rc;
}

/* As many blocks as in the limit. */
double bench_kin_queue_blocks(const struct bench_case *test, long count)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    traffic->depth = QUEUE_BLOCKS;
    return measure_team(traffic, KIN_FIFO,
                        &(struct bench_team){.prepare = prepare_blocks, .work = blocks_work});
}
