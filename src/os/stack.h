/* stack.h: memory for stacks.  The conventions are os.h's. */
#ifndef KIN_OS_STACK_H
#define KIN_OS_STACK_H

#include <stddef.h>

/* Maps `count` stacks of `size` bytes (a multiple of the page) one after the other, without memory
 * behind them: the kernel grows each as it is touched.  Below each lies a guard of `guard` bytes
 * that ends the process with SIGSEGV when it is touched.  -ENOMEM; also where the kernel cannot
 * make so many guards (before Linux 6.13 each is a mapping of its own: vm.max_map_count). */
int kin__os_stacks_map(void **stacks, size_t size, size_t count, size_t guard);
void kin__os_stacks_unmap(void *stacks, size_t length);
/* Gives the memory behind a stack back to the system; the guard stays. */
void kin__os_stack_discard(void *stack, size_t size);
size_t kin__os_page_size(void);

#endif
