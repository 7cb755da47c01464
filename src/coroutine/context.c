/* context.c: see context.h.  The switch is written in assembly for x86-64 and arm64, with the call
 * frame information that lets a debugger walk up from it; elsewhere it is ucontext's.
 *
 * What is saved, from the lowest address: the registers, the address to go on at.  The control words of the
 * floating-point unit (rounding, exceptions) stay the thread's: saving them takes three times as long as the rest.
 * The method is that of Boost.Context and of countless schedulers before it. */
#include "coroutine/context.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "os/valgrind.h"

#ifdef KIN_CONTEXT_PORTABLE
#include <stdlib.h>
#include <ucontext.h>
#endif

#if !defined(KIN_CONTEXT_PORTABLE) && defined(__x86_64__)

__asm__(".text\n"
        ".p2align 4\n"
        ".globl kin__context_swap\n"
        ".hidden kin__context_swap\n"
        ".type kin__context_swap, @function\n"
        "kin__context_swap:\n"
        ".cfi_startproc\n"
        "    pushq %rbp\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %rbp, 0\n"
        "    pushq %rbx\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %rbx, 0\n"
        "    pushq %r12\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %r12, 0\n"
        "    pushq %r13\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %r13, 0\n"
        "    pushq %r14\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %r14, 0\n"
        "    pushq %r15\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %r15, 0\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    movq (%rsp), %r15\n"
        "    movq 8(%rsp), %r14\n"
        "    movq 16(%rsp), %r13\n"
        "    movq 24(%rsp), %r12\n"
        "    movq 32(%rsp), %rbx\n"
        "    movq 40(%rsp), %rbp\n"
        "    movq 48(%rsp), %rdx\n"
        "    addq $56, %rsp\n"
        ".cfi_remember_state\n"
        ".cfi_adjust_cfa_offset -56\n"
        ".cfi_register %rip, %rdx\n"
        ".cfi_same_value %rbp\n"
        ".cfi_same_value %rbx\n"
        ".cfi_same_value %r12\n"
        ".cfi_same_value %r13\n"
        ".cfi_same_value %r14\n"
        ".cfi_same_value %r15\n"
        /* Not by ret: the processor's guess would be where the other one was called from. */
        "    jmpq *%rdx\n"
        ".cfi_restore_state\n"
        ".cfi_endproc\n"
        ".size kin__context_swap, .-kin__context_swap\n"
        /* Where a new context goes on: its entry is in rbx, the argument in r12.  Above it there is
         * nothing for a debugger to find. */
        ".p2align 4\n"
        ".globl kin__context_start\n"
        ".hidden kin__context_start\n"
        ".type kin__context_start, @function\n"
        "kin__context_start:\n"
        ".cfi_startproc\n"
        ".cfi_undefined %rip\n"
        "    movq %r12, %rdi\n"
        "    callq *%rbx\n"
        "    ud2\n"
        ".cfi_endproc\n"
        ".size kin__context_start, .-kin__context_start\n");

enum { SAVED = 7, SAVED_ENTRY = 4, SAVED_ARGUMENT = 3, SAVED_GO_ON = 6 };

#elif !defined(KIN_CONTEXT_PORTABLE) && defined(__aarch64__)

__asm__(".text\n"
        ".p2align 4\n"
        ".globl kin__context_swap\n"
        ".hidden kin__context_swap\n"
        ".type kin__context_swap, %function\n"
        "kin__context_swap:\n"
        ".cfi_startproc\n"
        "    sub sp, sp, #176\n"
        ".cfi_adjust_cfa_offset 176\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp x29, x30, [sp, #96]\n"
        ".cfi_rel_offset x19, 16\n"
        ".cfi_rel_offset x20, 24\n"
        ".cfi_rel_offset x21, 32\n"
        ".cfi_rel_offset x22, 40\n"
        ".cfi_rel_offset x23, 48\n"
        ".cfi_rel_offset x24, 56\n"
        ".cfi_rel_offset x25, 64\n"
        ".cfi_rel_offset x26, 72\n"
        ".cfi_rel_offset x27, 80\n"
        ".cfi_rel_offset x28, 88\n"
        ".cfi_rel_offset x29, 96\n"
        ".cfi_rel_offset x30, 104\n"
        "    stp d8, d9, [sp, #112]\n"
        "    stp d10, d11, [sp, #128]\n"
        "    stp d12, d13, [sp, #144]\n"
        "    stp d14, d15, [sp, #160]\n"
        "    mov x10, sp\n"
        "    str x10, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp x29, x30, [sp, #96]\n"
        "    ldp d8, d9, [sp, #112]\n"
        "    ldp d10, d11, [sp, #128]\n"
        "    ldp d12, d13, [sp, #144]\n"
        "    ldp d14, d15, [sp, #160]\n"
        "    add sp, sp, #176\n"
        ".cfi_remember_state\n"
        ".cfi_def_cfa_offset 0\n"
        ".cfi_same_value x19\n"
        ".cfi_same_value x20\n"
        ".cfi_same_value x21\n"
        ".cfi_same_value x22\n"
        ".cfi_same_value x23\n"
        ".cfi_same_value x24\n"
        ".cfi_same_value x25\n"
        ".cfi_same_value x26\n"
        ".cfi_same_value x27\n"
        ".cfi_same_value x28\n"
        ".cfi_same_value x29\n"
        ".cfi_same_value x30\n"
        "    ret\n"
        ".cfi_restore_state\n"
        ".cfi_endproc\n"
        ".size kin__context_swap, .-kin__context_swap\n"
        /* Where a new context goes on: its entry is in x19, the argument in x20. */
        ".p2align 4\n"
        ".globl kin__context_start\n"
        ".hidden kin__context_start\n"
        ".type kin__context_start, %function\n"
        "kin__context_start:\n"
        ".cfi_startproc\n"
        ".cfi_undefined x30\n"
        "    mov x0, x20\n"
        "    blr x19\n"
        "    brk #0\n"
        ".cfi_endproc\n"
        ".size kin__context_start, .-kin__context_start\n");

