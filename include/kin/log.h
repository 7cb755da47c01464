/* kin/log.h: what the library has to say goes to a hook; without one it says nothing. */
#ifndef KIN_LOG_H
#define KIN_LOG_H

#include <kin/version.h>

KIN_BEGIN

enum kin_log_level { KIN_LOG_DEBUG = 10, KIN_LOG_INFO = 20, KIN_LOG_WARNING = 30, KIN_LOG_ERROR = 40 };

/* A hook gets whole lines without a newline.  It may be called from any thread, also while
 * the library is working: it must not call kin. */
typedef void kin_log_hook(enum kin_log_level level, const char *line, void *context);

/* kin_log_set makes `hook` receive every message of `level` and above, with `context`, in
 * this process and in those forked from it later; NULL turns logging off, which is how a
 * program starts.  Does not block.  Set it before other threads use kin. */
KIN_API void kin_log_set(kin_log_hook *hook, enum kin_log_level level, void *context);

KIN_END
#endif
