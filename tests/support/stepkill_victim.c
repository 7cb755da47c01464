/* stepkill_victim.c: ptrace, for x86-64 and arm64.
 *
 * The victim stops itself before the operation and raises END_SIGNAL after it.  Other signals
 * it gets are passed on and not counted as steps.  While the tracer waits a timer interrupts
 * it now and then, to see whether the victim has gone to sleep instead of stopping.
 */
#define _GNU_SOURCE
#include "stepkill_victim.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define END_SIGNAL   (SIGRTMAX - 1)
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define WAKES_MOST   1000
#define TICKS_ASLEEP 4 /* in a row, until a sleep is one */

#if defined(__x86_64__)
#define PROGRAM_COUNTER    rip
#define BREAKPOINT_MASK    0xffL
#define BREAKPOINT_CODE    0xccL
#define BREAKPOINT_ADVANCE 1 /* the processor is past the instruction when the trap comes */
#elif defined(__aarch64__)
#define PROGRAM_COUNTER    pc
#define BREAKPOINT_MASK    0xffffffffL
#define BREAKPOINT_CODE    0xd4200000L
#define BREAKPOINT_ADVANCE 0
#else
#error "stepkill knows x86-64 and arm64"
#endif

static bool has_hardware; /* breakpoint registers that work */

/* ---- the processor ------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* One word of the register set, which is all that a step needs. */
uint64_t victim_address(const struct victim *victim)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, victim->pid, offsetof(struct user_regs_struct, rip), 0);
}
#else
uint64_t victim_address(const struct victim *victim)
{
    struct user_regs_struct registers;
    struct iovec part = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, victim->pid, NT_PRSTATUS, &part) < 0) return 0;
    return registers.PROGRAM_COUNTER;
}
#endif

/* Makes the victim stop before it executes the address; 0: no more. */
static bool set_hardware(const struct victim *victim, uint64_t address)
{
#if defined(__x86_64__)
    size_t first = offsetof(struct user, u_debugreg), control = offsetof(struct user, u_debugreg[7]);
    if (ptrace(PTRACE_POKEUSER, victim->pid, control, 0) < 0) return false;
    if (address == 0) return true;
    return ptrace(PTRACE_POKEUSER, victim->pid, first, address) == 0 &&
           ptrace(PTRACE_POKEUSER, victim->pid, control, 1) == 0;
#else
    (void)victim;
    (void)address;
    return false;
#endif
}

static void set_address(const struct victim *victim, uint64_t address)
{
    struct user_regs_struct registers;
    struct iovec part = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, victim->pid, NT_PRSTATUS, &part) < 0)
        FAIL("cannot read registers: %s", strerror(errno));
    registers.PROGRAM_COUNTER = address;
    if (ptrace(PTRACE_SETREGSET, victim->pid, NT_PRSTATUS, &part) < 0)
        FAIL("cannot set registers: %s", strerror(errno));
}

static long read_code(const struct victim *victim, uint64_t address)
{
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, victim->pid, (void *)address, 0);
    if (errno) FAIL("cannot read code at %#llx: %s", (unsigned long long)address, strerror(errno));
    return word;
}

static void write_code(const struct victim *victim, uint64_t address, long word)
{
    if (ptrace(PTRACE_POKETEXT, victim->pid, (void *)address, (void *)word) < 0) {
        FAIL("cannot write code at %#llx: %s", (unsigned long long)address, strerror(errno));
    }
}

/* ---- start and end ---------------------------------------------------------------------------- */

static void be_victim(const struct stepkill *plan, pid_t tracer)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != tracer) _exit(0);
    if (plan->prepare) plan->prepare(plan->context);
    pid_t self = getpid();
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    syscall(SYS_kill, self, SIGSTOP);
    plan->operation(plan->context);
    syscall(SYS_kill, self, END_SIGNAL);
    _exit(0);
}

