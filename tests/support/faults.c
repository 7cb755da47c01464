/* faults.c: see faults.h. */
#define _GNU_SOURCE
#include "faults.h"

#include <kin/error.h>
#include <kin/memory.h>

#include "litter.h"
#include "test.h"

#define CALLS_MOST 20000

static const struct {
    const char *name;
    int error;
} kinds[KIN__FAULT_KINDS] = {
    [KIN__FAULT_MEMORY] = {"memory", ENOMEM},
    [KIN__FAULT_FORK] = {"fork", EAGAIN},
    [KIN__FAULT_DESCRIPTOR] = {"descriptor", EMFILE},
    [KIN__FAULT_FILE] = {"file", ENOSPC},
    [KIN__FAULT_OTHER] = {"other", EIO},
};

struct trial {
    const struct faults *plan;
    struct faults_report report;
    enum kin__fault kind;
    bool sticky;
    struct litter before;
    size_t blocks;
};

static size_t heap_blocks(void)
{
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    return usage.heap_blocks;
}

static void note_state(struct trial *trial)
{
    trial->blocks = heap_blocks();
    litter_note(&trial->before);
}

static void expect_state(const struct trial *trial)
{
    char text[1024];
    unsigned what = LITTER_DESCRIPTORS | LITTER_THREADS | LITTER_CHILDREN;
    /* A sanitizer maps memory of its own as it goes. */
    if (!test_sanitized()) what |= LITTER_MAPPINGS;
    if (litter_compare(&trial->before, what, text, sizeof text)) FAIL("left behind: %s", text);
    CHECK_EQ(heap_blocks(), trial->blocks);
}

static void expect_code(const struct trial *trial, int code)
{
    const struct faults *plan = trial->plan;
    int injected = -kinds[trial->kind].error;
    if (code == injected || (plan->accepts && plan->accepts(plan->context, trial->kind, code))) return;
    CHECK_RC(code, injected);
}

static void make_and_unmake(const struct faults *plan)
{
    CHECK_OK(plan->make(plan->context));
    if (plan->unmake) CHECK_OK(plan->unmake(plan->context));
}

/* Returns whether the n-th call was made at all. */
static bool try_call(struct trial *trial, unsigned n)
{
    const struct faults *plan = trial->plan;
    test_context("%s call %u failing%s", kinds[trial->kind].name, n,
                 trial->sticky ? ", and all after it" : "");
    note_state(trial);
    kin__os_fault_set(trial->kind, n, kinds[trial->kind].error, trial->sticky);
    int code = plan->make(plan->context);
    bool happened = kin__os_fault_calls() >= n;
    kin__os_fault_set(trial->kind, 0, 0, false);
    if (code >= 0) {
        if (plan->unmake) CHECK_OK(plan->unmake(plan->context));
        trial->report.survived += happened;
    } else {
        CHECK(happened);
        expect_code(trial, code);
        trial->report.failures++;
    }
    trial->report.injected += happened;
    expect_state(trial);
    test_context(NULL);
    return happened;
}

struct faults_report faults(const struct faults *plan)
{
    struct trial trial = {.plan = plan};
    if (!plan->cold) make_and_unmake(plan);
    for (int kind = 0; kind < KIN__FAULT_KINDS; kind++) {
        if (plan->kinds && !(plan->kinds & 1u << kind)) continue;
        trial.kind = (enum kin__fault)kind;
        for (int sticky = 0; sticky < 2; sticky++) {
            trial.sticky = sticky;
            unsigned n = 1;
            while (try_call(&trial, n)) {
                if (++n > CALLS_MOST) FAIL("more than %d calls", CALLS_MOST);
            }
        }
        make_and_unmake(plan);
    }
    NOTE("%u faults: %u failures, %u survived", trial.report.injected, trial.report.failures,
         trial.report.survived);
    return trial.report;
}
