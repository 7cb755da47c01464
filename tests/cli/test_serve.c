/* test_serve.c: the tool `kin serve`. */
#define _GNU_SOURCE
#include "tool.h"

#include <kin/error.h>
#include <kin/manager.h>

#define SOON kin_in_s(20)

static const char *key_file(const char *key)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/key", test_directory());
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(key, file);
    fclose(file);
    chmod(path, 0600);
    return path;
}

static struct running start(const char *const *words)
{
    int in = tool_memory_file("", 0);
    struct running running = tool_start(in, words);
    close(in);
    return running;
}

static void read_address(struct running *running, char *address, size_t size)
{
    /* One byte at the least, and the newline: the line is written at once. */
    test_until(pread(running->out, address, size - 1, 0) > 1);
    ssize_t length = pread(running->out, address, size - 1, 0);
    address[length] = '\0';
    address[strcspn(address, "\n")] = '\0';
}

static int64_t get_number(kin_proxy *queue)
{
    kin_value item;
    int64_t number = -1;
    CHECK_OK(kin_proxy_get(queue, &item, SOON));
    CHECK_OK(kin_value_get_int(&item, &number));
    return number;
}

TEST(it_serves_until_it_is_told_to_end)
{
    const char *path = key_file("secret\n");
    const char *const words[] = {"serve", "-k", path, "tcp://127.0.0.1:0", "numbers=Queue", NULL};
    struct running running = start(words);
    char address[128];
    kin_manager *manager = NULL, *other = NULL;
    kin_proxy *numbers = NULL, *again = NULL, *own = NULL;
    read_address(&running, address, sizeof address);
    CHECK_RC(kin_manager_connect(&manager, address, "secret\n", 7, SOON), KIN_EAUTHENTICATION);
    CHECK_OK(kin_manager_connect(&manager, address, "secret", 6, SOON));
    CHECK_OK(kin_manager_connect(&other, address, "secret", 6, SOON));
    CHECK_OK(kin_manager_create(manager, &numbers, "numbers", kin_value_none(), SOON));
    CHECK_OK(kin_manager_create(other, &again, "numbers", kin_value_none(), SOON));
    CHECK_OK(kin_manager_create(other, &own, "Event", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_put(numbers, kin_value_int(7), SOON));
    CHECK_EQ(get_number(again), 7);
    CHECK_OK(kin_proxy_close(own));
    CHECK_OK(kin_proxy_close(again));
    CHECK_OK(kin_proxy_close(numbers));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    struct ran ran = tool_wait(running);
    CHECK_EQ(ran.code, 0);
    CHECK(strstr(ran.err, "a client at tcp://127.0.0.1:") != NULL);
    CHECK(strstr(ran.err, " was refused: authentication failed") != NULL);
    unlink(path);
}

TEST(it_ends_in_order_on_sigterm_and_leaves_no_socket_file)
{
    const char *path = key_file("secret");
    char socket[4200], address[4300], line[4300];
    snprintf(socket, sizeof socket, "%s/serve.sock", test_directory());
    snprintf(address, sizeof address, "unix:%s", socket);
    const char *const words[] = {"serve", "--key-file", path, address, NULL};
    struct running running = start(words);
    read_address(&running, line, sizeof line);
    CHECK_STR(line, address);
    CHECK_EQ(access(socket, F_OK), 0);
    test_terminate(running.pid);
    CHECK_EQ(tool_wait(running).code, 0);
    CHECK_NE(access(socket, F_OK), 0);
    unlink(path);
}

static void refused(const char *const *words, const char *text)
{
    struct running running = start(words);
    struct ran ran = tool_wait(running);
    CHECK_EQ(ran.code, 255);
    if (strstr(ran.err, text) == NULL) FAIL("it said: %s", ran.err);
}

static const char *write_file(const char *name, const char *text, mode_t mode)
{
    static char path[2][256];
    static int turn;
    char *at = path[turn++ & 1];
    snprintf(at, sizeof path[0], "%s/%s", test_directory(), name);
    FILE *stream = fopen(at, "w");
    CHECK(stream != NULL);
    fputs(text, stream);
    fclose(stream);
    CHECK_OK(chmod(at, mode));
    return at;
}

/* A server of a board, and of a reader with a key that may do what the rules say. */
struct guarded {
    struct running running;
    char address[128], main_key[256], reader_key[256], rules[256];
};

static void guarded_start(struct guarded *guarded, const char *rules)
{
    char text[512];
    snprintf(guarded->main_key, sizeof guarded->main_key, "%s", key_file("secret"));
    snprintf(guarded->reader_key, sizeof guarded->reader_key, "%s", write_file("reader.key", "abc\n", 0600));
    snprintf(text, sizeof text, "# who may do what\nkey reader %s\n\n%s", guarded->reader_key, rules);
    snprintf(guarded->rules, sizeof guarded->rules, "%s", write_file("permissions", text, 0600));
    const char *const words[] = {
        "serve", "-k", guarded->main_key, "-p", guarded->rules, "tcp://127.0.0.1:0", "board=list", NULL};
    guarded->running = start(words);
    read_address(&guarded->running, guarded->address, sizeof guarded->address);
}

static struct ran guarded_end(struct guarded *guarded)
{
    test_terminate(guarded->running.pid);
    struct ran ran = tool_wait(guarded->running);
    CHECK_EQ(ran.code, 0);
    unlink(guarded->main_key);
    unlink(guarded->reader_key);
    unlink(guarded->rules);
    return ran;
}

TEST(further_keys_may_do_what_a_file_says)
{
    struct guarded guarded;
    kin_manager *reader = NULL;
    kin_proxy *board = NULL;
    guarded_start(&guarded, "reader board read # only\n");
    CHECK_OK(kin_manager_connect(&reader, guarded.address, "abc", 3, SOON));
    CHECK_OK(kin_manager_create(reader, &board, "board", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(board, "__len__", kin_value_none(), NULL, SOON));
    CHECK_RC(kin_proxy_call(board, "append", kin_value_build("(i)", 1), NULL, SOON), KIN_EREMOTE);
    CHECK_OK(kin_proxy_close(board));
    CHECK_OK(kin_manager_close(reader));
    guarded_end(&guarded);
}

/* A name that was mistyped would take a right away without a word. */
TEST(a_permission_of_nothing_that_is_served_is_told)
{
    struct guarded guarded;
    guarded_start(&guarded, "reader baord read\nreader b*d read\nreader Queue write\nreader shut* write\n");
    CHECK_STR(guarded_end(&guarded).err,
              "kin serve: manager: baord, a permission of the key reader, fits no name that is served\n");
}

/* By the key alone two are told apart: of two with the same the first one's rights would be those of both. */
TEST(keys_that_are_the_same_are_refused)
{
    char text[1024], main_key[256], key[256];
    snprintf(main_key, sizeof main_key, "%s", key_file("secret"));
    snprintf(key, sizeof key, "%s", write_file("reader.key", "abc\n", 0600));
    snprintf(text, sizeof text, "key reader %s\nreader a read\nkey writer %s\nwriter a write\n", key, key);
    const char *rules = write_file("permissions", text, 0600);
    const char *const words[] = {"serve", "-k", main_key, "-p", rules, "unix:@x", "a=list", NULL};
    refused(words, "the key of writer is that of reader");
    snprintf(text, sizeof text, "key reader %s\nreader a read\n", main_key);
    write_file("permissions", text, 0600);
    refused(words, "the key of reader is the one that may do everything");
    unlink(main_key);
    unlink(key);
    unlink(rules);
}

/* ps(1) shows what was typed. */
TEST(the_command_line_stays_as_it_was_typed)
{
    char path[64], shown[4096], address[128];
    const char *key = key_file("secret");
    struct running running =
        start((const char *const[]){"serve", "-k", key, "tcp://127.0.0.1:0", "board=list", NULL});
    read_address(&running, address, sizeof address);
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)running.pid);
    FILE *stream = fopen(path, "r");
    CHECK(stream != NULL);
    size_t size = fread(shown, 1, sizeof shown, stream);
    fclose(stream);
    CHECK(memmem(shown, size, "board=list", sizeof "board=list") != NULL);
    test_terminate(running.pid);
    CHECK_EQ(tool_wait(running).code, 0);
    unlink(key);
}

