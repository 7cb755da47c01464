/* pickle_make.c: what REDUCE, NEWOBJ and BUILD make of a class and its arguments.
 *
 * Each function that makes something checks its arguments and takes references to them; nothing is
 * called.  What is not listed here is refused with the name of the class.
 */
#include <errno.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/pickle.h"

#define MOST_ARGUMENTS 4

int kin__reader_refuse(struct kin__reader *r, const kin_value *of, const char *why)
{
    const char *module = kin_value_class_module(of), *name = kin_value_class_name(of);
    const int most = 60;
    if (name == NULL)
        return kin__reader_fail(r, KIN_EREFUSED, "a value of type %s %s", kin_value_kind_name(of), why);
    return kin__reader_fail(r, KIN_EREFUSED, "%.*s.%.*s %s", kin__utf8_fit(module, strlen(module), most),
                            module, kin__utf8_fit(name, strlen(name), most), name, why);
}

/* Makes a record of references to `fields`; they become its parts. */
static int make_record(struct kin__reader *r, kin_value_kinds kind, const kin_value *fields, size_t count,
                       kin_value *made)
{
    kin_value copy[MOST_ARGUMENTS];
    for (size_t i = 0; i < count; i++) copy[i] = kin__value_ref(&fields[i]);
    *made = kin__fields_make(kind, copy, count);
    int rc = kin_value_error_code(made);
    for (size_t i = 0; rc == 0 && i < count; i++) rc = kin__reader_join(r, made->as_.object, &fields[i]);
    return rc;
}

/* ---- containers --------------------------------------------------------------------------- */

/* list((...)), set([...]) and so on: of the items of a list, tuple or set. */
static int make_container(struct kin__reader *r, kin_value_kinds kind, const kin_value *from, kin_value *made)
{
    const kin_value *item;
    bool is_table = kind == KIN_VALUE_SET || kind == KIN_VALUE_FROZENSET;
    *made = is_table ? kin__table_make(kind) : kin_value_list(NULL, 0);
    int rc = kin_value_error_code(made);
    for (size_t at = 0; rc >= 0 && from && kin_value_next(from, &at, &item, NULL);) {
        rc = kin__reader_join(r, made->as_.object, item);
        if (rc == 0 && is_table)
            rc = kin__table_put(made->as_.object, kin__value_ref(item), kin_value_none());
        else if (rc == 0)
            rc = kin_value_list_append(made, kin__value_ref(item));
    }
    if (rc < 0 || kind != KIN_VALUE_TUPLE) return rc < 0 ? rc : 0;
    struct kin__list *list = made->as_.object;
    kin_value tuple = kin_value_tuple(list->item, list->size);
    if (kin__counted(&tuple)) {
        ((struct kin__boxed *)tuple.as_.object)->weight = list->object.weight;
        ((struct kin__boxed *)tuple.as_.object)->height = list->object.height;
    }
    list->size = 0; /* the items are the tuple's now */
    kin_value_clear(made);
    *made = tuple;
    return kin_value_error_code(made);
}

static int call_container(struct kin__reader *r, const kin_value *class, kin_value_kinds kind,
                          const kin_value *argument, size_t count, kin_value *made)
{
    bool empty = count == 0;
    bool fits = count == 1 && argument->kind_ >= KIN_VALUE_TUPLE && argument->kind_ <= KIN_VALUE_FROZENSET &&
                argument->kind_ != KIN_VALUE_DICT;
    if (!empty && !fits) return kin__reader_refuse(r, class, "takes a list or tuple here");
    return make_container(r, kind, empty ? NULL : argument, made);
}

/* ---- bytes -------------------------------------------------------------------------------- */

/* The bytes that a text of characters below 256 stands for. */
static int encode_latin1(struct kin__reader *r, kin_value_kinds kind, const kin_value *text, kin_value *made)
{
    size_t size, count = 0;
    const char *at = kin_value_get_str(text, &size), *end = at + size;
    char *bytes = kin__os_malloc(size + 1);
    if (bytes == NULL) return -ENOMEM;
    while (at < end) {
        uint32_t c = kin__utf8_next(&at);
        if (c > 0xff) {
            free(bytes);
            return kin__reader_fail(r, KIN_EREFUSED, "bytes as latin-1 hold a character beyond it");
        }
        bytes[count++] = (char)c;
    }
    *made = kin__text_make(kind, bytes, count);
    free(bytes);
    return kin_value_error_code(made);
}

static bool is_latin1(const kin_value *name)
{
    const char *text = kin_value_get_str(name, NULL);
    return text && (strcmp(text, "latin1") == 0 || strcmp(text, "latin-1") == 0);
}

