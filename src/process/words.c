/* words.c: see words.h. */
#define _GNU_SOURCE
#include "process/words.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>
#include <kin/subprocess.h>

#include "process/death.h"

/* Small, because it stands in the memory that each thread has from its beginning. */
#define TEXT_SIZE 240

static _Thread_local char text[TEXT_SIZE];

const char *kin_process_error(void)
{
    return text;
}

const char *kin_subprocess_error(void)
{
    return text;
}

void kin__start_say_nothing(void)
{
    text[0] = '\0';
}

static void add_words(size_t at, int error)
{
    const char *words = kin_strerror(error);
    if (at >= sizeof text) return;
    int length = snprintf(text + at, sizeof text - at, ": %s", words);
    /* "No such file" in the middle of a sentence, but "RPC struct is bad". */
    bool is_word = isupper((unsigned char)words[0]) && !isupper((unsigned char)words[1]);
    if (is_word && length > 2 && at + 2 < sizeof text - 1)
        text[at + 2] = (char)tolower((unsigned char)words[0]);
}

int kin__start_say(int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error;
}

int kin__start_fail(int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= 0) add_words((size_t)length, error);
    return error;
}

const char *kin__last_line(const char *tail, size_t *size)
{
    while (*size > 0 && isspace((unsigned char)tail[*size - 1])) --*size;
    const char *newline = *size > 0 ? memrchr(tail, '\n', *size) : NULL;
    if (newline == NULL) return tail;
    *size -= (size_t)(newline + 1 - tail);
    return newline + 1;
}

void kin__start_say_end(const char *name, const kin_exit_status *status, const char *tail, size_t size)
{
    char death[120];
    kin__death_text(status, death, sizeof death);
    if (tail == NULL) size = 0;
    const char *line = kin__last_line(tail, &size);
    snprintf(text, sizeof text, "%s %s%s%s%.*s", name, kin__death_verb(status), death, size > 0 ? ": " : "",
             (int)size, size > 0 ? line : "");
}
