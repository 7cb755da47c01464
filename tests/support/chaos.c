/* chaos.c: the random killer.
 *
 * The killer runs with a priority above its victims where that is permitted, so that its
 * moments are its own, and gives the one it has killed a still higher one: so that it is gone
 * at once instead of after the time slices of those that wait for a processor.
 */
#define _GNU_SOURCE
#include "chaos.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stacks.h"
#include "test.h"

#define MEMBERS_MOST    64
#define KILLER_PRIORITY 50
#define VICTIM_PRIORITY 60

struct chaos_state {
    _Atomic uint64_t progress;
    _Atomic bool stopping;
};

struct member {
    unsigned role;
    unsigned index;
    pid_t pid;
};

struct storm {
    const struct chaos *plan;
    struct chaos_report report;
    struct member members[MEMBERS_MOST];
    unsigned member_count;
    uint64_t random;
    bool boosted;
    uint64_t last_progress;
    double last_change; /* when it was seen to grow */
};

static struct chaos_state *state;

bool chaos_stopping(void)
{
    return atomic_load(&state->stopping);
}

void chaos_progress(void)
{
    atomic_fetch_add(&state->progress, 1);
}

uint64_t chaos_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* ---- members ------------------------------------------------------------------------------ */

static void start_member(struct storm *storm, struct member *member)
{
    const struct chaos_role *role = &storm->plan->roles[member->role];
    pid_t killer = getpid();
    member->pid = fork();
    if (member->pid < 0) FAIL("cannot fork a %s: %s", role->name, strerror(errno));
    if (member->pid > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != killer) _exit(0);
    role->run(storm->plan->context, member->index);
    _exit(chaos_stopping() ? 0 : 1);
}

static void start_members(struct storm *storm)
{
    for (unsigned role = 0; role < CHAOS_ROLES_MOST && storm->plan->roles[role].run; role++) {
        for (unsigned index = 0; index < storm->plan->roles[role].count; index++) {
            if (storm->member_count == MEMBERS_MOST) FAIL("more than %d processes", MEMBERS_MOST);
            struct member *member = &storm->members[storm->member_count++];
            *member = (struct member){.role = role, .index = index};
            start_member(storm, member);
        }
    }
}

static void expect_status(const struct storm *storm, const struct member *member, int status, bool killed)
{
    const struct chaos_role *role = &storm->plan->roles[member->role];
    if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;
    if (!killed && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    if (WIFSIGNALED(status)) {
        FAIL("%s %u died of SIG%s after %ld kills", role->name, member->index,
             sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?", storm->report.kills);
    }
    FAIL("%s %u ended by itself with code %d after %ld kills", role->name, member->index, WEXITSTATUS(status),
         storm->report.kills);
}

/* ---- progress -------------------------------------------------------------------------------- */

static void report_hang(struct storm *storm, const char *when)
{
    if (storm->plan->dump) storm->plan->dump(storm->plan->context);
    for (unsigned i = 0; i < storm->member_count; i++) {
        struct member *member = &storm->members[i];
        dprintf(STDERR_FILENO, "---- %s %u, process %d\n", storm->plan->roles[member->role].name,
                member->index, (int)member->pid);
        write_stacks(STDERR_FILENO, member->pid, true);
    }
    FAIL("%s: no progress for %.1f s after %ld kills, %llu steps of progress", when,
         test_seconds() - storm->last_change, storm->report.kills, (unsigned long long)storm->last_progress);
}

static void watch_progress(struct storm *storm, const char *when)
{
    const struct chaos *plan = storm->plan;
    double now = test_seconds();
    double hang = plan->hang_seconds > 0 ? plan->hang_seconds : 5 * test_time_scale();
    uint64_t progress = atomic_load(&state->progress);
    double stall = now - storm->last_change;
    /* At the end the members wait for each other's last messages as long as they like. */
    if (!chaos_stopping() && stall * 1e3 > storm->report.worst_stall_ms)
        storm->report.worst_stall_ms = stall * 1e3;
    if (progress != storm->last_progress) {
        storm->last_progress = progress;
        storm->last_change = now;
    } else if (stall > hang) {
        report_hang(storm, when);
    }
}

/* ---- killing ----------------------------------------------------------------------------------- */

static void set_priority(pid_t pid, int priority)
{
    struct sched_param parameter = {.sched_priority = priority};
    sched_setscheduler(pid, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter);
}

static void kill_one(struct storm *storm)
{
    const struct chaos *plan = storm->plan;
    struct member *member = &storm->members[chaos_random(&storm->random) % storm->member_count];
    if (plan->may_kill && !plan->may_kill(plan->context, member->role, member->index)) return;
    kill(member->pid, SIGKILL);
    /* Not before: it would run on above the killer instead of dying. */
    if (storm->boosted) set_priority(member->pid, VICTIM_PRIORITY);
    pid_t victim = member->pid;
    expect_status(storm, member, test_collect(victim), true);
    storm->report.kills++;
    storm->report.killed[member->role]++;
    if (plan->after_kill) plan->after_kill(plan->context, member->role, victim);
    start_member(storm, member);
}

/* Random moments are the purpose of this pause, not a condition that it might miss. */
static void pause_at_random(struct storm *storm)
{
    uint64_t most = storm->plan->delay_us ? storm->plan->delay_us : 150;
    uint64_t nanoseconds = chaos_random(&storm->random) % (most * 1000);
    struct timespec pause = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    if (nanoseconds > 2000) clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void stop_members(struct storm *storm)
{
    atomic_store(&state->stopping, true);
    storm->last_change = test_seconds();
    for (unsigned i = 0; i < storm->member_count; i++) {
        int status;
        while (waitpid(storm->members[i].pid, &status, WNOHANG) == 0) {
            struct timespec pause = {0, 1000000};
            clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
            watch_progress(storm, "at the end");
        }
        expect_status(storm, &storm->members[i], status, false);
    }
}

static void begin_storm(struct storm *storm)
{
    state = test_shared(sizeof(*state));
    uint64_t clock = (uint64_t)(test_seconds() * 1e9);
    storm->random = storm->plan->seed ? storm->plan->seed : (clock * 0x9e3779b97f4a7c15u) | 1;
    NOTE("seed %llu", (unsigned long long)storm->random);
    struct sched_param parameter = {.sched_priority = KILLER_PRIORITY};
    storm->boosted = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter) == 0;
    start_members(storm);
    storm->last_change = test_seconds();
}

struct chaos_report chaos(const struct chaos *plan)
{
    struct storm storm = {.plan = plan};
    double start = test_seconds(), end = start + (plan->seconds > 0 ? plan->seconds : 1e9);
    begin_storm(&storm);
    while (storm.report.kills < plan->kills && test_seconds() < end) {
        pause_at_random(&storm);
        kill_one(&storm);
        watch_progress(&storm, "during the kills");
    }
    stop_members(&storm);
    if (storm.boosted) sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
    storm.report.seconds = test_seconds() - start;
    storm.report.progress = atomic_load(&state->progress);
    NOTE("%ld kills in %.1f s (%.0f/s), progress %llu, longest stall %.1f ms", storm.report.kills,
         storm.report.seconds, (double)storm.report.kills / storm.report.seconds,
         (unsigned long long)storm.report.progress, storm.report.worst_stall_ms);
    return storm.report;
}
