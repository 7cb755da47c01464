/* class.c: the classes and functions of Python that kin knows.
 *
 * Invariants:
 *  - Nothing is ever imported or called: `use` says what reader and writer make of the name.
 *  - The table is sorted by module, then name, as strcmp does.
 *  - A class of the table is a pointer to its entry; another one a block of two strings.  A
 *    known class is never a block.
 */
#include <errno.h>

#include "value/value.h"

static const struct kin__class classes[] = {
    {"_codecs", "encode", KIN__CLASS_ENCODE},
    {"array", "_array_reconstructor", KIN__CLASS_REBUILD_ARRAY},
    {"array", "array", KIN__CLASS_ARRAY},
    {"builtins", "ArithmeticError", KIN__CLASS_ERROR},
    {"builtins", "AssertionError", KIN__CLASS_ERROR},
    {"builtins", "AttributeError", KIN__CLASS_ERROR},
    {"builtins", "BaseException", KIN__CLASS_ERROR},
    {"builtins", "BaseExceptionGroup", KIN__CLASS_ERROR},
    {"builtins", "BlockingIOError", KIN__CLASS_ERROR},
    {"builtins", "BrokenPipeError", KIN__CLASS_ERROR},
    {"builtins", "BufferError", KIN__CLASS_ERROR},
    {"builtins", "BytesWarning", KIN__CLASS_ERROR},
    {"builtins", "ChildProcessError", KIN__CLASS_ERROR},
    {"builtins", "ConnectionAbortedError", KIN__CLASS_ERROR},
    {"builtins", "ConnectionError", KIN__CLASS_ERROR},
    {"builtins", "ConnectionRefusedError", KIN__CLASS_ERROR},
    {"builtins", "ConnectionResetError", KIN__CLASS_ERROR},
    {"builtins", "DeprecationWarning", KIN__CLASS_ERROR},
    {"builtins", "EOFError", KIN__CLASS_ERROR},
    {"builtins", "Ellipsis", KIN__CLASS_CONSTANT},
    {"builtins", "EncodingWarning", KIN__CLASS_ERROR},
    {"builtins", "Exception", KIN__CLASS_ERROR},
    {"builtins", "ExceptionGroup", KIN__CLASS_ERROR},
    {"builtins", "FileExistsError", KIN__CLASS_ERROR},
    {"builtins", "FileNotFoundError", KIN__CLASS_ERROR},
    {"builtins", "FloatingPointError", KIN__CLASS_ERROR},
    {"builtins", "FutureWarning", KIN__CLASS_ERROR},
    {"builtins", "GeneratorExit", KIN__CLASS_ERROR},
    {"builtins", "ImportError", KIN__CLASS_ERROR},
    {"builtins", "ImportWarning", KIN__CLASS_ERROR},
    {"builtins", "IndentationError", KIN__CLASS_ERROR},
    {"builtins", "IndexError", KIN__CLASS_ERROR},
    {"builtins", "InterruptedError", KIN__CLASS_ERROR},
    {"builtins", "IsADirectoryError", KIN__CLASS_ERROR},
    {"builtins", "KeyError", KIN__CLASS_ERROR},
    {"builtins", "KeyboardInterrupt", KIN__CLASS_ERROR},
    {"builtins", "LookupError", KIN__CLASS_ERROR},
    {"builtins", "MemoryError", KIN__CLASS_ERROR},
    {"builtins", "ModuleNotFoundError", KIN__CLASS_ERROR},
    {"builtins", "NameError", KIN__CLASS_ERROR},
    {"builtins", "NotADirectoryError", KIN__CLASS_ERROR},
    {"builtins", "NotImplemented", KIN__CLASS_CONSTANT},
    {"builtins", "NotImplementedError", KIN__CLASS_ERROR},
    {"builtins", "OSError", KIN__CLASS_ERROR},
    {"builtins", "OverflowError", KIN__CLASS_ERROR},
    {"builtins", "PendingDeprecationWarning", KIN__CLASS_ERROR},
    {"builtins", "PermissionError", KIN__CLASS_ERROR},
    {"builtins", "ProcessLookupError", KIN__CLASS_ERROR},
    {"builtins", "PythonFinalizationError", KIN__CLASS_ERROR},
    {"builtins", "RecursionError", KIN__CLASS_ERROR},
    {"builtins", "ReferenceError", KIN__CLASS_ERROR},
    {"builtins", "ResourceWarning", KIN__CLASS_ERROR},
    {"builtins", "RuntimeError", KIN__CLASS_ERROR},
    {"builtins", "RuntimeWarning", KIN__CLASS_ERROR},
    {"builtins", "StopAsyncIteration", KIN__CLASS_ERROR},
    {"builtins", "StopIteration", KIN__CLASS_ERROR},
    {"builtins", "SyntaxError", KIN__CLASS_ERROR},
    {"builtins", "SyntaxWarning", KIN__CLASS_ERROR},
    {"builtins", "SystemError", KIN__CLASS_ERROR},
    {"builtins", "SystemExit", KIN__CLASS_ERROR},
    {"builtins", "TabError", KIN__CLASS_ERROR},
    {"builtins", "TimeoutError", KIN__CLASS_ERROR},
    {"builtins", "TypeError", KIN__CLASS_ERROR},
    {"builtins", "UnboundLocalError", KIN__CLASS_ERROR},
    {"builtins", "UnicodeDecodeError", KIN__CLASS_ERROR},
    {"builtins", "UnicodeEncodeError", KIN__CLASS_ERROR},
    {"builtins", "UnicodeError", KIN__CLASS_ERROR},
    {"builtins", "UnicodeTranslateError", KIN__CLASS_ERROR},
    {"builtins", "UnicodeWarning", KIN__CLASS_ERROR},
    {"builtins", "UserWarning", KIN__CLASS_ERROR},
    {"builtins", "ValueError", KIN__CLASS_ERROR},
    {"builtins", "Warning", KIN__CLASS_ERROR},
    {"builtins", "ZeroDivisionError", KIN__CLASS_ERROR},
    {"builtins", "_IncompleteInputError", KIN__CLASS_ERROR},
    {"builtins", "bool", KIN__CLASS_NAME},
    {"builtins", "bytearray", KIN__CLASS_BYTEARRAY},
    {"builtins", "bytes", KIN__CLASS_BYTES},
    {"builtins", "complex", KIN__CLASS_COMPLEX},
    {"builtins", "dict", KIN__CLASS_DICT},
    {"builtins", "float", KIN__CLASS_NAME},
    {"builtins", "frozenset", KIN__CLASS_FROZENSET},
    {"builtins", "int", KIN__CLASS_NAME},
    {"builtins", "list", KIN__CLASS_LIST},
    {"builtins", "object", KIN__CLASS_NAME},
    {"builtins", "range", KIN__CLASS_RANGE},
    {"builtins", "set", KIN__CLASS_SET},
    {"builtins", "slice", KIN__CLASS_SLICE},
    {"builtins", "str", KIN__CLASS_NAME},
    {"builtins", "tuple", KIN__CLASS_TUPLE},
    {"builtins", "type", KIN__CLASS_NAME},
    {"concurrent.futures._base", "BrokenExecutor", KIN__CLASS_ERROR},
    {"concurrent.futures._base", "CancelledError", KIN__CLASS_ERROR},
    {"concurrent.futures._base", "Error", KIN__CLASS_ERROR},
    {"concurrent.futures._base", "InvalidStateError", KIN__CLASS_ERROR},
    {"concurrent.futures._base", "TimeoutError", KIN__CLASS_ERROR},
    {"concurrent.futures.process", "BrokenProcessPool", KIN__CLASS_ERROR},
    {"concurrent.futures.process", "_rebuild_exc", KIN__CLASS_REBUILD_ERROR},
    {"concurrent.futures.thread", "BrokenThreadPool", KIN__CLASS_ERROR},
    {"copyreg", "_reconstructor", KIN__CLASS_REBUILD_OLD},
    {"multiprocessing.context", "AuthenticationError", KIN__CLASS_ERROR},
    {"multiprocessing.context", "BufferTooShort", KIN__CLASS_ERROR},
    {"multiprocessing.context", "ProcessError", KIN__CLASS_ERROR},
    {"multiprocessing.context", "TimeoutError", KIN__CLASS_ERROR},
    {"multiprocessing.managers", "AcquirerProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "ArrayProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "AutoProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "BarrierProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "BaseProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "ConditionProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "DictProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "EventProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "IteratorProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "ListProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "Namespace", KIN__CLASS_OBJECT},
    {"multiprocessing.managers", "NamespaceProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "PoolProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "RebuildProxy", KIN__CLASS_REBUILD_PROXY},
    {"multiprocessing.managers", "RemoteError", KIN__CLASS_ERROR},
    {"multiprocessing.managers", "SetProxy", KIN__CLASS_NAME},
    {"multiprocessing.managers", "Token", KIN__CLASS_TOKEN},
    {"multiprocessing.managers", "Value", KIN__CLASS_OBJECT},
    {"multiprocessing.managers", "ValueProxy", KIN__CLASS_NAME},
    {"multiprocessing.pool", "MaybeEncodingError", KIN__CLASS_ERROR},
    {"multiprocessing.pool", "RemoteTraceback", KIN__CLASS_ERROR},
    {"multiprocessing.pool", "rebuild_exc", KIN__CLASS_REBUILD_ERROR},
    {"multiprocessing.shared_memory", "SharedMemory", KIN__CLASS_CALLED},
    {"pickle", "PickleError", KIN__CLASS_ERROR},
    {"pickle", "PicklingError", KIN__CLASS_ERROR},
    {"pickle", "UnpicklingError", KIN__CLASS_ERROR},
    {"queue", "Empty", KIN__CLASS_ERROR},
    {"queue", "Full", KIN__CLASS_ERROR},
    {"queue", "ShutDown", KIN__CLASS_ERROR},
    {"struct", "error", KIN__CLASS_ERROR},
    {"threading", "BrokenBarrierError", KIN__CLASS_ERROR},
};
#define CLASSES (sizeof classes / sizeof *classes)

