/* begin.c: the program begun anew, from both sides: by its parent, and in kin_main.
 *
 * What it is begun for is an order (order.h), whose descriptor the environment names.  That variable
 * and the invitation to the family are taken out of the environment before anything of the user's
 * runs, so that no other program gets them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "memory/region.h"
#include "os/handover.h"
#include "os/os.h"
#include "os/spawn.h"
#include "process/child.h"
#include "process/fork.h"
#include "process/server.h"

#define START_VARIABLE  "KIN_START"
#define FAMILY_VARIABLE "KIN_FAMILY"

/* A child for whom not even that could be done which it needs to begin. */
#define CODE_NOT_BEGUN 255

/* The order, the lifeline, the family's memory, a server's sockets, and what is given. */
#define COPIES_MOST (KIN__GIVEN_MOST + 5)

static struct {
    bool called;
    char name[256];
} program;

bool kin__program_has_main(void)
{
    return program.called;
}

/* ---- the parent's side --------------------------------------------------------------------------- */

/* Descriptors for the new program, in the order of their numbers. */
struct copies {
    int numbers[COPIES_MOST];
    size_t count;
};

/* Copies a descriptor to a number above those that are there; returns it. */
static int add_copy(struct copies *copies, int descriptor)
{
    int least = copies->count > 0 ? copies->numbers[copies->count - 1] + 1 : 3;
    int copy = kin__os_descriptor_copy(descriptor, least);
    if (copy >= 0) copies->numbers[copies->count++] = copy;
    return copy;
}

static void close_copies(struct copies *copies)
{
    for (size_t i = 0; i < copies->count; i++) kin__os_close(copies->numbers[i]);
}

static int copy_given(struct copies *copies, struct kin__order *order)
{
    uint32_t count = order->connection_count + order->descriptor_count;
    for (uint32_t i = 0; i < count; i++) {
        int copy = add_copy(copies, order->given[i]);
        if (copy < 0) return copy;
        order->given[i] = copy;
    }
    return 0;
}

static int copy_own(struct copies *copies, struct kin__order *order, int line, const int *sockets)
{
    int rc = order->lifeline = add_copy(copies, line);
    if (rc >= 0 && sockets != NULL) rc = order->control = add_copy(copies, sockets[0]);
    if (rc >= 0 && sockets != NULL) rc = order->ends = add_copy(copies, sockets[1]);
    return rc < 0 ? rc : 0;
}

/* This process's environment with the two variables for the new program; for kin__os_free. */
static const char **make_environment(const char *const *now, const char *family, const char *start)
{
    size_t count = 0, used = 0;
    while (now != NULL && now[count] != NULL) count++;
    const char **made = kin__os_malloc((count + 3) * sizeof *made);
    if (made == NULL) return NULL;
    for (size_t i = 0; i < count; i++) {
        bool ours = strncmp(now[i], START_VARIABLE "=", sizeof START_VARIABLE) == 0 ||
                    strncmp(now[i], FAMILY_VARIABLE "=", sizeof FAMILY_VARIABLE) == 0;
        if (!ours) made[used++] = now[i];
    }
    made[used++] = family;
    made[used++] = start;
    made[used] = NULL;
    return made;
}

static int execute(struct kin__order *order, const struct copies *copies, const char *family,
                   const char *start, int err, struct kin__placement *placement, int *descriptor)
{
    const char *const *now = placement != NULL ? placement->environment : NULL;
    char label[KIN__PROCESS_NAME_SIZE + sizeof "kin:"];
    const char *words[] = {NULL, program.name, label, NULL};
    const char **environment = make_environment(now != NULL ? now : kin__os_environment(), family, start);
    if (environment == NULL) return -ENOMEM;
    int null = order->standard_input ? KIN__SPAWN_UNTOUCHED : kin__os_open_null();
    int rc = order->standard_input || null >= 0 ? 0 : null;
    snprintf(label, sizeof label, "kin:%s", order->name);
    if (rc == 0) {
        struct kin__spawn spawn = {
            .programs = "/proc/self/exe\0",
            .words = words + 1,
            .environment = environment,
            .streams = {null, KIN__SPAWN_UNTOUCHED, err >= 0 ? err : KIN__SPAWN_UNTOUCHED},
            .keep = copies->numbers,
            .keep_count = copies->count,
            .lifeline = order->lifeline,
            .setting = placement != NULL ? placement->setting : KIN__SETTING_NONE,
        };
        rc = kin__os_spawn(&spawn, descriptor);
        if (placement != NULL) placement->setting = spawn.setting;
    }
    if (null >= 0) kin__os_close(null);
    kin__os_free(environment);
    return rc;
}