enum { SAVED = 22, SAVED_ENTRY = 2, SAVED_ARGUMENT = 3, SAVED_GO_ON = 13 };

#endif

/* ---- making one ----------------------------------------------------------------------------------- */

#ifdef KIN_CONTEXT_PORTABLE

struct portable {
    ucontext_t context;
    kin__context_entry *entry;
    void *argument;
};

static void start(unsigned high, unsigned low)
{
    struct portable *portable = (struct portable *)((uintptr_t)high << 16 << 16 | low);
    portable->entry(portable->argument);
}

void kin__context_swap(void **save, void *to)
{
    struct portable *from = *save;
    swapcontext(&from->context, &((struct portable *)to)->context);
}

static int make(struct kin__context *context, char *bottom, size_t size, kin__context_entry *entry,
                void *argument)
{
    struct portable *portable = malloc(sizeof *portable);
    if (portable == NULL) return -ENOMEM;
    getcontext(&portable->context);
    portable->context.uc_stack.ss_sp = bottom;
    portable->context.uc_stack.ss_size = size;
    portable->context.uc_link = NULL;
    portable->entry = entry;
    portable->argument = argument;
    uintptr_t address = (uintptr_t)portable;
    makecontext(&portable->context, (void (*)(void))(uintptr_t)start, 2, (unsigned)(address >> 16 >> 16),
                (unsigned)address);
    context->registers = portable;
    return 0;
}

#else

void kin__context_start(void) __asm__("kin__context_start");

static int make(struct kin__context *context, char *bottom, size_t size, kin__context_entry *entry,
                void *argument)
{
    uint64_t *top = (uint64_t *)(((uintptr_t)bottom + size) & ~(uintptr_t)15);
    /* The start's stack pointer is a multiple of 16, as it is where something is called. */
    uint64_t *saved = top - 2 - SAVED;
    memset(saved, 0, (SAVED + 2) * sizeof *saved);
    saved[SAVED_ENTRY] = (uintptr_t)entry;
    saved[SAVED_ARGUMENT] = (uintptr_t)argument;
    saved[SAVED_GO_ON] = (uintptr_t)kin__context_start;
    context->registers = saved;
    return 0;
}

#endif

int kin__context_make(struct kin__context *context, void *bottom, size_t size, kin__context_entry *entry,
                      void *argument)
{
    memset(context, 0, sizeof *context);
#ifdef KIN__CONTEXT_ASAN
    context->bottom = bottom;
    context->size = size;
    /* Frames that were left for good on it have left their marks. */
    __asan_unpoison_memory_region(bottom, size);
#endif
#ifdef KIN__CONTEXT_TSAN
    context->fiber = __tsan_create_fiber(0);
    context->own_fiber = context->fiber;
#endif
    context->valgrind_stack = VALGRIND_STACK_REGISTER(bottom, (char *)bottom + size);
    return make(context, bottom, size, entry, argument);
}

int kin__context_adopt(struct kin__context *context)
{
    memset(context, 0, sizeof *context);
    kin__context_here(context);
#ifdef KIN_CONTEXT_PORTABLE
    context->registers = calloc(1, sizeof(struct portable));
    if (context->registers == NULL) return -ENOMEM;
#endif
    return 0;
}

void kin__context_discard(struct kin__context *context)
{
    VALGRIND_STACK_DEREGISTER(context->valgrind_stack);
#ifdef KIN__CONTEXT_TSAN
    if (context->own_fiber != NULL) __tsan_destroy_fiber(context->own_fiber);
#endif
#ifdef KIN_CONTEXT_PORTABLE
    free(context->registers);
#endif
    memset(context, 0, sizeof *context);
}

void kin__context_begun(struct kin__context *left)
{
    (void)left;
#ifdef KIN__CONTEXT_ASAN
    /* It was left for the first time from a stack that only now is known. */
    __sanitizer_finish_switch_fiber(NULL, &left->bottom, &left->size);
#endif
}
