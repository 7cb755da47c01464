/* signature.c: see signature.h.
 *
 * The one place that says how arguments do not fit, as Python 3.11 and 3.12 say it.  Python has a way of
 * its own for functions that are written in it, for methods of its built-in types, and for those that stand
 * behind operators (enum kin__convention).
 */
#include "manager/signature.h"

#include <stdio.h>
#include <string.h>

#include "manager/dispatch.h"
#include "value/value.h"

#define NAME_SIZE 96

/* The n-th word of a list of parameters, its length in `*length`; NULL: there are fewer. */
static const char *parameter(const char *words, size_t n, size_t *length)
{
    for (; *words != '\0'; words += *length, words += *words == ' ') {
        *length = strcspn(words, " ");
        if (n-- == 0) return words;
    }
    return NULL;
}

static size_t count_parameters(const struct kin__method *method)
{
    size_t count = method->parameters[0] != '\0';
    for (const char *at = method->parameters; *at != '\0'; at++) count += *at == ' ';
    return count;
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* "list.append", or "list" for what makes one. */
static const char *full_name(const struct kin__call *call, char name[NAME_SIZE])
{
    const struct kin__method *method = call->method;
    const struct kin__type *type = call->object != NULL ? call->object->type : NULL;
    bool whole = type == NULL || method->convention == KIN__FUNCTION ||
                 (method->convention == KIN__BUILTIN && method == &type->make);
    if (whole)
        snprintf(name, NAME_SIZE, "%s", method->name);
    else
        snprintf(name, NAME_SIZE, "%s.%s", type->class != NULL ? type->class : type->name, method->name);
    return name;
}

/* ---- what is written in Python ------------------------------------------------------------------------ */

static enum kin__outcome too_many(struct kin__call *call, size_t given, size_t most)
{
    char name[NAME_SIZE], takes[64];
    size_t self = call->method->convention == KIN__PYTHON, least = call->method->required;
    bool plurals = least < most || most + self != 1;
    if (least < most)
        snprintf(takes, sizeof takes, "from %zu to %zu", least + self, most + self);
    else
        snprintf(takes, sizeof takes, "%zu", most + self);
    return kin__raisef(call, "TypeError", "%s() takes %s positional argument%s but %zu %s given",
                       full_name(call, name), takes, plurals ? "s" : "", given + self,
                       given + self == 1 ? "was" : "were");
}

/* Those that are required and were not given, in Python's list: 'a', 'b', and 'c'. */
static enum kin__outcome missing(struct kin__call *call)
{
    const struct kin__method *method = call->method;
    char name[NAME_SIZE], names[128] = "";
    size_t count = 0, named = 0, used = 0, length = 0;
    for (size_t i = 0; i < method->required; i++) count += call->argument[i] == NULL;
    for (size_t i = 0; i < method->required && used < sizeof names; i++) {
        if (call->argument[i] != NULL) continue;
        const char *word = parameter(method->parameters, i, &length);
        const char *before = named == 0 ? "" : named + 1 < count ? ", " : count == 2 ? " and " : ", and ";
        int more = snprintf(names + used, sizeof names - used, "%s'%.*s'", before, (int)length, word);
        used += (size_t)more;
        named++;
    }
    return kin__raisef(call, "TypeError", "%s() missing %zu required positional argument%s: %s",
                       full_name(call, name), count, plural(count), names);
}

/* ---- keywords --------------------------------------------------------------------------------------------- */

static enum kin__outcome unexpected(struct kin__call *call, const char *keyword)
{
    char name[NAME_SIZE];
    if (call->method->convention > KIN__FUNCTION)
        return kin__raisef(call, "TypeError", "'%.100s' is an invalid keyword argument for %s()", keyword,
                           call->method->name);
    return kin__raisef(call, "TypeError", "%s() got an unexpected keyword argument '%.100s'",
                       full_name(call, name), keyword);
}

static enum kin__outcome doubled(struct kin__call *call, const char *keyword, size_t position)
{
    char name[NAME_SIZE];
    if (call->method->convention > KIN__FUNCTION)
        return kin__raisef(call, "TypeError", "argument for %s() given by name ('%s') and position (%zu)",
                           call->method->name, keyword, position + 1);
    return kin__raisef(call, "TypeError", "%s() got multiple values for argument '%s'", full_name(call, name),
                       keyword);
}

static enum kin__outcome bind_keyword(struct kin__call *call, const char *keyword, const kin_value *item)
{
    const char *word;
    size_t length;
    for (size_t i = 0; (word = parameter(call->method->parameters, i, &length)) != NULL; i++) {
        if (strlen(keyword) != length || memcmp(keyword, word, length) != 0) continue;
        if (call->argument[i] != NULL) return doubled(call, keyword, i);
        call->argument[i] = item;
        return KIN__RETURN;
    }
    return unexpected(call, keyword);
}

static enum kin__outcome bind_keywords(struct kin__call *call)
{
    const kin_value *key, *item;
    for (size_t at = 0; kin_value_next(call->keywords, &at, &key, &item);) {
        const char *name = kin_value_get_str(key, NULL);
        if (name == NULL) return kin__raisef(call, "TypeError", "keywords must be strings");
        if (bind_keyword(call, name, item) == KIN__RAISE) return KIN__RAISE;
    }
    return KIN__RETURN;
}

/* ---- what is built in --------------------------------------------------------------------------------------- */

/* The number of arguments, of a method that takes none by keywords. */
static enum kin__outcome wrong_number(struct kin__call *call, size_t given, size_t most)
{
    char name[NAME_SIZE];
    enum kin__convention convention = call->method->convention;
    size_t least = call->method->required, bound = given < least ? least : most;
    if (convention == KIN__SLOT)
        return kin__raisef(call, "TypeError", "expected %zu argument%s, got %zu", most, plural(most), given);
    if (convention == KIN__BUILTIN && most == 0)
        return kin__raisef(call, "TypeError", "%s() takes no arguments (%zu given)", full_name(call, name),
                           given);
    if (convention == KIN__BUILTIN && least == 1 && most == 1)
        return kin__raisef(call, "TypeError", "%s() takes exactly one argument (%zu given)",
                           full_name(call, name), given);
    return kin__raisef(call, "TypeError", "%s expected %s%zu argument%s, got %zu",
                       convention == KIN__BUILTIN ? call->method->name : "",
                       least == most   ? ""
                       : given < least ? "at least "
                                       : "at most ",
                       bound, plural(bound), given);
}

static enum kin__outcome no_keywords(struct kin__call *call)
{
    char name[NAME_SIZE];
    if (call->method->convention == KIN__BUILTIN)
        return kin__raisef(call, "TypeError", "%s() takes no keyword arguments", full_name(call, name));
    return kin__raisef(call, "TypeError", "wrapper %s() takes no keyword arguments", call->method->name);
}

/* ---- all of them ---------------------------------------------------------------------------------------------- */

static enum kin__outcome bind_written_in_python(struct kin__call *call, size_t given, size_t most)
{
    if (bind_keywords(call) == KIN__RAISE) return KIN__RAISE;
    if (given > most) return too_many(call, given, most);
    for (size_t i = 0; i < call->method->required; i++) {
        if (call->argument[i] == NULL) return missing(call);
    }
    return KIN__RETURN;
}

static enum kin__outcome bind_built_in(struct kin__call *call, size_t given, size_t most)
{
    if (kin_value_len(call->keywords) > 0) return no_keywords(call);
    if (given < call->method->required || given > most) return wrong_number(call, given, most);
    return KIN__RETURN;
}

/* acquire(blocking, timeout) and sort(*, key, reverse). */
static enum kin__outcome bind_with_keywords(struct kin__call *call, size_t given, size_t most)
{
    size_t all = given + (size_t)kin_value_len(call->keywords);
    if (call->method->convention == KIN__KEYWORDS_ONLY) {
        if (given > 0)
            return kin__raisef(call, "TypeError", "%s() takes no positional arguments", call->method->name);
    } else if (all > most) {
        return kin__raisef(call, "TypeError", "%s() takes at most %zu %sargument%s (%zu given)",
                           call->method->name, most, given == 0 ? "keyword " : "", plural(most), all);
    }
    return bind_keywords(call);
}

enum kin__outcome kin__bind(struct kin__call *call)
{
    const struct kin__method *method = call->method;
    size_t given;
    const kin_value *items = kin__items(call->arguments, &given);
    given -= call->skip;
    /* Most calls have just what is required, and need not count. */
    bool fits = given == method->required && kin_value_len(call->keywords) == 0 &&
                method->convention != KIN__KEYWORDS_ONLY;
    size_t most = fits ? given : count_parameters(method);
    for (size_t i = 0; i < given && i < most; i++) call->argument[i] = &items[call->skip + i];
    if (fits) return KIN__RETURN;
    switch (method->convention) {
    case KIN__PYTHON:
    case KIN__FUNCTION: return bind_written_in_python(call, given, most);
    case KIN__BUILTIN:
    case KIN__SLOT:
    case KIN__SLOT_UNPACKED: return bind_built_in(call, given, most);
    case KIN__KEYWORDS:
    case KIN__KEYWORDS_ONLY: break;
    }
    return bind_with_keywords(call, given, most);
}
