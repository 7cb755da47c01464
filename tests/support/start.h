/* start.h: cases that are run with each of the methods by which children are started. */
#ifndef SUPPORT_START_H
#define SUPPORT_START_H

#include <unistd.h>

#include <kin.h>

#include "support/test.h"

/* One case for each method. */
#define START_TEST(identifier) \
    static void identifier(enum kin_start_method method); \
    TEST(identifier##_by_fork) \
    { \
        identifier(KIN_FORK); \
    } \
    TEST(identifier##_by_spawn) \
    { \
        identifier(KIN_SPAWN); \
    } \
    TEST(identifier##_by_forkserver) \
    { \
        identifier(KIN_FORKSERVER); \
    } \
    static void identifier(enum kin_start_method method)

static inline kin_process *start(enum kin_start_method method, kin_process_function *target, void *argument)
{
    kin_process *process = NULL;
    CHECK_OK(kin_process_start(&process, target, argument, &(kin_process_options){.method = method}));
    CHECK(process != NULL);
    return process;
}

static inline kin_process *start_with(enum kin_start_method method, kin_process_function *target,
                                      void *argument, kin_process_options options)
{
    kin_process *process = NULL;
    options.method = method;
    CHECK_OK(kin_process_start(&process, target, argument, &options));
    return process;
}

/* Waits for the end and gives the handle back; what Python calls exitcode. */
static inline int finish(kin_process *process)
{
    int code = -1000;
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_OK(kin_process_close(process));
    return code;
}

static inline int run_for_ever(void *unused)
{
    (void)unused;
    while (pause() < 0)
        ;
    return 0;
}

static inline int return_number(void *number)
{
    return (int)(intptr_t)number;
}

#endif