TEST(permissions_that_are_none_are_said)
{
    static const char *const wrong[][2] = {
        {"reader board read", "line 1: no key has that name"},
        {"key reader", "line 1: a line has three words"},
        {"key reader /nothing", "line 1: the key cannot be read"},
    };
    char main_key[256];
    snprintf(main_key, sizeof main_key, "%s", key_file("secret"));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *rules = write_file("permissions", wrong[i][0], 0600);
        refused((const char *const[]){"serve", "-k", main_key, "-p", rules, "unix:@x", NULL}, wrong[i][1]);
        unlink(rules);
    }
    CHECK_OK(chmod(main_key, 0666));
    refused((const char *const[]){"serve", "-k", main_key, "unix:@x", NULL},
            "others than its user can write it");
    unlink(main_key);
}

/* By the key alone TLS cannot tell several apart: nobody with a further one would get in. */
TEST(permissions_over_tls_need_a_certificate)
{
    char text[512], main_key[256];
    snprintf(main_key, sizeof main_key, "%s", key_file("secret"));
    const char *key = write_file("reader.key", "abc\n", 0600);
    snprintf(text, sizeof text, "key reader %s\nreader board read\n", key);
    const char *rules = write_file("permissions", text, 0600);
    refused(
        (const char *const[]){"serve", "-k", main_key, "-p", rules, "tls://127.0.0.1:0", "board=list", NULL},
        "--permissions at tls:// needs a certificate: --certificate; see kin serve --help");
    unlink(main_key);
    unlink(key);
    unlink(rules);
}

