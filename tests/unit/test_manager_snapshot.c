/* test_manager_snapshot.c: a manager's objects in a file: they are there after its end and after its death, and a
 * file that is not whole is refused.
 */
#define _GNU_SOURCE
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/log.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/process.h>

#include "os/openssl.h"
#include "os/os.h"

#define SOON kin_in_s(20)

static const kin_manager_type types[] = {
    {.name = "jobs", .shared = "TaskQueue"},  {.name = "board", .shared = "dict"},
    {.name = "names", .shared = "Namespace"}, {.name = "numbers", .shared = "list"},
    {.name = "seats", .shared = "Semaphore"}, {.name = "done", .shared = "Event"},
    {.name = "door", .shared = "Lock"},       {.name = "tags", .shared = "set"},
    {.name = "turn", .shared = "Condition"},  {.name = "counter", .shared = "list"},
};

static const char *file(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/snapshot", test_directory());
    return path;
}

static int start(kin_manager **manager)
{
    return kin_manager_start(manager,
                             &(kin_manager_options){.types = types, .type_count = 10, .snapshot = file()});
}

static void call(kin_manager *manager, const char *name, const char *method, kin_value arguments)
{
    kin_proxy *proxy = manager_object(manager, name, SOON);
    CHECK_OK(kin_proxy_call(proxy, method, arguments, NULL, SOON));
    CHECK_OK(kin_proxy_close(proxy));
}

static void check(kin_manager *manager, const char *name, const char *method, kin_value arguments,
                  const char *repr)
{
    char text[256];
    kin_value result;
    kin_proxy *proxy = manager_object(manager, name, SOON);
    test_context("%s.%s", name, method);
    CHECK_OK(kin_proxy_call(proxy, method, arguments, &result, SOON));
    kin_value_repr(&result, text, sizeof text);
    CHECK_STR(text, repr);
    kin_value_clear(&result);
    CHECK_OK(kin_proxy_close(proxy));
    test_context(NULL);
}

