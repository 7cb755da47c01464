/* stacks.h: where the threads of a process stand. */
#ifndef STACKS_H
#define STACKS_H

#include <stdbool.h>
#include <sys/types.h>

/* Writes to the descriptor `output` what the kernel shows of the process and, `with_gdb` and
 * where there is a gdb, the stacks of its threads. */
void write_stacks(int output, pid_t pid, bool with_gdb);

#endif
