/* test_pool_limits.c: what the workers of a pool may use and where they run; and how a task fails whose
 * worker the kernel killed for memory. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/old_group.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/pool.h>
#include <kin/process.h>

#include "os/cgroup.h"

static int look(const int *in, int *out)
{
    struct rlimit files;
    cpu_set_t cpus;
    (void)in;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    out[0] = (int)files.rlim_cur;
    out[1] = getpriority(PRIO_PROCESS, 0);
    out[2] = CPU_COUNT(&cpus);
    out[3] = -1;
    for (int cpu = CPU_SETSIZE; cpu-- > 0;)
        if (CPU_ISSET(cpu, &cpus)) out[3] = cpu;
    out[4] = kin_worker_number();
    return 0;
}
struct seen {
    int files, nice, cpus, cpu, number;
};
static int see(const int *in, struct seen *out)
{
    int numbers[5];
    int rc = look(in, numbers);
    *out = (struct seen){numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
    return rc;
}
KIN_MAP(see, int, struct seen)

static struct seen seen_by(kin_pool *pool, uint64_t worker)
{
    kin_result *result = NULL;
    struct seen seen;
    int in = 0;
    /* Keys are dealt out to the workers by their number. */
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(see), &in, sizeof in, kin_in_s(30),
                             &(kin_task_options){.affinity = worker + 2}));
    CHECK_RC(kin_result_get(result, &seen, sizeof seen, kin_in_s(30)), sizeof seen);
    CHECK_OK(kin_result_close(result));
    return seen;
}

TEST(each_worker_has_the_limits)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    const kin_resource_limit files = {RLIMIT_NOFILE, 77, 99};
    const kin_limits limits = {.resources = &files, .resource_count = 1, .nice = 3};
    int nice = getpriority(PRIO_PROCESS, 0) + 3;
    CHECK_OK(
        kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .tasks_per_worker = 2, .limits = &limits}));
    /* Those that replace the first ones, too. */
    for (uint64_t i = 0; i < 8; i++) {
        struct seen seen = seen_by(pool, i % 2);
        CHECK_EQ(seen.files, 77);
        CHECK_EQ(seen.nice, nice < 19 ? nice : 19);
    }
    CHECK_OK(kin_pool_free(pool));
    books_check(&books);
}

TEST(each_worker_is_on_a_processor_of_its_own)
{
    kin_pool *pool = NULL;
    cpu_set_t usable;
    int cpu[2] = {-1, -1}, count = 0;
    CHECK_EQ(sched_getaffinity(0, sizeof usable, &usable), 0);
    for (int i = 0; i < CPU_SETSIZE && count < 2; i++)
        if (CPU_ISSET(i, &usable)) cpu[count++] = i;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .pin_workers = true}));
    for (uint64_t i = 0; i < 2; i++) {
        struct seen seen = seen_by(pool, i);
        CHECK_EQ(seen.number, i);
        CHECK_EQ(seen.cpus, 1);
        CHECK_EQ(seen.cpu, cpu[(int)i % count]);
    }
    CHECK_OK(kin_pool_free(pool));
    /* And of those that are named. */
    unsigned last = (unsigned)cpu[count - 1];
    const kin_limits limits = {.cpus = &last, .cpu_count = 1};
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .pin_workers = true, .limits = &limits}));
    for (uint64_t i = 0; i < 2; i++) CHECK_EQ(seen_by(pool, i).cpu, (int)last);
    CHECK_OK(kin_pool_free(pool));
}

TEST(what_cannot_be_set_fails_the_open)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    kin_failure failure = {0};
    const kin_resource_limit wrong = {RLIMIT_NOFILE, 2, 1};
    const kin_limits limits[] = {{.resources = &wrong, .resource_count = 1}, {.cgroup = "/nowhere/at/all"}};
    const char *words[] = {"RLIMIT_NOFILE", "/nowhere/at/all"};
    for (int i = 0; i < 2; i++) {
        int rc = kin_pool_open(&pool,
                               &(kin_pool_options){.workers = 2, .limits = &limits[i], .failure = &failure});
        CHECK_LT(rc, 0);
        CHECK(rc != KIN_EINITIALIZER && rc != KIN_EBROKEN);
        CHECK(pool == NULL);
        if (strstr(kin_process_error(), words[i]) == NULL) FAIL("%s", kin_process_error());
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    }
    books_check(&books);
}

