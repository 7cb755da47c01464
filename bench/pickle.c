/* pickle.c: values to bytes and back, in the format of Python's pickle.
 *
 * The limit is a copy of as many bytes.  Python reads what it has written itself, in its default
 * protocol; kin in protocol 3.  Reading includes giving the value back.  A copy of many bytes takes both of them
 * as long as the limit: what kin does without is the copy (in place), and new memory for each result. */
#include "pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double copy_run(const struct bench_case *test, long count)
{
    const struct pickle_shape *shape = test->shape;
    char *from = malloc(shape->size), *to = malloc(shape->size);
    if (!from || !to) return bench_fail("no memory");
    memset(from, 7, shape->size);
    memset(to, 1, shape->size);
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        memcpy(to, from, shape->size);
        __asm__ volatile("" ::: "memory");
    }
    double seconds = bench_now() - begin;
    free(from);
    free(to);
    return seconds;
}

static double python_run(const struct bench_case *test, long count)
{
    static const char *const names[] = {"list", "dict", "bytes", "request"};
    const struct pickle_shape *shape = test->shape;
    char number[24];
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), "pickle",
                                             shape->loads ? "loads" : "dumps", names[shape->value], number,
                                             NULL});
}

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "memcpy of its size", copy_run, NULL},
    {BENCH_KIN, "kin_pickle", bench_kin_pickle, "built without libkin"},
    {BENCH_PEER, "Python pickle (C)", python_run, "python3"},
    {0},
};

static const struct bench_contender in_place[] = {
    {BENCH_LIMIT, "memcpy of its size", copy_run, NULL},
    {BENCH_KIN, "kin_pickle, in place", bench_kin_pickle_in_place, "built without libkin"},
    {BENCH_KIN, "kin_pickle, copied", bench_kin_pickle, "built without libkin"},
    {BENCH_PEER, "Python pickle (C)", python_run, "python3"},
    {0},
};

static const struct bench_contender anew[] = {
    {BENCH_LIMIT, "memcpy of its size", copy_run, NULL},
    {BENCH_KIN, "kin_pickle", bench_kin_pickle, "built without libkin"},
    {BENCH_KIN, "kin_pickle, a new buffer", bench_kin_pickle_anew, "built without libkin"},
    {BENCH_PEER, "Python pickle (C)", python_run, "python3"},
    {0},
};

static const struct bench_target twice[] = {{"Python pickle (C)", 2.0}, {0}};

#define PICKLE_CASE(label, who, value, loads, size) \
    { \
        .name = label, .what = "values", .unit = BENCH_PER_SECOND, .contenders = who, .targets = twice, \
        .shape = &(struct pickle_shape){value, loads, size}, .first_count = 100 \
    }

static const struct bench_case cases[] = {
    PICKLE_CASE("dumps a list of 1000 ints", contenders, PICKLE_LIST, false, 3690),
    PICKLE_CASE("loads a list of 1000 ints", contenders, PICKLE_LIST, true, 3690),
    PICKLE_CASE("dumps a dict of 1000 strings", contenders, PICKLE_DICT, false, 32786),
    PICKLE_CASE("loads a dict of 1000 strings", contenders, PICKLE_DICT, true, 32786),
    PICKLE_CASE("dumps 1 MiB of bytes", anew, PICKLE_BYTES, false, 1048584),
    PICKLE_CASE("loads 1 MiB of bytes", in_place, PICKLE_BYTES, true, 1048584),
    PICKLE_CASE("dumps a request", contenders, PICKLE_REQUEST, false, 35),
    PICKLE_CASE("loads a request", contenders, PICKLE_REQUEST, true, 35),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "pickle", cases, sizeof cases / sizeof *cases);
}
