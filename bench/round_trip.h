/* round_trip.h: a number goes there and comes back; the loop every transport is measured in. */
#ifndef BENCH_ROUND_TRIP_H
#define BENCH_ROUND_TRIP_H

#include "support.h"

#ifdef __cplusplus
extern "C" {
#endif

struct trip_shape {
    bool one_core; /* both processes on one processor, else one each */
};

struct trip {
    long count;
    void *transport;
};

/* trip_measure runs process 0, which asks, and process 1, which answers; prepare and finish
 * of `how` may be set. */
double trip_measure(const struct bench_case *test, struct trip *trip, const struct bench_team *how);

/* `direction` is 0 for the way there and 1 for the way back; 0 or negative. */
typedef int trip_send(void *transport, int direction, uint64_t number);
typedef int trip_receive(void *transport, int direction, uint64_t *number);

static inline __attribute__((always_inline)) int trip_run(struct trip *trip, int index, trip_send *send,
                                                          trip_receive *receive)
{
    for (uint64_t i = 0; i < (uint64_t)trip->count; i++) {
        uint64_t number = 0;
        if (index == 0 && send(trip->transport, 0, i)) return -1;
        if (receive(trip->transport, 1 - index, &number) || number != i) return -1;
        if (index == 1 && send(trip->transport, 1, number)) return -1;
    }
    return 0;
}

#define TRIP_WORK(name, send, receive) \
    static int name(int index, void *context) \
    { \
        return trip_run((struct trip *)context, index, send, receive); \
    }

bench_run bench_kin_trip __attribute__((weak));
bench_run peer_boost_trip __attribute__((weak));
bench_run peer_zeromq_trip __attribute__((weak));
bench_run peer_nng_trip __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
