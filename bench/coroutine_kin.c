/* coroutine_kin.c: kin's rows of the coroutine benchmark. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin.h>

#include "coroutine.h"
#include "coroutine/context.h"

/* ---- the switch alone ------------------------------------------------------------------------------ */

static struct kin__context here, there;

static void entry(void *unused)
{
    (void)unused;
    kin__context_begun(&here);
    for (;;) kin__context_switch(&there, &here, NULL);
}

double bench_kin_switch(const struct bench_case *test, long count)
{
    (void)test;
    static char stack[65536] __attribute__((aligned(16)));
    if (kin__context_adopt(&here) < 0 || kin__context_make(&there, stack, sizeof stack, entry, NULL) < 0)
        return bench_fail("no context");
    double begin = bench_now();
    for (long i = 0; i < count; i += 2) kin__context_switch(&here, &there, NULL);
    return bench_now() - begin;
}

static int yield_values(kin_generator *self, void *unused)
{
    while (kin_generator_yield(self, unused, NULL) == 0)
        ;
    return 0;
}

double bench_kin_generator(const struct bench_case *test, long count)
{
    (void)test;
    void *value;
    kin_generator *generator = NULL;
    int rc = kin_generator_open(&generator, yield_values, NULL, NULL);
    if (rc < 0) return bench_fail("kin_generator_open: %s", kin_strerror(rc));
    double begin = bench_now();
    for (long i = 0; i < count; i += 2) kin_generator_next(generator, &value);
    double took = bench_now() - begin;
    kin_generator_close(generator);
    return took;
}

static int yield_often(void *count)
{
    for (long i = 0; i < *(long *)count; i += 2) kin_coroutine_yield();
    return 0;
}

double bench_kin_yield(const struct bench_case *test, long count)
{
    (void)test;
    for (int i = 0; i < 2; i++) {
        int rc = kin_coroutine_start(NULL, yield_often, &count, NULL);
        if (rc < 0) return bench_fail("kin_coroutine_start: %s", kin_strerror(rc));
    }
    double begin = bench_now();
    int rc = kin_loop_run(KIN_FOREVER);
    double took = bench_now() - begin;
    kin_loop_close();
    return rc < 0 ? bench_fail("kin_loop_run: %s", kin_strerror(rc)) : took;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static long asleep;
static kin_deadline wake_at;

static int sleep_there(void *unused)
{
    (void)unused;
    asleep++;
    return kin_coroutine_sleep(wake_at);
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) pages = -1;
    if (file != NULL) fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

double bench_kin_memory(const struct bench_case *test, long count)
{
    (void)test;
    long before = resident();
    wake_at = KIN_FOREVER - 1;
    for (long i = 0; i < count; i++) {
        int rc = kin_coroutine_start(NULL, sleep_there, NULL, NULL);
        if (rc < 0) return bench_fail("kin_coroutine_start: %s", kin_strerror(rc));
    }
    for (asleep = 0; asleep < count;)
        if (kin_loop_turn(KIN_NOW) < 0) return bench_fail("kin_loop_turn");
    return (double)(resident() - before);
}

/* ---- the echo --------------------------------------------------------------------------------------- */

static int serve_one(void *argument)
{
    int connection = (int)(intptr_t)argument;
    char message[ECHO_SIZE];
    for (;;) {
        ssize_t length = recv(connection, message, sizeof message, MSG_DONTWAIT);
        if (length < 0 && errno == EAGAIN) {
            if (kin_wait_descriptor(connection, KIN_READABLE, KIN_FOREVER) < 0) break;
            continue;
        }
        if (length <= 0 || send(connection, message, (size_t)length, MSG_NOSIGNAL) != length) break;
        /* The answer to an answer is not there yet. */
        if (kin_wait_descriptor(connection, KIN_READABLE, KIN_FOREVER) < 0) break;
    }
    close(connection);
    return 0;
}

static int listener_of_server, connections_of_server;

static int accept_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < connections_of_server; i++) {
        int rc = kin_wait_descriptor(listener_of_server, KIN_READABLE, KIN_FOREVER);
        int connection = rc < 0 ? rc : accept4(listener_of_server, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0 || kin_coroutine_start(NULL, serve_one, (void *)(intptr_t)connection, NULL) < 0)
            return 1;
    }
    return 0;
}

static int serve(int listener, int connections)
{
    listener_of_server = listener;
    connections_of_server = connections;
    return kin_coroutine_start(NULL, accept_all, NULL, NULL) < 0 || kin_loop_run(KIN_FOREVER) < 0;
}

double bench_kin_echo(const struct bench_case *test, long count)
{
    return echo_measure(test, count, serve);
}
