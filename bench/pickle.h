/* pickle.h: the cases of the pickle benchmark. */
#ifndef BENCH_PICKLE_H
#define BENCH_PICKLE_H

#include "support.h"

/* Every contender makes the same values: a list of 1000 ints, i * 7919 % 100000; a dict of 1000 strings,
 * "key-1": "value number 1"; 1 MiB of bytes; a manager's request, ('7f8af1075be0', 'put', (1000,), {}). */
enum pickle_value { PICKLE_LIST, PICKLE_DICT, PICKLE_BYTES, PICKLE_REQUEST };

struct pickle_shape {
    enum pickle_value value;
    bool loads;  /* bytes to value, else value to bytes */
    size_t size; /* of the pickle, in protocol 3 */
};

bench_run bench_kin_pickle __attribute__((weak));
bench_run bench_kin_pickle_in_place __attribute__((weak));
bench_run bench_kin_pickle_anew __attribute__((weak));

#endif
