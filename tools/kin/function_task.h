/* function_task.h: the task that a worker of the pool runs: several inputs, one after the other.
 *
 * An argument is a struct task_argument and `count` strings, each ended by a NUL; a reply is a
 * struct task_reply, `done` entries, and what the function wrote for them, in their order. */
#ifndef FUNCTION_TASK_H
#define FUNCTION_TASK_H

#include <stdatomic.h>
#include <stdint.h>

#include <kin/map.h>
#include <kin/pool.h>

/* SHARED, in family memory.
 *   position   number of the input, from 1, that the worker is on; written by the worker that
 *              runs the task alone, read by the tool when that worker is dead; 0 by the tool
 *              before the task is submitted. */
struct task_progress {
    _Atomic uint32_t position;
    char padding[60]; /* to a cache line */
};

/* SHARED, in family memory.
 *   stop       set once by the tool: no further input is to be begun.
 *   progress   one for each task that can be underway. */
struct task_shared {
    _Atomic uint32_t stop;
    char padding[60];
    struct task_progress progress[];
};

struct task_argument {
    struct task_shared *shared;
    uint32_t place; /* in shared->progress */
    uint32_t count;
};

struct task_entry {
    int64_t ended; /* monotonic clock */
    uint64_t size; /* bytes it wrote */
    int32_t code;
    int32_t padding;
};

struct task_reply {
    int64_t started;
    uint32_t done; /* the inputs after these were not begun */
    uint32_t padding;
    struct task_entry entries[];
};

/* Most inputs of one task. */
#define TASK_INPUTS_MOST 512

/* Before the pool is opened: what its workers will run, and the pipe by which they tell, as a
 * uint32_t, the place of a task that is about to be over. */
void task_prepare(kin_map_function *function, const char *name, int announce);
const kin_function *task_function(void);
/* The pool's initializer. */
int task_initialize(void *context);

#endif
