/* time.c: clocks, and the deadlines of kin/time.h, which saturate instead of overflowing. */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include <kin/time.h>

#include "os/os.h"

#define NS_PER_S 1000000000LL

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

kin_deadline kin__os_clock(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t kin__os_boot_clock(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t kin__os_time_of_day(void)
{
    return read_clock(CLOCK_REALTIME);
}

void kin__os_sleep_until(kin_deadline deadline)
{
    if (deadline <= 0) return;
    struct timespec end = {.tv_sec = deadline / NS_PER_S, .tv_nsec = deadline % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

kin_deadline kin_clock(void)
{
    return kin__os_clock();
}

kin_deadline kin_in_ns(int64_t nanoseconds)
{
    return nanoseconds < 0 ? KIN_NOW : kin__later(kin__os_clock(), nanoseconds);
}

kin_deadline kin_in_ms(int64_t milliseconds)
{
    int64_t nanoseconds;
    if (milliseconds < 0) return KIN_NOW;
    if (__builtin_mul_overflow(milliseconds, (int64_t)1000000, &nanoseconds)) return KIN_FOREVER;
    return kin_in_ns(nanoseconds);
}

kin_deadline kin_in_s(double seconds)
{
    /* Written so that a NaN is a deadline that has passed. */
    if (!(seconds > 0)) return KIN_NOW;
    return seconds >= (double)(INT64_MAX / NS_PER_S) ? KIN_FOREVER : kin_in_ns((int64_t)(seconds * 1e9));
}
