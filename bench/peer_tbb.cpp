// peer_tbb.cpp: oneTBB's parallel_for, threads, in the pool benchmark.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <vector>

#include "pool.h"

double peer_tbb_map(const bench_case *test, long count)
{
    auto *shape = static_cast<const pool_shape *>(test->shape);
    size_t grain = shape->chunks ? POOL_CHUNK : 1;
    tbb::global_control workers(tbb::global_control::max_allowed_parallelism, POOL_WORKERS);
    std::vector<int> in(POOL_ITEMS);
    std::vector<long> out(POOL_ITEMS);
    pool_numbers(in.data());
    auto body = [&](const tbb::blocked_range<int> &range) {
        for (int i = range.begin(); i < range.end(); i++) out[i] = pool_square(in[i]);
    };
    double begin = 0;
    // The first is not counted: the pages of the arrays, and the threads.
    for (long round = -1; round < count; round++) {
        if (round == 0) begin = bench_now();
        tbb::parallel_for(tbb::blocked_range<int>(0, POOL_ITEMS, grain), body, tbb::simple_partitioner());
    }
    double seconds = bench_now() - begin;
    return pool_check(out.data()) ? -1 : seconds;
}
