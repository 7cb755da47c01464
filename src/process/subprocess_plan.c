/* subprocess_plan.c: see subprocess_plan.h.
 *
 * All that needs memory or libc happens here, before the new process is there.
 */
#include "process/subprocess_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"
#include "process/subprocess.h"

#define SHELL        "/bin/sh"
#define DEFAULT_PATH "/bin:/usr/bin"

/* ---- options that contradict each other ----------------------------------------------------------- */

static int check_stream(const char *name, int to, const char *file)
{
    if (to < KIN_DEVNULL) return kin__subprocess_say(-EINVAL, "%s is %d, which is no stream", name, to);
    if (to != KIN_INHERIT && file != NULL)
        return kin__subprocess_say(-EINVAL, "%s has a file and something else as well", name);
    return 0;
}

static int check(const kin_subprocess_options *options)
{
    int rc = check_stream("stdin", options->stdin_from, options->stdin_file);
    if (rc == 0) rc = check_stream("stdout", options->stdout_to, options->stdout_file);
    if (rc == 0) rc = check_stream("stderr", options->stderr_to, options->stderr_file);
    if (rc < 0) return rc;
    if (options->stdin_from == KIN_STDOUT || options->stdout_to == KIN_STDOUT)
        return kin__subprocess_say(-EINVAL, "KIN_STDOUT is for stderr only");
    bool other = options->stdin_file != NULL ||
                 (options->stdin_from != KIN_INHERIT && options->stdin_from != KIN_PIPE);
    if (options->input != NULL && other)
        return kin__subprocess_say(-EINVAL, "there is input, and stdin is no pipe");
    if (options->excess < KIN_EXCESS_FAIL || options->excess > KIN_EXCESS_TAIL)
        return kin__subprocess_say(-EINVAL, "excess is %d, which means nothing", (int)options->excess);
    if (options->controlling_terminal && !options->new_session)
        return kin__subprocess_say(-EINVAL, "a controlling terminal takes a new session");
    if (options->new_session && options->process_group != 0)
        return kin__subprocess_say(-EINVAL, "a new session has a process group of its own");
    if (options->process_group < KIN_OWN_GROUP)
        return kin__subprocess_say(-EINVAL, "process_group is %d", options->process_group);
    if ((options->pass_fds == NULL && options->pass_fd_count > 0) ||
        (options->limits == NULL && options->limit_count > 0))
        return kin__subprocess_say(-EINVAL, "a list is NULL and its count is not 0");
    return 0;
}

/* ---- the environment --------------------------------------------------------------------------------- */

static size_t count_of(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL) count++;
    return count;
}

static size_t name_length(const char *assignment)
{
    return strcspn(assignment, "=");
}

static bool same_name(const char *one, const char *other)
{
    size_t length = name_length(one);
    return name_length(other) == length && memcmp(one, other, length) == 0;
}

static bool is_changed(const char *assignment, const char *const *changes)
{
    for (; *changes != NULL; changes++) {
        if (same_name(assignment, *changes)) return true;
    }
    return false;
}

/* The last change of a name counts, as the last assignment of a shell does. */
static int make_environment(struct kin__plan *plan, const char *const *base, const char *const *changes)
{
    size_t count = 0;
    plan->environment = kin__os_malloc((count_of(base) + count_of(changes) + 1) * sizeof *plan->environment);
    if (plan->environment == NULL) return kin__subprocess_fail(-ENOMEM, "cannot make the environment");
    for (; base != NULL && *base != NULL; base++) {
        if (!is_changed(*base, changes)) plan->environment[count++] = *base;
    }
    for (; *changes != NULL; changes++) {
        if ((*changes)[0] == '=' || (*changes)[0] == '\0')
            return kin__subprocess_say(-EINVAL, "env_changes has \"%s\", which has no name", *changes);
        if (strchr(*changes, '=') != NULL && !is_changed(*changes, changes + 1))
            plan->environment[count++] = *changes;
    }
    plan->environment[count] = NULL;
    plan->spawn.environment = plan->environment;
    return 0;
}

static const char *value_of(const char *const *environment, const char *name)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        if (same_name(name, *environment) && (*environment)[name_length(name)] == '=')
            return *environment + name_length(name) + 1;
    }
    return NULL;
}

/* ---- descriptors and users ------------------------------------------------------------------------------ */

static int compare(const void *one, const void *other)
{
    int a = *(const int *)one, b = *(const int *)other;
    return (a > b) - (a < b);
}

/* In order, none twice, without the standard ones; the last place is for the lifeline. */
static int make_keep(struct kin__plan *plan, const kin_subprocess_options *options)
{
    if (options->pass_fd_count == 0 && !options->end_with_parent) return 0;
    if (options->pass_fd_count > SIZE_MAX / sizeof *plan->keep - 1)
        return kin__subprocess_say(-EINVAL, "pass_fd_count is %zu", options->pass_fd_count);
    plan->keep = kin__os_malloc((options->pass_fd_count + 1) * sizeof *plan->keep);
    if (plan->keep == NULL) return kin__subprocess_fail(-ENOMEM, "cannot pass the descriptors");
    size_t count = 0;
    for (size_t i = 0; i < options->pass_fd_count; i++) {
        int descriptor = options->pass_fds[i];
        int rc = kin__os_is_open(descriptor);
        if (rc < 0) return kin__subprocess_fail(rc, "cannot pass descriptor %d", descriptor);
        if (descriptor > 2) plan->keep[count++] = descriptor;
    }
    if (count > 1) qsort(plan->keep, count, sizeof *plan->keep, compare);
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || plan->keep[i] != plan->keep[i - 1]) plan->keep[distinct++] = plan->keep[i];
    }
    plan->spawn.keep = plan->keep;
    plan->spawn.keep_count = distinct;
    return 0;
}

