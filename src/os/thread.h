/* thread.h: starting threads of this process and waiting for them.  The conventions are os.h's. */
#ifndef KIN_OS_THREAD_H
#define KIN_OS_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

/* Starts a thread with a stack of `stack_size` bytes (0: the default); it has to be joined or
 * detached.  -EAGAIN, -ENOMEM, -EINVAL (a stack that is too small). */
int kin__os_thread_start(uintptr_t *thread, void *(*run)(void *), void *argument, size_t stack_size);
/* Waits until a thread is gone; once, by one caller at a time.  -ETIMEDOUT. */
int kin__os_thread_join(uintptr_t thread, kin_deadline deadline);
/* The calling thread's resources are freed at its end, nobody joins it. */
void kin__os_thread_detach_self(void);
/* Memory that the calling thread has of its own until it ends, zeroed at first; NULL: there is none.  For what is
 * large and seldom needed: what is _Thread_local each thread has from its beginning, and a program that loads kin at
 * run time (dlopen) must find room for all of it in some 1,600 bytes. */
enum kin__thread_memory { KIN__MEMORY_OF_TLS, KIN__MEMORY_OF_DEADLOCKS, KIN__THREAD_MEMORIES };
void *kin__os_thread_memory(enum kin__thread_memory which, size_t size);
/* What ps and gdb show for the calling thread: the first 15 bytes. */
void kin__os_thread_name_set(const char *name);

#endif
