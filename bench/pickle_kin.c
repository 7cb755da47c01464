/* pickle_kin.c: kin's rows of the pickle benchmark. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin.h>

#include "pickle.h"

static kin_value make_list(void)
{
    kin_value list = kin_value_list(NULL, 0);
    for (int i = 0; i < 1000; i++) kin_value_list_append(&list, kin_value_int(i * 7919 % 100000));
    return list;
}

static kin_value make_dict(void)
{
    kin_value dict = kin_value_dict();
    for (int i = 0; i < 1000; i++) {
        char key[20], text[30];
        snprintf(key, sizeof key, "key-%d", i);
        snprintf(text, sizeof text, "value number %d", i);
        kin_value_dict_set_str(&dict, key, kin_value_str(text));
    }
    return dict;
}

static kin_value make_bytes(void)
{
    char *bytes = malloc(1 << 20);
    if (!bytes) return kin_value_failed(-ENOMEM);
    memset(bytes, 7, 1 << 20);
    kin_value value = kin_value_bytes(bytes, 1 << 20);
    free(bytes);
    return value;
}

static kin_value make(enum pickle_value which)
{
    switch (which) {
    case PICKLE_LIST: return make_list();
    case PICKLE_DICT: return make_dict();
    case PICKLE_BYTES: return make_bytes();
    default: return kin_value_build("(ss(i){})", "7f8af1075be0", "put", 1000);
    }
}

/* Into the same buffer each time, or `anew`, as Python does. */
static double measure(const struct bench_case *test, long count, bool in_place, bool anew)
{
    const struct pickle_shape *shape = test->shape;
    kin_pickle_options options = {.in_place = in_place};
    kin_buffer bytes = {0};
    kin_value value = make(shape->value), read;
    int rc = kin_pickle_dumps(&value, &bytes);
    double begin = bench_now();
    for (long i = 0; rc == 0 && i < count; i++) {
        if (shape->loads) {
            rc = kin_pickle_loads(&read, bytes.data, bytes.size, &options);
            kin_value_clear(&read);
        } else {
            if (anew) kin_buffer_free(&bytes);
            bytes.size = 0;
            rc = kin_pickle_dumps(&value, &bytes);
        }
    }
    double seconds = bench_now() - begin;
    kin_value_clear(&value);
    kin_buffer_free(&bytes);
    return rc < 0 ? bench_fail("%s", kin_strerror(rc)) : seconds;
}

double bench_kin_pickle(const struct bench_case *test, long count)
{
    return measure(test, count, false, false);
}

double bench_kin_pickle_in_place(const struct bench_case *test, long count)
{
    return measure(test, count, true, false);
}

double bench_kin_pickle_anew(const struct bench_case *test, long count)
{
    return measure(test, count, false, true);
}
