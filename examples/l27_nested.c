/* L27: tasks that hand tasks to their own pool and wait for them, without a deadlock: a worker that waits has
 * another one in its place meanwhile; and a task that has a pool of its own. */
#include <errno.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int fibonacci(const int *in, int *out);
static int fibonacci_range(const void *in, void *out, size_t count, volatile size_t *item);
static const kin_function fibonacci_function = {
    .name = "fibonacci", .range = fibonacci_range, .in_size = sizeof(int), .out_size = sizeof(int)};

static int fibonacci(const int *in, int *out)
{
    *out = *in;
    if (*in < 2) return 0;
    kin_result *parts[2];
    int value[2];
    for (int i = 0; i < 2; i++) {
        int smaller = *in - 1 - i;
        int rc = kin_pool_submit(kin_worker_pool(), &parts[i], &fibonacci_function, &smaller, sizeof smaller,
                                 KIN_FOREVER, NULL);
        if (rc < 0) return rc;
    }
    for (int i = 0; i < 2; i++) {
        long rc = kin_result_get(parts[i], &value[i], sizeof value[i], KIN_FOREVER);
        kin_result_close(parts[i]);
        if (rc < 0) return (int)rc;
    }
    *out = value[0] + value[1];
    return 0;
}

static int fibonacci_range(const void *in, void *out, size_t count, volatile size_t *item)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        *item = i;
        rc = fibonacci((const int *)in + i, (int *)out + i);
    }
    return rc;
}

static int square(const int *in, int *out)
{
    *out = *in * *in;
    return 0;
}
KIN_MAP(square, int, int)

static int sum_of_squares(const int *count, int *sum)
{
    enum { MOST = 100 };
    int in[MOST], out[MOST];
    kin_pool *pool = NULL;
    int rc = *count <= MOST ? kin_pool_open(&pool, &(kin_pool_options){.workers = 2}) : -EINVAL;
    if (rc < 0) return rc;
    for (int i = 0; i < *count; i++) in[i] = i;
    rc = kin_pool_map(pool, KIN_FN(square), in, out, (size_t)*count, KIN_FOREVER);
    *sum = 0;
    for (int i = 0; rc == 0 && i < *count; i++) *sum += out[i];
    kin_pool_free(pool);
    return rc;
}
KIN_MAP(sum_of_squares, int, int)

int main(void)
{
    kin_pool *pool = NULL;
    int in = 8, out = 0;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    check(kin_pool_apply(pool, &fibonacci_function, &in, sizeof in, &out, sizeof out, KIN_FOREVER, NULL));
    printf("fibonacci(%d) is %d\n", in, out);
    in = 10;
    check(kin_pool_apply(pool, KIN_FN(sum_of_squares), &in, sizeof in, &out, sizeof out, KIN_FOREVER, NULL));
    printf("the sum of the squares below %d is %d\n", in, out);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
