/* start.c: starting a child process.
 *
 * CRASH: nothing of a start lies in family memory; what a killed parent or child leaves is the
 * kernel's to give back.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/handle.h"
#include "memory/table.h"
#include "os/os.h"
#include "process/fork.h"
#include "process/process.h"
#include "thread/thread.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_result;

static void prepare(void)
{
    once_result = atexit(kin__processes_end) == 0 ? 0 : -ENOMEM;
}

int kin__child_finish(int code)
{
    kin__threads_finish();
    kin__processes_end();
    kin__os_flush_last();
    kin__leaving();
    return code & 0xff;
}

__attribute__((noreturn)) static void run(kin_process_function *target, void *argument)
{
    kin__os_exit_now(kin__child_finish(target(argument)));
}

int kin_process_start_sized(kin_process **process, kin_process_function *target, void *argument,
                            const kin_process_options *options, size_t size)
{
    kin_process_options given = {0};
    if (process == NULL || target == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (!kin__os_is_code((const void *)(uintptr_t)target)) return KIN_ENOTCODE;
    pthread_once(&once, prepare);
    if (once_result < 0) return once_result;
    kin_process *child;
    int rc = kin__process_make(&child, &given);
    if (rc < 0) return rc;
    rc = kin__child_fork(&child->descriptor);
    if (rc == 0) {
        kin__handles_keep(argument, (const void *const *)given.connections);
        if (!given.standard_input) kin__os_standard_input_empty();
        run(target, argument);
    }
    if (rc < 0) {
        kin__os_free(child);
        return rc;
    }
    child->pid = rc;
    kin__process_started(child);
    *process = child;
    return 0;
}
