/* round_trip_kin.c: kin's row of the round trip benchmark. */
#include <kin.h>

#include "round_trip.h"

static inline int send_number(void *queues, int direction, uint64_t number)
{
    return kin_queue_put(((kin_queue **)queues)[direction], &number, sizeof number, KIN_FOREVER);
}

static inline int receive_number(void *queues, int direction, uint64_t *number)
{
    long size = kin_queue_get(((kin_queue **)queues)[direction], number, sizeof *number, KIN_FOREVER);
    return size == (long)sizeof *number ? 0 : -1;
}

TRIP_WORK(work, send_number, receive_number)

double bench_kin_trip(const struct bench_case *test, long count)
{
    kin_queue *queues[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        int rc = kin_queue_open(&queues[i], &(kin_queue_options){.max_items = 16});
        if (rc < 0) return bench_fail("kin_queue_open: %s", kin_strerror(rc));
    }
    return trip_measure(test, &(struct trip){count, queues}, &(struct bench_team){.work = work});
}