static int call_bytes(struct kin__reader *r, const kin_value *class, const kin_value *argument, size_t count,
                      kin_value *made)
{
    kin_value_kinds kind =
        kin__class_use(class) == KIN__CLASS_BYTEARRAY ? KIN_VALUE_BYTEARRAY : KIN_VALUE_BYTES;
    size_t size = 0;
    if (count == 2 && argument[0].kind_ == KIN_VALUE_STR && is_latin1(&argument[1]))
        return encode_latin1(r, kind, &argument[0], made);
    bool plain = count == 1 && (argument->kind_ == KIN_VALUE_BYTES || argument->kind_ == KIN_VALUE_BYTEARRAY);
    if (count != 0 && !plain) return kin__reader_refuse(r, class, "takes bytes here");
    const char *bytes = plain ? kin__text(argument, &size) : "";
    *made = kin__text_make(kind, bytes, size);
    return kin_value_error_code(made);
}

/* ---- arrays ------------------------------------------------------------------------------- */

/* Bytes, or in the old protocols a list of items. */
static int call_array(struct kin__reader *r, const kin_value *class, const kin_value *argument, size_t count,
                      kin_value *made)
{
    size_t length, size;
    const char *typecode = count == 2 ? kin_value_get_str(&argument[0], &length) : NULL;
    size_t item_size = typecode && length == 1 ? kin__array_item_size(*typecode) : 0;
    if (item_size == 0) return kin__reader_refuse(r, class, "takes a typecode of array and its items");
    const char *bytes = kin_value_get_bytes(&argument[1], &size);
    if (bytes) {
        const struct kin__text *text = kin__counted(&argument[1]) ? argument[1].as_.object : NULL;
        bool kept = text && text->data != text->own;
        if (size % item_size != 0) return kin__reader_refuse(r, class, "has bytes of half an item");
        *made = kin__array_make(*typecode, bytes, size, kept);
        return kin_value_error_code(made);
    }
    if (argument[1].kind_ != KIN_VALUE_LIST) return kin__reader_refuse(r, class, "takes bytes or a list");
    const kin_value *item = kin__items(&argument[1], &length);
    char *zero = kin__os_calloc(length + 1, item_size);
    if (zero == NULL) return -ENOMEM;
    *made = kin__array_make(*typecode, zero, length * item_size, false);
    free(zero);
    int rc = kin_value_error_code(made);
    for (size_t i = 0; rc == 0 && i < length; i++) rc = kin_value_array_set(made, (long)i, &item[i]);
    return rc;
}

/* array._array_reconstructor(array.array, typecode, form, bytes): form tells size and byte order. */
static int rebuild_array(struct kin__reader *r, const kin_value *class, const kin_value *argument,
                         size_t count, kin_value *made)
{
    /* By form: the size of an item, negative for big-endian. */
    static const signed char forms[] = {1,  1, 2,  -2, 2,  -2, 4,  -4, 4, -4, 8,
                                        -8, 8, -8, 4,  -4, 8,  -8, 0,  0, 4,  -4};
    size_t length, size;
    int64_t form;
    const char *typecode = count == 4 ? kin_value_get_str(&argument[1], &length) : NULL;
    const char *bytes = typecode ? kin_value_get_bytes(&argument[3], &size) : NULL;
    size_t item_size = bytes && length == 1 ? kin__array_item_size(*typecode) : 0;
    bool fits = item_size != 0 && kin_value_get_int(&argument[2], &form) == 0 && form >= 0 &&
                form < (int64_t)sizeof forms && (size_t)abs(forms[form]) == item_size;
    if (!fits || size % item_size != 0) return kin__reader_refuse(r, class, "has a form kin does not read");
    *made = kin__array_make(*typecode, bytes, size, false);
    int rc = kin_value_error_code(made);
    if (rc < 0 || forms[form] > 0) return rc;
    char *at = ((struct kin__text *)made->as_.object)->own;
    for (size_t i = 0; i < size; i += item_size) {
        for (size_t j = 0; j < item_size / 2; j++) {
            char swap = at[i + j];
            at[i + j] = at[i + item_size - 1 - j];
            at[i + item_size - 1 - j] = swap;
        }
    }
    return 0;
}

/* ---- exceptions, instances, proxies ------------------------------------------------------- */

static int make_error(struct kin__reader *r, const kin_value *class, const kin_value *arguments,
                      kin_value *made)
{
    kin_value fields[] = {*class, *arguments, kin_value_none(), kin_value_none()};
    return make_record(r, KIN_VALUE_ERROR, fields, KIN__ERROR_FIELDS, made);
}

static int make_object(struct kin__reader *r, const kin_value *class, const kin_value *arguments, char how,
                       kin_value *made)
{
    kin_value fields[] = {*class, *arguments, kin_value_none()};
    int rc = make_record(r, KIN_VALUE_OBJECT, fields, KIN__OBJECT_FIELDS, made);
    if (rc == 0) ((struct kin__boxed *)made->as_.object)->typecode = how;
    return rc;
}

