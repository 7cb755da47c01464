/* error.c: the texts and names of the one error space.
 *
 * Nothing here allocates, takes a lock or looks at the locale, so that a child just forked
 * from a program with threads can say what is wrong too.
 */
#define _GNU_SOURCE
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static _Thread_local size_t needed_size;

void kin__needed_size_set(size_t size)
{
    needed_size = size;
}

size_t kin_needed_size(void)
{
    return needed_size;
}

const char *kin_strerror(int code)
{
    static _Thread_local char unknown[40];
    const char *text = NULL;
    switch (code) {
#define KIN_ERROR_TEXT(name, value, words) \
    case name: return words;
        KIN_ERRORS(KIN_ERROR_TEXT)
#undef KIN_ERROR_TEXT
    case KIN_OWNER_DIED: return "the previous owner died while it held the lock";
    /* What strerror says of these is true of connections and of files alone. */
    case -ETIMEDOUT: return "the deadline has passed";
    case -ELOOP: return "nested too deeply, or too many symbolic links";
    default: break;
    }
    if (code >= 0) return "success";
    /* The complement is tested before the negation, which INT_MIN would overflow. */
    if (~code < 4095) text = strerrordesc_np(-code);
    if (text != NULL) return text;
    snprintf(unknown, sizeof unknown, "unknown error %d", code);
    return unknown;
}

const char *kin_error_name(int code)
{
    const char *name = NULL;
    switch (code) {
#define KIN_ERROR_NAME(identifier, value, words) \
    case identifier: return #identifier;
        KIN_ERRORS(KIN_ERROR_NAME)
#undef KIN_ERROR_NAME
    case KIN_OWNER_DIED: return "KIN_OWNER_DIED";
    case 0: return "success";
    default: break;
    }
    if (code < 0 && ~code < 4095) name = strerrorname_np(-code);
    return name != NULL ? name : "unknown";
}