void victim_start(struct victim *victim, const struct stepkill *plan)
{
    pid_t tracer = getpid();
    *victim = (struct victim){.plan = plan, .pid = fork()};
    if (victim->pid < 0) FAIL("cannot fork a victim: %s", strerror(errno));
    if (victim->pid == 0) be_victim(plan, tracer);
    int status = 0;
    while (waitpid(victim->pid, &status, __WALL) < 0 && errno == EINTR) continue;
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) {
        FAIL("the victim did not come to its operation: wait status %#x", (unsigned)status);
    }
    ptrace(PTRACE_SETOPTIONS, victim->pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
}

void victim_kill(struct victim *victim)
{
    kill(victim->pid, SIGKILL);
    int status;
    do {
        status = test_collect(victim->pid);
    } while (WIFSTOPPED(status));
    victim->pid = 0;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static struct sigaction action_before;
static bool ticking;

static void on_tick(int signal)
{
    (void)signal; /* it only interrupts waitpid */
}

static void set_timer(unsigned milliseconds)
{
    struct timeval span = {milliseconds / 1000, milliseconds % 1000 * 1000};
    setitimer(ITIMER_REAL, &(struct itimerval){span, span}, NULL);
}

static unsigned asleep_milliseconds(const struct stepkill *plan)
{
    return plan->asleep_ms ? plan->asleep_ms : plan->mode == STEPKILL_SYSCALLS ? 5000 : 20;
}

static void start_ticks(const struct stepkill *plan)
{
    struct sigaction action = {.sa_handler = on_tick}; /* without SA_RESTART */
    if (ticking) return;
    ticking = true;
    sigaction(SIGALRM, &action, &action_before);
    set_timer((asleep_milliseconds(plan) + TICKS_ASLEEP - 1) / TICKS_ASLEEP);
}

void victim_quiet(void)
{
    if (!ticking) return;
    ticking = false;
    set_timer(0);
    sigaction(SIGALRM, &action_before, NULL);
}

/* Waits for the next stop; returns its signal, or 0 when the victim sleeps. */
static int await_stop(struct victim *victim)
{
    const struct stepkill *plan = victim->plan;
    unsigned ticks = 0, wakes = 0;
    start_ticks(plan);
    for (;;) {
        int status;
        pid_t pid = waitpid(victim->pid, &status, __WALL);
        if (pid == victim->pid) {
            if (WIFSTOPPED(status)) return WSTOPSIG(status);
            FAIL("the victim ended by itself: wait status %#x", (unsigned)status);
        }
        if (pid < 0 && errno != EINTR) FAIL("cannot wait for the victim: %s", strerror(errno));
        ticks = test_is_asleep(victim->pid) ? ticks + 1 : 0;
        if (ticks < TICKS_ASLEEP) continue;
        if (!plan->wake) return 0;
        if (++wakes > WAKES_MOST) FAIL("the victim sleeps on, however often it is woken");
        ticks = 0;
        victim_quiet();
        plan->wake(plan->context);
        start_ticks(plan);
    }
}

/* ---- going on ------------------------------------------------------------------------------------- */

/* Resumes the victim until it stops for a trap of ours (VICTIM_STOPPED) or otherwise. */
static enum victim_stop resume(struct victim *victim, enum __ptrace_request how)
{
    for (;;) {
        long signal_to_pass = victim->signal;
        victim->signal = 0;
        if (ptrace(how, victim->pid, 0, (void *)signal_to_pass) < 0) {
            FAIL("cannot resume the victim: %s", strerror(errno));
        }
        int stop = await_stop(victim);
        if (stop == 0) return VICTIM_ASLEEP;
        victim->stops++;
        if (stop == END_SIGNAL) return VICTIM_FINISHED;
        if (stop == SIGTRAP || stop == SYSCALL_STOP) return VICTIM_STOPPED;
        victim->signal = stop;
    }
}

enum victim_stop victim_step(struct victim *victim)
{
    return resume(victim, PTRACE_SINGLESTEP);
}

enum victim_stop victim_syscall(struct victim *victim)
{
    return resume(victim, PTRACE_SYSCALL);
}

static enum victim_stop leave(struct victim *victim, uint64_t address)
{
    enum victim_stop stop = VICTIM_STOPPED;
    while (stop == VICTIM_STOPPED && victim_address(victim) == address) stop = victim_step(victim);
    return stop;
}

/* Every arrival is one stop, and the victim's code stays as it is, also for its children. */
static enum victim_stop run_to_hardware(struct victim *victim, uint64_t address, unsigned hits)
{
    enum victim_stop stop = leave(victim, address);
    if (!set_hardware(victim, address)) FAIL("cannot set a hardware breakpoint: %s", strerror(errno));
    for (; hits > 0 && stop == VICTIM_STOPPED; hits--) stop = resume(victim, PTRACE_CONT);
    if (stop != VICTIM_ASLEEP) set_hardware(victim, 0);
    return stop;
}

static enum victim_stop run_to_software(struct victim *victim, uint64_t address, unsigned hits)
{
    enum victim_stop stop = VICTIM_STOPPED;
    long code = read_code(victim, address);
    long trap = (code & ~BREAKPOINT_MASK) | BREAKPOINT_CODE;
    for (; hits > 0 && (stop = leave(victim, address)) == VICTIM_STOPPED; hits--) {
        write_code(victim, address, trap);
        stop = resume(victim, PTRACE_CONT);
        if (stop != VICTIM_STOPPED) break;
        write_code(victim, address, code);
        set_address(victim, victim_address(victim) - BREAKPOINT_ADVANCE);
    }
    return stop;
}

enum victim_stop victim_run_to(struct victim *victim, uint64_t address, unsigned hits)
{
    return has_hardware ? run_to_hardware(victim, address, hits) : run_to_software(victim, address, hits);
}

unsigned victim_breakpoint_cost(const struct stepkill *plan)
{
    if (plan->stepped) return 0;
    /* Measured in single steps; one that is in the code would also stop the victim's children. */
    return has_hardware ? 1 : plan->forks ? 0 : 4;
}

/* ---- what it needs ------------------------------------------------------------------------ */

static bool can_trace(void)
{
    pid_t child = fork();
    if (child < 0) FAIL("cannot fork: %s", strerror(errno));
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0) raise(SIGSTOP);
        _exit(0);
    }
    int status;
    while (waitpid(child, &status, __WALL) < 0 && errno == EINTR) continue;
    bool stopped = WIFSTOPPED(status);
    bool stepped = stopped && ptrace(PTRACE_SINGLESTEP, child, 0, 0) == 0;
    if (stepped) waitpid(child, &status, __WALL);
    if (stopped) test_kill(child);
    return stepped && WIFSTOPPED(status);
}

