/* log.c: the log hook.  It is set before other threads use kin, so nothing here is locked; who turns it
 * off while others speak may still get a line. */
#include "base/log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

unsigned kin__log_threshold = UINT_MAX;
const char *kin__log_process = "MainProcess";

static kin_log_hook *log_hook;
static void *log_context;

void kin_log_set(kin_log_hook *hook, enum kin_log_level level, void *context)
{
    /* A hook that was set stays: another thread may be about to call it. */
    if (hook != NULL) {
        __atomic_store_n(&log_context, context, __ATOMIC_RELAXED);
        /* Release: pairs with say(); what the hook needs was written before. */
        __atomic_store_n(&log_hook, hook, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&kin__log_threshold, hook != NULL ? (unsigned)level : UINT_MAX, __ATOMIC_RELEASE);
}

static void say(enum kin_log_level level, const char *format, va_list arguments)
{
    char line[KIN__LOG_LINE + 1];
    vsnprintf(line, sizeof line, format, arguments);
    kin_log_hook *hook = __atomic_load_n(&log_hook, __ATOMIC_ACQUIRE);
    hook(level, line, __atomic_load_n(&log_context, __ATOMIC_RELAXED));
}

void kin__log_line(enum kin_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(level, format, arguments);
    va_end(arguments);
}

void kin_log(enum kin_log_level level, const char *format, ...)
{
    if (!kin__log_wanted(level) || format == NULL) return;
    va_list arguments;
    va_start(arguments, format);
    say(level, format, arguments);
    va_end(arguments);
}

const char *kin__log_level_name(enum kin_log_level level)
{
    return level >= KIN_LOG_ERROR     ? "ERROR"
           : level >= KIN_LOG_WARNING ? "WARNING"
           : level >= KIN_LOG_INFO    ? "INFO"
                                      : "DEBUG";
}