/* The snapshot is there long before a second is over, and the lease too. */
TEST(times_may_be_parts_of_a_second)
{
    char snapshot[256], address[128], main_key[256];
    kin_manager *manager = NULL;
    kin_proxy *list = NULL;
    snprintf(main_key, sizeof main_key, "%s", key_file("secret"));
    snprintf(snapshot, sizeof snapshot, "%s/snapshot", test_directory());
    const char *const words[] = {
        "serve", "-k",      main_key, "--snapshot", snapshot, "--interval",        "50ms",       "--grace",
        "0.5",   "--lease", "1h",     "--silence",  "0.5",    "tcp://127.0.0.1:0", "board=list", NULL};
    struct running running = start(words);
    read_address(&running, address, sizeof address);
    CHECK_OK(kin_manager_connect(&manager, address, "secret", 6, SOON));
    CHECK_OK(kin_manager_create(manager, &list, "board", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(i)", 1), NULL, SOON));
    test_until(access(snapshot, F_OK) == 0);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(tool_wait(running).code, 0);
    unlink(snapshot);
    unlink(main_key);
}

TEST(what_cannot_be_served_is_said)
{
    const char *path = key_file("secret");
    refused((const char *const[]){"serve", NULL}, "an argument is missing: ADDRESS");
    refused((const char *const[]){"serve", "unix:@x", NULL}, "an option is missing: --key-file");
    refused((const char *const[]){"serve", "-k", "/nothing", "unix:@x", NULL},
            "cannot read the key from /nothing");
    refused((const char *const[]){"serve", "-k", "/dev/null", "unix:@x", NULL}, "it is empty");
    refused((const char *const[]){"serve", "-k", path, "5000", NULL}, "no address");
    refused((const char *const[]){"serve", "-k", path, "unix:/no/such/directory", NULL}, "no/such/directory");
    refused((const char *const[]){"serve", "-k", path, "unix:@x", "a=Nonsense", NULL},
            "unix:@x: there is no type Nonsense, which was to be a");
    refused((const char *const[]){"serve", "-q", "-k", path, "unix:@x", "a=Lock", "b=Quue", NULL},
            "there is no type Quue, which was to be b");
    refused((const char *const[]){"serve", "-k", path, "unix:@x", "Queue", NULL}, "not NAME=TYPE: Queue");
    refused((const char *const[]){"serve", "-k", path, "--snapshot", "/no/such/file", "unix:@x", NULL},
            "the snapshot /no/such/file: no such file or directory");
    refused((const char *const[]){"serve", "-k", path, "unix:@x", "a=Queue", "b=dict", "a=dict", NULL},
            "two types have the name a");
    refused((const char *const[]){"serve", "-k", path, "--interval", "1s", "unix:@x", NULL},
            "--interval is of a snapshot, and an option is missing: --snapshot");
    refused((const char *const[]){"serve", "-k", path, "--certificate", path, "unix:@x", NULL},
            "certificates are for tls://");
    refused(
        (const char *const[]){"serve", "-k", path, "--certificate", "nowhere.pem", "tls://127.0.0.1:0", NULL},
        "nowhere.pem");
    refused((const char *const[]){"serve", "--grace", "never", NULL}, "not a time: never");
    refused((const char *const[]){"serve", "--interval", "0s", NULL}, "not a time: 0s");
    refused((const char *const[]){"serve", "--max-clients", "many", NULL}, "not a number of clients: many");
    refused((const char *const[]){"serve", "--nonsense", NULL}, "unknown option: --nonsense");
    unlink(path);
}