static int copy_and_execute(struct copies *copies, struct kin__order *order,
                            const struct kin__order_parts *parts, struct kin__placement *placement,
                            int *descriptor)
{
    char family[96], start[sizeof START_VARIABLE + 16];
    int rc = kin__region_check_descriptor();
    if (rc == 0) rc = add_copy(copies, kin__family.descriptor);
    if (rc < 0) return rc;
    kin__region_invitation(family, sizeof family, rc);
    rc = copy_given(copies, order);
    if (rc < 0) return rc;
    int written = kin__order_write(parts);
    if (written < 0) return written;
    rc = add_copy(copies, written);
    kin__os_close(written);
    if (rc < 0) return rc;
    snprintf(start, sizeof start, START_VARIABLE "=%d", rc);
    return execute(order, copies, family, start, parts->stderr_end, placement, descriptor);
}

int kin__program_begin(struct kin__order *order, const struct kin__order_parts *parts, const int *sockets,
                       struct kin__placement *placement, int *descriptor)
{
    struct copies copies = {.count = 0};
    /* Another user takes a fork. */
    bool forks = placement != NULL && kin__os_setting_forks(&placement->setting);
    int line = kin__child_line();
    if (line < 0) return line;
    /* From the first copy on nothing else is forked that would have them too. */
    kin__child_begin(forks);
    int rc = copy_own(&copies, order, line, sockets);
    if (rc == 0) rc = copy_and_execute(&copies, order, parts, placement, descriptor);
    close_copies(&copies);
    kin__child_done(forks);
    kin__os_close(line);
    return rc;
}

/* ---- the new program ----------------------------------------------------------------------------- */

static int carry_out(struct kin__order *order)
{
    struct kin__work work;
    int rc = kin__order_unpack(order, order->given, NULL, &work);
    if (rc < 0) {
        kin__log(KIN_LOG_ERROR, "%s cannot begin: %s", order->name, kin_strerror(rc));
        return CODE_NOT_BEGUN;
    }
    return kin__child_finish(work.target(work.argument));
}

static int begin(int descriptor)
{
    struct kin__order *order;
    int rc = kin__order_read(descriptor, &order);
    kin__os_close(descriptor);
    if (rc == 0) rc = kin__child_adopt(order->lifeline);
    if (rc < 0) return CODE_NOT_BEGUN;
    kin__start_method_inherit(order->method);
    if (order->server) return kin__serve(order);
    /* What has failed in the family is told by the first function that needs it. */
    return carry_out(order);
}

void kin_main(int *argc, char ***argv)
{
    program.called = true;
    if (argc != NULL && argv != NULL && *argc > 0)
        snprintf(program.name, sizeof program.name, "%s", (*argv)[0]);
    const char *text = secure_getenv(START_VARIABLE);
    if (text == NULL) return;
    char *rest;
    long descriptor = strtol(text, &rest, 10);
    bool good = *text != '\0' && *rest == '\0' && descriptor > 2 && descriptor <= INT32_MAX;
    unsetenv(START_VARIABLE);
    unsetenv(FAMILY_VARIABLE);
    kin__os_label_set(program.name);
    kin__os_exit_now(good ? begin((int)descriptor) : CODE_NOT_BEGUN);
}
