/* log.h: saying something to the program's log hook.
 *
 * Without a hook a message costs one comparison: its arguments are not evaluated. */
#ifndef KIN_BASE_LOG_H
#define KIN_BASE_LOG_H

#include <kin/log.h>

/* Lines are cut after so many bytes. */
#define KIN__LOG_LINE 500

/* The least level that is logged; above every level when nothing is.  Written with the hook, before it
 * when something is to be logged and after it when nothing is, and read relaxed. */
extern unsigned kin__log_threshold;

/* The name of this process; set in a child before anything of its own runs, and never freed. */
extern const char *kin__log_process;

#define kin__log_wanted(level) \
    __builtin_expect((unsigned)(level) >= __atomic_load_n(&kin__log_threshold, __ATOMIC_RELAXED), 0)

/* Sends one line, formatted as by printf, to the hook. */
#define kin__log(level, ...) (kin__log_wanted(level) ? kin__log_line(level, __VA_ARGS__) : (void)0)

/* "INFO" for KIN_LOG_INFO and what is above it. */
const char *kin__log_level_name(enum kin_log_level level);

void kin__log_line(enum kin_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
