/* start.c: starting a child process, by each of the methods.
 *
 * CRASH: nothing of a start lies in family memory; what a killed parent, child or server leaves is the
 * kernel's to give back.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>
#include <kin/start.h>

#include "base/log.h"
#include "ipc/handle.h"
#include "memory/table.h"
#include "os/handover.h"
#include "os/os.h"
#include "os/spawn.h"
#include "process/child.h"
#include "process/fork.h"
#include "process/order.h"
#include "process/server.h"
#include "process/settle.h"
#include "process/station.h"
#include "process/words.h"

#define TAIL_MOST ((size_t)1 << 20)

/* ---- the method ---------------------------------------------------------------------------------- */

/* What KIN_START_DEFAULT means; `method` is 0 until it is set or used. */
static _Atomic int method;

int kin_set_start_method(enum kin_start_method wanted)
{
    int unset = 0;
    if (wanted < KIN_FORK || wanted > KIN_FORKSERVER) return -EINVAL;
    return atomic_compare_exchange_strong(&method, &unset, (int)wanted) ? 0 : KIN_ESTARTED;
}

enum kin_start_method kin_get_start_method(void)
{
    int set = atomic_load(&method);
    return set == 0 ? KIN_FORK : (enum kin_start_method)set;
}

void kin__start_method_inherit(enum kin_start_method inherited)
{
    atomic_store(&method, (int)inherited);
}

static void use_method(enum kin_start_method *wanted)
{
    int unset = 0;
    if (atomic_load_explicit(&method, memory_order_relaxed) == 0)
        atomic_compare_exchange_strong(&method, &unset, KIN_FORK);
    if (*wanted == KIN_START_DEFAULT) *wanted = (enum kin_start_method)atomic_load(&method);
}

int kin_set_forkserver_preload(void (*function)(void))
{
    if (function == NULL) return -EINVAL;
    return kin__os_is_code((const void *)(uintptr_t)function) ? kin__server_preload(function) : KIN_ENOTCODE;
}

/* ---- functions by name ---------------------------------------------------------------------------- */

static kin_target *targets;

void kin_target_register(kin_target *target)
{
    /* Release: pairs with find_target, in a thread that runs while a library is loaded. */
    target->next = targets;
    __atomic_store_n(&targets, target, __ATOMIC_RELEASE);
}

/* "library:symbol" */
static int find_in_library(const char *name, const char *colon, const void **address)
{
    char library[KIN__PROGRAM_PATH_SIZE];
    char why[160] = "the library's name is too long";
    size_t length = (size_t)(colon - name);
    int rc = KIN_EFUNCTION;
    if (length < sizeof library) {
        memcpy(library, name, length);
        library[length] = '\0';
        rc = kin__os_symbol_find(library, colon + 1, address, why, sizeof why);
    }
    return rc < 0 ? kin__start_say(rc, "cannot find the function %s: %s", name, why) : 0;
}

static int find_target(const char *name, kin_process_function **target)
{
    const void *address;
    for (const kin_target *known = __atomic_load_n(&targets, __ATOMIC_ACQUIRE); known != NULL;
         known = known->next) {
        if (strcmp(known->name, name) != 0) continue;
        *target = known->function;
        return 0;
    }
    const char *colon = strrchr(name, ':');
    if (colon == NULL) return kin__start_say(KIN_EFUNCTION, "KIN_TARGET knows no function %s", name);
    int rc = find_in_library(name, colon, &address);
    if (rc == 0) *target = (kin_process_function *)(uintptr_t)address;
    return rc;
}

/* ---- fork ------------------------------------------------------------------------------------------ */

KIN__CHILD_CODE __attribute__((noreturn)) static void be_forked_child(kin_process *handle,
                                                                      const struct kin__errand *errand)
{
    const kin_process_options *options = &errand->options;
    size_t connections = 0;
    void *argument = errand->argument;
    kin__handles_keep(argument, (const void *const *)options->connections);
    kin__processes_disown();
    if (!options->standard_input) kin__os_standard_input_empty();
    while (options->connections != NULL && options->connections[connections] != NULL) connections++;
    kin__child_forked(handle);
    kin__child_given(options->connections, connections, options->descriptors, options->descriptor_count);
    if (options->value != NULL) argument = (void *)(uintptr_t)options->value;
    if (options->bytes != NULL) argument = (void *)(uintptr_t)options->bytes;
    kin__os_exit_now(kin__child_finish(errand->target(argument)));
}

