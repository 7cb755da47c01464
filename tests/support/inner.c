/* inner.c: a case within a case, for faults that are planted to be found. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "outcome.h"
#include "test.h"

#define INNER_VARIABLE "KIN_TEST_INNER"

bool test_inner(void)
{
    return getenv(INNER_VARIABLE) != NULL;
}

static void become_inner(const char *case_name, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv(INNER_VARIABLE, "1", 1);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execl("/proc/self/exe", "inner", case_name, (char *)NULL);
    _exit(OUTCOME_USAGE);
}

static void skip_as(const char *said)
{
    const char *mark = strstr(said, OUTCOME_SKIPPED_MARK);
    const char *why = mark ? mark + strlen(OUTCOME_SKIPPED_MARK) : "the case within it was skipped";
    SKIP("%.*s", (int)strcspn(why, "\n"), why);
}

void test_expect_failure(const char *case_name, const char *text)
{
    int output = memfd_create("test-inner", MFD_CLOEXEC);
    CHECK_OK(output);
    pid_t child = fork();
    CHECK_OK(child);
    if (child == 0) become_inner(case_name, output);
    int status = test_collect(child);
    struct stat size;
    CHECK_OK(fstat(output, &size));
    char *said = calloc(1, (size_t)size.st_size + 1);
    CHECK(said);
    CHECK_EQ(pread(output, said, (size_t)size.st_size, 0), size.st_size);
    close(output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == OUTCOME_SKIPPED) skip_as(said);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != OUTCOME_FAILED || !strstr(said, text)) {
        FAIL("%s should fail with \"%s\"; its wait status is %#x:\n%s", case_name, text, (unsigned)status,
             said);
    }
    free(said);
}
