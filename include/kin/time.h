/* kin/time.h: deadlines.
 *
 * The last parameter of everything that can wait is an absolute deadline: nanoseconds on
 * the monotonic clock.  Changes of the wall clock do not touch it.  A deadline that has
 * passed means "try once, do not wait". */
#ifndef KIN_TIME_H
#define KIN_TIME_H

#include <stdint.h>

#include <kin/version.h>

KIN_BEGIN

typedef int64_t kin_deadline;

#define KIN_NOW     ((kin_deadline)0)         /* do not wait */
#define KIN_FOREVER ((kin_deadline)INT64_MAX) /* wait without limit */

/* kin_clock returns the present moment in nanoseconds on the monotonic clock.
 * Does not block; safe everywhere, also in a signal handler. */
KIN_API kin_deadline kin_clock(void);

/* kin_in_ns, kin_in_ms and kin_in_s return the deadline that lies that many nanoseconds,
 * milliseconds or seconds ahead.  A negative count is a deadline that has passed; one too
 * large to be represented is KIN_FOREVER.  Do not block; safe everywhere. */
KIN_API kin_deadline kin_in_ns(int64_t nanoseconds);
KIN_API kin_deadline kin_in_ms(int64_t milliseconds);
KIN_API kin_deadline kin_in_s(double seconds);

KIN_END
#endif