static void fill(kin_manager *manager)
{
    kin_proxy *jobs = manager_object(manager, "jobs", SOON), *inner = NULL;
    kin_value item;
    for (int i = 0; i < 4; i++) CHECK_OK(kin_proxy_put(jobs, kin_value_int(i), SOON));
    /* One is done, one is in somebody's hands. */
    CHECK_OK(kin_proxy_get(jobs, &item, SOON));
    CHECK_OK(kin_proxy_call(jobs, "task_done", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_get(jobs, &item, SOON));
    CHECK_OK(kin_manager_create(manager, &inner, "list", kin_value_build("([is])", 5, "deep"), SOON));
    call(manager, "board", "__setitem__", kin_value_build("(sv)", "inner", kin_proxy_value(inner)));
    call(manager, "board", "__setitem__", kin_value_build("(sv)", "big", kin_value_bytes(file, 200)));
    CHECK_OK(kin_proxy_close(inner));
    CHECK_OK(kin_proxy_close(jobs));
    call(manager, "names", "__setattr__", kin_value_build("(si)", "x", 1));
    call(manager, "numbers", "extend", kin_value_build("([iii])", 3, 1, 2));
    call(manager, "seats", "release", kin_value_none());
    call(manager, "done", "set", kin_value_none());
    call(manager, "door", "acquire", kin_value_none());
    call(manager, "tags", "add", kin_value_build("(s)", "red"));
    call(manager, "turn", "acquire", kin_value_none());
}

/* What the last start was refused by names the file at its end. */
static void check_words(const char *words)
{
    char expected[4400];
    snprintf(expected, sizeof expected, "%s%s", words, file());
    CHECK_STR(kin_process_error(), expected);
}

static size_t read_file(char *bytes, size_t size)
{
    FILE *opened = fopen(file(), "r");
    CHECK(opened != NULL);
    size_t got = fread(bytes, 1, size, opened);
    fclose(opened);
    return got;
}

TEST(objects_are_there_after_the_end)
{
    kin_manager *manager = NULL;
    kin_value item;
    kin_proxy *board, *inner = NULL;
    int64_t number = 0;
    CHECK_OK(start(&manager));
    fill(manager);
    CHECK_OK(kin_manager_close(manager));
    /* Twice: what was read is written again. */
    for (int i = 0; i < 2; i++) {
        CHECK_OK(start(&manager));
        check(manager, "jobs", "qsize", kin_value_none(), "3");
        check(manager, "numbers", "copy", kin_value_none(), "[3, 1, 2]");
        check(manager, "names", "__getattribute__", kin_value_build("(s)", "x"), "1");
        check(manager, "done", "is_set", kin_value_none(), "True");
        check(manager, "tags", "copy", kin_value_none(), "{'red'}");
        check(manager, "door", "locked", kin_value_none(), "False");
        board = manager_object(manager, "board", SOON);
        CHECK_OK(kin_proxy_call(board, "__getitem__", kin_value_build("(s)", "inner"), &item, SOON));
        CHECK_OK(kin_manager_proxy(manager, &inner, &item, SOON));
        kin_value_clear(&item);
        CHECK_OK(kin_proxy_call(inner, "__getitem__", kin_value_build("(i)", 0), &item, SOON));
        CHECK_OK(kin_value_get_int(&item, &number));
        CHECK_EQ(number, 5);
        CHECK_OK(kin_proxy_close(inner));
        CHECK_OK(kin_proxy_close(board));
        CHECK_OK(kin_manager_close(manager));
    }
    CHECK_OK(start(&manager));
    for (int i = 0; i < 2; i++) check(manager, "seats", "acquire", kin_value_build("(b)", 0), "True");
    check(manager, "turn", "acquire", kin_value_build("(b)", 0), "True");
    check(manager, "turn", "notify", kin_value_none(), "None");
    check(manager, "jobs", "get", kin_value_none(), "1");
    check(manager, "jobs", "get", kin_value_none(), "2");
    check(manager, "jobs", "get", kin_value_none(), "3");
    for (int i = 0; i < 3; i++) call(manager, "jobs", "task_done", kin_value_none());
    CHECK_OK(kin_manager_close(manager));
    unlink(file());
}

/* What is not listed this time would be gone with the next writing. */
TEST(a_name_that_is_not_served_is_not_lost)
{
    kin_manager *manager = NULL;
    CHECK_OK(start(&manager));
    fill(manager);
    CHECK_OK(kin_manager_close(manager));
    CHECK_RC(kin_manager_start(
                 &manager, &(kin_manager_options){.types = types + 1, .type_count = 9, .snapshot = file()}),
             KIN_ESNAPSHOT);
    check_words("jobs, a TaskQueue in the snapshot, is not served, and would be lost: ");
    CHECK_OK(start(&manager));
    check(manager, "jobs", "qsize", kin_value_none(), "3");
    CHECK_OK(kin_manager_close(manager));
    unlink(file());
}

/* … as would be what a name of another type cannot hold, or holds in another way. */
TEST(a_name_that_is_served_as_another_type_is_not_lost)
{
    static const struct {
        size_t place;
        const char *type, *words;
    } others[] = {
        {0, "Queue", "jobs, a TaskQueue in the snapshot, is served as Queue, and would be lost: "},
        {1, "list", "board, a dict in the snapshot, is served as list, and would be lost: "},
        {3, "set", "numbers, a list in the snapshot, is served as set, and would be lost: "},
        {6, "RLock", "door, a Lock in the snapshot, is served as RLock, and would be lost: "},
    };
    static char before[65536], after[65536];
    kin_manager *manager = NULL;
    CHECK_OK(start(&manager));
    fill(manager);
    CHECK_OK(kin_manager_close(manager));
    size_t size = read_file(before, sizeof before);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        kin_manager_type changed[10];
        memcpy(changed, types, sizeof changed);
        changed[others[i].place].shared = others[i].type;
        const kin_manager_options options = {.types = changed, .type_count = 10, .snapshot = file()};
        test_context("%s", others[i].type);
        CHECK_RC(kin_manager_start(&manager, &options), KIN_ESNAPSHOT);
        check_words(others[i].words);
        CHECK_EQ(read_file(after, sizeof after), size);
        CHECK_MEM(after, before, size);
    }
    test_context(NULL);
    CHECK_OK(start(&manager));
    check(manager, "jobs", "qsize", kin_value_none(), "3");
    check(manager, "board", "__len__", kin_value_none(), "2");
    CHECK_OK(kin_manager_close(manager));
    unlink(file());
}

