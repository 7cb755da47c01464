/* test_pickle_python.c: values between kin and the Python interpreters of this machine, both ways,
 * made by generators whose seed is printed.  pickle_peer.py is the other side. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/object.h>
#include <kin/pickle.h>

/* ---- the interpreter ------------------------------------------------------------------------- */

struct peer {
    pid_t pid;
    FILE *to, *from;
};

static struct peer start(const char *python, const char *what, const char *seed, const char *count)
{
    int to[2], from[2];
    struct peer peer;
    CHECK_OK(pipe2(to, O_CLOEXEC));
    CHECK_OK(pipe2(from, O_CLOEXEC));
    CHECK_OK(peer.pid = fork());
    if (peer.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        execlp(python, python, "-B", test_source("tests/interop/pickle_peer.py"), what, seed, count, NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    CHECK(peer.to = fdopen(to[1], "w"));
    CHECK(peer.from = fdopen(from[0], "r"));
    return peer;
}

static void finish(struct peer *peer)
{
    fclose(peer->to);
    fclose(peer->from);
    CHECK_EQ(test_collect(peer->pid), 0);
}

static void put_part(struct peer *peer, const void *data, size_t size)
{
    uint32_t length = (uint32_t)size;
    CHECK_EQ(fwrite(&length, 1, sizeof length, peer->to), sizeof length);
    CHECK_EQ(fwrite(data, 1, size, peer->to), size);
}

/* One part of a message; the peer has said why on its standard error when there is none. */
static char *get_part(struct peer *peer, size_t *size)
{
    uint32_t length;
    if (fread(&length, 1, sizeof length, peer->from) != sizeof length) {
        CHECK_EQ(test_collect(peer->pid), 0);
        FAIL("the interpreter ended");
    }
    char *data = malloc(length + 1u);
    CHECK_EQ(fread(data, 1, length, peer->from), length);
    *size = length;
    return data;
}

static char *words_of(const kin_value *value, size_t *size)
{
    long length = kin_value_repr(value, NULL, 0);
    CHECK_OK(length);
    char *words = malloc((size_t)length + 1);
    CHECK_EQ(kin_value_repr(value, words, (size_t)length + 1), length);
    *size = (size_t)length;
    return words;
}

/* ---- Python's values ------------------------------------------------------------------------- */

static void answer(struct peer *peer, const char *data, size_t size)
{
    kin_value value;
    kin_buffer bytes = {0};
    kin_pickle_fault fault = {0};
    int rc = kin_pickle_loads(&value, data, size, &(kin_pickle_options){.fault = &fault});
    if (rc == 0) CHECK_RC(kin_pickle_dumps(&value, &bytes), 0);
    size_t length = strlen(fault.text);
    char *words = rc == 0 ? words_of(&value, &length) : strdup(fault.text);
    put_part(peer, bytes.data, bytes.size);
    put_part(peer, words, length);
    fflush(peer->to);
    free(words);
    kin_buffer_free(&bytes);
    kin_value_clear(&value);
}

static void read_from(const char *python, int count)
{
    char seed[24], text[24];
    size_t size = 1;
    snprintf(seed, sizeof seed, "%ld", (long)time(NULL) ^ getpid());
    snprintf(text, sizeof text, "%d", count);
    NOTE("%s: %s values, seed %s", python, text, seed);
    struct peer peer = start(python, "ask", seed, text);
    while (size > 0) {
        char *data = get_part(&peer, &size);
        if (size > 0) answer(&peer, data, size);
        free(data);
    }
    finish(&peer);
}

/* ---- our values ------------------------------------------------------------------------------ */

static uint64_t seed_now;

static unsigned any(unsigned below)
{
    seed_now = seed_now * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed_now >> 33) % below);
}

static kin_value any_text(void)
{
    static const char *const pieces[] = {
        "a", "it's", "\"", "\n", "\\", "\u20ac", "\U0001f600", "long enough for a block", "\x7f"};
    char text[600] = "";
    for (unsigned i = any(20); i > 0; i--) strcat(text, pieces[any(sizeof pieces / sizeof *pieces)]);
    return kin_value_str(text);
}