static void warn_of_threads(void)
{
    static atomic_bool warned;
    if (!kin__log_wanted(KIN_LOG_WARNING) || atomic_load(&warned) ||
        kin__os_thread_count() < 2 + kin__log_threads() + kin__tail_threads())
        return;
    if (!atomic_exchange(&warned, true))
        kin__log(KIN_LOG_WARNING,
                 "this process has threads and starts a child by fork: what they have locked "
                 "stays locked in the child; KIN_FORKSERVER and KIN_SPAWN do not copy them");
}

KIN__CHILD_CODE static int start_by_fork(kin_process *child, const struct kin__errand *errand,
                                         struct kin__settler *settler)
{
    warn_of_threads();
    int rc = kin__child_fork(&child->descriptor);
    if (rc == 0) {
        if (child->stderr_end >= 0) kin__os_descriptor_move(child->stderr_end, 2);
        kin__settler_apply(settler);
        be_forked_child(child, errand);
    }
    if (rc < 0) return kin__start_fail(rc, "cannot start %s", child->name);
    child->pid = rc;
    return kin__settler_await(settler, child->descriptor, &child->group, child->name);
}

/* ---- the others ------------------------------------------------------------------------------------ */

/* By a server the child sets itself what is wanted; otherwise that is done before the program begins. */
static int start_anew(kin_process *child, const struct kin__errand *errand, struct kin__placement *placement,
                      bool placed)
{
    struct kin__order order;
    struct kin__order_parts parts;
    bool served = errand->options.method == KIN_FORKSERVER;
    if (!kin__program_has_main()) return kin__start_fail(KIN_ENOTMAIN, "cannot start %s", child->name);
    int rc = kin__enter();
    if (rc < 0) return kin__start_fail(rc, "cannot start %s", child->name);
    rc = kin__order_make(&order, errand, child, served && placed ? placement : NULL, &parts);
    if (rc == 0) kin__os_flush();
    if (rc == 0 && served) rc = kin__server_start(child, &order, &parts, placement);
    if (rc == 0 && !served) {
        rc = kin__program_begin(&order, &parts, NULL, placement, &child->descriptor);
        if (rc > 0) child->pid = rc;
    }
    kin__order_free(&parts);
    return rc < 0 ? kin__placement_say(&placement->setting, &child->group, child->name, rc) : 0;
}

static int start(kin_process *child, const struct kin__errand *errand)
{
    const struct kin__wish wish = KIN__WISH_OF(&errand->options);
    bool forks = errand->options.method == KIN_FORK;
    struct kin__settler settler;
    int rc = kin__settler_make(&settler, &wish, forks);
    if (rc == 0) {
        child->group = kin__placement_take_group(&settler.placement);
        kin__vigil_begin(&child->vigil, errand->options.limits, child->group.directory);
        rc = forks ? start_by_fork(child, errand, &settler)
                   : start_anew(child, errand, &settler.placement, !kin__wish_is_empty(&wish));
    }
    kin__settler_free(&settler);
    return rc;
}

/* What the child writes to stderr last is wanted. */
static int keep_tail(kin_process *child, size_t size)
{
    child->said = kin__os_calloc(1, size + 1);
    int rc = child->said == NULL ? -ENOMEM : kin__tail_begin(&child->tail, size, &child->stderr_end);
    child->said_most = size;
    return rc < 0 ? kin__start_fail(rc, "cannot keep what %s writes to stderr", child->name) : 0;
}

static int start_with_tail(kin_process *child, const struct kin__errand *errand)
{
    int rc = errand->options.stderr_tail > 0 ? keep_tail(child, errand->options.stderr_tail) : 0;
    if (rc == 0) rc = start(child, errand);
    if (child->stderr_end >= 0) kin__os_close(child->stderr_end);
    return rc;
}

