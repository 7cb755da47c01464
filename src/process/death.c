/* death.c: see death.h.
 *
 * The kernel's own account of a death is the signal.  That SIGKILL came for want of memory shows only
 * in counters of control groups: in the process's own, which is proof, or in one that it shares with
 * others, or the machine's, where a count from before it was started makes it likely.
 */
#include "process/death.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "os/cgroup.h"
#include "os/os.h"

/* A count that is older is not taken for that at a start. */
#define FRESH_NS 1000000000LL

#define MEBIBYTE ((uint64_t)1 << 20)

/* ---- at its beginning ---------------------------------------------------------------------------- */

/* Counting takes longer than much else of a start, so starts that follow each other share a count. */
static _Atomic int64_t count;
static _Atomic kin_deadline counted;

static int64_t count_now(void)
{
    int64_t fresh = kin__os_oom_kills();
    atomic_store_explicit(&count, fresh, memory_order_relaxed);
    atomic_store_explicit(&counted, kin_clock(), memory_order_release);
    return fresh;
}

static int64_t count_before(kin_deadline now)
{
    /* Acquire: pairs with the release in count_now; the count is that of this moment or a later one. */
    kin_deadline last = atomic_load_explicit(&counted, memory_order_acquire);
    if (last != 0 && now - last < FRESH_NS) return atomic_load_explicit(&count, memory_order_relaxed);
    return count_now();
}

static int64_t count_own(const char *group)
{
    return group == NULL ? -ENOENT : kin__os_cgroup_number(group, "memory.events", "oom_kill");
}

void kin__vigil_begin(struct kin__vigil *vigil, const kin_limits *limits, const char *group)
{
    *vigil = (struct kin__vigil){.started = kin_clock(), .oom_kills = count_own(group)};
    vigil->own = vigil->oom_kills >= 0;
    if (!vigil->own) vigil->oom_kills = count_before(vigil->started);
    for (size_t i = 0; limits != NULL && i < limits->resource_count; i++) {
        const kin_resource_limit *limit = &limits->resources[i];
        if (limit->resource == RLIMIT_CPU) {
            vigil->cpu_soft = limit->soft;
            vigil->cpu_hard = limit->hard;
        } else if (limit->resource == RLIMIT_FSIZE) {
            vigil->file_size = limit->soft;
        }
    }
}

/* ---- at its end ----------------------------------------------------------------------------------- */

static uint64_t known(uint64_t limit)
{
    return limit == UINT64_MAX ? 0 : limit;
}

/* Where it has none of its own it has inherited the caller's. */
static void find_cpu_limit(const struct kin__vigil *vigil, uint64_t *soft, uint64_t *hard)
{
    *soft = vigil->cpu_soft;
    *hard = vigil->cpu_hard;
    if (*soft == 0 && *hard == 0) kin__os_limit(RLIMIT_CPU, soft, hard);
}

static bool has_used_up(const kin_exit_status *status, uint64_t hard)
{
    if (hard == 0 || hard > INT64_MAX / 1000000000) return false;
    /* The kernel counts ticks for the limit, and more exactly for the account. */
    return status->user_ns + status->system_ns >= (int64_t)hard * (1000000000 / 4 * 3);
}

static void blame_limit(const struct kin__vigil *vigil, kin_exit_status *status)
{
    uint64_t soft, hard;
    if (status->signal == SIGXCPU) {
        find_cpu_limit(vigil, &soft, &hard);
        status->death = KIN_DEATH_CPU_TIME;
        status->limit = known(soft);
    } else if (status->signal == SIGXFSZ) {
        hard = 0;
        soft = vigil->file_size;
        if (soft == 0) kin__os_limit(RLIMIT_FSIZE, &soft, &hard);
        status->death = KIN_DEATH_FILE_SIZE;
        status->limit = known(soft);
    } else if (status->signal == SIGKILL && status->death == KIN_DEATH_PLAIN && !vigil->killed) {
        find_cpu_limit(vigil, &soft, &hard);
        if (!has_used_up(status, hard)) return;
        status->death = KIN_DEATH_CPU_TIME;
        status->limit = hard;
    }
}