/* Where older versions and C modules have what Python 3 has elsewhere. */
static const struct {
    const char *alias, *name;
} modules[] =
    {
        {"Queue", "queue"},
        {"__builtin__", "builtins"},
        {"_pickle", "pickle"},
        {"_queue", "queue"},
        {"copy_reg", "copyreg"},
        {"exceptions", "builtins"},
        {"multiprocessing", "multiprocessing.context"},
},
  names[] = {{"long", "int"}, {"unicode", "str"}, {"xrange", "range"}};

/* strcmp of a text with one that has a size, and may hold NULs. */
static int compare(const char *text, const char *other, size_t size)
{
    size_t length = strlen(text);
    int order = memcmp(text, other, length < size ? length : size);
    return order != 0 ? order : (length > size) - (length < size);
}

static const struct kin__class *search(const char *module, size_t module_size, const char *name,
                                       size_t name_size)
{
    size_t low = 0, high = CLASSES;
    while (low < high) {
        const struct kin__class *one = &classes[(low + high) / 2];
        int order = compare(one->module, module, module_size);
        if (order == 0) order = compare(one->name, name, name_size);
        if (order == 0) return one;
        if (order < 0)
            low = (low + high) / 2 + 1;
        else
            high = (low + high) / 2;
    }
    return NULL;
}

