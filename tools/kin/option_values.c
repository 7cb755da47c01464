/* option_values.c: numbers, durations, delimiters and conditions in words of the command line. */
#define _GNU_SOURCE
#include "option_values.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <kin/process.h>

/* Three descriptors for each job must fit into what a process may open. */
#define JOBS_MOST 1000

bool parse_count(const char *text, long most, long *count)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 0 || value > most) return false;
    *count = value;
    return true;
}

bool parse_jobs(const char *text, unsigned *jobs)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(value) || fabs(value) > 1e6) return false;
    int processors = kin_cpu_count();
    if (strcmp(end, "%") == 0) {
        value = processors * value / 100;
        if (value < 1) value = 1;
    } else if (*end != '\0' || value != (double)(long)value) {
        return false;
    } else if (text[0] == '+' || text[0] == '-') {
        value += processors;
        if (value < 1) value = 1;
    } else if (value == 0) {
        value = JOBS_MOST;
    }
    *jobs = value > JOBS_MOST ? JOBS_MOST : (unsigned)value;
    return true;
}

bool parse_duration(const char *text, int64_t *nanoseconds)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(value) || value < 0) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        value *= units[i].seconds;
        if (value > 1e9) return false;
        *nanoseconds = (int64_t)(value * 1e9);
        return true;
    }
    return false;
}

bool parse_delimiter(const char *text, char *delimiter)
{
    static const char letters[] = "abfnrtv\\";
    static const char characters[] = "\a\b\f\n\r\t\v\\";
    if (text[0] != '\\' || text[1] == '\0') {
        *delimiter = text[0];
        return text[0] != '\0' && text[1] == '\0';
    }
    const char *letter = strchr(letters, text[1]);
    if (letter != NULL && text[2] == '\0') {
        *delimiter = characters[letter - letters];
        return true;
    }
    bool hexadecimal = text[1] == 'x';
    const char *digits = text + 1 + hexadecimal;
    if (strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "01234567") != strlen(digits) ||
        *digits == '\0' || strlen(digits) > 3)
        return false;
    long value = strtol(digits, NULL, hexadecimal ? 16 : 8);
    *delimiter = (char)value;
    return value <= 255;
}

static bool parse_halt_number(const char *text, struct halt *halt)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !(value > 0)) return false;
    if (strcmp(end, "%") == 0) {
        halt->fraction = value / 100;
        return value <= 100;
    }
    halt->count = (uint64_t)value;
    return *end == '\0' && value <= 1e15 && value == (double)halt->count;
}

bool parse_halt(const char *text, struct halt *halt)
{
    *halt = (struct halt){.when = HALT_NEVER, .what = HALT_FAIL};
    if (strcmp(text, "never") == 0 || strcmp(text, "0") == 0) return true;
    if (strcmp(text, "1") == 0) text = "soon,fail=1";
    if (strcmp(text, "2") == 0) text = "now,fail=1";
    if (strncmp(text, "soon,", 5) == 0) {
        halt->when = HALT_SOON;
        text += 5;
    } else if (strncmp(text, "now,", 4) == 0) {
        halt->when = HALT_NOW;
        text += 4;
    } else {
        return false;
    }
    static const struct {
        const char *name;
        enum halt_what what;
    } conditions[] = {{"fail=", HALT_FAIL}, {"success=", HALT_SUCCESS}, {"done=", HALT_DONE}};
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        size_t length = strlen(conditions[i].name);
        if (strncmp(text, conditions[i].name, length) != 0) continue;
        halt->what = conditions[i].what;
        return parse_halt_number(text + length, halt);
    }
    return false;
}