/* rebuild_exc(exception, text): the exception, with the text of its traceback. */
static int rebuild_error(struct kin__reader *r, const kin_value *class, const kin_value *argument,
                         size_t count, kin_value *made)
{
    const kin_value *from = count == 2 ? kin__fields(&argument[0], KIN_VALUE_ERROR) : NULL;
    if (from == NULL || argument[1].kind_ != KIN_VALUE_STR)
        return kin__reader_refuse(r, class, "takes an exception and a text");
    kin_value fields[] = {from[KIN__ERROR_CLASS], from[KIN__ERROR_ARGUMENTS], from[KIN__ERROR_STATE],
                          argument[1]};
    return make_record(r, KIN_VALUE_ERROR, fields, KIN__ERROR_FIELDS, made);
}

/* RebuildProxy(class, token, serializer, keywords). */
static int rebuild_proxy(struct kin__reader *r, const kin_value *class, const kin_value *argument,
                         size_t count, kin_value *made)
{
    bool fits = count == 4 && argument[0].kind_ == KIN_VALUE_CLASS && argument[1].kind_ == KIN_VALUE_TOKEN &&
                argument[2].kind_ == KIN_VALUE_STR && argument[3].kind_ == KIN_VALUE_DICT;
    if (!fits) return kin__reader_refuse(r, class, "takes a class, a token, a serializer and keywords");
    kin_value fields[] = {argument[0], argument[1], argument[3]};
    return make_record(r, KIN_VALUE_PROXY, fields, KIN__PROXY_FIELDS, made);
}

static int call_slice(struct kin__reader *r, const kin_value *class, const kin_value *argument, size_t count,
                      kin_value *made)
{
    if (count != 3) return kin__reader_refuse(r, class, "takes three arguments");
    if (kin__class_use(class) == KIN__CLASS_SLICE) return make_record(r, KIN_VALUE_SLICE, argument, 3, made);
    for (int i = 0; i < 3; i++) {
        if (argument[i].kind_ != KIN_VALUE_INT) return kin__reader_refuse(r, class, "takes ints");
    }
    if (!kin_value_is_true(&argument[2])) return kin__reader_refuse(r, class, "takes a step that is not 0");
    return make_record(r, KIN_VALUE_RANGE, argument, 3, made);
}

static int call_complex(struct kin__reader *r, const kin_value *class, const kin_value *argument,
                        size_t count, kin_value *made)
{
    double real, imaginary;
    if (count != 2 || kin_value_get_float(&argument[0], &real) < 0 ||
        kin_value_get_float(&argument[1], &imaginary) < 0)
        return kin__reader_refuse(r, class, "takes two floats");
    *made = kin_value_complex(real, imaginary);
    return kin_value_error_code(made);
}

/* copyreg._reconstructor(class, object, None), of the protocols 0 and 1. */
static int rebuild_old(struct kin__reader *r, const kin_value *class, const kin_value *argument, size_t count,
                       kin_value *made)
{
    bool fits = count == 3 && argument[0].kind_ == KIN_VALUE_CLASS &&
                kin_value_class_is(&argument[1], "object") && argument[2].kind_ == KIN_VALUE_NONE;
    kin_value nothing = {.kind_ = KIN_VALUE_TUPLE};
    return fits ? kin__reader_new(r, &argument[0], &nothing, made)
                : kin__reader_refuse(r, class, "takes a class of objects");
}

/* ---- the three opcodes -------------------------------------------------------------------- */

static int check_call(struct kin__reader *r, const kin_value *class, const kin_value *arguments)
{
    if (class->kind_ != KIN_VALUE_CLASS)
        return kin__reader_fail(r, KIN_EREFUSED, "a call of what is no class but of type %s",
                                kin_value_kind_name(class));
    if (arguments->kind_ != KIN_VALUE_TUPLE)
        return kin__reader_fail(r, KIN_EPICKLE, "the arguments of a call are of type %s",
                                kin_value_kind_name(arguments));
    return 0;
}

