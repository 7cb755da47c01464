/* P01: plain fork: the child knows its parent by getppid, the parent gets the child's pid.
 *
 * Such a child belongs to the family as well as one that kin started: the queue carries what it
 * has to say to its parent. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct report {
    int pid, parent;
};

int main(void)
{
    kin_queue *queue = NULL;
    check(kin_queue_open(&queue, NULL));
    pid_t child = fork();
    if (child == -1) {
        perror("fork");
        return EXIT_FAILURE;
    }
    if (child == 0) {
        struct report mine = {getpid(), getppid()};
        check(kin_queue_put(queue, &mine, sizeof mine, KIN_FOREVER));
        _exit(EXIT_SUCCESS);
    }

    struct report report;
    check(kin_queue_get(queue, &report, sizeof report, KIN_FOREVER));
    printf("I am the parent, %d; fork told me that my child is %d\n", getpid(), child);
    printf("I am the child, %d; getppid told me that my parent is %d\n", report.pid, report.parent);
    waitpid(child, NULL, 0);
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
