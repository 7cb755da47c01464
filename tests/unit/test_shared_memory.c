/* test_shared_memory.c: named blocks of memory: who finds them, and that nothing is left of them. */
#define _GNU_SOURCE
#include "support/chaos.h"
#include "support/faults.h"
#include "support/litter.h"
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/shared_memory.h>

/* What the processes of a case tell each other, and a name that no other case has. */
struct shared {
    char name[64], path[80];
    _Atomic int stage;
    _Atomic int rc;
    _Atomic pid_t pid;
};

static struct shared *shared_open(void)
{
    struct shared *shared = test_shared(sizeof *shared);
    snprintf(shared->name, sizeof shared->name, "kin-test-%d", getpid());
    snprintf(shared->path, sizeof shared->path, "/dev/shm/%s", shared->name);
    return shared;
}

static bool exists(const struct shared *shared)
{
    return access(shared->path, F_OK) == 0;
}

/* The guard may be the one that removes it. */
static void gone(const struct shared *shared)
{
    test_until(!exists(shared));
}

static kin_shared_memory *create(const struct shared *shared, size_t size)
{
    kin_shared_memory *block = NULL;
    CHECK_RC(kin_shared_memory_create(&block, shared->name, size, NULL), 0);
    return block;
}

/* ---- one process ----------------------------------------------------------------------------------- */

TEST_COLD(a_block_is_created_and_gone_when_it_is_closed)
{
    struct shared *shared = shared_open();
    struct stat status;
    kin_shared_memory *block = create(shared, 5000);
    static const char zeros[5000];
    CHECK_EQ(kin_shared_memory_size(block), 5000);
    CHECK_STR(kin_shared_memory_name(block), shared->name);
    CHECK_MEM(kin_shared_memory_data(block), zeros, 5000);
    CHECK_EQ(stat(shared->path, &status), 0);
    CHECK_EQ(status.st_size, 5000);
    CHECK_EQ(status.st_mode & 0777, 0600);
    /* There is memory behind all of it. */
    CHECK_GE(status.st_blocks * 512, 5000);
    CHECK_RC(kin_shared_memory_close(block), 0);
    gone(shared);
}

TEST_COLD(names_are_taken_found_and_refused)
{
    struct shared *shared = shared_open();
    char slashed[80], longest[300];
    kin_shared_memory *block = create(shared, 100), *other = NULL;
    CHECK_RC(kin_shared_memory_create(&other, shared->name, 100, NULL), -EEXIST);
    CHECK_RC(kin_shared_memory_create(&other, shared->name, 100, &(kin_shared_memory_options){.keep = true}),
             -EEXIST);
    snprintf(slashed, sizeof slashed, "/%s", shared->name);
    CHECK_RC(kin_shared_memory_attach(&other, slashed), 0);
    CHECK_STR(kin_shared_memory_name(other), shared->name);
    strcpy(kin_shared_memory_data(block), "hello");
    CHECK_STR((char *)kin_shared_memory_data(other), "hello");
    CHECK_RC(kin_shared_memory_close(block), 0);
    CHECK(exists(shared));
    CHECK_RC(kin_shared_memory_close(other), 0);
    gone(shared);
    other = NULL;
    memset(longest, 'x', sizeof longest);
    longest[255] = '\0';
    const char *wrong[] = {"", "/", "a/b", "..", ".hidden"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_RC(kin_shared_memory_create(&other, wrong[i], 1, NULL), -EINVAL);
        CHECK_RC(kin_shared_memory_attach(&other, wrong[i]), -EINVAL);
    }
    CHECK_RC(kin_shared_memory_create(&other, longest, 1, NULL), -ENAMETOOLONG);
    CHECK_RC(kin_shared_memory_attach(&other, NULL), -EINVAL);
    CHECK_RC(kin_shared_memory_attach(NULL, "x"), -EINVAL);
    CHECK_RC(kin_shared_memory_create(NULL, "x", 1, NULL), -EINVAL);
    CHECK_RC(kin_shared_memory_create(&other, shared->name, 0, NULL), -EINVAL);
    CHECK_RC(kin_shared_memory_attach(&other, shared->name), -ENOENT);
    CHECK_RC(kin_shared_memory_close(NULL), 0);
    CHECK_RC(kin_shared_memory_unlink(NULL), -EINVAL);
    CHECK(kin_shared_memory_data(NULL) == NULL && kin_shared_memory_size(NULL) == 0);
    CHECK(other == NULL);
}

TEST_COLD(what_is_too_large_is_an_error_and_no_signal)
{
    struct shared *shared = shared_open();
    kin_shared_memory *block = NULL;
    CHECK_RC(kin_shared_memory_create(&block, shared->name, (size_t)1 << 60, NULL), -ENOSPC);
    CHECK_RC(kin_shared_memory_create(&block, shared->name, SIZE_MAX, NULL), -EFBIG);
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_RC(kin_shared_memory_create(&block, shared->name, 2 << 20, NULL), -EFBIG);
    CHECK(!exists(shared));
}

