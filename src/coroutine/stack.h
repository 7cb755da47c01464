/* stack.h: stacks for coroutines: guarded, without memory until they are touched, used again. */
#ifndef KIN_COROUTINE_STACK_H
#define KIN_COROUTINE_STACK_H

#include <stdbool.h>
#include <stddef.h>

struct kin__slab;

/* A stack reaches from `bottom` to bottom + size; the guard lies below `bottom`. */
struct kin__stack {
    char *bottom;
    size_t size;
    struct kin__slab *slab;
};

#define KIN__STACK_DEFAULT ((size_t)256 << 10)
#define KIN__STACK_LEAST   ((size_t)16 << 10)
#define KIN__STACK_MOST    ((size_t)1 << 30)
/* Larger than what most functions keep on their stack: one that begins above the guard must not end below it. */
#define KIN__STACK_GUARD ((size_t)64 << 10)

/* Takes a stack of at least `size` bytes (0: the default).  -EINVAL (too small or too large), -ENOMEM.
 * Safe for threads. */
int kin__stack_take(struct kin__stack *stack, size_t size);
/* Gives it back; nobody runs on it. */
void kin__stack_give(struct kin__stack *stack);
/* Is the address in the guard below a stack?  Safe for signal handlers. */
bool kin__stack_guards(const void *address);

#endif
