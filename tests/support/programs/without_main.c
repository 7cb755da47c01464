/* without_main.c: a program that does not begin with kin_main: it can fork children, and is told why it cannot
 * begin anew.  Run by test_start. */
#include <stdio.h>

#include <kin.h>

static int idle(void *unused)
{
    (void)unused;
    return 4;
}

static int try(enum kin_start_method method)
{
    kin_process *process = NULL;
    int code;
    int rc =
        kin_process_start(&process, idle, NULL, &(kin_process_options){.name = "child", .method = method});
    if (rc < 0) {
        printf("%s; %s\n", kin_error_name(rc), kin_process_error());
        return rc;
    }
    kin_process_join(process, KIN_FOREVER);
    kin_process_exit_code(process, &code);
    kin_process_close(process);
    printf("%d\n", code);
    return 0;
}

int main(void)
{
    int forked = try(KIN_FORK), spawned = try(KIN_SPAWN), served = try(KIN_FORKSERVER);
    return !(forked == 0 && spawned == KIN_ENOTMAIN && served == KIN_ENOTMAIN);
}
