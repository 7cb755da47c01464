/* pools.h: one case for pools of processes and for pools of threads.
 *
 *     POOL_TEST(tasks_are_run)
 *     {
 *         kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .kind = pool_kind});
 *         …
 *     }
 *
 * makes two cases, tasks_are_run_processes and tasks_are_run_threads.  What is of processes alone, the
 * deaths of workers for the most part, is in a TEST as usual; there pool_kind is KIN_POOL_PROCESSES. */
#ifndef POOLS_H
#define POOLS_H

#include <kin/pool.h>

#include "test.h"

static enum kin_pool_kind pool_kind;

#define POOL_TEST(identifier, ...) \
    static void identifier(void); \
    TEST(identifier##_processes, __VA_ARGS__) \
    { \
        identifier(); \
    } \
    TEST(identifier##_threads, __VA_ARGS__) \
    { \
        pool_kind = KIN_POOL_THREADS; \
        identifier(); \
    } \
    static void identifier(void)

#endif
