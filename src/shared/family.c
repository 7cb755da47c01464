/* family.c: the name of a family: giving it, and joining a family by it.
 *
 * A family is found by the memory file that its processes hold (os/search.h), and its name is read
 * from the header in that file.  Nobody has to answer.
 *
 * Invariants:
 *  - At most one living family of a user has a published name: who wants one writes its claim first
 *    and looks at all others after that.  Of two who do so at the same time at least one sees the
 *    other.  The one with the lower inode waits until the other has published or given up; the
 *    other gives up and tries again.
 *  - A claim is void when its claimant is dead.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>
#include <kin/publish.h>

#include "memory/region.h"
#include "os/os.h"
#include "os/search.h"

/* How often is looked again: another claim is decided in milliseconds, a family comes when it
 * comes, and looking costs as much as all processes of the user have descriptors. */
#define CLAIM_NS (2 * 1000000LL)
#define JOIN_NS  (50 * 1000000LL)

static int check_name(const char *name)
{
    if (name == NULL || name[0] == '\0' || strnlen(name, KIN_NAME_SIZE) == KIN_NAME_SIZE) return -EINVAL;
    return 0;
}

/* In a coroutine the others run meanwhile. */
static int pause_for(int64_t nanoseconds, kin_deadline deadline)
{
    kin_deadline again = kin__os_clock() + nanoseconds;
    int rc = kin__os_poll(NULL, 0, again < deadline ? again : deadline);
    return rc == -EINTR ? 0 : rc;
}

static uint64_t state_word(enum kin__name_state state)
{
    return (uint64_t)kin__os_pid() << 8 | state;
}

static enum kin__name_state state_of(uint64_t word)
{
    return (enum kin__name_state)(word & 0xff);
}

/* What stands in a family's file, read from outside. */
struct seen {
    uint64_t magic;
    uint64_t layout;
    struct kin__family_name name;
};
_Static_assert(offsetof(struct seen, name) == offsetof(struct kin__header, name), "the same place");

/* Reads it; false where there is no family. */
static bool look(int descriptor, struct seen *seen)
{
    if (kin__os_read_at(descriptor, seen, sizeof *seen, 0) < 0 || seen->magic != KIN__MAGIC_REGION)
        return false;
    seen->name.text[KIN_NAME_SIZE - 1] = '\0';
    return true;
}

/* ---- publishing ------------------------------------------------------------------------------- */

/* Is somebody about to publish the name? */
static bool is_claimed(uint64_t state, int64_t since)
{
    if (state_of(state) == KIN__NAME_CLAIMING) since = INT64_MAX; /* not written yet */
    return (state_of(state) == KIN__NAME_CLAIMING || state_of(state) == KIN__NAME_CLAIMED) &&
           kin__os_process_gone((int)(state >> 8), since) == 0;
}

enum rivals { ALONE, RIVAL_BELOW, RIVAL_ABOVE, RIVAL_PUBLISHED };

struct survey {
    const char *name;
    enum rivals rivals;
};

/* Looks at one other family. */
static bool survey_one(int descriptor, int pid, void *context)
{
    struct survey *survey = context;
    struct seen seen;
    (void)pid;
    uint64_t device, inode, size;
    if (kin__os_file_identity(descriptor, &device, &inode, &size) < 0 || inode == kin__family.header->inode ||
        !look(descriptor, &seen) || strcmp(seen.name.text, survey->name) != 0)
        return false;
    enum rivals rival = ALONE;
    if (state_of(seen.name.state) == KIN__NAME_PUBLISHED)
        rival = RIVAL_PUBLISHED;
    else if (is_claimed(seen.name.state, seen.name.since))
        rival = inode < kin__family.header->inode ? RIVAL_BELOW : RIVAL_ABOVE;
    if (rival > survey->rivals) survey->rivals = rival;
    return false;
}

static int survey_all(const char *name, enum rivals *rivals)
{
    struct survey survey = {.name = name};
    /* Twice, because a process may be missed that forks and ends while it is looked for. */
    for (int i = 0; i < 2 && survey.rivals != RIVAL_PUBLISHED; i++) {
        int rc = kin__os_memory_search(KIN__REGION_NAME, KIN__SEARCH_TO_JOIN, survey_one, &survey);
        if (rc < 0) return rc;
    }
    *rivals = survey.rivals;
    return 0;
}

