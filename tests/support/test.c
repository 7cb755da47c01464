/* test.c: the main of every test program: finds the case, runs it, looks for what it left open.
 *
 * The exit code tells the runner the outcome (outcome.h); the lines that begin with one of
 * its marks tell it why.
 */
#define _GNU_SOURCE
#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/start.h>

#include "litter.h"
#include "os/stand_in.h"
#include "outcome.h"
#include "process/server.h"
#include "test_state.h"

#define TRIES_MOST     3
#define TRIES_VARIABLE "KIN_TEST_TRIES" /* how often the case has been run before */

struct test_state test_state;
static bool is_run_again;
static double started; /* when this try began */
static struct test_case *first_case;
static struct test_case **last_link = &first_case;

void test_register(struct test_case *test)
{
    *last_link = test;
    last_link = &test->next;
}

double test_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

long test_looks_most(double seconds)
{
    return 20 + (long)(50 * seconds);
}

double test_seconds_left(void)
{
    return test_state.end - test_seconds();
}

bool test_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    return true;
#endif
#endif
    return false;
}

double test_time_scale(void)
{
    const char *text = getenv("KIN_TEST_SCALE");
    double scale = text ? strtod(text, NULL) : 1;
    if (!(scale > 0)) scale = 1;
    return test_sanitized() ? 4 * scale : scale;
}

const char *test_directory(void)
{
    const char *directory = getenv("TMPDIR");
    return directory ? directory : "/tmp";
}

const char *test_abstract_address(void)
{
    static char address[40];
    snprintf(address, sizeof address, "unix:@kin test %d", (int)getpid());
    return address;
}

const char *test_source(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    CHECK_LT(snprintf(path, PATH_MAX, "%s/%s", KIN_SOURCE_DIRECTORY, name), PATH_MAX);
    return path;
}

void *test_shared(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) FAIL("cannot map %zu bytes of shared memory: %s", size, strerror(errno));
    return memory;
}

pid_t test_child(void (*function)(void *argument), void *argument)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) FAIL("cannot fork: %s", strerror(errno));
    if (child > 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) function(argument);
    _exit(0);
}

int test_collect(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, __WALL) < 0) {
        if (errno != EINTR) FAIL("cannot wait for process %d: %s", (int)child, strerror(errno));
    }
    return status;
}

bool test_is_asleep(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    ssize_t length = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    text[length > 0 ? length : 0] = '\0';
    const char *after_name = strrchr(text, ')');
    return after_name && after_name[1] == ' ' && after_name[2] == 'S';
}

void test_kill(pid_t child)
{
    kill(child, SIGKILL);
    test_collect(child);
}

/* ThreadSanitizer may put a handler off for as long as the process sleeps: it is called when the next signal comes.
 * Not soon: one that comes when the handler is gone again kills a process that ends in order. */
#ifdef __SANITIZE_THREAD__
static bool ends(pid_t child, double *again)
{
    siginfo_t ended = {0};
    if (test_seconds() >= *again) {
        kill(child, SIGTERM);
        *again = test_seconds() + 10;
    }
    return waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0;
}
#endif

void test_terminate(pid_t child)
{
    if (kill(child, SIGTERM) < 0) FAIL("cannot end process %d: %s", (int)child, strerror(errno));
#ifdef __SANITIZE_THREAD__
    double again = test_seconds() + 10;
    test_until(ends(child, &again));
#endif
}

static int tries(void)
{
    const char *text = getenv(TRIES_VARIABLE);
    return text ? atoi(text) : 0;
}

/* The runner has one deadline for all tries: this one's is what the others have left. */
static double end_of_tries(double own)
{
    const char *text = getenv(TRIES_VARIABLE), *end = text ? strchr(text, ' ') : NULL;
    return end ? strtod(end, NULL) : own;
}

bool test_again(void)
{
    if (getpid() != test_state.process || tries() + 1 >= TRIES_MOST) return false;
    if (test_seconds_left() < test_seconds() - started) return false;
    if (!is_run_again) NOTE("the case is run again");
    is_run_again = true;
    return true;
}

static void run_again(const struct test_case *test)
{
    char text[48];
    snprintf(text, sizeof text, "%d %.6f", tries() + 1, test_state.end);
    setenv(TRIES_VARIABLE, text, 1);
    execl("/proc/self/exe", program_invocation_name, test->name, (char *)NULL);
    FAIL("cannot run the case again: %s", strerror(errno));
}

static double deadline_of(const struct test_case *test)
{
    return (test->deadline > 0 ? test->deadline : 60) * test_time_scale();
}

static int list_cases(void)
{
    for (const struct test_case *test = first_case; test; test = test->next) {
        printf("%s deadline=%g%s%s\n", test->name, deadline_of(test), test->cold ? " cold" : "",
               test->alone ? " alone" : "");
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static void check_litter(const struct litter *before)
{
    char text[1024];
    if (litter_compare(before, LITTER_DESCRIPTORS | LITTER_THREADS, text, sizeof text)) {
        test_fail(test_state.file, 0, "the case left something open: %s", text);
    }
}

static void *do_nothing(void *argument)
{
    return argument;
}

/* Thread sanitizer starts a thread of its own with the first one of the program. */
static void start_sanitizer_thread(void)
{
    pthread_t thread;
    if (test_sanitized() && pthread_create(&thread, NULL, do_nothing, NULL) == 0) pthread_join(thread, NULL);
}

/* Where there can be none (under qemu) and KIN_TEST_WITHOUT_FAMILY is set, a case may still have no need of it. */
static void open_family(void)
{
    int rc = kin_family_open(NULL);
    if (rc != KIN_EKERNEL || getenv("KIN_TEST_WITHOUT_FAMILY") == NULL) CHECK_OK(rc);
}

static int run_case(const struct test_case *test)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    started = test_seconds();
    test_state_open(test->file, end_of_tries(started + deadline_of(test)));
    if (!test->cold) open_family();
    start_sanitizer_thread();
    struct litter before;
    litter_note(&before);
    test->run();
    kin__server_end();
    check_litter(&before);
    if (test_state_failed()) return OUTCOME_FAILED;
    if (is_run_again) run_again(test);
    return OUTCOME_PASSED;
}

int main(int count, char **words)
{
    if (getenv("KIN_TEST_STAND_INS") != NULL) kin__os_stand_in_begin();
    kin_main(&count, &words);
    if (count == 2 && strcmp(words[1], "--list") == 0) return list_cases();
    if (count != 2) {
        fprintf(stderr, "usage: %s --list | CASE\n", words[0]);
        return OUTCOME_USAGE;
    }
    for (const struct test_case *test = first_case; test; test = test->next) {
        if (strcmp(test->name, words[1]) == 0) return run_case(test);
    }
    fprintf(stderr, "%s: no case is named %s; --list names them\n", words[0], words[1]);
    return OUTCOME_USAGE;
}
