/* map.h: between the benchmark of `kin map` and its limits. */
#ifndef BENCH_MAP_H
#define BENCH_MAP_H

#include "support.h"

enum { MAP_JOBS = 2 };

/* Writes the line of sha256sum for each of `count` files to `descriptor`, by forked workers;
 * 0, or -1 after a note. */
int map_hash_files(char **names, long count, int descriptor) __attribute__((weak));

#endif
