/* test_shared_python.c: blocks of memory and lists that pass between kin and the machine's Python,
 * in both directions. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/shareable_list.h>
#include <kin/shared_memory.h>

/* Python's tracker removes, when Python ends, what Python only attached to (until 3.13 could be told
 * not to): here it is told in the way that works everywhere. */
#define PREAMBLE \
    "import sys\n" \
    "from multiprocessing import resource_tracker, shared_memory\n" \
    "from multiprocessing.shared_memory import SharedMemory, ShareableList\n" \
    "name = sys.argv[1]\n" \
    "def attach(block):\n" \
    "    resource_tracker.unregister(block._name, 'shared_memory')\n" \
    "    return block\n"

static char name[64], path[80];

static void set_up(void)
{
    if (system("python3 -c 'import multiprocessing.shared_memory' 2>/dev/null") != 0)
        SKIP("there is no python3 with shared memory");
    snprintf(name, sizeof name, "kin-python-%d", getpid());
    snprintf(path, sizeof path, "/dev/shm/%s", name);
}

struct script {
    const char *text;
};

static void run_script(void *argument)
{
    const struct script *script = argument;
    char *text = NULL;
    if (asprintf(&text, "%s%s", PREAMBLE, script->text) < 0) abort();
    execlp("python3", "python3", "-c", text, name, (char *)NULL);
    _exit(127);
}

