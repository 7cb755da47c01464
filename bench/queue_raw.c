/* queue_raw.c: the limits of the queue benchmark: raw rings, copied, in place, and of blocks. */
#include "queue.h"
#include "raw_ring.h"

QUEUE_INLINE int spsc_put(void *ring, const void *message, size_t size)
{
    raw_spsc_put(ring, message, size);
    return 0;
}

QUEUE_INLINE int spsc_get(void *ring, void *message, size_t size)
{
    raw_spsc_get(ring, message, size);
    return 1;
}

QUEUE_INLINE int mpmc_put(void *ring, const void *message, size_t size)
{
    raw_mpmc_put(ring, message, size);
    return 0;
}

QUEUE_INLINE int mpmc_get(void *ring, void *message, size_t size)
{
    raw_mpmc_get(ring, message, size);
    return 1;
}

QUEUE_WORK(spsc_work, spsc_put, spsc_get)
QUEUE_WORK(mpmc_work, mpmc_put, mpmc_get)

static double spsc(const struct bench_case *test, long count, bool spins)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    traffic->transport = raw_spsc_new((uint64_t)traffic->depth, traffic->size, spins);
    return queue_measure(traffic, &(struct bench_team){.work = spsc_work});
}

double queue_raw_spsc(const struct bench_case *test, long count)
{
    return spsc(test, count, false);
}

double queue_raw_spsc_spinning(const struct bench_case *test, long count)
{
    return spsc(test, count, true);
}

static double mpmc(const struct bench_case *test, long count, int (*work)(int index, void *context))
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    traffic->transport = raw_mpmc_new((uint64_t)traffic->depth, traffic->size);
    return queue_measure(traffic, &(struct bench_team){.work = work});
}

double queue_raw_mpmc(const struct bench_case *test, long count)
{
    return mpmc(test, count, mpmc_work);
}

/* ---- every byte written and read once -------------------------------------------------------- */

static int touched_work(int index, void *context)
{
    struct queue_traffic *traffic = context;
    struct raw_mpmc *ring = traffic->transport;
    struct queue_tally tally = {0, traffic->messages, 0};
    uint64_t *message = queue_buffer(traffic->size);
    for (long i = 0; i < traffic->messages; i++) {
        if (index == 0) {
            bench_fill(message, traffic->size, (uint64_t)i);
            raw_mpmc_put(ring, message, traffic->size);
        } else {
            raw_mpmc_get(ring, message, traffic->size);
            tally.read += bench_sum(message, traffic->size);
            tally.sum += message[0];
        }
    }
    if (index == 1) traffic->tallies[0] = tally;
    return 0;
}

double queue_raw_touched(const struct bench_case *test, long count)
{
    return mpmc(test, count, touched_work);
}

static int in_place_work(int index, void *context)
{
    struct queue_traffic *traffic = context;
    struct raw_mpmc *ring = traffic->transport;
    struct queue_tally tally = {0, traffic->messages, 0};
    for (long i = 0; i < traffic->messages; i++) {
        if (index == 0) {
            struct raw_place place = raw_mpmc_reserve(ring);
            bench_fill(place.message, traffic->size, (uint64_t)i);
            raw_mpmc_commit(ring, &place);
        } else {
            struct raw_place place = raw_mpmc_take(ring);
            tally.read += bench_sum(place.message, traffic->size);
            tally.sum += *(uint64_t *)place.message;
            raw_mpmc_release(ring, &place);
        }
    }
    if (index == 1) traffic->tallies[0] = tally;
    return 0;
}

double queue_raw_in_place(const struct bench_case *test, long count)
{
    return mpmc(test, count, in_place_work);
}

/* ---- blocks that change hands ---------------------------------------------------------------- */

/* The number of a block goes there in one ring and comes back in the other. */
struct block_rings {
    struct raw_mpmc *there, *back;
};

static int blocks_work(int index, void *context)
{
    struct queue_traffic *traffic = context;
    struct block_rings *rings = traffic->transport;
    struct queue_tally tally = {0, traffic->messages, 0};
    uint64_t block;
    for (long i = 0; i < traffic->messages; i++) {
        raw_mpmc_get(index ? rings->there : rings->back, &block, sizeof block);
        tally.read += block;
        tally.sum += (uint64_t)i;
        raw_mpmc_put(index ? rings->back : rings->there, &block, sizeof block);
    }
    if (index == 1) traffic->tallies[0] = tally;
    return 0;
}

double queue_raw_blocks(const struct bench_case *test, long count)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    struct block_rings rings = {raw_mpmc_new(QUEUE_BLOCKS, sizeof(uint64_t)),
                                raw_mpmc_new(QUEUE_BLOCKS, sizeof(uint64_t))};
    for (uint64_t block = 0; block < QUEUE_BLOCKS; block++) raw_mpmc_put(rings.back, &block, sizeof block);
    traffic->transport = &rings;
    return queue_measure(traffic, &(struct bench_team){.work = blocks_work});
}