int kin__process_begin(kin_process_function *target, void *argument, const kin_process_options *options,
                       int *descriptor)
{
    const struct kin__errand errand = {target, argument, *options};
    kin_process child = {.owner = kin__os_pid(), .descriptor = -1, .stderr_end = -1};
    snprintf(child.name, sizeof child.name, "%s", options->name);
    child.daemon = kin_process_current()->daemon;
    kin__start_say_nothing();
    int rc = kin__child_prepare();
    if (rc == 0) rc = start(&child, &errand);
    if (rc < 0) return rc;
    if (child.served) kin__process_expect_no_more(&child);
    *descriptor = child.descriptor;
    return child.pid;
}

/* ---- whether a child can be started as it is asked for ------------------------------------------------ */

int kin__start_check_method(enum kin_start_method wanted)
{
    if ((unsigned)wanted <= KIN_FORKSERVER) return 0;
    return kin__start_say(-EINVAL, "method is %d, which means nothing", (int)wanted);
}

int kin__start_check_name(const char *name, size_t most)
{
    size_t length = name != NULL ? strlen(name) : 0;
    if (length <= most) return 0;
    return kin__start_say(-EINVAL, "name has %zu bytes, and %zu is the most", length, most);
}

static int check_target(const struct kin__errand *errand)
{
    const char *name = errand->options.target;
    if (errand->target != NULL && name != NULL)
        return kin__start_say(-EINVAL, "there are two targets: a function, and %s by its name", name);
    if (errand->target == NULL && name == NULL)
        return kin__start_say(-EINVAL, "there is no target: neither a function nor the name of one");
    return 0;
}

static int check_argument(const struct kin__errand *errand)
{
    const kin_process_options *options = &errand->options;
    if (options->bytes == NULL && options->size > 0)
        return kin__start_say(-EINVAL, "bytes is NULL and size is %zu", options->size);
    if ((errand->argument != NULL) + (options->bytes != NULL) + (options->value != NULL) > 1)
        return kin__start_say(-EINVAL, "there are two arguments of the pointer, bytes and value");
    return 0;
}

/* A child that is forked would have the number all the same, and learn only there that it is none. */
static int check_descriptors(const kin_process_options *options)
{
    if (options->descriptors == NULL && options->descriptor_count > 0)
        return kin__start_say(-EINVAL, "descriptors is NULL and descriptor_count is not 0");
    for (size_t i = 0; i < options->descriptor_count; i++) {
        int rc = kin__os_is_open(options->descriptors[i]);
        if (rc == -EBADF) return kin__start_say(rc, "descriptor %d is not open", options->descriptors[i]);
    }
    return 0;
}

static int check(struct kin__errand *errand)
{
    const kin_process_options *options = &errand->options;
    int rc = check_target(errand);
    if (rc == 0) rc = check_argument(errand);
    if (rc == 0) rc = kin__start_check_name(options->name, KIN__PROCESS_NAME_SIZE - 1);
    if (rc == 0) rc = kin__start_check_method(options->method);
    if (rc == 0 && options->stderr_tail > TAIL_MOST)
        rc = kin__start_say(-EINVAL, "stderr_tail is %zu, and %zu is the most", options->stderr_tail,
                            TAIL_MOST);
    if (rc == 0) rc = check_descriptors(options);
    if (rc < 0) return rc;
    if (options->target != NULL) return find_target(options->target, &errand->target);
    return kin__os_is_code((const void *)(uintptr_t)errand->target)
               ? 0
               : kin__start_fail(KIN_ENOTCODE, "cannot start a process");
}

int kin_process_start_sized(kin_process **process, kin_process_function *target, void *argument,
                            const kin_process_options *options, size_t size)
{
    struct kin__errand errand = {.target = target, .argument = argument};
    kin_process *child;
    kin__start_say_nothing();
    if (process == NULL) return kin__start_say(-EINVAL, "there is no place for the handle");
    if (options != NULL)
        memcpy(&errand.options, options, size < sizeof errand.options ? size : sizeof errand.options);
    int rc = check(&errand);
    if (rc < 0) return rc;
    rc = kin__child_prepare();
    if (rc == 0) rc = kin__process_make(&child, &errand.options);
    if (rc < 0) return kin__start_fail(rc, "cannot start a process");
    use_method(&errand.options.method);
    rc = start_with_tail(child, &errand);
    if (rc < 0) {
        kin__process_free(child);
        return rc;
    }
    kin__process_started(child);
    *process = child;
    return 0;
}
