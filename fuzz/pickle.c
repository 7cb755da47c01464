/* pickle.c: any bytes as a pickle.  What is read can be printed, hashed, copied and written, and is the
 * same when it is read again; nothing takes more than the bounds allow.
 *
 * The first byte sets the options. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kin/container.h>
#include <kin/pickle.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const kin_value *value)
{
    long length = kin_value_repr(value, NULL, 0);
    if (length == -ERANGE) return NULL; /* an int of many digits */
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text == NULL || kin_value_repr(value, text, (size_t)length + 1) != length) abort();
    return text;
}

/* Both are gone through in the same order, so that their words are the same. */
static void expect_same(const kin_value *a, const kin_value *b)
{
    char *text_a = printed(a), *text_b = printed(b);
    if ((text_a == NULL) != (text_b == NULL) || (text_a && strcmp(text_a, text_b) != 0)) abort();
    free(text_a);
    free(text_b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kin_value value, again;
    kin_pickle_fault fault = {0};
    kin_buffer bytes = {0};
    uint64_t hash;
    if (size == 0) return 0;
    kin_pickle_options options = {.max_count = 20000,
                                  .max_depth = data[0] & 1 ? 50 : 500,
                                  .keep_unknown = data[0] & 2,
                                  .in_place = data[0] & 4,
                                  .fault = &fault};
    int rc = kin_pickle_loads(&value, data + 1, size - 1, &options);
    if (rc < 0) {
        if (fault.offset > size - 1 || fault.text[0] == 0 || kin_value_kind(&value) != KIN_VALUE_NONE)
            abort();
        return 0;
    }
    kin_value copy = kin_value_copy(&value);
    if (kin_value_error_code(&copy) < 0 || kin_pickle_dumps(&value, &bytes) < 0) abort();
    /* Exceptions with a traceback are written with one level more. */
    options.max_depth = 1000;
    options.max_count = 200000;
    options.keep_unknown = true;
    if (kin_pickle_loads(&again, bytes.data, bytes.size, &options) < 0) abort();
    expect_same(&value, &copy);
    expect_same(&value, &again);
    kin_value_hash(&value, &hash);
    kin_value_less(&value, &again);
    if (kin_value_equal(&value, &copy) < 0) abort();
    kin_value_clear(&value);
    kin_value_clear(&copy);
    kin_value_clear(&again);
    kin_buffer_free(&bytes);
    return 0;
}