static void blame_memory(const struct kin__vigil *vigil, const char *group, kin_exit_status *status)
{
    bool killed = status->kind == KIN_SIGNALED && status->signal == SIGKILL && !vigil->killed;
    if (vigil->own) {
        int64_t now = count_own(group);
        if (now <= vigil->oom_kills) return;
        status->oom_kills = (uint64_t)(now - vigil->oom_kills);
        if (!killed) return;
        int64_t most = kin__os_cgroup_number(group, "memory.max", NULL);
        status->death = KIN_DEATH_MEMORY;
        status->limit = most > 0 && most < INT64_MAX ? (uint64_t)most : 0;
    } else if (killed && vigil->oom_kills >= 0 && count_now() > vigil->oom_kills) {
        status->death = KIN_DEATH_MEMORY_LIKELY;
    }
}

void kin__vigil_end(const struct kin__vigil *vigil, const char *group, kin_exit_status *status)
{
    status->elapsed_ns = kin_clock() - vigil->started;
    blame_memory(vigil, group, status);
    if (status->kind == KIN_SIGNALED) blame_limit(vigil, status);
}

/* ---- in words --------------------------------------------------------------------------------------- */

static int limit_text(const kin_exit_status *status, char *text, size_t size)
{
    switch (status->death) {
    case KIN_DEATH_MEMORY:
        if (status->limit == 0) return snprintf(text, size, ": out of memory");
        if (status->limit % MEBIBYTE == 0)
            return snprintf(text, size, ": out of memory (memory.max %" PRIu64 " MiB)",
                            status->limit / MEBIBYTE);
        return snprintf(text, size, ": out of memory (memory.max %" PRIu64 " MB)",
                        (status->limit + 500000) / 1000000);
    case KIN_DEATH_MEMORY_LIKELY: return snprintf(text, size, ": out of memory, it seems");
    case KIN_DEATH_CPU_TIME:
        if (status->limit == 0) return snprintf(text, size, ": limit of processor time");
        return snprintf(text, size, ": limit of processor time (%" PRIu64 " s)", status->limit);
    case KIN_DEATH_FILE_SIZE:
        if (status->limit == 0) return snprintf(text, size, ": limit of file size");
        return snprintf(text, size, ": limit of file size (%" PRIu64 " bytes)", status->limit);
    default: return snprintf(text, size, "%s", "");
    }
}

const char *kin__death_verb(const kin_exit_status *status)
{
    switch (status->kind) {
    case KIN_SIGNALED: return "was ";
    case KIN_UNKNOWN: return "has ";
    case KIN_RUNNING: return "is ";
    default: return "";
    }
}

int kin__death_text(const kin_exit_status *status, char *text, size_t size)
{
    char limit[80];
    switch (status->kind) {
    case KIN_RUNNING: return snprintf(text, size, "still running");
    case KIN_EXITED: return snprintf(text, size, "exited with %d", status->code);
    case KIN_SIGNALED:
        limit_text(status, limit, sizeof limit);
        return snprintf(text, size, "killed by %s%s%s", kin__os_signal_name(status->signal), limit,
                        status->core_dumped ? ", core dumped" : "");
    default: return snprintf(text, size, "ended; its status was collected elsewhere");
    }
}

int kin_exit_status_text(const kin_exit_status *status, char *text, size_t size)
{
    char cause[160], elapsed[48] = "", memory[48] = "";
    if (status == NULL || (text == NULL && size > 0)) return -EINVAL;
    kin__death_text(status, cause, sizeof cause);
    if (status->elapsed_ns > 0 && status->kind != KIN_RUNNING)
        snprintf(elapsed, sizeof elapsed, ", after %.1f s", (double)status->elapsed_ns / 1e9);
    if (status->max_rss > 0)
        snprintf(memory, sizeof memory, ", %" PRId64 " MB", (status->max_rss + 500000) / 1000000);
    return snprintf(text, size, "%s%s%s", cause, elapsed, memory);
}
