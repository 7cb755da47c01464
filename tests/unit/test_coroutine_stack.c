/* test_coroutine_stack.c: what each coroutine has of its own: registers, a stack, values, a name. */
#define _GNU_SOURCE
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/generator.h>
#include <kin/local.h>
#include <kin/loop.h>

/* Ends a case: nobody is left, and the loop's descriptors are closed. */
static void run_to_end(void)
{
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

/* Values in every register that a call preserves survive the others. */
static int keep_registers(void *argument)
{
    volatile long seed = (long)(intptr_t)argument;
    long a = seed, b = seed * 3, c = seed * 5, d = seed * 7, e = seed * 11, f = seed * 13;
    double x = (double)seed, y = (double)seed / 3;
    for (int i = 0; i < 100; i++) {
        CHECK_OK(kin_coroutine_yield());
        a += 1, b += a, c += b, d += c, e += d, f += e;
        x += 1.5;
        y += x;
    }
    volatile long again = seed;
    long g = again, h = again * 3, j = again * 5, k = again * 7, l = again * 11, m = again * 13;
    double u = (double)again, v = (double)again / 3;
    for (int i = 0; i < 100; i++) {
        g += 1, h += g, j += h, k += j, l += k, m += l;
        u += 1.5;
        v += u;
    }
    CHECK(a == g && b == h && c == j && d == k && e == l && f == m && x == u && y == v);
    return 0;
}

TEST_COLD(registers_are_kept)
{
    for (intptr_t i = 1; i <= 8; i++) CHECK_OK(kin_coroutine_start(NULL, keep_registers, (void *)i, NULL));
    run_to_end();
}

static int use_stack(void *size)
{
    char memory[*(size_t *)size];
    memset(memory, 1, sizeof memory);
    CHECK_OK(kin_coroutine_yield());
    for (size_t i = 0; i < sizeof memory; i += 512) CHECK_EQ(memory[i], 1);
    return 0;
}

TEST_COLD(stacks_have_the_size_that_was_asked_for)
{
    static size_t sizes[] = {(size_t)8 << 10, (size_t)180 << 10, (size_t)4 << 20, (size_t)64 << 20};
    for (int i = 0; i < 4; i++) {
        kin_coroutine_options options = {.stack_size = i == 1 ? 0 : sizes[i] + ((size_t)16 << 10)};
        CHECK_OK(kin_coroutine_start(NULL, use_stack, &sizes[i], &options));
    }
    run_to_end();
}

static void on_fault(int signal, siginfo_t *information, void *unused)
{
    (void)signal;
    (void)unused;
    _exit(kin_coroutine_overflowed(information->si_addr) ? 42 : 43);
}

static int overflow(void *argument)
{
    volatile char frame[1000];
    frame[0] = (char)(intptr_t)argument;
    int deeper = (intptr_t)argument < INTPTR_MAX ? overflow((char *)argument + 1) : 0;
    return deeper + frame[0];
}

static void watch_faults(void)
{
    static char stack[1 << 16];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
}

static void overflow_in_child(void *target)
{
    watch_faults();
    for (int i = 0; i < 40; i++) {
        kin_coroutine_function *run = (kin_coroutine_function *)(uintptr_t)target;
        CHECK_OK(kin_coroutine_start(NULL, run, (void *)1, NULL));
    }
    kin_loop_run(KIN_FOREVER);
}

/* Frames that begin above a guard and end below it, were it as small as those of threads. */
static int overflow_in_strides(void *argument)
{
    volatile char frame[50000];
    frame[0] = (char)(intptr_t)argument;
    int deeper = (intptr_t)argument < INTPTR_MAX ? overflow_in_strides((char *)argument + 1) : 0;
    return deeper + frame[0];
}

static int overflow_generator(kin_generator *self, void *argument)
{
    CHECK_OK(kin_generator_yield(self, NULL, NULL));
    return overflow(argument);
}

static void overflow_generator_in_child(void *unused)
{
    kin_generator *generator = NULL;
    watch_faults();
    CHECK_OK(kin_generator_open(&generator, overflow_generator, unused, NULL));
    while (kin_generator_next(generator, NULL) > 0) continue;
}

static void expect_overflow(void (*child)(void *argument), void *argument)
{
    int status = test_collect(test_child(child, argument));
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
}

TEST_COLD(an_overflow_is_told)
{
    int local = 0;
    if (test_sanitized()) SKIP("the sanitizers have handlers of their own");
    expect_overflow(overflow_in_child, (void *)(uintptr_t)overflow);
    expect_overflow(overflow_in_child, (void *)(uintptr_t)overflow_in_strides);
    expect_overflow(overflow_generator_in_child, NULL);
    CHECK_EQ(kin_coroutine_overflowed(&local), 0);
    CHECK_EQ(kin_coroutine_overflowed(NULL), 0);
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

TEST_COLD(large_stacks_that_were_used_give_their_memory_back)
{
    if (test_sanitized()) SKIP("the sanitizers keep memory of their own for stacks");
    static size_t size = (size_t)16 << 20;
    long before = resident();
    for (int i = 0; i < 8; i++) {
        kin_coroutine_options options = {.stack_size = size + ((size_t)1 << 20)};
        CHECK_OK(kin_coroutine_start(NULL, use_stack, &size, &options));
    }
    run_to_end();
    CHECK_LT(resident() - before, (long)size);
}

static kin_local *local;
static char marker[1];
static int destroyed;

static void count_destroyed(void *value)
{
    CHECK(value != NULL);
    destroyed++;
}

static int use_local(void *mark)
{
    CHECK(kin_local_get(local) == NULL);
    CHECK_OK(kin_local_set(local, mark));
    CHECK_OK(kin_coroutine_yield());
    CHECK(kin_local_get(local) == mark);
    return 0;
}

TEST_COLD(each_has_its_own_values)
{
    char marks[3];
    CHECK_OK(kin_local_open(&local, count_destroyed));
    CHECK_OK(kin_local_set(local, marker));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_coroutine_start(NULL, use_local, &marks[i], NULL));
    run_to_end();
    CHECK(kin_local_get(local) == marker);
    CHECK_EQ(destroyed, 3);
    CHECK_OK(kin_local_close(local));
}

static int check_name(void *name)
{
    CHECK_STR(kin_coroutine_name(kin_coroutine_current()), name);
    return 0;
}

TEST_COLD(coroutines_have_names)
{
    static char first[] = "Coroutine-1", given[] = "a name", second[] = "Coroutine-2";
    CHECK(kin_coroutine_current() == NULL);
    CHECK_OK(kin_coroutine_start(NULL, check_name, first, NULL));
    CHECK_OK(kin_coroutine_start(NULL, check_name, given, &(kin_coroutine_options){.name = given}));
    CHECK_OK(kin_coroutine_start(NULL, check_name, second, NULL));
    run_to_end();
}