TEST(what_is_not_possible_is_told_in_words)
{
    struct books books = books_open();
    kin_pool *pool = NULL;
    const kin_limits limits = {0};
    const struct {
        kin_pool_options options;
        const char *words;
    } wrong[] = {
        {{.workers = 5000}, "workers is 5000, and 1024 is the most"},
        {{.workers = 1, .retries = 100000}, "retries is 100000"},
        {{.workers = 1, .retries_error = 100000}, "retries_error is 100000"},
        {{.workers = 1, .backoff_ns = -1}, "backoff_ns is negative"},
        {{.workers = 1, .interval_ns = -1}, "interval_ns is negative"},
        {{.workers = 1, .silence_ns = -1}, "silence_ns is negative"},
        {{.workers = 1, .kind = (enum kin_pool_kind)7}, "kind is 7"},
        {{.workers = 1, .method = (enum kin_start_method)9}, "method is 9"},
        {{.workers = 1, .name = "a name that is longer than a pool can have, which is 63 bytes, as it says"},
         "name has 73 bytes, and 63 is the most"},
        {{.kind = KIN_POOL_THREADS, .limits = &limits}, "limits is for processes"},
        {{.kind = KIN_POOL_THREADS, .pin_workers = true}, "pin_workers is for processes"},
        {{.kind = KIN_POOL_THREADS, .stderr_tail = true}, "stderr_tail is for processes"},
        {{.kind = KIN_POOL_THREADS, .method = KIN_SPAWN}, "method is for processes"},
        {{.workers = 1, .method = KIN_SPAWN, .limits = &limits}, "limits is for pools whose method is fork"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_RC(kin_pool_open(&pool, &wrong[i].options), -EINVAL);
        CHECK(pool == NULL);
        if (strncmp(kin_process_error(), wrong[i].words, strlen(wrong[i].words)) != 0)
            FAIL("case %zu: %s", i, kin_process_error());
    }
    /* The supervisor's own failures. */
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.workers = 1, .address = "foo"}), KIN_EADDRESS);
    if (strncmp(kin_process_error(), "cannot listen at foo: no address: ", 34) != 0)
        FAIL("%s", kin_process_error());
    CHECK_RC(kin_pool_open(NULL, NULL), -EINVAL);
    CHECK_STR(kin_process_error(), "there is no place for the pool");
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    CHECK_STR(kin_process_error(), "");
    CHECK_OK(kin_pool_free(pool));
    books_check_blocks(&books);
}

/* ---- want of memory ---------------------------------------------------------------------------------------- */

static int note_oom_kill(const int *in, int *out)
{
    FILE *events = fopen("group/memory.events", "we");
    (void)out;
    if (events == NULL) return 1;
    fputs("oom_kill 1\n", events);
    fclose(events);
    return *in != 0 ? raise(SIGKILL) : 0;
}
KIN_MAP(note_oom_kill, int, int)

static void put(const char *path, const char *text)
{
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_TRUNC, 0600);
    CHECK_GE(file, 0);
    CHECK_EQ(write(file, text, strlen(text)), (long)strlen(text));
    close(file);
}

/* A directory that looks like a group: the kernel's counts in it are believed. */
TEST(the_group_of_a_worker_tells_of_want_of_memory)
{
    kin_pool *pool = NULL;
    kin_failure failure = {0};
    int in = 1, out;
    CHECK_OK(mkdir("group", 0700));
    put("group/cgroup.procs", "");
    put("group/memory.events", "oom_kill 0\n");
    const kin_limits limits = {.cgroup = "group"};
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1, .limits = &limits}));
    CHECK_RC(
        kin_pool_apply(pool, KIN_FN(note_oom_kill), &in, sizeof in, &out, sizeof out, kin_in_s(30), &failure),
        KIN_EFAILED);
    CHECK_EQ(failure.cause, KIN_CAUSE_OUT_OF_MEMORY);
    CHECK_EQ(failure.signal, SIGKILL);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    CHECK_EQ(status.deaths_by[KIN_CAUSE_OUT_OF_MEMORY], 1);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(unlink("group/cgroup.procs"));
    CHECK_OK(unlink("group/memory.events"));
    CHECK_OK(rmdir("group"));
}

