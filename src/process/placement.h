/* placement.h: from the options of a process or of a command to what is set in it: who it is, what it
 * may use, where it runs. */
#ifndef KIN_PROCESS_PLACEMENT_H
#define KIN_PROCESS_PLACEMENT_H

#include <kin/limits.h>

#include "os/setting.h"
#include "process/group.h"

/* What the options of both have in common, by the same names. */
struct kin__wish {
    const kin_limits *limits;
    const char *const *env;
    const char *const *env_changes;
    const char *cwd;
    bool new_session;
    bool controlling_terminal;
    int process_group;
    bool set_umask;
    unsigned umask;
    const char *user;
    const char *group;
    const char *const *extra_groups;
};
#define KIN__WISH_OF(options) \
    ((struct kin__wish){.limits = (options)->limits, \
                        .env = (options)->env, \
                        .env_changes = (options)->env_changes, \
                        .cwd = (options)->cwd, \
                        .new_session = (options)->new_session, \
                        .controlling_terminal = (options)->controlling_terminal, \
                        .process_group = (options)->process_group, \
                        .set_umask = (options)->set_umask, \
                        .umask = (options)->umask, \
                        .user = (options)->user, \
                        .group = (options)->group, \
                        .extra_groups = (options)->extra_groups})

/* Private memory, for the time of a start; what the wish refers to stays the caller's. */
struct kin__placement {
    struct kin__setting setting;    /* its control group, a descriptor, is open here */
    struct kin__group group;        /* the handle takes it over */
    const char *const *environment; /* NULL: the caller's, unchanged */
    const char **changed;
    gid_t *groups;
    uint64_t *bits;
};

/* Whether there is anything to be set. */
bool kin__wish_is_empty(const struct kin__wish *wish);
/* Checks the wish, looks up what it names and makes what it needs.  0 or a negative code, with words
 * (words.h); either way kin__placement_free follows, which leaves a group that was taken over. */
int kin__placement_make(struct kin__placement *placement, const struct kin__wish *wish);
/* Hands the control group over to whoever has the handle. */
struct kin__group kin__placement_take_group(struct kin__placement *placement);
void kin__placement_free(struct kin__placement *placement);

/* As bytes for another process of this program, which sets it there: what the setting and the
 * environment refer to comes with them.  `*made` is for kin__os_free.  -ENOMEM. */
int kin__placement_pack(const struct kin__placement *placement, void **made, size_t *size);
/* There: the setting refers to the bytes, which stay; its control group is not among them.  `packed` is
 * aligned to KIN__PACKED_ALIGNMENT.  -ENOMEM. */
int kin__placement_unpack(void *packed, struct kin__setting *setting, const char *const **environment);
#define KIN__PACKED_ALIGNMENT 8

/* The words for what could not be set, where `setting` tells which; returns rc. */
int kin__placement_say(const struct kin__setting *setting, const struct kin__group *group, const char *name,
                       int rc);

#endif