int kin__reader_call(struct kin__reader *r, const kin_value *class, const kin_value *arguments,
                     kin_value *made)
{
    size_t count;
    *made = kin_value_none();
    int rc = check_call(r, class, arguments);
    if (rc < 0) return rc;
    const kin_value *argument = kin__items(arguments, &count);
    switch (kin__class_use(class)) {
    case KIN__CLASS_LIST: return call_container(r, class, KIN_VALUE_LIST, argument, count, made);
    case KIN__CLASS_TUPLE: return call_container(r, class, KIN_VALUE_TUPLE, argument, count, made);
    case KIN__CLASS_SET: return call_container(r, class, KIN_VALUE_SET, argument, count, made);
    case KIN__CLASS_FROZENSET: return call_container(r, class, KIN_VALUE_FROZENSET, argument, count, made);
    case KIN__CLASS_DICT:
        if (count > 0) return kin__reader_refuse(r, class, "takes no arguments here");
        *made = kin_value_dict();
        return kin_value_error_code(made);
    case KIN__CLASS_ENCODE:
        if (count != 2 || argument->kind_ != KIN_VALUE_STR || !is_latin1(&argument[1]))
            return kin__reader_refuse(r, class, "takes a text and latin1");
        return encode_latin1(r, KIN_VALUE_BYTES, argument, made);
    case KIN__CLASS_BYTES:
    case KIN__CLASS_BYTEARRAY: return call_bytes(r, class, argument, count, made);
    case KIN__CLASS_SLICE:
    case KIN__CLASS_RANGE: return call_slice(r, class, argument, count, made);
    case KIN__CLASS_COMPLEX: return call_complex(r, class, argument, count, made);
    case KIN__CLASS_ARRAY: return call_array(r, class, argument, count, made);
    case KIN__CLASS_REBUILD_ARRAY: return rebuild_array(r, class, argument, count, made);
    case KIN__CLASS_REBUILD_PROXY: return rebuild_proxy(r, class, argument, count, made);
    case KIN__CLASS_REBUILD_ERROR: return rebuild_error(r, class, argument, count, made);
    case KIN__CLASS_REBUILD_OLD: return rebuild_old(r, class, argument, count, made);
    case KIN__CLASS_ERROR: return make_error(r, class, arguments, made);
    case KIN__CLASS_CALLED: return make_object(r, class, arguments, 'C', made);
    default:
        /* Of the user's own classes exceptions are called. */
        if (kin__counted(class)) return make_error(r, class, arguments, made);
        return kin__reader_refuse(r, class, "is not called");
    }
}

int kin__reader_new(struct kin__reader *r, const kin_value *class, const kin_value *arguments,
                    kin_value *made)
{
    *made = kin_value_none();
    int rc = check_call(r, class, arguments);
    if (rc < 0) return rc;
    switch (kin__class_use(class)) {
    case KIN__CLASS_TOKEN: {
        kin_value fields[KIN__TOKEN_FIELDS] = {kin_value_str(""), kin_value_none(), kin_value_str("")};
        r->has_proxies = true;
        return make_record(r, KIN_VALUE_TOKEN, fields, KIN__TOKEN_FIELDS, made);
    }
    case KIN__CLASS_ERROR: return make_error(r, class, arguments, made);
    case KIN__CLASS_OBJECT: return make_object(r, class, arguments, 'N', made);
    default:
        if (kin__counted(class)) return make_object(r, class, arguments, 'N', made);
        return kin__reader_refuse(r, class, "has no instances that kin reads");
    }
}

static int build_token(struct kin__reader *r, kin_value *target, const kin_value *state)
{
    size_t count;
    kin_value *field = kin__fields(target, KIN_VALUE_TOKEN);
    const kin_value *part = kin__items(state, &count);
    bool fits = state->kind_ == KIN_VALUE_TUPLE && count == 3 && part[0].kind_ == KIN_VALUE_STR &&
                part[2].kind_ == KIN_VALUE_STR;
    if (!fits)
        return kin__reader_fail(r, KIN_EREFUSED, "the state of a token is not its type, address and id");
    for (size_t i = 0; i < count; i++) {
        int rc = kin__reader_join(r, target->as_.object, &part[i]);
        if (rc < 0) return rc;
        kin_value_clear(&field[i]);
        field[i] = kin__value_ref(&part[i]);
    }
    return 0;
}

int kin__reader_build(struct kin__reader *r, kin_value *target, kin_value state)
{
    int rc;
    bool open = kin__counted(target) && ((struct kin__boxed *)target->as_.object)->open;
    bool instance = target->kind_ == KIN_VALUE_ERROR || target->kind_ == KIN_VALUE_OBJECT;
    if (open && target->kind_ == KIN_VALUE_TOKEN)
        rc = build_token(r, target, &state);
    else if (open && instance && kin__is_state(&state)) {
        kin_value *field = ((struct kin__tuple *)target->as_.object)->item;
        kin_value *old = &field[target->kind_ == KIN_VALUE_ERROR ? KIN__ERROR_STATE : KIN__OBJECT_STATE];
        rc = kin__reader_join(r, target->as_.object, &state);
        kin_value_clear(old);
        *old = state;
        return rc;
    } else if (instance)
        rc = kin__reader_refuse(
            r, target, open ? "has a state that kin does not read" : "gets a state after it is complete");
    else
        rc = kin__reader_fail(r, KIN_EREFUSED, "a state of type %s for a value of type %s",
                              kin_value_kind_name(&state), kin_value_kind_name(target));
    kin_value_clear(&state);
    return rc;
}
