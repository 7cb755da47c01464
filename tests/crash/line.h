/* line.h: a pipe whose writing end a child holds for as long as it lives: a case sees that the child has
 * ended, whoever started it and was killed, when the reading end hangs up. */
#ifndef LINE_H
#define LINE_H

#include "support/test.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static int line[2];

/* The setup and the survivor of a stepkill. */
static inline void line_make(void *unused)
{
    (void)unused;
    CHECK_OK(pipe2(line, O_CLOEXEC));
}

static inline void line_see_it_ended(void *unused, long step, bool finished)
{
    (void)unused;
    (void)finished;
    test_context("system call %ld", step);
    close(line[1]);
    struct pollfd item = {.fd = line[0]};
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_EQ(item.revents, POLLHUP);
    close(line[0]);
}

#endif
