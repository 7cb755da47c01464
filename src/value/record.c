/* record.c: the kinds with a fixed number of fields: complex, slice, range, exceptions, instances,
 * tokens, proxies.
 *
 * Each is a block of fields in the order of the enums of value.h; a complex has two floats, a
 * slice and a range have start, stop, step.  Invariant: fields have the kinds that the functions
 * here check; other files rely on it.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

kin_value kin__fields_make(kin_value_kinds kind, const kin_value *fields, size_t count)
{
    kin_value copy[KIN__ERROR_FIELDS];
    memcpy(copy, fields, count * sizeof *fields);
    int rc = kin__values_check(copy, count);
    kin_value value = rc < 0 ? kin_value_failed(rc) : kin__tuple_make(kind, count);
    if (value.kind_ == KIN_VALUE_FAILED)
        kin__values_drop(copy, count);
    else
        memcpy(((struct kin__tuple *)value.as_.object)->item, copy, count * sizeof *copy);
    return value;
}

/* Uses the fields up; the code of a failed one goes before `code`. */
static kin_value refuse(kin_value *fields, size_t count, int code)
{
    int rc = kin__values_check(fields, count);
    kin__values_drop(fields, count);
    return kin_value_failed(rc < 0 ? rc : code);
}

kin_value kin_value_complex(double real, double imaginary)
{
    kin_value fields[] = {kin_value_float(real), kin_value_float(imaginary)};
    return kin__fields_make(KIN_VALUE_COMPLEX, fields, 2);
}

int kin_value_get_complex(const kin_value *value, double *real, double *imaginary)
{
    if (value == NULL || real == NULL || imaginary == NULL) return -EINVAL;
    const kin_value *field = kin__fields(value, KIN_VALUE_COMPLEX);
    *imaginary = field ? field[1].as_.number : 0;
    return kin_value_get_float(field ? field : value, real);
}

/* ---- slices and ranges -------------------------------------------------------------------- */

kin_value kin_value_slice(kin_value start, kin_value stop, kin_value step)
{
    kin_value fields[] = {start, stop, step};
    return kin__fields_make(KIN_VALUE_SLICE, fields, 3);
}

kin_value kin_value_range(kin_value start, kin_value stop, kin_value step)
{
    kin_value fields[] = {start, stop, step};
    for (int i = 0; i < 3; i++) {
        if (fields[i].kind_ != KIN_VALUE_INT && fields[i].kind_ != KIN_VALUE_BOOL)
            return refuse(fields, 3, KIN_EKIND);
    }
    if (!kin_value_is_true(&step)) return refuse(fields, 3, -EINVAL);
    return kin__fields_make(KIN_VALUE_RANGE, fields, 3);
}

const kin_value *kin_value_slice_part(const kin_value *value, int part)
{
    const kin_value *field = kin__fields(value, KIN_VALUE_SLICE);
    if (field == NULL) field = kin__fields(value, KIN_VALUE_RANGE);
    return field && part >= 0 && part < 3 ? &field[part] : NULL;
}

/* A bound of a slice within `length` items; `missing` when it is None. */
static int resolve(const kin_value *part, long length, bool backwards, long missing, long *place)
{
    int64_t number;
    long lowest = backwards ? -1 : 0, highest = backwards ? length - 1 : length;
    *place = missing;
    if (part->kind_ == KIN_VALUE_NONE) return 0;
    int rc = kin_value_get_int(part, &number);
    if (rc == -ERANGE) {
        kin_value zero = kin_value_int(0);
        number = kin_value_less(part, &zero) == 1 ? INT64_MIN / 2 : INT64_MAX / 2;
        rc = 0;
    }
    if (rc < 0) return rc;
    if (number < 0) number = number < -length ? lowest : number + length;
    *place = number > highest ? highest : (long)number;
    return 0;
}

