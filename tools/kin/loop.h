/* loop.h: waiting for descriptors, with a callback for each.
 *
 * A callback may come once more than it should (two events of the same moment, the first of
 * which changed what the second is about): it must find out by itself that there is nothing
 * to do. */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
    void (*ready)(struct watch *watch);
    void *owner;
    int descriptor;
    bool added;
};

/* Opens the one loop of the program.  0 or -errno. */
int loop_open(void);
void loop_close(void);

/* Calls watch->ready whenever the descriptor can be read, or written.  Adding what is added
 * and removing what is not does nothing.  0 or -errno; -EPERM: never blocks (a regular file). */
int loop_add_readable(struct watch *watch);
int loop_add_writable(struct watch *watch);
void loop_remove(struct watch *watch);

/* Waits until something is ready or the clock reads `deadline`, and calls back. */
void loop_wait(int64_t deadline);

#endif
