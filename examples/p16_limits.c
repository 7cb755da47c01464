/* p16: a child that may use so much and no more, and how it ended.
 * The second one asks for a control group, which not every machine lets a program have. */
#include <kin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "check.h"

static int fill(void *unused)
{
    char block[4096];
    FILE *file = tmpfile();
    (void)unused;
    if (file == NULL) return 2;
    memset(block, 'x', sizeof block);
    while (fwrite(block, 1, sizeof block, file) == sizeof block) continue;
    return 1;
}

static int eat(void *unused)
{
    (void)unused;
    for (;;) {
        char *block = malloc(1 << 20);
        if (block == NULL) return 1;
        memset(block, 1, 1 << 20);
    }
}

static void tell(kin_process_function *work, const kin_limits *limits, const char *name)
{
    kin_process *child = NULL;
    kin_process_options options = {.limits = limits, .name = name, .cwd = "/"};
    if (kin_process_start(&child, work, NULL, &options) < 0) {
        printf("%s: not started: %s\n", name, kin_process_error());
        return;
    }
    kin_exit_status status;
    char text[200];
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_exit_status(child, &status));
    kin_exit_status_text(&status, text, sizeof text);
    printf("%s: %s\n", name, text);
    check(kin_process_close(child));
}

int main(void)
{
    const kin_resource_limit size = {RLIMIT_FSIZE, 1 << 20, 1 << 20};
    const kin_limits files = {.resources = &size, .resource_count = 1, .nice = 5};
    const kin_limits memory = {.memory_max = 64 << 20, .pids_max = 10};
    tell(fill, &files, "filler");
    tell(eat, &memory, "eater");
    return 0;
}
