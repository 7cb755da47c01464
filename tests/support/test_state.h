/* test_state.h: what the processes of a case know about it. */
#ifndef TEST_STATE_H
#define TEST_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct test_state {
    const char *file;
    double end;             /* on test_seconds' clock */
    pid_t process;          /* the case's own */
    int process_descriptor; /* its pidfd: a check that fails elsewhere ends it by that */
    _Atomic bool *failed;   /* shared by all processes of the case */
};

extern struct test_state test_state;

void test_state_open(const char *file, double end);
bool test_state_failed(void);

#endif
