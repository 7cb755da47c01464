/* Two programs that do not know each other share two queues and a number.  The first one gives its family
 * a name; the second one, which is only told the name, joins the family and uses what it finds.
 *
 * To be seen in one run, the first one also starts the second one: by exec, as a shell would. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

/* The second program. */
static int client(const char *family)
{
    check(kin_family_join(family, kin_in_s(10)));
    kin_queue *jobs = kin_find("jobs", kin_in_s(10));
    kin_queue *results = kin_find("results", kin_in_s(10));
    kin_cell *done = kin_find("done", kin_in_s(10));
    const char *words[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) check(kin_queue_put(jobs, words[i], strlen(words[i]) + 1, KIN_FOREVER));
    check(kin_queue_shutdown(jobs, 0));
    char result[32];
    while (kin_queue_get(results, result, sizeof result, kin_in_s(10)) >= 0) printf("client: %s\n", result);
    int count = 0;
    check(kin_cell_get(done, &count));
    printf("client: %d jobs are done\n", count);
    return EXIT_SUCCESS;
}

static pid_t start_client(const char *program, const char *family)
{
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", program, family, (char *)NULL);
        _exit(127);
    }
    return child;
}

int main(int argc, char **argv)
{
    if (argc > 1) return client(argv[1]);
    char name[KIN_NAME_SIZE], job[16], result[32];
    kin_queue *jobs = NULL, *results = NULL;
    kin_cell *done = NULL;
    int status = 1;
    snprintf(name, sizeof name, "example-%d", (int)getpid());
    pid_t other = start_client(argv[0], name);

    check(kin_queue_open(&jobs, NULL));
    check(kin_queue_open(&results, NULL));
    check(kin_cell_open(&done, 'i', NULL));
    check(kin_publish("jobs", jobs));
    check(kin_publish("results", results));
    check(kin_publish("done", done));
    check(kin_family_publish(name, kin_in_s(10)));
    while (kin_queue_get(jobs, job, sizeof job, kin_in_s(10)) >= 0) {
        snprintf(result, sizeof result, "%s is done", job);
        check(kin_cell_add(done, 1));
        check(kin_queue_put(results, result, strlen(result) + 1, KIN_FOREVER));
    }
    check(kin_queue_shutdown(results, 0));
    waitpid(other, &status, 0);
    return status; /* the last process is gone soon, and with it all that they shared */
}
