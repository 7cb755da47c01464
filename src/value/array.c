/* array.c: array.array: many numbers of one type, in this machine's form. */
#include <errno.h>
#include <limits.h>
#include <wchar.h>

#include "value/value.h"

size_t kin__array_item_size(char typecode)
{
    switch (typecode) {
    case 'b':
    case 'B': return sizeof(char);
    case 'h':
    case 'H': return sizeof(short);
    case 'i':
    case 'I': return sizeof(int);
    case 'l':
    case 'L': return sizeof(long);
    case 'q':
    case 'Q': return sizeof(long long);
    case 'f': return sizeof(float);
    case 'd': return sizeof(double);
    case 'u': return sizeof(wchar_t);
    default: return 0;
    }
}

kin_value kin__array_make(char typecode, const void *bytes, size_t size, bool in_place)
{
    size_t item = kin__array_item_size(typecode);
    if (item == 0 || size % item != 0) return kin_value_failed(-EINVAL);
    struct kin__text *array = kin__boxed_make(KIN_VALUE_ARRAY, sizeof *array + (in_place ? 0 : size));
    if (array == NULL) return kin_value_failed(-ENOMEM);
    array->object.typecode = typecode;
    array->size = size;
    array->data = in_place ? bytes : array->own;
    if (!in_place && size > 0) memcpy(array->own, bytes, size);
    return kin__value_of(KIN_VALUE_ARRAY, array);
}

kin_value kin_value_array(char typecode, const void *items, size_t count)
{
    size_t item = kin__array_item_size(typecode);
    if (item == 0 || (items == NULL && count > 0)) return kin_value_failed(-EINVAL);
    if (count > SIZE_MAX / 2 / item) return kin_value_failed(-ENOMEM);
    return kin__array_make(typecode, items, count * item, false);
}

int kin_value_array_typecode(const kin_value *value)
{
    const struct kin__text *array = kin__block(value, KIN_VALUE_ARRAY);
    return array ? array->object.typecode : KIN_EKIND;
}

/* The address of an item, or NULL and an error. */
static const char *item_at(const kin_value *value, long index, char *typecode, int *code)
{
    const struct kin__text *array = kin__block(value, KIN_VALUE_ARRAY);
    *code = array ? 0 : value ? KIN_EKIND : -EINVAL;
    if (array == NULL) return NULL;
    long count = (long)(array->size / kin__array_item_size(array->object.typecode));
    if (index < 0) index += count;
    *code = -ERANGE;
    if (index < 0 || index >= count) return NULL;
    *typecode = array->object.typecode;
    return array->data + (size_t)index * kin__array_item_size(array->object.typecode);
}

#define READ(type) \
    __extension__({ \
        type item_; \
        memcpy(&item_, at, sizeof item_); \
        item_; \
    })

kin_value kin_value_array_get(const kin_value *value, long index)
{
    int rc;
    char typecode, text[4];
    const char *at = item_at(value, index, &typecode, &rc);
    if (at == NULL) return kin_value_failed(rc);
    switch (typecode) {
    case 'b': return kin_value_int(READ(signed char));
    case 'B': return kin_value_int(READ(unsigned char));
    case 'h': return kin_value_int(READ(short));
    case 'H': return kin_value_int(READ(unsigned short));
    case 'i': return kin_value_int(READ(int));
    case 'I': return kin_value_int(READ(unsigned));
    case 'l': return kin_value_int(READ(long));
    case 'L': return kin_value_uint(READ(unsigned long));
    case 'q': return kin_value_int(READ(long long));
    case 'Q': return kin_value_uint(READ(unsigned long long));
    case 'f': return kin_value_float(READ(float));
    case 'd': return kin_value_float(READ(double));
    default: {
        uint32_t character = (uint32_t)READ(wchar_t);
        if (character > 0x10ffff) return kin_value_failed(-EILSEQ);
        return kin__text_make(KIN_VALUE_STR, text, kin__utf8_put(text, character));
    }
    }
}

/* The bytes of `item` as one item of that type. */
static int convert(char typecode, const kin_value *item, unsigned char out[8])
{
    static const char integers[] = "bBhHiIlLqQ";
    size_t size = kin__array_item_size(typecode);
    if (strchr(integers, typecode)) {
        bool is_unsigned = typecode < 'a';
        uint64_t natural = 0;
        int64_t number = 0;
        int rc = is_unsigned ? kin_value_get_uint(item, &natural) : kin_value_get_int(item, &number);
        if (rc < 0) return rc;
        int bits = (int)size * 8;
        if (is_unsigned && bits < 64 && natural >> bits != 0) return -ERANGE;
        if (!is_unsigned && bits < 64 && (number < -(1ll << (bits - 1)) || number >= 1ll << (bits - 1)))
            return -ERANGE;
        if (!is_unsigned) natural = (uint64_t)number;
        memcpy(out, &natural, sizeof natural); /* little-endian, as every machine of kin's is */
        return 0;
    }
    if (typecode == 'u') {
        size_t length;
        const char *text = kin_value_get_str(item, &length);
        if (text == NULL || kin_value_len(item) != 1) return KIN_EKIND;
        uint32_t character = kin__utf8_next(&text);
        memcpy(out, &character, sizeof character);
        return 0;
    }
    double number;
    int rc = kin_value_get_float(item, &number);
    if (rc < 0) return rc;
    float narrow = (float)number;
    if (typecode == 'f')
        memcpy(out, &narrow, sizeof narrow);
    else
        memcpy(out, &number, sizeof number);
    return 0;
}

int kin_value_array_set(kin_value *value, long index, const kin_value *item)
{
    int rc;
    char typecode;
    unsigned char bytes[8] = {0};
    const char *at = item_at(value, index, &typecode, &rc);
    if (at && item == NULL) return -EINVAL;
    if (at == NULL) return rc;
    const struct kin__text *array = value->as_.object;
    if (array->data != array->own) return -EROFS;
    rc = convert(typecode, item, bytes);
    if (rc == 0) memcpy((char *)at, bytes, kin__array_item_size(typecode));
    return rc;
}
