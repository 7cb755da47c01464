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
#include "process/words.h"

#define SHELL        "/bin/sh"
#define DEFAULT_PATH "/bin:/usr/bin"

/* ---- options that contradict each other ----------------------------------------------------------- */

static int check_stream(const char *name, int to, const char *file)
{
    if (to < KIN_DEVNULL) return kin__start_say(-EINVAL, "%s is %d, which is no stream", name, to);
    if (to != KIN_INHERIT && file != NULL)
        return kin__start_say(-EINVAL, "%s has a file and something else as well", name);
    return 0;
}

static int check(const kin_subprocess_options *options)
{
    int rc = check_stream("stdin", options->stdin_from, options->stdin_file);
    if (rc == 0) rc = check_stream("stdout", options->stdout_to, options->stdout_file);
    if (rc == 0) rc = check_stream("stderr", options->stderr_to, options->stderr_file);
    if (rc < 0) return rc;
    if (options->stdin_from == KIN_STDOUT || options->stdout_to == KIN_STDOUT)
        return kin__start_say(-EINVAL, "KIN_STDOUT is for stderr only");
    bool other = options->stdin_file != NULL ||
                 (options->stdin_from != KIN_INHERIT && options->stdin_from != KIN_PIPE);
    if (options->input != NULL && other)
        return kin__start_say(-EINVAL, "there is input, and stdin is no pipe");
    if (options->excess < KIN_EXCESS_FAIL || options->excess > KIN_EXCESS_TAIL)
        return kin__start_say(-EINVAL, "excess is %d, which means nothing", (int)options->excess);
    if (options->grace_ms < 0) return kin__start_say(-EINVAL, "grace_ms is negative");
    if (options->pass_fds == NULL && options->pass_fd_count > 0)
        return kin__start_say(-EINVAL, "pass_fds is NULL and pass_fd_count is not 0");
    return 0;
}

/* ---- the environment --------------------------------------------------------------------------------- */

static size_t count_of(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL) count++;
    return count;
}

static const char *value_of(const char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    }
    return NULL;
}

/* ---- descriptors ---------------------------------------------------------------------------------------- */

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
        return kin__start_say(-EINVAL, "pass_fd_count is %zu", options->pass_fd_count);
    plan->keep = kin__os_malloc((options->pass_fd_count + 1) * sizeof *plan->keep);
    if (plan->keep == NULL) return kin__start_fail(-ENOMEM, "cannot pass the descriptors");
    size_t count = 0;
    for (size_t i = 0; i < options->pass_fd_count; i++) {
        int descriptor = options->pass_fds[i];
        int rc = kin__os_is_open(descriptor);
        if (rc < 0) return kin__start_fail(rc, "cannot pass descriptor %d", descriptor);
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

/* ---- the plan ------------------------------------------------------------------------------------------ */

int kin__plan_make(struct kin__plan *plan, const kin_subprocess_options *options)
{
    const struct kin__wish wish = KIN__WISH_OF(options);
    *plan = (struct kin__plan){
        .options = options,
        .placement = {.setting = KIN__SETTING_NONE},
        .spawn = {.keep_all = options->keep_fds,
                  .keep_signals = options->keep_signals,
                  .lifeline = -1,
                  .function = options->before_exec,
                  .argument = options->before_exec_argument},
    };
    int rc = check(options);
    if (rc == 0) rc = make_keep(plan, options);
    if (rc == 0) rc = kin__placement_make(&plan->placement, &wish);
    plan->spawn.environment = plan->placement.environment;
    plan->spawn.setting = plan->placement.setting;
    return rc;
}

void kin__plan_free(struct kin__plan *plan)
{
    kin__placement_free(&plan->placement);
    kin__os_free(plan->keep);
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
    if (count == 0) return kin__start_say(-EINVAL, "there is no command");
    words->words = kin__os_malloc((count + 4) * sizeof *words->words);
    if (words->words == NULL) return kin__start_fail(-ENOMEM, "cannot run %s", argv[0]);
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
    if (words->programs == NULL) return kin__start_fail(-ENOMEM, "cannot run %s", program);
    spawn->programs = words->programs;
    spawn->words = words->words + 1;
    return 0;
}

void kin__words_free(struct kin__words *words)
{
    kin__os_free(words->words);
    kin__os_free(words->programs);
}