const struct kin__class *kin__class_find(const char *module, size_t module_size, const char *name,
                                         size_t name_size)
{
    const struct kin__class *found = search(module, module_size, name, name_size);
    for (size_t i = 0; found == NULL && i < sizeof modules / sizeof *modules; i++) {
        if (compare(modules[i].alias, module, module_size) != 0) continue;
        module = modules[i].name;
        module_size = strlen(module);
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            if (compare(names[j].alias, name, name_size) != 0) continue;
            name = names[j].name;
            name_size = strlen(name);
        }
        return search(module, module_size, name, name_size);
    }
    return found;
}

/* Identifiers with dots between.  What is not ASCII may be a letter of another script. */
static bool is_name(const char *text, size_t size)
{
    bool begins = true;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i], lower = c | 0x20;
        bool letter = (lower >= 'a' && lower <= 'z') || c == '_' || c >= 0x80;
        bool inner = !begins && ((c >= '0' && c <= '9') || c == '.');
        if (!letter && !inner && c != '<' && c != '>') return false; /* "<locals>" */
        begins = c == '.';
    }
    return !begins && kin__utf8_valid(text, size);
}

kin_value kin__class_make(const char *module, size_t module_size, const char *name, size_t name_size)
{
    const struct kin__class *known = kin__class_find(module, module_size, name, name_size);
    if (known) return (kin_value){.kind_ = KIN_VALUE_CLASS, .as_.fixed = known};
    if (!is_name(module, module_size) || !is_name(name, name_size)) return kin_value_failed(-EINVAL);
    kin_value fields[2] = {kin__text_make(KIN_VALUE_STR, module, module_size),
                           kin__text_make(KIN_VALUE_STR, name, name_size)};
    return kin__fields_make(KIN_VALUE_CLASS, fields, 2);
}