/* Claims the name of our own family: 0; 1: it has this name; -EBUSY: another; -EAGAIN: somebody of
 * the family is about to give it one. */
static int claim(const char *name)
{
    struct kin__family_name *own = &kin__family.header->name;
    uint64_t state = atomic_load(&own->state);
    if (state_of(state) == KIN__NAME_PUBLISHED) return strcmp(own->text, name) == 0 ? 1 : -EBUSY;
    if (is_claimed(state, atomic_load(&own->since))) return -EAGAIN;
    /* CRASH: from here the claim names us, and is void once we are gone. */
    if (!atomic_compare_exchange_strong(&own->state, &state, state_word(KIN__NAME_CLAIMING))) return -EAGAIN;
    atomic_store(&own->since, kin__os_boot_clock());
    memset(own->text, 0, sizeof own->text);
    memcpy(own->text, name, strlen(name));
    /* Seq_cst: the others see it when we look at theirs. */
    atomic_store(&own->state, state_word(KIN__NAME_CLAIMED));
    return 0;
}

static void give_up(void)
{
    atomic_store(&kin__family.header->name.state, KIN__NAME_NONE);
}

/* One attempt: 0: published; -EAGAIN: try again. */
static int try_publish(const char *name, kin_deadline deadline)
{
    enum rivals rivals = ALONE;
    int rc = survey_all(name, &rivals);
    /* Who has to give way does not claim in the first place: it would hold the other one up. */
    if (rc == 0 && rivals != RIVAL_PUBLISHED) rc = rivals == RIVAL_BELOW ? -EAGAIN : claim(name);
    if (rc != 0) return rc < 0 ? rc : 0;
    if (rivals == RIVAL_PUBLISHED) return -EEXIST;
    for (;;) {
        rc = survey_all(name, &rivals);
        if (rc < 0 || rivals != RIVAL_ABOVE || kin__os_clock() >= deadline) break;
        /* Not in turns with other coroutines: one that never goes on would keep its claim. */
        kin__os_sleep_until(kin__os_clock() + CLAIM_NS);
    }
    if (rc == 0 && rivals == ALONE) {
        atomic_store(&kin__family.header->name.state, state_word(KIN__NAME_PUBLISHED));
        return 0;
    }
    give_up();
    return rc < 0 ? rc : rivals == RIVAL_PUBLISHED ? -EEXIST : -EAGAIN;
}

int kin_family_publish(const char *name, kin_deadline deadline)
{
    int rc = check_name(name);
    if (rc == 0) rc = kin__enter();
    if (rc < 0) return rc;
    for (;;) {
        rc = try_publish(name, deadline);
        if (rc != -EAGAIN) return rc;
        if (kin__os_clock() >= deadline) return -ETIMEDOUT;
        rc = pause_for(CLAIM_NS, deadline);
        if (rc < 0) return rc;
    }
}

/* ---- joining ------------------------------------------------------------------------------------ */

struct wanted {
    const char *name;
    int rc;
};

/* Joins the family if it is the one. */
static bool join_one(int descriptor, int pid, void *context)
{
    struct wanted *wanted = context;
    struct seen seen;
    (void)pid;
    if (!look(descriptor, &seen) || state_of(seen.name.state) != KIN__NAME_PUBLISHED ||
        strcmp(seen.name.text, wanted->name) != 0)
        return false;
    wanted->rc = kin__region_join(descriptor);
    return wanted->rc == 0;
}

int kin_family_join(const char *name, kin_deadline deadline)
{
    int rc = check_name(name);
    if (rc < 0) return rc;
    for (;;) {
        struct wanted wanted = {.name = name, .rc = -ENOENT};
        if (__atomic_load_n(&kin__family.header, __ATOMIC_ACQUIRE) != NULL) return KIN_ESTARTED;
        rc = kin__os_memory_search(KIN__REGION_NAME, KIN__SEARCH_TO_JOIN, join_one, &wanted);
        if (rc >= 0) rc = wanted.rc;
        if (rc == 0) return kin__enter();
        if (rc != -ENOENT || kin__os_clock() >= deadline) return rc;
        rc = pause_for(JOIN_NS, deadline);
        if (rc < 0) return rc;
    }
}
