/* tasks.c: functions of tasks, for `kin worker`. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <kin/worker.h>

static int square(const int *in, long *out)
{
    if (*in == 666) abort();
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)
KIN_TASK(square)

/* Takes some milliseconds. */
static int slowly(const int *in, long *out)
{
    kin_deadline end = kin_in_ms(5);
    while (kin_clock() < end) continue;
    return square(in, out);
}
KIN_MAP(slowly, int, long)
KIN_TASK(slowly)

/* Until it is ended; there is a file when it has begun. */
static int forever(const int *in, long *out)
{
    (void)in;
    (void)out;
    close(creat("begun", 0600));
    for (;;) pause();
}
KIN_MAP(forever, int, long)
KIN_TASK(forever)
