/* stepkill.c: the sweep over all points of an operation.
 *
 * A first victim, and then a second, is stepped through the whole operation; that gives the trace.  Every later one
 * is brought to its point by the quickest way the trace knows: a breakpoint that is hit often
 * enough, and steps from there.  The clock, contention and the kernel may make a victim take
 * another path than the trace; then it is killed where it is, that is counted, and in the end
 * addresses that no victim died at are visited by a breakpoint of their own.  So what counts is
 * the addresses, not the numbers of the steps.
 */
#define _GNU_SOURCE
#include "stepkill.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "litter.h"
#include "stepkill_trace.h"
#include "stepkill_victim.h"
#include "test.h"

#define STEPS_MOST 5000000L

struct sweep {
    const struct stepkill *plan;
    struct stepkill_report report;
    struct trace before; /* to where `reached` is true; only step 0 without it */
    struct trace trace;  /* from there to the end */
    struct address_counts killed;
    pid_t children[LITTER_CHILDREN_MOST]; /* that the case had before */
    size_t child_count;
};

/* ---- one round -------------------------------------------------------------------------- */

static bool is_known_child(const struct sweep *sweep, pid_t pid)
{
    for (size_t i = 0; i < sweep->child_count; i++) {
        if (sweep->children[i] == pid) return true;
    }
    return false;
}

