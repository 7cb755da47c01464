/* A02: ten thousand cooperating coroutines in one thread: all of them sleep at the same time, some
 * wait for a descriptor, some for each other. */
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define SLEEPERS 10000
#define SLEEP_MS 300

static long awake;

static int sleeper(void *unused)
{
    (void)unused;
    check(kin_coroutine_sleep(kin_in_ms(SLEEP_MS)));
    awake++; /* without a lock: nobody else runs before we wait again */
    return 0;
}

/* Waits for a descriptor. */
static int reader(void *argument)
{
    int descriptor = *(int *)argument;
    char text[32] = "";
    check(kin_wait_descriptor(descriptor, KIN_READABLE, KIN_FOREVER));
    if (read(descriptor, text, sizeof text - 1) < 0) perror("read");
    printf("the reader has got \"%s\"\n", text);
    return 0;
}

/* Waits for another one. */
static int writer(void *argument)
{
    int descriptor = ((int *)argument)[1];
    check(kin_coroutine_sleep(kin_in_ms(20)));
    if (write(descriptor, "hello", 5) < 0) perror("write");
    return 0;
}

static int follower(void *first)
{
    check(kin_coroutine_join(first, KIN_FOREVER));
    puts("the follower has waited for the reader");
    return 0;
}

int main(void)
{
    int ends[2];
    kin_coroutine *first = NULL;
    kin_deadline begun = kin_clock();
    if (pipe(ends) < 0) {
        perror("pipe");
        return EXIT_FAILURE;
    }
    for (int i = 0; i < SLEEPERS; i++) check(kin_coroutine_start(NULL, sleeper, NULL, NULL));
    check(kin_coroutine_start(&first, reader, ends, NULL));
    check(kin_coroutine_start(NULL, follower, first, NULL));
    check(kin_coroutine_start(NULL, writer, ends, NULL));
    check(kin_loop_run(KIN_FOREVER));
    check(kin_coroutine_close(first));
    printf("%ld have slept %d ms, all together in %ld ms\n", awake, SLEEP_MS,
           (long)((kin_clock() - begun) / 1000000));
    return EXIT_SUCCESS;
}
