/* thread.c: see thread.h. */
#define _GNU_SOURCE
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "os/fault.h"

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

int kin__os_thread_join(uintptr_t thread, kin_deadline deadline)
{
    struct timespec end = {0};
    if (deadline == KIN_FOREVER) return -pthread_join((pthread_t)thread, NULL);
    if (deadline > 0) {
        end.tv_sec = deadline / 1000000000;
        end.tv_nsec = deadline % 1000000000;
    }
    /* By the clock it takes a deadline that has passed for a reason not to look at all. */
    int rc = -pthread_tryjoin_np((pthread_t)thread, NULL);
    if (rc == -EBUSY) rc = -pthread_clockjoin_np((pthread_t)thread, NULL, CLOCK_MONOTONIC, &end);
    return rc;
}

void kin__os_thread_detach_self(void)
{
    pthread_detach(pthread_self());
}

void kin__os_thread_name(const char *name)
{
    char shown[16];
    strncpy(shown, name, sizeof shown - 1);
    shown[sizeof shown - 1] = '\0';
    pthread_setname_np(pthread_self(), shown);
}