int kin_value_slice_over(const kin_value *slice, long length, long *start, long *step, long *count)
{
    const kin_value *field = kin__fields(slice, KIN_VALUE_SLICE);
    if (slice == NULL || start == NULL || step == NULL || count == NULL || length < 0) return -EINVAL;
    if (field == NULL) return KIN_EKIND;
    int64_t stride = 1;
    int rc = field[2].kind_ == KIN_VALUE_NONE ? 0 : kin_value_get_int(&field[2], &stride);
    if (rc == -ERANGE) return rc;
    if (rc < 0) return rc;
    if (stride == 0) return -EINVAL;
    if (stride < -INT64_MAX) stride = -INT64_MAX;
    bool backwards = stride < 0;
    long first, stop;
    rc = resolve(&field[0], length, backwards, backwards ? length - 1 : 0, &first);
    if (rc == 0) rc = resolve(&field[1], length, backwards, backwards ? -1 : length, &stop);
    if (rc != 0) return rc;
    long distance = backwards ? first - stop : stop - first;
    uint64_t width = (uint64_t)(backwards ? -stride : stride);
    *start = first;
    *step = stride;
    *count = distance > 0 ? (long)(((uint64_t)distance - 1) / width + 1) : 0;
    return 0;
}

/* ---- exceptions and instances ------------------------------------------------------------- */

kin_value kin_value_error(const char *name, kin_value arguments)
{
    kin_value fields[] = {kin_value_class(name), arguments, kin_value_none(), kin_value_none()};
    if (arguments.kind_ != KIN_VALUE_TUPLE) return refuse(fields, KIN__ERROR_FIELDS, KIN_EKIND);
    return kin__fields_make(KIN_VALUE_ERROR, fields, KIN__ERROR_FIELDS);
}

kin_value kin_value_errorf(const char *name, const char *format, ...)
{
    char text[512], *longer = NULL;
    va_list arguments, again;
    if (format == NULL) return kin_value_failed(-EINVAL);
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(text, sizeof text, format, arguments);
    if (size >= (int)sizeof text && (longer = kin__os_malloc((size_t)size + 1)))
        vsnprintf(longer, (size_t)size + 1, format, again);
    va_end(again);
    va_end(arguments);
    if (size < 0 || (size >= (int)sizeof text && longer == NULL)) return kin_value_failed(-ENOMEM);
    kin_value words = kin_value_str_sized(longer ? longer : text, (size_t)size);
    free(longer);
    return kin_value_error(name, kin_value_tuple(&words, 1));
}

int kin_value_error_set_traceback(kin_value *error, const char *text)
{
    kin_value *field = kin__fields(error, KIN_VALUE_ERROR);
    kin_value words = text ? kin_value_str(text) : kin_value_none();
    int rc = field ? kin_value_error_code(&words) : error ? KIN_EKIND : -EINVAL;
    if (rc < 0) {
        kin_value_clear(&words);
        return rc;
    }
    kin_value_clear(&field[KIN__ERROR_TRACEBACK]);
    field[KIN__ERROR_TRACEBACK] = words;
    return 0;
}

const char *kin_value_error_traceback(const kin_value *error)
{
    const kin_value *field = kin__fields(error, KIN_VALUE_ERROR);
    return field ? kin_value_get_str(&field[KIN__ERROR_TRACEBACK], NULL) : NULL;
}

kin_value kin_value_object(const char *name, kin_value arguments, kin_value state)
{
    kin_value fields[] = {kin_value_class(name), arguments, state};
    bool fits = arguments.kind_ == KIN_VALUE_TUPLE && kin__is_state(&state);
    if (!fits) return refuse(fields, KIN__OBJECT_FIELDS, KIN_EKIND);
    bool called = fields[0].kind_ == KIN_VALUE_CLASS && kin__class_use(&fields[0]) == KIN__CLASS_CALLED;
    kin_value value = kin__fields_make(KIN_VALUE_OBJECT, fields, KIN__OBJECT_FIELDS);
    if (value.kind_ == KIN_VALUE_OBJECT)
        ((struct kin__boxed *)value.as_.object)->typecode = called ? 'C' : 'N';
    return value;
}

