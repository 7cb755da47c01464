/* C09: a pipe both ways, and several processes that send on one of its ends: their messages, of up
 * to a megabyte, stay whole, and the end of file comes when the last of them has ended. */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

enum { WRITERS = 3, EACH = 20, SIZE = 1 << 20 };

static char message[SIZE];

static int answer(void *end)
{
    long size = check(kin_connection_recv(end, message, sizeof message - 1, KIN_FOREVER));
    message[size] = '\0';
    printf("child got: %s\n", message);
    fflush(stdout);
    check(kin_connection_send(end, "fine, thanks", 12, KIN_FOREVER));
    return 0;
}

static int writer(void *end)
{
    for (int i = 0; i < EACH; i++) {
        size_t size = i % 10 == 0 ? SIZE : (size_t)i + 1;
        memset(message, 'a' + i, size);
        check(kin_connection_send(end, message, size, KIN_FOREVER));
    }
    return 0;
}

static void join(kin_process *process)
{
    check(kin_process_join(process, KIN_FOREVER));
    check(kin_process_close(process));
}

int main(void)
{
    kin_connection *here = NULL, *there = NULL;
    kin_process *child = NULL, *writers[WRITERS];
    check(kin_pipe_open(&here, &there, NULL));
    check(kin_process_start(&child, answer, there, NULL));
    check(kin_connection_send(here, "how are you?", 12, KIN_FOREVER));
    long size = check(kin_connection_recv(here, message, sizeof message - 1, KIN_FOREVER));
    message[size] = '\0';
    printf("parent got: %s\n", message);
    join(child);

    int whole = 0, mixed = 0;
    for (int i = 0; i < WRITERS; i++) check(kin_process_start(&writers[i], writer, there, NULL));
    kin_connection_close(there);
    while ((size = kin_connection_recv(here, message, sizeof message, KIN_FOREVER)) >= 0) {
        /* All bytes are the same, as one writer wrote them. */
        if (memcmp(message, message + 1, (size_t)size - 1) == 0)
            whole++;
        else
            mixed++;
    }
    printf("%d messages whole, %d mixed; then: %s\n", whole, mixed, kin_strerror((int)size));
    for (int i = 0; i < WRITERS; i++) join(writers[i]);
    kin_connection_close(here);
    return EXIT_SUCCESS;
}