TEST_COLD(blocks_without_a_name_get_one_each)
{
    kin_shared_memory *block[20];
    for (int i = 0; i < 20; i++) {
        CHECK_RC(kin_shared_memory_create(&block[i], NULL, 64, NULL), 0);
        CHECK_EQ(strncmp(kin_shared_memory_name(block[i]), "psm_", 4), 0);
        for (int n = 0; n < i; n++)
            CHECK(strcmp(kin_shared_memory_name(block[i]), kin_shared_memory_name(block[n])) != 0);
    }
    for (int i = 0; i < 20; i++) CHECK_RC(kin_shared_memory_close(block[i]), 0);
}

TEST_COLD(unlinking_takes_the_name_and_nothing_else)
{
    struct shared *shared = shared_open();
    kin_shared_memory *first = create(shared, 100), *second = NULL;
    CHECK_RC(kin_shared_memory_unlink(first), 0);
    CHECK_RC(kin_shared_memory_unlink(first), -ENOENT);
    CHECK_RC(kin_shared_memory_attach(&second, shared->name), -ENOENT);
    second = create(shared, 200);
    CHECK_RC(kin_shared_memory_unlink(first), -ENOENT);
    strcpy(kin_shared_memory_data(first), "still mine");
    /* That of the first one is no business of the second one's. */
    CHECK_RC(kin_shared_memory_close(first), 0);
    CHECK(exists(shared));
    CHECK_RC(kin_shared_memory_close(second), 0);
    gone(shared);
}

TEST_COLD(one_that_is_kept_stays_until_it_is_unlinked)
{
    struct shared *shared = shared_open();
    kin_shared_memory *block = NULL;
    CHECK_RC(kin_shared_memory_create(&block, shared->name, 10, &(kin_shared_memory_options){.keep = true}),
             0);
    strcpy(kin_shared_memory_data(block), "kept");
    CHECK_RC(kin_shared_memory_close(block), 0);
    CHECK_RC(kin_shared_memory_attach(&block, shared->name), 0);
    CHECK_STR((char *)kin_shared_memory_data(block), "kept");
    CHECK_RC(kin_shared_memory_unlink(block), 0);
    CHECK_RC(kin_shared_memory_close(block), 0);
    CHECK(!exists(shared));
}

/* ---- several processes -------------------------------------------------------------------------------- */

static void hold(void *argument)
{
    struct shared *shared = argument;
    kin_shared_memory *block = NULL;
    int rc = kin_shared_memory_attach(&block, shared->name);
    CHECK_RC(rc, 0);
    shared->stage++;
    for (;;) pause();
}

static void create_and_hold(void *argument)
{
    struct shared *shared = argument;
    kin_shared_memory *block = create(shared, 4096);
    strcpy(kin_shared_memory_data(block), "by the creator");
    shared->stage++;
    for (;;) pause();
}

TEST_COLD(a_living_user_keeps_it_and_the_last_death_removes_it)
{
    struct shared *shared = shared_open();
    kin_shared_memory *block = NULL;
    pid_t creator = test_child(create_and_hold, shared);
    test_until(shared->stage == 1);
    pid_t user = test_child(hold, shared);
    test_until(shared->stage == 2);
    test_kill(creator);
    CHECK_RC(kin_shared_memory_attach(&block, shared->name), 0);
    CHECK_STR((char *)kin_shared_memory_data(block), "by the creator");
    CHECK_RC(kin_shared_memory_close(block), 0);
    CHECK(exists(shared));
    test_kill(user);
    gone(shared);
    CHECK_RC(kin_shared_memory_attach(&block, shared->name), -ENOENT);
}

static void only_hold(void *argument)
{
    struct shared *shared = argument;
    shared->stage++;
    for (;;) pause();
}

TEST_COLD(a_forked_child_uses_what_its_parent_has_open)
{
    struct shared *shared = shared_open();
    kin_shared_memory *block = create(shared, 100);
    pid_t child = test_child(only_hold, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_shared_memory_close(block), 0);
    CHECK_RC(kin_shared_memory_attach(&block, shared->name), 0);
    CHECK_RC(kin_shared_memory_close(block), 0);
    CHECK(exists(shared));
    test_kill(child);
    gone(shared);
}

/* Each case has a /dev/shm of its own: inodes of several are alike. */
static bool has_open(const char *pid, const struct stat *wanted)
{
    char path[400];
    struct stat status;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *directory = opendir(path);
    if (directory == NULL) return false;
    for (struct dirent *entry; !found && (entry = readdir(directory)) != NULL;)
        found = fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 &&
                status.st_ino == wanted->st_ino && status.st_dev == wanted->st_dev;
    closedir(directory);
    return found;
}

