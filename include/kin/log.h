/* kin/log.h: what the library has to say, and what the processes of a family have to say to each other's
 * log.  Without a hook nobody says anything. */
#ifndef KIN_LOG_H
#define KIN_LOG_H

#include <stdint.h>

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

/* kin_log says one line, formatted as by printf and cut after 500 bytes, as the library does: to the hook
 * of this process.  Where nobody listens to that level it costs a comparison.  Safe for threads; not
 * for signal handlers. */
KIN_API void kin_log(enum kin_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* kin_log_to_stderr sets a hook that writes lines such as "[INFO/Process-1] ready" to stderr, each by one
 * write, so that those of several processes do not mix.  Otherwise as kin_log_set. */
KIN_API void kin_log_to_stderr(enum kin_log_level level);

/* One line of any process of the family.  The strings are the collector's while it runs. */
typedef struct kin_log_record {
    enum kin_log_level level;
    int pid;
    int64_t time_ns;     /* of the day, since 1970 */
    const char *process; /* its name, such as "Process-1" or "MainProcess" */
    const char *line;    /* without a newline */
} kin_log_record;

typedef void kin_log_collector(const kin_log_record *record, void *context);

/* kin_log_collect makes `collector` receive what is said, of `level` and above, in this process, in those
 * forked from it later, and in others that join its family later.  A thread of this process calls it,
 * for one line at a time, in the order in which they were said; it may call kin.  Who says something
 * does not wait for that: lines that come faster than they are taken are dropped, after 20 ms of
 * waiting for room, and counted.  At a normal exit the last lines are delivered, those of children
 * that are waited for too.
 * Errors: -EINVAL (NULL), -EBUSY (a process of the family is collecting), -EMFILE, -ENFILE, -ENOMEM,
 * -EAGAIN, -ENOENT (/proc is not mounted), and those of kin_family_open. */
KIN_API int kin_log_collect(kin_log_collector *collector, enum kin_log_level level, void *context);

/* kin_log_collect_end waits until what was said before has been delivered, and ends collecting.
 * Not to be called by the collector.  Errors: -EPERM (this process is not collecting). */
KIN_API int kin_log_collect_end(void);

/* kin_log_lost returns how many lines of the family were dropped so far.  Does not block. */
KIN_API uint64_t kin_log_lost(void);

KIN_END
#endif