void kin__class_names(const kin_value *value, const char **module, const char **name)
{
    const kin_value *field = kin__fields(value, KIN_VALUE_CLASS);
    const struct kin__class *known = value->as_.fixed;
    *module = field ? kin_value_get_str(&field[0], NULL) : known->module;
    *name = field ? kin_value_get_str(&field[1], NULL) : known->name;
}

enum kin__class_use kin__class_use(const kin_value *value)
{
    return kin__counted(value) ? KIN__CLASS_NAME : ((const struct kin__class *)value->as_.fixed)->use;
}

/* ---- the public functions ----------------------------------------------------------------- */

kin_value kin_value_class(const char *name)
{
    if (name == NULL) return kin_value_failed(-EINVAL);
    const char *dot = strrchr(name, '.');
    if (dot == NULL) return kin__class_make("builtins", strlen("builtins"), name, strlen(name));
    return kin__class_make(name, (size_t)(dot - name), dot + 1, strlen(dot + 1));
}

static const kin_value *class_of(const kin_value *value)
{
    switch (kin_value_kind(value)) {
    case KIN_VALUE_CLASS: return value;
    case KIN_VALUE_ERROR: return &kin__fields(value, KIN_VALUE_ERROR)[KIN__ERROR_CLASS];
    case KIN_VALUE_OBJECT: return &kin__fields(value, KIN_VALUE_OBJECT)[KIN__OBJECT_CLASS];
    case KIN_VALUE_PROXY: return &kin__fields(value, KIN_VALUE_PROXY)[KIN__PROXY_CLASS];
    default: return NULL;
    }
}

const char *kin_value_class_module(const kin_value *value)
{
    const char *module = NULL, *name;
    const kin_value *is = class_of(value);
    if (is) kin__class_names(is, &module, &name);
    return module;
}

const char *kin_value_class_name(const kin_value *value)
{
    const char *module, *name = NULL;
    const kin_value *is = class_of(value);
    if (is) kin__class_names(is, &module, &name);
    return name;
}

bool kin_value_class_is(const kin_value *value, const char *name)
{
    const kin_value *is = class_of(value);
    kin_value wanted = is ? kin_value_class(name) : kin_value_failed(KIN_EKIND);
    bool same = wanted.kind_ == KIN_VALUE_CLASS && kin_value_equal(is, &wanted) == 1;
    kin_value_clear(&wanted);
    return same;
}