const kin_value *kin_value_arguments(const kin_value *value)
{
    const kin_value *error = kin__fields(value, KIN_VALUE_ERROR);
    const kin_value *object = kin__fields(value, KIN_VALUE_OBJECT);
    return error ? &error[KIN__ERROR_ARGUMENTS] : object ? &object[KIN__OBJECT_ARGUMENTS] : NULL;
}

const kin_value *kin_value_state(const kin_value *value)
{
    const kin_value *error = kin__fields(value, KIN_VALUE_ERROR);
    const kin_value *object = kin__fields(value, KIN_VALUE_OBJECT);
    return error ? &error[KIN__ERROR_STATE] : object ? &object[KIN__OBJECT_STATE] : NULL;
}

/* ---- tokens and proxies ------------------------------------------------------------------- */

static bool is_address(const kin_value *value)
{
    kin_value_kinds kind = value->kind_;
    return kind == KIN_VALUE_STR || kind == KIN_VALUE_BYTES || kind == KIN_VALUE_TUPLE ||
           kind == KIN_VALUE_NONE;
}

kin_value kin_value_token(const char *type, kin_value address, const char *id)
{
    kin_value fields[] = {kin_value_str(type), address, kin_value_str(id)};
    if (!is_address(&address)) return refuse(fields, KIN__TOKEN_FIELDS, KIN_EKIND);
    return kin__fields_make(KIN_VALUE_TOKEN, fields, KIN__TOKEN_FIELDS);
}

kin_value kin_value_proxy(const char *name, kin_value token, kin_value exposed)
{
    bool fits = token.kind_ == KIN_VALUE_TOKEN &&
                (exposed.kind_ == KIN_VALUE_NONE || exposed.kind_ == KIN_VALUE_TUPLE ||
                 exposed.kind_ == KIN_VALUE_LIST);
    kin_value keywords = kin_value_dict();
    int rc = kin_value_error_code(&keywords);
    if (rc == 0 && fits && exposed.kind_ != KIN_VALUE_NONE)
        rc = kin_value_dict_set_str(&keywords, "exposed", exposed);
    else
        rc = kin_value_error_code(&exposed), kin_value_clear(&exposed);
    kin_value fields[] = {kin_value_class(name), token, rc < 0 ? kin_value_failed(rc) : keywords};
    if (rc < 0) kin_value_clear(&keywords);
    if (!fits || rc < 0) return refuse(fields, KIN__PROXY_FIELDS, rc < 0 ? rc : KIN_EKIND);
    return kin__fields_make(KIN_VALUE_PROXY, fields, KIN__PROXY_FIELDS);
}

/* A token itself, or that of a proxy. */
static const kin_value *token_fields(const kin_value *value)
{
    const kin_value *proxy = kin__fields(value, KIN_VALUE_PROXY);
    return kin__fields(proxy ? &proxy[KIN__PROXY_TOKEN] : value, KIN_VALUE_TOKEN);
}

const char *kin_value_token_type(const kin_value *value)
{
    const kin_value *field = token_fields(value);
    return field ? kin_value_get_str(&field[KIN__TOKEN_TYPE], NULL) : NULL;
}

const kin_value *kin_value_token_address(const kin_value *value)
{
    const kin_value *field = token_fields(value);
    return field ? &field[KIN__TOKEN_ADDRESS] : NULL;
}

const char *kin_value_token_id(const kin_value *value)
{
    const kin_value *field = token_fields(value);
    return field ? kin_value_get_str(&field[KIN__TOKEN_ID], NULL) : NULL;
}

const kin_value *kin_value_proxy_exposed(const kin_value *value)
{
    const kin_value *field = kin__fields(value, KIN_VALUE_PROXY);
    return field ? kin_value_dict_get_str(&field[KIN__PROXY_KEYWORDS], "exposed") : NULL;
}
