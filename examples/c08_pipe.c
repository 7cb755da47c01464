/* C08: a pipe: one process sends a list of messages and then END, another prints until END. */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

static int sender(void *end)
{
    const char *messages[] = {"hello", "how are you?", "END"};
    for (int i = 0; i < 3; i++)
        check(kin_connection_send(end, messages[i], strlen(messages[i]), KIN_FOREVER));
    return 0;
}

static int receiver(void *end)
{
    char message[100] = "";
    while (strcmp(message, "END") != 0) {
        long size = check(kin_connection_recv(end, message, sizeof message - 1, KIN_FOREVER));
        message[size] = '\0';
        printf("received: %s\n", message);
    }
    return 0;
}

int main(void)
{
    kin_connection *in = NULL, *out = NULL;
    kin_process *processes[2];
    check(kin_pipe_open(&in, &out, &(kin_pipe_options){.simplex = true}));
    /* A connection that is the argument of a process goes to it; the parent closes its own copy. */
    check(kin_process_start(&processes[0], sender, out, NULL));
    check(kin_process_start(&processes[1], receiver, in, NULL));
    kin_connection_close(in);
    kin_connection_close(out);
    for (int i = 0; i < 2; i++) {
        check(kin_process_join(processes[i], KIN_FOREVER));
        check(kin_process_close(processes[i]));
    }
    return EXIT_SUCCESS;
}