/* ---- files that are not whole -------------------------------------------------------------------- */

static void write_file(const char *bytes, size_t size)
{
    FILE *stream = fopen(file(), "w");
    CHECK(stream != NULL);
    CHECK_EQ(fwrite(bytes, 1, size, stream), size);
    fclose(stream);
}

TEST(a_file_that_is_not_whole_is_refused)
{
    static char whole[65536], changed[65536];
    kin_manager *manager = NULL;
    CHECK_OK(start(&manager));
    fill(manager);
    CHECK_OK(kin_manager_close(manager));
    size_t size = read_file(whole, sizeof whole);
    CHECK_LT(size, sizeof whole);
    for (size_t length = 0; length < size; length++) {
        write_file(whole, length);
        test_context("%zu of %zu bytes", length, size);
        CHECK_RC(start(&manager), KIN_ESNAPSHOT);
        check_words("the snapshot is not whole, or is none: ");
    }
    for (size_t at = 0; at < size; at++) {
        memcpy(changed, whole, size);
        changed[at] ^= 1;
        write_file(changed, size);
        test_context("byte %zu of %zu", at, size);
        CHECK_RC(start(&manager), KIN_ESNAPSHOT);
    }
    test_context(NULL);
    write_file(whole, size);
    CHECK_OK(start(&manager));
    check(manager, "jobs", "qsize", kin_value_none(), "3");
    CHECK_OK(kin_manager_close(manager));
    unlink(file());
    CHECK_OK(mkdir(file(), 0700));
    CHECK_RC(start(&manager), -EINVAL);
    CHECK_OK(rmdir(file()));
}

/* … nor one that is whole, of a manager whose objects were named in another way. */
TEST(names_that_are_none_are_refused)
{
    static const char digest_key[] = "kin manager snapshot 1";
    static char bytes[65536];
    enum { DIGEST = 32, TRAILER = 16 + DIGEST };
    uint8_t digest[KIN__HMAC_MOST];
    char ident[64];
    kin_manager *manager = NULL;
    CHECK_OK(start(&manager));
    kin_proxy *numbers = manager_object(manager, "numbers", SOON);
    kin_value value = kin_proxy_value(numbers);
    snprintf(ident, sizeof ident, "%s", kin_value_token_id(&value));
    kin_value_clear(&value);
    CHECK_OK(kin_proxy_close(numbers));
    CHECK_OK(kin_manager_close(manager));
    size_t size = read_file(bytes, sizeof bytes), found = 0;
    CHECK_GT(size, TRAILER);
    for (char *at; (at = memmem(bytes, size, ident, strlen(ident))) != NULL; found++) *at = '_';
    CHECK_GT(found, 0);
    CHECK_OK(kin__os_hmac(KIN__SHA256, digest_key, strlen(digest_key), bytes, size - TRAILER, digest));
    memcpy(bytes + size - DIGEST, digest, DIGEST);
    write_file(bytes, size);
    CHECK_RC(start(&manager), KIN_ESNAPSHOT);
    check_words("the snapshot is of another version of kin: ");
    unlink(file());
}