/* What the victim has left behind is ours now, and must end by itself. */
static void collect_orphans(const struct sweep *sweep)
{
    double end = test_seconds() + 2;
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) return; /* no child at all */
    for (;;) {
        pid_t now[LITTER_CHILDREN_MOST];
        size_t count = litter_children(getpid(), now, LITTER_CHILDREN_MOST), left = 0;
        for (size_t i = 0; i < count; i++) {
            if (is_known_child(sweep, now[i]) || waitpid(now[i], NULL, WNOHANG | __WALL) != 0) continue;
            left++;
            if (test_seconds() > end) FAIL("process %d has outlived the victim by two seconds", (int)now[i]);
        }
        if (left == 0) return;
        struct timespec pause = {0, 500000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

static void begin_round(const struct stepkill *plan, struct victim *victim)
{
    if (plan->setup) plan->setup(plan->context);
    victim_start(victim, plan);
}

static void tell_reached(const struct stepkill *plan, const struct victim *victim)
{
    victim_quiet();
    if (plan->on_reached) plan->on_reached(plan->context, victim->pid);
}

/* Steps until `reached` is true; into `trace`, when it is given. */
static void step_to_base(const struct stepkill *plan, struct victim *victim, struct trace *trace)
{
    if (!plan->reached) return;
    while (!plan->reached(plan->context)) {
        if (victim_step(victim) != VICTIM_STOPPED) FAIL("the operation ended before `reached` was true");
        if (trace) trace_add(trace, victim_address(victim));
    }
    tell_reached(plan, victim);
}

static void end_round(struct sweep *sweep, struct victim *victim, long step, enum victim_stop stop)
{
    const struct stepkill *plan = sweep->plan;
    extern const char __executable_start[];
    uint64_t address = stop == VICTIM_ASLEEP ? 0 : victim_address(victim);
    victim_quiet();
    sweep->report.stops += victim->stops;
    if (address) address_add(&sweep->killed, address);
    test_context("step %ld of %ld%s, address %#llx: addr2line -fie PROGRAM %#llx", step, sweep->trace.length,
                 stop == VICTIM_FINISHED ? " (finished)" : "", (unsigned long long)address,
                 (unsigned long long)(address - (uintptr_t)__executable_start));
    if (plan->at_step) plan->at_step(plan->context, step, victim->pid);
    victim_kill(victim);
    double start = test_seconds();
    if (plan->survive) plan->survive(plan->context, step, stop == VICTIM_FINISHED);
    double milliseconds = (test_seconds() - start) * 1e3;
    if (milliseconds > sweep->report.worst_survivor_ms) sweep->report.worst_survivor_ms = milliseconds;
    sweep->report.points++;
    if (plan->teardown) plan->teardown(plan->context);
    collect_orphans(sweep);
    test_context(NULL);
}

/* ---- the first victim: the trace ------------------------------------------------------------ */

static enum victim_stop record(struct sweep *sweep, struct victim *victim)
{
    const struct stepkill *plan = sweep->plan;
    enum victim_stop stop = VICTIM_STOPPED;
    trace_add(&sweep->before, victim_address(victim));
    step_to_base(plan, victim, &sweep->before);
    trace_add(&sweep->trace, victim_address(victim));
    while ((stop = victim_step(victim)) == VICTIM_STOPPED) {
        trace_add(&sweep->trace, victim_address(victim));
        if (sweep->trace.length > STEPS_MOST) FAIL("the operation takes more than %ld steps", STEPS_MOST);
    }
    /* The last step ends in the system call that raises the end signal: the end itself. */
    struct trace *trace = &sweep->trace;
    bool at_end =
        stop == VICTIM_FINISHED && trace->steps[trace->length - 1].address == victim_address(victim);
    if (at_end && trace->length > 1) trace->length--;
    return stop;
}

static void make_trace(struct sweep *sweep)
{
    struct victim victim;
    trace_close(&sweep->before);
    trace_close(&sweep->trace);
    begin_round(sweep->plan, &victim);
    enum victim_stop stop = record(sweep, &victim);
    sweep->report.asleep = stop == VICTIM_ASLEEP;
    sweep->report.steps = sweep->trace.length;
    unsigned breakpoint_cost = victim_breakpoint_cost(sweep->plan);
    trace_plan(&sweep->before, breakpoint_cost);
    trace_plan(&sweep->trace, breakpoint_cost);
    end_round(sweep, &victim, sweep->trace.length, stop);
}

/* ---- every other victim ------------------------------------------------------------------------ */

/* Brings the victim from step 0 of the trace to step n. */
static enum victim_stop go(struct victim *victim, const struct trace *trace, long n)
{
    long from = n;
    while (from > 0 && trace->steps[from].way != (uint32_t)from) from = trace->steps[from].way;
    enum victim_stop stop = VICTIM_STOPPED;
    if (from > 0) stop = victim_run_to(victim, trace->steps[from].address, trace->steps[from].hits);
    for (; stop == VICTIM_STOPPED && from < n; from++) stop = victim_step(victim);
    return stop;
}

/* Begins a round and brings its victim to where the points are counted from. */
static void go_to_base(struct sweep *sweep, struct victim *victim)
{
    const struct stepkill *plan = sweep->plan;
    begin_round(plan, victim);
    if (go(victim, &sweep->before, sweep->before.length - 1) != VICTIM_STOPPED) {
        FAIL("the operation ended before `reached` was true");
    }
    /* On another path than the trace's it may be a few instructions more. */
    step_to_base(plan, victim, NULL);
}

static void kill_at_step(struct sweep *sweep, long n)
{
    struct victim victim;
    go_to_base(sweep, &victim);
    enum victim_stop stop = go(&victim, &sweep->trace, n);
    if (stop != VICTIM_STOPPED || victim_address(&victim) != sweep->trace.steps[n].address) {
        sweep->report.diverged++;
    }
    end_round(sweep, &victim, n, stop);
}

static bool is_program_address(uint64_t address)
{
    extern const char __executable_start[], etext[];
    return address >= (uintptr_t)__executable_start && address < (uintptr_t)etext;
}

/* Addresses where no victim died, because paths differ or points were left out. */
static void visit_missed(struct sweep *sweep, bool last_too)
{
    struct address_counts seen = {0};
    for (long n = sweep->plan->from; n < sweep->trace.length; n++) {
        struct trace_step *step = &sweep->trace.steps[n];
        if (address_add(&seen, step->address) > 1 || !is_program_address(step->address)) continue;
        if (address_count(&sweep->killed, step->address) == 0) kill_at_step(sweep, n);
    }
    for (long n = sweep->trace.length - 1; last_too && n >= sweep->plan->from; n--) {
        struct trace_step *step = &sweep->trace.steps[n];
        uint32_t all = address_count(&seen, step->address);
        if (all > 1 && step->hits == all && is_program_address(step->address)) kill_at_step(sweep, n);
    }
    address_close(&seen);
}

static void sweep_steps(struct sweep *sweep)
{
    const struct stepkill *plan = sweep->plan;
    /* Twice: what the first victim did may have been done once for all, so that no later one
     * takes its path. */
    make_trace(sweep);
    make_trace(sweep);
    long end = plan->to > 0 && plan->to < sweep->trace.length ? plan->to : sweep->trace.length;
    if (plan->mode == STEPKILL_ADDRESSES) {
        visit_missed(sweep, true);
        return;
    }
    unsigned stride = plan->stride ? plan->stride : 1;
    for (long n = plan->from; n < end; n += stride) kill_at_step(sweep, n);
    /* Twice: another path may be taken by chance again. */
    for (int i = 0; i < 2 && stride == 1 && plan->to == 0; i++) visit_missed(sweep, false);
}

static void sweep_syscalls(struct sweep *sweep)
{
    const struct stepkill *plan = sweep->plan;
    enum victim_stop stop = VICTIM_STOPPED;
    unsigned stride = plan->stride ? plan->stride : 1;
    for (long n = plan->from; stop == VICTIM_STOPPED && (plan->to == 0 || n < plan->to); n += stride) {
        struct victim victim;
        begin_round(plan, &victim);
        step_to_base(plan, &victim, NULL);
        long reached = 0;
        for (; reached < n && stop == VICTIM_STOPPED; reached++) stop = victim_syscall(&victim);
        sweep->report.steps = n;
        sweep->report.asleep = stop == VICTIM_ASLEEP;
        end_round(sweep, &victim, n, stop);
    }
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static void count_addresses(struct sweep *sweep)
{
    struct address_counts seen = {0};
    for (long n = 0; n < sweep->trace.length; n++) {
        uint64_t address = sweep->trace.steps[n].address;
        if (is_program_address(address) && address_add(&seen, address) == 1) sweep->report.addresses++;
    }
    for (size_t i = 0; i < sweep->killed.room; i++) {
        uint64_t address = sweep->killed.addresses[i];
        if (address && is_program_address(address)) sweep->report.distinct_addresses++;
    }
    address_close(&seen);
}

struct place {
    cpu_set_t processors;
    int priority;
    int subreaper;
};

/* Tracer and victim on one processor: a step is four times as fast as across two.  Before
 * others, where that is permitted, since each step is two switches between them. */
static void take_place(struct place *before)
{
    cpu_set_t one;
    sched_getaffinity(0, sizeof before->processors, &before->processors);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    before->priority = getpriority(PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, -20);
    prctl(PR_GET_CHILD_SUBREAPER, &before->subreaper);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void leave_place(const struct place *before)
{
    prctl(PR_SET_CHILD_SUBREAPER, before->subreaper);
    setpriority(PRIO_PROCESS, 0, before->priority);
    sched_setaffinity(0, sizeof before->processors, &before->processors);
}

struct stepkill_report stepkill(const struct stepkill *plan)
{
    victim_require();
    struct sweep sweep = {.plan = plan};
    struct place before;
    take_place(&before);
    sweep.child_count = litter_children(getpid(), sweep.children, LITTER_CHILDREN_MOST);
    double start = test_seconds();
    if (plan->mode == STEPKILL_SYSCALLS) {
        sweep_syscalls(&sweep);
    } else {
        sweep_steps(&sweep);
    }
    sweep.report.seconds = test_seconds() - start;
    count_addresses(&sweep);
    leave_place(&before);
    trace_close(&sweep.before);
    trace_close(&sweep.trace);
    address_close(&sweep.killed);
    NOTE("%ld kills in %ld steps, %ld of %ld addresses, %ld elsewhere than traced; survivors %.1f ms at "
         "most; %.2f s",
         sweep.report.points, sweep.report.steps, sweep.report.distinct_addresses, sweep.report.addresses,
         sweep.report.diverged, sweep.report.worst_survivor_ms, sweep.report.seconds);
    return sweep.report;
}

bool stepkill_once(const struct stepkill *plan, long step)
{
    struct victim victim;
    enum victim_stop stop = VICTIM_STOPPED;
    victim_require();
    begin_round(plan, &victim);
    step_to_base(plan, &victim, NULL);
    for (long n = 0; n < step && stop == VICTIM_STOPPED; n++) stop = victim_step(&victim);
    victim_quiet();
    victim_kill(&victim);
    return stop != VICTIM_STOPPED;
}
