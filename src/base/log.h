/* log.h: saying something to the program's log hook.
 *
 * Without a hook a message costs one comparison: its arguments are not evaluated. */
#ifndef KIN_BASE_LOG_H
#define KIN_BASE_LOG_H

#include <kin/log.h>

/* The least level that is logged; above every level when nothing is. */
extern unsigned kin__log_threshold;

#define kin__log_wanted(level) __builtin_expect((unsigned)(level) >= kin__log_threshold, 0)

/* Sends one line, formatted as by printf, to the hook.  Lines are cut after 500 bytes. */
#define kin__log(level, ...) (kin__log_wanted(level) ? kin__log_line(level, __VA_ARGS__) : (void)0)

void kin__log_line(enum kin_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