static int eat(const size_t *size, char *out)
{
    char *memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -ENOMEM;
    for (size_t i = 0; i < *size; i += 4096) memory[i] = 1;
    *out = memory[0];
    munmap(memory, *size);
    return 0;
}
KIN_MAP(eat, size_t, char)

#define MEGABYTE ((size_t)1 << 20)

/* Of twenty tasks one wants more than there is. */
static void one_task_eats_too_much(const kin_limits *limits, bool certain)
{
    kin_pool *pool = NULL;
    kin_result *result[20];
    int rc = kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .limits = limits});
    if (rc < 0 && limits != NULL) SKIP("%s", kin_process_error());
    CHECK_OK(rc);
    for (int i = 0; i < 20; i++) {
        size_t size = i == 7 ? 512 * MEGABYTE : MEGABYTE;
        CHECK_OK(kin_pool_submit(pool, &result[i], KIN_FN(eat), &size, sizeof size, kin_in_s(60), NULL));
    }
    for (int i = 0; i < 20; i++) {
        kin_failure failure;
        char text[200];
        test_context("task %d", i);
        CHECK_OK(kin_result_wait(result[i], kin_in_s(60)));
        if (i != 7 && !certain && kin_result_successful(result[i]) == 0) {
            /* Where all share a group the kernel chooses whom it kills; it is told all the same. */
            CHECK_OK(kin_result_failure(result[i], &failure));
            CHECK_EQ(failure.cause, KIN_CAUSE_OUT_OF_MEMORY);
        } else if (i != 7) {
            CHECK_RC(kin_result_successful(result[i]), 1);
        } else {
            CHECK_OK(kin_result_failure(result[i], &failure));
            kin_failure_text(&failure, text, sizeof text);
            CHECK_EQ(failure.cause, KIN_CAUSE_OUT_OF_MEMORY);
            CHECK(strstr(text, "out of memory") != NULL);
        }
        CHECK_OK(kin_result_close(result[i]));
    }
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(60)));
    CHECK_OK(kin_pool_free(pool));
}

TEST(want_of_memory_in_its_own_group_fails_the_task)
{
    const kin_limits limits = {.memory_max = 64 * MEGABYTE};
    one_task_eats_too_much(&limits, true);
}

static void in_old_group(void *unused)
{
    char directory[PATH_MAX + 64];
    (void)unused;
    if (!old_group_join(directory, 128 << 20)) _exit(77);
    one_task_eats_too_much(NULL, false);
    old_group_leave(directory);
}

TEST(want_of_memory_in_a_group_of_others_fails_the_task)
{
    if (test_sanitized()) SKIP("a sanitizer needs more memory");
    int status = test_collect(test_child(in_old_group, NULL));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) SKIP("no memory group of version 1 can be made here");
    CHECK_EQ(status, 0);
}

/* ---- want of processes -------------------------------------------------------------------------------------- */

#define NOBODY 65534

static int fork_without_end(const int *in, int *out)
{
    (void)in;
    *out = 0;
    pid_t parent = getpid();
    for (int i = 0; i < 1000; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent) _exit(0);
            pause();
            _exit(0);
        }
        if (pid < 0) return -errno;
        ++*out;
    }
    return 0;
}
KIN_MAP(fork_without_end, int, int)

static void bomb(void *unused)
{
    kin_pool *pool = NULL;
    kin_failure failure = {0};
    const kin_resource_limit processes = {RLIMIT_NPROC, 40, 40};
    const kin_limits limits = {.resources = &processes, .resource_count = 1};
    int in = 0, out;
    (void)unused;
    CHECK_OK(setgid(NOBODY));
    CHECK_OK(setuid(NOBODY));
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .limits = &limits}));
    CHECK_RC(kin_pool_apply(pool, KIN_FN(fork_without_end), &in, sizeof in, &out, sizeof out, kin_in_s(30),
                            &failure),
             KIN_EFAILED);
    CHECK_EQ(failure.cause, KIN_CAUSE_RETURNED);
    CHECK_EQ(failure.code, -EAGAIN);
    /* What runs goes on, and ends. */
    CHECK_OK(kin_pool_terminate(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
}

TEST(a_fork_bomb_meets_the_limit_of_its_worker)
{
    if (geteuid() != 0) SKIP("only root can change its user");
    CHECK_EQ(test_collect(test_child(bomb, NULL)), 0);
}
