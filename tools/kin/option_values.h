/* option_values.h: the values that options take.  Each returns false when the text is none. */
#ifndef OPTION_VALUES_H
#define OPTION_VALUES_H

#include "options.h"

/* "4", "+2" and "-1" (relative to the processors), "50%" (of them), "0" (as many as can be). */
bool parse_jobs(const char *text, unsigned *jobs);
/* "2.5", and with a unit: "500ms", "10s", "5m", "1h", "1d". */
bool parse_duration(const char *text, int64_t *nanoseconds);
/* One character, or an escape such as "\t", "\0", "\x1f", "\037". */
bool parse_delimiter(const char *text, char *delimiter);
/* "never", "soon,fail=3", "now,success=1", "soon,done=50%", and the old forms 0, 1, 2. */
bool parse_halt(const char *text, struct halt *halt);
bool parse_count(const char *text, long most, long *count);

#endif