TEST(a_value_of_any_depth_comes_back)
{
    kin_manager *manager = NULL;
    kin_value deep = kin_value_int(7);
    CHECK_OK(start(&manager));
    /* As deep as a request may be. */
    for (int i = 0; i < 197; i++) deep = kin_value_list(&deep, 1);
    call(manager, "numbers", "append", kin_value_build("(v)", deep));
    CHECK_OK(kin_manager_close(manager));
    CHECK_OK(start(&manager));
    check(manager, "numbers", "__len__", kin_value_none(), "1");
    CHECK_OK(kin_manager_close(manager));
    unlink(file());
}

/* ---- whose a file is -------------------------------------------------------------------------------- */

static char *logged; /* shared with the server */

static void note_line(enum kin_log_level level, const char *line, void *unused)
{
    (void)level;
    (void)unused;
    snprintf(logged, 512, "%s", line);
}

TEST(a_second_server_of_a_snapshot_is_refused)
{
    kin_manager *first = NULL, *second = NULL;
    char lock[4200];
    CHECK_OK(start(&first));
    call(first, "numbers", "append", kin_value_build("(i)", 1));
    CHECK_RC(start(&second), -EBUSY);
    check_words("the snapshot is that of another manager, which runs: ");
    check(first, "numbers", "__len__", kin_value_none(), "1");
    CHECK_OK(kin_manager_close(first));
    CHECK_OK(start(&second));
    check(second, "numbers", "__len__", kin_value_none(), "1");
    CHECK_OK(kin_manager_close(second));
    snprintf(lock, sizeof lock, "%s.lock", file());
    CHECK_EQ(access(lock, F_OK), -1);
    unlink(file());
}

/* ---- a disk that is full ------------------------------------------------------------------------------ */

static void fill_disk(void *unused)
{
    (void)unused;
    static char large[256 * 1024];
    char disk[4096], path[4200];
    kin_manager *manager = NULL;
    snprintf(disk, sizeof disk, "%s/disk", test_directory());
    snprintf(path, sizeof path, "%s/snapshot", disk);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", disk, "tmpfs", 0, "size=64k") != 0)
        _exit(77);
    kin_log_set(note_line, KIN_LOG_WARNING, NULL);
    const kin_manager_options options = {
        .types = types, .type_count = 10, .snapshot = path, .snapshot_ns = 1000000};
    CHECK_OK(kin_manager_start(&manager, &options));
    call(manager, "numbers", "append", kin_value_build("(i)", 1));
    test_until(access(path, F_OK) == 0);
    call(manager, "numbers", "append", kin_value_build("(v)", kin_value_bytes(large, sizeof large)));
    test_until(strstr(logged, "cannot write") != NULL);
    CHECK(strstr(logged, "disk/snapshot: No space left on device; what was written before stays") != NULL);
    /* It goes on, and writes again as soon as it can. */
    call(manager, "numbers", "pop", kin_value_none());
    test_until(strstr(logged, "is written again") != NULL);
    call(manager, "numbers", "append", kin_value_build("(v)", kin_value_bytes(large, sizeof large)));
    kin_manager_close(manager);
    CHECK_OK(kin_manager_start(&manager, &options));
    check(manager, "numbers", "copy", kin_value_none(), "[1]");
    CHECK_OK(kin_manager_close(manager));
    _exit(0);
}

TEST(a_full_disk_leaves_the_old_snapshot)
{
    char disk[4096];
    logged = test_shared(512);
    snprintf(disk, sizeof disk, "%s/disk", test_directory());
    CHECK_OK(mkdir(disk, 0700));
    int status = test_collect(test_child(fill_disk, NULL));
    CHECK_OK(rmdir(disk));
    if (WEXITSTATUS(status) == 77) SKIP("no file system can be mounted here");
    CHECK_EQ(status, 0);
}

/* ---- a disk that fails ---------------------------------------------------------------------------------- */

#define STEPS 4 /* of writing a snapshot that can fail: the writing, the syncing, the closing, the renaming */