static int say_unknown(int rc, const char *kind, const char *name)
{
    if (rc == -ENOENT) return kin__subprocess_say(rc, "there is no %s %s", kind, name);
    return kin__subprocess_fail(rc, "cannot look up the %s %s", kind, name);
}

static int find_user(struct kin__plan *plan, const kin_subprocess_options *options)
{
    struct kin__spawn *spawn = &plan->spawn;
    gid_t first;
    int rc = 0;
    if (options->user != NULL) {
        rc = kin__os_user_find(options->user, &spawn->user, &first);
        if (rc < 0) return say_unknown(rc, "user", options->user);
        spawn->set_user = true;
    }
    if (options->group != NULL) {
        rc = kin__os_group_find(options->group, &spawn->group);
        if (rc < 0) return say_unknown(rc, "group", options->group);
        spawn->set_group = true;
    }
    if (options->extra_groups == NULL) return 0;
    size_t count = count_of(options->extra_groups);
    plan->groups = kin__os_malloc((count + 1) * sizeof *plan->groups);
    if (plan->groups == NULL) return kin__subprocess_fail(-ENOMEM, "cannot look up the groups");
    for (size_t i = 0; i < count; i++) {
        rc = kin__os_group_find(options->extra_groups[i], &plan->groups[i]);
        if (rc < 0) return say_unknown(rc, "group", options->extra_groups[i]);
    }
    spawn->groups = plan->groups;
    spawn->group_count = count;
    spawn->set_groups = true;
    return 0;
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

int kin__plan_make(struct kin__plan *plan, const kin_subprocess_options *options)
{
    *plan = (struct kin__plan){
        .options = options,
        .spawn = {.environment = options->env,
                  .keep_all = options->keep_fds,
                  .keep_signals = options->keep_signals,
                  .new_session = options->new_session,
                  .controlling_terminal = options->controlling_terminal,
                  .set_umask = options->set_umask,
                  .umask = options->umask,
                  .process_group = options->process_group,
                  .nice = options->nice,
                  .control_group = -1,
                  .lifeline = -1,
                  .directory = options->cwd,
                  .limits = options->limits,
                  .limit_count = options->limit_count,
                  .function = options->before_exec,
                  .argument = options->before_exec_argument},
    };
    const char *const *base = options->env != NULL ? options->env : kin__os_environment();
    int rc = check(options);
    if (rc == 0 && options->env_changes != NULL) rc = make_environment(plan, base, options->env_changes);
    if (rc == 0) rc = make_keep(plan, options);
    if (rc == 0) rc = find_user(plan, options);
    return rc;
}

void kin__plan_free(struct kin__plan *plan)
{
    kin__os_free(plan->environment);
    kin__os_free(plan->keep);
    kin__os_free(plan->groups);
}

/* ---- one command --------------------------------------------------------------------------------------- */

/* Where `name` may be, in the order of PATH, as a list for kin__spawn.  An empty part of PATH is the
 * working directory. */
static char *find_programs(const char *name, const char *path)
{
    size_t length = strlen(name), places = 1;
    for (const char *at = path; *at != '\0'; at++) places += *at == ':';
    char *programs = kin__os_malloc(strlen(path) + places * (length + 2) + 1), *end = programs;
    if (programs == NULL) return NULL;
    bool named = strchr(name, '/') != NULL || length == 0;
    for (;; path++) {
        size_t directory = named ? 0 : strcspn(path, ":");
        memcpy(end, path, directory);
        end += directory;
        if (directory > 0) *end++ = '/';
        memcpy(end, name, length + 1);
        end += length + 1;
        path += directory;
        if (named || *path == '\0') break;
    }
    *end = '\0';
    return programs;
}

int kin__words_make(struct kin__words *words, const struct kin__plan *plan, const char *const *argv,
                    struct kin__spawn *spawn)
{
    const kin_subprocess_options *options = plan->options;
    size_t count = count_of(argv), used = 1;
    *words = (struct kin__words){NULL, NULL};
    if (count == 0) return kin__subprocess_say(-EINVAL, "there is no command");
    words->words = kin__os_malloc((count + 4) * sizeof *words->words);
    if (words->words == NULL) return kin__subprocess_fail(-ENOMEM, "cannot run %s", argv[0]);
    const char *program = options->executable != NULL ? options->executable
                          : options->shell            ? SHELL
                                                      : argv[0];
    if (options->shell) {
        words->words[used++] = program;
        words->words[used++] = "-c";
    }
    memcpy(words->words + used, argv, (count + 1) * sizeof *argv);
    const char *const *environment = spawn->environment;
    const char *path = value_of(environment != NULL ? environment : kin__os_environment(), "PATH");
    words->programs = find_programs(program, path != NULL ? path : DEFAULT_PATH);
    if (words->programs == NULL) return kin__subprocess_fail(-ENOMEM, "cannot run %s", program);
    spawn->programs = words->programs;
    spawn->words = words->words + 1;
    return 0;
}

void kin__words_free(struct kin__words *words)
{
    kin__os_free(words->words);
    kin__os_free(words->programs);
}