/* The guard of the file, 0 if there is none. */
static pid_t find_guard(const struct stat *wanted)
{
    pid_t guard = 0;
    DIR *directory = opendir("/proc");
    CHECK(directory != NULL);
    for (struct dirent *entry; guard == 0 && (entry = readdir(directory)) != NULL;) {
        char path[300], name[16] = "";
        snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
        FILE *file = atoi(entry->d_name) > 0 ? fopen(path, "r") : NULL;
        if (file == NULL) continue;
        if (fgets(name, sizeof name, file) != NULL && strcmp(name, "kin-guard\n") == 0 &&
            has_open(entry->d_name, wanted))
            guard = atoi(entry->d_name);
        fclose(file);
    }
    closedir(directory);
    return guard;
}

TEST_COLD(what_a_killed_guard_leaves_is_swept_by_the_next_one)
{
    struct shared *shared = shared_open();
    pid_t creator = test_child(create_and_hold, shared);
    test_until(shared->stage == 1);
    struct stat file;
    CHECK_EQ(stat(shared->path, &file), 0);
    pid_t guard = find_guard(&file);
    CHECK_GT(guard, 0);
    CHECK_EQ(kill(guard, SIGKILL), 0);
    test_until(find_guard(&file) == 0);
    test_kill(creator);
    CHECK(exists(shared));
    kin_shared_memory *block = NULL;
    CHECK_RC(kin_shared_memory_create(&block, NULL, 10, NULL), 0);
    CHECK(!exists(shared));
    CHECK_RC(kin_shared_memory_close(block), 0);
}

static void create_with_pipe(void *argument)
{
    struct shared *shared = argument;
    CHECK_OK(kin_family_open(NULL));
    create(shared, 4096);
    shared->stage++;
    for (;;) pause();
}

static long resident_of(pid_t pid)
{
    char path[64], line[200];
    long resident = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) sscanf(line, "VmRSS: %ld", &resident);
    fclose(file);
    return resident;
}

static bool maps(pid_t pid, const char *what)
{
    char path[64], line[400];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) found = found || strstr(line, what) != NULL;
    fclose(file);
    return found;
}

TEST_COLD(the_guard_holds_nothing_of_its_maker)
{
    struct shared *shared = shared_open();
    size_t size = (size_t)64 << 20;
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, size);
    pid_t maker = test_child(create_with_pipe, shared);
    close(ends[1]);
    test_until(shared->stage == 1);
    struct stat file;
    CHECK_EQ(stat(shared->path, &file), 0);
    pid_t guard = find_guard(&file);
    CHECK_GT(guard, 0);
    /* It begins with all of its maker's memory. */
    if (!test_sanitized()) test_until(resident_of(guard) < 16 << 10);
    NOTE("the guard has %ld KiB", resident_of(guard));
    if (!test_sanitized()) test_until(!maps(guard, "memfd:kin"));
    /* The maker alone holds the pipe's other end: with its death comes the end of the file. */
    kin_shared_memory *block = NULL;
    CHECK_RC(kin_shared_memory_attach(&block, shared->name), 0);
    test_kill(maker);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    CHECK_RC(kin_shared_memory_close(block), 0);
    gone(shared);
    close(ends[0]);
    munmap(memory, size);
}

/* ---- kills and faults -------------------------------------------------------------------------------------- */

static void come_and_go(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    while (!chaos_stopping()) {
        kin_shared_memory *block = NULL;
        int rc = kin_shared_memory_create(&block, shared->name, 4096, NULL);
        if (rc == -EEXIST) rc = kin_shared_memory_attach(&block, shared->name);
        CHECK(rc == 0 || rc == -ENOENT);
        if (rc == 0) {
            ((volatile char *)kin_shared_memory_data(block))[4095]++;
            CHECK_RC(kin_shared_memory_close(block), 0);
        }
        chaos_progress();
    }
}

TEST(killed_at_random, .cold = true, .alone = true, .deadline = 120)
{
    struct shared *shared = shared_open();
    struct chaos_report report = chaos(&(struct chaos){.roles = {{"user", 3, come_and_go}},
                                                       .kills = 1000,
                                                       .seconds = 4,
                                                       .delay_us = test_sanitized() ? 40000 : 3000,
                                                       .context = shared});
    CHECK_GT(report.progress, 0);
    gone(shared);
}

static int make(void *context)
{
    char name[64];
    snprintf(name, sizeof name, "kin-fault-%d", getpid());
    return kin_shared_memory_create(context, name, 4096, NULL);
}

static int unmake(void *context)
{
    int rc = kin_shared_memory_close(*(kin_shared_memory **)context);
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/kin-fault-%d", getpid());
    test_until(access(path, F_OK) < 0);
    return rc;
}

TEST_COLD(create_under_faults)
{
    kin_shared_memory *block = NULL;
    struct faults_report report = faults(&(struct faults){.make = make, .unmake = unmake, .context = &block});
    CHECK_GT(report.failures, 3);
}