static int arm(void *unused, const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    int step, error;
    (void)unused;
    (void)keywords;
    (void)result;
    CHECK_OK(kin_value_parse(arguments, "(ii)", &step, &error));
    kin__os_fault_set(KIN__FAULT_FILE, (unsigned)step, error, true);
    return 0;
}

static const kin_manager_method of_disk[] = {{"arm", arm}};
static const kin_manager_type with_disk[] = {{.name = "counter", .shared = "list"},
                                             {.name = "disk", .methods = of_disk, .method_count = 1}};

static char failing_address[64];

static void serve_on_failing_disk(void *expected)
{
    kin_log_set(note_line, KIN_LOG_WARNING, NULL);
    CHECK_RC(kin_manager_serve(&(kin_manager_options){.address = failing_address,
                                                      .key = "k",
                                                      .key_size = 1,
                                                      .types = with_disk,
                                                      .type_count = 2,
                                                      .snapshot = file(),
                                                      .snapshot_ns = 1000000}),
             *(int *)expected);
}

static void fail_at(int step, int error)
{
    static const char last[] = "the last of three";
    static char before[65536], after[65536], expected[200];
    kin_manager *manager = NULL;
    int code = -error;
    logged[0] = '\0';
    pid_t server = test_child(serve_on_failing_disk, &code);
    test_until(kin_manager_connect(&manager, failing_address, "k", 1, SOON) == 0);
    call(manager, "counter", "append", kin_value_build("(i)", step));
    test_until(access(file(), F_OK) == 0);
    call(manager, "disk", "arm", kin_value_build("(ii)", step, error));
    /* One that was being written is there now. */
    snprintf(expected, sizeof expected, "snapshot: %s; what was written before stays", strerror(error));
    call(manager, "counter", "append", kin_value_build("(i)", error));
    test_until(strstr(logged, expected) != NULL);
    size_t size = read_file(before, sizeof before);
    /* It goes on. */
    call(manager, "counter", "append", kin_value_build("(s)", last));
    CHECK_EQ(read_file(after, sizeof after), size);
    CHECK_MEM(after, before, size);
    call(manager, "disk", "arm", kin_value_build("(ii)", 0, 0));
    test_until(strstr(logged, "is written again") != NULL);
    /* That may have been put together before the last call. */
    test_until(memmem(after, read_file(after, sizeof after), last, strlen(last)) != NULL);
    /* What cannot be written at the end is an error of the server's. */
    call(manager, "disk", "arm", kin_value_build("(ii)", step, error));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(test_collect(server), 0);
    CHECK_OK(start(&manager));
    check(manager, "counter", "__len__", kin_value_none(), "3");
    CHECK_OK(kin_manager_close(manager));
    CHECK_OK(unlink(file()));
}

