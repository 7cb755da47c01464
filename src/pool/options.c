/* options.c: whether a pool can be opened as it is asked for; if not, kin_process_error has the words. */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/challenge.h"
#include "memory/region.h"
#include "os/program.h"
#include "pool/pool.h"
#include "process/order.h"
#include "process/words.h"

static int check_numbers(const kin_pool_options *options)
{
    if (options->workers > KIN__WORKERS_MOST)
        return kin__start_say(-EINVAL, "workers is %u, and %d is the most", options->workers,
                              KIN__WORKERS_MOST);
    if (options->retries > UINT16_MAX)
        return kin__start_say(-EINVAL, "retries is %u, and %d is the most", options->retries, UINT16_MAX);
    if (options->retries_error > UINT16_MAX)
        return kin__start_say(-EINVAL, "retries_error is %u, and %d is the most", options->retries_error,
                              UINT16_MAX);
    if (options->backoff_ns < 0) return kin__start_say(-EINVAL, "backoff_ns is negative");
    if (options->interval_ns < 0) return kin__start_say(-EINVAL, "interval_ns is negative");
    return options->silence_ns < 0 ? kin__start_say(-EINVAL, "silence_ns is negative") : 0;
}

/* What a pool of threads cannot have: the name of an option that is set, or NULL. */
static const char *of_processes(const kin_pool_options *options)
{
    if (options->address != NULL) return "address";
    if (options->limits != NULL) return "limits";
    if (options->pin_workers) return "pin_workers";
    if (options->memory_per_worker != 0) return "memory_per_worker";
    if (options->method != KIN_START_DEFAULT) return "method";
    return options->stderr_tail ? "stderr_tail" : NULL;
}

/* Whom the pool lets in. */
static int check_listener(const kin_listener_options *listener)
{
    const char *fault = listener != NULL ? kin__key_fault(listener->key, listener->key_size) : NULL;
    return fault != NULL ? kin__start_say(-EINVAL, "listener: %s", fault) : 0;
}

int kin__pool_options_check(const kin_pool_options *options)
{
    int rc = check_numbers(options);
    if (rc < 0) return rc;
    if (options->kind != KIN_POOL_PROCESSES && options->kind != KIN_POOL_THREADS)
        return kin__start_say(-EINVAL, "kind is %d, which means nothing", (int)options->kind);
    const char *process_only = options->kind == KIN_POOL_THREADS ? of_processes(options) : NULL;
    if (process_only != NULL)
        return kin__start_say(-EINVAL, "%s is for processes, not for KIN_POOL_THREADS", process_only);
    rc = check_listener(options->listener);
    if (rc < 0) return rc;
    size_t room = sizeof((kin_pool *)0)->name;
    rc = kin__start_check_name(options->name, room - 1);
    if (rc < 0) return rc;
    if (options->initializer != NULL && kin__os_is_code((const void *)options->initializer) != 1)
        return kin__start_say(KIN_ENOTCODE, "initializer is no function");
    return 0;
}

/* What a supervisor that is begun anew could not be told: the name of an option that is set, or NULL. */
static const char *needs_fork(const kin_pool_options *options)
{
    if (options->address != NULL) return "address";
    if (options->limits != NULL) return "limits";
    return options->pin_workers ? "pin_workers" : NULL;
}

/* What workers have who have nothing of this process's memory. */
static int check_for_anew(const kin_pool_options *options)
{
    const char *of_fork = needs_fork(options);
    if (of_fork != NULL) return kin__start_say(-EINVAL, "%s is for pools whose method is fork", of_fork);
    if (options->initializer != NULL && kin__os_is_own_code((const void *)options->initializer) != 1)
        return kin__start_say(KIN_EFUNCTION, "initializer is no function of the program itself");
    bool means_something = (uintptr_t)options->context < KIN__NUMBERS || kin__in_family(options->context);
    return means_something ? 0
                           : kin__start_say(KIN_EPOINTER, "context is neither a number nor family memory");
}

int kin__pool_options_method(kin_pool_options *options)
{
    int rc = kin__start_check_method(options->method);
    if (rc < 0) return rc;
    bool forks = options->kind == KIN_POOL_THREADS || needs_fork(options) != NULL;
    if (options->method == KIN_START_DEFAULT) options->method = forks ? KIN_FORK : kin_get_start_method();
    return options->method == KIN_FORK ? 0 : check_for_anew(options);
}