static kin_value any_scalar(void)
{
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)any(256);
    double number;
    switch (any(9)) {
    case 0: return kin_value_none();
    case 1: return kin_value_bool(any(2));
    case 2: return kin_value_int((int64_t)any(70000) - 300);
    case 3: return kin_value_int_from_bytes(bytes, any(40));
    case 4: memcpy(&number, bytes, sizeof number); return kin_value_float(number == number ? number : 0.5);
    case 5: return kin_value_bytes(bytes, any(300));
    case 6: return kin_value_complex(1.5 * any(3), -2.0 * any(3));
    default: return any_text();
    }
}

static kin_value any_value(int depth);

static kin_value any_container(int depth)
{
    unsigned kind = any(5), size = any(12);
    kin_value value = kind == 0 ? kin_value_dict() : kin_value_list(NULL, 0);
    for (unsigned i = 0; i < size; i++) {
        if (kind == 0)
            CHECK_OK(kin_value_dict_set(&value, any_scalar(), any_value(depth - 1)));
        else
            CHECK_OK(kin_value_list_append(&value, any_value(depth - 1)));
    }
    if (kind == 1) return kin_value_build("(vi)", value, 1);
    if (kind == 2) return kin_value_build("(vv)", kin_value_ref(&value), value);
    if (kind == 3) {
        kin_value_clear(&value);
        value = any_scalar();
        return kin_value_frozenset(&value, 1);
    }
    return value;
}

static kin_value any_value(int depth)
{
    static const double doubles[] = {1.5, 2.5, -1};
    if (depth > 0 && any(3) > 0) return any_container(depth);
    switch (any(10)) {
    case 0: return kin_value_array('d', doubles, any(4));
    case 1: return kin_value_slice(any_scalar(), kin_value_none(), kin_value_int(any(9)));
    case 2: return kin_value_error("queue.Full", kin_value_build("(v)", any_scalar()));
    case 3: return kin_value_bytearray("bytes", any(6));
    default: return any_scalar();
    }
}

static void send_and_compare(struct peer *peer, const kin_value *value)
{
    size_t length, size;
    kin_value back;
    kin_buffer bytes = {0};
    char *words = words_of(value, &length);
    CHECK_RC(kin_pickle_dumps(value, &bytes), 0);
    put_part(peer, bytes.data, bytes.size);
    put_part(peer, words, length);
    fflush(peer->to);
    char *data = get_part(peer, &size);
    CHECK_RC(kin_pickle_loads(&back, data, size, NULL), 0);
    char *again = words_of(&back, &size);
    CHECK_STR(again, words);
    CHECK_EQ(kin_value_equal(value, &back), 1);
    kin_value_clear(&back);
    kin_buffer_free(&bytes);
    free(data);
    free(words);
    free(again);
}

static void write_to(const char *python, int count)
{
    seed_now = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
    NOTE("%s: %d values of ours, seed %llu", python, count, (unsigned long long)seed_now);
    struct peer peer = start(python, "answer", NULL, NULL);
    for (int i = 0; i < count; i++) {
        kin_value value = any_value(4);
        send_and_compare(&peer, &value);
        kin_value_clear(&value);
    }
    put_part(&peer, "", 0);
    put_part(&peer, "", 0);
    finish(&peer);
}

/* ---- the cases ------------------------------------------------------------------------------- */

#define PYTHONS 16

static const char *pythons[PYTHONS];

static size_t find_pythons(void)
{
    size_t count = program_pythons(pythons, PYTHONS);
    if (count == 0) SKIP("there is no /usr/bin/python3");
    return count;
}

TEST(values_of_python)
{
    find_pythons();
    read_from(pythons[0], test_sanitized() ? 60 : 200);
}

TEST(values_for_python)
{
    find_pythons();
    write_to(pythons[0], test_sanitized() ? 100 : 400);
}

/* Every other one there is, which all write other pickles. */
TEST(values_of_other_versions)
{
    size_t count = find_pythons();
    if (count == 1) SKIP("there is no other python3");
    for (size_t i = 1; i < count; i++) {
        read_from(pythons[i], 20);
        write_to(pythons[i], 40);
    }
}