TEST(a_disk_that_fails_leaves_the_old_snapshot)
{
    static const int errors[] = {EIO, ENOSPC, EROFS};
    logged = test_shared(512);
    snprintf(failing_address, sizeof failing_address, "unix:@kin-test-disk-%d", (int)getpid());
    for (int step = 1; step <= STEPS; step++) {
        for (int i = 0; i < 3; i++) fail_at(step, errors[i]);
    }
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

#define ADDRESS "unix:@kin-test-snapshot-%d"

static char address[64];

static void serve(void *unused)
{
    (void)unused;
    CHECK_OK(kin_manager_serve(&(kin_manager_options){.address = address,
                                                      .key = "k",
                                                      .key_size = 1,
                                                      .types = types,
                                                      .type_count = 10,
                                                      .snapshot = file(),
                                                      .snapshot_ns = 1000000}));
}

/* As clients of Python's do it: over a connection for each call.  Returns what kind of answer it is. */
static const char *ask_alone(const char *method, kin_value arguments, kin_value *answer)
{
    kin_connection *client = NULL;
    CHECK_OK(kin_client_open(&client, address, &(kin_client_options){.key = "k", .key_size = 1}, SOON));
    client_ask(client, kin_value_none(), method, arguments, SOON);
    client_hear(client, answer, SOON);
    CHECK_OK(kin_connection_close(client));
    return kin_value_get_str(kin_value_at(answer, 0), NULL);
}

static void count_reference(const char *method, const char *ident, const char *kind)
{
    kin_value answer;
    CHECK_STR(ask_alone(method, kin_value_build("(s)", ident), &answer), kind);
    kin_value_clear(&answer);
}

/* Who has a proxy made before the server's death may use it afterwards, until it gives that up. */
TEST(a_reference_that_was_only_counted_is_in_the_next_snapshot)
{
    static char bytes[65536];
    kin_value answer;
    kin_manager *manager = NULL;
    struct stat before, now;
    snprintf(address, sizeof address, ADDRESS, (int)getpid());
    pid_t server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    CHECK_STR(ask_alone("create", kin_value_build("(s)", "list"), &answer), "#RETURN");
    const char *ident = kin_value_get_str(kin_value_at(kin_value_at(&answer, 1), 0), NULL);
    CHECK(ident != NULL);
    /* Whoever is in it was there when it was put together, and nobody has asked for anything since. */
    test_until(access(file(), F_OK) == 0 &&
               memmem(bytes, read_file(bytes, sizeof bytes), ident, strlen(ident)) != NULL);
    CHECK_OK(stat(file(), &before));
    count_reference("incref", ident, "#RETURN");
    test_until(stat(file(), &now) == 0 && now.st_ino != before.st_ino);
    kill(server, SIGKILL);
    CHECK_EQ(test_collect(server), SIGKILL);
    CHECK_OK(kin_manager_close(manager));
    server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    count_reference("decref", ident, "#RETURN");
    count_reference("decref", ident, "#RETURN");
    count_reference("decref", ident, "#TRACEBACK");
    kin_value_clear(&answer);
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(test_collect(server), 0);
    unlink(file());
}

/* However often the server is killed while it writes, it starts again from something it once was. */
TEST(a_server_that_is_killed_starts_from_a_whole_snapshot)
{
    static const char marker[] = "all of the first round";
    static char bytes[65536];
    int64_t pushed = 0, restored = 0, least = 0;
    snprintf(address, sizeof address, ADDRESS, (int)getpid());
    for (int round = 0; round < (test_sanitized() ? 5 : 20); round++) {
        kin_manager *manager = NULL;
        pid_t server = test_child(serve, NULL);
        kin_value result;
        test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
        kin_proxy *counter = manager_object(manager, "counter", SOON);
        CHECK_OK(kin_proxy_call(counter, "__len__", kin_value_none(), &result, SOON));
        CHECK_OK(kin_value_get_int(&result, &restored));
        CHECK_LE(restored, pushed);
        CHECK_GE(restored, least);
        for (pushed = restored; pushed < restored + 20 + 7 * round; pushed++)
            CHECK_OK(
                kin_proxy_call(counter, "append", kin_value_build("(v)", kin_value_int(pushed)), NULL, SOON));
        if (round == 0) {
            /* The first of all may have been put together before the first item: this one has them all. */
            call(manager, "names", "__setattr__", kin_value_build("(ss)", "x", marker));
            test_until(access(file(), F_OK) == 0 &&
                       memmem(bytes, read_file(bytes, sizeof bytes), marker, strlen(marker)) != NULL);
            least = pushed;
        }
        kill(server, SIGKILL);
        CHECK_EQ(test_collect(server), SIGKILL);
        kin_proxy_close(counter);
        CHECK_OK(kin_manager_close(manager));
    }
    NOTE("%ld of %ld items were in the last snapshot", (long)restored, (long)pushed);
    char beside[4200];
    snprintf(beside, sizeof beside, "%s.new", file());
    unlink(beside);
    snprintf(beside, sizeof beside, "%s.lock", file());
    unlink(beside);
    unlink(file());
}
