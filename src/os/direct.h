/* direct.h: system calls without libc's function for each.
 *
 * A fork copies no page tables of files, so a child pays a page fault for each stretch of code that it runs
 * first; after the fork itself that is what a start costs most.  libc's functions lie scattered, so what
 * every child calls is called from here.  Not so what opens, copies, closes or sends over descriptors: sanitizers
 * follow those by libc's functions, and would take a number that is used again for the same descriptor. */
#ifndef KIN_OS_DIRECT_H
#define KIN_OS_DIRECT_H

/* Of at most four arguments; returns what the kernel does: below zero is -errno.  `errno` stays as it is, and
 * no thread is cancelled here. */
#if defined(__x86_64__)
static inline long kin__direct(long number, long a, long b, long c, long d)
{
    register long fourth __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long kin__direct(long number, long a, long b, long c, long d)
{
    register long call __asm__("x8") = number;
    register long first __asm__("x0") = a;
    register long second __asm__("x1") = b;
    register long third __asm__("x2") = c;
    register long fourth __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(first) : "r"(call), "r"(second), "r"(third), "r"(fourth) : "memory");
    return first;
}
#endif

#endif
