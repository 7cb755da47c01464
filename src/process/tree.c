/* tree.c: see tree.h.
 *
 * Every process that is found is a member from then on: by a descriptor, so that a later process
 * with its pid is never meant.  Members are found by looking at all processes again and again, until
 * nothing new is there.
 *
 * Killing is in two steps.  A process that is killed leaves its children to somebody else, so all
 * are stopped first: what is stopped cannot fork.  One that is in the middle of a fork completes it
 * before it stops, so the tree is complete when a look finds all stopped and the next nothing new.
 */
#include "process/tree.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "os/cgroup.h"
#include "os/os.h"
#include "os/suspend.h"

/* While members have time to end in order, new ones are looked for so often. */
#define LOOK_MS 50

/* How long killed ones may take; one that the kernel holds (a dead disk) may take for ever. */
#define KILLED_MS 5000

/* A program that makes processes faster than they are found, and one that the kernel does not let
 * stop, is killed after so many looks; between them is so much time when only that is waited for. */
#define LOOKS_MOST 200
#define STOPPED_MS 1

struct member {
    int pid;
    int descriptor; /* -1: it has ended */
    bool root;
    bool told; /* to end */
    uint64_t start;
};

struct hunt {
    const struct kin__tree *tree;
    struct member *members;
    size_t count;
    size_t capacity;
    uint64_t since;
    size_t moving; /* members that the last look found running */
    int error;     /* the first */
};

static void fail(struct hunt *hunt, int rc)
{
    if (rc < 0 && rc != -ESRCH && hunt->error == 0) hunt->error = rc;
}

/* ---- members ------------------------------------------------------------------------------------- */

static int add(struct hunt *hunt, const struct member *member)
{
    if (hunt->count == hunt->capacity) {
        size_t capacity = hunt->capacity == 0 ? 16 : hunt->capacity * 2;
        struct member *larger = kin__os_realloc(hunt->members, capacity * sizeof *larger);
        if (larger == NULL) return -ENOMEM;
        hunt->members = larger;
        hunt->capacity = capacity;
    }
    hunt->members[hunt->count++] = *member;
    return 0;
}

static bool has_ended(struct member *member)
{
    if (member->descriptor < 0) return true;
    if (!kin__os_process_ended(member->descriptor)) return false;
    /* The roots' descriptors are the caller's. */
    if (!member->root) kin__os_close(member->descriptor);
    member->descriptor = -1;
    return true;
}

static bool is_member(const struct hunt *hunt, const struct kin__process_note *note)
{
    for (size_t i = 0; i < hunt->count; i++) {
        if (hunt->members[i].pid == note->pid && hunt->members[i].start == note->start) return true;
    }
    return false;
}

/* 1 when it is new and one of them. */
static int enlist(struct hunt *hunt, const struct kin__process_note *note, int signal)
{
    struct member member = {.pid = note->pid, .start = note->start};
    struct kin__process_note again;
    if (is_member(hunt, note)) return 0;
    member.descriptor = kin__os_process_open(note->pid);
    if (member.descriptor < 0) {
        fail(hunt, member.descriptor);
        return 0;
    }
    /* The pid may have become another's before it was opened. */
    bool same = kin__os_process_note(note->pid, &again) == 0 && again.start == note->start;
    int rc = same ? add(hunt, &member) : -ESRCH;
    if (rc < 0) {
        kin__os_close(member.descriptor);
        fail(hunt, rc);
        return 0;
    }
    fail(hunt, kin__os_process_signal(member.descriptor, signal));
    return 1;
}

/* ---- who belongs to them ------------------------------------------------------------------------- */

/* A group or a session that bears the number of a member is the member's, unless a later process
 * has got that number: then the old one is gone. */
static bool is_named_after(const struct hunt *hunt, const struct kin__process_note *notes, size_t count,
                           int id)
{
    for (size_t i = 0; i < hunt->count; i++) {
        const struct member *member = &hunt->members[i];
        if (member->pid != id) continue;
        for (size_t k = 0; k < count; k++) {
            if (notes[k].pid == id && notes[k].start != member->start) return false;
        }
        return true;
    }
    return false;
}

static bool is_child(struct hunt *hunt, const struct kin__process_note *note)
{
    for (size_t i = 0; i < hunt->count; i++) {
        if (hunt->members[i].pid == note->parent && !has_ended(&hunt->members[i])) return true;
    }
    return false;
}

static bool belongs(struct hunt *hunt, const struct kin__process_note *notes, size_t count,
                    const struct kin__process_note *note)
{
    if (note->start < hunt->since || note->pid == kin__os_pid()) return false;
    return is_child(hunt, note) || is_named_after(hunt, notes, count, note->group) ||
           is_named_after(hunt, notes, count, note->session) ||
           kin__os_process_holds(note->pid, hunt->tree->files, hunt->tree->file_count);
}

static int look_into_group(struct hunt *hunt, int signal)
{
    int *pids, news = 0;
    size_t count;
    if (hunt->tree->cgroup == NULL) return 0;
    int rc = kin__os_cgroup_pids(hunt->tree->cgroup, &pids, &count);
    if (rc < 0) return rc;
    for (size_t i = 0; i < count; i++) {
        struct kin__process_note note;
        if (pids[i] == kin__os_pid() || kin__os_process_note(pids[i], &note) < 0) continue;
        if (!kin__os_process_is_over(&note)) news += enlist(hunt, &note, signal);
    }
    kin__os_free(pids);
    return news;
}

static bool is_moving(const struct hunt *hunt, const struct kin__process_note *note)
{
    return strchr("TtZX", note->state) == NULL && is_member(hunt, note);
}

