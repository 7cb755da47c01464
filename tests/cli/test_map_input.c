/* test_map_input.c: where inputs come from, and how they are read. */
#define _GNU_SOURCE
#include "cli/tool.h"

#include <poll.h>

TEST(lines_and_records)
{
    CHECK_STR(MAP("a\n\nb", "-k", "echo", "<{}>").out, "<a>\n<>\n<b>\n");
    CHECK_STR(MAP("a\n \t\n\nb\n", "-k", "-r", "echo", "<{}>").out, "<a>\n<b>\n");
    CHECK_STR(MAP_BYTES("a\nb\0c\0", "-k", "-0", "echo", "<{}>").out, "<a\nb>\n<c>\n");
    CHECK_STR(MAP("a,b,c", "-k", "-d,", "echo", "<{}>").out, "<a>\n<b>\n<c>\n");
    CHECK_STR(MAP("a\tb\t", "-k", "-d", "\\t", "echo", "<{}>").out, "<a>\n<b>\n");
    CHECK_STR(MAP("", "echo").out, "");
}

TEST(files)
{
    tool_write_file("list", "1\n2\n");
    CHECK_STR(MAP("no\n", "-k", "-a", "list", "echo").out, "1\n2\n");
    CHECK_STR(MAP("no\n", "-k", "echo", "::::", "list").out, "1\n2\n");
    CHECK_STR(MAP("x\ny\n", "-k", "echo", "::::", "list", "-").out, "1 x\n1 y\n2 x\n2 y\n");
    CHECK_STR(MAP("x\n", "-k", "-a", "-", "echo").out, "x\n");
    CHECK_EQ(unlink("list"), 0);
}

TEST(input_that_cannot_be_read)
{
    struct ran ran = MAP("", "-a", "nowhere", "echo");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot open nowhere: no such file or directory\n");
    ran = MAP("", "-a", "/", "echo");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot open /: is a directory\n");
    int directory = open("/", O_RDONLY | O_CLOEXEC);
    ran = tool_wait(START(directory, "echo"));
    close(directory);
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot open standard input: is a directory\n");
}

TEST(what_was_read_before_an_error_is_done)
{
    struct ran ran = MAP_BYTES("a\nb\0c\nd\n", "-k", "echo");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.out, "a\n");
    CHECK(strstr(ran.err, "record 2 contains a NUL") != NULL);
}

TEST(a_record_without_end_is_refused)
{
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    struct ran ran = tool_wait(START(zero, "echo"));
    close(zero);
    CHECK_EQ(ran.code, 255);
    CHECK(strstr(ran.err, "longer than 1048576 bytes") != NULL);
}

TEST(an_argument_too_long_for_the_system_fails_alone)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer makes a fork of vfork, whose child cannot tell why exec failed");
#endif
    size_t size = 200000;
    char *line = malloc(size + 5);
    CHECK(line != NULL);
    memset(line, 'x', size);
    memcpy(line + size, "\nab\n", 5);
    struct ran ran = MAP(line, "-k", "echo");
    free(line);
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.out, "ab\n");
    CHECK(strstr(ran.err, "argument list too long") != NULL);
}

static void wait_for_size(int descriptor, off_t size)
{
    struct stat status;
    test_until(fstat(descriptor, &status) == 0 && status.st_size >= size);
}

/* Input is read as it is needed: a job runs, and is printed, before its writer writes the next. */
TEST(input_that_comes_slowly_is_not_waited_for)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    struct running running = START(ends[0], "-k", "echo");
    close(ends[0]);
    CHECK_EQ(write(ends[1], "a\nb", 3), 3);
    wait_for_size(running.out, 2);
    CHECK_STR(tool_read(running.out, NULL), "a\n");
    CHECK_EQ(write(ends[1], "c\n", 2), 2);
    wait_for_size(running.out, 5);
    close(ends[1]);
    struct ran ran = tool_wait(running);
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "a\nbc\n");
}

static long memory_of(pid_t pid)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%*s %ld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* 64 MB of endless input pass through; --dry-run makes it quick. */
TEST(endless_input_takes_bounded_memory, .deadline = 120)
{
    int ends[2];
    int sink[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(sink, O_CLOEXEC), 0);
    pid_t tool = fork();
    CHECK_GE(tool, 0);
    if (tool == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[0], 0);
        dup2(sink[1], 1);
        execl(tool_path("KIN_TOOL", "/bin/kin"), "kin", "map", "--dry-run", "echo", NULL);
        _exit(99);
    }
    close(ends[0]);
    close(sink[1]);
    static char lines[65536];
    static char drained[65536];
    memset(lines, 'x', sizeof lines);
    for (size_t i = 99; i < sizeof lines; i += 100) lines[i] = '\n';
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    fcntl(sink[0], F_SETFL, O_NONBLOCK);
    long most = 0;
    for (size_t written = 0; written < (test_sanitized() ? 4u << 20 : 64u << 20);) {
        struct pollfd items[2] = {{.fd = ends[1], .events = POLLOUT}, {.fd = sink[0], .events = POLLIN}};
        CHECK_GT(poll(items, 2, -1), 0);
        ssize_t n = write(ends[1], lines, sizeof lines);
        if (n > 0) written += (size_t)n;
        while (read(sink[0], drained, sizeof drained) > 0) continue;
        if (memory_of(tool) > most) most = memory_of(tool);
    }
    close(ends[1]);
    fcntl(sink[0], F_SETFL, 0);
    while (read(sink[0], drained, sizeof drained) > 0) continue;
    close(sink[0]);
    CHECK_EQ(test_collect(tool), 0);
    NOTE("%ld KiB at most", most / 1024);
    if (!test_sanitized()) CHECK_LT(most, 32 << 20);
}
