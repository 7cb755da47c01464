/* thread.h: what the layers above need of threads. */
#ifndef KIN_THREAD_THREAD_H
#define KIN_THREAD_THREAD_H

#include <kin/thread.h>

/* Waits for the threads that are no daemons, except the calling one. */
void kin__threads_finish(void);

#endif