__attribute__((noinline)) static void probe_target(void)
{
    __asm__ volatile("");
}

static void probe(void *context)
{
    (void)context;
    probe_target();
}

/* Some virtual machines take breakpoint registers and never stop at them. */
static bool probe_hardware(void)
{
    struct stepkill plan = {.operation = probe};
    struct victim victim;
    victim_start(&victim, &plan);
    uint64_t target = (uintptr_t)probe_target;
    bool stops = set_hardware(&victim, target) && resume(&victim, PTRACE_CONT) == VICTIM_STOPPED &&
                 victim_address(&victim) == target;
    victim_quiet();
    victim_kill(&victim);
    return stops;
}

void victim_require(void)
{
    static bool known;
    if (known) return;
    const char *preload = getenv("LD_PRELOAD");
    if (test_sanitized()) SKIP("stepping through a sanitizer's code takes too long");
    if (preload && strstr(preload, "vgpreload")) SKIP("valgrind does not let its processes be traced");
#if defined(__aarch64__)
    /* A step between load-exclusive and store-exclusive makes the store fail, for ever. */
    if (!(getauxval(AT_HWCAP) & (1UL << 8)))
        SKIP("this processor has no atomic instructions that can be stepped");
#endif
    if (!can_trace()) SKIP("ptrace is not permitted here");
    known = true;
    has_hardware = !getenv("KIN_STEPKILL_SOFTWARE") && probe_hardware();
}
