/* P14: a child has no standard input: reading it gives the end of the file at once, and what is typed
 * stays the parent's. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int read_a_line(void *argument)
{
    char line[100];
    (void)argument;
    printf("child: %s\n", fgets(line, sizeof line, stdin) == NULL ? "end of file" : line);
    return 0;
}

int main(void)
{
    char line[100];
    kin_process *child = NULL;
    check(kin_process_start(&child, read_a_line, NULL, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    if (fgets(line, sizeof line, stdin) != NULL) printf("parent: %s", line);
    return EXIT_SUCCESS;
}
