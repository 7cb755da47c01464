/* test_os_memory.c: the memory calls of os.h: what they promise and how they refuse. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

#define MIB  ((uint64_t)1 << 20)
#define PAGE 4096u

/* An address where nothing is mapped and `size` bytes have room. */
static char *free_place(uint64_t size)
{
    char *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(place != MAP_FAILED);
    CHECK_EQ(munmap(place, size), 0);
    return place;
}

static int64_t blocks_of(int descriptor)
{
    struct stat status;
    CHECK_EQ(fstat(descriptor, &status), 0);
    return status.st_blocks * 512;
}

TEST(a_memory_file_is_sparse_sealed_and_not_inherited)
{
    int descriptor = kin__os_memory_create("test", 64 * MIB);
    CHECK_OK(descriptor);
    CHECK_EQ(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQ(blocks_of(descriptor), 0);
    CHECK_EQ(ftruncate(descriptor, 4096), -1);
    CHECK_EQ(ftruncate(descriptor, 65 * (off_t)MIB), -1);
    uint64_t device, inode, size;
    CHECK_OK(kin__os_file_identity(descriptor, &device, &inode, &size));
    CHECK_EQ(size, 64 * MIB);
    CHECK_OK(kin__os_close(descriptor));
    CHECK_RC(kin__os_file_identity(descriptor, &device, &inode, &size), -EBADF);
}

TEST(memory_is_mapped_exactly_there_or_not_at_all)
{
    int descriptor = kin__os_memory_create("test", 16 * MIB);
    CHECK_OK(descriptor);
    char *memory = free_place(16 * MIB);
    CHECK_OK(kin__os_memory_map(descriptor, memory, 16 * MIB));
    CHECK_RC(kin__os_memory_map(descriptor, memory, 16 * MIB), -EEXIST);
    CHECK_RC(kin__os_memory_map(descriptor, memory + 15 * MIB, 16 * MIB), -EEXIST);
    CHECK_OK(kin__os_memory_unmap(memory, 16 * MIB));
    CHECK_OK(kin__os_memory_map(descriptor, memory, 16 * MIB));
    CHECK_OK(kin__os_memory_unmap(memory, 16 * MIB));
    CHECK_OK(kin__os_close(descriptor));
}

TEST(backed_memory_is_there_and_goes_away_again)
{
    int descriptor = kin__os_memory_create("test", 64 * MIB);
    CHECK_OK(descriptor);
    char *memory = free_place(64 * MIB);
    CHECK_OK(kin__os_memory_map(descriptor, memory, 64 * MIB));
    /* More than one step of the implementation, and not on its boundaries. */
    CHECK_OK(kin__os_memory_back(descriptor, 3 * PAGE, 9 * MIB, memory + 3 * PAGE));
    CHECK_EQ(blocks_of(descriptor), (int64_t)(9 * MIB));
    memory[3 * PAGE] = memory[3 * PAGE + 9 * MIB - 1] = 1;
    kin__os_memory_populate(memory + 3 * PAGE, 9 * MIB);
    CHECK_OK(kin__os_memory_unback(memory + 3 * PAGE, 9 * MIB));
    CHECK_EQ(blocks_of(descriptor), 0);
    CHECK_OK(kin__os_memory_back(descriptor, 3 * PAGE, PAGE, memory + 3 * PAGE));
    CHECK_EQ(memory[3 * PAGE], 0);
    /* Without a descriptor the address serves. */
    CHECK_OK(kin__os_memory_back(-1, 0, 2 * PAGE, memory));
    CHECK_EQ(blocks_of(descriptor), (int64_t)(3 * PAGE));
    CHECK_OK(kin__os_memory_unmap(memory, 64 * MIB));
    CHECK_OK(kin__os_close(descriptor));
}

TEST(backing_that_is_not_to_be_had_is_an_error)
{
    int descriptor = kin__os_memory_create("test", MIB);
    CHECK_OK(descriptor);
    char *nothing = free_place(MIB);
    CHECK_RC(kin__os_memory_back(descriptor, MIB, PAGE, nothing), -EPERM);
    CHECK_RC(kin__os_memory_back(-1, 0, PAGE, nothing), -ENOMEM);
    CHECK_OK(kin__os_close(descriptor));
}

static void count_signal(int signal)
{
    (void)signal;
}

TEST(a_fast_timer_does_not_keep_memory_from_being_backed, .deadline = 120)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct itimerval fast = {{0, 200}, {0, 200}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    int descriptor = kin__os_memory_create("test", 256 * MIB);
    CHECK_OK(descriptor);
    setitimer(ITIMER_REAL, &fast, NULL);
    int rc = kin__os_memory_back(descriptor, 0, 256 * MIB, NULL);
    setitimer(ITIMER_REAL, &off, NULL);
    CHECK_OK(rc);
    CHECK_EQ(blocks_of(descriptor), (int64_t)(256 * MIB));
    CHECK_OK(kin__os_close(descriptor));
}

/* ---- limits, in a child because they cannot be taken back ---------------------------------------- */

static void under_file_size(void *unused)
{
    (void)unused;
    CHECK_EQ(kin__os_limit_file_size(), UINT64_MAX);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &(struct rlimit){MIB, RLIM_INFINITY}), 0);
    CHECK_EQ(kin__os_limit_file_size(), MIB);
    /* SIGXFSZ has its default action, which ends the process. */
    CHECK_RC(kin__os_memory_create("test", 2 * MIB), -EFBIG);
    sigset_t waiting;
    sigpending(&waiting);
    CHECK_EQ(sigismember(&waiting, SIGXFSZ), 0);
    CHECK_OK(kin__os_close(kin__os_memory_create("test", MIB)));
}