/* Looks at all processes; how many are new, which get the signal (0: none). */
static int look(struct hunt *hunt, int signal)
{
    struct kin__process_note *notes;
    size_t count;
    int news = look_into_group(hunt, signal), found;
    if (news < 0) return news;
    int rc = kin__os_processes(&notes, &count);
    if (rc < 0) return rc;
    hunt->moving = 0;
    for (size_t i = 0; i < count; i++) hunt->moving += is_moving(hunt, &notes[i]);
    /* A child may stand before its parent. */
    do {
        found = 0;
        for (size_t i = 0; i < count; i++) {
            if (kin__os_process_is_over(&notes[i]) || is_member(hunt, &notes[i])) continue;
            if (belongs(hunt, notes, count, &notes[i])) found += enlist(hunt, &notes[i], signal);
        }
        news += found;
    } while (found > 0);
    kin__os_free(notes);
    return news;
}

/* ---- ending them --------------------------------------------------------------------------------- */

static void send(struct hunt *hunt, int signal)
{
    for (size_t i = 0; i < hunt->count; i++) {
        if (!has_ended(&hunt->members[i]))
            fail(hunt, kin__os_process_signal(hunt->members[i].descriptor, signal));
    }
}

/* Waits for one that is left; 0 when none is. */
static int wait_for_one(struct hunt *hunt, kin_deadline deadline)
{
    for (size_t i = 0; i < hunt->count; i++) {
        if (has_ended(&hunt->members[i])) continue;
        struct kin__poll item = {.descriptor = hunt->members[i].descriptor};
        int rc = kin__os_poll(&item, 1, deadline);
        return rc == -EINTR || rc > 0 ? 1 : rc == 0 ? -ETIMEDOUT : rc;
    }
    return 0;
}

/* Only after a look: one that ends leaves its children to somebody else. */
static void tell(struct hunt *hunt)
{
    for (size_t i = 0; i < hunt->count; i++) {
        struct member *member = &hunt->members[i];
        if (member->told || has_ended(member)) continue;
        member->told = true;
        fail(hunt, kin__os_process_signal(member->descriptor, SIGTERM));
        kin__os_process_signal(member->descriptor, SIGCONT); /* one that is stopped would not see it */
    }
}

/* 1 when all have ended in order, and a last look has found nothing new. */
static int terminate(struct hunt *hunt, kin_deadline grace)
{
    for (;;) {
        int news = look(hunt, 0), left;
        if (news < 0) return news;
        bool alone = news == 0 && wait_for_one(hunt, KIN_NOW) == 0;
        tell(hunt);
        kin_deadline slice = kin_in_ms(LOOK_MS);
        while ((left = wait_for_one(hunt, slice < grace ? slice : grace)) == 1)
            ;
        if (alone) return 1;
        if (left < 0 && left != -ETIMEDOUT) return left;
        if (kin_clock() >= grace) return 0;
    }
}

/* Stops what is there, until all is found. */
static int stop_all(struct hunt *hunt)
{
    int quiet = 0;
    send(hunt, SIGSTOP);
    for (int looks = 0; quiet < 2 && looks < LOOKS_MOST; looks++) {
        int news = look(hunt, SIGSTOP);
        if (news < 0) return news;
        quiet = news > 0 || hunt->moving > 0 ? 0 : quiet + 1;
        if (news == 0 && hunt->moving > 0) kin__os_pause_until(kin_in_ms(STOPPED_MS));
    }
    return 0;
}

/* Whoever gives up waiting for an end in order waits for this one. */
static int kill_all(struct hunt *hunt)
{
    kin__shield(1);
    int rc = stop_all(hunt), waited;
    send(hunt, SIGKILL);
    if (hunt->tree->cgroup != NULL) kin__os_cgroup_kill(hunt->tree->cgroup);
    kin_deadline deadline = kin_in_ms(KILLED_MS);
    while ((waited = wait_for_one(hunt, deadline)) == 1)
        ;
    kin__shield(-1);
    return rc < 0 ? rc : waited;
}

static int add_roots(struct hunt *hunt)
{
    for (size_t i = 0; i < hunt->tree->count; i++) {
        const struct kin__root *root = &hunt->tree->roots[i];
        struct member member = {.pid = root->pid, .descriptor = root->descriptor, .root = true};
        struct kin__process_note note;
        bool over = has_ended(&member);
        bool there = kin__os_process_note(root->pid, &note) == 0 && (!over || kin__os_process_is_over(&note));
        /* One that was collected has no start any more: no process that bears its pid is it. */
        if (there) member.start = note.start;
        if (there && i == 0 && hunt->tree->since == 0) hunt->since = note.start;
        int rc = there || !over || hunt->tree->leads ? add(hunt, &member) : 0;
        if (rc < 0) return rc;
    }
    return 0;
}

int kin__tree_end(const struct kin__tree *tree, kin_deadline grace)
{
    struct hunt hunt = {.tree = tree, .since = kin__os_process_ticks(tree->since)};
    int rc = add_roots(&hunt);
    int ended = rc == 0 && grace > kin_clock() ? terminate(&hunt, grace) : rc;
    if (ended < 1) rc = kill_all(&hunt);
    /* Whatever was lacking, these are ended; one that has been is not there to get it. */
    for (size_t i = 0; i < tree->count && ended < 1; i++)
        kin__os_process_signal(tree->roots[i].descriptor, SIGKILL);
    if (rc == 0 && ended < 0) rc = ended;
    for (size_t i = 0; i < hunt.count; i++) {
        if (!hunt.members[i].root && hunt.members[i].descriptor >= 0)
            kin__os_close(hunt.members[i].descriptor);
    }
    kin__os_free(hunt.members);
    return rc < 0 ? rc : hunt.error;
}
