/* log.c: the log hook.  It is set before other threads use kin, so nothing here is locked. */
#include "base/log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

unsigned kin__log_threshold = UINT_MAX;

static kin_log_hook *log_hook;
static void *log_context;

void kin_log_set(kin_log_hook *hook, enum kin_log_level level, void *context)
{
    log_hook = hook;
    log_context = context;
    kin__log_threshold = hook != NULL ? (unsigned)level : UINT_MAX;
}

void kin__log_line(enum kin_log_level level, const char *format, ...)
{
    char line[501];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log_hook(level, line, log_context);
}
