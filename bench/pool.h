/* pool.h: the cases of the pool benchmark and the work that every pool does. */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "support.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { POOL_WORKERS = 2, POOL_ITEMS = 1000000, POOL_CHUNK = 4096, POOL_WINDOW = 1000 };
enum { POOL_LARGE = 1 << 20, POOL_LARGE_WINDOW = 8 };

struct pool_shape {
    bool chunks; /* the pool may hand out many items at once, else one by one */
};

static inline long pool_square(int number)
{
    return (long)number * number;
}

/* The result of a task of the stream: 64 bytes. */
struct pool_record {
    long square;
    long number;
    char text[48];
};

static inline void pool_fill_record(struct pool_record *record, int number)
{
    record->square = pool_square(number);
    record->number = number;
    __builtin_memset(record->text, number & 0x7f, sizeof record->text);
}

/* The numbers that are squared; then 0 when all squares are right, or -1 after a note. */
void pool_numbers(int *in);
int pool_check(const long *out);

/* The sum of the squares of 0 to count - 1, each taken modulo 1000. */
long pool_window_sum(long count);
static inline int pool_window_number(long index)
{
    return (int)(index % 1000);
}

bench_run pool_counter, pool_ring, pool_ring_window, pool_ring_stream, pool_ring_large, pool_fork;
bench_run bench_kin_map __attribute__((weak));
bench_run bench_kin_map_pure __attribute__((weak));
bench_run bench_kin_submit __attribute__((weak));
bench_run bench_kin_stream __attribute__((weak));
bench_run bench_kin_large __attribute__((weak));
bench_run bench_kin_open __attribute__((weak));
bench_run bench_kin_open_used __attribute__((weak));
bench_run bench_kin_map_threads __attribute__((weak));
bench_run bench_kin_submit_threads __attribute__((weak));
bench_run bench_kin_stream_threads __attribute__((weak));
bench_run bench_kin_large_threads __attribute__((weak));
bench_run bench_kin_open_threads __attribute__((weak));
bench_run bench_kin_open_used_threads __attribute__((weak));
bench_run peer_openmp_map __attribute__((weak));
bench_run peer_tbb_map __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