TEST(a_file_size_limit_is_an_error_and_no_signal)
{
    CHECK_EQ(test_collect(test_child(under_file_size, NULL)), 0);
}

static void file_size_signal_of_the_program(void *unused)
{
    (void)unused;
    sigset_t set, waiting;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGXFSZ);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &(struct rlimit){MIB, RLIM_INFINITY}), 0);
    CHECK_RC(kin__os_memory_create("test", 2 * MIB), -EFBIG);
    sigpending(&waiting);
    CHECK_EQ(sigismember(&waiting, SIGXFSZ), 1);
    sigprocmask(SIG_BLOCK, NULL, &waiting);
    CHECK_EQ(sigismember(&waiting, SIGXFSZ), 1);
}

TEST(a_file_size_signal_of_the_programs_own_stays)
{
    CHECK_EQ(test_collect(test_child(file_size_signal_of_the_program, NULL)), 0);
}

static void under_address_space(void *unused)
{
    (void)unused;
    int descriptor = kin__os_memory_create("test", 1024 * MIB);
    CHECK_OK(descriptor);
    char *memory = free_place(128 * MIB);
    /* The program's own mappings, and the family's, count. */
    uint64_t before = 0;
    CHECK_EQ(setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)1 << 46, RLIM_INFINITY}), 0);
    before = kin__os_limit_address_space();
    CHECK_LT(before, (uint64_t)1 << 46);
    CHECK_EQ(setrlimit(RLIMIT_AS, &(struct rlimit){((rlim_t)1 << 46) - before + 64 * MIB, RLIM_INFINITY}), 0);
    CHECK_LE(kin__os_limit_address_space(), 64 * MIB);
    CHECK_RC(kin__os_memory_map(descriptor, memory, 128 * MIB), -ENOMEM);
    CHECK_OK(kin__os_memory_map(descriptor, memory, 16 * MIB));
}

TEST(an_address_space_limit_is_an_error)
{
    if (test_sanitized()) SKIP("the sanitizers' own mappings are beyond any limit");
    CHECK_EQ(kin__os_limit_address_space(), UINT64_MAX);
    CHECK_EQ(test_collect(test_child(under_address_space, NULL)), 0);
}

static void under_descriptor_limit(void *unused)
{
    (void)unused;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, 0}), 0);
    uint8_t id[16];
    CHECK_RC(kin__os_memory_create("test", MIB), -EMFILE);
    CHECK_RC(kin__os_event_make(), -EMFILE);
    CHECK_RC(kin__os_lifeline_make(), -EMFILE);
    CHECK_RC(kin__os_process_open(getpid()), -EMFILE);
    CHECK_RC(kin__os_boot_id(id), -EMFILE);
}

TEST(a_descriptor_limit_is_an_error)
{
    CHECK_EQ(test_collect(test_child(under_descriptor_limit, NULL)), 0);
}
