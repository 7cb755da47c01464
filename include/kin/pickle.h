/* kin/pickle.h: values as bytes, in the format of Python's pickle.
 *
 *     kin_buffer bytes = {0};
 *     int rc = kin_pickle_dumps(&value, &bytes);
 *     …
 *     rc = kin_pickle_loads(&value, bytes.data, bytes.size, NULL);
 *     kin_buffer_free(&bytes);
 *
 * Reading is safe whatever the bytes are: nothing is imported, nothing is called, everything is
 * bounded.  Globals that kin does not know are refused by name.  It reads protocols 0 to 5 and
 * writes protocol 3, which every Python 3 reads.
 */
#ifndef KIN_PICKLE_H
#define KIN_PICKLE_H

#include <kin/value.h>

KIN_BEGIN

/* Bytes that grow; all zero is empty. */
typedef struct kin_buffer {
    unsigned char *data;
    size_t size;     /* bytes in it */
    size_t capacity; /* bytes there is room for */
} kin_buffer;

/* kin_buffer_reserve makes room for `more` bytes after `size`; kin_buffer_append copies bytes to
 * the end; kin_buffer_free gives the memory back and empties it.
 * Errors: -ENOMEM, -EINVAL; the buffer is unchanged then. */
KIN_API int kin_buffer_reserve(kin_buffer *buffer, size_t more);
KIN_API int kin_buffer_append(kin_buffer *buffer, const void *bytes, size_t size);
KIN_API void kin_buffer_free(kin_buffer *buffer);

/* Where and why a pickle was refused. */
typedef struct kin_pickle_fault {
    size_t offset; /* of the byte the offending opcode begins at */
    char text[240];
} kin_pickle_fault;

typedef struct kin_pickle_options {
    size_t max_size;         /* bytes it may have; 0: no limit */
    size_t max_count;        /* values in it, shared ones as often as they occur; 0: 16,777,216 */
    size_t max_depth;        /* levels of containers; 0: 200 */
    bool in_place;           /* bytes and arrays of 4096 bytes and more refer to `data`, which has to stay
                                as it is until the value is cleared, instead of being copied */
    bool keep_unknown;       /* unknown globals are kept as names, for errors of classes of the user's own */
    kin_pickle_fault *fault; /* filled in after an error; may be NULL */
} kin_pickle_options;

/* kin_pickle_loads reads a value from `size` bytes and stores it in `*value`, which need not be
 * initialised.  Bytes after its end do not matter.  `options` may be NULL.
 * Errors, after which `*value` is None: KIN_EPICKLE (cut short, or not a pickle), KIN_EREFUSED (a
 * global that is not known, an instance or opcode that kin does not read, a value that contains
 * itself), -E2BIG (too many), -ELOOP (too deep), -EMSGSIZE (too long), -EILSEQ (not UTF-8),
 * KIN_EKIND (an unhashable key), -ENOMEM, -EINVAL (NULL). */
KIN_API int kin_pickle_loads_sized(kin_value *value, const void *data, size_t size,
                                   const kin_pickle_options *options, size_t options_size);
static inline int kin_pickle_loads(kin_value *value, const void *data, size_t size,
                                   const kin_pickle_options *options)
{
    return kin_pickle_loads_sized(value, data, size, options, sizeof(kin_pickle_options));
}

/* kin_pickle_dumps appends a value to a buffer.  A list, dict or set that occurs twice is written
 * once, so that the reader's is one object too, also when it contains itself.
 * Errors, after which the buffer is as it was: -ELOOP (nested deeper than 1000), -ENOMEM, -EINVAL
 * (NULL), the code of a failed value. */
KIN_API int kin_pickle_dumps(const kin_value *value, kin_buffer *buffer);

KIN_END
#endif
