/* local.h: the values of whoever is running on this thread: the thread itself, or a coroutine. */
#ifndef KIN_THREAD_LOCAL_H
#define KIN_THREAD_LOCAL_H

#include <kin/local.h>

struct kin__locals;

/* The present one's values; NULL as long as none was set.  Who switches between several exchanges
 * it, and ends each with kin__locals_end. */
extern _Thread_local struct kin__locals *kin__locals;

/* Calls the destructors of the present one's values and frees them. */
void kin__locals_end(void);

#endif