/* Runs a script, which must exit with 0. */
static void python(const char *text)
{
    struct script script = {text};
    test_context("the script:\n%s", text);
    CHECK_EQ(test_collect(test_child(run_script, &script)), 0);
    test_context(NULL);
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

TEST_COLD(python_reads_and_writes_what_kin_made)
{
    kin_shared_memory *block = NULL;
    set_up();
    CHECK_OK(kin_shared_memory_create(&block, name, 5000, NULL));
    char *data = kin_shared_memory_data(block);
    strcpy(data, "from kin");
    python("block = attach(SharedMemory(name))\n"
           "assert block.size == 5000 and block.name == name\n"
           "assert bytes(block.buf[:9]) == b'from kin\\0'\n"
           "assert not any(block.buf[9:])\n"
           "block.buf[:12] = b'from Python\\0'\n"
           "block.buf[4999] = 77\n"
           "block.close()\n");
    CHECK_STR(data, "from Python");
    CHECK_EQ(data[4999], 77);
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_OK(kin_shared_memory_close(block));
    test_until(access(path, F_OK) < 0);
}

TEST_COLD(kin_reads_and_writes_what_python_made)
{
    kin_shared_memory *block = NULL;
    set_up();
    python("block = attach(SharedMemory(name, create=True, size=300))\n"
           "block.buf[:12] = b'from Python\\0'\n");
    CHECK_OK(kin_shared_memory_attach(&block, name));
    CHECK_EQ(kin_shared_memory_size(block), 300);
    CHECK_STR((char *)kin_shared_memory_data(block), "from Python");
    strcpy(kin_shared_memory_data(block), "from kin");
    /* It is Python's: kin does not remove it by closing. */
    CHECK_OK(kin_shared_memory_close(block));
    CHECK_RC(kin_shared_memory_create(&block, name, 10, NULL), -EEXIST);
    python("block = SharedMemory('/' + name)\n"
           "assert bytes(block.buf[:9]) == b'from kin\\0'\n"
           "block.close()\n"
           "block.unlink()\n");
    CHECK_RC(kin_shared_memory_attach(&block, name), -ENOENT);
}

TEST_COLD(python_cannot_create_what_kin_has_and_may_unlink_it)
{
    kin_shared_memory *block = NULL;
    set_up();
    CHECK_OK(kin_shared_memory_create(&block, name, 10, NULL));
    python("try:\n"
           "    SharedMemory(name, create=True, size=10)\n"
           "except FileExistsError:\n"
           "    pass\n"
           "else:\n"
           "    sys.exit(1)\n"
           "SharedMemory(name).unlink()\n");
    CHECK(access(path, F_OK) < 0);
    strcpy(kin_shared_memory_data(block), "mine");
    CHECK_OK(kin_shared_memory_close(block));
}

/* ---- lists ----------------------------------------------------------------------------------------------- */

static kin_shareable_item text(const char *bytes)
{
    return (kin_shareable_item){.type = KIN_SHAREABLE_STR, .bytes = bytes, .size = strlen(bytes)};
}

static kin_shareable_item integer(int64_t value)
{
    return (kin_shareable_item){.type = KIN_SHAREABLE_INT, .integer = value};
}

static kin_shareable_item got(kin_shareable_list *list, size_t index)
{
    static char buffer[256];
    kin_shareable_item item;
    CHECK_RC(kin_shareable_list_get(list, index, &item, buffer, sizeof buffer), 0);
    return item;
}

TEST_COLD(python_reads_and_changes_a_list_of_kin)
{
    kin_shareable_list *list = NULL;
    set_up();
    const kin_shareable_item items[] = {
        integer(INT64_MIN),
        {.type = KIN_SHAREABLE_FLOAT, .real = -0.5},
        {.type = KIN_SHAREABLE_BOOL, .boolean = true},
        {.type = KIN_SHAREABLE_NONE},
        text("größe"),
        text("日本語日本語日"),
        text(""),
        text("exactly8"),
        {.type = KIN_SHAREABLE_BYTES, .bytes = "\0\1\377x", .size = 4},
        integer(7),
    };
    CHECK_RC(kin_shareable_list_create(&list, name, items, 10), 0);
    python("items = ShareableList(name=name)\n"
           "attach(items.shm)\n"
           "expected = [-2**63, -0.5, True, None, 'größe', '日本語日本語日', '', 'exactly8', "
           "b'\\0\\1\\xffx', 7]\n"
           "assert list(items) == expected, list(items)\n"
           "assert all(type(a) is type(b) for a, b in zip(items, expected))\n"
           "items[0] = 2**63 - 1\n"
           "items[1] = 'short'\n"
           "items[3] = 2.25\n"
           "items[4] = 'ß'\n"
           "items[9] = False\n");
    CHECK_EQ(got(list, 0).integer, INT64_MAX);
    CHECK_STR(got(list, 1).bytes, "short");
    CHECK_EQ(got(list, 1).type, KIN_SHAREABLE_STR);
    CHECK_EQ(got(list, 3).real, 2.25);
    CHECK_STR(got(list, 4).bytes, "ß");
    CHECK_EQ(got(list, 5).size, strlen("日本語日本語日"));
    CHECK_EQ(got(list, 9).type, KIN_SHAREABLE_BOOL);
    CHECK(!got(list, 9).boolean);
    CHECK_RC(kin_shareable_list_close(list), 0);
    test_until(access(path, F_OK) < 0);
}

TEST_COLD(kin_reads_and_changes_a_list_of_python)
{
    kin_shareable_list *list = NULL;
    kin_shareable_item item;
    char buffer[16];
    set_up();
    python("items = ShareableList([1, 2.5, True, False, None, 'text', b'bytes', 'x' * 100], name=name)\n"
           "attach(items.shm)\n");
    CHECK_RC(kin_shareable_list_attach(&list, name), 0);
    CHECK_EQ(kin_shareable_list_length(list), 8);
    CHECK_EQ(got(list, 0).integer, 1);
    CHECK_EQ(got(list, 1).real, 2.5);
    CHECK(got(list, 2).boolean && !got(list, 3).boolean);
    CHECK_EQ(got(list, 4).type, KIN_SHAREABLE_NONE);
    CHECK_STR(got(list, 5).bytes, "text");
    CHECK_EQ(got(list, 6).type, KIN_SHAREABLE_BYTES);
    CHECK_EQ(got(list, 7).size, 100);
    CHECK_RC(kin_shareable_list_get(list, 7, &item, buffer, sizeof buffer), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 101);
    CHECK_RC(kin_shareable_list_set(list, 0, &(kin_shareable_item){.type = KIN_SHAREABLE_NONE}), 0);
    item = text("ÄÖÜ and");
    CHECK_RC(kin_shareable_list_set(list, 5, &item), -EMSGSIZE);
    item = text("ÄÖÜ");
    CHECK_RC(kin_shareable_list_set(list, 5, &item), 0);
    item = integer(-9);
    CHECK_RC(kin_shareable_list_set(list, 6, &item), 0);
    python("items = ShareableList(name=name)\n"
           "assert list(items) == [None, 2.5, True, False, None, 'ÄÖÜ', -9, 'x' * 100], list(items)\n"
           "items.shm.close()\n"
           "items.shm.unlink()\n");
    CHECK_RC(kin_shareable_list_close(list), 0);
}
