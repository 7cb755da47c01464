/* peer_openmp.c: OpenMP's dynamic schedule, threads, in the pool benchmark. */
#include <stdlib.h>

#include "pool.h"

double peer_openmp_map(const struct bench_case *test, long count)
{
    const struct pool_shape *shape = test->shape;
    int chunk = shape->chunks ? POOL_CHUNK : 1;
    int *in = calloc(POOL_ITEMS, sizeof *in);
    long *out = calloc(POOL_ITEMS, sizeof *out);
    if (!in || !out) return bench_fail("no memory");
    pool_numbers(in);
    double begin = 0;
    /* The first is not counted: the pages of the arrays, and the threads. */
    for (long round = -1; round < count; round++) {
        if (round == 0) begin = bench_now();
#pragma omp parallel for num_threads(POOL_WORKERS) schedule(dynamic, chunk)
        for (int i = 0; i < POOL_ITEMS; i++) out[i] = pool_square(in[i]);
    }
    double seconds = bench_now() - begin;
    return pool_check(out) ? -1 : seconds;
}
