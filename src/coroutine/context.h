/* context.h: a place in the program that can be left and returned to: a stack and the registers that
 * a function call preserves.
 *
 * Invariants:
 *  - The registers that a function call preserves, and nothing else, are saved on the stack that is
 *    left; a context is the address of that.  The floating-point environment is the thread's.
 *  - The sanitizers are told of each switch, and valgrind of each stack.
 */
#ifndef KIN_COROUTINE_CONTEXT_H
#define KIN_COROUTINE_CONTEXT_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define KIN__CONTEXT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KIN__CONTEXT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define KIN__CONTEXT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KIN__CONTEXT_TSAN 1
#endif
#endif

/* KIN_CONTEXT_PORTABLE asks for ucontext where there is assembly, for tests and measurements. */
#if (!defined(__x86_64__) || defined(__ILP32__)) && !defined(__aarch64__)
#define KIN_CONTEXT_PORTABLE 1
#endif

#ifdef KIN__CONTEXT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef KIN__CONTEXT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

struct kin__context {
    void *registers; /* where they are, while it is not running */
    unsigned valgrind_stack;
#ifdef KIN__CONTEXT_ASAN
    const void *bottom;
    size_t size;
    void *fake_stack;
#endif
#ifdef KIN__CONTEXT_TSAN
    void *fiber;
    void *own_fiber; /* made with it; a generator that waits runs on another one */
#endif
};

typedef void kin__context_entry(void *argument);

/* Makes a context that begins with entry(argument) on the stack of `size` bytes at `bottom`; the
 * entry must not return.  -ENOMEM (of ucontext). */
int kin__context_make(struct kin__context *context, void *bottom, size_t size, kin__context_entry *entry,
                      void *argument);
/* A place that others switch back to, for what is running already; it has no stack of its own.
 * -ENOMEM (of ucontext). */
int kin__context_adopt(struct kin__context *context);
/* Frees what was made beside the stack; the context is not running. */
void kin__context_discard(struct kin__context *context);
/* To be called first by an entry, with the context that was left for it. */
void kin__context_begun(struct kin__context *left);

/* Saves the registers, stores where in *save, and goes on where `to` was saved. */
#ifdef KIN_CONTEXT_PORTABLE
void kin__context_swap(void **save, void *to);
#else
void kin__context_swap(void **save, void *to) __asm__("kin__context_swap");
#endif

/* Leaves `from` and goes on in `to`.  When somebody comes back to `from` the bounds of the stack
 * that he left are noted in *left, which may be NULL. */
static inline void kin__context_switch(struct kin__context *from, struct kin__context *to,
                                       struct kin__context *left)
{
    (void)left;
#ifdef KIN__CONTEXT_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
#ifdef KIN__CONTEXT_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#endif
    kin__context_swap(&from->registers, to->registers);
#ifdef KIN__CONTEXT_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, left != NULL ? &left->bottom : NULL,
                                    left != NULL ? &left->size : NULL);
#endif
}

/* Leaves `from` for good. */
static inline void kin__context_finish(struct kin__context *from, struct kin__context *to)
{
#ifdef KIN__CONTEXT_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
#ifdef KIN__CONTEXT_ASAN
    __sanitizer_start_switch_fiber(NULL, to->bottom, to->size);
#endif
    kin__context_swap(&from->registers, to->registers);
}

/* `context`, which will be left next, runs on whatever runs now. */
static inline void kin__context_here(struct kin__context *context)
{
    (void)context;
#ifdef KIN__CONTEXT_TSAN
    context->fiber = __tsan_get_current_fiber();
#endif
}

#endif
