/* say.c: messages on standard error, each written whole with one write. */
#define _GNU_SOURCE
#include "say.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *name = "kin";
static void (*hide_progress)(void);

void say_as(const char *new_name)
{
    name = new_name;
}

const char *say_name(void)
{
    return name;
}

void say_after(void (*hide)(void))
{
    hide_progress = hide;
}

void say(const char *format, ...)
{
    char line[2048];
    int size = snprintf(line, sizeof line, "%s: ", name);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + size, sizeof line - (size_t)size - 1, format, arguments);
    va_end(arguments);
    if (more < 0) return;
    size += more;
    if ((size_t)size > sizeof line - 2) size = (int)sizeof line - 2;
    line[size++] = '\n';
    if (hide_progress != NULL) hide_progress();
    for (int written = 0; written < size;) {
        ssize_t n = write(STDERR_FILENO, line + written, (size_t)(size - written));
        if (n < 0) return;
        written += (int)n;
    }
}

const char *error_words(int error)
{
    static char words[128];
    snprintf(words, sizeof words, "%s", strerror(error));
    if (islower((unsigned char)words[1])) words[0] = (char)tolower((unsigned char)words[0]);
    return words;
}

const char *signal_name(int signal)
{
    static char text[32];
    const char *abbreviation = sigabbrev_np(signal);
    if (abbreviation != NULL) {
        snprintf(text, sizeof text, "SIG%s", abbreviation);
    } else {
        snprintf(text, sizeof text, "signal %d", signal);
    }
    return text;
}

const char *printable(const char *bytes, size_t size)
{
    static char text[210];
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (used > 196) {
            strcpy(text + used, "...");
            return text;
        }
        if (byte < 0x20 || byte == 0x7f) {
            used += (size_t)sprintf(text + used, "\\x%02x", byte);
        } else {
            text[used++] = (char)byte;
        }
    }
    text[used] = '\0';
    return text;
}
