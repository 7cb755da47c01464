/* test_start_traffic.c: many starts in a row and at once, from a program that has threads and much memory.
 *
 * KIN_STARTS in the environment says how many there are in a row; the default is for everyday use.
 */
#define _GNU_SOURCE
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kin.h>

#include "process/server.h"

static int use_malloc(void *number)
{
    for (size_t size = 1; size < 100000; size *= 3) {
        char *memory = malloc(size);
        if (memory == NULL) return 200;
        memory[0] = memory[size - 1] = 1;
        free(memory);
    }
    return (int)(intptr_t)number;
}

static void start_and_join(enum kin_start_method method, int number)
{
    kin_process *process = NULL;
    int code = -1;
    CHECK_OK(kin_process_start(&process, use_malloc, (void *)(intptr_t)number,
                               &(kin_process_options){.method = method}));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_OK(kin_process_close(process));
    CHECK_EQ(code, number);
}

/* ---- in a row ------------------------------------------------------------------------------------- */

static long descriptors_of(pid_t pid)
{
    char path[64];
    long count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) count++;
    closedir(directory);
    return count;
}

static long kilobytes_of(pid_t pid)
{
    char path[64], line[128];
    long kilobytes = -1;
    /* Counted when it is read; statm adds up what each processor has last told. */
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    while (kilobytes < 0 && fgets(line, sizeof line, file) != NULL) sscanf(line, "Rss: %ld kB", &kilobytes);
    fclose(file);
    CHECK_GE(kilobytes, 0);
    return kilobytes;
}

static int wanted_starts(void)
{
    const char *text = getenv("KIN_STARTS");
    return text != NULL ? atoi(text) : test_sanitized() ? 20 : 300;
}

static void start_many(enum kin_start_method method)
{
    int starts = wanted_starts();
    for (int i = 0; i < starts / 4; i++) start_and_join(method, i % 100);
    pid_t server = method == KIN_FORKSERVER ? kin__server_pid() : getpid();
    long descriptors = descriptors_of(getpid()), servers_descriptors = descriptors_of(server);
    long memory = kilobytes_of(getpid()), servers_memory = kilobytes_of(server);
    for (int i = 0; i < starts; i++) start_and_join(method, i % 100);
    CHECK_EQ(descriptors_of(getpid()), descriptors);
    CHECK_EQ(descriptors_of(server), servers_descriptors);
    NOTE("%d starts: %ld KB more here, %ld KB more in the server", starts, kilobytes_of(getpid()) - memory,
         kilobytes_of(server) - servers_memory);
    /* A sanitizer keeps what was freed for a while. */
    if (test_sanitized()) return;
    CHECK_LE(kilobytes_of(getpid()) - memory, 600);
    CHECK_LE(kilobytes_of(server) - servers_memory, 600);
}

TEST(many_forks_in_a_row_leave_nothing, .deadline = 600)
{
    start_many(KIN_FORK);
}

TEST(many_spawns_in_a_row_leave_nothing, .deadline = 600)
{
    start_many(KIN_SPAWN);
}

TEST(many_starts_by_a_server_in_a_row_leave_nothing, .deadline = 600)
{
    start_many(KIN_FORKSERVER);
}

/* A command with its output, a pipeline, one that does not exist, one that is ended at its deadline. */
static void run_commands(int number)
{
    kin_completed done;
    const kin_subprocess_options captured = {.capture_output = true, .input = "x\n", .input_size = 2};
    CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND("/bin/cat"), &captured, KIN_FOREVER));
    CHECK_MEM(done.out, "x\n", 3);
    kin_completed_free(&done);
    if (number % 10 != 0) return;
    CHECK_OK(kin_subprocess_run_pipeline(
        &done, KIN_PIPELINE(KIN_COMMAND("/bin/cat"), KIN_COMMAND("/bin/cat")), &captured, KIN_FOREVER));
    CHECK_MEM(done.out, "x\n", 3);
    kin_completed_free(&done);
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("/bin/kin-nothing"), &captured, KIN_FOREVER), -ENOENT);
    if (number % 100 != 0) return;
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("/bin/sleep", "1000"), &captured, kin_in_ms(1)),
             -ETIMEDOUT);
    kin_completed_free(&done);
}

TEST(many_subprocesses_in_a_row_leave_nothing, .deadline = 600)
{
    int starts = wanted_starts();
    for (int i = 0; i < 101; i++) run_commands(i);
    long descriptors = descriptors_of(getpid()), memory = kilobytes_of(getpid());
    for (int i = 0; i < starts; i++) run_commands(i);
    CHECK_EQ(descriptors_of(getpid()), descriptors);
    NOTE("%d subprocesses: %ld KB more here", starts, kilobytes_of(getpid()) - memory);
    if (!test_sanitized()) CHECK_LE(kilobytes_of(getpid()) - memory, 600);
}

/* ---- at once -------------------------------------------------------------------------------------- */

static void *start_by_all(void *number)
{
    int rounds = test_sanitized() ? 3 : 15;
    for (int i = 0; i < rounds; i++)
        for (enum kin_start_method method = KIN_FORK; method <= KIN_FORKSERVER; method++)
            start_and_join(method, (int)(intptr_t)number);
    return NULL;
}

TEST(threads_start_by_all_methods_at_once)
{
    pthread_t threads[5];
    for (intptr_t i = 0; i < 5; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, start_by_all, (void *)(i + 1)), 0);
    for (int i = 0; i < 5; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static atomic_bool over;

static void *allocate_for_ever(void *unused)
{
    while (!atomic_load(&over)) free(malloc(50000));
    return unused;
}

/* What fork would copy at a price, and what it would find locked. */
TEST(a_program_with_threads_and_much_memory_starts_others)
{
    enum { THREADS = 3 };
    size_t size = (size_t)2 << 30;
    pthread_t threads[THREADS];
    char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += (size_t)4 << 20) memory[at] = 1;
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, allocate_for_ever, NULL), 0);
    for (int i = 0; i < (test_sanitized() ? 5 : 30); i++) {
        start_and_join(KIN_SPAWN, i);
        start_and_join(KIN_FORKSERVER, i);
    }
    over = true;
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(munmap(memory, size), 0);
}

/* ---- a fork in a program with threads ----------------------------------------------------------------- */

static atomic_int warnings;

static void count_warnings(enum kin_log_level level, const char *line, void *unused)
{
    (void)line;
    (void)unused;
    warnings += level == KIN_LOG_WARNING;
}

TEST(a_fork_beside_threads_is_told_once)
{
    pthread_t thread;
    over = false;
    kin_log_set(count_warnings, KIN_LOG_WARNING, NULL);
    if (!test_sanitized()) {
        start_and_join(KIN_FORK, 1);
        CHECK_EQ(warnings, 0);
    }
    CHECK_EQ(pthread_create(&thread, NULL, allocate_for_ever, NULL), 0);
    start_and_join(KIN_FORKSERVER, 2);
    if (!test_sanitized()) CHECK_EQ(warnings, 0);
    start_and_join(KIN_FORK, 3);
    start_and_join(KIN_FORK, 4);
    CHECK_EQ(warnings, 1);
    over = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    kin_log_set(NULL, KIN_LOG_WARNING, NULL);
}
