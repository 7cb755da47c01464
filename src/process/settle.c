/* settle.c: see settle.h. */
#include "process/settle.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#include "os/os.h"
#include "os/spawn.h"
#include "process/words.h"

/* How long a child that ends without a report may stay unnoticed. */
#define SLICE_MS 20

/* SHARED by a child and its parent.
 *   state     by the child, once, from PENDING; release.  The parent reads it with acquire.
 *   the rest  by the child before that. */
struct kin__report {
    _Atomic uint32_t state;
    enum kin__step step;
    unsigned item;
    int error;
};
enum { PENDING = 0, DONE = 1, FAILED = 2 };

int kin__settle(struct kin__setting *setting, const char *const *environment)
{
    if (kin__os_setting_begin(setting) < 0 || kin__os_setting_finish(setting) < 0) return -errno;
    if (environment != NULL) kin__os_environment_set(environment);
    if (setting->control_group >= 0) kin__os_close(setting->control_group);
    return 0;
}

int kin__settler_make(struct kin__settler *settler, const struct kin__wish *wish, bool fork)
{
    void *report = NULL;
    *settler = (struct kin__settler){.placement = {.setting = KIN__SETTING_NONE}};
    if (kin__wish_is_empty(wish)) return 0;
    int rc = kin__placement_make(&settler->placement, wish);
    if (rc < 0 || !fork) return rc;
    settler->needed = true;
    rc = kin__os_shared_make(&report, sizeof *settler->report);
    settler->report = report;
    return rc < 0 ? kin__start_fail(rc, "cannot start a process") : 0;
}

static void tell(struct kin__report *report, uint32_t state)
{
    atomic_store_explicit(&report->state, state, memory_order_release);
    kin__os_futex_wake(&report->state, 1);
}

KIN__CHILD_CODE void kin__settler_apply(struct kin__settler *settler)
{
    struct kin__setting *setting = &settler->placement.setting;
    if (!settler->needed) return;
    int rc = kin__settle(setting, settler->placement.environment);
    if (rc < 0) {
        settler->report->error = rc;
        settler->report->step = setting->step;
        settler->report->item = setting->item;
        tell(settler->report, FAILED);
        kin__os_exit_now(127);
    }
    tell(settler->report, DONE);
    kin__os_memory_unmap(settler->report, sizeof *settler->report);
}

static uint32_t await(struct kin__report *report, int descriptor)
{
    uint32_t state;
    while ((state = atomic_load_explicit(&report->state, memory_order_acquire)) == PENDING) {
        int rc = kin__os_futex_wait(&report->state, PENDING, kin_in_ms(SLICE_MS));
        /* Looked at once more: it may have reported and then ended. */
        if (rc == -ETIMEDOUT && kin__os_process_ended(descriptor))
            return atomic_load_explicit(&report->state, memory_order_acquire);
    }
    return state;
}

int kin__settler_await(struct kin__settler *settler, int descriptor, const struct kin__group *group,
                       const char *name)
{
    kin_exit_status status;
    if (!settler->needed) return 0;
    /* One that was killed has been started; how it ended its status tells. */
    if (await(settler->report, descriptor) != FAILED) return 0;
    struct kin__setting *setting = &settler->placement.setting;
    setting->step = settler->report->step;
    setting->item = settler->report->item;
    kin__os_process_await(descriptor, KIN_FOREVER);
    kin__os_process_collect(descriptor, &status);
    return kin__placement_say(setting, group, name, settler->report->error);
}

void kin__settler_free(struct kin__settler *settler)
{
    if (settler->report != NULL) kin__os_memory_unmap(settler->report, sizeof *settler->report);
    kin__placement_free(&settler->placement);
}
