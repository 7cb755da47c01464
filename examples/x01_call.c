/* X01: calling a command with arguments, and its exit code. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static void call(const char *const *command)
{
    int code = 0;
    printf("$ %s\n", command[0]);
    if (kin_subprocess_call(&code, command, kin_in_s(10)) < 0)
        printf("%s\n", kin_subprocess_error());
    else
        printf("exit code: %d\n", code);
}

int main(void)
{
    call(KIN_COMMAND("echo", "these", "are", "arguments"));
    call(KIN_COMMAND("sh", "-c", "exit 3"));
    call(KIN_COMMAND("sh", "-c", "kill -TERM $$"));
    call(KIN_COMMAND("no-such-command"));

    char *output = NULL;
    check(kin_subprocess_check_output(&output, NULL, KIN_COMMAND("expr", "6", "*", "7"), KIN_FOREVER));
    printf("expr says %s", output);
    free(output);
    return EXIT_SUCCESS;
}
