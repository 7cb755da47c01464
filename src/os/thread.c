/* thread.c: see thread.h. */
#define _GNU_SOURCE
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "os/fault.h"
#include "os/suspend.h"

int kin__os_thread_start(uintptr_t *thread, void *(*run)(void *), void *argument, size_t stack_size)
{
    pthread_attr_t attributes;
    pthread_t started;
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (pthread_attr_init(&attributes) != 0) return -ENOMEM;
    if (stack_size != 0) rc = -pthread_attr_setstacksize(&attributes, stack_size);
    if (rc == 0) rc = -pthread_create(&started, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    if (rc == 0) *thread = (uintptr_t)started;
    return rc;
}

/* Looked for again and again: it is microseconds, and pthread_clockjoin_np, which ThreadSanitizer
 * does not know, would not look at all when the deadline has passed. */
#define LOOK_FIRST_NS 20000
#define LOOK_LAST_NS  5000000

int kin__os_thread_join(uintptr_t thread, kin_deadline deadline)
{
    if (deadline == KIN_FOREVER && kin__suspender == NULL) return -pthread_join((pthread_t)thread, NULL);
    for (int64_t pause = LOOK_FIRST_NS;; pause = pause < LOOK_LAST_NS ? pause * 2 : pause) {
        int rc = -pthread_tryjoin_np((pthread_t)thread, NULL);
        if (rc != -EBUSY) return rc;
        kin_deadline now = kin__os_clock(), next = now + pause < deadline ? now + pause : deadline;
        if (now >= deadline) return -ETIMEDOUT;
        if (kin__suspender == NULL)
            kin__os_sleep_until(next);
        else if ((rc = kin__os_poll(NULL, 0, next)) < 0)
            return rc;
    }
}

static _Thread_local void *memories[KIN__THREAD_MEMORIES];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t free_key;
static int once_result;

static void free_memories(void *unused)
{
    (void)unused;
    for (int i = 0; i < KIN__THREAD_MEMORIES; i++) {
        kin__os_free(memories[i]);
        memories[i] = NULL;
    }
}

static void set_up(void)
{
    once_result = -pthread_key_create(&free_key, free_memories);
}

void *kin__os_thread_memory(enum kin__thread_memory which, size_t size)
{
    if (memories[which] != NULL) return memories[which];
    pthread_once(&once, set_up);
    /* Any value that is not NULL has the memory freed at the thread's end. */
    if (once_result < 0 || pthread_setspecific(free_key, memories) != 0) return NULL;
    return memories[which] = kin__os_calloc(1, size);
}

void kin__os_thread_detach_self(void)
{
    pthread_detach(pthread_self());
}

void kin__os_thread_name_set(const char *name)
{
    char shown[16];
    strncpy(shown, name, sizeof shown - 1);
    shown[sizeof shown - 1] = '\0';
    pthread_setname_np(pthread_self(), shown);
}
